"""The statistics against published vectors, exact enumeration and simulation."""

import math

import numpy as np
import pytest
from allegro_bench.statistics import (
    block_bootstrap,
    figures,
    longest_run,
    most_in_window,
    nearest_rank,
    needed,
    paired_ratio,
    percentile,
    rank_interval,
    student_t,
    wilson,
    words,
)
from allegro_description.errors import ConfigError
from hypothesis import given, settings
from hypothesis import strategies as st


@pytest.mark.parametrize(('p', 'one', 'two'), [(0.9, 29, 36), (0.99, 299, 368), (0.999, 2995, 3688),
                                               (0.9999, 29956, 36887)])
def test_needed_sample_sizes(p, one, two):
    assert needed(p, sides=1) == one
    assert needed(p) == two
    assert rank_interval(two, p) is not None
    assert rank_interval(two - 1, p) is None


@pytest.mark.parametrize(('p', 'n'), [(0.9, 44), (0.99, 459), (0.999, 4603)])
def test_needed_at_99_percent_one_sided(p, n):
    assert needed(p, confidence=0.99, sides=1) == n


@pytest.mark.parametrize(('n', 'p', 'ranks'), [(3000, 0.99, (2959, 2982)), (30000, 0.99, (29666, 29735)),
                                               (30000, 0.999, (29959, 29982))])
def test_ranks_of_the_interval(n, p, ranks):
    assert rank_interval(n, p) == ranks


def exact_tails(n, p, low, high):
    """Tails by integer binomial coefficients: P(B < low), P(B >= high)."""
    mass = [math.comb(n, k) * p**k * (1 - p) ** (n - k) for k in range(n + 1)]
    return sum(mass[:low]), sum(mass[high:])


@settings(max_examples=60, deadline=None)
@given(st.integers(6, 600), st.sampled_from([0.05, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99]))
def test_interval_covers_and_holds_the_estimate(n, p):
    ranks = rank_interval(n, p)
    assert (ranks is None) == (n < needed(p))
    if ranks is None:
        return
    low, high = ranks
    below, above = exact_tails(n, p, low, high)
    assert below <= 0.025 + 1e-9
    assert above <= 0.025 + 1e-9
    assert 1 <= low <= nearest_rank(n, p) <= high <= n


@pytest.mark.parametrize(('n', 'p', 'rank'), [(100, 0.99, 99), (300, 0.99, 297), (1000, 0.999, 999), (10, 0.5, 5),
                                              (3, 0.5, 2), (70, 0.7, 49), (1, 0.01, 1)])
def test_nearest_rank_is_exact(n, p, rank):
    assert nearest_rank(n, p) == rank


def test_percentile_of_known_values():
    values = np.random.default_rng(1).permutation(np.arange(1, 3001, dtype=float))
    p99 = percentile(values, 0.99)
    assert (p99.value, p99.lo, p99.hi, p99.n) == (2970, 2959, 2982, 3000)
    few = percentile(values[:367], 0.99)
    assert few.value is None
    assert words(few, 'ms') == 'n/a (need 368)'
    assert words(p99, 'ms', 4) == '2970 ms [2959, 2982]'


def test_bootstrap_widens_where_neighbours_agree():
    slow = np.repeat(np.random.default_rng(2).normal(size=60), 50)
    independent = np.random.default_rng(3).normal(size=3000)
    assert percentile(slow, 0.9, block=50).method == 'moving-block bootstrap'
    plain, wide = percentile(slow, 0.9), percentile(slow, 0.9, block=50)
    assert wide.hi - wide.lo > plain.hi - plain.lo
    assert wide.lo <= wide.value <= wide.hi
    ((low, high),) = block_bootstrap(independent, (0.5,), 1)
    reference = percentile(independent, 0.5)
    assert (high - low) == pytest.approx(reference.hi - reference.lo, rel=0.4)
    assert block_bootstrap(slow, (0.9, 0.5), 50) == block_bootstrap(slow, (0.9, 0.5), 50)


def test_coverage_by_simulation():
    generator = np.random.default_rng(4)
    truth = -math.log(0.1)  # p90 of the unit exponential
    hits = 0
    for _ in range(400):
        found = percentile(generator.exponential(size=200), 0.9)
        hits += found.lo <= truth <= found.hi
    assert hits / 400 >= 0.93


def test_wilson_known_values():
    # Newcombe (1998), method 3: 81 of 263 -> 0.2553 to 0.3662.
    found = wilson(81, 263)
    assert found.lo == pytest.approx(0.2553, abs=5e-5)
    assert found.hi == pytest.approx(0.3662, abs=5e-5)
    none = wilson(0, 100)
    assert none.lo == 0
    assert none.hi == pytest.approx(0.0370, abs=5e-4)
    assert wilson(0, 0).value is None
    with pytest.raises(ConfigError):
        wilson(3, 2)


@given(st.integers(0, 200), st.integers(0, 200))
def test_wilson_holds_its_estimate(hits, extra):
    found = wilson(hits, hits + extra)
    if hits + extra:
        assert 0 <= found.lo <= found.value <= found.hi <= 1


@given(st.lists(st.booleans(), max_size=60), st.integers(1, 12))
def test_runs_against_naive_counts(bits, width):
    mask = np.array(bits, dtype=bool)
    text = ''.join('x' if b else '.' for b in bits)
    assert longest_run(mask) == max((len(part) for part in text.split('.')), default=0)
    windows = [sum(bits[i:i + width]) for i in range(max(1, len(bits) - width + 1))]
    assert most_in_window(mask, width) == max(windows)


def test_a_percentile_must_be_a_fraction():
    with pytest.raises(ConfigError, match='p99'):
        nearest_rank(10, 99)


@pytest.mark.parametrize(('value', 'text'), [(1472.3, '1470'), (27400.0, '27400'), (0.0123456, '0.0123'), (9.999, '10'),
                                             (311.0, '311'), (0.5, '0.5'), (0.0, '0'), (-2.346, '-2.35'),
                                             (1e-9, '1e-09'), (100.0, '100')])
def test_figures_need_no_exponent(value, text):
    assert figures(value) == text


@given(st.floats(1e-4, 9e6))
def test_figures_are_close(value):
    assert float(figures(value)) == pytest.approx(value, rel=0.006)


@pytest.mark.parametrize(('freedom', 'value'), [(1, 12.7062), (2, 4.30265), (4, 2.77645), (9, 2.26216), (30, 2.04227)])
def test_student_t_against_published_tables(freedom, value):
    assert student_t(0.975, freedom) == pytest.approx(value, rel=2e-5)


@pytest.mark.parametrize('n', [3, 5, 12])
def test_the_interval_of_a_paired_ratio_covers_as_often_as_it_says(n):
    rng = np.random.default_rng(n)
    hits = 0
    for _ in range(300):
        shared = rng.lognormal(0.0, 0.5, n)  # what the machine does to both blocks of a pair
        found = paired_ratio(1.2 * shared * rng.lognormal(0.0, 0.05, n), shared * rng.lognormal(0.0, 0.05, n))
        hits += found.lo <= 1.2 <= found.hi
    assert 0.90 <= hits / 300 <= 1.0
    assert found.hi / found.lo < 1.5, 'what is common to a pair cancels'


@settings(max_examples=40)
@given(st.lists(st.tuples(st.floats(0.1, 100.0), st.floats(0.1, 100.0)), min_size=2, max_size=12))
def test_a_paired_ratio_inverts_when_its_sides_are_exchanged(pairs):
    a, b = zip(*pairs, strict=True)
    there, back = paired_ratio(a, b), paired_ratio(b, a)
    assert there.lo <= there.value <= there.hi
    assert there.value * back.value == pytest.approx(1.0)
    if len(pairs) <= 7:  # beyond that the resamples are drawn, and their percentiles are not mirrored to the last digit
        assert there.lo * back.hi == pytest.approx(1.0)


def test_a_paired_ratio_of_few_or_impossible_values():
    assert paired_ratio([2.0], [1.0]).value == pytest.approx(2.0)
    assert paired_ratio([2.0], [1.0]).lo is None
    assert paired_ratio([], []).value is None
    for a, b in (([1.0], [1.0, 2.0]), ([0.0], [1.0]), ([1.0], [math.nan])):
        with pytest.raises(ConfigError, match='ratios'):
            paired_ratio(a, b)
