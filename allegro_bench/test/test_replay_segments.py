"""Laws of independent segments: how many there are, when an average is refused, and whether its interval covers."""

import numpy as np
import pytest
from allegro_bench.replay.segments import NEEDED, correlation_steps, mean, ratio
from hypothesis import given, settings
from hypothesis import strategies as st


def sluggish(length, steps, generator):
    """A series whose correlation time is (1 + r) / (1 - r) = ``steps``."""
    r = (steps - 1) / (steps + 1)
    noise = generator.normal(size=length)
    values = np.empty(length)
    values[0] = noise[0]
    for k in range(1, length):
        values[k] = r * values[k - 1] + np.sqrt(1 - r * r) * noise[k]
    return values


@pytest.mark.parametrize('steps', [1, 5, 20])
def test_the_correlation_time_is_found(steps):
    values = sluggish(12_000, steps, np.random.default_rng(steps))
    assert correlation_steps(values, np.zeros(len(values), dtype=np.intp)) == pytest.approx(steps, rel=0.3)


def test_repeating_every_value_does_not_make_it_more():
    generator = np.random.default_rng(0)
    once = generator.normal(size=400)
    run = np.zeros(4000, dtype=np.intp)
    assert mean(np.repeat(once, 10), run).n == pytest.approx(400, rel=0.35)


@given(length=st.integers(1, 400), seed=st.integers(0, 1000), least=st.floats(1.0, 50.0))
@settings(max_examples=60, deadline=None)
def test_an_average_is_given_exactly_from_the_needed_segments_on(length, seed, least):
    values = np.random.default_rng(seed).normal(size=length)
    run = np.zeros(length, dtype=np.intp)
    given_ = mean(values, run, least=least)
    assert given_.n <= length / least + 1e-9
    assert (given_.value is None) == (given_.n < NEEDED)
    if given_.value is not None:
        assert given_.lo <= given_.value <= given_.hi
        assert given_.value == pytest.approx(values.mean())


def test_the_interval_covers():
    """Of 95 % intervals from about 90 segments; from 80 series the share is known to 0.03."""
    generator = np.random.default_rng(1)
    run = np.zeros(900, dtype=np.intp)
    found = [mean(sluggish(900, 10, generator), run) for _ in range(80)]
    covered = [e.lo <= 0.0 <= e.hi for e in found if e.value is not None]
    assert len(covered) > 70
    assert 0.86 < np.mean(covered) < 1.0


def test_runs_are_not_joined():
    """Two runs at two levels: within each the values are independent, and blocks do not cross."""
    generator = np.random.default_rng(2)
    values = np.concatenate([generator.normal(0, 1, 200), generator.normal(0, 1, 200)])
    run = np.repeat([0, 1], 200).astype(np.intp)
    assert mean(values, run).n > 200


def test_a_ratio_of_equal_series_is_one():
    values = np.abs(np.random.default_rng(3).normal(size=300)) + 0.1
    found = ratio(values, values, np.zeros(300, dtype=np.intp))
    assert (found.value, found.lo, found.hi) == (1.0, 1.0, 1.0)
