"""The palm: a body cut from an outline with pockets for what moves in it, back cover, grip pad, wrist flange, plug.

Hands whose fingers stand in a row are cut along x, out of the palm; hands whose fingers stand around it along z.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from allegro_description.meshes import fittings, outlines, solids
from allegro_description.meshes.anatomy import Bone, Pivot, sweep
from allegro_description.meshes.fittings import LUG, SUNK, Piece, Seat
from allegro_description.meshes.materials import GRIP, METAL, PLATE, SHELL
from allegro_description.meshes.mesh import Mesh, merged
from allegro_description.model import HandModel
from allegro_description.state import Array

#: Air around a link that turns in a pocket, m.
_AIR = 0.002
#: A strip of the palm narrower than this is left out, m.
_LIP = 0.020
#: Least thickness of what is left above the wrist, and of a wall between two pockets, m.
_SOLE, _WALL = 0.005, 0.003
#: A palm nearly as thick as wide has its fingers around it, not in a row.
_ROUND = 0.7
#: Thickness of the back cover, m.
_BACK = 0.004
#: Between the pad on the front and the edge, m.
_RIM = 0.005


@dataclass(frozen=True)
class Pocket:
    """Room for a link that swings in the palm: its sides (y, y, z, z) and how far back it goes (x), m."""

    left: float
    right: float
    bottom: float
    top: float
    deep: float


def pieces(model: HandModel, palm: Bone, children: Mapping[str, Bone], seats: Mapping[str, Seat]) -> Iterator[Piece]:
    """All parts of the palm, in its frame."""
    size = palm.high - palm.low
    if size[0] > _ROUND * size[1]:
        yield from _column(palm, children)
    else:
        yield from _slab(model, palm, children, seats)
    yield _wrist(palm)


def _slab(model: HandModel, palm: Bone, children: Mapping[str, Bone], seats: Mapping[str, Seat]) -> Iterator[Piece]:
    low, high = palm.low, palm.high
    back, front = float(low[0]), float(high[0])
    pockets = [_pocket(model, pivot) for pivot in palm.outer if not _stands(palm, pivot)]
    plain, cut = _outline(low, high, []), _outline(low, high, pockets)
    floor = min([p.deep for p in pockets], default=front)
    if floor - back > 0.010:
        yield Piece(SHELL, _along_x(solids.prism(plain, back + _BACK, floor, 0.0020, 2)))
        yield Piece(SHELL, _along_x(solids.prism(cut, floor - 0.0015, front, 0.0018, 3)))
    else:
        plain = cut
        yield Piece(SHELL, _along_x(solids.prism(cut, back + _BACK, front, 0.0018, 3)))
    lid = outlines.inset(plain, 0.0008)
    yield Piece(PLATE, _along_x(solids.prism(lid, back, back + _BACK + 0.0004, 0.0016, 3)))
    yield Piece(METAL, _back_screws(low, high, lid))
    yield from _pad(low, high, cut)
    yield _plug(low, high, lid)
    fronted = [p for p in palm.outer if abs(p.axis[0]) > 0.5]
    if fronted:
        yield _fascia(fronted, seats, min(_pocket(model, p).bottom for p in fronted))
    for pivot in palm.outer:
        child = children[pivot.joint.child]
        if _stands(palm, pivot):
            yield _turntable(palm, pivot, child)
        else:
            yield from _bearing(palm, pivot, seats[pivot.joint.name], _pocket(model, pivot))


def _along_x(mesh: Mesh) -> Mesh:
    """Turn a plate made in xy along z into one made in the palm's yz along x."""
    return mesh.moved(np.array([[0.0, 0, 1, 0], [1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 0, 1]]))


def _pocket(model: HandModel, pivot: Pivot) -> Pocket:
    low, high = sweep(model, pivot.joint)
    return Pocket(*(float(v) for v in (low[1] - _AIR, high[1] + _AIR, low[2] - _AIR, high[2] + _AIR, low[0] - _AIR)))


def _stands(palm: Bone, pivot: Pivot) -> bool:
    """Whether a link stands on top of the palm and turns about its own bone there."""
    return pivot.rolls and bool(pivot.at[2] > palm.low[2] + 0.7 * (palm.high[2] - palm.low[2]))


def _outline(low: Array, high: Array, pockets: Sequence[Pocket]) -> Array:
    """The palm seen from the front, (y, z), drawn in at the wrist, with notches from the top and from the sides."""
    z1 = float(high[2])
    left, right = (_edge(low, high, side, [p for p in pockets if p.top <= z1]) for side in (-1.0, 1.0))
    top = []
    for pocket in _joined([p for p in pockets if p.top > z1]):
        ends: list[tuple[tuple[float, float], float]] = [
            ((pocket.right, z1), 0.003), ((pocket.right, pocket.bottom), 0.004),
            ((pocket.left, pocket.bottom), 0.004), ((pocket.left, z1), 0.003)]
        if pocket.right > float(high[1]) - _WALL:
            right, ends = [*right[:-1], ((float(high[1]), pocket.bottom), 0.004)], ends[2:]
        if pocket.left < float(low[1]) + _WALL:
            left, ends = [*left[:-1], ((float(low[1]), pocket.bottom), 0.004)], ends[:-2]
        top += ends
    chain = [*right, *top, *reversed(left)]
    return outlines.rounded([p for p, _ in chain], [r for _, r in chain], 5)


def _joined(pockets: Sequence[Pocket]) -> list[Pocket]:
    """Pockets from +y to -y, those with hardly a wall between them made one."""
    result: list[Pocket] = []
    for pocket in sorted(pockets, key=lambda p: -p.right):
        last = result[-1] if result else None
        if last is not None and pocket.right > last.left - _WALL:
            result[-1] = Pocket(min(last.left, pocket.left), last.right, min(last.bottom, pocket.bottom),
                                max(last.top, pocket.top), min(last.deep, pocket.deep))
        else:
            result.append(pocket)
    return result


def _edge(low: Array, high: Array, side: float, pockets: Sequence[Pocket]) -> list[tuple[tuple[float, float], float]]:
    """Corners with their radii along one side of the palm, wrist to fingers; ``side`` is the sign of y."""
    edge = float(high[1] if side > 0 else -low[1])
    z0, z1 = float(low[2]), float(high[2])
    drawn, rise = 0.16 * float(high[1] - low[1]), z0 + 0.22 * (z1 - z0)
    corners = [((edge - drawn, z0), 0.011), ((edge, rise), 0.011)]
    for pocket in pockets:
        inner, outer = sorted((side * pocket.left, side * pocket.right))
        if outer < edge - 0.012:
            continue
        if pocket.bottom < z0 + _LIP:  # too little would be left below: the corner goes
            foot = max(inner, _wrist_radius(low, high) + 0.003)
            if pocket.bottom - z0 > _SOLE and foot - inner > _SOLE:
                corners = [((foot, z0), 0.004), ((foot, pocket.bottom), 0.003), ((inner, pocket.bottom), 0.004)]
            else:
                corners = [((min(inner, edge - drawn), z0), 0.009)]
            corners.append(((inner, pocket.top), 0.006))
        else:
            corners = [corners[0], ((edge, min(rise, pocket.bottom - 0.008)), 0.011), ((edge, pocket.bottom), 0.004),
                       ((inner, pocket.bottom), 0.006), ((inner, pocket.top), 0.006)]
        corners.append(((edge, pocket.top), 0.004))
    corners.append(((edge, z1), 0.009))
    return [((side * y, z), radius) for (y, z), radius in corners]


def _back_screws(low: Array, high: Array, lid: Array) -> Mesh:
    """Screws in the corners of the back cover, where it reaches them."""
    y0, y1, z0, z1 = (float(v) for v in (low[1], high[1], low[2], high[2]))
    inner = 0.24 * (y1 - y0)
    middle = z1 - 0.55 * (z1 - z0)
    corners = np.array([(y0 + 0.007, z1 - 0.008), (y1 - 0.007, z1 - 0.008), (y0 + 0.007, middle), (y1 - 0.007, middle),
                        (y0 + inner, z0 + 0.008), (y1 - inner, z0 + 0.008)])
    return merged(
        fittings.screw(0.0022).moved(fittings.frame(np.array([low[0], y, z]), np.array([-1.0, 0, 0]), np.eye(3)[2]))
        for y, z in corners[outlines.contains(outlines.inset(lid, 0.003), corners)])


def _pad(low: Array, high: Array, outline: Array) -> Iterator[Piece]:
    """A rubber pad on the widest plain stretch of the front."""
    area = outlines.largest_rectangle(outline)
    if area is None or min(area[1] - area[0], area[3] - area[2]) < 2 * _RIM + 0.015:
        return
    y0, y1, z0, z1 = area[0] + _RIM, area[1] - _RIM, area[2] + _RIM, area[3] - _RIM
    pad, _ = fittings.cover(y1 - y0, z1 - z0, 0.0014, 0.009, False)
    place = fittings.frame(np.array([high[0], (y0 + y1) / 2, (z0 + z1) / 2]), np.array([1.0, 0, 0]),
                           np.array([0, 0, 1.0]))
    yield Piece(GRIP, pad.moved(place))


def _turntable(palm: Bone, pivot: Pivot, child: Bone) -> Piece:
    """The ring in which a finger turns on top of the palm."""
    room = min(float(min((palm.high - pivot.at)[:2])), float(min((pivot.at - palm.low)[:2]))) - 0.001
    radius = min(0.5 * float(max(child.high[:2] - child.low[:2])), 0.0165, room)
    top = (float(palm.high[2]) - float(pivot.at[2])) / abs(float(pivot.axis[2]))
    ring = fittings.collar(radius, -0.003, 0.0016)
    centre = pivot.at + pivot.axis * np.sign(pivot.axis[2]) * top
    return Piece(METAL, ring.moved(fittings.frame(centre, pivot.axis * np.sign(pivot.axis[2]), np.array([0, 1.0, 0]))))


def _bearing(palm: Bone, pivot: Pivot, own: Seat, pocket: Pocket) -> Iterator[Piece]:
    """Cheeks and caps around a hinge in a pocket of the palm, held by the pocket's nearest wall."""
    if abs(pivot.axis[2]) > 0.5:
        side = 1.0 if pivot.at[1] > 0 else -1.0
        away = np.array([0.0, side, 0.0])
        reach = abs(float(pivot.at[1]) - (pocket.left if side > 0 else pocket.right)) + 0.004
    else:
        away = np.array([0.0, 0.0, 1.0])
        reach = float(pivot.at[2]) - pocket.bottom + 0.004
    pose = fittings.frame(pivot.at, pivot.axis, away)
    for cheek in fittings.lugs(own, max(reach, own.radius + 0.004), 2.2 * own.radius):
        yield Piece(SHELL, cheek.moved(pose))
    for disc in fittings.caps(own):
        yield Piece(METAL, disc.moved(pose))


def _fascia(pivots: Sequence[Pivot], seats: Mapping[str, Seat], bottom: float) -> Piece:
    """The plate in front of fingers that swing sideways, through which their pins go."""
    radius = 1.2 * max(seats[p.joint.name].radius for p in pivots)
    face = max(float(p.at[0]) + max(p.axis[0] * seats[p.joint.name].low, p.axis[0] * seats[p.joint.name].high)
               for p in pivots) - SUNK
    y0, y1 = (side(p.at[1] for p in pivots) for side in (min, max))
    top = max(float(p.at[2]) for p in pivots) + radius
    plate = outlines.rectangle(float(y1 - y0) + 2.4 * radius, top - bottom + 0.004, radius, 6)
    middle = np.array([float(y0 + y1) / 2, (top + bottom - 0.004) / 2])
    return Piece(SHELL, _along_x(solids.prism(plate + middle, face, face + LUG, 0.0008)))


def _column(palm: Bone, children: Mapping[str, Bone]) -> Iterator[Piece]:
    """A palm with its fingers around it: an eight-sided body, a base plate and a turntable per finger."""
    low, high = palm.low, palm.high
    centre, size = (low + high) / 2, high - low
    x, y = size[0] / 2, size[1] / 2
    cut = 0.36 * min(x, y)
    corners = [(-x + cut, -y), (x - cut, -y), (x, -y + cut), (x, y - cut), (x - cut, y), (-x + cut, y), (-x, y - cut),
               (-x, -y + cut)]
    outline = outlines.rounded(corners, 0.008, 5) + centre[:2]
    yield Piece(SHELL, solids.prism(outline, low[2] + 0.008, high[2] - 0.004, 0.002, 3))
    yield Piece(PLATE, solids.prism(outlines.inset(outline, 0.001), high[2] - 0.0045, high[2], 0.0012))
    yield Piece(METAL, solids.prism(outlines.inset(outline, -0.0008), low[2], low[2] + 0.0085, 0.0012))
    yield _plug(low, high, np.array([(low[1], low[2]), (high[1], low[2]), (high[1], high[2]), (low[1], high[2])]))
    for pivot in palm.outer:
        yield _turntable(palm, pivot, children[pivot.joint.child])


def _wrist_radius(low: Array, high: Array) -> float:
    return 0.40 * float(min((high - low)[:2])) + 0.006


def _wrist(palm: Bone) -> Piece:
    """Flange below the palm, which also tells up from down."""
    centre, bottom = (palm.low + palm.high) / 2, float(palm.low[2])
    radius = _wrist_radius(palm.low, palm.high)
    flange = solids.lathe([(radius - 0.001, bottom - 0.012), (radius, bottom - 0.011), (radius, bottom - 0.005),
                           (radius, bottom - 0.005), (radius - 0.004, bottom - 0.004), (radius - 0.004, bottom - 0.004),
                           (radius - 0.004, bottom + 0.002)], 40)
    place = np.eye(4)
    place[:2, 3] = centre[:2]
    return Piece(METAL, flange.moved(place))


def _plug(low: Array, high: Array, lid: Array) -> Piece:
    """The plug low on the back cover, in the middle or as near to it as the cover reaches."""
    width, tall = 0.2 * float(high[1] - low[1]), 0.016
    middle, z = float(low[1] + high[1]) / 2, float(low[2]) + 0.5 * tall + 0.012
    rim = np.array([(-width / 2, -tall / 2), (width / 2, -tall / 2), (width / 2, tall / 2), (-width / 2, tall / 2)])
    steps = sorted(np.linspace(-0.4, 0.4, 33) * float(high[1] - low[1]), key=abs)
    y = next((middle + s for s in steps if outlines.contains(lid, 1.15 * rim + [middle + s, z]).all()), middle)
    plug = solids.rounded_box((0.008, width, tall), 0.0015, 3)
    place = np.eye(4)
    place[:3, 3] = low[0] - 0.003, y, z
    return Piece(GRIP, plug.moved(place))
