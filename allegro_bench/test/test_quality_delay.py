"""Measured lateness in simulated episodes: exact on the virtual clock, runs of misses stay runs."""

import numpy as np
import pytest
from allegro_bench.latency import NEVER, ticks
from allegro_bench.load import run_periodic
from allegro_bench.quality.delay import Limit, Trace, episode_plan, plan, replay
from allegro_bench.statistics import longest_run
from allegro_description.errors import ConfigError
from hypothesis import given, settings
from hypothesis import strategies as st

MS = 1_000_000
T, STEPS = 20 * MS, 5
H = T // STEPS


class Clock:
    """Virtual time; waking up takes as long as it is told to."""

    def __init__(self, late):
        self.now, self.late, self.k = 10**12, late, 0

    def now_ns(self):
        return self.now

    def sleep_until(self, deadline_ns):
        self.now = max(self.now, deadline_ns) + self.late[self.k]


def measured(busy, late=None, *, on_overrun='skip'):
    """Ticks of a loop whose inferences take ``busy`` ns in turn and begin ``late`` ns late."""
    clock = Clock(late or [0] * len(busy))

    def work(_):
        clock.now += busy[clock.k]
        clock.k += 1

    return run_periodic(work, clock, period_ns=T, count=len(busy), on_overrun=on_overrun)


def stalls(count):
    """The load of the protocol's test vector: 2 ms, and 311 ms every ten seconds."""
    return [311 * MS if k % 500 == 250 else 2 * MS for k in range(count)]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 70 * MS), st.integers(0, 3 * MS)), min_size=1, max_size=80),
       st.sampled_from(['skip', 'queue']))
def test_what_was_measured_leads_to_the_same_ticks_again(times, on_overrun):
    run = measured(*(list(t) for t in zip(*times, strict=True)), on_overrun=on_overrun)
    trace = Trace.of([run])
    assert len(trace) == (~run.skipped).sum()
    spare = np.zeros(len(run), dtype=np.int64)
    again = replay(np.concatenate([trace.late_ns, spare]), np.concatenate([trace.busy_ns, spare]), period_ns=T,
                   count=len(run), on_overrun=on_overrun)
    first = run.release_ns[0]
    for name in ('release_ns', 'start_ns', 'finish_ns'):
        was = getattr(run, name)
        assert np.array_equal(getattr(again, name), np.where(was == NEVER, NEVER, was - first))


@pytest.mark.parametrize(('on_overrun', 'skipped', 'late', 'longest'), [('skip', 900, 60, 16), ('queue', 0, 1020, 17)])
def test_the_vector_of_the_protocol_comes_back(on_overrun, skipped, late, longest):
    busy = np.array(stalls(30_000), dtype=np.int64)
    if on_overrun == 'skip':    # a tick that is skipped takes no time from the list: give the times of those that ran
        run = run_periodic((lambda clock: lambda k: setattr(clock, 'now', clock.now + int(busy[k])))(
            clock := Clock([0] * 30_001)), clock, period_ns=T, count=30_000)
        trace = Trace.of([run])
        busy = np.concatenate([trace.busy_ns, np.zeros(900, dtype=np.int64)])
    again = replay(np.zeros_like(busy), busy, period_ns=T, count=30_000, on_overrun=on_overrun)
    missed = again.missed(T)
    assert (int(again.skipped.sum()), int(missed.sum()) - int(again.skipped.sum())) == (skipped, late)
    assert longest_run(missed) == longest


def by_hand(run, phase):
    """Whose target holds at each step of the hand, from the definition, tick by tick."""
    steps = [k * H + phase for k in range(len(run) * STEPS)]
    newest = []
    for now in steps:
        there = [int(k) for k, end in zip(run.index, run.finish_ns, strict=True) if end != NEVER and end <= now]
        newest.append(max(there, default=-1))
    return newest


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 90 * MS), min_size=1, max_size=30), st.integers(0, H - 1),
       st.sampled_from(['skip', 'queue']))
def test_a_target_holds_from_its_response_on_and_the_last_one_until_then(busy, phase, on_overrun):
    times = np.array(busy, dtype=np.int64)
    run = replay(np.zeros_like(times), times, period_ns=T, count=len(busy), on_overrun=on_overrun)
    found = plan(run, period_ns=T, steps=STEPS, phase_ns=phase)
    assert found.in_effect.tolist() == by_hand(run, phase)
    assert np.array_equal(found.decides, ~run.skipped)


@pytest.mark.parametrize('phase', [0, 1, H // 2, H - 1])
def test_whole_steps_are_exact_whatever_the_phase(phase):
    for m in range(STEPS + 1):
        run = replay(np.zeros(4, np.int64), np.full(4, m * H, np.int64), period_ns=T, count=4, on_overrun='skip')
        found = plan(run, period_ns=T, steps=STEPS, phase_ns=phase).in_effect
        assert found.tolist() == [-1] * m + [k for k in range(4) for _ in range(STEPS)][:len(found) - m]


@given(st.integers(0, T))
def test_on_average_over_the_phase_a_target_is_late_by_its_response(response):
    run = replay(np.zeros(2, np.int64), np.full(2, response, np.int64), period_ns=T, count=2, on_overrun='queue')
    lates = [int((plan(run, period_ns=T, steps=STEPS, phase_ns=p).in_effect == -1).sum())
             for p in range(0, H, H // 100)]
    assert np.mean(lates) * H == pytest.approx(response, abs=H / 50)


def test_a_skipped_tick_never_holds_and_a_late_target_comes_when_it_comes():
    run = replay(np.zeros(20, np.int64), np.array([2, 2, 95, *[2] * 17], np.int64) * MS, period_ns=T, count=20,
                 on_overrun='skip')
    found = plan(run, period_ns=T, steps=STEPS, phase_ns=0)
    assert np.flatnonzero(~found.decides).tolist() == [3, 4, 5, 6]
    after = found.in_effect[2 * STEPS:]
    # tick 2 is released at step 10 and answers after 95 ms, which step 34 is the first to see
    assert after[:24].tolist() == [1] * 24
    assert after[24:27].tolist() == [2, 2, 7]   # tick 7 is released at step 35


def test_in_a_queue_every_tick_decides_and_its_target_comes_ever_later():
    run = replay(np.zeros(10, np.int64), np.full(10, 30 * MS, np.int64), period_ns=T, count=10, on_overrun='queue')
    found = plan(run, period_ns=T, steps=STEPS, phase_ns=0)
    assert found.decides.all()
    first = [int(np.argmax(found.in_effect == k)) for k in range(6)]
    assert first == [-(-(30 * MS * (k + 1)) // H) for k in range(6)]


def test_runs_of_misses_stay_runs():
    trace = Trace.of([measured(stalls(3000)[:2000]), measured(stalls(3000)[:2000])])
    longest = []
    for seed in range(60):
        found = episode_plan(trace, seed, period_ns=T, count=300, steps=STEPS, on_overrun='skip').ticks
        missed = found.missed(T)
        assert not missed.any() or longest_run(missed) >= 16     # alone they would be runs of one
        longest.append(longest_run(missed))
    assert max(longest) >= 16


def test_the_share_of_misses_is_the_measured_one():
    run = measured(stalls(30_000))
    drawn = [episode_plan(Trace.of([run]), seed, period_ns=T, count=300, steps=STEPS, on_overrun='skip').ticks
             for seed in range(300)]
    share = np.mean([t.missed(T).mean() for t in drawn])
    assert share == pytest.approx(run.missed(T).mean(), rel=0.25)


def test_no_run_is_drawn_across_two_blocks_and_each_inference_is_as_likely():
    blocks = [ticks(range(n), np.arange(n) * T, np.arange(n) * T, np.arange(n) * T + 1000 * j + 1)
              for j, n in ((1, 30), (2, 70))]
    trace, rng = Trace.of(blocks), np.random.default_rng(0)
    seen = []
    for _ in range(400):
        _, busy = trace.drawn(25, 25, rng)
        assert len(set(busy.tolist())) == 1
        seen.append(busy[0])
    assert np.mean(np.array(seen) == 1001) == pytest.approx(0.3, abs=0.08)


def test_one_seed_gives_one_plan_and_the_phase_is_that_of_every_candidate():
    slow, fast = Trace.constant(9 * MS), Trace.constant(0)
    a, b = (episode_plan(slow, 7, period_ns=T, count=50, steps=STEPS, on_overrun='skip') for _ in range(2))
    assert np.array_equal(a.in_effect, b.in_effect)
    steps = {(int((episode_plan(slow, s, period_ns=T, count=4, steps=STEPS, on_overrun='skip').in_effect == -1).sum()),
              int((episode_plan(slow.slower(H), s, period_ns=T, count=4, steps=STEPS, on_overrun='skip'
                                ).in_effect == -1).sum())) for s in range(40)}
    assert steps == {(2, 3), (3, 4)}
    assert (episode_plan(fast, 3, period_ns=T, count=4, steps=STEPS, on_overrun='skip').in_effect
            == np.repeat(np.arange(4), STEPS)).all()


def test_what_fits_no_period_and_blocks_without_inference_are_refused():
    run = measured([2 * MS])
    with pytest.raises(ConfigError, match='do not fit a period'):
        plan(run, period_ns=T, steps=STEPS, phase_ns=H)
    with pytest.raises(ConfigError, match='no inference of this backend was measured'):
        Trace.of([ticks([0], [0], [NEVER], [NEVER])])


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(1, 9), min_size=1, max_size=30), st.integers(1, 4))
def test_a_loop_gives_up_after_so_many_slow_inferences_in_a_row(busy_ms, sustain):
    busy = np.array(busy_ms, dtype=np.int64) * MS
    run = replay(np.zeros_like(busy), busy, period_ns=T, count=len(busy), on_overrun='skip')
    free = plan(run, period_ns=T, steps=STEPS, phase_ns=0)
    found = plan(run, period_ns=T, steps=STEPS, phase_ns=0, limit=Limit(5 * MS, sustain))
    words = ''.join('s' if b > 5 else '.' for b in busy_ms)
    at = words.find('s' * sustain)
    if at < 0:
        assert found.holds is None
        assert np.array_equal(found.in_effect, free.in_effect)
        return
    last = at + sustain - 1
    assert found.holds == last
    assert found.decides.tolist() == [k <= last for k in range(len(busy))]
    assert np.array_equal(found.in_effect, np.minimum(free.in_effect, last - 1))
