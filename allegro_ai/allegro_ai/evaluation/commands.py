"""``allegro-ai evaluate``, ``gallery`` and ``tune-baseline``."""

from __future__ import annotations

import argparse
import shlex
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from allegro_description.errors import ConfigError
from allegro_description.model import load_hand
from allegro_description.simulation.episode import MAX_FACTOR, disturbance
from allegro_description.simulation.objects import object_rng

from allegro_ai.evaluation import gallery_commands, tuning_commands
from allegro_ai.evaluation.document import CURVE, document, markdown, write
from allegro_ai.evaluation.entrants import Entrant, entrants
from allegro_ai.evaluation.pieces import Cell, Pieces, run_cells
from allegro_ai.evaluation.progress import Bar
from allegro_ai.evaluation.trials import Trial
from allegro_ai.tasks.workers import Workers

CURVE_FROM = 500_000                # first seed of the curve: its episodes are none of the tables'
CURVE_LARGEST = 6.0                 # object weights
WHAT = ('B0 … B7, "baselines" for all of them, a bundle, a training result (file or folder), or LABEL=any of these')


def add_commands(commands: Any) -> None:
    """Register the sub-commands on an ``add_subparsers`` object; each sets ``run`` to a function of the arguments."""
    trial = commands.add_parser(
        'evaluate', help='closed loop: policies x object sets x levels on the same unseen episodes, with intervals',
        description='Every policy runs the same episodes in lock-step simulation. Results are kept as they finish: '
                    'after Ctrl-C the same command goes on. Writes evaluation.json and evaluation.md into the folder.')
    trial.add_argument('policies', nargs='*', default=['baselines'], metavar='POLICY',
                       help=f'{WHAT} (default: baselines)')
    trial.add_argument('--object-set', nargs='+', default=['H2'], help='train, H1 … H4 (default H2)')
    trial.add_argument('--level', nargs='+', default=['L2', 'L3'], help='L0 … L4 or object weights (default L2 L3)')
    trial.add_argument('--episodes', type=int, default=1000, help='episodes per policy, set and level (default 1000)')
    trial.add_argument('--curve', type=int, default=0, metavar='N',
                       help=f'N more episodes with pushes drawn from 0 … {CURVE_LARGEST:g} object weights, for the '
                            'disturbance with 50 %% success (default 0: none)')
    trial.add_argument('--reference', help='label that the others are compared with (default: the first)')
    trial.add_argument('--first-seed', type=int, default=0, help='of the episodes (default 0)')
    trial.add_argument('--nominal', action='store_true', help='the nominal hand, nothing drawn per episode')
    trial.add_argument('--output', type=Path, default=Path('runs/evaluation'), help='folder (default runs/evaluation)')
    trial.add_argument('--model', default='v5_sense', help='hand model')
    trial.add_argument('--side', default='right', help='hand side')
    trial.add_argument('--workers', type=int, default=0, help='processes (0: one per CPU)')
    trial.set_defaults(run=_evaluate)
    gallery_commands.add_command(commands)
    tuning_commands.add_command(commands)


def _evaluate(args: argparse.Namespace) -> int:
    begin = time.monotonic()
    if args.episodes < 1 or args.first_seed < 0 or args.curve < 0 or 0 < args.curve < 10:
        raise ConfigError(f'--episodes is {args.episodes}, --first-seed {args.first_seed}, --curve {args.curve}; '
                          'allowed: at least 1, at least 0, and 0 or at least 10')
    hand = load_hand(args.model, args.side)
    field = entrants(args.policies, hand)
    reference = _reference(args.reference, field)
    seeds = tuple(range(args.first_seed, args.first_seed + args.episodes))
    cells = list(_cells(args.object_set, args.level, seeds, args.curve))
    with Pieces(args.output, lambda t: Trial(**t)) as pieces:
        try:
            with Bar('evaluate') as bar, Workers(args.workers) as workers:
                count = workers.count
                table = run_cells(hand, field, cells, workers, pieces, randomise=not args.nominal, progress=bar.show)
        except KeyboardInterrupt:
            print(f'\nstopped; what is finished lies in {pieces.path}, the same command goes on', file=sys.stderr)
            return 130
    found = document(hand, field, table, reference=reference, first_seed=args.first_seed, randomise=not args.nominal,
                     workers=count, wall_s=time.monotonic() - begin, command=_command(args))
    paths = write(args.output, found)
    print(markdown(found))
    print(f'written: {paths[0]}, {paths[1]}')
    return 0


def _cells(sets: Sequence[str], levels: Sequence[str], seeds: tuple[int, ...], curve: int) -> Iterator[Cell]:
    for object_set in dict.fromkeys(sets):
        object_rng(0, object_set, 0)            # refuses a set that does not exist
        for level in dict.fromkeys(disturbance(level)[0] for level in levels):
            yield Cell(object_set, level, seeds, (level,) * len(seeds))
        if curve:
            drawn = np.random.default_rng(CURVE_FROM).uniform(0.0, min(CURVE_LARGEST, MAX_FACTOR), curve)
            chosen = tuple(range(CURVE_FROM, CURVE_FROM + curve))
            yield Cell(object_set, CURVE, chosen, tuple(f'{v:.4g}' for v in drawn))


def _reference(wanted: str | None, field: Sequence[Entrant]) -> str:
    labels = [e.label for e in field]
    if wanted is not None and wanted not in labels:
        raise ConfigError(f'--reference is {wanted!r}, which does not take part; these do: {", ".join(labels)}')
    return wanted or labels[0]


def _command(args: argparse.Namespace) -> str:
    """The command that makes it again, without what does not change the numbers."""
    words = ['allegro-ai', 'evaluate', *args.policies, '--object-set', *args.object_set, '--level', *args.level,
             '--episodes', str(args.episodes)]
    if args.curve:
        words += ['--curve', str(args.curve)]
    if args.reference:
        words += ['--reference', args.reference]
    if args.first_seed:
        words += ['--first-seed', str(args.first_seed)]
    if args.nominal:
        words.append('--nominal')
    if (args.model, args.side) != ('v5_sense', 'right'):
        words += ['--model', args.model, '--side', args.side]
    return shlex.join(words)
