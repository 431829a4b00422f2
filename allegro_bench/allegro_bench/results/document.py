"""The folder of a benchmark's result: ``result.json`` and, one file for each block, every tick.

``allegro_bench.result`` keeps everything: each block, each tick, failed ones included. A document is whole at any
moment: it is replaced in one step, and while a run lasts it says itself that it is incomplete, so that what a crash
leaves behind can be read and is not mistaken for a result.
"""

from __future__ import annotations

import hashlib
import io
import json
import math
import os
import zipfile
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from allegro_description.errors import ConfigError
from numpy.typing import NDArray

from allegro_bench.environment import reason
from allegro_bench.latency import NEVER, Ticks, ticks

NAME, MAJOR, MINOR = 'allegro_bench.result', 1, 0
SCHEMA = {'name': NAME, 'version': f'{MAJOR}.{MINOR}'}
"""A reader takes every minor version of its own major one: a newer minor version only adds fields."""

RESULT_FILE, TICKS_FOLDER, REPORT_FILE = 'result.json', 'ticks', 'report.html'
COLUMNS = ('index', 'release_ns', 'start_ns', 'finish_ns')
ENGINE = 'engine_ns'
MOST_BYTES = 2**30
"""A tick file that unpacks to more than this is not ours."""

MEASURE, NULL, REFERENCE, CACHE_DISTINCT, CACHE_REPEATED, METER_OFF = KINDS = (
    'measure', 'null', 'reference', 'cache_distinct', 'cache_repeated', 'meter_off')
"""What a block is for; only ``measure`` blocks follow ``run.order`` and enter a backend's numbers."""

SECTIONS_LISTED = ('backends', 'meters', 'baselines', 'blocks', 'summary', 'quality', 'comparisons')


def new_document() -> dict[str, Any]:
    """An empty result that says of itself that it is incomplete; sections as in the protocol."""
    document: dict[str, Any] = {'schema': dict(SCHEMA), 'run': {}, 'workload': {}, 'system': {}}
    document |= {name: [] for name in SECTIONS_LISTED}
    return document | {
        'validity': {'status': 'invalid', 'reasons': [reason(
            'incomplete', 'run', 'the run has not come to its end', 'look why it stopped, and run it again')]},
        'provenance': {'files': [], 'anonymised': True, 'licence': None},
    }


def plain(value: Any) -> Any:
    """Only what JSON knows; a number that is not finite is unknown."""
    if isinstance(value, Mapping):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(v) for v in value]
    if isinstance(value, np.generic):
        return plain(value.item())
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value


def write(folder: Path, document: Mapping[str, Any]) -> None:
    """Write ``result.json`` in one step: a reader, or a crash, meets the old file or the new one.

    Raises:
        ConfigError: the folder cannot be written (full disk included); an older file stays as it was.
    """
    text = json.dumps(plain(document), indent=1, ensure_ascii=False, allow_nan=False)
    _replace(folder / RESULT_FILE, (text + '\n').encode())


def load(folder: Path) -> dict[str, Any]:
    """Read ``result.json`` of a result folder.

    Raises:
        ConfigError: missing, no JSON, or of another schema or major version.
    """
    found = read_any(folder)
    schema = found['schema']
    if schema.get('name') != NAME:
        raise ConfigError(f'{folder / RESULT_FILE} has schema {schema.get("name")!r}; needed is {NAME!r}, a result of '
                          'allegro-bench run')
    major = str(schema.get('version')).partition('.')[0]
    if major != str(MAJOR):
        raise ConfigError(f'{folder / RESULT_FILE} has schema version {schema.get("version")!r}; this version reads '
                          f'{MAJOR}.x; use a version of the suite that knows it')
    return found


def read_any(folder: Path) -> dict[str, Any]:
    """Read ``result.json`` whatever its schema: an object whose ``schema`` is an object.

    Raises:
        ConfigError: missing, no JSON, or without a schema.
    """
    path = folder / RESULT_FILE
    try:
        found = json.loads(path.read_text(encoding='utf-8'))
    except (OSError, ValueError, RecursionError) as error:
        raise ConfigError(f'{path} cannot be read: {error}; give the folder that allegro-bench run or '
                          'inference_profiler wrote') from error
    if not isinstance(found, dict) or not isinstance(found.get('schema'), dict):
        raise ConfigError(f'{path} states no schema; it is no result of this suite')
    return found


def save_ticks(folder: Path, name: str, run: Ticks, engine_ns: NDArray[np.int64] | None = None) -> dict[str, str]:
    """Write ``ticks/<name>.npz`` of a block; returns ``{path, sha256}`` for its ``ticks_file``.

    Args:
        folder: of the result.
        name: of the block, unique in the run.
        run: every tick, skipped ones included.
        engine_ns: duration of the engine's call alone, (n,), ``NEVER`` where there was none; if it was measured.

    Raises:
        ConfigError: it cannot be written, or the name is no file name.
    """
    if not name or not all(c.isalnum() or c in '._-' for c in name) or name.startswith('.'):
        raise ConfigError(f'{name!r} is no name of a tick file; allowed: letters, digits, "-", "_" and "."')
    columns = {c: np.asarray(getattr(run, c), dtype=np.int64) for c in COLUMNS}
    if engine_ns is not None:
        columns[ENGINE] = np.asarray(engine_ns, dtype=np.int64)
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **columns)  # type: ignore[arg-type]
    path = PurePosixPath(TICKS_FOLDER, f'{name}.npz')
    _replace(folder / path, buffer.getvalue())
    return {'path': str(path), 'sha256': hashlib.sha256(buffer.getvalue()).hexdigest()}


def ticks_of(folder: Path, block: Mapping[str, Any]) -> Ticks:
    """Every tick of a block, skipped ones included.

    Raises:
        ConfigError: the file is missing, damaged, of another shape, or lies outside of the folder.
    """
    path, columns = _columns(folder, block)
    if any(c.dtype != np.int64 or c.ndim != 1 or c.shape != columns['index'].shape for c in columns.values()):
        raise ConfigError(f'{path} is no tick file: its arrays must be int64 and of one length')
    return ticks(*(columns[c] for c in COLUMNS))


def engine_of(folder: Path, block: Mapping[str, Any]) -> NDArray[np.int64] | None:
    """Duration of the engine's call alone in each completed tick of a block, ns; None where it was not measured.

    Raises:
        ConfigError: as for :func:`ticks_of`.
    """
    _, columns = _columns(folder, block)
    found = columns.get(ENGINE)
    return None if found is None else np.asarray(found[found != NEVER])


def _columns(folder: Path, block: Mapping[str, Any]) -> tuple[Path, dict[str, NDArray[np.int64]]]:
    path = _inside(folder, block['ticks_file']['path'])
    try:
        with zipfile.ZipFile(path) as archive:
            size = sum(entry.file_size for entry in archive.infolist())
        if size > MOST_BYTES:
            raise ConfigError(f'{path} unpacks to {size} bytes; allowed: {MOST_BYTES}')
        with np.load(path, allow_pickle=False) as found:
            columns = {c: found[c] for c in COLUMNS}
            if ENGINE in found:
                columns[ENGINE] = found[ENGINE]
    except ConfigError:
        raise
    except Exception as error:  # zipfile, zlib and numpy raise their own kinds on damaged archives
        raise ConfigError(f'{path} cannot be read as ticks: {error}') from error
    return path, columns


def sha256_of(folder: Path, name: str) -> str | None:
    """Hash of a file of the folder, hexadecimal; None where there is no such file inside of it."""
    try:
        with _inside(folder, name).open('rb') as file:
            return hashlib.file_digest(file, 'sha256').hexdigest()
    except (OSError, ConfigError):
        return None


def damage(run: Ticks) -> str:
    """Why ticks cannot have been measured, or ''."""
    done = run.completed
    if (run.skipped != (run.start_ns == NEVER)).any():
        return 'a tick has a start and no finish, or the reverse'
    if (run.index[1:] - run.index[:-1] != 1).any() or (len(run) and run.index[0] != 0):
        return 'the ticks are not numbered 0, 1, 2 …: some were left out'
    if (done.start_ns < done.release_ns).any() or (done.finish_ns < done.start_ns).any():
        return 'a tick starts before its release or finishes before its start'
    if (done.start_ns[1:] < done.finish_ns[:-1]).any():
        return 'a tick starts before the one before it has finished'
    return ''


def _inside(folder: Path, name: str) -> Path:
    path = PurePosixPath(name)
    if path.is_absolute() or '..' in path.parts or not path.parts:
        raise ConfigError(f'{folder / RESULT_FILE} names the file {name!r}; files of a result lie inside its folder')
    return folder / path


def _replace(path: Path, content: bytes) -> None:
    """Write a file beside its place, flush it to the disk, and move it there."""
    draft = path.with_name(f'.{path.name}.draft')
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with draft.open('wb') as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    except OSError as error:
        draft.unlink(missing_ok=True)
        raise ConfigError(f'cannot write {path}: {error}; free space or choose another folder') from error
