"""Metric group 4: how the policy's targets differ from the recorded ones, on the same inputs.

On targets and not on raw actions, in rad, and against three simple answers: what the recorded target itself does from
step to step, keeping the last recorded target (persistence), and the mean target of training. A large difference may
be a better answer; a small one may be persistence. So the skill stands beside it, and critical windows apart.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from allegro_ai.bundle import Bundle

from allegro_bench.replay.distribution import inside, train_mean_target
from allegro_bench.replay.inputs import Float, Inputs, Mask
from allegro_bench.replay.moments import events, phases
from allegro_bench.replay.plan import Plan
from allegro_bench.replay.runner import Trace
from allegro_bench.replay.segments import mean, ratio, shown

LAGS = 5
DIFFERS_RAD = 0.01
"""95th percentile of a step's largest difference from which another controller's recording is answered differently."""

PEAK = 0.18
"""Correlation that a shift must reach, and half of that above no shift, to count as found."""

STILL_RAD = 1e-4


def describe(inputs: Inputs, plan: Plan, traces: dict[str, Trace], bundle: Bundle, controller: str, *,
             expert: bool = False) -> dict[str, Any]:
    """The section ``action_difference`` of the document.

    Args:
        inputs: the recording.
        plan: the ticks.
        traces: by way of feeding the past back.
        bundle: the policy under test.
        controller: who computed the recorded targets; '' refuses the section.
        expert: whether that one is to be taken as right.
    """
    if not controller:
        return {'compared': False, 'reason': 'nothing says who computed the recorded commands, so a difference from '
                'them means nothing; name it with --controller'}
    if not any(np.isfinite(plan.answer[t.tick]).all(axis=1).any() for t in traces.values()):
        return {'compared': False, 'reason': 'no commands were recorded while the policy was at work; record '
                'joint_commands'}
    return {'compared': True, 'controller': controller, 'against': 'expert' if expert else 'recorded controller',
            'unit': 'rad, on targets', 'train_mean_known': train_mean_target(bundle) is not None,
            **{name.replace('-', '_'): _mode(plan, trace, bundle) for name, trace in traces.items()}}


def errors(plan: Plan, trace: Trace) -> Float:
    """Mean absolute difference of the joints' targets at each step, rad, (steps,); NaN where nothing was recorded."""
    return np.asarray(np.abs(trace.target - plan.answer[trace.tick]).mean(axis=1))


def _mode(plan: Plan, trace: Trace, bundle: Bundle) -> dict[str, Any]:
    answer, previous = plan.answer[trace.tick], plan.previous[trace.tick]
    each = np.abs(trace.target - answer)
    error, still = each.mean(axis=1), np.abs(previous - answer).mean(axis=1)
    known = np.isfinite(error)
    typical = train_mean_target(bundle)
    simple = np.abs(typical - answer).mean(axis=1) if typical is not None else None
    within = inside(trace, bundle)
    windows = phases(trace)
    return {
        'steps': int(known.sum()),
        'largest_rad': float(np.nanmax(each)) if known.any() else None,
        'p95_of_step_rad': float(np.nanpercentile(each.max(axis=1), 95)) if known.any() else None,
        'in_distribution': _numbers(error, still, simple, each, trace, within),
        'out_of_distribution': _numbers(error, still, simple, each, trace, ~within),
        'critical': _numbers(error, still, simple, each, trace, windows['event']),
        'phases': {name: _numbers(error, still, simple, each, trace, mask) for name, mask in windows.items()},
        'fingers': {f.name: _numbers(each[:, js].mean(axis=1), np.abs(previous - answer)[:, js].mean(axis=1), None,
                                     each[:, js], trace, np.ones(len(trace), dtype=bool))
                    for f in bundle.model.fingers if (js := [bundle.model.joint_index(j) for j in f.joints])},
        'squeeze_agreement': _agreement(plan, trace, bundle),
        'lag': lag(plan, trace, bundle),
    }


def _numbers(error: Float, still: Float, simple: Float | None, each: Float, trace: Trace,
             which: Mask) -> dict[str, Any]:
    """MAE, RMSE and skill over some of the steps; refused where they are too few."""
    run = trace.run[which]
    least = trace.correlation
    mae = mean(error[which], run, least=least)
    square = mean((each[which] ** 2).mean(axis=1), run, least=least)
    result: dict[str, Any] = {'steps': int(np.isfinite(error[which]).sum()), 'mae_rad': shown(mae)}
    result['rmse_rad'] = None if square.value is None else float(np.sqrt(square.value))
    for name, baseline in (('persistence', still), ('train_mean', simple)):
        if baseline is None:
            result[f'over_{name}'] = result[f'skill_{name}'] = None
            continue
        over = ratio(error[which], baseline[which], run, least=least)
        result[f'over_{name}'] = shown(over)
        result[f'skill_{name}'] = None if over.value is None else 1.0 - over.value
    return result


def _agreement(plan: Plan, trace: Trace, bundle: Bundle) -> dict[str, Any]:
    """Around events: how often policy and recording both squeeze more, or both less."""
    flexion = bundle.model.flexion
    previous = plan.previous[trace.tick]
    own = (trace.target - previous)[:, flexion].mean(axis=1)
    recorded = (plan.answer[trace.tick] - previous)[:, flexion].mean(axis=1)
    which = phases(trace)['event'] & np.isfinite(recorded) & (np.abs(recorded) > STILL_RAD)
    agree = np.sign(own) == np.sign(recorded)
    return {'steps': int(which.sum()), 'events': int(events(trace).sum()),
            'share': shown(mean(agree[which].astype(np.float64), trace.run[which], least=trace.correlation))}


def lag(plan: Plan, trace: Trace, bundle: Bundle) -> dict[str, Any]:
    """Shift of the recorded targets at which their changes go with the changes that the policy wants.

    By cross-correlation of changes, before the rate limit: a wrong posture of reference shifts targets but not their
    changes, and a rate limit makes every target look like the one before. A peak elsewhere than at 0 exposes a skew.
    """
    action = bundle.contract['action']
    wanted = np.clip(trace.action, -1.0, 1.0) * np.array(action['scale_rad'])
    change = wanted[1:] if action['semantics'] == 'position_delta' else np.diff(wanted, axis=0)
    answer = np.diff(plan.answer[trace.tick], axis=0)
    run, number = trace.run[1:], trace.number[1:]
    known = np.isfinite(answer).all(axis=1) & (np.diff(trace.run) == 0) & (np.diff(trace.number) == 1)
    found: dict[int, float] = {}
    for shift in range(-LAGS, LAGS + 1):
        a, b = (slice(None, -shift or None), slice(shift, None)) if shift >= 0 else (
            slice(-shift, None), slice(None, shift))
        both = known[a] & known[b] & (run[a] == run[b]) & (number[b] - number[a] == shift)
        x, y = change[a][both].ravel(), answer[b][both].ravel()
        size = float(np.sqrt((x @ x) * (y @ y)))
        if both.sum() >= 4 * LAGS and size > 0:
            found[shift] = float(x @ y) / size
    if 0 not in found:
        return {'best_steps': None, 'correlation': {}, 'found': False}
    best = max(found, key=lambda k: (found[k], -abs(k)))
    far = max((v for k, v in found.items() if abs(k - best) > 1), default=0.0)
    clear = found[best] > PEAK and found[best] > found[0] + PEAK / 2 and found[best] > 1.5 * far
    return {'best_steps': best, 'correlation': {str(k): v for k, v in found.items()},
            'found': bool(best != 0 and clear)}
