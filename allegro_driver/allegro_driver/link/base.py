"""What a link is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


@dataclass(slots=True)
class LinkCounts:
    """What happened on a link since it was made.

    Attributes:
        sent, received: datagrams.
        foreign: datagrams from another address, ignored.
        errors: failed sends and receives.
    """

    sent: int = 0
    received: int = 0
    foreign: int = 0
    errors: int = 0


class Link(Protocol):
    """Datagrams to and from one peer. Made closed; :meth:`open` and :meth:`close` may alternate."""

    counts: LinkCounts
    arrival_ns: int
    """When the datagram that :meth:`receive` returned last reached this machine, ``time.monotonic_ns()`` clock."""

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

    def send(self, data: bytes) -> None:
        """Send one datagram.

        Raises:
            LinkError: it did not leave this machine.
        """
        ...

    def receive(self, timeout_s: float) -> bytes | None:
        """Return the next datagram of the peer, or None after ``timeout_s``. Zero only looks.

        Raises:
            LinkError: the link is closed or broken.
        """
        ...

    def close(self) -> None:
        """Give the local address back. Does nothing when closed."""
        ...
