"""Convex solids that objects are made of: primitives and hulls, with volume, centre and inertia.

Pure geometry; units m, uniform density. A hull is given by its vertices and outward triangles, so that its mass
properties follow from sums over tetrahedra.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import product

import numpy as np
from numpy.typing import NDArray

from allegro_description.errors import ConfigError, UnknownName
from allegro_description.state import Array

Vector = tuple[float, float, float]
Quaternion = tuple[float, float, float, float]

PRIMITIVES = {'sphere': 1, 'capsule': 2, 'cylinder': 2, 'box': 3, 'ellipsoid': 3}   # numbers of a size
MAX_HULL_VERTICES = 64


@dataclass(frozen=True, slots=True)
class Solid:
    """One convex solid in the frame of an object.

    Attributes:
        kind: one of :data:`PRIMITIVES`, or ``hull``.
        size: sphere (radius), capsule and cylinder (radius, length between the cap centres, along z), box (full
            edges), ellipsoid (semi-axes); nothing for a hull; m.
        xyz, quat: its place and turn (w, x, y, z) in the object's frame.
        vertices, faces: of a hull: points and outward triangles.
        weight: how often it counts in mass; -1 takes away the overlap of two others and has no surface.
    """

    kind: str
    size: tuple[float, ...] = ()
    xyz: Vector = (0.0, 0.0, 0.0)
    quat: Quaternion = (1.0, 0.0, 0.0, 0.0)
    vertices: tuple[Vector, ...] = ()
    faces: tuple[tuple[int, int, int], ...] = ()
    weight: float = 1.0

    def __post_init__(self) -> None:
        if self.kind == 'hull':
            if not 4 <= len(self.vertices) <= MAX_HULL_VERTICES:
                raise ConfigError(f'a hull has {len(self.vertices)} vertices; allowed: 4 … {MAX_HULL_VERTICES}')
        elif self.kind not in PRIMITIVES:
            raise UnknownName('object shape', self.kind, [*PRIMITIVES, 'hull'])
        elif len(self.size) != PRIMITIVES[self.kind]:
            raise ConfigError(f'object {self.kind}: size has {len(self.size)} values, needs {PRIMITIVES[self.kind]}')
        if not all(math.isfinite(v) and v > 0 for v in self.size):
            raise ConfigError(f'object {self.kind}: size must be positive, got {self.size}')

    @property
    def extent(self) -> Vector:
        """Edges of the bounding box in the solid's own frame, m."""
        if self.kind == 'hull':
            points = np.array(self.vertices)
            x, y, z = (2 * np.abs(points).max(axis=0)).tolist()
            return (x, y, z)
        if self.kind in ('box', 'ellipsoid'):
            x, y, z = (v * (1.0 if self.kind == 'box' else 2.0) for v in self.size)
            return (x, y, z)
        radius = self.size[0]
        length = self.size[1] if len(self.size) > 1 else 0.0
        cap = 2 * radius if self.kind != 'cylinder' else 0.0
        return (2 * radius, 2 * radius, length + cap)

    @property
    def turn(self) -> Array:
        """Rotation matrix from the solid's frame to the object's, (3, 3)."""
        return matrix(np.array(self.quat))

    def reach(self, axis: Array) -> float:
        """Largest coordinate along a direction of the object's frame, m (negative when it all lies behind)."""
        own = axis @ self.turn
        half = np.array(self.extent) / 2
        if self.kind == 'hull':
            along = float((np.array(self.vertices) @ own).max())
        elif self.kind == 'box':
            along = float(np.abs(own) @ half)
        elif self.kind in ('sphere', 'ellipsoid'):
            along = float(np.linalg.norm(own * half))
        else:
            radius, length = self.size
            along = abs(float(own[2])) * length / 2
            along += radius * (1.0 if self.kind == 'capsule' else math.hypot(own[0], own[1]))
        return along + float(axis @ np.array(self.xyz))

    def surface_point(self, rng: np.random.Generator) -> Array:
        """A random point on (for curved solids: close to) the surface, object frame, m, (3,)."""
        if self.kind == 'hull':
            face = np.array(self.vertices)[list(self.faces[int(rng.integers(len(self.faces)))])]
            point = rng.dirichlet(np.ones(3)) @ face
        else:
            half = np.array(self.extent) / 2
            point = rng.normal(size=3)
            point /= np.linalg.norm(point)
            if self.kind in ('box', 'cylinder'):
                point *= (1.0 if self.kind == 'box' else 0.7) / np.max(np.abs(point))
            point = point * half
        return np.asarray(self.turn @ point + np.array(self.xyz))

    def mass_properties(self) -> tuple[float, Array, Array]:
        """Volume (m³), centre (m, (3,)) and second moments about the origin (m⁵, (3, 3)), object frame, weighted."""
        if self.kind == 'hull':
            volume, centre, second = _polyhedron(np.array(self.vertices), np.array(self.faces))
        else:
            volume, centre = primitive_volume(self.kind, self.size), np.zeros(3)
            moments = np.array(primitive_moments(self.kind, self.size))
            second = volume * np.diag(moments.sum() / 2 - moments)
        turn, shift = self.turn, np.array(self.xyz)
        middle = turn @ centre
        second = turn @ second @ turn.T
        cross = np.outer(middle, shift)
        second = second + volume * (cross + cross.T + np.outer(shift, shift))
        return self.weight * volume, middle + shift, self.weight * second

    def scaled(self, factor: float) -> Solid:
        """The same solid, larger by a factor."""
        return replace(
            self, size=tuple(factor * v for v in self.size), xyz=_times(self.xyz, factor),
            vertices=tuple(_times(v, factor) for v in self.vertices))


def primitive_volume(kind: str, size: Sequence[float]) -> float:
    """Volume of a primitive, m³."""
    if kind == 'box':
        return float(np.prod(size))
    if kind == 'ellipsoid':
        return 4 / 3 * math.pi * float(np.prod(size))
    ball = 4 / 3 * math.pi * size[0] ** 3
    rod = math.pi * size[0] ** 2 * (size[1] if len(size) > 1 else 0.0)
    return rod if kind == 'cylinder' else ball + rod


def primitive_moments(kind: str, size: Sequence[float]) -> Vector:
    """Principal moments of a primitive of mass 1 about its centre, axes of the shape, m²."""
    if kind == 'box':
        x, y, z = size
        return ((y * y + z * z) / 12, (x * x + z * z) / 12, (x * x + y * y) / 12)
    if kind == 'ellipsoid':
        a, b, c = size
        return ((b * b + c * c) / 5, (a * a + c * c) / 5, (a * a + b * b) / 5)
    r = size[0]
    if kind == 'sphere':
        return (0.4 * r * r,) * 3
    length = size[1]
    if kind == 'cylinder':
        across = (3 * r * r + length * length) / 12
        return (across, across, r * r / 2)
    # capsule: cylinder plus two half spheres, masses by volume
    ball = (4 * r / 3) / (4 * r / 3 + length)
    rod = 1.0 - ball
    across = (rod * (3 * r * r + length * length) / 12
              + ball * (0.4 * r * r + length * length / 4 + 3 * r * length / 8))
    return (across, across, rod * r * r / 2 + ball * 0.4 * r * r)


def moments(parts: Sequence[Solid]) -> tuple[Array, Array]:
    """Centre (m, (3,)) and inertia matrix of mass 1 about it (m², (3, 3)) of several solids."""
    rows = [part.mass_properties() for part in parts]
    volume = sum(row[0] for row in rows)
    centre = np.asarray(sum(row[0] * row[1] for row in rows)) / volume
    second = np.asarray(sum(row[2] for row in rows)) / volume - np.outer(centre, centre)
    return centre, np.trace(second) * np.eye(3) - second


def loft(rings: Sequence[tuple[Array, float]], poles: tuple[float, float] | None = None) -> Solid:
    """A convex hull through outlines.

    Args:
        rings: (points (n, 2) counter-clockwise, height z), from below, all with the same n.
        poles: heights of a point below the first ring and one above the last; None: flat ends.
    """
    n = len(rings[0][0])
    points = [(float(x), float(y), float(z)) for outline, z in rings for x, y in outline]
    faces: list[tuple[int, int, int]] = []
    for ring in range(len(rings) - 1):
        for k in range(n):
            a, b = ring * n + k, ring * n + (k + 1) % n
            faces += [(a, b, b + n), (a, b + n, a + n)]
    last = (len(rings) - 1) * n
    if poles is None:
        faces += [(0, k + 1, k) for k in range(1, n - 1)] + [(last, last + k, last + k + 1) for k in range(1, n - 1)]
    else:
        bottom, top = len(points), len(points) + 1
        points += [(0.0, 0.0, poles[0]), (0.0, 0.0, poles[1])]
        faces += [(bottom, (k + 1) % n, k) for k in range(n)]
        faces += [(top, last + k, last + (k + 1) % n) for k in range(n)]
    return Solid('hull', vertices=tuple(points), faces=tuple(faces))


def matrix(quat: Array) -> Array:
    """Rotation matrix (3, 3) of a unit quaternion (w, x, y, z)."""
    w, x, y, z = quat.tolist()
    return np.array([
        [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
        [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
        [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
    ])


def quaternion(turn: Array) -> Array:
    """Quaternion (w, x, y, z) of a rotation matrix, from the eigenvector of its largest eigenvalue."""
    m = turn
    k = np.array([
        [m[0, 0] + m[1, 1] + m[2, 2], m[2, 1] - m[1, 2], m[0, 2] - m[2, 0], m[1, 0] - m[0, 1]],
        [m[2, 1] - m[1, 2], m[0, 0] - m[1, 1] - m[2, 2], m[0, 1] + m[1, 0], m[0, 2] + m[2, 0]],
        [m[0, 2] - m[2, 0], m[0, 1] + m[1, 0], m[1, 1] - m[0, 0] - m[2, 2], m[1, 2] + m[2, 1]],
        [m[1, 0] - m[0, 1], m[0, 2] + m[2, 0], m[1, 2] + m[2, 1], m[2, 2] - m[0, 0] - m[1, 1]],
    ])
    vector = np.linalg.eigh(k)[1][:, -1]
    return np.asarray(vector if vector[0] >= 0 else -vector)


def box_corners(extent: Sequence[float]) -> Array:
    """Corners of a box around the origin, m, (8, 3)."""
    return np.array(list(product(*[(-e / 2, e / 2) for e in extent])))


def _polyhedron(points: Array, faces: NDArray[np.int_]) -> tuple[float, Array, Array]:
    a, b, c = (points[faces[:, k]] for k in range(3))
    six = (a * np.cross(b, c)).sum(axis=1)                  # six times the volume of each tetrahedron to the origin
    volume = float(six.sum()) / 6
    total = a + b + c
    centre = (six[:, None] * total).sum(axis=0) / 24 / volume
    second = sum(np.einsum('i,ij,ik->jk', six, v, v) for v in (total, a, b, c)) / 120
    return volume, centre, np.asarray(second)


def _times(vector: Vector, factor: float) -> Vector:
    return (vector[0] * factor, vector[1] * factor, vector[2] * factor)
