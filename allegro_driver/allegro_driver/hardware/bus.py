"""A real (or emulated) hand behind a session and a link.

Opening: no torque, whatever the hand was doing; who is there; serial number; torque mode with zero torque and samples;
first sample. The order matters: an on-board position loop reads a torque packet of zeros as "go to 0°", so the mode is
settled before the first torque packet, always, because nothing tells which mode a hand was left in.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import numpy as np
from allegro_description.errors import CommandRefused, ConfigError, LinkError, LinkTimeout, ProtocolError
from allegro_description.model import HandModel
from allegro_description.state import Array, HandState

from allegro_driver.control.filters import VelocityFilter
from allegro_driver.hardware.base import Alarm, AlarmKind, Identity
from allegro_driver.hardware.identify import identify
from allegro_driver.hardware.request import ask
from allegro_driver.hardware.sample_count import SampleCount
from allegro_driver.hardware.sending import Sending
from allegro_driver.link.base import Link
from allegro_driver.link.guardian import Guardian
from allegro_driver.protocol.session import HandInfo, Message, MotorFault, Sample, SerialNumber, Session
from allegro_driver.protocol.switches import overridden

if TYPE_CHECKING:
    from allegro_driver.config import DriverConfig

Unit = TypeVar('Unit')

_REPEATS = 5  # nothing is acknowledged
# A full queue keeps its oldest packets; its newest sample is no answer to "where are the joints now?".
_TOO_OLD_PERIODS = 10

_UNGUARDED = (
    'no guardian: a second process cannot share this link, so nothing ends the torque should this process be killed '
    'or hang; keep a hand on the supply, or use a link that can be shared (UDP, SocketCAN, SLCAN)')


class BusHardware(Generic[Unit]):
    """Implements :class:`allegro_driver.hardware.base.Hardware`."""

    def __init__(
        self,
        model: HandModel,
        session: Session[Unit],
        link: Link[Unit],
        *,
        period_s: float = 0.003,
        answer_timeout_s: float = 1.0,
        tries: int = 3,
        expected_serial: str = '',
        velocity_cutoff_hz: float = 30.0,
        guardian: Guardian | None = None,
    ) -> None:
        """Describe the hand; nothing is opened yet.

        Args:
            model: the hand that is expected.
            session: the host's side of its protocol.
            link: where it is.
            period_s: time between two samples, s.
            answer_timeout_s: how long one request waits for its answer, s.
            tries: how often a request is sent.
            expected_serial: refuse any other hand; '' accepts all.
            velocity_cutoff_hz: corner of the velocity low-pass, Hz.
            guardian: ends the torque when this process dies or hangs.
        """
        self._model, self._session, self._link = model, session, link
        self.period_s = period_s
        self._period_ns = round(period_s * 1e9)
        self._info_period_ns, self._info_due_ns = round(session.info_period_s * 1e9), 0
        self._answer_timeout_s, self._tries = answer_timeout_s, tries
        self._expected_serial = expected_serial
        self._filter = VelocityFilter(len(model.joints), velocity_cutoff_hz)
        self._guardian = guardian or Guardian(None)
        self._sending = Sending(link, self._guardian, session.gap_s)
        self._zero = np.zeros(len(model.joints))
        self._identity = Identity()
        self._count = SampleCount(self._period_ns)
        self._alarms: list[Alarm] = []
        self._open = self._positioning = False
        self.skipped = 0
        self._bad = 0

    @classmethod
    def from_config(cls, model: HandModel, config: DriverConfig) -> BusHardware[Any]:
        """Build it with the session that the hand description names for the link.

        Raises:
            UnknownPlugin: no such link or codec.
            ConfigError: this hand has no such link, or the address is malformed.
        """
        from allegro_driver.hardware import CODECS
        from allegro_driver.link import LINKS

        link_class = LINKS.load(config.link)
        if config.link not in model.protocol:
            raise ConfigError(f'{model.name} has no {config.link} link; it has: {", ".join(model.protocol)}')
        settings = overridden(model.protocol[config.link], config.switches, model.name)
        period_s = float(settings['period_ms']) / 1e3
        return BusHardware(
            model,
            CODECS.load(settings['codec'])(model, settings),
            link_class.from_description(config.address, settings),
            period_s=period_s,
            answer_timeout_s=config.answer_timeout_s,
            tries=config.answer_tries,
            expected_serial=config.expected_serial,
            velocity_cutoff_hz=config.velocity_cutoff_hz,
            guardian=Guardian(config.stall_s(period_s)) if config.guardian else None,
        )

    @property
    def identity(self) -> Identity:
        """Who answered at the last :meth:`open`; empty before."""
        return self._identity

    @property
    def link(self) -> Link[Unit]:
        """The link, for its address and counters."""
        return self._link

    @property
    def onboard_position(self) -> bool:
        """Whether the hand has a position loop of its own."""
        return self._session.onboard_position

    @property
    def settle_s(self) -> float:
        """How long that loop needs from ``position_mode(True)`` to the first target, s."""
        return self._session.settle_s

    def open(self) -> Identity:
        """Connect; see the module for the order. On failure everything is closed again.

        Raises:
            LinkError: the local address is taken, or nothing can be sent.
            LinkTimeout: no answer, or no samples.
            IdentityError: another hand than expected.
        """
        if self._open:
            return self._identity
        self._link.open()
        try:
            while self._link.receive(0.0) is not None:
                pass  # whatever waits there belongs to an earlier session
            self._open = True
            info: HandInfo | None
            if self._session.answers_hello:
                info = self._ask(self._session.hello, HandInfo)
                if info is None:
                    self._open = False  # nobody there: nothing to switch off
                    raise LinkTimeout(
                        f'no hand answers at {self._link.peer} ({self._tries} tries, {self._answer_timeout_s} s '
                        'each); check power, cable, address and that this machine is in the same network')
                self._sending.spaced(self._session.quiet())
            else:
                self._sending.spaced(self._session.quiet())
                info = self._ask(self._session.hello, HandInfo, tries=1)
            serial: SerialNumber | None = self._ask(self._session.serial_request, SerialNumber)
            self._identity = identify(
                self._model, self._link.peer, info, serial, expected_serial=self._expected_serial, tries=self._tries)
            self._restart()
            self._sending.spaced(self._session.stream())
            try:
                self.read(self._answer_timeout_s)
            except LinkTimeout:
                raise LinkTimeout(
                    f'the hand at {self._link.peer} answers but sends no samples within {self._answer_timeout_s} s '
                    f'({self._bad} packets were not understood); restart the hand'
                    if info or serial else
                    f'no hand answers at {self._link.peer}; check power, cable, address, bit rate and that no other '
                    'program uses this bus') from None
            self._watch_over()
            if self._guardian.missing:
                self._identity = replace(self._identity, warnings=(*self._identity.warnings, _UNGUARDED))
        except BaseException:
            self.close()
            raise
        return self._identity

    def read(self, timeout_s: float) -> HandState:
        """Wait for the next new sample; the newest if several wait.

        Raises:
            LinkTimeout: none within ``timeout_s``.
            LinkError: the link is closed or broken, or none came and the guardian has ended the torque.
        """
        deadline = time.monotonic() + timeout_s
        fresh: Sample | None = None
        arrival, steps = 0, 0
        while True:
            data = self._link.receive(0.0 if fresh else max(deadline - time.monotonic(), 0.0))
            message = None if data is None else self._decode(data)
            if isinstance(message, Sample):
                step = self._advance(message)
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
                    self._guardian.require_inactive()  # what came while this process stood still is too old
                    raise LinkTimeout(f'no sample from {self._link.peer} within {timeout_s * 1e3:.0f} ms')
        if self._positioning:  # it has torque before its first target, and between targets
            self._guardian.torque_flows(True)
        if self._info_period_ns and arrival > self._info_due_ns:
            self._info_due_ns = arrival + self._info_period_ns
            for unit in self._session.hello():
                self._link.send(unit)
        velocity = self._filter.update(fresh.position, steps * self.period_s)
        return HandState(
            arrival, self._count.sequence, fresh.position, velocity, fresh.current_ma, fresh.tactile,
            fresh.temperature_c)

    def write(self, effort: Array) -> None:
        """Send joint torques, N·m, (n_joints,).

        Raises:
            LinkError: closed, or they did not leave this machine.
            CommandRefused: not finite, or the on-board position loop is on.
        """
        self._require_open()
        if self._positioning:
            raise CommandRefused(
                f"{self._model.name} may still run its own position loop, which would take torques for angles; "
                'switch that off first')
        self._sending.push(self._session.torque(effort), flows=bool(effort.any()))

    def position_mode(self, on: bool) -> None:
        """Switch the hand's own position loop; targets may follow after :attr:`settle_s`. Off ends with zero torque.

        Raises:
            LinkError: closed, or it could not be sent; until off was sent without an error, torques are refused.
            CommandRefused: this hand has no position loop.
        """
        self._require_open()
        if on and not self._session.onboard_position:
            raise CommandRefused(f'{self._model.name} has no position loop of its own; use control_mode host')
        self._positioning = True  # until the opposite is known to have been sent
        self._guardian.torque_flows(False)  # what follows is spaced; the next sample counts again
        self._sending.spaced(self._session.position_mode(on))
        self._positioning = on

    def write_targets(self, position: Array) -> None:
        """Send targets of the hand's own position loop, rad, (n_joints,).

        Raises:
            LinkError: closed, or they did not leave this machine.
            CommandRefused: not finite, or the loop is off.
        """
        self._require_open()
        if not self._positioning:
            raise CommandRefused(f'{self._model.name} does not run its own position loop; switch that on first')
        self._sending.push(self._session.targets(position), flows=True)

    def enable(self, on: bool) -> None:
        """True: torque mode, zero torque, servo on. False: zero torque several times, errors ignored.

        Raises:
            LinkError: enabling could not be sent, or a guardian that was killed cannot be replaced.
        """
        if on:
            self._require_open()
            self._watch_over()
            self._sending.spaced(self._session.stream())
            self._positioning = False
        elif self._open:
            self._leave_position_mode()
            for _ in range(_REPEATS):
                with suppress(LinkError, CommandRefused):
                    self.write(self._zero)

    def halt(self) -> None:
        """Position loop off, zero torque, servo off where there is one; errors ignored."""
        if self._open:
            self._guardian.torque_flows(False)
            self._leave_position_mode()
            self._sending.each(self._session.quiet())

    def _leave_position_mode(self) -> None:
        """No torque packet may follow until one attempt left without an error: zeros would mean 0°."""
        for _ in range(_REPEATS):
            if self._positioning:
                with suppress(LinkError):
                    self.position_mode(False)

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
            'packets_not_understood': self._bad, 'samples_out_of_order': self._count.reordered,
            'samples_skipped': self.skipped, 'samples_incomplete': int(getattr(self._session, 'incomplete', 0)),
        }

    def close(self) -> None:
        """Zero torque, servo off and disconnect. Idempotent; never raises."""
        if self._open:
            self._guardian.torque_flows(False)
            self._sending.each((*self._session.quiet(), *self._session.silence()))
        self._open = self._positioning = False
        self._guardian.stop()
        self._link.close()

    def _watch_over(self) -> None:
        self._guardian.start(self._link.share(self._session.quiet()))

    def _require_open(self) -> None:
        if not self._open:
            raise LinkError(f'the session with {self._link.peer} is not open')

    def _restart(self) -> None:
        self._count.restart()
        self._positioning = False
        self._filter.reset()
        self._alarms.clear()

    def _ask(self, request: Callable[[], Sequence[Unit]], answer: type[Any], tries: int = 0) -> Any:
        return ask(self._link, request, self._decode, answer, tries or self._tries, self._answer_timeout_s)

    def _decode(self, unit: Unit) -> Message | None:
        try:
            message = self._session.decode(unit)
        except ProtocolError:
            self._bad += 1
            return None
        if isinstance(message, MotorFault):
            self._alarms.append(Alarm(AlarmKind.MOTOR, message.text))
        elif isinstance(message, HandInfo) and message.faults:
            self._alarms.append(Alarm(AlarmKind.MOTOR, 'the hand reports: ' + ', '.join(message.faults)))
        return message

    def _advance(self, sample: Sample) -> int | None:
        """Steps since the last sample; None for one that is not newer."""
        step = self._count.advance(sample.sequence, self._link.arrival_ns)
        if step is not None and step < 0:
            self._filter.reset()
            self._alarms.append(Alarm(
                AlarmKind.RESTART,
                f'the sample counter fell by {-step} to {sample.sequence}: the hand has restarted and its mode is '
                'unknown'))
            return 1
        return step
