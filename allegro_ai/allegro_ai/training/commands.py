"""`allegro-ai train` and `publish`: sub-commands with progress lines."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from allegro_description.config import from_mapping, parameters
from allegro_description.errors import ConfigError
from allegro_description.model import load_hand

from allegro_ai.evaluation.closed_loop import outcome
from allegro_ai.evaluation.pieces import Pieces
from allegro_ai.tasks.workers import Workers
from allegro_ai.training import slip_commands
from allegro_ai.training.network_commands import add_options
from allegro_ai.training.publish import SEEDS_PER_ARM, SETS, publish, same_but_seed
from allegro_ai.training.random_search import SearchConfig, search
from allegro_ai.training.structured_commands import add_options as add_structured_options
from allegro_ai.training.terminal import add_hand_options, status
from allegro_ai.training.trained import load_trained


def add_commands(commands: Any) -> None:
    """Register the sub-commands on an ``add_subparsers`` object; each sets ``run`` to a function of the arguments."""
    top = commands.add_parser(
        'train', help='train a TactileHold policy in simulation (CPU, minutes)',
        description='Train one policy for TactileHold in simulation. One command is one run; train five seeds with '
                    'and five without touch before publishing.')
    which = top.add_subparsers(dest='policy', required=True, metavar='POLICY')
    network = which.add_parser('tactile_hold', help='network, PPO with an asymmetric critic after a warm start')
    add_options(network)
    add_hand_options(network)
    slip_commands.add_training(which)
    structured = which.add_parser('structured', help='thirty numbers with a meaning each, evolution strategy')
    add_structured_options(structured)
    add_hand_options(structured)
    train = which.add_parser('linear', help='finger-shared linear policy, random search: 84 numbers, no libraries')
    train.add_argument('--output', type=Path, default=Path('runs/training'), help='folder for the result')
    train.add_argument('--no-touch', action='store_true', help='the arm that may not use touch')
    for p in parameters(SearchConfig):
        if p.name != 'touch':
            train.add_argument(f'--{p.name.replace("_", "-")}', type=type(p.default), default=p.default,
                               help=f'{p.doc}, {p.allowed()} {p.unit} (default {p.default})')
    add_hand_options(train)
    train.set_defaults(run=_train)
    slip_commands.add_commands(commands)
    ship = commands.add_parser(
        'publish', help='evaluate all runs of both arms and write the bundle of the median run with touch')
    ship.add_argument('results', nargs='+', type=Path, help='what allegro-ai train wrote, runs of both arms')
    ship.add_argument('--bundle', type=Path, required=True, help='folder of the bundle')
    ship.add_argument('--episodes', type=int, default=300, help='test episodes per row and level, at least 300')
    ship.add_argument('--object-set', default='H2', choices=sorted(SETS), help='test objects (default H2)')
    ship.add_argument('--version', default='0.1.0', help='semantic version of the bundle')
    ship.add_argument('--replace', action='store_true', help='overwrite an existing folder')
    ship.add_argument('--kept', type=Path, default=Path('runs/publish'),
                      help='keeps finished episodes: after Ctrl-C the same command goes on (%(default)s)')
    add_hand_options(ship)
    ship.set_defaults(run=_publish)


def _train(args: argparse.Namespace) -> int:
    hand = load_hand(args.model, args.side)
    values = {p.name: getattr(args, p.name) for p in parameters(SearchConfig) if p.name != 'touch'}
    config = from_mapping(SearchConfig, {**values, 'touch': not args.no_touch})

    def progress(update: int, reward: float, elapsed: float) -> None:
        done = update == config.iterations or update % 10 == 0
        status(f'update {update}/{config.iterations}  mean return {reward:.1f}  {elapsed:.0f} s', last=done)

    with Workers(args.workers) as workers:
        result = search(hand, config, workers, progress)
    path = result.save(args.output, hand)
    print(f'{result.episodes} episodes in {result.wall_s:.0f} s; written to {path}')
    return 0


def _publish(args: argparse.Namespace) -> int:
    if args.episodes < 300:
        raise ConfigError(f'--episodes is {args.episodes}; a published row needs at least 300')
    hand = load_hand(args.model, args.side)
    runs = [load_trained(path, hand) for path in sorted(args.results)]
    same_but_seed(runs)
    for touch in (True, False):
        count = sum(r.touch == touch for r in runs)
        if count < SEEDS_PER_ARM:
            print(f'warning: {count} runs {"with" if touch else "without"} touch; seeds differ more than touch '
                  f'matters, so {SEEDS_PER_ARM} of each arm are needed for a verdict', file=sys.stderr)
    with Workers(args.workers) as workers, Pieces(args.kept, outcome) as pieces:
        bundle = publish(args.bundle, hand, runs, workers, n=args.episodes, object_set=args.object_set,
                         version=args.version, replace_existing=args.replace, pieces=pieces,
                         progress=lambda what, done, total: status(f'{what}: {done}/{total}', last=done == total))
    print(f'{bundle.name} written to {args.bundle}; read {args.bundle / "MODEL_CARD.md"}')
    return 0
