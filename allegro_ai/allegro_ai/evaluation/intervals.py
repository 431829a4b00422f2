"""Intervals for rates, for paired differences, and for the disturbance that half of the episodes survive."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from allegro_description.errors import ConfigError
from numpy.typing import ArrayLike, NDArray

Z95 = 1.959963984540054
NEWTON_STEPS, RIDGE, CONVERGED = 60, 1e-6, 1e-9
SMALLEST_SLOPE = 1e-3           # per unit of disturbance: below it the data do not say where the curve falls


def wilson(successes: int, n: int, z: float = Z95) -> tuple[float, float]:
    """Wilson score interval of a rate; (0, 1) when there are no trials."""
    if n == 0:
        return 0.0, 1.0
    p = successes / n
    centre, half = p + z * z / (2 * n), z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    low, high = (centre - half) / (1 + z * z / n), (centre + half) / (1 + z * z / n)
    # At 0 and n successes the exact bounds are 0 and 1; rounding must not move them to the wrong side of the rate.
    return (0.0 if successes == 0 else max(0.0, low)), (1.0 if successes == n else min(1.0, high))


def paired_difference(
    a: NDArray[np.floating], b: NDArray[np.floating], *, draws: int = 10000, seed: int = 0
) -> tuple[float, float, float]:
    """Mean of ``a - b`` over episodes with common seeds, and its 95 % bootstrap interval.

    Raises:
        ConfigError: not the same number of episodes, or none.
    """
    difference = _paired(a, b)
    means = difference[_resampled(len(difference), draws, seed)].mean(axis=1)
    low, high = np.quantile(means, [0.025, 0.975])
    return float(difference.mean()), float(low), float(high)


def paired_ratio(
    a: NDArray[np.floating], b: NDArray[np.floating], *, draws: int = 10000, seed: int = 0
) -> tuple[float, float, float]:
    """Mean of ``a`` over mean of ``b`` on episodes with common seeds, and its 95 % bootstrap interval.

    Where the mean of ``b`` is 0, all three are NaN.

    Raises:
        ConfigError: not the same number of episodes, or none.
    """
    _paired(a, b)
    first, second = np.asarray(a, dtype=float), np.asarray(b, dtype=float)
    if second.mean() == 0.0:
        return math.nan, math.nan, math.nan
    chosen = _resampled(len(first), draws, seed)
    below = second[chosen].mean(axis=1)
    ratios = first[chosen].mean(axis=1)[below != 0.0] / below[below != 0.0]
    low, high = np.quantile(ratios, [0.025, 0.975])
    return float(first.mean() / second.mean()), float(low), float(high)


def arms_difference(
    a: NDArray[np.floating], b: NDArray[np.floating], *, draws: int = 10000, seed: int = 0
) -> tuple[float, float, float]:
    """Mean over arm ``a`` minus mean over arm ``b`` when an arm is several training runs on the same episodes.

    The 95 % interval draws runs within each arm, and episodes in common, again: one run more or less lucky than its
    sisters then does not pass for a property of its arm.

    Args:
        a: outcomes, (runs, episodes); at least one run.
        b: the same.
        draws: of the bootstrap.
        seed: likewise.

    Raises:
        ConfigError: not the same number of episodes, or none.
    """
    first, second = np.atleast_2d(np.asarray(a, dtype=float)), np.atleast_2d(np.asarray(b, dtype=float))
    if first.shape[1:] != second.shape[1:] or not first.size or not second.size:
        raise ConfigError(f'{first.shape} runs and episodes against {second.shape}: arms need the same episodes, at '
                          'least 1')
    rng, means = np.random.default_rng(seed), np.empty(draws)
    for k in range(draws):
        episodes = rng.integers(first.shape[1], size=first.shape[1])
        ours, theirs = (arm[rng.integers(len(arm), size=len(arm))].mean(axis=0) for arm in (first, second))
        means[k] = (ours - theirs)[episodes].mean()
    low, high = np.quantile(means, [0.025, 0.975])
    return float(first.mean() - second.mean()), float(low), float(high)


@dataclass(frozen=True, slots=True)
class McNemar:
    """Two policies on the same episodes.

    Attributes:
        both, only_a, only_b, neither: episodes by who succeeded.
        p: two-sided exact probability of a split at least as uneven if both were equally good.
    """

    both: int
    only_a: int
    only_b: int
    neither: int
    p: float


def mcnemar(a: ArrayLike, b: ArrayLike) -> McNemar:
    """Count pairs and test them exactly (binomial over the pairs that differ).

    Raises:
        ConfigError: not the same number of episodes, or none.
    """
    first, second = np.asarray(a, dtype=bool), np.asarray(b, dtype=bool)
    _paired(first.astype(float), second.astype(float))
    only_a, only_b = int((first & ~second).sum()), int((~first & second).sum())
    n, k = only_a + only_b, min(only_a, only_b)
    tail = sum(math.comb(n, i) for i in range(k + 1))
    p = min(1.0, 2 * tail / 2**n)       # integers: exact, and never an overflow
    return McNemar(int((first & second).sum()), only_a, only_b, int((~first & ~second).sum()), p)


@dataclass(frozen=True, slots=True)
class Psychometric:
    """A logistic curve of success over the size of the disturbance.

    Attributes:
        half: disturbance with 50 % success, object weights; NaN if it is not within the sizes that were tried.
        ci95: its bootstrap interval over episodes; infinite on a side on which it may lie beyond them.
        slope: how fast success falls there, per unit of disturbance (positive).
        n: episodes.
    """

    half: float
    ci95: tuple[float, float]
    slope: float
    n: int


def psychometric(size: ArrayLike, success: ArrayLike, *, draws: int = 500, seed: int = 0) -> Psychometric:
    """Fit ``P(success) = 1 / (1 + exp(slope (size - half)))``.

    Args:
        size: disturbance of each episode, in object weights, (n,).
        success: whether it went well, (n,).
        draws: bootstrap samples of the interval.
        seed: of the bootstrap.

    Raises:
        ConfigError: not one success per size, or fewer than 10 episodes.
    """
    x, y = np.asarray(size, dtype=float), np.asarray(success, dtype=float)
    if x.shape != y.shape or x.ndim != 1 or len(x) < 10:
        raise ConfigError(f'a psychometric curve of {x.shape} sizes and {y.shape} outcomes: give one outcome per size, '
                          'at least 10')
    half, slope = _half(x, y, np.ones(len(x)))
    found = [_half(x, y, np.bincount(row, minlength=len(x)).astype(float))[0]
             for row in _resampled(len(x), draws, seed)]
    low, high = np.quantile(found, [0.025, 0.975], method='nearest')
    return Psychometric(half if math.isfinite(half) else math.nan, (float(low), float(high)), slope, len(x))


def _half(x: NDArray[np.float64], y: NDArray[np.float64], weight: NDArray[np.float64]) -> tuple[float, float]:
    """Where the fitted curve passes 50 %, and its slope; infinite where that is not within the measured sizes."""
    centre, spread = x.mean(), max(float(x.std()), 1e-9)
    design = np.stack([np.ones_like(x), (x - centre) / spread], axis=1)
    beta = np.zeros(2)
    for _ in range(NEWTON_STEPS):
        p = 1.0 / (1.0 + np.exp(-np.clip(design @ beta, -30.0, 30.0)))
        # a weak pull to 0 keeps perfectly separated data finite
        gradient = design.T @ (weight * (y - p)) - RIDGE * beta
        hessian = (design * (weight * p * (1.0 - p))[:, None]).T @ design + RIDGE * np.eye(2)
        step = np.linalg.solve(hessian, gradient)
        largest = float(np.abs(step).max())
        beta += step * min(1.0, 2.0 / largest) if largest > 0.0 else 0.0
        if largest < CONVERGED:
            break
    slope = -beta[1] / spread
    # Nothing is extrapolated: a point beyond the sizes that were tried is on that side, no more is known.
    beyond = math.inf if np.average(y, weights=weight) > 0.5 else -math.inf
    if not slope > SMALLEST_SLOPE:
        return beyond, float(slope)
    half = float(centre + beta[0] / slope)
    return (half if x.min() <= half <= x.max() else beyond), float(slope)


def _paired(a: NDArray[np.floating], b: NDArray[np.floating]) -> NDArray[np.float64]:
    first, second = np.asarray(a, dtype=float), np.asarray(b, dtype=float)
    if first.shape != second.shape or first.ndim != 1 or not first.size:
        raise ConfigError(f'{first.shape} episodes against {second.shape}: pairs need the same episodes, at least 1')
    return np.asarray(first - second)


def _resampled(n: int, draws: int, seed: int) -> NDArray[np.intp]:
    return np.random.default_rng(seed).integers(n, size=(draws, n))
