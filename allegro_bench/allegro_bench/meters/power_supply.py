"""Batteries under ``/sys/class/power_supply``: the whole machine with its display, and only while they discharge.

They renew their values every 1 to 30 s: take minutes per point.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from allegro_description.errors import ConfigError

from allegro_bench.meters.meter import Channel
from allegro_bench.meters.sampled import SampledPower
from allegro_bench.meters.sources import Clock, SourceMeter, monotonic
from allegro_bench.meters.sysfs import number, word

INTERVAL_S = 1.0
PERIOD_S = 30.0
LIMIT_W = 1000.0
FROZEN_S = 180.0


class PowerSupplyMeter(SourceMeter):
    """Power out of each battery."""

    def __init__(self, sysfs_root: Path | str = '/sys', clock: Clock = monotonic) -> None:
        """Find the batteries.

        Args:
            sysfs_root: where sysfs is.
            clock: seconds, monotonic.

        Raises:
            ConfigError: there is none that states power, or none discharges.
        """
        base = Path(sysfs_root) / 'class/power_supply'
        folders = [f for f in sorted(base.glob('*')) if word(f / 'type') == 'Battery' and word(f / 'scope') != 'Device']
        if not folders:
            raise ConfigError(f'no battery under {base}')
        sources, channels = {}, []
        for folder in folders:
            status = word(folder / 'status')
            if status == 'Full' or status == 'Not charging':
                continue  # a second battery that rests
            name = f'battery/{folder.name}'
            try:
                sources[name] = SampledPower(_watts(folder), LIMIT_W, clock(), interval_s=INTERVAL_S, frozen_s=FROZEN_S,
                                             sign_of_life=_sign(folder))
            except (OSError, ValueError) as error:
                raise ConfigError(f'{folder.name} cannot be used: {error}') from error
            channels.append(Channel(
                id=name, driver='power_supply', kind='battery', boundary='battery', quality='measured',
                path_or_device=f'power_supply/{folder.name}', unit_raw='uW', update_period_s=PERIOD_S))
        if not channels:
            raise ConfigError(f'no battery under {base} is discharging: pull the plug of the charger')
        super().__init__(channels, sources, clock, INTERVAL_S)


def _watts(folder: Path) -> Callable[[], float]:
    def watts() -> float:
        status = word(folder / 'status')
        if status != 'Discharging':
            raise ValueError(f'the battery is {(status or "gone").lower()}, so the supply feeds the machine')
        if (folder / 'power_now').exists():
            return abs(number(folder / 'power_now')) * 1e-6
        # Some drivers give the current a sign.
        return abs(number(folder / 'current_now')) * 1e-6 * number(folder / 'voltage_now') * 1e-6

    return watts


def _sign(folder: Path) -> Callable[[], object]:
    names = ('power_now', 'current_now', 'voltage_now', 'energy_now', 'charge_now')
    return lambda: tuple(word(folder / name) for name in names)
