"""What may go wrong with an emulated hand: the table of faults, and how their values are read."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Mapping
from dataclasses import dataclass

from allegro_description.errors import ConfigError, UnknownName
from allegro_description.model import HandModel

Setting = float | int | str | None

_COLUMNS = 82   # of the description in the printed table
ONCE = frozenset({'motor_error', 'restart'})
"""Faults that happen once instead of lasting."""


@dataclass(frozen=True, slots=True)
class FaultKind:
    """One fault of the table.

    Attributes:
        doc: what happens.
        value: ``none``, ``probability`` (0..1), ``ms`` (0..10000), ``count`` (1..1000), ``rate`` (1..20000 per s),
            ``taxel`` (name or index), ``finger`` (name), ``device`` (0..3), ``celsius`` (0..255), ``byte`` (0..255),
            ``motor`` (JOINT or JOINT:STATUS, both 0..255) or ``offset`` (JOINT_NAME:RAD).
        default: value when none is given; ``{finger}``, ``{tip}`` and ``{thumb}`` stand for the first finger, the first
            fingertip taxel and the second joint of the last finger.
    """

    doc: str
    value: str = 'none'
    default: Setting = None


FAULTS: Mapping[str, FaultKind] = {
    'drop': FaultKind('each unit, in and out, is lost with this probability', 'probability', 0.1),
    'delay': FaultKind('everything the hand sends arrives this much later', 'ms', 20.0),
    'duplicate': FaultKind('each unit sent is sent twice with this probability', 'probability', 0.1),
    'reorder': FaultKind('each unit sent changes places with its successor with this probability', 'probability', 0.1),
    'corrupt': FaultKind('one byte of each unit sent is changed with this probability', 'probability', 0.1),
    'flood': FaultKind('so many units a second that mean nothing come besides: unknown identifiers, junk datagrams',
                       'rate', 1000),
    'wrong_peer': FaultKind('each unit sent is followed, with this probability, by a forged one with other contents '
                            'from another device number or UDP port', 'probability', 1.0),
    'bus_off': FaultKind('CAN: nothing gets through in either direction'),
    'freeze': FaultKind('samples go on, but counters and measurements stand still'),
    'stale': FaultKind('samples stop; requests are still answered and the last torques still act'),
    'missing_finger': FaultKind('CAN: this finger\'s position frame is never sent', 'finger', '{finger}'),
    'period_ignored': FaultKind('CAN: positions come with this period, whatever the host sets; 0: never', 'ms', 10),
    'device_id': FaultKind('CAN: the hand has this device number', 'device', 1),
    'ignore_requests': FaultKind('the next so many requests (who are you, serial …) are not answered', 'count', 1),
    'restart': FaultKind('the hand starts anew: deaf for so long, then servo off, torque mode, no torque, no session',
                         'ms', 200.0),
    'wrong_side': FaultKind('serial number and information name the other side'),
    'wrong_type': FaultKind('the serial number names another type of the V5 family (A, B)'),
    'blank_serial': FaultKind('the serial number is lost: eight zero bytes'),
    'motor_error': FaultKind('one error message: JOINT[:STATUS], JOINT as on the wire, STATUS bits as the V5 manual\'s '
                             'error byte', 'motor', '1:32'),
    'info_fault': FaultKind('the information of a V4 or Plexus complains: these status bits are set', 'byte', 2),
    'overheat': FaultKind('all temperatures read so many °C', 'celsius', 90),
    'dead_taxel': FaultKind('this taxel reads 0', 'taxel', '{tip}'),
    'saturated_taxel': FaultKind('this taxel reads its maximum', 'taxel', '{tip}'),
    'taxel_invalid': FaultKind('this taxel has no reading: 0xFF bytes, or the largest value of its field', 'taxel',
                               '{tip}'),
    'zero_offset': FaultKind('this encoder\'s zero is off: JOINT_NAME:RAD', 'offset', '{thumb}:1.47'),
}


def describe() -> str:
    """The table as text for ``--help``."""
    rows = []
    for name, kind in FAULTS.items():
        default = str(kind.default).format(finger='index', tip='index_tip', thumb='joint_13_0')
        shown = name if kind.value == 'none' else f'{name}[={default}]'
        first, *more = textwrap.wrap(kind.doc, _COLUMNS)
        rows.append(f'  {shown:<32} {first}')
        rows.extend(' ' * 35 + line for line in more)
    return '\n'.join(rows)


def split(text: str) -> tuple[str, str | None]:
    """Take ``name[=value]`` of the command line apart."""
    name, equals, value = text.partition('=')
    return name.strip(), value.strip() if equals else None


def default_value(kind: FaultKind, model: HandModel) -> Setting:
    """The default of a fault, for this hand."""
    if not isinstance(kind.default, str) or '{' not in kind.default:
        return kind.default
    tips = [t.name for t in model.taxels if t.tip]
    by_finger = [t.name for f in model.fingers for t in model.taxels if t.tip and t.finger == f.name]
    return kind.default.format(
        finger=model.fingers[0].name, tip=(by_finger or tips or [''])[0], thumb=model.fingers[-1].joints[1])


def parse_value(name: str, value: object, model: HandModel) -> tuple[float, float]:
    """Read the value of a fault as one or two numbers.

    Args:
        name: key of :data:`FAULTS`.
        value: text or number.
        model: its joints, taxels and fingers.

    Raises:
        UnknownName: no such taxel, finger or joint.
        ConfigError: the value is not allowed.
    """
    kind, what = FAULTS[name].value, f'value of fault {name!r}'
    if kind == 'none':
        if value not in (None, True):
            raise ConfigError(f'fault {name!r} takes no value, got {value!r}')
        return (1.0, 0.0)
    if kind in _RANGES:
        return (number(what, value, *_RANGES[kind]), 0.0)
    if kind in _WHOLE_RANGES:
        return (float(int(number(what, value, *_WHOLE_RANGES[kind]))), 0.0)
    first, _, second = str(value).partition(':')
    if kind == 'finger':
        names = [f.name for f in model.fingers]
        if first not in names:
            raise UnknownName('finger', first, names)
        return (float(names.index(first)), 0.0)
    if kind == 'taxel':
        names = [t.name for t in model.taxels]
        if first in names:
            return (float(names.index(first)), 0.0)
        if not first.isdecimal():
            raise UnknownName('taxel', first, names)
        return (float(int(number(what, first, 0, len(names) - 1))), 0.0)
    if kind == 'byte':
        return (_byte(what, first), 0.0)
    if kind == 'motor':
        return (_byte(what, first), _byte(what, second or '32'))
    return (float(model.joint_index(first)), number(what, second, -math.pi, math.pi))


_RANGES = {'probability': (0.0, 1.0), 'ms': (0.0, 10_000.0), 'celsius': (0.0, 255.0)}
_WHOLE_RANGES = {'count': (1, 1000), 'rate': (1, 20_000), 'device': (0, 3)}


def number(what: str, value: object, low: float, high: float) -> float:
    """Read a number between ``low`` and ``high``; ``what`` names it in messages.

    Raises:
        ConfigError: no number, or outside.
    """
    try:
        result = math.nan if isinstance(value, bool) else float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError):
        result = math.nan
    if not low <= result <= high:
        raise ConfigError(f'{what} is {value!r}; allowed: a number {low:g} … {high:g}')
    return result


def _byte(what: str, text: str) -> float:
    try:
        value = int(text, 0)
    except ValueError:
        value = -1
    if not 0 <= value <= 255:
        raise ConfigError(f'{what} holds {text!r}; allowed: whole numbers 0 … 255, with a colon between two of them')
    return float(value)
