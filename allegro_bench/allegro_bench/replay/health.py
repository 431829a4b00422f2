"""Metric group 1, the inputs as they came: rates, gaps, ages, doubles; messages that are missing, old or repeated."""

from __future__ import annotations

from typing import Any

import numpy as np

from allegro_bench.replay.findings import Finding
from allegro_bench.replay.inputs import Inputs, Stream
from allegro_bench.replay.plan import Plan

MS = 1e-6
GAP_PERIODS = 3.0
"""A pause of so many periods between two messages is a gap."""

LOSS = 0.05
"""Share of messages missing in gaps from which it is a finding."""

STALE_S = 0.05
"""Joint angles that repeat for so long while targets move are stale: a sample takes 2 to 10 ms."""

MANY_LATE = 20
"""So many joint states that arrive too old are a fault and no hiccup of the recorder."""

OLD_MS = 60.0
"""Older joint states are refused by the node (``safety.stale_ms`` of the bundle where there is one)."""

MOVED_RAD = 0.03
"""Motion of a target that an unmoved joint cannot follow without its angle changing (20 encoder steps of a V5)."""


def describe(inputs: Inputs, plan: Plan) -> dict[str, Any]:
    """The section ``input_health`` of the document."""
    streams = [s for s in (inputs.joints, inputs.touch, inputs.raw, inputs.commands, inputs.states) if s is not None]
    joint_age = (plan.now_ns - inputs.joints.stamp_ns[plan.joint]) * MS
    ages = {'joint_states_ms': _spread(joint_age), 'touch_ms': None}
    if inputs.touch is not None and (plan.touch >= 0).any():
        used = plan.touch >= 0
        ages['touch_ms'] = _spread((plan.now_ns[used] - inputs.touch.stamp_ns[plan.touch[used]]) * MS)
    return {
        'streams': [_stream(inputs, s) for s in streams],
        'age_at_use': ages,
        'clock': 'ages and gaps by the stamps in the headers; arrival is the recorder\'s clock',
        'touch': _touch(inputs),
        'joints_matched_by': 'name',
    }


def _spread(values: Any) -> dict[str, float] | None:
    return None if not len(values) else {'median': float(np.median(values)), 'greatest': float(np.max(values)),
                                         'n': len(values)}


def _stream(inputs: Inputs, stream: Stream) -> dict[str, Any]:
    steps = np.diff(stream.stamp_ns)
    period = float(np.median(steps[steps > 0])) if (steps > 0).any() else 0.0
    gaps = steps > GAP_PERIODS * period
    worst = int(np.argmax(steps)) if len(steps) else 0
    arrival = np.diff(stream.received_ns)
    span = float(stream.received_ns[-1] - stream.received_ns[0]) * 1e-9
    return {
        'topic': stream.topic, 'messages': len(stream),
        'rate_hz': (len(stream) - 1) / span if span > 0 else None,
        'period_ms': period * MS, 'jitter_ms': float(np.percentile(np.abs(arrival - period), 99)) * MS if len(
            arrival) and period else None,
        'longest_gap_ms': float(steps.max()) * MS if len(steps) else None,
        'longest_gap_at_s': float(inputs.seconds(stream.received_ns[worst])) if len(steps) else None,
        'gaps': int(gaps.sum()), 'repeated': int((steps == 0).sum()), 'out_of_order': int((steps < 0).sum()),
        'age_on_arrival_ms': _spread((stream.received_ns - stream.stamp_ns) * MS),
        'invalid_values': float((~stream.valid).mean()) if stream.valid.size else 0.0,
    }


def _touch(inputs: Inputs) -> list[dict[str, Any]]:
    if inputs.touch is None:
        return []
    pressure = np.where(inputs.touch.valid, inputs.touch.values, np.nan)
    rows = []
    for i, taxel in enumerate(inputs.model.taxels[:pressure.shape[1]]):
        column = pressure[:, i]
        known = column[np.isfinite(column)]
        rows.append({'taxel': taxel.name, 'finger': taxel.finger, 'tip': bool(taxel.tip),
                     'valid': len(known) / max(1, len(column)),
                     'greatest_kpa': float(known.max()) * 1e-3 if len(known) else None,
                     'pressed': float((known > 1500.0).mean()) if len(known) else None})
    return rows


def stream_findings(inputs: Inputs, plan: Plan, *, stale_ms: float = OLD_MS) -> list[Finding]:
    """Missing topics, lost messages, old and repeated joint states."""
    found = [Finding('damage', 'warning', '', None, None, sentence, 'What could be read is evaluated; record again if '
                     'that is too little') for sentence in inputs.damage]
    found += [Finding('fault_reported', 'warning', '/diagnostics', when, None, text, 'What follows is not an ordinary '
                      'grasp; see the log of that node') for when, text in inputs.faults]
    for stream, topic, level, consequence in (
        (inputs.touch, 'tactile/points', 'warning', 'the policy is replayed without touch'),
        (inputs.commands, 'joint_commands', 'warning', 'nothing can be compared with what was commanded, and the '
         'target error that the policy saw is unknown'),
        (inputs.states, 'grasp_policy/policy_state', 'note', 'it cannot be shown that the node saw what the '
         'topics say'),
    ):
        if stream is None and (topic != 'tactile/points' or inputs.model.taxels):
            found.append(Finding('missing_topic', level, topic, None, None, f'{topic} was not recorded, so '
                                 f'{consequence}', f'Record {topic} too'))
    for stream in (inputs.joints, inputs.touch):
        if stream is not None:
            found += _losses(inputs, stream)
    return [*found, *_old(inputs, plan, stale_ms), *_repeating(inputs)]


def _losses(inputs: Inputs, stream: Stream) -> list[Finding]:
    steps = np.diff(stream.stamp_ns)
    if not (steps > 0).any():
        return []
    period = float(np.median(steps[steps > 0]))
    missing = np.maximum(np.round(steps / period) - 1, 0)
    missing[steps <= GAP_PERIODS * period] = 0
    share = float(missing.sum() / (missing.sum() + len(stream)))
    if share < LOSS:
        return []
    worst = int(np.argmax(steps))
    return [Finding('lost_messages', 'warning', stream.topic, float(inputs.seconds(stream.received_ns[worst])),
                    float(inputs.seconds(stream.received_ns[worst + 1])),
                    f'{share:.0%} of the messages of {stream.topic} are missing in gaps, the longest of '
                    f'{steps[worst] * MS:.0f} ms', 'Record on another disk or with fewer topics, and see the '
                    'recorder\'s count of losses')]


def _old(inputs: Inputs, plan: Plan, stale_ms: float) -> list[Finding]:
    """Ticks at work at which the newest joint state was older than the node allows."""
    working = np.zeros(len(plan), dtype=bool)
    for first, _, end, _ in plan.runs:
        working[first:end] = True
    stream, found = inputs.joints, []
    age = (stream.received_ns - stream.stamp_ns) * MS
    late = (np.abs(age) > stale_ms) & _during(plan, stream.received_ns)
    if late.any():
        span = np.flatnonzero(late)
        # A recorder that was preempted once heard a few late; that says nothing of the node.
        level = 'fault' if len(span) >= MANY_LATE else 'warning'
        found.append(Finding(
            'stale_joint_states', level, stream.topic, float(inputs.seconds(stream.received_ns[span[0]])),
            float(inputs.seconds(stream.received_ns[span[-1]])),
            f'{len(span)} joint states are {np.median(age[span]):.0f} ms old when they arrive, allowed are '
            f'{stale_ms:g} ms', 'Look for a node that delays or repeats messages, and for clocks that differ'))
    at_use = (plan.now_ns - stream.stamp_ns[plan.joint]) * MS
    gaps = np.flatnonzero(np.diff(stream.stamp_ns) * MS > stale_ms)
    inside = [g for g in gaps if _busy(plan, working, stream.received_ns[g], stream.received_ns[g + 1])]
    for gap in inside[:5]:
        begin, end = inputs.seconds(stream.received_ns[[gap, gap + 1]]).tolist()
        lasted = (stream.stamp_ns[gap + 1] - stream.stamp_ns[gap]) * MS
        if _answered(inputs, int(stream.stamp_ns[gap]), int(stream.stamp_ns[gap + 1])):
            found.append(Finding(
                'lost_messages', 'warning', stream.topic, begin, end, f'no joint state was recorded for {lasted:.0f} '
                'ms, though commands answer some of that time: the recorder missed them', 'Record on another disk, or '
                'fewer topics'))
            continue
        found.append(Finding(
            'stale_joint_states', 'fault', stream.topic, begin, end, f'no joint state arrives for {lasted:.0f} '
            f'ms while a policy is at work, allowed are {stale_ms:g} ms', 'Look at the hand\'s link and at the load of '
            'the machine; the node holds the hand in such a gap'))
    if not inside and (at_use[working] > stale_ms).any() and not late.any():
        worst = int(np.argmax(np.where(working, at_use, 0)))
        found.append(Finding(
            'stale_joint_states', 'fault', stream.topic, float(inputs.seconds(plan.now_ns[worst])), None,
            f'the policy used a joint state that was {at_use[worst]:.0f} ms old, allowed are {stale_ms:g} ms',
            'Look at the load of the machine that ran the policy'))
    return found


def _during(plan: Plan, when_ns: Any) -> Any:
    """Which times lie between the ticks of a stretch at work: what arrives before it is a recorder waking up."""
    result = np.zeros(len(when_ns), dtype=bool)
    for first, _, end, _ in plan.runs:
        result |= (when_ns >= plan.now_ns[first]) & (when_ns <= plan.now_ns[end - 1])
    return result


def _answered(inputs: Inputs, begin_ns: int, end_ns: int) -> bool:
    """Whether a command carries the stamp of a joint state between two recorded ones."""
    stamps = inputs.commands.stamp_ns if inputs.commands is not None else np.zeros(0, dtype=np.int64)
    return bool(((stamps > begin_ns) & (stamps < end_ns)).any())


def _busy(plan: Plan, working: Any, begin: int, end: int) -> bool:
    """Whether the gap touches a stretch at work: ticks on both sides of it."""
    near = 200_000_000
    inside = working & (plan.now_ns > begin - near) & (plan.now_ns < end + near)
    before, after = inside & (plan.now_ns <= begin), inside & (plan.now_ns >= end)
    return bool(inside.any() and (before.any() or (plan.now_ns[inside] > begin).any()) and (
        before.any() and (after.any() or inside.sum() > 1)))


def repeats(stream: Stream) -> list[tuple[int, int]]:
    """First and last row of each stretch of :data:`STALE_S` or more in which no value changes at all."""
    same = np.concatenate([[False], (np.diff(stream.values, axis=0) == 0).all(axis=1)])
    edges = np.diff(np.concatenate([[0], same.astype(np.int8), [0]]))
    pairs = zip((np.flatnonzero(edges == 1) - 1).tolist(), (np.flatnonzero(edges == -1) - 1).tolist(), strict=True)
    return [(a, b) for a, b in pairs if (stream.received_ns[b] - stream.received_ns[a]) * 1e-9 >= STALE_S]


def _repeating(inputs: Inputs) -> list[Finding]:
    """All joint angles bit-equal for long, with new stamps, while targets move: nobody measured."""
    stream, commands = inputs.joints, inputs.commands
    found = []
    for begin, end in repeats(stream) if commands is not None else []:
        assert commands is not None
        lasted = (stream.received_ns[end] - stream.received_ns[begin]) * 1e-9
        inside = (commands.received_ns >= stream.received_ns[begin]) & (commands.received_ns <= stream.received_ns[end])
        targets = commands.values[inside]
        # The joint may stand at its target or be blocked; then the target would not move away from it.
        moved = float(np.ptp(targets, axis=0).max()) if len(targets) > 1 else 0.0
        resumed = float(np.abs(stream.values[min(end + 1, len(stream) - 1)] - stream.values[end]).max())
        if moved > MOVED_RAD and resumed > MOVED_RAD:
            found.append(Finding(
                'stale_joint_states', 'fault', stream.topic, float(inputs.seconds(stream.received_ns[begin])),
                float(inputs.seconds(stream.received_ns[end])),
                f'all {stream.values.shape[1]} joint angles repeat bit by bit for {lasted * 1e3:.0f} ms with new '
                f'stamps, while targets move by {moved:.2f} rad; then they jump by {resumed:.2f} rad',
                'The driver republished an old sample: look for one that does not check the age of what it reads'))
    return found[:10]
