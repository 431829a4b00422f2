"""Links that move: housing between two hinges, knuckle, cheeks, cover plate, grip pad, fingertip."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from allegro_description.meshes import fittings, outlines, solids
from allegro_description.meshes.anatomy import Bone, Pivot
from allegro_description.meshes.fittings import GAP, LUG, SUNK, Piece, Seat
from allegro_description.meshes.materials import GRIP, METAL, PLATE, SHELL, SOFT
from allegro_description.state import Array

#: Length over which a housing grows from its hinge to its full depth, m.
_TAPER = 0.004
#: How much the grasping side of a housing draws back at its next hinge, so that the finger closes, m.
_RELIEF = 0.0035
#: A stretch shorter than this carries no cover plate and no pad, m.
_PANEL = 0.009
_THINNEST, _THICKEST = 0.005, 0.0125


def interval(bone: Bone, at: Array, axis: Array) -> tuple[float, float]:
    """How far the hard box of a link reaches along an axis from a place, m."""
    corners = np.array([[x, y, z] for x in (bone.low[0], bone.high[0]) for y in (bone.low[1], bone.high[1])
                        for z in (bone.low[2], bone.high[2])])
    along = (corners - at) @ axis
    return float(along.min()), float(along.max())


def seat(child: Bone, parent: Bone, pivot: Pivot) -> Seat:
    """The room of the joint between two links, measured along the joint's axis.

    Args:
        child: the link that turns about its origin.
        parent: the link that holds it; a palm is wider than any hinge in it.
        pivot: the joint as the parent sees it.

    Returns:
        For a link that rolls: radius 0, and ``low`` is where it comes out of the palm (minus infinity elsewhere).
    """
    assert child.inner is not None
    palm = parent.inner is None
    low, high = interval(child, np.zeros(3), child.inner.axis)
    if child.inner.rolls:
        top = (float(parent.high[2]) - float(pivot.at[2])) / float(abs(pivot.axis[2])) if palm else -np.inf
        return Seat(0.0, top, high)
    rooms = [child.high[0], -child.low[0]] if abs(child.inner.axis[1]) > 0.5 else [child.high[1], -child.low[1]]
    if -child.low[2] > 0.004:
        rooms.append(-child.low[2])
    if not palm:
        first, last = interval(parent, pivot.at, pivot.axis)
        if min(high, last) - max(low, first) > 0.008:
            low, high = max(low, first), min(high, last)
        rooms += [parent.high[0] - pivot.at[0], pivot.at[0] - parent.low[0]]
    radius = min([0.98 * r for r in rooms if r > _THINNEST], default=0.008)
    return Seat(float(np.clip(radius, _THINNEST, _THICKEST)), low, high)


def pieces(bone: Bone, seats: Mapping[str, Seat]) -> Iterator[Piece]:
    """All parts of one moving link, in the frame of its bone."""
    assert bone.inner is not None
    for low, high in bone.boxes:
        yield from _housing(bone, low, high, seats)
    if not bone.inner.rolls:
        own = seats[bone.inner.joint.name]
        yield Piece(METAL, fittings.barrel(own).moved(fittings.frame(np.zeros(3), bone.inner.axis, np.eye(3)[2])))
    for pivot in bone.outer:
        if pivot.rolls:
            yield from _collar(bone, pivot)
        else:
            yield from _clevis(bone, pivot, seats[pivot.joint.name])
    if bone.dome is not None:
        soft, ring = fittings.dome(bone.dome, _dome_base(bone))
        yield Piece(SOFT, soft)
        yield Piece(METAL, ring)


def _dome_base(bone: Bone) -> float:
    assert bone.dome is not None
    half = bone.dome.size[1] / 2 if len(bone.dome.size) > 1 else 0.0
    return bone.dome.xyz[2] - half - bone.dome.size[0]


def _section(low: Array, high: Array, radius: float) -> Array:
    """A rectangle with round corners between two corners of the xy plane."""
    size = high - low
    return outlines.rectangle(float(size[0]), float(size[1]), radius) + (low + high) / 2


def _housing(bone: Bone, low: Array, high: Array, seats: Mapping[str, Seat]) -> Iterator[Piece]:
    assert bone.inner is not None
    side = low[1] + SUNK, high[1] - SUNK
    start, end = float(low[2]), float(high[2])
    narrow: tuple[float, float] | None = None
    begins, ends = False, False
    hinge = bone.inner
    if not hinge.rolls and _holds(low, high, np.zeros(3)) and abs(hinge.axis[1]) > 0.5:
        own = seats[hinge.joint.name]
        start, begins = 0.0, True
        sides = sorted((own.low * hinge.axis[1], own.high * hinge.axis[1]))
        narrow = sides[0] + SUNK + GAP, sides[1] - SUNK - GAP
    elif hinge.rolls:
        start = max(start, seats[hinge.joint.name].low - 0.003)
    elif _holds(low, high, np.zeros(3)):
        start = min(0.0, start)
    radius_in = seats[hinge.joint.name].radius if begins else 0.0
    radius_out = 0.0
    tube = False
    for pivot in bone.outer:
        if pivot.rolls or not _holds(low, high, pivot.at):
            continue
        room = seats[pivot.joint.name].radius + GAP
        if pivot.at[2] > (low[2] + high[2]) / 2:
            end, radius_out, ends = float(pivot.at[2]) - room, seats[pivot.joint.name].radius, True
        else:
            start, tube = float(pivot.at[2]) + room, True
    if bone.dome is not None:
        end = _dome_base(bone) + 0.0004
    end = max(end, start + 0.003)
    if tube:
        yield from _motor(bone, low, high, start, end, seats)
        return
    corner = (0.30 if bone.round else 0.22) * float(min(high[0] - low[0], side[1] - side[0]))
    sections: list[tuple[Array, float]] = []

    def ring(z: float, back: float, front: float, sides: tuple[float, float], shrink: float = 0.0) -> None:
        a, b = np.array([back, sides[0]]) + shrink, np.array([front, sides[1]]) - shrink
        sections.append((_section(a, b, corner - shrink), z))

    full_from, full_to = start, end
    if begins:
        r = 0.97 * radius_in
        slim = narrow if narrow is not None else side
        ring(0.0, max(low[0], -r), min(high[0], r), slim, 0.0006)
        shoulder = min(radius_in + 0.0012, 0.6 * end)
        ring(shoulder, max(low[0], -r), min(high[0], r), slim)
        full_from = min(shoulder + _TAPER, (shoulder + end) / 2)
    else:
        ring(start, low[0], high[0], side, 0.0012)
        ring(start + 0.0005, low[0], high[0], side, 0.0004)
        full_from = start + 0.0014
    front_end = float(high[0])
    if ends:
        front_end = max(min(float(high[0]), 0.72 * radius_out), float(high[0]) - _RELIEF)
        full_to = max(full_from + 0.0005, end - _TAPER)
    else:
        full_to = max(full_from + 0.0005, end - 0.0014)
    ring(full_from, low[0], high[0], side)
    ring(full_to, low[0], high[0], side)
    if ends:
        ring(end - 0.0008, low[0] + 0.0004, front_end, side, 0.0002)
    else:
        ring(end - 0.0005, low[0], high[0], side, 0.0004)
    ring(end, low[0] + 0.0008, max(front_end - 0.0008, low[0] + 0.004), side, 0.0008)
    yield Piece(SHELL, solids.loft(sections))
    if full_to - full_from > _PANEL:
        yield from _panels(low, high, side, full_from, full_to, bone)


def _holds(low: Array, high: Array, at: Array) -> bool:
    """Whether a hinge belongs to a box: on it, or so near beyond its end that the box must reach it."""
    reach = np.array([0.002, 0.002, 0.014])
    return bool((at >= low - reach).all() and (at <= high + reach).all())


def _panels(low: Array, high: Array, side: tuple[float, float], first: float, last: float,
            bone: Bone) -> Iterator[Piece]:
    """Cover plate with screws on the back, grip pad on the side that grasps."""
    middle, length, width = (first + last) / 2, last - first, side[1] - side[0]
    up = np.array([0.0, 0.0, 1.0])
    centre = (side[0] + side[1]) / 2
    plate, screws = fittings.cover(0.62 * width, 0.92 * length, 0.0009, 0.0022, length > 0.014)
    back = fittings.frame(np.array([low[0], centre, middle]), np.array([-1.0, 0, 0]), up)
    yield Piece(PLATE, plate.moved(back))
    if len(screws.faces):
        yield Piece(METAL, screws.moved(back))
    pad, _ = fittings.cover(0.66 * width, 0.94 * length, 0.0010, 0.0045, False)
    yield Piece(GRIP, pad.moved(fittings.frame(np.array([high[0], centre, middle]), np.array([1.0, 0, 0]), up)))


def _motor(bone: Bone, low: Array, high: Array, start: float, end: float, seats: Mapping[str, Seat]) -> Iterator[Piece]:
    """A link that rolls and whose motor hangs back into the link before it: a tube below the yoke of its hinge."""
    radius = 0.45 * float(min(high[0] - low[0], high[1] - low[1]))
    tube = solids.rounded_cylinder(radius, end - start, 0.001)
    place = np.eye(4)
    place[:3, 3] = (low[0] + high[0]) / 2, 0.0, (start + end) / 2
    yield Piece(METAL, tube.moved(place))
    pivot = next(p for p in bone.outer if not p.rolls)
    own = seats[pivot.joint.name]
    ends = sorted((own.low * pivot.axis[1], own.high * pivot.axis[1]))
    width, thick = ends[1] - ends[0] - 2 * SUNK, 0.006
    yoke = solids.rounded_box((2 * min(own.radius, radius + 0.002), width + 2 * LUG - 0.0004, thick), 0.0012, 3)
    place[:3, 3] = 0.0, (ends[0] + ends[1]) / 2, start + thick / 2
    yield Piece(SHELL, yoke.moved(place))


def _collar(bone: Bone, pivot: Pivot) -> Iterator[Piece]:
    """The ring around the next link, which rolls in this one."""
    radius = min(0.5 * float(min(bone.high[:2] - bone.low[:2])), 0.0125)
    top = float(bone.high[2])
    ring = fittings.collar(radius, -0.004, 0.0022)
    at = pivot.at * [1, 1, 0] + [0, 0, top]
    yield Piece(METAL, ring.moved(fittings.frame(at, np.array([0.0, 0, 1.0]), np.array([0, 1.0, 0]))))


def _clevis(bone: Bone, pivot: Pivot, own: Seat) -> Iterator[Piece]:
    """Cheeks, caps and screws around the next hinge, held by the nearest housing of this link."""
    low, high = min(bone.boxes, key=lambda box: _gap(box, pivot.at))
    centre = (low + high) / 2
    away = np.array([0.0, 0.0, 1.0 if pivot.at[2] > centre[2] else -1.0])
    pose = fittings.frame(pivot.at, pivot.axis, away)
    room = abs(float(pivot.at[2]) - float(low[2] if away[2] > 0 else high[2]))
    reach = min(own.radius + _TAPER + 0.003, max(room - 0.001, own.radius + 0.003))
    foot = min(1.8 * own.radius, 0.92 * float(high[0] - low[0]))
    for cheek in fittings.lugs(own, reach, foot):
        yield Piece(SHELL, cheek.moved(pose))
    for disc in fittings.caps(own):
        yield Piece(METAL, disc.moved(pose))


def _gap(box: tuple[Array, Array], at: Array) -> float:
    low, high = box
    return float(np.linalg.norm(np.maximum(np.maximum(low - at, at - high), 0)))
