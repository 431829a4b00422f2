"""The clock of the emulated hand: one thread, one ``select``, absolute deadlines, whatever the wire.

A step is due every period since the last one was due, however long a turn took. Late turns are made up at once, as long
as the hand is at most :data:`MAKE_UP` periods behind; beyond that (the machine was asleep) the schedule starts anew,
emulated time has lost the difference, and ``lost_ms`` of the status says so.
"""

from __future__ import annotations

import os
import select
import socket
import time
from typing import Any, Generic

from allegro_description.errors import LinkError, ProtocolError

from allegro_driver.emulator.cable import Cable
from allegro_driver.emulator.config import EmulatorConfig
from allegro_driver.emulator.control import ControlInterface
from allegro_driver.emulator.faults import FaultSet
from allegro_driver.emulator.script import FaultScript
from allegro_driver.emulator.seams import Firmware, Unit, Wire
from allegro_driver.emulator.udp_wire import LARGEST, bind, port_of
from allegro_driver.emulator.world import Episodes

MAKE_UP = 10          # periods; 30 ms is what the suite's driver calls stale
DRAIN = 64            # units taken per turn, so that a flood cannot stop the clock
CONTROL_HOST = '127.0.0.1'


class EmulatorServer(Generic[Unit]):
    """Serves one hand until :meth:`stop`. Use it as a context manager: wire and control port are open inside."""

    def __init__(
        self, config: EmulatorConfig, wire: Wire[Unit], firmware: Firmware[Unit], episodes: Episodes, faults: FaultSet,
        script: FaultScript | None = None,
    ) -> None:
        """Put the parts together; nothing is opened yet."""
        self._config, self.firmware, self._episodes, self._faults = config, firmware, episodes, faults
        self.wire = wire
        self._cable = Cable(wire, faults)
        self._script = script
        self._control = ControlInterface(firmware, episodes, faults, self.status)
        self._door: socket.socket | None = None
        self._stopped = False
        self._started = time.monotonic()
        self._refused = 0
        self._last_refusal = ''
        self._late_max = self._lost = 0.0
        self._reply_errors = 0

    # Life ----------------------------------------------------------------------------------------------------------

    def open(self) -> None:
        """Open wire and control port.

        Raises:
            LinkError: one of them cannot be had; the message says what to do.
            MissingDependency: the wire needs a package that is not installed.
        """
        self.wire.open()
        try:
            self._door = bind(CONTROL_HOST, self._config.control_port, 'control-port')
        except LinkError:
            self.close()
            raise

    def close(self) -> None:
        """Close both; safe to call again."""
        self.wire.close()
        if self._door is not None:
            self._door.close()
        self._door = None

    def __enter__(self) -> EmulatorServer[Unit]:
        self.open()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def address(self) -> str:
        """What a driver is told to find this hand, device number included."""
        device = self.firmware.device_number
        return self.wire.address + (f'#{device}' if device else '')

    @property
    def wire_port(self) -> int:
        """UDP port of the hand; 0 where it has none."""
        return int(getattr(self.wire, 'port', 0))

    @property
    def control_port(self) -> int:
        """UDP port of the control interface."""
        return port_of(self._door)

    def ready(self) -> dict[str, Any]:
        """What whoever started the emulator needs to know, ready for JSON."""
        if self.wire_port:
            return {'wire_port': self.wire_port, 'control_port': self.control_port}
        return {'address': self.address, 'control_port': self.control_port}

    def stop(self) -> None:
        """End :meth:`run` within one period, or before it begins. Safe from signal handlers and other threads."""
        self._stopped = True

    def run(self) -> None:
        """Serve until :meth:`stop`.

        Raises:
            LinkError: it is not open.
        """
        door = self._door
        if door is None:
            raise LinkError('the emulator is not open; call open() first')
        begin = time.monotonic()
        due = begin + self.firmware.period_s
        number = door.fileno()
        while not self._stopped:
            until = due if self._cable.due is None else min(due, self._cable.due)
            files = self.wire.descriptors()
            readable, _, _ = select.select((number, *files), (), (), max(0.0, until - time.monotonic()))
            if number in readable:
                self._drain_door(door)
            if len(readable) > (number in readable):
                self._drain_wire()
            now = time.monotonic()
            behind = now - due
            if behind > MAKE_UP * self.firmware.period_s:
                self._lost += behind
                due = now
            for _ in range(MAKE_UP):
                if now < due or self._stopped:
                    break
                self._late_max = max(self._late_max, now - due)
                self._tick(now, now - begin)
                due += self.firmware.period_s
                now = time.monotonic()
            self._cable.flush(now)

    # One turn ------------------------------------------------------------------------------------------------------

    def _tick(self, now: float, elapsed: float) -> None:
        if self._script is not None:
            self._script.advance(elapsed, now)
        self._faults.expire(now)
        now_ms = self._clock_ms(now)
        self._episodes.before_step()
        self.firmware.step(now_ms)
        self._episodes.after_step()
        for unit, to in self.firmware.stream(now_ms):
            self._cable.send(unit, to, now)

    def _drain_wire(self) -> None:
        for _ in range(DRAIN):
            got = self._cable.receive()
            if got is None:
                return
            unit, sender = got
            if unit is None:
                continue
            now = time.monotonic()
            try:
                answers = self.firmware.hear(unit, sender, self._clock_ms(now))
            except ProtocolError as error:
                self._refused += 1
                self._last_refusal = str(error)
                continue
            for answer, to in answers:
                self._cable.send(answer, to, now)

    def _drain_door(self, door: socket.socket) -> None:
        for _ in range(DRAIN // 8):
            try:
                request, sender = door.recvfrom(LARGEST)
                door.sendto(self._control.handle(request, time.monotonic()), sender)
            except BlockingIOError:
                return
            except OSError:
                self._reply_errors += 1

    def _clock_ms(self, now: float) -> int:
        return int((now - self._started) * 1000.0)

    def status(self) -> dict[str, Any]:
        """Counters and clock, for the control interface."""
        counts = dict(self._cable.counts)
        counts['send_errors'] += self._reply_errors
        return {
            'pid': os.getpid(), 'cpu_s': round(time.process_time(), 3),
            'uptime_s': round(time.monotonic() - self._started, 3),
            **self.ready(), 'wire': self.wire.kind, 'address': self.address,
            'period_ms': round(self.firmware.period_s * 1000.0, 3),
            'physics': self._config.physics, 'model': f'{self._config.model}_{self._config.side}',
            **counts, 'refused': self._refused, 'last_refusal': self._last_refusal,
            'late_max_ms': round(self._late_max * 1000.0, 3), 'lost_ms': round(self._lost * 1000.0, 3),
        }
