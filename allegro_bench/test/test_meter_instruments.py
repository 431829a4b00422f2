"""Instruments over the network and logs of instruments: values, clocks, holes, damage, and load to find a log by."""

import http.server
import json
import threading
from datetime import UTC, datetime

import numpy as np
import pytest
from allegro_bench.evidence import known_joules
from allegro_bench.evidence.fake_meters import FakeNvml
from allegro_bench.meters import log_commands
from allegro_bench.meters.external import ExternalMeter
from allegro_bench.meters.meter import window_joules
from allegro_bench.meters.power_log import CsvMeter, inject_load, read_log
from allegro_description.errors import ConfigError

from allegro_bench import cli


@pytest.fixture
def instrument():
    """A small server; ``answers[0]`` is (status, body)."""
    answers = [(200, json.dumps({'apower': 12.5, 'aenergy': {'total': 100.0}}))]

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            status, body = answers[0]
            self.send_response(status)
            self.end_headers()
            self.wfile.write(body.encode())

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(('127.0.0.1', 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={'poll_interval': 0.01})
    thread.start()
    yield answers, f'http://127.0.0.1:{server.server_port}/rpc/Switch.GetStatus?id=0'
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_plug_over_real_http(instrument):
    answers, url = instrument
    now = [0.0]
    meter = ExternalMeter(url, lambda: now[0])
    assert {c.id: c.boundary for c in meter.channels} == {'external/apower': 'wall', 'external/aenergy.total': 'wall'}
    before = meter.read()
    for second in range(1, 11):
        now[0] = float(second)
        answers[0] = (200, json.dumps({'apower': 12.5, 'aenergy': {'total': 100.0 + 12.5 * second / 3600.0}}))
        after = meter.read()
    assert window_joules(before['external/apower'], after['external/apower']) == pytest.approx(125.0)
    total = 'external/aenergy.total'
    assert window_joules(before[total], after[total]) == pytest.approx(125.0, abs=4)


@pytest.mark.parametrize(('answer', 'words'), [
    ((401, '{}'), 'password'), ((500, '{}'), 'no usable answer'), ((200, '<html>'), 'no usable answer'),
    ((200, '{"apower": NaN, "aenergy": {"total": 1}}'), 'no number'), ((200, '[1]'), 'has no apower'),
    ((200, '{"apower": "12", "aenergy": {"total": 1}}'), 'no number'), ((200, '{"apower": -3.0}'), 'outside'),
    ((200, '{"apower": true}'), 'no number'), ((200, '{"apower": 3.0}'), 'has no aenergy'),
])
def test_answers_that_are_no_power(instrument, answer, words):
    answers, url = instrument
    answers[0] = answer
    with pytest.raises(ConfigError, match=words):
        ExternalMeter(url)


def test_values_at_other_paths_and_another_boundary(instrument):
    answers, url = instrument
    answers[0] = (200, '{"out": {"w": 4.0}}')
    meter = ExternalMeter(f'dc_in={url}#power=out.w')
    assert [(c.id, c.boundary) for c in meter.channels] == [('external/out.w', 'dc_in')]
    for wrong in ('ftp://127.0.0.1/x', 'nonsense', f'{url}#watt=out.w'):
        with pytest.raises(ConfigError, match='allowed'):
            ExternalMeter(wrong)


def log_file(path, times, watts, header='time,power'):
    path.write_text('\n'.join([header, *(f'{t},{w}' for t, w in zip(times, watts, strict=True))]) + '\n')
    return path


def test_a_log_with_utc_stamps(tmp_path):
    utc = 1_700_000_000.0
    times = utc + np.arange(0.0, 60.0, 0.1)
    log = read_log(log_file(tmp_path / 'a.csv', times, np.full(len(times), 5.0))).on_utc(utc - 1000.0)
    assert log.between(1010.0, 1040.0) == pytest.approx(150.0)
    assert log.between(990.0, 1010.0) is None
    assert 'does not cover' in log.gap(990.0, 1010.0)
    stamped = log_file(tmp_path / 'b.csv', ['2026-01-31T10:00:00Z', '2026-01-31T11:00:01+01:00'], [4.0, 6.0])
    assert np.diff(read_log(stamped).time_s) == [1.0]
    now = [1010.0]
    meter = CsvMeter('wall=a.csv', lambda: now[0], log)
    before = meter.read()['csv/a']
    now[0] = 1040.0
    assert window_joules(before, meter.read()['csv/a']) == pytest.approx(150.0)
    now[0] = 2000.0
    late = meter.read()['csv/a']
    assert window_joules(before, late) is None
    assert 'does not cover' in late.problem


def test_a_log_on_a_clock_of_its_own_is_found_by_two_steps_of_load(tmp_path):
    """Offset 4711.3 s, 200 ppm fast, 20 Hz, noise; the joules of the run come out right."""
    steps, run = [(10.0, 15.0), (180.0, 185.0)], (30.0, 170.0)
    own = np.arange(4700.0, 4920.0, 0.05)
    real = (own - 4711.3) / 1.0002
    noise = np.random.default_rng(1).normal(0.0, 0.3, len(own))
    watts = 6.0 + 9.0 * ((real >= 10) & (real < 15) | (real >= 180) & (real < 185)) + 2.0 * (
        (real >= 30) & (real < 170) & (real % 10 < 4)) + noise
    log = read_log(log_file(tmp_path / 'own.csv', own, np.maximum(watts, 0.0)))
    assert log.clock == 'own'
    with pytest.raises(ConfigError, match='no UTC'):
        log.on_utc(0.0)
    aligned = log.on_steps(steps)
    known = 6.0 * 140.0 + 2.0 * 0.4 * 140.0
    assert aligned.between(*run) == pytest.approx(known, rel=0.005)
    assert np.interp(4711.3 + 1.0002 * 100.0, own, aligned.time_s) == pytest.approx(100.0, abs=0.1)
    with pytest.raises(ConfigError, match='more than once'):
        log.on_steps(steps[:1])
    half = read_log(log_file(tmp_path / 'half.csv', own[real < 175], np.maximum(watts, 0.0)[real < 175]))
    assert half.on_steps(steps[:1]).between(*run) == pytest.approx(known, rel=0.01)


def test_a_log_of_another_run_is_refused(tmp_path):
    own = np.arange(0.0, 220.0, 0.1)
    noise = 6.0 + np.random.default_rng(2).normal(0.0, 0.3, len(own))
    log = read_log(log_file(tmp_path / 'other.csv', own, noise))
    with pytest.raises(ConfigError, match='not clearly in the log'):
        log.on_steps([(10.0, 15.0), (180.0, 185.0)])


@pytest.mark.parametrize(('rows', 'words'), [
    ([(1, 5), (1, 5)], 'does not increase'), ([(1, 5), (2, -1)], 'allowed'), ([(1, 5), (2, 'x')], 'row 3'),
    ([(1, 5)], 'two rows'), ([('2026-01-31 10:00:00', 5), ('2026-01-31 10:00:01', 5)], 'time zone'),
    ([(1, 5), (2, 'nan')], 'allowed'),
])
def test_damaged_logs(tmp_path, rows, words):
    with pytest.raises(ConfigError, match=words):
        read_log(log_file(tmp_path / 'x.csv', *zip(*rows, strict=True)))


def test_a_hole_in_a_log_is_unknown(tmp_path):
    times = [*np.arange(0.0, 10.0, 0.5), *np.arange(20.0, 40.0, 0.5)]
    log = read_log(log_file(tmp_path / 'hole.csv', times, [1.0] * len(times)))
    assert log.between(5.0, 25.0) is None
    assert 'hole' in log.gap(5.0, 25.0)
    assert log.between(22.0, 30.0) == pytest.approx(8.0)


def test_a_log_is_attached_to_a_finished_run_and_verifies(tmp_path):
    run = known_joules.measured(FakeNvml, tmp_path, blocks=2)
    document = run['document']
    utc, offset = 1_700_000_000.0, 1_699_999_000.0
    for block in document['blocks']:
        stamp = datetime.fromtimestamp(block['t0_monotonic_ns'] * 1e-9 + offset, UTC)
        block['t0_utc'] = stamp.strftime('%Y-%m-%dT%H:%M:%S.%fZ')
    assert log_commands.utc_offset(document) == pytest.approx(offset, abs=1e-4)
    assert utc > offset
    times = offset + np.arange(0.0, 100.0, 0.05)
    watts = [40.0 + known_joules.LOAD.watts(t - offset) for t in times]
    log = read_log(log_file(tmp_path / 'plug.csv', times, watts)).on_utc(log_commands.utc_offset(document))
    name = log_commands.attach(document, log, f'wall={tmp_path / "plug.csv"}')
    meters = {m['id']: m for m in document['meters']}
    assert meters[name]['boundary'] == 'wall'
    assert set(meters[name]['overlaps']) == {'gpu0', 'gpu1'}
    assert name in meters['gpu0']['overlaps'], 'the plug counts the GPU too: never added'
    for block in document['blocks']:
        begin = block['t0_monotonic_ns'] * 1e-9
        known = 40.0 * 30.0 + known_joules.LOAD.joules(begin + 30.0) - known_joules.LOAD.joules(begin)
        assert block['energy_j'][name] == pytest.approx(known, rel=0.005)
        assert block['energy_j']['gpu0'] is not None
    with pytest.raises(ConfigError, match='already'):
        log_commands.attach(document, log, f'wall={tmp_path / "plug.csv"}')
    short = read_log(log_file(tmp_path / 'short.csv', times[:300], watts[:300])).on_utc(offset)
    other = log_commands.attach(document, short, f'wall={tmp_path / "short.csv"}')
    assert all(b['energy_j'][other] is None for b in document['blocks'])
    assert 'does not cover' in document['blocks'][0]['energy_problems'][other]


def test_loads_are_noted_one_after_the_other(tmp_path, monkeypatch, capsys):
    times = iter([(1.0, 6.0), (100.0, 105.0)])
    monkeypatch.setattr(log_commands, 'inject_load', lambda seconds: next(times))
    path = tmp_path / 'steps.json'
    for _ in range(2):
        assert cli.main(['inject-load', str(path)]) == 0
    assert log_commands.read_steps(path) == [(1.0, 6.0), (100.0, 105.0)]
    assert '2 loads' in capsys.readouterr().out
    path.write_text('{"a": 1}')
    assert cli.main(['inject-load', str(path)]) == 2
    assert cli.main(['attach-power', str(tmp_path), str(path), '--boundary', 'wall']) == 2
    assert 'result.json' in capsys.readouterr().err


def test_injected_load_lasts_as_long_as_asked():
    now = [5.0]

    def work():
        now[0] += 0.3

    assert inject_load(1.0, lambda: now[0], work) == (5.0, pytest.approx(6.2))
