"""PPO of Stable-Baselines3 over a task, with a critic that sees the simulator's state and checkpoints that resume.

A run consists of segments. Each starts fresh episodes and fresh random numbers from (seed, segment) alone, and ends
with a checkpoint; so a run that was killed goes on exactly as if it had not been.

Why Stable-Baselines3: it is maintained, typed, tested against published results, and needs torch and gymnasium only.
rsl-rl is as good an algorithm, but pulls torchvision and tensordict in and expects its environments on a GPU. Only its
PPO is used: its archive of a model is a pickle, so weights and optimiser are saved by :mod:`.checkpoint`.
"""

from __future__ import annotations

import time
from typing import Any, cast

import numpy as np
import torch
from allegro_description.model import HandModel
from gymnasium import spaces
from numpy.typing import NDArray
from stable_baselines3 import PPO
from stable_baselines3.common.logger import Logger
from stable_baselines3.common.policies import ActorCriticPolicy
from torch import nn

from allegro_ai.training.layout import Layout, make_layout, policy_terms
from allegro_ai.training.network import Actor, ActorCritic, Critic
from allegro_ai.training.settings import Settings
from allegro_ai.training.shaping import make_shaping
from allegro_ai.training.stream import Stream

SEEDS_PER_RUN = 1_000_000       # training seeds of run k: k * SEEDS_PER_RUN onwards, as in the random search
SEEDS_PER_UPDATE, WARM_SEEDS = 50, 400_000      # of a run's seeds; the warm start has its own
VALUE_WEIGHT, GRADIENT_BOUND = 0.5, 1.0
NOISE_STEPS = 16


class AsymmetricPolicy(ActorCriticPolicy):
    """The library's policy with our actor and critic: no sharing, a squashed mean.

    The noise is generalised state-dependent exploration: a random matrix over the last features, drawn anew every
    :data:`NOISE_STEPS` steps. Independent noise at 50 Hz averages out in the rate limit and in the object's inertia.
    """

    def __init__(self, *args: Any, layout: Layout, settings: Settings, **kwargs: Any) -> None:
        self._layout, self._settings = layout, settings
        super().__init__(*args, **{**kwargs, 'ortho_init': False})

    def _build_mlp_extractor(self) -> None:
        layout, settings = self._layout, self._settings
        assert isinstance(self.observation_space, spaces.Box)
        seen, width = layout.steps * layout.width, int(self.observation_space.shape[0])
        actor = Actor(layout, int(self.action_space.shape[0]), settings.encoder,  # type: ignore[index]
                      (settings.hidden, settings.hidden))
        critic = Critic(width - seen + layout.width, (settings.critic, settings.critic // 2))
        self.mlp_extractor = ActorCritic(actor, critic, seen)  # type: ignore[assignment]

    def _build(self, lr_schedule: Any) -> None:
        super()._build(lr_schedule)
        actor = cast('ActorCritic', self.mlp_extractor).actor
        self.action_net = nn.Sequential(actor.head, nn.Tanh())
        make: Any = self.optimizer_class
        self.optimizer = make(self.parameters(), lr=lr_schedule(1), **self.optimizer_kwargs)


class Learner:
    """One run: task, library and what it has done so far.

    Attributes:
        stream: the task as the library sees it.
        model: the library's algorithm.
        updates: policy updates done.
        seconds: time by part: ``physics``, ``observation``, ``policy``, ``update``.
    """

    def __init__(self, task: Any, hand: HandModel, settings: Settings) -> None:
        """Build actor and critic from the run's seed.

        Args:
            task: see :class:`~allegro_ai.tasks.vector.VectorTask`; closed by :meth:`close`.
            hand: the hand.
            settings: numbers of the run.

        Raises:
            ConfigError: a reward version that the task cannot give.
        """
        torch.set_num_threads(1)
        self.settings, self.task = settings, task
        self.layout = make_layout(hand, policy_terms(settings.touch), settings.steps)
        self.stream = Stream(task, self.layout, len(hand.joints), make_shaping(settings.reward, task.privileged_names))
        self.updates, self.seconds = 0, dict.fromkeys(('physics', 'observation', 'policy', 'update'), 0.0)
        torch.manual_seed(settings.seed)
        self.model = PPO(
            AsymmetricPolicy, self.stream, learning_rate=self._rate, n_steps=settings.horizon,
            batch_size=min(settings.minibatch, settings.horizon * settings.environments), n_epochs=settings.epochs,
            gamma=settings.discount, gae_lambda=settings.trace, clip_range=settings.clip, ent_coef=settings.entropy,
            vf_coef=VALUE_WEIGHT, max_grad_norm=GRADIENT_BOUND, target_kl=settings.target_kl, device='cpu',
            use_sde=True, sde_sample_freq=NOISE_STEPS,
            policy_kwargs={'layout': self.layout, 'settings': settings, 'log_std_init': settings.log_noise})
        self.model.set_logger(Logger(folder=None, output_formats=[]))
        self._physics = _watch(task)

    @property
    def _networks(self) -> ActorCritic:
        return cast('ActorCritic', self.policy.mlp_extractor)

    @property
    def actor(self) -> Actor:
        """The network that decides."""
        return self._networks.actor

    @property
    def critic(self) -> Critic:
        """The network that judges."""
        return self._networks.critic

    @property
    def policy(self) -> AsymmetricPolicy:
        """Actor, critic and noise."""
        return self.model.policy  # type: ignore[return-value]

    def begin(self, warm: bool = False) -> None:
        """Fresh episodes and random numbers, from the seed and the updates done only; ``warm``: for the warm start."""
        words = np.random.SeedSequence((11, self.settings.seed, self.updates, warm)).generate_state(2)
        torch.manual_seed(int(words[0]))
        np.random.seed(int(words[1]))   # the library shuffles minibatches with it
        place = WARM_SEEDS if warm else self.updates * SEEDS_PER_UPDATE % WARM_SEEDS
        self.stream.first_seed = self.settings.seed * SEEDS_PER_RUN + place
        self.model._last_obs = None     # makes the library reset the stream

    def update(self) -> dict[str, float]:
        """Collect one horizon and improve the policy with it; returns the numbers of the curve."""
        settings, stream = self.settings, self.stream
        stream.outcomes.clear()
        stream.returns.clear()
        self._freeze_actor(bool(settings.teacher) and self.updates < settings.critic_updates)
        task_s, physics_s, start = stream.seconds, self._physics[0], time.perf_counter()
        size = settings.horizon * settings.environments
        model = self.model
        _, callback = model._setup_learn(size, None, reset_num_timesteps=False)
        model.collect_rollouts(stream, callback, model.rollout_buffer, n_rollout_steps=settings.horizon)
        collected = time.perf_counter()
        model._current_progress_remaining = 1.0
        model.train()
        self.updates += 1
        in_task, physics = stream.seconds - task_s, self._physics[0] - physics_s
        for part, spent in (('physics', physics), ('observation', in_task - physics),
                            ('policy', collected - start - in_task), ('update', time.perf_counter() - collected)):
            self.seconds[part] += spent
        return self._numbers()

    def _numbers(self) -> dict[str, float]:
        said, outcomes = self.model.logger.name_to_value, self.stream.outcomes
        judged = [o.result for o in outcomes]
        nan = float('nan')
        numbers = {
            'return': float(np.mean(self.stream.returns)) if judged else nan,
            'held': float(np.mean([r.held for r in judged])) if judged else nan,
            'success': float(np.mean([r.success for r in judged])) if judged else nan,
            'torque_nm': float(np.mean([r.mean_torque_nm for r in judged])) if judged else nan,
            'episodes': float(len(judged)),
            'kl': float(said.get('train/approx_kl', 0.0)),
            'explained': float(said.get('train/explained_variance', 0.0)),
            'noise': self._noise(), 'loss': float(said.get('train/loss', 0.0)),
        }
        said.clear()
        return numbers

    def _noise(self) -> float:
        with torch.no_grad():
            rows = torch.as_tensor(self.model._last_obs)
            spread: Any = self.policy.get_distribution(rows).distribution
            return float(spread.stddev.mean())

    def set_noise(self, rows: NDArray[np.float32]) -> None:
        """Give actions the standard deviation of the settings, over rows that are typical."""
        with torch.no_grad():
            features = self._networks.forward_actor(torch.as_tensor(rows))
            size = float((features ** 2).sum(dim=1).mean())
            self.policy.log_std.fill_(self.settings.log_noise - 0.5 * float(np.log(size)))

    def _freeze_actor(self, frozen: bool) -> None:
        for parameter in (*self.actor.parameters(), self.policy.log_std):
            parameter.requires_grad_(not frozen)

    def _rate(self, _: float) -> float:
        share = self.updates / self.settings.updates
        return self.settings.learning_rate * max(0.1, 1.0 - 0.9 * share)

    def state(self) -> dict[str, NDArray[Any]]:
        """Weights and optimiser state as arrays."""
        tensors = {f'policy/{k}': v.detach().numpy().copy() for k, v in self.policy.state_dict().items()}
        names = [name for name, _ in self.policy.named_parameters()]
        for index, values in self.policy.optimizer.state_dict()['state'].items():
            tensors.update({f'adam/{names[index]}/{k}': np.asarray(v.detach().numpy()).copy()
                            for k, v in values.items()})
        return tensors

    def restore(self, tensors: Any, updates: int) -> None:
        """Take up what :meth:`state` gave after so many updates."""
        self.policy.load_state_dict({k.removeprefix('policy/'): torch.as_tensor(v)
                                     for k, v in tensors.items() if k.startswith('policy/')})
        document = self.policy.optimizer.state_dict()
        for index, (name, _) in enumerate(self.policy.named_parameters()):
            start = f'adam/{name}/'
            values = {k.removeprefix(start): torch.as_tensor(v) for k, v in tensors.items() if k.startswith(start)}
            if values:
                document['state'][index] = values
        self.policy.optimizer.load_state_dict(document)
        self.updates = updates
        self.model.num_timesteps = updates * self.settings.horizon * self.settings.environments

    def close(self) -> None:
        """Stop the task."""
        self.stream.close()


def _watch(task: Any) -> list[float]:
    """Count the seconds that a task spends in physics; stays 0 for one without a rig."""
    seconds = [0.0]
    rig = getattr(getattr(task, 'lanes', None), 'rig', None)
    if rig is not None:
        advance = rig.advance

        def timed(*args: Any) -> Any:
            start = time.perf_counter()
            result = advance(*args)
            seconds[0] += time.perf_counter() - start
            return result

        rig.advance = timed
    return seconds
