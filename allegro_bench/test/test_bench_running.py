"""Profiles, order, warm-up and whole runs: what is planned and written, and what remains when a run is cut short."""

import dataclasses
import errno
import json
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from allegro_bench.cli import main
from allegro_bench.latency import summarise
from allegro_bench.load import MonotonicClock, run_periodic
from allegro_bench.results import document as results
from allegro_bench.results.schema import problems
from allegro_bench.results.verify import verify
from allegro_bench.running import blocks, profiles, run
from allegro_bench.running.bench import is_steady
from allegro_bench.running.engines import NULL, engine
from allegro_bench.running.order import order
from allegro_bench.running.profiles import PROFILES, profile
from allegro_bench.running.recorded import observations_of
from allegro_bench.running.reserve import FILE, Reserve, bytes_of, disk_full
from allegro_bench.running.workload import section, workload
from allegro_description.errors import ConfigError, UnknownName
from allegro_description.model import load_hand
from bench_loopback import Loopback
from hypothesis import given, settings
from hypothesis import strategies as st

MS = 1_000_000
MINI = dataclasses.replace(PROFILES['quick'], name='custom', blocks=2, block_s=0.3, warm_ticks=50, warm_s=0.0,
                           warm_cap_s=0.0, idle_s=0.01, loaded_idle_s=0.05, cool_s=0.0, cache_calls=50)


# Load -----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize('on_overrun', ['skip', 'queue'])
def test_a_stall_on_the_real_clock_has_the_shape_of_the_vectors(on_overrun):
    """10 ms period, one tick of 62 ms: its six followers are skipped, or worked off late one after the other."""
    seen = []

    def work(k):
        time.sleep(0.062 if k == 20 else 0.0002)

    found = run_periodic(work, MonotonicClock(), period_ns=10 * MS, count=45, on_overrun=on_overrun,
                         before=lambda k: seen.append(k))
    response, miss = found.response_ns() / MS, summarise(found, 10 * MS, 10 * MS)['miss']
    assert 61 < response.max() < 200
    assert (np.diff(found.release_ns) == 10 * MS).all(), 'releases are never re-based'
    assert miss['longest_run'] >= 6
    if on_overrun == 'skip':
        assert found.skipped[21:26].all()
        assert seen == found.completed.index.tolist()
    else:
        assert not found.skipped.any()
        assert (response[21:26] > 10).all(), 'they waited, and that is counted'
        assert seen == list(range(45))


def test_spinning_is_on_time_and_sleeping_is_never_early():
    for spin in (0, 300_000):
        clock = MonotonicClock(spin)
        for _ in range(5):
            deadline = clock.now_ns() + 2 * MS
            clock.sleep_until(deadline)
            assert clock.now_ns() >= deadline


def test_an_exception_leaves_the_stamps_so_far():
    columns = ([-1] * 10, [-1] * 10)

    def work(k):
        if k == 4:
            raise RuntimeError('enough')

    with pytest.raises(RuntimeError):
        run_periodic(work, MonotonicClock(), period_ns=MS, count=10, on_overrun='queue', columns=columns)
    assert [f != -1 for f in columns[1]] == [True] * 4 + [False] * 6
    assert columns[0][4] == -1, 'a tick that did not finish was not measured'


# Plan -----------------------------------------------------------------------------------------------------------------


@settings(max_examples=60)
@given(st.integers(1, 7), st.integers(1, 9), st.integers(0, 2**31), st.booleans())
def test_each_round_holds_each_backend_once_and_reversing_reverses(backends, rounds, seed, reverse):
    names = [f'b{k}' for k in range(backends)]
    found = order(names, rounds, seed, reverse=reverse)
    assert Counter(found) == {(r, n): 1 for r in range(rounds) for n in names}
    assert [r for r, _ in found] == sorted(r for r, _ in found)
    other = order(names, rounds, seed, reverse=not reverse)
    assert [n for _, n in other] == [n for _, n in reversed(found)]


def test_two_backends_alternate_abba_baab():
    sequences = {''.join(n for _, n in order(['A', 'B'], 4, seed)) for seed in range(20)}
    assert sequences == {'ABBABAAB', 'BAABABBA'}


def test_an_altered_profile_is_custom_and_never_published():
    assert profile('standard').published
    assert profile('standard', block_s=120.0) == PROFILES['standard']
    for altered in (profile('standard', block_s=60.0), profile('long', blocks=4)):
        assert (altered.name, altered.published) == ('custom', False)
    assert not profile('quick').published
    for block_s, blocks_ in ((0.5, None), (None, 0), (4000, None)):
        with pytest.raises(ConfigError, match='allowed'):
            profile('quick', block_s, blocks_)


def test_steady_means_agreement_within_two_percent_or_within_the_scatter():
    rng = np.random.default_rng(1)
    quiet = [np.sort(rng.normal(level, 0.001, 50)) for level in (1.0, 1.01, 1.005)]
    drifting = [np.sort(rng.normal(level, 0.001, 50)) for level in (1.2, 1.1, 1.0)]
    noisy = [np.sort(rng.normal(level, 0.3, 50)) for level in (1.0, 1.03, 1.0)]
    assert is_steady(quiet)
    assert is_steady([*drifting, *quiet])
    assert is_steady(noisy)
    assert not is_steady(drifting)
    assert not is_steady(quiet[:2])


# Workload -------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope='module')
def rung(tmp_path_factory):
    pytest.importorskip('onnx')
    pytest.importorskip('onnxruntime')
    from allegro_ai.workloads.ladder import write_workload
    return write_workload('L0', tmp_path_factory.mktemp('rungs') / 'L0', load_hand())


def test_the_hash_of_a_workload_covers_what_it_says(rung):
    same = section(workload(rung, 'L0'), rung)
    assert section(workload(rung, 'another name'), rung)['hash'] == same['hash']
    others = [workload(rung, 'L0', rate_hz=40.0), workload(rung, 'L0', deadline_ms=5.0),
              workload(rung, 'L0', on_overrun='queue')]
    assert len({section(w, rung)['hash'] for w in others} | {same['hash']}) == 4
    assert same['includes'] == {'preprocess': False, 'postprocess': False, 'ros_transport': False}
    for wrong in ({'rate_hz': 0.1}, {'deadline_ms': 0.0}, {'on_overrun': 'hope'}):
        with pytest.raises(ConfigError, match='allowed'):
            workload(rung, 'L0', **wrong)


def test_unknown_policies_and_backends_are_answered_with_what_there_is(capsys):
    assert main(['run', 'no_such_policy']) == 2
    assert 'L3b' in capsys.readouterr().err
    assert main(['run', '--backends', 'onnxrutime']) == 2
    assert 'onnxruntime' in capsys.readouterr().err
    with pytest.raises(UnknownName):
        engine('openvino/fp8')


# Runs -----------------------------------------------------------------------------------------------------------------


@pytest.fixture
def quick(monkeypatch):
    """Runs of seconds, in one process."""
    monkeypatch.setitem(profiles.PROFILES, 'quick', MINI)
    monkeypatch.setattr(blocks, 'Worker', Loopback)
    monkeypatch.setattr(run, 'Worker', Loopback)
    monkeypatch.setattr('allegro_bench.running.engines.REFERENCES', ('numpy/fp32', 'numpy/fp32'))


def bench(rung, folder, *more):
    return main(['run', str(rung.path), '--rate-hz', '200', '--backends', 'onnxruntime,numpy', '--meter', 'none',
                 '--quiet', '--output', str(folder), *more])


def test_a_whole_run_is_what_its_ticks_say(quick, rung, tmp_path, capsys):
    pytest.importorskip('jsonschema')
    code = bench(rung, tmp_path)
    said = capsys.readouterr().out
    found = results.load(tmp_path)
    assert code == (found['validity']['status'] == 'invalid')
    assert problems(found) == []
    assert [str(p) for p in verify(tmp_path)] == []
    kinds = Counter(b['kind'] for b in found['blocks'])
    assert kinds == {'reference': 2, 'null': 2, 'measure': 4, 'cache_distinct': 2, 'cache_repeated': 2}
    assert {b['kind'] for b in found['baselines']} == {'idle_before', 'idle_after', 'loaded_idle'}
    assert found['blocks'][0]['kind'] == found['blocks'][-1]['kind'] == 'reference'
    for entry in found['summary']:
        assert entry['response_ms']['p50']['value'] > entry['engine_ms']['p50']['value'] > 0
        assert entry['cpu_s_per_inference']['value'] > 0
        assert entry['energy'] == {}
        assert entry['carbon'] is None
    assert {b['name'] for b in found['backends']} == {'onnxruntime/fp32', 'numpy/fp32', NULL}
    assert all(len(b['cold']) == min(3, 2 + 2 * (b['name'] == 'numpy/fp32')) for b in found['backends'])
    assert 'not_for_publication' in said
    assert 'null backend' in said, 'the floor of the harness is told, or that it is not known'
    assert not (tmp_path / FILE).exists()
    assert bench(rung, tmp_path) == 2, 'a result is never overwritten'


def cut_short(monkeypatch, event):
    """Let ``event`` happen in the third block, 20 ticks in."""
    hear, seen = Loopback.hear, []

    def interrupted(self, patience_s, buffer=None):
        if buffer is not None:
            seen.append(buffer)
            if len(seen) == 3:
                while buffer.passed < 20:
                    time.sleep(0.001)
                event()
        return hear(self, patience_s, buffer)

    monkeypatch.setattr(Loopback, 'hear', interrupted)


def test_ctrl_c_within_a_block_keeps_everything(quick, rung, tmp_path, monkeypatch, capsys):
    def stop():
        raise KeyboardInterrupt

    cut_short(monkeypatch, stop)
    assert bench(rung, tmp_path) == 130
    found = results.load(tmp_path)
    assert found['validity']['status'] == 'invalid'
    assert 'interrupted' in {r['code'] for r in found['validity']['reasons']}
    assert len(found['blocks']) == 3
    last = found['blocks'][-1]
    assert last['error'] == 'interrupted'
    assert len(results.ticks_of(tmp_path, last)) >= 20
    assert found['run']['finished_utc'] is None


def test_a_full_disk_keeps_what_was_written(quick, rung, tmp_path, monkeypatch):
    saved, save = [], results.save_ticks

    def full(folder, name, *more):
        saved.append(name)
        if len(saved) == 4:
            raise ConfigError('cannot write') from OSError(errno.ENOSPC, 'No space left on device')
        return save(folder, name, *more)

    monkeypatch.setattr(blocks, 'save_ticks', full)
    assert bench(rung, tmp_path) == 1
    found = results.load(tmp_path)
    assert 'disk_full' in {r['code'] for r in found['validity']['reasons']}
    assert len(found['blocks']) == 3
    assert all(len(results.ticks_of(tmp_path, b)) for b in found['blocks'])


def test_the_space_of_a_run_is_taken_beforehand(tmp_path):
    reserve = Reserve(tmp_path, bytes_of([1000, 1000]))
    size = (tmp_path / FILE).stat().st_size
    reserve.shrink(1000)
    assert (tmp_path / FILE).stat().st_size < size - 40_000
    reserve.release()
    assert not (tmp_path / FILE).exists()
    with pytest.raises(ConfigError, match='needs'):
        Reserve(tmp_path, 2**62)
    assert list(tmp_path.iterdir()) == []
    error = ConfigError('x')
    error.__cause__ = OSError(errno.ENOSPC, 'full')
    assert disk_full(error)
    assert not disk_full(OSError(errno.EACCES, 'no'))


def test_the_shipped_policy_runs_as_it_is_deployed(quick, tmp_path):
    pytest.importorskip('onnxruntime')
    assert main(['run', '--rate-hz', '100', '--backends', 'onnxruntime', '--blocks', '1', '--quiet', '--output',
                 str(tmp_path)]) in (0, 1)
    found = results.load(tmp_path)
    assert found['workload']['includes']['preprocess']
    assert not {'held', 'failed', 'refused'} & {r['code'] for r in found['validity']['reasons']}
    entry, = found['summary']
    assert entry['service_ms']['p50']['value'] > entry['engine_ms']['p50']['value'], 'the loop costs more than the call'


def test_recorded_observations(quick, rung, tmp_path, capsys):
    rng = np.random.default_rng(3)
    path = tmp_path / 'seen.npz'
    np.savez(path, **{'input/observation': rng.standard_normal((40, 84)).astype(np.float32)})
    assert bench(rung, tmp_path / 'a', '--observations', str(path), '--blocks', '1') in (0, 1)
    found = results.load(tmp_path / 'a')
    assert found['workload']['source']['kind'] == 'bag'
    assert found['workload']['seeds'] == []
    np.savez(path, other=np.zeros(3))
    assert bench(rung, tmp_path / 'b', '--observations', str(path), '--blocks', '1') == 1
    assert 'holds no input/observation' in json.dumps(results.load(tmp_path / 'b')['validity'])


def test_a_bag_becomes_the_observations_of_each_tick(tmp_path):
    pytest.importorskip('mcap')
    bag = Path(__file__).parent / 'recordings' / 'held_box'
    model = load_hand()
    with np.load(observations_of(str(bag), model, 50.0, tmp_path)) as arrays:
        position, pressure, valid = arrays['position'], arrays['pressure'], arrays['valid']
    assert position.shape == (len(position), len(model.joints))
    assert pressure.shape == valid.shape == (len(position), len(model.taxels))
    assert len(position) > 50
    assert np.isfinite(position).all()
    assert np.isfinite(pressure).all()
    assert pressure.max() > 1000, 'the box is held'
    with pytest.raises(ConfigError, match='no such file'):
        observations_of(str(tmp_path / 'nothing'), model, 50.0, tmp_path)


def test_a_plan_says_what_it_would_do_and_measures_nothing(quick, rung, tmp_path, capsys):
    assert bench(rung, tmp_path / 'x', '--plan') == 0
    said = capsys.readouterr().out
    assert 'order' in said
    assert 'takes' in said
    assert not (tmp_path / 'x').exists()


def test_the_help_of_run_teaches(capsys):
    with pytest.raises(SystemExit):
        main(['run', '--help'])
    said = capsys.readouterr().out
    assert 'allegro-bench run L1b' in said
    assert 'exit codes' in said
