"""Parameters declared once, as fields of frozen dataclasses.

From one declaration derive: the ROS parameter (descriptor, range, read-only), the validation, the default YAML and
the README table. Use :func:`parameter` for each field::

    @dataclass(frozen=True, slots=True)
    class DriverConfig:
        rate_hz: float = parameter(100.0, 'state publishing rate', unit='Hz', low=1.0, high=333.0, live=True)
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from allegro_description.errors import ConfigError, UnknownName

Value = bool | int | float | str | tuple[float, ...] | tuple[str, ...]
C = TypeVar('C')


_TRUTHS = {True: ('on', 'yes', 'true'), False: ('off', 'no', 'false')}


@dataclass(frozen=True, slots=True)
class Parameter:
    """One declared parameter: meaning, unit, allowed values, and whether it may change while running."""

    name: str
    default: Value
    doc: str
    unit: str = ''
    low: float | None = None
    high: float | None = None
    choices: tuple[str, ...] = ()
    live: bool = False

    @property
    def kind(self) -> str:
        """Type name: ``bool``, ``int``, ``float``, ``str``, ``float_array`` or ``str_array``."""
        if isinstance(self.default, tuple):
            return 'str_array' if self.default and isinstance(self.default[0], str) else 'float_array'
        return type(self.default).__name__

    def allowed(self) -> str:
        """Human description of the allowed values."""
        if self.choices:
            return 'one of ' + ', '.join(self.choices)
        if self.low is not None or self.high is not None:
            return f'{"-inf" if self.low is None else self.low} … {"inf" if self.high is None else self.high}'
        return f'any {self.kind}'

    def check(self, value: Any) -> Value:
        """Return ``value`` in the declared type.

        Raises:
            ConfigError: wrong type, outside the range, or not among the choices.
        """
        wrong = f'parameter {self.name!r} is {value!r}; allowed: {self.allowed()}{" " + self.unit if self.unit else ""}'
        default = self.default
        if isinstance(default, tuple):
            if not isinstance(value, (list, tuple)) and not hasattr(value, 'tolist'):
                raise ConfigError(f'{wrong} (a list)')
            convert: type = str if self.kind == 'str_array' else float
            return tuple(convert(v) for v in value)
        if isinstance(default, bool):
            if not isinstance(value, bool):
                raise ConfigError(f'{wrong} (true or false)')
            return value
        if isinstance(default, str):
            if isinstance(value, bool) and self.choices:
                # YAML reads off, no, on and yes as truth values: `-p realtime:=off` arrives as False.
                value = next((word for word in _TRUTHS[value] if word in self.choices), value)
            if not isinstance(value, str) or (self.choices and value not in self.choices):
                raise ConfigError(wrong)
            return value
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
            raise ConfigError(f'{wrong} (a number)')
        if isinstance(default, int) and value != int(value):
            raise ConfigError(f'{wrong} (a whole number)')
        if (self.low is not None and value < self.low) or (self.high is not None and value > self.high):
            raise ConfigError(wrong)
        return int(value) if isinstance(default, int) else float(value)


def parameter(
    default: Value,
    doc: str,
    *,
    unit: str = '',
    low: float | None = None,
    high: float | None = None,
    choices: tuple[str, ...] = (),
    live: bool = False,
) -> Any:
    """Declare one parameter as a dataclass field. ``live`` parameters may change while the node is active."""
    facts = {'doc': doc, 'unit': unit, 'low': low, 'high': high, 'choices': choices, 'live': live}
    return dataclasses.field(default=default, metadata=facts)


def parameters(config: type[Any]) -> Iterator[Parameter]:
    """Yield every parameter declared by a configuration dataclass."""
    for field in dataclasses.fields(config):
        if 'doc' in field.metadata:
            default: Any = field.default
            yield Parameter(name=field.name, default=default, **field.metadata)


def from_mapping(config: type[C], values: Mapping[str, Any]) -> C:
    """Build a configuration from a mapping (YAML, command line), validating every value.

    Raises:
        UnknownName: a key that the dataclass does not declare.
        ConfigError: a value that is not allowed.
    """
    known = {p.name: p for p in parameters(config)}
    for name in values:
        if name not in known:
            raise UnknownName('parameter', name, known)
    return config(**{name: known[name].check(value) for name, value in values.items()})


def defaults(config: type[Any]) -> dict[str, Value]:
    """Return the default values by name, ready for a YAML file."""
    return {p.name: list(p.default) if isinstance(p.default, tuple) else p.default for p in parameters(config)}  # type: ignore[misc]


def markdown_table(config: type[Any]) -> str:
    """Return the README table of a configuration dataclass."""
    rows = ['| parameter | default | unit | allowed | live | meaning |', '|---|---|---|---|---|---|']
    for p in parameters(config):
        value = '' if p.default in ('', ()) else f'`{p.default}`'
        rows.append(f'| `{p.name}` | {value} | {p.unit} | {p.allowed()} | {"yes" if p.live else ""} | {p.doc} |')
    return '\n'.join(rows)
