"""URDF text of a hand, derived from its :class:`~allegro_description.model.HandModel`; no ROS needed.

What is seen are the collision primitives, or mesh files (see :mod:`allegro_description.meshes.files`).

Names of links and moving joints are the vendor's, with an optional prefix for robots with two hands. Every fixed frame
(fingertips, taxels) becomes a link on a fixed joint, so that robot_state_publisher offers it in /tf. URDF has no
capsule: it becomes a cylinder and two spheres. Limits are those the suite enforces; effort is the torque at the clamp.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from xml.etree import ElementTree

import numpy as np

from allegro_description.kinematics import rotation
from allegro_description.mjcf import RUBBER, SHELL, Physics, tip_shape
from allegro_description.model import HandModel, Link, Shape, Vector

MATERIALS = {'shell': SHELL, 'rubber': RUBBER}


@dataclass(frozen=True, slots=True)
class Visual:
    """A mesh file in its link's frame, m: URI, name of its material, colour (0 … 1)."""

    uri: str
    material: str
    rgba: tuple[float, float, float, float]


def build_urdf(
    model: HandModel, prefix: str = '', physics: Physics | None = None,
    visuals: Mapping[str, Sequence[Visual]] | None = None,
) -> str:
    """Return the URDF text.

    Args:
        model: the hand.
        prefix: put before every link and joint name, e.g. ``left_``.
        physics: source of joint damping and friction (ASSUMED values, see :class:`~allegro_description.mjcf.Physics`).
        visuals: mesh files by link; links without any, and all by default, show their primitives.
    """
    physics, visuals = physics or Physics(), visuals or {}
    root = ElementTree.Element('robot', name=prefix + model.name)
    for name, rgba in (MATERIALS | {v.material: v.rgba for row in visuals.values() for v in row}).items():
        material = ElementTree.SubElement(root, 'material', name=prefix + name)
        ElementTree.SubElement(material, 'color', rgba=_row(rgba))
    tips = {f.tip for f in model.fingers}
    for link in model.links:
        tip = next((f for f in model.frames if f.parent == link.name and f.name in tips), None)
        _link(root, prefix, link, tip_shape(link, tip) if tip else None, visuals.get(link.name, ()))
    for joint, effort in zip(model.joints, model.torque_limit.tolist(), strict=True):
        element = _joint(root, prefix, joint.name, 'revolute', joint.parent, joint.child, joint.xyz, joint.rpy)
        ElementTree.SubElement(element, 'axis', xyz=_row(joint.axis))
        ElementTree.SubElement(element, 'limit', lower=repr(joint.lower), upper=repr(joint.upper),
                               effort=repr(round(effort, 6)), velocity=repr(model.actuation.velocity_limit))
        ElementTree.SubElement(element, 'dynamics', damping=repr(physics.damping), friction=repr(physics.dry_friction))
    for frame in model.frames:
        ElementTree.SubElement(root, 'link', name=prefix + frame.name)
        name = frame.name.replace('link_sensor', 'sensor').replace('link_', 'joint_')       # as V5 files name them
        _joint(root, prefix, name, 'fixed', frame.parent, frame.name, frame.xyz, frame.rpy)
    ElementTree.indent(root)
    return '<?xml version="1.0"?>\n' + ElementTree.tostring(root, encoding='unicode') + '\n'


def _row(values: tuple[float, ...]) -> str:
    return ' '.join(repr(float(v)) for v in values)


def _joint(
    root: ElementTree.Element, prefix: str, name: str, kind: str, parent: str, child: str, xyz: Vector, rpy: Vector
) -> ElementTree.Element:
    element = ElementTree.SubElement(root, 'joint', name=prefix + name, type=kind)
    ElementTree.SubElement(element, 'parent', link=prefix + parent)
    ElementTree.SubElement(element, 'child', link=prefix + child)
    ElementTree.SubElement(element, 'origin', xyz=_row(xyz), rpy=_row(rpy))
    return element


def _link(
    root: ElementTree.Element, prefix: str, link: Link, dome: Shape | None, visuals: Sequence[Visual]
) -> None:
    element = ElementTree.SubElement(root, 'link', name=prefix + link.name)
    inertial = ElementTree.SubElement(element, 'inertial')
    ElementTree.SubElement(inertial, 'origin', xyz=_row(link.com), rpy='0 0 0')
    ElementTree.SubElement(inertial, 'mass', value=repr(link.mass))
    names = ('ixx', 'iyy', 'izz', 'ixy', 'ixz', 'iyz')
    ElementTree.SubElement(inertial, 'inertia', {n: repr(v) for n, v in zip(names, link.inertia, strict=True)})
    for visual in visuals:
        part = ElementTree.SubElement(element, 'visual')
        ElementTree.SubElement(part, 'origin', xyz='0 0 0', rpy='0 0 0')
        ElementTree.SubElement(ElementTree.SubElement(part, 'geometry'), 'mesh', filename=visual.uri)
        ElementTree.SubElement(part, 'material', name=prefix + visual.material)
    for shape in link.shapes:
        for tag in ('collision',) if visuals else ('visual', 'collision'):
            for primitive in _primitives(shape):
                part = _geometry(element, tag, primitive)
                if tag == 'visual':
                    colour = 'rubber' if shape is dome else 'shell'
                    ElementTree.SubElement(part, 'material', name=prefix + colour)


def _primitives(shape: Shape) -> list[Shape]:
    if shape.kind != 'capsule':
        return [shape]
    radius, length = shape.size
    along = rotation(shape.rpy)[:, 2] * length / 2
    ends = [np.array(shape.xyz) + side * along for side in (-1.0, 1.0)]
    caps = [Shape('sphere', (radius,), (float(x), float(y), float(z))) for x, y, z in ends]
    return [Shape('cylinder', shape.size, shape.xyz, shape.rpy), *caps]


def _geometry(link: ElementTree.Element, tag: str, shape: Shape) -> ElementTree.Element:
    part = ElementTree.SubElement(link, tag)
    ElementTree.SubElement(part, 'origin', xyz=_row(shape.xyz), rpy=_row(shape.rpy))
    geometry = ElementTree.SubElement(part, 'geometry')
    if shape.kind == 'box':
        ElementTree.SubElement(geometry, 'box', size=_row(shape.size))
    elif shape.kind == 'sphere':
        ElementTree.SubElement(geometry, 'sphere', radius=repr(shape.size[0]))
    else:
        ElementTree.SubElement(geometry, 'cylinder', radius=repr(shape.size[0]), length=repr(shape.size[1]))
    return part
