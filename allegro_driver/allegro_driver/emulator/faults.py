"""What may go wrong with an emulated hand: a table of faults and the set of those that are active.

Faults of the link act on datagrams, faults of the hand on its measurements and answers. They come from the command
line (``--fault drop=0.2``) or the control interface (``{"op": "inject", "fault": "drop", "value": 0.2}``). Random ones
draw from one seeded generator.
"""

from __future__ import annotations

import math
import random
from collections.abc import Mapping
from dataclasses import dataclass

from allegro_description.errors import ConfigError, UnknownName
from allegro_description.model import HandModel
from allegro_description.state import Array

from allegro_driver.protocol.v5b2_payloads import MotorError

Setting = float | int | str | None


@dataclass(frozen=True, slots=True)
class FaultKind:
    """One fault of the table.

    Attributes:
        doc: what happens.
        value: ``none``, ``probability`` (0..1), ``ms`` (0..10000), ``count`` (1..1000), ``taxel`` (name or index),
            ``motor`` (JOINT or JOINT:STATUS, both 0..255) or ``offset`` (JOINT_NAME:RAD).
        default: value when none is given.
    """

    doc: str
    value: str = 'none'
    default: Setting = None


FAULTS: Mapping[str, FaultKind] = {
    'drop': FaultKind('each datagram, in and out, is lost with this probability', 'probability', 0.1),
    'delay': FaultKind('everything the hand sends arrives this much later', 'ms', 20.0),
    'duplicate': FaultKind('each datagram sent is sent twice with this probability', 'probability', 0.1),
    'reorder': FaultKind('each datagram sent changes places with its successor with this probability', 'probability',
                         0.1),
    'corrupt': FaultKind('one byte of each datagram sent is changed with this probability', 'probability', 0.1),
    'freeze': FaultKind('telemetry goes on, but sample counter and measurements stand still'),
    'stale': FaultKind('telemetry stops; requests are still answered and the last currents still act'),
    'ignore_requests': FaultKind('the next so many requests (HELLO, serial, network) are not answered', 'count', 1),
    'wrong_side': FaultKind('the serial number names the other side'),
    'blank_serial': FaultKind('the serial number is lost: eight zero bytes'),
    'motor_error': FaultKind('one MOTOR_ERROR packet: JOINT[:STATUS], JOINT 1-based, STATUS bits as the V5 manual\'s '
                             'error byte', 'motor', '1:32'),
    'dead_taxel': FaultKind('this taxel reads 0', 'taxel', 'index_tip'),
    'saturated_taxel': FaultKind('this taxel reads its maximum', 'taxel', 'index_tip'),
    'zero_offset': FaultKind('this encoder\'s zero is off: JOINT_NAME:RAD', 'offset', 'joint_13_0:1.47'),
}


def describe() -> str:
    """The table as text for ``--help``."""
    rows = []
    for name, kind in FAULTS.items():
        shown = name if kind.value == 'none' else f'{name}[={kind.default}]'
        rows.append(f'  {shown:<32} {kind.doc}')
    return '\n'.join(rows)


def split(text: str) -> tuple[str, str | None]:
    """Take ``name[=value]`` of the command line apart."""
    name, equals, value = text.partition('=')
    return name, value if equals else None


@dataclass(slots=True)
class Active:
    """One active fault: its parsed value and when it ends by itself (seconds of the injecting clock, or None)."""

    value: tuple[float, float]
    shown: Setting
    until: float | None


class FaultSet:
    """The faults that are active now. No clock: whoever injects and queries passes the time in seconds."""

    def __init__(self, model: HandModel, seed: int = 0) -> None:
        """Start without faults."""
        self._model = model
        self._random = random.Random(seed)
        self._active: dict[str, Active] = {}
        self._errors: list[MotorError] = []

    def inject(self, name: str, value: object = None, duration_s: object = None, now: float = 0.0) -> Setting:
        """Activate a fault, or give it a new value.

        Args:
            name: key of :data:`FAULTS`.
            value: see :class:`FaultKind`; None takes the default.
            duration_s: the fault ends by itself after so many seconds; None: only by :meth:`clear`.
            now: present time, s.

        Returns:
            The value in force.

        Raises:
            UnknownName: no such fault, taxel or joint.
            ConfigError: the value or the duration is not allowed. Nothing has changed then.
        """
        if name not in FAULTS:
            raise UnknownName('fault', name, FAULTS)
        kind = FAULTS[name]
        shown = kind.default if value is None else value
        parsed = self._parse(name, kind.value, shown)
        until = None if duration_s is None else now + _number(f'duration_s of fault {name!r}', duration_s, 0.0, 3600.0)
        setting = shown if isinstance(shown, (int, float, str)) else None
        if name == 'motor_error':
            self._errors.append(MotorError(int(parsed[0]), int(parsed[1])))
        else:
            self._active[name] = Active(parsed, setting, until)
        return setting

    def clear(self) -> None:
        """End all faults."""
        self._active.clear()
        self._errors.clear()

    def expire(self, now: float) -> None:
        """End the faults whose duration is over."""
        for name in [n for n, a in self._active.items() if a.until is not None and now >= a.until]:
            del self._active[name]

    def active(self) -> dict[str, Setting]:
        """Names and values of the active faults."""
        return {name: fault.shown for name, fault in self._active.items()}

    def __contains__(self, name: str) -> bool:
        return name in self._active

    # What the hand and the server ask ----------------------------------------------------------------------------

    def happens(self, name: str) -> bool:
        """Throw the dice of a random fault; False when it is not active."""
        return name in self._active and self._random.random() < self._active[name].value[0]

    def delay_s(self) -> float:
        """How much later datagrams leave, s."""
        return self._active['delay'].value[0] / 1000.0 if 'delay' in self._active else 0.0

    def spoil(self, datagram: bytes) -> bytes:
        """Change one byte to another value."""
        place = self._random.randrange(len(datagram))
        other = datagram[place] ^ self._random.randrange(1, 256)
        return datagram[:place] + bytes((other,)) + datagram[place + 1:]

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

    def serial(self, text: str) -> str:
        """The serial number as the hand would give it."""
        if 'blank_serial' in self._active:
            return ''
        if 'wrong_side' in self._active and len(text) > 3:
            return text[:3] + {'R': 'L', 'L': 'R'}.get(text[3], text[3]) + text[4:]
        return text

    def position(self, measured: Array) -> Array:
        """Joint angles with encoder faults, rad."""
        if 'zero_offset' not in self._active:
            return measured
        joint, offset = self._active['zero_offset'].value
        wrong = measured.copy()
        wrong[int(joint)] += offset
        return wrong

    def tactile(self, pressure: Array) -> Array:
        """Taxel readings with sensor faults, Pa."""
        if 'dead_taxel' not in self._active and 'saturated_taxel' not in self._active:
            return pressure
        wrong = pressure.copy()
        if 'saturated_taxel' in self._active:
            wrong[int(self._active['saturated_taxel'].value[0])] = self._model.actuation.tactile_saturation_pa
        if 'dead_taxel' in self._active:
            wrong[int(self._active['dead_taxel'].value[0])] = 0.0
        return wrong

    def take_motor_errors(self) -> list[MotorError]:
        """MOTOR_ERROR packets to send now, each once."""
        errors, self._errors = self._errors, []
        return errors

    # Values ----------------------------------------------------------------------------------------------------------

    def _parse(self, name: str, kind: str, value: object) -> tuple[float, float]:
        what = f'value of fault {name!r}'
        if kind == 'none':
            if value not in (None, True):
                raise ConfigError(f'fault {name!r} takes no value, got {value!r}')
            return (1.0, 0.0)
        if kind == 'probability':
            return (_number(what, value, 0.0, 1.0), 0.0)
        if kind == 'ms':
            return (_number(what, value, 0.0, 10_000.0), 0.0)
        if kind == 'count':
            return (float(int(_number(what, value, 1, 1000))), 0.0)
        first, _, second = str(value).partition(':')
        if kind == 'taxel':
            names = [t.name for t in self._model.taxels]
            if first in names:
                return (float(names.index(first)), 0.0)
            if not first.isdecimal():
                raise UnknownName('taxel', first, names)
            return (float(int(_number(what, first, 0, len(names) - 1))), 0.0)
        if kind == 'motor':
            return (_byte(what, first), _byte(what, second or '32'))
        return (float(self._model.joint_index(first)), _number(what, second, -math.pi, math.pi))


def _number(what: str, value: object, low: float, high: float) -> float:
    try:
        number = math.nan if isinstance(value, bool) else float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError):
        number = math.nan
    if not low <= number <= high:
        raise ConfigError(f'{what} is {value!r}; allowed: a number {low:g} … {high:g}')
    return number


def _byte(what: str, text: str) -> float:
    try:
        number = int(text, 0)
    except ValueError:
        number = -1
    if not 0 <= number <= 255:
        raise ConfigError(f'{what} holds {text!r}; allowed: whole numbers 0 … 255, as JOINT or JOINT:STATUS')
    return float(number)
