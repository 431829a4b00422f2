"""``allegro-bench env``: what this machine is, as results describe it."""

from __future__ import annotations

import argparse
import json
from typing import Any

from allegro_bench import environment


def add_commands(commands: Any) -> None:
    """Register the sub-commands."""
    words = 'describe this machine as results do'
    command = commands.add_parser('env', help=words, description=words)
    command.add_argument('--json', action='store_true', help='print the section of a result file')
    command.set_defaults(run=_env)


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
