"""Hashes that tie the files of a bundle together.

The cycle "the graph names the contract, the contract names the graph" is cut here: ``policy.onnx`` carries the hash
of ``policy.yaml`` **without** its ``integrity`` section (as canonical JSON of the parsed document), ``integrity``
carries the hashes of all other files, and ``SHA256SUMS`` those of all files including ``policy.yaml``. A signature
(:mod:`allegro_ai.signing`) is over ``SHA256SUMS`` and therefore over everything.

Hashes find accidents. Whoever changes a bundle on purpose can make them again; that only a signature shows.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from allegro_description.errors import BundleError
from allegro_description.model import HandModel
from numpy.typing import NDArray

from allegro_ai.contents import CONTRACT, GRAPH, SIGNATURE, SUMS, Contents, check_size, file_of, list_files
from allegro_ai.untrusted import parse_arrays, parse_yaml

__all__ = [
    'CONTRACT', 'GRAPH', 'SUMS', 'canonical_hash', 'check_declared', 'check_sums', 'contract_hash', 'fingerprint',
    'hand_fingerprint', 'list_files', 'read_arrays', 'read_yaml', 'renewed', 'sha256', 'sums', 'write_sums',
]


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


def check_sums(contents: Contents, where: str) -> None:
    """Compare every file with ``SHA256SUMS``; nothing is parsed before that.

    Raises:
        BundleError: a file is missing, altered, or not listed.
    """
    for name in (CONTRACT, SUMS):
        file_of(contents, name, where)
    _compare(contents, _parse_sums(contents[SUMS], where), SUMS, {SUMS, SIGNATURE}, where)


def check_declared(contents: Contents, declared: Mapping[str, str], where: str) -> None:
    """Compare every file with ``integrity.files`` of the contract, which is part of what the graph was stamped for.

    Raises:
        BundleError: a file is missing, altered, or not listed.
    """
    _compare(contents, declared, 'policy.yaml, integrity.files', {CONTRACT, SUMS, SIGNATURE}, where)


def _compare(contents: Contents, table: Mapping[str, str], source: str, besides: set[str], where: str) -> None:
    for name in sorted({*table, *contents} - besides):
        found = sha256(file_of(contents, name, where))
        if name not in table:
            raise BundleError(f'{where}: {name} is not listed in {source}; remove the file or export again')
        if table[name] != found:
            raise BundleError(
                f'{where}: {name} was altered (sha256 {found[:12]}…, {source} says {table[name][:12]}…); '
                'copy the bundle again or export it again'
            )


def fingerprint(contents: Contents) -> str:
    """Hash of all files but the signature: two bundles with equal fingerprints are the same, byte for byte."""
    return canonical_hash({name: sha256(data) for name, data in contents.items() if name not in (SUMS, SIGNATURE)})


def sums(contents: Contents) -> bytes:
    """Content of ``SHA256SUMS``, in the format of ``sha256sum``."""
    names = sorted(set(contents) - {SUMS, SIGNATURE})
    return ''.join(f'{sha256(contents[name])}  {name}\n' for name in names).encode()


def renewed(contents: Contents, text: Any) -> dict[str, bytes]:
    """Contents whose hashes fit again after files were changed. A signature is dropped, because it fits no longer.

    Args:
        contents: the files; ``policy.yaml`` must parse.
        text: turns the document of ``policy.yaml`` into text.
    """
    files = {name: data for name, data in contents.items() if name not in (SUMS, SIGNATURE)}
    document = parse_yaml(files[CONTRACT], CONTRACT)
    document['integrity'] = {'files': {n: sha256(files[n]) for n in sorted(files) if n != CONTRACT}}
    files[CONTRACT] = text(document).encode()
    return {**files, SUMS: sums(files)}


def write_sums(folder: Path) -> None:
    """Write ``SHA256SUMS`` of a folder."""
    names = [n for n in list_files(folder) if n not in (SUMS, SIGNATURE)]
    (folder / SUMS).write_bytes(sums({name: (folder / name).read_bytes() for name in names}))


def _parse_sums(raw: bytes, where: str) -> dict[str, str]:
    table: dict[str, str] = {}
    for line in raw.decode('utf-8', errors='replace').splitlines():
        digest, _, name = line.partition('  ')
        if len(digest) != 64 or not 0 < len(name) <= 200 or name in table:
            raise BundleError(f'{where}: {SUMS} holds a damaged line {line[:200]!r}; copy the bundle again')
        table[name] = digest
    return table


def read_yaml(path: Path) -> Any:
    """Parse one YAML file, see :func:`allegro_ai.untrusted.parse_yaml`.

    Raises:
        BundleError: missing, too large, or not YAML.
    """
    return parse_yaml(_read(path, 'this folder is no policy bundle'), str(path))


def read_arrays(path: Path) -> dict[str, NDArray[Any]]:
    """Read one ``.npz``, see :func:`allegro_ai.untrusted.parse_arrays`.

    Raises:
        BundleError: missing, damaged, too large when unpacked, or holding objects instead of numbers.
    """
    return parse_arrays(_read(path, 'copy the bundle again, complete'), str(path))


def _read(path: Path, remedy: str) -> bytes:
    if not path.is_file():
        raise BundleError(f'{path.parent}: {path.name} is missing; {remedy}')
    check_size(path.name, path.stat().st_size, str(path.parent))
    return path.read_bytes()
