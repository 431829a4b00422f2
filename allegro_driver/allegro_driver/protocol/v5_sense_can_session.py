"""The host's side of the V5 Sense's CAN protocol: 16 cells, currents, and the on-board position loop.

That loop ("H-infinity") reads the torque frames as angles, and the hand tells nobody which of the two it does. So the
mode is sent before anything else, three times, and the session refuses the meaning that it did not ask for.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from allegro_description.errors import CommandRefused
from allegro_description.model import HandModel
from allegro_description.state import Array

from allegro_driver.protocol import classic_messages as wire
from allegro_driver.protocol.assembly import NewestReadings
from allegro_driver.protocol.can_frames import CanFrame, wire_id
from allegro_driver.protocol.classic_can_session import REPEAT
from allegro_driver.protocol.classic_messages import Message
from allegro_driver.protocol.joint_frames import rounded
from allegro_driver.protocol.v5_can_session import V5FamilySession

# One byte per cell or joint: what each of the 256 values means.
_PRESSURES = [*(count * wire.TACTILE_LSB_PA for count in range(255)), float('nan')]
_CURRENTS = [
    float(np.copysign(np.floor(abs(q) * wire.CURRENT_LSB_MA + 0.5), q)) for q in (*range(128), *range(-128, 0))]


class V5SenseCanSession(V5FamilySession):
    """Allegro Hand V5 Sense over CAN."""

    codec = 'v5_sense_can'
    onboard_position = True
    gap_s = 0.002
    settle_s = 0.05

    def __init__(self, model: HandModel, settings: Mapping[str, Any] | None = None) -> None:
        """See :class:`~.can_session.CanSession`."""
        super().__init__(model, settings)
        wire.require_sense(model)
        self._palm: int = self.switches['palm_scale']
        self._cells = self._tactile = NewestReadings(16, [range(4 * k, 4 * k + 4) for k in range(4)])
        fields = [0] * 16
        for joint, place in enumerate(wire.current_places(self.switches['current_order'])):
            fields[place] = joint
        self._amperage = self._current = NewestReadings(16, [fields[:8], fields[8:]], whole=True)
        for k, message in enumerate((Message.CURRENT_A, Message.CURRENT_B)):
            self._expect(message, (8,), self._currents, k)
        compressed = self.switches['tactile_frames'] == 'compressed'
        for k in range(4):
            self._expect(Message.TACTILE + k, (8,), self._bytes if compressed and k < 2 else self._words, k)

    def quiet(self) -> tuple[CanFrame, ...]:
        """Position loop off first, because in that mode zero torque means 0°; then zero torque and servo off, twice."""
        off = self._mode(False)
        return (*off, *super().quiet()[:2 * (len(self._zero) + 1)])

    def stream(self) -> tuple[CanFrame, ...]:
        """Position loop off, then as the others."""
        return (*self._mode(False), *super().stream())

    def position_mode(self, on: bool) -> tuple[CanFrame, ...]:
        """Switch the position loop, three times because it is not acknowledged; off ends with zero torque."""
        return self._mode(True) if on else (*self._mode(False), *self._zero)

    def targets(self, position: Array) -> tuple[CanFrame, ...]:
        """One frame per finger, see :meth:`~.can_session.CanSession._position_counts`.

        Args:
            position: rad, (16,), canonical order.

        Raises:
            CommandRefused: not 16 finite values, beyond int16 counts, or the loop is off.
        """
        return self._joints.frames(Message.TORQUE, self._position_counts(position))

    def calibrate(self) -> tuple[CanFrame, ...]:
        """Take the present pose as zero. Irreversible: only with torque off and no load."""
        return (CanFrame(wire_id(Message.CALIBRATE)),)

    def gravity_rpy(self, degrees: tuple[float, float, float]) -> tuple[CanFrame, ...]:
        """Tell the position loop how the hand is held: roll, pitch, yaw in degrees (convention UNVERIFIED).

        Raises:
            CommandRefused: not three finite numbers within ±327.67°.
        """
        angles = np.asarray(degrees, dtype=np.float64)
        if angles.shape != (3,) or not (np.abs(angles) < 327.675).all():
            raise CommandRefused(f'gravity angles {degrees!r} must be three numbers within ±327.67 degrees')
        return (CanFrame(wire_id(Message.GRAVITY_RPY), wire.GRAVITY.pack(*rounded(angles, 0.01))),)

    def _mode(self, on: bool) -> tuple[CanFrame, ...]:
        self._positioning = on
        return (CanFrame(wire_id(Message.HINF_MODE), bytes((on, 0, 0, 0, 0, 0, 0, 0))),) * REPEAT

    def _bytes(self, frame: int, data: bytes) -> None:
        cells = [_PRESSURES[byte] for byte in data]
        if frame == 0:
            cells[0] *= self._palm
        self._cells.put(2 * frame, cells[:4])
        self._cells.put(2 * frame + 1, cells[4:])

    def _words(self, frame: int, data: bytes) -> None:
        cells = [word * wire.LEGACY_TACTILE_LSB_PA for word in wire.LEGACY_TACTILE.unpack(data)]
        if frame == 0:
            cells[0] *= self._palm
        self._cells.put(frame, cells)

    def _currents(self, frame: int, data: bytes) -> None:
        self._amperage.put(frame, [_CURRENTS[byte] for byte in data])
