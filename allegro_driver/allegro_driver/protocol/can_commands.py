"""What a host tells a hand over CAN, as an emulated hand reads it: small typed commands."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Reading(Enum):
    """What a host can ask for."""

    INFO = 'info'
    SERIAL = 'serial'
    POSITION = 'position'
    CURRENT = 'current'
    VELOCITY = 'velocity'
    TEMPERATURE = 'temperature'
    IMU = 'imu'


@dataclass(frozen=True, slots=True)
class Request:
    """Send this once, whatever the periods are. ``finger`` counts where each finger has a message of its own."""

    reading: Reading
    finger: int = 0


@dataclass(frozen=True, slots=True)
class ServoOn:
    """Motors on."""


@dataclass(frozen=True, slots=True)
class ServoOff:
    """Motors off."""


@dataclass(frozen=True, slots=True)
class SetPeriod:
    """Stream with these periods, ms; 0: not at all. ``status_ms`` is None where the host did not say."""

    position_ms: int
    imu_ms: int
    temperature_ms: int
    status_ms: int | None = None


@dataclass(frozen=True, slots=True)
class SetPlexusPeriod:
    """Stream with these periods, ms, 0 … 255."""

    position_ms: int
    velocity_ms: int
    current_ms: int
    imu_ms: int
    temperature_ms: int


@dataclass(frozen=True, slots=True)
class Torque:
    """The torque field of one finger.

    Attributes:
        finger: 0 … n_fingers - 1.
        counts: one integer per joint of the finger, base to tip, as on the wire and not yet saturated: mA, or PWM
            counts (V4); position counts while the V5 Sense's position loop is on (``CanHand.targets`` reads those);
            bounds of the current, mA, in the Plexus' position mode.
    """

    finger: int
    counts: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class SetPose:
    """Position counts for one finger. V4 and V5 firmware ignores them; the Plexus obeys in its position mode."""

    finger: int
    counts: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class HinfMode:
    """V5 Sense: on-board position loop on or off."""

    on: bool


@dataclass(frozen=True, slots=True)
class GravityRpy:
    """V5 Sense: how the hand is held, degrees; frame and rotation order are not documented."""

    roll: float
    pitch: float
    yaw: float


@dataclass(frozen=True, slots=True)
class Calibrate:
    """Take the present pose as zero."""


@dataclass(frozen=True, slots=True)
class ConfigDevice:
    """Answer to this device number from now on."""

    device: int


@dataclass(frozen=True, slots=True)
class ConfigBaud:
    """Bit rate of the RS-485 port, bit/s."""

    baud: int


@dataclass(frozen=True, slots=True)
class ConfigMode:
    """Plexus: the number of the control mode, see :mod:`.plexus_messages`."""

    mode: int


@dataclass(frozen=True, slots=True)
class Pick:
    """Start a grasp of the firmware's own; what it does is not documented."""


@dataclass(frozen=True, slots=True)
class Place:
    """End it."""


Command = (
    Request | ServoOn | ServoOff | SetPeriod | SetPlexusPeriod | Torque | SetPose | HinfMode | GravityRpy | Calibrate
    | ConfigDevice | ConfigBaud | ConfigMode | Pick | Place
)
