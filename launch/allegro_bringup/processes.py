"""Child processes of a run: start, watch, stop in order, and never leave one behind."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path

import yaml
from allegro_bench.processes import cpu_seconds

from allegro_bringup.environment import find_executable
from allegro_bringup.graph import NodeSpec, Spec

_PR_SET_PDEATHSIG = 1
_IN_LOOP_NICE = -15
_LIBC = ctypes.CDLL(None, use_errno=True)


def command_line(spec: Spec, folder: Path) -> list[str]:
    """Return the command that starts a specification; a node's parameters go to ``<folder>/<name>.yaml``."""
    command = [*find_executable(spec.package, spec.executable), *spec.arguments]
    if not isinstance(spec, NodeSpec):
        return command
    folder.mkdir(parents=True, exist_ok=True)
    own = folder / f'{spec.name}.yaml'
    plain = {name: list(v) if isinstance(v, tuple) else v for name, v in spec.parameters.items()}
    own.write_text(yaml.safe_dump({'/**': {'ros__parameters': plain}}, sort_keys=True))
    files = (*spec.params_files, str(own))
    return [
        *command, '--ros-args',
        '-r', f'__node:={spec.name}',
        *(('-r', f'__ns:=/{spec.namespace}') if spec.namespace else ()),
        *(word for file in files for word in ('--params-file', file)),
        '--log-level', spec.log_level,
    ]


class Child:
    """One process in a session of its own, so that Ctrl-C in the terminal reaches only the runner, which stops it.

    Both output streams go to the log file. Should the runner itself be killed, the kernel sends the child SIGTERM.
    """

    def __init__(self, spec: Spec, command: Sequence[str], log: Path, environment: Mapping[str, str]) -> None:
        """Start it.

        Raises:
            OSError: the program cannot be started.
        """
        self.spec, self.log = spec, log
        self.cpu_s = 0.0
        self._offset, self._rest = 0, ''
        with log.open('wb') as out:
            self.process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT, env=dict(environment),
                start_new_session=True,
                preexec_fn=partial(_prepare_child, getattr(spec, 'in_loop', False)),
            )

    @property
    def name(self) -> str:
        """Name of the specification."""
        return self.spec.name

    @property
    def running(self) -> bool:
        """Whether it still runs."""
        return self.process.poll() is None

    def sample_cpu(self) -> float:
        """CPU seconds used so far; the last known value once the process is gone."""
        if self.running:
            self.cpu_s = cpu_seconds(self.process.pid) or self.cpu_s
        return self.cpu_s

    def new_lines(self) -> list[str]:
        """Complete lines that were written since the last call."""
        with self.log.open('rb') as file:
            file.seek(self._offset)
            data = file.read()
        self._offset += len(data)
        *lines, self._rest = (self._rest + data.decode(errors='replace')).split('\n')
        return lines

    def last_words(self) -> str:
        """Last line of the log that says something, without the time stamps that ROS puts before it."""
        lines = [line for line in self.log.read_text(errors='replace').splitlines() if line.strip()]
        last = lines[-1].strip() if lines else ''
        return last.partition(']: ')[2] or last if last.startswith('[') else last

    def signal(self, number: int) -> None:
        """Send a signal to it alone: a helper it keeps for its own end must see that end. Nothing if it is gone."""
        if self.running:
            self.process.send_signal(number)

    def sweep(self) -> None:
        """Kill what it may have left behind in its process group."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process.pid, signal.SIGKILL)


def wait_until_gone(children: Iterable[Child], deadline: float, tick: Callable[[], None] = lambda: None) -> list[Child]:
    """Wait until the processes have ended; return those that still run at ``deadline`` (monotonic clock, s)."""
    left = [child for child in children if child.running]
    while left and time.monotonic() < deadline:
        time.sleep(0.02)
        tick()
        left = [child for child in left if child.running]
    return left


def stop(children: Sequence[Child], within_s: float, tick: Callable[[], None] = lambda: None) -> list[Child]:
    """Ask with SIGINT, insist with SIGTERM after three quarters of the time, kill at its end. Return the killed."""
    begin = time.monotonic()
    for child in children:
        child.signal(signal.SIGINT)
    left = wait_until_gone(children, begin + 0.75 * within_s, tick)
    for child in left:
        child.signal(signal.SIGTERM)
    left = wait_until_gone(left, begin + within_s, tick)
    for child in left:
        child.signal(signal.SIGKILL)
    wait_until_gone(left, time.monotonic() + 1.0)
    return left


def _prepare_child(in_loop: bool) -> None:
    # A runner in the background of a script ignores SIGINT, and children would inherit that.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if in_loop:
        with contextlib.suppress(OSError):  # only root may
            os.nice(_IN_LOOP_NICE)
