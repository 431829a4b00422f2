"""Velocity from quantised positions.

One position count is 0.088°; at 3 ms a single-count flicker looks like 0.51 rad/s. A plain difference therefore feeds
noise into the damping term; a first-order low-pass at ``cutoff_hz`` keeps the flicker below 0.25 rad/s at 30 Hz while
adding about 5 ms of delay.
"""

from __future__ import annotations

import math

import numpy as np
from allegro_description.errors import ConfigError
from allegro_description.state import Array

_SHORTEST_S = 1e-6  # no hand samples that fast, and a difference across less overflows


class VelocityFilter:
    """First-order low-pass of the difference quotient of positions."""

    def __init__(self, size: int, cutoff_hz: float, *, longest_gap_s: float = 0.05) -> None:
        """Create the filter at rest.

        Args:
            size: number of joints.
            cutoff_hz: corner frequency, Hz, above zero.
            longest_gap_s: a longer gap between samples restarts the filter: a difference across it means nothing.

        Raises:
            ConfigError: a corner frequency or gap that is not positive and finite.
        """
        if not (math.isfinite(cutoff_hz) and cutoff_hz > 0 and longest_gap_s > 0):
            raise ConfigError(f'velocity filter: cutoff {cutoff_hz} Hz and gap {longest_gap_s} s must be above 0')
        self._omega = 2 * math.pi * cutoff_hz
        self._gap = longest_gap_s
        self._last: Array | None = None
        self._velocity: Array = np.zeros(size)
        self._dt, self._kept = 0.0, 0.0

    def reset(self) -> None:
        """Forget the past; the next velocity is zero."""
        self._last = None
        self._velocity = np.zeros_like(self._velocity)

    def update(self, position: Array, dt: float) -> Array:
        """Return the velocity after one more sample, rad/s, (n_joints,).

        Args:
            position: joint angles, rad, (n_joints,); kept by reference, so it must not be changed afterwards.
            dt: time since the last sample, s. Below a microsecond repeats the last velocity; above ``longest_gap_s``
                restarts.
        """
        last = self._last
        if last is None or dt > self._gap or not math.isfinite(dt):
            self._last = position
            self._velocity = np.zeros_like(self._velocity)
            return self._velocity
        if dt < _SHORTEST_S:
            return self._velocity
        if dt != self._dt:  # nearly always the same
            self._dt, self._kept = dt, math.exp(-self._omega * dt)
        kept = self._kept
        velocity = position - last
        velocity *= (1.0 - kept) / dt
        velocity += kept * self._velocity
        self._velocity = velocity
        self._last = position
        return self._velocity
