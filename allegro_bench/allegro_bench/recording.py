"""Write rosbag2-readable MCAP bags from serialised messages; a crash costs at most what is in the open chunk.

Small zstd chunks instead of one big one, so that ``kill -9`` loses little and the rest can be recovered with
:func:`recover`. ``metadata.yaml`` (version 9: Jazzy or newer) is written at the start and again at the end.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from allegro_description.errors import ConfigError, LinkError
from mcap.records import Channel, Message, Schema
from mcap.stream_reader import StreamReader
from mcap.writer import CompressionType, Writer
from rosbags.typesys import Stores, get_typestore

CHUNK_BYTES = 64 * 1024
FOREVER_NS = 9223372036854775807
STORE = Stores.ROS2_JAZZY


@dataclass(slots=True)
class _Channel:
    identifier: int
    topic: str
    type: str
    digest: str
    qos: str
    count: int = 0
    first_ns: int = 0
    last_ns: int = 0


class BagWriter:
    """One bag folder: ``<name>/<name>_0.mcap`` and ``metadata.yaml``. Close it, or use it as a context manager."""

    def __init__(self, folder: Path, custom: Mapping[str, str] | None = None) -> None:
        """Create the folder and the file.

        Args:
            folder: must not exist.
            custom: key-value facts kept in the metadata.

        Raises:
            ConfigError: the folder exists or cannot be made.
        """
        self.folder = folder
        try:
            folder.mkdir(parents=True)
        except OSError as error:
            raise ConfigError(f'cannot make the bag folder {folder}: {error.strerror}; choose another') from error
        self._custom = dict(custom or {})
        self._store = get_typestore(STORE)
        self._name = f'{folder.name}_0.mcap'
        self._file = (folder / self._name).open('wb')
        self._writer = Writer(self._file, chunk_size=CHUNK_BYTES, compression=CompressionType.ZSTD)
        self._writer.start(profile='ros2', library='allegro_bench')
        self._schemas: dict[str, int] = {}
        self._channels: dict[str, _Channel] = {}
        self._closed = False
        self._write_metadata()

    def __enter__(self) -> BagWriter:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    @property
    def counts(self) -> dict[str, int]:
        """Messages written, by topic."""
        return {c.topic: c.count for c in self._channels.values()}

    def add_topic(self, topic: str, type_name: str, *, reliable: bool = True) -> None:
        """Declare a topic, e.g. ``/joint_states`` of ``sensor_msgs/msg/JointState``. Does nothing the second time."""
        if topic in self._channels:
            return
        if type_name not in self._schemas:
            definition, _ = self._store.generate_msgdef(type_name, ros_version=2)
            self._schemas[type_name] = self._writer.register_schema(type_name, 'ros2msg', definition.encode())
        digest = self._store.hash_rihs01(type_name)
        qos = _qos_yaml(reliable)
        identifier = self._writer.register_channel(topic, 'cdr', self._schemas[type_name], {
            'offered_qos_profiles': qos, 'topic_type_hash': digest})
        self._channels[topic] = _Channel(identifier, topic, type_name, digest, qos)

    def write(self, topic: str, data: bytes, received_ns: int, sent_ns: int = 0) -> None:
        """Append one serialised message (CDR).

        Raises:
            LinkError: the disk is full or gone; what was written before stays readable.
        """
        channel = self._channels[topic]
        try:
            self._writer.add_message(channel.identifier, received_ns, data, sent_ns or received_ns, channel.count)
        except OSError as error:
            raise LinkError(f'cannot write {self.folder / self._name}: {error.strerror}; free some space') from error
        channel.first_ns = channel.first_ns or received_ns
        channel.last_ns = received_ns
        channel.count += 1

    def close(self) -> None:
        """Write index and metadata. Safe to call twice."""
        if self._closed:
            return
        self._closed = True
        self._writer.add_metadata('rosbag2', {'serialized_metadata': yaml.safe_dump(self._metadata())})
        self._writer.finish()
        self._file.close()
        self._write_metadata()

    def _write_metadata(self) -> None:
        text = yaml.safe_dump({'rosbag2_bagfile_information': self._metadata()}, sort_keys=False)
        (self.folder / 'metadata.yaml').write_text(text)

    def _metadata(self) -> dict[str, Any]:
        channels = list(self._channels.values())
        used = [c for c in channels if c.count]
        start = min((c.first_ns for c in used), default=0)
        length = max((c.last_ns for c in used), default=start) - start
        total = sum(c.count for c in channels)
        return {
            'version': 9, 'storage_identifier': 'mcap', 'duration': {'nanoseconds': length},
            'starting_time': {'nanoseconds_since_epoch': start}, 'message_count': total,
            'topics_with_message_count': [{
                'topic_metadata': {
                    'name': c.topic, 'type': c.type, 'serialization_format': 'cdr',
                    'offered_qos_profiles': json.loads(json.dumps(yaml.safe_load(c.qos))),
                    'type_description_hash': c.digest},
                'message_count': c.count} for c in channels],
            'compression_format': '', 'compression_mode': '', 'relative_file_paths': [self._name],
            'files': [{'path': self._name, 'starting_time': {'nanoseconds_since_epoch': start},
                       'duration': {'nanoseconds': length}, 'message_count': total}],
            'custom_data': self._custom, 'ros_distro': 'rosbags',
        }


def _qos_yaml(reliable: bool) -> str:
    infinite = {'sec': FOREVER_NS // 10**9, 'nsec': FOREVER_NS % 10**9}
    return str(yaml.safe_dump([{
        'history': 'unknown', 'depth': 0, 'reliability': 'reliable' if reliable else 'best_effort',
        'durability': 'volatile', 'deadline': dict(infinite), 'lifespan': dict(infinite), 'liveliness': 'automatic',
        'liveliness_lease_duration': dict(infinite), 'avoid_ros_namespace_conventions': False,
    }]))


def recover(folder: Path) -> int:
    """Rebuild a bag whose recorder was killed: read the file as far as it goes and write it again, complete.

    Returns:
        Number of messages saved. The damaged file is kept beside the new one as ``*.damaged``.

    Raises:
        ConfigError: no MCAP file there.
    """
    files = sorted(folder.glob('*.mcap'))
    if not files:
        raise ConfigError(f'{folder} holds no .mcap file')
    damaged = files[0].with_suffix('.mcap.damaged')
    files[0].rename(damaged)
    scratch = folder.with_name(folder.name + '.recovering')
    shutil.rmtree(scratch, ignore_errors=True)
    saved = 0
    types: dict[int, str] = {}
    topics: dict[int, str] = {}
    with BagWriter(scratch) as writer, damaged.open('rb') as stream:
        try:
            for record in StreamReader(stream).records:
                if isinstance(record, Schema):
                    types[record.id] = record.name
                elif isinstance(record, Channel):
                    writer.add_topic(record.topic, types[record.schema_id])
                    topics[record.id] = record.topic
                elif isinstance(record, Message):
                    writer.write(topics[record.channel_id], record.data, record.log_time, record.publish_time)
                    saved += 1
        except Exception:  # the end of a cut-off file shows as any of the reader's errors; what came before counts
            pass
    made = next(scratch.glob('*.mcap'))
    text = (scratch / 'metadata.yaml').read_text().replace(made.name, files[0].name)
    made.rename(files[0])
    (folder / 'metadata.yaml').write_text(text)
    shutil.rmtree(scratch)
    return saved
