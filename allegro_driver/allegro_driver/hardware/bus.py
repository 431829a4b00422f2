"""A real (or emulated) hand behind a codec and a link.

A session: HELLO until the hand says who it is; on-board position mode off, three times; zero torque; serial number;
first sample. The order matters: in position mode a torque packet of zeros means "go to 0°", so the mode is settled
before the first torque packet, always, because nothing tells which mode a hand was left in.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from allegro_description.errors import ConfigError, IdentityError, LinkError, LinkTimeout, ProtocolError
from allegro_description.model import HandModel
from allegro_description.state import Array, HandState

from allegro_driver.control.filters import VelocityFilter
from allegro_driver.hardware.base import Alarm, AlarmKind, Identity
from allegro_driver.link.base import Link
from allegro_driver.link.guardian import Guardian
from allegro_driver.protocol.v5b2 import Info, MotorError, Serial, Telemetry

if TYPE_CHECKING:
    from allegro_driver.config import DriverConfig

_REPEATS = 3  # mode packets are not acknowledged
_MODE_GAP_S = 0.002
_ZEROS = 5
# A full socket queue keeps its oldest packets; its newest sample is no answer to "where are the joints now?".
_TOO_OLD_PERIODS = 10
_WRAP, _HALF = 2**32, 2**31
_REORDERED = 1000  # samples; a counter that falls back farther means that the hand started anew


class Codec(Protocol):
    """The host's side of a wire protocol, as far as a session needs it."""

    def hello(self, timestamp_ms: int = 0) -> bytes:
        """Open a session."""
        ...

    def serial_request(self, timestamp_ms: int = 0) -> bytes:
        """Ask for the serial number."""
        ...

    def hinf_mode(self, on: bool, timestamp_ms: int = 0) -> bytes:
        """Switch the on-board position mode."""
        ...

    def torque(self, effort: Array, timestamp_ms: int = 0) -> bytes:
        """Joint torques, N·m, canonical order."""
        ...

    def decode(self, datagram: bytes) -> Any:
        """One message of the hand."""
        ...


def _milliseconds() -> int:
    return time.monotonic_ns() // 1_000_000 % _WRAP


def ask(
    link: Link,
    request: Callable[[int], bytes],
    decode: Callable[[bytes], Any],
    answer: type[Any],
    tries: int,
    timeout_s: float,
) -> Any:
    """Send a request until a message of type ``answer`` comes; return that, or None. Other messages are dropped.

    Args:
        link: open.
        request: makes the datagram from a time in ms.
        decode: reads a datagram; may return None for one that is not understood.
        answer: class of the message that is waited for.
        tries: how often to send.
        timeout_s: how long to wait each time, s.

    Raises:
        LinkError: the link broke.
    """
    for _ in range(tries):
        link.send(request(_milliseconds()))
        deadline = time.monotonic() + timeout_s
        while (left := deadline - time.monotonic()) > 0:
            data = link.receive(left)
            message = None if data is None else decode(data)
            if isinstance(message, answer):
                return message
    return None


class BusHardware:
    """Implements :class:`allegro_driver.hardware.base.Hardware`."""

    def __init__(
        self,
        model: HandModel,
        codec: Codec,
        link: Link,
        *,
        period_s: float = 0.003,
        answer_timeout_s: float = 1.0,
        tries: int = 3,
        expected_serial: str = '',
        velocity_cutoff_hz: float = 30.0,
        guardian: bool = False,
    ) -> None:
        """Describe the hand; nothing is opened yet.

        Args:
            model: the hand that is expected.
            codec: the host's side of its protocol.
            link: where it is.
            period_s: time between two samples, s.
            answer_timeout_s: how long one request waits for its answer, s.
            tries: how often a request is sent.
            expected_serial: refuse any other hand; '' accepts all.
            velocity_cutoff_hz: corner of the velocity low-pass, Hz.
            guardian: keep a helper process that sends zero torque when this process dies.
        """
        self._model, self._codec, self._link = model, codec, link
        self.period_s = period_s
        self._period_ns = round(period_s * 1e9)
        self._answer_timeout_s, self._tries = answer_timeout_s, tries
        self._expected_serial = expected_serial
        self._filter = VelocityFilter(len(model.joints), velocity_cutoff_hz)
        self._guarded, self._guardian = guardian, None if not guardian else Guardian()
        self._zero = np.zeros(len(model.joints))
        self._identity = Identity()
        self._sequence: int | None = None
        self._alarms: list[Alarm] = []
        self._open = False
        self.skipped = 0
        self._bad = self._reordered = 0

    @classmethod
    def from_config(cls, model: HandModel, config: DriverConfig) -> BusHardware:
        """Build it with the codec that the hand description names for the link.

        Raises:
            UnknownPlugin: no such link or codec.
            ConfigError: this hand has no such link, or the address is malformed.
        """
        from allegro_driver.hardware import CODECS
        from allegro_driver.link import LINKS

        link_class = LINKS.load(config.link)
        if config.link not in model.protocol:
            raise ConfigError(f'{model.name} has no {config.link} link; it has: {", ".join(model.protocol)}')
        settings = model.protocol[config.link]
        return cls(
            model,
            CODECS.load(settings['codec'])(model),
            link_class.from_description(config.address, settings),
            period_s=float(settings['period_ms']) / 1e3,
            answer_timeout_s=config.answer_timeout_s,
            tries=config.answer_tries,
            expected_serial=config.expected_serial,
            velocity_cutoff_hz=config.velocity_cutoff_hz,
            guardian=config.guardian,
        )

    @property
    def identity(self) -> Identity:
        """Who answered at the last :meth:`open`; empty before."""
        return self._identity

    @property
    def link(self) -> Link:
        """The link, for its address and counters."""
        return self._link

    def open(self) -> Identity:
        """Connect; see the module for the order. On failure everything is closed again.

        Raises:
            LinkError: the local port is taken, or nothing can be sent.
            LinkTimeout: no answer, or no samples.
            IdentityError: another side or serial number than expected.
        """
        if self._open:
            return self._identity
        self._link.open()
        try:
            while self._link.receive(0.0) is not None:
                pass  # whatever waits in the socket belongs to an earlier session
            info = self._ask(self._codec.hello, Info)
            if info is None:
                raise LinkTimeout(
                    f'no hand answers at {self._link.peer} ({self._tries} tries, {self._answer_timeout_s} s each); '
                    'check power, cable, address and that this machine is in the same network'
                )
            self._torque_mode()
            self._open = True
            self._link.send(self._codec.torque(self._zero, _milliseconds()))
            self._identity = self._identify(info)
            self._sequence = None
            self._filter.reset()
            self._alarms.clear()
            try:
                self.read(self._answer_timeout_s)
            except LinkTimeout:
                raise LinkTimeout(
                    f'the hand at {self._link.peer} answers but sends no samples within {self._answer_timeout_s} s '
                    f'({self._bad} packets were not understood); restart the hand'
                ) from None
            if self._guardian is not None:
                self._guardian.start(self._link, self._stop_packets())
        except BaseException:
            self.close()
            raise
        return self._identity

    def read(self, timeout_s: float) -> HandState:
        """Wait for the next new sample; the newest if several wait.

        Raises:
            LinkTimeout: none within ``timeout_s``.
            LinkError: the link is closed or broken.
        """
        deadline = time.monotonic() + timeout_s
        fresh: Telemetry | None = None
        arrival, steps = 0, 0
        while True:
            data = self._link.receive(0.0 if fresh else max(deadline - time.monotonic(), 0.0))
            message = None if data is None else self._decode(data)
            if isinstance(message, Telemetry):
                step = self._advance(message.sequence)
                if step:
                    self.skipped += fresh is not None
                    fresh, arrival, steps = message, self._link.arrival_ns, steps + step
            age = time.monotonic_ns() - arrival
            # Only a sample that had to wait can have a successor in the queue.
            if fresh and (age < self._period_ns or (data is None and age < _TOO_OLD_PERIODS * self._period_ns)):
                break
            if data is None:
                if fresh:
                    self.skipped += 1
                    self._filter.reset()
                    fresh, steps = None, 0
                if time.monotonic() >= deadline:
                    raise LinkTimeout(f'no sample from {self._link.peer} within {timeout_s * 1e3:.0f} ms')
        velocity = self._filter.update(fresh.position, steps * self.period_s)
        return HandState(arrival, fresh.sequence, fresh.position, velocity, fresh.current_ma, fresh.tactile)

    def write(self, effort: Array) -> None:
        """Send joint torques, N·m, (n_joints,).

        Raises:
            LinkError: closed, or they did not leave this machine.
            CommandRefused: not finite.
        """
        if not self._open:
            raise LinkError(f'the session with {self._link.peer} is not open')
        self._link.send(self._codec.torque(effort, _milliseconds()))

    def enable(self, on: bool) -> None:
        """True: on-board position mode off, three times. False: zero torque several times, errors ignored.

        Raises:
            LinkError: enabling could not be sent.
        """
        if on:
            if not self._open:
                raise LinkError(f'the session with {self._link.peer} is not open')
            self._torque_mode()
        elif self._open:
            for _ in range(_ZEROS):
                with suppress(LinkError):
                    self._link.send(self._codec.torque(self._zero, _milliseconds()))

    def take_alarms(self) -> tuple[Alarm, ...]:
        """Alarms since the last call."""
        if not self._alarms:
            return ()
        alarms = tuple(self._alarms)
        self._alarms.clear()
        return alarms

    def counts(self) -> Mapping[str, int]:
        """Link and protocol counters."""
        c = self._link.counts
        return {
            'link_sent': c.sent, 'link_received': c.received, 'link_errors': c.errors, 'link_foreign': c.foreign,
            'packets_not_understood': self._bad, 'samples_out_of_order': self._reordered,
            'samples_skipped': self.skipped,
        }

    def close(self) -> None:
        """Zero torque and disconnect. Idempotent; never raises."""
        if self._open:
            with suppress(LinkError):
                self._torque_mode()
            self.enable(False)
        self._open = False
        if self._guardian is not None:
            self._guardian.stop()
        self._link.close()

    def _torque_mode(self) -> None:
        for _ in range(_REPEATS):
            self._link.send(self._codec.hinf_mode(False, _milliseconds()))
            time.sleep(_MODE_GAP_S)

    def _stop_packets(self) -> tuple[bytes, ...]:
        off = [self._codec.hinf_mode(False, _milliseconds()) for _ in range(_REPEATS)]
        return (*off, *(self._codec.torque(self._zero, _milliseconds()) for _ in range(_ZEROS)))

    def _ask(self, request: Callable[[int], bytes], answer: type[Any]) -> Any:
        return ask(self._link, request, self._decode, answer, self._tries, self._answer_timeout_s)

    def _decode(self, data: bytes) -> Any:
        try:
            message = self._codec.decode(data)
        except ProtocolError:
            self._bad += 1
            return None
        if isinstance(message, MotorError):
            self._alarms.append(Alarm(AlarmKind.MOTOR, self._motor_text(message)))
        return message

    def _motor_text(self, error: MotorError) -> str:
        order = self._model.orders.get('udp', self._model.joint_names)
        joint = order[error.joint - 1] if 1 <= error.joint <= len(order) else 'unknown joint'
        why = ', '.join(error.reasons) or 'no reason given'
        return f'motor {error.joint} ({joint}) reports an error: {why} (status 0x{error.status:02x})'

    def _advance(self, sequence: int) -> int | None:
        """Steps since the last sample; None for one that is not newer."""
        last = self._sequence
        if last is None:
            self._sequence = sequence
            return 1
        step = (sequence - last + _HALF) % _WRAP - _HALF
        if -_REORDERED < step <= 0:
            self._reordered += 1
            return None
        self._sequence = sequence
        if step < 0:
            self._filter.reset()
            self._alarms.append(Alarm(
                AlarmKind.RESTART,
                f'the sample counter fell from {last} to {sequence}: the hand has restarted and its mode is unknown',
            ))
            return 1
        return step

    def _identify(self, info: Info) -> Identity:
        answer: Serial | None = self._ask(self._codec.serial_request, Serial)
        serial = answer.text if answer is not None else ''
        side = answer.side if answer is not None else None
        warnings = []
        if answer is None:
            warnings.append(f'the hand did not tell its serial number ({self._tries} tries)')
        elif not serial:
            warnings.append('the hand has lost its serial number')
        if side is None:
            warnings.append(
                f'its side is unknown, so it stays disabled; if you see that it is a {self._model.side} hand, '
                'set the parameter allow_unknown_side'
            )
        elif side != self._model.side:
            raise IdentityError(
                f'the hand at {self._link.peer} (serial {serial}) is a {side} hand, but {self._model.side} was asked '
                f"for; set the parameter side to '{side}' or connect the other hand"
            )
        if serial[2:3] == 'C' and len(self._model.joints) != 9:
            warnings.append(f'serial {serial} is that of a 3-finger hand, but the model is {self._model.name}')
        if self._expected_serial and serial != self._expected_serial:
            raise IdentityError(
                f'the hand at {self._link.peer} has serial {serial or "(none)"}, expected is {self._expected_serial}; '
                'connect that hand or change the parameter expected_serial'
            )
        version = f'hardware 0x{info.hardware:04x}, firmware 0x{info.firmware:04x}'
        return Identity(serial, side, version, tuple(warnings))
