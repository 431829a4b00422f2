"""A second pair of hands on the switch: zero torque even when the driver process is killed, or hangs.

No hand of this family is known to drop its torque when packets stop, and a killed process sends none. The guardian is
a tiny child process that shares the socket, waits on a pipe and looks at a word of shared memory. When the driver
vanishes, however it dies, the kernel closes the pipe. That comes late for a big process on a busy machine, and never
for one that hangs; so the driver also stamps each torque packet into the shared word (zero once no torque flows), and
a stamp that grows too old counts like a closed pipe: the guardian sends the stop packets that were prepared for it. It
says so in a second word, and a driver that comes back to life finds it there and sends no more torque.

The guardian has real-time priority where that is allowed, not to wait behind a busy machine. What freezes both
processes (a paused container, a suspended machine) leaves nobody to act before they go on. One that was killed alone
is replaced when torque is next switched on.
"""

from __future__ import annotations

import json
import mmap
import os
import subprocess
import sys
import time
from contextlib import suppress

from allegro_description.errors import LinkError

from allegro_driver.link.base import SharedSend

_GAP_S = 0.002
_STAMP, _ACTED = 0, 1   # words of the shared memory

# Run by a bare interpreter (no site packages, nothing of this suite): it must start fast and cannot fail to import.
_PROGRAM = """
import json, mmap, os, select, signal, socket, sys, time
try:
    os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(65))
except (AttributeError, OSError):
    pass
for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
    signal.signal(number, signal.SIG_IGN)
order = json.loads(os.read(0, 1 << 20))
link = socket.socket(fileno=order['descriptor']) if order['peer'] else None
words = memoryview(mmap.mmap(order['memory'], 16)).cast('q')
patience = int(order['stall_s'] * 1e9)

def stop():
    for payload in map(bytes.fromhex, order['payloads']):
        try:
            if link:
                link.sendto(payload, tuple(order['peer']))
            else:
                os.write(order['descriptor'], payload)
        except OSError:
            pass
        time.sleep(order['gap_s'])

os.write(1, b'ready\\n')
wait = patience
while True:
    if select.select([0], [], [], wait / 1e9)[0]:
        if os.read(0, 100) != b'done\\n':
            stop()
        break
    stamp, now = words[0], time.monotonic_ns()
    wait = patience
    if stamp and now - stamp >= patience:
        words[1] = now
        words[0] = 0
        stop()
    elif stamp:
        wait = patience - (now - stamp)
if link:
    link.detach()
"""


class Guardian:
    """Starts and stops the child process, and tells it that the driver lives."""

    def __init__(self, stall_s: float | None = 0.06) -> None:
        """Prepare.

        Args:
            stall_s: torque that was not renewed for so long is ended, s; None: there is no child, and nothing is ended.
        """
        self._process: subprocess.Popen[str] | None = None
        self._stall_s = stall_s
        self._words: memoryview | None = None

    @property
    def pid(self) -> int | None:
        """Process id of the child while it watches."""
        return None if self._process is None else self._process.pid

    @property
    def acted(self) -> bool:
        """Whether the child has ended the torque because this process stood still."""
        return self._words is not None and self._words[_ACTED] != 0

    @property
    def missing(self) -> bool:
        """Whether a child is wanted and none watches."""
        return self._stall_s is not None and self._process is None

    def torque_flows(self, flows: bool) -> None:
        """Call it before each packet: does the hand have torque after it? Takes about half a microsecond."""
        if self._words is not None:
            self._words[_STAMP] = time.monotonic_ns() if flows else 0

    def require_inactive(self) -> None:
        """Call it before each packet with torque.

        Raises:
            LinkError: the child has ended the torque in the meantime; a new session begins anew.
        """
        words = self._words  # this runs for each frame
        if words is not None and words[_ACTED]:
            self.torque_flows(False)
            raise LinkError(
                'this process stood still while torque flowed, and the guardian has ended the torque; look for what '
                'held it up (a debugger, a suspended or overloaded machine) and clear the fault')

    def start(self, shared: SharedSend | None) -> None:
        """Watch over an open link. Does nothing for links that cannot be shared, and while the child watches.

        Args:
            shared: what leaves the hand without torque, from :meth:`Link.share`; sent in order, 2 ms apart.

        Raises:
            LinkError: the child could not be started.
        """
        if shared is None or self._stall_s is None:
            return
        if self._process is not None:
            if self._process.poll() is None:
                return
            self.stop()  # somebody has killed it
        try:
            memory = os.memfd_create('allegro_guardian')
            try:
                os.ftruncate(memory, 16)
                words = memoryview(mmap.mmap(memory, 16)).cast('q')
                process = self._spawn(shared, memory)
            finally:
                os.close(memory)
        except OSError as error:
            raise LinkError(f'the guardian process cannot be started: {error}; guardian: false goes without') from error
        self._process, self._words = process, words

    def _spawn(self, shared: SharedSend, memory: int) -> subprocess.Popen[str]:
        order = {
            'descriptor': shared.descriptor, 'peer': shared.peer and list(shared.peer), 'gap_s': _GAP_S,
            'payloads': [p.hex() for p in shared.payloads], 'memory': memory, 'stall_s': self._stall_s,
        }
        # Its own session: Ctrl-C in the terminal reaches every process of the foreground group.
        process = subprocess.Popen(
            [sys.executable, '-I', '-S', '-c', _PROGRAM], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            text=True, pass_fds=(shared.descriptor, memory), start_new_session=True,
        )
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(json.dumps(order) + '\n')
        process.stdin.flush()
        if process.stdout.readline() != 'ready\n':
            raise OSError('it ended at once')
        return process

    def stop(self) -> None:
        """Dismiss the child: it ends without sending anything. Does nothing when there is none."""
        process, self._process = self._process, None
        self._words = None
        if process is None:
            return
        with suppress(OSError, ValueError, subprocess.TimeoutExpired):
            process.communicate('done\n', timeout=2.0)
        if process.poll() is None:
            process.kill()
            process.wait()
