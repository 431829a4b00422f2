"""SlipArrest as a task: the least grip that holds, an event, and a policy that has to notice and to react."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from allegro_description.model import HandModel
from allegro_description.simulation.rig import Places
from allegro_description.simulation.slip import POLICY_S, RAMP_S, SlipEpisode, SlipJudge, SlipResult
from allegro_description.state import Array
from numpy.typing import NDArray

from allegro_ai.observation import Observation
from allegro_ai.tasks.lanes import CONTROL_S, Lanes, Outcome
from allegro_ai.tasks.policies import Acting, reset_policy
from allegro_ai.tasks.privileged import privileged

VERSION = 'SlipArrest-v1'
FIRST_STEP = round(POLICY_S / CONTROL_S)
MARGIN = 1.1                    # the start grip over the least one that holds


@dataclass(frozen=True, slots=True)
class Grips:
    """What one seed needs, found by search (:mod:`.slip_grips`): shares of the torque limit and a torque.

    Attributes:
        before: least share that holds until the event. after: least share that holds after it.
        after_nm: mean |torque| over the flexion joints that this gives in the end, N·m.
    """

    before: float
    after: float
    after_nm: float

    @property
    def start(self) -> float:
        """The share with which the policy receives the object."""
        return min(1.0, MARGIN * self.before)


class SlipLanes(Lanes):
    """Lanes of SlipArrest: until 2.0 s the grip is squeezed with a share given for each lane, then the policy acts."""

    def __init__(self, hand: HandModel, count: int, *, randomise: bool = True, threads: int = 1) -> None:
        """See :class:`~.lanes.Lanes`."""
        super().__init__(hand, count, randomise=randomise, threads=threads)
        self.judge: SlipJudge = SlipJudge(count, CONTROL_S)
        self.grips: list[Grips | None] = [None] * count
        self._share = np.zeros(count)

    def begin(self, k: int, episode: SlipEpisode, grips: Grips) -> None:
        """Begin an episode in lane ``k`` with the grips of its seed."""
        self.grips[k], self._share[k], self.judge.least_nm[k] = grips, grips.start, grips.after_nm
        self.start(k, episode)

    @property
    def acting(self) -> NDArray[np.bool_]:
        """Lanes in which the policy decides, (count,); before 2.0 s it only watches."""
        return np.asarray(self.running & (self.clock >= FIRST_STEP))

    def step(self, which: Places, action: Array) -> list[tuple[int, Outcome]]:
        """See :meth:`.lanes.Lanes.step`."""
        given = self._share[:, None] * self.hand.flexion
        for k in which.tolist():
            episode = self.episode[k]
            assert isinstance(episode, SlipEpisode)
            t = float(self.clock[k]) * CONTROL_S
            if episode.event == 'wet' and episode.event_s <= t < episode.event_s + RAMP_S + CONTROL_S:
                self.facts[k, 7] = episode.friction(t)
                self._plant(k).set_friction(episode.friction(t))
        return super().step(which, np.where(self.acting[:, None], action, given))


class SlipArrest:
    """A batch of SlipArrest episodes, run to their end."""

    def __init__(
        self, hand: HandModel, episodes: Sequence[SlipEpisode], grips: Sequence[Grips], *, randomise: bool = True
    ) -> None:
        """Take the episodes and what :func:`~.slip_grips.search` found for them."""
        self.hand, self.episodes, self.grips = hand, list(episodes), list(grips)
        self._randomise = randomise

    def run(
        self, policy: Acting, *, threads: int = 1,
        watch: Callable[[SlipLanes, Places, Observation, Array], None] | None = None,
    ) -> list[SlipResult]:
        """Run all episodes to their end.

        Args:
            policy: acts at 50 Hz from 2.0 s on; one with memory sees the second before it, too.
            threads: physics threads; the result does not depend on it.
            watch: called at each step under the policy with the lanes, those that still run, the observation and the
                action, e.g. to record labels or outputs.
        """
        n = len(self.episodes)
        outcomes: dict[int, Outcome] = {}
        lanes = SlipLanes(self.hand, n, randomise=self._randomise, threads=threads)
        try:
            for k, (episode, grips) in enumerate(zip(self.episodes, self.grips, strict=True)):
                lanes.begin(k, episode, grips)
            reset_policy(policy)
            every, idle = np.arange(n), np.zeros((n, len(self.hand.joints)))
            while len(outcomes) < n:
                which = np.array([k for k in range(n) if k not in outcomes])
                observation, action = lanes.observe(which), idle
                if lanes.running[which].any():
                    if getattr(policy, 'privileged', False):
                        observation['privileged'] = privileged(lanes, every)
                        observation['grips'] = _needed(lanes)
                    action = np.asarray(policy.act(observation), dtype=np.float64)
                    if watch is not None:
                        watch(lanes, which, observation, action)
                outcomes.update(lanes.step(which, action))
        finally:
            lanes.close()
        return [_result(outcomes[k]) for k in range(n)]


def _needed(lanes: SlipLanes) -> NDArray[np.float32]:
    """Start share, the least share that holds at this moment, and whether the event has happened, (count, 3)."""
    rows = np.zeros((lanes.count, 3), dtype=np.float32)
    for k, (grips, episode) in enumerate(zip(lanes.grips, lanes.episode, strict=True)):
        if grips is not None and isinstance(episode, SlipEpisode):
            happened = episode.event != 'none' and lanes.clock[k] * CONTROL_S >= episode.event_s
            rows[k] = grips.start, grips.after if happened else grips.before, happened
    return rows


def _result(outcome: Outcome) -> SlipResult:
    if isinstance(outcome.result, SlipResult):
        return outcome.result
    nan = float('nan')      # physics that broke is a failure, never left out
    return SlipResult(False, False, False, None, nan, nan, 0.0, 0.0, 0.0, 'none', False, False, nan, nan, nan, 0.0, nan)


class Shares:
    """Squeezes each episode with a share of its own: how :mod:`.slip_grips` searches."""

    def __init__(self, hand: HandModel, shares: Array) -> None:
        """Take one share per episode, 0 … 1, (batch,)."""
        self._action = shares[:, None] * hand.flexion

    def act(self, observation: Mapping[str, NDArray[np.float32]], /) -> Array:
        """The same always."""
        return self._action

