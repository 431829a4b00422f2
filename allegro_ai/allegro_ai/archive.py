"""Bundles as one file: ``<name>-<version>.tar.zst``.

Reading never touches the disk and never trusts the archive: no links, devices, sparse files, absolute or parent
paths, no name twice, and not more bytes or members than a bundle may have, counted while they are unpacked. Writing
is reproducible: the same files give the same bytes with the same version of zstd.
"""

from __future__ import annotations

import io
import tarfile
import tempfile
from pathlib import Path, PurePosixPath
from typing import Any

from allegro_description.errors import BundleError, MissingDependency

from allegro_ai.contents import ARCHIVE, MAX_BUNDLE_BYTES, MAX_FILES, MIB, Contents, check_name, check_size

_SLACK = MIB
"""Headers and padding of the members."""
_WINDOW = 64 * MIB
_CHUNK = MIB
_LEVEL = 19


def _zstandard() -> Any:
    try:
        import zstandard
    except ImportError as error:
        raise MissingDependency(f'bundles in one file need the package zstandard ({error}). Install it with: '
                                "pip install 'allegro_ai[archive]', or use the unpacked folder") from error
    return zstandard


def read_archive(path: Path) -> dict[str, bytes]:
    """All files of an archive, without the folder that holds them.

    Raises:
        BundleError: no such file, damaged, or something in it that a bundle may not have.
        MissingDependency: ``zstandard`` is absent.
    """
    if not path.is_file():
        raise BundleError(f'{path}: no such file')
    size = path.stat().st_size
    if size > MAX_BUNDLE_BYTES:
        raise BundleError(f'{path}: {size} bytes; the limit is {MAX_BUNDLE_BYTES}. It was not read')
    return parse_archive(path.read_bytes(), str(path))


def parse_archive(raw: bytes, where: str) -> dict[str, bytes]:
    """As :func:`read_archive`, from bytes."""
    zstandard = _zstandard()
    limit = MAX_BUNDLE_BYTES + _SLACK
    unpacked = bytearray()
    try:
        # Its reader gives as much as is asked for, so a bomb is noticed at the limit and not in memory.
        reader = zstandard.ZstdDecompressor(max_window_size=_WINDOW).stream_reader(
            io.BytesIO(raw), read_across_frames=True)
        while piece := reader.read(_CHUNK):
            unpacked += piece
            if len(unpacked) > limit:
                raise BundleError(f'{where}: unpacks to more than {limit} bytes, which no bundle has; it was refused')
        return _members(unpacked, where)
    except BundleError:
        raise
    except (zstandard.ZstdError, tarfile.TarError, ValueError, OSError, EOFError, OverflowError, RecursionError,
            MemoryError) as error:
        said = f'{type(error).__name__}: {" ".join(str(error).split())}'
        raise BundleError(f'{where}: not a readable {ARCHIVE} ({said[:200]}); copy it again') from error


def _members(tar: bytearray, where: str) -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    roots: set[str] = set()
    with tarfile.open(fileobj=io.BytesIO(tar), mode='r:') as archive:
        for count, member in enumerate(archive):
            if count > 2 * MAX_FILES:
                raise BundleError(f'{where}: more than {2 * MAX_FILES} members; a bundle has at most {MAX_FILES} files')
            if member.type == tarfile.DIRTYPE:
                continue
            if member.type not in (tarfile.REGTYPE, tarfile.AREGTYPE) or member.sparse is not None:
                raise BundleError(f'{where}: {member.name!r} is a link or special file; only plain files may be in it')
            root, _, name = member.name.partition('/')
            roots.add(root)
            if len(roots) > 1 or root in ('', '.', '..'):
                raise BundleError(f'{where}: {member.name!r} does not lie in the one folder that an archive holds')
            check_name(name, where)
            check_size(name, member.size, where)
            if name in found:
                raise BundleError(f'{where}: {name} is in it twice')
            file = archive.extractfile(member)
            data = b'' if file is None else file.read(member.size)
            if len(data) != member.size:
                raise BundleError(f'{where}: {name} ends too early; copy the archive again')
            found[name] = data
    if len(found) > MAX_FILES or not found:
        raise BundleError(f'{where}: {len(found)} files; a bundle has 1 to {MAX_FILES}')
    return found


def pack(contents: Contents, root: str) -> bytes:
    """The archive of checked contents, in a folder ``root``; without times, owners or permissions of this machine.

    Raises:
        MissingDependency: ``zstandard`` is absent.
    """
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode='w', format=tarfile.USTAR_FORMAT) as archive:
        for name in sorted(contents):
            member = tarfile.TarInfo(f'{root}/{name}')
            member.size, member.mode = len(contents[name]), 0o644
            archive.addfile(member, io.BytesIO(contents[name]))
    compressed = _zstandard().ZstdCompressor(level=_LEVEL, write_checksum=True).compress(buffer.getvalue())
    return bytes(compressed)


def write_folder(contents: Contents, folder: Path) -> None:
    """Write files into a new folder, which appears complete or not at all.

    Raises:
        BundleError: it exists already, or a name does not belong into a bundle.
    """
    if folder.exists():
        raise BundleError(f'{folder} exists; choose another place, or remove it first')
    for name in contents:
        check_name(name, str(folder))
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix='.writing-') as scratch:
        draft = Path(scratch) / 'bundle'
        for name, data in contents.items():
            path = draft / PurePosixPath(name)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
        draft.rename(folder)
