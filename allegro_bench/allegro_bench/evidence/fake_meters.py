"""Fakes of every energy source at its lowest seam, driven by a virtual clock and a load of known joules.

They show that the arithmetic between a raw reading and a number is right. They show nothing about real hardware.
"""

from __future__ import annotations

import json
import math
import os
import sys
import types
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from allegro_bench.meters.estimate import EstimateMeter
from allegro_bench.meters.external import ExternalMeter
from allegro_bench.meters.hwmon import HwmonMeter
from allegro_bench.meters.ina3221 import Ina3221Meter
from allegro_bench.meters.meter import Meter, Sample
from allegro_bench.meters.nvml import NvmlMeter
from allegro_bench.meters.perf import PerfMeter
from allegro_bench.meters.power_supply import PowerSupplyMeter
from allegro_bench.meters.powercap import PowercapMeter
from allegro_bench.meters.zeus import ZeusMeter

RANGE_UJ = 262_143_328_850
"""``max_energy_range_uj`` of a counter in steps of 2**-14 J."""


class Load:
    """Known power over time: a floor, and a pulse of ``high_s`` every ``period_s``; its energy in closed form."""

    def __init__(self, floor_w: float = 8.0, pulse_w: float = 12.0, period_s: float = 7.0, high_s: float = 3.0) -> None:
        self.floor_w, self.pulse_w, self.period_s, self.high_s = floor_w, pulse_w, period_s, high_s

    def watts(self, t: float) -> float:
        """Power at a time, W."""
        return self.floor_w + (self.pulse_w if t % self.period_s < self.high_s else 0.0)

    def joules(self, t: float) -> float:
        """Energy from 0 to a time, J."""
        pulses, rest = divmod(t, self.period_s)
        return self.floor_w * t + self.pulse_w * (pulses * self.high_s + min(rest, self.high_s))


class Fake:
    """A source that shows energy and power of a load, in steps of its own period.

    Attributes:
        period_s: how often the source renews what it shows.
        freezes: whether a source that stands can be told from a true one.
        counts: whether it is a counter, which can jump back.
    """

    period_s = 0.001
    freezes = True
    counts = True
    channel = ''

    def __init__(self, root: Path, clock: Callable[[], float]) -> None:
        self.root, self.clock = root, clock
        self.offset_j = 1000.0
        self._written: dict[str, object] = {}
        root.mkdir(parents=True, exist_ok=True)

    def open(self) -> Meter:
        """The meter that reads this source."""
        raise NotImplementedError

    def show(self, joules: float, watts: float) -> None:
        """Set what the source shows."""
        raise NotImplementedError

    def vanish(self) -> None:
        """Take the source away."""
        raise NotImplementedError

    def garble(self) -> None:
        """Let it show what is no number."""
        raise NotImplementedError

    def remove(self, path: str) -> None:
        """Take a file away."""
        (self.root / path).unlink(missing_ok=True)
        self._written.pop(path, None)

    def write(self, path: str, value: object) -> None:
        """A file of the tree; not again where it holds this already."""
        if self._written.get(path) != value:
            where = self.root / path
            if path not in self._written:
                where.parent.mkdir(parents=True, exist_ok=True)
            where.write_text(f'{value}\n')
            self._written[path] = value


class FakePowercap(Fake):
    """Package and core of a processor; the counter wraps."""

    channel = 'package-0'
    base = 'class/powercap/intel-rapl:0'

    def open(self) -> Meter:
        """As documented for :class:`Fake`."""
        for folder, name in ((self.base, 'package-0'), (f'{self.base}:0', 'core')):
            self.write(f'{folder}/name', name)
            self.write(f'{folder}/max_energy_range_uj', RANGE_UJ)
        return PowercapMeter(self.root, self.clock)

    def show(self, joules: float, watts: float) -> None:
        """As documented for :class:`Fake`."""
        uj = round((joules + self.offset_j) * 1e6)
        self.write(f'{self.base}/energy_uj', uj % RANGE_UJ)
        self.write(f'{self.base}:0/energy_uj', uj // 2 % RANGE_UJ)

    def vanish(self) -> None:
        """As documented for :class:`Fake`."""
        for folder in (self.base, f'{self.base}:0'):
            self.remove(f'{folder}/energy_uj')

    def garble(self) -> None:
        """As documented for :class:`Fake`."""
        self.write(f'{self.base}/energy_uj', 'rubbish')


class FakePerf(Fake):
    """The same counter through the PMU, in steps of 2**-32 J."""

    channel = 'perf:package-0'

    def __init__(self, root: Path, clock: Callable[[], float]) -> None:
        super().__init__(root, clock)
        self.count: int | OSError = 0

    def open(self) -> Meter:
        """As documented for :class:`Fake`."""
        pmu = 'bus/event_source/devices/power'
        for path, value in (('type', 21), ('cpumask', 0), ('events/energy-pkg', 'event=0x02'),
                            ('events/energy-pkg.scale', 2.0**-32), ('events/energy-pkg.unit', 'Joules')):
            self.write(f'{pmu}/{path}', value)
        return PerfMeter(self.root, self.clock, opener=lambda *_: os.open(os.devnull, os.O_RDONLY),
                         reader=self._read)

    def _read(self, _: int) -> int:
        if isinstance(self.count, OSError):
            raise self.count
        return self.count

    def show(self, joules: float, watts: float) -> None:
        """As documented for :class:`Fake`."""
        self.count = int((joules + self.offset_j) * 2**32)

    def vanish(self) -> None:
        """As documented for :class:`Fake`."""
        self.count = OSError(19, 'no such device')

    def garble(self) -> None:
        """As documented for :class:`Fake`."""
        self.count = OSError('the counter is in error: nothing to read')


class NvmlProblem(Exception):
    """Any error of NVML."""


class NvmlUnsupported(NvmlProblem):
    """A GPU that cannot do that."""


class FakeNvml(Fake):
    """Two GPUs whose energy counter steps every 100 ms; the second one idles at half the power."""

    channel = 'gpu0'
    period_s = 0.1

    def __init__(self, root: Path, clock: Callable[[], float]) -> None:
        super().__init__(root, clock)
        self.energy_mj: int | Exception = 0
        self.power_mw = 0
        self.split, self.counter = False, True

    def open(self) -> Meter:
        """As documented for :class:`Fake`."""
        return NvmlMeter(self.library(), self.clock)

    def library(self) -> Any:
        """What stands in for ``pynvml``."""
        def energy(gpu: int) -> int:
            if not self.counter:
                raise NvmlUnsupported('Not Supported')
            if isinstance(self.energy_mj, Exception):
                raise self.energy_mj
            return self.energy_mj >> gpu

        def split(gpu: int) -> tuple[int, int]:
            if gpu:
                raise NvmlUnsupported('Not Supported')
            return int(self.split), 0

        return types.SimpleNamespace(
            NVMLError=NvmlProblem, NVMLError_NotSupported=NvmlUnsupported, nvmlInit=lambda: None,
            nvmlShutdown=lambda: None, nvmlDeviceGetCount=lambda: 2, nvmlDeviceGetHandleByIndex=lambda i: i,
            nvmlDeviceGetName=lambda _: b'Fake GPU', nvmlDeviceGetMigMode=split,
            nvmlDeviceGetPowerManagementLimit=lambda _: 300_000, nvmlDeviceGetTotalEnergyConsumption=energy,
            nvmlDeviceGetPowerUsage=lambda gpu: self.power_mw >> gpu)

    def show(self, joules: float, watts: float) -> None:
        """As documented for :class:`Fake`."""
        self.energy_mj, self.power_mw = round((joules + self.offset_j) * 1e3), round(watts * 1e3)

    def vanish(self) -> None:
        """As documented for :class:`Fake`."""
        self.energy_mj = NvmlProblem('GPU is lost')

    def garble(self) -> None:
        """As documented for :class:`Fake`."""
        self.energy_mj = NvmlProblem('Unknown Error')


class FakeIna3221(Fake):
    """An Orin NX: total, processors, and the rest, as the upstream driver shows them."""

    channel = 'ina3221/VDD_IN'
    counts = False
    period_s = 0.02
    folder = 'bus/i2c/drivers/ina3221/1-0040/hwmon/hwmon3'
    rails: Mapping[str, float] = {'VDD_IN': 1.0, 'VDD_CPU_GPU_CV': 0.5, 'VDD_SOC': 0.3}

    def open(self) -> Meter:
        """As documented for :class:`Fake`."""
        for index, name in enumerate(self.rails, 1):
            self.write(f'{self.folder}/in{index}_label', name)
        return Ina3221Meter(self.root, self.clock)

    def show(self, joules: float, watts: float) -> None:
        """As documented for :class:`Fake`."""
        for index, share in enumerate(self.rails.values(), 1):
            self.write(f'{self.folder}/in{index}_input', 5000)
            # A flicker of the last digit: a real monitor never stands quite still.
            self.write(f'{self.folder}/curr{index}_input', round(share * watts / 5.0 * 1e3) + int(joules * 10) % 2)

    def vanish(self) -> None:
        """As documented for :class:`Fake`."""
        for index in range(1, 1 + len(self.rails)):
            self.remove(f'{self.folder}/curr{index}_input')

    def garble(self) -> None:
        """As documented for :class:`Fake`."""
        self.write(f'{self.folder}/curr1_input', 'rubbish')


class FakeOrinAgx(FakeIna3221):
    """An AGX Orin, which has no rail of the whole."""

    channel = 'ina3221/module'
    rails: Mapping[str, float] = {'VDD_GPU_SOC': 0.4, 'VDD_CPU_CV': 0.4, 'VIN_SYS_5V0': 0.2}


class FakeNano(Fake):
    """A Jetson Nano with NVIDIA's older kernel: iio, in mW."""

    channel = 'ina3221/POM_5V_IN'
    counts = False
    period_s = 0.02
    folder = 'bus/i2c/drivers/ina3221x/6-0040/iio:device0'

    def open(self) -> Meter:
        """As documented for :class:`Fake`."""
        for index, name in enumerate(('POM_5V_IN', 'POM_5V_GPU', 'POM_5V_CPU')):
            self.write(f'{self.folder}/rail_name_{index}', name)
        return Ina3221Meter(self.root, self.clock)

    def show(self, joules: float, watts: float) -> None:
        """As documented for :class:`Fake`."""
        for index, share in enumerate((1.0, 0.2, 0.4)):
            self.write(f'{self.folder}/in_power{index}_input', round(share * watts * 1e3) + int(joules * 10) % 2)

    def vanish(self) -> None:
        """As documented for :class:`Fake`."""
        for index in range(3):
            self.remove(f'{self.folder}/in_power{index}_input')

    def garble(self) -> None:
        """As documented for :class:`Fake`."""
        self.write(f'{self.folder}/in_power0_input', '')


class FakeHwmon(Fake):
    """A chip under hwmon with values that ``values`` writes."""

    chip, channel, file = 'xe', 'xe/card', 'energy1_input'

    def open(self) -> Meter:
        """As documented for :class:`Fake`."""
        self.write('class/hwmon/hwmon4/name', self.chip)
        self.write('class/hwmon/hwmon1/name', 'nvme')
        self.write('class/hwmon/hwmon1/temp1_input', 40000)
        if self.chip == 'xe':
            self.write('class/hwmon/hwmon4/energy1_label', 'card')
        return HwmonMeter('', self.root, self.clock)

    def show(self, joules: float, watts: float) -> None:
        """As documented for :class:`Fake`."""
        self.write(f'class/hwmon/hwmon4/{self.file}', round((joules + self.offset_j) * 1e6))

    def vanish(self) -> None:
        """As documented for :class:`Fake`."""
        self.remove(f'class/hwmon/hwmon4/{self.file}')

    def garble(self) -> None:
        """As documented for :class:`Fake`."""
        self.write(f'class/hwmon/hwmon4/{self.file}', 'N/A')


class FakeHwmonPower(FakeHwmon):
    """A chip that states power in µW."""

    chip, channel, file = 'amdgpu', 'amdgpu/power1', 'power1_average'
    counts = False
    period_s = 0.02

    def show(self, joules: float, watts: float) -> None:
        """As documented for :class:`Fake`."""
        self.write(f'class/hwmon/hwmon4/{self.file}', round(watts * 1e6) + int(joules * 10) % 2)


class FakeHwmonPair(FakeHwmon):
    """A chip that states voltage and current."""

    chip, channel, file = 'ltc2945', 'ltc2945/in1', 'curr1_input'
    counts = False
    period_s = 0.02

    def show(self, joules: float, watts: float) -> None:
        """As documented for :class:`Fake`."""
        self.write('class/hwmon/hwmon4/in1_input', 12000)
        self.write(f'class/hwmon/hwmon4/{self.file}', round(watts / 12.0 * 1e3) + int(joules * 10) % 2)


class FakeBattery(Fake):
    """A battery that discharges and states current and voltage once per second."""

    channel = 'battery/BAT0'
    counts = False
    period_s = 1.0
    folder = 'class/power_supply/BAT0'

    def open(self) -> Meter:
        """As documented for :class:`Fake`."""
        self.write(f'{self.folder}/type', 'Battery')
        self.write(f'{self.folder}/status', 'Discharging')
        return PowerSupplyMeter(self.root, self.clock)

    def show(self, joules: float, watts: float) -> None:
        """As documented for :class:`Fake`."""
        self.write(f'{self.folder}/voltage_now', 12_000_000)
        self.write(f'{self.folder}/current_now', -round(watts / 12.0 * 1e6))
        self.write(f'{self.folder}/charge_now', round(5e6 - joules / 12.0 / 3600.0 * 1e6))

    def vanish(self) -> None:
        """As documented for :class:`Fake`."""
        self.remove(f'{self.folder}/current_now')

    def garble(self) -> None:
        """As documented for :class:`Fake`."""
        self.write(f'{self.folder}/current_now', 'unknown')


class FakeShelly(Fake):
    """A smart plug that answers over HTTP; without the network."""

    channel = 'external/apower'
    counts = False
    period_s = 0.5

    def __init__(self, root: Path, clock: Callable[[], float]) -> None:
        super().__init__(root, clock)
        self.body: bytes | OSError = b'{}'

    def open(self) -> Meter:
        """As documented for :class:`Fake`."""
        return ExternalMeter('http://192.0.2.1/rpc/Switch.GetStatus?id=0', self.clock, self._fetch)

    def _fetch(self, url: str, timeout_s: float) -> bytes:
        if isinstance(self.body, OSError):
            raise self.body
        return self.body

    def show(self, joules: float, watts: float) -> None:
        """As documented for :class:`Fake`."""
        wh = math.floor((joules + self.offset_j) / 3.6) / 1e3
        self.body = json.dumps({'id': 0, 'output': True, 'apower': round(watts, 1), 'voltage': 230.1,
                                'aenergy': {'total': wh, 'by_minute': [0, 0, 0]}, 'uptime': int(joules)}).encode()

    def vanish(self) -> None:
        """As documented for :class:`Fake`."""
        self.body = OSError('timed out')

    def garble(self) -> None:
        """As documented for :class:`Fake`."""
        self.body = b'<html>login</html>'


class FakeZeus(Fake):
    """A helper process that answers what a file says."""

    channel = 'zeus/gpu0'
    period_s = 0.1
    code = ('import sys\nprint(\'{"devices": ["gpu0"]}\', flush=True)\n'
            'for _ in sys.stdin: print(open(sys.argv[1]).read().strip(), flush=True)')

    def open(self) -> Meter:
        """As documented for :class:`Fake`."""
        return ZeusMeter('fake', self.clock, command=[sys.executable, '-S', '-c', self.code, str(self.root / 'answer')])

    def show(self, joules: float, watts: float) -> None:
        """As documented for :class:`Fake`."""
        self.write('answer', json.dumps({'mj': {'gpu0': (joules + self.offset_j) * 1e3}}))

    def vanish(self) -> None:
        """As documented for :class:`Fake`."""
        self.write('answer', json.dumps({'error': 'GPU is lost'}))

    def garble(self) -> None:
        """As documented for :class:`Fake`."""
        self.write('answer', 'rubbish')


class FakeStat(Fake):
    """``/proc/stat`` of a machine whose busy cores would use 10 W each, in ticks of 10 ms."""

    channel = 'estimate'
    freezes = False
    period_s = 0.01

    def open(self) -> Meter:
        """As documented for :class:`Fake`."""
        return EstimateMeter('10', self.root, self.clock, ticks_per_s=100.0)

    def show(self, joules: float, watts: float) -> None:
        """As documented for :class:`Fake`."""
        busy = int((joules + self.offset_j) / 10.0 * 100)
        self.write('stat', f'cpu  {busy} 0 0 {int(joules * 7)} 5 0 0 0 0 0\ncpu0 1 2 3')

    def vanish(self) -> None:
        """As documented for :class:`Fake`."""
        self.remove('stat')

    def garble(self) -> None:
        """As documented for :class:`Fake`."""
        self.write('stat', 'intr 1 2 3')


FAKES: tuple[type[Fake], ...] = (
    FakePowercap, FakePerf, FakeNvml, FakeIna3221, FakeOrinAgx, FakeNano, FakeHwmon, FakeHwmonPower, FakeHwmonPair,
    FakeBattery, FakeShelly, FakeZeus, FakeStat)


class Stage:
    """One fake under a load, with the time that both go by; as a meter it shows the present to each reading."""

    def __init__(self, kind: type[Fake], root: Path, load: Load | None = None, *, offset_j: float = 1000.0) -> None:
        self.now, self.load = 0.0, load or Load()
        self.fake = kind(root, lambda: self.now)
        self.fake.offset_j = offset_j
        self.frozen = False
        """Set: the source shows what it showed last, or what a test has made of it."""
        self._show()
        self.inner = self.fake.open()
        self.channels, self.reason, self.guard_s = self.inner.channels, self.inner.reason, self.inner.guard_s
        self.slow = getattr(self.inner, 'slow', False)

    def _show(self) -> None:
        if not self.frozen:
            shown = math.floor(self.now / self.fake.period_s + 1e-9) * self.fake.period_s
            self.fake.show(self.load.joules(shown), self.load.watts(shown))

    def read(self) -> Mapping[str, Sample]:
        """Read the meter."""
        self._show()
        return self.inner.read()

    def close(self) -> None:
        """Close the meter."""
        self.inner.close()

    def sleep(self, seconds: float) -> None:
        """Let time pass."""
        self.now += seconds

    def run(self, seconds: float) -> None:
        """Let time pass, reading the meter as often as it wants."""
        end, step = self.now + seconds, min(self.guard_s, 10.0)
        while self.now < end - 1e-9:
            self.sleep(min(step, end - self.now))
            self.read()
