"""Joules of a block: one owner of all meters, marks just before and after, and what is wrong with a window.

::

    with EnergyRecorder(open_meters('auto')) as recorder:
        before = recorder.mark()          # just before the first release
        …                                 # the block
        after = recorder.mark()           # just after the end of its last period
        window = recorder.window(before, after, begin_ns, end_ns)
        block |= window.as_block()        # energy_j, energy_window_s, energy_marks, energy_problems

A mark is the unwrapped sum of every channel. Joules are differences of two marks; nobody else reads the hardware.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from allegro_bench.meters.meter import Channel, Meter, Sample, window_joules

Marks = Mapping[str, Sample]

EDGE_S, EDGE_SHARE = 0.1, 0.005
"""A mark may be this far outside its block: so many seconds, or this share of the block, whichever is more."""

ALIVE_PERIODS, ALIVE_LEAST_S, ALIVE_MOST_S = 20, 0.1, 2.0
"""After a window its counters must move within so many of their periods, or they stood still in it unnoticed."""



class Mark(dict[str, Sample]):
    """Readings of all channels, as late as possible.

    A meter over a network may take long to answer. So that it does not push the others away from the edge of a block,
    these are read before and after it: :attr:`early` is for the end of a block, the mark itself for its begin.
    """

    def __init__(self, late: Mapping[str, Sample], early: Mapping[str, Sample]) -> None:
        super().__init__(late)
        self.early = dict(early)


@dataclass(frozen=True, slots=True)
class Window:
    """Energy between two marks.

    Attributes:
        joules: by channel; None where it is not known.
        problems: why, for each None.
        seconds: between the two marks.
        marks: by channel, [time before, time after, sum before, sum after] in ns and J, so that it can be checked.
    """

    joules: Mapping[str, float | None]
    problems: Mapping[str, str]
    seconds: float | None
    marks: Mapping[str, list[float | int | None]] = field(default_factory=dict)

    def as_block(self) -> dict[str, Any]:
        """Fields of a result file's block."""
        return {'energy_j': dict(self.joules), 'energy_window_s': self.seconds,
                'energy_marks': {k: list(v) for k, v in self.marks.items()}, 'energy_problems': dict(self.problems)}


def window(before: Marks, after: Marks, begin_ns: int | None = None, end_ns: int | None = None) -> Window:
    """Energy between two marks.

    Args:
        before: marks at its begin.
        after: marks at its end.
        begin_ns: first release (CLOCK_MONOTONIC) of the block that the energy is said to be of; None: not checked.
        end_ns: end of its last period. Marks that do not enclose exactly this block give no energy.
    """
    after = getattr(after, 'early', after)
    joules: dict[str, float | None] = {}
    problems, marks, seconds = {}, {}, None
    for name in [*before, *(n for n in after if n not in before)]:
        first, last = before.get(name), after.get(name)
        if first is None or last is None:
            joules[name], problems[name] = None, 'appeared or disappeared within the window'
            continue
        marks[name] = [first.t_ns, last.t_ns, first.joules, last.joules]
        joules[name] = window_joules(first, last)
        if joules[name] is None:
            problems[name] = last.problem or 'a reading in the window could not be trusted'
            continue
        problem = _misplaced(first.t_ns, last.t_ns, begin_ns, end_ns)
        if problem:
            joules[name], problems[name] = None, problem
        elif first.t_ns is not None and last.t_ns is not None:
            seconds = max(seconds or 0.0, (last.t_ns - first.t_ns) * 1e-9)
    return Window(joules, problems, seconds, marks)


def _misplaced(first_ns: int | None, last_ns: int | None, begin_ns: int | None, end_ns: int | None) -> str:
    """What is wrong with the times of two readings; empty where nothing is."""
    if first_ns is None or last_ns is None:
        return 'the meter does not say when it was read' if begin_ns is not None else ''
    if last_ns <= first_ns:
        return 'both readings are from the same time'
    if begin_ns is None or end_ns is None:
        return ''
    most = max(EDGE_S, EDGE_SHARE * (end_ns - begin_ns) * 1e-9)
    early, late = (begin_ns - first_ns) * 1e-9, (last_ns - end_ns) * 1e-9
    for name, off in (('first', early), ('last', late)):
        if off < 0:
            return f'read from another window: the {name} reading lies {-off:.3f} s inside the block'
        if off > most:
            return f'read from another window: the {name} reading lies {off:.3f} s outside the block, allowed {most:g}'
    return ''


class EnergyRecorder:
    """Owns all meters. A thread of its own reads what has to be read in between; it is a meter itself."""

    def __init__(self, meters: Sequence[Meter], *, clock: Callable[[], float] = time.monotonic,
                 sleep: Callable[[float], None] = time.sleep) -> None:
        """Take over open meters; :meth:`start` begins to read."""
        self._meters, self._clock, self._sleep = tuple(meters), clock, sleep
        self.channels = together([m.channels for m in meters])
        self.reason = '' if self.channels else '; '.join(m.reason for m in meters if m.reason)
        self.guard_s = min((m.guard_s for m in meters), default=3600.0)
        self._due = [clock() + m.guard_s for m in self._meters]
        self._last: list[dict[str, Sample]] = [{} for _ in self._meters]
        self._failed, self._why = [0] * len(self._meters), [''] * len(self._meters)
        self._failing = [False] * len(self._meters)
        self._lock, self._stop = threading.Lock(), threading.Event()
        self._thread: threading.Thread | None = None

    def __enter__(self) -> EnergyRecorder:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def start(self) -> None:
        """Begin to read in the background, where there is anything to read."""
        if self._thread is None and self.channels:
            self._stop.clear()
            self._thread = threading.Thread(target=self._run, name='energy', daemon=True)
            self._thread.start()

    def pause(self) -> None:
        """Stop reading; windows over the pause are unknown for sampled sources."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join()
            self._thread = None

    def close(self) -> None:
        """Stop and let go of the meters."""
        self.pause()
        for meter in self._meters:
            meter.close()

    def mark(self) -> Mark:
        """Read every channel now: id to sum."""
        with self._lock:
            quick = [(i, m) for i, m in enumerate(self._meters) if not getattr(m, 'slow', False)]
            slow = [(i, m) for i, m in enumerate(self._meters) if getattr(m, 'slow', False)]
            early = self._all(quick)
            late = self._all(slow)
            return Mark(self._all(quick) | late if slow else early, early | late)

    def read(self) -> Mapping[str, Sample]:
        """As :meth:`mark`."""
        return self.mark()

    def poll(self) -> float:
        """Read what is due; returns how long nothing will be, s. What the thread does all the time."""
        with self._lock:
            for i, meter in enumerate(self._meters):
                if self._clock() >= self._due[i]:
                    self._read(i, meter)
            return max(0.0, min(self._due, default=3600.0) - self._clock())

    def window(self, before: Marks, after: Marks, begin_ns: int | None = None, end_ns: int | None = None) -> Window:
        """As :func:`window`; waits up to 2 s to see that the counters have not stopped within the window."""
        found = window(before, after, begin_ns, end_ns)
        edge = getattr(after, 'early', after)
        dead = self._standing({c.id: edge[c.id] for c in self.channels
                               if c.kind == 'counter' and found.joules.get(c.id) is not None})
        if not dead:
            return found
        return replace(found, joules={**found.joules, **dict.fromkeys(dead)}, problems={**found.problems, **dead})

    def _standing(self, waiting: dict[str, Sample]) -> dict[str, str]:
        """Counters that do not move any more after their last reading."""
        dead = {}
        periods = {c.id: ALIVE_MOST_S if c.update_period_s is None else c.update_period_s for c in self.channels}
        begin = self._clock()
        while waiting:
            now = self.mark()
            waited = self._clock() - begin
            for name, last in list(waiting.items()):
                most = min(ALIVE_MOST_S, max(ALIVE_LEAST_S, ALIVE_PERIODS * periods[name]))
                if name in now and (now[name].joules > last.joules or now[name].faults != last.faults):
                    del waiting[name]
                    if now[name].faults != last.faults:
                        dead[name] = f'right after the window: {now[name].problem}'
                elif waited >= most:
                    del waiting[name]
                    dead[name] = f'frozen: the counter did not move within {most:g} s after the window'
            if waiting:
                self._sleep(0.01)
        return dead

    def _all(self, meters: Sequence[tuple[int, Meter]]) -> dict[str, Sample]:
        found: dict[str, Sample] = {}
        for index, meter in meters:
            found |= self._read(index, meter)
        return found

    def _read(self, index: int, meter: Meter) -> Mapping[str, Sample]:
        try:
            self._last[index] = dict(meter.read())
            # The sums that stood still while it failed begin no window: one more fault parts them from what follows.
            self._failed[index] += self._failing[index]
            self._failing[index] = False
        except Exception as error:  # a meter of somebody else may raise anything; it must not cost the others
            self._failed[index] += 1
            self._failing[index] = True
            self._why[index] = f'the meter failed: {type(error).__name__}: {error}'
        self._due[index] = self._clock() + meter.guard_s
        failed = self._failed[index]
        if not failed:
            return self._last[index]
        known = {c.id: self._last[index].get(c.id, Sample(0.0)) for c in meter.channels}
        return {k: replace(s, faults=s.faults + failed, problem=s.problem or self._why[index])
                for k, s in known.items()}

    def _run(self) -> None:
        while not self._stop.wait(max(0.001, self.poll())):
            pass


def together(groups: Sequence[Sequence[Channel]]) -> tuple[Channel, ...]:
    """Channels of several meters, each with the ids of all others that count some of its joules."""
    every = [(number, channel) for number, group in enumerate(groups) for channel in group]

    def shares(a: tuple[int, Channel], b: tuple[int, Channel]) -> bool:
        if a[0] == b[0]:
            return b[1].id in a[1].overlaps
        return {a[1].boundary, b[1].boundary} != {'cpu_package', 'gpu_board'}

    return tuple(replace(mine[1], overlaps=tuple(other[1].id for other in every
                                                 if other is not mine and shares(mine, other))) for mine in every)


def meter_overhead(p50_ms: Callable[[bool], float], order: str = 'ABBA') -> dict[str, Any]:
    """What reading the meters costs: p50 with and without, in the order that cancels a steady drift.

    Args:
        p50_ms: runs a block with meters on (True) or off (False) and returns its median response, ms.
        order: A with, B without.

    Returns:
        ``on_ms``, ``off_ms`` (medians in order), ``ratio`` of their means, ``reported``: above 2 %.
    """
    found: dict[str, list[float]] = {'A': [], 'B': []}
    for letter in order:
        found[letter].append(p50_ms(letter == 'A'))
    ratio = (sum(found['A']) / len(found['A'])) / (sum(found['B']) / len(found['B']))
    return {'on_ms': found['A'], 'off_ms': found['B'], 'ratio': ratio, 'reported': ratio > 1.02}
