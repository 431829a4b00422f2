"""A policy that tries several plans in the simulator before it acts, and then follows the one that turned out best.

Episodes are pure functions of their seed, so a rehearsal ends exactly as the performance will. Whoever rehearses knows
the future: that is allowed to a ceiling, and to nothing else.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from allegro_description.errors import ConfigError
from allegro_description.model import HandModel
from allegro_description.simulation.episode import Episode
from numpy.typing import NDArray

from allegro_ai.tasks.baselines import Oracle, oracle_plans
from allegro_ai.tasks.lanes import Outcome


class Foresight:
    """B7: the oracle with its best set of numbers for each episode, found by rehearsing a few."""

    privileged = True

    def __init__(self, hand: HandModel, plans: Sequence[Mapping[str, float]] | None = None) -> None:
        """Take the plans, arguments of the oracle each, best first; None: those that the search found.

        Raises:
            ConfigError: no plan, or arguments that the oracle does not take.
        """
        found = oracle_plans() if plans is None else list(plans)
        if not found:
            raise ConfigError('a policy that rehearses needs at least one plan')
        self._hand, self._plans = hand, [Oracle(hand, **plan) for plan in found]
        self._choice = np.zeros(0, dtype=np.intp)

    def prepare(self, episodes: Sequence[Episode], randomise: bool) -> None:
        """Rehearse what is about to be run; a plan is tried only where those before it did not succeed."""
        from allegro_ai.tasks.tactile_hold import TactileHold

        todo, best = list(range(len(episodes))), [(False, False, 0.0)] * len(episodes)
        self._choice = np.zeros(len(episodes), dtype=np.intp)
        for number, plan in enumerate(self._plans):
            if not todo:
                break
            outcomes = TactileHold(self._hand, [episodes[k] for k in todo], randomise=randomise).run(plan)
            for k, outcome in zip(todo, outcomes, strict=True):
                worth = _worth(outcome)
                if number == 0 or worth > best[k]:
                    best[k], self._choice[k] = worth, number
            todo = [k for k in todo if not best[k][0]]

    def act(self, observation: Mapping[str, NDArray[np.float32]], /) -> NDArray[Any]:
        """What the chosen plan of each episode does; the first plan's where nothing was rehearsed."""
        batch = len(observation['joint_position'])
        if batch != len(self._choice):
            return self._plans[0].act(observation)
        action = np.zeros((batch, len(self._hand.joints)))
        for number in np.unique(self._choice).tolist():
            mine = self._choice == number
            action[mine] = self._plans[number].act({name: value[mine] for name, value in observation.items()})
        return action


def _worth(outcome: Outcome) -> tuple[bool, bool, float]:
    """What is better is larger: success, then held, then how long it lasted."""
    result = outcome.result
    return result.success, result.held, result.finished_s
