"""GPUs that only the library Zeus reads (AMD, Apple, or through zeusd): in a process and environment of its own.

Zeus brings numpy 2 and pandas with it, which would hide the numpy of ROS; so it is never imported here. ``zeus:PYTHON``
names the interpreter of a virtual environment that has it. Its counters are read, not its monitor: that drops what it
cannot read without a word. Processors are left to powercap, because Zeus loses the wrap of short windows there.
"""

from __future__ import annotations

import json
import select
import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from allegro_description.errors import ConfigError

from allegro_bench.meters.counter import WrappingCounter
from allegro_bench.meters.meter import Channel, Sample
from allegro_bench.meters.sources import Clock, SourceMeter, monotonic

HELPER = Path(__file__).with_name('zeus_process.py')
START_S = 60.0
"""Importing Zeus alone takes seconds."""
ANSWER_S = 1.0
LIMIT_W = 4000.0
FROZEN_S = 5.0
COUNTER_RANGE = 2**63


class ZeusMeter(SourceMeter):
    """Energy counters of the GPUs that Zeus finds."""

    argument = 'the Python interpreter of an environment with zeus'
    on_request = True
    slow = True

    def __init__(self, python: str, clock: Clock = monotonic, command: Sequence[str] = (),
                 start_s: float = START_S) -> None:
        """Start the helper process.

        Args:
            python: interpreter of the environment that has Zeus.
            clock: seconds, monotonic.
            command: for tests: what to run instead of the helper.
            start_s: how long it may take to begin.

        Raises:
            ConfigError: it does not start, has no Zeus, or Zeus finds no GPU.
        """
        try:
            # -I: nothing of this environment (PYTHONPATH, the current folder) may leak into the other one.
            self._process = subprocess.Popen([*command] or [python, '-I', str(HELPER)], stdin=subprocess.PIPE,
                                             stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, bufsize=0)
        except OSError as error:
            raise ConfigError(f'zeus:{python} cannot be started: {error}') from error
        self._values: dict[str, Any] = {}
        self._error: OSError | None = None
        self._rest = b''
        try:
            devices = self._answer(start_s).get('devices', [])
            if not devices:
                raise OSError('it finds no GPU')
            self._ask()
            sources = {f'zeus/{name}': WrappingCounter(self._reader(name), COUNTER_RANGE, 1e-3, LIMIT_W, clock(),
                                                       FROZEN_S) for name in devices}
        except (OSError, ValueError) as error:
            self.close()
            raise ConfigError(f'zeus:{python}: {error}. It takes a virtual environment with zeus in it: '
                              'python3 -m venv ENV && ENV/bin/pip install zeus, then zeus:ENV/bin/python') from error
        channels = [Channel(id=name, driver='zeus', kind='counter', boundary='gpu_board', quality='measured',
                            path_or_device='zeus.device', unit_raw='mJ', update_period_s=0.1, resolution_j=0.001)
                    for name in sources]
        super().__init__(channels, sources, clock, 60.0)

    def read(self) -> Mapping[str, Sample]:
        """Ask the helper once, and add."""
        self._ask()
        return super().read()

    def close(self) -> None:
        """End the helper."""
        if self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(2.0)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()

    def _ask(self) -> None:
        try:
            assert self._process.stdin is not None
            self._process.stdin.write(b'read\n')
            self._values, self._error = self._answer(ANSWER_S), None
        except (OSError, ValueError) as error:
            self._values, self._error = {}, OSError(f'the Zeus process: {error}')

    def _answer(self, wait_s: float) -> dict[str, Any]:
        """One line of JSON.

        Raises:
            OSError: none in time, or the process has ended, or it says that something failed.
            ValueError: it is no JSON object.
        """
        assert self._process.stdout is not None
        end = monotonic() + wait_s
        while b'\n' not in self._rest:
            left = end - monotonic()
            if left <= 0 or not select.select([self._process.stdout], [], [], left)[0]:
                raise OSError(f'no answer within {wait_s:g} s')
            part = self._process.stdout.read(4096)
            if not part:
                raise OSError('it has ended')
            self._rest += part
        line, _, self._rest = self._rest.partition(b'\n')
        found = json.loads(line)
        if not isinstance(found, dict):
            raise ValueError('its answer is no object')
        if 'error' in found:
            raise OSError(str(found['error'])[:200])
        return found

    def _reader(self, name: str) -> Callable[[], int]:
        def read() -> int:
            if self._error is not None:
                raise self._error
            value = self._values.get('mj', {}).get(name)
            if not isinstance(value, (int, float)):
                raise ValueError(f'no number for {name}')
            return round(value)

        return read
