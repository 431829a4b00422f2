"""TactileHold as endless streams of episodes: the interface of ``gymnasium.vector.VectorEnv`` without gymnasium.

Each environment goes through the seeds of its own stream. While one episode runs under the policy, the next one of the
same stream closes its hand in a lane beside it, so the learner sees steps under the policy only and no environment
waits. When an episode ends, the same step returns the first observation of the next one and ``info['outcome']``.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from allegro_description.errors import ConfigError
from allegro_description.model import HandModel
from allegro_description.simulation.episode import Episode, disturbance
from allegro_description.simulation.objects import object_rng
from allegro_description.state import Array
from numpy.typing import NDArray

from allegro_ai.observation import Observation
from allegro_ai.tasks.lanes import STEPS, Lanes, Outcome
from allegro_ai.tasks.privileged import privileged, privileged_names

VERSION = 'TactileHold-v2'
STREAM_LEVEL = 20               # seed stream of the choice among levels
CLOSE_STEPS_AT_MOST = STEPS

Step = tuple[Observation, Array, NDArray[np.bool_], NDArray[np.bool_], dict[str, Any]]


class VectorTask:
    """``num_envs`` environments with same-step autoreset.

    Attributes:
        num_envs: number of environments.
        hand: the hand. levels: the mix of disturbance levels. object_set: where objects come from.
        privileged_names: one name per number of ``observation['privileged']``.
        tilt_max: curriculum, rad; takes effect with the next episodes that are drawn.
    """

    def __init__(
        self, hand: HandModel, num_envs: int, *, object_set: str = 'train',
        levels: Sequence[str | float] = ('L1', 'L2', 'L3'), tilt_max: float = math.pi, randomise: bool = True,
        threads: int = 1,
    ) -> None:
        """Prepare; :meth:`reset` starts the episodes.

        Args:
            hand: the hand.
            num_envs: environments side by side.
            object_set: one of :data:`~allegro_description.simulation.objects.OBJECT_SETS`.
            levels: disturbance levels, drawn anew for each episode with equal chances; repeat one to make it likelier.
            tilt_max: largest angle between palm-up and the final gravity, rad.
            randomise: see :class:`~allegro_ai.tasks.lanes.Lanes`.
            threads: physics threads (0: one per CPU); results do not depend on it.

        Raises:
            ConfigError: no environment or no level.
            UnknownName: a level or an object set that does not exist.
        """
        if num_envs < 1 or not levels:
            raise ConfigError(f'a task of {num_envs} environments and levels {list(levels)!r}: both need at least one')
        self.hand, self.num_envs, self.object_set, self.tilt_max = hand, num_envs, object_set, tilt_max
        self.levels = [disturbance(level)[0] for level in levels]
        object_rng(0, object_set, 0)
        self.privileged_names = privileged_names(hand)
        self.lanes = Lanes(hand, 2 * num_envs, randomise=randomise, threads=threads)
        self._front = np.arange(num_envs)                   # lane of each environment's present episode
        self._back = np.arange(num_envs, 2 * num_envs)      # lane in which its next one closes
        self._next = np.zeros(num_envs, dtype=np.int64)     # seed of the episode after that
        self._idle = np.zeros((2 * num_envs, len(hand.joints)))

    def reset(self, *, seed: int | Sequence[int] = 0) -> tuple[Observation, dict[str, Any]]:
        """Start all streams.

        Args:
            seed: environment k runs the seeds ``seed + k``, ``seed + k + num_envs``, …; or one first seed for each.

        Returns:
            The first observation under the policy, every term float32, (num_envs, elements), and an info of
            ``seed`` and ``level`` per environment.

        Raises:
            ConfigError: a negative seed or the wrong number of them.
        """
        first = np.arange(self.num_envs) + seed if isinstance(seed, int) else np.array(seed, dtype=np.int64)
        if first.shape != (self.num_envs,):
            raise ConfigError(f'{first.size} seeds for {self.num_envs} environments; give one for all or one for each')
        self._next = first.astype(np.int64)
        for k in range(self.num_envs):
            self._draw(k, self._front[k])
            self._draw(k, self._back[k])
        self._close(np.concatenate([self._front, self._back]))
        return self._select(self.lanes.observe(self._front)), self._facts()

    def step(self, action: Array) -> Step:
        """One control step of every environment.

        Args:
            action: (num_envs, n_joints), in [-1, 1].

        Returns:
            observation, reward (num_envs,), terminated (dropped or broken physics), truncated (6 s are over), and
            info: ``outcome``, an :class:`~allegro_ai.tasks.lanes.Outcome` or None per environment;
            ``final_observation``, the observation before the next episodes came in (None if none ended); ``seed`` and
            ``level`` of the episodes that the observation belongs to.

        Raises:
            ConfigError: an action of the wrong shape.
        """
        action = np.asarray(action, dtype=np.float64)
        if action.shape != (self.num_envs, len(self.hand.joints)):
            raise ConfigError(f'actions have shape {action.shape}, need {(self.num_envs, len(self.hand.joints))}')
        lanes, n = self.lanes, self.num_envs
        full = self._idle.copy()
        full[self._front] = action
        over = dict(lanes.step(np.concatenate([self._front, self._closing()]), full))
        outcomes: list[Outcome | None] = [over.get(int(lane)) for lane in self._front]
        ended = np.array([k for k in range(n) if outcomes[k] is not None], dtype=np.intp)
        terminated = np.array([o is not None and (o.unstable or o.result.dropped_at_s is not None) for o in outcomes])
        truncated = np.isin(np.arange(n), ended) & ~terminated
        rewards = lanes.reward[self._front].copy()
        for k in range(n):                                  # physics that broke while closing: the next seed
            if int(self._back[k]) in over:
                self._draw(k, self._back[k])
        closing = self._closing()
        seen = self._select(lanes.observe(np.concatenate([self._front, np.setdiff1d(closing, self._back[ended])])))
        info: dict[str, Any] = {'outcome': outcomes, 'final_observation': None}
        if ended.size:
            info['final_observation'] = {name: value.copy() for name, value in seen.items()}
            self._change(ended)
            first = self._select(lanes.observe(np.concatenate([self._front[ended], self._back[ended]])))
            for name, value in seen.items():
                value[ended] = first[name][ended]
        return seen, rewards, terminated, truncated, {**info, **self._facts()}

    def close(self) -> None:
        """Stop the physics threads."""
        self.lanes.close()

    def _draw(self, k: int, lane: np.intp) -> None:
        seed = int(self._next[k])
        self._next[k] += self.num_envs
        rng = object_rng(seed, self.object_set, STREAM_LEVEL)
        level = self.levels[int(rng.integers(len(self.levels)))]
        self.lanes.start(int(lane), Episode(self.hand, seed, level, self.object_set, tilt_max=self.tilt_max))

    def _change(self, ended: NDArray[np.intp]) -> None:
        """Bring the next episodes of some environments to the front and draw those after them."""
        self._close(self._back[ended])
        self._front[ended], self._back[ended] = self._back[ended], self._front[ended].copy()
        for k in ended.tolist():
            self._draw(k, self._back[k])

    def _closing(self) -> NDArray[np.intp]:
        return np.asarray(self._back[~self.lanes.running[self._back]])

    def _close(self, which: NDArray[np.intp]) -> None:
        """Run the close of lanes to its end."""
        owner = {int(lane): k for k in range(self.num_envs) for lane in (self._front[k], self._back[k])}
        for _ in range(CLOSE_STEPS_AT_MOST):
            todo = which[~self.lanes.running[which]]
            if not todo.size:
                return
            self.lanes.observe(todo)
            for lane, _ in self.lanes.step(todo, self._idle):
                self._draw(owner[lane], np.intp(lane))
        raise ConfigError('a hand did not finish its close within an episode; is close_s longer than 6 s?')

    def _select(self, observation: Observation) -> Observation:
        result = {name: value[self._front] for name, value in observation.items()}
        result['privileged'] = privileged(self.lanes, self._front)
        return result

    def _facts(self) -> dict[str, Any]:
        episodes = [self.lanes.episode[lane] for lane in self._front.tolist()]
        return {'seed': [e.seed for e in episodes if e is not None],
                'level': [e.level for e in episodes if e is not None]}
