"""What else is read around a block: CPU time, faults and switches of this process, clocks, temperature, frequency."""

from __future__ import annotations

import os
import resource
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

PAGE_MB = os.sysconf('SC_PAGE_SIZE') / 1e6


def usage() -> dict[str, float]:
    """CPU seconds, context switches and page faults of this process so far, all threads, and its peak memory."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return {'cpu_s': used.ru_utime + used.ru_stime, 'switches_voluntary': used.ru_nvcsw,
            'switches_forced': used.ru_nivcsw, 'faults_minor': used.ru_minflt, 'faults_major': used.ru_majflt,
            'peak_rss_mb': used.ru_maxrss * 1024 / 1e6}


def spent(before: Mapping[str, float], after: Mapping[str, float]) -> dict[str, float]:
    """What was used between two readings; the peak is the later one."""
    return {name: value if name == 'peak_rss_mb' else value - before[name] for name, value in after.items()}


class MemoryGauge:
    """Resident memory of this process, read without opening a file each time."""

    def __init__(self, path: str = '/proc/self/statm') -> None:
        """Open it."""
        self._file = os.open(path, os.O_RDONLY)

    def mb(self) -> float:
        """Resident now, MB."""
        return int(os.pread(self._file, 128, 0).split()[1]) * PAGE_MB

    def close(self) -> None:
        """Close it."""
        os.close(self._file)


def clock_offsets() -> dict[str, int]:
    """Wall clock minus CLOCK_MONOTONIC, and time slept by the machine (CLOCK_BOOTTIME minus it), ns."""
    steady = time.monotonic_ns()
    return {'realtime': time.time_ns() - steady, 'boottime': time.clock_gettime_ns(time.CLOCK_BOOTTIME) - steady}


def temperature_c(root: Path = Path('/sys')) -> float | None:
    """The hottest thermal zone, °C; None where there is none."""
    found = []
    for zone in root.glob('class/thermal/thermal_zone*/temp'):
        try:
            found.append(int(zone.read_text()) / 1e3)
        except (OSError, ValueError):
            continue
    return max(found, default=None)


def frequency_mhz(root: Path = Path('/sys')) -> float | None:
    """Mean clock of all cores now, MHz; None where the kernel does not tell."""
    found = []
    for core in root.glob('devices/system/cpu/cpu[0-9]*/cpufreq/scaling_cur_freq'):
        try:
            found.append(int(core.read_text()) / 1e3)
        except (OSError, ValueError):
            continue
    return sum(found) / len(found) if found else None


def throttle_events(root: Path = Path('/sys')) -> int | None:
    """Times that cores were slowed for heat so far; None where it is not counted."""
    found = []
    for core in root.glob('devices/system/cpu/cpu[0-9]*/thermal_throttle/core_throttle_count'):
        try:
            found.append(int(core.read_text()))
        except (OSError, ValueError):
            continue
    return sum(found) if found else None


def surroundings(root: Path = Path('/sys')) -> dict[str, Any]:
    """Temperature, clock and throttling now."""
    return {'temp_c': temperature_c(root), 'freq_mhz': frequency_mhz(root), 'throttle': throttle_events(root)}
