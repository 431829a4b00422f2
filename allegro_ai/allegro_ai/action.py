"""From a policy's numbers to joint targets. The training task and the node use this very code.

An action ``a`` in [-1, 1] is an offset from the latched posture, not an increment: the policy has no integrator, so a
restart or a lost step is harmless. ``target = clip(rate_limit(reference + scale * clip(a)))``. Policies from elsewhere
may be trained with increments (``position_delta``): then the reference is the target of the step before.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

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

    def __init__(
        self,
        model: HandModel,
        scale: Float | None = None,
        rate_limit: float = RATE_LIMIT_RAD_S,
        *,
        incremental: bool = False,
        bounds: tuple[Float, Float] | None = None,
    ) -> None:
        """Prepare for one hand.

        Args:
            model: the hand; its limits bound every target.
            scale: offset of an action of 1, rad, (n_joints,); None: :func:`default_scale`.
            rate_limit: fastest change of a target, rad/s.
            incremental: actions are added to the target of the step before, not to the latched posture.
            bounds: lowest and highest target of the policy, rad, (n_joints,) each; None: the limits of the hand.

        Raises:
            ConfigError: a scale that is negative, not finite or of the wrong length, a rate that is not positive, or
                bounds that leave no room.
        """
        self.scale: Float = np.array(default_scale(model) if scale is None else scale, dtype=np.float64)
        if self.scale.shape != model.kp.shape or not (np.isfinite(self.scale) & (self.scale >= 0)).all():
            got = self.scale.tolist()
            raise ConfigError(f'action scale must be {model.kp.size} finite numbers >= 0 (rad), got {got}')
        if not (np.isfinite(rate_limit) and rate_limit > 0):
            raise ConfigError(f'rate limit is {rate_limit!r}; allowed: above 0 rad/s')
        self.rate_limit = min(float(rate_limit), model.actuation.velocity_limit)
        self.incremental = incremental
        self._lower, self._upper = model.lower, model.upper
        self.bounds = None if bounds is None else (np.maximum(bounds[0], self._lower),
                                                   np.minimum(bounds[1], self._upper))
        if self.bounds is not None and not (self.bounds[0] < self.bounds[1]).all():
            raise ConfigError(f'the bounds of the policy leave no room within the joint limits of {model.name}')

    @classmethod
    def of(cls, model: HandModel, action: Mapping[str, Any]) -> ActionMapper:
        """The mapper that the ``action`` section of a bundle describes."""
        bounds = (np.array(action['lower_rad']), np.array(action['upper_rad'])) if 'lower_rad' in action else None
        return cls(model, np.array(action['scale_rad']), float(action['rate_limit_rad_s']),
                   incremental=action['semantics'] == 'position_delta', bounds=bounds)

    def to_target(self, reference: Float, action: Float, previous_target: Float, dt: float) -> Float:
        """The next target, rad.

        Args:
            reference: latched posture, rad, (…, n_joints); not used by increments.
            action: policy output, (…, n_joints); values beyond ±1 are clipped.
            previous_target: target of the step before, rad, (…, n_joints).
            dt: control period, s.

        Raises:
            CommandRefused: an action that is not finite; nothing moves.
        """
        if not all_finite(action):
            raise CommandRefused('the policy returned NaN or infinite actions; the target was left as it was')
        origin = previous_target if self.incremental else reference
        wanted = origin + self.scale * _bounded(action, -1.0, 1.0)
        if self.bounds is not None:
            wanted = _bounded(wanted, *self.bounds)
        return self.limited(wanted, previous_target, dt)

    def limited(self, wanted: Float, previous_target: Float, dt: float) -> Float:
        """Rate limit, then joint limit, rad, (…, n_joints)."""
        step = self.rate_limit * dt
        return self.clipped(_bounded(wanted, previous_target - step, previous_target + step))

    def clipped(self, target: Float) -> Float:
        """Joint limit only, rad, (…, n_joints)."""
        return _bounded(target, self._lower, self._upper)


def all_finite(values: Float) -> bool:
    """As ``np.isfinite(values).all()``, at a third of its cost for one hand: zero times what is not finite is NaN."""
    return bool(np.vdot(values, np.zeros(values.shape, values.dtype)) == 0.0)


def _bounded(values: Float, low: Float | float, high: Float | float) -> Float:
    """As ``np.clip``, at a third of its cost for one hand."""
    result: Float = np.minimum(np.maximum(values, low), high)
    return result
