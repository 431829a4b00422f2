"""One training run of the structured policy: an evolution strategy on whole episodes, resumable, within a time limit.

Every trial of a generation runs the same episodes, half of them at L2 and half at L3, of training objects. A generation
depends on (seed, number of the generation, state) only, so a run that was killed goes on as if it had not been.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from allegro_description.config import from_mapping, parameter
from allegro_description.errors import ConfigError
from allegro_description.model import HandModel, load_hand
from allegro_description.simulation.episode import DURATION_S, GRIP_FORCE_N
from allegro_description.simulation.score import MAX_SLIP_M, MAX_TURN_RAD
from numpy.typing import NDArray

from allegro_ai.integrity import hand_fingerprint
from allegro_ai.structured_policy import NAMES, PARAMETERS, StructuredPolicy, spread, start
from allegro_ai.tasks.tactile_hold import STEPS, Outcome, TactileHold, episodes
from allegro_ai.tasks.vector import VERSION
from allegro_ai.tasks.workers import Workers
from allegro_ai.training.curves import write_curves
from allegro_ai.training.evolution import Evolution
from allegro_ai.training.random_search import SEEDS_PER_RUN

FILE = 'structured.json'
LEVELS = ('L2', 'L3')
MATTER = ('squeeze_fragile', 'squeeze_normal', 'squeeze_robust', 'feedback_fragile', 'proximal', 'proximal_fragile',
          'distal', 'distal_fragile', 'thumb_medial', 'thumb_distal', 'thumb_opposition', 'motion_hand', 'keep',
          'pressure_hand', 'relief', 'relief_hand', 'relief_from', 'event_hand')
"""Numbers that showed an effect in trials by hand (ATTEMPTS.md); a short search moves only these."""

FORCE_SOFT_N, SLIP_SOFT_M, TURN_SOFT_RAD = 0.15, 0.006, 0.2
LASTING = 0.15          # credit for a dropped object, times the share of the episode that it lasted
OVER_BUDGET = 20.0      # price of mean torque above the budget, 1/(N·m)
COLLAPSED = 0.02        # of the first spread: nothing new is tried any more
STUCK = 15              # generations without a better mean than in the first ones

Progress = Callable[[dict[str, float], int, float], None]
Warn = Callable[[str], None]
Scores = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class StructuredSettings:
    """Numbers of one training run; stored with its result."""

    seed: int = parameter(0, 'training seed', low=0, high=998)
    touch: bool = parameter(True, 'whether the policy may use touch')
    generations: int = parameter(200, 'generations at most', low=1, high=1_000_000)
    trials: int = parameter(16, 'policies per generation', low=4, high=1000)
    episodes: int = parameter(24, 'episodes of each policy per generation', low=2, high=1000)
    torque_price: float = parameter(0.5, 'price of mean flexion torque', unit='1/(N·m)', low=0.0, high=100.0)
    torque_budget: float = parameter(0.066, 'mean torque above which it costs more', unit='N·m', low=0.0, high=1.0)
    wide: bool = parameter(False, 'search all numbers, not only those that matter most; takes longer to pay')
    first_spread: float = parameter(0.6, 'factor of the spread of the first trials', low=0.01, high=10.0)
    averaged: float = parameter(0.5, 'share of the last generations whose centres are averaged', low=0.0, high=1.0)


@dataclass(slots=True, eq=False)
class StructuredRun:
    """A run after some generations.

    Attributes:
        settings: what it was started with. task, hand, hand_sha256: what it was trained on.
        search: the distribution. centres: of each generation so far. curve: numbers of each generation.
        episodes: run so far. wall_s: seconds they took. stopped: why it ended, empty while it can go on.
    """

    settings: StructuredSettings
    task: str
    hand: str
    hand_sha256: str
    search: Evolution
    centres: list[list[float]] = field(default_factory=list)
    curve: list[dict[str, float]] = field(default_factory=list)
    episodes: int = 0
    wall_s: float = 0.0
    stopped: str = ''

    @property
    def parameters(self) -> NDArray[np.float64]:
        """The result: mean of the last centres, which noise moves less than any single one."""
        if not self.centres:
            return self.search.mean.copy()
        last = max(1, round(self.settings.averaged * len(self.centres)))
        return np.asarray(np.mean(self.centres[-last:], axis=0))

    @property
    def control_steps(self) -> int:
        """Seen in training."""
        return self.episodes * STEPS

    def save(self, folder: Path) -> Path:
        """Write it into ``folder`` in one step, with its curves."""
        folder.mkdir(parents=True, exist_ok=True)
        document = {name: getattr(self, name) for name in self.__slots__ if name not in ('settings', 'search')}
        document |= {'settings': asdict(self.settings), 'search': self.search.document(),
                     'parameters': dict(zip(NAMES, self.parameters.tolist(), strict=True))}
        path, fresh = folder / FILE, folder / f'.{FILE}.{os.getpid()}'
        with fresh.open('w') as file:
            json.dump(document, file, indent=1)
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(path)
        write_curves(folder, run_name(self.settings), self.curve, {
            'settings': asdict(self.settings), 'generations': len(self.curve), 'episodes': self.episodes,
            'wall_s': round(self.wall_s, 1), 'stopped': self.stopped, 'task': self.task})
        return path


def run_name(settings: StructuredSettings) -> str:
    """Folder of a run: arm and seed."""
    return f'structured_{"touch" if settings.touch else "no_touch"}_seed{settings.seed}'


def load_run(path: str | Path, hand: HandModel | None = None) -> StructuredRun:
    """Read a file, or the one in a folder.

    Raises:
        ConfigError: no such file, not a run of this policy, or made for another hand.
    """
    path = Path(path)
    path = path / FILE if path.is_dir() else path
    try:
        document = json.loads(path.read_text())
        names = list(document.pop('parameters'))
        document['settings'] = from_mapping(StructuredSettings, document['settings'])
        document['search'] = Evolution(**document['search'])
        run = StructuredRun(**document)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ConfigError(f'{path} is no run of the structured policy ({error}); make one with: '
                          'allegro-ai train structured') from error
    if names != list(NAMES):
        raise ConfigError(f'{path} was trained with other parameters than this version has; train again')
    if hand is not None and run.hand_sha256 != hand_fingerprint(hand):
        raise ConfigError(f'{path} was trained for {run.hand} as it was described then; it does not fit {hand.name} '
                          'as it is described here. Train again')
    return run


def policy(hand: HandModel, path: str | Path | None = None, parameters: Any = None) -> StructuredPolicy:
    """The policy of a run, or of parameters, or with neither of the values that were set by hand; for the table.

    Raises:
        ConfigError: both are given, or the file is no run.
    """
    if path is not None and parameters is not None:
        raise ConfigError("policy 'structured' takes either path or parameters, not both")
    if path is not None:
        return StructuredPolicy(hand, load_run(path, hand).parameters)
    return StructuredPolicy(hand, start() if parameters is None else np.asarray(parameters, dtype=np.float64))


def searched(settings: StructuredSettings) -> NDArray[np.float64]:
    """Standard deviations of the first trials, 0 where nothing is searched."""
    return np.asarray(spread(settings.touch) * [settings.wide or name in MATTER for name in NAMES])


def merit(outcome: Outcome, limit: float) -> float:
    """How good one episode was, 0 … 1: success with its hard edges made soft."""
    r = outcome.result
    if outcome.unstable or r.dropped_at_s is not None or not np.isfinite([r.slip_mm, r.turn_deg]).all():
        return LASTING * (r.dropped_at_s or 0.0) / DURATION_S
    soft = (_below(r.slip_mm / 1e3, MAX_SLIP_M, SLIP_SOFT_M) * _below(np.deg2rad(r.turn_deg), MAX_TURN_RAD,
                                                                      TURN_SOFT_RAD))
    return LASTING + (1.0 - LASTING) * soft * _below(r.p99_tip_force_n, limit, FORCE_SOFT_N)


def _below(value: float, limit: float, width: float) -> float:
    return float(1.0 / (1.0 + np.exp(np.clip((value - limit) / width, -50.0, 50.0))))


def run_rows(
    model: str, side: str, rows: NDArray[np.float64], seeds: tuple[int, ...], levels: tuple[str, ...]
) -> list[tuple[float, float, bool, bool]]:
    """Run each row of parameters on all seeds; (merit, mean torque, success, held) of each, row by row."""
    hand = load_hand(model, side)
    script = episodes(hand, seeds * len(rows), levels * len(rows), 'train')
    outcomes = TactileHold(hand, script).run(StructuredPolicy(hand, np.repeat(rows, len(seeds), axis=0)))
    return [(merit(o, GRIP_FORCE_N[e.grip_class]), o.result.mean_torque_nm, o.result.success, o.result.held)
            for o, e in zip(outcomes, script, strict=True)]


def value(scores: Scores, settings: StructuredSettings) -> Scores:
    """What a trial is worth, (trials,), from scores (trials, episodes, 4)."""
    merits, torque = scores[..., 0].mean(axis=1), scores[..., 1].mean(axis=1)
    over = np.maximum(torque - settings.torque_budget, 0.0)
    return np.asarray(merits - settings.torque_price * torque - OVER_BUDGET * over)


def train(
    folder: Path, hand: HandModel, settings: StructuredSettings, workers: Workers, *, minutes: float = 60.0,
    resume: bool = False, first: NDArray[np.float64] | None = None,
    progress: Progress = lambda numbers, generation, elapsed: None, warn: Warn = lambda text: None,
) -> StructuredRun:
    """Train until the generations are done or the time is over; saved after every generation.

    Args:
        folder: of the run.
        hand: the hand.
        settings: numbers of the run; with ``resume`` they must be those of the run in ``folder``.
        workers: processes that run the episodes; the result does not depend on their number.
        minutes: wall-clock limit of the whole run, earlier sittings included.
        resume: go on from ``folder``, or start if there is nothing.
        first: centre to start from; None: the policy's first values.
        progress: called after each generation with its numbers, its number and seconds so far.
        warn: called once per kind of trouble with a sentence.

    Raises:
        ConfigError: another run lies in ``folder``, or it belongs to other settings.
    """
    began = time.monotonic()
    run = _earlier(folder, hand, settings, resume)
    if run is None:
        centre = start(settings.touch) if first is None else np.asarray(first)
        run = StructuredRun(settings, VERSION, hand.name, hand_fingerprint(hand),
                            Evolution(centre, searched(settings), settings.first_spread))
    spent, longest, said = run.wall_s, 0.0, set[str]()
    run.stopped = ''
    while len(run.curve) < settings.generations:
        generation, at = len(run.curve), time.monotonic()
        trials = run.search.trials(settings.trials, np.random.default_rng((13, settings.seed, generation)))
        scores = _scores(hand, settings, workers, np.concatenate([trials, run.search.mean[None]]), generation)
        values = value(scores, settings)
        run.search.tell(trials, values[:-1])
        run.centres.append(run.search.mean.tolist())
        torque, success, held = scores[..., 1:].mean(axis=(0, 1)).tolist()
        centre_numbers = scores[-1].mean(axis=0)
        run.curve.append({
            'return': float(values.mean()), 'best': float(values.max()), 'success': success, 'held': held,
            'torque_nm': torque, 'noise': float(run.search.spread[run.search.scale > 0].mean()),
            'sigma': run.search.sigma, 'centre_success': float(centre_numbers[2]),
            'centre_torque_nm': float(centre_numbers[1])})
        run.episodes += scores.shape[0] * scores.shape[1]
        run.wall_s = spent + time.monotonic() - began
        longest = max(longest, time.monotonic() - at)
        if run.wall_s + 1.2 * longest > 60.0 * minutes:
            run.stopped = f'the limit of {minutes:g} minutes'
        run.save(folder)
        progress(run.curve[-1], len(run.curve), run.wall_s)
        for kind, text in diagnose(run).items():
            if kind not in said:
                said.add(kind)
                warn(text)
        if run.stopped:
            break
    return run


def diagnose(run: StructuredRun) -> dict[str, str]:
    """Sentences about what goes wrong, by kind: ``collapse``, ``stuck``, ``torque``. Empty: nothing."""
    found, curve, settings = {}, run.curve, run.settings
    left = run.search.sigma / settings.first_spread
    if curve and left < COLLAPSED:
        found['collapse'] = (f'generation {len(curve)}: the search shrank to {left:.3f} of its first '
                             'spread; nothing new is tried any more. Stop here, or start again with more --episodes')
    if len(curve) >= 2 * STUCK:
        early = float(np.mean([c['return'] for c in curve[:5]]))
        late = float(np.mean([c['return'] for c in curve[-STUCK:]]))
        if late <= early:
            found['stuck'] = (f'after {len(curve)} generations the value is {late:.3f}, no better than {early:.3f} at '
                              'the start: episodes differ more than trials do. Try twice the --episodes')
        torque = float(np.mean([c['centre_torque_nm'] for c in curve[-STUCK:]]))
        if torque > 1.15 * settings.torque_budget:
            found['torque'] = (f'the mean torque is {torque:.3f} N·m, over the budget of {settings.torque_budget:.3f}. '
                               'Try a higher --torque-price')
    return found


def _scores(
    hand: HandModel, settings: StructuredSettings, workers: Workers, rows: NDArray[np.float64], generation: int
) -> Scores:
    first = settings.seed * SEEDS_PER_RUN + generation * settings.episodes
    seeds = tuple(range(first, first + settings.episodes))
    levels = tuple(LEVELS[k % len(LEVELS)] for k in range(settings.episodes))
    pieces = [part for part in np.array_split(rows, workers.count) if len(part)]
    futures = [workers.submit(run_rows, hand.model, hand.side, part, seeds, levels) for part in pieces]
    flat = [score for future in futures for score in future.result()]
    return np.array(flat, dtype=np.float64).reshape(len(rows), settings.episodes, 4)


def _earlier(folder: Path, hand: HandModel, settings: StructuredSettings, resume: bool) -> StructuredRun | None:
    if not (folder / FILE).exists():
        return None
    if not resume:
        raise ConfigError(f'{folder} holds a training run already; go on with --resume or choose another --output')
    run = load_run(folder, hand)
    mine, theirs = asdict(settings), asdict(run.settings)
    other = [k for k in mine if k != 'generations' and mine[k] != theirs[k]]
    if other:
        raise ConfigError(f'the run in {folder} was started with {other[0]} {theirs[other[0]]!r}, not '
                          f'{mine[other[0]]!r}; resume it with its own settings or choose another --output')
    run.settings = settings
    return run


def touch_weights(parameters: NDArray[np.floating]) -> dict[str, float]:
    """What weighs touch in a result, by name."""
    return {p.name: float(v) for p, v in zip(PARAMETERS, parameters, strict=True) if p.touch}
