"""The seam between the emulated firmware and physics, and the simplest world behind it.

The MuJoCo world is in :mod:`.plant_world`, its episodes in :mod:`.episodes`; only those two need MuJoCo.
"""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
from allegro_description.errors import CommandRefused
from allegro_description.model import HandModel
from allegro_description.state import Array, frozen

GRAVITY = (-9.81, 0.0, 0.0)
RATE_PER_UNIT = {
    'mA': 0.01,       # rad/s per mA: joint model of an independent V5 emulator, enough to close a loop
    'PWM': 0.002,     # OURS: rad/s per count, so that a V4 finger joint at its bound moves at about 1 rad/s
}
LAG_S = 0.01          # OURS: the speed follows with this time constant, so that a host's damping term cannot ring


class World(Protocol):
    """Joints, touch and gravity, advanced by one period at a time; canonical order, SI units."""

    period_s: float
    """Length of the next step, s; may be changed between steps."""

    @property
    def position(self) -> Array:
        """Joint angles, rad, (n_joints,)."""
        ...

    @property
    def velocity(self) -> Array:
        """Joint velocities, rad/s, (n_joints,)."""
        ...

    @property
    def pressure(self) -> Array:
        """What the taxels read, Pa, (n_taxels,)."""
        ...

    @property
    def tip_forces(self) -> Array:
        """Normal contact force per fingertip, N, (n_fingers,)."""
        ...

    @property
    def gravity(self) -> Array:
        """Gravity in the palm frame, m/s², (3,)."""
        ...

    def set_gravity(self, vector: Array) -> None:
        """Turn the world around the hand."""
        ...

    def step(self, effort: Array) -> None:
        """Advance one period under constant joint torques, N·m, (n_joints,)."""
        ...


class Episodes(Protocol):
    """What server and control ask of episodes."""

    @property
    def running(self) -> bool:
        """True between start and end."""
        ...

    def start(self, seed: int, level: str, object_set: str) -> int:
        """Start one; returns its index (1, 2, …)."""
        ...

    def stop(self) -> bool:
        """Abort; False if none was running."""
        ...

    def before_step(self) -> None:
        """Set the stage for the next period."""
        ...

    def after_step(self) -> None:
        """Judge the period that has passed."""
        ...

    def view(self) -> dict[str, Any]:
        """Object, clock, last result and events, ready for JSON."""
        ...


class SimpleWorld:
    """Each joint for itself: speed proportional to torque, stops at the vendor's range. No touch, no objects."""

    def __init__(self, model: HandModel, period_s: float, position: Array | None = None) -> None:
        """Start at ``position`` (default: the zero pose clipped to the limits)."""
        self._rate = RATE_PER_UNIT[model.actuation.unit] * model.per_nm
        self._range = np.array([j.urdf_range for j in model.joints])
        self.period_s = period_s
        start = np.zeros(len(model.joints)) if position is None else position
        self._position = np.clip(start, self._range[:, 0], self._range[:, 1])
        self._velocity = np.zeros(len(model.joints))
        self._pressure = frozen(np.zeros(len(model.taxels)))
        self._tips = frozen(np.zeros(len(model.fingers)))
        self._gravity = frozen(GRAVITY)

    @property
    def position(self) -> Array:
        """Joint angles, rad."""
        return self._position

    @property
    def velocity(self) -> Array:
        """Joint velocities, rad/s."""
        return self._velocity

    @property
    def pressure(self) -> Array:
        """Always zero."""
        return self._pressure

    @property
    def tip_forces(self) -> Array:
        """Always zero."""
        return self._tips

    @property
    def gravity(self) -> Array:
        """As set; it has no effect here."""
        return self._gravity

    def set_gravity(self, vector: Array) -> None:
        """Store it."""
        self._gravity = frozen(vector)

    def step(self, effort: Array) -> None:
        """Advance one period."""
        period = self.period_s
        speed = self._velocity + period / (period + LAG_S) * (self._rate * effort - self._velocity)
        free = np.clip(self._position + speed * period, self._range[:, 0], self._range[:, 1])
        self._velocity = (free - self._position) / period
        self._position = free


class NoEpisodes:
    """Stands where there are no objects."""

    running = False

    def __init__(self, reason: str = 'episodes need contacts: start the emulator with --physics mujoco') -> None:
        """``reason`` says why not, in one sentence."""
        self._reason = reason

    def start(self, seed: int, level: str, object_set: str) -> int:
        """Refuse.

        Raises:
            CommandRefused: always.
        """
        raise CommandRefused(self._reason)

    def stop(self) -> bool:
        """Nothing runs."""
        return False

    def before_step(self) -> None:
        """Nothing to do."""

    def after_step(self) -> None:
        """Nothing to do."""

    def view(self) -> dict[str, Any]:
        """An empty stage."""
        return {'object': None, 'episode': {'state': 'idle', 'index': 0, 'clock_s': 0.0}, 'last_result': None,
                'events': []}
