"""Joint trajectories: checked once when they arrive, then sampled at the control rate.

Between points: cubic Hermite where velocities are given, linear otherwise. The sampled target still passes the joint
range and speed fences of :mod:`allegro_driver.control.limits`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from allegro_description.errors import CommandRefused, ConfigError, UnknownName
from allegro_description.model import HandModel
from allegro_description.state import Array, frozen

_NEAR = 0.05  # rad: a first point at time zero may lie this far from where the hand is


@dataclass(frozen=True, slots=True, eq=False)
class Trajectory:
    """Positions (rad, canonical order) over time (s from its start).

    Attributes:
        times: (k,), strictly increasing, not negative.
        positions: (k, n_joints), within the joint range.
        velocities: rad/s, (k, n_joints), or None for straight lines between the points.
        max_speed: fastest joint speed that was allowed when it was checked, rad/s.
        names: joint names for messages, canonical order.
    """

    times: Array
    positions: Array
    velocities: Array | None
    max_speed: float
    names: tuple[str, ...]

    @property
    def duration(self) -> float:
        """Time of the last point, s."""
        return float(self.times[-1])

    def sample(self, time_s: float, start: Array) -> Array:
        """Target at ``time_s`` after the start, rad, (n_joints,).

        Args:
            time_s: before the first point the target goes there in a straight line, after the last it stays.
            start: target at time zero, rad, (n_joints,).
        """
        times = self.times
        if time_s >= times[-1]:
            last: Array = self.positions[-1]
            return last
        if time_s < times[0]:
            first: Array = self.positions[0]
            return start + max(time_s, 0.0) / float(times[0]) * (first - start)
        k = int(np.searchsorted(times, time_s, side='right')) - 1
        span = float(times[k + 1] - times[k])
        s = (time_s - float(times[k])) / span
        p, q = self.positions[k], self.positions[k + 1]
        target: Array
        if self.velocities is None:
            target = p + s * (q - p)
            return target
        v, w = self.velocities[k] * span, self.velocities[k + 1] * span
        target = (2 * s**3 - 3 * s**2 + 1) * p + (s**3 - 2 * s**2 + s) * v
        target = target + (3 * s**2 - 2 * s**3) * q + (s**3 - s**2) * w
        return target

    def check_start(self, start: Array) -> None:
        """Refuse a first point that cannot be reached in time from ``start`` (rad, (n_joints,)).

        Raises:
            CommandRefused: the message names the joint, the distance and the time.
        """
        reach = self.max_speed * float(self.times[0]) + _NEAR
        distance = np.abs(self.positions[0] - start)
        worst = int(np.argmax(distance))
        if distance[worst] > reach:
            raise CommandRefused(
                f'trajectory starts {distance[worst]:.2f} rad away at {self.names[worst]} but its first point is due '
                f'after {self.times[0]:.2f} s; at {self.max_speed} rad/s that reaches {reach:.2f} rad. '
                'Begin with the present position or give the first point more time.'
            )


def make_trajectory(
    model: HandModel,
    names: Sequence[str],
    times_s: Sequence[float],
    positions: Any,
    velocities: Any = None,
    *,
    max_speed: float,
) -> Trajectory:
    """Check a trajectory and bring it into canonical order.

    Args:
        model: the hand.
        names: every joint of the hand once, in the order of the columns.
        times_s: seconds from the start, strictly increasing, first one not negative.
        positions: rad, (k, n_joints) in the order of ``names``.
        velocities: rad/s, same shape, or None.
        max_speed: fastest joint speed between points, rad/s.

    Raises:
        CommandRefused: anything wrong; the message says where and what is allowed. Nothing moves.
    """
    try:
        order = model.permutation(tuple(names))
    except (UnknownName, ConfigError) as error:
        raise CommandRefused(f'trajectory refused: {error}') from error
    if not len(times_s):
        raise CommandRefused('trajectory has no points')
    times = _table(times_s, (len(times_s),), 'times')
    points = _table(positions, (len(times), len(names)), 'positions')[:, order]
    speeds = None if velocities is None else _table(velocities, points.shape, 'velocities')[:, order]
    if times[0] < 0 or (np.diff(times) <= 0).any():
        raise CommandRefused(f'trajectory times must increase strictly from 0 or later; got {times.tolist()} s')
    low, high = model.lower - 1e-9, model.upper + 1e-9
    for k, j in np.argwhere((points < low) | (points > high)):
        raise CommandRefused(
            f'trajectory point {k} wants {model.joint_names[j]} at {points[k, j]:.3f} rad; '
            f'allowed: {model.lower[j]} … {model.upper[j]}'
        )
    if len(times) > 1:
        pace = np.abs(np.diff(points, axis=0)) / np.diff(times)[:, None]
        k, j = np.unravel_index(int(np.argmax(pace)), pace.shape)
        if pace[k, j] > max_speed + 1e-9:
            raise CommandRefused(
                f'trajectory needs {pace[k, j]:.2f} rad/s at {model.joint_names[j]} between points {k} and {k + 1}; '
                f'allowed: {max_speed} rad/s'
            )
    if speeds is not None and (np.abs(speeds) > max_speed + 1e-9).any():
        raise CommandRefused(
            f'trajectory asks for {np.abs(speeds).max():.2f} rad/s at a point; allowed: {max_speed} rad/s'
        )
    velocity = None if speeds is None else frozen(speeds)
    return Trajectory(frozen(times), frozen(points), velocity, max_speed, model.joint_names)


def move_to(model: HandModel, start: Array, goal: Array, speed: float) -> Trajectory:
    """A smooth move that starts and ends at rest, with peak speed ``speed`` (rad/s) at the joint that moves farthest.

    Args:
        model: the hand.
        start: present target or position, rad, (n_joints,); clamped into the joint range.
        goal: end, rad, (n_joints,).
        speed: peak joint speed, rad/s, above zero.

    Raises:
        CommandRefused: the goal leaves the joint range.
    """
    begin = np.clip(start, model.lower, model.upper)
    # The cubic with zero end speeds peaks at 1.5 times its mean speed.
    duration = max(1.5 * float(np.max(np.abs(goal - begin))) / speed, 0.1)
    still = np.zeros((2, len(model.joints)))
    return make_trajectory(
        model, model.joint_names, (0.0, duration), np.stack([begin, goal]), still, max_speed=speed
    )


def _table(values: Any, shape: tuple[int, ...], what: str) -> Array:
    try:
        array = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise CommandRefused(f'trajectory {what} are not a table of numbers: {error}') from error
    if array.shape != shape:
        raise CommandRefused(f'trajectory {what} have shape {array.shape}; needed: {shape} (points, joints)')
    if not np.isfinite(array).all():
        where = np.argwhere(~np.isfinite(array))[0].tolist()
        raise CommandRefused(f'trajectory {what} hold NaN or infinity at {where}; nothing moved')
    return array
