"""One run without ``ros2 launch``: start the graph in order, watch it, stop it with the hand left without torque."""

from __future__ import annotations

import json
import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

from allegro_description.errors import AllegroError

from allegro_bringup.graph import NodeSpec, ProcessSpec, Spec
from allegro_bringup.processes import Child, command_line, stop, wait_until_gone

READY_S = 20.0
"""Longest wait for the emulated hand to answer (it builds its physics first)."""

WRITE_S = 30.0
"""Longest wait for report and bag at the end of a run."""

HURRY_S = 1.5
"""Time to stop everything after Ctrl-C; what is left is killed, so that two seconds are never exceeded."""


class RunFailed(AllegroError):
    """A process ended that the rest cannot do without, or one could not be started."""


class Interrupted(AllegroError):
    """The person at the keyboard, or the system, asked to stop."""


class StopRequest:
    """SIGINT, SIGTERM and SIGHUP as a flag; repeated signals change nothing."""

    def __init__(self) -> None:
        """Nothing was asked yet."""
        self.asked = False

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Take the signals while the context lasts."""
        numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
        before = {number: signal.signal(number, self._received) for number in numbers}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def check(self) -> None:
        """Raise :class:`Interrupted` if asked to stop."""
        if self.asked:
            raise Interrupted('interrupted')

    def _received(self, number: int, frame: FrameType | None) -> None:
        self.asked = True


def as_command(program: str, action: Callable[[StopRequest], int]) -> int:
    """Run what a command line asks for, with signals as a :class:`StopRequest` and errors as one sentence.

    Args:
        program: named in front of the sentence.
        action: returns the exit code.

    Returns:
        That code; 130 after an interruption, 1 when a run failed, 2 when it could not begin.
    """
    request = StopRequest()
    with request.listening():
        try:
            return action(request)
        except Interrupted:
            return 130
        except AllegroError as error:
            print(f'{program}: {error}', file=sys.stderr)
            return 1 if isinstance(error, RunFailed) else 2


@dataclass(slots=True)
class Session:
    """The processes of one run.

    Attributes:
        folder: where parameters and logs go.
        environment: environment of the processes.
        request: the wish to stop.
        read_torque: asks the emulated hand for the largest motor current that is commanded, mA; None if unknown.
        children: by name, in the order in which they were started.
        gone: names of those that ended by themselves.
        killed: names of those that had to be killed.
        torque_ma: what ``read_torque`` said when all nodes were gone.
    """

    folder: Path
    environment: Mapping[str, str]
    request: StopRequest
    read_torque: Callable[[], float | None]
    children: dict[str, Child] = field(default_factory=dict)
    gone: set[str] = field(default_factory=set)
    killed: list[str] = field(default_factory=list)
    torque_ma: float | None = None

    def start(self, specs: Sequence[Spec]) -> None:
        """Start the processes; those without ROS first, and each of them answering before the next is started.

        Raises:
            MissingDependency: a program is not installed.
            RunFailed: one could not be started.
            Interrupted: asked to stop meanwhile.
        """
        logs = self.folder / 'logs'
        logs.mkdir(parents=True, exist_ok=True)
        commands = {spec.name: command_line(spec, self.folder / 'parameters') for spec in specs}
        for spec in specs:
            self.request.check()
            log = logs / f'{spec.name}.log'
            try:
                self.children[spec.name] = Child(spec, commands[spec.name], log, self.environment)
            except OSError as error:
                raise RunFailed(f'{spec.name} could not be started: {error}') from error
            if isinstance(spec, ProcessSpec):
                self._await_ready(self.children[spec.name])

    def _await_ready(self, child: Child) -> None:
        end = time.monotonic() + READY_S
        while not any(_parsed(line) for line in child.new_lines()):
            self.check()
            if time.monotonic() > end:
                raise RunFailed(f'{child.name} did not get ready within {READY_S:.0f} s; its log: {child.log}')
            time.sleep(0.05)

    def check(self) -> list[Child]:
        """Look at all processes once; return those that newly ended and that the rest can do without.

        Raises:
            Interrupted: asked to stop.
            RunFailed: one ended by itself that the rest needs.
        """
        self.request.check()
        ended = [child for child in self.children.values() if child.name not in self.gone and not child.running]
        for child in ended:
            code = child.process.returncode
            if child.spec.required and not (_is(child, 'ends_run') and code == 0):
                how = f'was killed by signal {-code}' if code < 0 else f'ended with exit code {code}'
                words = child.last_words()
                raise RunFailed(f'{child.name} {how}{": " + words if words else ""}. Its log: {child.log}')
            self.gone.add(child.name)
        return ended

    def events(self) -> list[dict[str, Any]]:
        """JSON objects that processes wrote as lines of their own since the last call."""
        lines = [line for child in self.children.values() for line in child.new_lines()]
        return [found for line in lines if (found := _parsed(line))]

    def through(self) -> bool:
        """Whether the process that ends a run has ended well."""
        return any(_is(self.children[name], 'ends_run') for name in self.gone)

    def finish(self, tick: Callable[[], None]) -> None:
        """End a run that is over: let files be written first, then stop everything in order."""
        writers = [child for child in self.children.values() if _is(child, 'writes_files')]
        for child in writers:
            child.signal(signal.SIGINT)
        end = time.monotonic() + WRITE_S
        left = writers
        while left and time.monotonic() < end and not self.request.asked:
            left = wait_until_gone(left, min(end, time.monotonic() + 0.2), tick)
        self._stop(2.0)

    def hurry(self) -> None:
        """Stop everything within two seconds, the driver first, the emulated hand last."""
        self._stop(HURRY_S)

    def _stop(self, within_s: float) -> None:
        begin = time.monotonic()
        hand = [child for child in self.children.values() if isinstance(child.spec, ProcessSpec)]
        nodes = [child for child in self.children.values() if isinstance(child.spec, NodeSpec)]
        nodes.sort(key=lambda child: not _is(child, 'commands_hand'))
        killed = stop(nodes, within_s)
        if hand and hand[0].running:
            self.torque_ma = self.read_torque()
        killed += stop(hand, max(0.2, begin + within_s + 0.4 - time.monotonic()))
        self.killed += [child.name for child in killed]
        for child in self.children.values():
            child.sweep()


def _is(child: Child, trait: str) -> bool:
    return bool(getattr(child.spec, trait, False))


def _parsed(line: str) -> dict[str, Any]:
    if not line.startswith('{'):
        return {}
    try:
        found = json.loads(line)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
