"""The host's side of every CAN protocol of the family: samples from finger frames, torques to finger frames.

:class:`CanSession` has what all share; what it means to be quiet or to stream is in :mod:`.classic_can_session`,
:mod:`.v5_can_session`, :mod:`.v5_sense_can_session` and :mod:`.plexus_can_session`. Frames have device number 0 here:
the link adds and removes the hand's own.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from allegro_description.errors import CommandRefused, ConfigError, ProtocolError
from allegro_description.model import HandModel
from allegro_description.state import Array

from allegro_driver.protocol.assembly import FingerSet, LooseFingerSet, NewestReadings
from allegro_driver.protocol.can_frames import CanFrame, wire_id
from allegro_driver.protocol.joint_frames import JointFrames
from allegro_driver.protocol.session import Message, Sample, SerialNumber
from allegro_driver.protocol.switches import Switches
from allegro_driver.protocol.v5b2_payloads import Serial

Read = Callable[[int, bytes], Message | None]

# Keeps a value that went through SI units and back from coming out one count short; far below any count.
_GUARD = 1e-9


class CanSession:
    """Implements :class:`allegro_driver.protocol.session.Session` for frames, but for the words of each protocol.

    ``codec`` is the name in hand descriptions. No request is relied upon: real hands are known to ignore some.
    """

    codec = ''
    answers_hello = False
    onboard_position = False
    gap_s = 0.0002
    info_period_s = 0.0
    settle_s = 0.0

    torque_message = 0
    """Message number of the first finger's torque frame."""
    host_messages: frozenset[int] = frozenset()
    """Messages that only hosts send."""

    def __init__(self, model: HandModel, settings: Mapping[str, Any] | None = None) -> None:
        """Prepare for a hand.

        Args:
            model: its fingers, scales and clamps.
            settings: its ``protocol.can`` entry; see :mod:`.switches`.

        Raises:
            ConfigError: a switch or clamp that is not allowed, or joints that do not fit the frames.
            UnknownName: a switch that does not exist.
        """
        self.switches = Switches(self.codec, settings, model.name)
        self._model = model
        self._joints = JointFrames(model)
        if (model.clamp > 32767).any():
            raise ConfigError(f'{model.name}: actuation.clamp is {model.clamp.max():g}; the wire carries up to 32767')
        self._bounds = tuple(zip(model.per_nm.tolist(), [float(int(c)) for c in model.clamp], strict=True))
        self._shape = (len(model.joints),)
        self._zero = self._joints.frames(self.torque_message, [0] * len(model.joints))
        self._positioning = False
        self.answers_hello = bool(self.switches['info_required'])
        slices, order = self._joints.slices, self.switches['finger_order']
        first = 0 if order == 'index_first' else len(slices) - 1  # the thumb is last in canonical order
        self._fingers = LooseFingerSet(slices) if order == 'any' else FingerSet(slices, first)
        by_finger = [range(len(model.joints))[joints] for joints in slices]
        self._temperature = NewestReadings(len(model.joints), by_finger, math.inf)
        self._tactile: NewestReadings | None = None
        self._current: NewestReadings | None = None
        self._reads: dict[int, tuple[tuple[int, ...], int, Read]] = {}

    @property
    def incomplete(self) -> int:
        """Cycles whose position frames were not all there, since the session was made."""
        return self._fingers.incomplete

    def torque(self, effort: Array) -> tuple[CanFrame, ...]:
        """One frame per finger: counts truncated toward zero and clamped.

        Args:
            effort: N·m, (n_joints,), canonical order.

        Raises:
            CommandRefused: not that many finite values, or the on-board position loop is on.
        """
        if self._positioning:
            raise CommandRefused('torque refused: the on-board position loop is on, the hand would read currents as '
                                 'angles. Call position_mode(False) first')
        counts = []
        for newton_metres, (per_nm, clamp) in zip(self._checked(effort, 'torque'), self._bounds, strict=True):
            count = newton_metres * per_nm
            count += _GUARD if count > 0 else -_GUARD
            counts.append(int(clamp if count > clamp else -clamp if count < -clamp else count))
        return self._joints.frames(self.torque_message, counts)

    def position_mode(self, on: bool) -> tuple[CanFrame, ...]:
        """Zero torque, when off; there is no on-board position loop.

        Raises:
            CommandRefused: on.
        """
        if on:
            raise CommandRefused(f'{self._model.name} has no position loop of its own; use control_mode host')
        return self._zero

    def targets(self, position: Array) -> tuple[CanFrame, ...]:
        """Refused: there is no on-board position loop.

        Raises:
            CommandRefused: always.
        """
        raise CommandRefused(f'targets refused: {self._model.name} has no position loop of its own')

    def decode(self, unit: CanFrame) -> Message | None:
        """Read one frame; a :class:`~.session.Sample` when it completes a cycle.

        Raises:
            ProtocolError: not something this hand sends.
        """
        entry = self._reads.get(unit.identifier)
        if entry is None or unit.remote:
            raise ProtocolError(self._complaint(unit))
        lengths, place, read = entry
        if len(unit.data) not in lengths:
            raise ProtocolError(f'{unit} has {len(unit.data)} bytes; {" or ".join(map(str, lengths))} are right')
        return read(place, unit.data)

    # For the protocols ---------------------------------------------------------------------------------------------

    def _expect(self, message: int, lengths: tuple[int, ...], read: Read, place: int = 0) -> None:
        self._reads[wire_id(message)] = (lengths, place, read)

    def _expect_fingers(self, message: int, lengths: tuple[int, ...], read: Read) -> None:
        for finger in range(len(self._joints.slices)):
            self._expect(message + finger, lengths, read, finger)

    def _position(self, finger: int, data: bytes) -> Sample | None:
        if not self._fingers.add(finger, self._joints.unpack(finger, data)):
            return None
        position = np.array(self._fingers.counts, dtype=np.float64)
        position *= self._joints.rad_per_count
        position.setflags(write=False)
        current, tactile = self._current, self._tactile
        return Sample(
            position, None, None if current is None else current.take(), None if tactile is None else tactile.take(),
            self._temperature.take())

    def _temperatures(self, finger: int, data: bytes) -> None:
        self._temperature.put(finger, map(float, data))

    def _ignored(self, place: int, data: bytes) -> None:
        """What this suite has no use for."""

    def _serial(self, place: int, data: bytes) -> SerialNumber:
        return self._serial_number(Serial.from_payload(data).text)

    def _serial_number(self, text: str) -> SerialNumber:
        return SerialNumber(text)

    def _forget(self) -> None:
        """Drop what was heard before: a new conversation begins or one ends."""
        self._positioning = False
        self._fingers.clear()
        for readings in (self._temperature, self._tactile, self._current):
            if readings is not None:
                readings.clear()

    def _position_counts(self, position: Array) -> list[int]:
        """Targets as the wire has them: counts truncated toward zero. Joint limits are the safety layer's business.

        Raises:
            CommandRefused: not that many finite values, beyond int16 counts, or the loop is off.
        """
        if not self._positioning:
            raise CommandRefused('targets refused: the on-board position loop is off, the hand would read angles as '
                                 'currents. Call position_mode(True) first')
        lsb = self._joints.rad_per_count
        angles = self._checked(position, 'position')
        if max(map(abs, angles)) >= 32767 * lsb:
            raise CommandRefused(f'targets refused: {position!r} rad does not fit the wire; nothing was sent')
        return [int(angle / lsb + (_GUARD if angle > 0 else -_GUARD)) for angle in angles]

    def _checked(self, values: Any, what: str) -> list[float]:
        array = np.asarray(values, dtype=np.float64)
        row: list[float] = array.tolist() if array.shape == self._shape else [math.nan]
        if not all(map(math.isfinite, row)):
            raise CommandRefused(f'{what} command must be {self._shape[0]} finite numbers, got {values!r}')
        return row

    def _complaint(self, unit: CanFrame) -> str:
        if unit.remote:
            return f'{unit} is a request; only hosts send those'
        if unit.identifier & 3:
            return f'{unit} is not of device number 0'
        if unit.identifier >> 2 in self.host_messages:
            return f'{unit} came from the hand; only hosts send it'
        return f'{unit} is no message of {self._model.name}'
