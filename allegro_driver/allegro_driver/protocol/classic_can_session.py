"""The host's side of the CAN protocol that V4 and the V5 family share, and the V4 itself.

The hand streams its position frames on its own; nothing is acknowledged, so what must arrive is repeated. A PERIOD of 0
ends a stream. The vendor's hosts never switch the servo off; this one does at every end.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from allegro_description.model import HandModel

from allegro_driver.protocol import classic_messages as wire
from allegro_driver.protocol.can_frames import CanFrame, wire_id
from allegro_driver.protocol.can_session import CanSession
from allegro_driver.protocol.classic_messages import Message
from allegro_driver.protocol.session import HandInfo, SerialNumber
from allegro_driver.protocol.v5b2_payloads import Info, Serial

REPEAT = 3
"""How often the frames of an end are sent."""

_SERVO_ON = CanFrame(wire_id(Message.SERVO_ON))
_SERVO_OFF = CanFrame(wire_id(Message.SERVO_OFF))
_V5_SERIAL = re.compile(r'\d.[A-Z][RL].*')  # e.g. 5TBR0017
_SIDES = {0: 'right', 1: 'left'}
_STATUS_BITS: Mapping[str, Mapping[int, str]] = {
    # CONFLICT between two independent hosts; a V4 was seen at work with bit 2 set (bits 1 … 4 of INFO's last byte).
    'any': {
        1: 'joints too hot', 2: 'internal communication fault, or throttled because joints are hot',
        3: 'no connection to a joint', 4: 'palm too hot', 5: 'unknown bit 5', 6: 'unknown bit 6', 7: 'unknown bit 7',
    },
    'vendor': {1: 'too hot', 2: 'internal communication fault'},
    'digit': {1: 'joints too hot', 3: 'no connection to a joint', 4: 'palm too hot'},
}


class ClassicCanSession(CanSession):
    """What all of them share: servo, periods, torque, positions, temperatures."""

    torque_message = Message.TORQUE
    host_messages = frozenset({
        Message.PICK, Message.PLACE, Message.SERVO_ON, Message.SERVO_OFF, Message.CONFIG, Message.PERIOD,
        Message.CALIBRATE, Message.HINF_MODE, Message.GRAVITY_RPY,
        *(first + f for first in (Message.TORQUE, Message.POSE) for f in range(4)),
    })

    def __init__(self, model: HandModel, settings: Mapping[str, Any] | None = None) -> None:
        """See :class:`~.can_session.CanSession`."""
        super().__init__(model, settings)
        self._period = self._periods(self.switches['period_ms'], self.switches['temperature_period_ms'])
        self._no_period = self._periods(0, 0)
        self._expect_fingers(Message.POSITION, (8,), self._position)
        self._expect_fingers(Message.TEMPERATURE, (4,), self._temperatures)
        self._expect(Message.IMU, (6, 8), self._ignored)
        self._expect(Message.INFO, (7,), self._info)
        self._expect(Message.SERIAL, (8,), self._serial)

    def quiet(self) -> tuple[CanFrame, ...]:
        """Zero torque and servo off, three times."""
        self._forget()
        return (*self._zero, _SERVO_OFF) * REPEAT

    def hello(self) -> tuple[CanFrame, ...]:
        """Ask for INFO."""
        return (CanFrame(wire_id(Message.INFO), remote=True),)

    def serial_request(self) -> tuple[CanFrame, ...]:
        """Ask for the serial number."""
        return (CanFrame(wire_id(Message.SERIAL), remote=True),)

    def stream(self) -> tuple[CanFrame, ...]:
        """Period, then servo on between zero torques: V5 hands send positions only while the servo is on."""
        self._positioning = False
        self._fingers.clear()
        return (self._period, *self._zero, _SERVO_ON, *self._zero)

    def silence(self) -> tuple[CanFrame, ...]:
        """Servo off and periods 0, twice."""
        return (_SERVO_OFF, self._no_period) * 2

    def _periods(self, position_ms: int, temperature_ms: int) -> CanFrame:
        return CanFrame(wire_id(Message.PERIOD), wire.period_payload(position_ms, 0, temperature_ms))

    def _info(self, place: int, data: bytes) -> HandInfo:
        info = Info.from_payload(data)
        return HandInfo(info.hardware, info.firmware)


class V4CanSession(ClassicCanSession):
    """Allegro Hand V4: the torque field is a duty cycle, INFO tells side, temperature and faults."""

    codec = 'v4_can'
    info_period_s = 1.0

    def change_device(self, device: int) -> tuple[CanFrame, ...]:
        """Give the hand another device number; it keeps it without power, and answers to it only.

        Raises:
            ProtocolError: not 0 … 3.
        """
        return (CanFrame(wire_id(Message.CONFIG), wire.device_payload(device)),)

    def _periods(self, position_ms: int, temperature_ms: int) -> CanFrame:
        status: int | None = None
        if self.switches['period_bytes'] == 8:
            status = self.switches['status_period_ms'] if position_ms else 0
        return CanFrame(wire_id(Message.PERIOD), wire.period_payload(position_ms, 0, temperature_ms, status))

    def _info(self, place: int, data: bytes) -> HandInfo:
        info = Info.from_payload(data)
        faults = _STATUS_BITS[self.switches['status_bits']]
        return HandInfo(
            info.hardware, info.firmware, _SIDES.get(info.hand_type), bool(info.status & 1), float(info.temperature_c),
            tuple(text for bit, text in faults.items() if info.status >> bit & 1))

    def _serial_number(self, text: str) -> SerialNumber:
        """The last letter tells the side, as in SAH040A080R, of which the hand knows A080R.

        A V5 has the same messages, but reads PWM counts as milliamps: its type letter gives it away.
        """
        if _V5_SERIAL.fullmatch(text):
            return SerialNumber(text, Serial(text).side, text[2])
        return SerialNumber(text, {'R': 'right', 'L': 'left'}.get(text[-1:]))
