"""How far is the driver from the floor? The Python driver and a bare C loop answer the same hand, in turns, in one run.

``python -m allegro_driver.evidence.loop_floor`` needs a C compiler (``cc``). Four hosts are measured from the wire:
``floor`` (loop_floor.c), ``hand`` (the control loop without ROS), ``node`` (hand_driver, publishing) and ``busy`` (the
same while a policy commands it and a viewer watches). Blocks run in the order A B C D D C B A, so that a drift of the
machine falls on all of them.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
from allegro_description.errors import AllegroError, MissingDependency
from allegro_description.model import load_hand
from numpy.typing import NDArray

from allegro_driver.evidence.loop_hosts import HOSTS, machine, running
from allegro_driver.evidence.wire_clock import WireClock
from allegro_driver.realtime import prepare_thread

SETTLE_S = 3.0
_LONGEST_START_S = 45.0
_Z95 = 1.959964
_SPREAD = ('p50', 'p99', 'p999', 'max')


def compile_floor(folder: Path) -> Path:
    """Compile the C loop.

    Raises:
        MissingDependency: there is no C compiler, or it fails.
    """
    compiler = shutil.which('cc') or shutil.which('gcc')
    if compiler is None:
        raise MissingDependency('the floor needs a C compiler: sudo apt install gcc libc6-dev')
    program, source = folder / 'loop_floor', Path(__file__).with_name('loop_floor.c')
    done = subprocess.run([compiler, '-O2', '-Wall', '-o', program, source], capture_output=True, text=True)
    if done.returncode:
        raise MissingDependency(f'the C compiler failed: {done.stderr.strip()}')
    return program


def measure(name: str, program: Path, seconds: float) -> dict[str, Any]:
    """Let one host answer for a while.

    Raises:
        AllegroError: it never connected, or it ended.
    """
    load = os.getloadavg()[0]  # what others do; the host and its companions come on top
    with closing(WireClock(load_hand())) as clock, \
            running(name, program, clock.port, seconds + SETTLE_S + 2.0) as host:
        try:
            if not clock.connect():
                raise FileNotFoundError
            for _ in host.accompany(_LONGEST_START_S):
                clock.serve(0.2)
            clock.serve(SETTLE_S)
            begin, spent, commands, (stolen, ticks) = time.monotonic(), host.spent_ns(), host.commands(), machine()
            answers = clock.serve(seconds)
            taken, (stolen_then, ticks_then) = time.monotonic() - begin, machine()
            threads = {thread: (ran - spent.get(thread, 0)) / taken / 1e7 for thread, ran in host.spent_ns().items()}
            rate = (host.commands() - commands) / taken
            if host.state() not in ('', 'active'):
                raise AllegroError(f'the host {name} was in state {host.state()} and did not follow the policy')
        except FileNotFoundError:
            raise AllegroError(f'the host {name} ended early: {host.complaint()}') from None
    return {
        'host': name, 'turnaround_us': answers.turnaround_us(), 'jitter_us': answers.jitter_us(),
        'on_time': answers.on_time, 'threads_percent': threads, 'cpu_percent': sum(threads.values()),
        'commands_hz': rate, 'load': load,
        'stolen_percent': 100.0 * (stolen_then - stolen) / max(ticks_then - ticks, 1),
    }


def wilson(hits: int, count: int) -> tuple[float, float]:
    """95 % Wilson interval of a share, 0 … 1."""
    if not count:
        return 0.0, 1.0
    share, z2 = hits / count, _Z95**2 / count
    middle, reach = share + z2 / 2, _Z95 * math.sqrt(share * (1 - share) / count + z2 / (4 * count))
    return (middle - reach) / (1 + z2), (middle + reach) / (1 + z2)


def summary(blocks: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """One row for each host, and its ratios to the floor."""
    rows: dict[str, Any] = {}
    for name in dict.fromkeys(block['host'] for block in blocks):
        own = [block for block in blocks if block['host'] == name]
        good, count = (sum(block['on_time'][k] for block in own) for k in (0, 1))
        low, high = wilson(good, count)
        threads = {thread for block in own for thread in block['threads_percent']}
        mean = {key: float(np.mean([block[key] for block in own])) for key in ('cpu_percent', 'commands_hz')}
        rows[name] = {
            'samples': count, 'late': count - good, 'on_time_percent': 100.0 * good / count,
            'on_time_interval_percent': [100.0 * low, 100.0 * high], **mean,
            **{f'{what}_{k}_us': v for what in ('turnaround', 'jitter')
               for k, v in _spread(np.concatenate([block[f'{what}_us'] for block in own])).items()},
            'threads_percent': {thread: float(np.mean([block['threads_percent'].get(thread, 0.0) for block in own]))
                                for thread in sorted(threads)},
            **{f'{key}_of_blocks': [block[key] for block in own] for key in ('cpu_percent', 'stolen_percent', 'load')},
        }
    for row in rows.values():
        floor = rows['floor']
        for key in ('turnaround_p50_us', 'turnaround_p99_us', 'cpu_percent'):
            row[key.replace('_us', '').replace('_percent', '') + '_to_floor'] = row[key] / floor[key]
        late, of_floor = row['late'] / row['samples'], floor['late'] / floor['samples']
        row['late_to_floor'] = late / of_floor if of_floor else None
    return rows


def table(rows: dict[str, Any]) -> str:
    """The rows as Markdown."""
    lines = ['| host | samples | on time, % [95 %] | late, to the floor | turnaround p50 / p99 / p99.9 / max, µs | '
             'jitter, likewise, µs | CPU, % of a core | p50 and CPU to the floor |', '|---' * 8 + '|']
    for name, r in rows.items():
        turnaround, jitter = (
            ' / '.join(f'{r[f"{what}_{k}_us"]:.0f}' for k in _SPREAD) for what in ('turnaround', 'jitter'))
        low, high = r['on_time_interval_percent']
        ratio = '–' if r['late_to_floor'] is None else f'{r["late_to_floor"]:.2f}'
        lines.append(
            f'| {name} | {r["samples"]} | {r["on_time_percent"]:.3f} [{low:.3f}, {high:.3f}] | {r["late"]}, {ratio} | '
            f'{turnaround} | {jitter} | {r["cpu_percent"]:.1f} | '
            f'{r["turnaround_p50_to_floor"]:.1f}, {r["cpu_to_floor"]:.1f} |')
    lines += ['', '| host | threads, % of a core | commands, Hz | CPU of each block, % of a core | '
              'stolen, % of the machine | load average before |', '|---' * 6 + '|']
    for name, r in rows.items():
        threads = ', '.join(f'{thread} {share:.2f}' for thread, share in sorted(
            r['threads_percent'].items(), key=lambda item: -item[1]) if share >= 0.01)
        blocks = ' | '.join(', '.join(f'{value:.1f}' for value in r[f'{key}_of_blocks'])
                            for key in ('cpu_percent', 'stolen_percent', 'load'))
        lines.append(f'| {name} | {threads} | {r["commands_hz"]:.1f} | {blocks} |')
    return '\n'.join(lines)


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point; returns the exit code."""
    parser = argparse.ArgumentParser(prog='loop_floor', description=(__doc__ or '').partition('\n')[0])
    parser.add_argument('--seconds', type=float, default=10.0, help='length of a block (default: %(default)s)')
    parser.add_argument('--hosts', nargs='+', default=HOSTS, choices=HOSTS, help='default: all')
    parser.add_argument('--json', type=Path, help='write the figures to this file')
    options = parser.parse_args(argv)
    prepare_thread(70)
    hosts = list(dict.fromkeys(['floor', *options.hosts]))
    try:
        with tempfile.TemporaryDirectory() as folder:
            program = compile_floor(Path(folder))
            blocks = []
            for name in (*hosts, *reversed(hosts)):
                print(f'{name} … {options.seconds:g} s', file=sys.stderr, flush=True)
                blocks.append(measure(name, program, options.seconds))
    except AllegroError as error:
        print(f'loop_floor: {error}', file=sys.stderr)
        return 2
    rows = summary(blocks)
    print(table(rows))
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1) + '\n')
    return 0


def _spread(values: NDArray[np.float64]) -> dict[str, float]:
    if not len(values):
        return dict.fromkeys(_SPREAD, math.nan)
    return dict(zip(_SPREAD, (*map(float, np.percentile(values, (50, 99, 99.9))), float(values.max())), strict=True))


if __name__ == '__main__':
    sys.exit(main())
