"""Intervals against values from elsewhere, and their laws on synthetic data."""

from __future__ import annotations

import math

import numpy as np
import pytest
from allegro_ai.evaluation.intervals import (
    arms_difference,
    mcnemar,
    paired_difference,
    paired_ratio,
    psychometric,
    wilson,
)
from allegro_description.errors import ConfigError
from hypothesis import given, settings
from hypothesis import strategies as st


def solves_score_equation(bound: float, k: int, n: int) -> bool:
    """A Wilson bound p is where (k/n - p)^2 = z^2 p (1 - p) / n."""
    return math.isclose((k / n - bound) ** 2, 1.959963984540054**2 * bound * (1 - bound) / n, abs_tol=1e-12)


@settings(max_examples=50, deadline=None)
@given(st.integers(1, 2000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_wilson_bounds_solve_the_score_equation(case: tuple[int, int]) -> None:
    """Both bounds are the roots of the equation that defines them, around the rate."""
    k, n = case
    low, high = wilson(k, n)
    assert 0.0 <= low <= k / n <= high <= 1.0
    assert solves_score_equation(low, k, n)
    assert solves_score_equation(high, k, n)


def test_wilson_of_nothing() -> None:
    """Without trials every rate is possible."""
    assert wilson(0, 0) == (0.0, 1.0)


def test_paired_bootstrap_covers_the_true_difference() -> None:
    """About 95 of 100 intervals hold the true difference of correlated outcomes."""
    rng, inside, tries = np.random.default_rng(3), 0, 200
    for k in range(tries):
        luck = rng.uniform(size=150)
        a, b = luck < 0.7, (luck + 0.1 * rng.normal(size=150)) < 0.6
        truth = 0.7 - 0.6
        _, low, high = paired_difference(a.astype(float), b.astype(float), draws=400, seed=k)
        inside += low <= truth <= high
    assert 0.88 <= inside / tries <= 0.99


def test_pairing_narrows_the_interval() -> None:
    """Outcomes that share their luck give a narrower interval than independent ones of the same rates."""
    rng = np.random.default_rng(0)
    luck, other = rng.uniform(size=400), rng.uniform(size=400)
    a, paired, apart = luck < 0.7, luck < 0.6, other < 0.6
    widths = [np.diff(paired_difference(a.astype(float), b.astype(float))[1:])[0] for b in (paired, apart)]
    assert widths[0] < 0.7 * widths[1]


def test_paired_difference_and_ratio_of_constants() -> None:
    """Episodes that all differ by the same amount leave no doubt."""
    a, b = np.full(20, 3.0), np.full(20, 2.0)
    assert paired_difference(a, b) == (1.0, 1.0, 1.0)
    assert paired_ratio(a, b) == (1.5, 1.5, 1.5)
    assert all(math.isnan(v) for v in paired_ratio(a, np.zeros(20)))


@pytest.mark.parametrize(('only_a', 'only_b', 'p'), [
    (0, 0, 1.0), (1, 0, 1.0), (5, 0, 2 / 32), (8, 2, 2 * (1 + 10 + 45) / 1024), (6, 6, 1.0), (0, 10, 2 / 1024)])
def test_mcnemar_is_the_exact_binomial(only_a: int, only_b: int, p: float) -> None:
    """Counts and probability, by hand."""
    a = [True] * 4 + [True] * only_a + [False] * only_b + [False] * 3
    b = [True] * 4 + [False] * only_a + [True] * only_b + [False] * 3
    found = mcnemar(a, b)
    assert (found.both, found.only_a, found.only_b, found.neither) == (4, only_a, only_b, 3)
    assert found.p == pytest.approx(p, abs=1e-15)


def test_mcnemar_of_thousands_does_not_overflow() -> None:
    """Large counts stay exact."""
    a = np.arange(4000) < 2200
    found = mcnemar(a, ~a)
    assert 0.0 < found.p < 1e-9


@pytest.mark.parametrize(('half', 'slope'), [(1.5, 2.0), (3.0, 0.8)])
def test_psychometric_finds_the_curve_that_made_the_data(half: float, slope: float) -> None:
    """50 % point and slope come back, inside the interval."""
    rng = np.random.default_rng(7)
    x = rng.uniform(0.0, 6.0, 3000)
    y = rng.uniform(size=3000) < 1.0 / (1.0 + np.exp(slope * (x - half)))
    fit = psychometric(x, y, draws=60)
    assert fit.half == pytest.approx(half, abs=0.2)
    assert fit.slope == pytest.approx(slope, rel=0.2)
    assert fit.ci95[0] <= half <= fit.ci95[1]
    assert fit.ci95[1] - fit.ci95[0] < 0.5


def test_psychometric_does_not_invent_a_point() -> None:
    """Data that do not fall have no 50 % point; the interval says on which side it must lie."""
    x = np.linspace(0.0, 4.0, 40)
    everything, nothing = psychometric(x, np.ones(40), draws=20), psychometric(x, np.zeros(40), draws=20)
    assert math.isnan(everything.half)
    assert everything.ci95 == (math.inf, math.inf)
    assert math.isnan(nothing.half)
    assert nothing.ci95 == (-math.inf, -math.inf)
    split = psychometric(x, x < 2.0, draws=20)      # perfectly separated
    assert split.half == pytest.approx(2.0, abs=0.06)


@pytest.mark.parametrize('call', [
    lambda: paired_difference(np.ones(3), np.ones(4)), lambda: paired_difference(np.ones(0), np.ones(0)),
    lambda: mcnemar([True], [True, False]), lambda: psychometric([1.0] * 5, [True] * 5),
    lambda: psychometric([1.0] * 20, [True] * 19)])
def test_what_is_no_pair_is_refused(call: object) -> None:
    """A sentence, not a broadcast."""
    with pytest.raises(ConfigError):
        call()  # type: ignore[operator]


def test_a_lucky_run_is_no_property_of_its_arm():
    """The same runs in both arms but for one: paired on episodes alone, that run would win; over runs it must not."""
    rng = np.random.default_rng(0)
    ease = rng.uniform(size=400)
    runs = np.array([[float(x < share) for x in ease] for share in (0.60, 0.66, 0.70, 0.74, 0.80)])
    assert paired_difference(runs[4], runs[0])[1] > 0.0
    mean, low, high = arms_difference(runs, runs[::-1])
    assert mean == pytest.approx(0.0)
    assert low < 0.0 < high
    mean, low, high = arms_difference(runs + 0.5, runs)
    assert low > 0.0
    assert mean == pytest.approx(0.5)


def test_one_run_an_arm_is_the_paired_difference():
    rng = np.random.default_rng(1)
    a, b = (rng.uniform(size=200) < share for share in (0.7, 0.6))
    assert arms_difference(a, b) == pytest.approx(paired_difference(a, b), abs=0.01)


def test_arms_need_the_same_episodes():
    with pytest.raises(ConfigError, match='same episodes'):
        arms_difference(np.zeros((2, 3)), np.zeros((2, 4)))
