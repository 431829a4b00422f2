"""What hardware is to the control loop."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from allegro_description.state import Array, HandState


@dataclass(frozen=True, slots=True)
class Identity:
    """Who answered.

    Attributes:
        serial: the hand's serial number, '' when it has none or did not say.
        side: ``right``, ``left``, or None when the serial does not tell.
        version: hardware and firmware versions as the hand writes them, for people.
        warnings: sentences about what could not be settled.
    """

    serial: str = ''
    side: str | None = None
    version: str = ''
    warnings: tuple[str, ...] = ()


class AlarmKind(Enum):
    """What a hand can complain about."""

    MOTOR = 'motor'
    RESTART = 'restart'


@dataclass(frozen=True, slots=True)
class Alarm:
    """Something the hand reported, or its stream gave away, that must stop it."""

    kind: AlarmKind
    text: str


class Hardware(Protocol):
    """One hand. All calls come from one thread at a time; stamps are ``time.monotonic_ns()``.

    Every implementation passes the contract tests in ``test_hardware_contract.py``.
    """

    period_s: float
    """Nominal time between two samples, s."""
    skipped: int
    """Samples that had arrived but were passed over for a newer one, since it was made."""

    @property
    def identity(self) -> Identity:
        """Who answered at the last :meth:`open`; empty before."""
        ...

    def open(self) -> Identity:
        """Connect, identify, bring the hand into torque mode with zero torque, wait for the first sample.

        Raises:
            LinkError, LinkTimeout: no connection or no answer.
            IdentityError: it is another hand than the description says.
        """
        ...

    def read(self, timeout_s: float) -> HandState:
        """Wait for a sample that was not returned yet; the newest if several wait. Stamp: when it arrived.

        Raises:
            LinkTimeout: none within ``timeout_s``.
            LinkError: the connection is closed or broken.
        """
        ...

    def write(self, effort: Array) -> None:
        """Send joint torques, N·m, (n_joints,), finite.

        Raises:
            LinkError: they did not leave this machine.
            CommandRefused: the hand's own position loop is or may be on.
        """
        ...

    @property
    def onboard_position(self) -> bool:
        """Whether the hand has a position loop of its own."""
        ...

    @property
    def settle_s(self) -> float:
        """How long that loop needs from ``position_mode(True)`` to the first target, s."""
        ...

    def position_mode(self, on: bool) -> None:
        """Switch the hand's own position loop. On returns at once: wait ``settle_s``, then begin at the measured pose.

        Until it is off again torques are refused: the loop would take them for angles. Off ends with zero torque.

        Raises:
            LinkError: it could not be sent; the loop may be on.
            CommandRefused: this hand has none.
        """
        ...

    def write_targets(self, position: Array) -> None:
        """Send targets of the hand's own position loop, rad, (n_joints,), finite.

        Raises:
            LinkError: they did not leave this machine.
            CommandRefused: the loop is off.
        """
        ...

    def enable(self, on: bool) -> None:
        """True: make sure that torques will be understood as torques. False: zero torque, several times; never raises.

        Samples go on in both cases.

        Raises:
            LinkError: enabling could not be sent.
        """
        ...

    def halt(self) -> None:
        """In a fault: no torque by every means the hand has (zero torque, motors off). Never raises.

        Samples may end; only closing and opening anew is sure to bring them back.
        """
        ...

    def take_alarms(self) -> tuple[Alarm, ...]:
        """Alarms since the last call."""
        ...

    def counts(self) -> Mapping[str, int]:
        """Counters for diagnostics, keys ready for people."""
        ...

    def close(self) -> None:
        """Zero torque and disconnect. Idempotent; never raises."""
        ...
