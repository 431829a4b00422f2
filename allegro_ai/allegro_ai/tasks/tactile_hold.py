"""TactileHold as a task: many episodes side by side, one policy (or a population) acting on all of them.

The episode script, the plant and the score are those of the emulated hand; observation, phases and action mapping are
those of the policy node. Only the inner PD loop differs: here it is part of the physics (position input, 4 ms), on the
wire the driver computes it every 3 ms.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from allegro_description.model import HandModel
from allegro_description.simulation.batch import Batch
from allegro_description.simulation.episode import DURATION_S, Episode, EpisodeResult, Score
from allegro_description.simulation.objects import object_rng
from allegro_description.simulation.plant import Plant
from allegro_description.simulation.tactile import TactileSensor
from allegro_description.state import Array

from allegro_ai.action import ActionMapper
from allegro_ai.grasp import GraspController, Phase
from allegro_ai.observation import Observation, ObservationBuilder
from allegro_ai.tasks.policies import Acting
from allegro_ai.tasks.randomisation import POSITION_NOISE_RAD, STREAM_NOISE, STREAM_TOUCH, Randomisation
from allegro_ai.tasks.reward import DROP_REWARD, Reward

CONTROL_S = 0.020
PHYSICS_S = 0.004
SUBSTEPS = 5
STEPS = round(DURATION_S / CONTROL_S)


@dataclass(frozen=True, slots=True)
class Outcome:
    """One finished episode: the judgement, the return of the rewards, and whether the physics broke."""

    result: EpisodeResult
    reward: float
    unstable: bool


class TactileHold:
    """A batch of episodes, run once."""

    def __init__(self, hand: HandModel, episodes: Sequence[Episode], *, randomise: bool = True) -> None:
        """Build one plant per episode.

        Args:
            hand: the hand.
            episodes: what to run; each carries its object and seed.
            randomise: draw gains, dynamics, delays, bias and noise per episode (the task's definition); False runs
                the nominal hand.
        """
        self.hand, self.episodes = hand, list(episodes)
        self.plants = [Plant(hand, e.obj, timestep=PHYSICS_S, actuation='position') for e in self.episodes]
        self._draws = [Randomisation.draw(hand, e) for e in self.episodes] if randomise else []
        for plant, draw in zip(self.plants, self._draws, strict=False):
            draw.apply(plant)
        self._noise = [object_rng(e.seed, e.object_set, STREAM_NOISE) for e in self.episodes]
        self._sensors = [
            TactileSensor(hand, object_rng(e.seed, e.object_set, STREAM_TOUCH)) for e in self.episodes
        ]

    def run(self, policy: Acting, *, threads: int = 1, record: list[Observation] | None = None) -> list[Outcome]:
        """Run all episodes to their end.

        Args:
            policy: acts on the observations of every episode at 50 Hz.
            threads: physics threads; the result does not depend on it.
            record: if given, the observations of steps under the policy are appended.
        """
        n, joints = len(self.plants), len(self.hand.joints)
        builder = ObservationBuilder(self.hand, batch=n)
        builder.set_grip([e.grip_class for e in self.episodes])
        controller = GraspController(self.hand, ActionMapper(self.hand), batch=n)
        scores = [Score(self.hand, e) for e in self.episodes]
        rewards = [Reward(e) for e in self.episodes]
        total, unstable = np.zeros(n), np.zeros(n, dtype=bool)
        active = list(range(n))
        for episode, plant in zip(self.episodes, self.plants, strict=True):
            episode.reset(plant)
        # The driver's tare: what the untouched cells report.
        rest = np.zeros(len(self.hand.taxels))
        tare = np.stack([s.sense(rest, CONTROL_S) for s in self._sensors])
        position = self._measured()
        controller.start(Phase.CLOSE, position)
        action = np.zeros((n, joints))
        pending = [deque([controller.target[k].copy()] * (1 + self._delay(k))) for k in range(n)]
        with Batch(threads) as batch:
            for step in range(STEPS):
                t = step * CONTROL_S
                pressure = np.stack([s.sense(p.taxel_forces, CONTROL_S)
                                     for s, p in zip(self._sensors, self.plants, strict=True)])
                observation = builder.update(step, position, controller.target, np.maximum(pressure - tare, 0.0),
                                             last_action=action)
                previous = action
                under_policy = controller.phase == Phase.RUN
                if under_policy.any():
                    action = np.where(under_policy[:, None], policy.act(observation), 0.0)
                    if record is not None:
                        record.append(observation)
                targets = controller.step(CONTROL_S, position, action)
                for k in active:
                    pending[k].append(targets[k])
                    self.plants[k].set_target(pending[k].popleft())
                    self.episodes[k].apply(t, self.plants[k])
                stable = batch.advance([self.plants[k] for k in active], SUBSTEPS)
                position = self._measured()
                remaining = []
                for k, ok in zip(active, stable, strict=True):
                    if not ok:
                        unstable[k] = True
                        continue
                    result = scores[k].update(t + CONTROL_S, self.plants[k])
                    if under_policy[k]:
                        total[k] += rewards[k].step(t + CONTROL_S, self.plants[k], action[k], previous[k])
                    if result is None:
                        remaining.append(k)
                    elif result.dropped_at_s is not None:
                        total[k] += DROP_REWARD
                active = remaining
                if not active:
                    break
        return [self._outcome(scores[k], float(total[k]), bool(unstable[k])) for k in range(n)]

    def _delay(self, k: int) -> int:
        return self._draws[k].delay if self._draws else 0

    def _measured(self) -> Array:
        position = np.stack([p.encoder_position for p in self.plants])
        if self._draws:
            noise = [r.uniform(-POSITION_NOISE_RAD, POSITION_NOISE_RAD, position.shape[1]) for r in self._noise]
            position = position + np.stack([d.bias for d in self._draws]) + np.stack(noise)
        return np.asarray(np.nan_to_num(position))

    @staticmethod
    def _outcome(score: Score, reward: float, unstable: bool) -> Outcome:
        # An episode whose physics broke counts as a failure: it is never left out of a rate.
        failed = EpisodeResult(False, False, False, None, float('nan'), float('nan'), 0.0, 0.0, 0.0)
        return Outcome(score.result or failed, reward + (DROP_REWARD if unstable else 0.0), unstable)


def episodes(
    hand: HandModel, seeds: Sequence[int], level: str | Sequence[str], object_set: str = 'train'
) -> list[Episode]:
    """One episode per seed; ``level`` is one for all or one per seed."""
    levels = [level] * len(seeds) if isinstance(level, str) else list(level)
    return [Episode(hand, int(s), name, object_set) for s, name in zip(seeds, levels, strict=True)]
