"""Messages of a bag in the order of their receipt, from any place on, in bounded memory."""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from allegro_description.errors import ConfigError

from allegro_bench.bags.folder import open_bag

HORIZON_NS = 1_000_000_000
"""Messages stored out of order are put right over this stretch; what lies farther back is played late."""


class Message(NamedTuple):
    """One recorded message: when it was received, ns; topic; type; its bytes."""

    received_ns: int
    topic: str
    type: str
    data: bytes


@dataclass(frozen=True)
class Source:
    """A bag that can be read from the beginning as often as needed.

    Attributes:
        path: folder or file.
        begin_ns: when its first message was received.
        end_ns: when the last one was.
        topics: name → type.
        damage: what could not be read, in sentences.
    """

    path: Path
    begin_ns: int
    end_ns: int
    topics: dict[str, str]
    damage: tuple[str, ...]

    @property
    def duration_s(self) -> float:
        """Length, s."""
        return (self.end_ns - self.begin_ns) * 1e-9

    def messages(self, since_ns: int = 0) -> Iterator[Message]:
        """What was received at ``since_ns`` or later, in that order."""
        waiting: list[tuple[int, int, Message]] = []
        number, newest = 0, 0
        with closing(open_bag(self.path)) as bag:
            for topics, rows in bag.blocks():
                for key, received, _, data in rows:
                    newest = max(newest, received)
                    if received < since_ns:
                        continue
                    number += 1
                    topic = topics[key]
                    message = Message(received, topic.name, topic.type, bytes(data))
                    heapq.heappush(waiting, (received, number, message))
                while waiting and waiting[0][0] <= newest - HORIZON_NS:
                    yield heapq.heappop(waiting)[2]
        while waiting:
            yield heapq.heappop(waiting)[2]


def open_source(path: Path) -> Source:
    """Look through a bag once.

    Raises:
        ConfigError: no bag there, or no message in it.
    """
    first, last = 0, 0
    with closing(open_bag(path)) as bag:
        topics: dict[str, str] = {}
        for known, rows in bag.blocks():
            topics |= {t.name: t.type for t in known.values()}
            for row in rows:
                first = min(first or row[1], row[1])
                last = max(last, row[1])
        if not first:
            raise ConfigError(f'{path} holds no message that can be read: '
                              f'{" ".join(bag.damage) or "the bag is empty"}')
        return Source(path, first, last, topics, tuple(bag.damage))
