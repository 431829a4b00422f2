"""``python -m allegro_bench.evidence.profiler_overhead``: how much of a core the node ``inference_profiler`` takes.

From the run folders that are named, or from a new run of the whole loop on an emulated hand. The kernel counts the CPU
time of the profiler's process once a second; its share is that time over the seconds in which the policy ran at its
control rate. The interval is Student's t over stretches of the run. Beside it stands how busy the machine was: on cores
that others use, the same work takes more CPU time, because caches are cold and clocks are shared.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from allegro_description.errors import AllegroError, ConfigError, LinkError

from allegro_bench.record import load_series, load_ticks
from allegro_bench.results.intervals import over_blocks
from allegro_bench.statistics import figures

NODE = 'inference_profiler'
LIMIT = 0.03
"""Share of one core at 50 Hz."""
BUSY = 0.9
"""A second counts if the policy inferred at least this often, as a share of its control rate."""
LEAST_S, STRETCHES = 10.0, 6
PATIENCE_S = 90.0


def overhead(folder: Path) -> dict[str, Any]:
    """What the profiler took in one run.

    Returns:
        ``rate_hz`` of the policy; ``seconds`` that count and ``all_s`` of the run; ``share`` of a core with its
        interval (value, lo, hi, n); ``share_all`` over the whole run; ``worst_second``; ``machine_cores`` busy and
        ``cores`` there are.

    Raises:
        ConfigError: no run of the live profiler, or too short.
    """
    path = folder / 'result.json'
    try:
        document = json.loads(path.read_text(encoding='utf-8'))
        rows = {n['name']: n for n in document['nodes']}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConfigError(f'{path} is no result of a live run: {error}') from error
    if NODE not in rows or rows[NODE]['source'] != 'proc':
        raise ConfigError(f'{folder}: {NODE} did not run in a process of its own on this machine')
    series, ticks = load_series(folder), load_ticks(folder)
    period_ns = ticks.period_ns
    if not period_ns:
        raise ConfigError(f'{folder}: the policy never ran')
    took, machine = (_steps(series.arrays, rows[name]['pid']) for name in (NODE, 'whole machine'))
    finished = np.sort((ticks.done[:, 3] - ticks.t0_ns) * 1e-9)
    counts = np.diff(np.searchsorted(finished, np.stack([took[:, 0], took[:, 0] + took[:, 1]])), axis=0)[0]
    busy = took[counts >= BUSY * took[:, 1] * 1e9 / period_ns]
    if busy[:, 1].sum() < LEAST_S:
        raise ConfigError(f'{folder}: the policy ran at its rate for {busy[:, 1].sum():.0f} s; needed are {LEAST_S:g}')
    stretches = [part[:, 2].sum() / part[:, 1].sum() for part in np.array_split(busy, STRETCHES)]
    share = over_blocks(float(busy[:, 2].sum() / busy[:, 1].sum()), [float(s) for s in stretches])
    return {
        'folder': folder.name, 'rate_hz': 1e9 / period_ns, 'seconds': float(busy[:, 1].sum()),
        'all_s': float(took[:, 1].sum()), 'share': share, 'share_all': float(took[:, 2].sum() / took[:, 1].sum()),
        'worst_second': float((busy[:, 2] / busy[:, 1]).max()),
        'machine_cores': float(machine[:, 2].sum() / machine[:, 1].sum()), 'cores': document['system']['cpu']['cores'],
    }


def _steps(arrays: Mapping[str, Any], pid: int) -> Any:
    """Between readings of a process: begin (s), length (s), CPU time (s), (n, 3)."""
    table = arrays.get(f'cpu/{pid}')
    if table is None or len(table) < STRETCHES + 1:
        raise ConfigError(f'process {pid} was read too seldom; let the run last longer')
    return np.column_stack([table[:-1, 0], np.diff(table, axis=0)])


def demo(seconds: float, folder: Path) -> None:
    """Run the whole loop on an emulated hand, by the command of the package above.

    Raises:
        LinkError: it failed; the message ends with what it said.
    """
    options = {'viewer': 'false', 'record': 'false', 'duration': f'{seconds:g}', 'output-dir': folder}
    command = [sys.executable, '-m', 'allegro_bringup.demo',
               *(word for name, value in options.items() for word in (f'--{name}', str(value)))]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=seconds + PATIENCE_S)
    except subprocess.TimeoutExpired:
        raise LinkError(f'the run did not end within {seconds + PATIENCE_S:g} s') from None
    if not (folder / 'result.json').is_file():
        raise LinkError(f'the run failed: {" ".join((done.stdout + done.stderr).split())[-600:]}')


def sentence(found: Mapping[str, Any]) -> str:
    """One run in words."""
    share = found['share']
    words = ', '.join(figures(100 * share[k]) for k in ('lo', 'hi'))
    load = '' if found['cores'] is None else f' of {found["cores"]}'
    return (f'{found["folder"]}: {NODE} took {figures(100 * share["value"])} % [{words}] of a core in the '
            f'{found["seconds"]:.0f} s in which the policy ran at {figures(found["rate_hz"])} Hz; worst second '
            f'{figures(100 * found["worst_second"])} %, whole run ({found["all_s"]:.0f} s) '
            f'{figures(100 * found["share_all"])} %; machine: {found["machine_cores"]:.2f}{load} cores busy')


def main(arguments: Sequence[str] | None = None) -> int:
    """Print each run; returns 1 if the profiler took more than it may, 2 if nothing could be told."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('runs', nargs='*', type=Path, metavar='RUN', help='folders of runs; default: make one')
    parser.add_argument('--seconds', type=float, default=60.0, metavar='S', help='length of a new run (default: 60)')
    parser.add_argument('--json', default='', metavar='FILE')
    args = parser.parse_args(arguments)
    print(f'load before: {", ".join(f"{x:.2f}" for x in os.getloadavg())}')
    try:
        with tempfile.TemporaryDirectory(prefix='allegro_bench_') as scratch:
            runs = args.runs
            if not runs:
                runs = [Path(scratch) / 'run']
                demo(args.seconds, runs[0])
            rows = [overhead(folder) for folder in runs]
    except AllegroError as error:
        print(f'profiler_overhead: {error}', file=sys.stderr)
        return 2
    for found in rows:
        print(sentence(found))
    worst = max(found['share']['value'] for found in rows)
    kept = math.isfinite(worst) and worst <= LIMIT
    print(f'limit {LIMIT:.0%} of a core: {"kept" if kept else "exceeded"}')
    if args.json:
        Path(args.json).write_text(json.dumps(rows, indent=1))
    return int(not kept)


if __name__ == '__main__':
    raise SystemExit(main())
