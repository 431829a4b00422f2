"""The parent's end of a measuring process: start it, ask it, see how it died. Waiting blocks; nothing spins."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from multiprocessing.connection import Connection
from typing import Any

from allegro_description.errors import AllegroError

from allegro_bench.running.child import THREADS
from allegro_bench.running.stamps import StampBuffer

LOOK_S = 2.0
"""How often a silent process is looked at."""
STALL_S = 20.0
"""Within a block, no tick for so long means that the backend hangs."""
TAIL = 300
"""Characters of what a dead process said last."""


class WorkerLost(AllegroError):
    """A measuring process that crashed, hung or failed; ``code`` is the reason in a result."""

    def __init__(self, code: str, sentence: str) -> None:
        """Say which and how."""
        super().__init__(sentence)
        self.code = code
        self.noted = False
        """Whether the block that it happened in has noted it."""


class Worker:
    """One measuring process."""

    def __init__(self, buffers: Sequence[StampBuffer] = ()) -> None:
        """Start it; it inherits the memory of ``buffers`` and can use no other."""
        ours, theirs = socket.socketpair()
        self._said = tempfile.TemporaryFile()  # noqa: SIM115  (closed with the process)
        self._process = subprocess.Popen(
            [sys.executable, '-m', 'allegro_bench.running.child', str(theirs.fileno())],
            pass_fds=[theirs.fileno(), *(b.descriptor for b in buffers)], env=os.environ | THREADS,
            stdin=subprocess.DEVNULL, stdout=self._said, stderr=self._said, start_new_session=True)
        theirs.close()
        self._connection = Connection(ours.detach())
        self.pid = self._process.pid

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def tell(self, do: str, **order: Any) -> None:
        """Send a command."""
        try:
            self._connection.send_bytes(json.dumps({'do': do, **order}).encode())
        except OSError:
            raise self._lost() from None

    def hear(self, patience_s: float, buffer: StampBuffer | None = None) -> dict[str, Any]:
        """Wait for the answer.

        Args:
            patience_s: longest wait, s.
            buffer: stamps of the block that runs; no new one for :data:`STALL_S` ends the wait too.

        Raises:
            WorkerLost: it died, hangs, or says that it failed.
        """
        end = time.monotonic() + patience_s
        passed, moved = -1, time.monotonic()
        while not self._connection.poll(max(0.0, min(LOOK_S, end - time.monotonic()))):
            now = time.monotonic()
            if buffer is not None and buffer.passed != passed:
                passed, moved = buffer.passed, now
            stalled = buffer is not None and now - moved > STALL_S
            if now >= end or stalled:
                waited = now - moved if stalled else patience_s
                self.kill()
                raise WorkerLost('hung', f'did not answer within {waited:.0f} s and was ended')
        try:
            answer: dict[str, Any] = json.loads(self._connection.recv_bytes())
        except (EOFError, OSError):
            raise self._lost() from None
        except ValueError:
            self.kill()
            raise WorkerLost('garbled', 'answered with something that is no message; does the backend write to '
                                        'descriptors that it does not own?') from None
        if answer.get('error'):
            raise WorkerLost('refused' if answer.get('expected') else 'failed', answer['error'])
        return answer

    def ask(self, do: str, patience_s: float, **order: Any) -> dict[str, Any]:
        """Send a command and wait for its answer; see :meth:`hear`."""
        self.tell(do, **order)
        return self.hear(patience_s)

    def cpu_s(self) -> float | None:
        """CPU seconds of the process so far, by the kernel's clock ticks; None when it is gone."""
        from allegro_bench.processes import cpu_seconds
        return cpu_seconds(self.pid)

    def _lost(self) -> WorkerLost:
        try:
            code = self._process.wait(5.0)
        except subprocess.TimeoutExpired:
            self.kill()
            return WorkerLost('hung', 'closed its pipe and went on')
        how = f'was ended by signal {signal.Signals(-code).name}' if code < 0 else f'exited with code {code}'
        self._said.seek(0)
        tail = ' '.join(self._said.read().decode(errors='replace').split())[-TAIL:]
        return WorkerLost('crashed', how + (f'; its last words: {tail}' if tail else ''))

    def kill(self) -> None:
        """End it at once."""
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()
        self._process.wait()

    def close(self) -> None:
        """End it politely, then firmly."""
        if self._process.poll() is None:
            with contextlib.suppress(OSError):
                self._connection.send_bytes(b'{"do": "close"}')
            try:
                self._process.wait(3.0)
            except subprocess.TimeoutExpired:
                self.kill()
        self._connection.close()
        self._said.close()
