"""From a policy's numbers to joint targets. The training task and the node use this very code.

An action ``a`` in [-1, 1] is an offset from the latched posture, not an increment: the policy has no integrator, so a
restart or a lost step is harmless. ``target = clip(rate_limit(reference + scale * clip(a)))``.
"""

from __future__ import annotations

import numpy as np
from allegro_description.errors import CommandRefused, ConfigError
from allegro_description.model import HandModel
from numpy.typing import NDArray

Float = NDArray[np.float64]

POSTURE_SCALE_RAD = 0.15
"""Offset of ±1 on joints that do not close the hand (abduction, opposition), rad."""

RATE_LIMIT_RAD_S = 2.0
"""Fastest change of a target, rad/s."""


def default_scale(model: HandModel) -> Float:
    """Offset of an action of 1, rad, (n_joints,).

    On flexion joints ``torque_limit / kp``: there 1 asks for the full torque of the joint, whatever its gain. A fixed
    angle would give a joint of kp 0.6 a fifth of the authority of one of kp 3.
    """
    return np.where(model.flexion, model.torque_limit / model.kp, POSTURE_SCALE_RAD)


class ActionMapper:
    """Maps actions to targets within the hand's limits."""

    def __init__(self, model: HandModel, scale: Float | None = None, rate_limit: float = RATE_LIMIT_RAD_S) -> None:
        """Prepare for one hand.

        Args:
            model: the hand; its limits bound every target.
            scale: offset of an action of 1, rad, (n_joints,); None: :func:`default_scale`.
            rate_limit: fastest change of a target, rad/s.

        Raises:
            ConfigError: a scale that is negative, not finite or of the wrong length, or a rate that is not positive.
        """
        self.scale: Float = np.array(default_scale(model) if scale is None else scale, dtype=np.float64)
        if self.scale.shape != model.kp.shape or not (np.isfinite(self.scale) & (self.scale >= 0)).all():
            got = self.scale.tolist()
            raise ConfigError(f'action scale must be {model.kp.size} finite numbers >= 0 (rad), got {got}')
        if not (np.isfinite(rate_limit) and rate_limit > 0):
            raise ConfigError(f'rate limit is {rate_limit!r}; allowed: above 0 rad/s')
        self.rate_limit = min(float(rate_limit), model.actuation.velocity_limit)
        self._lower, self._upper = model.lower, model.upper

    def to_target(self, reference: Float, action: Float, previous_target: Float, dt: float) -> Float:
        """The next target, rad.

        Args:
            reference: latched posture, rad, (…, n_joints).
            action: policy output, (…, n_joints); values beyond ±1 are clipped.
            previous_target: target of the step before, rad, (…, n_joints).
            dt: control period, s.

        Raises:
            CommandRefused: an action that is not finite; nothing moves.
        """
        if not np.isfinite(action).all():
            raise CommandRefused('the policy returned NaN or infinite actions; the target was left as it was')
        wanted = reference + self.scale * np.clip(action, -1.0, 1.0)
        return self.limited(wanted, previous_target, dt)

    def limited(self, wanted: Float, previous_target: Float, dt: float) -> Float:
        """Rate limit, then joint limit, rad, (…, n_joints)."""
        step = self.rate_limit * dt
        moved: Float = np.clip(wanted, previous_target - step, previous_target + step)
        return self.clipped(moved)

    def clipped(self, target: Float) -> Float:
        """Joint limit only, rad, (…, n_joints)."""
        result: Float = np.clip(target, self._lower, self._upper)
        return result
