"""Intervals over a whole session: the blocks of one backend, and what may differ from one block to the next."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from allegro_bench.latency import PERCENTILES
from allegro_bench.statistics import (
    CONFIDENCE,
    LEAST_RESAMPLES,
    ORDER,
    RESAMPLES,
    WORK,
    Estimate,
    nearest_rank,
    needed,
    rank_interval,
    student_t,
)

SESSION = 'moving-block bootstrap across blocks'
OVER_BLOCKS = 'Student t over blocks'
MAXIMUM = 'sample maximum'

Floats = NDArray[np.floating[Any]]


def distribution(parts: Sequence[Floats], window: int) -> dict[str, Any]:
    """Percentiles over all blocks with the wider of two 95 % intervals, and the sample maximum.

    Args:
        parts: values of each block in time order, any unit.
        window: length of the bootstrap's runs of neighbours in values (those of about one second).

    Returns:
        An estimate for each of ``PERCENTILES`` (without value where n does not suffice) and for ``max``, and ``n``.
    """
    values = np.concatenate([np.asarray(p, dtype=np.float64) for p in parts]) if parts else np.empty(0)
    n = int(values.size)
    ordered = np.sort(values)
    possible = [p for p in PERCENTILES.values() if n >= needed(p)]
    spread = dict(zip(possible, session_bootstrap(parts, possible, window), strict=True)) if possible else {}
    found: dict[str, Any] = {}
    for name, p in PERCENTILES.items():
        ranks = rank_interval(n, p)
        if ranks is None:
            found[name] = estimate(Estimate(None, None, None, n, ORDER, needed(p)))
            continue
        value = float(ordered[nearest_rank(n, p) - 1])
        lo, hi, method = float(ordered[ranks[0] - 1]), float(ordered[ranks[1] - 1]), ORDER
        low, high = spread[p]
        if high - low > hi - lo:
            lo, hi, method = min(low, value), max(high, value), SESSION
        found[name] = estimate(Estimate(value, lo, hi, n, method))
    top = float(ordered[-1]) if n else None
    return found | {'max': estimate(Estimate(top, None, None, n, MAXIMUM)), 'n': n}


def estimate(found: Estimate) -> dict[str, Any]:
    """An estimate as it stands in a result: ``needed`` only where there is no value."""
    stored = found.as_dict()
    if found.needed is None:
        del stored['needed']
    return stored


def session_bootstrap(parts: Sequence[Floats], quantiles: Sequence[float], window: int, *,
                      seed: int = 0) -> list[tuple[float, float]]:
    """95 % intervals of percentiles of several blocks together.

    Each resample draws blocks, and within each drawn block runs of neighbouring values: what differs between blocks
    (clocks, temperature, other tenants) widens the interval as much as what clusters within one.

    Args:
        parts: values of each block in time order.
        quantiles: each 0 < p < 1.
        window: length of a run, in values.
        seed: of the resampling; the same seed gives the same intervals.
    """
    blocks = [np.asarray(p, dtype=np.float64) for p in parts if len(p)]
    total = sum(b.size for b in blocks)
    resamples = int(min(RESAMPLES, max(LEAST_RESAMPLES, WORK // max(total, 1))))
    generator = np.random.default_rng(seed)
    found = np.empty((resamples, len(quantiles)))
    for i in range(resamples):
        drawn = [_runs(blocks[k], window, generator) for k in generator.integers(0, len(blocks), size=len(blocks))]
        values = np.concatenate(drawn)
        ranks = [nearest_rank(values.size, p) - 1 for p in quantiles]
        found[i] = np.partition(values, ranks)[ranks]
    found.sort(axis=0)
    tail = (1.0 - CONFIDENCE) / 2.0
    low, high = found[math.floor(tail * resamples)], found[math.ceil((1.0 - tail) * resamples) - 1]
    return [(float(a), float(b)) for a, b in zip(low, high, strict=True)]


def _runs(values: Floats, window: int, generator: np.random.Generator) -> Floats:
    """As many values as there are, drawn as runs of neighbours."""
    n, width = values.size, max(1, min(window, values.size))
    starts = generator.integers(0, n - width + 1, size=math.ceil(n / width))
    return np.asarray(values[(starts[:, None] + np.arange(width)).ravel()[:n]])


def over_blocks(total: float | None, per_block: Sequence[float]) -> dict[str, Any]:
    """A ratio of totals with the interval that its scatter from block to block gives.

    Args:
        total: the value over all blocks together; None where unknown.
        per_block: the same of each block.

    Returns:
        ``{value, lo, hi, n, method}``; n counts blocks, and one block gives no interval.
    """
    n = len(per_block)
    if total is None or n == 0:
        return estimate(Estimate(None, None, None, n, OVER_BLOCKS, 1))
    if n == 1:
        return estimate(Estimate(total, None, None, 1, OVER_BLOCKS))
    half = student_t(0.5 + CONFIDENCE / 2, n - 1) * float(np.std(per_block, ddof=1)) / math.sqrt(n)
    return estimate(Estimate(total, total - half, total + half, n, OVER_BLOCKS))


def known(found: Mapping[str, Any] | None) -> float | None:
    """The value of a stored estimate, None where it has none."""
    value: float | None = None if found is None else found['value']
    return value
