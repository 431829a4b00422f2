"""What the values of touch cells and joints say of themselves: units, scales, cells that repeat or are dead."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from allegro_bench.replay.findings import Finding
from allegro_bench.replay.inputs import Float, Inputs, Stream

CEILING_PA = 102_000.0
"""The most that a V5 Sense cell can say: 255 counts of 400 Pa over CAN; 100 kPa over UDP."""

FACTORS = (10, 8, 5, 4)
"""A cell whose changes are all multiples of so many steps of the sensor reads in another unit."""

LEAST_CHANGES = 12
"""Fewer changes do not show the step of a cell."""

STEP_TOLERANCE, MULTIPLES = 0.25, 0.95
"""A baseline that drifts blurs the steps a little, and single odd changes are allowed."""

PRESSED_PA = 1500.0
LEAST_FROZEN_S, FROZEN_S = 0.05, 1.0
"""A pressed cell jitters by its quantum every few samples; one that repeats for so long meanwhile is frozen."""

FROZEN_TIMES = 2.0
"""It must also repeat so many times longer than any other cell does while others change."""

DEAD_S, DEAD_REST_PA, DEAD_SHARE, DEAD_FALL_S = 1.0, 300.0, 0.8, 0.3
SATURATION_PA = 60_000.0


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
    begin, end = inputs.seconds(inputs.joints.received_ns[rows[[0, -1]]]).tolist()
    return [Finding('wrong_unit', 'fault', inputs.joints.topic, begin, end,
                    f'{joint} reads up to {np.abs(q[rows]).max():.3g}, more than 1 rad beyond its limits',
                    'joint_states carry radians: convert degrees or encoder steps, or name the right hand')]


def changes(values: Float) -> Float:
    """Changes between neighbouring samples of a cell, without the pauses in which it repeats, absolute."""
    found = np.abs(np.diff(values))
    return np.asarray(found[np.isfinite(found) & (found > 0.5)])


def quantum(cells: Sequence[Float]) -> float | None:
    """Smallest step of the sensor, in the unit of the values: most small changes are one of it; None: too few."""
    pooled = np.concatenate([changes(c) for c in cells]) if len(cells) else np.zeros(0)
    return float(np.percentile(pooled, 10)) if len(pooled) >= LEAST_CHANGES else None


def coarser(values: Float, step: float) -> int:
    """How many times coarser than ``step`` a cell changes: 10 if all its changes are tens of it; 1: not at all."""
    count = changes(values) / step
    count = count[count > 0.5]
    if len(count) < LEAST_CHANGES:
        return 1
    for factor in FACTORS:
        off = np.abs(count - factor * np.round(count / factor))
        if (off < STEP_TOLERANCE).mean() > MULTIPLES:
            return factor
    return 1


def _units(inputs: Inputs, stream: Stream) -> list[Finding]:
    step = quantum([stream.values[:, i] * 1e3 for i in range(stream.values.shape[1])])
    greatest = float(np.nanmax(stream.values, initial=0.0))
    if step is None or greatest > CEILING_PA * 1e-3 * 1.05 or step > 2000.0:
        return []
    return [Finding('wrong_unit', 'fault', stream.topic, None, None,
                    f'no cell reads above {greatest:.3g}, and the smallest step is {step * 1e-3:.2g}: that looks like '
                    'kPa', 'Pressures are in Pa: multiply by 1000, or choose the profile of the recorder')]


def _scales(inputs: Inputs, stream: Stream) -> list[Finding]:
    """A cell that steps several times coarser than the others, or reads more than the wire can carry."""
    step = quantum([stream.values[:, i] for i in range(stream.values.shape[1])])
    found = []
    for i, taxel in enumerate(inputs.model.taxels):
        column = stream.values[:, i]
        greatest = float(np.nanmax(column, initial=0.0))
        factor = coarser(column, step) if step else 1
        if factor == 1 and greatest <= CEILING_PA:
            continue
        rows = np.flatnonzero(column > CEILING_PA)
        reasons = []
        if factor > 1:
            reasons.append(f'it changes in steps of {factor * (step or 0):.0f} Pa, the other cells in steps of '
                           f'{step:.0f} Pa (factor {factor})')
        if len(rows):
            reasons.append(f'it reads up to {greatest * 1e-3:.0f} kPa, the hand can report {CEILING_PA * 1e-3:.0f} kPa')
        found.append(Finding(
            'wrong_scale', 'fault', stream.topic,
            float(inputs.seconds(stream.received_ns[rows[0]])) if len(rows) and factor == 1 else None,
            float(inputs.seconds(stream.received_ns[rows[-1]])) if len(rows) and factor == 1 else None,
            f'{taxel.name} ({taxel.finger}) reads in another unit than the other cells: {" and ".join(reasons)}',
            'Scale this cell in the driver (over CAN the vendor\'s own code does not divide the palm by 10), '
            'and record again'))
    return found


def _frozen(inputs: Inputs, stream: Stream) -> list[Finding]:
    """Cells that repeat one value while pressed, though other cells change meanwhile, far longer than others do."""
    longest = [_repeated(stream, i) for i in range(stream.values.shape[1])]
    found = []
    for i, taxel in enumerate(inputs.model.taxels):
        lasted, begin, end = longest[i]
        rest = max((other[0] for k, other in enumerate(longest) if k != i), default=0.0)
        if lasted < max(FROZEN_S, FROZEN_TIMES * rest):
            continue
        found.append(Finding(
            'frozen_taxel', 'fault', stream.topic, float(inputs.seconds(stream.received_ns[begin])),
            float(inputs.seconds(stream.received_ns[end])),
            f'{taxel.name} ({taxel.finger}) repeats {stream.values[begin, i] * 1e-3:.1f} kPa for {lasted:.2f} s while '
            'other cells change', 'Mask the cell (valid = 0) or replace the sensor; a policy takes it for a steady '
            'contact'))
    return found


def _repeated(stream: Stream, cell: int) -> tuple[float, int, int]:
    """Duration (s), first and last row of the longest repetition of a pressed cell while other cells change."""
    column = stream.values[:, cell]
    pressed = column - np.nanmin(column) > PRESSED_PA
    same = np.concatenate([[False], (np.diff(column) == 0) & pressed[1:]])
    edges = np.diff(np.concatenate([[0], same.astype(np.int8), [0]]))
    begins, ends = np.flatnonzero(edges == 1) - 1, np.flatnonzero(edges == -1) - 1
    lasted = (stream.received_ns[ends] - stream.received_ns[begins]) * 1e-9
    for k in np.argsort(-lasted, kind='stable'):
        if lasted[k] < LEAST_FROZEN_S:
            break
        others = np.delete(stream.values[begins[k]:ends[k] + 1], cell, axis=1)
        if (np.ptp(others, axis=0) > PRESSED_PA).any():
            return float(lasted[k]), int(begins[k]), int(ends[k])
    return 0.0, 0, 0


def _dead(inputs: Inputs, raw: Stream) -> list[Finding]:
    """Cells that fall at once to exactly zero, below where they rested before, and stay there; or fall from high."""
    found = []
    for i, taxel in enumerate(inputs.model.taxels):
        column = raw.values[:, i]
        alive = np.flatnonzero(column > 0)
        if not len(alive):
            continue
        fallen = np.flatnonzero((column[:-1] > SATURATION_PA) & (column[1:] == 0))
        if len(fallen):
            found.append(Finding(
                'saturated_taxel', 'warning', raw.topic, float(inputs.seconds(raw.received_ns[fallen[0]])),
                float(inputs.seconds(raw.received_ns[fallen[-1]])),
                f'{taxel.name} ({taxel.finger}) falls from {column[fallen[0]] * 1e-3:.0f} kPa to 0 within one sample, '
                f'{len(fallen)} times: what the vendor\'s code makes of a value beyond the range',
                'Take it as pressed as hard as can be, not as no contact'))
        last = int(alive[-1])
        before = column[:last + 1]
        lasted = float(raw.received_ns[-1] - raw.received_ns[last]) * 1e-9
        rest = float(np.nanpercentile(before, 10))
        resting = int(np.flatnonzero(before >= DEAD_SHARE * rest)[-1])
        fell_s = float(raw.received_ns[last] - raw.received_ns[resting]) * 1e-9
        # A baseline that drifts reaches zero in seconds; a broken cell leaves its resting value as fast as its filter.
        if lasted > DEAD_S and np.nanmin(before) > 0 and rest >= DEAD_REST_PA and fell_s < DEAD_FALL_S:
            found.append(Finding(
                'dead_taxel', 'fault', raw.topic, float(inputs.seconds(raw.received_ns[resting])),
                float(inputs.seconds(raw.received_ns[-1])),
                f'{taxel.name} ({taxel.finger}) falls from its resting value of {rest:.0f} Pa to exactly 0 and stays '
                f'there for {lasted:.1f} s; it never read 0 before', 'Mask the cell (valid = 0) and look at its cable'))
    return found
