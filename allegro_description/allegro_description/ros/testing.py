"""pytest plug-in for tests that need a ROS graph: isolation, the ``graph`` fixture, ``spin_until``, child nodes.

``pyproject.toml`` loads it for every package. Every run, and within it every test that uses :func:`graph`, has a
``ROS_DOMAIN_ID`` of its own that no other run on this machine holds, and sees this machine only. Mark such tests with
``@pytest.mark.graph`` and begin a module that imports rclpy with ``require_graph()``. Without rclpy they are skipped
with a reason; with ``ALLEGRO_REQUIRE_GRAPH=1`` they fail instead.
"""

from __future__ import annotations

import fcntl
import importlib
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

import pytest

# Above 101 the middleware's UDP ports reach into the range that Linux hands out to anybody.
_DOMAINS = 101
_held: IO[str] | None = None


def claim_domain() -> int:
    """Put a ``ROS_DOMAIN_ID`` nobody else on this machine tests in into the environment; the former one is freed."""
    global _held
    former, _held = _held, None
    for step in range(_DOMAINS):
        domain = (os.getpid() + step + (int(os.environ['ROS_DOMAIN_ID']) if former else 0)) % _DOMAINS + 1
        path = Path(tempfile.gettempdir()) / f'allegro-test-domain-{domain}.lock'
        try:
            lock = path.open('w')
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            continue
        _held = lock
        break
    if former is not None:
        former.close()
    if _held is None:
        raise RuntimeError(f'all {_DOMAINS} ROS domains of this machine are in use by other test runs')
    os.environ['ROS_DOMAIN_ID'] = str(domain)
    os.environ['ROS_AUTOMATIC_DISCOVERY_RANGE'] = 'LOCALHOST'
    os.environ.pop('ROS_LOCALHOST_ONLY', None)
    return domain


# At import, hence before any test module can import rclpy.
claim_domain()


def graph_problem() -> str:
    """Why no ROS graph can be used here, or an empty string."""
    try:
        for name in ('rclpy', 'sensor_msgs.msg', 'diagnostic_msgs.msg', 'visualization_msgs.msg'):
            importlib.import_module(name)
    except ImportError as error:
        return f'no ROS graph here: {error}'
    return ''


def require_graph() -> None:
    """At the top of a test module that imports rclpy: skip the module without it, or fail if a graph is required."""
    reason = graph_problem()
    if reason and os.environ.get('ALLEGRO_REQUIRE_GRAPH') == '1':
        raise RuntimeError(f'ALLEGRO_REQUIRE_GRAPH=1, but {reason}')
    if reason:
        pytest.skip(reason, allow_module_level=True)


def pytest_configure(config: pytest.Config) -> None:
    """Property tests without time limits for single examples: machines share their cores with other work.

    A run in the background or under nohup ignores SIGINT or SIGHUP, and so would every process under test. With a
    handler that does nothing the run still does, but its children do not inherit that.
    """
    for number in (signal.SIGINT, signal.SIGHUP):
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, lambda *_: None)
    try:
        hypothesis = importlib.import_module('hypothesis')
    except ImportError:
        return
    hypothesis.settings.register_profile('suite', deadline=None)
    hypothesis.settings.load_profile('suite')


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip or fail tests marked ``graph`` where there is none."""
    if item.get_closest_marker('graph') is not None:
        reason = graph_problem()
        if reason and os.environ.get('ALLEGRO_REQUIRE_GRAPH') == '1':
            pytest.fail(f'ALLEGRO_REQUIRE_GRAPH=1, but {reason}', pytrace=False)
        if reason:
            pytest.skip(reason)


def spin_until(node: Any, predicate: Callable[[], object], timeout: float = 10.0) -> bool:
    """Spin ``node`` (or several in a list) until ``predicate()`` is true; False if that takes over ``timeout`` s.

    A node is given an executor once and keeps it: rclpy 7.1 forgets messages that wait while a node changes executors.
    """
    from allegro_description.ros.running import make_executor

    executors = []
    for one in list(node) if isinstance(node, (list, tuple)) else [node]:
        if one.executor is None:
            _executors[one] = make_executor()
            _executors[one].add_node(one)
        if one.executor not in executors:
            executors.append(one.executor)
    end = time.monotonic() + timeout
    while not predicate():
        if time.monotonic() > end:
            return False
        for executor in executors:
            executor.spin_once(timeout_sec=0.02 / len(executors))
    return True


# The executors that spin_until made; a node itself holds its executor only weakly.
_executors: weakref.WeakKeyDictionary[Any, Any] = weakref.WeakKeyDictionary()


class NodeProcess:
    """A child process started by a test. Its output is collected; it is ended by its own process id."""

    def __init__(self, command: list[str]) -> None:
        """Start ``command`` with this process's environment (and so in its domain)."""
        environment = {**os.environ, 'PYTHONUNBUFFERED': '1'}
        self.process = subprocess.Popen(
            command, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            text=True, errors='replace')
        self.lines: list[str] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.append(line.rstrip('\n'))

    @property
    def output(self) -> str:
        """Everything the process has written so far, both streams."""
        return '\n'.join(self.lines)

    def wait_for(self, text: str, timeout: float = 15.0) -> bool:
        """Wait until ``text`` appears in the output; False on timeout or if the process ends before."""
        end = time.monotonic() + timeout
        while text not in self.output:
            if time.monotonic() > end or (self.process.poll() is not None and not self._reader.is_alive()):
                return text in self.output
            time.sleep(0.02)
        return True

    def stop(self, number: int = signal.SIGINT, timeout: float = 10.0) -> int:
        """Send a signal and return the exit code; a process that outlives ``timeout`` s is killed (code -9)."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        return self.wait(timeout)

    def wait(self, timeout: float = 10.0) -> int:
        """Exit code once the process ends by itself; after ``timeout`` s it is killed (code -9)."""
        try:
            self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self._reader.join(2.0)
        return int(self.process.returncode)


class Graph:
    """A fresh ROS context in a domain of its own, with everything that was made in it."""

    def __init__(self) -> None:
        """Claim a domain and initialise rclpy in it."""
        import rclpy

        self.domain_id = claim_domain()
        self._nodes: list[Any] = []
        self._processes: list[NodeProcess] = []
        rclpy.init(args=[])

    def node(self, name: str = 'test_probe', **kwargs: Any) -> Any:
        """A plain rclpy node, destroyed with the graph."""
        from rclpy.node import Node

        return self.add(Node(name, **kwargs))

    def add(self, node: Any) -> Any:
        """Let the graph destroy ``node`` at the end (``stop_safely`` first, where it has one)."""
        self._nodes.append(node)
        return node

    def start(self, module: str, *args: str) -> NodeProcess:
        """Run ``python -m module args`` in this domain; killed with the graph if it still runs."""
        return self.start_command([sys.executable, '-m', module, *args])

    def start_command(self, command: list[str]) -> NodeProcess:
        """Run any command in this domain."""
        self._processes.append(NodeProcess(command))
        return self._processes[-1]

    def close(self) -> None:
        """End processes, destroy nodes, shut rclpy down."""
        import rclpy

        for process in self._processes:
            process.stop(signal.SIGTERM, timeout=5.0)
        for node in self._nodes:
            if hasattr(node, 'stop_safely'):
                node.stop_safely()
            executor = _executors.pop(node, None)
            if executor is not None:
                executor.remove_node(node)
                executor.shutdown(timeout_sec=0.5)
            node.destroy_node()
        rclpy.try_shutdown()


@pytest.fixture
def graph() -> Iterator[Graph]:
    """A ROS graph for one test."""
    if graph_problem():
        pytest.skip(graph_problem())
    made = Graph()
    try:
        yield made
    finally:
        made.close()
