"""A task as Stable-Baselines3 wants it: flat rows of stacked observations with the simulator's state behind them."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray
from stable_baselines3.common.vec_env.base_vec_env import VecEnv, VecEnvStepReturn

from allegro_ai.observation import Observation
from allegro_ai.tasks.lanes import Outcome
from allegro_ai.training.layout import Layout
from allegro_ai.training.shaping import Shaping


class Stream(VecEnv):
    """Rows (num_envs, steps * width + privileged) from a :class:`~allegro_ai.tasks.vector.VectorTask`.

    Attributes:
        outcomes: of the episodes that ended since the list was last cleared.
        returns: their shaped returns.
        seconds: time spent in the task. shaping: what is added to its reward.
        seen: numbers of a row that the actor sees.
        observation: the last observation, by term.
    """

    def __init__(self, task: Any, layout: Layout, joints: int, shaping: Shaping) -> None:
        """Wrap a task; nothing runs before :meth:`reset`."""
        self._task, self._layout, self.shaping = task, layout, shaping
        self.seen = layout.steps * layout.width
        width = self.seen + len(task.privileged_names)
        super().__init__(task.num_envs, spaces.Box(-np.inf, np.inf, (width,), np.float32),
                         spaces.Box(-1.0, 1.0, (joints,), np.float32))
        self.first_seed = 0
        self.outcomes: list[Outcome] = []
        self.returns: list[float] = []
        self.seconds = 0.0
        self.observation: Observation = {}
        self._stack = np.zeros((task.num_envs, layout.steps, layout.width), dtype=np.float32)
        self._actions: NDArray[Any] = np.zeros((task.num_envs, joints))
        self._return = np.zeros(task.num_envs)

    def reset(self) -> Any:
        """Start all episodes anew from :attr:`first_seed`."""
        start = time.perf_counter()
        self.observation = self._task.reset(seed=self.first_seed)[0]
        self._stack[:] = self._layout.flat(self.observation)[:, None]
        self._return[:] = 0.0
        self.seconds += time.perf_counter() - start
        return self._rows(self._stack, self.observation)

    def step_async(self, actions: NDArray[Any]) -> None:
        """Take the actions."""
        self._actions = actions

    def step_wait(self) -> VecEnvStepReturn:
        """One control step; an episode that ends is followed by the next one at once."""
        start = time.perf_counter()
        seen, reward, terminated, truncated, info = self._task.step(self._actions)
        ended = terminated | truncated
        final = info['final_observation'] if ended.any() else seen
        reward = self.shaping.reward(reward, final['privileged'], info['outcome'])
        self._return += reward
        last = self._pushed(final)
        infos: list[dict[str, Any]] = [{} for _ in range(self.num_envs)]
        if ended.any():
            rows = self._rows(last, final)
            for k in np.flatnonzero(ended).tolist():
                infos[k] = {'terminal_observation': rows[k],
                            'TimeLimit.truncated': bool(truncated[k] and not terminated[k])}
                self.outcomes.append(info['outcome'][k])
                self.returns.append(float(self._return[k]))
            self._return[ended] = 0.0
            fresh = self._layout.flat(seen)
            last[ended] = fresh[ended, None]
        self._stack, self.observation = last, seen
        result = self._rows(last, seen)
        self.seconds += time.perf_counter() - start
        return result, (reward * self.shaping.scale).astype(np.float32), ended, infos

    def _pushed(self, observation: Observation) -> NDArray[np.float32]:
        return np.concatenate([self._stack[:, 1:], self._layout.flat(observation)[:, None]], axis=1)

    def _rows(self, stack: NDArray[np.float32], observation: Observation) -> NDArray[np.float32]:
        return np.concatenate([stack.reshape(self.num_envs, -1), observation['privileged']], axis=1)

    def close(self) -> None:
        """Stop the task."""
        self._task.close()

    def get_attr(self, attr_name: str, indices: Any = None) -> list[Any]:
        """The same value for each environment."""
        return [getattr(self, attr_name, None)] * self.num_envs

    def set_attr(self, attr_name: str, value: Any, indices: Any = None) -> None:
        """Not offered: environments have no attributes of their own."""
        raise NotImplementedError(attr_name)

    def env_method(self, method_name: str, *args: Any, indices: Any = None, **kwargs: Any) -> list[Any]:
        """Not offered either."""
        raise NotImplementedError(method_name)

    def env_is_wrapped(self, wrapper_class: Any, indices: Any = None) -> list[bool]:
        """No environment is wrapped."""
        return [False] * self.num_envs

    def seed(self, seed: int | None = None) -> Sequence[int | None]:
        """Seeds come from :attr:`first_seed` alone; the library's are not used."""
        return [seed] * self.num_envs
