"""The hand's side of the Plexus' CAN protocol: what an emulated hand reads and says, SI values, canonical order."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from allegro_description.errors import ProtocolError
from allegro_description.model import HandModel
from allegro_description.state import Array, frozen

from allegro_driver.protocol import plexus_messages as wire
from allegro_driver.protocol.can_commands import (
    Command,
    ConfigDevice,
    ConfigMode,
    Reading,
    Request,
    ServoOff,
    ServoOn,
    SetPlexusPeriod,
    SetPose,
    Torque,
)
from allegro_driver.protocol.can_frames import CanFrame, wire_id
from allegro_driver.protocol.joint_frames import JointFrames, rounded
from allegro_driver.protocol.plexus_messages import Message
from allegro_driver.protocol.switches import Switches
from allegro_driver.protocol.v5b2_payloads import Serial


class PlexusCanHand:
    """Reads and writes frames with the hand's device number, :attr:`device`, which CONFIG may change."""

    codec = 'plexus_can'

    def __init__(self, model: HandModel, settings: Mapping[str, Any] | None = None, device: int = 1) -> None:
        """Prepare for a hand.

        Args:
            model: its fingers and scales.
            settings: ``protocol`` entry of its description, with the switches this hand is built to.
            device: device number, 0 … 3.

        Raises:
            ConfigError: joints that do not fit these frames, or a switch with another value than those allowed.
            UnknownName: a switch that does not exist.
        """
        self.model, self.device = model, device
        self.switches = Switches(self.codec, settings, model.name)
        self.joints = JointFrames(model)
        self._requests: dict[int, Command] = {
            Message.INFO: Request(Reading.INFO), Message.SERIAL: Request(Reading.SERIAL),
            Message.IMU: Request(Reading.IMU),
        }
        self._readers: dict[int, tuple[int, Callable[[bytes], Command]]] = {
            Message.SYSTEM: (1, _system), Message.PERIOD: (5, lambda data: SetPlexusPeriod(*data)),
            Message.CONFIG: (6, _config),
        }
        for f in range(len(model.fingers)):
            for first, reading in _PER_FINGER.items():
                self._requests[first + f] = Request(reading, f)
            self._readers[Message.SET_TORQUE + f] = (8, partial(self._torque, f))
            self._readers[Message.SET_POSE + f] = (8, partial(self._pose, f))

    def decode(self, frame: CanFrame) -> Command | None:
        """Read a frame of a host; None for one to another device number. Empty data frames are requests too.

        Raises:
            ProtocolError: not something a host says to this kind of hand.
        """
        if frame.identifier & 3 != self.device:
            return None
        message = frame.identifier >> 2
        request = self._requests.get(message)
        if request is not None and not frame.data:
            return request
        reader = self._readers.get(message)
        if reader is None or frame.remote:
            raise ProtocolError(f'{frame} is no command to {self.model.name}')
        length, read = reader
        if len(frame.data) != length:
            raise ProtocolError(f'{frame} has {len(frame.data)} bytes; {length} are right')
        return read(frame.data)

    def targets(self, command: Torque | SetPose) -> Array:
        """Counts of a command read as angles: rad, one per joint of its finger."""
        return frozen([count * self.joints.rad_per_count for count in command.counts])

    # What the hand says ----------------------------------------------------------------------------------------------

    def position(self, position: Array) -> tuple[CanFrame, ...]:
        """One frame of angles per finger; rad, (n_joints,), rounded to counts and saturated."""
        return self.joints.frames(Message.POSE, rounded(position, self.joints.rad_per_count), self.device)

    def current(self, current_ma: Array) -> tuple[CanFrame, ...]:
        """One frame of motor currents per finger; mA, (n_joints,)."""
        return self.joints.frames(Message.TORQUE, rounded(current_ma, 1.0), self.device)

    def velocity(self, velocity: Array) -> tuple[CanFrame, ...]:
        """One frame of velocities per finger; rad/s, (n_joints,)."""
        return self.joints.frames(Message.VELOCITY, rounded(velocity, wire.VELOCITY_LSB_RAD_S), self.device)

    def temperature(self, celsius: Array) -> tuple[CanFrame, ...]:
        """One frame of temperatures per finger; °C, (n_joints,), saturated to 0 … 255."""
        degrees = [max(0, value) for value in rounded(celsius, 1.0, 255)]
        return tuple(
            self._frame(Message.TEMPERATURE + f, bytes(degrees[joints]).ljust(4, b'\0'))
            for f, joints in enumerate(self.joints.slices))

    def imu(self) -> CanFrame:
        """Three zero angles; unit and scale of this frame are UNVERIFIED."""
        return self._frame(Message.IMU, bytes(6))

    def info(
        self, hardware: int, firmware: int, *, palm_c: int = 0, status: int = 0, joint_status: int = 0, side: str = ''
    ) -> CanFrame:
        """What the hand says about itself.

        Args:
            hardware: version, 16 bits.
            firmware: version, 16 bits.
            palm_c: temperature of the hub, °C, 0 … 255.
            status: 0 … 255, meaning unknown.
            joint_status: bits of ``plexus_messages.JOINT_STATUS``.
            side: ``right`` or ``left``; '' is that of the model.
        """
        kind = int((side or self.model.side) == 'right')
        return self._frame(Message.INFO, wire.INFO.pack(hardware, firmware, kind, palm_c, status, joint_status))

    def serial(self, text: str) -> CanFrame:
        """The serial number, '' for a hand that has lost it.

        Raises:
            ProtocolError: not up to eight ASCII characters.
        """
        return self._frame(Message.SERIAL, Serial(text).to_payload())

    def _torque(self, finger: int, data: bytes) -> Torque:
        return Torque(finger, self.joints.unpack(finger, data))

    def _pose(self, finger: int, data: bytes) -> SetPose:
        return SetPose(finger, self.joints.unpack(finger, data))

    def _frame(self, message: int, data: bytes) -> CanFrame:
        return CanFrame(wire_id(message, self.device), data)


_PER_FINGER = {
    Message.POSE: Reading.POSITION, Message.TORQUE: Reading.CURRENT, Message.VELOCITY: Reading.VELOCITY,
    Message.TEMPERATURE: Reading.TEMPERATURE,
}


def _system(data: bytes) -> Command:
    return ServoOn() if data[0] else ServoOff()


def _config(data: bytes) -> Command:
    if data[0] == wire.CONFIG_MODE:
        return ConfigMode(data[1])
    if data[0] == wire.CONFIG_DEVICE and data[1] < 4:
        return ConfigDevice(data[1])
    raise ProtocolError(f'CONFIG {data.hex()} sets neither a mode nor a device number of 0 … 3')
