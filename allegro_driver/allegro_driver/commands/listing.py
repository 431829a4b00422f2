"""``allegro-hand list``: hands, links and codecs, and what no source could settle."""

from __future__ import annotations

import argparse
from typing import Any

from allegro_description.model import available_hands, read_hand
from allegro_description.share import share_dir

from allegro_driver.hardware import CODECS, HARDWARE
from allegro_driver.link import LINKS


def add(commands: Any) -> None:
    """Add the command."""
    commands.add_parser('list', help='hands, links and codecs; what is not verified').set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Print what there is."""
    print('No command of this suite has been run on a real hand yet: all numbers come from vendor sources.\n')
    for name in available_hands():
        model = read_hand(share_dir() / 'hands' / f'{name}.yaml')
        links = ', '.join(f'{kind} (codec {settings["codec"]})' for kind, settings in model.protocol.items())
        print(f'{name}: {len(model.joints)} joints, {len(model.taxels)} taxels\n  links: {links}')
        print(f'  poses: {", ".join(model.poses)}\n  motions: {", ".join((*model.motions, "gravcomp", "off"))}')
        print('  not verified:')
        for what, text in model.unverified.items():
            print(f'    {what}: {text}')
    for title, table in (('links', LINKS), ('codecs', CODECS), ('hardware', HARDWARE)):
        rows = ', '.join(name if usable else f'{name} ({reason})' for name, usable, reason in table.available())
        print(f'{title}: {rows}')
    return 0
