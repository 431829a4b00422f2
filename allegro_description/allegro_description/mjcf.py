"""MuJoCo model (MJCF text) of a hand, derived from its :class:`~allegro_description.model.HandModel`.

The palm is fixed at the world origin, so the world frame is the palm frame; arm motion is simulated by a gravity
vector that changes with time. Touch: one MuJoCo ``touch`` sensor per taxel (sum of normal forces, N) over the pad's
area: the fingertip dome for tip taxels, the side of the link's shapes that the taxel faces (+-x or +-y, the link along
z) around the taxel frame for the others.
A contact on the very back of a phalanx counts as well (the sensor follows the normal through the link).

What no source gives and is assumed here stands in :class:`Physics`.
"""

from __future__ import annotations

from dataclasses import dataclass
from xml.etree import ElementTree

import numpy as np

from allegro_description.errors import ConfigError, UnknownName
from allegro_description.kinematics import rotation
from allegro_description.model import Finger, Frame, HandModel, Joint, Link, Shape, Taxel, Vector
from allegro_description.simulation.objects import ObjectSpec
from allegro_description.state import Array

ACTUATIONS = ('torque', 'position')
# Stiffness of friction over that of normal contact: at 10 held objects creep five times as fast (simulation/creep.py).
IMPRATIO = 100
OBJECT = 'object'
HUMAN = 'human_hand'
# Colours of shells and of the rubber pads (0..1, RGBA); the URDF uses them too.
SHELL = (0.13, 0.14, 0.16, 1.0)
RUBBER = (0.33, 0.35, 0.38, 1.0)


@dataclass(frozen=True, slots=True)
class Physics:
    """Plant constants that the vendor does not publish. All ASSUMED unless a source is named.

    Attributes:
        rotor_inertia: kg·m², of a 10 mm class coreless motor; with the gear ratio it makes the vendor's gains
            damped at about 0.7, which supports the order of magnitude.
        dry_friction: N·m a joint; the only number any vendor source holds (position controller of the Plexus hand).
        damping: N·m·s/rad a joint.
        torsion: m, torsional friction coefficient (soft pad of about 5 mm contact radius).
        solref, solimp: contact softness of rubber pads.
    """

    rotor_inertia: float = 1.0e-8
    dry_friction: float = 0.01
    damping: float = 0.005
    torsion: float = 0.003
    solref: tuple[float, float] = (0.012, 1.0)
    solimp: tuple[float, float, float] = (0.9, 0.97, 0.002)

    def armature(self, joint: Joint) -> float:
        """Reflected rotor inertia of a joint, kg·m²."""
        return self.rotor_inertia * joint.gear_ratio**2


@dataclass(frozen=True, slots=True)
class Scene:
    """What is around the hand: an object or none, the sliding friction without one, and the physics constants."""

    obj: ObjectSpec | None = None
    friction: float = 0.8
    physics: Physics = Physics()


def build_mjcf(
    model: HandModel, *, scene: Scene | None = None, actuation: str = 'torque', timestep: float = 0.003
) -> str:
    """Return the MJCF text of the hand and its scene.

    Args:
        model: the hand.
        scene: object and physics; an empty scene by default.
        actuation: ``torque``: control input is joint torque, N·m. ``position``: control input is the target angle,
            rad, of the gains' PD law. Both are clamped to the torque limit.
        timestep: s.

    Raises:
        UnknownName: no such actuation.
        ConfigError: a time step outside 0.1 to 10 ms, or a taxel that does not face along x or y of its link.
    """
    if actuation not in ACTUATIONS:
        raise UnknownName('actuation', actuation, ACTUATIONS)
    if not 1e-4 <= timestep <= 1e-2:
        raise ConfigError(f'timestep is {timestep} s; allowed: 0.0001 … 0.01 s')
    scene = scene or Scene()
    friction = scene.obj.friction if scene.obj else scene.friction
    root = ElementTree.Element('mujoco', model=model.name)
    _add(root, 'compiler', angle='radian', eulerseq='XYZ', autolimits='true')
    option = _add(root, 'option', timestep=timestep, integrator='implicitfast', cone='elliptic', impratio=IMPRATIO,
                  gravity=(-9.81, 0, 0), iterations=30, ls_iterations=20, tolerance=1e-7)
    # Objects are edited in place, which the trees of the middle phase do not follow; few geoms, so it saves nothing.
    _add(option, 'flag', midphase='disable')
    _add(root, 'size', memory='4M')
    default = _add(root, 'default')
    # Friction of two geoms combines by maximum, so both sides carry the same value.
    _add(default, 'geom', friction=(friction, scene.physics.torsion, 1e-4), condim=4, solref=scene.physics.solref,
         solimp=scene.physics.solimp, rgba=SHELL)
    _visuals(root)
    world = _add(root, 'worldbody')
    _add(world, 'light', pos=(0.4, 0.2, 0.4), dir=(-1, -0.5, -1), diffuse=(0.8, 0.8, 0.8))
    _add(world, 'light', pos=(0.4, -0.4, 0.0), dir=(-1, 1, 0), diffuse=(0.4, 0.4, 0.4))
    _add(world, 'camera', name='front', pos=(0.42, 0.12, 0.02), xyaxes=(-0.25, 0.97, 0, -0.1, 0, 1), fovy=45)
    _links(world, model, scene)
    if scene.obj is not None:
        _object(root, world, scene.obj)
    _excludes(root, model)
    _actuators(root, model, actuation)
    sensors = _add(root, 'sensor')
    for taxel in model.taxels:
        _add(sensors, 'touch', name=taxel.name, site='taxel_' + taxel.name)
    for finger in numb_fingers(model):
        _add(sensors, 'touch', name=tip_sensor(finger), site=tip_sensor(finger))
    ElementTree.indent(root)
    return ElementTree.tostring(root, encoding='unicode')


def _add(parent: ElementTree.Element, tag: str, **attributes: object) -> ElementTree.Element:
    return ElementTree.SubElement(parent, tag, {k.rstrip('_'): _text(v) for k, v in attributes.items()})


def _text(value: object) -> str:
    if isinstance(value, (tuple, list)):
        return ' '.join(_text(v) for v in value)
    return repr(float(value)) if isinstance(value, (float, np.floating)) else str(value)


def _visuals(root: ElementTree.Element) -> None:
    asset = _add(root, 'asset')
    _add(asset, 'texture', type='skybox', builtin='gradient', rgb1=(0.93, 0.95, 0.97), rgb2=(0.62, 0.68, 0.75),
         width=64, height=64)
    visual = _add(root, 'visual')
    _add(visual, 'global', offwidth=960, offheight=720)
    _add(visual, 'headlight', ambient=(0.35, 0.35, 0.35), diffuse=(0.4, 0.4, 0.4))


def _links(world: ElementTree.Element, model: HandModel, scene: Scene) -> None:
    bodies = {model.palm: _add(world, 'body', name=model.palm)}
    by_name = {link.name: link for link in model.links}
    _link(bodies[model.palm], model, by_name[model.palm])
    for joint in model.joints:
        body = _add(bodies[joint.parent], 'body', name=joint.child, pos=joint.xyz, euler=joint.rpy)
        bodies[joint.child] = body
        # Mechanical stops: the vendor's range. The narrower limits the suite enforces are the driver's business.
        _add(body, 'joint', name=joint.name, axis=joint.axis, range=joint.urdf_range, damping=scene.physics.damping,
             armature=scene.physics.armature(joint), frictionloss=scene.physics.dry_friction)
        _link(body, model, by_name[joint.child])


def _link(body: ElementTree.Element, model: HandModel, link: Link) -> None:
    _add(body, 'inertial', pos=link.com, mass=link.mass, fullinertia=link.inertia)
    for frame in model.frames:
        if frame.parent == link.name:
            _add(body, 'site', name=frame.name, pos=frame.xyz, euler=frame.rpy, size=0.001, group=4)
    pads = [(t, f) for t in model.taxels for f in model.frames if f.name == t.frame and f.parent == link.name]
    tips = {f.tip: f for f in model.fingers}
    tip = next((f for f in model.frames if f.name in tips and f.parent == link.name), None)
    dome = tip_shape(link, tip) if tip else None
    for k, shape in enumerate(link.shapes):
        _shape(body, 'geom', f'{link.name}_{k}', shape, rgba=RUBBER if shape is dome else SHELL)
    flat = [s for s in link.shapes if s is not dome]
    rows = sorted(((t, f) for t, f in pads if not t.tip), key=lambda row: row[1].xyz[2])
    for taxel, frame in pads:
        if taxel.tip and dome is not None:
            _cover(body, 'taxel_' + taxel.name, dome)
        else:
            _pad(body, taxel, frame, [f.xyz[2] for _, f in rows], flat)
    if tip is not None and dome is not None and tips[tip.name] in numb_fingers(model):
        _cover(body, tip_sensor(tips[tip.name]), dome)


def numb_fingers(model: HandModel) -> tuple[Finger, ...]:
    """Fingers without a taxel at the tip: the simulation measures their contact force, the hand does not."""
    return tuple(f for f in model.fingers if not any(t.tip and t.finger == f.name for t in model.taxels))


def tip_sensor(finger: Finger) -> str:
    """Name of the simulated sensor at the tip of a finger that has no taxel there."""
    return 'tip_' + finger.name


def tip_shape(link: Link, tip: Frame) -> Shape:
    """The shape of a distal link that is its fingertip: the one nearest to the tip frame."""
    return min(link.shapes, key=lambda s: float(np.linalg.norm(np.subtract(s.xyz, tip.xyz))))


def _cover(body: ElementTree.Element, name: str, dome: Shape) -> None:
    grown = Shape(dome.kind, (dome.size[0] + 0.001, *dome.size[1:]), dome.xyz, dome.rpy)
    _shape(body, 'site', name, grown, group=4, rgba=(0.9, 0.3, 0.2, 0.5))


def _pad(body: ElementTree.Element, taxel: Taxel, frame: Frame, heights: list[float], shapes: list[Shape]) -> None:
    facing = rotation(frame.rpy) @ np.array(taxel.normal)
    out = int(np.argmax(np.abs(facing)))                    # axis the cell looks along
    if out == 2 or abs(facing[out]) < 0.9:
        raise ConfigError(
            f'taxel {taxel.name}: faces {facing.round(3).tolist()} of its link; only +-x and +-y are supported')
    low, high = _bounds(shapes)
    k = heights.index(frame.xyz[2])
    low[2] = low[2] if k == 0 else (heights[k - 1] + heights[k]) / 2
    high[2] = high[2] if k == len(heights) - 1 else (heights[k] + heights[k + 1]) / 2
    middle, face = (low[out] + high[out]) / 2, (high[out] if facing[out] > 0 else low[out])
    low[out], high[out] = sorted((middle + 0.4 * (face - middle), face + 0.003 * np.sign(facing[out])))
    _add(body, 'site', name='taxel_' + taxel.name, type='box', group=4, rgba=(0.2, 0.6, 0.9, 0.4),
         pos=((low + high) / 2).tolist(), size=((high - low) / 2).tolist())


def _bounds(shapes: list[Shape]) -> tuple[Array, Array]:
    """Corners of the box around some shapes, link frame, m."""
    boxes = [(np.array(s.xyz), np.abs(rotation(s.rpy)) @ np.array(_half_edges(s))) for s in shapes]
    return (np.min([centre - half for centre, half in boxes], axis=0),
            np.max([centre + half for centre, half in boxes], axis=0))


def _half_edges(shape: Shape) -> Vector:
    if shape.kind == 'box':
        x, y, z = shape.size
        return (x / 2, y / 2, z / 2)
    radius = shape.size[0]
    length = shape.size[1] / 2 if len(shape.size) > 1 else 0.0
    return (radius, radius, length + (0.0 if shape.kind == 'cylinder' else radius))


def _shape(parent: ElementTree.Element, tag: str, name: str, shape: Shape, **more: object) -> None:
    if shape.kind == 'box':
        size: tuple[float, ...] = tuple(v / 2 for v in shape.size)
    else:
        size = (shape.size[0], *(v / 2 for v in shape.size[1:]))
    _add(parent, tag, name=name, type=shape.kind, size=size, pos=shape.xyz, euler=shape.rpy, **more)


def _object(root: ElementTree.Element, world: ElementTree.Element, obj: ObjectSpec) -> None:
    assets = root.find('asset')
    assert assets is not None
    _add(world, 'body', name=HUMAN, mocap='true', pos=(0.25, 0, 0))
    body = _add(world, 'body', name=OBJECT, pos=(0.25, 0, 0))
    _add(body, 'freejoint', name=OBJECT)
    _add(body, 'inertial', pos=obj.com, quat=obj.inertia_quat, mass=obj.mass, diaginertia=obj.inertia)
    for k, solid in enumerate(s for s in obj.solids if s.weight > 0):
        name = OBJECT if k == 0 else f'{OBJECT}_{k}'
        size: tuple[float, ...] = solid.size
        if solid.kind == 'hull':
            mesh = _add(assets, 'mesh', name=name, vertex=[v for vertex in solid.vertices for v in vertex])
            _add(body, 'geom', name=name, type='mesh', mesh=mesh.get('name'), pos=solid.xyz, quat=solid.quat,
                 rgba=obj.rgba)
            continue
        if solid.kind == 'box':
            size = tuple(v / 2 for v in size)
        elif len(size) == 2:
            size = (size[0], size[1] / 2)
        _add(body, 'geom', name=name, type=solid.kind, size=size, pos=solid.xyz, quat=solid.quat, rgba=obj.rgba)
    equality = _add(root, 'equality')
    _add(equality, 'weld', name=HUMAN, body1=OBJECT, body2=HUMAN, relpose=(0, 0, 0, 1, 0, 0, 0), active='false')


def _excludes(root: ElementTree.Element, model: HandModel) -> None:
    # Links that overlap by construction: the palm with the links of each finger's first two pivots (joints whose axes
    # share a point count as one), and neighbours two steps apart through a short link.
    contact = _add(root, 'contact')
    for finger in model.fingers:
        chain = [j for j in model.joints if j.finger == finger.name]
        pivots = np.cumsum([k == 0 or any(j.xyz) for k, j in enumerate(chain)])
        for joint in [j for j, pivot in zip(chain, pivots, strict=True) if pivot <= 2]:
            _add(contact, 'exclude', body1=model.palm, body2=joint.child)
        for first, second in zip(chain, chain[2:], strict=False):
            _add(contact, 'exclude', body1=first.child, body2=second.child)


def _actuators(root: ElementTree.Element, model: HandModel, actuation: str) -> None:
    actuator = _add(root, 'actuator')
    for joint, limit in zip(model.joints, model.torque_limit.tolist(), strict=True):
        if actuation == 'torque':
            _add(actuator, 'motor', name=joint.name, joint=joint.name, ctrlrange=(-limit, limit))
        else:
            _add(actuator, 'general', name=joint.name, joint=joint.name, forcerange=(-limit, limit),
                 gainprm=joint.kp, biastype='affine', biasprm=(0.0, -joint.kp, -joint.kd))
