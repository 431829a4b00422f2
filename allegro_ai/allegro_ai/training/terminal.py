"""What the training commands share: the options that name a hand, and a line of progress on standard error."""

from __future__ import annotations

import argparse
import sys


def add_hand_options(parser: argparse.ArgumentParser) -> None:
    """Register ``--model``, ``--side`` and ``--workers``."""
    parser.add_argument('--model', default='v5_sense', help='hand model')
    parser.add_argument('--side', default='right', help='hand side')
    parser.add_argument('--workers', type=int, default=0, help='processes (0: one per CPU)')


def status(text: str, *, last: bool = False) -> None:
    """Overwrite one line of a terminal; where nobody watches, print the last ones only."""
    if sys.stderr.isatty():
        print(f'\r\x1b[K{text}', end='\n' if last else '', file=sys.stderr, flush=True)
    elif last:
        print(text, file=sys.stderr, flush=True)
