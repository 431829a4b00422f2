"""Model of the pressure cells: what a taxel reports for a normal force on its area.

Force to pressure, dead zone, gain, slow offset drift, low-pass, delay, dropouts, quantisation, saturation. No source
publishes any of these for the V5 Sense cells: every number in :class:`TactileParams` is ASSUMED (wide ranges, drawn
anew for each episode) except the two the vendor's driver shows, the 0.4 kPa step and the 102 kPa ceiling of the CAN
transport. The barometers of other hands are the same model with all pressures in proportion to their contact threshold
(:func:`params_for`). Calibrate on hardware before believing a pressure.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from allegro_description.errors import ConfigError
from allegro_description.model import HandModel
from allegro_description.state import Array

Range = tuple[float, float]
CONTACT_ON = 1500.0                 # Pa, contact threshold of the cells that the numbers below were assumed for


@dataclass(frozen=True, slots=True)
class TactileParams:
    """Ranges of the sensor model; each episode draws its own values.

    Attributes:
        area: effective contact area of a cell, m² (1 N on 60-160 mm² is 6-16 kPa). ASSUMED.
        dead_zone: pressure that the skin swallows, Pa. ASSUMED.
        gain: factor per cell. ASSUMED.
        offset: baseline per cell, Pa, never below the zero of the converter. ASSUMED.
        drift: amplitude of the slow drift of the baseline, Pa. ASSUMED.
        tau: low-pass time constant, s (the vendor's driver: 0.25 per 3 ms).
        delay: transport delay, s. ASSUMED.
        quantum: converter step, Pa (vendor's CAN transport).
        dead_tip: chance that one fingertip cell of the hand is dead (reports 0). ASSUMED.
        dropout: chance per sample and cell that the old value is repeated. ASSUMED.
    """

    area: Range = (60e-6, 160e-6)
    dead_zone: Range = (300.0, 1500.0)
    gain: Range = (0.6, 1.4)
    offset: Range = (0.0, 1000.0)
    drift: float = 500.0
    tau: float = 0.010
    delay: Range = (0.0, 0.040)
    quantum: float = 400.0
    dead_tip: float = 0.05
    dropout: float = 0.01


# A perfect cell, for tests and for showing what the imperfections cost.
IDEAL = TactileParams(area=(100e-6, 100e-6), dead_zone=(0.0, 0.0), gain=(1.0, 1.0), offset=(0.0, 0.0), drift=0.0,
                      tau=0.0, delay=(0.0, 0.0), quantum=0.0, dead_tip=0.0, dropout=0.0)


def params_for(hand: HandModel) -> TactileParams:
    """The sensor model at the scale of a hand's cells: as :class:`TactileParams` where contact begins at 1.5 kPa."""
    scale = hand.touch.get('contact_on_pa', CONTACT_ON) / CONTACT_ON
    p = TactileParams()
    return replace(
        p, area=_times(p.area, 1 / scale), dead_zone=_times(p.dead_zone, scale), offset=_times(p.offset, scale),
        drift=p.drift * scale, quantum=p.quantum * scale)


def _times(values: Range, factor: float) -> Range:
    return (values[0] * factor, values[1] * factor)


class TactileSensor:
    """All cells of one hand during one episode."""

    def __init__(self, hand: HandModel, rng: np.random.Generator, params: TactileParams | None = None) -> None:
        """Draw the episode's values from ``rng``; the same generator state gives the same sensor.

        Without ``params`` those of :func:`params_for`.
        """
        p = self.params = params or params_for(hand)
        n = len(hand.taxels)
        self._rng = rng
        self._area = rng.uniform(*p.area, n)
        self._dead_zone = rng.uniform(*p.dead_zone, n)
        self._gain = rng.uniform(*p.gain, n)
        self._offset = rng.uniform(*p.offset, n)
        self._phase = rng.uniform(0.0, 2 * np.pi, n)
        self._drift_rate = 2 * np.pi / rng.uniform(5.0, 20.0, n)        # rad/s: one swing in 5-20 s
        self.delay = float(rng.uniform(*p.delay))
        self.alive = np.ones(n, dtype=np.bool_)
        dead, which = rng.uniform(), int(rng.integers(max(1, hand.tip_taxels.size)))
        if dead < p.dead_tip and hand.tip_taxels.size:
            self.alive[hand.tip_taxels[which]] = False
        self._saturation = hand.actuation.tactile_saturation_pa
        self._time = 0.0
        self._filtered = np.zeros(n)
        self._line: deque[tuple[float, Array]] = deque()
        self._delayed = np.zeros(n)
        self._last = self._offset * self.alive if p.quantum == 0.0 else self._quantised(self._offset * self.alive)

    @property
    def drawn(self) -> Array:
        """Area, dead zone, gain, offset, phase and rate of the drift of every cell, (6, n_taxels)."""
        return np.stack([self._area, self._dead_zone, self._gain, self._offset, self._phase, self._drift_rate])

    @property
    def baseline(self) -> Array:
        """The last reading; before the first one what an untouched cell shows, Pa, (n_taxels,)."""
        return self._last

    def sense(self, taxel_forces: Array, dt: float) -> Array:
        """Advance by ``dt`` (s) with normal forces (N, (n_taxels,)) and return raw readings, Pa, (n_taxels,).

        Readings still hold the baseline, as on the wire; the driver's tare removes it.

        Raises:
            ConfigError: ``dt`` is not positive.
        """
        if not dt > 0.0:
            raise ConfigError(f'dt is {dt} s; must be positive')
        p = self.params
        self._time += dt
        pressure = np.maximum(np.asarray(taxel_forces) / self._area - self._dead_zone, 0.0) * self._gain
        self._filtered += (1.0 - np.exp(-dt / p.tau) if p.tau > 0 else 1.0) * (pressure - self._filtered)
        self._line.append((self._time, self._filtered.copy()))
        while self._line and self._line[0][0] <= self._time - self.delay + 1e-9:
            self._delayed = self._line.popleft()[1]
        drift = p.drift * np.sin(self._phase + self._drift_rate * self._time)
        raw = np.clip(self._delayed + self._offset + drift, 0.0, self._saturation) * self.alive
        raw = self._quantised(raw) if p.quantum > 0.0 else raw
        if p.dropout > 0.0:
            raw = np.where(self._rng.uniform(size=raw.size) < p.dropout, self._last, raw)
        self._last = raw
        return raw

    def _quantised(self, raw: Array) -> Array:
        return np.asarray(np.floor(raw / self.params.quantum + 1e-9) * self.params.quantum)


class TactileBank:
    """The cells of many hands side by side, each as a :class:`TactileSensor` that is read at one fixed period."""

    def __init__(self, hand: HandModel, count: int, period: float, samples: int) -> None:
        """Prepare ``count`` places.

        Args:
            hand: the hand.
            count: how many hands.
            period: s between two readings.
            samples: readings of one episode at most.
        """
        self._hand, self._period, self._samples = hand, period, samples
        n = len(hand.taxels)
        self._cells: list[TactileSensor | None] = [None] * count
        self._fixed = np.zeros((6, count, n))               # area, dead zone, gain, offset, phase, drift rate
        self._fixed[0] = 1.0
        self._alive, self._lag = np.ones((count, n), dtype=bool), np.zeros(count, dtype=np.intp)
        self._step = np.zeros(count, dtype=np.intp)
        self._filtered, self._last = np.zeros((count, n)), np.zeros((count, n))
        self._lost = np.zeros((count, samples, n), dtype=bool)
        self._line: Array = np.zeros((count, 1, n))
        self._saturation = hand.actuation.tactile_saturation_pa
        self.params = params_for(hand)
        self._line = np.zeros((count, self._lags(self.params.delay[1]) + 1, n))

    def start(self, place: int, rng: np.random.Generator) -> None:
        """Draw the cells of a new episode."""
        cells = TactileSensor(self._hand, rng, self.params)
        self._fixed[:, place] = cells.drawn
        self._alive[place], self._lag[place] = cells.alive, self._lags(cells.delay)
        self._step[place] = 0
        self._filtered[place] = self._line[place] = 0.0
        self._last[place] = cells.baseline
        self._lost[place] = rng.uniform(size=self._lost.shape[1:]) < self.params.dropout

    def sense(self, which: NDArray[np.intp], taxel_forces: Array) -> Array:
        """Advance some places by one period with normal forces (N, (k, n_taxels)); raw readings, Pa, (k, n_taxels)."""
        p = self.params
        area, dead_zone, gain, offset, phase, rate = self._fixed[:, which]
        step = self._step[which]
        pressure = np.maximum(taxel_forces / area - dead_zone, 0.0) * gain
        share = 1.0 - np.exp(-self._period / p.tau) if p.tau > 0 else 1.0
        self._filtered[which] += share * (pressure - self._filtered[which])
        depth = self._line.shape[1]
        self._line[which, step % depth] = self._filtered[which]
        delayed = self._line[which, (step - self._lag[which]) % depth]
        time = (step + 1)[:, None] * self._period
        raw = np.clip(delayed + offset + p.drift * np.sin(phase + rate * time), 0.0, self._saturation)
        raw = raw * self._alive[which]
        if p.quantum > 0.0:
            raw = np.floor(raw / p.quantum + 1e-9) * p.quantum
        raw = np.where(self._lost[which, step], self._last[which], raw)
        self._last[which] = raw
        self._step[which] = np.minimum(step + 1, self._samples - 1)
        return np.asarray(raw)

    def _lags(self, delay: float) -> int:
        return int(np.ceil(delay / self._period - 1e-6))
