"""Metric group 3: are the recorded inputs like those of training? By the statistics that the bundle carries."""

from __future__ import annotations

from typing import Any

import numpy as np
from allegro_ai.bundle import Bundle
from allegro_ai.observation import terms

from allegro_bench.replay.inputs import Mask
from allegro_bench.replay.runner import Trace
from allegro_bench.statistics import longest_run

OUTSIDE = 0.05
"""Share of steps above the bundle's warning from which the recording as a whole is out of distribution."""


def inside(trace: Trace, bundle: Bundle) -> Mask:
    """Steps whose distance is at most the bundle's warning, (steps,)."""
    return np.asarray(trace.score <= float(bundle.contract['safety']['ood_warn']))


def describe(trace: Trace, bundle: Bundle) -> dict[str, Any]:
    """The section ``distribution`` of the document."""
    safety = bundle.contract['safety']
    warn, stop = float(safety['ood_warn']), float(safety['ood_stop'])
    above_warn, above_stop = trace.score > warn, trace.score > stop
    lasted = max((longest_run(above_stop[trace.run == r]) for r in np.unique(trace.run)), default=0)
    steps = len(trace)
    return {
        'method': 'Mahalanobis distance with a shrunk covariance, per square root of the number of values; 1 is '
                  'typical of training', 'terms': list(bundle.ood().terms),
        'warn': warn, 'stop': stop, 'steps': steps,
        'median': float(np.median(trace.score)) if steps else None,
        'greatest': float(trace.score.max()) if steps else None,
        'greatest_at_s': float(trace.time_s[int(np.argmax(trace.score))]) if steps else None,
        'above_warn': float(above_warn.mean()) if steps else None,
        'above_stop': float(above_stop.mean()) if steps else None,
        'longest_above_stop_steps': lasted,
        'out_of_distribution': bool(steps and (above_warn.mean() > OUTSIDE or lasted >= int(safety['sustain_ticks']))),
        'exceedance': _exceedance(trace, bundle),
    }


def _exceedance(trace: Trace, bundle: Bundle) -> list[dict[str, Any]]:
    """Per term: which share of its values lies outside the 0.1 % and 99.9 % quantiles of training."""
    model, arrays = bundle.ood(), bundle.arrays(bundle.contract['ood']['file'])
    if not {'quantiles', 'levels'} <= set(arrays) or not len(trace):
        return []
    levels, quantiles = arrays['levels'], arrays['quantiles']
    low, high = quantiles[int(np.argmin(levels))], quantiles[int(np.argmax(levels))]
    values = model.vector(trace.observation)
    outside = (values < low) | (values > high)
    table, rows, place = terms(bundle.model), [], 0
    for name in model.terms:
        elements = table[name].elements
        mine = outside[:, place:place + len(elements)]
        worst = int(np.argmax(mine.mean(axis=0)))
        rows.append({'term': name, 'outside': float(mine.mean()), 'expected': float(1 - np.ptp(levels)),
                     'worst': elements[worst], 'worst_outside': float(mine[:, worst].mean())})
        place += len(elements)
    return rows


def train_mean_target(bundle: Bundle) -> np.ndarray | None:
    """Mean target of training, rad, (n_joints,), where the statistics hold position and target error."""
    model, arrays = bundle.ood(), bundle.arrays(bundle.contract['ood']['file'])
    table, place, means = terms(bundle.model), 0, {}
    for name in model.terms:
        size = len(table[name].elements)
        means[name] = np.asarray(arrays['mean'][place:place + size], dtype=np.float64)
        place += size
    if 'joint_target' in means:
        return means['joint_target']
    if {'joint_position', 'joint_target_error'} <= set(means):
        return np.asarray(means['joint_position'] + means['joint_target_error'])
    return None
