"""What the values of touch cells and joints say of themselves: units, scales, cells that repeat or are dead."""

from __future__ import annotations

import numpy as np

from allegro_bench.replay.findings import Finding
from allegro_bench.replay.inputs import Float, Inputs, Stream

CEILING_PA = 102_000.0
"""The most that a V5 Sense cell can say: 255 counts of 400 Pa over CAN; 100 kPa over UDP."""

SCALE_FACTOR = 5.0
"""A cell whose smallest step is so many times that of the other cells reads in another unit."""

LEAST_CHANGES = 12
"""Fewer changes do not show the smallest step of a cell."""

PRESSED_PA = 1500.0
FROZEN_S = 0.4
"""A pressed cell jitters by its quantum every few samples; one that repeats for so long while pressed is frozen."""

FROZEN_TIMES = 4.0
"""It must also repeat so many times longer than any other pressed cell ever does."""

DEAD_S = 1.0
FEWEST_KPA_CELLS = 3


def sensor_findings(inputs: Inputs) -> list[Finding]:
    """Every finding about the values of joints and touch."""
    found = _angles(inputs)
    stream = inputs.raw if inputs.raw is not None else inputs.touch
    if stream is None or not len(stream) or stream.values.shape[1] != len(inputs.model.taxels):
        return found
    return [*found, *_units(inputs, stream), *_scales(inputs, stream), *_frozen(inputs, stream),
            *(_dead(inputs, inputs.raw) if inputs.raw is not None else [])]


def _angles(inputs: Inputs) -> list[Finding]:
    lower, upper, q = inputs.model.lower, inputs.model.upper, inputs.joints.values
    beyond = np.maximum(lower - q, q - upper)
    rows = np.flatnonzero((beyond > 1.0).any(axis=1))
    if not len(rows):
        return []
    joint = inputs.model.joint_names[int(np.argmax(beyond[rows].max(axis=0)))]
    return [Finding('wrong_unit', 'fault', inputs.joints.topic, float(inputs.seconds(inputs.joints.received_ns[rows[0]])),
                    float(inputs.seconds(inputs.joints.received_ns[rows[-1]])),
                    f'{joint} reads up to {np.abs(q[rows]).max():.3g}, more than 1 rad beyond its limits',
                    'joint_states carry radians: convert degrees or encoder steps, or name the right hand')]


def quantum(values: Float) -> float | None:
    """Smallest step of a cell, Pa: what its changes between neighbouring samples are multiples of; None: too few."""
    changes = np.abs(np.diff(values))
    changes = changes[np.isfinite(changes) & (changes > 0.5)]
    if len(changes) < LEAST_CHANGES:
        return None
    # A baseline that drifts makes single odd changes; a share of the smallest ones is robust against them.
    return float(np.percentile(changes, 10))


def _units(inputs: Inputs, stream: Stream) -> list[Finding]:
    steps = [q for i in range(stream.values.shape[1]) if (q := quantum(stream.values[:, i] * 1e3)) is not None]
    greatest = float(np.nanmax(stream.values, initial=0.0))
    if len(steps) >= FEWEST_KPA_CELLS and greatest <= CEILING_PA * 1e-3 * 1.05 and np.median(steps) < 2000.0:
        return [Finding('wrong_unit', 'fault', stream.topic, None, None,
                        f'no cell reads above {greatest:.3g}, and the smallest step is {np.median(steps) * 1e-3:.2g}: that '
                        'looks like kPa', 'Pressures are in Pa: multiply by 1000, or choose the profile of the recorder')]
    return []


def _scales(inputs: Inputs, stream: Stream) -> list[Finding]:
    """A cell that steps several times coarser than the others, or reads more than the wire can carry."""
    steps = [quantum(stream.values[:, i]) for i in range(stream.values.shape[1])]
    known = np.array([s for s in steps if s is not None])
    found = []
    for i, taxel in enumerate(inputs.model.taxels):
        column = stream.values[:, i]
        greatest, step = float(np.nanmax(column, initial=0.0)), steps[i]
        others = float(np.median(known)) if len(known) >= 4 else None
        coarse = step is not None and others is not None and step >= SCALE_FACTOR * others
        if not coarse and greatest <= CEILING_PA:
            continue
        rows = np.flatnonzero(column > CEILING_PA)
        reasons = []
        if coarse and step is not None and others is not None:
            reasons.append(f'its smallest step is {step:.0f} Pa, that of the other cells {others:.0f} Pa '
                           f'(factor {step / others:.3g})')
        if len(rows):
            reasons.append(f'it reads up to {greatest * 1e-3:.0f} kPa, the hand can report {CEILING_PA * 1e-3:.0f} kPa')
        found.append(Finding(
            'wrong_scale', 'fault', stream.topic,
            float(inputs.seconds(stream.received_ns[rows[0]])) if len(rows) and not coarse else None,
            float(inputs.seconds(stream.received_ns[rows[-1]])) if len(rows) and not coarse else None,
            f'{taxel.frame} ({taxel.finger}) reads in another unit than the other cells: {" and ".join(reasons)}',
            'Scale this cell in the driver (over CAN the vendor\'s own code does not divide the palm by 10), '
            'and record again'))
    return found


def _frozen(inputs: Inputs, stream: Stream) -> list[Finding]:
    """Cells that repeat one value while pressed, far longer than pressed cells do."""
    pressed = stream.values - np.nanmin(stream.values, axis=0) > PRESSED_PA
    longest = [_longest(stream, stream.values[:, i], pressed[:, i]) for i in range(stream.values.shape[1])]
    found = []
    for i, taxel in enumerate(inputs.model.taxels):
        lasted, begin, end = longest[i]
        rest = max((other[0] for k, other in enumerate(longest) if k != i), default=0.0)
        if lasted < FROZEN_S or lasted < FROZEN_TIMES * min(rest, FROZEN_S):
            continue
        during = slice(begin, end + 1)
        others = np.delete(stream.values[during], i, axis=1)
        if not (np.ptp(others, axis=0) > PRESSED_PA).any():
            continue  # nothing at all happened meanwhile
        found.append(Finding(
            'frozen_taxel', 'fault', stream.topic, float(inputs.seconds(stream.received_ns[begin])),
            float(inputs.seconds(stream.received_ns[end])),
            f'{taxel.frame} ({taxel.finger}) repeats {stream.values[begin, i] * 1e-3:.1f} kPa for {lasted:.2f} s while other '
            'cells change', 'Mask the cell (valid = 0) or replace the sensor; a policy takes it for a steady contact'))
    return found


def _longest(stream: Stream, column: Float, pressed: np.ndarray) -> tuple[float, int, int]:
    """Duration (s), first and last row of the longest run of one value while pressed."""
    same = np.concatenate([[False], (np.diff(column) == 0) & pressed[1:]])
    edges = np.diff(np.concatenate([[0], same.astype(np.int8), [0]]))
    begins, ends = np.flatnonzero(edges == 1) - 1, np.flatnonzero(edges == -1) - 1
    if not len(begins):
        return 0.0, 0, 0
    lasted = (stream.received_ns[ends] - stream.received_ns[begins]) * 1e-9
    k = int(np.argmax(lasted))
    return float(lasted[k]), int(begins[k]), int(ends[k])


def _dead(inputs: Inputs, raw: Stream) -> list[Finding]:
    """Cells that fall to exactly zero, below where they rested before, and stay there."""
    found = []
    for i, taxel in enumerate(inputs.model.taxels):
        column = raw.values[:, i]
        alive = np.flatnonzero(column > 0)
        if not len(alive) or alive[-1] == len(column) - 1:
            continue
        last = int(alive[-1])
        lasted = float(raw.received_ns[-1] - raw.received_ns[last]) * 1e-9
        rest = float(np.nanmin(column[:last + 1]))
        if lasted > DEAD_S and rest > 0:
            found.append(Finding(
                'dead_taxel', 'fault', raw.topic, float(inputs.seconds(raw.received_ns[last])),
                float(inputs.seconds(raw.received_ns[-1])),
                f'{taxel.frame} ({taxel.finger}) falls from its resting value of at least {rest:.0f} Pa to exactly 0 and '
                f'stays there for {lasted:.1f} s', 'Mask the cell (valid = 0) and look at its cable'))
    return found
