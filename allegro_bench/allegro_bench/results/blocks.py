"""What one block's ticks say: counts and histograms, in the layout of the result's ``blocks[]``."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from allegro_bench.latency import Ticks
from allegro_bench.results.document import MEASURE

PER_DECADE, LEAST = 20, -4
"""Edges of every histogram lie on one grid, 10^(k / 20) from 10^-4 on, so that blocks and runs can be added up."""


def deadline_ns(workload: Mapping[str, Any]) -> int:
    """D of a workload, ns; one period unless it is stated."""
    stated = workload['deadline_ms']
    return round(float(stated) * 1e6) if stated is not None else period_ns(workload)


def period_ns(workload: Mapping[str, Any]) -> int:
    """T of a workload, ns."""
    return round(1e9 / float(workload['control_rate_hz']))


def second(workload: Mapping[str, Any]) -> int:
    """Ticks of one second, at least one."""
    return max(1, round(float(workload['control_rate_hz'])))


def numbers(run: Ticks, deadline: int) -> dict[str, Any]:
    """The fields of a block that follow from its ticks alone.

    Args:
        run: every tick, skipped ones included.
        deadline: D, ns.
    """
    skipped = run.skipped
    return {
        'n_expected': len(run), 'n_completed': int((~skipped).sum()), 'n_skipped': int(skipped.sum()),
        'n_late': int((run.missed(deadline) & ~skipped).sum()),
        'response_ms': histogram(run.response_ns() * 1e-6), 'service_ms': histogram(run.service_ns() * 1e-6),
        'release_jitter_us': histogram(run.jitter_ns() * 1e-3),
    }


def histogram(values: NDArray[np.floating[Any]]) -> dict[str, Any]:
    """Counts per bin of the common grid, from the first occupied bin to the last: ``{edges (n + 1), counts (n)}``.

    Values below the grid, zero included, lie in a first bin that begins at 0.
    """
    if not values.size:
        return {'edges': [], 'counts': []}
    top = max(LEAST, int(np.ceil(np.log10(max(float(values.max()), 10.0**LEAST)))) + 1)
    edges = np.concatenate([[0.0], 10.0 ** (np.arange(LEAST * PER_DECADE, top * PER_DECADE + 1) / PER_DECADE)])
    counts, _ = np.histogram(values, edges)
    used = np.flatnonzero(counts)
    first, last = int(used[0]), int(used[-1])
    return {'edges': [float(f'{e:.6g}') for e in edges[first:last + 2]],
            'counts': [int(c) for c in counts[first:last + 1]]}


def of(document: Mapping[str, Any], backend: str, kind: str = MEASURE) -> list[Mapping[str, Any]]:
    """Blocks of a backend and kind in the order in which they ran."""
    return sorted((b for b in document['blocks'] if b['backend'] == backend and b['kind'] == kind),
                  key=lambda b: int(b['index']))


def of_kind(document: Mapping[str, Any], kind: str) -> list[Mapping[str, Any]]:
    """All blocks of a kind in the order in which they ran."""
    return sorted((b for b in document['blocks'] if b['kind'] == kind), key=lambda b: int(b['index']))


def backends(document: Mapping[str, Any]) -> list[str]:
    """Names of the backends that have ``measure`` blocks, in the order of ``backends[]``, unlisted ones last."""
    seen = {b['backend'] for b in document['blocks'] if b['kind'] == MEASURE}
    listed = [b['name'] for b in document['backends'] if b['name'] in seen]
    return listed + sorted(seen - set(listed))


def total(blocks: Iterable[Mapping[str, Any]], field: str) -> float | None:
    """Sum of a field over blocks; None where one of them does not know it, or there is none."""
    values = [b.get(field) for b in blocks]
    return None if not values or any(v is None for v in values) else float(sum(v for v in values if v is not None))
