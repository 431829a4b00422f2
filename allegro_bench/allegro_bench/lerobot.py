"""Write recorded episodes as a LeRobot dataset, format v2.1 or v3.0: Parquet and JSON, no video.

LeRobot itself is not needed and not imported; ``evidence.lerobot_reading`` reads a dataset with its own loader.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from allegro_description.errors import ConfigError
from numpy.typing import NDArray

from allegro_bench.demonstrations import Demonstration, read_demonstrations
from allegro_bench.lerobot_files import LAYOUTS, pyarrow

Column = NDArray[Any]

VERSION = 'v2.1'
_INDICES = ('frame_index', 'episode_index', 'index', 'task_index')


def export(
    bag: Path, folder: Path, *, fps: float = 50.0, task: str = '', robot: str = 'allegro_hand',
    version: str = VERSION,
) -> dict[str, Any]:
    """Write the complete episodes of a bag; returns ``info.json``.

    Args:
        bag: folder of the bag.
        folder: must not exist.
        fps: frames per second.
        task: what was to be done; empty: from the facts of each episode.
        robot: what ``robot_type`` shall be.
        version: of the format, see :data:`~allegro_bench.lerobot_files.LAYOUTS`.

    Raises:
        ConfigError: the folder exists, or the bag has no complete episode.
        MissingDependency: pyarrow is absent.
    """
    pyarrow()
    if folder.exists():
        raise ConfigError(f'{folder} exists; choose another folder')
    names, episodes = read_demonstrations(bag, fps)
    if not episodes:
        raise ConfigError(f'{bag} holds no episode that came to its end with commands in it')
    taxels = [f'taxel_{i}' for i in range(episodes[0].pressure.shape[1])]
    scratch = folder.with_name(folder.name + '.writing')
    shutil.rmtree(scratch, ignore_errors=True)
    try:
        info = _write(scratch, episodes, features(names, taxels), fps, task, robot, version)
        check(scratch)
        scratch.rename(folder)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return info


def features(joints: Sequence[str], taxels: Sequence[str]) -> dict[str, dict[str, Any]]:
    """``features`` of ``info.json``: type, shape and names of each column; rad and Pa."""
    table: dict[str, dict[str, Any]] = {
        name: {'dtype': 'float32', 'shape': [len(joints)], 'names': list(joints)}
        for name in ('observation.state', 'action')}
    if taxels:
        table['observation.tactile'] = {'dtype': 'float32', 'shape': [len(taxels)], 'names': list(taxels)}
        table['observation.tactile_valid'] = {'dtype': 'float32', 'shape': [len(taxels)], 'names': list(taxels)}
    one = {'shape': [1], 'names': None}
    table |= {name: {'dtype': 'bool', **one} for name in ('next.done', 'next.success')}
    table['timestamp'] = {'dtype': 'float32', **one}
    return table | {name: {'dtype': 'int64', **one} for name in _INDICES}


def _write(
    folder: Path, episodes: Sequence[Demonstration], table: Mapping[str, Mapping[str, Any]], fps: float, task: str,
    robot: str, version: str,
) -> dict[str, Any]:
    pa, _ = pyarrow()
    layout = LAYOUTS[version](folder)
    tasks: dict[str, int] = {}
    lines: dict[str, list[dict[str, Any]]] = {'episodes': [], 'episodes_stats': []}
    total = 0
    for number, episode in enumerate(episodes):
        words = task or _task(episode.facts)
        columns = _columns(episode, number, total, tasks.setdefault(words, len(tasks)))
        columns = {name: columns[name].astype(feature['dtype']) for name, feature in table.items()}
        layout.add(number, pa.table({
            name: pa.FixedSizeListArray.from_arrays(pa.array(values.reshape(-1)), values.shape[1])
            if values.ndim > 1 else pa.array(values) for name, values in columns.items()}))
        total += len(episode.time_s)
        lines['episodes'].append({'episode_index': number, 'tasks': [words], 'length': len(episode.time_s)})
        lines['episodes_stats'].append({'episode_index': number, 'stats': {n: _stats(v) for n, v in columns.items()}})
    lines['tasks'] = [{'task_index': index, 'task': words} for words, index in tasks.items()]
    (folder / 'meta').mkdir()
    info = {
        'codebase_version': version, 'robot_type': robot, 'total_episodes': len(episodes), 'total_frames': total,
        'total_tasks': len(tasks), 'fps': int(fps) if fps == int(fps) else fps,
        'splits': {'train': f'0:{len(episodes)}'}, 'video_path': None, 'features': dict(table), **layout.close(lines),
    }
    (folder / 'meta' / 'info.json').write_text(json.dumps(info, indent=4) + '\n')
    return info


def _columns(episode: Demonstration, number: int, before: int, task: int) -> dict[str, Column]:
    count = len(episode.time_s)
    last = np.arange(count) == count - 1
    return {
        'observation.state': episode.state, 'action': episode.action, 'observation.tactile': episode.pressure,
        'observation.tactile_valid': episode.valid, 'next.done': last,
        'next.success': last & (episode.facts.get('success') is True), 'timestamp': episode.time_s,
        'frame_index': np.arange(count), 'episode_index': np.full(count, number),
        'index': before + np.arange(count), 'task_index': np.full(count, task),
    }


def _task(facts: Mapping[str, Any]) -> str:
    if not facts.get('shape'):
        return 'hold the object'
    return f'hold the {facts["shape"]} with a {facts.get("grip_class") or "normal"} grip'


def _stats(values: Column) -> dict[str, list[Any]]:
    rows = values.reshape(len(values), -1)
    numbers = rows.astype(np.float64)
    return {'min': rows.min(axis=0).tolist(), 'max': rows.max(axis=0).tolist(), 'mean': numbers.mean(axis=0).tolist(),
            'std': numbers.std(axis=0).tolist(), 'count': [len(rows)]}


def check(folder: Path) -> int:
    """Read a dataset back and compare it with its own description; returns the number of frames.

    Raises:
        ConfigError: the first contradiction.
        MissingDependency: pyarrow is absent.
    """
    info = json.loads((folder / 'meta' / 'info.json').read_text())
    count = frames = 0
    for episode, table in LAYOUTS[info['codebase_version']].tables(folder, info):
        path = f'{folder}, episode {episode["episode_index"]}'
        if table.column_names != list(info['features']) or table.num_rows != episode['length']:
            raise ConfigError(f'{path}: columns {table.column_names} of {table.num_rows} rows; info.json differs')
        for name, feature in info['features'].items():
            values = np.array(table[name].to_pylist())
            shape = (table.num_rows, *(feature['shape'] if feature['shape'] != [1] else ()))
            if values.shape != shape or not np.isfinite(values.astype(np.float64)).all():
                raise ConfigError(f'{path}: {name} has shape {values.shape}, needs {shape} finite numbers')
        late = np.abs(np.array(table['timestamp'].to_pylist()) - np.arange(table.num_rows) / info['fps']).max()
        if late > 1e-4 or table['index'].to_pylist() != list(range(frames, frames + table.num_rows)):
            raise ConfigError(f'{path}: frames are not numbered, or not {info["fps"]} a second')
        count, frames = count + 1, frames + table.num_rows
    if frames != info['total_frames'] or count != info['total_episodes']:
        raise ConfigError(f'{folder}: {count} episodes of {frames} frames; info.json says otherwise')
    return frames
