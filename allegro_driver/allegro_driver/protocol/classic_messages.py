"""Messages of the CAN protocol that V4, V5, V5 3-finger and V5 Sense share: numbers and payloads, no I/O.

Numbers are *messages*; the identifier on the wire is ``message << 2 | device`` (:mod:`.can_frames`). Sources: the
vendor's drivers and the V5 manual; where both are silent, the word UNVERIFIED stands beside.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from enum import IntEnum

from allegro_description.errors import ConfigError, ProtocolError
from allegro_description.model import HandModel


class Message(IntEnum):
    """Message numbers. Those that exist once per finger name the first finger's; finger ``f`` adds ``f``."""

    CURRENT_A = 0x00  # V5 Sense, first eight joints
    CURRENT_B = 0x03  # V5 Sense, last eight
    PICK = 0x11
    PLACE = 0x12
    POSITION = 0x20
    IMU = 0x30
    TEMPERATURE = 0x38
    SERVO_ON = 0x40
    SERVO_OFF = 0x41
    FINGERTIP_A = 0x50  # V5 firmware 1.2 and later
    FINGERTIP_B = 0x52
    TACTILE = 0x54  # V5 Sense: two compressed frames, or four of the older layout
    TORQUE = 0x60  # and targets, while the V5 Sense's on-board position loop is on
    CONFIG = 0x68
    INFO = 0x80
    PERIOD = 0x81
    SERIAL = 0x88
    CALIBRATE = 0x89
    HINF_MODE = 0x8A
    GRAVITY_RPY = 0x8B
    CALIBRATION_DONE = 0x92  # UNVERIFIED: one independent driver lists it
    POSE = 0xE0
    ERROR = 0xEE
    OLD_FINGERTIP_A = 0xF0  # V5 firmware up to 1.1
    OLD_FINGERTIP_B = 0xF2


FINGERTIPS = {
    'new': (Message.FINGERTIP_A, Message.FINGERTIP_B),
    'old': (Message.OLD_FINGERTIP_A, Message.OLD_FINGERTIP_B),
}
"""The two sets of fingertip messages."""
FINGERTIP_ORDER = ('index', 'middle', 'ring', 'thumb')
"""Fields of the fingertip frames of a hand with four fingers."""

TWO_PRESSURES = struct.Struct('<2i')  # Pa above the atmosphere
LEGACY_TACTILE = struct.Struct('>4H')  # big-endian, the only such frames; 0.1 kPa
LEGACY_TACTILE_LSB_PA = 100.0
TACTILE_LSB_PA = 400.0  # one byte per cell
TACTILE_INVALID = 0xFF
CURRENT_LSB_MA = 240.0 / 127.0  # one signed byte per joint
GRAVITY = struct.Struct('<3h2x')  # centidegrees
_PERIODS = struct.Struct('<3H')
_PERIODS_AND_STATUS = struct.Struct('<4H')
_SET_ID = 0x80
_SET_BAUD = 0x8000_0000
_CONFIG = struct.Struct('<BIB')


def fingertip_taxels(model: HandModel, order: Sequence[str]) -> tuple[int | None, ...]:
    """Which taxel each of the four fields of the two fingertip frames holds; None: the field is unused.

    Args:
        model: the hand.
        order: fingers in the order of the fields.
    """
    tips = {model.taxels[i].finger: int(i) for i in model.tip_taxels}
    return (*(tips.get(finger) for finger in order), None, None, None, None)[:4]


def require_sense(model: HandModel) -> None:
    """Refuse a hand that these frames cannot carry.

    Raises:
        ConfigError: it has not 16 joints and 16 taxels.
    """
    if (len(model.joints), len(model.taxels)) != (16, 16):
        raise ConfigError(
            f'the V5 Sense on CAN has 16 joints and 16 taxels; {model.name} has {len(model.joints)} and '
            f'{len(model.taxels)}')


def current_places(order: str) -> tuple[int, ...]:
    """Which of the 16 current fields belongs to each joint, canonical order.

    UNVERIFIED: ``vendor`` as its driver stores them; ``thumb_first`` as the hand's other arrays lie; ``index_first`` as
    the frames' name says ("fingers 0 and 1").
    """
    shift = {'vendor': 12, 'thumb_first': 4, 'index_first': 0}[order]
    return tuple((joint + shift) % 16 for joint in range(16))


def period_payload(position_ms: int, imu_ms: int, temperature_ms: int, status_ms: int | None = None) -> bytes:
    """Payload of PERIOD, ms each, 0 switches a stream off; with ``status_ms`` the eight-byte form of the V4 wiki.

    Raises:
        ProtocolError: a value outside 0 … 65535.
    """
    try:
        if status_ms is None:
            return _PERIODS.pack(position_ms, imu_ms, temperature_ms)
        return _PERIODS_AND_STATUS.pack(position_ms, imu_ms, temperature_ms, status_ms)
    except struct.error:
        raise ProtocolError(
            f'periods {(position_ms, imu_ms, temperature_ms, status_ms)} ms: allowed are whole numbers 0 … 65535'
        ) from None


def periods(payload: bytes) -> tuple[int, int, int, int | None]:
    """Read six or eight bytes of PERIOD: position, IMU, temperature, status (None in the short form), ms."""
    if len(payload) == 6:
        return (*_PERIODS.unpack(payload), None)
    return _PERIODS_AND_STATUS.unpack(payload)


def device_payload(device: int) -> bytes:
    """Payload of CONFIG that gives the hand another device number; it keeps it without power.

    Raises:
        ProtocolError: not 0 … 3.
    """
    if not 0 <= device < 4:
        raise ProtocolError(f'device number {device}: allowed are 0 … 3')
    return _CONFIG.pack(device | _SET_ID, 0, 0)


def baud_payload(baud: int) -> bytes:
    """Payload of CONFIG that sets the bit rate of the RS-485 port, bit/s.

    Raises:
        ProtocolError: not 1 … 2147483647.
    """
    if not 0 < baud < _SET_BAUD:
        raise ProtocolError(f'bit rate {baud}: allowed are 1 … {_SET_BAUD - 1}')
    return _CONFIG.pack(0, baud | _SET_BAUD, 0)


def config(payload: bytes) -> tuple[int | None, int | None]:
    """Read six bytes of CONFIG: new device number and new bit rate, None for what is not set.

    Vendor hosts leave the middle bytes undefined when they set the number, so nothing else counts then.

    Raises:
        ProtocolError: it sets neither, or a device number beyond 3.
    """
    device, baud, _ = _CONFIG.unpack(payload)
    if device & _SET_ID:
        if device & 0x7F > 3:
            raise ProtocolError(f'CONFIG asks for device number {device & 0x7F}; allowed are 0 … 3')
        return device & 0x7F, None
    if baud & _SET_BAUD:
        return None, baud & ~_SET_BAUD
    raise ProtocolError(f'CONFIG {payload.hex()} sets neither device number nor bit rate')
