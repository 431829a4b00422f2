"""The firmware of emulated hands on CAN: V4, V5, V5 3-finger, V5 Sense; the Plexus' builds on the same base.

Behaviour where sources are silent (UNVERIFIED), each the worse or the neutral case for a host: after power-on nothing
is streamed until a period is set; several streams keep their periods on average, in steps of the position period; the
torque field is remembered while the servo is off.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from allegro_description.model import HandModel

from allegro_driver.emulator.firmware import HAND_FAULTS, TAXEL_FAULTS, BaseFirmware, Parts, without_nan
from allegro_driver.emulator.seams import Peer
from allegro_driver.protocol import can_commands as do
from allegro_driver.protocol.can_commands import Command, Reading
from allegro_driver.protocol.can_frames import CanFrame
from allegro_driver.protocol.can_hand import CanHand
from allegro_driver.protocol.classic_can_hand import V4CanHand, V5CanHand, V5FamilyHand
from allegro_driver.protocol.v5_sense_can_hand import V5SenseCanHand

CAN_FAULTS = HAND_FAULTS | {'missing_finger', 'period_ignored', 'device_id', 'overheat'}
LONGEST_STEP_MS = 5.0     # steps of the physics; longer periods are divided
OVERHEATING = 0x04        # bit of the V5's error byte
V4_TOO_WARM = 0x02        # bit of the V4's status

Frames = Iterable[CanFrame]
ClassicHand = V4CanHand | V5CanHand | V5SenseCanHand


@dataclass(slots=True)
class Stream:
    """Frames sent with a period of their own, ms; 0: not at all. ``next_ms`` is when they are due."""

    make: Callable[[], Frames]
    period_ms: float = 0.0
    next_ms: float = 0.0

    def due(self, time_ms: float, period_ms: float) -> bool:
        """Whether they are due now; then counts on by ``period_ms``."""
        if not period_ms or time_ms < self.next_ms - 1e-6:
            return False
        self.next_ms += period_ms
        if self.next_ms <= time_ms:
            self.next_ms = time_ms + period_ms
        return True


class CanFirmware(BaseFirmware):
    """What all CAN hands have in common. Streams go by name, ``position`` first."""

    has_servo = True

    def __init__(self, parts: Parts, codec: CanHand) -> None:
        """Power the hand on.

        Args:
            parts: see there.
            codec: its protocol; ``codec.device`` is the stored device number.
        """
        super().__init__(parts)
        self.codec = codec
        self.device = codec.device
        self.heard: dict[str, int] = {}
        self._time_ms = 0.0
        self.streams: dict[str, Stream] = {}
        self._answers: dict[Reading, Callable[[], Sequence[CanFrame]]] = {
            Reading.POSITION: lambda: codec.position(self.measured().position),
            Reading.TEMPERATURE: lambda: codec.temperature(self.measured().temperature),
            Reading.IMU: lambda: (codec.imu(),),
            Reading.SERIAL: lambda: (codec.serial(self.told_serial()),),
            Reading.INFO: lambda: (self.info(),),
        }
        self._thumb_first = codec.switches['finger_order'] == 'thumb_first'

    # The seam ------------------------------------------------------------------------------------------------------

    @property
    def period_s(self) -> float:
        """Step of the physics: the position period, or an even part of it."""
        asked = self.faults.period_ms(self.streams['position'].period_ms) or self.config.period_ms
        return asked / math.ceil(asked / LONGEST_STEP_MS) / 1000.0

    def hear(self, unit: CanFrame, sender: Peer, now_ms: int) -> tuple[tuple[CanFrame, Peer], ...]:
        """Take a frame; return the answers.

        Raises:
            ProtocolError: nothing a host says to this hand.
        """
        self.codec.device = self.faults.device(self.device)
        command = self.codec.decode(unit)
        if command is None:
            self.foreign += 1
            return ()
        if self.deaf(now_ms):
            return ()
        name = type(command).__name__
        self.heard[name] = self.heard.get(name, 0) + 1
        if isinstance(command, do.Request):
            return tuple((frame, None) for frame in self._answer(command))
        return tuple((frame, None) for frame in self.obey(command, now_ms))

    def step(self, now_ms: int) -> None:
        """Advance by one period."""
        period_s = self.period_s
        self.body.world.period_s = period_s
        self._time_ms += 1000.0 * period_s
        super().step(now_ms)

    def stream(self, now_ms: int) -> list[tuple[CanFrame, Peer]]:
        """Frames that are due, after complaints."""
        complaints = self.complaints()
        if self.deaf(now_ms):
            return []
        self.codec.device = self.faults.device(self.device)
        units: list[tuple[CanFrame, Peer]] = [(frame, None) for frame in complaints]
        if 'stale' in self.faults:
            return units
        for name, stream in self.streams.items():
            period = stream.period_ms if name != 'position' else self.faults.period_ms(stream.period_ms)
            if stream.due(self._time_ms, period):
                units.extend((frame, None) for frame in stream.make())
        return units

    # For the kinds of hands ----------------------------------------------------------------------------------------

    def obey(self, command: Command, now_ms: int) -> Frames:
        """Do what a command says; return the answers."""
        body = self.body
        if isinstance(command, do.ServoOn):
            body.servo = True
        elif isinstance(command, do.ServoOff):
            body.servo = False
        elif isinstance(command, do.ConfigDevice):
            self.device = command.device
        return ()

    def info(self) -> CanFrame:
        """The answer to "who are you?"."""
        raise NotImplementedError

    def complaints(self) -> list[CanFrame]:
        """Error messages to send now."""
        return []

    def set_periods(self, **periods_ms: float) -> None:
        """Give streams new periods; the first frames come after one of them."""
        for name, period in periods_ms.items():
            stream = self.streams[name]
            stream.period_ms, stream.next_ms = period, self._time_ms + period

    def position_frames(self) -> list[CanFrame]:
        """The position frames of all fingers in the order of sending."""
        frames = list(self.codec.position(self.measured().position))
        missing = self.faults.missing_finger()
        if self._thumb_first:
            frames.insert(0, frames.pop())
            missing = None if missing is None else (missing + 1) % len(frames)
        if missing is not None:
            del frames[missing]
        return frames

    def reboot(self) -> None:
        """Forget periods and mode; the device number is stored for good."""
        super().reboot()
        self.set_periods(**dict.fromkeys(self.streams, 0.0))

    def status(self) -> dict[str, Any]:
        """State for the control interface."""
        return {**super().status(), 'device': self.faults.device(self.device), 'session': None,
                'periods_ms': {name: stream.period_ms for name, stream in self.streams.items()},
                'heard': dict(self.heard)}

    def _answer(self, request: do.Request) -> Frames:
        make = self._answers.get(request.reading)
        if make is None or self.faults.ignores_request() or not self.answers(request.reading):
            return ()
        if request.reading is Reading.POSITION and request.finger == self.faults.missing_finger():
            return ()
        frames = make()
        return (frames[request.finger],) if len(frames) > 1 else frames

    def answers(self, reading: Reading) -> bool:
        """Whether this hand answers such a request at all."""
        return True


class ClassicFirmware(CanFirmware):
    """V4, V5, V5 3-finger and V5 Sense on CAN: :class:`.seams.Firmware` for frames."""

    codec: ClassicHand

    def __init__(self, parts: Parts, codec: ClassicHand) -> None:
        """See :class:`CanFirmware`."""
        super().__init__(parts, codec)
        config = parts.config
        self.streams = {
            'position': Stream(self._cycle), 'imu': Stream(lambda: (codec.imu(),)),
            'temperature': Stream(self._temperature), 'status': Stream(lambda: (self.info(),)),
        }
        v4 = isinstance(codec, V4CanHand)
        self._old_tips = config.fingertip_ids == 'old'
        self._needs_servo = config.stream_needs_servo == 'yes' or (config.stream_needs_servo == 'auto' and not v4)
        self._temperatures = config.temperatures == 'yes' or (config.temperatures == 'auto' and v4)
        self._complained: set[int] = set()

    def obey(self, command: Command, now_ms: int) -> Frames:
        """Do what a command says. Poses, picks and the serial port's bit rate have no effect."""
        body, codec = self.body, self.codec
        if isinstance(command, do.Torque):
            joints = codec.joints.slices[command.finger]
            if body.positioning:
                body.command_targets(codec.targets(command), now_ms, joints)
            else:
                body.command_torque(np.array(command.counts, dtype=np.float64), now_ms, joints)
        elif isinstance(command, do.SetPeriod):
            self.set_periods(position=command.position_ms, imu=command.imu_ms, temperature=command.temperature_ms,
                             status=command.status_ms or 0)
        elif isinstance(command, do.HinfMode):
            body.set_positioning(command.on)
        elif isinstance(command, do.GravityRpy):
            body.gravity_rpy = (round(100 * command.roll), round(100 * command.pitch), round(100 * command.yaw))
        elif isinstance(command, do.Calibrate) and isinstance(codec, V5FamilyHand):
            body.calibrate()
            return (codec.calibration_done(),) if self.config.calibration_reply == 'yes' else ()
        return super().obey(command, now_ms)

    def answers(self, reading: Reading) -> bool:
        """Info and temperatures by their switches, everything else."""
        if reading is Reading.INFO:
            return self.config.answers_info == 'yes'
        return self._temperatures or reading is not Reading.TEMPERATURE

    def info(self) -> CanFrame:
        """Versions; of a V4 also side, palm temperature and status."""
        codec, body = self.codec, self.body
        if isinstance(codec, V4CanHand):
            faults = self.faults.info_bits() | (V4_TOO_WARM if body.hot else 0)
            return codec.info(0x0402, 0x0406, servo=body.servo, palm_c=min(round(body.palm_c), 255), faults=faults,
                              side=self.faults.side(self.model.side))
        return codec.info(0x0101, 0x0101 if self._old_tips else 0x0102)

    def complaints(self) -> list[CanFrame]:
        """Error frames: those asked for, and one for each joint that has become too warm."""
        codec = self.codec
        if not isinstance(codec, V5FamilyHand):
            return []
        hot = set(self.body.hot)
        base = int(codec.switches['error_motor_base'])
        errors = [*self.faults.take_motor_errors(),
                  *((base + joint, OVERHEATING) for joint in sorted(hot - self._complained))]
        self._complained = hot
        return [codec.error(motor, code) for motor, code in errors]

    def _cycle(self) -> list[CanFrame]:
        if self._needs_servo and not self.body.servo:
            return []
        codec, frames = self.codec, self.position_frames()
        if isinstance(codec, V5SenseCanHand):
            now = self.measured()
            return [*codec.current(now.torque), *frames, *codec.tactile(now.tactile)]
        if isinstance(codec, V5CanHand):
            tips = codec.fingertips(without_nan(self.measured().tactile), 'old' if self._old_tips else 'new')
            return [*frames, *tips]
        return frames

    def _temperature(self) -> Frames:
        return self.codec.temperature(self.measured().temperature) if self._temperatures else ()


def classic_faults(model: HandModel, codec: ClassicHand) -> frozenset[str]:
    """Faults that this kind of hand can have."""
    faults = CAN_FAULTS | (TAXEL_FAULTS if model.taxels else frozenset())
    return faults | ({'motor_error', 'wrong_type'} if isinstance(codec, V5FamilyHand) else {'info_fault'})
