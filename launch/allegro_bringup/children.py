"""Child processes of the runner: started in their own process group, logged, measured, and always ended."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import entry_points
from pathlib import Path
from threading import Thread

from allegro_description.errors import AllegroError

from allegro_bringup.graph import NodeSpec

TICKS = os.sysconf('SC_CLK_TCK')


def command(spec: NodeSpec, log_level: str, namespace: str = '') -> list[str]:
    """Command line of a spec: the module behind its console script, run by this Python.

    Raises:
        AllegroError: the executable is not installed.
    """
    for point in entry_points(group='console_scripts', name=spec.executable):
        call = f'import sys; from {point.module} import {point.attr} as f; sys.argv[0] = {spec.executable!r}; sys.exit(f())'
        line = [sys.executable, '-c', call, *spec.arguments]
        break
    else:
        raise AllegroError(f'executable {spec.executable!r} of {spec.package} is not installed; run: make setup')
    if not spec.name:
        return line
    line += ['--ros-args', '-r', f'__node:={spec.name}', '--log-level', log_level]
    if namespace:
        line += ['-r', f'__ns:=/{namespace.strip("/")}']
    for name, value in spec.parameters.items():
        text = str(value).lower() if isinstance(value, bool) else f'"{value}"' if isinstance(value, str) else str(value)
        line += ['-p', f'{name}:={text}']
    return line


class Child:
    """One running process."""

    def __init__(
        self, spec: NodeSpec, line: Sequence[str], environment: Mapping[str, str], log: Path,
        on_line: Callable[[str], None] | None = None,
    ) -> None:
        """Start it. Its output goes to ``log``; ``on_line`` also gets every line of its standard output."""
        self.spec, self.name, self.log = spec, spec.name or spec.executable, log
        self._log = log.open('w', buffering=1)
        piped = subprocess.PIPE if on_line is not None else self._log
        # A process group of its own: Ctrl-C reaches the runner alone, which then ends the children in a safe order.
        self.process = subprocess.Popen(
            list(line), env=dict(environment), stdin=subprocess.DEVNULL, stdout=piped, stderr=self._log, text=True,
            errors='replace', start_new_session=True)
        self.cpu_s, self.wall_s = 0.0, 0.0
        self._first: tuple[float, float] | None = None
        if on_line is not None:
            Thread(target=self._read, args=(on_line,), daemon=True).start()

    def _read(self, on_line: Callable[[str], None]) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if not self._log.closed:
                self._log.write(line)
            on_line(line.rstrip('\n'))

    @property
    def running(self) -> bool:
        """Whether it has not ended yet."""
        return self.process.poll() is None

    def sample(self) -> None:
        """Read its CPU time; what start-up cost is not counted."""
        try:
            stat = Path(f'/proc/{self.process.pid}/stat').read_text()
        except OSError:
            return
        fields = stat.rpartition(')')[2].split()
        used, now = (int(fields[11]) + int(fields[12])) / TICKS, time.monotonic()
        if self._first is None:
            self._first = (used, now)
        self.cpu_s, self.wall_s = used - self._first[0], now - self._first[1]

    def signal(self, number: int = signal.SIGINT) -> None:
        """Send a signal to it, if it still runs."""
        if self.running:
            self.process.send_signal(number)

    def end(self, timeout_s: float) -> bool:
        """Wait; after the timeout kill it. Returns whether it ended by itself."""
        try:
            self.process.wait(max(timeout_s, 0.0))
            return True
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            return False

    def last_words(self) -> str:
        """Last line of its log, for messages."""
        try:
            lines = [line for line in self.log.read_text(errors='replace').splitlines() if line.strip()]
        except OSError:
            return ''
        return lines[-1] if lines else ''


def ros_environment() -> dict[str, str]:
    """Environment of nodes: this machine only, and a domain nobody else here uses."""
    environment = {**os.environ, 'ROS_AUTOMATIC_DISCOVERY_RANGE': 'LOCALHOST', 'PYTHONUNBUFFERED': '1',
                   'RCUTILS_COLORIZED_OUTPUT': '0'}
    # One thread each: two threads of a matrix library cost a control loop more than they give on small matrices.
    for name in ('OMP_NUM_THREADS', 'OPENBLAS_NUM_THREADS', 'MKL_NUM_THREADS'):
        environment.setdefault(name, '1')
    environment.setdefault('ROS_DOMAIN_ID', str(os.getpid() % 100 + 1))
    return environment
