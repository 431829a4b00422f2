"""From the arrays of a run to its numbers. Pure, so that a stored result can be computed again and compared."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from allegro_description.state import Array
from numpy.typing import NDArray

from allegro_bench.latency import distribution, summarise
from allegro_bench.record import SeriesRecord, TickRecord

LEAST_ENERGY_S = 30.0
"""Counters are too coarse, and baselines too restless, for energy over less than this."""

LEAST_CPU_S = 5.0
"""The kernel counts CPU time in steps of 10 ms; over this long one step does not matter."""

END_TO_END = ('from the stamp of the observation (arrival of the telemetry at the driver) to the receipt of its '
              'command by the profiler: driver publishing, both transports, waiting for the tick, inference, '
              'publishing. Not in it: the hand\'s own sampling and network before, the driver\'s wait and write after.')
CPU_SCOPE = 'the policy process as a whole (all threads, ROS included) over completed inferences'


def summaries(ticks: TickRecord, series: SeriesRecord, *, deadline_ns: int, warmup: int, policy_pid: int | None,
              channels: Sequence[str]) -> list[dict[str, Any]]:
    """The result file's ``summary[]``: one entry per backend that was seen.

    Args:
        ticks: every tick.
        series: CPU and energy sums.
        deadline_ns: D; 0 for one period.
        warmup: first completed ticks of each backend that are left out.
        policy_pid: process whose CPU time is shared out; None where unknown.
        channels: energy channels.
    """
    run, _ = ticks.restored()
    period = ticks.period_ns
    ages, age_rows = ticks.command_ages()
    found = []
    for number, name in enumerate(ticks.backends):
        mine = run[run.backend == number]
        done = np.flatnonzero(~mine.skipped)
        cold = mine[:done[warmup]] if len(done) > warmup else mine
        warm = mine[done[warmup]:] if len(done) > warmup else mine[:0]
        entry = summarise(warm, period, deadline_ns or period)
        warm_done = warm.completed
        rows = np.isin(age_rows, np.flatnonzero(ticks.done[:, 4] == number)[warmup:])
        second = max(1, round(1e9 / period)) if period else 1
        entry['end_to_end_ms'] = distribution(ages[rows] * 1e-6, second) | {'scope': END_TO_END}
        entry['warmup'] = {
            'n': len(cold.completed), 'skipped': int(cold.skipped.sum()),
            'missed': int(cold.missed(deadline_ns or period).sum()),
            'max_response_ms': _largest(cold.response_ns() * 1e-6),
        }
        entry['first_inference_ms'] = float(mine.service_ns()[0] * 1e-6) if len(done) else None
        entry['cpu_s_per_inference'], entry['energy'] = None, {}
        if len(warm_done):
            begin = (int(warm_done.release_ns[0]) - ticks.t0_ns) * 1e-9
            end = (int(warm_done.finish_ns[-1]) - ticks.t0_ns) * 1e-9
            entry['cpu_s_per_inference'] = _share(series.arrays.get(f'cpu/{policy_pid}'), begin, end, warm_done, ticks)
            entry['energy'] = {c: _energy(series.arrays.get(f'energy/{c}'), begin, end, warm_done, ticks)
                               for c in channels}
        found.append({'backend': name, **entry})
    return found


def _largest(values: NDArray[np.floating[Any]]) -> float | None:
    return float(values.max()) if values.size else None


def _window(table: Array | None, begin: float, end: float) -> Array | None:
    """Rows of a sum between two times, or None where there are fewer than two."""
    if table is None or len(table) < 2:
        return None
    inside = table[(table[:, 0] >= begin) & (table[:, 0] <= end)]
    return inside if len(inside) >= 2 else None


def _completed(ticks: TickRecord, done: Any, rows: Array) -> int:
    """Inferences that finished between the first and the last row."""
    finish_s = (done.finish_ns - ticks.t0_ns) * 1e-9
    return int(((finish_s > rows[0, 0]) & (finish_s <= rows[-1, 0])).sum())


def _share(table: Array | None, begin: float, end: float, done: Any, ticks: TickRecord) -> dict[str, Any] | None:
    rows = _window(table, begin, end)
    if rows is None or rows[-1, 0] - rows[0, 0] < LEAST_CPU_S:
        return None
    n = _completed(ticks, done, rows)
    return {'value': float(rows[-1, 1] - rows[0, 1]) / n if n else None, 'n': n,
            'window_s': float(rows[-1, 0] - rows[0, 0]), 'scope': CPU_SCOPE}


def _energy(table: Array | None, begin: float, end: float, done: Any, ticks: TickRecord) -> dict[str, Any]:
    empty = {'gross_j': None, 'gross_j_per_inference': None, 'wh_per_hour': None, 'n': 0, 'window_s': None}
    rows = _window(table, begin, end)
    if rows is None:
        return empty | {'why': 'fewer than two readings'}
    window = float(rows[-1, 0] - rows[0, 0])
    if window < LEAST_ENERGY_S:
        return empty | {'window_s': window, 'why': f'needs {LEAST_ENERGY_S:g} s'}
    if rows[-1, 2] != rows[0, 2]:
        return empty | {'window_s': window, 'why': 'a reading in the window could not be trusted'}
    n = _completed(ticks, done, rows)
    joules = float(rows[-1, 1] - rows[0, 1])
    return {'gross_j': joules, 'gross_j_per_inference': joules / n if n else None, 'wh_per_hour': joules / window,
            'n': n, 'window_s': window, 'why': None}


def nodes(series: SeriesRecord, names: Mapping[int, str], sources: Mapping[int, str]) -> list[dict[str, Any]]:
    """CPU use of every process, heaviest first; process 0 is the whole machine, in percent of one core."""
    found = []
    for pid, name in names.items():
        table = series.arrays.get(f'cpu/{pid}')
        if table is None or len(table) < 2:
            mean, peak, window = None, None, None
        else:
            load = cpu_percent(table)
            window = float(table[-1, 0] - table[0, 0])
            mean = float(table[-1, 1] - table[0, 1]) / window * 100.0 if window > 0 else None
            peak = float(load[:, 1].max()) if len(load) else None
        found.append({'name': name, 'pid': pid, 'source': sources[pid], 'cpu_percent_mean': mean,
                      'cpu_percent_max_1s': peak, 'window_s': window})
    return sorted(found, key=lambda row: -(row['cpu_percent_mean'] or 0.0))


def cpu_percent(table: Array) -> Array:
    """CPU seconds over time to percent of one core over time, (n - 1, 2)."""
    step = np.diff(table, axis=0)
    step = step[(good := step[:, 0] > 0.2)]
    return np.stack([table[1:, 0][good], step[:, 1] / step[:, 0] * 100.0], axis=1)


def forwarded(series: SeriesRecord, node: str, parts: Sequence[str]) -> dict[str, dict[str, float | int]]:
    """What a node says about itself, as it said it: values of the diagnostics whose key holds one of ``parts``."""
    found: dict[str, dict[str, float | int]] = {}
    for name, table in series.group('diagnostics').items():
        status, _, key = name.partition('/')
        if status.partition(':')[0].strip() == node and any(p in key for p in parts) and len(table):
            values = table[:, 1]
            found[key] = {'mean': float(values.mean()), 'min': float(values.min()), 'max': float(values.max()),
                          'last': float(values[-1]), 'n': len(values)}
    return found
