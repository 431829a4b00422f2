"""How topics of a hand are called, and in which units they speak: data, one YAML file per driver."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml
from allegro_description.errors import ConfigError, UnknownName
from allegro_description.share import share_dir

from allegro_bench.bags.recording import KINDS

_FOLDER = 'bag_profiles'
_KEYS = {'topic', 'type', 'field', 'valid', 'unit', 'effort', 'order'}
UNITS = {'Pa': 1.0, 'kPa': 1000.0, 'hPa': 100.0}
"""Of touch, in Pa."""
EFFORTS = ('N·m', 'mA', 'unknown')
"""Of effort in joint states: torque, motor current, or something that cannot be turned into torque."""


@dataclass(frozen=True)
class StreamSpec:
    """One stream of a profile.

    Attributes:
        kind: one of :data:`allegro_bench.bags.recording.KINDS`.
        topic: regular expression of the name below the hand's namespace; from ``/`` on: of the whole name.
        type: message type.
        field: of a cloud, that holds the pressure.
        valid: of a cloud, that says which of it is valid; empty: all that is finite.
        unit: of touch.
        effort: what effort means.
        order: commands without usable names: ``canonical`` or a joint order of the hand; empty: by name.
    """

    kind: str
    topic: str
    type: str
    field: str = ''
    valid: str = ''
    unit: str = 'Pa'
    effort: str = 'N·m'
    order: str = ''

    def match(self, topic: str) -> tuple[str, str] | None:
        """Namespace and part (the finger of a wrench) of a topic's name, None where it is another one.

        An absolute one belongs to every namespace: its own is ``*``.
        """
        if self.topic.startswith('/'):
            return ('*', '') if re.fullmatch(self.topic, topic) else None
        found = re.fullmatch(f'(?:(?P<namespace>.+)/)?(?:{self.topic})', topic.strip('/'))
        if not found:
            return None
        return found['namespace'] or '', found.groupdict().get('part') or ''


@dataclass(frozen=True)
class Profile:
    """A way of publishing a hand.

    Attributes:
        name: of the file.
        about: whose it is.
        hand: model, where neither bag nor caller says.
        streams: what it publishes.
    """

    name: str
    about: str
    hand: str
    streams: tuple[StreamSpec, ...]

    def find(self, topic: str, kind: str) -> tuple[StreamSpec, str, str] | None:
        """Stream, namespace and part of a topic of that name and type."""
        for stream in self.streams:
            place = stream.match(topic)
            if place and stream.type == kind:
                return stream, *place
        return None


def available() -> tuple[str, ...]:
    """Names of the profiles that come with this package."""
    return tuple(sorted(p.stem for p in (share_dir('allegro_bench') / _FOLDER).glob('*.yaml')))


def load_profile(name: str) -> Profile:
    """A profile by name, or from a YAML file.

    Raises:
        UnknownName: no such profile.
        ConfigError: a file that cannot be read, or whose content is no profile.
    """
    path = Path(name)
    return _known(path.stem) if name in available() else _read(name, path)


@lru_cache(maxsize=16)
def _known(name: str) -> Profile:
    return _read(name, share_dir('allegro_bench') / _FOLDER / f'{name}.yaml')


def _read(name: str, path: Path) -> Profile:
    if path.suffix not in ('.yaml', '.yml'):
        raise UnknownName('profile of a bag', name, available(), 'Or give a YAML file of your own.')
    try:
        found = yaml.safe_load(path.read_text(encoding='utf-8'))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError(f'profile {path} cannot be read: {error}') from error
    return _checked(path, found)


def _checked(path: Path, found: Any) -> Profile:
    if not isinstance(found, Mapping) or not isinstance(found.get('streams'), Mapping) or 'hand' not in found:
        raise ConfigError(f'profile {path}: needs about, hand and streams; see {share_dir("allegro_bench") / _FOLDER}')
    streams = []
    for kind, row in found['streams'].items():
        where = f'profile {path}: streams: {kind}'
        if kind not in KINDS:
            raise ConfigError(f'{where} is no known stream; allowed: {", ".join(KINDS)}')
        if not isinstance(row, Mapping) or not {'topic', 'type'} <= set(row) <= _KEYS:
            raise ConfigError(f'{where}: needs topic and type, allowed also: {", ".join(sorted(_KEYS))}')
        stream = StreamSpec(kind, **{key: str(value) for key, value in row.items()})
        if stream.unit not in UNITS or stream.effort not in EFFORTS:
            raise ConfigError(f'{where}: unit {stream.unit}, effort {stream.effort}; allowed: unit '
                              f'{", ".join(UNITS)}, effort {", ".join(EFFORTS)}')
        try:
            re.compile(stream.topic)
        except re.error as error:
            raise ConfigError(f'{where}: topic {stream.topic!r} is no regular expression: {error}') from error
        streams.append(stream)
    return Profile(path.stem, str(found.get('about', '')), str(found['hand']), tuple(streams))
