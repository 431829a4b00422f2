"""What must hold for any input, as functions of bytes: a fuzzer may call them, a test may repeat what it found.

- ``host``: whatever a wire brings, a session answers with a message of finite numbers or ``ProtocolError``.
- ``hand``: the same for the codec that reads what hosts send.
- ``loop``: the stream goes through the real hardware and control loop, which follow commands, and every unit that
  leaves is read as a hand would: no torque beyond the clamp, none but in the states that allow it, none left after a
  fault.

They return how many units that were, actions included, and raise :class:`~.fuzz_sides.Breach`, an AssertionError, when
something is not as promised.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from allegro_driver.evidence.fuzz_loop import Action, ClosedLoop, Item
from allegro_driver.evidence.fuzz_sides import HandSide, HostSide
from allegro_driver.protocol.can_frames import CanFrame

_FIRST_ACTION = min(Action)
_LONGEST = 300


def split(codec: str, data: bytes, *, actions: bool = False) -> list[Item]:
    """Cut bytes into units, and actions where those are wanted; any bytes will do.

    A first byte of 0xE0 or more is an action with one byte behind it. Otherwise it is, for frames, length (low four
    bits) and request flag (0x10), followed by the identifier; for datagrams bit 8 of the length, followed by its low
    eight bits.
    """
    items: list[Item] = []
    at = 0
    while at + 3 <= len(data):
        head = data[at]
        if head >= _FIRST_ACTION and actions:
            items.append((Action(_FIRST_ACTION + (head - _FIRST_ACTION) % len(Action)), data[at + 1]))
            at += 2
        elif codec == 'v5b2':
            size = min((head & 1) << 8 | data[at + 1], _LONGEST)
            items.append(data[at + 2:at + 2 + size])
            at += 2 + size
        else:
            size = min(head & 15, 8)
            remote = bool(head & 16)
            items.append(CanFrame(
                (data[at + 1] << 8 | data[at + 2]) & 0x7FF, b'' if remote else data[at + 3:at + 3 + size], remote))
            at += 3 + size
    return items


def join(items: Sequence[Item]) -> bytes:
    """The bytes that :func:`split` makes these of."""
    parts = []
    for item in items:
        if isinstance(item, CanFrame):
            head = len(item.data) | (16 if item.remote else 0)
            parts.append(bytes((head, item.identifier >> 8, item.identifier & 0xFF)) + item.data)
        elif isinstance(item, bytes):
            parts.append(bytes((len(item) >> 8, len(item) & 0xFF)) + item)
        else:
            parts.append(bytes(item))
    return b''.join(parts)


def host_bytes(codec: str, data: bytes) -> int:
    """:class:`HostSide` on bytes."""
    side, units = HostSide(codec), split(codec, data)
    for unit in units:
        side.feed(unit)  # type: ignore[arg-type]
    return len(units)


def hand_bytes(codec: str, data: bytes) -> int:
    """:class:`HandSide` on bytes."""
    side, units = HandSide(codec), split(codec, data)
    for unit in units:
        side.feed(unit)
    return len(units)


def loop_bytes(codec: str, data: bytes) -> int:
    """:class:`ClosedLoop` on bytes; hands with a position loop of their own use it when the first byte is odd."""
    onboard = codec in ('v5b2', 'v5_sense_can', 'plexus_can') and bool(data[:1]) and bool(data[0] & 1)
    items = split(codec, data[1:], actions=True)
    ClosedLoop(codec, 'onboard' if onboard else 'host').feed(items)
    return len(items)


TARGETS: dict[str, Callable[[str, bytes], int]] = {'host': host_bytes, 'hand': hand_bytes, 'loop': loop_bytes}
"""Target to a function of codec and bytes that raises :class:`Breach` where a promise is broken."""
