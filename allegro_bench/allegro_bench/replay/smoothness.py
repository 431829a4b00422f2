"""Metric group 5: are the commands ones that a hand should follow? On the policy's own chain of targets (self-fed)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from allegro_ai.bundle import Bundle
from allegro_ai.policy import Policy
from numpy.typing import NDArray

from allegro_bench.replay.inputs import Float
from allegro_bench.replay.runner import Trace
from allegro_bench.replay.segments import mean, shown

FAST_HZ = 5.0
LEAST_S = 0.5
"""Shorter runs have no spectrum."""

HELD_STEPS, SETTLE = 40, 20
MOST_STEPS = 400
"""The response to small changes is measured on at most so many steps, evenly from all runs."""

KPA, RAD = 1.0, 0.01


def describe(trace: Trace, bundle: Bundle, policy: Policy) -> dict[str, Any]:
    """The section ``command_quality`` of the document."""
    model, period = bundle.model, bundle.period_s
    limit = float(bundle.contract['action']['rate_limit_rad_s']) * period
    at_limit = (trace.target <= model.lower + 1e-9) | (trace.target >= model.upper - 1e-9)
    at_rate = np.abs(trace.target - trace.previous) >= limit - 1e-9
    saturated = np.abs(trace.action) >= 0.999
    jerk, fast = _jerk(trace, period), _fast(trace, period)
    return {
        'feed': 'self-fed', 'finite': bool(np.isfinite(trace.action).all()), 'steps': len(trace),
        'at_joint_limit': _hits(at_limit, model.joint_names), 'at_rate_limit': _hits(at_rate, model.joint_names),
        'action_saturated': _hits(saturated, model.joint_names),
        'jerk_rms_rad_s3': shown(mean(jerk, trace.run, least=trace.correlation)),
        'jerk_greatest_rad_s3': _greatest(jerk),
        'energy_above_5_hz': fast,
        **_response(trace, bundle, policy),
    }


def _hits(mask: NDArray[np.bool_], names: tuple[str, ...]) -> dict[str, Any]:
    """Share of steps at which any joint is at a bound, and the joint that is there most often."""
    if not len(mask):
        return {'steps': 0, 'share': None, 'worst_joint': None, 'worst_share': None}
    worst = int(np.argmax(mask.mean(axis=0)))
    share = float(mask[:, worst].mean())
    return {'steps': int(mask.any(axis=1).sum()), 'share': float(mask.any(axis=1).mean()),
            'worst_joint': names[worst] if share else None, 'worst_share': share}


def _greatest(values: Float) -> float | None:
    return float(np.nanmax(values)) if np.isfinite(values).any() else None


def _jerk(trace: Trace, period: float) -> Float:
    """Root mean square over the joints of the third difference of the targets, rad/s³; NaN at the start of runs."""
    result = np.full(len(trace), np.nan)
    if len(trace) > 3:
        third = np.diff(trace.target, 3, axis=0) / period ** 3
        same = trace.run[3:] == trace.run[:-3]
        result[3:][same] = np.sqrt((third ** 2).mean(axis=1))[same]
    return result


def _fast(trace: Trace, period: float) -> float | None:
    """Share of the energy of the targets' motion above :data:`FAST_HZ`; None where no run is long enough."""
    fast = total = 0.0
    for run in np.unique(trace.run):
        values = trace.target[trace.run == run]
        if len(values) * period < LEAST_S:
            continue
        # Line through both ends taken out, so that a slow move is not a jump of the periodic continuation.
        ramp = np.linspace(0, 1, len(values))[:, None]
        power = np.abs(np.fft.rfft(values - values[0] - ramp * (values[-1] - values[0]), axis=0)) ** 2
        frequency = np.fft.rfftfreq(len(values), period)
        fast += float(power[frequency > FAST_HZ].sum())
        total += float(power[1:].sum())
    return fast / total if total > 1e-12 else None


def _response(trace: Trace, bundle: Bundle, policy: Policy) -> dict[str, Any]:
    """Chatter on constant inputs, and the answer to small steady changes of one input."""
    if not len(trace):
        return {'chatter': None, 'per_kpa': None, 'per_0_01_rad': None}
    chosen = np.unique(np.linspace(0, len(trace) - 1, min(len(trace), MOST_STEPS)).astype(int))
    base = _answers(policy, trace, chosen, bundle.inputs, {})
    return {
        'chatter': _chatter(policy, trace, chosen, bundle.inputs),
        'per_kpa': _slope(policy, trace, chosen, bundle, base, ('tactile_tip_pressure',), KPA),
        'per_0_01_rad': _slope(policy, trace, chosen, bundle, base, ('joint_target_error', 'joint_position'), RAD),
    }


def _answers(policy: Policy, trace: Trace, chosen: NDArray[np.intp], inputs: tuple[str, ...],
             change: Mapping[tuple[str, int], float]) -> Float:
    """Answers to the chosen observations in order, with a steady change of some elements; history as it then comes."""
    policy.reset()
    rows, run = [], -1
    for step in chosen:
        if trace.run[step] != run:
            policy.reset()
            run = int(trace.run[step])
        observation = {name: trace.observation[name][step:step + 1] for name in inputs}
        for (name, element), amount in change.items():
            observation[name] = observation[name].copy()
            observation[name][0, element] += amount
        rows.append(np.array(policy.act(observation)[0], dtype=np.float64))
    policy.reset()
    return np.array(rows)


def _chatter(policy: Policy, trace: Trace, chosen: NDArray[np.intp], inputs: tuple[str, ...]) -> dict[str, Any]:
    """Largest peak-to-peak of the answers while one observation is held, after it has settled."""
    worst, at = 0.0, 0
    for step in chosen[:: max(1, len(chosen) // 10)]:
        observation = {name: trace.observation[name][step:step + 1] for name in inputs}
        policy.reset()
        answers = np.array([policy.act(observation)[0] for _ in range(HELD_STEPS)])[SETTLE:]
        moved = float(np.ptp(answers, axis=0).max())
        if moved > worst:
            worst, at = moved, int(step)
    policy.reset()
    return {'greatest_action': worst, 'at_s': float(trace.time_s[at]), 'held_steps': HELD_STEPS, 'settle_steps': SETTLE}


def _slope(policy: Policy, trace: Trace, chosen: NDArray[np.intp], bundle: Bundle, base: Float,
           names: tuple[str, ...], amount: float) -> dict[str, Any] | None:
    """Largest change of an action per change of one element, both signs; None where the policy takes no such input."""
    seen = [name for name in names if name in bundle.inputs]
    if not seen:
        return None
    greatest, typical, where = 0.0, [], ''
    for name in seen:
        for element in range(trace.observation[name].shape[1]):
            answers = _answers(policy, trace, chosen, bundle.inputs, {(name, element): amount})
            changed = np.abs(answers - base).max(axis=1)
            typical.append(float(np.median(changed)))
            if changed.max() > greatest:
                greatest, where = float(changed.max()), f'{name}[{element}]'
    return {'greatest_action': greatest, 'median_action': float(np.max(typical)), 'element': where, 'steps': len(base)}
