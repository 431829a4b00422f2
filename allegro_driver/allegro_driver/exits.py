"""The ordinary way out for signals that would end the process at once, so that ``finally`` and ``atexit`` still run."""

from __future__ import annotations

import signal
import sys
import threading
from contextlib import suppress
from types import FrameType, TracebackType

SIGNALS = (signal.SIGTERM, signal.SIGHUP)
"""Asked to end; terminal closed. (Ctrl-C is an exception already; SIGKILL is the guardian's business.)"""


class OrderlyExit:
    """Context in which SIGTERM and SIGHUP raise :class:`SystemExit` in the main thread.

    Only where they have their default effect: a program with handlers of its own, or one started with ``nohup``,
    keeps its ways. Entered in another thread than the main one this does nothing.
    """

    def __init__(self) -> None:
        self._ours: list[int] = []
        self._leaving = False

    def __enter__(self) -> OrderlyExit:
        """Take over what nobody handles."""
        if threading.current_thread() is threading.main_thread():
            for number in SIGNALS:
                if signal.getsignal(number) is signal.SIG_DFL:
                    signal.signal(number, self._leave)
                    self._ours.append(number)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Give it back, unless the process is on its way out: then nothing must cut that short."""
        if threading.current_thread() is threading.main_thread() and not self._leaving:
            for number in self._ours:
                with suppress(ValueError):  # the interpreter may be gone that far
                    signal.signal(number, signal.SIG_DFL)
        self._ours.clear()

    def _leave(self, number: int, frame: FrameType | None) -> None:
        if not self._leaving:
            self._leaving = True
            sys.exit(128 + number)
