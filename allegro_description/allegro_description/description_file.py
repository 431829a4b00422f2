"""A hand description as a document: the YAML file, completed by the one it is based on, and its mirrored links.

A left hand says ``base: <right hand>`` and states only what differs:

- mappings are merged key by key; a value of None removes a key of the base;
- ``joints``, ``links``, ``frames`` and ``taxels`` are merged row by row, by name;
- every other list (poses, orders …) replaces the base's;
- ``mirrored: {x: [links], y: others}`` turns mass centre, inertia and shapes of these links into their mirror image;
  ``others`` means all links that no other axis names.

Why two axes: a mirrored link is the reflection in y of the right one where its frame is the mirror image of the right
hand's frame, and in x where the vendor has also turned that frame by half a turn about z (left thumbs).
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from allegro_description.errors import ConfigError, UnknownName

Document = dict[str, Any]
ROWS = ('joints', 'links', 'frames', 'taxels')
AXES = 'xyz'
OTHERS = 'others'
# Place of each product of inertia (ixx, iyy, izz, ixy, ixz, iyz) and the two axes it belongs to.
PRODUCTS = {3: 'xy', 4: 'xz', 5: 'yz'}
# The same reader in C where PyYAML has it: a tenth of the time at every start.
LOADER: Any = getattr(yaml, 'CSafeLoader', yaml.SafeLoader)


def read_document(path: Path) -> tuple[Document, str]:
    """Read a description file and all it is based on.

    Returns:
        The complete document with one row per link, and a SHA-256 that covers every file involved.

    Raises:
        ConfigError: not YAML, a base that does not exist or leads back to itself, or a row that the base does not have.
    """
    return _read(path, ())


def _read(path: Path, above: tuple[Path, ...]) -> tuple[Document, str]:
    raw = path.read_bytes()
    try:
        own = yaml.load(raw, LOADER)
    except yaml.YAMLError as error:
        raise ConfigError(f'hand description {path} is damaged: {error}') from error
    if not isinstance(own, dict):
        raise ConfigError(f'hand description {path} is damaged: it must be a mapping, not {type(own).__name__}')
    base = own.pop('base', None)
    mirrored = own.pop('mirrored', {})
    if 'links' in own:
        own['links'] = [{**row, 'name': name} for row in own['links'] for name in row['names']]
    if base is None:
        document, digest = own, hashlib.sha256(raw).hexdigest()
    else:
        source = path.with_name(f'{base}.yaml')
        if source in (path, *above):
            raise ConfigError(f'hand description {path}: base {base!r} leads back to itself; name a complete one')
        if not source.is_file():
            raise ConfigError(f'hand description {path}: base {base!r} does not exist; there is no {source}')
        below, digest = _read(source, (path, *above))
        document, digest = _merged(below, own, path), hashlib.sha256(digest.encode() + raw).hexdigest()
    if mirrored:
        document['links'] = _mirrored(document['links'], mirrored, path)
    return document, digest


def _merged(base: Mapping[str, Any], own: Mapping[str, Any], path: Path) -> Document:
    result = dict(base)
    for key, value in own.items():
        if value is None:
            result.pop(key, None)
        elif key in ROWS and key in base:
            result[key] = _merged_rows(base[key], value, f'{path}, {key}')
        elif isinstance(value, Mapping) and isinstance(base.get(key), Mapping):
            result[key] = _merged(base[key], value, path)
        else:
            result[key] = value
    return result


def _merged_rows(base: Sequence[Document], own: Sequence[Document], where: str) -> list[Document]:
    changes = {row['name']: row for row in own}
    names = [row['name'] for row in base]
    for name in changes:
        if name not in names:
            raise UnknownName('row', name, names, f'({where})')
    return [{**row, **changes.get(row['name'], {})} for row in base]


def _mirrored(links: Sequence[Document], axes: Mapping[str, Sequence[str]], path: Path) -> list[Document]:
    names = [row['name'] for row in links]
    wanted: dict[str, int] = {}
    for axis, chosen in sorted(axes.items(), key=lambda item: item[1] == OTHERS):
        if axis not in AXES:
            raise ConfigError(f'hand description {path}: mirrored has axis {axis!r}; allowed: x, y, z')
        for name in [n for n in names if n not in wanted] if chosen == OTHERS else chosen:
            if name not in names:
                raise UnknownName('link', name, names, f'({path}, mirrored)')
            if name in wanted:
                raise ConfigError(f'hand description {path}: mirrored names {name} twice; a link has one mirror')
            wanted[name] = AXES.index(axis)
    return [_reflected(row, wanted[row['name']]) if row['name'] in wanted else row for row in links]


def _reflected(row: Document, axis: int) -> Document:
    inertia = [-v if AXES[axis] in PRODUCTS.get(k, '') else v for k, v in enumerate(row['inertia'])]
    shapes = [{**s, 'xyz': _flipped(s.get('xyz', (0, 0, 0)), axis), 'rpy': _turned(s.get('rpy', (0, 0, 0)), axis)}
              for s in row.get('shapes', ())]
    return {**row, 'com': _flipped(row['com'], axis), 'inertia': inertia, 'shapes': shapes}


def _flipped(vector: Sequence[float], axis: int) -> list[float]:
    return [-v if k == axis else v for k, v in enumerate(vector)]


def _turned(rpy: Sequence[float], axis: int) -> list[float]:
    # A reflection keeps the turn about its own axis and reverses the others; the shapes themselves are symmetric.
    return [v if k == axis else -v for k, v in enumerate(rpy)]
