"""``allegro-ai tune-baseline`` and ``choose-masses``: numbers of the baselines and of the task, found by search."""

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
from allegro_description.simulation.objects import object_rng

from allegro_ai.evaluation.masses import ASKED, LEVEL, bounds, largest
from allegro_ai.evaluation.progress import Bar
from allegro_ai.evaluation.tuning import TuneConfig, choose_plans, tune
from allegro_ai.tasks.baselines import FORESIGHT, SPACES, tuned
from allegro_ai.tasks.workers import Workers


def add_command(commands: Any) -> None:
    """Register the sub-command."""
    tuner = commands.add_parser(
        'tune-baseline', help='choose the numbers of baselines on training objects, so that they are at their best',
        description='Seeded search on training objects with common random numbers. The result goes into '
                    'policies/baselines.json, with this command, its seeds and what came out.')
    names = (*sorted(SPACES), FORESIGHT)
    tuner.add_argument('names', nargs='+', choices=names, metavar='NAME',
                       help=f'{", ".join(names)} (the plans among which it chooses; after oracle)')
    tuner.add_argument('--output', type=Path, default=None, help='file of results (default: that of the package)')
    for p in parameters(TuneConfig):
        tuner.add_argument(f'--{p.name}', type=type(p.default), default=p.default,
                           help=f'{p.doc}, {p.allowed()} (default {p.default})')
    tuner.add_argument('--model', default='v5_sense', help='hand model')
    tuner.add_argument('--side', default='right', help='hand side')
    tuner.add_argument('--workers', type=int, default=0, help='processes (0: one per CPU)')
    tuner.set_defaults(run=_tune)
    chooser = commands.add_parser(
        'choose-masses', help='how heavy objects may be for the oracle to succeed in 90 % at L2',
        description='Runs the oracle on objects of the masses of the design and prints what each upper bound would '
                    'give. The largest that reaches 90 % on training objects is MASS_RANGE of the object sets.')
    chooser.add_argument('--episodes', type=int, default=600, help='objects that are tried (default 600)')
    chooser.add_argument('--object-set', default='train', help='where they come from (default train)')
    chooser.add_argument('--model', default='v5_sense', help='hand model')
    chooser.add_argument('--side', default='right', help='hand side')
    chooser.add_argument('--workers', type=int, default=0, help='processes (0: one per CPU)')
    chooser.set_defaults(run=_choose)


def _tune(args: argparse.Namespace) -> int:
    hand = load_hand(args.model, args.side)
    config = from_mapping(TuneConfig, {p.name: getattr(args, p.name) for p in parameters(TuneConfig)})
    path = args.output or share_dir('allegro_ai') / 'policies' / 'baselines.json'
    with Workers(args.workers) as workers:
        for name in args.names:
            with Bar(name) as bar:
                found = (choose_plans(hand, config, workers, bar.show) if name == FORESIGHT
                         else tune(hand, name, config, workers, bar.show))
            keep(path, name, found)
            print(f'{name}: success {100 * found["success"]:.1f} % on {found["episodes"]} fresh training episodes, '
                  f'{100 * found["success_before"]:.1f} % before; {found["wall_s"]:.0f} s; written to {path}')
    return 0


def _choose(args: argparse.Namespace) -> int:
    if args.episodes < 1:
        raise ConfigError(f'--episodes is {args.episodes}; allowed: at least 1')
    hand = load_hand(args.model, args.side)
    object_rng(0, args.object_set, 0)           # refuses a set that does not exist
    with Workers(args.workers) as workers, Bar('oracle') as bar:
        found = bounds(hand, args.episodes, workers, object_set=args.object_set, progress=bar.show)
    print('| heaviest, kg | n | success, % [95 %] | held, % |\n|---|---|---|---|')
    for b in found:
        low, high = b.ci95
        print(f'| {b.mass:.2f} | {b.n} | {100 * b.rate:.1f} [{100 * low:.1f}, {100 * high:.1f}] '
              f'| {100 * b.held / max(b.n, 1):.1f} |')
    best = largest(found)
    print(f'largest bound with {100 * ASKED:.0f} % success at {LEVEL}: '
          f'{"none of these" if best is None else f"{best.mass:.2f} kg"}')
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
        tuned.cache_clear()
    except (OSError, ValueError) as error:
        raise ConfigError(f'{path} cannot take the result of {name}: {error}; name another with --output') from error
