"""The numbers of a baseline, chosen on training objects: a cross-entropy search with common random numbers.

A baseline that nobody tuned is a straw man. Every generation draws candidates, runs all of them on the same episodes,
and moves the distribution to the best quarter; the last means, the best candidate of each generation and the numbers
of before meet again on fresh episodes, and the best of those is kept.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from allegro_description.config import parameter
from allegro_description.errors import UnknownName
from allegro_description.model import HandModel

from allegro_ai.evaluation.trials import Trial, run_trials
from allegro_ai.tasks.baselines import FORESIGHT, SPACES, Ranges, arguments_of
from allegro_ai.tasks.vector import VERSION
from allegro_ai.tasks.workers import Work, Workers

FIRST_SEED = 700_000_000            # of the training set; far from what learners draw
GRID = tuple(round(0.1 * k, 1) for k in range(1, 11))
ELITE, SMALLEST_SPREAD, FIRST_SPREAD = 0.25, 0.03, 0.15     # shares of the candidates and of a range
CHUNK = 20
PLANS, PLAN_SPREAD = 6, 0.2        # plans that are kept at most; spread of the pool, shares of a range


@dataclass(frozen=True, slots=True)
class TuneConfig:
    """How long and how wide to search."""

    generations: int = parameter(6, 'times the distribution moves', low=1, high=100)
    population: int = parameter(16, 'candidates of a generation', low=4, high=256)
    episodes: int = parameter(40, 'episodes of each candidate', low=2, high=1000)
    final: int = parameter(160, 'episodes of each finalist', low=2, high=10000)
    seed: int = parameter(0, 'seed of the search', low=0, high=1_000_000)


LEVELS = ('L2', 'L3')
"""Levels of the search, in turn; the bar is measured at them."""

Progress = Callable[[int, int, str], None]


def tune(
    hand: HandModel, name: str, config: TuneConfig, workers: Workers,
    progress: Progress = lambda done, total, text: None,
) -> dict[str, Any]:
    """Search the numbers of a baseline.

    Returns:
        What ``policies/baselines.json`` keeps of it: arguments, success with episodes and seeds, and how it was found.

    Raises:
        UnknownName: a policy that has nothing to tune.
    """
    if name not in SPACES:
        raise UnknownName('baseline to tune', name, SPACES)
    begin = time.monotonic()
    space, rng = SPACES[name], np.random.default_rng([config.seed, 7])
    before = arguments_of(name, {})
    rounds = 1 if len(space) == 1 else config.generations
    candidates_per_round = len(GRID) if len(space) == 1 else config.population
    total = rounds * candidates_per_round * config.episodes
    used, finalists = 0, [before]
    mean, spread = _unit(before, space), np.full(len(space), FIRST_SPREAD)
    for generation in range(rounds):
        if len(space) == 1:
            candidates = [{next(iter(space)): share} for share in GRID]
        else:
            drawn = np.clip(mean + spread * rng.normal(size=(config.population, len(space))), 0.0, 1.0)
            drawn[0] = np.clip(mean, 0.0, 1.0)
            candidates = [_numbers(row, space) for row in drawn]
        scores = _scores(hand, name, candidates, range(used, used + config.episodes), workers)
        order = np.argsort(-scores, kind='stable')
        finalists.append(candidates[int(order[0])])
        if len(space) > 1:
            elite = drawn[order[:max(2, round(ELITE * config.population))]]
            mean, spread = elite.mean(axis=0), np.maximum(elite.std(axis=0), SMALLEST_SPREAD)
        used += config.episodes
        progress((generation + 1) * candidates_per_round * config.episodes, total,
                 f'{name}: best {scores.max():.2f}, mean {scores.mean():.2f}')
    finalists.append(_numbers(mean, space) if len(space) > 1 else finalists[-1])
    fresh = range(used, used + config.final)
    scores = _scores(hand, name, finalists, fresh, workers)
    best = int(np.argmax(scores))
    rates = np.round(scores * config.final) / config.final     # without what decides between equals
    return {
        'arguments': {k: round(v, 5) for k, v in finalists[best].items()},
        'success': round(float(rates[best]), 4), 'success_before': round(float(rates[0]), 4),
        'episodes': config.final, 'seeds': [FIRST_SEED + fresh.start, FIRST_SEED + fresh.stop - 1],
        'object_set': 'train', 'levels': list(LEVELS), 'task': VERSION, 'hand': hand.name,
        'search': {**asdict(config), 'method': 'grid' if len(space) == 1 else 'cross-entropy',
                   'episodes_run': total + config.final * len(finalists)},
        'command': f'allegro-ai tune-baseline {name} --generations {config.generations} --population '
                   f'{config.population} --episodes {config.episodes} --final {config.final} --seed {config.seed}',
        'wall_s': round(time.monotonic() - begin, 1),
    }


def choose_plans(
    hand: HandModel, config: TuneConfig, workers: Workers,
    progress: Progress = lambda done, total, text: None,
) -> dict[str, Any]:
    """Choose the oracle's sets of numbers that are worth rehearsing, best first, from a pool around the tuned one.

    All run the same training episodes; one after the other the set is taken that succeeds most often where those
    taken before it did not.

    Returns:
        What ``policies/baselines.json`` keeps of it: plans, their success on fresh episodes, and how they were found.
    """
    begin, oracle = time.monotonic(), 'oracle'
    space, rng = SPACES[oracle], np.random.default_rng([config.seed, 11])
    mean = _unit(arguments_of(oracle, {}), space)
    drawn = np.clip(mean + PLAN_SPREAD * rng.normal(size=(config.population, len(space))), 0.0, 1.0)
    drawn[0] = mean
    pool = [_numbers(row, space) for row in drawn]
    runs = _trials(hand, oracle, pool, range(config.final), workers)
    progress(1, 2, f'{config.population} sets of numbers on {config.final} episodes')
    wins = np.array([[t.success for t in row] for row in runs])
    taken: list[int] = []
    covered = np.zeros(wins.shape[1], dtype=bool)
    while len(taken) < PLANS:
        gain = (wins & ~covered).sum(axis=1)
        if not gain.any():
            break
        taken.append(int(np.argmax(gain)))
        covered |= wins[taken[-1]]
    plans = [{k: round(v, 5) for k, v in pool[k].items()} for k in taken]
    fresh = range(config.final, config.final + config.final)
    together = np.mean([t.success for t in _trials(hand, FORESIGHT, [{'plans': plans}], fresh, workers)[0]])
    alone = np.mean([t.success for t in _trials(hand, oracle, pool[:1], fresh, workers)[0]])
    progress(2, 2, f'{len(plans)} plans: {together:.2f}, one alone {alone:.2f}')
    return {
        'plans': plans, 'success': round(float(together), 4), 'success_before': round(float(alone), 4),
        'episodes': config.final, 'seeds': [FIRST_SEED + fresh.start, FIRST_SEED + fresh.stop - 1],
        'object_set': 'train', 'levels': list(LEVELS), 'task': VERSION, 'hand': hand.name,
        'search': {'population': config.population, 'final': config.final, 'seed': config.seed,
                   'method': 'greedy cover', 'covered': round(float(covered.mean()), 4)},
        'command': f'allegro-ai tune-baseline {FORESIGHT} --population {config.population} --final {config.final} '
                   f'--seed {config.seed}',
        'wall_s': round(time.monotonic() - begin, 1),
    }


def _scores(
    hand: HandModel, name: str, candidates: Sequence[Mapping[str, float]], offsets: range, workers: Workers
) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Success of each candidate on the same episodes; a smaller torque decides between equals."""
    found = _trials(hand, name, candidates, offsets, workers)
    return np.array([np.mean([t.success for t in rows]) - 1e-3 * np.mean([t.torque_nm for t in rows])
                     for rows in found])


def _trials(
    hand: HandModel, name: str, candidates: Sequence[Mapping[str, Any]], offsets: range, workers: Workers
) -> list[list[Trial]]:
    """Each candidate on the same episodes, in their order."""
    pieces = []
    for k, candidate in enumerate(candidates):
        for first in range(0, len(offsets), CHUNK):
            part = offsets[first:first + CHUNK]
            work = Work(hand.model, hand.side, tuple(FIRST_SEED + s for s in part),
                        tuple(LEVELS[s % len(LEVELS)] for s in part), 'train', policy=name, arguments=dict(candidate))
            pieces.append((k, workers.submit(run_trials, work)))
    found: list[list[Trial]] = [[] for _ in candidates]
    for k, future in pieces:
        found[k] += future.result()
    return found


def _unit(numbers: Mapping[str, float], space: Ranges) -> np.ndarray[Any, Any]:
    return np.array([(numbers[k] - low) / (high - low) for k, (low, _, high) in space.items()])


def _numbers(unit: np.ndarray[Any, Any], space: Ranges) -> dict[str, float]:
    return {k: float(low + min(max(u, 0.0), 1.0) * (high - low))
            for u, (k, (low, _, high)) in zip(unit, space.items(), strict=True)}
