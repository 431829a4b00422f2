"""``allegro-bench meters`` and ``env``: what this machine can measure, and what it is."""

from __future__ import annotations

import argparse
import json
from typing import Any

from allegro_description.errors import AllegroError

from allegro_bench import environment
from allegro_bench.meters import METERS
from allegro_bench.meters.opening import open_meter


def add_commands(commands: Any) -> None:
    """Register the sub-commands."""
    words = 'list energy meters and whether they work here'
    commands.add_parser('meters', help=words, description=words).set_defaults(run=_meters)
    words = 'describe this machine as results do'
    command = commands.add_parser('env', help=words, description=words)
    command.add_argument('--json', action='store_true', help='print the section of a result file')
    command.set_defaults(run=_env)


def _meters(given: argparse.Namespace) -> int:
    width = max(len(name) for name in METERS.names())
    for name in METERS.names():
        try:
            meter = open_meter(name)
            ids = ', '.join(f'{c.id} ({c.boundary}, {c.quality})' for c in meter.channels)
            meter.close()
            words = f'works: {ids}' if ids else 'always there: energy is then unknown, and said to be'
        except AllegroError as error:
            words = f'not here: {error}'
        print(f'{name:<{width}}  {words}')
    return 0


def _env(given: argparse.Namespace) -> int:
    card = environment.describe()
    if given.json:
        print(json.dumps(card, indent=1, ensure_ascii=False))
        return 0
    for key, value in card.items():
        if isinstance(value, dict):
            value = ', '.join(f'{k} {"unknown" if v is None else v}' for k, v in value.items()) or 'none'
        print(f'{key:<14} {"unknown" if value is None or value == [] else value}')
    for found in environment.preflight(card):
        print(f'note: {found["detail"]}; {found["recommendation"]}')
    return 0
