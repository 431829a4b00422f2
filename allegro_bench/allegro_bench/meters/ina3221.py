"""Power monitors INA3221 of Jetson modules: voltage times current of the module's supply rails.

The upstream driver shows them as hwmon (mV, mA); NVIDIA's older kernels as iio (``rail_name_N``, mW). Rails are nested:
``VDD_IN`` holds all others. Where a module has no such rail, the sum of those that do not hold each other is formed.
The carrier board is in none of them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from allegro_description.errors import ConfigError

from allegro_bench.meters.meter import Channel, Sample
from allegro_bench.meters.sampled import INTERVAL_S, SampledPower
from allegro_bench.meters.sources import Clock, SourceMeter, monotonic
from allegro_bench.meters.sysfs import number, word

LIMIT_W = 500.0
FROZEN_S = 30.0
"""Steps of 8 mV and some mA flicker; all rails of a module the same for so long is a driver that stands."""
TOTALS = ('VDD_IN', 'POM_5V_IN', '5V_IN')
"""Rails that hold all others of the module (Orin NX and Nano, Xavier NX, TX2; Nano)."""
INSIDE = {'VDDQ_VDD2_1V8AO': 'VIN_SYS_5V0'}
"""Rails inside another one. AGX Orin: not verified on hardware; so the sum cannot count anything twice."""
SIDE_BY_SIDE = ('VDD_GPU_SOC', 'VDD_CPU_CV', 'VIN_SYS_5V0', 'GPU', 'CPU', 'SOC', 'CV', 'VDDRQ', 'SYS5V')
"""Rails that make up a module without a total: AGX Orin, AGX Xavier."""
SUM = 'module'


@dataclass(frozen=True, slots=True)
class Rail:
    """One measured supply: its name, how to read it in W, and the folder it is in."""

    name: str
    watts: Callable[[], float]
    device: str


class Ina3221Meter(SourceMeter):
    """Rails of a Jetson module; the total, measured or summed, comes first."""

    def __init__(self, sysfs_root: Path | str = '/sys', clock: Clock = monotonic) -> None:
        """Find the rails.

        Args:
            sysfs_root: where sysfs is.
            clock: seconds, monotonic.

        Raises:
            ConfigError: there is none, or it cannot be read.
        """
        base = Path(sysfs_root) / 'bus/i2c/drivers'
        rails = [*_hwmon_rails(base), *_iio_rails(base)]
        if not rails:
            raise ConfigError(f'no INA3221 under {base} (only Jetson modules and some boards have one)')
        self._rails = {rail.name: rail for rail in rails}
        self._now: dict[str, float | OSError | ValueError] = {}
        self._last: tuple[object, ...] = ()
        total = next((name for name in TOTALS if name in self._rails), None)
        self._parts = [] if total else [name for name in SIDE_BY_SIDE if name in self._rails]
        names = [*self._rails, *([SUM] if self._parts else [])]
        self._measure()
        sources = {}
        for name in names:
            try:
                sources[f'ina3221/{name}'] = SampledPower(
                    self._of(name), LIMIT_W, clock(), frozen_s=FROZEN_S, sign_of_life=lambda: self._last)
            except (OSError, ValueError) as error:
                raise ConfigError(f'INA3221 rail {name} cannot be read: {error}') from error
        channels = [self._channel(name, names) for name in names]
        first = f'ina3221/{total or SUM}'
        channels.sort(key=lambda c: (c.id != first, -len(c.overlaps), c.id))
        super().__init__(channels, sources, clock, INTERVAL_S)

    def read(self) -> Mapping[str, Sample]:
        """Read every rail once, and from these all sums."""
        self._measure()
        return super().read()

    def _measure(self) -> None:
        for name, rail in self._rails.items():
            try:
                self._now[name] = rail.watts()
            except (OSError, ValueError) as error:
                self._now[name] = error
        self._last = tuple(v if isinstance(v, float) else None for v in self._now.values())

    def _of(self, name: str) -> Callable[[], float]:
        def watts() -> float:
            found = 0.0
            for part in self._parts if name == SUM else [name]:
                value = self._now[part]
                if not isinstance(value, float):
                    raise value
                found += value
            return found

        return watts

    def _channel(self, name: str, names: list[str]) -> Channel:
        def shares(a: str, b: str) -> bool:
            # Totals and sums hold the others; a rail that nobody here knows may be inside any other.
            return INSIDE.get(a) == b or INSIDE.get(b) == a or not {a, b} <= {*SIDE_BY_SIDE, *INSIDE}

        where = 'sum of ' + ' + '.join(self._parts) if name == SUM else self._rails[name].device
        return Channel(
            id=f'ina3221/{name}', driver='ina3221', kind='sampled', quality='measured', boundary='soc_module',
            path_or_device=where, unit_raw='mV*mA', update_period_s=INTERVAL_S,
            overlaps=tuple(f'ina3221/{other}' for other in names if other != name and shares(name, other)))


def _hwmon_rails(base: Path) -> list[Rail]:
    found = []
    for folder in sorted(base.glob('ina3221*/*/hwmon/hwmon*')):
        for index in (1, 2, 3):
            name = word(folder / f'in{index}_label')
            if name and name != 'NC' and (folder / f'curr{index}_input').exists():
                found.append(Rail(name, _product(folder / f'in{index}_input', folder / f'curr{index}_input'),
                                  f'ina3221 {folder.parent.parent.name} channel {index}'))
    return found


def _iio_rails(base: Path) -> list[Rail]:
    found = []
    for folder in sorted(base.glob('ina3221*/*/iio:device*')) + sorted(base.glob('ina3221*/*/iio_device')):
        for index in (0, 1, 2):
            name = word(folder / f'rail_name_{index}')
            if name and name != 'NC' and (folder / f'in_power{index}_input').exists():
                found.append(Rail(name, _milli(folder / f'in_power{index}_input'),
                                  f'ina3221 {folder.parent.name} channel {index}'))
    return found


def _product(volts: Path, amperes: Path) -> Callable[[], float]:
    # One right after the other: load moves both.
    return lambda: number(volts) * number(amperes) * 1e-6


def _milli(power: Path) -> Callable[[], float]:
    return lambda: number(power) * 1e-3
