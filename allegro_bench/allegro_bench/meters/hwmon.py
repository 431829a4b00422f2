"""Energy and power that drivers show under ``/sys/class/hwmon``: GPUs, boards with INA2xx, some processors.

Chosen by driver name and label, never by the number of ``hwmonN``, which moves between boots. Where ``hwmon`` does not
say what a wire feeds, the boundary is ``unknown``; whoever knows can state it: ``hwmon:dc_in=ina226/power1``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from allegro_description.errors import ConfigError, UnknownName

from allegro_bench.meters.counter import WrappingCounter
from allegro_bench.meters.meter import Channel
from allegro_bench.meters.opening import boundary_and_rest
from allegro_bench.meters.sampled import INTERVAL_S, SampledPower
from allegro_bench.meters.sources import Clock, Source, SourceMeter, monotonic
from allegro_bench.meters.sysfs import GRANT, number, word

LIMIT_W = 4000.0
FROZEN_S = 30.0
COUNTER_RANGE = 2**64 - 1
BOUNDARIES_OF = {
    'i915': 'gpu_board', 'xe': 'gpu_board', 'amd_energy': 'cpu_package', 'zenergy': 'cpu_package',
    'fam15h_power': 'cpu_package',
}
"""What a driver's values are of. Not ``amdgpu``: on a processor with graphics its power includes the CPU cores."""
ELSEWHERE = ('ina3221',)
"""Drivers that a meter of their own reads."""


@dataclass(frozen=True, slots=True)
class Input:
    """One value of a chip: ``energy1``, ``power1`` or the pair ``in0``, ``curr0``; how to read it in J or W."""

    chip: str
    label: str
    kind: str
    device: str
    unit: str
    read: Callable[[], float]


class HwmonMeter(SourceMeter):
    """Everything under hwmon that is energy or power, or the one value that was asked for."""

    argument = 'which value: [boundary=]CHIP/LABEL'
    argument_needed = False

    def __init__(self, wanted: str = '', sysfs_root: Path | str = '/sys', clock: Clock = monotonic) -> None:
        """Find the values.

        Args:
            wanted: ``[boundary=]chip/label``; empty takes all.
            sysfs_root: where sysfs is.
            clock: seconds, monotonic.

        Raises:
            ConfigError: there is none, or it cannot be read.
            UnknownName: none of this chip and label.
        """
        base = Path(sysfs_root) / 'class/hwmon'
        found = _numbered(list(_inputs(base)))
        if not found:
            raise ConfigError(f'nothing under {base} states energy or power')
        boundary, wanted = boundary_and_rest(wanted, '')
        if wanted and wanted not in found:
            raise UnknownName('hwmon value', wanted, found)
        chosen = {wanted: found[wanted]} if wanted else found
        sources: dict[str, Source] = {}
        for name, one in chosen.items():
            try:
                sources[name] = _source(one, clock())
            except PermissionError as error:
                raise ConfigError(f'{name} under {base} may not be read by this user: {GRANT}') from error
            except (OSError, ValueError) as error:
                if wanted:
                    raise ConfigError(f'{name} under {base} cannot be read: {error}') from error
        if not sources:
            raise ConfigError(f'none of {", ".join(chosen)} under {base} can be read now')
        channels = [_channel(name, chosen[name], boundary) for name in sources]
        channels = [replace(c, overlaps=tuple(o.id for o in channels if o is not c and _share(chosen, c, o)))
                    for c in channels]
        channels.sort(key=lambda c: (c.boundary == 'unknown', c.kind != 'counter', c.id))
        super().__init__(channels, sources, clock, INTERVAL_S if any(c.kind == 'sampled' for c in channels) else 60.0)


def _inputs(base: Path) -> Iterator[Input]:
    for folder in sorted(base.glob('hwmon*')):
        chip = word(folder / 'name')
        device = (folder / 'device').resolve()
        # A battery also appears here; power_supply knows whether it is discharging.
        if chip is None or chip in ELSEWHERE or device.parent.name == 'power_supply':
            continue
        counted = False
        for path in sorted(folder.glob('energy*_input')):
            counted = True
            yield Input(chip, _label(folder, path), 'counter', device.name, 'uJ', _micro(path))
        powers = {p.name.partition('_')[0]: p for kind in ('average', 'input')
                  for p in sorted(folder.glob(f'power*_{kind}'))}
        for path in [] if counted else powers.values():
            yield Input(chip, _label(folder, path), 'sampled', device.name, 'uW', _micro(path))
        if counted or powers:
            continue
        for current in sorted(folder.glob('curr*_input')):
            volts = folder / current.name.replace('curr', 'in')
            if volts.exists():
                yield Input(chip, _label(folder, volts), 'sampled', device.name, 'mV*mA', _product(volts, current))


def _label(folder: Path, path: Path) -> str:
    key = path.name.partition('_')[0]
    return word(folder / f'{key}_label') or key


def _micro(path: Path) -> Callable[[], float]:
    return lambda: number(path)


def _product(volts: Path, amperes: Path) -> Callable[[], float]:
    return lambda: number(volts) * number(amperes)


def _numbered(inputs: list[Input]) -> dict[str, Input]:
    """Ids: ``chip/label``, and the device behind it where there are several of that name."""
    plain = [f'{i.chip}/{i.label}' for i in inputs]
    return {name if plain.count(name) == 1 else f'{name}@{i.device}': i for name, i in zip(plain, inputs, strict=True)}


def _source(one: Input, now_s: float) -> Source:
    if one.kind == 'counter':
        return WrappingCounter(lambda: int(one.read()), COUNTER_RANGE, 1e-6, LIMIT_W, now_s, frozen_s=10.0)
    return SampledPower(lambda: one.read() * 1e-6, LIMIT_W, now_s, frozen_s=FROZEN_S)


def _channel(name: str, one: Input, boundary: str) -> Channel:
    return Channel(
        id=name, driver='hwmon', kind=one.kind, quality='measured',
        boundary=boundary or BOUNDARIES_OF.get(one.chip.partition('_gt')[0], 'unknown'),
        path_or_device=f'hwmon {one.chip} {one.label} of {one.device}', unit_raw=one.unit,
        update_period_s=INTERVAL_S if one.kind == 'sampled' else None, resolution_j=None)


def _share(chosen: dict[str, Input], a: Channel, b: Channel) -> bool:
    """Values of one device may hold each other; so may all whose wire is unknown."""
    one, other = chosen[a.id], chosen[b.id]
    return one.device == other.device or 'unknown' in (a.boundary, b.boundary) or a.boundary != b.boundary
