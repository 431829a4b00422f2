"""An object to be held: a primitive or a compound of solids, with mass, friction and an off-centre mass centre."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from allegro_description.errors import ConfigError, UnknownName
from allegro_description.simulation.solids import (
    PRIMITIVES,
    Quaternion,
    Solid,
    Vector,
    box_corners,
    moments,
    primitive_moments,
    quaternion,
)
from allegro_description.state import Array

SHAPES = tuple(PRIMITIVES)
# First word of every seed sequence: keeps the sets apart whatever episode seeds are used.
OBJECT_SETS = {'train': 101, 'H1': 202, 'H2': 303, 'H3': 404, 'H4': 505}


@dataclass(frozen=True, slots=True)
class ObjectSpec:
    """One object.

    Attributes:
        shape: one of :data:`SHAPES`, or any name for a compound.
        size: of a primitive as in :class:`~allegro_description.simulation.solids.Solid`; edges of the bounding box of
            a compound before scaling, m.
        mass: kg.
        friction: sliding friction coefficient of every contact with it.
        com: offset of the centre of mass from that of the uniform solid, m.
        rgba: colour for viewers, 0..1.
        parts: of a compound before scaling, about the centre of its uniform solid; none for a primitive.
        scale: factor on the size of a compound.
    """

    shape: str
    size: tuple[float, ...]
    mass: float
    friction: float = 0.8
    com: Vector = (0.0, 0.0, 0.0)
    rgba: tuple[float, float, float, float] = (0.90, 0.55, 0.20, 1.0)
    parts: tuple[Solid, ...] = ()
    scale: float = 1.0

    def __post_init__(self) -> None:
        if not self.parts:
            if self.shape not in SHAPES:
                raise UnknownName('object shape', self.shape, SHAPES)
            if len(self.size) != PRIMITIVES[self.shape]:
                raise ConfigError(
                    f'object {self.shape}: size has {len(self.size)} values, needs {PRIMITIVES[self.shape]}')
        if not all(math.isfinite(v) and v > 0 for v in (*self.size, self.mass, self.friction, self.scale)):
            raise ConfigError(
                f'object {self.shape}: size, mass, friction and scale must be positive; got {self.size}, {self.mass}, '
                f'{self.friction}, {self.scale}')

    @property
    def solids(self) -> tuple[Solid, ...]:
        """What it is made of, at its true size; the solid of weight -1 of a compound has no surface."""
        if self.parts:
            return tuple(part.scaled(self.scale) for part in self.parts)
        return (Solid(self.shape, self.size),)

    @property
    def extent(self) -> Vector:
        """Edges of the bounding box in the object's frame, m."""
        if self.parts:
            x, y, z = (self.scale * v for v in self.size)
            return (x, y, z)
        return Solid(self.shape, self.size).extent

    @property
    def inertia(self) -> Vector:
        """Principal moments about the mass centre at uniform density, axes of :attr:`inertia_quat`, kg·m²."""
        if self.parts:
            a, b, c = np.linalg.eigvalsh(moments(self.parts)[1]).tolist()
            unit, factor = (a, b, c), self.mass * self.scale**2
        else:
            unit, factor = primitive_moments(self.shape, self.size), self.mass
        return (factor * unit[0], factor * unit[1], factor * unit[2])

    @property
    def inertia_quat(self) -> Quaternion:
        """Turn of the principal axes in the object's frame, (w, x, y, z)."""
        if not self.parts:
            return (1.0, 0.0, 0.0, 0.0)
        axes = np.linalg.eigh(moments(self.parts)[1])[1]
        axes[:, 2] *= np.sign(np.linalg.det(axes))
        w, x, y, z = quaternion(axes).tolist()
        return (w, x, y, z)

    def support(self, turn: Array) -> float:
        """Reach of the object against the palm's x axis when turned by ``turn`` (3, 3), m."""
        return max(solid.reach(-turn[0]) for solid in self.solids if solid.weight > 0)

    def surface_point(self, rng: np.random.Generator) -> Array:
        """A random point on (for curved shapes: close to) the surface, object frame, m, (3,)."""
        solid = self.solids[0]
        if self.parts:
            shown = [s for s in self.solids if s.weight > 0]
            solid = shown[int(rng.integers(len(shown)))]
        return solid.surface_point(rng)

    def corners(self) -> Array:
        """Corners of the bounding box, object frame, m, (8, 3)."""
        return box_corners(self.extent)


def compound(shape: str, parts: tuple[Solid, ...], mass: float, friction: float = 0.8) -> ObjectSpec:
    """An object of several solids, moved so that the centre of the uniform solid is the origin of its frame.

    Args:
        shape: its name.
        parts: the solids, in any frame.
        mass: kg.
        friction: sliding friction coefficient.
    """
    centre = moments(parts)[0]
    moved = tuple(
        Solid(p.kind, p.size, _minus(p.xyz, centre), p.quat, p.vertices, p.faces, p.weight) for p in parts)
    shown = [p for p in moved if p.weight > 0]
    size = tuple(float(2 * max(max(p.reach(axis), p.reach(-axis)) for p in shown)) for axis in np.eye(3))
    return ObjectSpec(shape, size, mass, friction, parts=moved)


def object_rng(seed: int, object_set: str, stream: int) -> np.random.Generator:
    """A generator for one purpose (``stream``) of one episode; never the same for two sets, seeds or streams.

    Raises:
        UnknownName: no such object set.
        ConfigError: a negative seed.
    """
    if object_set not in OBJECT_SETS:
        raise UnknownName('object set', object_set, OBJECT_SETS)
    if seed < 0:
        raise ConfigError(f'seed is {seed}; allowed: 0 or more')
    return np.random.default_rng(np.random.SeedSequence((OBJECT_SETS[object_set], seed, stream)))


def _minus(vector: Vector, shift: Array) -> Vector:
    x, y, z = (np.array(vector) - shift).tolist()
    return (x, y, z)
