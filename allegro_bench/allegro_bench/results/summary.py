"""From blocks and ticks to the numbers of a result, ``summary[]``: pure, so that they can be computed again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from allegro_bench.latency import WINDOWS, Ticks
from allegro_bench.results import blocks
from allegro_bench.results.comparisons import comparisons
from allegro_bench.results.cost import carbon, cpu, cpu_per_success, energy, per_success
from allegro_bench.results.document import NULL, engine_of, plain, ticks_of
from allegro_bench.results.intervals import distribution, known
from allegro_bench.statistics import longest_run, most_in_window, wilson

FLOOR_FACTOR = 3.0
"""A backend whose response p99 is below so many times that of the null backend is not told from the harness."""


def summarise(document: Mapping[str, Any], folder: Path) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """The sections ``summary`` and ``comparisons`` of a result, from its other sections and its tick files.

    Args:
        document: run, workload, backends, meters, baselines, blocks and quality are used.
        folder: where the tick files lie.

    Raises:
        ConfigError: a tick file is missing or damaged.
    """
    floor = floor_ms(document, folder)
    found: list[dict[str, Any]] = plain([_entry(document, folder, name, floor) for name in blocks.backends(document)])
    return found, plain(comparisons(document, folder))


def floor_ms(document: Mapping[str, Any], folder: Path) -> float | None:
    """Response p99 of the null backend, ms: what the harness itself takes; None where it was not measured."""
    found = [ticks_of(folder, b).response_ns() * 1e-6 for b in blocks.of_kind(document, NULL)]
    return known(distribution(found, blocks.second(document['workload']))['p99']) if found else None


def _entry(document: Mapping[str, Any], folder: Path, name: str, floor: float | None) -> dict[str, Any]:
    workload = document['workload']
    mine = blocks.of(document, name)
    runs = [ticks_of(folder, b) for b in mine]
    second = blocks.second(workload)
    response = distribution([r.response_ns() * 1e-6 for r in runs], second)
    engine = [e for b in mine if (e := engine_of(folder, b)) is not None]
    expected, done = sum(map(len, runs)), sum(int((~r.skipped).sum()) for r in runs)
    p99 = known(response['p99'])
    rate = done / (expected * blocks.period_ns(workload) * 1e-9) if expected else None
    costs = energy(document, name)
    success = per_success(document, name, costs)
    seconds = cpu(mine)
    return {
        'backend': name, 'n_blocks': len(mine), 'n_expected': expected, 'n_completed': done,
        'n_skipped': expected - done,
        'response_ms': response,
        'service_ms': distribution([r.service_ns() * 1e-6 for r in runs], second),
        'engine_ms': distribution([e * 1e-6 for e in engine], second) if len(engine) == len(mine) else None,
        'jitter_us': distribution([r.jitter_ns() * 1e-3 for r in runs], second),
        'miss': misses(runs, blocks.deadline_ns(workload), second),
        'achieved_rate_hz': rate,
        'floor_ms': floor,
        'at_floor': None if floor is None or p99 is None else p99 < FLOOR_FACTOR * floor,
        'cpu_s_per_inference': seconds,
        'cpu_s_per_success': cpu_per_success(document, name, seconds),
        'energy': costs,
        'j_per_success': success,
        'carbon': carbon(document, costs, rate, success),
    }


def misses(runs: Sequence[Ticks], deadline: int, second: int) -> dict[str, Any]:
    """The ``miss`` of a backend over all its blocks; runs and windows do not reach from one block into the next.

    Args:
        runs: ticks of each block.
        deadline: D, ns.
        second: ticks of one second.
    """
    parts = [r.missed(deadline) for r in runs]
    skipped = sum(int(r.skipped.sum()) for r in runs)
    n, missed = sum(p.size for p in parts), sum(int(p.sum()) for p in parts)
    rate = wilson(missed, n)
    return {
        'rate': rate.value, 'lo': rate.lo, 'hi': rate.hi, 'n': n, 'missed': missed, 'late': missed - skipped,
        'skipped': skipped,
        'longest_run': max((longest_run(p) for p in parts), default=0),
        'mk': {str(k): max((most_in_window(p, k) for p in parts), default=0) for k in WINDOWS},
        'worst_second': max((most_in_window(np.asarray(p), second) for p in parts), default=0),
    }
