"""A source that states power: summed by trapezoids, by its single owner.

Between two readings power is taken as a straight line. What happens faster than the readings is averaged only by luck,
so the error of a window is that of a slow signal: at most one interval at each end, see ``window_error``.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from allegro_bench.meters.meter import Channel, Sample

INTERVAL_S = 0.1
"""Sources of power are read ten times per second: more often would cost what is to be measured."""

GAPS = 10
"""After so many missed intervals nobody knows what power was in between."""


class SampledPower:
    """The ever-growing sum of a stated power."""

    def __init__(self, read: Callable[[], float], limit_w: float, now_s: float, *, interval_s: float = INTERVAL_S,
                 frozen_s: float = math.inf, sign_of_life: Callable[[], object] | None = None) -> None:
        """Take the first reading.

        Args:
            read: returns power, W; OSError or ValueError where it cannot be read.
            limit_w: more than this cannot be true.
            now_s: time of the first reading, s.
            interval_s: how often it is meant to be read.
            frozen_s: a source that repeats itself to the last digit for so long is reported.
            sign_of_life: what must change instead of the power itself, where a constant power may well be true.
        """
        self._sign = sign_of_life or (lambda: self._last)
        self._read, self._limit_w = read, limit_w
        self._gap_s, self._frozen_s = GAPS * interval_s, frozen_s
        self._joules, self._faults, self._problem = 0.0, 0, ''
        self._last: float | None = self._watts()
        self._seen = self._sign()
        self._last_s = self._moved_s = self._now_s = now_s

    def _watts(self) -> float:
        watts = self._read()
        if not 0.0 <= watts <= self._limit_w:  # also refuses NaN
            raise ValueError(f'{watts:g} W is outside 0 … {self._limit_w:g} W')
        return watts

    def update(self, now_s: float) -> Sample:
        """Read once and add the trapezoid; what cannot be trusted is counted and nothing is added for it."""
        before, elapsed = self._last, now_s - self._last_s
        self._now_s = now_s
        try:
            watts = self._watts()
        except (OSError, ValueError) as error:
            self._last = None
            return self._fault(f'unreadable: {error}')
        self._last, self._last_s = watts, now_s
        if before is None:
            self._moved_s = now_s
            return self._sample()
        seen = self._sign()
        if seen != self._seen:
            self._seen, self._moved_s = seen, now_s
        elif now_s - self._moved_s >= self._frozen_s:
            self._moved_s = now_s
            return self._fault(f'frozen: nothing has changed for {self._frozen_s:g} s')
        if elapsed > self._gap_s:
            return self._fault(f'{elapsed:.1f} s between two readings of power: unknown in between')
        self._joules += 0.5 * (before + watts) * elapsed
        return self._sample()

    def _fault(self, problem: str) -> Sample:
        self._faults += 1
        self._problem = problem
        return self._sample()

    def _sample(self) -> Sample:
        return Sample(self._joules, self._faults, self._problem, round(self._now_s * 1e9))


def window_error(channel: Channel, seconds: float) -> float | None:
    """Largest relative error of a window at steady power that comes from the source's period; None where unknown.

    The accuracy of the source itself comes on top and is the same in all windows.
    """
    if channel.update_period_s is None or seconds <= 0:
        return None
    return channel.update_period_s / seconds
