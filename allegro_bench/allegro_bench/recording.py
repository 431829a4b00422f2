"""Write rosbag2-readable MCAP bags from serialised messages, so that a crash costs at most the last moment.

The file is written in small zstd chunks, and :meth:`BagWriter.flush` completes the one in progress; call it twice a
second and ``kill -9`` loses half a second. What is missing then is the index at the end: :func:`recover` reads the
file as far as it goes and writes it again, complete. Flushed means handed to the operating system; a power cut can
cost more.

What makes the bag readable for ``ros2 bag`` of Jazzy and newer (metadata version 9): per channel the offered QoS and
the RIHS01 type hash, a metadata record named ``rosbag2`` at both ends of the file, and ``metadata.yaml`` beside it.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from allegro_description.errors import ConfigError, LinkError, MissingDependency
from mcap.records import Channel, Header, Message, Metadata, Schema
from mcap.stream_reader import StreamReader
from mcap.writer import CompressionType, Writer

from allegro_bench.bag_format import Definitions, Qos, dump, offered_qos

CHUNK_BYTES = 64 * 1024


@dataclass(slots=True)
class _Topic:
    channel: int
    name: str
    type: str
    digest: str
    qos: list[Qos]
    count: int = 0
    first_ns: int = 0
    last_ns: int = 0


class BagWriter:
    """One bag folder: ``<name>/<name>_0.mcap`` and ``metadata.yaml``. Close it, or use it as a context manager."""

    def __init__(self, folder: Path, custom: Mapping[str, str] | None = None, chunk_bytes: int = CHUNK_BYTES) -> None:
        """Create the folder and the file.

        Args:
            folder: must not exist.
            custom: key-value facts kept in the metadata.
            chunk_bytes: size at which a chunk is compressed and written.

        Raises:
            ConfigError: the folder exists or cannot be made.
            MissingDependency: the mcap library is too old.
        """
        if not hasattr(Writer, 'flush'):
            raise MissingDependency("mcap 1.6 or newer is needed to record; install it with: pip install 'mcap>=1.6'")
        self.folder = folder
        self._path = folder / f'{folder.name}_0.mcap'
        try:
            folder.mkdir(parents=True)
            self._file = self._path.open('wb')
        except OSError as error:
            raise ConfigError(f'cannot make the bag {folder}: {error.strerror}; choose another folder') from error
        self._custom = dict(custom or {})
        self._definitions = Definitions()
        self._schemas: dict[tuple[str, str], int] = {}
        self._topics: dict[str, _Topic] = {}
        self._closed = False
        self._failure = ''
        try:
            self._writer = Writer(self._file, chunk_size=chunk_bytes, compression=CompressionType.ZSTD)
            self._writer.start(profile='ros2', library='allegro_bench')
            self._describe()
            self.flush()
        except OSError as error:
            raise self._broken(error) from error

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
        """Size of the file so far."""
        try:
            return self._path.stat().st_size
        except OSError:
            return 0

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
        self._add(topic, type_name, definition, digest, list(qos) or [offered_qos()])

    def _add(self, topic: str, type_name: str, definition: str, digest: str, qos: list[Qos]) -> None:
        key = type_name, digest
        if key not in self._schemas:
            self._schemas[key] = self._writer.register_schema(type_name, 'ros2msg', definition.encode())
        channel = self._writer.register_channel(topic, 'cdr', self._schemas[key], {
            'offered_qos_profiles': dump(qos), 'topic_type_hash': digest})
        self._topics[topic] = _Topic(channel, topic, type_name, digest, qos)

    def write(self, topic: str, data: bytes, received_ns: int, sent_ns: int = 0) -> None:
        """Append one serialised message (CDR).

        Args:
            topic: a declared topic.
            data: the message.
            received_ns: log time, ns.
            sent_ns: publish time, ns; 0 takes the log time.

        Raises:
            LinkError: the disk is full or gone; what was written before can be recovered.
        """
        if self._failure:
            raise LinkError(self._failure)
        entry = self._topics[topic]
        try:
            self._writer.add_message(entry.channel, received_ns, data, sent_ns or received_ns, entry.count)
        except OSError as error:
            raise self._broken(error) from error
        entry.first_ns = min(entry.first_ns or received_ns, received_ns)
        entry.last_ns = max(entry.last_ns, received_ns)
        entry.count += 1

    def flush(self) -> None:
        """Complete the chunk in progress: what was written so far survives the death of this process.

        Raises:
            LinkError: the disk is full or gone.
        """
        if self._failure or self._closed:
            return
        try:
            self._writer.flush()
        except OSError as error:
            raise self._broken(error) from error

    def close(self) -> None:
        """Write index and metadata. Safe to call twice, and after a failure (the bag then needs :func:`recover`).

        Raises:
            LinkError: the disk is full or gone.
        """
        if self._closed:
            return
        self._closed = True
        try:
            if not self._failure:
                self._describe()
                self._writer.finish()
            self._file.close()
            if not self._failure:
                self._describe_folder()
        except OSError as error:
            with contextlib.suppress(OSError):
                self._file.close()
            if not self._failure:
                raise self._broken(error) from error

    def _broken(self, error: OSError) -> LinkError:
        total = sum(self.counts.values())
        self._failure = (
            f'cannot write {self._path}: {error.strerror or error}; recording ended after {total} messages. '
            f'Free some space, then: python -m allegro_bench.recording {self.folder}')
        return LinkError(self._failure)

    def _describe(self) -> None:
        self._writer.add_metadata('rosbag2', {'serialized_metadata': dump(self._metadata())})
        self._describe_folder()

    def _describe_folder(self) -> None:
        # In one step, so that the file is never half there.
        scratch = self.folder / 'metadata.yaml.tmp'
        scratch.write_text(dump({'rosbag2_bagfile_information': self._metadata()}))
        scratch.replace(self.folder / 'metadata.yaml')

    def _metadata(self) -> dict[str, Any]:
        used = [t for t in self._topics.values() if t.count]
        start = min((t.first_ns for t in used), default=0)
        length = max((t.last_ns for t in used), default=start) - start
        total = sum(t.count for t in used)
        return {
            'version': 9, 'storage_identifier': 'mcap', 'duration': {'nanoseconds': length},
            'starting_time': {'nanoseconds_since_epoch': start}, 'message_count': total,
            'topics_with_message_count': [{
                'topic_metadata': {'name': t.name, 'type': t.type, 'serialization_format': 'cdr',
                                   'offered_qos_profiles': t.qos, 'type_description_hash': t.digest},
                'message_count': t.count} for t in self._topics.values()],
            'compression_format': '', 'compression_mode': '', 'relative_file_paths': [self._path.name],
            'files': [{'path': self._path.name, 'starting_time': {'nanoseconds_since_epoch': start},
                       'duration': {'nanoseconds': length}, 'message_count': total}],
            'custom_data': self._custom, 'ros_distro': os.environ.get('ROS_DISTRO', ''),
        }


@dataclass(frozen=True, slots=True)
class Recovery:
    """Outcome of :func:`recover`.

    Attributes:
        messages: how many the bag holds now.
        complete: the bag was whole, nothing has changed.
        reason: what ended the reading of a damaged file.
    """

    messages: int
    complete: bool
    reason: str = ''


def recover(folder: Path) -> Recovery:
    """Make a bag readable whose recorder was killed or ran out of disk space.

    The damaged file is kept beside the new one as ``*.damaged``. A whole bag is left alone.

    Raises:
        ConfigError: no MCAP file there, or not one of a bag.
        LinkError: no space for the new file.
    """
    files = sorted(folder.glob('*.mcap'))
    if not files:
        raise ConfigError(f'{folder} holds no .mcap file; give the folder of a bag')
    source = files[0]
    scratch = folder.with_name(folder.name + '.recovering')
    shutil.rmtree(scratch, ignore_errors=True)
    try:
        with BagWriter(scratch / folder.name) as writer:
            outcome = _copy(source, writer)
            writer._path = writer.folder / source.name  # the metadata shall name the file as it will be called
            (writer.folder / f'{folder.name}_0.mcap').rename(writer._path)
        if not outcome.complete:
            source.rename(source.with_suffix('.mcap.damaged'))
            for made in (scratch / folder.name).iterdir():
                made.replace(folder / made.name)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return outcome


def _copy(source: Path, writer: BagWriter) -> Recovery:
    schemas: dict[int, Schema] = {}
    topics: dict[int, str] = {}
    messages, ros, reason = 0, False, ''
    with source.open('rb') as stream:
        try:
            for record in StreamReader(stream, validate_crcs=True).records:
                if isinstance(record, Header):
                    ros = record.profile == 'ros2'
                elif isinstance(record, Metadata) and record.name == 'rosbag2':
                    described = yaml.safe_load(record.metadata['serialized_metadata'])
                    writer._custom.update(described.get('custom_data') or {})
                elif isinstance(record, Schema):
                    schemas[record.id] = record
                elif isinstance(record, Channel) and record.id not in topics:
                    schema = schemas[record.schema_id]
                    qos = yaml.safe_load(record.metadata.get('offered_qos_profiles', '[]'))
                    writer._add(record.topic, schema.name, schema.data.decode(),
                                record.metadata.get('topic_type_hash', ''), qos)
                    topics[record.id] = record.topic
                elif isinstance(record, Message):
                    writer.write(topics[record.channel_id], record.data, record.log_time, record.publish_time)
                    messages += 1
        except LinkError:
            raise
        except Exception as error:  # a cut-off file shows as any of a dozen errors of reader, struct and zstd
            reason = f'{type(error).__name__}: {error}'.rstrip(': ')
    if not ros:
        raise ConfigError(f'{source} is no MCAP file of a ROS 2 bag')
    return Recovery(messages, not reason, reason)


def main() -> int:
    """``python -m allegro_bench.recording BAG``: recover a bag."""
    import sys

    from allegro_description.errors import AllegroError

    if len(sys.argv) != 2 or sys.argv[1].startswith('-'):
        print('usage: python -m allegro_bench.recording BAG   (the folder of a bag whose recording was cut off)')
        return 2
    try:
        outcome = recover(Path(sys.argv[1]))
    except AllegroError as error:
        print(error, file=sys.stderr)
        return 2
    done = 'the bag is whole' if outcome.complete else f'recovered up to: {outcome.reason}'
    print(f'{outcome.messages} messages; {done}')
    return 0


if __name__ == '__main__':
    raise SystemExit(main())
