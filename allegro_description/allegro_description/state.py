"""What travels between hardware, control, touch and policy: plain values, canonical joint order, SI units.

Arrays are float64 unless said, frozen (``setflags(write=False)``) and in the hand model's canonical joint order
(index, middle, ring, thumb; base to tip) or taxel order. Stamps are integer nanoseconds of the clock that the
owner names (ROS time in nodes, monotonic in the loop).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from allegro_description.errors import CommandRefused

Array = NDArray[np.float64]


def frozen(values: Any) -> Array:
    """Return a read-only float64 copy."""
    array = np.array(values, dtype=np.float64)
    array.setflags(write=False)
    return array


@dataclass(frozen=True, slots=True, eq=False)
class HandState:
    """One complete measurement.

    Attributes:
        stamp_ns: time of arrival, ns.
        sequence: the hand's own sample counter (wraps at 2**32), or a local count where the wire has none.
        position: joint angles, rad, (n_joints,).
        velocity: joint velocities, rad/s, (n_joints,); filtered difference of positions.
        current_ma: motor currents, mA, (n_joints,), or None where the hand does not report them.
        tactile: raw taxel readings, Pa before baseline, (n_taxels,), or None where the hand has none.
        temperature_c: newest joint temperatures, °C, (n_joints,), NaN where never reported; None where the hand has
            no such sensors.
    """

    stamp_ns: int
    sequence: int
    position: Array
    velocity: Array
    current_ma: Array | None = None
    tactile: Array | None = None
    temperature_c: Array | None = None


@dataclass(frozen=True, slots=True, eq=False)
class JointCommand:
    """What the hand should do next: either positions or efforts, never both.

    Attributes:
        stamp_ns: stamp of the observation that caused it, ns.
        position: target angles, rad, (n_joints,), or None.
        effort: joint torques, N·m, (n_joints,), or None.

    Raises:
        CommandRefused: neither or both given, or a value that is not finite.
    """

    stamp_ns: int
    position: Array | None = None
    effort: Array | None = None

    def __post_init__(self) -> None:
        if (self.position is None) == (self.effort is None):
            raise CommandRefused('a joint command needs either positions or efforts, exactly one of them')
        values = self.position if self.position is not None else self.effort
        if not np.isfinite(values).all():  # type: ignore[arg-type]
            bad = np.flatnonzero(~np.isfinite(values)).tolist()  # type: ignore[arg-type]
            raise CommandRefused(f'joint command holds NaN or infinite values at joint indices {bad}; nothing moved')


@dataclass(frozen=True, slots=True, eq=False)
class TactileFrame:
    """Touch after scaling and baseline.

    Attributes:
        stamp_ns: time of the measurement, ns.
        pressure: Pa above baseline, (n_taxels,), never negative.
        valid: False where the reading is missing, stale or saturated, (n_taxels,) bool.
    """

    stamp_ns: int
    pressure: Array
    valid: NDArray[np.bool_]
