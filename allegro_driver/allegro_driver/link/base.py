"""What a link is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

Unit = TypeVar('Unit')


@dataclass(slots=True)
class LinkCounts:
    """What happened on a link since it was made.

    Attributes:
        sent, received: datagrams or frames.
        foreign: those from or for somebody else, ignored.
        errors: failed sends and receives.
    """

    sent: int = 0
    received: int = 0
    foreign: int = 0
    errors: int = 0


@dataclass(frozen=True, slots=True)
class SharedSend:
    """How another process can send units over an open link that it inherits.

    Attributes:
        descriptor: the open file, inheritable.
        payloads: what to write, one item per unit.
        peer: address for ``sendto``, or None where ``write`` does.
    """

    descriptor: int
    payloads: tuple[bytes, ...]
    peer: tuple[str, int] | None = None


class Link(Protocol[Unit]):
    """Units (datagrams, frames) to and from one peer. Made closed; :meth:`open` and :meth:`close` may alternate."""

    counts: LinkCounts
    arrival_ns: int
    """When the unit that :meth:`receive` returned last reached this machine, ``time.monotonic_ns()`` clock."""

    @property
    def peer(self) -> str:
        """The peer's address, for messages."""
        ...

    def open(self) -> None:
        """Take the local address. Does nothing when open.

        Raises:
            LinkError: it cannot be had; the message says why and what to do.
        """
        ...

    def send(self, unit: Unit) -> None:
        """Send one unit.

        Raises:
            LinkError: it did not leave this machine.
        """
        ...

    def receive(self, timeout_s: float) -> Unit | None:
        """Return the next unit of the peer, or None after ``timeout_s``. Zero only looks.

        Raises:
            LinkError: the link is closed or broken.
        """
        ...

    def share(self, units: Sequence[Unit]) -> SharedSend | None:
        """How a child process could send these units; None where the link has no file that can be inherited.

        Raises:
            LinkError: the link is closed.
        """
        ...

    def close(self) -> None:
        """Give the local address back. Does nothing when closed."""
        ...
