"""Episodes that were played, kept piece by piece, so that a gate that was stopped goes on where it was."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from dataclasses import asdict
from importlib import metadata
from pathlib import Path
from types import TracebackType

from allegro_ai.tasks.vector import VERSION
from allegro_description.errors import ConfigError

from allegro_bench.quality.candidates import Candidate
from allegro_bench.quality.closed_loop import Played, Scene

FILE = 'pieces.jsonl'


class Kept:
    """One file, a JSON object per line and piece. Use it as a context manager."""

    def __init__(self, folder: Path) -> None:
        """Open the file in a folder and read what is there; a line that was cut off by a kill is dropped.

        Raises:
            ConfigError: the folder cannot be written.
        """
        self.path = folder / FILE
        self._done: dict[str, list[Played]] = {}
        try:
            folder.mkdir(parents=True, exist_ok=True)
            whole = 0
            if self.path.exists():
                for line in self.path.read_bytes().splitlines(keepends=True):
                    try:
                        row = json.loads(line)
                        self._done[row['key']] = [Played(**p) for p in row['played']]
                    except (ValueError, KeyError, TypeError):
                        break
                    whole += len(line)
                os.truncate(self.path, whole)
            self._file = self.path.open('a', encoding='utf-8')
        except OSError as error:
            raise ConfigError(f'{folder} cannot keep the episodes: {error}; free space, or copy the result to a place '
                              'that can be written') from error

    def __enter__(self) -> Kept:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        self._file.close()

    def get(self, scene: Scene, who: Candidate, seeds: Sequence[int]) -> list[Played] | None:
        """A piece that was finished before, or None."""
        return self._done.get(key_of(scene, who, seeds))

    def put(self, scene: Scene, who: Candidate, seeds: Sequence[int], played: Sequence[Played]) -> None:
        """Keep a finished piece; it is on the disk when this returns.

        Raises:
            ConfigError: it cannot be written.
        """
        key = key_of(scene, who, seeds)
        self._done[key] = list(played)
        try:
            self._file.write(json.dumps({'key': key, 'played': [asdict(p) for p in played]}) + '\n')
            self._file.flush()
            os.fsync(self._file.fileno())
        except OSError as error:
            raise ConfigError(f'cannot write {self.path}: {error}; free space, then the same command goes on'
                              ) from error


def key_of(scene: Scene, who: Candidate, seeds: Sequence[int]) -> str:
    """What decides the outcome of a piece, as a hash."""
    trace = hashlib.sha256(who.trace.late_ns.tobytes() + who.trace.busy_ns.tobytes()).hexdigest()
    facts = {
        'task': VERSION, 'mujoco': metadata.version('mujoco'), 'policy': scene.sha256,
        'hand': [scene.model, scene.side], 'objects': scene.object_set, 'level': scene.level,
        'randomise': scene.randomise, 'seeds': list(seeds),
        'graph': who.sha256, 'engine': [who.engine.name, who.engine.version], 'on_overrun': who.on_overrun,
        'period_ns': who.period_ns, 'trace': trace, 'lengths': list(who.trace.lengths),
        'limit': None if who.limit is None else asdict(who.limit),
    }
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()
