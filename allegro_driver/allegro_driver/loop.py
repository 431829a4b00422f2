"""Bookkeeping of the control loop: is every sample answered in time, how evenly do they come, how old are commands?

A sample counts as answered **on time** when its torque packet was sent before the next sample arrived *and* within one
nominal period of its own arrival. Arrival is the moment the datagram reached this machine, so late wake-ups count
against the loop. Samples that never arrived are counted apart, as lost.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Spread:
    """Median, 99th and 99.9th percentile and maximum of the newest values; zeros when there are none yet."""

    p50: float = 0.0
    p99: float = 0.0
    p999: float = 0.0
    max: float = 0.0
    count: int = 0


@dataclass(frozen=True, slots=True)
class LoopReport:
    """What the loop did.

    Attributes:
        frames: samples that arrived, skipped ones included, except those that waited before the first one.
        on_time: samples answered on time.
        on_time_percent: share of ``frames``; 100 when there were none.
        overruns: samples that arrived and were answered late or not at all.
        lost: samples missing from the hand's counter.
        rate_hz: arrival rate over the newest values.
        interval_ms: time between samples.
        jitter_us: distance of that time from the nominal period.
        turnaround_us: arrival of a sample to its torque packet sent.
        command_age_ms: stamp of a command to the first torque packet that used it.
    """

    frames: int
    on_time: int
    on_time_percent: float
    overruns: int
    lost: int
    rate_hz: float
    interval_ms: Spread
    jitter_us: Spread
    turnaround_us: Spread
    command_age_ms: Spread


class Window:
    """The newest values of a quantity in ns: one writer, any reader, no lock."""

    def __init__(self, size: int) -> None:
        """Keep ``size`` values."""
        self._values = [0] * size  # storing into a list takes a third of the time that an array takes
        self._size = size
        self._count = 0

    def add(self, value: int) -> None:
        """Store one value, ns."""
        self._values[self._count % self._size] = value
        self._count += 1

    def values(self) -> NDArray[np.int64]:
        """Copy of what is stored, ns."""
        return np.array(self._values[: min(self._count, self._size)], dtype=np.int64)

    def spread(self, unit_ns: float) -> Spread:
        """Spread in units of ``unit_ns`` nanoseconds."""
        return spread(self.values() / unit_ns)


def spread(values: NDArray[np.float64]) -> Spread:
    """Spread of an array."""
    if not len(values):
        return Spread()
    p50, p99, p999 = np.percentile(values, (50, 99, 99.9))
    return Spread(float(p50), float(p99), float(p999), float(values.max()), len(values))


class LoopStatistics:
    """Counts while the loop runs. The loop thread writes; anyone may call :meth:`report`."""

    def __init__(self, period_s: float, window: int = 4096) -> None:
        """Start counting.

        Args:
            period_s: nominal time between samples, s.
            window: how many newest values the spreads cover.
        """
        self._period = round(period_s * 1e9)
        self._intervals, self._turnarounds, self._ages = Window(window), Window(window), Window(window)
        self._frames = self._finished = self._on_time = self._lost = 0
        self._arrival: int | None = None
        self._sent: int | None = None
        self._sequence = 0

    def frame(self, arrival_ns: int, sequence: int, skipped: int = 0) -> None:
        """A sample was read.

        Args:
            arrival_ns: when it arrived, monotonic ns.
            sequence: the hand's sample counter, modulo 2**32.
            skipped: samples that had arrived before it but were passed over.
        """
        if self._arrival is not None:
            self._finish(arrival_ns)
            if not skipped:  # with skipped samples between, the time between neighbours is not known
                self._intervals.add(arrival_ns - self._arrival)
            self._lost += max((sequence - self._sequence) % 2**32 - 1 - skipped, 0)
            self._finished += skipped
            self._frames += skipped
        self._frames += 1
        self._arrival, self._sequence, self._sent = arrival_ns, sequence, None

    def sent(self, sent_ns: int) -> None:
        """The torque packet that answers the newest sample was sent at ``sent_ns`` (monotonic ns)."""
        if self._arrival is not None:
            self._sent = sent_ns
            self._turnarounds.add(sent_ns - self._arrival)

    def command_used(self, stamp_ns: int, sent_ns: int) -> None:
        """A command with this stamp was used for the first time by the packet sent at ``sent_ns``."""
        self._ages.add(sent_ns - stamp_ns)

    def interrupt(self) -> None:
        """The stream ended or starts anew: what comes next is neither lost nor late."""
        if self._arrival is not None:
            self._finish(None)
        self._arrival = None

    def report(self) -> LoopReport:
        """What happened so far. The newest sample is left out until its successor has arrived."""
        intervals = self._intervals.values()
        finished, on_time = self._finished, self._on_time
        return LoopReport(
            frames=self._frames,
            on_time=on_time,
            on_time_percent=100.0 * on_time / finished if finished else 100.0,
            overruns=finished - on_time,
            lost=self._lost,
            rate_hz=1e9 / float(intervals.mean()) if intervals.any() else 0.0,
            interval_ms=spread(intervals / 1e6),
            jitter_us=spread(np.abs(intervals - self._period) / 1e3),
            turnaround_us=self._turnarounds.spread(1e3),
            command_age_ms=self._ages.spread(1e6),
        )

    def _finish(self, next_arrival_ns: int | None) -> None:
        self._finished += 1
        sent, arrival = self._sent, self._arrival
        if sent is None or arrival is None:
            return
        in_period = sent - arrival <= self._period
        before_next = next_arrival_ns is None or sent < next_arrival_ns
        self._on_time += in_period and before_next
