"""Parsing files that come from outside: YAML, JSON and numpy archives, each bounded before memory or time is spent.

Nothing here runs code, opens pickles, follows YAML aliases, or unpacks more than a limit. Whatever is wrong with the
bytes ends in one :class:`BundleError`; a mutation test (``allegro_ai.evidence.mutations``) holds the module to that.
"""

from __future__ import annotations

import io
import json
import tokenize
import zipfile
import zlib
from collections.abc import Hashable
from typing import Any

import numpy as np
import yaml
from allegro_description.errors import BundleError
from numpy.typing import NDArray

MAX_YAML_BYTES = 1024 * 1024
MAX_JSON_BYTES = 16 * 1024 * 1024
MAX_ARRAY_BYTES = 64 * 1024 * 1024
"""All arrays of one archive, unpacked."""

_MAX_DEPTH, _MAX_NUMBER, _MAX_MEMBERS, _MAX_HEADER = 32, 64, 64, 4096
_PLAIN = 'fiubU'
"""Kinds of numpy types that are numbers or text."""

_Loader: Any = getattr(yaml, 'CSafeLoader', yaml.SafeLoader)


class _StrictLoader(_Loader):  # type: ignore[misc]
    """Refuses repeated keys, which plain YAML loaders silently resolve to the last one, and endless numbers."""

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Hashable, Any]:
        seen: set[Any] = set()
        for key, _ in node.value:
            name = self.construct_object(key, deep=True)
            if not isinstance(name, Hashable):
                raise BundleError(f'a key is {name!r}, which is no text{key.start_mark}')
            if name in seen:
                raise BundleError(f'key {name!r} occurs twice{key.start_mark}')
            seen.add(name)
        result: dict[Hashable, Any] = super().construct_mapping(node, deep)
        return result

    def construct_scalar(self, node: Any) -> Any:
        number = node.tag in ('tag:yaml.org,2002:int', 'tag:yaml.org,2002:float')
        if number and len(node.value) > _MAX_NUMBER:
            raise BundleError(f'a number has {len(node.value)} characters; the limit is {_MAX_NUMBER}{node.start_mark}')
        return super().construct_scalar(node)


def parse_yaml(raw: bytes, where: str) -> Any:
    """Parse YAML of limited size and depth; no tags, no aliases, no repeated keys.

    Args:
        raw: the bytes.
        where: name of the file, for messages.

    Raises:
        BundleError: too large, too deep, or not such a YAML file.
    """
    if len(raw) > MAX_YAML_BYTES:
        raise BundleError(f'{where}: {len(raw)} bytes; the limit is {MAX_YAML_BYTES}')
    try:
        text = raw.decode('utf-8')
        depth = 0
        for event in yaml.parse(text, Loader=_Loader):
            if isinstance(event, yaml.AliasEvent) or getattr(event, 'anchor', None):
                raise BundleError(f'uses an anchor or alias{event.start_mark}; write every value out')
            depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
            if depth > _MAX_DEPTH:
                raise BundleError(f'is nested deeper than {_MAX_DEPTH} levels{event.start_mark}')
        return yaml.load(text, Loader=_StrictLoader)
    except BundleError as error:
        raise BundleError(f'{where}: {" ".join(str(error).split())}') from None
    except (yaml.YAMLError, ValueError, OverflowError, RecursionError) as error:  # dates, digits and UTF-8: ValueError
        raise BundleError(f'{where}: not a YAML file: {" ".join(str(error).split())}') from error


def parse_json(raw: bytes, where: str) -> Any:
    """Parse JSON of limited size; no NaN.

    Raises:
        BundleError: too large, or not JSON.
    """
    def refuse(word: str) -> Any:
        raise ValueError(f'holds {word}')

    if len(raw) > MAX_JSON_BYTES:
        raise BundleError(f'{where}: {len(raw)} bytes; the limit is {MAX_JSON_BYTES}')
    try:
        return json.loads(raw.decode('utf-8'), parse_constant=refuse)
    except (ValueError, RecursionError) as error:
        raise BundleError(f'{where}: not a JSON file: {error}') from error


def parse_arrays(raw: bytes, where: str) -> dict[str, NDArray[Any]]:
    """Read an ``.npz`` of plain numbers and text without pickles and without unpacking more than a limit.

    Raises:
        BundleError: damaged, too large when unpacked, or holding objects instead of numbers.
    """
    arrays: dict[str, NDArray[Any]] = {}
    try:
        with zipfile.ZipFile(io.BytesIO(raw)) as archive:
            entries = archive.infolist()
            size = sum(entry.file_size for entry in entries)
            if size > MAX_ARRAY_BYTES or len(entries) > _MAX_MEMBERS:
                raise BundleError(f'{where}: {len(entries)} arrays of {size} bytes unpacked; the limits are '
                                  f'{_MAX_MEMBERS} and {MAX_ARRAY_BYTES}')
            for entry in entries:
                name = entry.filename.removesuffix('.npy')
                if name == entry.filename or name in arrays:
                    raise BundleError(f'{where}: {entry.filename!r} is no array, or is there twice; export again')
                if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                    raise BundleError(f'{where}: {entry.filename} is compressed in an unusual way; export again')
                arrays[name] = _array(archive.read(entry))
    except BundleError:
        raise
    # RecursionError is a RuntimeError; numpy reads headers with Python's tokenizer
    except (zipfile.BadZipFile, zlib.error, ValueError, OSError, EOFError, RuntimeError, NotImplementedError,
            OverflowError, TypeError, SyntaxError, MemoryError, tokenize.TokenError) as error:
        said = f'{type(error).__name__}: {" ".join(str(error).split())}'
        raise BundleError(f'{where}: not a plain numpy archive ({said[:200]}); export the bundle again') from error
    return arrays


def _array(member: bytes) -> NDArray[Any]:
    """One ``.npy``; the size that its header claims is compared with what is there before anything is allocated."""
    stream = io.BytesIO(member)
    version = np.lib.format.read_magic(stream)
    readers = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
    if version not in readers:
        raise ValueError(f'format version {version}')
    shape, fortran, dtype = readers[version](stream, max_header_size=_MAX_HEADER)
    if dtype.kind not in _PLAIN or dtype.hasobject:
        raise ValueError(f'holds {dtype}; only numbers and text are allowed, no objects')
    count = 1
    for length in shape:
        if length < 0:
            raise ValueError(f'shape {shape}')
        count *= length
    if len(shape) > 8 or count * dtype.itemsize != len(member) - stream.tell():
        raise ValueError(f'shape {shape} of {dtype} does not fit its {len(member)} bytes')
    flat = np.frombuffer(member, dtype=dtype, offset=stream.tell()) if count else np.zeros(0, dtype)
    array: NDArray[Any] = flat.reshape(shape[::-1]).T if fortran else flat.reshape(shape)
    return np.array(array, dtype=dtype.newbyteorder('='))
