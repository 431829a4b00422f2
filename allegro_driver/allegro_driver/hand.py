"""A hand under control: the hardware, the governor, and the one thread that runs them.

The hand's own samples pace the loop: wait for one, decide, send torque at once, and only then do the bookkeeping and
call the listeners. Commands enter through a one-slot mailbox, requests (enable, clear fault) through a queue that the
loop serves after sending. All stamps are ``time.monotonic_ns()``.
"""

from __future__ import annotations

import atexit
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from types import TracebackType

from allegro_description.errors import AllegroError, CommandRefused, LinkError, LinkTimeout
from allegro_description.model import HandModel
from allegro_description.state import Array, HandState, JointCommand

from allegro_driver.config import ControlConfig
from allegro_driver.control.governor import Governor
from allegro_driver.control.motions import OFF, MotionPlanner
from allegro_driver.control.orders import Motion, Order
from allegro_driver.control.safety import Event, State
from allegro_driver.exits import OrderlyExit
from allegro_driver.hardware.base import AlarmKind, Hardware
from allegro_driver.loop import LoopReport, LoopStatistics
from allegro_driver.outlet import Outlet
from allegro_driver.permission import check_mode, check_torque, read_confirmed
from allegro_driver.realtime import PunctualProcess, prepare_thread
from allegro_driver.request_queue import LONGEST_S, RequestQueue
from allegro_driver.status import HandStatus

_ALARM_EVENTS = {AlarmKind.MOTOR: Event.MOTOR_ERROR, AlarmKind.RESTART: Event.FEEDBACK_IMPLAUSIBLE}


NO_FAULT = 'there was no fault'
"""What ``clear_fault`` answers, after the state, when there was nothing to clear."""


class Hand:
    """One hand. Use it as a context manager, or call :meth:`start` and :meth:`close`."""

    def __init__(self, hardware: Hardware, model: HandModel, config: ControlConfig | None = None) -> None:
        """Put the parts together; nothing is opened yet.

        Args:
            hardware: the hand to drive; this object opens and closes it.
            model: its description.
            config: limits, timeouts, real-time wishes.

        Raises:
            ConfigError: a limit or a control mode that the hand does not allow.
            UnknownName: something confirmed that this hand does not ask for.
        """
        self.hardware, self.model = hardware, model
        self.statistics = LoopStatistics(hardware.period_s)
        self._config = config or ControlConfig()
        self._stale_s = self._config.patience_s(hardware.period_s)
        check_mode(hardware, model, self._config)
        read_confirmed(model, self._config.confirmed)
        self._governor = Governor(model, self._config, hardware.period_s, hardware.settle_s)
        self._motions: MotionPlanner | None = None
        self._outlet = Outlet(hardware, len(model.joints))
        self._listeners: list[Callable[[HandState], None]] = []
        self._mailbox: deque[Order] = deque(maxlen=1)
        self._requests = RequestQueue()
        self._thread: threading.Thread | None = None
        self._stopping = False
        self._process = ExitStack()
        self._grants: list[str] = []
        self._skipped = 0
        self._wanted = False
        self._accepted = self._refused = 0
        self._refusal = self._listener_error = ''

    # Life -------------------------------------------------------------------------------------------------------

    def __enter__(self) -> Hand:
        """Open the hardware and start the loop; torque stays off."""
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Zero torque, stop, disconnect."""
        self.close()

    def start(self) -> None:
        """Open the hardware if need be and start the loop in state ``off``. Does nothing while it runs.

        Raises:
            LinkError, LinkTimeout, IdentityError: see :meth:`Hardware.open`.
        """
        if self._thread is not None:
            return
        if self._outlet.halted:  # it may be silent until a new session
            self.hardware.close()
        self._open()
        self._process.enter_context(OrderlyExit())
        self._grants = []
        if self._config.realtime == 'auto':
            self._grants += self._process.enter_context(PunctualProcess()).report
        self._stopping = False
        self._outlet.begin()
        self._governor.clear()
        self._skipped = self.hardware.skipped
        atexit.register(self.close)
        # Daemon: at interpreter exit the atexit call must come (and send zero torque) while the thread still lives.
        self._thread = threading.Thread(target=self._run, name=f'control {self.model.name}', daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Zero torque and end the loop. Idempotent; the hardware stays open."""
        thread, self._thread = self._thread, None
        if thread is None:
            return
        self._stopping = True
        thread.join(LONGEST_S)
        self._wanted = False
        self._governor.disable('stopped')
        self.statistics.interrupt()
        self.hardware.enable(False)
        self._requests.refuse('the control loop has stopped')
        self._process.close()
        atexit.unregister(self.close)

    def close(self) -> None:
        """Stop and disconnect. Idempotent."""
        self.stop()
        self.hardware.close()

    def configure(self, config: ControlConfig) -> None:
        """Take new live parameters.

        Raises:
            ConfigError: a limit or a control mode that the hand does not allow; nothing changes.
            UnknownName: something confirmed that this hand does not ask for; nothing changes.
            CommandRefused: another control mode while torque flows; nothing changes.
        """
        check_mode(self.hardware, self.model, config)
        read_confirmed(self.model, config.confirmed)
        self._governor.configure(config)
        self._config = config

    # For any thread ---------------------------------------------------------------------------------------------

    @property
    def state(self) -> State:
        """State of the safety machine."""
        return self._governor.state

    @property
    def last(self) -> HandState | None:
        """The newest sample, None before the first."""
        return self._governor.last

    @property
    def running(self) -> bool:
        """Whether the loop runs."""
        return self._thread is not None

    def status(self) -> HandStatus:
        """State, reasons and counters."""
        safety, last = self._governor.safety, self.last
        return HandStatus(
            safety.state, safety.reason, safety.faults, self._accepted, self._refused, self._refusal,
            ', '.join(self._grants) or 'off', self._listener_error, self._config.control_mode, self._governor.word,
            self._governor.limited,
            '' if last is None else self._governor.thermometer.warning(last.temperature_c))

    def report(self) -> LoopReport:
        """Timing of the loop so far."""
        return self.statistics.report()

    def add_listener(self, listener: Callable[[HandState], None]) -> None:
        """Call ``listener`` with every sample, from the control thread after the torque packet was sent. Be quick."""
        self._listeners.append(listener)

    def target(self) -> Array:
        """Present position target, or the measured pose while there is none, rad, (n_joints,).

        Raises:
            CommandRefused: nothing was measured yet.
        """
        return self._governor.target()

    def command(self, order: Order) -> None:
        """Follow a command, a trajectory, a motion or free motion from the next sample on; it replaces what was before.

        Args:
            order: canonical joint order; the stamp of a command is monotonic, or 0 for "now".

        Raises:
            CommandRefused: malformed, too old, from the future, starts too far away, not possible in this control mode,
                or the hand is off or in fault. Nothing changes.
        """
        with self.counting_refusals():
            if self._thread is None:
                raise CommandRefused('the control loop does not run; activate the driver first')
            self._governor.check(order, time.monotonic_ns())
        self._accepted += 1
        self._mailbox.append(order)

    def play(self, word: str) -> str:
        """Play a named motion of the hand; ``gravcomp`` is free motion, ``off`` ends torque. Returns what happens now.

        Raises:
            UnknownName: no such word; the message lists those there are.
            CommandRefused: no way there without fingers touching each other, or refused as any command.
            LinkError: the hand could not be told (``off``).
        """
        planner = self._planner()
        if word == OFF:
            return self.enable(False)
        config = self._config
        with self.counting_refusals():
            order = planner.order(word, self.target, min(config.motion_speed, config.max_target_speed),
                                  squeeze=config.control_mode != 'onboard')
        self.command(order)
        return f'{word}: {planner.describe(word)}'

    def plan(self, pose: str, speed: float) -> Motion:
        """Plan the way from here to a named pose, with this peak joint speed (rad/s). Nothing moves; command it then.

        Raises:
            UnknownName: no such pose.
            CommandRefused: no way there without fingers touching each other, or nothing was measured yet.
        """
        return self._planner().to_pose(pose, self.target, min(speed, self._config.max_target_speed))

    def _planner(self) -> MotionPlanner:
        if self._motions is None:  # made when first needed: it costs some milliseconds
            self._motions = MotionPlanner(self.model)
        return self._motions

    def set_gravity(self, vector: Array) -> None:
        """Tell which way is down: gravity in the palm frame, m/s², (3,); for free motion and feed-forward.

        Raises:
            ConfigError: not three finite numbers, or too long.
        """
        self._governor.gravity = vector

    @contextmanager
    def counting_refusals(self) -> Iterator[None]:
        """Count a command that is refused in this context, for whatever reason."""
        try:
            yield
        except AllegroError as error:
            self._refused += 1
            self._refusal = str(error)
            raise

    def enable(self, on: bool = True) -> str:
        """Switch torque on (hold the present pose) or off. Returns what happened.

        Raises:
            CommandRefused: in fault, side unknown, or the loop does not run.
            LinkError: the hand could not be told.
        """
        return self._ask(self._switch_on if on else self._switch_off)

    def clear_fault(self) -> str:
        """Open a new session with the hand and leave the fault; enabled again if it was before. Returns what happened.

        Raises:
            LinkError, LinkTimeout, IdentityError: the hand does not come back; the fault stays.
            CommandRefused: the loop does not run.
        """
        return self._ask(self._clear)

    # Requests: run in the control thread ------------------------------------------------------------------------

    def _ask(self, request: Callable[[], str]) -> str:
        thread = self._thread
        if thread is None:
            raise CommandRefused('the control loop does not run; activate the driver first')
        return request() if thread is threading.current_thread() else self._requests.ask(request)

    def _switch_on(self) -> str:
        if self.state is State.FAULT:
            raise CommandRefused(f'the hand is in fault ({self._governor.safety.reason}); clear the fault first')
        check_torque(self.hardware.identity, self.model, self._config)
        if not self._governor.safety.torque_allowed:  # what flows already must not be interrupted
            self._outlet.enable(True)
        self._wanted = True
        self._governor.enable(time.monotonic_ns())
        return f'{self.state.value}: torque is on'

    def _switch_off(self) -> str:
        self._wanted = False
        self._governor.disable()
        self._outlet.enable(False)
        return f'{self.state.value}: torque is off'

    def _open(self) -> None:
        """Open; a calibration file of the very hand that answered may have narrowed its limits."""
        self.hardware.open()
        model = getattr(self.hardware, 'model', self.model)
        if model is not self.model:
            gravity = self._governor.gravity
            self.model, self._motions = model, None
            self._governor = Governor(model, self._config, self.hardware.period_s, self.hardware.settle_s)
            self._governor.gravity = gravity

    def _clear(self) -> str:
        if self.state is not State.FAULT:
            return f'{self.state.value}: {NO_FAULT}'
        self.hardware.close()
        self._open()
        self._outlet.begin()
        self._governor.clear()
        self._skipped = self.hardware.skipped
        return self._switch_on() if self._wanted else f'{self.state.value}: fault cleared, torque is off'

    # The loop ---------------------------------------------------------------------------------------------------

    def _run(self) -> None:
        if self._config.realtime == 'auto':
            self._grants += prepare_thread(self._config.realtime_priority)
        try:
            while not self._stopping:
                try:
                    self._cycle()
                    self._requests.serve()
                except Exception as error:  # the loop must live on, to keep the hand at zero torque
                    self._fault(Event.INTERNAL_ERROR, f'internal error: {type(error).__name__}: {error}')
                    time.sleep(self.hardware.period_s)
        finally:
            self.hardware.enable(False)

    def _cycle(self) -> None:
        try:
            sample = self.hardware.read(self._patience())
            for alarm in self.hardware.take_alarms():
                self._fault(_ALARM_EVENTS[alarm.kind], alarm.text)
            self._answer(sample)
        except LinkTimeout:
            if self.state is State.FAULT:  # a hand that was halted may send nothing
                self._outlet.insist()
            else:
                self._fault(
                    Event.FEEDBACK_STALE,
                    f'no sample from the hand for {self._stale_s * 1e3:.0f} ms; check power and cable')
        except LinkError as error:
            self._fault(Event.LINK_ERROR, str(error))
            time.sleep(self._stale_s)

    def _patience(self) -> float:
        """How long to wait for the next sample, s."""
        last, safety = self._governor.last, self._governor.safety
        if last is None or safety.state is State.FAULT:
            return self._stale_s
        return max(self._stale_s - (time.monotonic_ns() - last.stamp_ns) / 1e9, 0.0)

    def _answer(self, sample: HandState) -> None:
        mailbox = self._mailbox  # emptied by this thread alone
        order: Order | None = mailbox.popleft() if mailbox else None
        governor = self._governor
        safety = governor.safety
        before = safety.state
        self._outlet.send(governor.step(sample, order))
        sent = time.monotonic_ns()
        skipped, self._skipped = self.hardware.skipped - self._skipped, self.hardware.skipped
        self.statistics.frame(sample.stamp_ns, sample.sequence, skipped)
        self.statistics.sent(sent)
        if order is not None and isinstance(order, JointCommand) and order.stamp_ns and safety.state is State.ACTIVE:
            self.statistics.command_used(order.stamp_ns, sent)
        if safety.state is State.FAULT and before is not State.FAULT:
            self._outlet.halt()
        for listener in self._listeners:
            try:
                listener(sample)
            except Exception as error:  # what listens must not stop what controls
                self._listener_error = f'{type(error).__name__}: {error}'

    def _fault(self, event: Event, reason: str) -> None:
        """Torque off: by all means when the fault begins, then with one packet each time it is found again."""
        self._mailbox.clear()
        if self._governor.fault(event, reason):
            self.statistics.interrupt()
            self._outlet.halt()
        else:
            self._outlet.insist()
