"""How every node process starts, spins and ends."""

from __future__ import annotations

import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import rclpy
from rclpy.executors import Executor, ExternalShutdownException, SingleThreadedExecutor
from rclpy.node import Node
from rclpy.signals import SignalHandlerOptions

from allegro_description.errors import AllegroError
from allegro_description.ros.node_help import help_asked, help_of
from allegro_description.ros.params import undeclared

try:
    # A third of the CPU and half the latency, where the distribution has it.
    from rclpy.experimental import EventsExecutor
except ImportError:
    EventsExecutor = None

# Longest time a signal waits for a quiet executor. EventsExecutor.spin() hangs (rclpy 9.1), its spin_once() does not.
SPIN_SLICE_S = 0.2


class Stop(BaseException):
    """A signal came while a transition was blocking; no ``Exception`` handler must swallow it."""


def make_executor() -> Executor:
    """The best single-threaded executor here. The multi-threaded one livelocks when streams meet timers."""
    return SingleThreadedExecutor() if EventsExecutor is None else EventsExecutor()


def run(node_factory: Callable[[], Node], args: Sequence[str] | None = None) -> int:
    """Run one node until SIGINT, SIGTERM, SIGHUP or its own ``request_exit``; leave the hand safe on every path.

    With ``--help`` it prints what the node is and takes, and starts nothing.

    Args:
        node_factory: builds the node; :class:`AllegroError` ends the process with one sentence.
        args: command line, ``sys.argv`` by default.

    Returns:
        Exit code: 0 after a signal or ``--help``, 2 when the node cannot be built or gave up, 1 after an internal
        error.
    """
    if help_asked(sys.argv[1:] if args is None else args):
        print(help_of(node_factory))
        return 0
    watch = SignalWatch()
    with watch.installed():
        try:
            return _run(node_factory, args, watch)
        except Stop:
            return 0
        finally:
            rclpy.try_shutdown()


def _run(node_factory: Callable[[], Node], args: Sequence[str] | None, watch: SignalWatch) -> int:
    program = Path(sys.argv[0]).name
    try:
        rclpy.init(args=None if args is None else list(args), signal_handler_options=SignalHandlerOptions.NO)
    except Exception as error:
        print(f'{program}: ROS 2 could not start: {_first_line(error)}', file=sys.stderr)
        return 2
    node, executor = None, None
    try:
        node = watch.node = node_factory()
        for name in undeclared(node):
            node.get_logger().warning(f'parameter {name!r} is not known to this node and has no effect')
        executor = make_executor()
        executor.add_node(node)
        return _spin(executor, node, watch)
    except AllegroError as error:
        print(f'{program}: {error}', file=sys.stderr)
        return 2
    except Exception as error:
        traceback.print_exc()
        print(f'{program}: internal error ({type(error).__name__}); the hand is being left safe', file=sys.stderr)
        return 1
    finally:
        # From here on signals only confirm what is happening already.
        watch.stopping = True
        _close(node, executor, program)


class SignalWatch:
    """SIGINT, SIGTERM and SIGHUP as a flag; handlers of our own, so that the node can still publish while it stops."""

    def __init__(self) -> None:
        """Nothing received yet."""
        self.stopping = False
        self.node: Any = None

    @contextmanager
    def installed(self) -> Iterator[None]:
        """Handle the signals while the context lasts (main thread only; elsewhere this does nothing)."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        watched = [signal.SIGINT, signal.SIGTERM]
        if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # nohup: a closed terminal is meant to end nothing
            watched.append(signal.SIGHUP)
        previous = {s: signal.signal(s, self._received) for s in watched}
        try:
            yield
        finally:
            # Whoever was asked to stop is about to end: launch tools repeat the signal, and Python's own handler would
            # break the last clean-up with a traceback, or leave it hanging half way.
            for number, handler in previous.items():
                signal.signal(number, signal.SIG_IGN if self.stopping else handler)

    def _received(self, number: int, frame: FrameType | None) -> None:
        # Launch tools repeat signals: only the first one counts, so that stopping is never interrupted.
        if self.stopping:
            return
        self.stopping = True
        if self.node is None or getattr(self.node, 'interruptible', False):
            raise Stop


def _spin(executor: Executor, node: Node, watch: SignalWatch) -> int:
    while not watch.stopping:
        code = getattr(node, 'exit_code', None)
        if code is not None:
            return int(code)
        try:
            executor.spin_once(timeout_sec=SPIN_SLICE_S)
        except (ExternalShutdownException, KeyboardInterrupt):
            break
    return 0


def _close(node: Any, executor: Executor | None, program: str) -> None:
    steps: list[Callable[[], Any]] = []
    if node is not None:
        if hasattr(node, 'stop_safely'):
            steps.append(node.stop_safely)
        if executor is not None:
            steps.append(lambda: executor.remove_node(node))
        steps.append(node.destroy_node)
    if executor is not None:
        steps.append(lambda: executor.shutdown(timeout_sec=0.2))
    for step in steps:
        try:
            step()
        except Exception as error:
            print(f'{program}: while stopping: {_first_line(error)}', file=sys.stderr)


def _first_line(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
