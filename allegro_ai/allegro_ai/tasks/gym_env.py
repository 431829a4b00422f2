"""TactileHold for Gymnasium: a ``VectorEnv`` and an ``Env``, both flat boxes over :class:`~.vector.VectorTask`.

Importing this module registers ``AllegroTactileHold-v1``::

    import gymnasium, allegro_ai.tasks.gym_env
    env = gymnasium.make('AllegroTactileHold-v1', object_set='train', levels=('L2',))
    envs = gymnasium.make_vec('AllegroTactileHold-v1', num_envs=32, vectorization_mode='vector_entry_point')

Observations are dictionaries of the suite's terms (:func:`allegro_ai.observation.terms`); ``privileged=True`` adds what
only the simulator knows. Only steps under the policy are seen: the hand has closed before the first one.
"""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
from allegro_description.model import load_hand
from gymnasium.vector import AutoresetMode
from numpy.typing import NDArray

from allegro_ai.tasks.vector import VectorTask

ID = 'AllegroTactileHold-v1'
Observed = dict[str, NDArray[np.float32]]


def _spaces(task: VectorTask, privileged: bool) -> tuple[gym.spaces.Dict, gym.spaces.Box]:
    seen = task.reset(seed=0)[0]
    terms: dict[str, gym.Space[Any]] = {
        name: gym.spaces.Box(-np.inf, np.inf, value.shape[1:], np.float32)
        for name, value in seen.items() if privileged or name != 'privileged'
    }
    return gym.spaces.Dict(terms), gym.spaces.Box(-1.0, 1.0, (len(task.hand.joints),), np.float32)


class TactileHoldVectorEnv(gym.vector.VectorEnv[Any, Any, Any]):
    """Many environments; autoreset in the same step, the last observation of an episode in ``info['final_obs']``."""

    metadata = {'autoreset_mode': AutoresetMode.SAME_STEP}  # noqa: RUF012 (as Gymnasium declares it)

    def __init__(
        self, num_envs: int = 1, *, model: str = 'v5_sense', side: str = 'right', privileged: bool = False,
        render_mode: str | None = None, **options: Any,
    ) -> None:
        """Build the task.

        Args:
            num_envs: environments side by side.
            model: of the hand.
            side: of the hand.
            privileged: add the term ``privileged`` to observations.
            render_mode: accepted for Gymnasium; nothing is drawn.
            options: of :class:`~allegro_ai.tasks.vector.VectorTask`.
        """
        self.task = VectorTask(load_hand(model, side), num_envs, **options)
        self.num_envs, self.render_mode, self._privileged = num_envs, render_mode, privileged
        self.single_observation_space, self.single_action_space = _spaces(self.task, privileged)
        self.observation_space = gym.vector.utils.batch_space(self.single_observation_space, num_envs)
        self.action_space = gym.vector.utils.batch_space(self.single_action_space, num_envs)

    def reset(self, *, seed: Any = None, options: dict[str, Any] | None = None) -> tuple[Observed, dict[str, Any]]:
        """Start all streams; without a seed at a random one."""
        if seed is None or isinstance(seed, int):
            super().reset(seed=seed)
        seen, info = self.task.reset(seed=_first_seed(self.np_random) if seed is None else seed)
        return self._visible(seen), _facts(info)

    def step(
        self, actions: Any
    ) -> tuple[Observed, NDArray[Any], NDArray[np.bool_], NDArray[np.bool_], dict[str, Any]]:
        """One control step; infos of Gymnasium's form: arrays, with ``_name`` telling for which environments."""
        seen, reward, terminated, truncated, info = self.task.step(actions)
        facts = _facts(info)
        ended = terminated | truncated
        if ended.any():
            final = self._visible(info['final_observation'])
            rows = np.full(self.num_envs, None, dtype=object)
            results = np.full(self.num_envs, None, dtype=object)
            for k in np.flatnonzero(ended).tolist():
                rows[k] = {name: value[k] for name, value in final.items()}
                results[k] = info['outcome'][k]
            facts.update(final_obs=rows, _final_obs=ended, outcome=results, _outcome=ended)
        return self._visible(seen), reward, terminated, truncated, facts

    def close_extras(self, **kwargs: Any) -> None:
        """Stop the physics threads."""
        self.task.close()

    def _visible(self, seen: Observed) -> Observed:
        return seen if self._privileged else {k: v for k, v in seen.items() if k != 'privileged'}


class TactileHoldEnv(gym.Env[Any, Any]):
    """One environment; :meth:`reset` begins the next episode of its stream."""

    metadata = {'render_modes': []}  # noqa: RUF012 (as Gymnasium declares it)

    def __init__(
        self, *, model: str = 'v5_sense', side: str = 'right', privileged: bool = False,
        render_mode: str | None = None, **options: Any,
    ) -> None:
        """Build the task; arguments as of :class:`TactileHoldVectorEnv`."""
        self.task, self.render_mode, self._privileged = (
            VectorTask(load_hand(model, side), 1, **options), render_mode, privileged)
        self.observation_space, self.action_space = _spaces(self.task, privileged)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observed, dict[str, Any]]:
        """Begin the episode ``seed``; without one, an episode drawn from the environment's own generator."""
        super().reset(seed=seed)
        seen, info = self.task.reset(seed=_first_seed(self.np_random) if seed is None else seed)
        return self._visible(seen), {'seed': info['seed'][0], 'level': info['level'][0]}

    def step(self, action: Any) -> tuple[Observed, float, bool, bool, dict[str, Any]]:
        """One control step; the info of the last one holds the :class:`~.lanes.Outcome`."""
        seen, reward, terminated, truncated, info = self.task.step(np.asarray(action)[None])
        facts: dict[str, Any] = {}
        if info['outcome'][0] is not None:
            seen, facts = info['final_observation'], {'outcome': info['outcome'][0]}
        return self._visible(seen), float(reward[0]), bool(terminated[0]), bool(truncated[0]), facts

    def close(self) -> None:
        """Stop the physics threads."""
        self.task.close()

    def _visible(self, seen: Observed) -> Observed:
        return {k: v[0] for k, v in seen.items() if self._privileged or k != 'privileged'}


def _facts(info: dict[str, Any]) -> dict[str, Any]:
    every = np.ones(len(info['seed']), dtype=bool)
    return {'seed': np.array(info['seed']), '_seed': every, 'level': np.array(info['level'], dtype=object),
            '_level': every}


def _first_seed(rng: np.random.Generator) -> int:
    return int(rng.integers(2**31))


if ID not in gym.registry:
    gym.register(ID, entry_point='allegro_ai.tasks.gym_env:TactileHoldEnv',
                 vector_entry_point='allegro_ai.tasks.gym_env:TactileHoldVectorEnv')
