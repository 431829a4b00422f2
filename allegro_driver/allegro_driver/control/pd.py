"""Host position control: the hand itself takes only torques (V5 family)."""

from __future__ import annotations

from allegro_description.model import HandModel
from allegro_description.state import Array


class PositionController:
    """Proportional-derivative law ``tau = kp (target - q) - kd qd`` with the gains of the hand model.

    The result is not clamped here: :meth:`allegro_driver.control.limits.Limits.torque` is the last line for every
    torque, whoever computed it.
    """

    def __init__(self, model: HandModel) -> None:
        """Take the gains (N·m/rad, N·m·s/rad) from ``model``."""
        self._kp, self._kd = model.kp, model.kd

    def torque(self, target: Array, position: Array, velocity: Array) -> Array:
        """Joint torques, N·m, (n_joints,), for targets and positions in rad and velocities in rad/s."""
        torque = target - position
        torque *= self._kp
        torque -= self._kd * velocity
        return torque
