"""Backends of one run against each other: ratios of the blocks of one round, which met the same machine."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np

from allegro_bench.latency import PERCENTILES
from allegro_bench.results import blocks
from allegro_bench.results.cost import summed
from allegro_bench.results.document import ticks_of
from allegro_bench.statistics import nearest_rank, needed, paired_ratio

RESPONSE, SERVICE, CPU, GROSS = 'response_ms', 'service_ms', 'cpu_s_per_inference', 'gross_j_per_inference'
TIMES = tuple((kind, p) for kind in (RESPONSE, SERVICE) for p in ('p50', 'p99'))

Values = dict[str, dict[int, float]]
"""Metric, round, value."""


def comparisons(document: Mapping[str, Any], folder: Path) -> list[dict[str, Any]]:
    """The section ``comparisons``: for every pair of backends and every metric that both know, a over b.

    Raises:
        ConfigError: a tick file is missing or damaged.
    """
    values = {name: per_round(document, folder, name) for name in blocks.backends(document)}
    found = []
    for a, b in combinations(values, 2):
        for metric, mine in values[a].items():
            rounds = sorted(mine.keys() & values[b].get(metric, {}).keys())
            if rounds:
                found.append(compared(a, b, metric, {r: mine[r] for r in rounds},
                                      {r: values[b][metric][r] for r in rounds}))
    return found


def compared(a: str, b: str, metric: str, mine: Mapping[int, float], other: Mapping[int, float]) -> dict[str, Any]:
    """One row: the ratio a / b over pairs, its interval, and the ratio of each pair."""
    rounds = sorted(mine.keys() & other.keys())
    ratio = paired_ratio([mine[r] for r in rounds], [other[r] for r in rounds])
    return {'a': a, 'b': b, 'metric': metric, 'ratio': {'value': ratio.value, 'lo': ratio.lo, 'hi': ratio.hi},
            'per_block': [mine[r] / other[r] for r in rounds], 'n_pairs': len(rounds), 'method': ratio.method}


def distinguishable(ratio: Mapping[str, Any]) -> bool | None:
    """Whether an interval of a ratio leaves out 1; None without an interval."""
    return None if ratio['lo'] is None or ratio['hi'] is None else not ratio['lo'] <= 1.0 <= ratio['hi']


def per_round(document: Mapping[str, Any], folder: Path, backend: str) -> Values:
    """What each block of a backend says, by metric and round; unknown and zero values are left out.

    A percentile of a block is used only where the block alone has ticks enough for it.
    """
    order, found = document['run']['order'], Values()
    for block in blocks.of(document, backend):
        place = block['order_index']
        number = order[place]['round'] if place is not None and place < len(order) else block['index']
        ticks = ticks_of(folder, block)
        done = block['n_completed']
        rows: dict[str, float | None] = {}
        for (kind, name), values in zip(TIMES, 2 * [ticks.response_ns()] + 2 * [ticks.service_ns()], strict=True):
            p = PERCENTILES[name]
            ordered = np.sort(values)
            rows[f'{kind}.{name}'] = (float(ordered[nearest_rank(values.size, p) - 1]) * 1e-6
                                      if values.size >= needed(p) else None)
        rows[CPU] = block['cpu_s'] / done if done and block['cpu_s'] is not None else None
        joules = [block['energy_j'].get(m) for m in summed(document)]
        rows[GROSS] = sum(joules) / done if joules and None not in joules and done else None
        for metric, value in rows.items():
            if value is not None and value > 0:
                found.setdefault(metric, {})[number] = value
    return found
