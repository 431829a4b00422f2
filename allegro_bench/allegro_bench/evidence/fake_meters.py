"""Fakes of every energy source at its lowest seam; those that are not files are here."""

from __future__ import annotations

import json
import math
import os
import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

from allegro_bench.evidence.fake_source import Fake
from allegro_bench.evidence.fake_sysfs import (
    FakeBattery,
    FakeHwmon,
    FakeHwmonPair,
    FakeHwmonPower,
    FakeIna3221,
    FakeNano,
    FakeOrinAgx,
    FakePowercap,
    FakeStat,
)
from allegro_bench.meters.external import ExternalMeter
from allegro_bench.meters.meter import Meter
from allegro_bench.meters.nvml import NvmlMeter
from allegro_bench.meters.perf import PerfMeter
from allegro_bench.meters.zeus import ZeusMeter


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


FAKES: tuple[type[Fake], ...] = (
    FakePowercap, FakePerf, FakeNvml, FakeIna3221, FakeOrinAgx, FakeNano, FakeHwmon, FakeHwmonPower, FakeHwmonPair,
    FakeBattery, FakeShelly, FakeZeus, FakeStat)
