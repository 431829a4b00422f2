"""Sockets and clock of the emulated hand: one thread, one ``select``, absolute deadlines.

Telemetry is due every period since the start, however long a turn took. Late turns are made up at once, one step and
one packet each, as long as the hand is at most :data:`MAKE_UP` periods behind; beyond that (the machine was asleep)
the schedule starts anew, emulated time has lost the difference, and ``lost_ms`` of the status says so.

Session rule: whoever sent the newest HELLO owns the session. Telemetry goes to it and only its commands are obeyed;
commands of others are counted (``foreign``) and ignored. Anyone may say HELLO, ask for the serial number and for the
network settings. There is no goodbye in this protocol: the stream goes on until the next HELLO.
"""

from __future__ import annotations

import errno
import heapq
import os
import select
import socket
import time
from typing import Any

from allegro_description.errors import ConfigError, LinkError, ProtocolError

from allegro_driver.emulator.config import EmulatorConfig
from allegro_driver.emulator.control import ControlInterface
from allegro_driver.emulator.faults import FaultSet
from allegro_driver.emulator.hand import REQUESTS, EmulatedHand
from allegro_driver.emulator.world import Episodes
from allegro_driver.protocol.v5b2_packets import MessageType
from allegro_driver.protocol.v5b2_payloads import MotorError

Address = tuple[str, int]

MAKE_UP = 10          # periods; 30 ms is what the suite's driver calls stale
DRAIN = 64            # datagrams taken per socket and turn, so that a flood cannot stop the clock
LARGEST = 65536
CONTROL_HOST = '127.0.0.1'


class EmulatorServer:
    """Serves one hand until :meth:`stop`. Use it as a context manager: sockets are open inside."""

    def __init__(self, config: EmulatorConfig, hand: EmulatedHand, episodes: Episodes, faults: FaultSet) -> None:
        """Wire the parts together; nothing is opened yet."""
        self._config, self._hand, self._episodes, self._faults = config, hand, episodes, faults
        self._control = ControlInterface(hand, episodes, faults, self.status)
        self._wire: socket.socket | None = None
        self._door: socket.socket | None = None
        self._stream_to = _parse_stream(config.stream_to)
        self._owner: Address | None = None
        self._stopped = False
        self._started = time.monotonic()
        self._queue: list[tuple[float, int, bytes, Address]] = []
        self._queued = 0
        self._held: tuple[bytes, Address] | None = None
        self._counts = dict.fromkeys(('sent', 'received', 'refused', 'foreign', 'lost', 'send_errors'), 0)
        self._last_refusal = ''
        self._late_max = self._lost = 0.0

    # Life ----------------------------------------------------------------------------------------------------------

    def open(self) -> None:
        """Bind both sockets.

        Raises:
            LinkError: a port is in use or not allowed; names the port and the option that chooses another.
        """
        self._wire = _bind(self._config.host, self._config.port, 'port')
        try:
            self._door = _bind(CONTROL_HOST, self._config.control_port, 'control-port')
        except LinkError:
            self.close()
            raise

    def close(self) -> None:
        """Close both sockets; safe to call again."""
        for one in (self._wire, self._door):
            if one is not None:
                one.close()
        self._wire = self._door = None

    def __enter__(self) -> EmulatorServer:
        self.open()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def wire_port(self) -> int:
        """UDP port of the hand."""
        return _port(self._wire)

    @property
    def control_port(self) -> int:
        """UDP port of the control interface."""
        return _port(self._door)

    def stop(self) -> None:
        """End :meth:`run` within one period, or before it begins. Safe from signal handlers and other threads."""
        self._stopped = True

    def run(self) -> None:
        """Serve until :meth:`stop`.

        Raises:
            LinkError: the sockets are not open.
        """
        wire, door = self._wire, self._door
        if wire is None or door is None:
            raise LinkError('the emulator is not open; call open() first')
        period = self._config.period_ms / 1000.0
        due = time.monotonic() + period
        while not self._stopped:
            until = min(due, self._queue[0][0]) if self._queue else due
            readable, _, _ = select.select((wire, door), (), (), max(0.0, until - time.monotonic()))
            if wire in readable:
                self._drain_wire(wire)
            if door in readable:
                self._drain_door(door)
            now = time.monotonic()
            behind = now - due
            if behind > MAKE_UP * period:
                self._lost += behind
                due = now
            for _ in range(MAKE_UP):
                if now < due or self._stopped:
                    break
                self._late_max = max(self._late_max, now - due)
                self._tick(now)
                due += period
                now = time.monotonic()
            self._flush(now)

    # One turn ------------------------------------------------------------------------------------------------------

    def _tick(self, now: float) -> None:
        self._faults.expire(now)
        self._episodes.before_step()
        self._hand.step(self._clock_ms(now))
        self._episodes.after_step()
        errors: list[MotorError] = self._faults.take_motor_errors() if self._owner is not None else []
        if self._owner is None:
            return
        stream = self._stream_to or self._owner
        for error in errors:
            self._send(self._hand.codec.answer(error, self._hand.sample, self._clock_ms(now)), stream, now)
        sample = self._hand.telemetry(self._clock_ms(now))
        if sample is not None:
            self._send(sample, stream, now)

    def _drain_wire(self, wire: socket.socket) -> None:
        for _ in range(DRAIN):
            try:
                datagram, sender = wire.recvfrom(LARGEST)
            except BlockingIOError:
                return
            except OSError:
                continue  # an earlier datagram met a closed port; not an error of a hand
            self._counts['received'] += 1
            if self._faults.happens('drop'):
                self._counts['lost'] += 1
                continue
            try:
                self._serve(datagram, sender)
            except ProtocolError as error:
                self._counts['refused'] += 1
                self._last_refusal = str(error)

    def _serve(self, datagram: bytes, sender: Address) -> None:
        now = time.monotonic()
        packet = self._hand.codec.decode(datagram)
        if packet.type in REQUESTS:
            answer = self._hand.request(packet, self._clock_ms(now))
            if packet.type is MessageType.HELLO_REQUEST and answer is not None:
                self._owner = sender
        elif sender == self._owner:
            answer = self._hand.command(packet, self._clock_ms(now))
        else:
            self._counts['foreign'] += 1
            return
        if answer is not None:
            self._send(answer, sender, now)

    def _drain_door(self, door: socket.socket) -> None:
        for _ in range(DRAIN // 8):
            try:
                request, sender = door.recvfrom(LARGEST)
                door.sendto(self._control.handle(request, time.monotonic()), sender)
            except BlockingIOError:
                return
            except OSError:
                self._counts['send_errors'] += 1

    # Out, through the faults of the link -------------------------------------------------------------------------

    def _send(self, datagram: bytes, to: Address, now: float) -> None:
        faults = self._faults
        if faults.happens('drop'):
            self._counts['lost'] += 1
            return
        if faults.happens('corrupt'):
            datagram = faults.spoil(datagram)
        for _ in range(2 if faults.happens('duplicate') else 1):
            if self._held is None and faults.happens('reorder'):
                self._held = (datagram, to)
                continue
            self._queue_up(datagram, to, now + faults.delay_s())
            if self._held is not None:
                held, self._held = self._held, None
                self._queue_up(*held, now + faults.delay_s())

    def _queue_up(self, datagram: bytes, to: Address, at: float) -> None:
        self._queued += 1
        heapq.heappush(self._queue, (at, self._queued, datagram, to))

    def _flush(self, now: float) -> None:
        while self._queue and self._queue[0][0] <= now:
            _, _, datagram, to = heapq.heappop(self._queue)
            try:
                if self._wire is not None:
                    self._wire.sendto(datagram, to)
                    self._counts['sent'] += 1
            except OSError:
                self._counts['send_errors'] += 1  # nobody listens there, or the buffer is full: a hand would not care

    def _clock_ms(self, now: float) -> int:
        return int((now - self._started) * 1000.0)

    def status(self) -> dict[str, Any]:
        """Counters and clock, for the control interface."""
        owner = self._owner
        return {
            'pid': os.getpid(), 'cpu_s': round(time.process_time(), 3),
            'uptime_s': round(time.monotonic() - self._started, 3),
            'wire_port': self.wire_port, 'control_port': self.control_port, 'period_ms': self._config.period_ms,
            'physics': self._config.physics, 'model': f'{self._config.model}_{self._config.side}',
            'session': f'{owner[0]}:{owner[1]}' if owner else None,
            **self._counts, 'last_refusal': self._last_refusal,
            'late_max_ms': round(self._late_max * 1000.0, 3), 'lost_ms': round(self._lost * 1000.0, 3),
        }


def _bind(host: str, port: int, option: str) -> socket.socket:
    one = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    try:
        one.bind((host, port))
        one.setblocking(False)
    except OSError as error:
        one.close()
        if error.errno == errno.EADDRINUSE:
            raise LinkError(f'UDP port {port} on {host} is in use by another program; end that one or choose another '
                            f'port with --{option} (0 takes a free one)') from None
        raise LinkError(f'cannot listen on {host}:{port}: {error.strerror or error}; '
                        f'check --host and --{option}') from None
    except OverflowError:
        one.close()
        raise LinkError(f'port {port} is not in 0 … 65535; check --{option}') from None
    return one


def _port(one: socket.socket | None) -> int:
    return int(one.getsockname()[1]) if one is not None else 0


def _parse_stream(text: str) -> Address | None:
    if text == 'sender':
        return None
    host, _, port = text.rpartition(':')
    try:
        socket.inet_aton(host)
        if not 0 < int(port) < 65536:
            raise ValueError
    except (OSError, ValueError):
        raise ConfigError(f'stream_to is {text!r}; allowed: sender, or IP:PORT such as 192.168.0.10:8000') from None
    return host, int(port)
