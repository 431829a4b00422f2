"""One finished episode as a row of facts, and how to get many of them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from allegro_description.model import HandModel, load_hand
from allegro_description.simulation.episode import GRIP_FORCE_N, Episode, disturbance
from allegro_description.simulation.score import MAX_SLIP_M, MAX_TURN_RAD, EpisodeResult
from numpy.typing import NDArray

from allegro_ai.tasks.lanes import CONTROL_S, Lanes
from allegro_ai.tasks.policies import Acting
from allegro_ai.tasks.tactile_hold import Outcome, TactileHold, episodes
from allegro_ai.tasks.workers import Work

KINDS = ('not acquired', 'dropped', 'slipped', 'turned', 'crushed', 'overworked', 'unstable')
"""How an episode can fail, in the order in which the question is asked; ``held`` is how it can go well."""


@dataclass(frozen=True, slots=True)
class Trial:
    """One episode of one policy.

    Attributes:
        seed: of the episode, within its object set.
        family: shape of the object. grip: its class. mass: kg. friction: coefficient.
        push: size of the disturbance, object weights.
        success, held, acquired: the judgement. kind: ``held`` or one of :data:`KINDS`.
        slip_mm, turn_deg: motion relative to the palm; None if it was dropped before that could be said.
        torque_nm: mean |torque| of the flexion joints. tip_n: 99th percentile of the largest tip force.
        work_j: integral of |torque x speed| over all joints under the policy, of samples every 20 ms.
        heat: integral of torque squared over all joints under the policy, N²m²s.
        end_s: when it was over. reward: its return.
    """

    seed: int
    family: str
    grip: str
    mass: float
    friction: float
    push: float
    success: bool
    held: bool
    acquired: bool
    kind: str
    slip_mm: float | None
    turn_deg: float | None
    torque_nm: float
    tip_n: float
    work_j: float
    heat: float
    end_s: float
    reward: float


def kind_of(result: EpisodeResult, grip: str, unstable: bool = False) -> str:
    """``held`` for a success, else which of :data:`KINDS` it is."""
    if result.success:
        return 'held'
    if unstable:
        return 'unstable'
    if not result.acquired:
        return 'not acquired'
    if result.dropped_at_s is not None:
        return 'dropped'
    if result.slip_mm > 1e3 * MAX_SLIP_M:
        return 'slipped'
    if result.turn_deg > math.degrees(MAX_TURN_RAD):
        return 'turned'
    return 'crushed' if result.p99_tip_force_n > GRIP_FORCE_N[grip] else 'overworked'


class Effort:
    """Adds up what the motors do under the policy, episode by episode; give it to ``TactileHold.run`` as ``watch``."""

    def __init__(self, count: int) -> None:
        """Prepare for ``count`` episodes."""
        self.work_j, self.heat = np.zeros(count), np.zeros(count)

    def __call__(self, lanes: Lanes, which: NDArray[np.intp]) -> None:
        """Take the step that was just done."""
        mine = which[lanes.running[which]]
        torque, speed = lanes.state.torque[mine], lanes.state.velocity[mine]
        self.work_j[mine] += CONTROL_S * np.abs(torque * speed).sum(axis=1)
        self.heat[mine] += CONTROL_S * (torque * torque).sum(axis=1)


def run_trials(work: Work) -> list[Trial]:
    """Run one piece of work in this process."""
    hand = load_hand(work.model, work.side)
    return trials_of(hand, episodes(hand, work.seeds, work.levels, work.object_set), work.acting(hand), work.randomise)


def trials_of(hand: HandModel, todo: Sequence[Episode], policy: Acting, randomise: bool = True) -> list[Trial]:
    """Run episodes of a policy; one row each, in their order."""
    effort = Effort(len(todo))
    outcomes = TactileHold(hand, todo, randomise=randomise).run(policy, watch=effort)
    return [trial_of(episode, outcome, float(effort.work_j[k]), float(effort.heat[k]))
            for k, (episode, outcome) in enumerate(zip(todo, outcomes, strict=True))]


def trial_of(episode: Episode, outcome: Outcome, work_j: float = 0.0, heat: float = 0.0) -> Trial:
    """The row of an episode that is over."""
    result, obj = outcome.result, episode.obj
    return Trial(
        seed=episode.seed, family=obj.shape, grip=episode.grip_class, mass=obj.mass, friction=obj.friction,
        push=disturbance(episode.level)[1], success=result.success, held=result.held, acquired=result.acquired,
        kind=kind_of(result, episode.grip_class, outcome.unstable), slip_mm=_finite(result.slip_mm),
        turn_deg=_finite(result.turn_deg), torque_nm=result.mean_torque_nm, tip_n=result.p99_tip_force_n,
        work_j=work_j, heat=heat, end_s=result.finished_s, reward=outcome.reward)


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
