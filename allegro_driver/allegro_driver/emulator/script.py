"""Faults at given times: ``2.0 drop=0.3; 5.0 clear; 6.0 stale for 0.5``, or the same as a YAML or JSON file.

Each entry is ``SECONDS FAULT[=VALUE] [for SECONDS]`` or ``SECONDS clear [FAULT]``; time counts from the moment the
emulator begins to serve. In a file it is a list of mappings::

    - {at: 2.0, fault: drop, value: 0.3}
    - {at: 6.0, fault: stale, duration_s: 0.5}
    - {at: 9.0, clear: true}            # or the name of one fault
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from allegro_description.errors import AllegroError, ConfigError, UnknownName

from allegro_driver.emulator.fault_table import FAULTS, number, split
from allegro_driver.emulator.faults import FaultSet

FORM = 'write SECONDS FAULT[=VALUE] [for SECONDS], or SECONDS clear [FAULT], with ; between entries'
_LONGEST_S = 1e6
_KEYS = ('at', 'fault', 'value', 'duration_s', 'clear')


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry: at ``at`` seconds inject ``fault``, or end ``clear`` ('' for all of them)."""

    at: float
    fault: str = ''
    value: object = None
    duration_s: object = None
    clear: str | None = None


class FaultScript:
    """Entries in the order of their times, each carried out once."""

    def __init__(self, faults: FaultSet, source: str) -> None:
        """Read and check a script; nothing is injected yet.

        Args:
            faults: what the script acts on.
            source: the script, or the path of a ``.yaml``, ``.yml`` or ``.json`` file that holds it.

        Raises:
            ConfigError, UnknownName: an entry that is not allowed; the message says which.
        """
        self._faults = faults
        file = source.strip().endswith(('.yaml', '.yml', '.json'))
        entries = _from_file(Path(source.strip())) if file else _from_text(source)
        for index, entry in enumerate(entries, 1):
            try:
                if entry.clear is None:
                    faults.check(entry.fault, entry.value, entry.duration_s)
                elif entry.clear and entry.clear not in FAULTS:
                    raise UnknownName('fault', entry.clear, FAULTS)
            except AllegroError as error:
                raise ConfigError(f'entry {index} of the script: {error}') from None
        self._entries = sorted(entries, key=lambda entry: entry.at)
        self._next = 0

    @property
    def over(self) -> bool:
        """Whether all entries have been carried out."""
        return self._next == len(self._entries)

    def advance(self, elapsed_s: float, now: float) -> None:
        """Carry out what is due.

        Args:
            elapsed_s: time since the script began, s.
            now: the clock that durations of faults are counted with, s.
        """
        while not self.over and self._entries[self._next].at <= elapsed_s:
            entry = self._entries[self._next]
            self._next += 1
            if entry.clear is None:
                self._faults.inject(entry.fault, entry.value, entry.duration_s, now)
            else:
                self._faults.clear(entry.clear or None)


def _from_text(text: str) -> list[Entry]:
    return [_from_words(part) for part in text.replace('\n', ';').split(';') if part.strip()]


def _from_words(text: str) -> Entry:
    words = text.split()
    if len(words) < 2:
        raise ConfigError(f'script entry {text.strip()!r}: {FORM}')
    at = number(f'time of script entry {text.strip()!r}', words[0], 0.0, _LONGEST_S)
    if words[1] == 'clear' and len(words) <= 3:
        return Entry(at, clear=words[2] if len(words) == 3 else '')
    if len(words) not in (2, 4) or words[2:3] not in ([], ['for']):
        raise ConfigError(f'script entry {text.strip()!r}: {FORM}')
    name, value = split(words[1])
    return Entry(at, name, value, words[3] if len(words) == 4 else None)


def _from_file(path: Path) -> list[Entry]:
    import yaml

    try:
        rows = yaml.safe_load(path.read_text())
    except OSError as error:
        raise ConfigError(f'cannot read the fault script {path}: {error.strerror}') from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f'fault script {path} is neither YAML nor JSON: {error}'.replace('\n', ' ')) from None
    if not isinstance(rows, list):
        raise ConfigError(f'fault script {path} holds no list; write e.g. - {{at: 2.0, fault: drop, value: 0.3}}')
    return [_from_row(row, index) for index, row in enumerate(rows, 1)]


def _from_row(row: Any, index: int) -> Entry:
    what = f'entry {index} of the script'
    if not isinstance(row, Mapping) or 'at' not in row or ('fault' in row) == ('clear' in row):
        raise ConfigError(f'{what} is {row!r}; it needs at, and either fault or clear')
    for key in row:
        if key not in _KEYS:
            raise UnknownName(f'key of {what}', str(key), _KEYS)
    at = number(f'time of {what}', row['at'], 0.0, _LONGEST_S)
    if 'clear' in row:
        return Entry(at, clear='' if row['clear'] is True else str(row['clear']))
    return Entry(at, str(row['fault']), row.get('value'), row.get('duration_s'))
