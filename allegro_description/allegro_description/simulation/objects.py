"""Objects to be held: primitive shapes with mass, friction and an off-centre mass centre, drawn from named sets.

Families: sphere, capsule, cylinder, box, ellipsoid. Two disjoint seed spaces: ``train`` and ``H1`` (new draws of the
same families, never used in training).

Masses and friction keep the design's 0.03-0.40 kg and 0.35-1.2, although the host's 240 mA clamp leaves only 0.17 N·m
a joint (0.34 on the geared MCP joints) instead of the 0.4-0.7 N·m the design was made for. Measured with this plant:
from the ``pregrasp`` pose the hand wraps around the object, and a plain open-loop squeeze at the clamp held 79 of 80
train objects at L2 and 49 of 80 at L4, so the range is feasible and leaves room at the top.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import product

import numpy as np

from allegro_description.errors import ConfigError, UnknownName
from allegro_description.state import Array

Vector = tuple[float, float, float]

SHAPES = ('sphere', 'capsule', 'cylinder', 'box', 'ellipsoid')
SIZES = {'sphere': 1, 'capsule': 2, 'cylinder': 2, 'box': 3, 'ellipsoid': 3}
# First word of every seed sequence: keeps the sets apart whatever episode seeds are used.
OBJECT_SETS = {'train': 101, 'H1': 202}
MASS_RANGE = (0.03, 0.40)           # kg, log-uniform
FRICTION_RANGE = (0.35, 1.2)        # sliding, set on both sides of a contact; rubber pads on dry household surfaces
COM_OFFSET = 0.008                  # m per axis, but at most a quarter of the smallest half extent


@dataclass(frozen=True, slots=True)
class ObjectSpec:
    """One object.

    Attributes:
        shape: one of :data:`SHAPES`.
        size: sphere (radius), capsule and cylinder (radius, length between the cap centres, along z), box (full
            edges), ellipsoid (semi-axes); m. The same conventions as :class:`allegro_description.model.Shape`.
        mass: kg.
        friction: sliding friction coefficient of every contact with it.
        com: offset of the centre of mass from the shape's centre, m.
        rgba: colour for viewers, 0..1.
    """

    shape: str
    size: tuple[float, ...]
    mass: float
    friction: float = 0.8
    com: Vector = (0.0, 0.0, 0.0)
    rgba: tuple[float, float, float, float] = (0.90, 0.55, 0.20, 1.0)

    def __post_init__(self) -> None:
        if self.shape not in SHAPES:
            raise UnknownName('object shape', self.shape, SHAPES)
        if len(self.size) != SIZES[self.shape]:
            raise ConfigError(f'object {self.shape}: size has {len(self.size)} values, needs {SIZES[self.shape]}')
        if not all(math.isfinite(v) and v > 0 for v in (*self.size, self.mass, self.friction)):
            raise ConfigError(f'object {self.shape}: size, mass and friction must be positive, got {self}')

    @property
    def extent(self) -> Vector:
        """Edges of the bounding box in the object's frame, m."""
        if self.shape == 'box':
            x, y, z = self.size
            return (x, y, z)
        if self.shape == 'ellipsoid':
            a, b, c = self.size
            return (2 * a, 2 * b, 2 * c)
        radius = self.size[0]
        length = self.size[1] if len(self.size) > 1 else 0.0
        cap = 2 * radius if self.shape != 'cylinder' else 0.0
        return (2 * radius, 2 * radius, length + cap)

    @property
    def inertia(self) -> Vector:
        """Principal moments about the mass centre at uniform density, axes of the shape, kg·m²."""
        m = self.mass
        if self.shape == 'box':
            x, y, z = self.size
            return (m * (y * y + z * z) / 12, m * (x * x + z * z) / 12, m * (x * x + y * y) / 12)
        if self.shape == 'ellipsoid':
            a, b, c = self.size
            return (m * (b * b + c * c) / 5, m * (a * a + c * c) / 5, m * (a * a + b * b) / 5)
        r = self.size[0]
        if self.shape == 'sphere':
            return (0.4 * m * r * r,) * 3
        length = self.size[1]
        if self.shape == 'cylinder':
            across = m * (3 * r * r + length * length) / 12
            return (across, across, m * r * r / 2)
        # capsule: cylinder plus two half spheres, masses by volume
        ball = m * (4 * r / 3) / (4 * r / 3 + length)
        rod = m - ball
        across = (rod * (3 * r * r + length * length) / 12
                  + ball * (0.4 * r * r + length * length / 4 + 3 * r * length / 8))
        return (across, across, rod * r * r / 2 + ball * 0.4 * r * r)

    def support(self, turn: Array) -> float:
        """Half height of the object along the palm's x axis when turned by ``turn`` (3, 3), m."""
        axis = turn[0]                                     # palm x in object coordinates
        half = np.array(self.extent) / 2
        if self.shape == 'box':
            return float(np.abs(axis) @ half)
        if self.shape in ('sphere', 'ellipsoid'):
            return float(np.linalg.norm(axis * half))
        radius, length = self.size
        along = abs(float(axis[2])) * length / 2
        return along + radius * (1.0 if self.shape == 'capsule' else math.hypot(axis[0], axis[1]))

    def surface_point(self, rng: np.random.Generator) -> Array:
        """A random point on (for curved shapes: close to) the surface, object frame, m, (3,)."""
        half = np.array(self.extent) / 2
        direction = rng.normal(size=3)
        direction /= np.linalg.norm(direction)
        if self.shape in ('box', 'cylinder'):
            return np.asarray(direction / np.max(np.abs(direction)) * half * (1.0 if self.shape == 'box' else 0.7))
        return np.asarray(direction * half)

    def corners(self) -> Array:
        """Corners of the bounding box, object frame, m, (8, 3)."""
        return np.array(list(product(*[(-e / 2, e / 2) for e in self.extent])))


def sample_object(rng: np.random.Generator, object_set: str = 'train') -> ObjectSpec:
    """Draw an object. The set only matters for the seed of ``rng`` (see :func:`object_rng`); both share the families.

    Raises:
        UnknownName: no such object set.
    """
    if object_set not in OBJECT_SETS:
        raise UnknownName('object set', object_set, OBJECT_SETS)
    shape = str(rng.choice(SHAPES))
    if shape == 'sphere':
        size: tuple[float, ...] = (rng.uniform(0.022, 0.040),)
    elif shape in ('capsule', 'cylinder'):
        radius = rng.uniform(0.018, 0.038)
        size = (radius, rng.uniform(0.05, 0.14) if shape == 'cylinder' else rng.uniform(0.02, 0.10))
    elif shape == 'box':
        size = tuple(float(v) for v in rng.uniform(0.030, 0.076, 3))
    else:
        size = tuple(float(v) for v in rng.uniform(0.020, 0.040, 3))
    mass = float(np.exp(rng.uniform(*np.log(MASS_RANGE))))
    friction = float(rng.uniform(*FRICTION_RANGE))
    spec = ObjectSpec(shape, tuple(float(v) for v in size), mass, friction)
    reach = min(COM_OFFSET, min(spec.extent) / 8)
    com = rng.uniform(-reach, reach, 3)
    colour = rng.uniform(0.25, 0.9, 3)
    return ObjectSpec(shape, spec.size, mass, friction, (float(com[0]), float(com[1]), float(com[2])),
                      (float(colour[0]), float(colour[1]), float(colour[2]), 1.0))


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
