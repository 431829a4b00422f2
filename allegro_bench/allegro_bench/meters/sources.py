"""A meter that consists of counters and of stated powers, all read at the same time."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from allegro_bench.meters.meter import Channel, Sample

Clock = Callable[[], float]
monotonic: Clock = time.monotonic


class Source(Protocol):
    """One ever-growing sum."""

    def update(self, now_s: float) -> Sample:
        """Read and add."""
        ...


class SourceMeter:
    """What most meters are: named sources with their channels."""

    reason = ''

    def __init__(self, channels: Sequence[Channel], sources: Mapping[str, Source], clock: Clock,
                 guard_s: float) -> None:
        """Put together.

        Args:
            channels: what a reader is shown first comes first.
            sources: by the ids of the channels.
            clock: seconds, CLOCK_MONOTONIC.
            guard_s: longest time between two reads.
        """
        self.channels = tuple(channels)
        self.guard_s = guard_s
        self._sources, self._clock = dict(sources), clock

    def read(self) -> Mapping[str, Sample]:
        """Sums of all channels. Call at least every ``guard_s`` seconds, always from the same thread."""
        return {name: source.update(self._clock()) for name, source in self._sources.items()}

    def close(self) -> None:
        """Nothing is held open."""
