"""One decision per sample: what may leave for the hand. Safety, watchdog, limits and controllers in one place.

Pure: time is the stamp of the sample. :class:`allegro_driver.hand.Hand` feeds it from the control thread.
"""

from __future__ import annotations

import numpy as np
from allegro_description.errors import CommandRefused
from allegro_description.model import HandModel
from allegro_description.state import Array, HandState, JointCommand

from allegro_driver.config import ControlConfig
from allegro_driver.control.gravity import Gravity, checked_gravity
from allegro_driver.control.limits import Limits, checked
from allegro_driver.control.orders import Decision, FreeMotion, Motion, Order
from allegro_driver.control.pd import PositionController
from allegro_driver.control.safety import CommandWatchdog, Event, Safety, State, Thermometer
from allegro_driver.control.trajectory import Trajectory

FUTURE_NS = 50_000_000
"""A stamp may lie this far ahead before the clocks of sender and driver are declared different."""


class Governor:
    """Decides, sample by sample. One thread steps it; state, target and :meth:`check` are for all threads."""

    def __init__(self, model: HandModel, config: ControlConfig, period_s: float, settle_s: float = 0.05) -> None:
        """Begin in state ``off``.

        Args:
            model: the hand.
            config: limits and times.
            period_s: nominal time between samples, s.
            settle_s: pause between switching the hand's own position loop on and its first target, s.

        Raises:
            ConfigError: a limit that the model does not allow.
        """
        self._model, self._period, self._settle_ns = model, period_s, round(settle_s * 1e9)
        self._controller, self._gravity = PositionController(model), Gravity(model)
        self.safety = Safety()
        self._zero = np.zeros(len(model.joints))
        self._idle = Decision(self._zero)
        self._down = checked_gravity(config.gravity)
        self._limited = 0
        self._limits = Limits(model)
        self._config = config
        self.configure(config)
        self._command: JointCommand | None = None
        self._plan: tuple[Trajectory, int, Array] | None = None
        self._motion: Motion | None = None
        self._target: Array | None = None
        self._settling: int | None = None
        self._commanded_ns = 0
        self._last: HandState | None = None

    def configure(self, config: ControlConfig) -> None:
        """Take new parameters.

        Raises:
            ConfigError: a limit that the model does not allow; nothing changes.
            CommandRefused: another control mode while torque flows; nothing changes.
        """
        if config.control_mode != self._config.control_mode and self.safety.torque_allowed:
            raise CommandRefused(
                f'control_mode stays {self._config.control_mode} while the hand is in {self.state.value}: '
                'disable it first, then change the mode and enable it again')
        limits = Limits(
            self._model, max_speed=config.max_target_speed, torque_scale=config.torque_scale,
            taper_rad=config.limit_taper_rad, current_budget_ma=config.current_budget_ma)
        thermometer = Thermometer(self._model, config.temperature_warn_c, config.temperature_fault_c)
        down = checked_gravity(config.gravity)
        self._limited += self._limits.limited
        self._limits, self.thermometer = limits, thermometer
        self._watchdog = CommandWatchdog(config.hold_after_s, config.relax_after_s, config.free_timeout_s)
        if config.gravity != self._config.gravity:  # what the topic said stays, unless this is newer
            self._down = down
        self._config = config

    @property
    def state(self) -> State:
        """State of the safety machine."""
        return self.safety.state

    @property
    def last(self) -> HandState | None:
        """The newest sample; None before the first and after a new session."""
        return self._last

    @property
    def word(self) -> str:
        """The named motion that is followed or held, '' if none."""
        motion = self._motion
        return '' if motion is None else motion.word

    @property
    def limited(self) -> int:
        """Samples answered with less torque than wanted because of the current budget."""
        return self._limited + self._limits.limited

    @property
    def gravity(self) -> Array:
        """Gravity in the palm frame, m/s², (3,)."""
        return self._down

    @gravity.setter
    def gravity(self, vector: Array) -> None:
        self._down = checked_gravity(vector)

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

    def check(self, order: Order, now_ns: int) -> None:
        """Refuse what must not be followed.

        Args:
            order: what was commanded; stamp 0 of a command means "now".
            now_ns: the clock of stamps.

        Raises:
            CommandRefused: malformed, too old, from the future, starts too far away, not possible in this control mode,
                or the hand is off or in fault.
        """
        command = order if isinstance(order, JointCommand) else None
        if command is not None:
            position = command.position is not None
            checked(command.position if position else command.effort, self._model,
                    'position command' if position else 'torque command')
        if self.state is State.OFF:
            raise CommandRefused('the hand is off; enable it first')
        if self.state is State.FAULT:
            raise CommandRefused(f'the hand is in fault: {self.safety.reason}; clear the fault first')
        torque = isinstance(order, FreeMotion) or (command is not None and command.effort is not None)
        if torque and self._config.control_mode == 'onboard':
            raise CommandRefused(
                f"{'free motion' if command is None else 'a torque command'} needs control_mode host, but the hand's "
                'own position loop is in charge and would take torques for angles; disable the hand, set control_mode '
                'to host and enable it again')
        if isinstance(order, Trajectory):
            order.check_start(self.target())
        elif isinstance(order, Motion):
            order.trajectory.check_start(self.target())
        elif command is not None and command.stamp_ns:
            age = now_ns - command.stamp_ns
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

    def step(self, sample: HandState, order: Order | None = None) -> Decision:
        """What to send in answer to a sample, whatever came in.

        Args:
            sample: newer than the last one.
            order: what has been commanded since, if anything; checked by :meth:`check`.
        """
        wrong = self._limits.outside(sample.position, self._config.position_tolerance_rad)
        if wrong:
            self.fault(Event.FEEDBACK_IMPLAUSIBLE, f'implausible joint angles: {wrong}; check the zero of the hand')
        elif self._last is not None:
            self._compare(sample, self._last)
        hot = self.thermometer.fault(sample.temperature_c)
        if hot:
            self.fault(Event.OVERHEATED, hot)
        if order is not None and self.safety.state not in (State.OFF, State.FAULT):
            self._take(order, sample)
        self._watch(sample.stamp_ns)
        decision = self._decide(sample)
        self._last = sample
        return decision

    def _compare(self, sample: HandState, last: HandState) -> None:
        moved = sample.position - last.position
        # No joint moved farther than all of them together; the margin is for rounding.
        if moved.dot(moved) < 0.99 * self._config.position_jump_rad**2:
            return
        moved = np.abs(moved)
        far = float(moved.max())
        if far <= self._config.position_jump_rad:
            return
        since = (sample.stamp_ns - last.stamp_ns) / 1e9
        if far > self._config.position_jump_rad + self._model.actuation.velocity_limit * max(since, self._period):
            self.fault(
                Event.FEEDBACK_IMPLAUSIBLE,
                f'{self._model.joint_names[int(moved.argmax())]} jumped by {far:.3f} rad between two samples: damaged '
                'data, or the zero of the hand was changed')

    def _take(self, order: Order, sample: HandState) -> None:
        self._command = self._plan = self._motion = None
        if isinstance(order, FreeMotion):
            self._commanded_ns, self._target = sample.stamp_ns, None
            self.safety.handle(Event.FREE_MOTION, 'free motion: move the fingers by hand')
            return
        if isinstance(order, JointCommand):
            self._command, self._commanded_ns = order, order.stamp_ns or sample.stamp_ns
            what = 'following commands'
        else:
            self._motion = order if isinstance(order, Motion) else None
            trajectory = order.trajectory if isinstance(order, Motion) else order
            what = f'motion {self.word}' if self.word else 'following a trajectory'
            self._plan = (trajectory, sample.stamp_ns, self._start(sample))
        self.safety.handle(Event.COMMAND, what)

    def _watch(self, now_ns: int) -> None:
        if self._plan is not None:
            self._commanded_ns = now_ns  # a trajectory under way commands at every sample
        motion = self._motion
        patience = None if motion is None else self._config.motion_hold_s
        verdict = self._watchdog.verdict(self.safety.state, (now_ns - self._commanded_ns) / 1e9, patience)
        if verdict is None:
            return
        if verdict is Event.COMMAND_STALE:
            self._command = None
            reason = f'no command for {self._watchdog.hold_after_s} s: holding the last target'
            self.safety.handle(verdict, reason if motion is None else f'holding the end of {motion.word}')
        else:
            limit = (self._watchdog.free_timeout_s if self.state is State.FREE
                     else self._watchdog.relax_after_s if patience is None else patience)
            self._motion = None
            self.safety.handle(verdict, f'no command for {limit:g} s: torque off')

    def _decide(self, sample: HandState) -> Decision:
        if not self.safety.torque_allowed:
            self._target = self._settling = None
            return self._idle
        if self._config.control_mode == 'onboard':
            return self._onboard(sample)
        self._settling = None
        limits, command, state = self._limits, self._command, self.safety.state
        if state is State.FREE:
            return Decision(limits.torque(limits.taper(self._free(sample), sample.position)))
        if command is not None and command.effort is not None:
            self._target = None
            return Decision(limits.torque(limits.taper(command.effort, sample.position)))
        self._target = self._next(sample, self._start(sample))
        effort = self._controller.torque(self._target, sample.position, sample.velocity)
        if self._config.gravity_feedforward:
            effort = effort + self._gravity.torque(sample.position, self._down)
        return Decision(limits.torque(effort, self._share(sample)))

    def _onboard(self, sample: HandState) -> Decision:
        """The hand's own loop: switched on, given time, then told first of all to stay where it is."""
        if self._settling is None:
            self._settling = sample.stamp_ns
            self._target = None
        if sample.stamp_ns - self._settling < self._settle_ns:
            if self._plan is not None:  # it begins when the hand can follow
                self._plan = (self._plan[0], sample.stamp_ns, self._plan[2])
            return Decision(self._zero, onboard=True)
        if self._target is None:
            self._target = sample.position
        else:
            self._target = self._next(sample, self._target)
        return Decision(self._zero, onboard=True, target=self._target)

    def _free(self, sample: HandState) -> Array:
        """Carry the fingers, damp lightly, and push back softly only from beyond the joint range."""
        position = sample.position
        carried = self._gravity.torque(position, self._down)
        inside = self._limits.position(position)
        return carried + self._controller.torque(inside, position, self._config.free_damping * sample.velocity)

    def _next(self, sample: HandState, target: Array) -> Array:
        wanted, command = target, self._command
        if self._plan is not None:
            trajectory, begin, start = self._plan
            elapsed = (sample.stamp_ns - begin) / 1e9
            wanted = trajectory.sample(elapsed, start)
            if elapsed >= trajectory.duration and np.abs(wanted - target).max() < 1e-6:
                self._plan = None
        elif command is not None and command.position is not None:
            wanted = command.position
        since = self._period if self._last is None else (sample.stamp_ns - self._last.stamp_ns) / 1e9
        return self._limits.approach(target, wanted, min(since, self._config.stale_after_s))

    def _share(self, sample: HandState) -> float:
        """Share of the torque limit that a named motion may use now."""
        motion = self._motion
        if motion is None:
            return 1.0
        if self._plan is not None and (sample.stamp_ns - self._plan[1]) / 1e9 < motion.grip_from_s:
            return 1.0
        return motion.grip

    def _start(self, sample: HandState) -> Array:
        """The present target; where there is none, the measured pose."""
        return self._limits.position(sample.position) if self._target is None else self._target

    def _forget(self) -> None:
        self._command = self._plan = self._motion = self._target = self._settling = None
