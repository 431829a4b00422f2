"""How warm the motors get: each joint for itself, one time constant, heated by the square of its torque field."""

from __future__ import annotations

import numpy as np
from allegro_description.state import Array

# ASSUMED, all of them: no source gives a thermal model. A joint at its bound ends above HOT_C, so it can be provoked.
AMBIENT_C = 30.0
RISE_AT_CLAMP_C = 55.0    # equilibrium above ambient under the largest torque a host may command
TIME_CONSTANT_S = 120.0
HOT_C = 70.0              # complaint; the shut-down temperature of the Plexus' kind of servo
PALM_RISE_C = 15.0        # electronics above the mean of the joints; the captured V4 had 60 °C with joints at 40


class Motors:
    """Temperatures of all joints."""

    def __init__(self, clamp: Array, time_constant_s: float = TIME_CONSTANT_S) -> None:
        """Start at ambient temperature.

        Args:
            clamp: torque field that is called full load, (n_joints,).
            time_constant_s: shorter ones make tests quick.
        """
        self._clamp, self._tau = clamp, time_constant_s
        self.celsius: Array = np.full(len(clamp), AMBIENT_C)

    def step(self, torque: Array, period_s: float) -> None:
        """Warm for one period under ``torque`` (unit of the clamp)."""
        load = torque / self._clamp
        final = AMBIENT_C + RISE_AT_CLAMP_C * load * load
        self.celsius += min(period_s / self._tau, 1.0) * (final - self.celsius)

    @property
    def palm_c(self) -> float:
        """Temperature of the electronics, °C."""
        return float(self.celsius.mean()) + PALM_RISE_C
