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
