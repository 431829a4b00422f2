"""A wrapping hardware counter as one ever-growing sum with a single owner.

Whoever wants a window takes the difference of two sums. Nobody else reads the hardware: two readers that unwrap for
themselves disagree about who saw the wrap.
"""

from __future__ import annotations

from collections.abc import Callable

from allegro_bench.meters.meter import Sample

FROZEN_S = 2.0
"""A package counter moves about every millisecond even when idle; one that stands this long is not counting."""


class WrappingCounter:
    """Unwraps readings of a counter that starts again at zero after ``wrap``."""

    def __init__(self, read: Callable[[], int], wrap: int, joules_per_count: float, limit_w: float, now_s: float,
                 frozen_s: float = FROZEN_S) -> None:
        """Take the first reading.

        Args:
            read: returns the raw counter; OSError or ValueError where it cannot be read.
            wrap: the counter runs 0 … ``wrap`` and begins again.
            joules_per_count: scale.
            limit_w: more power than this cannot be true: such a step is a counter that was reset.
            now_s: time of the first reading, s.
            frozen_s: a counter that stands for so long is reported.
        """
        self._read, self._wrap, self._scale = read, wrap, joules_per_count
        self._limit_w, self._frozen_s = limit_w, frozen_s
        self._counts, self._faults, self._problem = 0, 0, ''
        self._last: int | None = read()
        self._last_s = self._moved_s = self._now_s = now_s

    def update(self, now_s: float) -> Sample:
        """Read once and add what is new; a reading that cannot be trusted is counted and nothing is added for it."""
        try:
            raw = self._read()
            if not 0 <= raw <= self._wrap:
                raise ValueError(f'{raw} is outside 0 … {self._wrap}')
        except (OSError, ValueError) as error:
            self._last, self._now_s = None, now_s
            return self._fault(f'unreadable: {error}')
        before, elapsed = self._last, now_s - self._last_s
        self._last, self._last_s, self._now_s = raw, now_s, now_s
        if before is None:
            self._moved_s = now_s
            return self._sample()
        # The counter holds wrap + 1 values, but the kernel names the largest; one count in 2**32 does not matter.
        step = raw - before if raw >= before else raw - before + self._wrap
        if step:
            self._moved_s = now_s
        elif now_s - self._moved_s >= self._frozen_s:
            self._moved_s = now_s
            return self._fault(f'frozen: no change within {self._frozen_s:g} s')
        if elapsed * self._limit_w >= self._wrap * self._scale:
            return self._fault(f'{elapsed:.0f} s between two readings: it may have wrapped more than once')
        if step * self._scale > self._limit_w * max(elapsed, 1e-3):
            how = 'jumped back' if raw < before else 'jumped'
            return self._fault(f'{how} from {before} to {raw}, which would be over {self._limit_w:g} W')
        self._counts += step
        return self._sample()

    def _fault(self, problem: str) -> Sample:
        self._faults += 1
        self._problem = problem
        return self._sample()

    def _sample(self) -> Sample:
        return Sample(self._counts * self._scale, self._faults, self._problem, round(self._now_s * 1e9))
