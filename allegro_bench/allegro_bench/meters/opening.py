"""From the words of a user, ``auto`` or ``powercap,external:wall=http://…``, to open meters."""

from __future__ import annotations

from typing import Any

from allegro_description.errors import AllegroError, ConfigError

from allegro_bench.meters import METERS
from allegro_bench.meters.meter import BOUNDARIES, Meter

AUTO, NONE = 'auto', 'none'
SAME_COUNTERS = (('powercap', 'perf'),)
"""Ways to the same hardware counters: ``auto`` takes the first that works."""


def open_meter(words: str = AUTO) -> Meter:
    """Open one meter by name, or with ``auto`` the first one that works here.

    Args:
        words: ``name``, or ``name:argument`` where the meter needs to be told something (an address, a file).

    Returns:
        The meter; with ``auto`` it is ``none`` where nothing can be measured, its ``reason`` saying what was tried.

    Raises:
        UnknownPlugin: no such meter.
        MissingDependency: it needs a package that is not installed.
        ConfigError: it was asked for by name and cannot be read here, or its argument is missing or wrong.
    """
    return open_meters(words)[0] if words == AUTO else _named(words)


def open_meters(words: str = AUTO) -> tuple[Meter, ...]:
    """Open all that are asked for: several separated by commas, or with ``auto`` every one that works here.

    Returns:
        At least one; the meter ``none``, with the reasons, where nothing can be measured.

    Raises:
        UnknownPlugin: no such meter.
        MissingDependency: it needs a package that is not installed.
        ConfigError: it was asked for by name and cannot be read here; nothing is left open.
    """
    opened: list[Meter] = []
    if words != AUTO:
        try:
            for part in words.split(','):
                opened.append(_named(part.strip()))
        except AllegroError:
            close_all(opened)
            raise
        return tuple(opened)
    reasons: list[str] = []
    works: set[str] = set()
    for name in METERS.names():
        if any(name in same and works & set(same) for same in SAME_COUNTERS):
            continue
        try:
            kind = METERS.load(name)
            if getattr(kind, 'on_request', False):
                continue
            opened.append(kind())
            works.add(name)
        except AllegroError as error:
            reasons.append(f'{name}: {error}')
    return tuple(opened) or (METERS.load(NONE)('; '.join(reasons)),)


def close_all(meters: list[Meter] | tuple[Meter, ...]) -> None:
    """Let go of all."""
    for meter in meters:
        meter.close()


def _named(words: str) -> Meter:
    name, colon, argument = words.partition(':')
    kind: Any = METERS.load(name)
    told = str(getattr(kind, 'argument', ''))
    if colon and not told:
        raise ConfigError(f'energy meter {words!r}: {name} takes no argument; write {name}')
    if told and not colon and getattr(kind, 'argument_needed', True):
        raise ConfigError(f'energy meter {name} needs to be told {told}; write {name}:…')
    meter: Meter = kind(argument) if colon else kind()
    return meter


def boundary_and_rest(argument: str, default: str) -> tuple[str, str]:
    """Split ``dc_in=rest`` into boundary and rest; without a boundary in front, ``default``."""
    before, equals, rest = argument.partition('=')
    return (before, rest) if equals and before in BOUNDARIES else (default, argument)
