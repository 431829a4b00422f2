"""The real driver between a stream of units, whatever they are, and a hand that reads what leaves.

:class:`ClosedLoop` runs :class:`~allegro_driver.hand.Hand` on :class:`~allegro_driver.hardware.bus.BusHardware` over a
link that only exists in memory, in virtual time: no thread, no pause, the same run for the same input.
"""

from __future__ import annotations

import math
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from enum import IntEnum
from typing import Any

import numpy as np
from allegro_description.config import from_mapping
from allegro_description.errors import AllegroError, LinkError
from allegro_description.state import JointCommand

from allegro_driver import hand as hand_module
from allegro_driver.config import DriverConfig
from allegro_driver.control.orders import FreeMotion
from allegro_driver.control.safety import TORQUE_STATES, Event, State
from allegro_driver.control.trajectory import move_to
from allegro_driver.emulator.config import serial_number
from allegro_driver.evidence.fuzz_sides import Breach, HandSide, Unit, demand, hand_of, session_class
from allegro_driver.hand import Hand
from allegro_driver.hardware import bus, request
from allegro_driver.hardware.bus import BusHardware
from allegro_driver.link.base import LinkCounts
from allegro_driver.protocol import can_commands as do
from allegro_driver.protocol.can_frames import CanFrame
from allegro_driver.protocol.v5b2_packets import MessageType, Packet
from allegro_driver.protocol.v5b2_payloads import Info, Serial


class Action(IntEnum):
    """What may happen to a driver besides units, in a stream for :class:`ClosedLoop`."""

    SILENCE = 0xE0
    LATE = 0xE1
    BROKEN = 0xE2
    CLEAR = 0xE3
    DISABLE = 0xE4
    ENABLE = 0xE5
    POSE = 0xE6
    EFFORT = 0xE7
    FREE = 0xE8
    MOVE = 0xE9


Item = Unit | tuple[Action, int]


class VirtualClock:
    """Stands in for the module ``time``: it goes on only when somebody waits."""

    def __init__(self) -> None:
        self.now_ns = 1_000_000_000

    def monotonic_ns(self) -> int:
        """Now, ns."""
        return self.now_ns

    def monotonic(self) -> float:
        """Now, s."""
        return self.now_ns / 1e9

    def sleep(self, seconds: float) -> None:
        """Let time pass."""
        self.now_ns += max(round(seconds * 1e9), 0)

    @contextmanager
    def installed(self) -> Iterator[None]:
        """Give this time to hand, hardware and requests."""
        modules: tuple[Any, ...] = (bus, request, hand_module)
        before = [module.time for module in modules]
        for module in modules:
            module.time = self
        try:
            yield
        finally:
            for module, clock in zip(modules, before, strict=True):
                module.time = clock


class Dry(Exception):
    """The input is used up."""


class FuzzLink:
    """Implements :class:`allegro_driver.link.base.Link` between a driver and a stream of units.

    Attributes:
        honest: a good hand is there: it answers and sends samples.
        broken: how many sends fail from now on.
        silent: nothing arrives any more, time passes.
    """

    peer = 'fuzz'

    def __init__(self, codec: str, clock: VirtualClock, heard: HandSide, period_s: float) -> None:
        self.counts = LinkCounts()
        self.arrival_ns = 0
        self.honest, self.silent, self.broken = True, False, 0
        self.judge: Callable[[Any], None] = lambda command: None
        self._clock, self._heard, self._codec = clock, heard, codec
        self._period_ns = round(period_s * 1e9)
        self._spacing_ns = self._period_ns if codec == 'v5b2' else self._period_ns // len(heard.model.fingers)
        self._waiting: deque[tuple[Unit, int]] = deque()
        self._latest_ns = self._sample = 0

    def arrive(self, unit: Unit) -> None:
        """Let a unit arrive after the ones before it."""
        self._latest_ns = max(self._latest_ns, self._clock.now_ns) + self._spacing_ns
        self._waiting.append((unit, self._latest_ns))

    @property
    def empty(self) -> bool:
        """Whether everything was read."""
        return not self._waiting

    def open(self) -> None:
        """Nothing to do."""

    def close(self) -> None:
        """Nothing to do."""

    def share(self, units: Sequence[Any]) -> None:
        """No other process can use it."""

    def send(self, unit: Any) -> None:
        """A hand reads it, and it is judged.

        Raises:
            LinkError: the link is broken.
            Breach: the hand does not understand it, or must not be told so.
        """
        if self.broken:
            self.broken -= 1
            raise LinkError('the fuzzed link is broken')
        command = self._heard.feed(unit)
        demand(command is not None, 'the driver sent what no hand understands:', unit)
        self.counts.sent += 1
        self.judge(command)
        if self.honest:
            for answer in self._answers(command):
                self.arrive(answer)

    def receive(self, timeout_s: float) -> Unit | None:
        """The next unit, if it arrives in time.

        Raises:
            Dry: there is none and will be none.
        """
        if not self._waiting and self.honest:
            for unit in self._measurement():
                self.arrive(unit)
        wait_ns = math.ceil(timeout_s * 1e9)  # never 0 for a wait: time must go on
        if not self._waiting and timeout_s > 0.0 and not self.silent:
            raise Dry
        if self.silent or not self._waiting or self._waiting[0][1] > self._clock.now_ns + wait_ns:
            self._clock.now_ns += wait_ns
            return None
        unit, self.arrival_ns = self._waiting.popleft()
        self._clock.now_ns = max(self._clock.now_ns, self.arrival_ns)
        self.counts.received += 1
        return unit

    def _answers(self, command: Any) -> list[Any]:
        codec, text = self._heard.codec, serial_number(self._heard.model)[0]
        if isinstance(command, Packet):
            if command.type is MessageType.HELLO_REQUEST:
                return [codec.answer(Info(), command.sequence, 0)]
            return [codec.answer(Serial(text), command.sequence, 0)] if (
                command.type is MessageType.SERIAL_REQUEST) else []
        reading = command.reading if isinstance(command, do.Request) else None
        if reading is do.Reading.INFO:
            return [codec.info(0x0402, 0x0102)]
        return [codec.serial(text)] if reading is do.Reading.SERIAL else []

    def _measurement(self) -> tuple[Any, ...]:
        model, codec = self._heard.model, self._heard.codec
        home = np.clip(model.pose('home'), model.lower, model.upper)
        if self._codec != 'v5b2':
            return tuple(codec.position(home))
        self._sample += 1
        zero = np.zeros(16)
        return (codec.telemetry(self._sample, self._sample * 3, home, zero, zero, zero),)


class ClosedLoop:
    """A driver that follows commands while its hand says anything."""

    def __init__(self, codec: str, mode: str = 'host') -> None:
        """Open the hand and enable it.

        Args:
            codec: see :data:`HANDS`.
            mode: ``control_mode``.
        """
        self.model, settings = hand_of(codec)
        self.config = from_mapping(DriverConfig, {
            'model': self.model.model, 'side': self.model.side, 'confirmed': ','.join(self.model.confirm),
            'realtime': 'off', 'control_mode': mode})
        self.clock, self.heard = VirtualClock(), HandSide(codec)
        period_s = float(settings['period_ms']) / 1e3
        self.link = FuzzLink(codec, self.clock, self.heard, period_s)
        self.link.judge = self._judge
        session = session_class(codec)(self.model, settings)
        hardware: BusHardware[Any] = BusHardware(self.model, session, self.link, period_s=period_s)
        self.hand = Hand(hardware, self.model, self.config)
        # Requests run where they are made when that is the control thread, which this one is.
        self.hand._thread = threading.current_thread()
        self._low = self.model.lower - self.config.position_tolerance_rad - 1e-3
        self._high = self.model.upper + self.config.position_tolerance_rad + 1e-3
        self._clamp = [int(c) for c in self.model.clamp]
        self.internal = self.faults = self.torques = self.cycles = self.samples = 0
        self.hand.add_listener(self._count)
        with self.clock.installed():
            hardware.open()
            self.hand.enable()
        self.link.honest = False

    def feed(self, items: Sequence[Item]) -> None:
        """Let units arrive and things happen, and the loop run until all is read."""
        with self.clock.installed():
            for item in items:
                if isinstance(item, CanFrame) or not isinstance(item, tuple):
                    self.link.arrive(item)
                else:
                    self._run()
                    self._act(*item)
            self._run()

    def _run(self) -> None:
        while not self.link.empty:
            self._cycle()

    def _cycle(self) -> None:
        before, broken = self.hand.state, self.link.broken
        self.cycles += 1
        try:
            self.hand._cycle()
        except Dry:
            return
        except AllegroError as error:  # as the control thread does
            self.internal += 1
            self.hand._fault(Event.INTERNAL_ERROR, f'internal error: {error}')
        if self.hand.state is State.FAULT:
            self.faults += before is not State.FAULT
            if not broken:
                demand(not any(self.heard.torque), 'torque is left in a fault:', self.heard.torque)
                demand(not self.heard.positioning, "the hand's own position loop is left on in a fault")

    def _act(self, action: Action, value: int) -> None:
        hand, share = self.hand, value / 255.0
        pose = self.model.lower + share * (self.model.upper - self.model.lower)
        try:
            if action is Action.SILENCE:
                self.link.silent = True
                self._cycle()
                self.link.silent = False
            elif action is Action.LATE:
                self.clock.sleep(0.1 * share)
            elif action is Action.BROKEN:
                self.link.broken = value % 8
            elif action is Action.CLEAR:
                self.link.honest, self.link.broken = True, 0
                hand.clear_fault()
            elif action in (Action.ENABLE, Action.DISABLE):
                hand.enable(action is Action.ENABLE)
            elif action is Action.POSE:
                hand.command(JointCommand(0, position=pose))
            elif action is Action.EFFORT:
                hand.command(JointCommand(0, effort=(value - 128.0) * self.model.torque_limit / 16.0))
            elif action is Action.FREE:
                hand.command(FreeMotion())
            elif action is Action.MOVE:
                hand.command(move_to(self.model, hand.target(), pose, 1.0))
        except AllegroError:
            pass  # refused: then nothing must have changed, which the judge sees
        finally:
            self.link.honest = self.link.silent = False

    def _count(self, state: object) -> None:
        self.samples += 1

    def _judge(self, command: Any) -> None:
        if not (isinstance(command, do.Torque) or (
                isinstance(command, Packet) and command.type is MessageType.TORQUE)):
            return
        torque, state = self.heard.torque, self.hand.state
        if self.heard.positioning:
            angles = self.heard.angles()
            if isinstance(command, do.Torque):  # the others are of the packet before
                joints = self.heard.codec.joints.slices[command.finger]
                good = (angles[joints] >= self._low[joints]) & (angles[joints] <= self._high[joints])
            else:
                good = (angles >= self._low) & (angles <= self._high)
            demand(bool(good.all()), 'a target outside the joint range:', angles)
            demand(state in TORQUE_STATES, 'a target in state', state)
            return
        for count, clamp in zip(torque, self._clamp, strict=True):
            if not -clamp <= count <= clamp:
                raise Breach(f'torque beyond the clamp: {torque}')
        counts = command.counts if isinstance(command, do.Torque) else torque
        if any(counts):
            self.torques += 1
            demand(state in TORQUE_STATES, 'torque in state', state, counts)
