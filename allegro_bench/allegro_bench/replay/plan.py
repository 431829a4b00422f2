"""Which control ticks are replayed, and what the node had heard at each of them.

The recorded commands say when the node ticked: each carries the stamp of the joint state that caused it. Where they
do not (another controller, no policy, another rate) the ticks lie on a grid of the bundle's own period.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from allegro_bench.replay.inputs import Float, Inputs, Mask, Stamps, Stream

Index = NDArray[np.intp]

GAP_PERIODS = 5.0
"""A pause of so many periods between two ticks begins a new stretch."""

LEAST_STEPS = 5
"""Shorter stretches are left out."""

CONTACT_PA = 1500.0
CONTACT_S = 0.1
"""Without ``policy_state``, the policy is taken to act while two cells are pressed, for at least this long."""

QUIET_TICKS = 10
"""So many ticks without an inference end a run, in recordings that do not count their steps."""

LATE_INFERENCES = 16
"""So many of them are looked through for the one of a ``policy_state``, as a busy recorder hears topics late."""

NEAR_SAMPLES = 8
"""How far from the newest touch sample the one that the node used is looked for: threads and clocks differ a little."""


@dataclass(frozen=True, eq=False)
class Plan:
    """Ticks in order; all arrays (n,) or (n, n_joints).

    Attributes:
        source: how the ticks were found, a sentence.
        recorded_ticks: whether they are those of the recorded controller.
        now_ns: the loop's clock at each tick.
        joint: row of ``inputs.joints``.
        touch: row of ``inputs.touch``, -1: none.
        previous: target in force before the tick, rad; NaN where none is known.
        answer: target that was recorded in answer to it, rad; NaN where none is known.
        state: row of ``inputs.states``, -1: the recorded policy made no inference at this tick.
        lost: whether the joint state of the tick before it is not in the recording, so that its memory is unknown.
        runs: (first tick, first tick of RUN, end, begun inside) of each stretch of a policy at work.
    """

    source: str
    recorded_ticks: bool
    now_ns: Stamps
    joint: Index
    touch: Index
    previous: Float
    answer: Float
    state: Index
    lost: Mask
    runs: tuple[tuple[int, int, int, bool], ...]

    def __len__(self) -> int:
        return int(self.now_ns.size)


def make_plan(inputs: Inputs, period_s: float, rate_tolerance: float) -> Plan:
    """Find the ticks for a policy of this period.

    Args:
        inputs: the recording.
        period_s: control period of the bundle, s.
        rate_tolerance: relative difference up to which the recorded ticks are taken as they are.
    """
    period_ns = round(period_s * 1e9)
    stamps, received, answers = _recorded(inputs)
    tick_ns = float(np.median(np.diff(stamps))) if len(stamps) > LEAST_STEPS else 0.0
    fits = tick_ns > 0 and abs(tick_ns - period_ns) <= rate_tolerance * period_ns
    # Recorders hear of the topics one after the other, so commands may begin before the joint states do.
    both = (stamps >= inputs.joints.stamp_ns.min()) & (stamps <= inputs.joints.stamp_ns.max())
    if fits and both.any() and (inputs.joints.row_of(stamps[both]) >= 0).mean() > 0.9:
        return _from_ticks(inputs, period_ns, stamps, received, answers)
    why = 'nothing in the recording says when a policy ticked' if not tick_ns else \
        f'the recorded ticks come every {tick_ns * 1e-6:.1f} ms, the policy was made for {period_ns * 1e-6:.1f} ms'\
        if not fits else 'the recorded commands carry no stamps of joint states'
    return _from_grid(inputs, period_ns, why)


def _recorded(inputs: Inputs) -> tuple[Stamps, Stamps, Float]:
    """Stamp, arrival and target of each recorded tick, by its command or its ``policy_state``; a repeated one once."""
    found = [(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros((0, len(inputs.model.joints))))]
    if inputs.commands is not None:
        found.append((inputs.commands.stamp_ns, inputs.commands.received_ns, inputs.commands.values))
    targets = inputs.columns('target')
    if inputs.states is not None and targets is not None:
        found.append((inputs.states.stamp_ns, inputs.states.received_ns, targets))
    stamps, received, values = (np.concatenate(columns) for columns in zip(*found, strict=True))
    unique, first = np.unique(stamps, return_index=True)
    return unique, received[first], values[first]


def _from_ticks(inputs: Inputs, period_ns: int, stamps: Stamps, received: Stamps, answers: Float) -> Plan:
    known = inputs.joints.row_of(stamps) >= 0
    lost = np.concatenate([[False], ~known[:-1]])[known]
    stamps, received, answers = stamps[known], received[known], answers[known]
    state = _rows(inputs.states, stamps)
    repeated = _repeated(inputs, period_ns, stamps, received, answers, state)
    for tick in np.flatnonzero(repeated[:-1] & lost[:-1]):
        lost[tick + 1] = True
    keep = ~repeated
    stamps, received, answers, state, lost = stamps[keep], received[keep], answers[keep], state[keep], lost[keep]
    now = received.copy()
    has = state >= 0
    if inputs.states is not None and has.any():
        started = np.full(len(stamps), -1, dtype=np.int64)
        started[has] = _started(inputs)[state[has]]
        timed = started > 0
        if timed.any():
            # Other ticks are known by their command, which arrives as much later; where the recorder was late, the
            # node still had a measurement that was no older than in the others.
            late = round(float(np.median((received - started)[timed])))
            now = np.minimum(now - late, stamps + int((started - stamps)[timed].max()))
        now[timed] = started[timed]
    now = np.maximum(now, stamps)
    number = _numbers(inputs, state)
    near = np.concatenate([[False], np.diff(stamps) < GAP_PERIODS * period_ns]) | _continuing(number)
    lost = np.asarray(lost | np.concatenate([[False], (number[1:] > 0) & (number[1:] != number[:-1] + 1)]))
    previous = np.full_like(answers, np.nan)
    previous[1:][near[1:]] = answers[:-1][near[1:]]
    touch = _heard(inputs.touch, now) if inputs.touch is not None else np.full(len(stamps), -1, dtype=np.intp)
    return Plan('the ticks of the recorded controller, by the stamps of its commands', True, now,
                inputs.joints.row_of(stamps), _used(inputs, touch, state), previous, answers, state, lost,
                _runs(inputs, near, state, now))


def _repeated(
    inputs: Inputs, period_ns: int, stamps: Stamps, received: Stamps, answers: Float, state: Index,
) -> Mask:
    """Commands with which the node only sent its last target again, as no younger joint state had come than that.

    It did not look at the measurement that they are stamped with: nothing that it remembers moved on, and no time of
    the close passed. In RUN the count of inferences shows them, in the close an unchanged target on an old measurement.
    """
    result, idle = np.zeros(len(stamps), dtype=bool), state < 0
    if idle.all():
        return result
    same = (answers[1:] == answers[:-1]).all(axis=1) & (stamps[1:] - received[:-1] < period_ns // 2)
    result[1:] = idle[1:] & same
    counted = inputs.column('run/number')
    if counted is not None:
        for before, after in pairwise(np.flatnonzero(~idle).tolist()):
            result[before + 1:after] |= bool(counted[state[after]] == counted[state[before]] + 1)
    return result


def _rows(stream: Stream | None, stamps: Stamps) -> Index:
    return np.full(len(stamps), -1, dtype=np.intp) if stream is None else stream.row_of(stamps)


def _started(inputs: Inputs) -> Stamps:
    """When each recorded inference began, ns, joined by its duration; -1 where it cannot be told."""
    assert inputs.states is not None
    latency, times = inputs.column('run/latency_ms'), inputs.inferences
    result = np.full(len(inputs.states), -1, dtype=np.int64)
    if latency is None or not len(times):
        return result
    took = (times.finish_ns - times.start_ns) * 1e-6
    place = np.searchsorted(times.finish_ns, inputs.states.received_ns, side='right') - 1
    for back in range(LATE_INFERENCES):
        row = np.clip(place - back, 0, len(times) - 1)
        same = (np.abs(took[row] - latency) < 1e-6) & (result < 0) & (place - back >= 0)
        result[same] = times.start_ns[row][same]
    return result


def _heard(touch: Stream, now: Stamps) -> Index:
    """Newest touch at each time; what the recorder heard a sample later than usual, it heard later than the node."""
    usual = float(np.median(touch.received_ns - touch.stamp_ns))
    if len(touch) > 1:
        usual += float(np.median(np.diff(touch.received_ns)))
    heard = np.maximum.accumulate(np.minimum(touch.received_ns, touch.stamp_ns + round(usual)))
    return np.searchsorted(heard, now, side='right') - 1


def _used(inputs: Inputs, touch: Index, state: Index) -> Index:
    """The touch sample that the node really used, where ``policy_state`` shows what it saw of it; -1: too old a one."""
    seen, known = inputs.columns('tactile_tip_pressure'), inputs.columns('tactile_valid')
    if seen is None or inputs.touch is None:
        return touch
    cells = inputs.touch.values[:, inputs.model.tip_taxels] * 1e-3
    valid = inputs.touch.valid[:, inputs.model.tip_taxels]
    tips = np.where(valid, cells, 0.0).astype(np.float32)
    result = touch.copy()
    for tick in np.flatnonzero((state >= 0) & (touch >= 0)):
        wanted = seen[state[tick]].astype(np.float32)
        felt = None if known is None else known[state[tick]] > 0
        for offset in sorted(range(-NEAR_SAMPLES, NEAR_SAMPLES + 1), key=abs):
            row = touch[tick] + offset
            if 0 <= row < len(tips) and np.array_equal(tips[row], wanted) and (
                    felt is None or np.array_equal(valid[row], felt)):
                result[tick] = row
                break
        else:
            if felt is not None and not felt.any():
                result[tick] = -1
    return result


def _numbers(inputs: Inputs, state: Index) -> NDArray[np.float64]:
    """Steps since RUN began at each tick, -1 where there was no inference.

    Recordings that do not count their steps begin a run where an inference follows many ticks without one.
    """
    counted = inputs.column('run/number')
    if counted is not None:
        return np.where(state >= 0, counted[np.maximum(state, 0)], -1.0)
    result, quiet = np.full(len(state), -1.0), QUIET_TICKS
    for tick, row in enumerate(state):
        if row >= 0:
            result[tick] = 0.0 if quiet >= QUIET_TICKS else result[max(tick - 1 - quiet, 0)] + 1
        quiet = 0 if row >= 0 else quiet + 1
    return result


def _continuing(number: NDArray[np.float64]) -> Mask:
    """Ticks that belong to the run of the tick before them, however long the pause between."""
    return np.concatenate([[False], (number[1:] > 0) & (number[1:] == number[:-1] + 1)])


def _runs(inputs: Inputs, near: Mask, state: Index, now: Stamps) -> tuple[tuple[int, int, int, bool], ...]:
    found = []
    if (state >= 0).any():
        number, free = _numbers(inputs, state), 0
        working = np.flatnonzero(state >= 0)
        fresh = np.concatenate([[True], number[working[1:]] <= number[working[:-1]]])
        for start, stop in pairwise([*working[fresh].tolist(), len(state)]):
            pauses = np.flatnonzero(~near[:start + 1])
            first = max(free, int(pauses[-1]) if len(pauses) else 0)
            free = int(working[working < stop].max()) + 1
            found.append((first, start, free, bool(number[start] != 0)))
    else:
        stretches = pairwise([*np.flatnonzero(~near).tolist(), len(near)])
        pressed = _pressed(inputs, now) if inputs.touch is not None else np.ones(len(now), dtype=bool)
        for begin, end in stretches:
            for a, b in _stretches_of(pressed[begin:end]):
                if (now[begin + b - 1] - now[begin + a]) * 1e-9 >= CONTACT_S:
                    found.append((begin, begin + a, begin + b, True))
    return tuple((a, b, c, inside) for a, b, c, inside in found if c - b >= LEAST_STEPS)


def _pressed(inputs: Inputs, now: Stamps) -> Mask:
    """Whether at least two cells (one, on hands with fewer than four) are pressed at each time."""
    touch = inputs.touch
    assert touch is not None
    row = touch.newest(now)
    pressed = ((touch.values > CONTACT_PA) & touch.valid)[np.maximum(row, 0)].sum(axis=1)
    return np.asarray((row >= 0) & (pressed >= min(2, max(1, touch.values.shape[1] // 2))))


def _stretches_of(mask: Mask) -> list[tuple[int, int]]:
    edges = np.diff(np.concatenate([[0], mask.astype(np.int8), [0]]))
    return list(zip(np.flatnonzero(edges == 1).tolist(), np.flatnonzero(edges == -1).tolist(), strict=True))


def _from_grid(inputs: Inputs, period_ns: int, why: str) -> Plan:
    first, last = int(inputs.joints.received_ns[0]), int(inputs.joints.received_ns[-1])
    now = np.arange(first, last + 1, period_ns, dtype=np.int64)
    joint = inputs.joints.newest(now)
    fresh = np.concatenate([[True], joint[1:] != joint[:-1]])
    now, joint = now[fresh], joint[fresh]
    touch = inputs.touch.newest(now) if inputs.touch is not None else np.full(len(now), -1, dtype=np.intp)
    near = np.concatenate([[False], np.diff(now) < GAP_PERIODS * period_ns])
    previous = np.full((len(now), len(inputs.model.joints)), np.nan)
    if inputs.commands is not None and len(inputs.commands):
        row = inputs.commands.newest(now)
        recent = (row >= 0) & (now - inputs.commands.received_ns[np.maximum(row, 0)] < GAP_PERIODS * period_ns)
        previous[recent] = inputs.commands.values[row[recent]]
    answer = np.full_like(previous, np.nan)
    answer[:-1][near[1:]] = previous[1:][near[1:]]
    state = np.full(len(now), -1, dtype=np.intp)
    return Plan(f'a grid of the bundle\'s own period, because {why}', False, now, joint, touch, previous, answer, state,
                np.zeros(len(now), dtype=bool), _runs(inputs, near, state, now))
