"""What a check says."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Level(Enum):
    """How bad it is: fine; works, but; does not work."""

    OK = 'OK'
    WARN = 'WARN'
    FAIL = 'FAIL'


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        level: how bad it is.
        topic: what was looked at, a word or two.
        found: what was seen.
        remedy: what to do, as a command where there is one; '' where nothing needs doing.
    """

    level: Level
    topic: str
    found: str
    remedy: str = ''


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which hand the machine should be ready for.

    Attributes:
        link: ``udp`` or ``can``: what is missing for it fails; '' where it is not known, then that is a warning.
        adapter: kind of CAN adapter in the address, ``socketcan``, ``slcan``, ``pcan`` …; '' for any.
        interface: the interface of SocketCAN, e.g. ``can0``, or the serial line of ``slcan``; '' for any.
        hand_ip: address of the hand.
        local_port: UDP port of this machine for it.
        priority: real-time priority that the driver asks for.
    """

    link: str = ''
    adapter: str = ''
    interface: str = ''
    hand_ip: str = '192.168.0.50'
    local_port: int = 8000
    priority: int = 60

    def missing(self, link: str) -> Level:
        """How bad it is that something for this link is missing."""
        return Level.FAIL if self.link == link else Level.WARN

    def other(self, link: str) -> bool:
        """Whether the hand is on another link, so that this one does not matter."""
        return self.link not in ('', link)
