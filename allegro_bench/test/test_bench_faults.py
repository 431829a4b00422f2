"""Backends that lie, remember, crash, hang, leak, are late or answer NaN; clocks that jump: each has its own reason."""

import dataclasses
import os
from pathlib import Path

import numpy as np
import pytest
from allegro_bench.energy import EnergyRecorder
from allegro_bench.meters.none import NoMeter
from allegro_bench.results.document import damage, ticks_of
from allegro_bench.running import blocks, gauges, worker
from allegro_bench.running.blocks import Bench
from allegro_bench.running.engines import Engine, engine
from allegro_bench.running.profiles import PROFILES
from allegro_bench.running.stamps import StampBuffer
from allegro_bench.running.worker import WorkerLost
from allegro_bench.running.workload import workload
from allegro_description.model import load_hand
from bench_loopback import Loopback

pytest.importorskip('onnx')
pytest.importorskip('onnxruntime')

HERE = str(Path(__file__).parent)
PERIOD_MS = 5
TICKS = 60
PROFILE = dataclasses.replace(PROFILES['quick'], blocks=1, block_s=TICKS * PERIOD_MS / 1e3, warm_ticks=50, warm_s=0.0,
                              warm_cap_s=0.0, idle_s=0.0, loaded_idle_s=0.0, cache_calls=100)


@pytest.fixture(scope='module')
def rung(tmp_path_factory):
    from allegro_ai.workloads.ladder import write_workload
    return write_workload('L0', tmp_path_factory.mktemp('ladder') / 'L0', load_hand())


@pytest.fixture
def bench(rung, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(HERE)
    monkeypatch.setenv('PYTHONPATH', HERE)
    # Queued, so that every tick is a call, whatever else this machine does.
    chosen = workload(rung, 'L0', rate_hz=1e3 / PERIOD_MS, on_overrun='queue')
    return Bench(tmp_path, chosen, PROFILE, EnergyRecorder([NoMeter()]))


def measured(bench, name, *, cache=False):
    opened = bench.open(engine(f'bench_engines:{name}'), [TICKS, 100, 100])
    try:
        assert bench.warm(opened, 11)['ticks'] == 50
        block = bench.measure(opened, opened.buffers[0], 'measure', 11)
        if cache:
            bench.cache_test(opened, *opened.buffers[1:], 11, 5.0)
    finally:
        opened.close()
    return block


def codes(bench):
    return {reason['code'] for reason in bench.found}


@pytest.mark.parametrize(('name', 'code'), [
    ('Raising', 'failed'), ('NotANumber', 'not_a_number'), ('Lying', 'wrong_answers'), ('Late', 'too_slow'),
    ('Leaking', 'leaks_memory'),
])
def test_a_backend_that_turns_bad_within_a_block_is_named_and_its_ticks_are_kept(bench, monkeypatch, name, code):
    monkeypatch.setattr(blocks, 'Worker', Loopback)
    if name == 'Late':  # from the first tick of the block on
        import bench_engines
        monkeypatch.setattr(bench_engines, 'TURN', bench_engines.LOADING + 50)
    block = measured(bench, name)
    assert code in codes(bench), bench.found
    ticks = ticks_of(bench.folder, block)
    assert not damage(ticks)
    assert block['n_completed'] >= 15
    assert (block['error'] == 'failed') == (name == 'Raising')
    if name == 'Raising':
        assert len(ticks) == 30, 'the ticks before it, and none after'


def test_an_honest_backend_gets_no_reason(bench, monkeypatch):
    monkeypatch.setattr(blocks, 'Worker', Loopback)
    block = measured(bench, 'Honest', cache=True)
    assert codes(bench) <= {'too_slow'}  # of a machine that stands still for a third of a second
    assert block['answers']['checked'] == 32
    assert block['answers']['worst'] <= block['answers']['allowed']
    assert [b['kind'] for b in bench.blocks] == ['measure', 'cache_distinct', 'cache_repeated']


def test_a_backend_that_remembers_is_caught_by_the_cache_test(bench, monkeypatch):
    monkeypatch.setattr(blocks, 'Worker', Loopback)
    measured(bench, 'Caching', cache=True)
    assert 'cached' in codes(bench)


@pytest.mark.parametrize(('name', 'words'), [('Wrong', 'golden'), ('Unloadable', 'libengine')])
def test_a_backend_that_fails_when_loaded_never_begins(bench, monkeypatch, name, words):
    monkeypatch.setattr(blocks, 'Worker', Loopback)
    with pytest.raises(WorkerLost, match=words) as lost:
        measured(bench, name)
    assert lost.value.code in ('refused', 'failed')
    assert bench.blocks == []


@pytest.mark.parametrize(('name', 'code', 'words'), [
    ('Crashing', 'crashed', 'exited with code 3; its last words: out of coffee'),
    ('Killed', 'crashed', 'SIGSEGV'), ('Hanging', 'hung', 'did not answer')])
def test_a_process_that_is_lost_leaves_its_ticks(bench, monkeypatch, name, code, words):
    monkeypatch.setattr(worker, 'STALL_S', 0.5)
    monkeypatch.setattr(worker, 'LOOK_S', 0.1)
    with pytest.raises(WorkerLost, match=words) as lost:
        measured(bench, name)
    assert lost.value.code == code
    block, = bench.blocks
    assert block['error'] == code
    assert code in codes(bench)
    ticks = ticks_of(bench.folder, block)
    assert not damage(ticks)
    assert len(ticks) == block['n_completed'] == 30


def test_clocks_that_jump_are_named(bench, monkeypatch):
    monkeypatch.setattr(blocks, 'Worker', Loopback)
    readings = iter([{'realtime': 0, 'boottime': 0}, {'realtime': -3_600_000_000_000, 'boottime': 9_000_000_000}])
    monkeypatch.setattr('allegro_bench.running.bench.clock_offsets', lambda: next(readings))
    measured(bench, 'Honest')
    assert {'clock_stepped', 'machine_slept'} <= codes(bench)


def test_real_clocks_do_not_jump_between_two_readings():
    first, second = gauges.clock_offsets(), gauges.clock_offsets()
    assert abs(first['boottime'] - second['boottime']) < 50_000_000
    assert set(first) == {'realtime', 'boottime'}


def test_stamps_survive_and_count_only_what_was_passed():
    buffer = StampBuffer.create(10)
    buffer.begin(1000, 100)
    for k in (0, 1, 4):
        buffer.start[k], buffer.finish[k] = 1000 + 100 * k + 1, 1000 + 100 * k + 30
        buffer.engine_start[k], buffer.engine_finish[k] = 5, 12
        buffer.head[3] = k + 1
    buffer.start[5] = 1501  # begun, and the process died
    other = StampBuffer.attach(os.dup(buffer.descriptor))
    ticks = other.ticks()
    assert len(ticks) == 5
    assert np.flatnonzero(ticks.skipped).tolist() == [2, 3]
    assert other.engine_ns().tolist() == [7, 7, -1, -1, 7]
    assert not damage(ticks)
    other.close()
    buffer.close()


def test_names_of_engines():
    assert engine('openvino/bf16') == Engine('openvino', 'bf16')
    assert engine('null').name == 'null'
    assert engine('bench_engines:Honest').name == 'bench_engines:Honest/fp32'
