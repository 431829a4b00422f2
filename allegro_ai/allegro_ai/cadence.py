"""A fixed rate by absolute deadlines: a late tick does not shift the later ones, missed ones are counted."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, slots=True)
class Beat:
    """One tick.

    Attributes:
        index: number of the tick, skipped ones counted too.
        scheduled_ns: when it was due, steady clock.
        late_ns: how much later it began.
        skipped: ticks that were missed since the one before.
    """

    index: int
    scheduled_ns: int
    late_ns: int
    skipped: int


class Metronome:
    """Hands out one :class:`Beat` per period."""

    def __init__(
        self,
        period_ns: int,
        clock: Callable[[], int] = time.monotonic_ns,
        wait: Callable[[float], bool] | None = None,
    ) -> None:
        """Prepare; the first beat is due one period after the first call of :meth:`next`.

        Args:
            period_ns: control period.
            clock: steady clock, ns.
            wait: sleeps so many seconds and returns true when it was told to stop; default: never told.
        """
        self.period_ns = period_ns
        self._clock = clock
        self._wait = threading.Event().wait if wait is None else wait
        self._due: int | None = None
        self._index = -1

    def next(self) -> Beat | None:
        """Sleep until the next deadline. None: told to stop."""
        now = self._clock()
        due = (now if self._due is None else self._due) + self.period_ns
        # A deadline that lies a whole period back is given up; the grid of deadlines stays where it is.
        skipped = max(0, (now - due) // self.period_ns)
        due += skipped * self.period_ns
        while (now := self._clock()) < due:
            if self._wait((due - now) * 1e-9):
                return None
        self._due = due
        self._index += 1 + skipped
        return Beat(self._index, due, now - due, skipped)


class Recent:
    """The last values of a quantity, for percentiles in diagnostics. One writer; readers may be other threads."""

    def __init__(self, size: int = 4096) -> None:
        """Keep the last ``size`` values."""
        self._values = [0.0] * size
        self.count = 0

    def add(self, value: float) -> None:
        """Remember one value."""
        self._values[self.count % len(self._values)] = value
        self.count += 1

    def percentile(self, q: float) -> float:
        """The ``q``-th percentile of what is kept; 0 when there is nothing."""
        kept = self._values[:min(self.count, len(self._values))]
        return float(np.percentile(kept, q)) if len(kept) else 0.0
