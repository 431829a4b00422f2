"""Unpack what recorders compress: chunks of MCAP, single messages, whole files. Uncompressed bags need no library."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any

from allegro_description.errors import MissingDependency

ZSTD_MAGIC = b'\x28\xb5\x2f\xfd'


class Unpackable(Exception):
    """Compressed bytes that are damaged."""


def unpack(kind: str, packed: Any, size: int) -> Any:
    """Content of a chunk of MCAP, ``size`` bytes long; ``kind`` is ``zstd``, ``lz4`` or empty.

    Raises:
        Unpackable: it is damaged.
        MissingDependency: the library for that kind is absent.
    """
    if not kind:
        return packed
    library = _library('zstandard' if kind == 'zstd' else 'lz4.frame')
    try:
        if kind == 'zstd':
            return library.ZstdDecompressor().decompress(packed, max_output_size=size)
        return library.decompress(packed)
    except Exception as error:  # ZstdError, RuntimeError, EOFError …
        raise Unpackable(str(error)) from error


def unpack_message(packed: Any) -> bytes:
    """A message that was compressed by itself, with zstd.

    Raises:
        Unpackable, MissingDependency: as :func:`unpack`.
    """
    library = _library('zstandard')
    try:
        return bytes(library.ZstdDecompressor().decompressobj().decompress(packed))
    except library.ZstdError as error:
        raise Unpackable(str(error)) from error


def unpack_file(packed: Path, plain: Path) -> str:
    """Unpack a file compressed with zstd; returns what stopped that before its end, or nothing.

    Raises:
        OSError: a file cannot be read, or the other not written.
        MissingDependency: the library is absent.
    """
    library = _library('zstandard')
    with packed.open('rb') as source, plain.open('wb') as sink:
        try:
            reader = library.ZstdDecompressor().stream_reader(source, read_across_frames=True)
            while piece := reader.read(1 << 20):
                sink.write(piece)
        except library.ZstdError as error:
            return str(error)
    return ''


def _library(name: str) -> Any:
    try:
        return import_module(name)
    except ImportError as error:
        package = name.split('.')[0]
        raise MissingDependency(f'this bag is compressed; {package} is needed to read it ({error}). Install it with: '
                                f'pip install {package}') from error
