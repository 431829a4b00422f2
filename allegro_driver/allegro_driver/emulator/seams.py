"""The seams of the emulator: a *wire* that units come from and go to, and a *firmware* that hears and sends them.

A unit is a datagram (``bytes``) or a :class:`~allegro_driver.protocol.can_frames.CanFrame`. Between wire and firmware
stands the :class:`~.cable.Cable`, which may lose, delay or forge units; the one clock is :mod:`.server`'s.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any, Protocol, TypeVar

from allegro_driver.emulator.body import HandBody

Unit = TypeVar('Unit')
Peer = tuple[str, int] | None
"""Who sent a unit, or whom it is for: a UDP address; None on a bus, where everybody hears everything."""

LINK_FAULTS = frozenset({'drop', 'delay', 'duplicate', 'reorder', 'corrupt', 'flood', 'wrong_peer'})
"""Faults that every wire can have."""


class Wire(Protocol[Unit]):
    """Units in and out, without waiting. Made closed."""

    kind: str
    """``udp``, ``slcan`` or ``can``."""
    faults: frozenset[str]
    """Names of the link faults that it can have."""
    bus_off: bool
    """Set while nothing gets through, for wires that can tell their host."""

    @property
    def address(self) -> str:
        """What a driver is told to find this hand, without the device number."""
        ...

    def open(self) -> None:
        """Take the local address.

        Raises:
            LinkError: it cannot be had; the message says what to do.
            MissingDependency: a package is not installed.
        """
        ...

    def close(self) -> None:
        """Give it back; safe to call again."""
        ...

    def descriptors(self) -> Sequence[int]:
        """Files to wait on for reading; none while nobody can send."""
        ...

    def receive(self) -> tuple[Unit, Peer] | None:
        """Return the next unit and its sender, or None when none waits."""
        ...

    def send(self, unit: Unit, to: Peer, forged: bool = False) -> bool:
        """Send; False if it was lost because nobody takes it (full buffer, nobody there).

        Args:
            unit: datagram or frame.
            to: address; ignored on a bus.
            forged: send it from another address than the hand's, where the wire has addresses.

        Raises:
            LinkError: the wire is broken.
        """
        ...

    def spoil(self, unit: Unit, dice: random.Random) -> Unit:
        """Return the unit with one change, as a disturbance would make it."""
        ...

    def junk(self, dice: random.Random) -> Unit:
        """Return a unit that means nothing to any hand or host."""
        ...

    def forge(self, unit: Unit) -> Unit:
        """Return a unit that another peer could have sent: same kind, other contents, other device number."""
        ...


class Firmware(Protocol[Unit]):
    """What a hand's controller does. It has no clock of its own: times are the server's, ms since its start."""

    body: HandBody

    @property
    def period_s(self) -> float:
        """Time to the next step, s; the host may change it."""
        ...

    @property
    def device_number(self) -> int:
        """Device number on a bus that it answers to, 0 where there is none."""
        ...

    def hear(self, unit: Unit, sender: Peer, now_ms: int) -> Sequence[tuple[Unit, Peer]]:
        """Take a unit; return the answers and whom they are for.

        Raises:
            ProtocolError: it is not something a host says to this hand; nothing has changed.
        """
        ...

    def step(self, now_ms: int) -> None:
        """Advance by one period."""
        ...

    def stream(self, now_ms: int) -> Sequence[tuple[Unit, Peer]]:
        """Return what the hand sends by itself after this step."""
        ...

    def status(self) -> dict[str, Any]:
        """State for the control interface, ready for JSON."""
        ...
