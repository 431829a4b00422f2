"""Metric group 7: would it have met its deadlines? The steps are computed here, at the times at which inputs came.

Not as fast as it goes: between two ticks caches cool down and the processor may sleep, as on the hand. What is measured
is this machine; what was recorded of the node's own times stands beside it.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from allegro_ai.bundle import Bundle
from allegro_ai.fused_step import fuse
from allegro_ai.policy import Policy

from allegro_bench import latency
from allegro_bench.load import MonotonicClock
from allegro_bench.replay.inputs import Inputs
from allegro_bench.replay.plan import Plan
from allegro_bench.replay.runner import OWN, run

MISSED = 0.01
"""Share of steps later than their deadline from which timing is not met."""

LONGEST_PAUSE_NS = 100_000_000
"""Pauses between runs are not waited for."""


def describe(inputs: Inputs, plan: Plan, bundle: Bundle, policy: Policy, seconds: float) -> dict[str, Any]:
    """The section ``latency`` of the document.

    Args:
        inputs: the recording.
        plan: the ticks.
        bundle: the policy's bundle.
        policy: its policy in an engine.
        seconds: how much of the recording is replayed at its own pace; 0: none, and the section says so.
    """
    period_ns = round(bundle.period_s * 1e9)
    recorded = _recorded(inputs, period_ns)
    short = shortened(plan, round(seconds * 1e9))
    if not short.runs:
        return {'measured': False, 'reason': 'pacing was switched off' if seconds <= 0 else 'nothing to replay',
                'recorded': recorded}
    clock = MonotonicClock()
    release: list[int] = []
    offset = [0]

    def wait(arrival_ns: int) -> None:
        due = arrival_ns + offset[0]
        now = clock.now_ns()
        if not release or due - release[-1] > LONGEST_PAUSE_NS or due < release[-1]:
            due = now + period_ns
            offset[0] = due - arrival_ns
        clock.sleep_until(due)
        release.append(due)

    fused, why_not = fuse(bundle, policy)
    trace = run(inputs, short, bundle, policy, feed=OWN, wait=wait, fused=fused)
    if not len(trace):
        return {'measured': False, 'reason': 'no step was answered', 'recorded': recorded}
    ticks_replayed = np.concatenate([np.arange(begin, end) for _, begin, end, _ in short.runs])[:len(release)]
    due_of = dict(zip(ticks_replayed.tolist(), release, strict=True))
    due = np.array([due_of[int(t)] for t in trace.tick], dtype=np.int64)
    measured = latency.ticks(np.arange(len(trace)), due, trace.start_ns, trace.start_ns + trace.service_ns)
    numbers = latency.summarise(measured, period_ns, period_ns)
    budget_ms = float(bundle.contract['runtime']['latency_budget_ms'])
    over = float((trace.service_ns * 1e-6 > budget_ms).mean())
    return {
        'measured': True, 'pacing': 'as recorded',
        'path': 'whole step in one call of the engine' if fused is not None else f'step by step: {why_not}',
        'deadline_ms': period_ns * 1e-6, 'budget_ms': budget_ms,
        'over_budget': over, 'seconds': float(np.ptp(plan.now_ns[trace.tick])) * 1e-9, 'recorded': recorded,
        'service_ms': numbers['service_ms'], 'response_ms': numbers['response_ms'], 'miss': numbers['miss'],
        'met': bool(numbers['miss']['missed'] <= MISSED * len(trace) and over <= MISSED),
    }


def shortened(plan: Plan, longest_ns: int) -> Plan:
    """The first runs of a plan, up to so much time at work in all."""
    kept, left = [], longest_ns
    for first, begin, end, inside in plan.runs if longest_ns > 0 else ():
        until = end
        while until > begin and plan.now_ns[until - 1] - plan.now_ns[begin] > left:
            until -= 1
        if until - begin < 1:
            break
        kept.append((first, begin, until, inside))
        left -= int(plan.now_ns[until - 1] - plan.now_ns[begin])
    return replace(plan, runs=tuple(kept))


def _recorded(inputs: Inputs, period_ns: int) -> dict[str, Any] | None:
    """What the node itself measured when it was recorded; None where it was not recorded."""
    times = inputs.inferences
    if not len(times):
        return None
    known = times.release_ns >= 0
    service = latency.distribution((times.finish_ns - times.start_ns) * 1e-6, 50)
    late = int((times.finish_ns[known] > times.release_ns[known] + period_ns).sum())
    return {'steps': len(times), 'inference_ms': service, 'late': late, 'with_schedule': int(known.sum())}
