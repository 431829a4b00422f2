"""Policies to start from: simple, without learning, good enough to be imitated before learning begins."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from allegro_description.model import HandModel
from numpy.typing import NDArray

from allegro_ai.tasks.policies import Acting, make_policy

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


def make_teacher(hand: HandModel, name: str) -> Acting | None:
    """The policy to imitate: one of the table by name, or the result of a training run by its path; empty: none.

    Raises:
        AllegroError: no policy of that name and nothing at that path.
    """
    if not name:
        return None
    if not Path(name).exists():
        return make_policy(hand, name)
    from allegro_ai.training.trained import load_trained

    found = load_trained(name, hand)
    return make_policy(hand, found.policy, found.arguments)
