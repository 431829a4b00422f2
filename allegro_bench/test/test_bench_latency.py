"""Latency accounting against the published load vectors, with a virtual clock, and its invariants."""

import numpy as np
import pytest
from allegro_bench.latency import Ticks, period_of, restore, summarise, ticks
from allegro_bench.load import MonotonicClock, run_periodic
from allegro_description.errors import ConfigError
from hypothesis import given, settings
from hypothesis import strategies as st

MS = 1_000_000
T = 20 * MS


class VirtualClock:
    def __init__(self, start=0):
        self.now = start

    def now_ns(self):
        return self.now

    def sleep_until(self, deadline_ns):
        self.now = max(self.now, deadline_ns)


def vector(on_overrun, count=30000):
    """50 Hz, 2 ms of work, and 311 ms in every tick with k mod 500 = 250."""
    clock = VirtualClock(start=123)

    def work(k):
        clock.now += 311 * MS if k % 500 == 250 else 2 * MS

    return run_periodic(work, clock, period_ns=T, count=count, on_overrun=on_overrun)


@pytest.mark.parametrize(('on_overrun', 'completed', 'skipped', 'late', 'p99', 'run'), [
    ('queue', 30000, 0, 1020, 221, 17),
    ('skip', 29100, 900, 60, 2, 16),
])
def test_published_load_vectors(on_overrun, completed, skipped, late, p99, run):
    found = summarise(vector(on_overrun), T, T)
    assert found['n_completed'] == completed
    miss = found['miss']
    assert (miss['skipped'], miss['late'], miss['longest_run']) == (skipped, late, run)
    assert miss['value'] == (skipped + late) / 30000
    response = {k: found['response_ms'][k]['value'] for k in ('p50', 'p99', 'p999')}
    assert response == pytest.approx({'p50': 2, 'p99': p99, 'p999': 311})
    assert found['response_ms']['max'] == pytest.approx(311)
    assert found['jitter_us']['p50']['value'] == 0


def test_a_loop_that_rebases_its_clock_hides_the_stall():
    """The wrong way, for contrast: timing each call from its own start shows p99 = 2 ms and 58 late ticks."""
    clock = VirtualClock()
    rows = []
    release = 0
    while release < 30000 * T:
        clock.sleep_until(release)
        start = clock.now_ns()
        clock.now += 311 * MS if len(rows) % 500 == 250 else 2 * MS
        rows.append((len(rows), start, start, clock.now_ns()))
        release = max(release + T, clock.now_ns())
    wrong = ticks(*zip(*rows, strict=True))
    found = summarise(wrong, T, T)
    assert found['n_completed'] == 29157
    assert found['miss']['late'] == 58
    assert found['response_ms']['p99']['value'] == pytest.approx(2)
    assert found['miss']['longest_run'] == 1


def test_skipped_ticks_are_put_back_from_the_count():
    run = vector('skip', 3000)
    done = run.completed
    period = period_of(done.index, done.release_ns)
    assert period == T
    whole, gaps = restore(done.index, done.release_ns, done.start_ns, done.finish_ns, done.backend, period)
    assert (gaps.segments, gaps.skipped, gaps.unexplained) == (1, int(run.skipped.sum()), 0)
    for name in ('index', 'release_ns', 'start_ns', 'finish_ns'):
        assert np.array_equal(getattr(whole, name), getattr(run, name))
    assert summarise(whole, T, T) == summarise(run, T, T)


def test_lost_messages_are_told_from_busy_ticks():
    run = vector('queue', 200)
    keep = np.ones(200, dtype=bool)
    keep[[50, 51, 90]] = False
    left = run[keep]
    _, gaps = restore(left.index, left.release_ns, left.start_ns, left.finish_ns, left.backend, T)
    assert (gaps.skipped, gaps.unexplained) == (3, 3)


def test_a_restarted_loop_begins_a_new_segment():
    index = np.array([0, 1, 2, 0, 1, 2])
    release = np.array([0, T, 2 * T, 500 * T + 7, 501 * T + 7, 502 * T + 7])
    whole, gaps = restore(index, release, release, release + MS, np.zeros(6, dtype=np.int64), T)
    assert gaps.segments == 2
    assert gaps.skipped == 0
    # The count goes on but the schedule was moved (paused and resumed): nothing may be put back either.
    whole, gaps = restore(np.arange(6), release, release, release + MS, np.zeros(6, dtype=np.int64), T)
    assert (gaps.segments, len(whole)) == (2, 6)


def test_a_pause_between_grasps_is_not_a_row_of_misses():
    """The loop goes on counting while it does not infer; a stall of the same length is still counted in full."""
    index = np.array([0, 1, 2, 102, 103])
    release = index * T
    whole, gaps = restore(index, release, release, release + MS, np.zeros(5, dtype=np.int64), T)
    assert (gaps.pauses, gaps.skipped, gaps.segments, len(whole)) == (1, 0, 2, 5)
    finish = release + MS
    finish[2] = release[3] - T + MS
    whole, gaps = restore(index, release, release, finish, np.zeros(5, dtype=np.int64), T)
    assert (gaps.pauses, gaps.skipped, gaps.unexplained, len(whole)) == (0, 99, 0, 104)


def test_misses_do_not_run_across_segments():
    release = np.arange(20) * T
    late = Ticks(np.arange(20), release, release, release + 2 * T, np.repeat([0, 1], 10), np.zeros(20, dtype=np.int64))
    miss = summarise(late, T, T)['miss']
    assert (miss['longest_run'], miss['mk']['50'], miss['missed']) == (10, 10, 20)


def test_deadline_is_part_of_the_definition():
    run = ticks([0], [0], [0], [T])
    assert not run.missed(T).any(), 'a tick that finishes at its deadline has met it'
    assert run.missed(T - 1).all()


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(0, 90 * MS), min_size=1, max_size=80), st.sampled_from(['skip', 'queue']))
def test_laws_of_any_load(services, on_overrun):
    clock = VirtualClock()

    def work(k):
        clock.now += services[k]

    run = run_periodic(work, clock, period_ns=T, count=len(services), on_overrun=on_overrun)
    done = run.completed
    assert len(done) + run.skipped.sum() == len(services)
    assert (run.jitter_ns() >= 0).all()
    assert (run.response_ns() == run.jitter_ns() + run.service_ns()).all()
    assert (done.start_ns[1:] >= done.finish_ns[:-1]).all(), 'one server: no tick begins before the last one ended'
    assert run.service_ns().tolist() == [services[k] for k in done.index]
    if on_overrun == 'queue':
        assert not run.skipped.any()
    else:
        busy = [((done.start_ns < r) & (done.finish_ns > r)).any() for r in run.release_ns[run.skipped]]
        assert all(busy), 'only ticks released while busy are skipped'


def test_empty_and_single_runs():
    none, gaps = restore(*(np.empty(0, dtype=np.int64) for _ in range(5)), T)
    assert gaps.segments == 0
    found = summarise(none, T, T)
    assert found['n_expected'] == 0
    assert found['miss']['value'] is None
    assert found['response_ms']['p50']['needed'] == 6
    assert found['achieved_rate_hz'] is None


def test_real_clock_keeps_the_schedule():
    run = run_periodic(lambda k: None, MonotonicClock(), period_ns=5 * MS, count=20)
    assert (run.jitter_ns() >= 0).all()
    assert run.release_ns[-1] - run.release_ns[0] == 19 * 5 * MS


def test_bad_loads_are_refused():
    for wrong in ({'period_ns': 0, 'count': 1}, {'period_ns': 1, 'count': 1, 'on_overrun': 'drop'}):
        with pytest.raises(ConfigError, match='skip, queue'):
            run_periodic(lambda k: None, VirtualClock(), **wrong)
