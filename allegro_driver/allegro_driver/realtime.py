"""Ask the operating system to be punctual. Nothing here is needed for the loop to work; what is refused is reported.

Needs no configuration as root; otherwise ``rtprio``, ``nice`` and ``memlock`` in ``/etc/security/limits.conf``.
"""

from __future__ import annotations

import ctypes
import gc
import os
import sys
from contextlib import suppress
from types import TracebackType

_PR_SET_TIMERSLACK = 29  # linux/prctl.h
_MCL_CURRENT, _MCL_FUTURE, _MCL_ONFAULT = 1, 2, 4  # linux/mman.h
_SWITCH_INTERVAL_S = 0.0005
_NICE = -15


def prepare_thread(priority: int) -> list[str]:
    """Make the calling thread a real-time thread with precise timers.

    Args:
        priority: SCHED_FIFO priority, 1 … 99.

    Returns:
        What was granted and what was refused, in words.
    """
    report = []
    try:
        os.sched_setscheduler(0, os.SCHED_FIFO | os.SCHED_RESET_ON_FORK, os.sched_param(priority))
        report.append(f'SCHED_FIFO {priority}')
    except (AttributeError, OSError) as error:
        report.append(f'no SCHED_FIFO ({getattr(error, "strerror", None) or error})')
    if _libc('prctl', _PR_SET_TIMERSLACK, 1, 0, 0, 0):
        report.append('timer slack 1 ns')
    else:
        report.append('default timer slack')
    return report


class PunctualProcess:
    """Context in which the whole process favours punctuality: priority, short interpreter slices, locked memory.

    All threads get a better ``nice`` value: the control thread waits for the interpreter lock and for the middleware's
    locks, so a thread that holds one must not wait long for a processor. Objects alive on entry are taken out of
    garbage collection, so that collections during control stay short.
    """

    def __init__(self) -> None:
        self.report: list[str] = []
        self._interval = sys.getswitchinterval()
        self._nice: dict[int, int] = {}

    def __enter__(self) -> PunctualProcess:
        """Change the process; see :attr:`report` for what was granted."""
        self._interval = sys.getswitchinterval()
        sys.setswitchinterval(min(self._interval, _SWITCH_INTERVAL_S))
        gc.collect()
        gc.freeze()
        # On fault: only pages that are really used get locked, not every reserved address.
        locked = _libc('mlockall', _MCL_CURRENT | _MCL_FUTURE | _MCL_ONFAULT)
        self._nice = _renice(_NICE)
        self.report = [
            f'nice {_NICE}' if self._nice else 'ordinary nice value (see nice in limits.conf)',
            'memory locked' if locked else 'memory not locked (see memlock in limits.conf)',
        ]
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Undo it."""
        sys.setswitchinterval(self._interval)
        gc.unfreeze()
        _libc('munlockall')
        for thread, nice in self._nice.items():
            with suppress(OSError):
                os.setpriority(os.PRIO_PROCESS, thread, nice)


def _renice(nice: int) -> dict[int, int]:
    """Give every thread of this process a nice value; return the former ones, empty where that is not allowed."""
    former: dict[int, int] = {}
    with suppress(OSError):
        for thread in map(int, os.listdir('/proc/self/task')):
            with suppress(ProcessLookupError):
                before = os.getpriority(os.PRIO_PROCESS, thread)
                os.setpriority(os.PRIO_PROCESS, thread, min(nice, before))
                former[thread] = before
    return former


def _libc(function: str, *arguments: int) -> bool:
    try:
        return int(getattr(ctypes.CDLL(None), function)(*arguments)) == 0
    except (AttributeError, OSError, TypeError):
        return False
