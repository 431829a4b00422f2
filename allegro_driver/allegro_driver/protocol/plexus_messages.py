"""Messages of the Wonik Allegro Hand Plexus on CAN: numbers and payloads, no I/O.

The same identifier layout as the other hands (``message << 2 | device``), another table. The vendor's launch files use
device number 1. Source: the vendor's ros2_control stack.
"""

from __future__ import annotations

import math
import struct
from enum import IntEnum


class Message(IntEnum):
    """Message numbers. Those that exist once per finger name the first finger's; finger ``f`` adds ``f``."""

    SYSTEM = 0x03
    PERIOD = 0x04
    CONFIG = 0x05
    SET_POSE = 0x10
    SET_TORQUE = 0x14  # in the position mode: bounds of the current
    POSE = 0x20
    TORQUE = 0x24
    VELOCITY = 0x28
    IMU = 0x30
    TEMPERATURE = 0x34
    INFO = 0x40
    SERIAL = 0x41


VELOCITY_LSB_RAD_S = 0.229 * 2.0 * math.pi / 60.0
POSITION_MODE = {'newer': 0x0A, 'older': 0x0B}
"""Mode numbers in the vendor's two tables: current-based position, or plain position in the older one."""
TORQUE_MODE = {'newer': 0x0B, 'older': 0x0C}
CONFIG_MODE, CONFIG_DEVICE = 1, 2
INFO = struct.Struct('<HHBBBB')  # hand version, firmware, type, hub °C, status, joint status
SIDES = {1: 'right', 0: 'left'}
"""Type byte of INFO; 1 is the vendor's, 0 for a left hand is inferred."""
JOINT_STATUS = (
    'overload', 'electrical shock', 'overheating', 'input voltage out of range', 'no connection to the index finger',
    'no connection to the middle finger', 'no connection to the ring finger', 'no connection to the thumb',
)
"""Bits of INFO's joint status, lowest first."""
