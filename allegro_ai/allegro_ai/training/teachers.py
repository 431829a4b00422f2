"""Policies to start from: simple, without learning, good enough to be imitated before learning begins."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from allegro_description.model import HandModel
from numpy.typing import NDArray

GRIP_SHARES = (0.5, 0.95, 0.95)
"""Share of the full torque for fragile, normal and robust objects (by success at L2 and L3 on training objects)."""


class GripSqueeze:
    """Open loop, but it listens to the user's command: a constant squeeze by grip class."""

    def __init__(self, hand: HandModel, shares: Sequence[float] = GRIP_SHARES) -> None:
        """Set the shares of full torque for fragile, normal, robust."""
        self._shares, self._flexion = np.asarray(shares, dtype=np.float64), hand.flexion

    def act(self, observation: Mapping[str, NDArray[np.float32]], /) -> NDArray[Any]:
        """The same action for the whole episode."""
        return np.asarray((observation['grip_class'] @ self._shares)[:, None] * self._flexion)
