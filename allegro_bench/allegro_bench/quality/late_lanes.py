"""Episodes in which what the policy decides reaches the hand as late as a backend is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from allegro_ai.tasks.lanes import STEPS, SUBSTEPS, Lanes, Outcome
from allegro_description.model import HandModel
from allegro_description.simulation.rig import Places
from allegro_description.state import Array
from numpy.typing import NDArray

from allegro_bench.quality.delay import Plan


class LateLanes(Lanes):
    """Lanes whose policies decide when a :class:`~allegro_bench.quality.delay.Plan` says so, and are heard later.

    The close comes before the policy and is not delayed. A delay that the episode drew for its hand comes on top.
    Without any delay the outcome is that of :class:`~allegro_ai.tasks.lanes.Lanes`, bit by bit.

    Attributes:
        decided: ticks that were computed under the policy so far, (count,).
    """

    def __init__(self, hand: HandModel, plans: Sequence[Plan], *, randomise: bool = True, threads: int = 1) -> None:
        """Prepare one empty lane per plan; a plan covers :data:`~allegro_ai.tasks.lanes.STEPS` ticks."""
        super().__init__(hand, len(plans), randomise=randomise, threads=threads)
        count, joints = self.count, len(hand.joints)
        self._decides = np.array([p.decides for p in plans], dtype=bool)
        self._in_effect = np.array([p.in_effect for p in plans], dtype=np.intp).reshape(count, STEPS, SUBSTEPS)
        self.decided = np.zeros(count, dtype=np.intp)
        self._ticked = np.zeros(count, dtype=np.intp)               # ticks released under the policy
        self._made = np.zeros((count, STEPS + 1, joints))           # their targets; 0 is the last one before
        self._under_policy = np.zeros(count, dtype=bool)
        # what leaves the policy's computer at each step of the hand
        self._line = np.zeros((count, STEPS * SUBSTEPS, joints))

    def deciding(self, which: Places) -> NDArray[np.bool_]:
        """Lanes of ``which`` whose loop is not busy with an earlier tick, (count,)."""
        every = np.arange(self.count)
        due = self._decides[every, np.minimum(self._ticked, STEPS - 1)]
        return super().deciding(which) & (due | ~self.running)

    def step(self, which: Places, action: Array) -> list[tuple[int, Outcome]]:
        """As :meth:`Lanes.step`; actions count where :meth:`deciding` is true."""
        self._under_policy = self.running
        self.decided += self.deciding(which) & self._under_policy
        return super().step(which, action)

    def drive(self, which: Places, target: Array, now: Mapping[str, Array]) -> NDArray[np.bool_]:
        """Let the hands follow what has reached them, step by step of the physics."""
        clock = self.clock[which]
        due = self._due(which, target)
        self.rig.write(which, due[:, 0], now['gravity'], now['force'], now['point'], now['payload'][:, 0])
        changes = np.flatnonzero((due[:, 1:] != due[:, :-1]).any(axis=(0, 2))) + 1
        stable = np.ones(clock.size, dtype=bool)
        for first, last in zip([0, *changes], [*changes, SUBSTEPS], strict=True):
            if first:
                for k, row in zip(which.tolist(), due[:, first], strict=True):
                    plant = self._plant(k)
                    plant.data.ctrl[plant.addresses.actuator] = row
            stable &= self.rig.advance(which, int(last - first))
        return stable

    def _due(self, which: Places, target: Array) -> Array:
        """Targets that hold at the hands in the steps of the physics to come, rad, (k, SUBSTEPS, n_joints)."""
        clock, ticked = self.clock[which], self._ticked[which]
        policy = self._under_policy[which]
        mine = which[policy]
        self._made[which[~policy], 0] = target[~policy]
        self._made[mine, ticked[policy] + 1] = target[policy]
        leaves = np.repeat(target[:, None], SUBSTEPS, axis=1)
        if mine.size:
            leaves[policy] = self._made[mine[:, None], self._in_effect[mine, ticked[policy]] + 1]
        steps = clock[:, None] * SUBSTEPS + np.arange(SUBSTEPS)
        self._line[which[:, None], steps] = leaves
        self._ticked[mine] += 1
        late = steps - self._delay[which][:, None] * SUBSTEPS
        due = self._line[which[:, None], np.maximum(late, 0)]
        return np.asarray(np.where((late >= 0)[:, :, None], due, self._sent[which, 0][:, None]))
