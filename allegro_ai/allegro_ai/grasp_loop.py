"""One tick of a running policy: newest measurements in, a target or a reason to hold out. No ROS, no threads, no sleep.

Everything that can be wrong ends in HOLD with a reason and stays there until somebody says grasp or release: joint
states too old, from the future or not finite, a required touch that is missing, impossible values, a fingertip
pressed too hard, observations far from the training data, an inference that fails, is too slow or answers NaN, a
control thread that was too late. While joint states are too old nothing is commanded at all, because nothing could be
stamped honestly: the driver's own watchdog holds and then relaxes.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from allegro_description.errors import AllegroError, CommandRefused
from numpy.typing import NDArray

from allegro_ai.action import all_finite
from allegro_ai.bundle import Bundle
from allegro_ai.cadence import Recent
from allegro_ai.grasp import Phase
from allegro_ai.observation import ObservationError
from allegro_ai.policy import GraphPolicy, Policy
from allegro_ai.tick import JointSample, Tick, TouchSample

if TYPE_CHECKING:
    from allegro_ai.fused_step import FusedStep

__all__ = ['MS', 'GraspLoop', 'JointSample', 'Tick', 'TouchSample']

Float = NDArray[np.float64]
Terms = Mapping[str, NDArray[np.float32]]

MS = 1_000_000
CPU_EVERY = 8
"""A whole step has its processor time measured once in so many; in between the last measurement stands for it."""

_PHASES: tuple[Phase, ...] = tuple(Phase)  # an index, because calling the enumeration costs two microseconds
_MOVING = (Phase.RAMP, Phase.CLOSE, Phase.RUN)


class GraspLoop:
    """Owns the phases, the observation and the policy of one hand.

    :meth:`tick` is called by one thread; :meth:`request` may be called by any.
    """

    def __init__(
        self, bundle: Bundle, policy: Policy, clock: Callable[[], int], *, mode: str = 'sim',
        fused: FusedStep | None = None,
    ) -> None:
        """Prepare in IDLE.

        Args:
            bundle: the loaded bundle.
            policy: what decides in RUN.
            clock: clock of the stamps, ns.
            mode: ``shadow`` computes but commands nothing; ``sim`` and ``live`` command.
            fused: what computes the steps of RUN but the first, see :func:`allegro_ai.fused_step.fuse`; None: numpy
                and the policy compute all of them.
        """
        safety = bundle.contract['safety']
        self.bundle, self.policy, self.clock, self.mode = bundle, policy, clock, mode
        self.fused = fused if isinstance(policy, GraphPolicy) else None
        self._fusing = False
        self.builder, self.controller, self._ood = bundle.builder(), bundle.controller(), bundle.ood()
        self._period_s = bundle.period_s
        self._stale_ns = int(float(safety['stale_ms']) * MS)
        self._budget_ns = int(float(bundle.contract['runtime']['latency_budget_ms']) * MS)
        self._safety, self._sustain = safety, int(safety['sustain_ticks'])
        self._max_kpa, self._warn, self._stop = (float(safety[k]) for k in ('max_tip_kpa', 'ood_warn', 'ood_stop'))
        touch = [e for e in bundle.contract['inputs'] if e['name'].startswith('tactile')]
        self._touch_used = bool(touch)
        self._touch_age_ns = int(min((float(e.get('max_age_ms', safety['stale_ms'])) for e in touch), default=0) * MS)
        self._ranges = {e['name']: e['range'] for e in bundle.contract['inputs'] if 'range' in e}
        self._bounds = {e['name']: e['range'] for e in bundle.contract.get('extra_outputs', ())}
        self._requests: deque[tuple[str, str]] = deque(maxlen=16)
        self._limits = {'pressure': 0, 'ood': 0, 'slow': 0}
        self._last_stamp: int | None = None
        self._issued: int | None = None
        self._action = np.zeros_like(self.controller.target)
        self._held_s = 0.0
        self._number = 0
        self._warned = self._repeats = False
        self.reason, self.score = '', 0.0
        self.counts = dict.fromkeys(('ticks', 'skipped', 'repeated', 'touch_masked', 'inferences', 'holds'), 0)
        self.latency_ms, self.cpu_ms = Recent(), Recent()
        self.cpu_total_s = self._cpu_s = 0.0

    @property
    def phase(self) -> Phase:
        """Phase of the next tick."""
        return _PHASES[int(self.controller.phase[0])]

    def request(self, what: str, reason: str = '') -> None:
        """Ask for ``grasp``, ``release`` or ``hold`` (with a reason) at the next tick. Any thread."""
        self._requests.append((what, reason))

    def ready(self, joints: JointSample | None, touch: TouchSample | None) -> str:
        """Why a grasp cannot begin with these inputs; '' when it can."""
        now = self.clock()
        if joints is None:
            return 'no joint states have arrived; is the hand driver active?'
        problem = self._age_problem(now, joints)
        if problem:
            return problem
        if self.bundle.touch_required and self._fresh_touch(now, touch) is None:
            return 'the policy requires touch, but there is no fresh tactile/points; is tactile_publisher active?'
        return ''

    def abandon(self) -> None:
        """Back to IDLE, e.g. when the node is deactivated. Not while another thread ticks."""
        self._requests.clear()
        self.controller.start(Phase.IDLE, self.controller.target)
        self._begin()

    def issued(self, stamp_ns: int) -> None:
        """Note when the target of the last tick was sent: the next state must be younger.

        A target sent again keeps its first time, or states that are more than a period old were never young enough.
        """
        if not self._repeats:
            self._issued = stamp_ns

    def tick(
        self,
        joints: JointSample | None,
        touch: TouchSample | None,
        *,
        skipped: int = 0,
        followed: Float | None = None,
    ) -> Tick:
        """Advance one control period.

        Args:
            joints: newest joint state, or None when none ever came.
            touch: newest touch, or None.
            skipped: control periods that were missed just before this one.
            followed: in shadow mode the target that the hand really follows, rad, (n_joints,), if known.
        """
        now = self.clock()
        events: list[str] = []
        self.counts['ticks'] += 1
        self.counts['skipped'] += skipped
        self._repeats = False
        if skipped * self._period_s * 1e9 > self._stale_ns:
            self._hold(f'the control thread was late by {skipped} periods', events)
        problem = self._age_problem(now, joints) if joints is not None else 'no joint states have arrived'
        if joints is None or problem:
            self._hold(problem, events)
            self._serve_requests(None, problem, events)
            self._relax(events)
            return Tick(self.phase, events=events)
        if self._requests:
            self._serve_requests(joints.position[None], '', events)
        previous = self._issued if self.mode != 'shadow' else None
        self._repeats = joints.stamp_ns == self._last_stamp or (previous is not None and joints.stamp_ns <= previous)
        if self._repeats:
            # Not younger than the last target: pairing it with that target would be a step of skew.
            self.counts['repeated'] += 1
            return self._tick(joints, None, self.controller.target[0], events)
        self._last_stamp = joints.stamp_ns
        return self._decide(now, joints, touch, followed, events)

    def _decide(
        self, now: int, joints: JointSample, touch: TouchSample | None, followed: Float | None, events: list[str],
    ) -> Tick:
        last_target = self.controller.target if followed is None else followed[None]
        fresh = self._fresh_touch(now, touch)
        if fresh is None and self._touch_used:
            self.counts['touch_masked'] += 1
            if self.bundle.touch_required and self.phase in _MOVING:
                self._hold('touch is required and missing', events)
        whole = self.fused is not None and self._number > 0 and self.phase == Phase.RUN and (
            self._fusing or self.fused.takes(self.controller.target))
        if whole and (decided := self._decide_fused(now, joints, last_target[0], fresh, events)) is not None:
            return decided
        try:
            observation = self.builder.update(
                joints.stamp_ns, joints.position[None], last_target, None if fresh is None else fresh.pressure[None],
                None if fresh is None else fresh.valid[None], last_action=self._action)
        except ObservationError as error:
            self._hold(str(error), events)
            self._relax(events)
            return self._tick(joints, None, self.controller.target[0], events)
        if whole:  # never seen: the step refuses what the builder refuses
            self._hold('the whole step refused a measurement', events)
        if self.phase in _MOVING:
            pressure = float(observation['tactile_tip_pressure'].max(initial=0.0))
            self._check_values(observation, pressure, self.phase == Phase.RUN,
                               lambda: float(self._ood.score(observation)[0]), events)
        else:
            self._limits = dict.fromkeys(self._limits, 0)
        result = self._tick(joints, observation, None, events)
        action = self._infer(observation, result) if self.phase == Phase.RUN else None
        phase = self.phase
        try:
            target = self.controller.step(self._period_s, joints.position[None], None if action is None else action)
        except CommandRefused as error:
            self._hold(str(error), events)
            target = self.controller.target
        self._action = np.zeros_like(target) if action is None or self.phase != Phase.RUN else np.clip(action, -1, 1)
        if phase != self.phase:
            events.append(f'{phase.name} -> {self.phase.name}')
        result.phase = phase
        result.target = None if phase == Phase.IDLE or self.mode == 'shadow' else target[0].copy()
        if result.action is None:
            result.observation = None
        self._relax(events)
        return result

    def _decide_fused(
        self, now: int, joints: JointSample, last_target: Float, fresh: TouchSample | None, events: list[str],
    ) -> Tick | None:
        """A tick of RUN in one call of the engine; None when the measurement has to go the long way, to be refused."""
        fused = self.fused
        assert fused is not None
        if not self._fusing:
            assert isinstance(self.policy, GraphPolicy)
            fused.begin(self.builder, self.controller, self.policy, self._action)
            self._fusing = True
        if self.builder.grip is not fused.grip:  # somebody has set another one
            fused.set_grip(self.builder.grip)
        result, holds = Tick(Phase.RUN, joints.stamp_ns, events=events), self.counts['holds']
        # Asking for the processor time of a thread costs three microseconds, so it is asked for now and then.
        cpu, began = time.thread_time_ns() if self._number % CPU_EVERY == 1 else 0, time.perf_counter_ns()
        try:
            touch = (None, None) if fresh is None else (fresh.pressure, fresh.valid)
            if not fused.run(joints.position, last_target, *touch):
                return None
            took, seen = time.perf_counter_ns() - began, fused.seen()
            self._check_values(seen, fused.worst_kpa(), True, fused.score, events)
            if self.counts['holds'] == holds:
                result.started_ns, result.finished_ns = now, max(self.clock(), now + took)  # as in _infer
                if self._accepted(fused.action, fused.finite(), took, cpu, fused.extra, result):
                    self.controller.target = fused.target.copy()
                if result.action is not None:
                    result.observation = seen
        except Exception as error:  # as in _infer
            self._failed(error, events)
        if self.mode != 'shadow':
            result.target = self.controller.target[0].copy()
        if self.counts['holds'] != holds:
            result.phase = self.phase
            self._relax(events)
        return result

    def _infer(self, observation: Terms, result: Tick) -> Float | None:
        """Run the policy; None when it failed (then the loop holds)."""
        cpu = time.thread_time_ns()
        result.started_ns = self.clock()
        began = time.perf_counter_ns()
        try:
            action = np.array(self.policy.act(observation), dtype=np.float64)
        except Exception as error:  # whatever a backend throws, the hand holds
            self._failed(error, result.events)
            return None
        took = time.perf_counter_ns() - began  # simulated time stands still meanwhile
        result.finished_ns = max(self.clock(), result.started_ns + took)
        extra = getattr(self.policy, 'extra', {})
        return action if self._accepted(action, all_finite(action), took, cpu, extra, result) else None

    def _failed(self, error: Exception, events: list[str]) -> None:
        said = str(error) if isinstance(error, AllegroError) else f'{type(error).__name__}: {error}'
        self._hold(f'inference failed: {" ".join(said.split())}', events)

    def _accepted(self, action: Any, finite: bool, took: int, cpu: int, extra: Terms, result: Tick) -> bool:
        """Note what an inference cost and gave; false when the hand has to hold instead of following it."""
        self.counts['inferences'] += 1
        if cpu:
            self._cpu_s = (time.thread_time_ns() - cpu) * 1e-9
            self.cpu_ms.add(self._cpu_s * 1e3)
        self.cpu_total_s += self._cpu_s
        self.latency_ms.add(took / MS)
        if not finite or action.shape != self._action.shape:
            self._hold('the policy returned NaN or infinite actions, or the wrong number of them', result.events)
            return False
        result.action, result.number, result.score = action[0].astype(np.float64), self._number, self.score
        self._number += 1
        if self._bounds:
            result.extra = self._extra(extra)
        if self._sustained('slow', took > self._budget_ns):
            self._hold(f'inference takes {took / MS:.1f} ms, budget {self._budget_ns / MS:g} ms', result.events)
            return False
        return True

    def _extra(self, found: Terms) -> dict[str, NDArray[np.float32]]:
        """Further outputs of the last inference; one that is no number within its bounds is left out."""
        kept = {}
        for name, (low, high) in self._bounds.items():
            values = np.array(found[name][0])
            if ((values >= low) & (values <= high)).all():
                kept[name] = values
        return kept

    def _check_values(
        self, observation: Terms, pressure: float, running: bool, score: Callable[[], float], events: list[str],
    ) -> None:
        """Hold on impossible values and on sustained limits, in the phases that act on them.

        Args:
            observation: the terms that have a range, at least.
            pressure: highest of the fingertips, kPa.
            running: whether the phase is RUN.
            score: computes the distance from the training data.
            events: where to say it.
        """
        holds = self.counts['holds']
        for name, (low, high) in self._ranges.items():
            values = observation[name]
            if (values < low).any() or (values > high).any():
                self._hold(f'{name} is {values.min():.3g} … {values.max():.3g}, possible are {low} … {high}', events)
        if self._sustained('pressure', pressure > self._max_kpa):
            self._hold(f'a fingertip is pressed with {pressure:.0f} kPa, limit {self._max_kpa:g}', events)
        if not running or self.counts['holds'] != holds:
            return
        self.score = score()
        if self.score > self._warn and not self._warned:
            events.append(f'the observation is {self.score:.1f} from the training data (warning at {self._warn:g})')
        self._warned = self.score > self._warn
        if self._sustained('ood', self.score > self._stop):
            self._hold(f'the observation is {self.score:.1f} from the training data, limit {self._stop:g}', events)

    def _sustained(self, what: str, exceeded: bool) -> bool:
        self._limits[what] = self._limits[what] + 1 if exceeded else 0
        return self._limits[what] >= self._sustain

    def _serve_requests(self, position: Float | None, problem: str, events: list[str]) -> None:
        """Act on what was asked for; without a usable measurement only on ``hold``. Nothing is kept for later."""
        while self._requests:
            what, reason = self._requests.popleft()
            before = self.phase
            if what == 'hold':
                self._hold(reason, events)
                continue
            if position is None:
                events.append(f'{what} refused: {problem}')
                continue
            try:
                if before in (Phase.IDLE, Phase.HOLD):
                    # The hand may have been moved or relaxed meanwhile: begin where it is, not where it was.
                    self.controller.start(before, position)
            except CommandRefused as error:
                events.append(f'{what} refused: {error}')
                continue
            if what == 'grasp':
                self.controller.grasp()
            else:
                self.controller.release()
            if self.phase != before:
                self._begin()
                events.append(f'{before.name} -> {self.phase.name}')

    def _begin(self) -> None:
        self.policy.reset()
        self.builder.reset()
        self._number, self._fusing = 0, False
        self._action = np.zeros_like(self._action)
        self._limits = dict.fromkeys(self._limits, 0)
        self.reason, self._held_s = '', 0.0

    def _hold(self, reason: str, events: list[str]) -> None:
        before = self.phase
        if before in (Phase.IDLE, Phase.HOLD):
            return
        self.controller.hold()
        self.reason, self._held_s = reason, 0.0
        self.counts['holds'] += 1
        events.append(f'{before.name} -> HOLD: {reason}')

    def _relax(self, events: list[str]) -> None:
        """With ``on_stale: hold_then_relax``, stop commanding after a while in HOLD."""
        if self.phase != Phase.HOLD:
            return
        self._held_s += self._period_s
        if self._safety['on_stale'] == 'hold_then_relax' and self._held_s > float(self._safety['relax_after_s']):
            self.controller.start(Phase.IDLE, self.controller.target)
            events.append(f'HOLD -> IDLE: nothing happened for {self._safety["relax_after_s"]:g} s, commanding ends')

    def _age_problem(self, now: int, joints: JointSample) -> str:
        age = now - joints.stamp_ns
        if abs(age) <= self._stale_ns:
            return ''
        limit = self._stale_ns / MS
        if age < 0:
            return f'joint states are stamped {-age / MS:.0f} ms in the future; the clocks differ'
        return f'joint states are {age / MS:.0f} ms old, limit {limit:g} ms'

    def _fresh_touch(self, now: int, touch: TouchSample | None) -> TouchSample | None:
        return touch if touch is not None and abs(now - touch.stamp_ns) <= self._touch_age_ns else None

    def _tick(
        self, joints: JointSample, observation: Terms | None, target: Float | None, events: list[str],
    ) -> Tick:
        phase = self.phase
        silent = target is None or phase == Phase.IDLE or self.mode == 'shadow'
        return Tick(phase, joints.stamp_ns, None if silent else np.array(target), observation, events=events)
