"""The session of a V5 Sense over UDP: :class:`~.v5b2.V5B2Codec` behind the seam of :mod:`.session`."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
from allegro_description.model import HandModel
from allegro_description.state import Array

from allegro_driver.protocol.session import CalibrationDone, HandInfo, Message, MotorFault, SerialNumber
from allegro_driver.protocol.v5b2 import REPEAT_HINF, Info, MotorError, Serial, V5B2Codec
from allegro_driver.protocol.v5b2 import CalibrationDone as V5B2CalibrationDone

ZEROS = 5
"""How often zero torque is repeated at an end: nothing is acknowledged."""


def _milliseconds() -> int:
    return time.monotonic_ns() // 1_000_000 % 2**32


class V5B2Session:
    """Implements :class:`allegro_driver.protocol.session.Session` for datagrams."""

    answers_hello = True
    onboard_position = True
    gap_s = 0.002
    info_period_s = 0.0
    settle_s = 0.05

    def __init__(
        self, model: HandModel, settings: Any = None, *, clock_ms: Callable[[], int] = _milliseconds
    ) -> None:
        """Prepare for a hand.

        Args:
            model: the hand.
            settings: its ``protocol`` entry; nothing of it is needed here.
            clock_ms: sender's clock for the packet headers.

        Raises:
            ProtocolError: the hand does not have the joints and taxels of this protocol.
        """
        self._model, self._codec, self._clock = model, V5B2Codec(model), clock_ms
        self._zero = np.zeros(len(model.joints))

    def quiet(self) -> tuple[bytes, ...]:
        """On-board position loop off, then zero torque: the order matters, in that mode 0 mA would mean 0°."""
        return (*self._mode(False), *(self._codec.torque(self._zero, self._clock()) for _ in range(ZEROS)))

    def hello(self) -> tuple[bytes, ...]:
        """HELLO, which also makes this machine the one that samples go to."""
        return (self._codec.hello(self._clock()),)

    def serial_request(self) -> tuple[bytes, ...]:
        """Ask for the serial number."""
        return (self._codec.serial_request(self._clock()),)

    def stream(self) -> tuple[bytes, ...]:
        """Torque mode and zero torque; samples come since HELLO."""
        return (*self._mode(False), self._codec.torque(self._zero, self._clock()))

    def silence(self) -> tuple[bytes, ...]:
        """Nothing: the protocol has no goodbye."""
        return ()

    def torque(self, effort: Array) -> tuple[bytes, ...]:
        """One TORQUE packet."""
        return (self._codec.torque(effort, self._clock()),)

    def position_mode(self, on: bool) -> tuple[bytes, ...]:
        """H-infinity mode on or off, three times, because it is not acknowledged."""
        return self._mode(True) if on else self.stream()

    def targets(self, position: Array) -> tuple[bytes, ...]:
        """One TORQUE packet that the hand reads as angles."""
        return (self._codec.targets(position, self._clock()),)

    def decode(self, unit: bytes) -> Message | None:
        """Read one datagram."""
        sample = self._codec.sample(unit)
        if sample is not None:
            return sample
        message = self._codec.decode(unit)
        if isinstance(message, Info):
            return HandInfo(message.hardware, message.firmware, servo=bool(message.status & 1))
        if isinstance(message, Serial):
            return SerialNumber(message.text, message.side, message.text[2:3])
        if isinstance(message, MotorError):
            return MotorFault(self._motor_text(message))
        return CalibrationDone() if isinstance(message, V5B2CalibrationDone) else None

    def _mode(self, on: bool) -> tuple[bytes, ...]:
        return tuple(self._codec.hinf_mode(on, self._clock()) for _ in range(REPEAT_HINF))

    def _motor_text(self, error: MotorError) -> str:
        order = self._model.orders['udp']
        joint = order[error.joint - 1] if 1 <= error.joint <= len(order) else 'unknown joint'
        why = ', '.join(error.reasons) or 'no reason given'
        return f'motor {error.joint} ({joint}) reports an error: {why} (status 0x{error.status:02x})'
