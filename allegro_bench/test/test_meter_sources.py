"""What is particular to single energy sources: names, boundaries, permissions, refusals, processes, real calls."""

import http.server
import json
import os
import shutil
import subprocess
import sys
import sysconfig
import threading
import time
import venv
from datetime import UTC, datetime

import numpy as np
import pytest
from allegro_bench.evidence import known_joules
from allegro_bench.evidence.fake_meters import FakeNvml, FakePerf
from allegro_bench.evidence.fake_source import Load, Stage
from allegro_bench.evidence.fake_sysfs import FakeBattery, FakeIna3221, FakeOrinAgx
from allegro_bench.meters import METERS, log_commands
from allegro_bench.meters.estimate import EstimateMeter
from allegro_bench.meters.external import ExternalMeter
from allegro_bench.meters.hwmon import HwmonMeter
from allegro_bench.meters.meter import headline, window_joules
from allegro_bench.meters.nvml import NvmlMeter
from allegro_bench.meters.opening import open_meters
from allegro_bench.meters.perf import PerfMeter, open_event, read_event
from allegro_bench.meters.power_log import CsvMeter, inject_load, read_log
from allegro_bench.meters.power_supply import PowerSupplyMeter
from allegro_bench.meters.powercap import PowercapMeter
from allegro_bench.meters.zeus import ZeusMeter
from allegro_description.errors import AllegroError, ConfigError, UnknownName
from allegro_description.share import share_dir

from allegro_bench import cli


def tree(root, values):
    for path, value in values.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(f'{value}\n')
    return root


# Processor -----------------------------------------------------------------------------------------------------------


def test_powercap_of_amd_has_the_same_names(tmp_path):
    """AMD appears under intel-rapl too, with 2**-16 J steps: it wraps after 65 kJ and is read four times as often."""
    folder = 'class/powercap/intel-rapl:0'
    tree(tmp_path, {f'{folder}/name': 'package-0', f'{folder}/max_energy_range_uj': 65_532_610_987,
                    f'{folder}/energy_uj': 5, f'{folder}:0/name': 'core',
                    f'{folder}:0/max_energy_range_uj': 65_532_610_987, f'{folder}:0/energy_uj': 5})
    meter = PowercapMeter(tmp_path)
    assert headline(meter.channels) == ('package-0',)
    assert meter.guard_s == pytest.approx(16.4, abs=0.1)


@pytest.mark.parametrize('wrap', ['0', '-5', 'no number'])
def test_powercap_with_a_range_that_is_none(tmp_path, wrap):
    folder = 'class/powercap/intel-rapl:0'
    tree(tmp_path, {f'{folder}/name': 'package-0', f'{folder}/max_energy_range_uj': wrap, f'{folder}/energy_uj': 5})
    with pytest.raises(ConfigError, match='intel-rapl:0'):
        PowercapMeter(tmp_path)


def test_perf_opens_real_events():
    """The system call itself, on a counter that every kernel has: the CPU clock of one CPU, in ns."""
    software, cpu_clock = 1, 0
    try:
        descriptor = open_event(software, cpu_clock, 0)
    except PermissionError:
        pytest.skip('this user may not count for the whole machine')
    try:
        first, begin = read_event(descriptor), time.monotonic()
        time.sleep(0.05)
        counted, passed = read_event(descriptor) - first, time.monotonic() - begin
    finally:
        os.close(descriptor)
    assert counted * 1e-9 == pytest.approx(passed, rel=0.5)


def test_perf_without_permission_names_the_remedy(tmp_path):
    fake = FakePerf(tmp_path, lambda: 0.0)
    fake.open().close()

    def refuse(*_):
        raise PermissionError(13, 'Permission denied')

    with pytest.raises(ConfigError, match='CAP_PERFMON') as found:
        PerfMeter(tmp_path, opener=refuse)
    assert 'perf_event_paranoid' in str(found.value)


def test_perf_of_two_packages_and_another_unit(tmp_path):
    pmu = 'bus/event_source/devices/power'
    tree(tmp_path, {f'{pmu}/type': 20, f'{pmu}/cpumask': '0,8', f'{pmu}/events/energy-pkg': 'event=0x02',
                    f'{pmu}/events/energy-pkg.scale': '2.3283064365386962890625e-10',
                    f'{pmu}/events/energy-pkg.unit': 'Joules',
                    'devices/system/cpu/cpu8/topology/physical_package_id': 1})
    opened = []

    def opener(kind, config, cpu):
        opened.append((kind, config, cpu))
        return os.open(os.devnull, os.O_RDONLY)

    meter = PerfMeter(tmp_path, opener=opener, reader=lambda _: 7)
    assert opened == [(20, 2, 0), (20, 2, 8)]
    assert headline(meter.channels) == ('perf:package-0', 'perf:package-1')
    meter.close()
    (tmp_path / pmu / 'events/energy-pkg.unit').write_text('Watts\n')
    with pytest.raises(ConfigError, match='Watts'):
        PerfMeter(tmp_path, opener=opener, reader=lambda _: 7)


# GPUs ----------------------------------------------------------------------------------------------------------------


def test_every_gpu_has_its_own_counter_and_they_may_be_added(tmp_path):
    stage = Stage(FakeNvml, tmp_path)
    assert headline(stage.channels) == ('gpu0', 'gpu1')
    before = stage.read()
    stage.run(35.0)
    after = stage.read()
    joules = [window_joules(before[g], after[g]) for g in ('gpu0', 'gpu1')]
    assert joules[1] == pytest.approx(joules[0] / 2, rel=0.01)


def test_a_split_gpu_is_refused(tmp_path):
    fake = FakeNvml(tmp_path, lambda: 0.0)
    fake.split = True
    with pytest.raises(ConfigError, match='MIG'):
        fake.open()


def test_power_of_a_gpu_is_read_only_where_it_has_no_counter(tmp_path):
    fake = FakeNvml(tmp_path, lambda: 0.0)
    fake.show(10.0, 50.0)
    assert {c.kind for c in fake.open().channels} == {'counter'}
    fake.counter = False
    meter = fake.open()
    assert {c.kind for c in meter.channels} == {'sampled'}
    assert meter.guard_s == 0.1


STUB = r"""
#include <time.h>
#include <string.h>
/* A board of 50 W whose counter steps every 100 ms. */
static int ok(void) { return 0; }
int nvmlInit_v2(void) { return ok(); }
int nvmlInitWithFlags(unsigned f) { return ok(); }
int nvmlShutdown(void) { return ok(); }
int nvmlDeviceGetCount_v2(unsigned *n) { *n = 1; return 0; }
int nvmlDeviceGetHandleByIndex_v2(unsigned i, void **d) { *d = (void *)1; return i == 0 ? 0 : 2; }
int nvmlDeviceGetName(void *d, char *name, unsigned n) { strncpy(name, "Stub GPU", n); return 0; }
int nvmlDeviceGetMigMode(void *d, unsigned *now, unsigned *next) { return 3; }
int nvmlDeviceGetPowerManagementLimit(void *d, unsigned *mw) { *mw = 300000; return 0; }
int nvmlDeviceGetTotalEnergyConsumption(void *d, unsigned long long *mj) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    unsigned long long ms = t.tv_sec * 1000ULL + t.tv_nsec / 1000000ULL;
    *mj = ms / 100 * 100 * 50;
    return 0;
}
const char *nvmlErrorString(int code) { return code == 3 ? "Not Supported" : "stub"; }
"""


def stub_library(folder):
    compiler = sysconfig.get_config_var('CC').split()[0]
    (folder / 'stub.c').write_text(STUB)
    done = subprocess.run([compiler, '-shared', '-fPIC', '-o', folder / 'libnvidia-ml.so.1', folder / 'stub.c'],
                          check=False, capture_output=True)
    return done.returncode == 0


def test_nvidias_own_library_loads_a_compiled_stub(tmp_path):
    """The real binding, a stub of the driver's library below it: names and types of the calls are right."""
    pytest.importorskip('pynvml', reason='nvidia-ml-py is not installed')
    try:
        built = stub_library(tmp_path)
    except OSError:
        built = False
    if not built:
        pytest.skip('no C compiler')
    code = ('import json, time\nfrom allegro_bench.energy import EnergyRecorder\n'
            'from allegro_bench.meters.nvml import NvmlMeter\n'
            'with EnergyRecorder([NvmlMeter()]) as recorder:\n'
            '    before = recorder.mark(); time.sleep(1.0); found = recorder.window(before, recorder.mark())\n'
            'print(json.dumps(found.as_block()))')
    done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, check=False,
                          env={**os.environ, 'LD_LIBRARY_PATH': str(tmp_path)})
    assert done.returncode == 0, done.stderr
    block = json.loads(done.stdout)
    assert block['energy_problems'] == {}
    assert block['energy_j']['gpu0'] == pytest.approx(50.0 * block['energy_window_s'], abs=5.1), 'one step of 100 ms'


def test_without_the_binding_the_pip_command_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, 'pynvml', None)
    with pytest.raises(AllegroError, match='pip install'):
        NvmlMeter()


# Boards --------------------------------------------------------------------------------------------------------------


def test_rails_of_an_orin_nx_lie_inside_its_total(tmp_path):
    stage = Stage(FakeIna3221, tmp_path)
    channels = {c.id: c for c in stage.channels}
    assert headline(stage.channels) == ('ina3221/VDD_IN',)
    assert set(channels['ina3221/VDD_IN'].overlaps) == {'ina3221/VDD_CPU_GPU_CV', 'ina3221/VDD_SOC'}
    assert {c.boundary for c in stage.channels} == {'soc_module'}


def test_without_a_total_rail_the_sum_counts_nothing_twice(tmp_path):
    chip = 'bus/i2c/drivers/ina3221/1-0041/hwmon/hwmon4'
    tree(tmp_path, {f'{chip}/in1_label': 'NC', f'{chip}/in1_input': 0, f'{chip}/curr1_input': 0,
                    f'{chip}/in2_label': 'VDDQ_VDD2_1V8AO', f'{chip}/in2_input': 5000, f'{chip}/curr2_input': 200})
    stage = Stage(FakeOrinAgx, tmp_path, Load(10.0, 0.0))
    names = {c.id.partition('/')[2] for c in stage.channels}
    assert names == {'module', 'VDD_GPU_SOC', 'VDD_CPU_CV', 'VIN_SYS_5V0', 'VDDQ_VDD2_1V8AO'}
    before = stage.read()
    stage.run(10.0)
    after = stage.read()
    assert window_joules(before['ina3221/module'], after['ina3221/module']) == pytest.approx(100.0, rel=0.002)
    inside = next(c for c in stage.channels if c.id.endswith('1V8AO'))
    assert 'ina3221/VIN_SYS_5V0' in inside.overlaps


def test_a_rail_that_nobody_knows_is_added_to_nothing(tmp_path):
    chip = 'bus/i2c/drivers/ina3221/1-0043/hwmon/hwmon9'
    tree(tmp_path, {f'{chip}/in1_label': 'VDD_NEW', f'{chip}/in1_input': 5000, f'{chip}/curr1_input': 200})
    stage = Stage(FakeOrinAgx, tmp_path)
    found = next(c for c in stage.channels if c.id == 'ina3221/VDD_NEW')
    assert len(found.overlaps) == len(stage.channels) - 1


def hwmon(root, number, name, **files):
    tree(root, {f'class/hwmon/hwmon{number}/{file}': value for file, value in {'name': name, **files}.items()})


def test_hwmon_is_chosen_by_name_and_label_never_by_number(tmp_path):
    for number, root in ((2, tmp_path / 'a'), (7, tmp_path / 'b')):
        hwmon(root, number, 'ina226', power1_input=3_000_000, power1_label='vbus')
        hwmon(root, number + 1, 'amdgpu', power1_average=9_000_000, power1_label='PPT', power1_input=9_100_000)
        hwmon(root, number + 2, 'k10temp', temp1_input=40000)
        meter = HwmonMeter('', root)
        assert [c.id for c in meter.channels] == ['amdgpu/PPT', 'ina226/vbus']
        assert {c.boundary for c in meter.channels} == {'unknown'}, 'on an APU, PPT includes the cores'
    chosen = HwmonMeter('dc_in=ina226/vbus', tmp_path / 'b')
    assert [(c.id, c.boundary) for c in chosen.channels] == [('ina226/vbus', 'dc_in')]
    with pytest.raises(UnknownName, match='ina226/vbus'):
        HwmonMeter('ina226/vbuss', tmp_path / 'b')


def test_two_chips_of_one_name_are_told_apart_by_their_device(tmp_path):
    for number, device in ((0, '1-0040'), (1, '1-0045')):
        hwmon(tmp_path, number, 'ina226', power1_input=1_000_000)
        where = tmp_path / 'devices' / device
        where.mkdir(parents=True)
        (tmp_path / f'class/hwmon/hwmon{number}/device').symlink_to(where)
    assert {c.id for c in HwmonMeter('', tmp_path).channels} == {'ina226/power1@1-0040', 'ina226/power1@1-0045'}


def test_a_battery_under_hwmon_is_left_to_power_supply(tmp_path):
    hwmon(tmp_path, 0, 'BAT0', power1_input=1_000_000)
    where = tmp_path / 'devices' / 'power_supply' / 'BAT0'
    where.mkdir(parents=True)
    (tmp_path / 'class/hwmon/hwmon0/device').symlink_to(where)
    with pytest.raises(ConfigError, match='nothing under'):
        HwmonMeter('', tmp_path)


def test_a_battery_counts_only_while_it_discharges(tmp_path):
    stage = Stage(FakeBattery, tmp_path)
    before = stage.read()['battery/BAT0']
    stage.run(10.0)
    stage.fake.write(f'{FakeBattery.folder}/status', 'Charging')
    stage.run(2.0)
    after = stage.read()['battery/BAT0']
    assert window_joules(before, after) is None
    assert 'charging' in after.problem
    with pytest.raises(ConfigError, match='charging'):
        PowerSupplyMeter(tmp_path)
    stage.fake.write(f'{FakeBattery.folder}/status', 'Full')
    with pytest.raises(ConfigError, match='pull the plug'):
        PowerSupplyMeter(tmp_path)


# Instruments ---------------------------------------------------------------------------------------------------------


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


# Other processes and models ------------------------------------------------------------------------------------------


ZEUS = '''
import time
class Gpus:
    def __len__(self): return 2
    def get_total_energy_consumption(self, i): return int((time.monotonic() * 30e3) * (i + 1))
def get_gpus(): return Gpus()
'''


def test_zeus_lives_in_an_environment_of_its_own(tmp_path):
    venv.create(tmp_path / 'env', with_pip=False, symlinks=True)
    python = tmp_path / 'env' / 'bin' / 'python'
    with pytest.raises(ConfigError, match='pip install zeus'):
        ZeusMeter(str(python))
    site = next((tmp_path / 'env' / 'lib').glob('python*')) / 'site-packages'
    tree(site, {'zeus/__init__.py': '', 'zeus/device.py': ZEUS})
    meter = ZeusMeter(str(python))
    try:
        before = meter.read()
        time.sleep(0.2)
        after = meter.read()
        assert set(after) == {'zeus/gpu0', 'zeus/gpu1'}
        seconds = (after['zeus/gpu0'].t_ns - before['zeus/gpu0'].t_ns) * 1e-9
        assert window_joules(before['zeus/gpu0'], after['zeus/gpu0']) == pytest.approx(30.0 * seconds, rel=0.2)
        assert 'zeus' not in sys.modules
        meter._process.kill()
        meter._process.wait()
        lost = meter.read()['zeus/gpu0']
        assert window_joules(after['zeus/gpu0'], lost) is None
        assert 'Zeus process' in lost.problem
    finally:
        meter.close()


@pytest.mark.parametrize('words', ['', 'x', '-3', '0', '1e9', 'nan'])
def test_an_estimate_needs_a_number_from_the_user(words):
    with pytest.raises(ConfigError, match='watts per busy core'):
        EstimateMeter(words)


def test_an_estimate_is_labelled_and_never_automatic():
    meter, = open_meters('estimate:4')
    assert [(c.quality, c.kind, c.boundary) for c in meter.channels] == [('estimated', 'model', 'unknown')]
    assert '4 W per busy core' in meter.channels[0].path_or_device
    for found in open_meters('auto'):
        assert not {c.quality for c in found.channels} & {'estimated'}


# Opening and permission ----------------------------------------------------------------------------------------------


def test_auto_takes_every_source_once(monkeypatch, tmp_path):
    class Works:
        channels, reason, guard_s = (), '', 1.0

        def close(self):
            pass

    opened = []
    real = METERS.load

    def load(name):
        kind = real(name) if name in ('external', 'csv', 'zeus', 'estimate', 'none') else Works
        opened.append(name)
        return kind

    monkeypatch.setattr(METERS, 'load', load)
    assert len(open_meters('auto')) == 5
    assert 'perf' not in opened, 'the same counters as powercap'


def test_what_was_opened_is_closed_when_the_next_fails(monkeypatch):
    closed = []

    class Works:
        channels, reason, guard_s = (), '', 1.0

        def close(self):
            closed.append(1)

    real = METERS.load
    monkeypatch.setattr(METERS, 'load', lambda name: Works if name == 'perf' else real(name))
    with pytest.raises(ConfigError):
        open_meters('perf,estimate')
    assert closed == [1]


WRITER = """
import pathlib, subprocess, sys, threading, time
zone = pathlib.Path('/sys/class/powercap/intel-rapl:0')
zone.mkdir(parents=True)
(zone / 'name').write_text('package-0')
(zone / 'max_energy_range_uj').write_text('262143328850')
begin, done = time.monotonic(), threading.Event()
def write():
    while not done.wait(0.002):
        (zone / 'next').write_text(str(5000000 + round((time.monotonic() - begin) * 20e6)))
        (zone / 'next').replace(zone / 'energy_uj')
thread = threading.Thread(target=write)
thread.start()
time.sleep(0.05)
code = subprocess.run([sys.executable, '-m', 'allegro_bench.cli', 'meters', '--watch', '1', '--json']).returncode
done.set()
thread.join()
sys.exit(code)
"""


def test_the_unmodified_command_below_a_made_up_sys():
    """In a mount namespace of its own: /sys/class is a fake there, and nothing is told where to look."""
    if shutil.which('unshare') is None:
        pytest.skip('no unshare')
    done = subprocess.run(['unshare', '-rm', 'sh', '-c', 'mount -t tmpfs none /sys/class && exec "$@"', 'sh',
                           sys.executable, '-c', WRITER], capture_output=True, text=True, check=False)
    if 'unshare' in done.stderr or 'mount:' in done.stderr:
        pytest.skip('no mount namespaces here')
    assert done.returncode == 0, done.stderr
    row, = json.loads(done.stdout)
    assert (row['id'], row['boundary'], row['quality']) == ('package-0', 'cpu_package', 'measured')
    assert row['watts'] == pytest.approx(20.0, rel=0.2), row['problem']


def test_the_rule_grants_a_group_and_nobody_else():
    rule = (share_dir('allegro_bench') / 'rules/70-allegro-energy.rules').read_text()
    active = [line for line in rule.splitlines() if line and not line.startswith('#')]
    assert len(active) == 2
    for line in active:
        assert 'chgrp power' in line
        assert 'chmod g+r' in line
        assert line.index('chgrp') < line.index('chmod')
    assert 'o+r' not in rule
    assert 'a+r' not in rule
    head = rule[:rule.index('ACTION')]
    for said in ('CVE-2020-8694', 'what others compute', 'never widen it to all users', 'usermod', 'udevadm'):
        assert said in head
    other = (share_dir('allegro_bench') / 'rules/allegro-energy.conf').read_text()
    assert ' 0440 root power ' in other


def test_the_command_says_for_each_meter_what_is_missing(capsys):
    assert cli.main(['meters', '--json']) == 0
    rows = {row['name']: row for row in json.loads(capsys.readouterr().out)}
    assert set(rows) == set(METERS.names())
    for name, row in rows.items():
        assert row['words'], name
        if row['works'] is False:
            assert len(row['words']) > 20
    assert rows['external']['works'] is None
    assert cli.main(['meters', '--rule']) == 0
    assert 'chgrp power' in capsys.readouterr().out
    assert cli.main(['meters', '--watch', '0.5', 'estimate:3']) == 0
    shown = capsys.readouterr().out
    assert 'estimated' in shown
    assert 'estimate:' in shown
    assert cli.main(['meters', '--watch', '0.5', 'none']) == 0
    assert capsys.readouterr().out.startswith('none')
    assert cli.main(['meters', '--watch', '-1']) == 2
    assert 'allowed' in capsys.readouterr().err
