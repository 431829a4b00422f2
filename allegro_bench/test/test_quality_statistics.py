"""Non-inferiority of paired episodes: sample sizes, coverage, verdicts; and what a success costs."""

import itertools
import math
from statistics import NormalDist

import numpy as np
import pytest
from allegro_bench.quality.noninferiority import (
    EXACT,
    FAIL,
    INCONCLUSIVE,
    PASS,
    SCORE,
    difference,
    pairs_needed,
    score,
    smallest_excluded,
)
from allegro_bench.quality.per_success import per_success, product, trial_energy
from allegro_description.errors import ConfigError
from hypothesis import given, settings
from hypothesis import strategies as st

TABLE = {0.05: (31, 124, 344, 773), 0.10: (62, 248, 687, 1546)}
Z95 = NormalDist().inv_cdf(0.95)
MARGINS = (0.10, 0.05, 0.03, 0.02)


@pytest.mark.parametrize('discordance', TABLE)
def test_the_planner_gives_the_table_of_the_protocol(discordance):
    assert tuple(pairs_needed(discordance, m) for m in MARGINS) == TABLE[discordance]


@given(discordance=st.floats(0.01, 1.0), margin=st.floats(0.01, 0.4))
def test_what_so_many_pairs_exclude_is_the_opposite_of_how_many_are_needed(discordance, margin):
    n = pairs_needed(discordance, margin)
    assert smallest_excluded(n, discordance) <= margin + 1e-12
    assert n == 1 or smallest_excluded(n - 1, discordance) > margin - 1e-12


def coverage(n, lose, win, bound):
    """Probability that the lower bound does not exceed the true difference, summed over every outcome."""
    total, truth = 0.0, win - lose
    for b, c in itertools.product(range(n + 1), repeat=2):
        rest = n - b - c
        if rest >= 0 and bound(n, b, c) <= truth + 1e-9:
            total += math.exp(math.lgamma(n + 1) - math.lgamma(b + 1) - math.lgamma(c + 1) - math.lgamma(rest + 1)
                              ) * lose**b * win**c * (1.0 - lose - win)**rest
    return total


@pytest.mark.parametrize(('lose', 'win'), [(0.05, 0.05), (0.15, 0.02), (0.3, 0.2)])
def test_the_exact_bound_covers_at_least_95_percent(lose, win):
    assert coverage(7, lose, win, lambda n, b, c: difference(n, b, c).lo) >= 0.95


@pytest.mark.parametrize(('lose', 'win'), [(0.05, 0.05), (0.08, 0.05), (0.2, 0.17), (0.004, 0.001)])
def test_the_score_bound_covers_about_95_percent_where_it_is_used(lose, win):
    n = 687
    counts = np.random.default_rng(1).multinomial(n, (lose, win, 1.0 - lose - win), 20_000)
    covered = np.mean(score(n, counts[:, 0], counts[:, 1], win - lose) <= Z95)  # so is the bound below the truth
    assert 0.94 <= covered <= 0.985     # few pairs differ in the last case: outcomes are coarse, to the safe side


def test_the_score_bound_is_where_the_score_leaves_what_is_likely():
    for b, c in ((40, 30), (3, 0), (0, 2), (300, 20)):
        assert score(687, b, c, difference(687, b, c).lo) == pytest.approx(Z95, abs=1e-6)


@pytest.mark.parametrize(('loss', 'least', 'most'), [(0.03, 0.03, 0.07), (0.0, 0.77, 0.83)])
def test_a_candidate_at_the_margin_passes_once_in_twenty_and_an_equal_one_four_times_in_five(loss, least, most):
    n = pairs_needed(0.10, 0.03)
    counts = np.random.default_rng(2).multinomial(n, (0.05 + loss / 2, 0.05 - loss / 2, 0.90), 20_000)
    passed = score(n, counts[:, 0], counts[:, 1], -0.03) > Z95
    assert least < passed.mean() < most
    for b, c, _ in counts[:20]:
        assert (difference(n, int(b), int(c)).verdict(0.03) == PASS) == (score(n, b, c, -0.03) > Z95)


@settings(max_examples=60)
@given(n=st.integers(100, 4000), data=st.data())
def test_bounds_enclose_the_difference_and_swap_with_the_policies(n, data):
    b = data.draw(st.integers(0, n))
    c = data.draw(st.integers(0, n - b))
    found, mirrored = difference(n, b, c), difference(n, c, b)
    assert found.method == SCORE
    assert -1.0 <= found.lo <= found.value <= found.hi <= 1.0
    assert (mirrored.lo, mirrored.hi) == pytest.approx((-found.hi, -found.lo))
    if b and b + c < n:
        better = difference(n, b - 1, c + 1)
        assert better.lo > found.lo


def test_no_differing_pair_still_leaves_doubt():
    small, large = difference(20, 0, 0), difference(687, 0, 0)
    assert small.method == EXACT
    assert small.lo == pytest.approx(-(1.0 - 0.05**(1 / 20)), abs=1e-6)    # the chance of 20 pairs without a loss
    assert small.verdict(0.03) == INCONCLUSIVE
    assert large.verdict(0.03) == PASS


def test_twenty_episodes_exclude_a_collapse_and_no_more():
    assert difference(20, 14, 0).verdict(0.03) == FAIL
    assert difference(20, 1, 1).verdict(0.03) == INCONCLUSIVE
    assert -0.30 < difference(20, 1, 1).lo < -0.15


@pytest.mark.parametrize(('n', 'b', 'c'), [(0, 0, 0), (10, 6, 5), (10, -1, 0)])
def test_impossible_counts_are_refused(n, b, c):
    with pytest.raises(ConfigError, match='no counts of paired episodes'):
        difference(n, b, c)


# Cost per success ----------------------------------------------------------------------------------------------------


@given(st.lists(st.tuples(st.floats(0.1, 100.0), st.booleans()), min_size=1, max_size=40))
@settings(max_examples=25, deadline=None)
def test_failures_cost_too_and_without_success_there_is_no_number(trials):
    used, success = zip(*trials, strict=True)
    found = per_success(used, success)
    if not any(success):
        assert found == {'value': None, 'lo': None, 'hi': None}
        return
    assert found['value'] == pytest.approx(sum(used) / sum(success))
    assert found['lo'] <= found['value'] * (1 + 1e-9)
    assert found['hi'] is None or found['hi'] >= found['value'] * (1 - 1e-9)


def test_one_success_among_few_trials_leaves_the_cost_unbounded_above():
    assert per_success([1.0] * 4, [True, False, False, False])['hi'] is None


def test_the_interval_of_a_ratio_covers():
    rng, truth, hits = np.random.default_rng(3), 250.0 / 0.7, 0
    for k in range(60):
        found = per_success(rng.normal(250.0, 20.0, 200), rng.random(200) < 0.7, seed=k)
        hits += found['lo'] <= truth <= found['hi']
    assert hits >= 52     # 95 % of 60 are 57


def test_a_product_keeps_relative_errors_and_what_is_unknown():
    joules, calls = {'value': 2.0, 'lo': 1.8, 'hi': 2.2}, {'value': 300.0, 'lo': 300.0, 'hi': 300.0}
    assert product(joules, calls) == pytest.approx({'value': 600.0, 'lo': 540.0, 'hi': 660.0})
    wider = product(joules, {'value': 300.0, 'lo': 270.0, 'hi': 330.0})
    assert wider['lo'] < 540.0
    assert wider['hi'] > 660.0
    assert wider['lo'] > 1.8 * 270.0
    assert product({'value': 2.0, 'lo': -1.0, 'hi': 5.0}, calls)['lo'] == 0.0     # two blocks, far apart
    assert product(joules, {'value': None, 'lo': None, 'hi': None})['value'] is None
    assert product(joules, {'value': 300.0, 'lo': 290.0, 'hi': None})['hi'] is None


def test_metered_trials_count_only_with_the_simulator_elsewhere(tmp_path):
    path = tmp_path / 'trials.csv'
    path.write_text('joules,success,simulator\n4.0,1,elsewhere\n6.0,0,elsewhere\n5.0,1,none\n')
    assert trial_energy(path)['value'] == pytest.approx(7.5)
    path.write_text('joules,success,simulator\n4.0,1,here\n')
    with pytest.raises(ConfigError, match='derived from joules per inference'):
        trial_energy(path)
    path.write_text('joules,success\n4.0,1\n')
    with pytest.raises(ConfigError, match='columns joules, success, simulator'):
        trial_energy(path)
