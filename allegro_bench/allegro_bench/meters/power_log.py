"""The log of an instrument with a clock of its own: time and power as CSV, put on this machine's clock afterwards.

Two ways: the log has UTC stamps and both clocks are set by the network, or a step of load was injected before and after
the run (:func:`inject_load`) and is found again in the log, which also tells how far the two clocks drift apart.
"""

from __future__ import annotations

import csv
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

import numpy as np
from allegro_description.errors import ConfigError
from allegro_description.state import Array

from allegro_bench.meters.meter import Channel, Sample
from allegro_bench.meters.opening import boundary_and_rest
from allegro_bench.meters.sources import Clock, monotonic

GAP_S = 5.0
"""A log may leave out so much; energy over a longer hole is unknown."""
LIMIT_W = 20_000.0
CLEAR = 0.6
"""Least correlation of log and load by which a step counts as found."""
TWICE = 0.9
"""Another place that looks so nearly alike cannot be told from the best."""
Step = tuple[float, float]


@dataclass(frozen=True, slots=True)
class PowerLog:
    """Power over time.

    Attributes:
        time_s: increasing, s, on the clock named by ``clock``, (n,).
        watts: (n,).
        clock: ``utc`` (s since 1970), ``own`` (whatever the instrument counts), or ``monotonic``, that of this machine.
    """

    time_s: Array
    watts: Array
    clock: str

    def between(self, begin_s: float, end_s: float) -> float | None:
        """Energy by trapezoids, J; None where the log has no data for all of it."""
        if self.gap(begin_s, end_s):
            return None
        inner = (self.time_s > begin_s) & (self.time_s < end_s)
        times = np.concatenate([[begin_s], self.time_s[inner], [end_s]])
        watts = np.interp(times, self.time_s, self.watts)
        return float((0.5 * (watts[1:] + watts[:-1]) * np.diff(times)).sum())

    def gap(self, begin_s: float, end_s: float) -> str:
        """Why energy of a window is unknown; empty where it is known."""
        if begin_s < self.time_s[0] or end_s > self.time_s[-1]:
            return 'the log does not cover the window'
        first = max(0, int(np.searchsorted(self.time_s, begin_s, 'right')) - 1)
        last = int(np.searchsorted(self.time_s, end_s, 'left'))
        hole = float(np.diff(self.time_s[first:last + 1]).max(initial=0.0))
        return f'the log has a hole of {hole:.1f} s' if hole > GAP_S else ''

    def on_utc(self, utc_minus_monotonic_s: float) -> PowerLog:
        """On the monotonic clock, by the UTC stamps.

        Args:
            utc_minus_monotonic_s: UTC minus CLOCK_MONOTONIC at the time of the run, s.

        Raises:
            ConfigError: the log has no UTC stamps.
        """
        if self.clock != 'utc':
            raise ConfigError('this log has no UTC stamps: align it by a step of load')
        return replace(self, time_s=self.time_s - utc_minus_monotonic_s, clock='monotonic')

    def on_steps(self, steps: Sequence[Step]) -> PowerLog:
        """On the monotonic clock, by steps of load that must be found in it; with two or more also its drift.

        Args:
            steps: (begin, end) of each injected load, CLOCK_MONOTONIC, s.

        Raises:
            ConfigError: a step is not clearly in the log.
        """
        if not steps:
            raise ConfigError('no step of load was injected')
        rough = _offset(self, steps, self.time_s[0] - steps[0][1], self.time_s[-1] - steps[-1][0])
        fine = [_offset(self, [step], rough - 2.0, rough + 2.0) for step in steps]
        middle = np.array([0.5 * (a + b) for a, b in steps])
        if len(steps) == 1:
            return replace(self, time_s=self.time_s - fine[0], clock='monotonic')
        rate, start = np.polyfit(middle + np.array(fine), middle, 1)
        if not 0.99 < rate < 1.01:
            raise ConfigError(f'the clock of the log would run at {rate:.3f} of this one: the steps were not found')
        return replace(self, time_s=rate * self.time_s + start, clock='monotonic')


def _offset(log: PowerLog, steps: Sequence[Step], low: float, high: float) -> float:
    """Log time minus monotonic time at which the log looks most like the load."""
    span = [(steps[0][0] - 0.5 * _length(steps[0]), steps[0][1] + 0.5 * _length(steps[0]))] + [
        (a - 0.5 * _length((a, b)), b + 0.5 * _length((a, b))) for a, b in steps[1:]]
    grid = np.concatenate([np.arange(a, b, 0.02) for a, b in span])
    load = np.array([any(a <= t < b for a, b in steps) for t in grid], dtype=float)

    def alike(offset: float) -> float:
        power = np.interp(grid + offset, log.time_s, log.watts, left=np.nan, right=np.nan)
        if np.isnan(power).any() or power.std() == 0:
            return -1.0
        return float(np.corrcoef(power, load)[0, 1])

    best = 0.5 * (low + high)
    for pitch in (0.5, 0.05, 0.005):
        candidates = np.arange(low, high + pitch, pitch)
        scores = np.array([alike(c) for c in candidates])
        best = float(candidates[int(np.argmax(scores))])
        others = scores[np.abs(candidates - best) > 2 * _length(steps[0])]
        if others.size and others.max() > CLEAR and others.max() > TWICE * scores.max():
            raise ConfigError('the injected load is in the log more than once: inject two loads, or cut the log')
        low, high = best - 2 * pitch, best + 2 * pitch
    if alike(best) < CLEAR:
        raise ConfigError(f'the injected load is not clearly in the log (correlation {alike(best):.2f}): is it the '
                          'log of this run, and sampled at least ten times within a step?')
    return best


def _length(step: Step) -> float:
    return step[1] - step[0]


def read_log(path: Path, time_column: str = '', power_column: str = '') -> PowerLog:
    """Read a CSV file with a header.

    Args:
        path: the file.
        time_column: seconds, or ISO 8601 with an offset or Z; empty: the first column.
        power_column: W; empty: the second column.

    Raises:
        ConfigError: no such file or column, a value that is no number, power out of range, time that goes back.
    """
    try:
        with path.open(encoding='utf-8-sig', newline='') as file:
            rows = list(csv.DictReader(line for line in file if not line.startswith('#')))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ConfigError(f'{path} cannot be read: {error}') from error
    if len(rows) < 2 or len(rows[0]) < 2:
        raise ConfigError(f'{path} holds no log of power: two columns with a header, and two rows at least')
    names = list(rows[0])
    time_column, power_column = time_column or names[0], power_column or names[1]
    if not {time_column, power_column} <= set(names):
        raise ConfigError(f'{path} has the columns {", ".join(map(str, names))}, not {time_column} and {power_column}')
    times, watts = [], []
    for number, row in enumerate(rows, 2):
        try:
            times.append(_seconds(row[time_column]))
            watts.append(float(row[power_column]))
        except (TypeError, ValueError) as error:
            raise ConfigError(f'{path}, row {number}: {error}') from error
        if not 0.0 <= watts[-1] <= LIMIT_W:
            raise ConfigError(f'{path}, row {number}: {watts[-1]} W; allowed: 0 … {LIMIT_W:g}')
    stamps = np.array(times)
    if not (np.diff(stamps) > 0).all():
        raise ConfigError(f'{path}, row {int(np.argmin(np.diff(stamps) > 0)) + 3}: its time does not increase')
    return PowerLog(stamps, np.array(watts), 'utc' if stamps[0] > 1e9 else 'own')


def _seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        stamp = datetime.fromisoformat(text.strip().replace('Z', '+00:00'))  # as Python 3.10 reads it
        if stamp.tzinfo is None:
            raise ValueError(f'{text!r} has no time zone: write UTC with Z') from None
        value = stamp.timestamp()
    if not math.isfinite(value):
        raise ValueError(f'{text!r} is no time')
    return value


def inject_load(seconds: float = 5.0, clock: Clock = monotonic, work: Callable[[], object] | None = None) -> Step:
    """Keep one core busy, so that the log of an instrument shows when; returns (begin, end), CLOCK_MONOTONIC, s."""
    busy = work or (lambda: sum(range(1000)))
    begin = clock()
    while clock() < begin + seconds:
        busy()
    return begin, clock()


def utc_minus_monotonic() -> float:
    """UTC minus CLOCK_MONOTONIC now, s: to be noted during a run, for its logs."""
    return time.time() - time.monotonic()


class CsvMeter:
    """A finished log, read as a meter: each reading is the sum up to the time of the clock it is given."""

    argument = 'the log: [boundary=]FILE'
    on_request = True
    guard_s = 3600.0
    reason = ''

    def __init__(self, source: str, clock: Clock = monotonic, log: PowerLog | None = None) -> None:
        """Open a log.

        Args:
            source: ``[boundary=]file``.
            clock: whose times are asked for.
            log: the same, aligned already; None reads the file, which must have UTC stamps.

        Raises:
            ConfigError: as :func:`read_log`, or it has no UTC stamps.
        """
        boundary, name = boundary_and_rest(source, 'unknown')
        self._log = log or read_log(Path(name)).on_utc(utc_minus_monotonic())
        self._clock = clock
        self._last, self._joules, self._faults, self._problem = clock(), 0.0, 0, ''
        period = float(np.median(np.diff(self._log.time_s)))
        self.channels = (Channel(
            id=f'csv/{Path(name).stem}', driver='csv', kind='external', boundary=boundary, quality='measured',
            path_or_device='log of an instrument', unit_raw='W', update_period_s=period),)

    def read(self) -> Mapping[str, Sample]:
        """The sum up to now; unknown where the log has no data yet, or a hole."""
        now = self._clock()
        joules = self._log.between(self._last, now) if now > self._last else 0.0
        if joules is None:
            self._faults, self._problem = self._faults + 1, self._log.gap(self._last, now)
        else:
            self._joules += joules
        self._last = now
        return {self.channels[0].id: Sample(self._joules, self._faults, self._problem, round(now * 1e9))}

    def close(self) -> None:
        """Nothing is held open."""
