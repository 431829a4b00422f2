"""The hosts of :mod:`.loop_floor`: how each one is started, and what it and the machine spend.

``busy`` is the node with what runs beside it while a hand grasps: the tactile publisher, a policy that commands at
50 Hz and the viewer. Only the driver's own process counts.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, Any

from allegro_description.errors import AllegroError

HOSTS = ('floor', 'hand', 'node', 'busy')
_FIRST_DOMAIN, _DOMAINS = 30, 70  # their ports lie below those that systems give away
_HAND = """
import sys, time
from allegro_description.model import load_hand
from allegro_driver.config import DriverConfig
from allegro_driver.hand import Hand
from allegro_driver.hardware import make_hardware
model, config = load_hand(), DriverConfig(address=f'127.0.0.1:{sys.argv[1]}:0', relax_after_s=0.0)
with Hand(make_hardware(model, config), model, config) as hand:
    hand.enable()
    time.sleep(float(sys.argv[2]))
"""


def _node(program: str, **parameters: object) -> list[str]:
    words = (w for key, value in parameters.items() for w in ('-p', f'{key}:={value}'))
    return [str(Path(sys.executable).with_name(program)), '--ros-args', *words]


def command(name: str, program: Path, port: int, seconds: float) -> list[str]:
    """Command line of a host whose hand is on ``port``, for so many seconds."""
    if name == 'floor':
        return [str(program), str(port), str(seconds)]
    if name == 'hand':
        return [sys.executable, '-c', _HAND, str(port), str(seconds)]
    return _node('hand_driver', address=f'127.0.0.1:{port}:0', enable_on_activate='true', autostart='true',
                 relax_after_s=0.0)


def companions(name: str) -> list[list[str]]:
    """Command lines of what runs beside a host. The last one tells what the policy commands."""
    if name != 'busy':
        return []
    return [_node('tactile_publisher'), _node('grasp_policy'), _node('hand_viewer', port=0),
            [sys.executable, '-m', 'allegro_driver.evidence.nodes.grasper']]


class Host:
    """One running host and its companions."""

    def __init__(self, name: str, line: Sequence[str], processes: ExitStack, said: IO[str], errors: IO[str]) -> None:
        """Start the host with a command line. ``processes`` ends it, and its companions first.

        Args:
            name: of :data:`HOSTS`.
            line: what to start.
            processes: where its end is registered.
            said: file for the last companion's standard output.
            errors: file for everyone's standard error.
        """
        # Nodes of anybody else must not find these.
        self._environment = {**os.environ, 'ROS_AUTOMATIC_DISCOVERY_RANGE': 'LOCALHOST',
                             'ROS_DOMAIN_ID': str(_FIRST_DOMAIN + os.getpid() % _DOMAINS)}
        self._name, self._processes, self._said, self._errors = name, processes, said, errors
        self._process = self._start(line)

    def accompany(self, patience_s: float = 40.0) -> Iterator[None]:
        """Start the companions and wait until the policy commands, yielding all the time.

        Raises:
            AllegroError: it does not.
        """
        others = companions(self._name)
        for line in others:
            self._start(line)
        end = time.monotonic() + patience_s
        while others and self.commands() < 100:
            if time.monotonic() > end:
                said = self._last().get('answer', '')
                raise AllegroError(f'the policy commands nothing: {said or self.complaint() or "no service"}')
            yield

    def commands(self) -> int:
        """Commands of the policy so far."""
        return int(self._last().get('count', 0))

    def state(self) -> str:
        """The driver's state where a companion watches it, else ''."""
        return str(self._last().get('state', ''))

    def complaint(self) -> str:
        """The end of what the host and its companions wrote to their standard error."""
        self._errors.seek(0)
        return self._errors.read().strip()[-300:]

    def spent_ns(self) -> dict[str, int]:
        """Time that each thread of the host has run, ns, by name; those of one name together.

        The first thread is ``main``: in a node it runs the executor. Threads started by Python have the program's name.

        Raises:
            FileNotFoundError: it has ended.
        """
        spent: dict[str, int] = {}
        own = str(self._process.pid)
        for thread in Path(f'/proc/{own}/task').iterdir():
            name = 'main' if thread.name == own else (thread / 'comm').read_text().strip().rstrip('.0123456789')
            ran = int((thread / 'schedstat').read_text().split()[0])
            spent[name] = spent.get(name, 0) + ran
        return spent

    def _last(self) -> dict[str, Any]:
        self._said.seek(0)
        lines = self._said.read().splitlines()
        try:
            return dict(json.loads(lines[-1])) if lines else {}
        except ValueError:  # half a line
            return dict(json.loads(lines[-2])) if len(lines) > 1 else {}

    def _start(self, line: Sequence[str]) -> subprocess.Popen[str]:
        said = self._said if line[-1].endswith('grasper') else subprocess.DEVNULL
        process = subprocess.Popen(line, env=self._environment, stdout=said, stderr=self._errors, text=True)
        self._processes.callback(_end, process)
        return process


@contextmanager
def running(name: str, program: Path, port: int, seconds: float) -> Iterator[Host]:
    """A host, ended at exit."""
    with tempfile.TemporaryFile('w+') as said, tempfile.TemporaryFile('w+') as errors, ExitStack() as processes:
        yield Host(name, command(name, program, port, seconds), processes, said, errors)


def machine() -> tuple[int, int]:
    """Ticks that the hypervisor took away from all processors since the start, and ticks in all."""
    ticks = [int(word) for word in Path('/proc/stat').read_text().splitlines()[0].split()[1:9]]
    return ticks[7], sum(ticks)


def _end(process: subprocess.Popen[str]) -> None:
    process.send_signal(signal.SIGINT)
    try:
        process.communicate(timeout=5)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
