"""``allegro-demo``: the whole loop on this machine without ``ros2 launch``, for a minute, and what it came to."""

from __future__ import annotations

import signal
import sys
from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line. Returns 0 after a complete run, 130 after an interrupted one, 1 or 2 after a failed one."""
    # Ctrl-C is answered without a traceback from the first moment on; nothing moves yet.
    signal.signal(signal.SIGINT, lambda *_: sys.exit(130))
    from allegro_bringup.runner import run_command

    return run_command(arguments)


if __name__ == '__main__':
    sys.exit(main())
