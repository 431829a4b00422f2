"""Is a candidate no worse than the reference by more than a margin, on episodes that both went through?

The statement rests on pairs that differ: ``b`` that only the reference won and ``c`` that only the candidate won, of
``n``. The bound is one-sided at 95 %: the whole error is spent on the one mistake that matters, to let a worse
candidate pass; the planner of sample sizes uses the same. From :data:`EXACT_BELOW` pairs on it is the score bound of
Tango, whose coverage stays near its nominal value with few or no differing pairs, where the bound of the normal
approximation shrinks to nothing. Below, the score statistic orders outcomes and their probability is summed exactly,
at the least favourable rate of differing pairs, so the coverage is never below 95 %.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from statistics import NormalDist

import numpy as np
from allegro_description.errors import ConfigError
from numpy.typing import NDArray

CONFIDENCE, POWER = 0.95, 0.80
EXACT_BELOW = 100
"""Fewer pairs than this are judged exactly."""
EXACT, SCORE = 'exact, least favourable, ordered by score', 'score (Tango)'
PASS, FAIL, INCONCLUSIVE, NOT_RUN = VERDICTS = ('pass', 'fail', 'inconclusive', 'not_run')
NUISANCE, BISECTIONS = 120, 40
"""Rates of differing pairs that are tried by the exact bound, and halvings of the search for a bound."""

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Difference:
    """Success of the candidate minus that of the reference, as shares of the pairs.

    Attributes:
        n: pairs. b: won by the reference only. c: won by the candidate only.
        value: the difference. lo, hi: one-sided 95 % bounds, one below and one above.
        method: how the bounds were made.
    """

    n: int
    b: int
    c: int
    value: float
    lo: float
    hi: float
    method: str

    @property
    def discordance(self) -> float:
        """Share of pairs that differ."""
        return (self.b + self.c) / self.n

    def verdict(self, margin: float) -> str:
        """``pass`` if worse by the margin is excluded, ``fail`` if better than that is, else ``inconclusive``.

        More of the same data would not turn a pass into a fail or the reverse, but for the 5 % of each bound.
        """
        return PASS if self.lo > -margin else FAIL if self.hi < -margin else INCONCLUSIVE


def difference(n: int, b: int, c: int) -> Difference:
    """The difference of two policies from the counts of pairs.

    Raises:
        ConfigError: no pairs, or more differing pairs than pairs.
    """
    if n < 1 or b < 0 or c < 0 or b + c > n:
        raise ConfigError(f'{b} and {c} differing pairs of {n} are no counts of paired episodes')
    bound = _exact_lower if n < EXACT_BELOW else _score_lower
    # the upper bound is the lower one with the two policies exchanged
    return Difference(n, b, c, (c - b) / n, bound(n, b, c), -bound(n, c, b), EXACT if n < EXACT_BELOW else SCORE)


def pairs_needed(discordance: float, margin: float, *, power: float = POWER) -> int:
    """Pairs after which a candidate that is as good as the reference passes with probability ``power``.

    Args:
        discordance: share of pairs in which the two differ, above 0.
        margin: what is excluded, as a share.
        power: 0.5 … 1.

    Raises:
        ConfigError: numbers that plan nothing.
    """
    if not (0.0 < discordance <= 1.0 and 0.0 < margin < 1.0 and 0.5 <= power < 1.0):
        raise ConfigError(f'discordance {discordance:g}, margin {margin:g}, power {power:g}: allowed are shares above '
                          '0, a margin below 1 and a power of 0.5 to below 1')
    z = NormalDist().inv_cdf(CONFIDENCE) + NormalDist().inv_cdf(power)
    return math.ceil(z * z * discordance / margin**2)


def smallest_excluded(n: int, discordance: float, *, power: float = POWER) -> float:
    """The margin that ``n`` pairs can exclude: the opposite of :func:`pairs_needed`."""
    z = NormalDist().inv_cdf(CONFIDENCE) + NormalDist().inv_cdf(power)
    return z * math.sqrt(discordance / n)


def score(n: int, b: Floats | int, c: Floats | int, delta: float) -> Floats:
    """Score statistic of the hypothesis that the difference is ``delta``; large where the data lie above it."""
    lost, won = np.asarray(b, dtype=np.float64), np.asarray(c, dtype=np.float64)
    # most likely share of pairs lost, given the difference
    p, q = 2.0 * n, (2.0 * n - won + lost) * delta - won - lost
    share = (np.sqrt(np.maximum(q * q + 4.0 * p * lost * delta * (1.0 - delta), 0.0)) - q) / (2.0 * p)
    share = np.maximum(share, max(0.0, -delta))
    variance = n * (2.0 * share + delta * (1.0 - delta))
    gap = won - lost - n * delta
    with np.errstate(divide='ignore', invalid='ignore'):
        return np.where(np.abs(gap) < 1e-12, 0.0, gap / np.sqrt(np.maximum(variance, 0.0)))


def _score_lower(n: int, b: int, c: int) -> float:
    z = NormalDist().inv_cdf(CONFIDENCE)
    return _boundary(n, b, c, lambda delta: float(score(n, b, c, delta)) > z)


@lru_cache(maxsize=1024)
def _exact_lower(n: int, b: int, c: int) -> float:
    grids = np.meshgrid(np.arange(n + 1.0), np.arange(n + 1.0))
    won, lost = (np.asarray(grid.ravel(), dtype=np.float64) for grid in grids)
    possible = won + lost <= n
    won, lost = won[possible], lost[possible]
    factorials = np.concatenate([[0.0], np.cumsum(np.log(np.arange(1, n + 1)))])
    ways = factorials[n] - (factorials[won.astype(int)] + factorials[lost.astype(int)]
                            + factorials[(n - won - lost).astype(int)])

    def excluded(delta: float) -> bool:
        extreme = score(n, lost, won, delta) >= float(score(n, b, c, delta)) - 1e-9
        low, high = max(0.0, -delta), (1.0 - delta) / 2.0
        lose = np.linspace(low, high, NUISANCE)[:, None]
        win = lose + delta
        x: Floats = won[extreme]
        y: Floats = lost[extreme]
        logs = ways[extreme] + _xlogy(x, win) + _xlogy(y, lose) + _xlogy(n - x - y, 1.0 - win - lose)
        return float(np.exp(logs).sum(axis=1).max()) <= 1.0 - CONFIDENCE

    return _boundary(n, b, c, excluded)


def _boundary(n: int, b: int, c: int, excluded: Callable[[float], bool]) -> float:
    """Where ``excluded`` ends to hold, below the observed difference."""
    low, high = -1.0, (c - b) / n
    if low >= high:
        return -1.0
    for _ in range(BISECTIONS):
        middle = (low + high) / 2.0
        if excluded(middle):
            low = middle
        else:
            high = middle
    return low


def _xlogy(x: Floats, y: Floats) -> Floats:
    """``x log y`` with 0 log 0 = 0; impossible outcomes get minus infinity."""
    safe = np.log(np.maximum(y, 1e-300))
    return np.asarray(np.where(x == 0.0, 0.0, x * safe))
