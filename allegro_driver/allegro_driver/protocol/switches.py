"""Named switches of the CAN protocols: what no source settles.

They are set in a hand description below ``protocol.can``, or for one hand by the driver's parameter ``switches``.

Each has a safe default (the first value) and can be settled by looking at one real hand:

===================== ===================================================================================
finger_order          order of the position frames in a cycle: ``candump -t d`` shows the gap between two
                      cycles; ``any`` works with every order, but may mix cycles when a frame is lost
info_required         whether a hand that does not answer INFO is refused; some V5 firmware never answers
temperature_period_ms period of joint temperatures; V5 firmware keeps the message, nobody saw it sent
period_bytes          V4: length of the PERIOD frame; 8 adds ``status_period_ms``, a stream of INFO (wiki)
status_bits           V4: meaning of INFO's bits 1 … 4; ``vendor``: 1 heat, 2 communication; ``digit``:
                      1 heat, 2 throttling (no fault), 3 communication, 4 palm; ``any``: each is a fault
fingertip_ids         V5: messages of the fingertips, which moved with firmware 1.2
fingertip_order       V5 3-finger: fields of the fingertip frames: press the thumb
error_motor_base      V5: number of the first motor in error frames: stall one safely
tactile_frames        V5 Sense: ``legacy`` firmware sends cells as 16 bits in four frames: ``candump``
palm_scale            V5 Sense: what a count of the palm is worth in counts of other cells; the vendor's
                      CAN host takes it for ten: press it over CAN and over UDP
current_order         V5 Sense: which joint a current belongs to: push one finger
request               Plexus: remote frames, empty data frames, or both: ``candump`` beside the vendor's
mode_table            Plexus: number of the torque mode, 0x0B, or 0x0C in an older table of the vendor
at_exit               Plexus: whether period 0 ends a stream as it does on the other hands
===================== ===================================================================================
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from allegro_description.errors import ConfigError, UnknownName

ENTRY_KEYS = ('codec', 'order', 'default_address')
"""Keys of a ``protocol`` entry that are no switches."""

Choices = Mapping[str, Sequence[Any]]
Numbers = Mapping[str, tuple[int, int, int]]

_ALL: Choices = {'finger_order': ('index_first', 'thumb_first', 'any'), 'info_required': (False, True)}
_V5: Choices = {**_ALL, 'error_motor_base': (0, 1)}
_TIPS: Choices = {**_V5, 'fingertip_ids': ('both', 'new', 'old')}
_NO_TEMPERATURE: Numbers = {'period_ms': (3, 1, 0xFFFF), 'temperature_period_ms': (0, 0, 0xFFFF)}

CHOICES: Mapping[str, Choices] = {
    'v4_can': {**_ALL, 'period_bytes': (6, 8), 'status_bits': ('any', 'vendor', 'digit')},
    'v5_can': _TIPS,
    'v5_3f_can': {
        **_TIPS, 'fingertip_order': (('index', 'middle', 'thumb'), ('index', 'middle', 'unused', 'thumb'))},
    'v5_sense_can': {
        **_V5, 'tactile_frames': ('compressed', 'legacy'), 'palm_scale': (1, 10),
        'current_order': ('vendor', 'thumb_first', 'index_first'),
    },
    'plexus_can': {
        **_ALL, 'request': ('both', 'rtr', 'data'), 'mode_table': ('newer', 'older'),
        'at_exit': ('off', 'off_and_period_zero'),
    },
}
"""Codec to its switches: name to allowed values, the default first."""

NUMBERS: Mapping[str, Numbers] = {
    'v4_can': {
        'period_ms': (3, 1, 0xFFFF), 'temperature_period_ms': (500, 0, 0xFFFF), 'status_period_ms': (0, 0, 0xFFFF)},
    'v5_can': _NO_TEMPERATURE,
    'v5_3f_can': _NO_TEMPERATURE,
    'v5_sense_can': _NO_TEMPERATURE,
    'plexus_can': {
        'period_ms': (10, 1, 255), 'velocity_period_ms': (10, 0, 255), 'imu_period_ms': (10, 0, 255),
        'temperature_period_ms': (255, 0, 255),
    },
}
"""Codec to its numbers: name to (default, lowest, highest); whole numbers."""


def overridden(settings: Mapping[str, Any], text: str, where: str) -> dict[str, Any]:
    """The ``protocol`` entry of a hand description with some of its named switches set otherwise.

    Args:
        settings: the entry.
        text: ``NAME=VALUE`` separated by commas, e.g. ``info_required=true``; lists in brackets.
        where: the hand, for messages.

    Raises:
        UnknownName: not a switch of the entry's codec; numbers such as periods are none.
        ConfigError: not of that form, or a value that is not allowed.
    """
    result, codec = dict(settings), str(settings.get('codec', ''))
    choices = CHOICES.get(codec, {})
    for part in filter(None, (word.strip() for word in re.split(r',(?![^\[]*\])', text))):
        name, given, value = (piece.strip() for piece in part.partition('='))
        if name not in choices:
            raise UnknownName('switch', name, choices, f'({where}, {codec})')
        if not given or not value:
            raise ConfigError(f'{where}, {codec}: {part!r} is no switch; write NAME=VALUE, e.g. {name}='
                              f'{_text(choices[name][0])}')
        # By the text of what is allowed and not as YAML, for which off is false.
        known = {_text(choice): choice for choice in choices[name]}
        if (said := value.lower().replace(' ', '')) not in known:
            raise ConfigError(f'{where}, {codec}: {name} is {value!r}; allowed: {", ".join(known)}')
        result[name] = known[said]
    return result


def _text(choice: Any) -> str:
    return f'[{",".join(choice)}]' if isinstance(choice, tuple) else str(choice).lower()


class Switches:
    """The switches and numbers in force for one hand: ``switches['palm_scale']``."""

    def __init__(self, codec: str, settings: Mapping[str, Any] | None, where: str) -> None:
        """Read the ``protocol`` entry of a hand description.

        Args:
            codec: a key of ``CHOICES``.
            settings: the entry; what it does not name has its default.
            where: the hand, for messages.

        Raises:
            UnknownName: a key that is neither a switch of this codec nor one of ``ENTRY_KEYS``.
            ConfigError: a value that is not allowed; the message lists those that are.
        """
        choices, numbers = CHOICES[codec], NUMBERS[codec]
        given = dict(settings or {})
        for name in given:
            if name not in (*ENTRY_KEYS, *choices, *numbers):
                raise UnknownName('setting', str(name), (*choices, *numbers, *ENTRY_KEYS), f'({where}, {codec})')
        self._values: dict[str, Any] = {}
        for name, allowed in choices.items():
            value = given.get(name, allowed[0])
            value = tuple(value) if isinstance(value, list) else value
            if not any(value == choice and type(value) is type(choice) for choice in allowed):
                listing = ', '.join(str(list(c) if isinstance(c, tuple) else c) for c in allowed)
                raise ConfigError(f'{where}, {codec}: {name} is {value!r}; allowed: {listing}')
            self._values[name] = value
        for name, (default, low, high) in numbers.items():
            value = given.get(name, default)
            if type(value) is not int or not low <= value <= high:
                raise ConfigError(f'{where}, {codec}: {name} is {value!r}; allowed: whole numbers {low} … {high}')
            self._values[name] = value

    def __getitem__(self, name: str) -> Any:
        return self._values[name]
