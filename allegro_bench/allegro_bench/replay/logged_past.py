"""What a policy remembers, as its recording says: one step that cannot be told must not spoil the rest of a run.

Feeding a policy its own answers is a loop of its own that may enlarge a difference without bound: two engines that
differ in the last digit may be far apart after a hundred steps on the same measurements. Whether the node answered as
the offline runner does is therefore asked step by step, from the past that the node had.
"""

from __future__ import annotations

from collections.abc import Mapping, Set

import numpy as np
from allegro_ai.bundle import Bundle
from allegro_ai.policy import Policy
from numpy.typing import NDArray

from allegro_bench.replay.inputs import Inputs
from allegro_bench.replay.plan import Plan

Array32 = NDArray[np.float32]

REMEMBERING = frozenset(('tactile_tip_rate', 'tactile_tip_trace', 'tactile_tip_contact'))
ONE_TICK = frozenset(('joint_delta', 'joint_target', 'joint_target_error', 'last_action'))
"""Terms that depend on the touch of ticks before, and on the very tick before."""

TOLERANCE = 1e-5
"""Largest difference of an action (of ±1) of one engine from that which the node logged."""


def remembers(bundle: Bundle) -> bool:
    """Whether what a policy answers depends on more than the observation."""
    runtime = bundle.contract['runtime']
    return bool(runtime['history']['steps'] > 1 or runtime['state'])


class Unsettled:
    """Follows a run and says at which steps only such terms differ as remember what the recording does not hold."""

    def __init__(self) -> None:
        self._now, self._run = False, -1

    def step(self, run: int, lost: bool, differing: Set[str]) -> bool:
        """Whether this step cannot be told from the topics; called for each logged step in order.

        Args:
            run: which run it belongs to.
            lost: whether the joint state of the tick before it is not in the recording.
            differing: terms that are not what the node saw.
        """
        self._now = self._now or lost or run != self._run
        self._run = run
        self._now = self._now and bool(differing) and differing <= (REMEMBERING | ONE_TICK if lost else REMEMBERING)
        return self._now


class LoggedPast:
    """A policy that sees what is rebuilt from the topics, with the past that the node logged.

    Its last action is the logged one, a term that cannot be told is taken as logged, and inferences of ticks that are
    not replayed are made up for.

    Attributes:
        adrift: whether the last answer came from a memory that the recording does not tell.
    """

    def __init__(self, policy: Policy, inputs: Inputs, plan: Plan, bundle: Bundle) -> None:
        self._policy, self._plan = policy, plan
        logged = {name: inputs.columns(name) for name in bundle.inputs}
        self._logged = {name: values.astype(np.float32) for name, values in logged.items() if values is not None}
        self._number = inputs.column('run/number')
        self._memory = remembers(bundle)
        self._unsettled = Unsettled()
        self._tick = self._run = self._made = self._row = -1
        self.adrift = False

    @property
    def extra(self) -> Mapping[str, Array32]:
        """Further outputs of the last answer."""
        found: Mapping[str, Array32] = getattr(self._policy, 'extra', {})
        return found

    def at(self, tick: int, run: int) -> None:
        """Say which tick of the plan, and which of its runs, the next answer is for."""
        if run != self._run:
            self._made, self._row = 0, -1
        self._tick, self._run = tick, run

    def reset(self, which: NDArray[np.bool_] | None = None) -> None:
        """Start a new episode."""
        self._policy.reset(which)

    def act(self, observation: Mapping[str, Array32]) -> Array32:
        """Action for what the node saw at this tick, as far as it differs only where the recording cannot tell."""
        row = int(self._plan.state[self._tick])
        if row < 0 or not self._logged:
            self._made += 1
            return self._policy.act(observation)
        if self._memory and self._row >= 0:
            for between in range(self._row + 1, row):
                self._policy.act(self._at(between))
                self._made += 1
        self.adrift = self._memory and self._number is not None and self._number[row] != self._made
        seen = self._at(row)
        off = {name for name, value in seen.items() if not np.abs(observation[name] - value).max() <= TOLERANCE}
        unsettled = self._unsettled.step(self._run, bool(self._plan.lost[self._tick]), off)
        taken = off if unsettled else {'last_action'} & seen.keys()
        self._made, self._row = self._made + 1, row
        return self._policy.act({**observation, **{name: seen[name] for name in taken}})

    def _at(self, row: int) -> dict[str, Array32]:
        return {name: values[row:row + 1] for name, values in self._logged.items()}
