"""Policies of SlipArrest that nothing was learnt for: ceiling, floor and the classic threshold detector.

All of them squeeze every flexion joint by one share of its torque limit, as the task's search for the least grip does.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from allegro_description.model import HandModel
from numpy.typing import NDArray

Observation = Mapping[str, NDArray[np.float32]]


class Oracle:
    """Knows the moment of the event and the least grip after it: holds the start grip, then that with a margin."""

    privileged = True

    def __init__(self, hand: HandModel, margin: float = 1.4) -> None:
        """Set the margin over the least grip that holds; 1.4 did slightly better than 1.25 on 118 training episodes."""
        self._flexion, self._margin = hand.flexion, margin

    def share(self, observation: Observation) -> NDArray[Any]:
        """The share it would squeeze with, (batch,)."""
        start, needed, happened = observation['grips'].T
        return np.asarray(np.minimum(np.where(happened > 0.5, np.maximum(self._margin * needed, start), start), 1.0))

    def act(self, observation: Observation, /) -> NDArray[Any]:
        """Squeeze as much as is needed, and a little more."""
        return self.share(observation)[:, None] * self._flexion


class Keep:
    """Keeps the grip it was given, whatever happens."""

    def __init__(self, hand: HandModel) -> None:
        """Take the joints that squeeze."""
        self._flexion = hand.flexion

    def share(self, observation: Observation) -> NDArray[Any]:
        """The share of the last action, (batch,)."""
        return np.asarray(observation['last_action'][:, self._flexion].mean(axis=1, dtype=np.float64))

    def act(self, observation: Observation, /) -> NDArray[Any]:
        """The last action again."""
        return self.share(observation)[:, None] * self._flexion


class Threshold(Keep):
    """Squeezes harder by a fixed step while any fingertip reports a pressure jump above a threshold; never less."""

    def __init__(self, hand: HandModel, rate: float = 0.35, step: float = 0.06) -> None:
        """Set the detector: relative pressure change per control step, and what is added to the share then."""
        super().__init__(hand)
        self._rate, self._step = rate, step

    def detects(self, observation: Observation) -> NDArray[np.bool_]:
        """Where a tip that touches changes its pressure faster than the threshold, (batch,)."""
        jump = np.abs(observation['tactile_tip_rate']) * observation['tactile_tip_contact']
        return np.asarray(jump.max(axis=1) > self._rate)

    def act(self, observation: Observation, /) -> NDArray[Any]:
        """The last action, or more."""
        share = np.clip(self.share(observation) + self._step * self.detects(observation), 0.0, 1.0)
        return np.asarray(share[:, None] * self._flexion)
