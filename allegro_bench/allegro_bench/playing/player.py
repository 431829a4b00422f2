"""What is due when: rate, pause, seek and loop over the time of a recording. No thread and no sleep of its own."""

from __future__ import annotations

import math
from collections.abc import Iterator

from allegro_description.errors import ConfigError

from allegro_bench.playing.source import Message, Source

SLOWEST, FASTEST = 0.01, 100.0


class Player:
    """Play a source.

    The message received t seconds after the first one is due t / rate seconds after the start, pauses left out. All
    times that come in are those of one steady clock, ns.
    """

    def __init__(self, source: Source, now_ns: int, *, rate: float = 1.0, loop: bool = False,
                 start_s: float = 0.0, paused: bool = False) -> None:
        """Start to play at once, or standing still.

        Raises:
            ConfigError: a rate or a place that is not allowed.
        """
        self.source, self.loop, self.laps = source, loop, 0
        self.paused, self.ended = paused, False
        self._rate = _allowed(rate)
        self._anchor_ns, self._since_ns = source.begin_ns, now_ns
        self._next: Message | None = None
        self._rest: Iterator[Message] = iter(())
        self.seek(start_s, now_ns)

    @property
    def rate(self) -> float:
        """Seconds of the recording in one second."""
        return self._rate

    def set_rate(self, rate: float, now_ns: int) -> None:
        """Go on at another rate from here.

        Raises:
            ConfigError: not between 0.01 and 100; nothing changes.
        """
        rate = _allowed(rate)
        self._anchor_ns, self._since_ns = self.position_ns(now_ns), now_ns
        self._rate = rate

    def position_ns(self, now_ns: int) -> int:
        """The present on the clock of the recording."""
        if self.paused or self.ended:
            return self._anchor_ns
        passed = self._anchor_ns + round((now_ns - self._since_ns) * self._rate)
        return min(passed, self.source.end_ns)

    def pause(self, on: bool, now_ns: int) -> None:
        """Stand still, or go on from the same place."""
        self._anchor_ns, self._since_ns = self.position_ns(now_ns), now_ns
        self.paused = on

    def seek(self, seconds: float, now_ns: int) -> None:
        """Go to a place, s from the beginning; what lies before it is not played.

        Raises:
            ConfigError: not within the recording; nothing changes.
        """
        length = self.source.duration_s
        if not (math.isfinite(seconds) and 0.0 <= seconds <= length):
            raise ConfigError(f'cannot go to {seconds:g} s; the recording lasts {length:.3f} s, allowed: 0 … that')
        self._anchor_ns, self._since_ns = self.source.begin_ns + round(seconds * 1e9), now_ns
        self.ended = False
        self._rest = self.source.messages(self._anchor_ns)
        self._next = next(self._rest, None)

    def due(self, now_ns: int) -> list[Message]:
        """Messages whose time has come, in order. At the end of a lap the next one begins, or :attr:`ended` is set."""
        if self.paused or self.ended:
            return []
        position = self.position_ns(now_ns)
        found = []
        while self._next is not None and self._next.received_ns <= position:
            found.append(self._next)
            self._next = next(self._rest, None)
        if self._next is None:
            self.laps += 1
            if self.loop:
                self.seek(0.0, now_ns)
            else:
                self._anchor_ns, self.ended = self.source.end_ns, True
        return found

    def wait_s(self, now_ns: int) -> float | None:
        """How long until the next message is due, s; None while there is nothing to wait for."""
        if self.paused or self.ended or self._next is None:
            return None
        return max(0.0, (self._next.received_ns - self.position_ns(now_ns)) * 1e-9 / self._rate)


def _allowed(rate: float) -> float:
    if not SLOWEST <= rate <= FASTEST:
        raise ConfigError(f'rate is {rate:g}; allowed: {SLOWEST:g} … {FASTEST:g}')
    return rate
