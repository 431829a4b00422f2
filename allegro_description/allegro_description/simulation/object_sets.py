"""Named sets of objects, drawn by seed. The sets have seed spaces of their own, so no draw occurs in two of them.

===== =============================================================================================================
train sphere, capsule, cylinder, box, ellipsoid with sizes of their own; superquadrics (exponents 0.3-1.0, hulls of 62
      vertices) from a catalogue of 48
H1    new draws of the same families; a catalogue of 48 other superquadrics
H2    families never trained: hexagonal prism, truncated cone, dumbbell, L-shape, half-sphere, bent chain of capsules;
      a catalogue of 8 of each
H3    12 things of a household, of primitives and hulls with published dimensions
H4    the families of training, heavy (0.40-0.60 kg) or slippery (0.2-0.35), half of the draws each
===== =============================================================================================================

What comes from a catalogue is made 5 % larger or smaller at random. A catalogue keeps the number of models small that
have to be compiled; masses, friction, mass centres and sizes are edited in place.

Masses keep the design's 0.03-0.40 kg, although the 240 mA clamp leaves 0.17 N·m a joint (0.34 on the geared MCP joints)
instead of the 0.4-0.7 N·m the design was made for: it is the largest of the bounds that ``allegro-ai choose-masses``
tries, and the oracle succeeds there in 92.8 % [90.5, 94.6] of 600 episodes at L2 and holds 94.3 % (training objects,
seeds from 600,000,000, every randomisation of TactileHold-v2); 90 % were asked.

Dimensions of H3, and masses where they are at most 0.40 kg: Calli et al., "Benchmarking in Manipulation Research: The
YCB Object and Model Set", IEEE Robotics & Automation Magazine 22(3), 2015, table of the object set. Full containers
(sugar box 0.51 kg, mustard 0.60 kg) are taken at 0.40 kg, as if used up in part; the mug is a solid body, no handle.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache

import numpy as np

from allegro_description.errors import UnknownName
from allegro_description.kinematics import axis_rotation
from allegro_description.simulation.objects import OBJECT_SETS, SHAPES, ObjectSpec, compound, object_rng
from allegro_description.simulation.solids import Solid, Vector, loft, quaternion

DESIGN_MASS_RANGE = (0.03, 0.40)    # kg, log-uniform
MASS_RANGE = DESIGN_MASS_RANGE      # the upper bound is that of ``allegro-ai choose-masses``
FRICTION_RANGE = (0.35, 1.2)        # sliding, set on both sides of a contact; rubber pads on dry household surfaces
HEAVY_RANGE, SLIPPERY_RANGE = (0.40, 0.60), (0.20, 0.35)
COM_OFFSET = 0.008                  # m per axis, but at most a quarter of the smallest half extent
SIZE_SPREAD = 0.05                  # of what comes from a catalogue, relative
FAMILIES = (*SHAPES, 'superquadric')
SUPERQUADRICS, VARIANTS = 48, 8     # sizes of the catalogues
STREAM_CATALOGUE = 1000             # seed streams from here on draw the catalogues
UNIT_MASS = 1.0

Rng = np.random.Generator


def sample_object(rng: Rng, object_set: str = 'train') -> ObjectSpec:
    """Draw an object of a set; ``rng`` should come from :func:`~.objects.object_rng` of the same set.

    Raises:
        UnknownName: no such object set.
    """
    if object_set not in OBJECT_SETS:
        raise UnknownName('object set', object_set, OBJECT_SETS)
    mass = float(np.exp(rng.uniform(*np.log(MASS_RANGE))))
    friction = float(rng.uniform(*FRICTION_RANGE))
    scale = float(rng.uniform(1.0 - SIZE_SPREAD, 1.0 + SIZE_SPREAD))
    if object_set == 'H2':
        kind, which = int(rng.integers(len(NOVEL))), int(rng.integers(VARIANTS))
        obj = _variant(tuple(NOVEL)[kind], which)
    elif object_set == 'H3':
        name = tuple(HOUSEHOLD)[int(rng.integers(len(HOUSEHOLD)))]
        obj = _thing(name)
        mass = obj.mass
    else:
        if object_set == 'H4':
            heavy = rng.uniform() < 0.5
            mass = float(rng.uniform(*HEAVY_RANGE)) if heavy else mass
            friction = friction if heavy else float(rng.uniform(*SLIPPERY_RANGE))
        obj = _familiar(rng, object_set)
    scale = scale if obj.parts else 1.0
    reach = min(COM_OFFSET, scale * min(obj.extent) / 8)
    x, y, z = rng.uniform(-reach, reach, 3).tolist()
    red, green, blue = rng.uniform(0.25, 0.9, 3).tolist()
    return ObjectSpec(obj.shape, obj.size, mass, friction, (x, y, z), (red, green, blue, 1.0), obj.parts, scale)


def _familiar(rng: Rng, object_set: str) -> ObjectSpec:
    shape = str(rng.choice(FAMILIES))
    if shape == 'superquadric':
        return _superquadric(object_set, int(rng.integers(SUPERQUADRICS)))
    if shape == 'sphere':
        size: tuple[float, ...] = (float(rng.uniform(0.022, 0.040)),)
    elif shape in ('capsule', 'cylinder'):
        radius = float(rng.uniform(0.018, 0.038))
        size = (radius, float(rng.uniform(0.05, 0.14) if shape == 'cylinder' else rng.uniform(0.02, 0.10)))
    elif shape == 'box':
        size = tuple(rng.uniform(0.030, 0.076, 3).tolist())
    else:
        size = tuple(rng.uniform(0.020, 0.040, 3).tolist())
    return ObjectSpec(shape, size, UNIT_MASS)


@lru_cache(maxsize=256)
def _superquadric(object_set: str, which: int) -> ObjectSpec:
    rng = object_rng(which, object_set, STREAM_CATALOGUE)
    a, b, c = rng.uniform(0.020, 0.038, 3).tolist()
    north, east = rng.uniform(0.3, 1.0, 2).tolist()
    return compound('superquadric', (superquadric(a, b, c, north, east),), UNIT_MASS)


def superquadric(a: float, b: float, c: float, north: float, east: float) -> Solid:
    """Hull of a superquadric of semi-axes a, b, c (m): exponents 1 make an ellipsoid, towards 0 a box."""
    round_ = np.linspace(0.0, 2 * math.pi, 10, endpoint=False)
    outline = np.stack([_power(np.cos(round_), east), _power(np.sin(round_), east)], axis=1) * [a, b]
    rings = []
    for height in np.linspace(-math.pi / 2, math.pi / 2, 8)[1:-1]:
        across, along = float(np.cos(height) ** north), float(_power(np.sin(np.array(height)), north))
        rings.append((across * outline, c * along))
    return loft(rings, (-c, c))


def _power(value: np.ndarray, exponent: float) -> np.ndarray:
    return np.asarray(np.sign(value) * np.abs(value) ** exponent)


def ring(radius: float, points: int, stretch: float = 1.0) -> np.ndarray:
    """A circle (or ellipse) as an outline, (points, 2)."""
    angle = np.linspace(0.0, 2 * math.pi, points, endpoint=False)
    return np.stack([radius * np.cos(angle), stretch * radius * np.sin(angle)], axis=1)


def _prism(rng: Rng) -> tuple[Solid, ...]:
    radius, half = rng.uniform(0.022, 0.038), rng.uniform(0.025, 0.060)
    return (loft([(ring(radius, 6), -half), (ring(radius, 6), half)]),)


def _cone(rng: Rng) -> tuple[Solid, ...]:
    low, share, half = rng.uniform(0.026, 0.040), rng.uniform(0.45, 0.80), rng.uniform(0.025, 0.050)
    return (loft([(ring(low, 24), -half), (ring(share * low, 24), half)]),)


def _dumbbell(rng: Rng) -> tuple[Solid, ...]:
    disc, width, rod, length = (rng.uniform(*r) for r in (
        (0.024, 0.036), (0.018, 0.030), (0.010, 0.015), (0.040, 0.070)))
    away = (length + width) / 2
    return (Solid('cylinder', (disc, width), (0.0, 0.0, -away)), Solid('cylinder', (rod, length)),
            Solid('cylinder', (disc, width), (0.0, 0.0, away)))


def _corner(rng: Rng) -> tuple[Solid, ...]:
    thick, long, short, wide = (rng.uniform(*r) for r in (
        (0.020, 0.030), (0.070, 0.100), (0.045, 0.065), (0.025, 0.045)))
    return (Solid('box', (thick, wide, long)),
            Solid('box', (short - thick, wide, thick), (short / 2, 0.0, (thick - long) / 2)))


def _bowl(rng: Rng) -> tuple[Solid, ...]:
    radius = rng.uniform(0.028, 0.042)
    heights = np.arange(5) / 5 * math.pi / 2
    rings = [(ring(radius * math.cos(h), 12), radius * math.sin(h)) for h in heights]
    # the flat side has a point in its middle, so that both ends are closed in one way
    return (loft(rings, (0.0, radius)),)


def chain(radius: float, length: float, bends: tuple[float, ...]) -> tuple[Solid, ...]:
    """Capsules end to end, each turned by an angle (rad) against the one before; the balls between them count once.

    On the inner side of a bend two rods share a sliver more, about 1 % of the volume, which counts twice.
    """
    parts, angle, end = [], -sum(bends) / 2, np.zeros(3)
    for k in range(len(bends) + 1):
        turn = axis_rotation((0.0, 1.0, 0.0), angle)
        along = turn @ np.array([0.0, 0.0, 1.0])
        parts.append(Solid('capsule', (radius, length), _vector(end + along * length / 2), _turn(turn)))
        end = end + along * length
        if k < len(bends):
            parts.append(Solid('sphere', (radius,), _vector(end), weight=-1.0))
            angle += bends[k]
    return tuple(parts)


def _bent(rng: Rng) -> tuple[Solid, ...]:
    return chain(float(rng.uniform(0.014, 0.020)), float(rng.uniform(0.035, 0.050)),
                 tuple(rng.uniform(0.4, 0.8, 2).tolist()))


NOVEL: dict[str, Callable[[Rng], tuple[Solid, ...]]] = {
    'hexagonal_prism': _prism, 'truncated_cone': _cone, 'dumbbell': _dumbbell, 'l_shape': _corner,
    'half_sphere': _bowl, 'bent_chain': _bent,
}


@lru_cache(maxsize=256)
def _variant(name: str, which: int) -> ObjectSpec:
    rng = object_rng(which, 'H2', STREAM_CATALOGUE + 1 + tuple(NOVEL).index(name))
    return compound(name, NOVEL[name](rng), UNIT_MASS)


def _can(diameter: float, height: float) -> tuple[Solid, ...]:
    return (Solid('cylinder', (diameter / 2, height)),)


def _mustard() -> tuple[Solid, ...]:
    outline = ring(0.0475, 20, 58 / 95)                     # 58 x 95 mm in plan, 190 mm with its neck
    body = loft([(outline, -0.095), (outline, 0.035), (0.45 * outline, 0.060)])
    return (body, Solid('cylinder', (0.012, 0.035), (0.0, 0.0, 0.0775)))


def _screwdriver() -> tuple[Solid, ...]:
    handle = Solid('cylinder', (0.0155, 0.105), (0.0, 0.0, -0.055))
    return (handle, Solid('cylinder', (0.0035, 0.110), (0.0, 0.0, 0.0525)))


# Name: (solids, mass in kg); 36 x 190 mm for the banana, measured along its bend
HOUSEHOLD: dict[str, tuple[Callable[[], tuple[Solid, ...]], float]] = {
    'soup_can': (lambda: _can(0.066, 0.101), 0.349),
    'tuna_can': (lambda: _can(0.085, 0.033), 0.171),
    'sugar_box': (lambda: (Solid('box', (0.038, 0.089, 0.175)),), 0.40),
    'mustard_bottle': (_mustard, 0.40),
    'tennis_ball': (lambda: (Solid('sphere', (0.0647 / 2,)),), 0.058),
    'cube_toy': (lambda: (Solid('box', (0.057, 0.057, 0.057)),), 0.094),
    'mug_body': (lambda: _can(0.080, 0.082), 0.118),
    'banana': (lambda: chain(0.018, 0.154 / 3, (0.45, 0.45)), 0.066),
    'screwdriver': (_screwdriver, 0.097),
    'marker': (lambda: _can(0.018, 0.121), 0.016),
    'golf_ball': (lambda: (Solid('sphere', (0.0427 / 2,)),), 0.046),
    'meat_can': (lambda: (Solid('box', (0.050, 0.097, 0.082)),), 0.370),
}


@lru_cache(maxsize=64)
def _thing(name: str) -> ObjectSpec:
    parts, mass = HOUSEHOLD[name]
    return compound(name, parts(), mass)


def _vector(values: np.ndarray) -> Vector:
    x, y, z = values.tolist()
    return (x, y, z)


def _turn(turn: np.ndarray) -> tuple[float, float, float, float]:
    w, x, y, z = quaternion(turn).tolist()
    return (w, x, y, z)
