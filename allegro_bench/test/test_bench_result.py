"""Result files: what is in them, that they fit their schema, and that they can be computed again."""

import json
import os

import numpy as np
import pytest
from allegro_bench.episodes import merge, tally, value_of
from allegro_bench.record import load_series, load_ticks
from allegro_bench.session import Session
from allegro_description.errors import ConfigError
from bench_session import MS, T0, T, feed, session
from hypothesis import given
from hypothesis import strategies as st

from allegro_bench import environment, result


@pytest.fixture(scope='module')
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp('run')
    card = environment.describe('rmw_test')
    found = result.build(feed(session()), card, card)
    result.write(folder, *found)
    return folder, found[0]


def test_known_numbers_come_out(run):
    _, found = run
    (entry,) = found['summary']
    assert found['workload']['control_rate_hz'] == pytest.approx(50.0)
    assert entry['backend'] == 'onnxruntime'
    assert entry['warmup']['n'] == 100
    block = found['blocks'][0]
    stalled = [k for k in range(3000) if k % 500 == 250 and 50 <= k % 360 < 300]
    assert block['n_late'] == len(stalled) > 0
    assert block['n_skipped'] == 15 * len(stalled)
    assert entry['miss']['longest_run'] == 16
    assert found['account']['unexplained'] == 0
    assert found['account']['pauses'] > 5
    assert 0.4 < entry['service_ms']['p50']['value'] < 1.2
    assert entry['service_ms']['p999']['value'] is None
    assert entry['service_ms']['p999']['needed'] == 3688
    assert entry['response_ms']['p50']['value'] > entry['service_ms']['p50']['value']
    assert 1.0 < entry['end_to_end_ms']['p50']['value'] < 9.0
    assert found['energy_source'] == {'name': 'none', 'reason': 'no RAPL counter here'}
    assert entry['energy'] == {}
    assert found['driver']['on_time_percent']['n'] >= 60
    assert found['driver']['loop_jitter_p99_us']['max'] == pytest.approx(240, abs=1)
    assert found['policy']['repeated']['last'] == 3
    assert '12345678' not in json.dumps(found), 'serial numbers are not stored'
    assert found['episodes']['n'] == 8
    assert found['episodes']['held'] == 7
    assert found['workload']['policy']['policy'] == 'tactile_hold'


def test_it_fits_its_schema_and_the_schema_refuses_others(run):
    _, found = run
    result.validate(found)
    for wrong in ({'extra': 1}, {'summary': [{'backend': 'x'}]}, {'schema': {'name': 'other', 'version': 1}},
                  {'validity': {'status': 'perfect', 'reasons': []}}):
        with pytest.raises(ConfigError, match='schema at'):
            result.validate({**found, **wrong})
    bare = json.loads(json.dumps(found))
    bare['summary'][0]['response_ms']['p50']['lo'] = None
    with pytest.raises(ConfigError, match='p50'):
        result.validate(bare)


def test_verify_computes_the_same_numbers(run):
    folder, found = run
    assert result.verify(folder) == []
    assert result.load(folder) == found


@pytest.mark.parametrize(('path', 'value'), [
    (('summary', 0, 'response_ms', 'p99', 'value'), 1.0),
    (('summary', 0, 'miss', 'missed'), 0),
    (('blocks', 0, 'n_skipped'), 0),
    (('nodes', 0, 'cpu_percent_mean'), 0.0),
    (('episodes', 'held'), 8),
])
def test_verify_finds_a_number_that_was_touched(run, tmp_path, path, value):
    folder, found = run
    changed = json.loads(json.dumps(found))
    place = changed
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    for name in ('ticks.npz', 'series.npz'):
        (tmp_path / name).write_bytes((folder / name).read_bytes())
    (tmp_path / 'result.json').write_text(json.dumps(changed))
    problems = result.verify(tmp_path)
    assert any('/'.join(str(p) for p in path) in p for p in problems), problems


def test_verify_finds_other_ticks(run, tmp_path):
    folder, _ = run
    for name in ('result.json', 'series.npz'):
        (tmp_path / name).write_bytes((folder / name).read_bytes())
    ticks = load_ticks(folder)
    ticks.done[500:510, 3] += 200 * MS
    ticks.save(tmp_path)
    problems = result.verify(tmp_path)
    assert any('SHA-256' in p for p in problems)
    assert any('response_ms' in p for p in problems)


@pytest.mark.parametrize('damage', ['missing', 'empty', 'text', 'cut', 'foreign'])
def test_damaged_files_are_one_sentence(run, tmp_path, damage):
    folder, _ = run
    (tmp_path / 'result.json').write_bytes((folder / 'result.json').read_bytes())
    (tmp_path / 'series.npz').write_bytes((folder / 'series.npz').read_bytes())
    whole = (folder / 'ticks.npz').read_bytes()
    content = {'empty': b'', 'text': b'hello', 'cut': whole[: len(whole) // 2]}.get(damage)
    if content is not None:
        (tmp_path / 'ticks.npz').write_bytes(content)
    if damage == 'foreign':
        np.savez(tmp_path / 'ticks.npz', other=np.zeros(3))
    with pytest.raises(ConfigError, match=r'ticks\.npz'):
        result.verify(tmp_path)


def test_no_result_is_one_sentence(tmp_path):
    with pytest.raises(ConfigError, match='inference_profiler'):
        result.load(tmp_path)
    (tmp_path / 'result.json').write_text('{"schema": {"name": "x", "version": 9}}')
    with pytest.raises(ConfigError, match='reads'):
        result.load(tmp_path)


def test_an_empty_run_is_invalid_and_still_writes(tmp_path):
    card = environment.describe()
    found = result.build(session(), card, card)
    result.write(tmp_path, *found)
    assert found[0]['validity']['status'] == 'invalid'
    assert {r['code'] for r in found[0]['validity']['reasons']} >= {'no_inference'}
    result.validate(found[0])
    assert result.verify(tmp_path) == []


def test_changed_governor_makes_a_run_invalid():
    before = environment.describe()
    after = {**before, 'cpu': {**before['cpu'], 'governor': 'other'}}
    found, *_ = result.build(feed(session(), 10.0), before, after)
    assert found['validity']['status'] == 'invalid'
    assert any(r['where'] == 'cpu.governor' for r in found['validity']['reasons'])


def test_a_policy_that_held_is_a_reservation():
    made = feed(session(), 10.0)
    for k in range(3):
        made.status('grasp_policy: status', T0 + k, {'hold_reason': 'joint states are 61 ms old'})
    card = environment.describe()
    found, *_ = result.build(made, card, card)
    (one,) = (r for r in found['validity']['reasons'] if r['code'] == 'policy_held')
    assert one['detail'].count('61 ms old') == 1


def test_without_release_stamps_no_response_is_claimed():
    made = session()
    for k in range(100):
        made.inference(T0 + k * T, T0 + k * T + MS, 'x')
    card = environment.describe()
    found, *_ = result.build(made, card, card)
    assert found['summary'] == []
    assert any(r['code'] == 'no_release' for r in found['validity']['reasons'])


@given(st.permutations(range(12)), st.sets(st.integers(0, 9), max_size=4))
def test_halves_join_in_any_order_and_losses_are_counted(order, lost):
    made = session_light()
    for i in order:
        k, half = divmod(i, 2)
        finish = T0 + k * T + MS
        if half == 0 and i not in lost:
            made.inference(T0 + k * T + 1000, finish, 'x')
        elif half == 1 and i not in lost:
            made.release(T0 + k * T, finish, str(k))
    complete = sum(not {2 * k, 2 * k + 1} & lost for k in range(6))
    assert len(made.ticks().done) == complete


_LIGHT = session()


def session_light():
    return Session(_LIGHT.config, _LIGHT.model, _LIGHT.meter, T0)


def test_impossible_stamps_are_refused_and_counted():
    made = session_light()
    made.inference(T0 + 5 * MS, T0 + 4 * MS, 'x')
    made.release(T0, T0 + 4 * MS, '0')
    made.release(T0, T0 + 9 * MS, 'seven')
    assert made.counts['refused'] == 2
    assert len(made.ticks().done) == 0


def test_end_to_end_leaves_out_commands_without_inference():
    made = session_light()
    for k in range(10):
        release = T0 + k * T
        if k < 5:  # a ramp: targets without inference
            made.command(release - MS, release + MS)
            continue
        made.inference(release, release + MS, 'x')
        made.release(release, release + MS, str(k))
        made.command(release - 3 * MS, release + 2 * MS)
        made.command(release - 3 * MS, release + 3 * MS)  # a repeated one
    ages, rows = made.ticks().command_ages()
    assert ages.tolist() == [5 * MS] * 5
    assert rows.tolist() == [0, 1, 2, 3, 4]


def test_series_survive_the_disk(run):
    folder, _ = run
    series = load_series(folder)
    assert series.arrays['torque'].shape[1] == 17
    assert series.arrays['pressure'].shape[1] == 5
    assert 'hand_driver: status/on_time_percent' in series.group('diagnostics')


def test_cpu_of_this_process_is_measured_here():
    made = session()
    import time
    began = time.process_time()
    pid = os.getpid()
    base = time.monotonic_ns()
    made.status('me: status', T0, {'pid': str(pid), 'cpu_s': f'{time.process_time():.3f}'})
    while time.process_time() - began < 0.3:
        sum(i * i for i in range(1000))
        made.second(T0 + time.monotonic_ns() - base)
    process = made.processes.of('me')
    assert process.source == 'proc'
    assert 0.15 < process.cpu_s[-1] - process.cpu_s[0] < 0.6


def test_a_foreign_pid_is_not_mistaken_for_one_of_ours():
    made = session_light()
    made.processes._all.clear()
    made.status('far: status', T0, {'pid': '1', 'cpu_s': '98765.4'})
    assert made.processes.of('far').source == 'reported'
    assert made.processes.of('far').cpu_s[-1] == 98765.4


@pytest.mark.parametrize(('text', 'value'), [('true', True), ('False', False), ('12', 12), ('1.5', 1.5), ('none', None),
                                             ('nan', None), ('inf', None), ('box', 'box'), ('', None), ('1e400', None)])
def test_values_of_diagnostics(text, value):
    assert value_of(text) == value
    assert type(value_of(text)) is type(value)


def test_episodes_are_merged_from_events():
    events = [
        {'event': 'finished', 'time_s': 0.5, 'index': 7, 'held': True},
        {'event': 'started', 'time_s': 1.0, 'index': 8, 'shape': 'box'},
        {'event': 'dropped', 'time_s': 3.0, 'index': 8, 'held': False, 'dropped_at_s': 2.0},
        {'event': 'started', 'time_s': 8.0, 'index': 9, 'shape': 'box'},
        {'event': 'finished', 'time_s': 14.0, 'index': 9, 'held': False, 'success': False},
        {'event': 'started', 'time_s': 15.0, 'index': 10},
        {'event': 'started', 'time_s': 16.0, 'index': 11},
    ]
    rows = merge(events)
    assert [r['outcome'] for r in rows] == ['held', 'dropped', 'lost', 'stopped', 'running']
    assert rows[0]['start_s'] is None
    assert rows[3]['end_s'] == 16.0
    assert rows[1]['end_s'] == 3.0
    assert rows[1]['shape'] == 'box'
    counts = tally(rows)
    assert (counts['n'], counts['held'], counts['success']) == (3, 1, 0)
