"""Run what an evaluation needs, in pieces that are kept as they finish: whatever interrupts, nothing is lost."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import as_completed
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from allegro_description.errors import ConfigError
from allegro_description.model import HandModel

from allegro_ai.evaluation.entrants import Entrant
from allegro_ai.evaluation.trials import Trial, run_trials
from allegro_ai.tasks.vector import VERSION
from allegro_ai.tasks.workers import Work, Workers

if TYPE_CHECKING:
    from typing import Self

    from _typeshed import DataclassInstance

CHUNK = 25                          # episodes per piece: small enough for a lively bar and for little loss
FILE = 'pieces.jsonl'


@dataclass(frozen=True, slots=True)
class Cell:
    """Episodes that all policies go through.

    Attributes:
        object_set: where objects come from.
        title: ``L2`` … in tables, or ``curve`` for one size of disturbance per episode.
        seeds, levels: one per episode.
    """

    object_set: str
    title: str
    seeds: tuple[int, ...]
    levels: tuple[str, ...]


Row = TypeVar('Row', bound='DataclassInstance')
Table = dict[tuple[str, Cell], list[Trial]]
"""Trials by label and cell, in the order of the cell's seeds."""


class Pieces(Generic[Row]):
    """What is finished, in one file of a folder: a JSON object per line and piece."""

    def __init__(self, folder: Path, parse: Callable[[dict[str, Any]], Row]) -> None:
        """Open the folder, and read what is there.

        Args:
            folder: made if it is not there.
            parse: makes a row of its ``asdict``.

        Raises:
            ConfigError: the folder cannot be written or the file is no such file.
        """
        self.path, self._parse = folder / FILE, parse
        self._done: dict[str, list[Row]] = {}
        try:
            folder.mkdir(parents=True, exist_ok=True)
            if self.path.exists():
                self._read()
            self._file = self.path.open('a', encoding='utf-8')
        except OSError as error:
            raise ConfigError(f'{folder} cannot keep the results: {error}; name another with --output') from error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *rest: object) -> None:
        self._file.close()

    def get(self, key: str) -> list[Row] | None:
        """The piece of a key, if it is finished."""
        return self._done.get(key)

    def put(self, key: str, trials: Sequence[Row]) -> None:
        """Keep a finished piece; it is on disk when this returns."""
        self._done[key] = list(trials)
        self._file.write(json.dumps({'key': key, 'trials': [asdict(t) for t in trials]}) + '\n')
        self._file.flush()
        os.fsync(self._file.fileno())

    def _read(self) -> None:
        kept = 0
        with self.path.open('rb') as file:
            for line in file:
                try:
                    row = json.loads(line)
                    trials = [self._parse(t) for t in row['trials']]
                except (ValueError, KeyError, TypeError) as error:
                    if line.endswith(b'\n'):
                        raise ConfigError(f'{self.path} is damaged at byte {kept}: {error}; name another folder with '
                                          '--output, or remove it') from error
                    break                       # the process was killed while it wrote this line
                self._done[row['key']] = trials
                kept += len(line)
        with self.path.open('rb+') as file:
            file.truncate(kept)


def run_cells(
    hand: HandModel, entrants: Sequence[Entrant], cells: Sequence[Cell], workers: Workers, pieces: Pieces[Trial], *,
    randomise: bool = True, progress: Callable[[int, int, str], None] = lambda done, total, text: None,
) -> Table:
    """Run every policy through every cell, except for what is finished already.

    Policies take turns piece by piece, so what is there after an interruption compares all of them.
    """
    todo = list(_pieces(hand, entrants, cells, randomise))
    total = sum(len(work.seeds) for _, _, _, work in todo)
    done = sum(len(pieces.get(key) or ()) for key, _, _, _ in todo)
    text = f'{done} kept from before' if done else ''
    progress(done, total, text)
    futures = {workers.submit(run_trials, work): (key, work) for key, _, _, work in todo if pieces.get(key) is None}
    for future in as_completed(futures):
        key, work = futures[future]
        pieces.put(key, future.result())
        done += len(work.seeds)
        progress(done, total, text)
    table: Table = {(e.label, c): [] for e in entrants for c in cells}
    for key, label, cell, _ in todo:
        table[label, cell] += pieces.get(key) or []
    return table


def _pieces(
    hand: HandModel, entrants: Sequence[Entrant], cells: Sequence[Cell], randomise: bool
) -> Iterator[tuple[str, str, Cell, Work]]:
    for cell in cells:
        for first in range(0, len(cell.seeds), CHUNK):
            seeds, levels = cell.seeds[first:first + CHUNK], cell.levels[first:first + CHUNK]
            for entrant in entrants:
                work = Work(hand.model, hand.side, seeds, levels, cell.object_set, randomise=randomise,
                            policy=entrant.policy, arguments=entrant.arguments)
                yield piece_key(hand, entrant.fingerprint, work), entrant.label, cell, work


def piece_key(hand: HandModel, fingerprint: str, work: Work) -> str:
    """What decides the outcome of a piece, as a hash; ``fingerprint`` is that of its policy."""
    facts: Mapping[str, Any] = {
        'task': VERSION, 'hand': hand.sha256, 'policy': fingerprint, 'objects': work.object_set,
        'seeds': work.seeds, 'levels': work.levels, 'randomise': work.randomise, 'mujoco': metadata.version('mujoco'),
    }
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()
