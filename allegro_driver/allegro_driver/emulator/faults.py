"""The faults that are active now, and what they do to numbers; the table is in :mod:`.fault_table`.

Faults of the link act on units (datagrams, frames) in :mod:`.cable`, faults of the hand on its measurements and
answers. They come from the command line (``--fault drop=0.2``, ``--script``) or the control interface
(``{"op": "inject", "fault": "drop", "value": 0.2}``). Random ones draw from one seeded generator.
"""

from __future__ import annotations

import math
import random
from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
from allegro_description.errors import ConfigError, UnknownName
from allegro_description.model import HandModel
from allegro_description.state import Array

from allegro_driver.emulator.fault_table import FAULTS, ONCE, Setting, default_value, number, parse_value

_READINGS = {'saturated_taxel': None, 'taxel_invalid': math.nan, 'dead_taxel': 0.0}  # None: its maximum
_OTHER_SIDE = {'R': 'L', 'L': 'R', 'right': 'left', 'left': 'right'}
_OTHER_TYPE = {'A': 'B', 'B': 'A', 'C': 'A'}


@dataclass(slots=True)
class Active:
    """One active fault: its parsed value and when it ends by itself (seconds of the injecting clock, or None)."""

    value: tuple[float, float]
    shown: Setting
    until: float | None


class FaultSet:
    """The faults that are active now. No clock: whoever injects and queries passes the time in seconds."""

    def __init__(self, model: HandModel, seed: int = 0, possible: Collection[str] = FAULTS, where: str = '') -> None:
        """Start without faults.

        Args:
            model: names of joints, taxels and fingers.
            seed: of the random ones.
            possible: names of those that this wire and this hand can have.
            where: hand and wire, for messages.
        """
        self._model = model
        self.dice = random.Random(seed)
        self._possible = [name for name in FAULTS if name in possible]
        self._where = where or model.name
        self._active: dict[str, Active] = {}
        self._once: list[tuple[str, tuple[float, float]]] = []

    def check(self, name: str, value: object = None, duration_s: object = None) -> tuple[float, float]:
        """Return the parsed value of a fault without activating it.

        Raises:
            UnknownName: no such fault, taxel, finger or joint.
            ConfigError: this hand or wire cannot have it, or value or duration are not allowed.
        """
        if name not in FAULTS:
            raise UnknownName('fault', name, self._possible)
        if name not in self._possible:
            hint = '; use stale for a hand that falls silent' if name == 'bus_off' else ''
            raise ConfigError(f'{self._where} cannot have fault {name!r}{hint}; it can have: '
                              f'{", ".join(self._possible)}')
        if duration_s is not None:
            number(f'duration_s of fault {name!r}', duration_s, 0.0, 3600.0)
        return parse_value(name, self._setting(name, value), self._model)

    def inject(self, name: str, value: object = None, duration_s: object = None, now: float = 0.0) -> Setting:
        """Activate a fault, or give it a new value.

        Args:
            name: key of :data:`~.fault_table.FAULTS`.
            value: see :class:`~.fault_table.FaultKind`; None takes the default.
            duration_s: the fault ends by itself after so many seconds; None: only by :meth:`clear`.
            now: present time, s.

        Returns:
            The value in force.

        Raises:
            UnknownName, ConfigError: see :meth:`check`. Nothing has changed then.
        """
        parsed = self.check(name, value, duration_s)
        shown = self._setting(name, value)
        setting = shown if isinstance(shown, (int, float, str)) else None
        if name in ONCE:
            self._once.append((name, parsed))
        else:
            until = None if duration_s is None else now + float(duration_s)  # type: ignore[arg-type]
            self._active[name] = Active(parsed, setting, until)
        return setting

    def clear(self, name: str | None = None) -> None:
        """End one fault, or all of them.

        Raises:
            UnknownName: no such fault.
        """
        if name is not None and name not in FAULTS:
            raise UnknownName('fault', name, self._possible)
        for one in list(self._active) if name is None else [name]:
            self._active.pop(one, None)
        self._once = [] if name is None else [o for o in self._once if o[0] != name]

    def expire(self, now: float) -> None:
        """End the faults whose duration is over."""
        for name in [n for n, a in self._active.items() if a.until is not None and now >= a.until]:
            del self._active[name]

    def active(self) -> dict[str, Setting]:
        """Names and values of the active faults."""
        return {name: fault.shown for name, fault in self._active.items()}

    def __contains__(self, name: str) -> bool:
        return name in self._active

    # What the cable asks -------------------------------------------------------------------------------------------

    def happens(self, name: str) -> bool:
        """Throw the dice of a random fault; False when it is not active."""
        return name in self._active and self.dice.random() < self._active[name].value[0]

    def delay_s(self) -> float:
        """How much later units leave, s."""
        return self._first('delay', 0.0) / 1000.0

    def flood_rate(self) -> float:
        """Units of junk per second."""
        return self._first('flood', 0.0)

    # What the hand asks --------------------------------------------------------------------------------------------

    def ignores_request(self) -> bool:
        """True if this request stays unanswered; counts down."""
        fault = self._active.get('ignore_requests')
        if fault is None:
            return False
        left = int(fault.value[0]) - 1
        if left <= 0:
            del self._active['ignore_requests']
        else:
            fault.value, fault.shown = (float(left), 0.0), left
        return True

    def serial(self, text: str, side_at: int = 3) -> str:
        """The serial number as the hand would give it; ``side_at`` is the place of its R or L."""
        if 'blank_serial' in self._active:
            return ''
        if 'wrong_side' in self._active:
            text = _swap(text, side_at, _OTHER_SIDE)
        return _swap(text, 2, _OTHER_TYPE) if 'wrong_type' in self._active else text

    def side(self, side: str) -> str:
        """``right`` or ``left`` as the hand would say it of itself."""
        return _OTHER_SIDE[side] if 'wrong_side' in self._active else side

    def device(self, device: int) -> int:
        """The hand's device number."""
        return int(self._first('device_id', device))

    def period_ms(self, asked: float) -> float:
        """Period of the positions, ms, where the host asked for ``asked``."""
        return self._first('period_ignored', asked)

    def missing_finger(self) -> int | None:
        """Index of the finger whose positions are never sent."""
        return int(self._first('missing_finger', 0)) if 'missing_finger' in self._active else None

    def info_bits(self) -> int:
        """Status bits that complain."""
        return int(self._first('info_fault', 0))

    def position(self, measured: Array) -> Array:
        """Joint angles with encoder faults, rad."""
        if 'zero_offset' not in self._active:
            return measured
        joint, offset = self._active['zero_offset'].value
        wrong = measured.copy()
        wrong[int(joint)] += offset
        return wrong

    def tactile(self, pressure: Array) -> Array:
        """Taxel readings with sensor faults, Pa; NaN for a cell without a reading."""
        hit = [name for name in _READINGS if name in self._active]
        if not hit:
            return pressure
        wrong = pressure.copy()
        for name in hit:
            reading = _READINGS[name]
            wrong[int(self._active[name].value[0])] = (
                self._model.actuation.tactile_saturation_pa if reading is None else reading)
        return wrong

    def temperature(self, celsius: Array) -> Array:
        """Temperatures as they read, °C."""
        return np.full_like(celsius, self._first('overheat', 0.0)) if 'overheat' in self._active else celsius

    def take_motor_errors(self) -> list[tuple[int, int]]:
        """Error messages to send now, joint and status as on the wire, each once."""
        return [(int(joint), int(status)) for joint, status in self._take('motor_error')]

    def take_restart(self) -> float | None:
        """How long the restart that begins now takes, s; None if there is none."""
        restarts = self._take('restart')
        return restarts[-1][0] / 1000.0 if restarts else None

    # Inside ----------------------------------------------------------------------------------------------------------

    def _first(self, name: str, otherwise: float) -> float:
        return self._active[name].value[0] if name in self._active else otherwise

    def _take(self, name: str) -> list[tuple[float, float]]:
        if not self._once:
            return []
        taken = [value for kind, value in self._once if kind == name]
        self._once = [one for one in self._once if one[0] != name]
        return taken

    def _setting(self, name: str, value: object) -> object:
        return default_value(FAULTS[name], self._model) if value is None else value


def _swap(text: str, place: int, other: dict[str, str]) -> str:
    if place >= len(text):
        return text
    return text[:place] + other.get(text[place], text[place]) + text[place + 1:]
