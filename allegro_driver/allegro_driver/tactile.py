"""Raw cell readings to touch: validity, baseline, light filter, contact. Pure: values in, values out, no clock.

Order of work on each sample:

1. **Validity.** *missing*: not finite, or negative. *saturated*: at or above the ceiling of the hand's description, or
   fallen from more than half of it to exactly 0 within one sample: an overloaded cell of this hand reports 0, and no
   finger lets go that fast. *frozen*: touched, yet not one bit has changed for long.
2. **Baseline.** The median of the first samples; again on request (:meth:`TactilePipeline.tare`). A cell that reads
   more than ``tare_limit_pa`` is being touched and keeps its former baseline; without one it is invalid until it is
   let go. Afterwards the baseline of a finger that touches nothing follows slow drift.
3. **Filter**, before negative values are cut off, so that noise is not rectified into pressure.
4. **Contact** per cell, with hysteresis.

A cell that always reads the same low value may be dead or just untouched; no reading tells. Such cells stay valid and
are listed as *silent*.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from allegro_description.errors import CommandRefused, ConfigError
from allegro_description.model import HandModel
from allegro_description.state import Array, TactileFrame, frozen
from numpy.typing import NDArray

from allegro_driver.config import TouchConfig

Mask = NDArray[np.bool_]

THRESHOLDS = ('tare_limit_pa', 'contact_on_pa', 'contact_off_pa')
"""Parameters for which 0 means what the hand description says under ``touch``."""
# A longer gap restarts filter and hysteresis: the past says nothing about the present then.
LONGEST_GAP_S = 0.1
# An overloaded cell is recognised by its fall from at least this share of the ceiling.
OVERLOAD_SHARE = 0.5


@dataclass(frozen=True, slots=True)
class TareReport:
    """Outcome of one tare.

    Attributes:
        done: names of the cells that have a new baseline.
        touched: names of those that read too much.
        missing: names of those without readings.
    """

    done: tuple[str, ...]
    touched: tuple[str, ...]
    missing: tuple[str, ...]

    @property
    def complete(self) -> bool:
        """True when every cell has a new baseline."""
        return not self.touched and not self.missing

    def __str__(self) -> str:
        parts = [f'{len(self.done)} of {len(self.done) + len(self.touched) + len(self.missing)} cells zeroed']
        if self.touched:
            parts.append(f'touched, so left as they were: {", ".join(self.touched)}')
        if self.missing:
            parts.append(f'no reading from: {", ".join(self.missing)}')
        return '; '.join(parts)


@dataclass(frozen=True, slots=True)
class TouchStatus:
    """Names of the cells by condition, and the age of the baseline.

    Attributes:
        baseline_age_s: time since the last tare, s; NaN before the first.
        untared: cells that have no baseline yet.
        silent: cells whose reading has never changed: untouched, or dead.
    """

    baseline_age_s: float
    untared: tuple[str, ...]
    missing: tuple[str, ...]
    saturated: tuple[str, ...]
    frozen: tuple[str, ...]
    silent: tuple[str, ...]
    contact: tuple[str, ...]


class TactilePipeline:
    """Touch of one hand. Feed every raw sample to :meth:`update`, in order."""

    def __init__(self, model: HandModel, config: TouchConfig | None = None) -> None:
        """Start without baseline.

        Raises:
            ConfigError: the hand has no taxels, or the contact thresholds are in the wrong order.
        """
        n = len(model.taxels)
        if n == 0:
            raise ConfigError(f'{model.name} has no taxels; do not start touch processing for it')
        self._model = model
        self._names = tuple(t.name for t in model.taxels)
        self._ceiling = model.actuation.tactile_saturation_pa
        groups = sorted({t.finger for t in model.taxels})
        self._group = np.array([groups.index(t.finger) for t in model.taxels])
        self._groups = len(groups)
        self.configure(config or TouchConfig())
        self._history: Array = np.full((self._config.tare_samples, n), np.nan)
        self._count = 0
        self._stamp = 0
        self._tared_ns: int | None = None
        self._baseline: Array = np.full(n, np.nan)
        self._raw: Array = np.full(n, np.nan)
        self._changed_ns: NDArray[np.int64] = np.zeros(n, dtype=np.int64)
        self._overload_ns: NDArray[np.int64] = np.zeros(n, dtype=np.int64)
        self._overload: Mask = np.zeros(n, dtype=bool)
        self._ever_changed: Mask = np.zeros(n, dtype=bool)
        self._missing: Mask = np.ones(n, dtype=bool)
        self._saturated: Mask = np.zeros(n, dtype=bool)
        self._frozen: Mask = np.zeros(n, dtype=bool)
        self._filtered: Array = np.full(n, np.nan)
        self.contact: Mask = np.zeros(n, dtype=bool)

    def configure(self, config: TouchConfig) -> None:
        """Take new live parameters; ``tare_samples`` is the one that only counts at the start.

        Raises:
            ConfigError: contact would end above where it begins, or a 0 for what the description does not say.
        """
        known: dict[str, Any] = {
            name: getattr(config, name) or self._model.touch.get(name, 0.0) for name in THRESHOLDS}
        unknown = [name for name, value in known.items() if not value > 0.0]
        if unknown:
            raise ConfigError(f'{self._model.name} is described without {", ".join(unknown)}; give values above 0 Pa')
        if known['contact_off_pa'] > known['contact_on_pa']:
            raise ConfigError(f'contact_off_pa is {known["contact_off_pa"]} Pa, above contact_on_pa '
                              f'{known["contact_on_pa"]} Pa; lower it')
        self._config = dataclasses.replace(config, **known)

    @property
    def baseline(self) -> Array:
        """Baseline per cell, Pa, (n_taxels,), NaN where there is none yet. A copy."""
        return self._baseline.copy()

    @property
    def stamp_ns(self) -> int:
        """Time of the newest sample, ns; 0 before the first."""
        return self._stamp

    def update(self, stamp_ns: int, raw: Array) -> TactileFrame:
        """Process one sample.

        Args:
            stamp_ns: time of the measurement, ns.
            raw: readings before baseline, Pa, (n_taxels,); NaN where missing.

        Returns:
            Pressure above baseline, Pa, and validity. Invalid cells show 0, saturated ones the ceiling.

        Raises:
            ConfigError: another number of readings than the hand has taxels.
        """
        if raw.shape != self._raw.shape:
            raise ConfigError(f'{raw.size} cell readings for a hand with {self._raw.size} taxels')
        dt = (stamp_ns - self._stamp) * 1e-9
        if self._count == 0 or not 0.0 <= dt <= LONGEST_GAP_S:
            dt = 0.0
            self._restart(stamp_ns)
        self._stamp = stamp_ns
        self._judge(stamp_ns, raw)
        self._remember(stamp_ns, raw)
        # A saturated cell carries at least its ceiling; a missing one nothing.
        reading = np.where(self._saturated, self._ceiling, raw) - self._baseline
        known = np.isfinite(reading) & ~self._missing
        self._filter(reading, known, dt)
        self._touch(known)
        idle = np.bincount(self._group, self.contact, self._groups)[self._group] == 0
        self._frozen = self._stuck(stamp_ns)
        valid = known & ~self._saturated & ~self._frozen
        self._follow(raw, valid & idle, dt)
        valid.setflags(write=False)
        pressure = np.where(known, np.maximum(self._filtered, 0.0), 0.0)
        return TactileFrame(stamp_ns, frozen(pressure), valid)

    def tare(self) -> TareReport:
        """Take the median of the newest samples as the new baseline.

        Raises:
            CommandRefused: there are not enough samples yet.
        """
        needed = len(self._history)
        if self._count < needed:
            raise CommandRefused(f'{self._count} of {needed} samples for a baseline so far; try again in a moment')
        return self._tare(np.ones(len(self._names), dtype=bool))

    def _tare(self, chosen: Mask) -> TareReport:
        needed = len(self._history)
        missing: Mask = np.isnan(self._history).sum(axis=0) * 2 > needed
        median = np.nanmedian(np.where(missing, 0.0, self._history), axis=0)
        touched: Mask = chosen & ~missing & (median > self._config.tare_limit_pa)
        done = chosen & ~missing & ~touched
        self._baseline = np.where(done, median, self._baseline)
        self._filtered[done] = np.nan
        self._tared_ns = self._stamp
        return TareReport(self._named(done), self._named(touched), self._named(missing & chosen))

    def status(self) -> TouchStatus:
        """Which cells are in which condition now."""
        age = math.nan if self._tared_ns is None else (self._stamp - self._tared_ns) * 1e-9
        return TouchStatus(
            age, self._named(np.isnan(self._baseline)), self._named(self._missing), self._named(self._saturated),
            self._named(self._frozen), self._named(~self._ever_changed), self._named(self.contact))

    def _named(self, mask: Mask) -> tuple[str, ...]:
        return tuple(self._names[i] for i in np.flatnonzero(mask))

    def _restart(self, stamp_ns: int) -> None:
        self._raw = np.full_like(self._raw, np.nan)
        self._filtered = np.full_like(self._filtered, np.nan)
        self._changed_ns[:] = stamp_ns
        self._overload[:] = False
        self.contact = np.zeros_like(self.contact)

    def _judge(self, stamp_ns: int, raw: Array) -> None:
        self._missing = ~(raw >= 0.0) | np.isinf(raw)
        last = self._raw
        fell = (last >= OVERLOAD_SHARE * self._ceiling) & (raw == 0.0)
        self._overload_ns[fell] = stamp_ns
        held = stamp_ns - self._overload_ns <= self._config.overload_hold_s * 1e9
        self._overload = fell | (self._overload & (raw == 0.0) & held)
        self._saturated = self._overload | ((raw >= self._ceiling) & ~self._missing)
        changed = (raw != last) & ~self._missing
        self._changed_ns[changed] = stamp_ns
        self._ever_changed |= changed & ~np.isnan(last)
        self._raw = np.where(self._missing, last, raw)

    def _remember(self, stamp_ns: int, raw: Array) -> None:
        self._history[self._count % len(self._history)] = np.where(self._missing, np.nan, raw)
        self._count += 1
        if self._count % len(self._history) == 0:
            untared: Mask = np.isnan(self._baseline)
            if untared.any():
                self._tare(untared)

    def _filter(self, reading: Array, known: Mask, dt: float) -> None:
        fresh = np.isnan(self._filtered)
        cutoff = self._config.filter_hz
        share = 1.0 - math.exp(-2 * math.pi * cutoff * dt) if cutoff > 0 else 1.0
        step = np.where(fresh, reading, self._filtered + share * (reading - self._filtered))
        self._filtered = np.where(known, step, np.nan)

    def _touch(self, known: Mask) -> None:
        level = np.where(self.contact, self._config.contact_off_pa, self._config.contact_on_pa)
        self.contact = known & (np.nan_to_num(self._filtered) > level)

    def _stuck(self, stamp_ns: int) -> Mask:
        if self._config.frozen_after_s <= 0.0:
            return np.zeros_like(self.contact)
        still = stamp_ns - self._changed_ns > self._config.frozen_after_s * 1e9
        return np.asarray(still & self.contact & ~self._saturated)

    def _follow(self, raw: Array, idle: Mask, dt: float) -> None:
        if self._config.drift_s <= 0.0 or dt <= 0.0:
            return
        share = 1.0 - math.exp(-dt / self._config.drift_s)
        self._baseline[idle] += share * (raw[idle] - self._baseline[idle])
