"""The files of a bag in their order: listed or found, split, compressed, described by metadata of any age or none."""

from __future__ import annotations

import re
import shutil
import tempfile
from collections.abc import Generator
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

import yaml
from allegro_description.errors import ConfigError

from allegro_bench.bags.compression import ZSTD_MAGIC, Unpackable, unpack_file, unpack_message
from allegro_bench.bags.mcap_file import MAGIC as MCAP
from allegro_bench.bags.mcap_file import McapFile
from allegro_bench.bags.sqlite_file import MAGIC as SQLITE
from allegro_bench.bags.sqlite_file import SqliteFile
from allegro_bench.bags.storage import BagFile, Row, StoredTopic

_NAMES = re.compile(r'.+\.(mcap|db3)(\.zstd|\.zst)?')
_PIECE = 1 << 20


@dataclass
class Bag:
    """A bag on disk. Close it: unpacked files are kept in a temporary folder until then.

    Attributes:
        path: as given.
        files: in the order of recording.
        storage: ``mcap`` or ``sqlite3``.
        topics: by name, as far as known; complete after :meth:`blocks`.
        facts: key-value facts of the recorder.
        distribution: of ROS.
        damage: sentences.
    """

    path: Path
    files: list[Path]
    storage: str = ''
    topics: dict[str, StoredTopic] = field(default_factory=dict)
    facts: dict[str, str] = field(default_factory=dict)
    distribution: str = ''
    damage: list[str] = field(default_factory=list)
    _unpacked: dict[Path, Path] = field(default_factory=dict)
    _scratch: Path | None = None

    def close(self) -> None:
        """Remove what was unpacked."""
        if self._scratch:
            shutil.rmtree(self._scratch, ignore_errors=True)
            self._scratch, self._unpacked = None, {}

    def hashes(self) -> dict[str, str]:
        """SHA-256 of each file as it lies there."""
        made = {}
        for path in self.files:
            digest = sha256()
            with path.open('rb') as stream:
                while piece := stream.read(_PIECE):
                    digest.update(piece)
            made[path.name] = digest.hexdigest()
        return made

    def blocks(self) -> Generator[tuple[dict[int, StoredTopic], list[Row]]]:
        """Topics by key and messages, file after file.

        Raises:
            ConfigError: not one of the files can be opened.
        """
        opened = 0
        for path in self.files:
            try:
                file = self._open(path)
            except ConfigError as error:
                if len(self.files) == 1:
                    raise
                self.damage.append(f'{error}; the other files of the bag are read')
                continue
            opened += 1
            self._merge(file)
            known = len(file.found.topics)
            try:
                for rows in file.blocks():
                    if len(file.found.topics) != known:
                        known = len(file.found.topics)
                        self._merge(file)
                    yield file.found.topics, [self._plain(row) for row in rows]
            finally:
                self._merge(file)
                self.damage += file.found.damage
        if not opened:
            raise ConfigError(f'{self.path}: none of its {len(self.files)} files can be read: {" ".join(self.damage)}')

    def _plain(self, row: Row) -> Row:
        # Compressed message by message. No message in CDR begins like this.
        if row[3][:4] != ZSTD_MAGIC:
            return row
        try:
            return (*row[:3], unpack_message(row[3]))
        except Unpackable:
            return row  # refused later, as a message that is no CDR

    def _merge(self, file: BagFile) -> None:
        self.facts.update(file.found.facts)
        self.distribution = self.distribution or file.found.distribution
        for topic in file.found.topics.values():
            self.topics.setdefault(topic.name, StoredTopic(topic.name, topic.type, topic.encoding))

    def _open(self, path: Path) -> BagFile:
        path = self._plain_file(path)
        try:
            with path.open('rb') as stream:
                begin = stream.read(16)
        except OSError as error:
            raise ConfigError(f'{path} cannot be opened: {error.strerror}') from error
        # What it is called need not be what it is.
        if begin.startswith(MCAP) or (begin != SQLITE and path.suffix == '.mcap'):
            self.storage = self.storage or 'mcap'
            return McapFile(path)
        self.storage = self.storage or 'sqlite3'
        return SqliteFile(path)

    def _plain_file(self, path: Path) -> Path:
        if path.suffix not in ('.zstd', '.zst'):
            return path
        if path not in self._unpacked:
            self._scratch = self._scratch or Path(tempfile.mkdtemp(prefix='allegro_bag_'))
            made = self._scratch / path.stem
            try:
                stopped = unpack_file(path, made)
            except OSError as error:
                raise ConfigError(f'{path} cannot be unpacked to {made}: {error.strerror}; free some space, or set '
                                  'TMPDIR to where some is') from error
            size = made.stat().st_size
            if not size:
                raise ConfigError(f'{path} is damaged or empty; nothing could be unpacked from it')
            if stopped:
                self.damage.append(f'{path.name}: unpacking stopped after {size} bytes ({stopped}); what came before '
                                   'is used')
            self._unpacked[path] = made
        return self._unpacked[path]


def open_bag(path: Path) -> Bag:
    """Find the files of a bag.

    Raises:
        ConfigError: there are none.
    """
    if not path.exists():
        raise ConfigError(f'{path} does not exist; give the folder of a bag, or a .mcap or .db3 file')
    if path.is_file():
        if path.name == 'metadata.yaml':
            return open_bag(path.parent)
        if not _NAMES.fullmatch(path.name):
            raise ConfigError(f'{path.name} is no file of a bag; allowed: .mcap and .db3, also with .zstd, or their '
                              'folder')
        return Bag(path, [path])
    bag = Bag(path, [])
    described = _described(bag)
    # Only the last part: old versions wrote the name of the folder before it. A folder may also have been renamed.
    listed = [Path(str(name)).name for name in described.get('relative_file_paths') or ()]
    there = {p.name: p for p in path.iterdir() if _NAMES.fullmatch(p.name) and p.is_file()}
    for name in listed:
        # Listed before it was compressed, or compressed and still listed as such although unpacked.
        found = next((n for n in (name, f'{name}.zstd', f'{name}.zst', name.removesuffix('.zstd')) if n in there), '')
        if found:
            bag.files.append(there.pop(found))
        else:
            bag.damage.append(f'metadata.yaml lists {name}, which is not in {path}; copy it there. The rest is read')
    rest = sorted(there, key=_natural)
    if rest and listed:
        bag.damage.append(f'{", ".join(rest)}: not listed in metadata.yaml; read after the files that are')
    bag.files += [there[name] for name in rest]
    if not bag.files:
        raise ConfigError(f'{path} holds no .mcap or .db3 file; give the folder of a bag')
    for row in described.get('topics_with_message_count') or ():
        told = row.get('topic_metadata') or {}
        topic = StoredTopic(str(told.get('name')), str(told.get('type')), str(told.get('serialization_format', 'cdr')))
        topic.announced = int(row.get('message_count') or 0)
        bag.topics[topic.name] = topic
    return bag


def _described(bag: Bag) -> dict[str, Any]:
    """Content of ``metadata.yaml``; empty where it is missing or unreadable, which is noted."""
    place = bag.path / 'metadata.yaml'
    if not place.exists():
        bag.damage.append(f'{bag.path} has no metadata.yaml (its recorder did not end as it should, or the file was '
                          'lost); files are read in the order of their names')
        return {}
    try:
        found = yaml.load(place.read_text(encoding='utf-8'), yaml.CSafeLoader)
        found = found['rosbag2_bagfile_information']
        # Touch what is used: a wrong shape is damage here, not an error later.
        _ = [(r['topic_metadata']['name'], r['topic_metadata']['type'], int(r['message_count']))
             for r in found.get('topics_with_message_count') or ()]
        bag.facts.update({str(k): str(v) for k, v in (found.get('custom_data') or {}).items()})
        bag.distribution = str(found.get('ros_distro') or '').removeprefix('rosbags')
        return dict(found)
    except (OSError, UnicodeDecodeError, yaml.YAMLError, KeyError, TypeError, AttributeError, ValueError) as error:
        bag.damage.append(f'{place.name} cannot be read ({type(error).__name__}); files are read in the order of '
                          'their names')
        return {}


def _natural(name: str) -> tuple[Any, ...]:
    return tuple(int(part) if part.isdecimal() else part for part in re.split(r'(\d+)', name))
