"""``python -m allegro_description.robot_description``: the URDF of a hand on standard output, for launch files.

With ``--meshes DIR`` it also writes the hand's visual meshes and names them in the URDF.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from allegro_description.errors import AllegroError
from allegro_description.meshes import files
from allegro_description.model import load_hand
from allegro_description.urdf import build_urdf


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point; returns the exit code (2 with one sentence for a hand that does not exist)."""
    parser = argparse.ArgumentParser(prog='robot_description', description='Print the URDF of a hand.')
    parser.add_argument('--model', default='v5_sense', help='hand model (default: %(default)s)')
    parser.add_argument('--side', default='right', help='right or left (default: %(default)s)')
    parser.add_argument('--prefix', default='', help='put before every link and joint name, e.g. left_')
    parser.add_argument('--meshes', default='', metavar='DIR',
                        help='write visual meshes below this folder and refer to them; "cache": a folder of this user '
                             '(default: plain shapes, no files)')
    parser.add_argument('--mesh-format', default='obj', help=f'{" or ".join(files.FORMATS)} (default: %(default)s)')
    parser.add_argument('--mesh-uri', default='', metavar='URI',
                        help='how the URDF names DIR, e.g. package://my_robot/meshes (default: file:// and its path)')
    given = parser.parse_args(argv)
    try:
        model = load_hand(given.model, given.side)
        visuals = None
        if given.meshes:
            uri = given.mesh_uri.rstrip('/')
            visuals = files.write_meshes(model, files.folder_named(given.meshes), given.mesh_format,
                                         (lambda path: f'{uri}/{path.as_posix()}') if uri else None)
        print(build_urdf(model, given.prefix, visuals=visuals), end='')
    except AllegroError as error:
        print(f'{parser.prog}: {error}', file=sys.stderr)
        return 2
    return 0


if __name__ == '__main__':
    sys.exit(main())
