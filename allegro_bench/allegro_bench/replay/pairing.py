"""Does what the policy saw follow from the topics? And if not: shifted by a step, another finger's, or another unit?

Every comparison tries a few simple explanations and names the one that makes the difference vanish, so that a report
says "the targets are one step late" and not "error 0.03".
"""

from __future__ import annotations

from itertools import combinations, permutations

import numpy as np
from allegro_description.model import HandModel
from numpy.typing import NDArray

from allegro_bench.replay.findings import Finding
from allegro_bench.replay.health import repeats
from allegro_bench.replay.inputs import Float, Inputs
from allegro_bench.replay.plan import Plan

SHIFTS = (1, -1, 2, -2, 3, -3)
TOLERANCE_RAD, TOLERANCE_KPA = 1e-5, 1e-3
"""policy_state carries what the network saw in single precision."""

MISMATCH = 3
"""So many steps must differ before it is a finding; in a sound recording none does."""

EXPLAINED = 0.9
"""Share of the differing steps that an explanation must make agree."""

OPPOSED = -0.5
"""Correlation below which two fingers are taken for swapped; alike ones have no difference and are not judged."""

DIFFERENT_RAD = 0.03

REMEDY_SKEW = 'Pair observation t+1 with target t: read the joint state after the target was sent, and stamp the ' \
    'command with the joint state that caused it'


def pairing_findings(inputs: Inputs, plan: Plan, period_s: float, tolerance: float) -> list[Finding]:
    """Skews, swaps, other rates and unexplained differences between ``policy_state`` and the topics."""
    return [*_rate(inputs, period_s, tolerance), *_targets(inputs), *_errors(inputs, plan), *_tips(inputs, plan),
            *_tracking(inputs, plan)]


def _rate(inputs: Inputs, period_s: float, tolerance: float) -> list[Finding]:
    source = inputs.states if inputs.states is not None and len(inputs.states) > 10 else inputs.commands
    if source is None or len(source) < 10:
        return []
    steps = np.diff(np.unique(source.stamp_ns)) * 1e-9
    # The times between ticks, pauses left out; the mean of what is left holds for loops that skip beats.
    steady = steps[steps < 4 * np.median(steps)]
    period = float(steady.mean())
    if abs(period - period_s) <= tolerance * period_s:
        return []
    return [Finding('wrong_rate', 'fault', source.topic, None, None,
                    f'control steps come at {1 / period:.1f} Hz, the policy was made for {1 / period_s:.1f} Hz '
                    f'(tolerance {tolerance:.0%})', 'Run it at its own rate: look at the rate of the node, at lost '
                    'messages and at skipped periods')]


def _targets(inputs: Inputs) -> list[Finding]:
    """The commands on the topic against the targets in ``policy_state``."""
    targets = inputs.columns('target')
    if inputs.states is None or inputs.commands is None or targets is None or len(targets) < 10:
        return []
    row = inputs.commands.row_of(inputs.states.stamp_ns)
    here = row >= 0
    differ = ~_close(inputs.commands.values[np.maximum(row, 0)], targets) & here
    if differ.sum() < MISMATCH:
        return []
    span = _span(inputs, inputs.states.received_ns[differ])
    for shift in SHIFTS:
        moved = row + shift
        usable = differ & (moved >= 0) & (moved < len(inputs.commands))
        if usable.sum() > 5 and _close(inputs.commands.values[moved[usable]], targets[usable]).mean() > EXPLAINED:
            return [_skewed(inputs.commands.topic, span, f'joint_commands carries the targets of {_steps(shift)}: with '
                            'stamps of the same joint state, policy_state says other targets')]
    fingers = _finger_permutation(inputs.model, inputs.commands.values[row[differ]], targets[differ])
    if fingers:
        return [_swapped(inputs.commands.topic, span, fingers, 'the targets that policy_state shows')]
    return [Finding('not_the_recorded_policy', 'warning', inputs.commands.topic, *span,
                    f'{differ.sum()} of {here.sum()} commands are not the targets that policy_state shows',
                    'Somebody else commanded too, or targets were altered on the way: look at who publishes')]


def _errors(inputs: Inputs, plan: Plan) -> list[Finding]:
    """The target error that the policy saw against target before minus measured position."""
    rows = np.flatnonzero((plan.state >= 0) & np.isfinite(plan.previous).all(axis=1))
    seen = inputs.columns('joint_target_error')
    plus = True
    if seen is None:
        seen, plus = inputs.columns('joint_target'), False
    own, numbers = inputs.columns('target'), inputs.column('run/number')
    if seen is None or own is None or numbers is None or not plan.recorded_ticks or len(rows) < 10:
        return []
    state = plan.state[rows]
    chained = state > 0
    rows, state = rows[chained], state[chained]
    seen = seen[state]
    # What policy_state itself says was the target before: independent of joint_commands.
    before = own[state - 1]
    follows = numbers[state] == numbers[state - 1] + 1
    rows, state, seen, before = rows[follows], state[follows], seen[follows], before[follows]
    position = inputs.joints.values
    joint = plan.joint[rows]

    shown = seen + position[joint] if plus else seen
    differ = ~_close(shown, before)
    if differ.sum() < MISMATCH:
        return []
    total, worst = len(rows), float(np.abs(shown - before).max())
    rows, state, seen, before, joint = rows[differ], state[differ], seen[differ], before[differ], joint[differ]
    shown = shown[differ]
    span = _span(inputs, plan.now_ns[rows])
    topic = inputs.states.topic if inputs.states is not None else ''
    for shift in SHIFTS:
        late = rows - shift
        usable = (late >= 0) & (late < len(plan))
        if plus and usable.sum() > 5 and _close(seen[usable] + position[plan.joint[late[usable]]],
                                                before[usable]).mean() > EXPLAINED:
            return [_skewed(topic, span, f'each observation pairs the target with the joint state of '
                            f'{_steps(shift)} the one it is stamped with')]
        moved = state - 1 - shift
        usable = (moved >= 0) & (moved < len(own))
        if usable.sum() > 5 and _close(shown[usable], own[moved[usable]]).mean() > EXPLAINED:
            return [_skewed(topic, span, f'each observation shows the target of {_steps(shift)} the last one')]
    if plus:
        fingers = _finger_permutation(inputs.model, position[joint], before - seen)
        if fingers:
            return [_swapped(inputs.joints.topic, span, fingers, 'the positions that the policy saw')]
    stale = np.zeros(len(inputs.joints), dtype=bool)
    for begin, end in repeats(inputs.joints):
        stale[begin:end + 1] = True
    if plus and stale[joint].mean() > EXPLAINED:
        return [Finding('stale_joint_states', 'fault', inputs.joints.topic, *span,
                        f'the recorded joint angles repeat bit by bit, with new stamps, while the policy saw others in '
                        f'{len(rows)} steps (up to {worst:.3f} rad off)', 'The driver republished an old sample: look '
                        'for one that does not check the age of what it reads')]
    return [Finding('not_the_recorded_policy', 'warning', topic, *span,
                    f'in {len(rows)} of {total} steps the target error that the policy saw is not the last target '
                    f'minus the recorded position (up to {worst:.3f} rad off)',
                    'The joint states of this recording are not those that the policy read: look for values altered '
                    'or repeated on the way')]


def _tips(inputs: Inputs, plan: Plan) -> list[Finding]:
    """The tip pressure that the policy saw against the touch sample in use."""
    seen = inputs.columns('tactile_tip_pressure')
    rows = np.flatnonzero((plan.state >= 0) & (plan.touch >= 0))
    if seen is None or inputs.touch is None or len(rows) < 10:
        return []
    touch, tips = inputs.touch, inputs.model.tip_taxels
    felt = np.where(touch.valid, touch.values, 0.0)[plan.touch[rows]][:, tips] * 1e-3
    wanted = seen[plan.state[rows]]
    pressed = wanted.max(axis=1) > TOLERANCE_KPA
    differ = (np.abs(felt - wanted).max(axis=1) > TOLERANCE_KPA) & pressed
    if differ.sum() < MISMATCH:
        return []
    span = _span(inputs, plan.now_ns[rows[differ]])
    fingers = [f.name for f in inputs.model.fingers]
    scale = _scale(felt[differ], wanted[differ])
    if scale is not None:
        return [Finding('wrong_scale', 'fault', touch.topic, *span, f'{touch.topic} is {scale:.3g} times what the '
                        'policy saw', 'Scale the touch in one place: the driver')]
    errors = {p: float(np.abs(felt[differ][:, p] - wanted[differ]).mean()) for p in permutations(range(len(tips)))}
    best = min(errors, key=errors.__getitem__)
    if best != tuple(range(len(tips))) and errors[best] < 0.1 * errors[tuple(range(len(tips)))]:
        moved = [fingers[i] for i, k in enumerate(best) if i != k]
        return [_swapped(touch.topic, span, moved, 'the tip pressures that the policy saw')]
    return [Finding('not_the_recorded_policy', 'warning', touch.topic, *span,
                    f'in {differ.sum()} of {len(rows)} steps no touch sample near the step holds the tip pressures '
                    'that the policy saw', 'Look for touch that was altered on the way, or for another topic')]


def _scale(felt: Float, wanted: Float) -> float | None:
    both = (wanted > 0.5) & (felt > 0)
    if both.sum() < 10:
        return None
    ratio = felt[both] / wanted[both]
    middle = float(np.median(ratio))
    return middle if abs(middle - 1) > 0.05 and np.percentile(np.abs(ratio / middle - 1), 90) < 0.02 else None


def _tracking(inputs: Inputs, plan: Plan) -> list[Finding]:
    """Fingers that follow another finger's targets: where two targets differ, the measured angles differ likewise."""
    rows = np.flatnonzero(np.isfinite(plan.previous).all(axis=1))
    if len(rows) < 20:
        return []
    target, position = plan.previous[rows], inputs.joints.values[plan.joint[rows]]
    groups = _groups(inputs.model)
    found = []
    for (a, ja), (b, jb) in combinations(groups.items(), 2):
        if len(ja) != len(jb):
            continue
        wanted, got = target[:, ja] - target[:, jb], position[:, ja] - position[:, jb]
        size = float(np.sqrt((wanted ** 2).mean())), float(np.sqrt((got ** 2).mean()))
        if min(size) < DIFFERENT_RAD:
            continue
        alike = float((wanted * got).mean() / (size[0] * size[1]))
        if alike < OPPOSED:
            found.append(_swapped(inputs.joints.topic, _span(inputs, plan.now_ns[rows]), [a, b],
                                  f'the targets (where the two differ, the angles differ the other way: correlation '
                                  f'{alike:.2f})'))
    return found


def _groups(model: HandModel) -> dict[str, list[int]]:
    return {f.name: [model.joint_index(j) for j in f.joints] for f in model.fingers}


def _finger_permutation(model: HandModel, values: Float, wanted: Float) -> list[str]:
    """Fingers whose exchange makes ``values`` equal to ``wanted``; none if no exchange of two does."""
    for (a, ja), (b, jb) in combinations(_groups(model).items(), 2):
        if len(ja) == len(jb):
            order = np.arange(values.shape[1])
            order[ja], order[jb] = jb, ja
            if _close(values[:, order], wanted).mean() > EXPLAINED:
                return [a, b]
    return []


def _close(a: Float, b: Float) -> NDArray[np.bool_]:
    """Rows that agree in single precision."""
    return np.asarray((np.abs(a - b) <= TOLERANCE_RAD).all(axis=1))


def _steps(shift: int) -> str:
    return f'{abs(shift)} control {"steps" if abs(shift) > 1 else "step"} {"before" if shift > 0 else "after"}'


def _span(inputs: Inputs, times: NDArray[np.int64]) -> tuple[float, float]:
    return float(inputs.seconds(times.min())), float(inputs.seconds(times.max()))


def _skewed(topic: str, span: tuple[float, float], text: str) -> Finding:
    return Finding('one_step_skew', 'fault', topic, *span, text, REMEDY_SKEW)


def _swapped(topic: str, span: tuple[float, float], fingers: list[str], against: str) -> Finding:
    return Finding('swapped_fingers', 'fault', topic, *span, f'{" and ".join(fingers)} are exchanged against {against}',
                   'Map joints and taxels by name, never by place; compare the order with the hand\'s description')
