"""Does the driver grow? A control loop and a driver node move emulated hands for a long time and are looked at.

``python -m allegro_driver.evidence.soak --minutes 30`` runs two drivers at once: the loop without ROS over UDP and the
node ``hand_driver`` over CAN, both commanded at 50 Hz. Every ten seconds it reads resident memory, threads and open
files of both, and of the two emulators, from ``/proc``, and the share of samples answered on time from the drivers.

What passes was fixed before the first run. The first fifth of the time (at most five minutes) is for warming up and
does not count. After it, memory has grown if the 95 % interval of a linear fit lies above zero *and* the fit has risen
by more than 512 KiB: one small object leaked per second would not show, one per sample would be ten times that.
Threads and open files have grown if the most of the last third exceeds the most of the first third. A process that
ended, or a hand that is not moving at the end, fails too. Shares on time and faults (each is cleared, and the hand
moved on) are reported, not judged: machines are shared, and a driver that hears nothing for 30 ms has to stop.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import numpy as np
from allegro_description.errors import AllegroError, LinkError
from allegro_description.model import load_hand

from allegro_driver.evidence.fault_trials import Bench

WARM_UP_SHARE, WARM_UP_S = 0.2, 300.0
NOISE_KIB = 512.0
START_S = 30.0
LOCAL = {'ROS_AUTOMATIC_DISCOVERY_RANGE': 'LOCALHOST'}


@dataclass(frozen=True, slots=True)
class Fit:
    """A straight line through values over time.

    Attributes:
        slope: per hour.
        margin: half of its 95 % interval, per hour.
        rise: by how much the line rises over the time that it covers.
    """

    slope: float
    margin: float
    rise: float


def line(seconds: Sequence[float], values: Sequence[float]) -> Fit:
    """Fit one; neighbours that resemble each other widen the interval (lag-one correlation)."""
    t, v = np.asarray(seconds, dtype=np.float64) / 3600.0, np.asarray(values, dtype=np.float64)
    if len(t) < 4:
        return Fit(0.0, math.inf, 0.0)
    t = t - t.mean()
    slope = float(t @ v / (t @ t))
    rest = v - v.mean() - slope * t
    power = float(rest @ rest)
    alike = max(float(rest[1:] @ rest[:-1]) / power, 0.0) if power > 0.0 else 0.0
    count = max(len(t) * (1.0 - alike) / (1.0 + alike), 3.0)  # values that are worth as much as independent ones
    error = math.sqrt(power / (count - 2.0) / len(t) / float(t @ t / len(t)))
    return Fit(slope, 1.96 * error, slope * float(t[-1] - t[0]))


@dataclass(slots=True)
class Watched:
    """One process and what was seen of it."""

    name: str
    pid: int
    seconds: list[float] = field(default_factory=list)
    rss_kib: list[float] = field(default_factory=list)
    threads: list[int] = field(default_factory=list)
    files: list[int] = field(default_factory=list)

    def look(self, seconds: float) -> None:
        """Read ``/proc`` once.

        Raises:
            LinkError: the process has ended.
        """
        folder = Path(f'/proc/{self.pid}')
        try:
            status = dict(row.split(':', 1) for row in (folder / 'status').read_text().splitlines() if ':' in row)
            files = len(os.listdir(folder / 'fd'))
            rss = float(status['VmRSS'].split()[0])
        except (OSError, KeyError):
            raise LinkError(f'{self.name} has ended after {seconds:.0f} s') from None
        self.seconds.append(seconds)
        self.rss_kib.append(rss)
        self.threads.append(int(status['Threads']))
        self.files.append(files)

    def judged(self, warm_up_s: float) -> tuple[Fit, list[str]]:
        """The memory's line after warming up, and what has grown."""
        first = next((k for k, s in enumerate(self.seconds) if s >= warm_up_s), 0)
        fit = line(self.seconds[first:], self.rss_kib[first:])
        grown = []
        if fit.slope - fit.margin > 0.0 and fit.rise > NOISE_KIB:
            grown.append(f'memory by {fit.rise:.0f} KiB')
        for what, counts in (('threads', self.threads[first:]), ('open files', self.files[first:])):
            third = max(len(counts) // 3, 1)
            if max(counts[-third:]) > max(counts[:third]):
                grown.append(f'{what} from {max(counts[:third])} to {max(counts[-third:])}')
        return fit, grown


class Lines:
    """Reads a child's lines of JSON in a thread and keeps the newest of each event."""

    def __init__(self, stream: IO[str]) -> None:
        self.newest: dict[str, dict[str, Any]] = {}
        self.faults: list[str] = []
        self._stream = stream
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        for text in self._stream:
            if text.startswith('{'):
                entry = json.loads(text)
                self.newest[entry['event']] = entry
                if entry['event'] == 'fault':
                    self.faults.append(str(entry['reason']))


def begin(stack: ExitStack, command: Sequence[str], environment: dict[str, str], tell: bool = True) -> Any:
    """Start a process that ends with the stack: SIGINT, then SIGKILL."""
    process = subprocess.Popen(
        command, env=environment, stdin=subprocess.PIPE, text=True,
        stdout=subprocess.PIPE if tell else subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def end() -> None:
        process.send_signal(signal.SIGINT)
        try:
            process.wait(10.0)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    stack.callback(end)
    return process


@dataclass(slots=True)
class Seen:
    """What was seen.

    Attributes:
        shares: time, s, driver and share of samples on time so far, %.
        faults: reasons, by driver.
        still: hands that were not moved at the end, and what ended too early.
    """

    watched: list[Watched] = field(default_factory=list)
    shares: list[tuple[float, str, float]] = field(default_factory=list)
    faults: dict[str, list[str]] = field(default_factory=dict)
    still: list[str] = field(default_factory=list)


def soak(minutes: float, every_s: float, hands: Sequence[str], node: bool, domain: int) -> Seen:
    """Run it.

    Raises:
        AllegroError: something does not start.
    """
    seen = Seen()
    environment = {**os.environ, **LOCAL, 'ROS_DOMAIN_ID': str(domain)}
    shares = seen.shares
    with ExitStack() as stack:
        first = stack.enter_context(closing(Bench(load_hand(*hands[0].rsplit('_', 1)), 'udp')))
        loop = begin(stack, [
            sys.executable, '-m', 'allegro_driver.evidence.moved_hand', '--hand', hands[0], '--address', first.address,
            '--report', str(every_s), '--clear'], environment)
        watched = [Watched('loop', loop.pid), Watched('emulator, UDP', first.control.request('status')['pid'])]
        loop_lines, node_lines, benches = Lines(loop.stdout), None, [first]
        if node:
            model = load_hand(*hands[1].rsplit('_', 1))
            second = stack.enter_context(closing(Bench(model, 'can')))
            parameters = {
                'model': model.model, 'side': model.side, 'link': 'can', 'address': f"'{second.address}'",
                'enable_on_activate': 'true', 'confirmed': f"'{','.join(model.confirm)}'"}
            driver = begin(stack, [
                str(Path(sys.executable).with_name('hand_driver')), '--ros-args',
                *(word for key, value in parameters.items() for word in ('-p', f'{key}:={value}'))],
                environment, tell=False)
            commander = begin(
                stack, [sys.executable, '-m', 'allegro_driver.evidence.nodes.commander', hands[1]], environment)
            watched += [
                Watched('node', driver.pid), Watched('emulator, CAN', second.control.request('status')['pid'])]
            node_lines = Lines(commander.stdout)
            benches.append(second)
        seen.watched = watched
        seen.still += [f'{bench.model.name} is not moved' for bench in benches if not _moved(bench, START_S)]
        start = time.monotonic()
        while (seconds := time.monotonic() - start) < 60.0 * minutes:
            time.sleep(max(min(every_s - seconds % every_s, 60.0 * minutes - seconds), 0.01))
            seconds = time.monotonic() - start
            try:
                for one in watched:
                    one.look(seconds)
            except LinkError as error:
                seen.still.append(str(error))
                break
            report = loop_lines.newest.get('report')
            if report and report['frames']:
                shares.append((seconds, 'loop', 100.0 * report['on_time'] / report['frames']))
            told = node_lines.newest.get('diagnostics') if node_lines else None
            if told and 'on_time_total_percent' in told:
                shares.append((seconds, 'node', float(told['on_time_total_percent'])))
            print(f'{seconds:.0f} s: ' + ', '.join(f'{w.name} {w.rss_kib[-1]:.0f} KiB' for w in watched),
                  file=sys.stderr, flush=True)
        for bench in benches:
            if not _moved(bench):
                seen.still.append(f'{bench.model.name} is not moved any more')
        seen.faults = {'loop': loop_lines.faults, **({'node': node_lines.faults} if node_lines else {})}
    return seen


def _moved(bench: Bench, patience_s: float = 5.0) -> bool:
    """Whether the hand has torque, now or soon: a fault may just be being cleared."""
    end = time.monotonic() + patience_s
    while time.monotonic() < end:
        if any(bench.control.request('status')['torque']):
            return True
        time.sleep(0.05)
    return False


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point; returns 0 when nothing has grown."""
    parser = argparse.ArgumentParser(prog='soak', description=(__doc__ or '').partition('\n')[0])
    parser.add_argument('--minutes', type=float, default=30.0, help='how long (default: %(default)s)')
    parser.add_argument('--every', type=float, default=10.0, metavar='S', help='time between looks (default: 10)')
    parser.add_argument('--hands', nargs=2, default=['v5_sense_right', 'v4_right'], metavar=('UDP', 'CAN'))
    parser.add_argument('--no-node', action='store_true', help='the control loop only')
    parser.add_argument('--domain', type=int, default=int(os.environ.get('ROS_DOMAIN_ID', '0')), help='ROS_DOMAIN_ID')
    parser.add_argument('--json', type=Path, help='write all values to this file')
    options = parser.parse_args(argv)
    try:
        seen = soak(options.minutes, options.every, options.hands, not options.no_node, options.domain)
    except AllegroError as error:
        print(f'soak: {error}', file=sys.stderr)
        return 2
    warm_up_s = min(WARM_UP_SHARE * 60.0 * options.minutes, WARM_UP_S)
    print('| process | looks | memory first / last, MiB | growth, KiB/h (95 %) | threads | open files | verdict |')
    print('|---|---|---|---|---|---|---|')
    failed = bool(seen.still)
    for one in seen.watched:
        fit, grown = one.judged(warm_up_s)
        failed |= bool(grown)
        counts = [f'{min(c)}' if min(c) == max(c) else f'{min(c)} … {max(c)}' for c in (one.threads, one.files)]
        print(f'| {one.name} | {len(one.seconds)} | {one.rss_kib[0] / 1024:.1f} / {one.rss_kib[-1] / 1024:.1f} | '
              f'{fit.slope:+.0f} ± {fit.margin:.0f} | {counts[0]} | {counts[1]} | {"; ".join(grown) or "no growth"} |')
    print(f'\n{options.minutes:g} min, the first {warm_up_s:.0f} s are not judged', end='')
    for name in ('loop', 'node'):
        own = [share for _, who, share in seen.shares if who == name]
        if own:
            print(f'; {name}: {own[-1]:.3f} % of samples on time, {len(seen.faults.get(name, ()))} faults', end='')
    print()
    for text in (*seen.still, *sorted({f'{name}: {r}' for name, reasons in seen.faults.items() for r in reasons})):
        print(f'- {text}')
    if options.json:
        options.json.write_text(json.dumps({
            'minutes': options.minutes, 'shares': seen.shares, 'faults': seen.faults, 'still': seen.still,
            'processes': [{'name': w.name, 'seconds': w.seconds, 'rss_kib': w.rss_kib, 'threads': w.threads,
                           'files': w.files} for w in seen.watched]}, indent=1) + '\n')
    return 1 if failed else 0


if __name__ == '__main__':
    sys.exit(main())
