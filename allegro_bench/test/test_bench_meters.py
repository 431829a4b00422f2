"""Energy meters against counters that wrap, freeze, jump, vanish or may not be read."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from allegro_bench.meters import METERS
from allegro_bench.meters.counter import WrappingCounter
from allegro_bench.meters.meter import headline, window_joules
from allegro_bench.meters.none import NoMeter
from allegro_bench.meters.opening import open_meter
from allegro_bench.meters.powercap import PowercapMeter
from allegro_description.errors import ConfigError, UnknownPlugin
from hypothesis import given
from hypothesis import strategies as st

RANGE = 262_143_328_850  # µJ, of a 2**-14 J counter


class Sysfs:
    """A tree as the kernel shows it, with a clock that the test moves."""

    def __init__(self, root):
        self.root, self.now = root, 0.0
        self.base = root / 'class' / 'powercap'
        self.base.mkdir(parents=True)

    def zone(self, folder, name, uj=1000, wrap=RANGE):
        path = self.base / folder
        path.mkdir()
        (path / 'name').write_text(name + '\n')
        (path / 'max_energy_range_uj').write_text(f'{wrap}\n')
        self.set(folder, uj)
        return path

    def set(self, folder, uj):
        (self.base / folder / 'energy_uj').write_text(f'{uj}\n')

    def meter(self):
        return PowercapMeter(self.root, clock=lambda: self.now)


@pytest.fixture
def sysfs(tmp_path):
    return Sysfs(tmp_path)


def test_sum_over_a_wrap(sysfs):
    sysfs.zone('intel-rapl:0', 'package-0', uj=RANGE - 30_000_000)
    meter = sysfs.meter()
    sums = []
    for uj in (RANGE - 10_000_000, 10_000_000, 30_000_000):
        sysfs.now += 1.0
        sysfs.set('intel-rapl:0', uj)
        sums.append(meter.read()['package-0'])
    assert [s.joules for s in sums] == pytest.approx([20.0, 40.0, 60.0])
    assert sums[-1].faults == 0
    assert window_joules(sums[0], sums[2]) == pytest.approx(40.0)


@given(st.lists(st.integers(1, 200_000_000), min_size=1, max_size=40), st.integers(0, RANGE - 1))
def test_any_steady_load_is_summed_exactly(steps, start):
    value, total = [start], 0
    counter = WrappingCounter(lambda: value[0], RANGE, 1e-6, 1000.0, 0.0)
    for second, step in enumerate(steps, 1):
        value[0] = (value[0] + step) % RANGE
        total += step
        sample = counter.update(float(second))
    assert sample.faults == 0
    assert sample.joules == pytest.approx(total * 1e-6)


def test_jump_back_is_a_fault_and_no_energy(sysfs):
    sysfs.zone('intel-rapl:0', 'package-0', uj=500_000_000)
    meter = sysfs.meter()
    sysfs.now = 1.0
    sysfs.set('intel-rapl:0', 510_000_000)
    before = meter.read()['package-0']
    sysfs.now = 2.0
    sysfs.set('intel-rapl:0', 400_000_000)
    after = meter.read()['package-0']
    assert after.joules == pytest.approx(10.0)
    assert 'jumped back' in after.problem
    assert window_joules(before, after) is None
    sysfs.now = 3.0
    sysfs.set('intel-rapl:0', 420_000_000)
    later = meter.read()['package-0']
    assert window_joules(after, later) == pytest.approx(20.0), 'a window after the fault is good again'


def test_frozen_counter_is_reported(sysfs):
    sysfs.zone('intel-rapl:0', 'package-0')
    meter = sysfs.meter()
    for second in (0.5, 1.0, 1.5):
        sysfs.now = second
        assert meter.read()['package-0'].faults == 0
    sysfs.now = 2.5
    sample = meter.read()['package-0']
    assert (sample.faults, sample.joules) == (1, 0.0)
    assert 'frozen' in sample.problem


def test_vanishing_and_damaged_counters(sysfs):
    zone = sysfs.zone('intel-rapl:0', 'package-0')
    meter = sysfs.meter()
    sysfs.now = 1.0
    (zone / 'energy_uj').unlink()
    assert 'unreadable' in meter.read()['package-0'].problem
    sysfs.now = 2.0
    sysfs.set('intel-rapl:0', 'rubbish')
    assert meter.read()['package-0'].faults == 2
    sysfs.now = 3.0
    sysfs.set('intel-rapl:0', 2000)
    sample = meter.read()['package-0']
    assert (sample.faults, sample.joules) == (2, 0.0), 'the first reading after a gap is a new start'


def test_a_reader_that_slept_too_long_says_so(sysfs):
    sysfs.zone('intel-rapl:0', 'package-0')
    meter = sysfs.meter()
    assert meter.guard_s == 60.0
    sysfs.now = 400.0
    sysfs.set('intel-rapl:0', 100_000_000)
    assert 'more than once' in meter.read()['package-0'].problem


def test_names_overlaps_and_boundaries(sysfs):
    sysfs.zone('intel-rapl:0', 'package-0')
    sysfs.zone('intel-rapl:0:0', 'core')
    sysfs.zone('intel-rapl:0:1', 'dram', wrap=65_712_999_613)
    sysfs.zone('intel-rapl:1', 'package-1')
    sysfs.zone('intel-rapl:2', 'psys')
    sysfs.zone('intel-rapl-mmio:0', 'package-0')
    meter = sysfs.meter()
    channels = {c.id: c for c in meter.channels}
    assert set(channels) == {'package-0', 'package-0/core', 'package-0/dram', 'package-1', 'psys', 'mmio:package-0'}
    assert headline(meter.channels) == ('package-0', 'package-1')
    assert set(channels['package-0'].overlaps) == {'package-0/core', 'package-0/dram', 'psys', 'mmio:package-0'}
    assert set(channels['package-1'].overlaps) == {'psys'}
    for a in channels.values():
        assert all(a.id in channels[b].overlaps for b in a.overlaps), 'sharing joules is mutual'
    assert channels['package-0'].boundary == 'cpu_package'
    assert channels['psys'].boundary == 'unknown'
    assert all(c.quality == 'measured' for c in channels.values())
    assert meter.guard_s < 17


def test_headline_is_a_package_whatever_is_listed_first(sysfs):
    sysfs.zone('intel-rapl-mmio:0', 'package-0')
    sysfs.zone('intel-rapl:0', 'psys')
    sysfs.zone('intel-rapl:1', 'package-0')
    sysfs.zone('intel-rapl:1:0', 'core')
    assert headline(sysfs.meter().channels) == ('package-0',)


def test_no_counter_is_one_sentence(tmp_path):
    with pytest.raises(ConfigError, match='no RAPL counter'):
        PowercapMeter(tmp_path)


@pytest.fixture
def open_sysfs():
    """Like ``sysfs``, in a folder that other users may enter (pytest's own is private)."""
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        yield Sysfs(Path(folder))


@pytest.mark.skipif(os.name != 'posix', reason='file modes')
def test_permission_denied_names_the_remedy(open_sysfs):
    sysfs = open_sysfs
    zone = sysfs.zone('intel-rapl:0', 'package-0')
    (zone / 'energy_uj').chmod(0)
    if os.geteuid() != 0:
        with pytest.raises(ConfigError, match='udev'):
            sysfs.meter()
        return
    # Root may read anything: look as nobody, in a process of its own.
    code = ('import os, sys; from allegro_bench.meters.powercap import PowercapMeter; os.setuid(65534)\n'
            'try: PowercapMeter(sys.argv[1])\nexcept Exception as error: print(type(error).__name__, error)')
    done = subprocess.run([sys.executable, '-c', code, str(sysfs.root)], capture_output=True, text=True, check=False)
    assert done.stdout.startswith('ConfigError'), done.stderr
    assert 'udev' in done.stdout


def test_auto_falls_back_to_none_and_says_why(monkeypatch):
    def broken():
        raise ConfigError('no RAPL counter here')

    monkeypatch.setattr('allegro_bench.meters.powercap.PowercapMeter', broken)
    meter = open_meter('auto')
    assert isinstance(meter, NoMeter)
    assert meter.channels == ()
    assert 'powercap: no RAPL counter here' in meter.reason
    with pytest.raises(ConfigError):
        open_meter('powercap')
    assert open_meter('none').read() == {}


def test_unknown_meter_lists_the_known():
    with pytest.raises(UnknownPlugin, match='powercap'):
        open_meter('powercup')
    assert set(METERS.names()) >= {'powercap', 'none'}
