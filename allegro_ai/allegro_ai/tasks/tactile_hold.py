"""TactileHold as a task: many episodes side by side, one policy (or a population) acting on all of them.

The episode script, the plant and the score are those of the emulated hand; observation, phases and action mapping are
those of the policy node. Only the inner PD loop differs: here it is part of the physics (position input, 4 ms), on the
wire the driver computes it every 3 ms.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from allegro_description.model import HandModel
from allegro_description.simulation.episode import Episode
from numpy.typing import NDArray

from allegro_ai.observation import Observation
from allegro_ai.tasks.lanes import CONTROL_S, STEPS, Lanes, Outcome
from allegro_ai.tasks.policies import Acting, reset_policy
from allegro_ai.tasks.privileged import privileged

__all__ = ['CONTROL_S', 'STEPS', 'Outcome', 'TactileHold', 'episodes']


class TactileHold:
    """A batch of episodes, run to their end."""

    def __init__(self, hand: HandModel, episodes: Sequence[Episode], *, randomise: bool = True) -> None:
        """Take the episodes.

        Args:
            hand: the hand.
            episodes: what to run; each carries its object and seed.
            randomise: draw gains, dynamics, delays, masks, bias and noise per episode (the task's definition); False
                runs the nominal hand.
        """
        self.hand, self.episodes, self._randomise = hand, list(episodes), randomise

    def run(
        self, policy: Acting, *, threads: int = 1, record: list[Observation] | None = None,
        watch: Callable[[Lanes, NDArray[np.intp]], None] = lambda lanes, which: None,
    ) -> list[Outcome]:
        """Run all episodes to their end.

        Args:
            policy: acts on the observations of every episode at 50 Hz, see :class:`~allegro_ai.tasks.policies.Acting`.
            threads: physics threads; the result does not depend on it.
            record: if given, the observations of steps under the policy are appended.
            watch: called after each step with the lanes and those that took it; it may read, not write.
        """
        n = len(self.episodes)
        outcomes: dict[int, Outcome] = {}
        if prepare := getattr(policy, 'prepare', None):
            prepare(self.episodes, self._randomise)
        lanes = Lanes(self.hand, n, randomise=self._randomise, threads=threads)
        try:
            for k, episode in enumerate(self.episodes):
                lanes.start(k, episode)
            reset_policy(policy)
            every, idle = np.arange(n), np.zeros((n, len(self.hand.joints)))
            while len(outcomes) < n:
                which = np.array([k for k in range(n) if k not in outcomes])
                observation, action = lanes.observe(which), idle
                if lanes.running[which].any():
                    if getattr(policy, 'privileged', False):
                        observation['privileged'] = privileged(lanes, every)
                    action = np.asarray(policy.act(observation), dtype=np.float64)
                    if record is not None:
                        record.append(observation)
                outcomes.update(lanes.step(which, action))
                watch(lanes, which)
        finally:
            lanes.close()
        return [outcomes[k] for k in range(n)]


def episodes(
    hand: HandModel, seeds: Sequence[int], level: str | float | Sequence[str | float], object_set: str = 'train'
) -> list[Episode]:
    """One episode per seed; ``level`` is one for all or one per seed."""
    levels = [level] * len(seeds) if isinstance(level, (str, float, int)) else list(level)
    return [Episode(hand, int(s), name, object_set) for s, name in zip(seeds, levels, strict=True)]
