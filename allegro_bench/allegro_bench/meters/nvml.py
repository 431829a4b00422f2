"""NVIDIA GPUs through NVML: the board's total energy counter (Volta and later).

The counter steps every 20 to 100 ms, so a window is long. Power is read only where a GPU has no counter, and then is an
average over up to a second of which some GPUs sample a quarter.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

from allegro_description.errors import ConfigError, MissingDependency

from allegro_bench.meters.counter import WrappingCounter
from allegro_bench.meters.meter import Channel
from allegro_bench.meters.sampled import INTERVAL_S, SampledPower
from allegro_bench.meters.sources import Clock, Source, SourceMeter, monotonic

INSTALL = "pip install 'allegro_bench[nvidia]'"
COUNTER_RANGE = 2**64 - 1
LEAST_LIMIT_W = 1000.0
FROZEN_S = 5.0
ACCURACY = (5.0, 'commonly quoted for boards, not verified here')


class NvmlMeter(SourceMeter):
    """Every NVIDIA GPU of the machine."""

    def __init__(self, nvml: Any = None, clock: Clock = monotonic) -> None:
        """Open all GPUs.

        Args:
            nvml: the module ``pynvml``, or what behaves like it.
            clock: seconds, monotonic.

        Raises:
            MissingDependency: nvidia-ml-py is not installed.
            ConfigError: no driver, no GPU, no permission, or a GPU that is split (MIG).
        """
        nvml = nvml or _pynvml()
        self._nvml = nvml
        self._opened = False
        try:
            nvml.nvmlInit()
            self._opened = True
            count = int(nvml.nvmlDeviceGetCount())
        except nvml.NVMLError as error:
            self.close()
            raise ConfigError(f'NVML does not work here: {error}. It comes with the NVIDIA driver, and not to Jetson '
                              'modules: those have ina3221') from error
        try:
            super().__init__(*self._all(count, clock()), clock, 60.0)
        except ConfigError:
            self.close()
            raise
        if any(c.kind == 'sampled' for c in self.channels):
            self.guard_s = INTERVAL_S

    def _all(self, count: int, now_s: float) -> tuple[list[Channel], dict[str, Source]]:
        channels: list[Channel] = []
        sources: dict[str, Source] = {}
        for index in range(count):
            name = f'gpu{index}'
            try:
                handle = self._nvml.nvmlDeviceGetHandleByIndex(index)
                self._refuse_split(index, handle)
                counts, source = self._source(handle, now_s)
                what = _text(self._nvml.nvmlDeviceGetName(handle))
            except (self._nvml.NVMLError, OSError, ValueError) as error:
                raise ConfigError(f'energy of GPU {index} cannot be read: {error}') from error
            sources[name] = source
            channels.append(Channel(
                id=name, driver='nvml', kind='counter' if counts else 'sampled', boundary='gpu_board',
                quality='measured', path_or_device=f'NVML device {index}, {what}', unit_raw='mJ' if counts else 'mW',
                update_period_s=0.1 if counts else 1.0, resolution_j=0.001 if counts else None,
                accuracy_pct=ACCURACY[0], accuracy_source=ACCURACY[1]))
        if not channels:
            raise ConfigError('NVML finds no GPU')
        return channels, sources

    def _refuse_split(self, index: int, handle: Any) -> None:
        try:
            current, _ = self._nvml.nvmlDeviceGetMigMode(handle)
        except self._nvml.NVMLError:
            return  # a GPU that cannot be split
        if current:
            raise ConfigError(f'GPU {index} is split into instances (MIG): its energy cannot be told apart. Measure '
                              'with MIG switched off')

    def _source(self, handle: Any, now_s: float) -> tuple[bool, Source]:
        nvml = self._nvml
        try:
            limit = max(LEAST_LIMIT_W, 4e-3 * nvml.nvmlDeviceGetPowerManagementLimit(handle))
        except nvml.NVMLError:
            limit = LEAST_LIMIT_W
        try:
            nvml.nvmlDeviceGetTotalEnergyConsumption(handle)
        except nvml.NVMLError_NotSupported:
            return False, SampledPower(self._reader(lambda: 1e-3 * nvml.nvmlDeviceGetPowerUsage(handle)), limit, now_s)
        energy = self._reader(lambda: nvml.nvmlDeviceGetTotalEnergyConsumption(handle))
        return True, WrappingCounter(lambda: int(energy()), COUNTER_RANGE, 1e-3, limit, now_s, FROZEN_S)

    def _reader(self, call: Callable[[], Any]) -> Callable[[], float]:
        def read() -> float:
            try:
                value: float = call()
            except self._nvml.NVMLError as error:
                raise OSError(f'NVML: {error}') from error
            return value

        return read

    def close(self) -> None:
        """Let go of NVML."""
        if self._opened:
            self._opened = False
            self._nvml.nvmlShutdown()


def _pynvml() -> Any:
    try:
        return importlib.import_module('pynvml')
    except ImportError as error:
        raise MissingDependency(f'energy meter nvml needs nvidia-ml-py: {INSTALL}') from error


def _text(name: Any) -> str:
    return name.decode(errors='replace') if isinstance(name, bytes) else str(name)
