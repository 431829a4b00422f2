"""The hand's side of the CAN protocol of V4, V5 and V5 3-finger: what an emulated hand reads and says.

Values are SI, canonical order. Frames carry the hand's device number, :attr:`ClassicCanHand.device`, which CONFIG may
change. The V5 Sense is in :mod:`.v5_sense_can_hand`, the Plexus in :mod:`.plexus_can_hand`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from allegro_description.errors import ProtocolError
from allegro_description.model import HandModel
from allegro_description.state import Array, frozen

from allegro_driver.protocol import classic_messages as wire
from allegro_driver.protocol.can_commands import (
    Calibrate,
    Command,
    ConfigBaud,
    ConfigDevice,
    Pick,
    Place,
    Reading,
    Request,
    ServoOff,
    ServoOn,
    SetPeriod,
    SetPose,
    Torque,
)
from allegro_driver.protocol.can_frames import CanFrame, wire_id
from allegro_driver.protocol.classic_messages import Message
from allegro_driver.protocol.joint_frames import JointFrames, rounded
from allegro_driver.protocol.switches import Switches
from allegro_driver.protocol.v5b2_payloads import Info, Serial

Reader = tuple[tuple[int, ...], Callable[[bytes], Command]]


class ClassicCanHand:
    """What all of them have in common. ``codec`` is the name in hand descriptions."""

    codec = ''

    def __init__(self, model: HandModel, settings: Mapping[str, Any] | None = None, device: int = 0) -> None:
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
        self._fingers = range(len(model.fingers))
        self._requests: dict[int, Command] = {
            Message.INFO: Request(Reading.INFO), Message.SERIAL: Request(Reading.SERIAL),
            Message.IMU: Request(Reading.IMU),
        }
        self._readers: dict[int, Reader] = {
            Message.SERVO_ON: ((0,), lambda data: ServoOn()),
            Message.SERVO_OFF: ((0,), lambda data: ServoOff()),
            Message.PERIOD: ((6, 8), lambda data: SetPeriod(*wire.periods(data))),
            Message.CONFIG: ((6,), _config),
        }
        for f in self._fingers:
            self._requests[Message.POSITION + f] = Request(Reading.POSITION, f)
            self._requests[Message.TEMPERATURE + f] = Request(Reading.TEMPERATURE, f)
            self._readers[Message.TORQUE + f] = ((8,), partial(self._torque, f))
            self._readers[Message.POSE + f] = ((8,), partial(self._pose, f))

    def decode(self, frame: CanFrame) -> Command | None:
        """Read a frame of a host; None for one to another device number.

        Raises:
            ProtocolError: not something a host says to this kind of hand.
        """
        if frame.identifier & 3 != self.device:
            return None
        message = frame.identifier >> 2
        if frame.remote:
            request = self._requests.get(message)
            if request is None:
                raise ProtocolError(f'{frame} asks for what {self.model.name} cannot be asked for')
            return request
        reader = self._readers.get(message)
        if reader is None:
            raise ProtocolError(f'{frame} is no command to {self.model.name}')
        lengths, read = reader
        if len(frame.data) not in lengths:
            raise ProtocolError(f'{frame} has {len(frame.data)} bytes; {" or ".join(map(str, lengths))} are right')
        return read(frame.data)

    def targets(self, command: Torque | SetPose) -> Array:
        """Counts of a command read as angles: rad, one per joint of its finger."""
        return frozen([count * self.joints.rad_per_count for count in command.counts])

    # What the hand says ----------------------------------------------------------------------------------------------

    def position(self, position: Array) -> tuple[CanFrame, ...]:
        """One position frame per finger.

        Args:
            position: rad, (n_joints,), canonical order; rounded to counts and saturated.
        """
        return self.joints.frames(Message.POSITION, rounded(position, self.joints.rad_per_count), self.device)

    def temperature(self, celsius: Array) -> tuple[CanFrame, ...]:
        """One temperature frame per finger.

        Args:
            celsius: °C, (n_joints,), canonical order; rounded and saturated to 0 … 255.
        """
        degrees = [max(0, value) for value in rounded(celsius, 1.0, 255)]
        return tuple(
            self._frame(Message.TEMPERATURE + f, bytes(degrees[joints]).ljust(4, b'\0'))
            for f, joints in enumerate(self.joints.slices))

    def imu(self) -> CanFrame:
        """Three zero angles; unit and scale of this frame are unknown."""
        return self._frame(Message.IMU, bytes(6))

    def info(
        self, hardware: int, firmware: int, *, servo: bool = False, palm_c: int = 0, faults: int = 0, side: str = ''
    ) -> CanFrame:
        """What the hand says about itself.

        Args:
            hardware: version, 16 bits.
            firmware: version, 16 bits.
            servo: motors on.
            palm_c: palm temperature, °C, 0 … 255.
            faults: status bits other than bit 0.
            side: ``right`` or ``left``; '' is that of the model.
        """
        left = (side or self.model.side) == 'left'
        return self._frame(Message.INFO, Info(hardware, firmware, int(left), palm_c, faults | servo).to_payload())

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

    def _frame(self, message: int, data: bytes = b'') -> CanFrame:
        return CanFrame(wire_id(message, self.device), data)


class V4CanHand(ClassicCanHand):
    """Allegro Hand V4: the torque field counts PWM."""

    codec = 'v4_can'


class V5FamilyHand(ClassicCanHand):
    """What V5, V5 3-finger and V5 Sense have in common: motor errors, calibration, an INFO that tells versions only."""

    def __init__(self, model: HandModel, settings: Mapping[str, Any] | None = None, device: int = 0) -> None:
        """See :class:`ClassicCanHand`."""
        super().__init__(model, settings, device)
        self._readers |= {
            Message.PICK: ((0,), lambda data: Pick()), Message.PLACE: ((0,), lambda data: Place()),
            Message.CALIBRATE: ((0,), lambda data: Calibrate()),
        }

    def info(
        self, hardware: int, firmware: int, *, servo: bool = False, palm_c: int = 0, faults: int = 0, side: str = ''
    ) -> CanFrame:
        """Versions; the manual's example fixes the other bytes, so they say nothing here."""
        return self._frame(Message.INFO, Info(hardware, firmware, 0, 0, 1).to_payload())

    def error(self, motor: int, code: int) -> CanFrame:
        """A motor complains; numbers as on the wire, whatever their base is."""
        return self._frame(Message.ERROR, bytes((motor, code)))

    def calibration_done(self) -> CanFrame:
        """Answer to the calibrate command, UNVERIFIED."""
        return self._frame(Message.CALIBRATION_DONE)


class V5CanHand(V5FamilyHand):
    """Allegro Hand V5 with four fingers: a pressure per fingertip."""

    codec = 'v5_can'

    def __init__(self, model: HandModel, settings: Mapping[str, Any] | None = None, device: int = 0) -> None:
        """See :class:`ClassicCanHand`."""
        super().__init__(model, settings, device)
        self._tips = wire.fingertip_taxels(model, self.fingertip_order)

    @property
    def fingertip_order(self) -> tuple[str, ...]:
        """Fingers in the order of the fields of the fingertip frames."""
        return wire.FINGERTIP_ORDER

    def fingertips(self, pressure: Array, ids: str = 'new') -> tuple[CanFrame, ...]:
        """The two fingertip frames.

        Args:
            pressure: Pa above the atmosphere, (n_taxels,), taxel order.
            ids: ``new`` (firmware 1.2 and later) or ``old``.
        """
        slots = [0, 0, 0, 0]
        counts = rounded(pressure, 1.0, 0x7FFF_FFFF)
        for slot, taxel in enumerate(self._tips):
            if taxel is not None:
                slots[slot] = counts[taxel]
        return tuple(
            self._frame(message, wire.TWO_PRESSURES.pack(*slots[2 * k:2 * k + 2]))
            for k, message in enumerate(wire.FINGERTIPS[ids]))


class V5ThreeFingerCanHand(V5CanHand):
    """Allegro Hand V5 with three fingers."""

    codec = 'v5_3f_can'

    @property
    def fingertip_order(self) -> tuple[str, ...]:
        """UNVERIFIED, so a switch."""
        order: tuple[str, ...] = self.switches['fingertip_order']
        return order


def _config(data: bytes) -> Command:
    device, baud = wire.config(data)
    return ConfigBaud(baud or 0) if device is None else ConfigDevice(device)
