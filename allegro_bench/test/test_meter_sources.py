"""What is particular to single energy sources: names, boundaries, permissions, refusals, processes, real calls."""

import json
import os
import subprocess
import sys
import sysconfig
import time
import venv

import pytest
from allegro_bench.evidence.fake_meters import FakeNvml, FakePerf
from allegro_bench.evidence.fake_source import Load, Stage
from allegro_bench.evidence.fake_sysfs import FakeBattery, FakeIna3221, FakeOrinAgx
from allegro_bench.meters.estimate import EstimateMeter
from allegro_bench.meters.hwmon import HwmonMeter
from allegro_bench.meters.meter import headline, window_joules
from allegro_bench.meters.nvml import NvmlMeter
from allegro_bench.meters.opening import open_meters
from allegro_bench.meters.perf import PerfMeter, open_event, read_event
from allegro_bench.meters.power_supply import PowerSupplyMeter
from allegro_bench.meters.powercap import PowercapMeter
from allegro_bench.meters.zeus import ZeusMeter
from allegro_description.errors import AllegroError, ConfigError, UnknownName


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
