"""Named switches of the CAN protocols: what no source settles. Set in a hand description below ``protocol.can``.

Each has a safe default (the first value) and can be settled by looking at one real hand:

=============== =========================================================================================
first_finger    the finger whose position frame begins a cycle: ``candump -t d`` shows the gap before it
temperature_ms  period of joint temperatures; V5 firmware keeps the message, nobody has seen it sent
period_bytes    V4: length of the PERIOD frame; 8 adds ``status_ms``, the stream of INFO (V4 wiki)
status_bits     V4: meaning of INFO's bits 1 … 4; ``vendor``: 1 temperature, 2 communication; ``digit``:
                1 temperature, 2 throttling (no fault), 3 communication, 4 palm; ``any``: each is a fault
thumb_tip       V5 3-finger: which pressure field is the thumb's: press it
tactile_layout  V5 Sense: ``legacy`` firmware sends cells as 16 bits in four frames: ``candump``
palm_scale      V5 Sense: whether a count of the palm is ten times the pressure of a count of the other
                cells, as the vendor's CAN host reads it: press it over CAN and over UDP
current_order   V5 Sense: which joint a current belongs to: push one finger
request_form    Plexus: remote frames, empty data frames, or both: ``candump`` beside the vendor's driver
mode_table      Plexus: number of the torque mode, 0x0B, or 0x0C in an older vendor table
at_exit         Plexus: whether period 0 ends a stream as it does on the other hands
=============== =========================================================================================
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from allegro_description.errors import ConfigError, UnknownName

ENTRY_KEYS = ('codec', 'order', 'period_ms', 'default_address')
"""Keys of a ``protocol`` entry that are no switches."""

Choices = Mapping[str, Sequence[str | int]]
Numbers = Mapping[str, tuple[int, int, int]]

_FIRST = {'first_finger': ('index', 'thumb')}
_NO_TEMPERATURE = {'temperature_ms': (0, 0, 0xFFFF)}

CHOICES: Mapping[str, Choices] = {
    'v4_can': {**_FIRST, 'period_bytes': (6, 8), 'status_bits': ('any', 'vendor', 'digit')},
    'v5_can': {**_FIRST},
    'v5_3f_can': {**_FIRST, 'thumb_tip': ('third', 'fourth')},
    'v5_sense_can': {
        **_FIRST, 'tactile_layout': ('compressed', 'legacy'), 'palm_scale': ('as_others', 'tenfold'),
        'current_order': ('vendor', 'thumb_first', 'index_first'),
    },
    'plexus_can': {
        **_FIRST, 'request_form': ('both', 'rtr', 'data'), 'mode_table': ('newer', 'older'),
        'at_exit': ('off', 'off_and_period_zero'),
    },
}
"""Codec to its switches: name to allowed values, the default first."""

NUMBERS: Mapping[str, Numbers] = {
    'v4_can': {'temperature_ms': (500, 0, 0xFFFF), 'status_ms': (0, 0, 0xFFFF)},
    'v5_can': _NO_TEMPERATURE,
    'v5_3f_can': _NO_TEMPERATURE,
    'v5_sense_can': _NO_TEMPERATURE,
    'plexus_can': {'velocity_ms': (10, 0, 255), 'imu_ms': (10, 0, 255), 'temperature_ms': (255, 0, 255)},
}
"""Codec to its numbers: name to (default, lowest, highest)."""


class Switches:
    """The switches in force for one hand: ``switches['palm_scale']``; ``period_ms`` is among them."""

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
        choices, numbers = CHOICES[codec], dict(NUMBERS[codec])
        numbers['period_ms'] = (10, 1, 255) if codec == 'plexus_can' else (3, 1, 0xFFFF)
        given = dict(settings or {})
        for name in given:
            if name not in (*ENTRY_KEYS, *choices, *numbers):
                raise UnknownName('setting', str(name), (*choices, *numbers, *ENTRY_KEYS), f'({where}, {codec})')
        self._values: dict[str, Any] = {}
        for name, allowed in choices.items():
            value = given.get(name, allowed[0])
            if isinstance(value, bool) or value not in allowed:
                raise ConfigError(
                    f'{where}, {codec}: {name} is {value!r}; allowed: {", ".join(map(str, allowed))}')
            self._values[name] = value
        for name, (default, low, high) in numbers.items():
            value = given.get(name, default)
            if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
                raise ConfigError(
                    f'{where}, {codec}: {name} is {value!r}; allowed: whole numbers {low} … {high}')
            self._values[name] = value

    def __getitem__(self, name: str) -> Any:
        return self._values[name]
