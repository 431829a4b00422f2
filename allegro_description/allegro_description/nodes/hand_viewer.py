"""``hand_viewer``: the live hand in a web browser, for machines without RViz.

``hand_viewer --sliders`` shows the hand moved by sliders, without ROS.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from allegro_description.ros.node_help import help_asked


def main(args: Sequence[str] | None = None) -> int:
    """Entry point; returns the exit code."""
    given = list(sys.argv[1:] if args is None else args)
    if '--sliders' in given:
        from allegro_description.viewer.sliders import main as sliders

        return sliders(given)
    if help_asked(given):
        print('With --sliders it is no node: it shows a hand that sliders move (hand_viewer --sliders --help).\n')
    try:
        from allegro_description.nodes.viewer_node import HandViewer, run
    except ImportError as error:
        print(f'hand_viewer: ROS 2 is not available here ({error}); hand_viewer --sliders shows a hand without it',
              file=sys.stderr)
        return 2
    return int(run(HandViewer, args))


if __name__ == '__main__':
    sys.exit(main())
