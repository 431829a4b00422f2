"""One hand, one wire, a driver that moves it, and a way to kill either."""

from __future__ import annotations

import json
import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from allegro_description.errors import LinkError, LinkTimeout
from allegro_description.model import HandModel

from allegro_driver.config import DriverConfig
from allegro_driver.emulator.client import EmulatorClient
from allegro_driver.evidence.driver_process import Driver

START_S, END_S, WATCH_S, GONE_S, BACK_S = 20.0, 10.0, 0.7, 2.0, 0.3
IN_FLIGHT_S = 0.02   # a frame that was being sent when the driver froze still leaves when it goes on


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one kill.

    Attributes:
        flowing: whether the hand had torque when it happened.
        seconds: kill to zero torque for good, or fault noticeable to fault noticed; None: never while it was watched.
        objections: what else was wrong.
        starting: whether the driver was still starting.
        gone_s: kill to process gone, its memory given back and its pipes closed; None: it was frozen and went on.
    """

    flowing: bool
    seconds: float | None
    objections: tuple[str, ...] = ()
    starting: bool = False
    gone_s: float | None = None

    def failures(self, worst_s: float | None) -> list[str]:
        """What was wrong, if this much time is allowed; None promises nothing about time."""
        texts = list(self.objections)
        if worst_s is not None and self.seconds is None:
            texts.append('it never happened while it was watched')
        elif worst_s is not None and self.seconds is not None and self.seconds > worst_s:
            texts.append(f'it took {self.seconds * 1e3:.0f} ms')
        return texts


class Arena:
    """An emulated hand that can be killed and started again at the same address, and drivers for it."""

    def __init__(self, model: HandModel, link: str, folder: Path, environment: dict[str, str]) -> None:
        """Start the hand.

        Args:
            model: which one.
            link: ``udp`` or ``can``.
            folder: a place for a link to its terminal.
            environment: of the drivers.

        Raises:
            LinkError: it does not start.
        """
        self._model, self._link, self._environment = model, link, environment
        self._terminal, self._ports, self._address = folder / 'hand', (0, 0), ''
        self._hand: subprocess.Popen[str] | None = None
        self._driver: tuple[str, Driver] | None = None
        self._commander: subprocess.Popen[bytes] | None = None
        self.cleared: list[str] = []   # faults of drivers that nobody had touched yet: a busy machine makes them
        with closing(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as free:
            free.bind(('127.0.0.1', 0))
            self._own_port = free.getsockname()[1]
        self._start_hand()
        self._control = EmulatorClient(port=self._ports[1], timeout_s=0.5)
        if link == 'udp':  # a CAN hand says its own, device number included
            self._address = f'127.0.0.1:{self._ports[0]}:{self._own_port}'

    def __enter__(self) -> Arena:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End everything."""
        running = [self._driver[1].process if self._driver else None, self._commander, self._hand]
        for process in running:
            if process is not None:
                process.terminate()
                with suppress(subprocess.TimeoutExpired):
                    process.wait(END_S)
                process.kill()
                process.wait()
        self._control.close()

    def drive(self, kind: str) -> Driver:
        """A driver of this kind that moves the hand; the one that runs already, or a new one.

        A fault that nobody provoked is cleared, as an operator would, and noted in ``cleared``.

        Raises:
            LinkTimeout: it does not start, enable or move.
        """
        if self._driver is None or self._driver[0] != kind:
            self._dismiss()
            self._driver = kind, self._start(kind)
        driver = self._driver[1]
        end = time.monotonic() + START_S
        while time.monotonic() < end:
            if driver.process.poll() is not None:
                said = driver.hear('failed', seconds=0.2) or {}
                self._driver = None
                raise LinkTimeout(f'a new {kind} ended at once: {said.get("text") or driver.last_words()}')
            said = driver.hear('moving', 'fault', seconds=0.0) or {'event': 'nothing'}
            if said['event'] == 'fault':
                self.cleared.append(str(said['reason']))
                driver.tell('clear')
            if driver.moving or said['event'] == 'moving' or kind == 'node':
                driver.moving = True
                if self._torque():
                    return driver
            time.sleep(0.01)
        raise LinkTimeout(f'a new {kind} does not move the hand within {START_S:g} s; {driver.last_words()}')

    def kill_driver(
        self, dice: random.Random, kind: str, number: signal.Signals, *, guardian: bool, starting: bool
    ) -> Outcome:
        """Kill the driver and watch the hand's torque.

        Args:
            dice: when.
            kind: ``loop`` or ``node``.
            number: the signal; a process that SIGSTOP has frozen goes on afterwards, and is ended then.
            guardian: kill its helper first.
            starting: while it starts, instead of while it moves the hand.
        """
        objections = []
        if starting:
            self._dismiss()
            self._driver = kind, self._start(kind)
            time.sleep(dice.uniform(0.0, 2.0 if kind == 'node' else 0.8))
        else:
            try:
                self.drive(kind)
            except LinkTimeout as error:
                self._dismiss()
                return Outcome(False, None, (str(error),))
            time.sleep(dice.uniform(0.0, 0.5))
        assert self._driver is not None
        driver, self._driver = self._driver[1], None
        helpers, flowing = driver.helpers(), self._torque()
        begin = time.monotonic()
        if guardian:
            for pid in helpers:
                os.kill(pid, signal.SIGKILL)
        with suppress(ProcessLookupError):
            driver.process.send_signal(number)
        seconds, gone_s = self._watch(begin, WATCH_S, driver.process)
        if number is signal.SIGSTOP:
            with self._nobody_clears():
                driver.process.send_signal(signal.SIGCONT)
                again, _ = self._watch(time.monotonic(), BACK_S)
            # A driver frozen before the hand ever had torque goes on with its start, as one started later would.
            never = starting and not flowing and seconds == 0.0
            if not never and (again is None or again > IN_FLIGHT_S):
                objections.append('the driver that came back to life gave the hand torque again')
            if kind == 'loop' and flowing and not starting and not driver.tells_that_it_stood_still():
                objections.append('the driver that came back to life does not tell that it stood still')
            driver.process.terminate()
        try:
            driver.process.wait(END_S)
            if number is not signal.SIGSTOP:
                gone_s = gone_s or time.monotonic() - begin
        except subprocess.TimeoutExpired:
            objections.append(f'the process does not end after {number.name}')
            driver.process.kill()
            driver.process.wait()
        if guardian and self._torque():  # the next driver must take it away, and be seen to
            try:
                self.drive('loop')
            except LinkTimeout as error:
                objections.append(str(error))
                self._dismiss()
        end = time.monotonic() + GONE_S
        while any(_alive(pid) for pid in helpers) and time.monotonic() < end:
            time.sleep(0.01)
        if any(_alive(pid) for pid in helpers):
            objections.append('a helper process is left')
        return Outcome(flowing, seconds, tuple(objections), starting, gone_s)

    def kill_hand(self, dice: random.Random) -> Outcome:
        """Kill the hand, start it again, clear the fault."""
        try:
            driver = self.drive('loop')
        except LinkTimeout as error:
            self._dismiss()
            return Outcome(False, None, (str(error),))
        time.sleep(dice.uniform(0.0, 0.5))
        flowing = self._torque()
        assert self._hand is not None
        begin = time.monotonic_ns()
        self._hand.kill()
        self._hand.wait()
        gone_s = (time.monotonic_ns() - begin) / 1e9
        fault = driver.hear('fault', seconds=WATCH_S)
        time.sleep(dice.uniform(0.0, 0.3))
        self._start_hand()
        if fault is None:
            self._dismiss()
            return Outcome(flowing, None, ('the driver notices nothing',), gone_s=gone_s)
        silent = str(fault['reason']).startswith('no sample')
        period_s = float(self._model.protocol[self._link]['period_ms']) / 1e3
        noticeable = int(fault['last_ns']) + round(DriverConfig().patience_s(period_s) * 1e9) if silent else begin
        seconds = max(int(fault['halt_ns']) - noticeable, 0) / 1e9
        objections = []
        if self._watch(time.monotonic(), 0.2)[0] != 0.0:
            objections.append('the new hand has torque before the fault was cleared')
        driver.tell('clear')
        said = driver.hear('cleared', 'refused', seconds=END_S) or {'event': 'nothing', 'text': ''}
        if said['event'] != 'cleared':
            objections.append(f'clear_fault: {said["event"]} {said["text"]}')
        try:
            self.drive('loop')
        except LinkTimeout as error:
            objections.append(f'after clear_fault: {error}')
            self._dismiss()
        return Outcome(flowing, seconds, tuple(objections), gone_s=gone_s)

    @contextmanager
    def _nobody_clears(self) -> Iterator[None]:
        """The commander of nodes clears faults; one that is frozen does not."""
        commander = self._commander
        if commander is not None:
            commander.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            if commander is not None:
                commander.send_signal(signal.SIGCONT)

    def _torque(self) -> bool:
        return any(self._control.request('status')['torque'])

    def _watch(
        self, begin: float, seconds: float, process: subprocess.Popen[str] | None = None
    ) -> tuple[float | None, float | None]:
        """Look at torque, and at a process, for a while.

        Returns:
            Time from ``begin`` to the first of the looks that found no torque until the end, None: there is some; and
            to the first that found the process gone, None: it is there. A drive that crosses zero is no zero: only
            what lasts counts. 0.0: there never was any.
        """
        zero_at: float | None = 0.0
        gone_at: float | None = None
        while time.monotonic() < begin + seconds:
            if self._torque():
                zero_at = None
            elif zero_at is None:
                zero_at = time.monotonic() - begin
            if process is not None and gone_at is None and process.poll() is not None:
                gone_at = time.monotonic() - begin
            time.sleep(0.0005)
        return zero_at, gone_at

    def _start(self, kind: str) -> Driver:
        model = self._model
        if kind == 'loop':
            return Driver(
                [sys.executable, '-m', 'allegro_driver.evidence.moved_hand', '--hand', model.name, '--link',
                 self._link, '--address', self._address, '--note'], self._environment)
        if self._commander is None:
            self._commander = subprocess.Popen(
                [sys.executable, '-m', 'allegro_driver.evidence.nodes.commander', model.name],
                env=self._environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        parameters = {
            'model': model.model, 'side': model.side, 'link': self._link, 'address': f"'{self._address}'",
            'enable_on_activate': 'true', 'confirmed': f"'{','.join(model.confirm)}'"}
        return Driver(
            [str(Path(sys.executable).with_name('hand_driver')), '--ros-args',
             *(word for key, value in parameters.items() for word in ('-p', f'{key}:={value}'))], self._environment)

    def _dismiss(self) -> None:
        """End the driver that runs, if any."""
        if self._driver is not None:
            process, self._driver = self._driver[1].process, None
            process.terminate()
            with suppress(subprocess.TimeoutExpired):
                process.wait(END_S)
            process.kill()
            process.wait()

    def _start_hand(self) -> None:
        model = self._model
        wire = ['udp'] if self._link == 'udp' else ['slcan', '--pty-link', str(self._terminal)]
        self._hand = subprocess.Popen(
            [sys.executable, '-m', 'allegro_driver.emulator', '--model', model.model, '--side', model.side, '--wire',
             *wire, '--port', str(self._ports[0]), '--control-port', str(self._ports[1]), '--physics', 'simple'],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        assert self._hand.stdout is not None
        line = self._hand.stdout.readline()
        if not line:
            raise LinkError(f'the emulated {model.name} did not start: {self._hand.communicate()[1].strip()}')
        ready: dict[str, Any] = json.loads(line)
        self._ports = int(ready.get('wire_port', 0)), int(ready['control_port'])
        self._address = self._address or str(ready.get('address', ''))


def _alive(pid: int) -> bool:
    """Whether a process runs; one that ended and was not waited for does not."""
    try:
        return Path(f'/proc/{pid}/stat').read_text().rpartition(')')[2].split()[0] != 'Z'
    except OSError:
        return False
