"""Small parts that every joint of a hand is made of: barrels, lugs, bearing caps, screws, collars, fingertips.

Each is made in a frame of its own and placed by a pose. Lengths in m.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from allegro_description.meshes import outlines, solids
from allegro_description.meshes.mesh import Mesh, merged
from allegro_description.model import Shape
from allegro_description.state import Array

#: Thickness of a lug and how far it reaches into the outline of its link, m.
LUG, SUNK = 0.003, 0.0012
#: Air between parts that turn against each other, m.
GAP = 0.0006


@dataclass(frozen=True, eq=False)
class Piece:
    """A closed mesh in its link's frame and the name of its material."""

    material: str
    mesh: Mesh


@dataclass(frozen=True)
class Seat:
    """The room of a hinge: radius of its barrel and the two ends of it along the axis from the pivot, m."""

    radius: float
    low: float
    high: float


def frame(at: Array, z: Array, y: Array) -> Array:
    """Pose (4, 4) of a part at a place, its z axis along ``z``, its y axis as near to ``y`` as can be."""
    up = z / np.linalg.norm(z)
    side = y - (y @ up) * up
    side = side / np.linalg.norm(side)
    pose = np.eye(4)
    pose[:3, :3] = np.stack([np.cross(side, up), side, up], axis=1)
    pose[:3, 3] = at
    return pose


def barrel(seat: Seat) -> Mesh:
    """The knuckle of the moving link, along z about its pivot."""
    low, high = seat.low + SUNK + GAP, seat.high - SUNK - GAP
    r, e, waist = seat.radius, 0.0008, 0.9
    middle, groove = (low + high) / 2, min(0.004, (high - low) / 5)
    profile = [(r - e, low), (r, low + e), (r, middle - groove), (r, middle - groove), (waist * r, middle - groove),
               (waist * r, middle - groove), (waist * r, middle + groove), (waist * r, middle + groove),
               (r, middle + groove), (r, middle + groove), (r, high - e), (r - e, high)]
    return solids.lathe([(profile[0][0], low), *profile, (profile[-1][0], high)])


def lugs(seat: Seat, reach: float, foot: float) -> Iterator[Mesh]:
    """The two cheeks that hold a barrel; z along the axis, the holding link lies towards -y."""
    outline = outlines.tongue(reach, 0.97 * seat.radius, foot)
    for low in (seat.low + SUNK - LUG, seat.high - SUNK):
        yield solids.prism(outline, low, low + LUG, 0.0007)


def caps(seat: Seat) -> Iterator[Mesh]:
    """Bearing caps with screws outside both cheeks; z along the axis."""
    radius = 0.66 * seat.radius
    for side, face in ((-1.0, seat.low + SUNK - LUG), (1.0, seat.high - SUNK + LUG)):
        flip = np.diag([1.0, 1.0, side, 1.0])
        flip[2, 3] = face
        yield cap(radius).moved(flip)


def cap(radius: float, height: float = 0.0011, screws: int = 3) -> Mesh:
    """A turned disc on the plane z = 0 with a countersunk centre and screws around it."""
    r, h, e = radius, height, 0.0004
    inner, depth = 0.36 * r, 0.0007
    disc = solids.lathe([(r, -0.0005), (r, h - e), (r, h - e), (r - e, h), (r - e, h), (inner, h), (inner, h),
                         (0.8 * inner, h - depth), (0.8 * inner, h - depth), (0.2 * inner, h - depth)])
    ring = [np.pi / 2 + 2 * np.pi * k / screws for k in range(screws)]
    heads = []
    for angle in ring:
        place = np.eye(4)
        place[:3, 3] = 0.69 * r * np.cos(angle), 0.69 * r * np.sin(angle), h
        heads.append(screw(0.14 * r).moved(place))
    return merged([disc, *heads])


def screw(radius: float) -> Mesh:
    """A screw head on the plane z = 0."""
    h = 0.6 * radius
    return solids.lathe([(radius, -0.2 * h), (0.9 * radius, h), (0.9 * radius, h), (0.5 * radius, h),
                         (0.5 * radius, h), (0.45 * radius, 0.3 * h)], 6)


def collar(radius: float, low: float, high: float) -> Mesh:
    """A ring along z around a link that rolls."""
    e = min(0.0006, (high - low) / 3)
    return solids.lathe([(radius, low), (radius, high - e), (radius, high - e), (radius - e, high), (radius - e, high),
                         (0.8 * radius, high)], 28)


def dome(shape: Shape, height: float = 0.0) -> tuple[Mesh, Mesh]:
    """Soft fingertip and the ring it sits on, along z.

    Args:
        shape: sphere, or capsule along z; the tip covers its whole length.
        height: where the ring begins, m; the tip begins above the ring.
    """
    radius = shape.size[0]
    top = shape.xyz[2] + (shape.size[1] / 2 if len(shape.size) > 1 else 0.0)
    seam = height + 0.0018
    turn = np.linspace(0, np.pi / 2, 10)[:-1]
    profile = [(0.97 * radius, seam), (radius, seam + 0.0008)] + [
        (radius * np.cos(a), top + radius * np.sin(a)) for a in turn]
    rubber = solids.lathe(profile, 32)
    vertices = rubber.vertices.copy()
    vertices[-1] = (0, 0, top + radius)
    place = np.eye(4)
    place[:2, 3] = shape.xyz[:2]
    ring = solids.lathe([(0.94 * radius, height), (radius + 0.0002, height + 0.0006), (radius + 0.0002, seam - 0.0003),
                         (radius + 0.0002, seam - 0.0003), (0.9 * radius, seam)], 32)
    return Mesh(vertices, rubber.faces).moved(place), ring.moved(place)


def cover(width: float, height: float, thick: float, corner: float, screws: bool) -> tuple[Mesh, Mesh]:
    """A plate on the plane z = 0, its height along y, and the screws in its corners (none: an empty mesh)."""
    plate = solids.prism(outlines.rectangle(width, height, corner), -0.001, thick, min(0.0006, 0.8 * thick))
    heads = []
    if screws:
        for x in (-1, 1):
            for y in (-1, 1):
                place = np.eye(4)
                place[:3, 3] = x * (width / 2 - 0.0026), y * (height / 2 - 0.0026), thick
                heads.append(screw(0.0011).moved(place))
    return plate, merged(heads)
