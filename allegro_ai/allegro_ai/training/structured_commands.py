"""``allegro-ai train structured``: one run of the structured policy, with progress, curves and early warnings."""

from __future__ import annotations

import argparse
import math
import sys
from pathlib import Path

from allegro_description.config import from_mapping, parameters
from allegro_description.errors import ConfigError
from allegro_description.model import load_hand

from allegro_ai.structured_policy import NAMES
from allegro_ai.tasks.workers import Workers
from allegro_ai.training.structured import StructuredSettings, run_name, train

BAR = 20
FLAGS = ('touch', 'wide')      # settings that are no numbers
LIMIT_MINUTES = 60.0
REPORT_EVERY = 5        # generations between lines where nobody watches


def add_options(parser: argparse.ArgumentParser) -> None:
    """Options of one run; sets ``run``."""
    parser.add_argument('--output', type=Path, default=Path('runs/training'), help='folder that holds the runs')
    parser.add_argument('--no-touch', action='store_true', help='the arm that may not use touch')
    parser.add_argument('--wide', action='store_true', help='search all numbers, not only those that matter most')
    parser.add_argument('--minutes', type=float, default=10.0,
                        help=f'hard limit of wall-clock time, at most {LIMIT_MINUTES:g} (default 10)')
    parser.add_argument('--resume', action='store_true', help='go on from the last generation, if there is one')
    for p in parameters(StructuredSettings):
        if p.name not in FLAGS:
            parser.add_argument(f'--{p.name.replace("_", "-")}', type=type(p.default), default=p.default,
                                help=f'{p.doc}, {p.allowed()} {p.unit} (default {p.default!r})')
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Train one run and say where it lies."""
    if not 0.0 < args.minutes <= LIMIT_MINUTES:
        raise ConfigError(f'--minutes is {args.minutes:g}; a run takes more than 0 and at most {LIMIT_MINUTES:g}')
    hand = load_hand(args.model, args.side)
    values = {p.name: getattr(args, p.name) for p in parameters(StructuredSettings) if p.name not in FLAGS}
    settings = from_mapping(StructuredSettings, {**values, 'touch': not args.no_touch, 'wide': args.wide})
    folder, live = args.output / run_name(settings), sys.stderr.isatty()

    def progress(numbers: dict[str, float], generation: int, elapsed: float) -> None:
        line = progress_line(numbers, generation, settings, elapsed, args.minutes)
        if live:
            print(f'\r\x1b[K{line}', end='', file=sys.stderr, flush=True)
        elif generation % REPORT_EVERY == 0 or generation == settings.generations:
            print(line, file=sys.stderr, flush=True)

    def warn(text: str) -> None:
        print(f'{chr(10) if live else ""}warning: {text}', file=sys.stderr, flush=True)

    with Workers(args.workers) as workers:
        found = train(folder, hand, settings, workers, minutes=args.minutes, resume=args.resume, progress=progress,
                      warn=warn)
    if live:
        print(file=sys.stderr)
    for name, value in zip(NAMES, found.parameters.tolist(), strict=True):
        print(f'{name:18} {value:8.3f}')
    print(f'{len(found.curve)} generations, {found.episodes} episodes in {found.wall_s:.0f} s'
          f'{f", stopped by {found.stopped}" if found.stopped else ""}; {folder} holds the run and its curves')
    return 0


def progress_line(
    numbers: dict[str, float], generation: int, settings: StructuredSettings, elapsed: float, minutes: float
) -> str:
    """One line about a run: how far (by generations or by time, whichever ends it first), how good, how wide."""
    share = min(1.0, max(generation / settings.generations, elapsed / (60.0 * minutes)))
    filled = math.floor(BAR * share)
    left = min(60.0 * minutes - elapsed, elapsed / generation * (settings.generations - generation))
    return (f'[{"█" * filled}{"·" * (BAR - filled)}] generation {generation}  value {numbers["return"]:.3f}  '
            f'success {numbers["success"]:.0%}  held {numbers["held"]:.0%}  torque {numbers["torque_nm"]:.3f} N·m  '
            f'spread {numbers["sigma"]:.2f}  {max(left, 0.0):.0f} s left')
