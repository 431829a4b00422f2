"""Fakes of everything that the kernel shows as files: made-up trees below a folder of the caller's."""

from __future__ import annotations

from collections.abc import Mapping

from allegro_bench.evidence.fake_source import Fake
from allegro_bench.meters.estimate import EstimateMeter
from allegro_bench.meters.hwmon import HwmonMeter
from allegro_bench.meters.ina3221 import Ina3221Meter
from allegro_bench.meters.meter import Meter
from allegro_bench.meters.power_supply import PowerSupplyMeter
from allegro_bench.meters.powercap import PowercapMeter

RANGE_UJ = 262_143_328_850
"""``max_energy_range_uj`` of a counter in steps of 2**-14 J."""


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
