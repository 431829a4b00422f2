"""UDP protocol "V5B2" of the Allegro Hand V5 Sense, lowest layer: datagrams to and from packets.

No I/O, no clock, no hand model. Numbers and receiver rules: vendor driver for the V5 Sense. One datagram is one
packet, little-endian::

    0  magic 0x32423556 ("V5B2")   4  version 1   5  type   6  payload length u16   8  sequence u32   12  ms u32

A datagram is refused with :class:`ProtocolError` when it is shorter than the header or than header + length, when
magic or version differ, when the payload is longer than 256 bytes or has not the length of its type, and when the
type is unknown. Bytes after header + length are tolerated, as the vendor's receiver does. There is no checksum.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from enum import IntEnum

from allegro_description.errors import ProtocolError

MAGIC = 0x32423556
VERSION = 1
HEADER = struct.Struct('<IBBHII')
HEADER_SIZE = HEADER.size
MAX_PAYLOAD = 256


class MessageType(IntEnum):
    """Packet types. UNVERIFIED ones are the vendor's own guess or contradicted by its README."""

    TELEMETRY = 0x02
    TORQUE = 0x03
    HELLO_REQUEST = 0x10
    HELLO_RESPONSE = 0x11
    CALIBRATE = 0x20  # the vendor's code
    CALIBRATION_DONE = 0x21
    CALIBRATE_README = 0x25  # the vendor's README; UNVERIFIED which of the two a hand obeys
    NET_CONFIG_REQUEST = 0x30
    NET_CONFIG_WRITE = 0x31
    NET_CONFIG_RESPONSE = 0x33
    SERIAL_REQUEST = 0x34
    SERIAL_RESPONSE = 0x35  # UNVERIFIED: a guess by the vendor's own comment
    FAIL_MASKS = 0x37  # UNVERIFIED: what makes a hand send it
    CLI_REQUEST = 0x40
    CLI_RESPONSE = 0x41
    MOTOR_ERROR = 0x50
    HINF_MODE = 0x60
    GRAVITY_RPY = 0x61


# Payload length in bytes by type; types that are absent may carry anything up to MAX_PAYLOAD (no source says).
PAYLOAD_LENGTH = {
    MessageType.TELEMETRY: 164, MessageType.TORQUE: 32,
    MessageType.HELLO_REQUEST: 0, MessageType.HELLO_RESPONSE: 7,
    MessageType.CALIBRATE: 0, MessageType.CALIBRATE_README: 0,
    MessageType.NET_CONFIG_REQUEST: 0, MessageType.NET_CONFIG_WRITE: 14,
    MessageType.NET_CONFIG_RESPONSE: 14,
    MessageType.SERIAL_REQUEST: 0, MessageType.SERIAL_RESPONSE: 8, MessageType.FAIL_MASKS: 8,
    MessageType.MOTOR_ERROR: 2, MessageType.HINF_MODE: 1, MessageType.GRAVITY_RPY: 6,
}
# What a hand sends; CLI_REQUEST travels both ways.
FROM_HAND = frozenset({
    MessageType.TELEMETRY, MessageType.HELLO_RESPONSE, MessageType.CALIBRATION_DONE, MessageType.NET_CONFIG_RESPONSE,
    MessageType.SERIAL_RESPONSE, MessageType.FAIL_MASKS, MessageType.CLI_REQUEST, MessageType.CLI_RESPONSE,
    MessageType.MOTOR_ERROR,
})


@dataclass(frozen=True, slots=True)
class Packet:
    """One datagram, header taken apart. ``sequence`` and ``timestamp_ms`` are the sender's, modulo 2**32."""

    type: MessageType
    sequence: int = 0
    timestamp_ms: int = 0
    payload: bytes = b''


def encode_packet(packet: Packet) -> bytes:
    """Return the datagram of a packet.

    Raises:
        ProtocolError: the payload has not the length of its type, or is longer than 256 bytes.
    """
    size = len(packet.payload)
    _check_length(packet.type, size)
    sequence, stamp = packet.sequence & 0xFFFFFFFF, packet.timestamp_ms & 0xFFFFFFFF
    return HEADER.pack(MAGIC, VERSION, packet.type, size, sequence, stamp) + packet.payload


def decode_packet(datagram: bytes) -> Packet:
    """Take a datagram apart.

    Raises:
        ProtocolError: see the module's receiver rules; the message says which one.
    """
    if len(datagram) < HEADER_SIZE:
        raise ProtocolError(f'datagram of {len(datagram)} bytes is shorter than the {HEADER_SIZE} byte header')
    magic, version, kind, length, sequence, stamp = HEADER.unpack_from(datagram)
    if magic != MAGIC:
        raise ProtocolError(f'magic is 0x{magic:08x}, not 0x{MAGIC:08x}: not a V5B2 packet')
    if version != VERSION:
        raise ProtocolError(f'protocol version {version}; only version {VERSION} is known')
    try:
        message_type = MessageType(kind)
    except ValueError:
        raise ProtocolError(f'unknown packet type 0x{kind:02x}') from None
    _check_length(message_type, length)
    if len(datagram) < HEADER_SIZE + length:
        raise ProtocolError(f'{message_type.name} announces {length} payload bytes, {len(datagram) - HEADER_SIZE} came')
    return Packet(message_type, sequence, stamp, bytes(datagram[HEADER_SIZE:HEADER_SIZE + length]))


def _check_length(kind: MessageType, length: int) -> None:
    if length > MAX_PAYLOAD:
        raise ProtocolError(f'{kind.name} with {length} payload bytes; at most {MAX_PAYLOAD} are allowed')
    if length != PAYLOAD_LENGTH.get(kind, length):
        raise ProtocolError(f'{kind.name} with {length} payload bytes; it has {PAYLOAD_LENGTH[kind]}')
