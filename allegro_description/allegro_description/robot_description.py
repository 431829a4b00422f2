"""``python -m allegro_description.robot_description``: the URDF of a hand on standard output, for launch files."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from allegro_description.errors import AllegroError
from allegro_description.model import load_hand
from allegro_description.urdf import build_urdf


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point; returns the exit code (2 with one sentence for a hand that does not exist)."""
    parser = argparse.ArgumentParser(prog='robot_description', description='Print the URDF of a hand.')
    parser.add_argument('--model', default='v5_sense', help='hand model (default: %(default)s)')
    parser.add_argument('--side', default='right', help='right or left (default: %(default)s)')
    parser.add_argument('--prefix', default='', help='put before every link and joint name, e.g. left_')
    given = parser.parse_args(argv)
    try:
        print(build_urdf(load_hand(given.model, given.side), given.prefix), end='')
    except AllegroError as error:
        print(f'{parser.prog}: {error}', file=sys.stderr)
        return 2
    return 0


if __name__ == '__main__':
    sys.exit(main())
