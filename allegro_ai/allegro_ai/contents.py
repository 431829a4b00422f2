"""The files of a bundle, read once into memory: from a folder or from a ``.tar.zst``.

Everything that follows (hashes, signature, graph, golden vectors) works on these very bytes, so nothing can be
exchanged between check and use. Sizes are compared with the limits before a file is opened.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import islice
from pathlib import Path, PurePosixPath

from allegro_description.errors import BundleError

CONTRACT, GRAPH, SUMS, CARD = 'policy.yaml', 'policy.onnx', 'SHA256SUMS', 'MODEL_CARD.md'
SIGNATURE = SUMS + '.minisig'
SUFFIXES = ('.yaml', '.onnx', '.npz', '.json', '.md')
NAMES = ('LICENSE', SUMS, SIGNATURE)
ARCHIVE = '.tar.zst'

MIB = 1024 * 1024
MAX_GRAPH_BYTES = 256 * MIB
MAX_FILE_BYTES = 64 * MIB
MAX_BUNDLE_BYTES = 384 * MIB
MAX_FILES = 64
_MAX_ENTRIES = 4 * MAX_FILES

Contents = Mapping[str, bytes]
"""Relative name to bytes."""


def check_name(name: str, where: str) -> None:
    """Is this a name that a file of a bundle may have?

    Raises:
        BundleError: absolute or outside the folder, deeper than one folder, unprintable, or of a kind that does not
            belong into a bundle (code, pickles …).
    """
    path = PurePosixPath(name)
    if str(path) != name or path.is_absolute() or '..' in path.parts or '\\' in name or not name.isprintable() \
            or len(path.parts) > 2 or len(name) > 200:
        raise BundleError(f'{where}: {name!r} is no name for a file of a bundle: a plain name, or one in one folder')
    if path.suffix not in SUFFIXES and name not in NAMES:
        allowed = ', '.join([*(f'*{s}' for s in SUFFIXES), *NAMES])
        raise BundleError(f'{where}: {name} does not belong into a bundle; allowed: {allowed}. Remove it')


def check_size(name: str, size: int, where: str) -> None:
    """Is a file of this size allowed? Asked before it is read.

    Raises:
        BundleError: above :data:`MAX_GRAPH_BYTES` for a graph, :data:`MAX_FILE_BYTES` for others.
    """
    limit = MAX_GRAPH_BYTES if name.endswith('.onnx') else MAX_FILE_BYTES
    if size > limit:
        raise BundleError(f'{where}: {name} has {size} bytes; the limit is {limit} ({limit // MIB} MiB). '
                          'It was not read')


def list_files(folder: Path) -> list[str]:
    """Relative names of all files of a bundle's folder, sorted.

    Raises:
        BundleError: no such folder, a link, too many, too large, or a file that does not belong into a bundle.
    """
    if not folder.is_dir():
        raise BundleError(f'{folder}: no such folder; `allegro-ai list` shows the shipped bundles')
    entries = sorted(islice(folder.rglob('*'), _MAX_ENTRIES + 1))
    if len(entries) > _MAX_ENTRIES:
        raise BundleError(f'{folder}: more than {_MAX_ENTRIES} files and folders, so this is no policy bundle')
    names, total = [], 0
    for path in entries:
        name = path.relative_to(folder).as_posix()
        if path.is_symlink() or not (path.is_file() or path.is_dir()):
            raise BundleError(f'{folder}: {name} is a link or special file; a bundle holds plain files only')
        if path.is_file():
            check_name(name, str(folder))
            size = path.stat().st_size
            check_size(name, size, str(folder))
            total += size
            names.append(name)
            _check_total(len(names), total, str(folder))
    return names


def _check_total(files: int, size: int, where: str) -> None:
    if files > MAX_FILES or size > MAX_BUNDLE_BYTES:
        raise BundleError(f'{where}: {files} or more files of {size} bytes; the limits are {MAX_FILES} files and '
                          f'{MAX_BUNDLE_BYTES} bytes ({MAX_BUNDLE_BYTES // MIB} MiB)')


def read_contents(path: Path) -> dict[str, bytes]:
    """All files of a bundle.

    Args:
        path: a folder, or a ``.tar.zst``.

    Raises:
        BundleError: not a bundle, or something in it that may not be there; nothing was unpacked.
        MissingDependency: an archive, and the package that unpacks it is absent.
    """
    if path.name.endswith(ARCHIVE):
        from allegro_ai.archive import read_archive
        return read_archive(path)
    found: dict[str, bytes] = {}
    for name in list_files(path):
        with (path / name).open('rb') as file:
            # The file may have grown since it was listed.
            found[name] = file.read(MAX_GRAPH_BYTES + 1 if name.endswith('.onnx') else MAX_FILE_BYTES + 1)
        check_size(name, len(found[name]), str(path))
        _check_total(len(found), sum(map(len, found.values())), str(path))
    return found


def file_of(contents: Contents, name: str, where: str) -> bytes:
    """One file.

    Raises:
        BundleError: it is not there.
    """
    if name not in contents:
        what = 'this is no policy bundle' if name == CONTRACT else 'copy the bundle again, complete'
        raise BundleError(f'{where}: {name} is missing; {what}')
    return contents[name]
