"""The host's side of the Wonik Allegro Hand Plexus on CAN: torque mode, its position loop, currents and temperatures.

The vendor waits 100 ms after switching the motors and changes the mode only while they are off. A session cannot wait:
at the start :attr:`PlexusCanSession.gap_s` is long and :meth:`PlexusCanSession.stream` puts enough frames in between;
while samples are answered, a change of mode is spread over the commands that follow it, one step with each. Every
command in the position mode carries targets and, as the vendor's do, the bounds of the currents; both are there before
the motors come on, so that the hand has nowhere to go and, in the torque mode, no torque.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import Any

from allegro_description.model import HandModel
from allegro_description.state import Array

from allegro_driver.protocol import plexus_messages as wire
from allegro_driver.protocol.assembly import NewestReadings
from allegro_driver.protocol.can_frames import CanFrame, wire_id
from allegro_driver.protocol.can_session import CanSession
from allegro_driver.protocol.plexus_messages import Message
from allegro_driver.protocol.session import HandInfo

_ON = CanFrame(wire_id(Message.SYSTEM), b'\1')
_OFF = CanFrame(wire_id(Message.SYSTEM), b'\0')
_PAUSE: tuple[CanFrame, ...] = ()
_PAUSES = 10
"""Commands at the hand's 10 ms between switching the motors off and a change of mode."""


class PlexusCanSession(CanSession):
    """Wonik Allegro Hand Plexus over CAN."""

    codec = 'plexus_can'
    onboard_position = True
    gap_s = 0.01
    info_period_s = 1.0
    settle_s = 0.12

    torque_message = Message.SET_TORQUE
    host_messages = frozenset({
        Message.SYSTEM, Message.PERIOD, Message.CONFIG,
        *(first + f for first in (Message.SET_POSE, Message.SET_TORQUE) for f in range(4)),
    })

    def __init__(self, model: HandModel, settings: Mapping[str, Any] | None = None) -> None:
        """See :class:`~.can_session.CanSession`."""
        super().__init__(model, settings)
        s = self.switches
        self._period = CanFrame(wire_id(Message.PERIOD), bytes((
            s['period_ms'], s['velocity_period_ms'], s['period_ms'], s['imu_period_ms'],
            s['temperature_period_ms'])))
        self._torque_mode = CanFrame(
            wire_id(Message.CONFIG), bytes((wire.CONFIG_MODE, wire.TORQUE_MODE[s['mode_table']], 0, 0, 0, 0)))
        self._position_mode = CanFrame(
            wire_id(Message.CONFIG), bytes((wire.CONFIG_MODE, wire.POSITION_MODE[s['mode_table']], 0, 0, 0, 0)))
        self._bounding = self._joints.frames(Message.SET_TORQUE, [int(c) for c in model.clamp])
        self._steps: deque[tuple[CanFrame, ...]] = deque()
        self._forms = {'both': (True, False), 'rtr': (True,), 'data': (False,)}[s['request']]
        by_finger = [range(len(model.joints))[joints] for joints in self._joints.slices]
        self._amperage = self._current = NewestReadings(len(model.joints), by_finger, whole=True)
        self._expect_fingers(Message.POSE, (8,), self._position)
        self._expect_fingers(Message.TORQUE, (8,), self._currents)
        self._expect_fingers(Message.VELOCITY, (8,), self._ignored)
        self._expect_fingers(Message.TEMPERATURE, (4,), self._temperatures)
        self._expect(Message.IMU, (6,), self._ignored)
        self._expect(Message.INFO, (8,), self._info)
        self._expect(Message.SERIAL, (8,), self._serial)

    def quiet(self) -> tuple[CanFrame, ...]:
        """Motors off at once, in whatever mode; zero torque (in the position mode: no current allowed); off again."""
        self._forget()
        self._steps.clear()
        return (_OFF, *self._zero, _OFF, _OFF)

    def hello(self) -> tuple[CanFrame, ...]:
        """Ask for INFO."""
        return self._request(Message.INFO)

    def serial_request(self) -> tuple[CanFrame, ...]:
        """Ask for the serial number."""
        return self._request(Message.SERIAL)

    def stream(self) -> tuple[CanFrame, ...]:
        """Off, periods, torque mode 100 ms later, and on between zero torques."""
        self._fingers.clear()
        self._steps.clear()
        self._positioning = False
        rest = (self._period, *self._zero)
        return (_OFF, *rest, *rest, self._torque_mode, self._torque_mode, *self._zero, _ON, *self._zero)

    def silence(self) -> tuple[CanFrame, ...]:
        """Off; the vendor does no more, and whether a period of 0 ends a stream is UNVERIFIED."""
        if self.switches['at_exit'] == 'off':
            return (_OFF,)
        return (_OFF, CanFrame(wire_id(Message.PERIOD), bytes(5)))

    def position_mode(self, on: bool) -> tuple[CanFrame, ...]:
        """Motors off; mode and motors on come with the next targets or, for off, with the next torques."""
        self._positioning = on
        self._steps.clear()
        mode = self._position_mode if on else self._torque_mode
        self._steps.extend([*([_PAUSE] * (0 if on else _PAUSES)), (mode,), (mode,), _PAUSE, (_ON,), (_ON,)])
        return (_OFF, _OFF) if on else (_OFF, _OFF, *self._zero)

    def targets(self, position: Array) -> tuple[CanFrame, ...]:
        """One frame of targets and one of current bounds per finger; the first ones also change mode and switch on.

        Args:
            position: rad, (n_joints,), canonical order.

        Raises:
            CommandRefused: not that many finite values, beyond int16 counts, or the loop is off.
        """
        poses = self._joints.frames(Message.SET_POSE, self._position_counts(position))
        step = self._steps.popleft() if self._steps else _PAUSE
        last = step == (_ON,)
        return (*poses, *self._bounding, *step) if last else (*step, *poses, *self._bounding)

    def torque(self, effort: Array) -> tuple[CanFrame, ...]:
        """As the others; but zero, with the steps of the change, until a change out of the position mode is through."""
        frames = super().torque(effort)
        if not self._steps:
            return frames
        return (*self._steps.popleft(), *self._zero)

    def change_device(self, device: int) -> tuple[CanFrame, ...]:
        """Give the hand another device number; it answers to that one only.

        Raises:
            ProtocolError: not 0 … 3.
        """
        wire_id(Message.CONFIG, device)
        return (CanFrame(wire_id(Message.CONFIG), bytes((wire.CONFIG_DEVICE, device, 0, 0, 0, 0))),)

    def _request(self, message: int) -> tuple[CanFrame, ...]:
        return tuple(CanFrame(wire_id(message), remote=remote) for remote in self._forms)

    def _currents(self, finger: int, data: bytes) -> None:
        self._amperage.put(finger, map(float, self._joints.unpack(finger, data)))

    def _info(self, place: int, data: bytes) -> HandInfo:
        hardware, firmware, kind, hub_c, _, joints = wire.INFO.unpack(data)
        faults = tuple(text for bit, text in enumerate(wire.JOINT_STATUS) if joints >> bit & 1)
        return HandInfo(hardware, firmware, wire.SIDES.get(kind), None, float(hub_c), faults)
