"""The host's side of the CAN protocol of the V5 hands: fingertip pressures, motor errors, calibration."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from allegro_description.model import HandModel

from allegro_driver.protocol import classic_messages as wire
from allegro_driver.protocol.assembly import NewestReadings
from allegro_driver.protocol.can_frames import CanFrame, wire_id
from allegro_driver.protocol.classic_can_session import ClassicCanSession
from allegro_driver.protocol.classic_messages import Message
from allegro_driver.protocol.session import CalibrationDone, MotorFault, SerialNumber
from allegro_driver.protocol.v5b2_payloads import MotorError, Serial


class V5FamilySession(ClassicCanSession):
    """What V5, V5 3-finger and V5 Sense share. Their INFO tells versions only, and some firmware keeps it to itself."""

    def __init__(self, model: HandModel, settings: Mapping[str, Any] | None = None) -> None:
        """See :class:`~.can_session.CanSession`."""
        super().__init__(model, settings)
        self._expect(Message.ERROR, (2,), self._error)
        self._expect(Message.CALIBRATION_DONE, tuple(range(9)), self._calibrated)

    def _error(self, place: int, data: bytes) -> MotorFault:
        error = MotorError.from_payload(data)
        why = ', '.join(error.reasons) or 'no reason given'
        # UNVERIFIED whether motors count from 0 or from 1 on CAN, so both joints are named.
        base = self.switches['error_motor_base']
        assumed, other = (self._joint(error.joint - first) for first in (base, 1 - base))
        return MotorFault(
            f'motor {error.joint} ({assumed} counting from {base}, {other} if the hand counts from {1 - base}) '
            f'reports an error: {why} (code 0x{error.status:02x})')

    def _joint(self, index: int) -> str:
        names = self._model.joint_names
        return names[index] if 0 <= index < len(names) else 'no joint'

    def _calibrated(self, place: int, data: bytes) -> CalibrationDone:
        return CalibrationDone()

    def _serial_number(self, text: str) -> SerialNumber:
        return SerialNumber(text, Serial(text).side, text[2:3])


class FingertipCanSession(V5FamilySession):
    """Hands with a pressure per fingertip."""

    def __init__(self, model: HandModel, settings: Mapping[str, Any] | None = None) -> None:
        """See :class:`~.can_session.CanSession`."""
        super().__init__(model, settings)
        slots = wire.fingertip_taxels(model, self.fingertip_order)
        # The fields of each frame that are in use; firmware before 1.2 has other numbers for the same two frames.
        self._fields = tuple(tuple(k for k in (0, 1) if slots[2 * frame + k] is not None) for frame in (0, 1))
        places = [[t for t in slots[2 * frame:2 * frame + 2] if t is not None] for frame in (0, 1)]
        self._pressures = NewestReadings(len(model.taxels), places)
        self._tactile = self._pressures if any(places) else None
        for ids, messages in wire.FINGERTIPS.items():
            if self.switches['fingertip_ids'] in ('both', ids):
                for frame, message in enumerate(messages):
                    self._expect(message, (8,), self._fingertips, frame)

    @property
    def fingertip_order(self) -> tuple[str, ...]:
        """Fingers in the order of the fields of the fingertip frames."""
        return wire.FINGERTIP_ORDER

    def _fingertips(self, frame: int, data: bytes) -> None:
        """Below the atmosphere there is nothing to feel: 0, as the vendor's newest driver reads it."""
        pressures = wire.TWO_PRESSURES.unpack(data)
        self._pressures.put(frame, [float(max(0, pressures[k])) for k in self._fields[frame]])


class V5CanSession(FingertipCanSession):
    """Allegro Hand V5 with four fingers, types A and B."""

    codec = 'v5_can'

    def calibrate(self) -> tuple[CanFrame, ...]:
        """Take the present pose as zero. Irreversible: only with torque off and no load."""
        return (CanFrame(wire_id(Message.CALIBRATE)),)


class V5ThreeFingerCanSession(FingertipCanSession):
    """Allegro Hand V5 with three fingers; the fourth field of each joint frame is unused and sent as 0."""

    codec = 'v5_3f_can'

    @property
    def fingertip_order(self) -> tuple[str, ...]:
        """UNVERIFIED, so a switch."""
        order: tuple[str, ...] = self.switches['fingertip_order']
        return order
