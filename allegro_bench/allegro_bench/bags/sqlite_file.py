"""Read a rosbag2 sqlite3 file from front to back, over damaged pages."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import yaml
from allegro_description.errors import ConfigError

from allegro_bench.bags.storage import Findings, Row, StoredTopic, when

MAGIC = b'SQLite format 3\0'
_ROWS = 256
_LARGEST_STEP = 1 << 16


class SqliteFile:
    """One ``.db3`` file; see :class:`allegro_bench.bags.storage.BagFile`. Publish times are not stored in it."""

    def __init__(self, path: Path) -> None:
        """Open it for reading only, with what a killed recorder has left in its journal where that is possible.

        Raises:
            ConfigError: no sqlite3 file, or none of a bag.
        """
        self.path = path
        self.found = Findings()
        try:
            with path.open('rb') as stream:
                begin = stream.read(len(MAGIC))
        except OSError as error:
            raise ConfigError(f'{path} cannot be opened: {error.strerror}') from error
        if begin != MAGIC:
            what = 'is empty' if not begin else 'does not begin like a sqlite3 file'
            raise ConfigError(f'{path} {what}; it holds nothing that could be read')
        place = path.resolve().as_uri()
        for how in ('mode=ro', 'mode=ro&immutable=1'):
            try:
                self._base = sqlite3.connect(f'{place}?{how}', uri=True, check_same_thread=False)
                self._base.text_factory = lambda raw: raw.decode(errors='replace')
                self._topics()
                break
            except sqlite3.Error as error:
                reason = error
        else:
            raise ConfigError(f'{path} holds no topics of a rosbag2 recording ({reason}); if its recorder was killed '
                              'before it committed anything, nothing can be got back')
        self._described()

    def _topics(self) -> None:
        for key, name, kind, encoding in self._base.execute(
                'SELECT id, name, type, serialization_format FROM topics').fetchall():
            self.found.topics[int(key)] = StoredTopic(str(name), str(kind), str(encoding))

    def _described(self) -> None:
        """Facts of the recorder: files of Iron and newer carry them in a table."""
        with contextlib.suppress(sqlite3.Error, yaml.YAMLError, AttributeError, IndexError):
            rows = self._base.execute('SELECT metadata FROM metadata ORDER BY id DESC LIMIT 1').fetchall()
            described = yaml.load(rows[0][0], yaml.CSafeLoader)
            described = described.get('rosbag2_bagfile_information', described)
            self.found.facts.update({str(k): str(v) for k, v in (described.get('custom_data') or {}).items()})
            self.found.distribution = str(described.get('ros_distro') or '')

    def blocks(self) -> Iterator[list[Row]]:
        """Messages in stored order."""
        last, step, damaged_from, newest = -1, 1, 0, 0
        try:
            while True:
                try:
                    rows = self._base.execute(
                        'SELECT id, topic_id, timestamp, data FROM messages WHERE id > ? ORDER BY id LIMIT ?',
                        (last, _ROWS if step == 1 else 1)).fetchall()
                except sqlite3.DatabaseError as error:
                    # Some page on the way is broken. Rows before it come one by one; then leap over it, farther each
                    # time, because one page of the tree can lead to thousands of rows.
                    one = self._one(last)
                    if one is not None:
                        rows = [one]
                    else:
                        if step > _LARGEST_STEP:
                            self._note(f'is damaged after message {damaged_from}, {when(newest)} ({error}); nothing '
                                       'after it could be read, what came before is used')
                            return
                        damaged_from = damaged_from or last
                        last += step
                        step *= 2
                        continue
                if not rows:
                    break
                if damaged_from:
                    self._note(f'messages {damaged_from + 1} to {rows[0][0] - 1}, after {when(newest)}, lie on damaged '
                               'pages and are left out; what is readable is used')
                    damaged_from, step = 0, 1
                yield [self._row(*row) for row in rows if isinstance(row[3], bytes)]
                last, newest = int(rows[-1][0]), int(rows[-1][2])
        finally:
            self._base.close()

    def _one(self, last: int) -> tuple[int, int, int, bytes] | None:
        with contextlib.suppress(sqlite3.DatabaseError):
            row = self._base.execute('SELECT id, topic_id, timestamp, data FROM messages WHERE id = ?',
                                     (last + 1,)).fetchone()
            return None if row is None else tuple(row)
        return None

    def _row(self, _: int, key: int, received: int, data: bytes) -> Row:
        topic = self.found.topics.get(key)
        if topic is None:
            topic = self.found.topics[key] = StoredTopic(f'topic {key}', 'unknown', 'unknown')
            self._note(f'messages of topic number {key} from {when(received)} on have no declaration; left out')
        topic.count += 1
        return key, received, 0, data

    def _note(self, words: str) -> None:
        self.found.damage.append(f'{self.path.name}: {words}')
