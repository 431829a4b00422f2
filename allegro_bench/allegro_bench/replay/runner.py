"""The offline runner: the node's own step (:class:`allegro_ai.grasp_loop.GraspLoop`) on recorded inputs.

Two ways to feed the past back, because a recorded hand followed somebody's targets and not those of the policy under
test. *Teacher-forced*: before each step the target in force is the recorded one, so every step is judged on the
situation that really was. *Self-fed*: during RUN the policy's own last target is in force, so its answers drift away
from the recorded ones as they would, while the measurements stay those of the recording.

What makes a node put the hand on hold is switched off here, so that one bad stretch does not hide the rest; where the
node itself would have held is found by a run of its own, see :func:`holds`.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from allegro_ai.bundle import Bundle
from allegro_ai.grasp import Phase
from allegro_ai.grasp_loop import GraspLoop, JointSample, TouchSample
from allegro_ai.observation import GRIP_CLASSES
from allegro_ai.policy import Policy
from numpy.typing import NDArray

from allegro_bench.replay.inputs import Float, Inputs, Mask, Stamps, Stream
from allegro_bench.replay.logged_past import LoggedPast
from allegro_bench.replay.plan import Plan
from allegro_bench.replay.segments import correlation_steps

if TYPE_CHECKING:
    from allegro_ai.fused_step import FusedStep

TEACHER, OWN = 'teacher-forced', 'self-fed'
_NEVER = 10 ** 9
"""So many ticks no limit lasts, and so many ms no inference takes."""


@dataclass(frozen=True, eq=False)
class Trace:
    """What the policy saw and answered at each step of RUN; all arrays are (steps, …).

    Attributes:
        tick: index into the plan.
        run: which of the plan's runs it belongs to.
        number: steps since that run began.
        time_s: since the beginning of the recording.
        observation: every term that the suite builds, by name, float32.
        action: what the policy answered.
        target: what followed from it, rad.
        previous: target in force before the step, rad.
        score: distance from the training data.
        start_ns: when the step began on this machine, monotonic clock.
        service_ns: how long the whole step took there.
        troubles: (time s, sentence) of steps that gave no answer.
        adrift: answered from a memory that the recording does not tell, see :class:`LoggedPast`.
    """

    tick: NDArray[np.intp]
    run: NDArray[np.intp]
    number: NDArray[np.intp]
    time_s: Float
    observation: dict[str, NDArray[np.float32]]
    action: Float
    target: Float
    previous: Float
    score: Float
    start_ns: Stamps
    service_ns: Stamps
    troubles: tuple[tuple[float, str], ...]
    adrift: Mask

    def __len__(self) -> int:
        return int(self.tick.size)

    @cached_property
    def correlation(self) -> float:
        """Correlation time of the recorded motion, steps: that of the joints' main common motion."""
        if len(self) < 4:
            return 1.0
        position = self.observation['joint_position'].astype(np.float64)
        # One motion of all joints, because each alone has its quantisation noise, which is independent at once.
        main = np.linalg.svd(position - position.mean(axis=0), full_matrices=False)[0][:, 0]
        return correlation_steps(main, self.run)


def run(
    inputs: Inputs, plan: Plan, bundle: Bundle, policy: Policy, *, feed: str = TEACHER, grip: str = 'normal',
    touch: Stream | None = None, guarded: bool = False, wait: Callable[[int], None] | None = None,
    fused: FusedStep | None = None, as_logged: bool = False,
) -> Trace:
    """Replay every run of the plan.

    Args:
        inputs: the recording.
        plan: the ticks.
        bundle: the policy's bundle.
        policy: the bundle's policy in some engine; it is reset at the beginning of each run.
        feed: :data:`TEACHER` or :data:`OWN`.
        grip: grip class where the recording says none.
        touch: other touch than that of the recording, one row per tick of the plan.
        guarded: whether the node's reasons to hold are in force; then a run ends where the node would have held.
        wait: called with the recorded time of each step of RUN, ns, before it; None: as fast as it goes.
        fused: what computes the steps in one call of the engine, as the node does; then only self-fed.
        as_logged: whether the policy has the past that the recording logged of this very bundle, see
            :class:`LoggedPast`; teacher-forced only.
    """
    past = LoggedPast(policy, inputs, plan, bundle) if as_logged else None
    replayed = bundle if guarded else _unguarded(bundle)
    clock = [0]
    loop = GraspLoop(replayed, past or policy, lambda: clock[0], mode='shadow' if feed == TEACHER else 'sim',
                     fused=fused)
    loop.builder.set_grip(inputs.grip or grip)
    recorded = _Recorded(inputs, plan, touch)
    steps: list[tuple[Any, ...]] = []
    troubles: list[tuple[float, str]] = []
    close_ticks = int(np.ceil(bundle.grasp_spec.close_s / bundle.period_s - 0.5 - 1e-9))
    for number, (first, begin, end, _) in enumerate(plan.runs):
        loop.abandon()
        closing = max(begin - close_ticks, first)
        reference: Float | None = None
        for tick in range(first, end):
            joints, felt = recorded.joints(tick), recorded.touch(tick)
            clock[0] = int(plan.now_ns[tick])
            previous = plan.previous[tick]
            forced = feed == TEACHER or tick <= begin
            if tick == closing < begin:
                loop.controller.start(Phase.CLOSE, joints.position[None])
            if tick == begin and loop.phase != Phase.RUN:
                _enter(loop, joints.position, previous, reference)
            if forced and np.isfinite(previous).all():
                loop.controller.target = previous[None].copy()
            used = loop.controller.target[0].copy()
            followed = used if feed == TEACHER or forced else None
            if wait is not None and tick >= begin:
                wait(clock[0])
            if past is not None:
                past.at(tick, number)
            began = time.monotonic_ns()
            result = loop.tick(joints, felt, followed=followed)
            took = time.monotonic_ns() - began
            reference = joints.position
            if tick < begin:
                if loop.phase == Phase.RUN and tick < begin - 1:
                    loop.controller.start(Phase.CLOSE, joints.position[None])  # the recorded close took longer
                continue
            if result.action is not None:
                steps.append((tick, number, tick - begin, result, loop.controller.target[0].copy(), used, began, took,
                              past is not None and past.adrift))
            if result.phase == Phase.HOLD or loop.phase == Phase.HOLD:
                troubles.append((float(inputs.seconds(plan.now_ns[tick])), loop.reason))
                if guarded:
                    break
                loop.controller.phase[:] = Phase.RUN
    return _trace(inputs, plan, steps, troubles)


def holds(inputs: Inputs, plan: Plan, bundle: Bundle, policy: Policy, *, grip: str = 'normal') -> list[
        tuple[float, str]]:
    """Where the node would have put the hand on hold, and why: (time s, reason), the first of each run.

    Slow inference is not among the reasons: times of this machine say nothing about that one, see ``pacing``.
    """
    return list(run(inputs, plan, _patient(bundle), policy, grip=grip, guarded=True).troubles)


class _Recorded:
    """Samples as the node would have held them."""

    def __init__(self, inputs: Inputs, plan: Plan, touch: Stream | None) -> None:
        self._inputs, self._plan = inputs, plan
        self._touch = inputs.touch if touch is None else touch
        self._rows = plan.touch if touch is None else np.arange(len(plan), dtype=np.intp)

    def joints(self, tick: int) -> JointSample:
        stream, row = self._inputs.joints, self._plan.joint[tick]
        return JointSample(int(stream.stamp_ns[row]), stream.values[row])

    def touch(self, tick: int) -> TouchSample | None:
        stream, row = self._touch, self._rows[tick]
        if stream is None or row < 0:
            return None
        return TouchSample(int(stream.stamp_ns[row]), stream.values[row], stream.valid[row])


def _enter(loop: GraspLoop, position: Float, previous: Float, reference: Float | None) -> None:
    """Begin RUN where the recording does; the posture is latched as at the end of a close."""
    loop.controller.start(Phase.RUN, (position if reference is None else reference)[None])
    if np.isfinite(previous).all():
        flexion = loop.bundle.model.flexion
        loop.controller.reference = np.where(flexion, loop.controller.reference, previous[None])
        if not loop.controller.mapper.incremental:
            loop.controller.target = previous[None].copy()


def _patient(bundle: Bundle) -> Bundle:
    runtime = {**bundle.contract['runtime'], 'latency_budget_ms': _NEVER}
    return replace(bundle, contract={**bundle.contract, 'runtime': runtime})


def _unguarded(bundle: Bundle) -> Bundle:
    safety = {**bundle.contract['safety'], 'sustain_ticks': _NEVER}
    return replace(_patient(bundle), contract={**_patient(bundle).contract, 'safety': safety})


def _trace(inputs: Inputs, plan: Plan, steps: list[tuple[Any, ...]], troubles: list[tuple[float, str]]) -> Trace:
    ticks, runs, numbers, results, targets, used, began, took, adrift = \
        zip(*steps, strict=True) if steps else ([],) * 9
    joints = len(inputs.model.joints)
    # A fused step shows less of what it saw than the builder does.
    names = [n for n in results[0].observation if all(n in r.observation for r in results[1:2])] if results else []
    return Trace(
        np.array(ticks, dtype=np.intp), np.array(runs, dtype=np.intp), np.array(numbers, dtype=np.intp),
        inputs.seconds(plan.now_ns[np.array(ticks, dtype=np.intp)]) if steps else np.zeros(0),
        {name: np.concatenate([r.observation[name] for r in results]) for name in names},
        np.array([r.action for r in results]).reshape(-1, joints), np.array(targets).reshape(-1, joints),
        np.array(used).reshape(-1, joints), np.array([r.score for r in results], dtype=np.float64),
        np.array(began, dtype=np.int64), np.array(took, dtype=np.int64), tuple(troubles),
        np.array(adrift, dtype=bool))


def contact(trace: Trace) -> Mask:
    """Steps at which the policy feels a tip touch, (steps,)."""
    felt = trace.observation.get('tactile_tip_contact')
    return np.zeros(len(trace), dtype=bool) if felt is None else np.asarray((felt > 0).any(axis=1))


def grip_of(inputs: Inputs) -> str:
    """Grip class that ``policy_state`` shows, '' where it shows none."""
    seen = inputs.columns('grip_class')
    if seen is None or not len(seen) or seen.shape[1] != len(GRIP_CLASSES):
        return ''
    return GRIP_CLASSES[int(np.argmax(seen[0]))]
