"""Write rosbag2-readable MCAP bags from serialised messages, so that a crash costs at most the last moment.

The file is written in small zstd chunks, and :meth:`BagWriter.flush` completes the one in progress; call it twice a
second and ``kill -9`` loses half a second. What is missing then is the index at the end. This package reads such a bag
as it is (:mod:`allegro_bench.bags`); for other readers :mod:`allegro_bench.bags.recovery` completes it. Flushed means
handed to the operating system; a power cut can cost more.

What makes the bag readable for ``ros2 bag`` of Jazzy and newer (metadata version 9): per channel the offered QoS and
the RIHS01 type hash, a metadata record named ``rosbag2`` at both ends of the file, and ``metadata.yaml`` beside it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from allegro_description.errors import ConfigError, LinkError, MissingDependency
from mcap.writer import CompressionType, Writer

from allegro_bench.bag_format import Definitions, FilePart, Qos, TopicPart, bag_metadata, dump, offered_qos

CHUNK_BYTES = 64 * 1024


COMPRESSIONS = {'zstd': CompressionType.ZSTD, 'lz4': CompressionType.LZ4, 'none': CompressionType.NONE}


@dataclass(slots=True)
class _Topic(TopicPart):
    """A topic, and its channel in the file that is being written."""

    definition: str = ''
    channel: int | None = None


@dataclass(slots=True)
class _Open:
    """The file that is being written."""

    part: FilePart
    stream: Any
    writer: Writer
    schemas: dict[tuple[str, str], int] = field(default_factory=dict)


class BagWriter:
    """One bag folder: ``<name>/<name>_0.mcap`` … and ``metadata.yaml``. Close it, or use it as a context manager."""

    def __init__(
        self, folder: Path, custom: Mapping[str, str] | None = None, chunk_bytes: int = CHUNK_BYTES, *,
        compression: str = 'zstd', split_bytes: int = 0, split_s: float = 0.0,
    ) -> None:
        """Create the folder and the first file.

        Args:
            folder: must not exist.
            custom: key-value facts kept in the metadata; :meth:`tell` adds to them.
            chunk_bytes: size at which a chunk is compressed and written.
            compression: of chunks: ``zstd``, ``lz4`` or ``none``.
            split_bytes: begin another file when one is larger; 0: never.
            split_s: begin another file when one is longer, by receive times; 0: never.

        Raises:
            ConfigError: the folder exists or cannot be made, or no such compression.
            MissingDependency: the mcap library is too old.
        """
        if not hasattr(Writer, 'flush'):
            raise MissingDependency("mcap 1.6 or newer is needed to record; install it with: pip install 'mcap>=1.6'")
        if compression not in COMPRESSIONS:
            raise ConfigError(f'compression is {compression!r}; allowed: {", ".join(COMPRESSIONS)}')
        self.folder = folder
        self._chunk_bytes, self._compression = chunk_bytes, COMPRESSIONS[compression]
        self._split_bytes, self._split_ns = split_bytes, round(split_s * 1e9)
        try:
            folder.mkdir(parents=True)
        except OSError as error:
            raise ConfigError(f'cannot make the bag {folder}: {error.strerror}; choose another folder') from error
        self._custom = dict(custom or {})
        self._definitions = Definitions()
        self._topics: dict[str, _Topic] = {}
        self._files: list[FilePart] = []
        self._closed = False
        self._failure = ''
        self._open = self._begin()

    def __enter__(self) -> BagWriter:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    @property
    def counts(self) -> dict[str, int]:
        """Messages written, by topic."""
        return {t.name: t.count for t in self._topics.values()}

    @property
    def size_bytes(self) -> int:
        """Size of the files so far."""
        try:
            return sum((self.folder / part.name).stat().st_size for part in self._files)
        except OSError:
            return 0

    def tell(self, facts: Mapping[str, str]) -> None:
        """Add key-value facts to the metadata; they are written now and at the end of every file."""
        if any(self._custom.get(key) != value for key, value in facts.items()):
            self._custom.update(facts)
            if not self._failure and not self._closed:
                try:
                    self._describe()
                    self.flush()
                except OSError as error:
                    raise self._broken(error) from error

    def add_topic(self, topic: str, type_name: str, *, digest: str = '', qos: Sequence[Qos] = ()) -> None:
        """Declare a topic, e.g. ``/joint_states`` of ``sensor_msgs/msg/JointState``. Does nothing the second time.

        Args:
            topic: absolute name.
            type_name: message type.
            digest: RIHS01 hash as announced by the publisher; empty takes that of the known definition.
            qos: what its publishers offer (:func:`offered_qos`); empty assumes one reliable publisher.

        Raises:
            ConfigError: there is no definition of that type and hash.
        """
        if topic in self._topics:
            return
        definition, digest = self._definitions.find(type_name, digest)
        self.add_defined(topic, type_name, definition, digest, list(qos) or [offered_qos()])

    def add_defined(self, topic: str, type_name: str, definition: str, digest: str, qos: list[Qos]) -> None:
        """Declare a topic whose definition is known, as :meth:`add_topic`."""
        if topic in self._topics:
            return
        self._topics[topic] = _Topic(topic, type_name, digest, qos, definition=definition)
        self._register(self._topics[topic])

    def _register(self, topic: _Topic) -> int:
        key, file = (topic.type, topic.digest), self._open
        if key not in file.schemas:
            file.schemas[key] = file.writer.register_schema(topic.type, 'ros2msg', topic.definition.encode())
        topic.channel = file.writer.register_channel(topic.name, 'cdr', file.schemas[key], {
            'offered_qos_profiles': dump(topic.qos), 'topic_type_hash': topic.digest})
        return topic.channel

    def write(self, topic: str, data: bytes, received_ns: int, sent_ns: int = 0) -> None:
        """Append one serialised message (CDR).

        Args:
            topic: a declared topic.
            data: the message.
            received_ns: log time, ns.
            sent_ns: publish time, ns; 0 takes the log time.

        Raises:
            LinkError: the disk is full or gone; what was written before can be read.
        """
        if self._failure:
            raise LinkError(self._failure)
        entry, part = self._topics[topic], self._open.part
        try:
            if self._full(received_ns):
                self._next()
                part = self._open.part
            channel = self._register(entry) if entry.channel is None else entry.channel
            self._open.writer.add_message(channel, received_ns, data, sent_ns or received_ns, entry.count)
        except OSError as error:
            raise self._broken(error) from error
        entry.count += 1
        part.count += 1
        part.first_ns = min(part.first_ns or received_ns, received_ns)
        part.last_ns = max(part.last_ns, received_ns)
        part.raw_bytes += len(data)

    def _full(self, received_ns: int) -> bool:
        part = self._open.part
        if self._split_ns and part.count and received_ns - part.first_ns >= self._split_ns:
            return True
        # The position of the stream is not known to the operating system before a chunk ends; nor need it be.
        return bool(self._split_bytes and part.count and self._open.stream.tell() >= self._split_bytes)

    def flush(self) -> None:
        """Complete the chunk in progress: what was written so far survives the death of this process.

        Raises:
            LinkError: the disk is full or gone.
        """
        if self._failure or self._closed:
            return
        try:
            self._open.writer.flush()
        except OSError as error:
            raise self._broken(error) from error

    def close(self) -> None:
        """Write index and metadata. Safe to call twice, and after a failure.

        Raises:
            LinkError: the disk is full or gone.
        """
        if self._closed:
            return
        self._closed = True
        try:
            if not self._failure:
                self._end()
            self._open.stream.close()
        except OSError as error:
            with contextlib.suppress(OSError):
                self._open.stream.close()
            if not self._failure:
                raise self._broken(error) from error

    # Files -----------------------------------------------------------------------------------------------------

    def _begin(self) -> _Open:
        part = FilePart(f'{self.folder.name}_{len(self._files)}.mcap')
        try:
            stream = (self.folder / part.name).open('wb')
        except OSError as error:
            raise ConfigError(f'cannot make {self.folder / part.name}: {error.strerror}; choose another folder') \
                from error
        self._files.append(part)
        self._open = _Open(part, stream, Writer(stream, chunk_size=self._chunk_bytes, compression=self._compression))
        try:
            self._open.writer.start(profile='ros2', library='allegro_bench')
            self._describe()
            self.flush()
        except OSError as error:
            raise self._broken(error) from error
        return self._open

    def _next(self) -> None:
        self._end()
        self._open.stream.close()
        for topic in self._topics.values():
            topic.channel = None
        self._begin()

    def _end(self) -> None:
        self._describe()
        self._open.writer.finish()
        self._open.stream.flush()
        self._describe_folder()

    def _broken(self, error: OSError) -> LinkError:
        total = sum(self.counts.values())
        self._failure = (
            f'cannot write {self.folder / self._open.part.name}: {error.strerror or error}; recording ended after '
            f'{total} messages. Free some space, then: python -m allegro_bench.recording {self.folder}')
        return LinkError(self._failure)

    def _describe(self) -> None:
        self._open.writer.add_metadata('rosbag2', {'serialized_metadata': dump(self._metadata())})
        self._describe_folder()

    def _describe_folder(self) -> None:
        # In one step, so that the file is never half there.
        scratch = self.folder / 'metadata.yaml.tmp'
        scratch.write_text(dump({'rosbag2_bagfile_information': self._metadata()}))
        scratch.replace(self.folder / 'metadata.yaml')

    def _metadata(self) -> dict[str, Any]:
        return bag_metadata(self._files, list(self._topics.values()), self._custom)


def main() -> int:
    """``python -m allegro_bench.recording BAG``: complete a bag whose recording was cut off."""
    from allegro_bench.bags.recovery import main as command

    return command()


if __name__ == '__main__':
    raise SystemExit(main())
