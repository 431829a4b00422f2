"""What the loop's bookkeeping means, with times as numbers."""

import numpy as np
import pytest
from allegro_driver.loop import LoopStatistics, Window, spread
from hypothesis import given
from hypothesis import strategies as st

MS = 1_000_000


def test_nothing_yet():
    report = LoopStatistics(0.003).report()
    assert (report.frames, report.lost, report.overruns, report.on_time_percent) == (0, 0, 0, 100.0)
    assert report.interval_ms.count == 0


def run(arrivals_ms, sent_ms, sequences=None, skipped=None):
    statistics = LoopStatistics(0.003)
    for k, (arrival, sent) in enumerate(zip(arrivals_ms, sent_ms, strict=True)):
        number = k if sequences is None else sequences[k]
        statistics.frame(round(arrival * MS), number, 0 if skipped is None else skipped[k])
        if sent is not None:
            statistics.sent(round(sent * MS))
    return statistics.report()


def test_on_time_needs_both_conditions():
    # answered after 0.2 ms; 3.5 ms later although the next sample came even later; after the next sample; not at all
    report = run([0, 3, 10, 11, 14, 17], [0.2, 6.5, 11.5, None, 14.1, 17.1])
    assert report.frames == 6
    assert report.on_time == 2  # samples 1 and 5; the newest is still open
    assert report.overruns == 3
    assert report.on_time_percent == pytest.approx(40.0)


def test_lost_and_skipped_are_told_apart():
    report = run([0, 3, 12, 15], [0.1, 3.1, 12.1, 15.1], sequences=[10, 11, 14, 15], skipped=[0, 0, 0, 0])
    assert (report.lost, report.overruns) == (2, 0)
    report = run([0, 3, 12, 15], [0.1, 3.1, 12.1, 15.1], sequences=[10, 11, 14, 15], skipped=[0, 0, 2, 0])
    assert (report.lost, report.overruns, report.frames) == (0, 2, 6)


def test_the_sample_counter_may_wrap():
    assert run([0, 3, 6], [1, 4, 7], sequences=[2**32 - 2, 2**32 - 1, 0]).lost == 0
    assert run([0, 3], [1, 4], sequences=[2**32 - 1, 1]).lost == 1


def test_an_interruption_is_neither_lost_nor_late():
    statistics = LoopStatistics(0.003)
    statistics.frame(0, 5)
    statistics.sent(MS // 10)
    statistics.interrupt()
    statistics.frame(9_000 * MS, 4_000)
    report = statistics.report()
    assert (report.frames, report.lost, report.on_time, report.overruns) == (2, 0, 1, 0)
    assert report.interval_ms.count == 0


def test_spreads_have_the_units_they_say():
    statistics = LoopStatistics(0.003)
    for k in range(101):
        statistics.frame(k * 4 * MS, k)
        statistics.sent(k * 4 * MS + 150_000)
        statistics.command_used(k * 4 * MS - 20 * MS, k * 4 * MS)
    report = statistics.report()
    assert report.rate_hz == pytest.approx(250.0)
    assert report.interval_ms.p50 == pytest.approx(4.0)
    assert report.jitter_us.max == pytest.approx(1000.0)
    assert report.turnaround_us.p99 == pytest.approx(150.0)
    assert report.command_age_ms.p50 == pytest.approx(20.0)


def test_percentiles_tell_one_in_a_thousand():
    values = np.zeros(4000)
    values[:12] = 100.0  # 0.3 %
    found = spread(values)
    assert (found.p50, found.p99, found.p999, found.max, found.count) == (0.0, 0.0, 100.0, 100.0, 4000)


@given(st.lists(st.integers(0, 10**12), max_size=50), st.integers(1, 20))
def test_a_window_keeps_the_newest(values, size):
    window = Window(size)
    for value in values:
        window.add(value)
    assert sorted(window.values().tolist()) == sorted(values[-size:])


@given(st.lists(st.tuples(st.integers(1, 9_000_000), st.integers(0, 9_000_000), st.integers(0, 3)), max_size=60))
def test_counts_always_add_up(frames):
    statistics, now, number, total = LoopStatistics(0.003), 0, 0, 0
    for gap, turnaround, skipped in frames:
        now, number = now + gap, number + 1 + skipped
        statistics.frame(now, number, skipped)
        statistics.sent(now + turnaround)
        total += 1 + (skipped if total else 0)
    report = statistics.report()
    assert report.frames == total
    assert report.on_time + report.overruns == max(total - 1, 0)
    assert 0 <= report.on_time_percent <= 100
