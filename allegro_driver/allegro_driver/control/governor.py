"""One decision per sample: which torques may leave for the hand. Safety, watchdog, limits and controller in one place.

Pure: time is the stamp of the sample. :class:`allegro_driver.hand.Hand` feeds it from the control thread.
"""

from __future__ import annotations

import numpy as np
from allegro_description.errors import CommandRefused
from allegro_description.model import HandModel
from allegro_description.state import Array, HandState, JointCommand

from allegro_driver.config import ControlConfig
from allegro_driver.control.limits import Limits, checked
from allegro_driver.control.pd import PositionController
from allegro_driver.control.safety import CommandWatchdog, Event, Safety, State
from allegro_driver.control.trajectory import Trajectory

FUTURE_NS = 50_000_000
"""A stamp may lie this far ahead before the clocks of sender and driver are declared different."""


class Governor:
    """Decides, sample by sample. One thread steps it; state, target and :meth:`check` are for all threads."""

    def __init__(self, model: HandModel, config: ControlConfig, period_s: float) -> None:
        """Begin in state ``off``.

        Args:
            model: the hand.
            config: limits and times.
            period_s: nominal time between samples, s.

        Raises:
            ConfigError: a limit that the model does not allow.
        """
        self._model, self._period = model, period_s
        self._controller = PositionController(model)
        self.safety = Safety()
        self.configure(config)
        self._zero = np.zeros(len(model.joints))
        self._command: JointCommand | None = None
        self._plan: tuple[Trajectory, int, Array] | None = None
        self._target: Array | None = None
        self._commanded_ns = 0
        self._last: HandState | None = None

    def configure(self, config: ControlConfig) -> None:
        """Take new parameters.

        Raises:
            ConfigError: a limit that the model does not allow; nothing changes.
        """
        self._limits = Limits(
            self._model, max_speed=config.max_target_speed, torque_scale=config.torque_scale,
            taper_rad=config.limit_taper_rad)
        self._watchdog = CommandWatchdog(config.hold_after_s, config.relax_after_s)
        self._config = config

    @property
    def state(self) -> State:
        """State of the safety machine."""
        return self.safety.state

    @property
    def last(self) -> HandState | None:
        """The newest sample; None before the first and after a new session."""
        return self._last

    # Checks, for any thread -------------------------------------------------------------------------------------

    def target(self) -> Array:
        """Present position target, or the measured pose while there is none, rad, (n_joints,).

        Raises:
            CommandRefused: nothing was measured yet.
        """
        target, last = self._target, self._last
        if target is not None:
            return target
        if last is None:
            raise CommandRefused('the hand has not sent a sample yet')
        return self._limits.position(last.position)

    def check(self, order: JointCommand | Trajectory, now_ns: int) -> None:
        """Refuse what must not be followed.

        Args:
            order: a command (stamp 0 means "now") or a trajectory.
            now_ns: the clock of stamps.

        Raises:
            CommandRefused: malformed, too old, from the future, starts too far away, or the hand is off or in fault.
        """
        if isinstance(order, JointCommand):
            position = order.position is not None
            checked(order.position if position else order.effort, self._model,
                    'position command' if position else 'torque command')
        if self.state is State.OFF:
            raise CommandRefused('the hand is off; enable it first')
        if self.state is State.FAULT:
            raise CommandRefused(f'the hand is in fault: {self.safety.reason}; clear the fault first')
        if isinstance(order, Trajectory):
            order.check_start(self.target())
        elif order.stamp_ns:
            age = now_ns - order.stamp_ns
            if age > self._config.hold_after_s * 1e9:
                raise CommandRefused(
                    f'command is {age / 1e6:.0f} ms old, allowed are {self._config.hold_after_s * 1e3:.0f} ms; '
                    'stamp it with the observation that caused it and send it sooner')
            if age < -FUTURE_NS:
                raise CommandRefused(
                    f'command is stamped {-age / 1e6:.0f} ms in the future; the clocks of sender and driver differ')

    # Events -----------------------------------------------------------------------------------------------------

    def enable(self, now_ns: int) -> None:
        """Hold the present pose from now on. Does nothing in ``active`` and ``fault``."""
        self._commanded_ns = now_ns
        self.safety.handle(Event.ENABLE, 'enabled')

    def disable(self, reason: str = 'disabled') -> None:
        """Torque off."""
        self.safety.handle(Event.DISABLE, reason)
        self._forget()

    def fault(self, event: Event, reason: str) -> bool:
        """Something went wrong; return whether this began the fault."""
        self._forget()
        return self.safety.handle(event, reason)

    def clear(self) -> None:
        """Leave a fault, to ``off``; samples start anew."""
        self.safety.handle(Event.CLEAR_FAULT, 'fault cleared')
        self._last = None

    def step(self, sample: HandState, order: JointCommand | Trajectory | None = None) -> Array:
        """Torques that answer a sample, N·m, (n_joints,): finite and within the limit whatever came in.

        Args:
            sample: newer than the last one.
            order: what has been commanded since, if anything; checked by :meth:`check`.
        """
        wrong = self._limits.outside(sample.position, self._config.position_tolerance_rad)
        if wrong:
            self.fault(Event.FEEDBACK_IMPLAUSIBLE, f'implausible joint angles: {wrong}; check the zero of the hand')
        if order is not None and self.state not in (State.OFF, State.FAULT):
            self._take(order, sample)
        self._watch(sample.stamp_ns)
        effort = self._effort(sample)
        self._last = sample
        return effort

    def _take(self, order: JointCommand | Trajectory, sample: HandState) -> None:
        if isinstance(order, Trajectory):
            self._command, self._plan = None, (order, sample.stamp_ns, self._start(sample))
            self.safety.handle(Event.COMMAND, 'following a trajectory')
        else:
            self._command, self._plan = order, None
            self._commanded_ns = order.stamp_ns or sample.stamp_ns
            self.safety.handle(Event.COMMAND, 'following commands')

    def _watch(self, now_ns: int) -> None:
        if self._plan is not None:
            self._commanded_ns = now_ns  # a trajectory under way commands at every sample
        verdict = self._watchdog.verdict(self.state, (now_ns - self._commanded_ns) / 1e9)
        if verdict is Event.COMMAND_STALE:
            self._command = None
            self.safety.handle(verdict, f'no command for {self._watchdog.hold_after_s} s: holding the last target')
        elif verdict is Event.COMMAND_LOST:
            self.safety.handle(verdict, f'no command for {self._watchdog.relax_after_s} s: torque off')

    def _effort(self, sample: HandState) -> Array:
        limits, command = self._limits, self._command
        if not self.safety.torque_allowed:
            self._target = None
            return self._zero
        if command is not None and command.effort is not None:
            self._target = None
            return limits.torque(limits.taper(command.effort, sample.position))
        target = wanted = self._start(sample)
        if self._plan is not None:
            trajectory, begin, start = self._plan
            elapsed = (sample.stamp_ns - begin) / 1e9
            wanted = trajectory.sample(elapsed, start)
            if elapsed >= trajectory.duration and np.abs(wanted - target).max() < 1e-6:
                self._plan = None
        elif command is not None and command.position is not None:
            wanted = command.position
        since = self._period if self._last is None else (sample.stamp_ns - self._last.stamp_ns) / 1e9
        self._target = limits.approach(target, wanted, min(since, self._config.stale_after_s))
        return limits.torque(self._controller.torque(self._target, sample.position, sample.velocity))

    def _start(self, sample: HandState) -> Array:
        """The present target; where there is none, the measured pose."""
        return self._limits.position(sample.position) if self._target is None else self._target

    def _forget(self) -> None:
        self._command = self._plan = self._target = None
