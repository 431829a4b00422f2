"""Hang a robot description on a frame outside the hand, so that several hands share one tree."""

from __future__ import annotations

from collections.abc import Sequence
from xml.etree import ElementTree

from allegro_description.errors import ConfigError


def mounted(urdf: str, root: str, pose: Sequence[float]) -> str:
    """The description with a new root link and a fixed joint to its old one.

    Args:
        urdf: URDF text with one root link.
        root: name of the new root, e.g. ``world``.
        pose: of the old root in the new one: x, y, z (m), roll, pitch, yaw (rad).

    Raises:
        ConfigError: the text has not exactly one root, or already has a link of the new name.
    """
    robot = ElementTree.fromstring(urdf)
    links = [link.get('name', '') for link in robot.findall('link')]
    children = {child.get('link', '') for child in robot.findall('joint/child')}
    roots = [name for name in links if name not in children]
    if len(roots) != 1 or root in links:
        raise ConfigError(f'cannot mount this description on {root!r}: its roots are {roots}, its links {links}')
    ElementTree.SubElement(robot, 'link', name=root)
    joint = ElementTree.SubElement(robot, 'joint', name=f'{root}_to_{roots[0]}', type='fixed')
    ElementTree.SubElement(joint, 'parent', link=root)
    ElementTree.SubElement(joint, 'child', link=roots[0])
    x, y, z, roll, pitch, yaw = pose
    ElementTree.SubElement(joint, 'origin', xyz=f'{x!r} {y!r} {z!r}', rpy=f'{roll!r} {pitch!r} {yaw!r}')
    ElementTree.indent(robot)
    return '<?xml version="1.0"?>\n' + ElementTree.tostring(robot, encoding='unicode') + '\n'
