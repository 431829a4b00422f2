"""Read an MCAP file from front to back, over damage: a broken chunk costs that chunk, a missing end costs nothing.

The library's own readers stop at the first thing that is wrong. Here a chunk whose checksum differs is left out, and
after bytes that are no record the file is searched for the next chunk or message.
"""

from __future__ import annotations

import contextlib
import re
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import yaml
from allegro_description.errors import ConfigError

from allegro_bench.bags.compression import Unpackable, unpack
from allegro_bench.bags.storage import Findings, Row, StoredTopic, when

MAGIC = b'\x89MCAP0\r\n'
HEADER, FOOTER, SCHEMA, CHANNEL, MESSAGE, CHUNK, STATISTICS, METADATA, DATA_END = 1, 2, 3, 4, 5, 6, 11, 12, 15
LARGEST = 1 << 30
"""No record is longer: a length above it is damage."""
BLOCK_BYTES = 1 << 18
_PRIVATE = 0x80
_SEARCH = 1 << 20
_RECORD = struct.Struct('<BQ')
_MESSAGE = struct.Struct('<HIQQ')
_CHUNK = struct.Struct('<QQQI')
_COMPRESSIONS = ('', 'zstd', 'lz4')
_NEXT = re.compile(rb'\x06.{36}(?:\x04\x00\x00\x00zstd|\x03\x00\x00\x00lz4|\x00\x00\x00\x00)', re.DOTALL)
_REMEDY = 'what is readable is used; a copy without gaps has to come from the recorder'


class _Bad(Exception):
    """A record that cannot be what it says."""


class McapFile:
    """One ``.mcap`` file; see :class:`allegro_bench.bags.storage.BagFile`.

    Attributes:
        ros: its header says that it is a bag of ROS 2; known once its blocks were taken.
    """

    def __init__(self, path: Path) -> None:
        """Look at both ends of the file.

        Raises:
            ConfigError: it cannot be opened or does not begin like MCAP.
        """
        self.path = path
        self.found = Findings()
        self._schemas: dict[int, tuple[str, str]] = {}
        self._announced: dict[int, int] = {}
        self._newest = 0
        self._chunked = self._indexed = self.ros = False
        try:
            self._size = path.stat().st_size
            with path.open('rb') as stream:
                begin = stream.read(len(MAGIC))
                if begin != MAGIC:
                    what = 'is empty' if not begin else 'does not begin like an MCAP file'
                    raise ConfigError(f'{path} {what}; it holds nothing that could be read')
                self._summary(stream)
        except OSError as error:
            raise ConfigError(f'{path} cannot be opened: {error.strerror}') from error

    # Both ends -------------------------------------------------------------------------------------------------

    def _summary(self, stream: IO[bytes]) -> None:
        """Counts of the file's summary, where it has one; also the channels, should their records be damaged."""
        tail = 9 + 20 + len(MAGIC)
        if self._size < tail + len(MAGIC):
            return
        stream.seek(self._size - tail)
        end = stream.read(tail)
        opcode, length = _RECORD.unpack_from(end)
        if end[-len(MAGIC):] != MAGIC or opcode != FOOTER or length != 20:
            return
        self._indexed = True
        start = struct.unpack_from('<Q', end, 9)[0]
        if not len(MAGIC) <= start < self._size - tail or self._size - tail - start > LARGEST:
            return
        stream.seek(start)
        summary, place = stream.read(self._size - tail - start), 0
        try:
            while place + 9 <= len(summary):
                opcode, length = _RECORD.unpack_from(summary, place)
                content = summary[place + 9:place + 9 + length]
                place += 9 + length
                if opcode in (SCHEMA, CHANNEL):
                    self._declare(opcode, content)
                elif opcode == STATISTICS:
                    pairs = content[46:46 + struct.unpack_from('<I', content, 42)[0]]
                    self._announced = dict(struct.iter_unpack('<HQ', pairs))
        except (_Bad, struct.error):
            self.found.damage.append(f'{self.path.name}: its index at the end is damaged; read without it')
        for channel, topic in self.found.topics.items():
            topic.announced = self._announced.get(channel, 0) if self._announced else None

    # Records -----------------------------------------------------------------------------------------------------

    def blocks(self) -> Iterator[list[Row]]:
        """Messages in stored order."""
        loose: list[Row] = []
        loose_bytes = 0
        ended: bool | None = False
        with self.path.open('rb') as stream:
            place = len(MAGIC)
            while place < self._size:
                try:
                    opcode, content = self._record(stream, place)
                    place_after = place + 9 + len(content)
                    if opcode == CHUNK:
                        if loose:
                            yield loose
                            loose, loose_bytes = [], 0
                        yield from self._chunk(content, place)
                    elif opcode == MESSAGE:
                        self._message(memoryview(content), 0, len(content), loose)
                        loose_bytes += len(content)
                        if loose_bytes > BLOCK_BYTES:
                            yield loose
                            loose, loose_bytes = [], 0
                    elif opcode in (FOOTER, DATA_END):
                        ended = None  # by the book
                        break
                    else:
                        self._other(opcode, content)
                    place = place_after
                except _Bad as bad:
                    found = self._search(stream, place + 1)
                    after = f', {when(self._newest)} by the messages before it' if self._newest else ''
                    if found is None and str(bad) == 'cut off':
                        self._note(f'is cut off at byte {place}{after}; all before that is read. After a crash '
                                   f'that is usual; python -m allegro_bench.recording BAG completes the file')
                        ended = True
                        break
                    upto = self._size if found is None else found
                    self._note(f'is damaged at byte {place}{after} ({bad}); {upto - place} bytes are left out, '
                               f'{_REMEDY}')
                    place = upto
        if loose:
            yield loose
        if ended is None and not self._indexed:
            self._note('its index at the end is cut off or damaged; all messages are read')
        if ended is False:
            self._note('ends without its index; a recorder that was killed leaves such a file, all messages are read')

    def _record(self, stream: IO[bytes], place: int) -> tuple[int, bytes]:
        stream.seek(place)
        head = stream.read(9)
        if len(head) < 9:
            raise _Bad('cut off')
        opcode, length = _RECORD.unpack(head)
        known = HEADER <= opcode <= DATA_END
        if length > LARGEST or (not known and opcode < _PRIVATE):
            raise _Bad('no record begins there')
        if place + 9 + length > self._size:
            raise _Bad('cut off' if known else 'no record begins there')
        return opcode, stream.read(length)

    def _search(self, stream: IO[bytes], place: int) -> int | None:
        """Where the next chunk, or message of a known channel, begins."""
        while place < self._size:
            stream.seek(place)
            data = stream.read(_SEARCH + 64)
            found = [m.start() for m in _NEXT.finditer(data) if self._plausible_chunk(data, m.start(), place)][:1]
            if not self._chunked:
                found += self._plausible_message(data, found[0] if found else len(data), place)
            if found:
                return place + min(found)
            place += _SEARCH
        return None

    def _plausible_chunk(self, data: bytes, at: int, place: int) -> bool:
        length = _RECORD.unpack_from(data, at)[1]
        start, end, size, _ = _CHUNK.unpack_from(data, at + 9)
        return bool(32 <= length <= LARGEST and place + at + 9 + length <= self._size and start <= end
                    and size <= LARGEST)

    def _plausible_message(self, data: bytes, before: int, place: int) -> list[int]:
        at = data.find(bytes([MESSAGE]), 0, before)
        while 0 <= at <= len(data) - 31:
            length = _RECORD.unpack_from(data, at)[1]
            channel, _, received, _ = _MESSAGE.unpack_from(data, at + 9)
            near = not self._newest or abs(received - self._newest) < 3600 * 10**9
            if channel in self.found.topics and near and length >= 22 and place + at + 9 + length <= self._size:
                return [at]
            at = data.find(bytes([MESSAGE]), at + 1, before)
        return []

    def _chunk(self, content: bytes, place: int) -> Iterator[list[Row]]:
        self._chunked = True
        try:
            start, end, size, checksum = _CHUNK.unpack_from(content)
            (kind, at) = _string(content, _CHUNK.size)
            packed = memoryview(content)[at + 8:at + 8 + struct.unpack_from('<Q', content, at)[0]]
        except (struct.error, _Bad) as error:
            raise _Bad(f'a chunk is damaged: {error}') from error
        if kind not in _COMPRESSIONS or size > LARGEST:
            raise _Bad(f'a chunk compressed with {kind[:20]!r}' if size <= LARGEST else 'a chunk of impossible size')
        span = f'from {when(start)} to {when(end)}' if start else 'with no time'
        try:
            data = unpack(kind, packed, size)
        except Unpackable as error:
            self._note(f'the chunk at byte {place}, {span}, cannot be unpacked ({error}); it is left out, {_REMEDY}')
            return
        if checksum and zlib.crc32(data) != checksum:
            self._note(f'the chunk at byte {place}, {span}, is damaged (its checksum differs); it is left out, '
                       f'{_REMEDY}')
            return
        rows: list[Row] = []
        view, at, total = memoryview(data), 0, len(data)
        try:
            while at < total:
                opcode, length = _RECORD.unpack_from(view, at)
                if at + 9 + length > total:
                    raise _Bad('a record is longer than its chunk')
                if opcode == MESSAGE:
                    self._message(view, at + 9, at + 9 + length, rows)
                elif opcode in (SCHEMA, CHANNEL):
                    self._declare(opcode, bytes(view[at + 9:at + 9 + length]))
                at += 9 + length
        except (struct.error, _Bad) as error:
            self._note(f'the chunk at byte {place}, {span}, is readable for its first {at} of {total} bytes '
                       f'({error}); the rest is left out, {_REMEDY}')
        yield rows

    def _message(self, view: memoryview, begin: int, end: int, rows: list[Row]) -> None:
        if end - begin < 22:
            raise _Bad('a message without header')
        channel, _, received, sent = _MESSAGE.unpack_from(view, begin)
        topic = self.found.topics.get(channel)
        if topic is None:
            topic = self.found.topics[channel] = StoredTopic(f'channel {channel}', 'unknown', 'unknown')
            self._note(f'messages of channel {channel} from {when(received)} on have no declaration; left out')
        topic.count += 1
        self._newest = received
        rows.append((channel, received, sent, view[begin + 22:end]))

    def _declare(self, opcode: int, content: bytes) -> None:
        try:
            number = struct.unpack_from('<H', content)[0]
            if opcode == SCHEMA:
                name, at = _string(content, 2)
                _, at = _string(content, at)
                self._schemas[number] = name, _string(content, at)[0]
                return
            name, at = _string(content, 4)
            encoding, at = _string(content, at)
            facts = _table(content, at)
        except struct.error as error:
            raise _Bad(f'a declaration is cut off ({error})') from error
        kind, definition = self._schemas.get(struct.unpack_from('<H', content, 2)[0], ('unknown', ''))
        known = self.found.topics.get(number)
        if known is None:
            self.found.topics[number] = StoredTopic(name, kind, encoding, definition=definition, facts=facts)
        elif known.type == 'unknown':
            known.name, known.type, known.encoding = name, kind, encoding
            known.definition, known.facts = definition, facts

    def _other(self, opcode: int, content: bytes) -> None:
        if opcode in (SCHEMA, CHANNEL):
            self._declare(opcode, content)
        elif opcode == HEADER:
            with contextlib.suppress(_Bad, struct.error):
                self.ros = _string(content, 0)[0] == 'ros2'
        elif opcode == METADATA:
            try:
                name, at = _string(content, 0)
                table = _table(content, at)
                if name == 'rosbag2':
                    described = yaml.load(table['serialized_metadata'], yaml.CSafeLoader) or {}
                    self.found.facts.update({str(k): str(v) for k, v in (described.get('custom_data') or {}).items()})
                    self.found.distribution = str(described.get('ros_distro') or '')
            except (_Bad, KeyError, struct.error, yaml.YAMLError, AttributeError) as error:
                self._note(f'its metadata cannot be read ({error}); messages are not touched by that')

    def _note(self, words: str) -> None:
        self.found.damage.append(f'{self.path.name}: {words}')


def _string(content: bytes, at: int) -> tuple[str, int]:
    length = struct.unpack_from('<I', content, at)[0]
    if at + 4 + length > len(content):
        raise _Bad('a text is longer than its record')
    try:
        return content[at + 4:at + 4 + length].decode(), at + 4 + length
    except UnicodeDecodeError as error:
        raise _Bad('a text is not UTF-8') from error


def _table(content: bytes, at: int) -> dict[str, str]:
    end, at = at + 4 + struct.unpack_from('<I', content, at)[0], at + 4
    table = {}
    while at < min(end, len(content)):
        key, at = _string(content, at)
        table[key], at = _string(content, at)
    return table

