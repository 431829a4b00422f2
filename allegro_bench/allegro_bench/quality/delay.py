"""How late a backend is, as it was measured, dealt out to the ticks of simulated episodes.

From the ticks of its blocks come two times of each inference: by how much it began later than it could have, and how
long it took. Runs of :data:`RUN_S` of them are drawn and fed to the very load generator that measured them, on a
virtual clock. It decides again what is skipped or queued and when each inference ends; so a stall drops as many ticks
as it did, whatever it is put beside, and runs of misses stay runs.

Then, for tick k released at ``k T`` with response r: its target is in effect from ``k T + r`` on and not before; until
then, and through ticks that were skipped, the last target that arrived is held. A target that comes after its deadline
still takes effect when it comes, as it does on a hand: a miss is a hold, and then a target that is old. The hand takes
over targets at its own steps of h (the physics steps of the simulation), whose phase against the ticks is drawn once
per episode, the same for every candidate: so a response of exactly m h is m steps late, one between is late by either
neighbour, and by r on average.

A policy's loop has a limit of its own: after so many inferences in a row beyond the latency budget of its bundle it
holds and asks no more, stops commanding a while later, and the driver relaxes. So here it holds, and the episode counts
as lost, whatever becomes of the object within its six seconds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from allegro_description.errors import ConfigError
from numpy.typing import NDArray

from allegro_bench.latency import NEVER, Ticks
from allegro_bench.load import run_periodic

RUN_S = 1.0
"""Length of the runs that are drawn, s at the control rate: as in the bootstrap of percentiles."""
STREAM_TIMES, STREAM_PHASE = 40, 41
"""Seed streams of one episode."""

Stamps = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Trace:
    """What each inference of a backend took, block by block in order; all arrays int64 ns, (n,).

    Attributes:
        late_ns: begin after it could have begun (its release, or the end of the inference before).
        busy_ns: from there to its end.
        lengths: inferences of each block; no run is drawn across two blocks.
    """

    late_ns: Stamps
    busy_ns: Stamps
    lengths: tuple[int, ...]

    def __len__(self) -> int:
        return int(self.late_ns.size)

    @classmethod
    def of(cls, blocks: Sequence[Ticks]) -> Trace:
        """From measured ticks, skipped ones included.

        Raises:
            ConfigError: not one inference was measured.
        """
        late, busy = [], []
        for run in blocks:
            done = run.completed
            before = np.concatenate([[np.iinfo(np.int64).min], done.finish_ns[:-1]])
            late.append(np.maximum(done.start_ns - np.maximum(done.release_ns, before), 0))
            busy.append(done.finish_ns - done.start_ns)
        lengths = tuple(len(part) for part in late if len(part))
        if not lengths:
            raise ConfigError('no inference of this backend was measured, so its response times are not known')
        return cls(np.concatenate(late).astype(np.int64), np.concatenate(busy).astype(np.int64), lengths)

    @classmethod
    def constant(cls, busy_ns: int) -> Trace:
        """Every inference takes the same time; 0 is a machine without delay."""
        return cls(np.zeros(1, dtype=np.int64), np.full(1, busy_ns, dtype=np.int64), (1,))

    def slower(self, extra_ns: int) -> Trace:
        """Every inference takes so much longer."""
        return Trace(self.late_ns, self.busy_ns + extra_ns, self.lengths)

    def drawn(self, count: int, run: int, rng: np.random.Generator) -> tuple[Stamps, Stamps]:
        """``late_ns`` and ``busy_ns`` of ``count`` inferences, runs of ``run`` neighbours one after another."""
        ends = np.cumsum(self.lengths)
        chosen: list[Stamps] = []
        have = 0
        while have < count:
            at = int(rng.integers(len(self)))
            block = int(np.searchsorted(ends, at, side='right'))
            first, size = int(ends[block]) - self.lengths[block], self.lengths[block]
            chosen.append(first + (at - first + np.arange(run)) % size)     # round the end: each tick is as likely
            have += run
        places = np.concatenate(chosen)[:count]
        return self.late_ns[places], self.busy_ns[places]


class _Replayed:
    """A clock on which inferences begin late and take time as they were told to."""

    def __init__(self, late_ns: Stamps, busy_ns: Stamps) -> None:
        self._now, self._used = 0, 0
        self._late, self._busy = late_ns.tolist(), busy_ns.tolist()

    def now_ns(self) -> int:
        return self._now

    def sleep_until(self, deadline_ns: int) -> None:
        self._now = max(self._now, deadline_ns) + self._late[self._used]

    def work(self, k: int) -> None:
        self._now += self._busy[self._used]
        self._used += 1


def replay(late_ns: Stamps, busy_ns: Stamps, *, period_ns: int, count: int, on_overrun: str) -> Ticks:
    """The ticks that these times lead to, released from 0 on; at most one of them is used per tick.

    Args:
        late_ns: as in :class:`Trace`, (at least count,).
        busy_ns: the same.
        period_ns: T.
        count: ticks.
        on_overrun: ``skip`` or ``queue``.
    """
    clock = _Replayed(late_ns, busy_ns)
    return run_periodic(clock.work, clock, period_ns=period_ns, count=count, on_overrun=on_overrun, first_ns=0)


@dataclass(frozen=True, slots=True)
class Limit:
    """When a loop gives up: ``sustain`` inferences in a row that take longer than ``budget_ns``."""

    budget_ns: int
    sustain: int

    def first(self, busy_ns: Stamps) -> int | None:
        """Which of these inferences in a row makes the loop hold; None: none does."""
        run = 0
        for k, slow in enumerate((busy_ns > self.budget_ns).tolist()):
            run = run + 1 if slow else 0
            if run >= self.sustain:
                return k
        return None


@dataclass(frozen=True, eq=False)
class Plan:
    """When the ticks of one episode decide, and whose target the hand follows.

    Attributes:
        decides: whether the tick is computed at all, (ticks,).
        in_effect: at each step of the hand, the tick whose target holds; -1: the one from before, (ticks * steps,).
        ticks: as the load generator left them.
        holds: the tick in which the loop gives up, or None; its own target is not followed.
    """

    decides: NDArray[np.bool_]
    in_effect: NDArray[np.intp]
    ticks: Ticks
    holds: int | None = None


def plan(ticks: Ticks, *, period_ns: int, steps: int, phase_ns: int, limit: Limit | None = None) -> Plan:
    """Put responses onto the steps of the hand.

    Args:
        ticks: released from 0 on.
        period_ns: T.
        steps: steps of the hand in each period; h = T / steps.
        phase_ns: of the releases against those steps, 0 <= phase < h: the first step comes so long after a release.
        limit: of the loop; None: it never gives up.

    Raises:
        ConfigError: T is no whole number of steps, or the phase lies outside.
    """
    step_ns, rest = divmod(period_ns, steps)
    if rest or not 0 <= phase_ns < step_ns:
        raise ConfigError(f'{steps} steps and a phase of {phase_ns} ns do not fit a period of {period_ns} ns')
    done = ticks.completed
    response = done.finish_ns - done.release_ns
    arrives = done.index * steps + np.maximum(0, -((phase_ns - response) // step_ns))
    # inferences end in the order in which they began, so of those that have arrived the last one is the newest
    last = np.searchsorted(arrives, np.arange(len(ticks) * steps), side='right') - 1
    in_effect = np.where(last >= 0, done.index[np.maximum(last, 0)] if len(done) else -1, -1)
    decides = ticks.start_ns != NEVER
    at = limit.first(done.finish_ns - done.start_ns) if limit else None
    if at is None:
        return Plan(decides, in_effect.astype(np.intp), ticks)
    holds = int(done.index[at])
    decides &= ticks.index <= holds
    in_effect = np.minimum(in_effect, done.index[at - 1] if at else -1)
    return Plan(decides, in_effect.astype(np.intp), ticks, holds)


def episode_plan(trace: Trace, seed: int, *, period_ns: int, count: int, steps: int, on_overrun: str,
                 limit: Limit | None = None) -> Plan:
    """The plan of one episode; times and phase follow from its seed, the phase for every trace alike.

    Args:
        trace: what inferences take.
        seed: of the episode.
        period_ns: T.
        count: ticks of the episode.
        steps: steps of the hand in each period.
        on_overrun: ``skip`` or ``queue``.
        limit: of the loop; None: it never gives up.
    """
    run = max(1, round(RUN_S * 1e9 / period_ns))
    late, busy = trace.drawn(count, run, np.random.default_rng((seed, STREAM_TIMES)))
    phase = int(np.random.default_rng((seed, STREAM_PHASE)).integers(period_ns // steps))
    ticks = replay(late, busy, period_ns=period_ns, count=count, on_overrun=on_overrun)
    return plan(ticks, period_ns=period_ns, steps=steps, phase_ns=phase, limit=limit)
