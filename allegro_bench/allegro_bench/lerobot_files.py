"""The two file layouts of LeRobot datasets: v2.1 has a file for each episode, v3.0 has many episodes in one."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from allegro_description.errors import MissingDependency

CHUNK = 1000
FILE_MB = 100
"""A data file of v3.0 that has reached this size is followed by another."""

Lines = Mapping[str, Sequence[Mapping[str, Any]]]
"""Rows of ``episodes``, ``episodes_stats`` and ``tasks``."""


class Layout(Protocol):
    """Where the tables of a dataset lie; used once, in order."""

    def add(self, number: int, table: Any) -> None:
        """Write the frames of an episode, a table of Arrow."""

    def close(self, lines: Lines) -> dict[str, Any]:
        """Write what is said of the episodes; returns what ``info.json`` says of the layout."""


class PerEpisode:
    """Layout v2.1."""

    DATA = 'data/chunk-{episode_chunk:03d}/episode_{episode_index:06d}.parquet'

    def __init__(self, folder: Path) -> None:
        """Nothing is written yet."""
        self._folder, self._number = folder, 0

    def add(self, number: int, table: Any) -> None:
        """See :class:`Layout`."""
        self._number = number + 1
        path = self._folder / self.DATA.format(episode_chunk=number // CHUNK, episode_index=number)
        path.parent.mkdir(parents=True, exist_ok=True)
        pyarrow()[1].write_table(table, path)

    def close(self, lines: Lines) -> dict[str, Any]:
        """See :class:`Layout`."""
        for name, rows in lines.items():
            (self._folder / 'meta' / f'{name}.jsonl').write_text(''.join(json.dumps(row) + '\n' for row in rows))
        return {'total_videos': 0, 'total_chunks': (self._number - 1) // CHUNK + 1, 'chunks_size': CHUNK,
                'data_path': self.DATA}

    @classmethod
    def tables(cls, folder: Path, info: Mapping[str, Any]) -> Iterator[tuple[dict[str, Any], Any]]:
        """Each episode as it is described, and its frames."""
        for line in (folder / 'meta' / 'episodes.jsonl').read_text().splitlines():
            episode = json.loads(line)
            number = episode['episode_index']
            yield episode, pyarrow()[1].read_table(folder / info['data_path'].format(
                episode_chunk=number // info['chunks_size'], episode_index=number))


class Joined:
    """Layout v3.0."""

    DATA = 'data/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet'
    EPISODES = 'meta/episodes/chunk-000/file-000.parquet'

    def __init__(self, folder: Path) -> None:
        """Nothing is written yet."""
        self._folder = folder
        self._writer: Any = None
        self._path = folder
        self._places: list[int] = []

    def add(self, number: int, table: Any) -> None:
        """See :class:`Layout`."""
        if self._writer is None or self._path.stat().st_size >= FILE_MB * 1_000_000:
            self._end()
            file = self._places[-1] + 1 if self._places else 0
            self._path = self._folder / self.DATA.format(chunk_index=file // CHUNK, file_index=file % CHUNK)
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._writer = pyarrow()[1].ParquetWriter(self._path, table.schema)
        else:
            file = self._places[-1]
        self._writer.write_table(table)
        self._places.append(file)

    def _end(self) -> None:
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    def close(self, lines: Lines) -> dict[str, Any]:
        """See :class:`Layout`."""
        self._end()
        pa, parquet = pyarrow()
        stats = [row['stats'] for row in lines['episodes_stats']]
        lengths = np.array([row['length'] for row in lines['episodes']])
        ends = np.cumsum(lengths)
        columns: dict[str, Any] = {
            'episode_index': [row['episode_index'] for row in lines['episodes']],
            'tasks': [row['tasks'] for row in lines['episodes']], 'length': lengths,
            'data/chunk_index': [file // CHUNK for file in self._places],
            'data/file_index': [file % CHUNK for file in self._places],
            'dataset_from_index': ends - lengths, 'dataset_to_index': ends,
            'meta/episodes/chunk_index': np.zeros_like(lengths), 'meta/episodes/file_index': np.zeros_like(lengths)}
        columns |= {f'stats/{name}/{key}': [s[name][key] for s in stats] for name in stats[0] for key in stats[0][name]}
        path = self._folder / self.EPISODES
        path.parent.mkdir(parents=True, exist_ok=True)
        parquet.write_table(pa.table(columns), path)
        parquet.write_table(_indexed(pa.table({
            'task_index': [row['task_index'] for row in lines['tasks']],
            'task': [row['task'] for row in lines['tasks']]}), 'task'), self._folder / 'meta' / 'tasks.parquet')
        whole = {name: pooled([s[name] for s in stats]) for name in stats[0]}
        (self._folder / 'meta' / 'stats.json').write_text(json.dumps(whole, indent=4) + '\n')
        return {'chunks_size': CHUNK, 'data_files_size_in_mb': FILE_MB, 'video_files_size_in_mb': 200,
                'data_path': self.DATA}

    @classmethod
    def tables(cls, folder: Path, info: Mapping[str, Any]) -> Iterator[tuple[dict[str, Any], Any]]:
        """Each episode as it is described, and its frames."""
        parquet, name, whole, before = pyarrow()[1], '', None, 0
        for episode in parquet.read_table(folder / cls.EPISODES).to_pylist():
            wanted = info['data_path'].format(chunk_index=episode['data/chunk_index'],
                                              file_index=episode['data/file_index'])
            if wanted != name:
                name, whole, before = wanted, parquet.read_table(folder / wanted), episode['dataset_from_index']
            assert whole is not None
            yield episode, whole.slice(episode['dataset_from_index'] - before, episode['length'])


LAYOUTS: dict[str, type[PerEpisode] | type[Joined]] = {'v2.1': PerEpisode, 'v3.0': Joined}


def pooled(parts: Sequence[Mapping[str, Sequence[Any]]]) -> dict[str, list[Any]]:
    """Statistics of all frames from those of each episode: ``min``, ``max``, ``mean``, ``std``, ``count``."""
    count = np.array([p['count'] for p in parts], dtype=np.float64)
    mean, std = (np.array([p[key] for p in parts], dtype=np.float64) for key in ('mean', 'std'))
    middle = (count * mean).sum(axis=0) / count.sum()
    spread = np.sqrt((count * (std ** 2 + (mean - middle) ** 2)).sum(axis=0) / count.sum())
    return {'min': np.min([p['min'] for p in parts], axis=0).tolist(),
            'max': np.max([p['max'] for p in parts], axis=0).tolist(),
            'mean': middle.tolist(), 'std': spread.tolist(), 'count': [int(count.sum())]}


def _indexed(table: Any, index: str) -> Any:
    """The table, saying to pandas which column names its rows."""
    columns = [{'name': name, 'field_name': name, 'metadata': None, **(
        {'pandas_type': 'unicode', 'numpy_type': 'object'} if name == index else
        {'pandas_type': 'int64', 'numpy_type': 'int64'})} for name in table.column_names]
    said = {'index_columns': [index], 'column_indexes': [], 'columns': columns, 'pandas_version': '2.0.0'}
    return table.replace_schema_metadata({'pandas': json.dumps(said)})


def pyarrow() -> tuple[Any, Any]:
    """``pyarrow`` and ``pyarrow.parquet``.

    Raises:
        MissingDependency: it is absent.
    """
    try:
        return import_module('pyarrow'), import_module('pyarrow.parquet')
    except ImportError as error:
        raise MissingDependency(f'a LeRobot dataset is written with pyarrow ({error}). Install it with: '
                                'pip install pyarrow') from error
