"""Where are the zeros of a hand's encoders? Pure: from readings at known places to sign and offset of every joint.

Known places are the two ends of a joint's travel, which the description knows, or a pose that a jig or the eye sets.
Ends felt by hand lie about 0.1 rad from the description's (its ranges are the vendor's URDF's; where the stops of a
real hand are is UNVERIFIED), so a zero that differs by less is left as the factory set it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum

import numpy as np
from allegro_description.errors import UnknownName
from allegro_description.model import HandModel, Joint
from allegro_description.state import Array, frozen

from allegro_driver.calibration import NARROWEST_RAD, OFFSET_LIMIT_RAD, Calibration

KEEP_RAD = 0.12
"""Offsets smaller than this are within what ends of travel can tell."""
TRAVEL_TOLERANCE_RAD = 0.3
"""A measured travel that differs from the description's by more was not measured from end to end."""
STILL_RAD = 0.03
"""A joint that moves by more while it is measured was not held."""


class Place(Enum):
    """Where a joint is while it is measured."""

    LOWER = 'lower'
    UPPER = 'upper'
    POSE = 'pose'


@dataclass(frozen=True, slots=True)
class Placement:
    """One thing that a person does with the hand.

    Attributes:
        text: what, for people.
        places: where each measured joint then is, by canonical index.
    """

    text: str
    places: Mapping[int, Place]


@dataclass(frozen=True, slots=True)
class Zero:
    """What was found for one joint; ``problem`` says why it cannot be used, '' if it can."""

    sign: float
    offset: float
    lower: float = -np.inf
    upper: float = np.inf
    problem: str = ''


def chosen_joints(model: HandModel, names: Sequence[str]) -> tuple[int, ...]:
    """Canonical indices of these joints; of all where none is named.

    Raises:
        UnknownName: no such joint.
    """
    for name in names:
        if name not in model.joint_names:
            raise UnknownName('joint', name, model.joint_names)
    return tuple(k for k, name in enumerate(model.joint_names) if not names or name in names)


def placements(model: HandModel, joints: Sequence[int], pose: str = '') -> list[Placement]:
    """What to do with the hand so that these joints can be measured, in order.

    Args:
        model: the hand.
        joints: canonical indices.
        pose: name of a reference pose; '' asks for both ends of every joint.
    """
    if pose:
        return [Placement(f'Bring the hand into the pose {pose!r} and hold it', dict.fromkeys(joints, Place.POSE))]
    steps = []
    for finger in model.fingers:
        mine = [k for k in joints if model.joints[k].finger == finger.name]
        bending = {k: _curled(model.joints[k]) for k in mine if model.joints[k].flexion}
        if bending:
            listed = ', '.join(model.joint_names[k] for k in bending)
            away = {k: Place.LOWER if end is Place.UPPER else Place.UPPER for k, end in bending.items()}
            steps += [Placement(f'{finger.name}: curl it as far as it goes ({listed})', bending),
                      Placement(f'{finger.name}: stretch it as far back as it goes ({listed})', away)]
        for k in mine:
            if not model.joints[k].flexion:
                steps += [Placement(_turn(model.joints[k], end), {k: end}) for end in (Place.LOWER, Place.UPPER)]
    return steps


def _curled(joint: Joint) -> Place:
    lower, upper = joint.urdf_range
    return Place.UPPER if abs(upper) >= abs(lower) else Place.LOWER


def _turn(joint: Joint, end: Place) -> str:
    axis = ', '.join(f'{v:g}' for v in joint.axis)
    way = 'counter-clockwise' if end is Place.UPPER else 'clockwise'
    return (f'{joint.finger}: turn {joint.name} {way} to its end (as seen by an eye that the arrow [{axis}] of its '
            'frame points at)')


def still(samples: Array) -> tuple[Array, Array]:
    """Median of samples, rad, (n_joints,), and how far each joint moved meanwhile, outliers aside, rad, (n_joints,).

    Args:
        samples: encoder readings, rad, (n, n_joints), n at least 1.
    """
    low, middle, high = np.percentile(samples, (5, 50, 95), axis=0)
    return frozen(middle), frozen(high - low)


def zero_from_ends(
    joint: Joint, at_lower: float, at_upper: float, *, signs: bool = False, keep_rad: float = KEEP_RAD
) -> Zero:
    """Match the travel that was measured to that of the description.

    Args:
        joint: its description.
        at_lower: encoder reading at the lower end of the description's range, rad.
        at_upper: encoder reading at its upper end, rad.
        signs: believe which end was which, so that an encoder that counts backwards is found. Without it a joint whose
            readings run the other way is a problem: a wrong sign makes a controller push instead of hold.
        keep_rad: an offset below it is taken as none.
    """
    lower, upper = joint.urdf_range
    travel, expected = at_upper - at_lower, upper - lower
    sign = -1.0 if travel < 0 else 1.0
    if abs(abs(travel) - expected) > TRAVEL_TOLERANCE_RAD:
        return Zero(1.0, 0.0, problem=f'moved {abs(travel):.2f} rad from end to end, expected are {expected:.2f}; '
                                      'was it at both ends?')
    if sign < 0 and not signs:
        if joint.flexion:
            return Zero(1.0, 0.0, problem='reads more where it should read less: exchanged ends, or an encoder that '
                                          'counts backwards, which --signs allows')
        sign = 1.0
    middle = (at_lower + at_upper) / 2
    offset = (lower + upper) / 2 - sign * middle
    if sign > 0 and abs(offset) < keep_rad:
        offset = 0.0
    if abs(offset) > OFFSET_LIMIT_RAD:
        return Zero(1.0, 0.0, problem=f'would need an offset of {offset:.2f} rad; at most {OFFSET_LIMIT_RAD} are used')
    ends = sorted(sign * q + offset for q in (at_lower, at_upper))
    return Zero(sign, offset, ends[0], ends[1])


def zero_from_pose(angle: float, reading: float, sign: float = 1.0) -> Zero:
    """The offset with which an encoder that reads ``reading`` (rad) tells ``angle`` (rad)."""
    offset = angle - sign * reading
    if abs(offset) > OFFSET_LIMIT_RAD:
        return Zero(1.0, 0.0, problem=f'would need an offset of {offset:.2f} rad; at most {OFFSET_LIMIT_RAD} are used')
    return Zero(sign, offset)


def find_zeros(
    model: HandModel, readings: Mapping[tuple[int, Place], float], before: Calibration, *, pose: str = '',
    signs: bool = False, keep_rad: float = KEEP_RAD,
) -> dict[int, Zero]:
    """What was found for every joint that was measured where it had to be.

    Args:
        model: the hand.
        readings: encoder readings, rad, by joint and place.
        before: the calibration so far; a reference pose keeps its signs.
        pose: name of the reference pose, '' for ends.
        signs: see :func:`zero_from_ends`.
        keep_rad: see :func:`zero_from_ends`.
    """
    found = {}
    for k, joint in enumerate(model.joints):
        if pose and (k, Place.POSE) in readings:
            found[k] = zero_from_pose(model.pose(pose)[k], readings[k, Place.POSE], float(before.sign[k]))
        elif (k, Place.LOWER) in readings and (k, Place.UPPER) in readings:
            found[k] = zero_from_ends(
                joint, readings[k, Place.LOWER], readings[k, Place.UPPER], signs=signs, keep_rad=keep_rad)
    return found


def with_zeros(
    model: HandModel, before: Calibration, zeros: Mapping[int, Zero], date: str, *, limits: bool = False
) -> Calibration:
    """The calibration with what was found; joints that were not measured, or not well, stay as they were.

    Args:
        model: the hand.
        before: the calibration so far.
        zeros: by canonical index.
        date: ISO 8601.
        limits: also keep joints within the travel that was measured.
    """
    sign, offset = before.sign.copy(), before.offset.copy()
    lower, upper = before.lower.copy(), before.upper.copy()
    for k, zero in zeros.items():
        if zero.problem:
            continue
        sign[k], offset[k] = zero.sign, zero.offset
        if limits:
            inner = max(zero.lower, model.lower[k]), min(zero.upper, model.upper[k])
            if inner[1] - inner[0] >= NARROWEST_RAD:
                lower[k], upper[k] = inner
    return dataclasses.replace(
        before, date=date, sign=frozen(sign), offset=frozen(offset), lower=frozen(lower), upper=frozen(upper))


def table(model: HandModel, before: Calibration, after: Calibration, zeros: Mapping[int, Zero], now: Array) -> str:
    """What changes, one line per joint, for people.

    Args:
        model: the hand.
        before: the calibration so far.
        after: the new one.
        zeros: what was found.
        now: encoder readings of the moment, rad, (n_joints,).
    """
    lines = [f'{"joint":12s} {"offset before":>14s} {"after":>8s} {"sign":>5s} {"reads now":>10s} {"then":>8s}  note']
    old, new = before.angles(now), after.angles(now)
    for k, name in enumerate(model.joint_names):
        note = 'not measured, stays'
        if k in zeros:
            changed = before.offset[k] != after.offset[k] or before.sign[k] != after.sign[k]
            note = f'stays: {zeros[k].problem}' if zeros[k].problem else 'changed' if changed else 'agrees, stays'
        if (after.lower[k], after.upper[k]) != (before.lower[k], before.upper[k]):
            note += f', limit {after.lower[k]:.2f} … {after.upper[k]:.2f}'
        lines.append(f'{name:12s} {before.offset[k]:14.3f} {after.offset[k]:8.3f} {after.sign[k]:5.0f} '
                     f'{old[k]:10.3f} {new[k]:8.3f}  {note}')
    return '\n'.join(lines)
