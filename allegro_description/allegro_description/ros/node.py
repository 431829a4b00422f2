"""Base classes of the suite's nodes: managed (lifecycle) and plain, both with diagnostics once per second.

A node module is thin: it declares a configuration dataclass, overrides hooks and hands its class to :func:`run`::

    class HandDriver(ManagedNode):
        def __init__(self) -> None:
            super().__init__('hand_driver', DriverConfig)

    def main(args=None) -> int:
        return run(HandDriver, args)
"""

from __future__ import annotations

import os
import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from rclpy.clock import Clock, ClockType
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from rclpy.node import Node

from allegro_description.config import parameter
from allegro_description.errors import AllegroError
from allegro_description.ros.convert import diagnostic_array
from allegro_description.ros.interfaces import DIAGNOSTICS
from allegro_description.ros.node_help import speak_up
from allegro_description.ros.params import declare
from allegro_description.ros.running import Stop, run

__all__ = ['LifecycleConfig', 'ManagedNode', 'PlainNode', 'Stop', 'run']

OK, WARN, ERROR = 0, 1, 2
Diagnosis = tuple[int, str, Mapping[str, object]]

_REPEAT_S = 10.0


@dataclass(frozen=True, slots=True)
class LifecycleConfig:
    """Parameters of every managed node. A node's own configuration may declare them with other defaults."""

    autostart: bool = parameter(True, 'configure and activate without waiting for a lifecycle manager')
    retry: bool = parameter(True, 'when starting fails, try again; if false, exit with code 2')
    retry_s: float = parameter(1.0, 'time between two attempts to start', unit='s', low=0.1, high=60.0)


class _Diagnosed:
    """What plain and managed nodes share. Mixed into an rclpy node."""

    exit_code: int | None = None
    hardware_id: str = ''
    config: Any = None

    def _prepare(self, config_class: type[Any] | None) -> None:
        if config_class is not None:
            self.config = declare(self, config_class, self._changed)
        # Steady: diagnostics go on when simulated time stands still.
        self.steady_clock = Clock(clock_type=ClockType.STEADY_TIME)
        self._diagnostics = self.create_publisher(  # type: ignore[attr-defined]
            DIAGNOSTICS.type, DIAGNOSTICS.name, DIAGNOSTICS.publish_qos)
        self._diagnostics_timer = self.create_timer(  # type: ignore[attr-defined]
            1.0, self.publish_diagnostics, clock=self.steady_clock)

    def _changed(self, config: Any) -> None:
        self.config_changed(config)
        self.config = config

    def config_changed(self, config: Any) -> None:
        """Hook: live parameters changed; raise :class:`AllegroError` to refuse. ``self.config`` still is the old."""

    def diagnostics(self) -> Diagnosis:
        """Hook: (level 0 OK, 1 WARN, 2 ERROR; one sentence; values with units in their keys)."""
        return OK, 'running', {}

    def _diagnose(self) -> Diagnosis:
        return self.diagnostics()

    def publish_diagnostics(self) -> None:
        """Publish ``<node>: status`` with the node's own values, process id and CPU seconds used so far."""
        try:
            level, message, values = self._diagnose()
        except AllegroError as error:
            level, message, values = ERROR, str(error), {}
        values = {**values, 'pid': os.getpid(), 'cpu_s': f'{time.process_time():.3f}'}
        self._diagnostics.publish(diagnostic_array(self, 'status', level, message, values, self.hardware_id))

    def request_exit(self, *, code: int = 0) -> None:
        """End the process with ``code`` after the current callback; the node is stopped safely first.

        Keyword only: rclpy hands its timer's info to any timer callback that could take one positional argument.
        """
        self.exit_code = code


class PlainNode(_Diagnosed, Node):  # type: ignore[misc]
    """A node without lifecycle. Override :meth:`diagnostics` and, for threads and files, :meth:`finish`."""

    def __init__(self, name: str, config_class: type[Any] | None = None, **kwargs: Any) -> None:
        """Create the node, declare its parameters (``self.config``) and start its diagnostics.

        Raises:
            ConfigError: a parameter is not allowed.
        """
        speak_up(type(self), name, (config_class,))
        Node.__init__(self, name, **kwargs)
        self._prepare(config_class)

    def finish(self) -> None:
        """Hook: close files, join threads. Called once, while publishing still works."""

    def stop_safely(self) -> None:
        """Called by :func:`run` on every way out."""
        self.finish()


class ManagedNode(_Diagnosed, LifecycleNode):  # type: ignore[misc]
    """A lifecycle node that starts itself and turns :class:`AllegroError` into one sentence and a failed transition.

    Override :meth:`configure_hand`, :meth:`activate_hand`, :meth:`deactivate_hand`, :meth:`cleanup_hand`. Each must be
    safe to call again: after a failed ``configure_hand`` or ``activate_hand`` its counterpart runs before the next
    attempt, with whatever is half done. Publishers made with ``create_lifecycle_publisher`` are enabled before
    ``activate_hand`` and disabled after ``deactivate_hand``. Transitions also come from the standard services.
    """

    def __init__(self, name: str, config_class: type[Any] | None = None, **kwargs: Any) -> None:
        """Create the node, declare its parameters (``self.config``) and, with ``autostart``, schedule its start.

        Raises:
            ConfigError: a parameter is not allowed.
        """
        speak_up(type(self), name, (config_class, LifecycleConfig))
        LifecycleNode.__init__(self, name, **kwargs)
        self.interruptible = False
        self._failure, self._failure_said, self._attempts = '', 0.0, 0
        self._prepare(config_class)
        self._lifecycle: LifecycleConfig = declare(self, LifecycleConfig)
        self._start_timer = None
        if self._lifecycle.autostart:
            self._schedule_start(0.001)

    # Hooks ------------------------------------------------------------------------------------------------------

    def configure_hand(self) -> None:
        """Hook: open, identify, validate, warm up. Raise :class:`AllegroError` to fail with its sentence."""

    def activate_hand(self) -> None:
        """Hook: start threads and timers."""

    def deactivate_hand(self) -> None:
        """Hook: stop threads and timers; the hand is left safe."""

    def cleanup_hand(self) -> None:
        """Hook: close everything that ``configure_hand`` opened."""

    # State ------------------------------------------------------------------------------------------------------

    @property
    def lifecycle_state(self) -> str:
        """``unconfigured``, ``inactive``, ``active``, ``finalized``, or the name of a transition under way."""
        return str(self._state_machine.current_state[1])

    def _diagnose(self) -> Diagnosis:
        state = self.lifecycle_state
        if state == 'active':
            level, message, values = self.diagnostics()
        else:
            level, message, values = (ERROR if self._failure else WARN), self._failure or state, {}
        return level, message, {**values, 'lifecycle': state}

    # Start and stop ---------------------------------------------------------------------------------------------

    def _schedule_start(self, delay_s: float) -> None:
        self._start_timer = self.create_timer(delay_s, self._start, clock=self.steady_clock)

    def _start(self) -> None:
        timer, self._start_timer = self._start_timer, None
        if timer is not None:
            timer.cancel()
            self.destroy_timer(timer)
        if self.lifecycle_state == 'unconfigured':
            self.trigger_configure()
        if self.lifecycle_state == 'inactive':
            self.trigger_activate()
        if self.lifecycle_state in ('unconfigured', 'inactive'):
            if self._lifecycle.retry:
                self._schedule_start(self._lifecycle.retry_s)
            else:
                self.request_exit(code=2)

    def stop_safely(self) -> None:
        """Deactivate and clean up from any state. Called by :func:`run` on every way out."""
        if self._start_timer is not None:
            self._start_timer.cancel()
        if self.lifecycle_state == 'active':
            self.trigger_deactivate()
        if self.lifecycle_state == 'inactive':
            self.trigger_cleanup()

    # Transitions ------------------------------------------------------------------------------------------------

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Run :meth:`configure_hand`; on failure clean up, say why, stay unconfigured."""
        if self._attempt(self.configure_hand, 'cannot configure', blocking=True):
            return super().on_configure(state)
        self._attempt(self.cleanup_hand, 'while cleaning up')
        return TransitionCallbackReturn.FAILURE

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Enable publishers, run :meth:`activate_hand`; on failure undo both, stay inactive."""
        result = super().on_activate(state)
        if self._attempt(self.activate_hand, 'cannot activate', blocking=True):
            self._failure, self._attempts = '', 0
            return result
        self._attempt(self.deactivate_hand, 'while deactivating')
        super().on_deactivate(state)
        return TransitionCallbackReturn.FAILURE

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Run :meth:`deactivate_hand`; an error there ends in ``unconfigured`` with everything closed."""
        done = self._attempt(self.deactivate_hand, 'while deactivating')
        result = super().on_deactivate(state)
        return result if done else TransitionCallbackReturn.ERROR

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Run :meth:`cleanup_hand`."""
        done = self._attempt(self.cleanup_hand, 'while cleaning up')
        return super().on_cleanup(state) if done else TransitionCallbackReturn.ERROR

    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Leave the hand safe and everything closed, whatever the state was."""
        if state.label == 'active':
            self._attempt(self.deactivate_hand, 'while deactivating')
        if state.label in ('active', 'inactive'):
            self._attempt(self.cleanup_hand, 'while cleaning up')
        return super().on_shutdown(state)

    def on_error(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Stop and close what is left; the node can be configured again."""
        self._attempt(self.deactivate_hand, 'after an error')
        self._attempt(self.cleanup_hand, 'after an error')
        return TransitionCallbackReturn.SUCCESS

    def _attempt(self, hook: Callable[[], None], doing: str, blocking: bool = False) -> bool:
        try:
            # While this is set, a signal breaks a blocking hook instead of waiting for its timeout.
            self.interruptible = blocking
            hook()
            return True
        except AllegroError as error:
            self._say(f'{doing}: {error}')
        except Stop:
            pass
        except Exception as error:
            where = traceback.extract_tb(error.__traceback__)[-1]
            place = f'{os.path.basename(where.filename)}:{where.lineno}'
            self._say(f'{doing}: internal error, {type(error).__name__}: {error} ({place})')
        finally:
            self.interruptible = False
        return False

    def _say(self, sentence: str) -> None:
        """Log a failure as one sentence; the same one again only every ten seconds."""
        self._attempts += 1
        now = time.monotonic()
        if sentence != self._failure or now - self._failure_said > _REPEAT_S:
            again = f' (attempt {self._attempts})' if sentence == self._failure else ''
            self.get_logger().error(sentence + again)
            self._failure, self._failure_said = sentence, now
