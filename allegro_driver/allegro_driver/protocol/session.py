"""What a host says to a hand and hears from it, whatever the wire: the seam between protocols and hardware.

A *unit* is what the link carries in one piece: a datagram (``bytes``) or a :class:`~.can_frames.CanFrame`. A session
turns intentions into units and units into the messages of this module, in canonical joint order and SI units. It does
no I/O and has no clock; :class:`allegro_driver.hardware.bus.BusHardware` sends, waits and counts.

Life of a session, in this order, because no hand tells which mode or current it was left with::

    quiet()          no torque, whatever mode it is in (also the end of everything, and what the guardian sends)
    hello()          who is there?  -> HandInfo, where the hand answers
    serial_request() -> SerialNumber, where the hand answers
    stream()         torque mode, zero torque, samples begin  -> Sample, again and again
    torque(...)      each sample is answered
    quiet(), silence()
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple, Protocol, TypeVar

from allegro_description.state import Array

Unit = TypeVar('Unit')


@dataclass(frozen=True, slots=True)
class HandInfo:
    """What a hand says about itself.

    Attributes:
        hardware, firmware: versions as 16-bit numbers.
        side: ``right``, ``left``, or None where this message does not tell.
        servo: whether its motors are switched on; None where it does not tell.
        palm_c: palm or hub temperature, °C; None where it does not tell.
        faults: complaints in words.
    """

    hardware: int = 0
    firmware: int = 0
    side: str | None = None
    servo: bool | None = None
    palm_c: float | None = None
    faults: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class SerialNumber:
    """The serial number.

    Attributes:
        text: as printed on the hand; '' when the hand has lost it (this happens).
        side: ``right``, ``left``, or None when it does not tell.
        kind: hand type letter (``A``, ``B``, ``C`` of the V5 family), or '' where serial numbers have none.
    """

    text: str = ''
    side: str | None = None
    kind: str = ''


class Sample(NamedTuple):  # made for every sample; a frozen dataclass takes three times as long
    """One complete measurement.

    Attributes:
        position: rad, (n_joints,).
        sequence: the hand's own counter modulo 2**32, or None where the wire has none.
        current_ma: mA, (n_joints,), or None.
        tactile: Pa as reported, (n_taxels,), or None.
        temperature_c: newest joint temperatures, °C, (n_joints,), NaN where never reported; or None.
    """

    position: Array
    sequence: int | None = None
    current_ma: Array | None = None
    tactile: Array | None = None
    temperature_c: Array | None = None


@dataclass(frozen=True, slots=True)
class MotorFault:
    """The hand reports an error that must stop it; ``text`` names joint and reason for people."""

    text: str


@dataclass(frozen=True, slots=True)
class CalibrationDone:
    """The hand has taken its present pose as zero."""


Message = HandInfo | SerialNumber | Sample | MotorFault | CalibrationDone


class Session(Protocol[Unit]):
    """The host's side of one conversation. Requests return the units to send, in order."""

    answers_hello: bool
    """False where real hands are known to ignore the question: then silence is no error."""
    onboard_position: bool
    """Whether the hand has a position loop of its own (:meth:`position_mode`)."""
    gap_s: float
    """Pause between the units of :meth:`quiet`, :meth:`stream` and :meth:`position_mode`, s; torque needs none."""
    info_period_s: float
    """How often :meth:`hello` must be repeated, because the hand tells its faults in the answer only, s; 0: never."""
    settle_s: float
    """How long the hand needs after :meth:`position_mode` before the first target, s."""

    def quiet(self) -> tuple[Unit, ...]:
        """Leave the hand without torque whatever mode it is in, servo off where there is such a thing."""
        ...

    def hello(self) -> tuple[Unit, ...]:
        """Ask who is there."""
        ...

    def serial_request(self) -> tuple[Unit, ...]:
        """Ask for the serial number."""
        ...

    def stream(self) -> tuple[Unit, ...]:
        """Torque mode, zero torque, samples on. Must be safe to repeat."""
        ...

    def silence(self) -> tuple[Unit, ...]:
        """Samples off; empty where the wire knows no such thing."""
        ...

    def torque(self, effort: Array) -> tuple[Unit, ...]:
        """Joint torques, N·m, (n_joints,), clamped.

        Raises:
            CommandRefused: not finite, wrong shape, or the on-board position loop is on.
        """
        ...

    def position_mode(self, on: bool) -> tuple[Unit, ...]:
        """Switch the on-board position loop; off includes zero torque afterwards.

        Raises:
            CommandRefused: on, but this hand has none.
        """
        ...

    def targets(self, position: Array) -> tuple[Unit, ...]:
        """Targets of the on-board position loop, rad, (n_joints,). Seed them with the measured pose.

        Raises:
            CommandRefused: not finite, wrong shape, or the loop is off.
        """
        ...

    def decode(self, unit: Unit) -> Message | None:
        """Read one unit; None while a measurement is incomplete or for what needs no attention.

        Raises:
            ProtocolError: not something this hand sends.
        """
        ...
