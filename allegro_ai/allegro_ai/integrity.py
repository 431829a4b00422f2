"""Hashes that tie the files of a bundle together, and safe reading of files that come from outside.

The cycle "the graph names the contract, the contract names the graph" is cut here: ``policy.onnx`` carries the hash
of ``policy.yaml`` **without** its ``integrity`` section (as canonical JSON of the parsed document), ``integrity``
carries the hashes of all other files, and ``SHA256SUMS`` those of all files including ``policy.yaml``.
"""

from __future__ import annotations

import dataclasses
import hashlib
import io
import json
import zipfile
from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from allegro_description.errors import BundleError
from allegro_description.model import HandModel
from numpy.typing import NDArray

CONTRACT, GRAPH, SUMS = 'policy.yaml', 'policy.onnx', 'SHA256SUMS'
MAX_FILE_BYTES = 64 * 1024 * 1024
MAX_YAML_BYTES = 1024 * 1024
SUFFIXES = ('.yaml', '.onnx', '.npz', '.json', '.md')
NAMES = ('LICENSE', SUMS)


def sha256(data: bytes) -> str:
    """Hexadecimal SHA-256."""
    return hashlib.sha256(data).hexdigest()


def canonical_hash(document: Any) -> str:
    """Hash of a document of plain values, independent of key order and layout of the text."""
    text = json.dumps(document, sort_keys=True, separators=(',', ':'), ensure_ascii=True, allow_nan=False)
    return sha256(text.encode())


def contract_hash(document: Mapping[str, Any]) -> str:
    """Hash of ``policy.yaml`` without its ``integrity`` section."""
    return canonical_hash({key: value for key, value in document.items() if key != 'integrity'})


def hand_fingerprint(model: HandModel) -> str:
    """Hash of what a policy presumes of a hand: joints with limits and gains, fingers, frames, taxels, actuation.

    Comments, poses, wire protocol, masses and collision shapes may change without making a policy unfit. The keys are
    those of bundle schema 1 and stay, whatever the fields are called today.
    """
    wire = model.actuation
    parts = {
        'model': model.model, 'side': model.side, 'palm': model.palm,
        'joints': [
            {k: v for k, v in dataclasses.asdict(j).items() if k not in ('per_nm', 'clamp', 'gear_ratio')}
            | {'current_scale': j.per_nm / wire.per_nm} | ({} if j.clamp == wire.clamp else {'clamp': j.clamp})
            for j in model.joints
        ],
        'fingers': [dataclasses.asdict(f) for f in model.fingers],
        'frames': [dataclasses.asdict(f) for f in model.frames],
        'taxels': [dataclasses.asdict(t) for t in model.taxels],
        'actuation': {
            'ma_per_nm': wire.per_nm, 'clamp_ma': wire.clamp, 'velocity_limit': wire.velocity_limit,
            'position_lsb_deg': wire.position_lsb_deg, 'tactile_lsb_pa': wire.tactile_lsb_pa,
            'tactile_saturation_pa': wire.tactile_saturation_pa,
        },
    }
    return canonical_hash(parts)


def list_files(folder: Path) -> list[str]:
    """Relative names of all files of a bundle, sorted.

    Raises:
        BundleError: no such folder, a link, or a file of a kind that does not belong into a bundle (code, pickles …).
    """
    if not folder.is_dir():
        raise BundleError(f'{folder}: no such folder; `allegro-ai list` shows the shipped bundles')
    names = []
    for path in sorted(folder.rglob('*')):
        name = path.relative_to(folder).as_posix()
        if path.is_symlink() or not (path.is_file() or path.is_dir()):
            raise BundleError(f'{folder}: {name} is a link or special file; a bundle holds plain files only')
        if path.is_file():
            if path.suffix not in SUFFIXES and path.name not in NAMES:
                allowed = ', '.join([*(f'*{s}' for s in SUFFIXES), *NAMES])
                raise BundleError(f'{folder}: {name} does not belong into a bundle; allowed: {allowed}. Remove it')
            if path.stat().st_size > MAX_FILE_BYTES:
                raise BundleError(f'{folder}: {name} has {path.stat().st_size} bytes; the limit is {MAX_FILE_BYTES}')
            names.append(name)
    return names


def check_hashes(folder: Path, declared: Mapping[str, str]) -> None:
    """Compare every file with the ``integrity`` section and with ``SHA256SUMS``.

    Raises:
        BundleError: a file is missing, altered, or not listed.
    """
    present = list_files(folder)
    for name in (CONTRACT, SUMS):
        if name not in present:
            raise BundleError(f'{folder}: {name} is missing; copy the bundle again, complete')
    sums = _read_sums(folder)
    for name in sorted({*declared, *sums, *present} - {SUMS}):
        if name not in present:
            raise BundleError(f'{folder}: {name} is missing; copy the bundle again, complete')
        found = sha256((folder / name).read_bytes())
        for source, table in (('policy.yaml, integrity.files', declared), (SUMS, sums)):
            if name == CONTRACT and table is declared:
                continue
            if name not in table:
                raise BundleError(f'{folder}: {name} is not listed in {source}; remove the file or export again')
            if table[name] != found:
                raise BundleError(
                    f'{folder}: {name} was altered (sha256 {found[:12]}…, {source} says {table[name][:12]}…); '
                    'copy the bundle again or export it again'
                )


def write_sums(folder: Path) -> None:
    """Write ``SHA256SUMS`` in the format of ``sha256sum``."""
    names = [n for n in list_files(folder) if n != SUMS]
    lines = [f'{sha256((folder / name).read_bytes())}  {name}\n' for name in names]
    (folder / SUMS).write_text(''.join(lines), encoding='utf-8')


def _read_sums(folder: Path) -> dict[str, str]:
    table = {}
    for line in (folder / SUMS).read_text(encoding='utf-8', errors='replace').splitlines():
        digest, _, name = line.partition('  ')
        if len(digest) != 64 or not name:
            raise BundleError(f'{folder}: {SUMS} holds a damaged line {line!r}; copy the bundle again')
        table[name] = digest
    return table


class _StrictLoader(yaml.SafeLoader):
    """Refuses repeated keys, which plain YAML loaders silently resolve to the last one."""

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Hashable, Any]:
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        repeated = sorted({str(k) for k in keys if keys.count(k) > 1})
        if repeated:
            raise BundleError(f'{CONTRACT}: key {repeated[0]!r} occurs twice{node.start_mark}')
        return super().construct_mapping(node, deep)


def read_yaml(path: Path) -> Any:
    """Parse a YAML file of limited size; no tags, no repeated keys.

    Raises:
        BundleError: missing, too large, or not YAML.
    """
    if not path.is_file():
        raise BundleError(f'{path.parent}: {path.name} is missing; this folder is no policy bundle')
    raw = path.read_bytes()
    if len(raw) > MAX_YAML_BYTES:
        raise BundleError(f'{path}: {len(raw)} bytes; the limit is {MAX_YAML_BYTES}')
    try:
        return yaml.load(raw.decode('utf-8'), Loader=_StrictLoader)
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
        raise BundleError(f'{path}: not a YAML file: {" ".join(str(error).split())}') from error


def read_arrays(path: Path) -> dict[str, NDArray[Any]]:
    """Read an ``.npz`` without pickles and without unpacking more than the size limit.

    Raises:
        BundleError: missing, damaged, too large when unpacked, or holding objects instead of numbers.
    """
    if not path.is_file():
        raise BundleError(f'{path.parent}: {path.name} is missing; copy the bundle again, complete')
    raw = path.read_bytes()
    try:
        with zipfile.ZipFile(io.BytesIO(raw)) as archive:
            size = sum(entry.file_size for entry in archive.infolist())
        if size > MAX_FILE_BYTES:
            raise BundleError(f'{path}: {size} bytes unpacked; the limit is {MAX_FILE_BYTES}')
        with np.load(io.BytesIO(raw), allow_pickle=False) as archive:
            return {name: archive[name] for name in archive.files}
    except (zipfile.BadZipFile, ValueError, OSError, EOFError) as error:
        raise BundleError(f'{path}: not a plain numpy archive ({error}); export the bundle again') from error
