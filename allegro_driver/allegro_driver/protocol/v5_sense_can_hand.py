"""The hand's side of the V5 Sense's CAN protocol: what :mod:`.classic_can_hand` has, 16 cells, currents, H-infinity."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from allegro_description.model import HandModel
from allegro_description.state import Array

from allegro_driver.protocol import classic_messages as wire
from allegro_driver.protocol.can_commands import GravityRpy, HinfMode
from allegro_driver.protocol.can_frames import CanFrame
from allegro_driver.protocol.classic_can_hand import V5FamilyHand
from allegro_driver.protocol.classic_messages import Message
from allegro_driver.protocol.joint_frames import rounded


class V5SenseCanHand(V5FamilyHand):
    """Allegro Hand V5 Sense. Switches decide how it orders currents and scales and lays out its cells."""

    codec = 'v5_sense_can'

    def __init__(self, model: HandModel, settings: Mapping[str, Any] | None = None, device: int = 0) -> None:
        """See :class:`~.classic_can_hand.ClassicCanHand`."""
        super().__init__(model, settings, device)
        wire.require_sense(model)
        self._currents = wire.current_places(self.switches['current_order'])
        self._palm: int = self.switches['palm_scale']
        self._legacy = self.switches['tactile_frames'] == 'legacy'
        self._readers |= {
            Message.HINF_MODE: ((8,), lambda data: HinfMode(data[0] != 0)),
            Message.GRAVITY_RPY: (
                (8,), lambda data: GravityRpy(*(angle / 100.0 for angle in wire.GRAVITY.unpack(data)))),
        }

    def tactile(self, pressure: Array) -> tuple[CanFrame, ...]:
        """The cells: two frames, or four in the legacy layout.

        Args:
            pressure: Pa, (16,), taxel order; NaN is sent as the invalid mark, or as 0 in the legacy layout.
        """
        readings = pressure.tolist()
        readings[0] /= self._palm
        if self._legacy:
            words = [0 if p != p else max(0, round(min(p / wire.LEGACY_TACTILE_LSB_PA, 0xFFFF))) for p in readings]
            return tuple(
                self._frame(Message.TACTILE + k, wire.LEGACY_TACTILE.pack(*words[4 * k:4 * k + 4])) for k in range(4))
        cells = bytes(
            wire.TACTILE_INVALID if p != p else max(0, min(round(min(p / wire.TACTILE_LSB_PA, 0xFE)), 0xFE))
            for p in readings)
        return tuple(self._frame(Message.TACTILE + k, cells[8 * k:8 * k + 8]) for k in range(2))

    def current(self, current_ma: Array) -> tuple[CanFrame, ...]:
        """The two current frames.

        Args:
            current_ma: mA, (16,), canonical order; rounded to 1.9 mA, saturated at ±240 mA.
        """
        counts: Sequence[int] = rounded(current_ma, wire.CURRENT_LSB_MA, 127)
        fields = bytearray(16)
        for joint, place in enumerate(self._currents):
            fields[place] = counts[joint] & 0xFF
        return (self._frame(Message.CURRENT_A, bytes(fields[:8])), self._frame(Message.CURRENT_B, bytes(fields[8:])))
