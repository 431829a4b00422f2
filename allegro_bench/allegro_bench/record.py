"""What a run leaves behind as arrays: ``ticks.npz`` (every tick) and ``series.npz`` (traces), and nothing derived."""

from __future__ import annotations

import hashlib
from array import array
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from allegro_description.errors import ConfigError
from allegro_description.state import Array

from allegro_bench.latency import Gaps, Stamps, Ticks, period_of, restore

TICKS_FILE, SERIES_FILE = 'ticks.npz', 'series.npz'


class Rows:
    """Rows of numbers that grow: compact while a run lasts, an array at its end."""

    def __init__(self, width: int, kind: str = 'd') -> None:
        """Take rows of ``width`` numbers of an ``array.array`` type code: ``q``, ``d`` or ``f``."""
        self._width, self._data = width, array(kind)

    def append(self, *values: float) -> None:
        """Add one row."""
        self._data.extend(values)  # type: ignore[arg-type]

    def __len__(self) -> int:
        return len(self._data) // self._width

    def table(self, last: int = 0) -> np.ndarray[Any, Any]:
        """A copy of all rows, or of the ``last`` ones, (n, width)."""
        start = max(0, len(self._data) - last * self._width) if last else 0
        return np.array(self._data[start:], dtype=self._data.typecode).reshape(-1, self._width)


@dataclass(frozen=True, slots=True, eq=False)
class TickRecord:
    """Contents of ``ticks.npz``. Stamps are ns of the run's clock.

    Attributes:
        done: completed ticks in order of finish: index, release, start, finish, backend, (n, 5) int64.
        commands: observation stamp and time of receipt of each joint command, (m, 2) int64.
        backends: names that ``done`` refers to.
        t0_ns: when the profiler began to listen.
    """

    done: Stamps
    commands: Stamps
    backends: tuple[str, ...]
    t0_ns: int

    @property
    def period_ns(self) -> int:
        """Control period seen in the releases, ns; 0 where there are fewer than two ticks."""
        return period_of(self.done[:, 0], self.done[:, 1])

    def restored(self) -> tuple[Ticks, Gaps]:
        """Every tick with the skipped ones put back, and the account of it."""
        index, release, start, finish, backend = self.done.T
        return restore(index, release, start, finish, backend, self.period_ns)

    def command_ages(self) -> tuple[Stamps, Stamps]:
        """End-to-end ages of the commands that an inference caused, ns, and the number of its row in ``done``.

        A command belongs to the last inference that had finished before it was received, if that was less than one
        period ago, and the first command after an inference is the one. Targets sent without inference (ramps) are
        left out.
        """
        order = np.argsort(self.commands[:, 1], kind='stable')
        observed, received = self.commands[order].T
        finish = self.done[:, 3]
        row = np.searchsorted(finish, received, side='right') - 1
        near = (row >= 0) & (observed > 0)
        near[near] &= received[near] - finish[row[near]] < max(self.period_ns, 1)
        # The observation must precede the inference, or the command answers something else.
        near[near] &= observed[near] <= self.done[row[near], 2]
        rows, first = np.unique(row[near], return_index=True)
        return (received - observed)[near][first], rows.astype(np.int64)

    def save(self, folder: Path) -> None:
        """Write ``ticks.npz``."""
        np.savez_compressed(folder / TICKS_FILE, done=self.done, commands=self.commands,
                            backends=np.array(self.backends, dtype=np.str_), t0_ns=np.int64(self.t0_ns))


@dataclass(slots=True, eq=False)
class SeriesRecord:
    """Contents of ``series.npz``: arrays by name. Times are s since ``t0_ns``.

    ``torque`` (n, 1 + joints) N·m and ``pressure`` (n, 1 + fingers) Pa begin with the time; ``cpu/<pid>`` and
    ``energy/<channel>`` are (n, 2) and (n, 3): time, sum [, faults]; ``diagnostics/<status>/<key>`` is (n, 2).
    """

    arrays: dict[str, Array] = field(default_factory=dict)

    def group(self, prefix: str) -> dict[str, Array]:
        """All arrays whose name begins with ``prefix/``, by the rest of the name."""
        return {k[len(prefix) + 1:]: v for k, v in self.arrays.items() if k.startswith(prefix + '/')}

    def save(self, folder: Path) -> None:
        """Write ``series.npz``."""
        # Names hold slashes and spaces, which file names in the archive must not.
        names = np.array(list(self.arrays), dtype=np.str_)
        np.savez_compressed(folder / SERIES_FILE, names=names,
                            **{f'a{i}': a for i, a in enumerate(self.arrays.values())})  # type: ignore[arg-type]


def _load(path: Path) -> Mapping[str, np.ndarray[Any, Any]]:
    try:
        with np.load(path, allow_pickle=False) as archive:
            return dict(archive)
    except (OSError, ValueError, EOFError) as error:
        raise ConfigError(f'{path} cannot be read: {error}') from error
    except Exception as error:  # zipfile and zlib raise their own kinds on damaged archives
        raise ConfigError(f'{path} is damaged: {error}') from error


def load_ticks(folder: Path) -> TickRecord:
    """Read ``ticks.npz``.

    Raises:
        ConfigError: missing, damaged or of another shape.
    """
    found = _load(folder / TICKS_FILE)
    try:
        return TickRecord(found['done'].reshape(-1, 5), found['commands'].reshape(-1, 2),
                          tuple(str(n) for n in found['backends']), int(found['t0_ns']))
    except (KeyError, ValueError) as error:
        raise ConfigError(f'{folder / TICKS_FILE} is no tick file of this suite: {error}') from error


def load_series(folder: Path) -> SeriesRecord:
    """Read ``series.npz``.

    Raises:
        ConfigError: missing, damaged or of another shape.
    """
    found = _load(folder / SERIES_FILE)
    try:
        return SeriesRecord({str(name): found[f'a{i}'] for i, name in enumerate(found['names'])})
    except KeyError as error:
        raise ConfigError(f'{folder / SERIES_FILE} is no series file of this suite: {error}') from error


def sha256(path: Path) -> str:
    """Hash of a file's bytes, hexadecimal."""
    return hashlib.sha256(path.read_bytes()).hexdigest()
