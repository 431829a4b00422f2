"""A load at the control rate that does not flatter: releases are fixed beforehand, whatever the work does.

The clock is an argument, so that the same loop runs under real time and, exactly and at once, under a virtual one.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Protocol

from allegro_description.errors import ConfigError

from allegro_bench.latency import NEVER, Ticks, ticks

ON_OVERRUN = ('skip', 'queue')
"""``skip`` drops the ticks released while busy (latest observation wins); ``queue`` works them off in order."""


class Clock(Protocol):
    """Time as the load generator sees it, in ns."""

    def now_ns(self) -> int:
        """The present."""
        ...

    def sleep_until(self, deadline_ns: int) -> None:
        """Return at ``deadline_ns`` or a little later; at once if that has passed."""
        ...


class MonotonicClock:
    """CLOCK_MONOTONIC; sleeps, and waits busily only for as long before each deadline as it is told to."""

    def __init__(self, spin_ns: int = 0) -> None:
        """Wake ``spin_ns`` before a deadline and wait busily from there on; 0: only sleep."""
        self._spin_ns = spin_ns

    def now_ns(self) -> int:
        """The present, ns."""
        return time.monotonic_ns()

    def sleep_until(self, deadline_ns: int) -> None:
        """Sleep to an absolute time; an early wake-up is slept again."""
        # time.sleep itself is clock_nanosleep to an absolute deadline, from Python 3.11 on.
        while (left := deadline_ns - self._spin_ns - time.monotonic_ns()) > 0:
            time.sleep(left * 1e-9)
        if self._spin_ns:
            while time.monotonic_ns() < deadline_ns:
                pass


class Column(Protocol):
    """Where stamps are written: a list, or memory that was allocated and touched beforehand."""

    def __setitem__(self, index: int, value: int, /) -> None:
        """Write one stamp."""
        ...

    def __getitem__(self, index: int, /) -> int:
        """Read one stamp."""
        ...


def _nothing(k: int) -> None:
    """Do nothing before or after tick ``k``."""


def run_periodic(work: Callable[[int], object], clock: Clock, *, period_ns: int, count: int, on_overrun: str = 'skip',
                 first_ns: int | None = None, before: Callable[[int], object] = _nothing,
                 after: Callable[[int], object] = _nothing, columns: tuple[Column, Column] | None = None) -> Ticks:
    """Release ``work(k)`` at ``r0 + k * period_ns`` for k < ``count``.

    Args:
        work: one inference; returns when the action is in host memory.
        clock: real or virtual time.
        period_ns: T.
        count: ticks to release.
        on_overrun: one of :data:`ON_OVERRUN`.
        first_ns: r0; default: the time of the call.
        before: called with k in the idle time before its release, e.g. to lay out the next observation.
        after: called with k once its finish is stamped.
        columns: start and finish of each tick are written here, (count,), filled with :data:`NEVER` by the caller.
            Whatever ends the loop early, an exception of ``work`` included, leaves there what was measured.

    Raises:
        ConfigError: another ``on_overrun``, or a period or count that is not positive.
    """
    if on_overrun not in ON_OVERRUN or period_ns <= 0 or count <= 0:
        raise ConfigError(f'load of {count} ticks every {period_ns} ns with on_overrun {on_overrun!r}; allowed: '
                          f'positive numbers, and one of {", ".join(ON_OVERRUN)}')
    start, finish = columns or ([NEVER] * count, [NEVER] * count)
    now, skipping = clock.now_ns, on_overrun == 'skip'
    first = now() if first_ns is None else first_ns
    k = 0
    while k < count:
        before(k)
        clock.sleep_until(first + k * period_ns)
        began = now()
        work(k)
        done = now()
        start[k], finish[k] = began, done
        after(k)
        k += 1
        if skipping:
            k = max(k, -((first - done) // period_ns))
    index = range(count)
    return ticks(index, [first + k * period_ns for k in index], [start[k] for k in index], [finish[k] for k in index])
