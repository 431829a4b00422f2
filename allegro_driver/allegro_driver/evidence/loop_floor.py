"""How far is the driver from the floor? The Python driver and a bare C loop answer the same hand, in turns, in one run.

``python -m allegro_driver.evidence.loop_floor`` needs a C compiler (``cc``). Three hosts are measured from the wire:
``floor`` (loop_floor.c), ``hand`` (the control loop without ROS) and ``node`` (hand_driver, publishing). Blocks run in
the order A B C C B A, so that a drift of the machine falls on all of them.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
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

from allegro_driver.evidence.wire_clock import WireClock
from allegro_driver.realtime import prepare_thread

SETTLE_S = 3.0
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


def commands(program: Path, port: int, seconds: float) -> dict[str, list[str]]:
    """Command line of each host."""
    node = Path(sys.executable).with_name('hand_driver')
    parameters = {
        'address': f'127.0.0.1:{port}:0', 'enable_on_activate': 'true', 'autostart': 'true', 'relax_after_s': '0.0'}
    return {
        'floor': [str(program), str(port), str(seconds)],
        'hand': [sys.executable, '-c', _HAND, str(port), str(seconds)],
        'node': [str(node), '--ros-args', *(w for k, v in parameters.items() for w in ('-p', f'{k}:={v}'))],
    }


def cpu_ns(pid: int) -> int:
    """Time that all threads of a process have run, ns."""
    total = 0
    for thread in Path(f'/proc/{pid}/task').iterdir():
        total += int((thread / 'schedstat').read_text().split()[0])
    return total


def measure(name: str, program: Path, seconds: float) -> dict[str, Any]:
    """Let one host answer for a while.

    Raises:
        AllegroError: it never connected.
    """
    environment = {**os.environ, 'ROS_AUTOMATIC_DISCOVERY_RANGE': 'LOCALHOST'}
    with closing(WireClock(load_hand())) as clock:
        command = commands(program, clock.port, seconds + SETTLE_S + 2.0)[name]
        host = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        try:
            if not clock.connect():
                raise FileNotFoundError
            clock.serve(SETTLE_S)
            begin = (time.monotonic(), cpu_ns(host.pid))
            answers = clock.serve(seconds)
            spent = (cpu_ns(host.pid) - begin[1]) / (time.monotonic() - begin[0]) / 1e7
        except FileNotFoundError:
            raise AllegroError(f'the host {name} ended early: {host.communicate()[1].strip()[-300:]}') from None
        finally:
            host.send_signal(signal.SIGINT)
            try:
                host.communicate(timeout=5)
            except subprocess.TimeoutExpired:
                host.kill()
                host.communicate()
    return {'host': name, 'turnaround_us': answers.turnaround_us(), 'on_time': answers.on_time, 'cpu_percent': spent}


def summary(blocks: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """One row for each host, and its ratios to the floor."""
    rows: dict[str, Any] = {}
    for name in dict.fromkeys(block['host'] for block in blocks):
        own = [block for block in blocks if block['host'] == name]
        times = np.concatenate([block['turnaround_us'] for block in own])
        good, count = (sum(block['on_time'][k] for block in own) for k in (0, 1))
        p50, p99, p999 = np.percentile(times, (50, 99, 99.9))
        rows[name] = {
            'samples': count, 'on_time_percent': 100.0 * good / count, 'turnaround_p50_us': p50,
            'turnaround_p99_us': p99, 'turnaround_p999_us': p999, 'turnaround_max_us': times.max(),
            'cpu_percent': float(np.mean([block['cpu_percent'] for block in own])),
        }
    for row in rows.values():
        for key in ('turnaround_p50_us', 'turnaround_p99_us', 'cpu_percent'):
            row[key.replace('_us', '').replace('_percent', '') + '_to_floor'] = row[key] / rows['floor'][key]
    return rows


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point; returns the exit code."""
    parser = argparse.ArgumentParser(prog='loop_floor', description=(__doc__ or '').partition('\n')[0])
    parser.add_argument('--seconds', type=float, default=10.0, help='length of a block (default: %(default)s)')
    parser.add_argument('--hosts', nargs='+', default=['floor', 'hand', 'node'], choices=('floor', 'hand', 'node'))
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
    print('| host | samples | on time, % | turnaround p50 / p99 / p99.9 / max, µs | CPU, % of a core | '
          'p50 and CPU to the floor |')
    print('|---|---|---|---|---|---|')
    for name, r in rows.items():
        times = ' / '.join(f'{r[f"turnaround_{k}_us"]:.0f}' for k in ('p50', 'p99', 'p999', 'max'))
        print(f'| {name} | {r["samples"]} | {r["on_time_percent"]:.3f} | {times} | {r["cpu_percent"]:.1f} | '
              f'{r["turnaround_p50_to_floor"]:.1f}, {r["cpu_to_floor"]:.1f} |')
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1) + '\n')
    return 0


if __name__ == '__main__':
    sys.exit(main())
