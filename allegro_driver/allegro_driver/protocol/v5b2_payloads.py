"""UDP protocol "V5B2", middle layer: payload bytes to and from wire values.

Integers as they stand on the wire and in wire order (thumb, index, middle, ring; base to tip). Units and layouts:
vendor driver for the V5 Sense. ``from_payload`` expects the length that ``decode_packet`` has checked.
"""

from __future__ import annotations

import ipaddress
import struct
from collections.abc import Sequence
from dataclasses import dataclass

from allegro_description.errors import ProtocolError

_TELEMETRY = struct.Struct('<I16h16h16H16i')
_COUNTS = struct.Struct('<16h')
_INFO = struct.Struct('<HHBBB')
_NET = struct.Struct('<IIIH')
_RPY = struct.Struct('<3h')
_MASKS = struct.Struct('<II')


@dataclass(frozen=True, slots=True)
class TelemetryCounts:
    """TELEMETRY payload as it stands on the wire.

    Attributes:
        sample: the hand's sample counter, modulo 2**32.
        position: 0.088° counts, (16,), thumb first.
        current: mA, (16,), thumb first.
        sensor: 0.1 kPa, (16,), taxel order (palm, thumb 3, index 4, middle 4, ring 4).
        velocity: (16,), thumb first; unit UNVERIFIED.
    """

    sample: int
    position: tuple[int, ...]
    current: tuple[int, ...]
    sensor: tuple[int, ...]
    velocity: tuple[int, ...]

    def to_payload(self) -> bytes:
        """Encode.

        Raises:
            ProtocolError: a value does not fit its field, or a field has not 16 values.
        """
        try:
            return _TELEMETRY.pack(
                self.sample & 0xFFFFFFFF, *self.position, *self.current, *self.sensor, *self.velocity)
        except struct.error as error:
            raise ProtocolError(f'telemetry cannot be encoded: {error}') from None

    @classmethod
    def from_payload(cls, payload: bytes) -> TelemetryCounts:
        """Decode a payload of 164 bytes."""
        v = _TELEMETRY.unpack(payload)
        return cls(v[0], v[1:17], v[17:33], v[33:49], v[49:65])


def counts_to_payload(counts: Sequence[int]) -> bytes:
    """Encode a TORQUE payload: 16 int16, mA or position counts, thumb first.

    Raises:
        ProtocolError: not 16 values, or one outside int16.
    """
    try:
        return _COUNTS.pack(*counts)
    except struct.error as error:
        raise ProtocolError(f'torque counts cannot be encoded: {error}') from None


def counts_from_payload(payload: bytes) -> tuple[int, ...]:
    """Decode a TORQUE payload."""
    return _COUNTS.unpack(payload)


@dataclass(frozen=True, slots=True)
class Info:
    """HELLO_RESPONSE: what the hand says about itself; the same seven bytes as on CAN.

    ``hand_type`` and ``temperature_c`` are fixed to 0 in the V5 manual's example; bit 0 of ``status`` is "servo on".
    """

    hardware: int = 0
    firmware: int = 0
    hand_type: int = 0
    temperature_c: int = 0
    status: int = 1

    def to_payload(self) -> bytes:
        """Encode."""
        return _INFO.pack(self.hardware, self.firmware, self.hand_type, self.temperature_c, self.status)

    @classmethod
    def from_payload(cls, payload: bytes) -> Info:
        """Decode seven bytes."""
        return cls(*_INFO.unpack(payload))


@dataclass(frozen=True, slots=True)
class Serial:
    """SERIAL_RESPONSE. ``text`` is '' when the hand has lost its serial number (this happens)."""

    text: str = ''

    @property
    def side(self) -> str | None:
        """``right``, ``left``, or None when the fourth character says neither."""
        return {'R': 'right', 'L': 'left'}.get(self.text[3:4])

    def to_payload(self) -> bytes:
        """Encode, zero padded to eight bytes.

        Raises:
            ProtocolError: not ASCII, or longer than eight characters.
        """
        if not self.text.isascii() or len(self.text) > 8:
            raise ProtocolError(f'serial number {self.text!r} must be at most 8 ASCII characters')
        return self.text.encode('ascii').ljust(8, b'\0')

    @classmethod
    def from_payload(cls, payload: bytes) -> Serial:
        """Decode eight bytes; zero, blank and erased (0xFF) bytes at the ends do not count."""
        core = payload.strip(b'\0 \xff')
        if not all(0x20 <= byte < 0x7F for byte in core):
            raise ProtocolError(f'serial number {payload!r} is not printable ASCII')
        return cls(core.decode('ascii'))


@dataclass(frozen=True, slots=True)
class NetConfig:
    """Network settings of the hand. On the wire each address has its bytes reversed; new values need a reboot."""

    address: str = '192.168.0.50'
    mask: str = '255.255.255.0'
    gateway: str = '192.168.0.1'
    port: int = 7000

    def to_payload(self) -> bytes:
        """Encode.

        Raises:
            ProtocolError: not IPv4 addresses, or the port is not in 0..65535.
        """
        try:
            words = [int(ipaddress.IPv4Address(a)) for a in (self.address, self.mask, self.gateway)]
            return _NET.pack(*words, self.port)
        except (ipaddress.AddressValueError, struct.error) as error:
            raise ProtocolError(f'network settings {self} cannot be encoded: {error}') from None

    @classmethod
    def from_payload(cls, payload: bytes) -> NetConfig:
        """Decode 14 bytes."""
        *words, port = _NET.unpack(payload)
        address, mask, gateway = (str(ipaddress.IPv4Address(w)) for w in words)
        return cls(address, mask, gateway, port)


@dataclass(frozen=True, slots=True)
class MotorError:
    """MOTOR_ERROR: the vendor's node stops at once on it.

    Attributes:
        joint: 1-based, thumb first (UNVERIFIED whether in wire order; the number is 1-based).
        status: error byte; bits as in the V5 manual's CAN error byte, UNVERIFIED over UDP.
    """

    joint: int
    status: int

    @property
    def reasons(self) -> tuple[str, ...]:
        """What the set bits mean."""
        meaning = {0: 'input voltage out of range', 2: 'overheating', 4: 'electrical shock or insufficient power',
                   5: 'overload'}
        return tuple(meaning.get(bit, f'unknown bit {bit}') for bit in range(8) if self.status >> bit & 1)

    def to_payload(self) -> bytes:
        """Encode."""
        return bytes((self.joint, self.status))

    @classmethod
    def from_payload(cls, payload: bytes) -> MotorError:
        """Decode two bytes."""
        return cls(payload[0], payload[1])


@dataclass(frozen=True, slots=True)
class FailMasks:
    """FAIL_MASKS: one bit per failed motor or sensor. Which event makes a hand send it is UNVERIFIED."""

    motors: int = 0
    sensors: int = 0

    def to_payload(self) -> bytes:
        """Encode."""
        return _MASKS.pack(self.motors, self.sensors)

    @classmethod
    def from_payload(cls, payload: bytes) -> FailMasks:
        """Decode eight bytes."""
        return cls(*_MASKS.unpack(payload))


def rpy_to_payload(centidegrees: Sequence[int]) -> bytes:
    """Encode GRAVITY_RPY: roll, pitch, yaw in 0.01°; frame and rotation order are not documented.

    Raises:
        ProtocolError: not three values, or one outside int16.
    """
    try:
        return _RPY.pack(*centidegrees)
    except struct.error as error:
        raise ProtocolError(f'gravity angles cannot be encoded: {error}') from None


def rpy_from_payload(payload: bytes) -> tuple[int, int, int]:
    """Decode six bytes to centidegrees."""
    roll, pitch, yaw = _RPY.unpack(payload)
    return roll, pitch, yaw
