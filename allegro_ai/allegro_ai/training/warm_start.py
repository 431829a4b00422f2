"""Imitation before learning (DAgger): the actor acts more and more often, the teacher says what it would have done.

The same steps fit the scales of actor and critic.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from allegro_ai.tasks.policies import Acting, reset_policy
from allegro_ai.training.learner import Learner

ROUNDS, EPOCHS, BATCH, RATE = 4, 4, 512, 1e-3
ALWAYS = 4          # one of so many environments is led by the teacher alone
BOUND = 0.95        # of the teacher's actions: tanh reaches 1 only with endless weights


def warm_start(learner: Learner, teacher: Acting | None) -> float | None:
    """Fit scales and, with a teacher, the actor.

    Args:
        learner: fresh; its segment must have begun.
        teacher: what to imitate; None: act at random and fit the scales only.

    Returns:
        The teacher's mean return, of a quarter of the environments that it always leads; None without a teacher.
    """
    settings, stream = learner.settings, learner.stream
    private = bool(getattr(teacher, 'privileged', False))
    rng = np.random.default_rng(np.random.SeedSequence((12, settings.seed)))
    rows, joints = stream.reset(), learner.actor.head.out_features
    count = stream.num_envs
    always = np.arange(count) < max(1, count // ALWAYS)
    if teacher is not None:
        reset_policy(teacher)
    seen: list[NDArray[np.float32]] = []
    labels: list[NDArray[np.float32]] = []
    earned, returns = np.zeros(count), []
    for part in range(ROUNDS):
        for _ in range(settings.warm_steps // ROUNDS):
            seen.append(rows)
            if teacher is None:
                action = rng.uniform(-0.3, 0.3, (count, joints))
            else:
                view = stream.observation if private else {
                    k: v for k, v in stream.observation.items() if k != 'privileged'}
                action = np.clip(np.asarray(teacher.act(view)), -BOUND, BOUND)
                labels.append(action.astype(np.float32))
                if part:
                    mine = learner.actor(torch.as_tensor(rows[:, :stream.seen])).detach().numpy()
                    led = always | (rng.random(count) < 0.5 ** part)
                    action = np.where(led[:, None], action, mine)
            rows, reward, ended, _ = stream.step(action)
            earned += reward / stream.shaping.scale
            returns += earned[ended & always].tolist()
            earned[ended] = 0.0
            if teacher is not None and ended.any():
                reset_policy(teacher, ended)
        data = np.concatenate(seen)
        if part == 0:
            _fit_scales(learner, data)
        if teacher is not None:
            _imitate(learner, data[:, :stream.seen], np.concatenate(labels))
    learner.set_noise(data[-BATCH:])
    return float(np.mean(returns)) if returns and teacher is not None else None


def _fit_scales(learner: Learner, rows: NDArray[np.float32]) -> None:
    width, seen = learner.layout.width, learner.stream.seen
    learner.actor.normaliser.fit(rows[:, seen - width:seen])
    learner.critic.normaliser.fit(rows[:, seen - width:])


def _imitate(learner: Learner, rows: NDArray[np.float32], labels: NDArray[np.float32]) -> None:
    optimiser = torch.optim.Adam(learner.actor.parameters(), lr=RATE)
    x, y = torch.as_tensor(rows), torch.as_tensor(labels)
    for _ in range(EPOCHS):
        order: Any = torch.randperm(len(x))
        for batch in order.split(BATCH):
            loss: Any = torch.nn.functional.mse_loss(learner.actor(x[batch]), y[batch])
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
