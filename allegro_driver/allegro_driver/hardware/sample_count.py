"""Which sample is new, and how many steps of time it is after the last one."""

from __future__ import annotations

_WRAP, _HALF = 2**32, 2**31
_REORDERED = 1000  # samples; a counter that falls back farther means that the hand started anew


class SampleCount:
    """The hand's own counter, modulo 2**32; where the wire has none, time tells the steps."""

    def __init__(self, period_ns: int) -> None:
        """Know no sample yet; ``period_ns`` is the time between two."""
        self._period_ns = period_ns
        self._last: int | None = None
        self._arrival = 0
        self.reordered = 0

    @property
    def sequence(self) -> int:
        """Number of the newest sample, 0 before the first."""
        return self._last or 0

    def restart(self) -> None:
        """A new session: forget the last sample."""
        self._last, self._arrival = None, 0

    def advance(self, sequence: int | None, arrival_ns: int) -> int | None:
        """Take a sample; return the steps since the last one.

        Args:
            sequence: the hand's counter, or None where it sends none.
            arrival_ns: when it arrived.

        Returns:
            At least 1 for a newer sample; None for one that is not newer, which is not taken; below 0, by how much the
            counter fell, when the hand has started anew.
        """
        last, since = self._last, arrival_ns - self._arrival
        self._arrival = arrival_ns
        if sequence is None:
            step = 1 if last is None else max(1, round(since / self._period_ns))
            self._last = ((last or 0) + step) % _WRAP
            return step
        if last is None:
            self._last = sequence
            return 1
        step = (sequence - last + _HALF) % _WRAP - _HALF
        if -_REORDERED < step <= 0:
            self.reordered += 1
            return None
        self._last = sequence
        return step
