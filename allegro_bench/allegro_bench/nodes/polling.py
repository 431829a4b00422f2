"""Subscriptions that are looked at now and then instead of waking the node for every message.

A node that only gathers hears hundreds of messages a second, and being woken for each costs ten times what taking it
costs. Here the middleware keeps them, with the time at which it received each, and the node takes them in batches.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from typing import Any

from rclpy.node import Node
from rclpy.qos import HistoryPolicy, QoSProfile

DEPTH = 2000
"""Messages that may wait: 6 s of the fastest stream, longer than the node is ever busy with a report."""

_STAMP = struct.Struct('<iI')
_LITTLE_ENDIAN = b'\x00\x01'


class Polled(Node):  # type: ignore[misc]
    """An rclpy node that hides some of its subscriptions from executors. Mix it in before the node's base class."""

    _polled: tuple[tuple[Any, Callable[[Any, int], None]], ...] = ()

    @property
    def subscriptions(self) -> Iterator[Any]:
        """Those that an executor shall serve."""
        hidden = [subscription for subscription, _ in self._polled]
        return (s for s in super().subscriptions if s not in hidden)

    def poll_later(self, kind: type, name: str, callback: Callable[[Any, int], None], qos: QoSProfile, *,
                   raw: bool = False) -> None:
        """Subscribe; ``callback(message, received_ns)`` runs within :meth:`poll`.

        Args:
            kind: message class.
            name: topic.
            callback: gets the message, or its bytes, and when the middleware received it: system time, ns; 0 where it
                does not say.
            qos: what to ask for; the depth is :data:`DEPTH`.
            raw: hand over the serialised message.
        """
        deep = QoSProfile(depth=DEPTH, history=HistoryPolicy.KEEP_LAST, reliability=qos.reliability,
                          durability=qos.durability)
        subscription = self.create_subscription(kind, name, _unreachable, deep, raw=raw)
        self._polled = (*self._polled, (subscription, callback))

    def poll(self) -> int:
        """Take what has arrived, topic by topic in the order of subscription; returns how many messages."""
        count = 0
        for subscription, callback in self._polled:
            take, kind, raw = subscription.handle.take_message, subscription.msg_type, subscription.raw
            while (taken := take(kind, raw)) is not None:
                message, about = taken
                callback(message, int(about.get('received_timestamp') or 0))
                count += 1
        return count


def stamp_ns(data: bytes) -> int | None:
    """Stamp of a serialised message that begins with a header, ns; None where the bytes are of another layout."""
    if data[:2] != _LITTLE_ENDIAN or len(data) < 12:
        return None
    seconds, nanoseconds = _STAMP.unpack_from(data, 4)
    return int(seconds) * 1_000_000_000 + int(nanoseconds)


def _unreachable(_: Any) -> None:
    """Executors do not see these subscriptions."""
