"""A second pair of hands on the switch: zero torque even when the driver process is killed.

No hand of this family is known to drop its torque when packets stop, and a killed process sends none. The guardian is
a tiny child process that shares the socket and waits on a pipe. While the driver lives, the pipe stays open and the
guardian sleeps. When the driver vanishes, however it dies, the kernel closes the pipe and the guardian sends the stop
packets that were prepared for it. It has real-time priority where that is allowed, not to wait behind a busy machine.
"""

from __future__ import annotations

import json
import subprocess
import sys
from contextlib import suppress

from allegro_description.errors import LinkError

from allegro_driver.link.base import SharedSend

_GAP_S = 0.002

# Run by a bare interpreter (no site packages, nothing of this suite): it must start fast and cannot fail to import.
_PROGRAM = """
import json, os, signal, socket, sys, time
try:
    os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(65))
except (AttributeError, OSError):
    pass
for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
    signal.signal(number, signal.SIG_IGN)
order = json.loads(sys.stdin.readline())
link = socket.socket(fileno=order['descriptor']) if order['peer'] else None
print('ready', flush=True)
if sys.stdin.readline() != 'done\\n':
    for payload in map(bytes.fromhex, order['payloads']):
        try:
            if link:
                link.sendto(payload, tuple(order['peer']))
            else:
                os.write(order['descriptor'], payload)
        except OSError:
            pass
        time.sleep(order['gap_s'])
if link:
    link.detach()
"""


class Guardian:
    """Starts and stops the child process."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[str] | None = None

    @property
    def pid(self) -> int | None:
        """Process id of the child while it watches."""
        return None if self._process is None else self._process.pid

    def start(self, shared: SharedSend | None) -> None:
        """Watch over an open link. Does nothing for links that cannot be shared, and when already watching.

        Args:
            shared: what leaves the hand without torque, from :meth:`Link.share`; sent in order, 2 ms apart.

        Raises:
            LinkError: the child could not be started.
        """
        if self._process is not None or shared is None:
            return
        order = {
            'descriptor': shared.descriptor, 'peer': shared.peer and list(shared.peer), 'gap_s': _GAP_S,
            'payloads': [p.hex() for p in shared.payloads],
        }
        try:
            # Its own session: Ctrl-C in the terminal reaches every process of the foreground group.
            process = subprocess.Popen(
                [sys.executable, '-I', '-S', '-c', _PROGRAM], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                text=True, pass_fds=(shared.descriptor,), start_new_session=True,
            )
            assert process.stdin is not None
            assert process.stdout is not None
            process.stdin.write(json.dumps(order) + '\n')
            process.stdin.flush()
            if process.stdout.readline() != 'ready\n':
                raise OSError('it ended at once')
        except OSError as error:
            raise LinkError(f'the guardian process cannot be started: {error}; guardian: false goes without') from error
        self._process = process

    def stop(self) -> None:
        """Dismiss the child: it ends without sending anything. Does nothing when there is none."""
        process, self._process = self._process, None
        if process is None:
            return
        with suppress(OSError, ValueError, subprocess.TimeoutExpired):
            process.communicate('done\n', timeout=2.0)
        if process.poll() is None:
            process.kill()
            process.wait()
