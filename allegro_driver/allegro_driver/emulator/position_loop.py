"""The position loop inside a hand: PD with the hand's own gains, bounded."""

from __future__ import annotations

import numpy as np
from allegro_description.model import HandModel
from allegro_description.state import Array


class PositionLoop:
    """Angles in the world's coordinates (rad), torques in wire units (mA, PWM).

    Attributes:
        targets: where it goes.
        limit: bound of the torque, (n_joints,).
    """

    def __init__(self, model: HandModel, position: Array, rate: float = 0.0) -> None:
        """Hold ``position``.

        Args:
            model: gains and bounds.
            position: present angles.
            rate: rad/s; the target is approached along a critically damped path of this natural frequency. 0: it is
                the set point at once.
        """
        self._kp, self._kd = model.kp * model.per_nm, model.kd * model.per_nm
        self._rate = rate
        self.limit: Array = np.array(model.clamp)
        self.hold(position)

    def hold(self, position: Array) -> None:
        """Make the present angles the target."""
        self.targets: Array = position.copy()
        self._path, self._speed = position.copy(), np.zeros(len(position))

    def torque(self, position: Array, velocity: Array, period_s: float) -> Array:
        """What the motors get for the next period."""
        set_point = self.targets
        if self._rate:
            pull = self._rate * (self.targets - self._path) - 2.0 * self._speed
            self._speed = self._speed + period_s * self._rate * pull
            reach = self.limit / self._kp  # farther ahead it would only wind up
            free = self._path + period_s * self._speed
            self._path = np.clip(free, position - reach, position + reach)
            self._speed = self._speed + (self._path - free) / period_s
            set_point = self._path
        wanted = self._kp * (set_point - position) - self._kd * velocity
        return np.clip(wanted, -self.limit, self.limit)
