"""Ask a hand over a link and wait for the answer: wires lose packets, so questions are repeated."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from allegro_driver.link.base import Link
from allegro_driver.protocol.session import Message

Unit = TypeVar('Unit')


def ask(
    link: Link[Unit],
    request: Callable[[], Sequence[Unit]],
    decode: Callable[[Unit], Message | None],
    answer: type[Any],
    tries: int,
    timeout_s: float,
) -> Any:
    """Send a request until a message of type ``answer`` comes; return that, or None. Other messages are dropped.

    Args:
        link: open.
        request: makes the units.
        decode: reads a unit; may return None for one that is not understood.
        answer: class of the message that is waited for.
        tries: how often to send.
        timeout_s: how long to wait each time, s.

    Raises:
        LinkError: the link broke.
    """
    for _ in range(tries):
        for unit in request():
            link.send(unit)
        deadline = time.monotonic() + timeout_s
        while (left := deadline - time.monotonic()) > 0:
            data = link.receive(left)
            message = None if data is None else decode(data)
            if isinstance(message, answer):
                return message
    return None
