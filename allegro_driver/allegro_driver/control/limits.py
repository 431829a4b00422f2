"""The fences around every command: shape, finiteness, joint range, target speed and torque.

A command that makes no sense is refused where it enters (:func:`checked`). What reaches the hand passes
:meth:`Limits.torque` last; whatever came before, its result is finite and within the current clamp.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from allegro_description.errors import CommandRefused, ConfigError
from allegro_description.model import HandModel
from allegro_description.state import Array


def checked(values: Any, model: HandModel, what: str) -> Array:
    """Return ``values`` as a float array of one number per joint.

    Args:
        values: anything numpy can read.
        model: the hand.
        what: name of the quantity for the message, e.g. ``'position command'``.

    Raises:
        CommandRefused: wrong shape, not numbers, NaN or infinite; the message names the joints.
    """
    count = len(model.joints)
    try:
        array = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise CommandRefused(f'{what} for {model.name} is not a list of {count} numbers: {error}') from error
    if array.shape != (count,):
        raise CommandRefused(f'{what} for {model.name} has shape {array.shape}; it needs {count} values, one per joint')
    finite = np.isfinite(array)
    if not finite.all():
        bad = [name for name, ok in zip(model.joint_names, finite, strict=True) if not ok]
        raise CommandRefused(f'{what} holds NaN or infinite values at {", ".join(bad)}; nothing moved')
    return array


class Limits:
    """Joint range, target speed, torque and summed current of one hand. ``limited`` counts what the budget cut."""

    def __init__(
        self, model: HandModel, *, max_speed: float = 4.0, torque_scale: float = 1.0, taper_rad: float = 0.05,
        current_budget_ma: float = 0.0,
    ) -> None:
        """Prepare the fences.

        Args:
            model: the hand; gives joint range (rad), torque limit (N·m) and the upper bound of ``max_speed``.
            max_speed: fastest change of a position target, rad/s.
            torque_scale: share of the torque limit in use, 0 … 1.
            taper_rad: torque commands that push towards a joint limit fade out over this distance, rad.
            current_budget_ma: bound of the sum of all motor currents, mA; 0 sets none.

        Raises:
            ConfigError: a value outside its range.
        """
        if not 0.0 < max_speed <= model.actuation.velocity_limit:
            raise ConfigError(
                f'max_speed is {max_speed} rad/s; allowed: above 0, up to {model.actuation.velocity_limit}'
            )
        if not 0.0 <= torque_scale <= 1.0:
            raise ConfigError(f'torque_scale is {torque_scale}; allowed: 0 … 1')
        if not taper_rad > 0.0:
            raise ConfigError(f'taper_rad is {taper_rad} rad; it must be above 0')
        if not current_budget_ma >= 0.0:
            raise ConfigError(f'current_budget_ma is {current_budget_ma} mA; it must be above 0, or 0 for no bound')
        if current_budget_ma and model.actuation.unit != 'mA':
            raise ConfigError(
                f'{model.name} is commanded in {model.actuation.unit}, so its currents are not known; '
                'set current_budget_ma to 0 and use torque_scale')
        self._model = model
        self.max_speed = max_speed
        self._taper = taper_rad
        self.lower, self.upper = model.lower, model.upper
        self._middle, self._reach = (self.lower + self.upper) / 2, (self.upper - self.lower) / 2
        self.torque_limit: Array = model.torque_limit * torque_scale
        self._least_torque: Array = -self.torque_limit
        self._near = (0.0, self._reach)
        self._budget, self._per_nm = current_budget_ma, model.per_nm
        self.limited = 0

    def position(self, target: Array) -> Array:
        """Clamp angles into the joint range, rad, (n_joints,)."""
        return np.minimum(np.maximum(target, self.lower), self.upper)

    def approach(self, previous: Array, wanted: Array, dt: float) -> Array:
        """Next target from ``previous`` towards ``wanted``, not faster than ``max_speed``, never away from the range.

        Args:
            previous: last target, rad, (n_joints,), finite. From outside the joint range the way leads back into it.
            wanted: where the command wants to go, rad, (n_joints,); a joint without a finite value stays.
            dt: time since the last target, s.
        """
        step = self.max_speed * max(dt, 0.0)
        if not finite(wanted):
            wanted = np.where(np.isfinite(wanted), wanted, previous)
        wanted = np.maximum(wanted, self.lower)
        np.minimum(wanted, self.upper, out=wanted)
        bound = previous - step
        np.maximum(wanted, bound, out=wanted)
        return np.minimum(wanted, np.add(previous, step, out=bound), out=wanted)

    def taper(self, effort: Array, position: Array) -> Array:
        """Fade torques that push outwards near a joint limit, to zero at the limit and beyond. N·m, (n_joints,).

        For torque commands only: nothing else keeps those from driving a joint into its stop.
        """
        room = np.where(effort > 0.0, self.upper - position, position - self.lower)
        return effort * np.minimum(np.maximum(room / self._taper, 0.0), 1.0)

    def torque(self, effort: Array, share: float = 1.0) -> Array:
        """The last fence: a finite torque within the limit for any input. N·m, (n_joints,).

        A value that is not finite becomes zero, because nothing says which way it should have pointed. Where all
        currents together would exceed the budget, all torques shrink alike.

        Args:
            effort: torques, N·m, (n_joints,).
            share: part of the limit in use, 0 … 1.
        """
        most, least = self.torque_limit, self._least_torque
        if share != 1.0:
            most, least = most * share, least * share
        clamped: Array = np.maximum(effort, least)
        np.minimum(clamped, most, out=clamped)
        if not finite(effort):
            clamped = np.where(np.isfinite(effort), clamped, 0.0)
        if self._budget:
            total = float((np.abs(clamped) * self._per_nm).sum())
            if total > self._budget:
                self.limited += 1
                clamped = clamped * (self._budget / total)
        return clamped

    def outside(self, position: Array, tolerance: float) -> str:
        """Say which measured angles cannot be right, or ``''``.

        Args:
            position: measured angles, rad, (n_joints,).
            tolerance: how far beyond the joint range a reading may lie, rad.
        """
        # Written so that NaN is not near.
        if tolerance != self._near[0]:  # nearly always the same
            self._near = tolerance, self._reach + tolerance
        distance = position - self._middle
        near = np.abs(distance, out=distance) <= self._near[1]
        if np.logical_and.reduce(near):
            return ''
        rows = zip(self._model.joint_names, position, self.lower, self.upper, strict=True)
        bad = [
            f'{name} reads {q:.3f} rad, range {low:.3f} … {high:.3f}'
            for (name, q, low, high), fine in zip(rows, near, strict=True)
            if not fine
        ]
        return '; '.join(bad)


def finite(values: Array) -> bool:
    """Whether all values of a row are finite."""
    square = values.dot(values)  # one call where isfinite() and all() are two
    return bool(square - square == 0.0 or np.isfinite(values).all())  # a sum that overflows proves nothing
