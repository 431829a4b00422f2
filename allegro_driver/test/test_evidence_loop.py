"""The figures of the loop beside a bare C loop: what counts as late, as jitter and as a share."""

import numpy as np
import pytest
from allegro_driver.evidence.loop_floor import summary, table, wilson
from allegro_driver.evidence.wire_clock import Answers, matched
from hypothesis import given
from hypothesis import strategies as st

MS = 1_000_000


def test_late_is_after_a_period_and_jitter_is_what_the_host_adds() -> None:
    sent = [3 * MS * k for k in range(6)]
    turnaround = [100_000, 150_000, 4 * MS, 0, 100_000, 100_000]
    answers = Answers(sent, [s + t if t else 0 for s, t in zip(sent, turnaround, strict=True)])
    assert answers.on_time == (4, 6)
    assert answers.turnaround_us().tolist() == [100.0, 150.0, 100.0, 100.0]
    assert answers.jitter_us().tolist() == [50.0, 3850.0, 0.0]


@given(st.integers(1, 60), st.integers(3 * MS, 11 * MS), st.integers(0, 900_000))
def test_a_host_that_is_always_late_is_never_on_time(count: int, delay: int, flutter: int) -> None:
    sent = [3 * MS * k for k in range(count)]
    answers = Answers()
    answers.add(sent, [s + delay + flutter * (k % 2) for k, s in enumerate(sent)])
    assert answers.on_time == (0, count)


@given(st.lists(st.tuples(st.booleans(), st.integers(1, 3 * MS - 1)), min_size=1, max_size=60))
def test_answers_find_their_samples_around_those_that_were_passed_over(samples: list[tuple[bool, int]]) -> None:
    sent = [3 * MS * k for k in range(len(samples))]
    true = [s + turnaround if heard else 0 for s, (heard, turnaround) in zip(sent, samples, strict=True)]
    assert matched(sent, [t for t in true if t]) == true


def test_more_answers_than_samples_are_nobodys() -> None:
    assert matched([0, 3 * MS], [1, 3 * MS + 1, 3 * MS + 2]) == [1, 3 * MS + 1]


@pytest.mark.parametrize(('hits', 'count', 'low', 'high'), [(95, 100, 0.8882, 0.9785), (100, 100, 0.9630, 1.0)])
def test_wilson_interval_against_published_values(hits: int, count: int, low: float, high: float) -> None:
    assert wilson(hits, count) == pytest.approx((low, high), abs=1e-4)
    assert wilson(0, 0) == (0.0, 1.0)


def test_rows_add_the_blocks_and_compare_with_the_floor() -> None:
    def block(host: str, late: int, cpu: float) -> dict[str, object]:
        times = np.full(1000 - late, 50.0 if host == 'floor' else 100.0)
        return {
            'host': host, 'on_time': (1000 - late, 1000), 'turnaround_us': times, 'jitter_us': times / 10,
            'threads_percent': {'main': cpu}, 'cpu_percent': cpu, 'commands_hz': 0.0, 'load': 1.0,
            'stolen_percent': 0.0}

    rows = summary([block('floor', 1, 1.0), block('node', 3, 6.0), block('node', 5, 8.0), block('floor', 1, 1.0)])
    node = rows['node']
    assert (node['samples'], node['late'], node['threads_percent']) == (2000, 8, {'main': 7.0})
    assert node['late_to_floor'] == pytest.approx(4.0)
    assert node['turnaround_p50_to_floor'] == pytest.approx(2.0)
    assert node['cpu_to_floor'] == pytest.approx(7.0)
    assert '| node | 2000 | 99.600 [99.213, 99.797] | 8, 4.00 | 100 / 100 / 100 / 100 |' in table(rows)


def test_a_floor_that_is_never_late_gives_no_ratio() -> None:
    times = np.full(10, 50.0)
    rows = summary([{
        'host': 'floor', 'on_time': (10, 10), 'turnaround_us': times, 'jitter_us': times,
        'threads_percent': {'main': 1.0}, 'cpu_percent': 1.0, 'commands_hz': 0.0, 'load': 1.0, 'stolen_percent': 0.0}])
    assert rows['floor']['late_to_floor'] is None
    assert '| 0, – |' in table(rows)
