"""A source of energy that is made up: a load of known joules, a virtual clock, and what every fake of a source can do.

Fakes show that the arithmetic between a raw reading and a number is right. They show nothing about real hardware.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from pathlib import Path

from allegro_bench.meters.meter import Meter, Sample


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
