"""RAPL energy counters under ``/sys/class/powercap`` (Intel; AMD from kernel 5.8).

``energy_uj`` is readable by root only since kernel 5.10, because energy reveals what other processes compute
(CVE-2020-8694, CVE-2020-12912). Grant it to a group, never to everybody.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

from allegro_description.errors import ConfigError

from allegro_bench.meters.counter import WrappingCounter
from allegro_bench.meters.meter import Channel
from allegro_bench.meters.sources import Clock, SourceMeter, monotonic
from allegro_bench.meters.sysfs import GRANT, number

LEAST_LIMIT_W = 1000.0
MICRO = 1e-6


class PowercapMeter(SourceMeter):
    """Every RAPL domain of this machine; ``package-N`` channels are the ones that may be summed with each other."""

    def __init__(self, sysfs_root: Path | str = '/sys', clock: Clock = monotonic) -> None:
        """Find and read the domains.

        Args:
            sysfs_root: where sysfs is.
            clock: seconds, monotonic.

        Raises:
            ConfigError: there are no counters, or they may not be read; the message says how to mend it.
        """
        base = Path(sysfs_root) / 'class' / 'powercap'
        zones = [z for z in sorted(base.glob('intel-rapl*:*')) if (z / 'energy_uj').exists()]
        if not zones:
            raise ConfigError(f'no RAPL counter under {base} (virtual machines, containers and many boards have none)')
        names = {zone: _name(zone, base) for zone in zones}
        counters: dict[str, WrappingCounter] = {}
        channels = []
        for zone in zones:
            try:
                wrap = number(zone / 'max_energy_range_uj')
                if wrap <= 0:
                    raise ValueError(f'max_energy_range_uj is {wrap}')
                limit = max(LEAST_LIMIT_W, 4 * _rated_w(zone))
                counter = WrappingCounter(_reader(zone), wrap, MICRO, limit, clock())
            except PermissionError as error:
                raise ConfigError(f'{zone / "energy_uj"} may not be read by this user: {GRANT}') from error
            except (OSError, ValueError) as error:
                raise ConfigError(f'RAPL domain {zone} cannot be read: {error}') from error
            name = names[zone]
            counters[name] = counter
            channels.append(Channel(
                id=name, driver='powercap', kind='counter', boundary=_boundary(name), quality='measured',
                path_or_device=f'powercap/{zone.name}', unit_raw='uJ', update_period_s=0.001, resolution_j=None,
                wrap_range_j=wrap * MICRO, overlaps=_overlaps(name, names.values())))
        # Whole packages first: what comes first is what a reader is shown.
        channels.sort(key=lambda c: ('/' in c.id, c.id.startswith('mmio:'), c.boundary == 'unknown', c.id))
        # Well before any wrap that the believable power allows, and at least once a minute.
        guard_s = min(60.0, *(0.25 * c.wrap_range_j / LEAST_LIMIT_W for c in channels if c.wrap_range_j))
        super().__init__(channels, counters, clock, guard_s)


def _reader(zone: Path) -> Callable[[], int]:
    path = zone / 'energy_uj'
    return lambda: number(path)


def _name(zone: Path, base: Path) -> str:
    """``package-0``, ``package-0/core``, ``psys``; the memory-mapped twin of a domain gets ``mmio:`` before it."""
    try:
        own = (zone / 'name').read_text().strip()
    except OSError as error:
        raise ConfigError(f'RAPL domain {zone} has no name: {error}') from error
    control, _, numbers = zone.name.partition(':')
    parent, _, child = numbers.rpartition(':')
    above = f'{_name(base / f"{control}:{parent}", base)}/' if parent and child else ''
    twin = 'mmio:' if control.endswith('mmio') and not above else ''
    return f'{above}{twin}{own}'


def _rated_w(zone: Path) -> float:
    try:
        return number(zone / 'constraint_0_max_power_uw') * MICRO
    except (OSError, ValueError):
        return 0.0


def _boundary(name: str) -> str:
    last = name.rpartition('/')[2].removeprefix('mmio:')
    return 'cpu_package' if last.startswith('package') or last in ('core', 'uncore') else 'unknown'


def _overlaps(name: str, others: Iterable[str]) -> tuple[str, ...]:
    """Channels that count some of the same joules: parent and child, memory-mapped twin, and the whole platform."""
    def same(a: str, b: str) -> bool:
        a, b = a.removeprefix('mmio:'), b.removeprefix('mmio:')
        return a == b or a.startswith(b + '/') or b.startswith(a + '/') or 'psys' in (a, b)

    return tuple(other for other in others if other != name and same(name, other))
