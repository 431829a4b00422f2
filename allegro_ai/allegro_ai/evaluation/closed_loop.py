"""Policies side by side on the same unseen episodes: rates with Wilson intervals, paired differences, markdown."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np
from allegro_description.model import HandModel
from allegro_description.simulation.score import EpisodeResult
from numpy.typing import NDArray

from allegro_ai.evaluation.entrants import fingerprint
from allegro_ai.evaluation.intervals import paired_difference, wilson
from allegro_ai.evaluation.pieces import Pieces, piece_key
from allegro_ai.tasks.tactile_hold import Outcome
from allegro_ai.tasks.vector import VERSION
from allegro_ai.tasks.workers import Work, Workers

CHUNK = 25                          # episodes per piece of work: small enough for a lively progress bar
TEST_SEEDS_FROM = 0                 # of object set H1, whose seed space training cannot reach


@dataclass(frozen=True, slots=True, eq=False)
class Contestant:
    """One row: a name and how it acts (see :class:`allegro_ai.tasks.workers.Work`)."""

    name: str
    parameters: NDArray[np.float64] | None = None
    squeeze: float = 0.0
    blind: bool = False
    policy: str = 'squeeze'
    arguments: Mapping[str, Any] = field(default_factory=dict)


def evaluate(
    hand: HandModel, contestants: Sequence[Contestant], workers: Workers, *, level: str, n: int,
    object_set: str = 'H1', first_seed: int = TEST_SEEDS_FROM,
    progress: Callable[[int, int], None] = lambda done, total: None, pieces: Pieces[Outcome] | None = None,
) -> dict[str, Any]:
    """Run every contestant on the same ``n`` episodes, but for what ``pieces`` holds already.

    Returns:
        A JSON document: the protocol and one row per contestant.
    """
    seeds = range(first_seed, first_seed + n)
    todo: list[tuple[int, Work, str]] = []
    for k, c in enumerate(contestants):
        base = Work(hand.model, hand.side, (), (), object_set, c.parameters, c.squeeze, c.blind,
                    policy=c.policy, arguments=c.arguments)
        known = _fingerprint(c)
        for first in range(0, n, CHUNK):
            chunk = tuple(seeds[first:first + CHUNK])
            work = replace(base, seeds=chunk, levels=(level,) * len(chunk))
            todo.append((k, work, piece_key(hand, known, work)))
    results = [(pieces.get(key) if pieces else None) or [] for _, _, key in todo]
    done = sum(map(len, results))
    progress(done, n * len(contestants))
    missing = [index for index, found in enumerate(results) if not found]
    for number, outcomes in workers.run_as_completed([todo[index][1] for index in missing]):
        results[missing[number]] = outcomes
        if pieces:
            pieces.put(todo[missing[number]][2], outcomes)
        done += len(outcomes)
        progress(done, n * len(contestants))
    rows = []
    for k, contestant in enumerate(contestants):
        mine = [o for (owner, _, _), outcomes in zip(todo, results, strict=True) if owner == k for o in outcomes]
        rows.append(_row(contestant.name, mine))
    return {
        'task': VERSION, 'simulated': True, 'hand': hand.name, 'hand_sha256': hand.sha256, 'level': level,
        'object_set': object_set, 'n': n, 'first_seed': first_seed, 'control_rate_hz': 50,
        'interval': 'Wilson 95 %', 'rows': rows,
    }


def outcome(facts: dict[str, Any]) -> Outcome:
    """The outcome of its ``asdict``."""
    return Outcome(EpisodeResult(**facts['result']), facts['reward'], facts['unstable'])


def _fingerprint(c: Contestant) -> str:
    return fingerprint(c.policy, {
        **c.arguments, 'squeeze': c.squeeze, 'blind': c.blind,
        **({} if c.parameters is None else {'linear parameters': c.parameters})})


def _row(name: str, outcomes: Sequence[Outcome]) -> dict[str, Any]:
    n = len(outcomes)
    rates = {}
    for what in ('success', 'held', 'acquired'):
        count = sum(bool(getattr(o.result, what)) for o in outcomes)
        rates[what] = {'count': count, 'rate': count / n, 'ci95': wilson(count, n)}
    return {
        'name': name, 'n': n, **rates, 'unstable': sum(o.unstable for o in outcomes),
        'mean_torque_nm': float(np.mean([o.result.mean_torque_nm for o in outcomes])),
        'p99_tip_force_n_median': float(np.median([o.result.p99_tip_force_n for o in outcomes])),
        'mean_reward': float(np.mean([o.reward for o in outcomes])),
        'episodes': [asdict(o.result) for o in outcomes],
    }


def successes(document: Mapping[str, Any], name: str, what: str = 'success') -> NDArray[np.floating]:
    """1 or 0 for each episode of a row, (n,)."""
    row = next(r for r in document['rows'] if r['name'] == name)
    return np.array([bool(e[what]) for e in row['episodes']], dtype=float)


def compare(document: dict[str, Any], a: str, b: str, what: str = 'success') -> dict[str, Any]:
    """Paired difference of two rows of a document, ``a - b``, with its bootstrap interval."""
    first, second = successes(document, a, what), successes(document, b, what)
    mean, low, high = paired_difference(first, second)
    return {'a': a, 'b': b, 'what': what, 'difference': mean, 'ci95': [low, high], 'n': len(first),
            'only_a': int(((first == 1) & (second == 0)).sum()), 'only_b': int(((first == 0) & (second == 1)).sum())}


def markdown(document: dict[str, Any]) -> str:
    """The table of a document."""
    lines = [
        '| policy | n | success, % [95 %] | held, % [95 %] | acquired, % | mean torque, N·m '
        '| p99 tip force, N (median) |',
        '|---|---|---|---|---|---|---|',
    ]
    for row in document['rows']:
        def rate(what: str, row: dict[str, Any] = row) -> str:
            low, high = row[what]['ci95']
            return f'{100 * row[what]["rate"]:.1f} [{100 * low:.1f}, {100 * high:.1f}]'

        lines.append(
            f'| {row["name"]} | {row["n"]} | {rate("success")} | {rate("held")} | {100 * row["acquired"]["rate"]:.1f} '
            f'| {row["mean_torque_nm"]:.3f} | {row["p99_tip_force_n_median"]:.2f} |'
        )
    return '\n'.join(lines)
