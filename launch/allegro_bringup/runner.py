"""The runner behind ``allegro-demo``.

Starts exactly the processes of ``profile.launch.py``, keeps their logs, shows how it goes, stops them so that the hand
is left without torque, and prints the result.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import socket
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from allegro_ai.backends import BACKENDS
from allegro_ai.bundle import load_bundle
from allegro_bench.episodes import line
from allegro_description.config import Value
from allegro_description.errors import AllegroError
from allegro_description.model import load_hand
from allegro_driver.emulator.client import EmulatorClient

from allegro_bringup.arguments import ProfileArgs, add_options, from_texts
from allegro_bringup.environment import child_environment, free_domain_id, free_port
from allegro_bringup.graph import profile_graph
from allegro_bringup.outcome import remarks, rows
from allegro_bringup.progress import Progress, bar, table
from allegro_bringup.runs import with_output_dir
from allegro_bringup.session import RunFailed, Session, StopRequest, as_command

DEFAULTS: dict[str, Value] = {'viewer': True}
"""Where the runner differs from ``profile.launch.py``: it shows the hand."""

GRACE_S = 30.0
"""A run of a fixed duration is ended this long after it should have ended by itself."""


ABOUT = """Runs the whole loop on this machine: an emulated hand, driver, touch, grasp policy, profiler and recorder,
the same processes as profile.launch.py, without ros2 launch. Ends with a table and a folder runs/<time> with report,
result and bag. Ctrl-C stops everything within two seconds and leaves the hand without torque."""


def run_command(arguments: Sequence[str] | None = None) -> int:
    """Run from a command line; returns 0 after a complete run, 130 after an interrupted, 1 or 2 after a failed one."""
    def demonstrate(request: StopRequest) -> int:
        args = with_output_dir(free_ports(parse(arguments)))
        check_policy(args)
        return Demo(args, Progress(sys.stdout), request).run()

    return as_command('allegro-demo', demonstrate)


def parse(arguments: Sequence[str] | None) -> ProfileArgs:
    """Read the command line; its options are the arguments of ``profile.launch.py``.

    Raises:
        ConfigError: a value that is not allowed.
    """
    parser = argparse.ArgumentParser(prog='allegro-demo', description=ABOUT)
    add_options(parser, ProfileArgs, DEFAULTS)
    return from_texts(ProfileArgs, vars(parser.parse_args(arguments)))


def check_policy(args: ProfileArgs) -> None:
    """Find out before anything is started whether the policy can run; its node would try again for ever.

    Raises:
        AllegroError: bundle or backend is unknown, damaged, not installed, or made for another hand.
    """
    load_bundle(args.policy, load_hand(args.model, args.side))
    BACKENDS.load(args.backend)


def free_ports(args: ProfileArgs) -> ProfileArgs:
    """Replace the ports of emulated hand and viewer that somebody else on this machine holds."""
    viewer = free_port(args.viewer_port, socket.SOCK_STREAM)
    if not args.emulate:
        return dataclasses.replace(args, viewer_port=viewer)
    wire = free_port(args.wire_port)
    control = free_port(args.control_port, taken=[wire])
    local = free_port(args.local_port, taken=[wire, control])
    return dataclasses.replace(
        args, viewer_port=viewer, wire_port=wire, control_port=control, local_port=local)


def torque_ma(args: ProfileArgs) -> float | None:
    """Ask the emulated hand for the largest motor current that is commanded, mA; None if there is no answer."""
    try:
        with EmulatorClient('127.0.0.1', args.control_port, timeout_s=0.2) as client:
            status = client.request('status')
    except (AllegroError, OSError):
        return None
    return max((abs(float(value)) for value in status['current_ma']), default=0.0)


class Demo:
    """One run and what it says."""

    def __init__(self, args: ProfileArgs, progress: Progress, request: StopRequest) -> None:
        """Prepare it; nothing is started."""
        self.args, self.progress = args, progress
        self.folder = Path(args.output_dir)
        environment = child_environment(free_domain_id())
        self.session = Session(self.folder, environment, request, lambda: torque_ma(args) if args.emulate else None)
        self.began = time.monotonic()
        self.cpu_begin: dict[str, float] = {}
        self.cpu_percent: dict[str, float] = {}
        self.last_event: dict[str, Any] = {}
        self.held = self.ended = 0

    def run(self) -> int:
        """Start, watch, stop, report. Returns the exit code.

        Raises:
            AllegroError: the run failed or was interrupted; everything is stopped.
        """
        specs = profile_graph(self.args)
        self.progress.status('starting …')
        try:
            self.session.start(specs)
            self._announce()
            self._watch()
            self._sample_cpu()
            self.session.finish(self._writing)
        except BaseException:
            self.progress.line('stopping …')
            self.session.hurry()
            self._say_stopped()
            raise
        self.session.request.check()
        return self._report()

    def _announce(self) -> None:
        kind = 'an emulated hand (simulated physics)' if self.args.emulate else 'a real hand'
        self.progress.line(f'{len(self.session.children)} processes run, on {kind}; logs: {self.folder / "logs"}')
        if self.args.viewer:
            self.progress.line(f'see the hand in a browser: http://127.0.0.1:{self.args.viewer_port}')
        self.progress.line(f'{self.args.duration:.0f} s; Ctrl-C stops safely')

    def _watch(self) -> None:
        self.began = begin = time.monotonic()
        self.cpu_begin = {name: child.sample_cpu() for name, child in self.session.children.items()}
        limit = self.args.duration + (GRACE_S if self.args.emulate else 0.0)
        unlimited = self.args.emulate and self.args.episodes > 0
        while not self.session.through():
            for child in self.session.check():
                if not child.spec.required:
                    self.progress.line(f'{child.name} ended, the run goes on; its log: {child.log}')
            for event in self.session.events():
                self._tell(event)
            elapsed = time.monotonic() - begin
            if elapsed > limit and not unlimited:
                break
            self._show(elapsed)
            time.sleep(0.1)
        for event in self.session.events():
            self._tell(event)

    def _show(self, elapsed: float) -> None:
        total = 0.0 if self.args.episodes else self.args.duration
        counted = f'{self.ended} of {self.args.episodes}' if self.args.episodes else str(self.ended)
        # The duration counts from the first episode, the clock here from the start of the processes.
        clock = f'{elapsed:3.0f} of {total:.0f} s' if elapsed <= total else f'{elapsed:3.0f} s, last episode'
        clock = clock if total else f'{elapsed:3.0f} s'
        self.progress.status(f'{bar(elapsed, total)} {clock}  episodes {counted}, held {self.held}')

    def _tell(self, event: dict[str, Any]) -> None:
        if event.get('event') == 'episode':
            self.ended += 1
            self.held += event.get('outcome') == 'held'
            self.progress.line(line(event['number'], event))
        elif event.get('event') == 'fault':
            self.progress.line(f'the driver was in fault; clear_fault: {event["text"]}')

    def _sample_cpu(self) -> None:
        elapsed = time.monotonic() - self.began
        for name, child in self.session.children.items():
            self.cpu_percent[name] = 100.0 * (child.sample_cpu() - self.cpu_begin[name]) / elapsed

    def _writing(self) -> None:
        self.progress.status('writing report and bag …')

    def _say_stopped(self) -> None:
        if not self.session.children:
            return
        torque = self.session.torque_ma
        state = 'torque is zero' if torque == 0.0 else 'torque unknown' if torque is None else f'TORQUE {torque:.0f} mA'
        self.progress.line(f'stopped, {state}; what was recorded is in {self.folder}')
        if self.session.killed:
            self.progress.line(f'did not end in time and were killed: {", ".join(self.session.killed)}')
        if (self.folder / 'result.json').exists() and not (self.folder / 'report.html').exists():
            self.progress.line(f'no time was left for the report; write it with: allegro-bench report {self.folder}')

    def _report(self) -> int:
        path = self.folder / 'result.json'
        if not path.is_file():
            log = self.session.children['inference_profiler'].log
            raise RunFailed(f'inference_profiler wrote no {path}; its log: {log}')
        result = json.loads(path.read_text())
        self.progress.line()
        self.progress.line(table(rows(result, self.cpu_percent)))
        for remark in remarks(result):
            self.progress.line(f'  note: {remark}')
        self.progress.line()
        for name in ('report.html', 'result.json', 'bag'):
            if (self.folder / name).exists():
                self.progress.line(f'  {self.folder / name}')
        if self.session.torque_ma:
            raise RunFailed(f'the emulated hand was left with {self.session.torque_ma:.0f} mA; see {self.folder}/logs')
        if self.session.killed:
            raise RunFailed(f'had to be killed: {", ".join(self.session.killed)}; see {self.folder / "logs"}')
        return 0
