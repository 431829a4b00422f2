"""What the learner adds to the task's reward. The score of an episode is never changed, only what training feels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from allegro_description.errors import ConfigError, UnknownName
from numpy.typing import NDArray

from allegro_ai.tasks.lanes import Outcome

VERSIONS = ('task', 'budget-1', 'budget-2')
"""``task``: the task's reward alone. ``budget-1``: the score's hard budget is felt, too: 1 off for each step in which
a tip carries more than 0.9 of the class's force limit, 20 more at the end of an episode that counts as a success.
``budget-2``: as that, but the force costs 6 per share above 0.75 of the limit, so that coming near is felt and
steps above it are not cheaper than a slip; from 1.1 of the limit on it costs no more, for a broken limit is broken."""

LIMIT_SHARE, OVER_LIMIT, SUCCESS = 0.9, 1.0, 20.0
NEAR_SHARE, NEAR_LIMIT, NEAR_MOST = 0.75, 6.0, 0.35


@dataclass(frozen=True, slots=True, eq=False)
class Shaping:
    """Turns rewards of the task into those of the learner.

    Attributes:
        version: one of :data:`VERSIONS`.
        tips, limit: columns of the privileged numbers: force of each tip, N, and force limit, N.
        scale: of the result; values near 1 suit the critic.
    """

    version: str
    tips: NDArray[np.intp]
    limit: int
    scale: float = 0.1

    def reward(
        self, reward: NDArray[np.floating], privileged: NDArray[np.float32], outcomes: Sequence[Outcome | None]
    ) -> NDArray[np.floating]:
        """Reward of one step, before scaling, (num_envs,)."""
        if self.version == 'task':
            return np.array(reward)
        share = privileged[:, self.tips].max(axis=1) / privileged[:, self.limit]
        if self.version == 'budget-1':
            cost = OVER_LIMIT * (share > LIMIT_SHARE)
        else:
            cost = NEAR_LIMIT * np.clip(share - NEAR_SHARE, 0.0, NEAR_MOST)
        success = np.array([o is not None and o.result.success for o in outcomes])
        return np.asarray(reward - cost + SUCCESS * success)


def make_shaping(version: str, privileged_names: Sequence[str]) -> Shaping:
    """Find the columns.

    Raises:
        UnknownName: no such version.
        ConfigError: the task does not tell tip forces and their limit.
    """
    if version not in VERSIONS:
        raise UnknownName('reward version', version, VERSIONS)
    tips = np.array([k for k, name in enumerate(privileged_names) if name.startswith('tip_force/')], dtype=np.intp)
    limits = [k for k, name in enumerate(privileged_names) if name.startswith('force_limit/')]
    if version != 'task' and not (len(tips) and limits):
        raise ConfigError(f'reward version {version!r} needs tip_force and force_limit, which the task does not tell')
    return Shaping(version, tips, limits[0] if limits else 0)
