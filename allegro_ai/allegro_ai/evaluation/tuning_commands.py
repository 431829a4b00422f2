"""``allegro-ai tune-baseline``: choose the numbers of a baseline on training objects and keep them."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from allegro_description.config import from_mapping, parameters
from allegro_description.errors import ConfigError
from allegro_description.model import load_hand
from allegro_description.share import share_dir

from allegro_ai.evaluation.progress import Bar
from allegro_ai.evaluation.tuning import TuneConfig, tune
from allegro_ai.tasks.baselines import SPACES
from allegro_ai.tasks.workers import Workers


def add_command(commands: Any) -> None:
    """Register the sub-command."""
    tuner = commands.add_parser(
        'tune-baseline', help='choose the numbers of baselines on training objects, so that they are at their best',
        description='Seeded search on training objects with common random numbers. The result goes into '
                    'policies/baselines.json, with this command, its seeds and what came out.')
    tuner.add_argument('names', nargs='+', choices=sorted(SPACES), metavar='NAME', help=', '.join(sorted(SPACES)))
    tuner.add_argument('--output', type=Path, default=None, help='file of results (default: that of the package)')
    for p in parameters(TuneConfig):
        tuner.add_argument(f'--{p.name}', type=type(p.default), default=p.default,
                           help=f'{p.doc}, {p.allowed()} (default {p.default})')
    tuner.add_argument('--model', default='v5_sense', help='hand model')
    tuner.add_argument('--side', default='right', help='hand side')
    tuner.add_argument('--workers', type=int, default=0, help='processes (0: one per CPU)')
    tuner.set_defaults(run=_tune)


def _tune(args: argparse.Namespace) -> int:
    hand = load_hand(args.model, args.side)
    config = from_mapping(TuneConfig, {p.name: getattr(args, p.name) for p in parameters(TuneConfig)})
    path = args.output or share_dir('allegro_ai') / 'policies' / 'baselines.json'
    with Workers(args.workers) as workers:
        for name in args.names:
            with Bar(name) as bar:
                found = tune(hand, name, config, workers, bar.show)
            keep(path, name, found)
            print(f'{name}: success {100 * found["success"]:.1f} % on {found["episodes"]} fresh training episodes, '
                  f'{100 * found["success_before"]:.1f} % before; {found["wall_s"]:.0f} s; written to {path}')
    return 0


def keep(path: Path, name: str, found: Mapping[str, Any]) -> None:
    """Put one result into the file of results; the others stay.

    Raises:
        ConfigError: the file is there and is not such a file, or cannot be written.
    """
    try:
        table = json.loads(path.read_text(encoding='utf-8')) if path.is_file() else {}
        if not isinstance(table, dict):
            raise ValueError('no object of JSON')
        text = json.dumps({**table, name: found}, indent=1, sort_keys=True) + '\n'
        path.write_text(text, encoding='utf-8')
    except (OSError, ValueError) as error:
        raise ConfigError(f'{path} cannot take the result of {name}: {error}; name another with --output') from error
