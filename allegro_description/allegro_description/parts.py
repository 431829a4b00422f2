"""What a hand is made of: joints, links with shapes, frames, taxels, fingers, actuation; plain frozen values.

Lengths in m, angles in rad, masses in kg, torques in N·m, currents in mA, pressures in Pa.
"""

from __future__ import annotations

from dataclasses import dataclass

Vector = tuple[float, float, float]
UNITS = ('mA', 'PWM')


@dataclass(frozen=True, slots=True)
class Joint:
    """One actuated revolute joint; its index in :attr:`HandModel.joints` is the canonical index.

    Attributes:
        lower, upper: limits the suite enforces, rad.
        urdf_range: range of the vendor's URDF, rad (wider or equal; used for the published test vectors).
        kp, kd: gains of the host position controller, N·m/rad and N·m·s/rad.
        per_nm: units of the torque field on the wire per N·m at this joint; see :class:`Actuation`.
        clamp: bound of the torque field, same unit, symmetric.
        gear_ratio: motor turns per joint turn.
    """

    name: str
    finger: str
    parent: str
    child: str
    xyz: Vector
    rpy: Vector
    axis: Vector
    lower: float
    upper: float
    urdf_range: tuple[float, float]
    kp: float
    kd: float
    per_nm: float
    clamp: float
    gear_ratio: float
    flexion: bool


@dataclass(frozen=True, slots=True)
class Frame:
    """A fixed frame: fingertips and taxels. ``xyz`` and ``rpy`` are relative to the link ``parent``."""

    name: str
    parent: str
    xyz: Vector
    rpy: Vector = (0.0, 0.0, 0.0)


@dataclass(frozen=True, slots=True)
class Shape:
    """A primitive in its link's frame.

    Attributes:
        kind: ``box`` (size = full edges), ``cylinder``/``capsule`` (size = radius, length between cap centres,
            along z) or ``sphere`` (size = radius).
        size: see ``kind``, m.
    """

    kind: str
    size: tuple[float, ...]
    xyz: Vector = (0.0, 0.0, 0.0)
    rpy: Vector = (0.0, 0.0, 0.0)


@dataclass(frozen=True, slots=True)
class Link:
    """A rigid body: mass, centre of mass, inertia about it (ixx, iyy, izz, ixy, ixz, iyz), shapes."""

    name: str
    mass: float
    com: Vector
    inertia: tuple[float, float, float, float, float, float]
    shapes: tuple[Shape, ...] = ()


@dataclass(frozen=True, slots=True)
class Taxel:
    """One pressure cell. ``frame`` names its :class:`Frame`; it faces along ``normal`` of that frame."""

    name: str
    frame: str
    finger: str
    tip: bool
    normal: Vector


@dataclass(frozen=True, slots=True)
class Finger:
    """A kinematic chain: joint names base to tip and the tip frame's name."""

    name: str
    joints: tuple[str, ...]
    tip: str


@dataclass(frozen=True, slots=True)
class Actuation:
    """How torque becomes a number on the wire, and numbers become angles and pressures.

    Attributes:
        unit: what the torque field counts: ``mA``, or ``PWM`` (duty cycle, V4).
        per_nm: wire units per N·m of a joint with the ordinary gear; joints that differ carry their own.
        clamp: bound of the torque field of an ordinary joint, wire units.
        velocity_limit: rad/s, enforced on targets.
        position_lsb_deg: degrees per position count.
        tactile_lsb_pa: Pa per count of the tactile field; 0 where the hand has none.
        tactile_saturation_pa: readings at or above it are saturated; 0 where the hand has none.
    """

    unit: str
    per_nm: float
    clamp: float
    velocity_limit: float
    position_lsb_deg: float
    tactile_lsb_pa: float
    tactile_saturation_pa: float
