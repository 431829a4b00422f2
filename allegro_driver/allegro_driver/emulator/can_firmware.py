"""What the firmwares of all emulated hands on CAN have in common: device number, requests, streams.

Behaviour where sources are silent (UNVERIFIED), each the worse or the neutral case for a host: after power-on nothing
is streamed until a period is set; several streams keep their periods on average, in steps of the position period; the
torque field is remembered while the servo is off.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from allegro_driver.emulator.firmware import HAND_FAULTS, BaseFirmware, Parts
from allegro_driver.emulator.seams import Peer
from allegro_driver.protocol import can_commands as do
from allegro_driver.protocol.can_commands import Command, Reading
from allegro_driver.protocol.can_frames import CanFrame
from allegro_driver.protocol.can_hand import CanHand

CAN_FAULTS = HAND_FAULTS | {'missing_finger', 'period_ignored', 'device_id', 'overheat'}
LONGEST_STEP_MS = 5.0     # steps of the physics; longer periods are divided

Frames = Iterable[CanFrame]


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
    def device_number(self) -> int:
        """Number that it hears and answers with now."""
        return self.faults.device(self.device)

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
        self.codec.device = self.device_number
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
        self.codec.device = self.device_number
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
        return {**super().status(), 'device': self.device_number, 'session': None,
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
