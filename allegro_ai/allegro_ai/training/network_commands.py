"""``allegro-ai train tactile_hold``: one run of the network, with progress, curves and early warnings."""

from __future__ import annotations

import argparse
import math
import sys
from pathlib import Path
from typing import Any

from allegro_description.config import from_mapping, parameters
from allegro_description.errors import ConfigError, MissingDependency
from allegro_description.model import load_hand

from allegro_ai.training.settings import Settings

LEARNING = ('pip install torch --index-url https://download.pytorch.org/whl/cpu; '
            'pip install stable_baselines3 safetensors')
BAR = 20
LIMIT_MINUTES = 60.0


def add_options(parser: argparse.ArgumentParser) -> None:
    """Options of one run; sets ``run``."""
    parser.add_argument('--output', type=Path, default=Path('runs/training'), help='folder that holds the runs')
    parser.add_argument('--no-touch', action='store_true', help='the arm that may not use touch')
    parser.add_argument('--minutes', type=float, default=LIMIT_MINUTES,
                        help=f'hard limit of wall-clock time, at most {LIMIT_MINUTES:g} (default {LIMIT_MINUTES:g})')
    parser.add_argument('--resume', action='store_true', help='go on from the last checkpoint, if there is one')
    parser.add_argument('--threads', type=int, default=1, help='physics threads (default 1; 0: one per CPU)')
    for p in parameters(Settings):
        if p.name != 'touch':
            parser.add_argument(f'--{p.name.replace("_", "-")}', type=type(p.default), default=p.default,
                                help=f'{p.doc}, {p.allowed()} {p.unit} (default {p.default!r})')
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Train one run and say where it lies."""
    if not 0.0 < args.minutes <= LIMIT_MINUTES:
        raise ConfigError(f'--minutes is {args.minutes:g}; a run takes more than 0 and at most {LIMIT_MINUTES:g}')
    try:
        from allegro_ai.training.runs import run_name, train
    except ImportError as error:
        raise MissingDependency(f'training a network needs packages that are absent ({error}). Install them with: '
                                f'{LEARNING}') from error
    hand = load_hand(args.model, args.side)
    values = {p.name: getattr(args, p.name) for p in parameters(Settings) if p.name != 'touch'}
    settings = from_mapping(Settings, {**values, 'touch': not args.no_touch})
    folder = args.output / run_name(settings)
    live = sys.stderr.isatty()
    spent: dict[str, float] = {}
    steps = 0

    def progress(numbers: dict[str, float], update: int, elapsed: float, seconds: dict[str, float]) -> None:
        nonlocal steps
        spent.update(seconds)
        steps += settings.horizon * settings.environments
        line = progress_line(numbers, update, settings, elapsed)
        if live:
            print(f'\r\x1b[K{line}', end='', file=sys.stderr, flush=True)
        elif update % settings.segment == 0 or update == settings.updates:
            print(line, file=sys.stderr, flush=True)

    def warn(text: str) -> None:
        print(f'{chr(10) if live else ""}warning: {text}', file=sys.stderr, flush=True)

    found = train(folder, hand, settings, minutes=args.minutes, resume=args.resume, threads=args.threads,
                  progress=progress, warn=warn)
    if live:
        print(file=sys.stderr)
    if spent:
        print(f'where the time went: {where_time_goes(spent, steps)}')
    if found.stopped == 'not finite':
        print(f'the run broke down; the last sound checkpoint, if there is one, lies in {folder}')
        return 1
    print(f'{found.updates} updates, {found.steps} control steps in {found.wall_s:.0f} s'
          f'{f", stopped by {found.stopped}" if found.stopped else ""}; {folder} holds the checkpoint and its curves')
    return 0


def progress_line(numbers: dict[str, Any], update: int, settings: Settings, elapsed: float) -> str:
    """One line about a run: how far, how good, how healthy."""
    def shown(name: str, form: str) -> str:
        value = numbers.get(name, math.nan)
        return format(value, form) if math.isfinite(value) else '–'

    done = BAR * update // settings.updates
    left = elapsed / update * (settings.updates - update)
    rate = update * settings.horizon * settings.environments / max(elapsed, 1e-9)
    return (f'[{"█" * done}{"·" * (BAR - done)}] {update}/{settings.updates}  return {shown("return", ".0f")}  '
            f'success {shown("success", ".0%")}  held {shown("held", ".0%")}  torque {shown("torque_nm", ".3f")} N·m  '
            f'KL {shown("kl", ".3f")}  explained {shown("explained", ".2f")}  {rate:.0f} steps/s  {left:.0f} s left')


def where_time_goes(seconds: dict[str, float], steps: int) -> str:
    """One line: steps per second of each part alone, and its share."""
    total = sum(seconds.values()) or 1.0
    return ', '.join(f'{part} {value / total:.0%} ({steps / value:.0f} steps/s)'
                     for part, value in seconds.items() if value > 0)
