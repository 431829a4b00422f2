"""From trials to the numbers of a table: rates, efforts, pairs, the curve over disturbances, and the release bar."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from allegro_ai.evaluation.intervals import mcnemar, paired_difference, paired_ratio, psychometric, wilson
from allegro_ai.evaluation.trials import KINDS, Trial
from allegro_ai.tasks.baselines import REFERENCE_LABELS

BAR_POINTS, BAR_TORQUE_SHARE, BAR_ORACLE_SHARE, BAR_EPISODES = 0.10, 0.60, 0.85, 1000
BAR_SET, BAR_LEVELS = 'H2', ('L2', 'L3')
MAX_TORQUE, ORACLE = 'B2', 'B7'

ByLabel = Mapping[str, Sequence[Trial]]
"""Trials of each policy on the same episodes."""


def rate(trials: Sequence[Trial], what: str = 'success') -> dict[str, Any]:
    """Count, rate and Wilson interval of a judgement."""
    count, n = sum(bool(getattr(t, what)) for t in trials), len(trials)
    return {'count': count, 'n': n, 'rate': count / n if n else 0.0, 'ci95': list(wilson(count, n))}


def row(label: str, by_label: ByLabel) -> dict[str, Any]:
    """Everything about one policy in one cell."""
    trials = by_label[label]
    slips = [t.slip_mm for t in trials if t.slip_mm is not None]
    result: dict[str, Any] = {
        'label': label, 'n': len(trials), **{what: rate(trials, what) for what in ('success', 'held', 'acquired')},
        'kinds': dict(sorted(Counter(t.kind for t in trials).items())),
        'torque_nm': _mean(trials, 'torque_nm'), 'work_j': _mean(trials, 'work_j'), 'heat_n2m2s': _mean(trials, 'heat'),
        'tip_n_median': _number(np.median([t.tip_n for t in trials])),
        'tip_n_p95': _number(np.quantile([t.tip_n for t in trials], 0.95)),
        'slip_mm_median': _number(np.median(slips)) if slips else None,
        'slip_mm_p95': _number(np.quantile(slips, 0.95)) if slips else None,
        'by_grip': {g: rate([t for t in trials if t.grip == g]) for g in sorted({t.grip for t in trials})},
        'by_family': {f: rate([t for t in trials if t.family == f]) for f in sorted({t.family for t in trials})},
    }
    for field, other, what in (('torque_of_b2', MAX_TORQUE, 'torque_nm'), ('success_of_b7', ORACLE, 'success')):
        if other in by_label:
            result[field] = _interval(*paired_ratio(_column(trials, what), _column(by_label[other], what)))
    return result


def pair(a: str, b: str, by_label: ByLabel, what: str = 'success') -> dict[str, Any]:
    """Paired difference ``a - b`` with its bootstrap interval, and who succeeded where the other did not."""
    first, second = _column(by_label[a], what), _column(by_label[b], what)
    counts = mcnemar(first, second)
    return {'a': a, 'b': b, 'what': what, 'n': len(first), **_interval(*paired_difference(first, second)),
            'both': counts.both, 'only_a': counts.only_a, 'only_b': counts.only_b, 'neither': counts.neither,
            'mcnemar_p': counts.p}


def curve(label: str, trials: Sequence[Trial]) -> dict[str, Any]:
    """Disturbance at which half of the episodes still go well; bounds that lie beyond the sizes tried are null."""
    sizes = [t.push for t in trials]
    result: dict[str, Any] = {'label': label, 'n': len(trials), 'largest': max(sizes)}
    for what in ('success', 'held'):
        fit = psychometric(sizes, [getattr(t, what) for t in trials])
        result[what] = {'half': _number(fit.half), 'ci95': [_number(v) for v in fit.ci95], 'slope': _number(fit.slope)}
    return result


def anyone(by_label: ByLabel) -> dict[str, Any]:
    """Episodes that at least one policy managed: what the hand can do, as far as anybody showed it."""
    columns = np.array([_column(trials, 'success') for trials in by_label.values()])
    count = int(columns.any(axis=0).sum())
    return {'count': count, 'n': columns.shape[1], 'rate': count / columns.shape[1],
            'ci95': list(wilson(count, columns.shape[1]))}


def release(label: str, by_label: ByLabel) -> list[dict[str, Any]]:
    """The clauses of the release bar in one cell: what is asked, what was found, and whether it is met.

    A clause whose rows are missing has ``met`` None.
    """
    mine = by_label[label]
    clauses = [_clause('episodes', f'n >= {BAR_EPISODES}', len(mine), None, len(mine) >= BAR_EPISODES)]
    known = [b for b in REFERENCE_LABELS if b in by_label]
    if len(known) == len(REFERENCE_LABELS):
        best = max(known, key=lambda b: rate(by_label[b])['rate'])
        found = pair(label, best, by_label)
        gain, low = found['value'], found['ci95'][0]
        clauses += [
            _clause('gain', f'success at least {100 * BAR_POINTS:.0f} points above the best of B0-B5 ({best})', gain,
                    found['ci95'], gain >= BAR_POINTS),
            _clause('certain', f'paired 95 % interval against {best} above 0', low, found['ci95'], low > 0.0)]
    else:
        absent = ', '.join(b for b in REFERENCE_LABELS if b not in by_label)
        clauses.append(_clause('gain', f'against the best of B0-B5 (absent: {absent})', None, None, None))
    for name, other, what, bound, below in (
            ('torque', MAX_TORQUE, 'torque_nm', BAR_TORQUE_SHARE, True),
            ('oracle', ORACLE, 'success', BAR_ORACLE_SHARE, False)):
        text = (f'mean torque at most {bound:.0%} of {other}' if below else f'success at least {bound:.0%} of {other}')
        if other not in by_label:
            clauses.append(_clause(name, f'{text} (absent)', None, None, None))
            continue
        share = _interval(*paired_ratio(_column(mine, what), _column(by_label[other], what)))
        value = share['value']
        met = None if value is None else bool(value <= bound if below else value >= bound)
        clauses.append(_clause(name, text, value, share['ci95'], met))
    return clauses


def failures(trials: Sequence[Trial]) -> dict[str, list[int]]:
    """Seeds of failed episodes by kind."""
    return {kind: [t.seed for t in trials if t.kind == kind] for kind in KINDS}


def _clause(name: str, asked: str, value: float | None, ci95: Any, met: bool | None) -> dict[str, Any]:
    return {'name': name, 'asked': asked, 'value': value, 'ci95': ci95, 'met': met}


def _interval(value: float, low: float, high: float) -> dict[str, Any]:
    return {'value': _number(value), 'ci95': [_number(low), _number(high)]}


def _column(trials: Sequence[Trial], what: str) -> NDArray[np.float64]:
    return np.array([float(getattr(t, what)) for t in trials])


def _mean(trials: Sequence[Trial], what: str) -> float | None:
    return _number(_column(trials, what).mean())


def _number(value: float | np.floating[Any]) -> float | None:
    return float(value) if math.isfinite(value) else None
