"""The phases around a policy: go to the start pose, close gently, let the policy hold, freeze, let go.

::

    IDLE ──grasp──► RAMP ──at start pose──► CLOSE ──close_s──► RUN
      ▲               │                       │                 │
      │               └───────────────────────┴──── hold ───────┴──► HOLD ──grasp──► RAMP
      └── at start pose ── RELEASE ◄── release (from anywhere) ─────────┘

Pure and batch first: the training task steps 64 hands with it, the node one. In IDLE the hand belongs to somebody
else: the target follows the measured posture and nothing should be sent.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Any

import numpy as np
from allegro_description.config import parameter
from allegro_description.errors import CommandRefused, ConfigError
from allegro_description.model import HandModel
from numpy.typing import NDArray

from allegro_ai.action import ActionMapper, all_finite

Float = NDArray[np.float64]
Mask = NDArray[np.bool_]


class Phase(IntEnum):
    """What the grasp is doing."""

    IDLE = 0
    RAMP = 1
    CLOSE = 2
    RUN = 3
    HOLD = 4
    RELEASE = 5


@dataclass(frozen=True, slots=True)
class GraspSpec:
    """Numbers of the phases. A policy bundle carries them, because training used them."""

    start_ramp_s: float = parameter(
        2.0, 'time of a ramp over the widest joint range; shorter ways take less', unit='s', low=0.5, high=30.0)
    close_s: float = parameter(1.0, 'duration of the close', unit='s', low=0.1, high=10.0)
    close_torque_nm: float = parameter(
        0.12, 'bound of the position error of the close, times the gain', unit='N·m', low=0.0, high=0.3)
    close_rate_rad_s: float = parameter(2.0, 'fastest closing of a flexion joint', unit='rad/s', low=0.1, high=7.0)


_RUN = int(Phase.RUN)  # numpy takes microseconds to compare with a member of an enumeration


class GraspController:
    """Targets of every phase, for ``batch`` hands side by side.

    Attributes:
        phase: current :class:`Phase` of each hand, int8, (batch,).
        target: last target, rad, (batch, n_joints).
        reference: posture that actions are offsets of, rad, (batch, n_joints); set at the end of CLOSE.
    """

    def __init__(
        self,
        model: HandModel,
        mapper: ActionMapper,
        spec: GraspSpec | None = None,
        *,
        start_pose: Float | None = None,
        opposed_pose: Float | None = None,
        batch: int = 1,
    ) -> None:
        """Prepare all hands in IDLE.

        Args:
            model: the hand.
            mapper: maps the policy's actions in RUN.
            spec: durations and bounds.
            start_pose: where RAMP ends and RELEASE goes, rad, (n_joints,); None: the hand's pose ``pregrasp``.
            opposed_pose: where abduction and opposition joints go during CLOSE; None: ``start_pose``.
            batch: number of hands.

        Raises:
            ConfigError: a pose of the wrong length or outside the joint limits.
            UnknownName: the hand has no pose ``pregrasp``.
        """
        self.spec = GraspSpec() if spec is None else spec
        self.mapper = mapper
        self.start_pose = _pose(model, 'start pose', model.pose('pregrasp') if start_pose is None else start_pose)
        self.opposed_pose = _pose(model, 'opposed pose', self.start_pose if opposed_pose is None else opposed_pose)
        self._flexion = model.flexion
        self._ramp_rate = float((model.upper - model.lower).max()) / self.spec.start_ramp_s
        self._close_offset = self.spec.close_torque_nm / model.kp
        self.phase = np.full(batch, Phase.IDLE, dtype=np.int8)
        self.target: Float = np.tile(self.start_pose, (batch, 1))
        self.reference: Float = self.target.copy()
        self._clock = np.zeros(batch)

    def start(self, phase: Phase, position: Float, which: Mask | None = None) -> None:
        """Put hands into ``phase`` with the measured posture as first target and as reference.

        A training task starts its episodes with ``start(Phase.CLOSE, position)``.
        """
        chosen: Any = slice(None) if which is None else which
        position = self.mapper.clipped(self._measured(position))
        self.target[chosen] = position[chosen]
        self.reference[chosen] = position[chosen]
        self.phase[chosen] = phase
        self._clock[chosen] = 0.0

    def grasp(self, which: Mask | None = None) -> None:
        """Begin a grasp with hands that are in IDLE, HOLD or RELEASE; others go on with theirs."""
        self._enter(Phase.RAMP, np.isin(self.phase, (Phase.IDLE, Phase.HOLD, Phase.RELEASE)), which)

    def release(self, which: Mask | None = None) -> None:
        """Open to the start pose, from any phase."""
        self._enter(Phase.RELEASE, np.ones(self.phase.shape, dtype=bool), which)

    def hold(self, which: Mask | None = None) -> None:
        """Freeze the target of hands that are moving (RAMP, CLOSE, RUN, RELEASE)."""
        self._enter(Phase.HOLD, self.phase != Phase.IDLE, which)

    def step(
        self, dt: float, position: Float, action: Float | None = None, which: Mask | None = None
    ) -> Float:
        """Advance one control period and return the targets, rad, (batch, n_joints).

        Args:
            dt: control period, s.
            position: measured joint angles, rad, (batch, n_joints).
            action: policy output, (batch, n_joints); needed when a hand is in RUN, ignored elsewhere.
            which: hands that take part, (batch,); for the others no time passes.

        Raises:
            CommandRefused: measurement or action not finite, or no action for a hand in RUN; nothing changed.
        """
        position = self._measured(position)
        phase, previous, spec = self.phase, self.target, self.spec
        if which is None and action is not None and (phase == _RUN).all():  # what a running policy does each time
            self.target = self.mapper.to_target(self.reference, action, previous, dt)
            self._clock += dt
            return self.target.copy()
        target = previous.copy()

        def put(chosen: Mask, values: Float) -> None:
            target[chosen] = values[chosen]

        put(phase == Phase.IDLE, self.mapper.clipped(position))
        ramping = (phase == Phase.RAMP) | (phase == Phase.RELEASE)
        if ramping.any():
            put(ramping, _approach(previous, self.start_pose, self._ramp_rate * dt))
        closing = phase == Phase.CLOSE
        if closing.any():
            close = np.minimum(previous + spec.close_rate_rad_s * dt, position + self._close_offset)
            oppose = _approach(previous, self.opposed_pose, spec.close_rate_rad_s * dt)
            put(closing, self.mapper.clipped(np.where(self._flexion, close, oppose)))
        running = phase == Phase.RUN
        if running.any():
            if action is None:
                raise CommandRefused('a hand is in RUN but there is no action for it; the target was left as it was')
            chosen_action = np.where(running[:, None], action, 0.0)
            put(running, self.mapper.to_target(self.reference, chosen_action, previous, dt))
        taking = np.ones(phase.shape, dtype=bool) if which is None else which
        self.target = np.where(taking[:, None], target, previous)
        self._advance(dt, position, taking)
        return self.target.copy()

    def _advance(self, dt: float, position: Float, taking: Mask) -> None:
        self._clock[taking] += dt
        arrived = (self.target == self.start_pose).all(axis=1)
        ready = (self.phase == Phase.RAMP) & arrived
        opened = (self.phase == Phase.RELEASE) & arrived
        closed = (self.phase == Phase.CLOSE) & (self._clock > self.spec.close_s - dt / 2)
        # Flexion joints refer to where they were stopped by the object, so action 0 is zero squeeze and action 1 full
        # torque; the others keep their commanded place, otherwise contact forces would push the fingers apart.
        posture = self.mapper.clipped(np.where(self._flexion, position, self.target))
        closed &= taking
        self.reference[closed] = posture[closed]
        if self.mapper.incremental:
            # Increments begin where the hand is: an offset left over from the close would stay for good.
            self.target[closed] = self.mapper.clipped(position)[closed]
        for change, phase in ((ready, Phase.CLOSE), (closed, Phase.RUN), (opened, Phase.IDLE)):
            self.phase[change & taking] = phase
            self._clock[change & taking] = 0.0

    def _enter(self, phase: Phase, allowed: Mask, which: Mask | None) -> None:
        chosen = allowed if which is None else allowed & which
        self.phase[chosen] = phase
        self._clock[chosen] = 0.0

    def _measured(self, position: Float) -> Float:
        array: Float = np.asarray(position, dtype=np.float64)
        if array.shape != self.target.shape:
            raise CommandRefused(f'joint positions have shape {array.shape}, need {self.target.shape} (batch, joints)')
        if not all_finite(array):
            raise CommandRefused('joint positions hold NaN or infinite values; the target was left as it was')
        return array


def _approach(value: Float, goal: Float, step: float) -> Float:
    result: Float = np.clip(goal, value - step, value + step)
    return result


def _pose(model: HandModel, what: str, pose: Float) -> Float:
    array: Float = np.array(pose, dtype=np.float64)
    if array.shape != model.lower.shape:
        raise ConfigError(f'{what} has {array.size} values; {model.name} has {len(model.joints)} joints')
    if not ((array >= model.lower) & (array <= model.upper)).all():
        bad = [j.name for j, q in zip(model.joints, array, strict=True) if not j.lower <= q <= j.upper]
        raise ConfigError(f'{what} leaves the joint limits of {model.name} at {", ".join(bad)}')
    return array
