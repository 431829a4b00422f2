"""What the time stamps of a control loop's ticks say about it.

For tick k with period T: *release* ``r0 + k T`` (never re-based), *start*, *finish*. Release jitter is start minus
release, service is finish minus start, and **response, the headline, is finish minus release**: it contains the wait
that a stalled loop hides when it is timed call by call. A tick is *missed* if it finishes later than its release
plus the deadline D (D = T unless stated) or is skipped. All stamps are integer nanoseconds of one clock.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from allegro_bench.statistics import longest_run, most_in_window, percentiles, wilson

Stamps = NDArray[np.int64]
Flags = NDArray[np.bool_]

NEVER = -1
"""Start and finish of a tick that was skipped."""

PERCENTILES = {'p50': 0.50, 'p90': 0.90, 'p95': 0.95, 'p99': 0.99, 'p999': 0.999}
WINDOWS = (10, 50)
"""k of the (m, k) miss counts."""

PAUSE_NS = 500_000_000
"""A gap this long between two ticks that were both in time is a loop that paused, not one that fell behind."""


@dataclass(frozen=True, eq=False, slots=True)
class Ticks:
    """Every tick of a run in order, skipped ones included; all arrays have shape (n,).

    Attributes:
        index: the loop's own count, which goes on counting over skipped ticks.
        release_ns, start_ns, finish_ns: stamps, ns; start and finish are :data:`NEVER` for a skipped tick.
        segment: rises by one where the schedule began anew (the loop was stopped and started again).
        backend: index into the run's list of backend names.
    """

    index: Stamps
    release_ns: Stamps
    start_ns: Stamps
    finish_ns: Stamps
    segment: Stamps
    backend: Stamps

    def __len__(self) -> int:
        return int(self.index.size)

    def __getitem__(self, which: slice | Flags) -> Ticks:
        return Ticks(*(getattr(self, f.name)[which] for f in fields(self)))

    @property
    def skipped(self) -> Flags:
        """True where a tick was released and never begun, (n,)."""
        return np.asarray(self.finish_ns == NEVER)

    @property
    def completed(self) -> Ticks:
        """The ticks that were not skipped."""
        return self[~self.skipped]

    def jitter_ns(self) -> Stamps:
        """Start minus release of the completed ticks, ns."""
        done = self.completed
        return done.start_ns - done.release_ns

    def service_ns(self) -> Stamps:
        """Finish minus start of the completed ticks, ns."""
        done = self.completed
        return done.finish_ns - done.start_ns

    def response_ns(self) -> Stamps:
        """Finish minus release of the completed ticks, ns."""
        done = self.completed
        return done.finish_ns - done.release_ns

    def missed(self, deadline_ns: int) -> Flags:
        """True for each tick that was skipped or finished later than release plus deadline, (n,)."""
        return self.skipped | (self.finish_ns > self.release_ns + deadline_ns)


def ticks(index: Sequence[int] | Stamps, release_ns: Sequence[int] | Stamps, start_ns: Sequence[int] | Stamps,
          finish_ns: Sequence[int] | Stamps) -> Ticks:
    """Build :class:`Ticks` of one segment and one backend from columns of equal length."""
    columns = [np.asarray(c, dtype=np.int64) for c in (index, release_ns, start_ns, finish_ns)]
    zero = np.zeros(columns[0].size, dtype=np.int64)
    return Ticks(*[*columns, zero, zero])


@dataclass(frozen=True, slots=True)
class Gaps:
    """What was found while skipped ticks were put back.

    A gap is *explained* where the tick before it was busy beyond the next release, or the tick after it began late.

    Attributes:
        segments: stretches of unbroken schedule.
        skipped: ticks put back because the count jumped over them.
        unexplained: those of them in gaps that nothing explains: a loop that woke late, or a lost message.
        pauses: unexplained gaps of at least :data:`PAUSE_NS`, taken for a loop that was asked to stop inferring.
    """

    segments: int
    skipped: int
    unexplained: int
    pauses: int


def period_of(index: Stamps, release_ns: Stamps) -> int:
    """Period of a schedule from its releases, ns: the median step per tick; 0 where there are fewer than two ticks."""
    steps, counts = np.diff(release_ns), np.diff(index)
    forward = counts > 0
    return round(float(np.median(steps[forward] / counts[forward]))) if forward.any() else 0


def restore(index: Stamps, release_ns: Stamps, start_ns: Stamps, finish_ns: Stamps, backend: Stamps,
            period_ns: int) -> tuple[Ticks, Gaps]:
    """Put back the ticks that a stream of completed inferences jumped over.

    Args:
        index: the loop's own tick count of each completed tick, which counts skipped ones too.
        release_ns: release of each completed tick, ns.
        start_ns: start of each, ns.
        finish_ns: finish of each, ns, rising.
        backend: backend number of each.
        period_ns: T.

    Returns:
        All ticks and the account of what was put back. A count that falls, a release that does not lie on the
        schedule of the tick before it, or a pause begins a new segment, across which nothing is put back.
    """
    jump, step = np.diff(index) - 1, np.diff(release_ns)
    on_schedule = np.abs(step - (jump + 1) * period_ns) < period_ns / 2
    explained = (finish_ns[:-1] > release_ns[:-1] + period_ns) | (start_ns[1:] > release_ns[1:] + period_ns / 2)
    pause = (jump > 0) & ~explained & (step >= PAUSE_NS)
    begins = (jump < 0) | ~on_schedule | pause
    filled = np.where(begins, 0, jump)
    before = np.concatenate([np.zeros(min(index.size, 1), dtype=np.int64), filled])  # ticks put back before each
    segment = np.concatenate([np.zeros(min(index.size, 1), dtype=np.int64), np.cumsum(begins)])
    place = np.arange(index.size) + np.cumsum(before)
    table = np.full((6, int(index.size + filled.sum())), NEVER, dtype=np.int64)
    table[:, place] = index, release_ns, start_ns, finish_ns, segment, backend
    following = np.repeat(np.arange(index.size), before)
    number = np.arange(following.size) - np.repeat(np.cumsum(before) - before, before) + 1
    put_back = np.setdiff1d(np.arange(table.shape[1]), place, assume_unique=True)
    table[0, put_back] = index[following - 1] + number
    table[1, put_back] = release_ns[following - 1] + number * period_ns
    table[4:, put_back] = segment[following], backend[following]
    skipped, unexplained = int(filled.sum()), int(filled[~explained].sum())
    segments = int(segment[-1]) + 1 if index.size else 0
    return Ticks(*table), Gaps(segments, skipped, unexplained, int(pause.sum()))


def summarise(run: Ticks, period_ns: int, deadline_ns: int) -> dict[str, Any]:
    """The numbers of a run in the layout of the result file's ``summary[]``.

    Args:
        run: every tick, skipped ones included.
        period_ns: T.
        deadline_ns: D.

    Returns:
        ``response_ms``, ``service_ms`` and ``jitter_us`` with percentiles, ``miss`` and ``achieved_rate_hz``.
    """
    second = max(1, round(1e9 / period_ns)) if period_ns else 1
    missed = run.missed(deadline_ns)
    parts = [missed[run.segment == s] for s in np.unique(run.segment)]
    scheduled_s = len(run) * period_ns * 1e-9
    done = run.completed
    return {
        'response_ms': distribution(run.response_ns() * 1e-6, second),
        'service_ms': distribution(run.service_ns() * 1e-6, second),
        'jitter_us': distribution(run.jitter_ns() * 1e-3, second),
        'miss': {
            **wilson(int(missed.sum()), len(run)).as_dict(),
            'missed': int(missed.sum()),
            'late': int((missed & ~run.skipped).sum()),
            'skipped': int(run.skipped.sum()),
            'longest_run': max((longest_run(part) for part in parts), default=0),
            'mk': {str(k): max((most_in_window(part, k) for part in parts), default=0) for k in WINDOWS},
            'worst_second': max((most_in_window(part, second) for part in parts), default=0),
        },
        'n_expected': len(run),
        'n_completed': len(done),
        'achieved_rate_hz': len(done) / scheduled_s if scheduled_s > 0 else None,
    }


def distribution(values: NDArray[np.floating[Any]], block: int) -> dict[str, Any]:
    """Percentiles of :data:`PERCENTILES` with intervals, and the sample maximum, in the unit of ``values``."""
    estimates = percentiles(values.astype(np.float64), tuple(PERCENTILES.values()), block=block)
    found: dict[str, Any] = {name: e.as_dict() for name, e in zip(PERCENTILES, estimates, strict=True)}
    return found | {'max': float(values.max()) if values.size else None, 'n': int(values.size)}
