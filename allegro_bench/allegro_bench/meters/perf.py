"""The same RAPL counters through the kernel's ``power`` PMU: the kernel handles their wrap.

It takes CAP_PERFMON or ``kernel.perf_event_paranoid`` 0 or less; counters are of the whole machine, one event per
package.
"""

from __future__ import annotations

import ctypes
import os
import platform
import struct
from collections.abc import Callable
from functools import partial
from pathlib import Path

from allegro_description.errors import ConfigError

from allegro_bench.meters.counter import WrappingCounter
from allegro_bench.meters.meter import Channel
from allegro_bench.meters.powercap import LEAST_LIMIT_W
from allegro_bench.meters.sources import Clock, SourceMeter, monotonic
from allegro_bench.meters.sysfs import number, word

Opener = Callable[[int, int, int], int]
SYSCALL = {'x86_64': 298, 'aarch64': 241, 'riscv64': 241, 'ppc64le': 319, 's390x': 331}
ATTR_SIZE = 64
CLOEXEC = 8
COUNTER_RANGE = 2**64 - 1
DOMAINS = {'energy-pkg': 'package', 'energy-cores': 'core', 'energy-gpu': 'uncore', 'energy-ram': 'dram',
           'energy-psys': 'psys'}
REMEDY = ('give the program that measures CAP_PERFMON (setcap cap_perfmon+ep on a copy of the interpreter), or set '
          'sysctl kernel.perf_event_paranoid=0 while measuring; both let its user see the energy of everybody')


def open_event(kind: int, config: int, cpu: int) -> int:
    """File descriptor of a counter of all processes on ``cpu``.

    Args:
        kind: number of the PMU.
        config: number of its event.
        cpu: where to count.

    Raises:
        OSError: refused (EACCES, EPERM), or no such event.
    """
    call = SYSCALL.get(platform.machine())
    if call is None:
        raise OSError(f'perf_event_open has no number here for {platform.machine()}')
    attributes = ctypes.create_string_buffer(struct.pack('=IIQ', kind, ATTR_SIZE, config).ljust(ATTR_SIZE, b'\0'))
    libc = ctypes.CDLL(None, use_errno=True)
    found = int(libc.syscall(ctypes.c_long(call), attributes, ctypes.c_int(-1), ctypes.c_int(cpu), ctypes.c_int(-1),
                             ctypes.c_ulong(CLOEXEC)))
    if found < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return found


def read_event(descriptor: int) -> int:
    """The count.

    Raises:
        OSError: it cannot be read, or the event is in error.
    """
    data = os.read(descriptor, 8)
    if len(data) != 8:
        raise OSError('the counter is in error: nothing to read')
    return int(struct.unpack('=Q', data)[0])


class PerfMeter(SourceMeter):
    """Energy events of the PMU ``power``, one per package."""

    def __init__(self, sysfs_root: Path | str = '/sys', clock: Clock = monotonic, opener: Opener = open_event,
                 reader: Callable[[int], int] | None = None) -> None:
        """Open every energy event.

        Args:
            sysfs_root: where sysfs is.
            clock: seconds, monotonic.
            opener: as :func:`open_event`.
            reader: as :func:`read_event`, which it is if None.

        Raises:
            ConfigError: no such PMU, or not permitted.
        """
        root = Path(sysfs_root)
        pmu = root / 'bus/event_source/devices/power'
        self._open: list[int] = []
        read = reader or read_event
        counters, channels = {}, []
        try:
            kind = number(pmu / 'type')
        except (OSError, ValueError) as error:
            raise ConfigError(f'no PMU for energy at {pmu} (virtual machines have none): {error}') from error
        try:
            for event, domain in DOMAINS.items():
                if word(pmu / 'events' / event) is None:
                    continue
                scale = _scale(pmu / 'events', event)
                for cpu in _cpus(word(pmu / 'cpumask') or '0'):
                    package = word(root / f'devices/system/cpu/cpu{cpu}/topology/physical_package_id') or '0'
                    name = f'perf:{domain}' if domain == 'psys' else f'perf:package-{package}' + (
                        '' if domain == 'package' else f'/{domain}')
                    descriptor = opener(kind, _config(pmu / 'events' / event), cpu)
                    self._open.append(descriptor)
                    counters[name] = WrappingCounter(partial(read, descriptor), COUNTER_RANGE, scale, LEAST_LIMIT_W,
                                                     clock())
                    channels.append(Channel(
                        id=name, driver='perf', kind='counter', quality='measured',
                        boundary='unknown' if domain in ('dram', 'psys') else 'cpu_package',
                        path_or_device=f'power/{event}/ cpu{cpu}', unit_raw=f'{scale:g} J', update_period_s=0.001))
        except PermissionError as error:
            self.close()
            raise ConfigError(f'the PMU power may not be read by this user ({error.strerror}): {REMEDY}') from error
        except (OSError, ValueError) as error:
            self.close()
            raise ConfigError(f'the PMU power cannot be read: {error}') from error
        if not channels:
            raise ConfigError(f'{pmu} offers no energy event that is known here')
        names = [c.id for c in channels]
        super().__init__([_with_overlaps(c, names) for c in sorted(channels, key=lambda c: ('/' in c.id, c.id))],
                         counters, clock, 60.0)

    def close(self) -> None:
        """Close the counters."""
        while self._open:
            os.close(self._open.pop())


def _with_overlaps(channel: Channel, names: list[str]) -> Channel:
    mine = channel.id
    shared = tuple(n for n in names if n != mine and (
        n.startswith(mine + '/') or mine.startswith(n + '/') or 'perf:psys' in (n, mine)))
    return Channel(**{**channel.as_dict(), 'overlaps': shared})


def _scale(events: Path, event: str) -> float:
    """Joules per count.

    Raises:
        ValueError: the kernel names another unit.
    """
    unit = word(events / f'{event}.unit')
    scale = float(word(events / f'{event}.scale') or 'nan')
    if unit != 'Joules' or not 0.0 < scale < 1.0:
        raise ValueError(f'{event} counts {scale} {unit}; known are Joules below 1')
    return scale


def _config(path: Path) -> int:
    """The event number in ``event=0x02``."""
    for part in (word(path) or '').split(','):
        key, _, value = part.partition('=')
        if key == 'event':
            return int(value, 0)
    raise ValueError(f'{path} names no event')


def _cpus(mask: str) -> list[int]:
    """CPUs of a mask as ``0,4-5``."""
    found: list[int] = []
    for part in mask.split(','):
        first, _, last = part.partition('-')
        found += range(int(first), int(last or first) + 1)
    return found
