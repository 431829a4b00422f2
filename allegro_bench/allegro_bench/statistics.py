"""Percentiles with honest intervals, proportions, and runs of misses.

A percentile here is the nearest rank, ``ceil(p * n)``, of the sample. Its 95 % interval is a pair of order statistics
(binomial, free of any distribution). Neighbouring ticks of a control loop are not independent, so where the values
come in time order a moving-block bootstrap is computed too, and the wider of the two is given. A percentile that the
sample is too small for is not given at all: see :func:`needed`. Two backends are compared by the ratios of their
neighbouring blocks, because what the machine does besides meets both blocks of a pair: see :func:`paired_ratio`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from fractions import Fraction
from functools import lru_cache
from statistics import NormalDist
from typing import Any

import numpy as np
from allegro_description.errors import ConfigError
from numpy.typing import NDArray

CONFIDENCE = 0.95
RESAMPLES, LEAST_RESAMPLES, WORK = 400, 200, 6_000_000
"""Bootstrap resamples: fewer for long runs, where ``WORK`` is the number of values that may be drawn."""
ORDER = 'order statistics'
BOOTSTRAP = 'moving-block bootstrap'
PAIRS = 'bootstrap over pairs and Student t, the wider'
ENUMERATED, PAIR_RESAMPLES = 7, 20_000
"""Up to so many pairs every resample is computed; for more of them, so many are drawn."""

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Estimate:
    """A number with its 95 % interval, or the reason why there is none.

    Attributes:
        value, lo, hi: the estimate and its interval; None where ``n`` does not suffice.
        n: how many values it rests on.
        method: how the interval was made.
        needed: how many values it would take, given only where ``value`` is None.
    """

    value: float | None
    lo: float | None
    hi: float | None
    n: int
    method: str
    needed: int | None = None

    def as_dict(self) -> dict[str, Any]:
        """The fields as they stand in a result file."""
        return asdict(self)


def _exact(p: float) -> Fraction:
    """The decimal that was meant: 0.99 and not its nearest binary fraction, so that ranks are exact."""
    if not 0.0 < p < 1.0:
        raise ConfigError(f'a percentile needs 0 < p < 1, not {p!r}; write 0.99 for p99')
    return Fraction(repr(float(p)))


def nearest_rank(n: int, p: float) -> int:
    """Rank (1 … n) of the ``p`` quantile of ``n`` values: ``ceil(p * n)``."""
    return max(1, math.ceil(_exact(p) * n))


@lru_cache(maxsize=256)
def needed(p: float, confidence: float = CONFIDENCE, sides: int = 2) -> int:
    """Smallest sample in which the ``p`` quantile has an interval of that confidence.

    Args:
        p: quantile, 0 < p < 1.
        confidence: e.g. 0.95.
        sides: 2 for an interval, 1 for the upper (p >= 0.5) or lower bound only.
    """
    _exact(p)
    tail = (1.0 - confidence) / sides
    ends = (max(p, 1.0 - p),) if sides == 1 else (p, 1.0 - p)
    return max(math.ceil(math.log(tail) / math.log(end) - 1e-9) for end in ends)


@lru_cache(maxsize=4096)
def rank_interval(n: int, p: float, confidence: float = CONFIDENCE) -> tuple[int, int] | None:
    """Ranks of the two order statistics that enclose the ``p`` quantile, or None where ``n`` is too small.

    Each tail has at most ``(1 - confidence) / 2``. The pair is widened to lie symmetrically about the quantile's own
    rank and clipped to 1 … n, as Hahn and Meeker do, which makes it at most one rank wider than it need be.

    Args:
        n: sample size.
        p: quantile, 0 < p < 1.
        confidence: e.g. 0.95.
    """
    if n < needed(p, confidence):
        return None
    tail = (1.0 - confidence) / 2.0
    first, masses = _binomial(n, p)
    below = np.cumsum(masses)
    above = np.cumsum(masses[::-1])[::-1]
    # B counts the values below the quantile: X_(r) overshoots it if B < r, X_(s) undershoots it if B >= s.
    low = first + int(np.searchsorted(below, tail, side='right'))
    high = first + int(np.argmax(above <= tail)) if above[-1] <= tail else n
    centre = math.floor(_exact(p) * (n + 1))
    reach = max(centre - low, high - centre - 1, 0)
    return max(1, centre - reach), min(n, centre + 1 + reach)


def _binomial(n: int, p: float) -> tuple[int, Floats]:
    """Binomial masses around the mean, wide enough that what is left out does not count: first k, masses."""
    half = int(40.0 * math.sqrt(n * p * (1.0 - p))) + 40
    first, last = max(0, int(n * p) - half), min(n, int(n * p) + half)
    k = np.arange(first, last, dtype=np.float64)
    start = (math.lgamma(n + 1) - math.lgamma(first + 1) - math.lgamma(n - first + 1)
             + first * math.log(p) + (n - first) * math.log1p(-p))
    ratios = np.log(n - k) - np.log(k + 1.0) + (math.log(p) - math.log1p(-p))
    logs = start + np.concatenate([[0.0], np.cumsum(ratios)])
    masses = np.exp(logs)
    return first, masses / masses.sum()


def percentiles(values: Floats, quantiles: Sequence[float], *, block: int = 0) -> list[Estimate]:
    """Nearest-rank percentiles with their 95 % intervals.

    Args:
        values: the sample, any unit, (n,); in time order if ``block`` is given.
        quantiles: each 0 < p < 1.
        block: length of the bootstrap's blocks in values (those of about one second); 0 leaves the bootstrap out.

    Returns:
        One estimate for each, in the unit of ``values``; ``value`` is None where ``n`` is below :func:`needed`.
    """
    n = int(values.size)
    ordered = np.sort(values)
    spread = block_bootstrap(values, quantiles, block) if block > 1 and n >= 10 * block else None
    found = []
    for i, p in enumerate(quantiles):
        ranks = rank_interval(n, p)
        if ranks is None:
            found.append(Estimate(None, None, None, n, ORDER, needed(p)))
            continue
        value = float(ordered[nearest_rank(n, p) - 1])
        lo, hi, method = float(ordered[ranks[0] - 1]), float(ordered[ranks[1] - 1]), ORDER
        if spread is not None and spread[i][1] - spread[i][0] > hi - lo:
            lo, hi, method = min(spread[i][0], value), max(spread[i][1], value), BOOTSTRAP
        found.append(Estimate(value, lo, hi, n, method))
    return found


def percentile(values: Floats, p: float, *, block: int = 0) -> Estimate:
    """One percentile; see :func:`percentiles`."""
    return percentiles(values, (p,), block=block)[0]


def block_bootstrap(values: Floats, quantiles: Sequence[float], block: int, *,
                    seed: int = 0) -> list[tuple[float, float]]:
    """95 % intervals of percentiles by resampling runs of neighbouring values.

    Args:
        values: the sample in time order, (n,).
        quantiles: each 0 < p < 1.
        block: length of a run, in values.
        seed: of the resampling; the same seed gives the same intervals.
    """
    n = int(values.size)
    resamples = int(min(RESAMPLES, max(LEAST_RESAMPLES, WORK // n)))
    generator = np.random.default_rng(seed)
    ranks = [nearest_rank(n, p) - 1 for p in quantiles]
    offsets = np.arange(block)
    found = np.empty((resamples, len(ranks)))
    for i in range(resamples):
        starts = generator.integers(0, n - block + 1, size=math.ceil(n / block))
        found[i] = np.partition(values[(starts[:, None] + offsets).ravel()[:n]], ranks)[ranks]
    found.sort(axis=0)
    tail = (1.0 - CONFIDENCE) / 2.0
    low, high = found[math.floor(tail * resamples)], found[math.ceil((1.0 - tail) * resamples) - 1]
    return [(float(a), float(b)) for a, b in zip(low, high, strict=True)]


def wilson(hits: int, n: int, confidence: float = CONFIDENCE) -> Estimate:
    """A proportion ``hits / n`` with its Wilson interval; value None for n = 0.

    Raises:
        ConfigError: more hits than tries, or a negative number.
    """
    if not 0 <= hits <= n:
        raise ConfigError(f'{hits} hits in {n} tries is no proportion')
    if n == 0:
        return Estimate(None, None, None, 0, 'Wilson', 1)
    z = NormalDist().inv_cdf(0.5 + confidence / 2.0)
    rate = hits / n
    centre = (rate + z * z / (2 * n)) / (1 + z * z / n)
    half = z * math.sqrt(rate * (1 - rate) / n + z * z / (4 * n * n)) / (1 + z * z / n)
    # At the ends the bound is the end itself; rounding must not move it off.
    low = 0.0 if hits == 0 else max(0.0, centre - half)
    high = 1.0 if hits == n else min(1.0, centre + half)
    return Estimate(rate, low, high, n, 'Wilson')


def paired_ratio(a: Sequence[float], b: Sequence[float], *, seed: int = 0) -> Estimate:
    """How many times ``a`` is ``b``: the geometric mean of the ratios of pairs, with a 95 % interval.

    A bootstrap over few pairs never leaves the range of their ratios and covers too seldom (84 % with five), so the
    interval that Student's t gives for the logarithms is computed too and the outer ends of both are taken.

    Args:
        a: one positive number per pair, (n,).
        b: the same of the other backend, in the same order, (n,).
        seed: of the resampling, which is exhaustive up to :data:`ENUMERATED` pairs.

    Returns:
        The estimate; without interval for one pair, without value for none.

    Raises:
        ConfigError: unequal lengths, or a number that is not positive and finite.
    """
    one, two = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    if one.shape != two.shape or not all((np.isfinite(v) & (v > 0)).all() for v in (one, two)):
        raise ConfigError(f'{one.size} and {two.size} values do not form ratios; needed are equal numbers of positive, '
                          'finite values')
    n = int(one.size)
    if n == 0:
        return Estimate(None, None, None, 0, PAIRS, 1)
    logs = np.log(one / two)
    mean = float(logs.mean())
    if n == 1:
        return Estimate(math.exp(mean), None, None, 1, PAIRS)
    if n <= ENUMERATED:
        chosen = np.indices((n,) * n).reshape(n, -1)
    else:
        chosen = np.random.default_rng(seed).integers(0, n, (n, PAIR_RESAMPLES))
    low, high = np.percentile(logs[chosen].mean(axis=0), (50 * (1 - CONFIDENCE), 50 * (1 + CONFIDENCE)))
    half = student_t(0.5 + CONFIDENCE / 2, n - 1) * float(logs.std(ddof=1)) / math.sqrt(n)
    return Estimate(math.exp(mean), math.exp(min(low, mean - half)), math.exp(max(high, mean + half)), n, PAIRS)


@lru_cache(maxsize=256)
def student_t(p: float, freedom: int) -> float:
    """The ``p`` quantile (0.5 <= p < 1) of Student's distribution with ``freedom`` degrees of freedom."""
    # With t = sqrt(freedom) * tan(angle) the density becomes a power of the cosine, on a finite stretch.
    angle = np.linspace(0.0, math.pi / 2, 100_001)
    density = np.cos(angle) ** (freedom - 1)
    mass = np.concatenate([[0.0], np.cumsum(density[1:] + density[:-1])])
    return math.sqrt(freedom) * math.tan(float(np.interp((p - 0.5) * 2 * mass[-1], mass, angle)))


def longest_run(mask: NDArray[np.bool_]) -> int:
    """Length of the longest run of True."""
    edges = np.diff(np.concatenate([[0], mask.astype(np.int8), [0]]))
    lengths = np.flatnonzero(edges == -1) - np.flatnonzero(edges == 1)
    return int(lengths.max()) if lengths.size else 0


def most_in_window(mask: NDArray[np.bool_], width: int) -> int:
    """Most True values in any ``width`` consecutive ones (the m of an (m, k) miss count)."""
    if mask.size <= width:
        return int(mask.sum())
    total = np.concatenate([[0], np.cumsum(mask, dtype=np.int64)])
    return int((total[width:] - total[:-width]).max())


def figures(value: float, digits: int = 3) -> str:
    """A number rounded to so many significant figures, without an exponent where it can be read without one."""
    if value == 0 or not 1e-4 <= abs(value) < 1e7:
        return f'{value:.{digits}g}'
    rounded = float(f'{value:.{digits}g}')
    places = max(0, digits - 1 - math.floor(math.log10(abs(rounded))))
    text = f'{rounded:.{places}f}'
    return text.rstrip('0').rstrip('.') if '.' in text else text


def words(estimate: Estimate, unit: str = '', digits: int = 3) -> str:
    """The estimate for a reader: ``2.31 ms [2.2, 2.6]``, or ``n/a (need 368)``."""
    if estimate.value is None:
        return f'n/a (need {estimate.needed})'
    text = f'{figures(estimate.value, digits)}{" " + unit if unit else ""}'
    if estimate.lo is None or estimate.hi is None:
        return text
    return f'{text} [{figures(estimate.lo, digits)}, {figures(estimate.hi, digits)}]'
