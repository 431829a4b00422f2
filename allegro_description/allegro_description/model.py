"""The hand model: one YAML file per hand and side, read into frozen dataclasses.

:class:`HandModel` is the only home of joint names, joint orders, limits, gains, taxel layout and link geometry.
URDF, MuJoCo model, kinematics, codecs and policy bundles all derive from it. Lengths in m, angles in rad, masses in
kg, torques in N·m, currents in mA, pressures in Pa. The source of each number stands beside it in the YAML.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from allegro_description.description_file import read_document
from allegro_description.errors import ConfigError, UnknownName
from allegro_description.parts import UNITS, Actuation, Finger, Frame, Joint, Link, Shape, Taxel, Vector
from allegro_description.share import share_dir
from allegro_description.state import Array, frozen

__all__ = [
    'Actuation', 'Finger', 'Frame', 'HandModel', 'Joint', 'Link', 'Shape', 'Taxel', 'Vector', 'available_hands',
    'load_hand', 'read_hand',
]


@dataclass(frozen=True, eq=False)
class HandModel:
    """Everything the suite knows about one hand. Build it with :func:`load_hand`.

    ``serial_kind`` is the type letter its serial number must carry (V5 family), '' where that says nothing;
    ``protocol`` has one entry per kind of link: codec, ports, period. ``touch`` holds thresholds of its cells (Pa);
    ``confirm`` what an operator must have checked before torque: name -> sentence; ``motions`` its named motions, which
    the driver reads.
    """

    name: str
    model: str
    side: str
    palm: str
    joints: tuple[Joint, ...]
    fingers: tuple[Finger, ...]
    frames: tuple[Frame, ...]
    links: tuple[Link, ...]
    taxels: tuple[Taxel, ...]
    actuation: Actuation
    orders: Mapping[str, tuple[str, ...]]
    poses: Mapping[str, Array]
    protocol: Mapping[str, Any]
    serial_kind: str
    unverified: Mapping[str, str]
    sha256: str
    touch: Mapping[str, float] = field(default_factory=dict)
    confirm: Mapping[str, str] = field(default_factory=dict)
    motions: Mapping[str, Any] = field(default_factory=dict)

    @cached_property
    def joint_names(self) -> tuple[str, ...]:
        """Joint names in canonical order."""
        return tuple(j.name for j in self.joints)

    @cached_property
    def lower(self) -> Array:
        """Enforced lower limits, rad, (n_joints,)."""
        return frozen([j.lower for j in self.joints])

    @cached_property
    def upper(self) -> Array:
        """Enforced upper limits, rad, (n_joints,)."""
        return frozen([j.upper for j in self.joints])

    @cached_property
    def kp(self) -> Array:
        """Position gains, N·m/rad, (n_joints,)."""
        return frozen([j.kp for j in self.joints])

    @cached_property
    def kd(self) -> Array:
        """Velocity gains, N·m·s/rad, (n_joints,)."""
        return frozen([j.kd for j in self.joints])

    @cached_property
    def per_nm(self) -> Array:
        """Wire units of torque (mA, or PWM counts) per N·m and joint, gearing included, (n_joints,)."""
        return frozen([j.per_nm for j in self.joints])

    @cached_property
    def clamp(self) -> Array:
        """Bound of the torque field on the wire, mA or PWM counts, (n_joints,)."""
        return frozen([j.clamp for j in self.joints])

    @cached_property
    def torque_limit(self) -> Array:
        """Joint torque at the clamp, N·m, (n_joints,)."""
        return frozen(self.clamp / self.per_nm)

    @cached_property
    def flexion(self) -> NDArray[np.bool_]:
        """True for joints that close the hand (not abduction or opposition), (n_joints,)."""
        mask = np.array([j.flexion for j in self.joints])
        mask.setflags(write=False)
        return mask

    @cached_property
    def tip_taxels(self) -> NDArray[np.intp]:
        """Indices of the fingertip taxels, in the order of :attr:`fingers`."""
        by_finger = {t.finger: i for i, t in enumerate(self.taxels) if t.tip}
        return np.array([by_finger[f.name] for f in self.fingers if f.name in by_finger], dtype=np.intp)

    def joint_index(self, name: str) -> int:
        """Canonical index of a joint.

        Raises:
            UnknownName: no such joint.
        """
        try:
            return self.joint_names.index(name)
        except ValueError:
            raise UnknownName('joint', name, self.joint_names) from None

    def permutation(self, order: str | Sequence[str]) -> NDArray[np.intp]:
        """Return ``p`` with ``canonical[i] == other[p[i]]`` for a named order or a list of joint names.

        ``other[p]`` brings values into canonical order; ``canonical[np.argsort(p)]`` brings them back.

        Raises:
            UnknownName: no such named order, or a joint name that the hand does not have.
            ConfigError: names missing or repeated; the message lists them. There is no fallback to raw order.
        """
        if isinstance(order, str):
            if order not in self.orders:
                raise UnknownName('joint order', order, self.orders)
            order = self.orders[order]
        for name in order:
            self.joint_index(name)
        missing = [n for n in self.joint_names if n not in order]
        repeated = sorted({n for n in order if list(order).count(n) > 1})
        if missing or repeated:
            raise ConfigError(
                f'joint names must be exactly the {len(self.joints)} joints of {self.name}; '
                f'missing: {missing or "none"}; repeated: {repeated or "none"}'
            )
        places = {name: k for k, name in enumerate(order)}
        return np.array([places[n] for n in self.joint_names], dtype=np.intp)

    def pose(self, name: str) -> Array:
        """A named pose, rad, (n_joints,).

        Raises:
            UnknownName: no such pose.
        """
        if name not in self.poses:
            raise UnknownName('pose', name, self.poses)
        return self.poses[name]


def available_hands() -> tuple[str, ...]:
    """Names of the hands that have a description, e.g. ``v5_sense_right``."""
    return tuple(sorted(p.stem for p in (share_dir() / 'hands').glob('*.yaml')))


def load_hand(model: str = 'v5_sense', side: str = 'right') -> HandModel:
    """Load the description of a hand.

    Args:
        model: family member, e.g. ``v5_sense``.
        side: ``right`` or ``left``.

    Raises:
        UnknownName: there is no such description; the message lists those there are.
        ConfigError: the YAML is damaged.
    """
    name = f'{model}_{side}'
    if name not in available_hands():
        raise UnknownName('hand', name, available_hands())
    return read_hand(share_dir() / 'hands' / f'{name}.yaml')


def read_hand(path: Path) -> HandModel:
    """Read one description file, with the one it is based on.

    Raises:
        ConfigError: missing key, wrong length, lower limit above upper, frame or link that does not exist.
    """
    try:
        return _build(*read_document(path))
    except ConfigError:
        raise
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise ConfigError(f'hand description {path} is damaged: {type(error).__name__}: {error}') from error


def _vector(values: Sequence[float]) -> Vector:
    x, y, z = (float(v) for v in values)
    return (x, y, z)


def _build(doc: Mapping[str, Any], sha256: str) -> HandModel:
    gains = doc['gains']
    joints = tuple(_joint(row, gains, doc['actuation']) for row in doc['joints'])
    names = tuple(j.name for j in joints)
    fingers = tuple(
        Finger(f, tuple(j.name for j in joints if j.finger == f), doc['tips'][f]) for f in doc['finger_order']
    )
    links = tuple(
        Link(row['name'], float(row['mass']), _vector(row['com']), tuple(float(v) for v in row['inertia']),  # type: ignore[arg-type]
             tuple(_shape(s) for s in row.get('shapes', ())))
        for row in doc['links']
    )
    frames = tuple(Frame(f['name'], f['parent'], _vector(f['xyz']), _vector(f.get('rpy', (0, 0, 0))))
                   for f in doc['frames'])
    taxels = tuple(Taxel(t['name'], t['frame'], t['finger'], bool(t.get('tip', False)),
                         _vector(t.get('normal', (1, 0, 0)))) for t in doc['taxels'])
    actuation = doc['actuation']
    orders = {k: tuple(v) for k, v in doc.get('orders', {}).items()} | {'canonical': names}
    model = HandModel(
        name=f'{doc["model"]}_{doc["side"]}', model=doc['model'], side=doc['side'], palm=doc['palm'],
        joints=joints, fingers=fingers, frames=frames, links=links, taxels=taxels,
        actuation=_actuation(actuation),
        orders=orders, poses={k: frozen(v) for k, v in doc['poses'].items()},
        protocol=doc['protocol'], serial_kind=str(doc.get('serial_kind', '')),
        unverified=doc.get('unverified', {}), sha256=sha256,
        touch={k: float(v) for k, v in doc.get('touch', {}).items()}, confirm=doc.get('confirm', {}),
        motions=doc.get('motions', {}),
    )
    _check(model)
    return model


def _actuation(row: Mapping[str, Any]) -> Actuation:
    unit = row['unit']
    if unit not in UNITS:
        raise ConfigError(f'actuation.unit is {unit!r}; allowed: {", ".join(UNITS)}')
    numbers = {k: float(row[k]) for k in Actuation.__slots__ if k != 'unit'}
    if not (numbers['per_nm'] > 0 and numbers['clamp'] > 0 and numbers['position_lsb_deg'] > 0):
        raise ConfigError(f'actuation: per_nm, clamp and position_lsb_deg must be above 0, got {dict(row)!r}')
    return Actuation(unit=unit, **numbers)


def _joint(row: Mapping[str, Any], gains: Mapping[str, Any], actuation: Mapping[str, Any]) -> Joint:
    lower, upper = row['limit']
    vendor = row['urdf_range']
    kp, kd = gains[row['name']]
    own = {**actuation, **actuation.get('joints', {}).get(row['name'], {})}
    return Joint(
        name=row['name'], finger=row['finger'], parent=row['parent'], child=row['child'],
        xyz=_vector(row['xyz']), rpy=_vector(row.get('rpy', (0, 0, 0))), axis=_vector(row['axis']),
        lower=float(lower), upper=float(upper), urdf_range=(float(vendor[0]), float(vendor[1])),
        kp=float(kp), kd=float(kd), per_nm=float(own['per_nm']), clamp=float(own['clamp']),
        gear_ratio=float(own['gear_ratio']), flexion=bool(row.get('flexion', True)),
    )


def _shape(row: Mapping[str, Any]) -> Shape:
    sizes = {'box': 3, 'cylinder': 2, 'capsule': 2, 'sphere': 1}
    if row['kind'] not in sizes or len(row['size']) != sizes[row['kind']]:
        raise ConfigError(f'shape {dict(row)!r}: kind must be one of {sorted(sizes)} with {sizes} sizes')
    return Shape(row['kind'], tuple(float(v) for v in row['size']), _vector(row.get('xyz', (0, 0, 0))),
                 _vector(row.get('rpy', (0, 0, 0))))


def _check(model: HandModel) -> None:
    links = {link.name for link in model.links}
    frames = {frame.name for frame in model.frames}
    for joint in model.joints:
        if joint.lower >= joint.upper:
            raise ConfigError(f'{model.name}: {joint.name} has limit [{joint.lower}, {joint.upper}]; lower >= upper')
        for end in (joint.parent, joint.child):
            if end not in links:
                raise UnknownName('link', end, links, f'({model.name}, {joint.name})')
    for frame in model.frames:
        if frame.parent not in links | frames:
            raise UnknownName('link', frame.parent, links, f'({model.name}, frame {frame.name})')
    for name in [t.frame for t in model.taxels] + [f.tip for f in model.fingers]:
        if name not in frames:
            raise UnknownName('frame', name, frames, f'({model.name})')
    for name, pose in model.poses.items():
        if pose.shape != (len(model.joints),):
            raise ConfigError(f'{model.name}: pose {name!r} has {pose.size} values, needs {len(model.joints)}')
        if (pose < model.lower).any() or (pose > model.upper).any():
            bad = [j.name for j, q in zip(model.joints, pose, strict=True) if not j.lower <= q <= j.upper]
            raise ConfigError(f'{model.name}: pose {name!r} leaves the limits at {bad}')
    for order in model.orders:
        model.permutation(order)
