"""``python -m allegro_description.robot_macros FOLDER``: write the xacro macro of every hand.

Each file is the hand's URDF inside a macro with the parameters ``prefix`` (before every name), and ``parent``, ``xyz``
and ``rpy`` (a link that the palm is fixed to, and where). The files in ``xacro/`` are made by this command and never
edited; ``xacro/allegro_hand.urdf.xacro`` picks one of them.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from xml.etree import ElementTree

from allegro_description.model import HandModel, available_hands, load_hand
from allegro_description.urdf import build_urdf

NAMESPACE = 'http://www.ros.org/wiki/xacro'
PREFIX = '${prefix}'
HEADER = """<?xml version="1.0"?>
<!-- Made from hands/{name}.yaml by: python -m allegro_description.robot_macros FOLDER. Do not edit. -->
"""


def macro_name(model: HandModel) -> str:
    """Name of a hand's macro, also of its file without ``.urdf.xacro``."""
    return f'allegro_{model.name}'


def build_macro(model: HandModel) -> str:
    """Text of the xacro file that defines the macro of one hand."""
    ElementTree.register_namespace('xacro', NAMESPACE)
    root = ElementTree.Element('robot')
    macro = ElementTree.SubElement(
        root, f'{{{NAMESPACE}}}macro', name=macro_name(model), params="prefix:='' parent:='' xyz:='0 0 0' rpy:='0 0 0'")
    macro.extend(ElementTree.fromstring(build_urdf(model, PREFIX)))
    mount = ElementTree.SubElement(macro, f'{{{NAMESPACE}}}if', value="${parent != ''}")
    joint = ElementTree.SubElement(mount, 'joint', name=f'{PREFIX}mount', type='fixed')
    ElementTree.SubElement(joint, 'parent', link='${parent}')
    ElementTree.SubElement(joint, 'child', link=PREFIX + model.palm)
    ElementTree.SubElement(joint, 'origin', xyz='${xyz}', rpy='${rpy}')
    ElementTree.indent(root)
    return HEADER.format(name=model.name) + ElementTree.tostring(root, encoding='unicode') + '\n'


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point; returns the exit code."""
    given = list(sys.argv[1:] if argv is None else argv)
    if len(given) != 1 or not Path(given[0]).is_dir():
        print('usage: python -m allegro_description.robot_macros FOLDER (one that exists)', file=sys.stderr)
        return 2
    for name in available_hands():
        model = load_hand(*name.rsplit('_', 1))
        path = Path(given[0]) / f'{macro_name(model)}.urdf.xacro'
        path.write_text(build_macro(model), encoding='utf-8')
        print(path)
    return 0


if __name__ == '__main__':
    sys.exit(main())
