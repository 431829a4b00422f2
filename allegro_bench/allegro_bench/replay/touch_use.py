"""Metric group 6: does the policy use touch? The same recording with touch masked, shuffled in time, and late."""

from __future__ import annotations

from typing import Any

import numpy as np
from allegro_ai.bundle import Bundle
from allegro_ai.policy import Policy

from allegro_bench.replay.findings import Finding
from allegro_bench.replay.inputs import Inputs, Stream
from allegro_bench.replay.plan import Plan
from allegro_bench.replay.runner import Trace, contact, run
from allegro_bench.replay.segments import mean, shown

DELAYS_MS = (20, 60, 100)
USES = 0.01
"""A policy whose actions (of -1 … 1) move by less than this in 99 of 100 steps of contact does not use touch."""

LEAST_STEPS = 20


def describe(inputs: Inputs, plan: Plan, trace: Trace, bundle: Bundle, policy: Policy, *,
             grip: str = 'normal') -> dict[str, Any]:
    """The section ``touch_use`` of the document. ``trace`` is the teacher-forced replay."""
    taken = [name for name in bundle.inputs if name.startswith('tactile')]
    claimed = bool(bundle.contract['provenance']['touch_used'])
    touching = contact(trace)
    result: dict[str, Any] = {'called_a_touch_policy': claimed, 'touch_inputs': taken,
                              'contact_steps': int(touching.sum()), 'variants': [], 'uses_touch': None, 'verdict': ''}
    if not taken:
        return result | {'uses_touch': False, 'verdict': 'takes no touch'}
    if inputs.touch is None:
        return result | {'verdict': 'cannot be told: no touch was recorded'}
    if touching.sum() < LEAST_STEPS:
        return result | {'verdict': f'cannot be told: {int(touching.sum())} steps of contact, {LEAST_STEPS} are needed'}
    changes = {}
    for name, touch in variants(inputs, plan):
        other = run(inputs, plan, bundle, policy, grip=grip, touch=touch)
        changes[name], row = _compare(name, trace, other)
        result['variants'].append(row)
    used = max(changes['masked'], changes['shuffled']) >= USES
    words = 'uses touch' if used else 'not using touch'
    return result | {'uses_touch': bool(used), 'verdict': words}


def variants(inputs: Inputs, plan: Plan, seed: int = 0) -> list[tuple[str, Stream]]:
    """Touch at each tick of the plan, altered: (name, one row per tick, stamped as new)."""
    touch = inputs.touch
    assert touch is not None
    masked = Stream(touch.topic, plan.now_ns, plan.now_ns, np.zeros((len(plan), touch.values.shape[1])),
                    np.zeros((len(plan), touch.values.shape[1]), dtype=bool))
    order = np.arange(len(plan))
    generator = np.random.default_rng(seed)
    for first, _, end, _ in plan.runs:
        order[first:end] = generator.permutation(order[first:end])
    found = [('masked', masked), ('shuffled', _at(touch, plan, plan.touch[order]))]
    for delay in DELAYS_MS:
        found.append((f'delayed {delay} ms', _at(touch, plan, touch.newest(plan.now_ns - delay * 1_000_000))))
    return found


def _at(touch: Stream, plan: Plan, rows: np.ndarray) -> Stream:
    """One row per tick, stamped with the tick, so that the node's check of ages does not mask it."""
    known = np.maximum(rows, 0)
    return Stream(touch.topic, plan.now_ns, plan.now_ns, touch.values[known], touch.valid[known] & (rows >= 0)[:, None])


def _compare(name: str, trace: Trace, other: Trace) -> tuple[float, dict[str, Any]]:
    """99th percentile of the change of action in contact, and the row of the document."""
    _, mine, theirs = np.intersect1d(trace.tick, other.tick, return_indices=True)
    chosen = contact(trace)[mine]
    mine, theirs = mine[chosen], theirs[chosen]
    action = np.abs(trace.action[mine] - other.action[theirs]).max(axis=1)
    target = np.abs(trace.target[mine] - other.target[theirs]).max(axis=1)
    high = float(np.percentile(action, 99)) if len(action) else 0.0
    return high, {
        'touch': name, 'steps': len(action), 'action_p99': high,
        'action_median': float(np.median(action)) if len(action) else None,
        'action_mean': shown(mean(action, trace.run[mine], least=trace.correlation)),
        'target_mean_rad': shown(mean(target, trace.run[mine], least=trace.correlation)),
        'target_greatest_rad': float(target.max()) if len(target) else None,
    }


def findings(section: dict[str, Any], name: str, topic: str) -> list[Finding]:
    """The finding about a policy that is called a touch policy and is none."""
    if section['uses_touch'] is not False or not section['called_a_touch_policy']:
        return []
    greatest = max((v['action_p99'] for v in section['variants']), default=0.0)
    return [Finding('not_using_touch', 'fault', topic, None, None,
                    f'{name} is called a touch policy (provenance.touch_used), but with touch masked, shuffled or late '
                    f'its actions in {section["contact_steps"]} steps of contact change by at most {greatest:.2g} of '
                    f'±1 (99th percentile; {USES:g} would count as use)',
                    'Do not claim a gain from touch; train it with touch, or set provenance.touch_used to false', name)]
