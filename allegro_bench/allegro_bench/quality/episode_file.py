"""Every episode of a gate in a file of the result, and the numbers of a row from it. Needs no simulator."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

import numpy as np
from allegro_description.errors import ConfigError
from numpy.typing import NDArray

from allegro_bench.quality.noninferiority import Difference, difference
from allegro_bench.quality.per_success import per_success
from allegro_bench.results.document import sha256_of

if TYPE_CHECKING:
    from allegro_bench.quality.closed_loop import Played
    from allegro_bench.quality.open_loop import Deviation

FOLDER = 'quality'
COLUMNS = ('seed', 'success_ref', 'success_cand', 'inferences_ref', 'inferences_cand', 'released', 'response_ms')


def points(found: Difference) -> dict[str, float]:
    """The difference and its one-sided 95 % bounds, percentage points."""
    return {'value': 100.0 * found.value, 'lo': 100.0 * found.lo, 'hi': 100.0 * found.hi}


def keep(folder: Path, name: str, reference: Sequence[Played], played: Sequence[Played]) -> dict[str, str]:
    """Write the episodes of a candidate and of the reference; returns ``{path, sha256}`` for ``files``.

    Raises:
        ConfigError: it cannot be written.
    """
    columns = {
        'seed': [p.seed for p in played], 'success_ref': [p.won for p in reference],
        'success_cand': [p.won for p in played], 'inferences_ref': [p.inferences for p in reference],
        'inferences_cand': [p.inferences for p in played], 'released': [p.released for p in played],
        'response_ms': [p.late_ms for p in played],
    }
    return _write(folder, name, {n: np.array(v) for n, v in columns.items()})


def keep_joints(folder: Path, name: str, found: Deviation) -> dict[str, str]:
    """Write the open-loop deviation of each joint: ``joint``, ``max_rad``, ``p99_rad``, ``share_of_range``.

    Raises:
        ConfigError: it cannot be written.
    """
    return _write(folder, f'{name}_open_loop', {
        'joint': np.array(found.joints), 'max_rad': found.max_rad, 'p99_rad': found.p99_rad,
        'share_of_range': found.share})


def _write(folder: Path, name: str, columns: Mapping[str, NDArray[Any]]) -> dict[str, str]:
    buffer = io.BytesIO()
    np.savez_compressed(buffer, allow_pickle=False, **dict(columns))
    path = PurePosixPath(FOLDER, f'{"".join(c if c.isalnum() or c in "._-" else "_" for c in name)}.npz')
    try:
        (folder / FOLDER).mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(buffer.getvalue())
    except OSError as error:
        raise ConfigError(f'cannot write {folder / path}: {error}; free space, then judge again') from error
    return {'path': str(path), 'sha256': hashlib.sha256(buffer.getvalue()).hexdigest()}


def again(folder: Path, row: Mapping[str, Any]) -> dict[str, Any]:
    """The numbers of a closed-loop row, computed again from its file of episodes.

    Raises:
        ConfigError: the file is missing or no such file.
    """
    name = row['files'][0]['path']
    if sha256_of(folder, name) is None:
        raise ConfigError(f'{folder / name} is missing')
    try:
        with np.load(folder / PurePosixPath(name), allow_pickle=False) as file:
            columns = {c: file[c] for c in COLUMNS}
    except Exception as error:  # zipfile, zlib and numpy raise their own kinds on damaged archives
        raise ConfigError(f'{folder / name} cannot be read as episodes: {error}') from error
    first, second = columns['success_ref'], columns['success_cand']
    lost, won = int((first & ~second).sum()), int((~first & second).sum())
    found = difference(len(first), lost, won)
    return {
        'n': found.n, 'success_ref': int(first.sum()), 'success_cand': int(second.sum()),
        'discordant': {'b': lost, 'c': won}, 'diff_pp': points(found),
        'verdict': found.verdict(row['margin_pp'] / 100.0),
        'inferences_per_success': per_success(columns['inferences_cand'].tolist(), second.tolist()),
    }
