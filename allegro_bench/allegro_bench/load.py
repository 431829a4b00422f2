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
    """CLOCK_MONOTONIC, sleeping without a busy wait."""

    def now_ns(self) -> int:
        """The present, ns."""
        return time.monotonic_ns()

    def sleep_until(self, deadline_ns: int) -> None:
        """Sleep to an absolute time; an early wake-up is slept again."""
        while (left := deadline_ns - time.monotonic_ns()) > 0:
            time.sleep(left * 1e-9)


def run_periodic(work: Callable[[int], None], clock: Clock, *, period_ns: int, count: int,
                 on_overrun: str = 'skip') -> Ticks:
    """Release ``work(k)`` at ``r0 + k * period_ns`` for k < ``count``, r0 being the time of the call.

    Args:
        work: one inference; returns when the action is in host memory.
        clock: real or virtual time.
        period_ns: T.
        count: ticks to release.
        on_overrun: one of :data:`ON_OVERRUN`.

    Raises:
        ConfigError: another ``on_overrun``, or a period or count that is not positive.
    """
    if on_overrun not in ON_OVERRUN or period_ns <= 0 or count <= 0:
        raise ConfigError(f'load of {count} ticks every {period_ns} ns with on_overrun {on_overrun!r}; allowed: '
                          f'positive numbers, and one of {", ".join(ON_OVERRUN)}')
    first = clock.now_ns()
    start, finish = [NEVER] * count, [NEVER] * count
    k = 0
    while k < count:
        clock.sleep_until(first + k * period_ns)
        start[k] = clock.now_ns()
        work(k)
        finish[k] = clock.now_ns()
        k += 1
        if on_overrun == 'skip':
            k = max(k, -((first - finish[k - 1]) // period_ns))
    return ticks(range(count), [first + k * period_ns for k in range(count)], start, finish)
