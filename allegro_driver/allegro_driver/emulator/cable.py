"""The cable between hand and host: it passes units on, and does to them what the active faults of the link say."""

from __future__ import annotations

import heapq
from typing import Generic

from allegro_description.errors import LinkError

from allegro_driver.emulator.faults import FaultSet
from allegro_driver.emulator.seams import Peer, Unit, Wire

MOST_JUNK = 256   # units of a flood per turn, however late the turn is


class Cable(Generic[Unit]):
    """One wire with its faults.

    Attributes:
        counts: ``sent`` and ``received`` units, ``lost`` ones (fault drop or bus_off, or nobody took them),
            ``send_errors``.
    """

    def __init__(self, wire: Wire[Unit], faults: FaultSet) -> None:
        """Nothing is under way yet."""
        self._wire, self._faults = wire, faults
        self._queue: list[tuple[float, int, Unit, Peer, bool]] = []
        self._queued = 0
        self._held: tuple[Unit, Peer] | None = None
        self._audience: Peer = None
        self._junk_due = 0.0
        self._turn = 0.0
        self.counts = dict.fromkeys(('sent', 'received', 'lost', 'send_errors'), 0)

    @property
    def due(self) -> float | None:
        """When the next delayed unit leaves, s; None if none is under way."""
        return self._queue[0][0] if self._queue else None

    def receive(self) -> tuple[Unit | None, Peer] | None:
        """Return the next unit that the host sent; (None, …) for one that was lost; None when none waits."""
        got = self._wire.receive()
        if got is None:
            return None
        self.counts['received'] += 1
        if 'bus_off' in self._faults or self._faults.happens('drop'):
            self.counts['lost'] += 1
            return None, got[1]
        return got

    def send(self, unit: Unit, to: Peer, now: float) -> None:
        """Send a unit of the hand, through all faults."""
        faults = self._faults
        self._audience = to
        if faults.happens('drop'):
            self.counts['lost'] += 1
            return
        if faults.happens('corrupt'):
            unit = self._wire.spoil(unit, faults.dice)
        for _ in range(2 if faults.happens('duplicate') else 1):
            if self._held is None and faults.happens('reorder'):
                self._held = (unit, to)
                continue
            self._push(unit, to, now + faults.delay_s())
            if self._held is not None:
                held, self._held = self._held, None
                self._push(*held, now + faults.delay_s())
        if faults.happens('wrong_peer'):
            self._push(self._wire.forge(unit), to, now, forged=True)

    def flush(self, now: float) -> None:
        """Let out what is due by now, and the junk of a flood."""
        self._wire.bus_off = 'bus_off' in self._faults
        while self._queue and self._queue[0][0] <= now:
            _, _, unit, to, forged = heapq.heappop(self._queue)
            self._out(unit, to, forged)
        self._flood(now)

    def _flood(self, now: float) -> None:
        rate = self._faults.flood_rate()
        since, self._turn = now - self._turn, now
        if not rate or (self._audience is None and self._wire.kind == 'udp'):
            self._junk_due = 0.0
            return
        self._junk_due = min(self._junk_due + rate * since, MOST_JUNK)
        while self._junk_due >= 1.0:
            self._junk_due -= 1.0
            self._out(self._wire.junk(self._faults.dice), self._audience, False)

    def _push(self, unit: Unit, to: Peer, at: float, forged: bool = False) -> None:
        self._queued += 1
        heapq.heappush(self._queue, (at, self._queued, unit, to, forged))

    def _out(self, unit: Unit, to: Peer, forged: bool) -> None:
        if 'bus_off' in self._faults:
            self.counts['lost'] += 1
            return
        try:
            self.counts['sent' if self._wire.send(unit, to, forged) else 'lost'] += 1
        except LinkError:
            self.counts['send_errors'] += 1
