"""What rosbag2 (metadata version 9, Jazzy and newer) wants to find in a bag beside the messages."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import yaml
from allegro_description.errors import ConfigError
from rosbags.typesys import Stores, get_typestore

FOREVER_NS = 9223372036854775807
Qos = Mapping[str, Any]


def offered_qos(
    *, reliability: str = 'reliable', durability: str = 'volatile', history: str = 'unknown', depth: int = 0,
    deadline_ns: int = FOREVER_NS, lifespan_ns: int = FOREVER_NS, liveliness: str = 'automatic',
    lease_ns: int = FOREVER_NS,
) -> dict[str, Any]:
    """One offered QoS profile as rosbag2 writes it; history and depth are unknown to whoever discovers a publisher."""
    def duration(ns: int) -> dict[str, int]:
        return {'sec': ns // 10**9, 'nsec': ns % 10**9}

    return {
        'history': history, 'depth': depth, 'reliability': reliability, 'durability': durability,
        'deadline': duration(deadline_ns), 'lifespan': duration(lifespan_ns), 'liveliness': liveliness,
        'liveliness_lease_duration': duration(lease_ns), 'avoid_ros_namespace_conventions': False,
    }


@dataclass(slots=True)
class TopicPart:
    """A topic in the metadata of a bag: name, type, RIHS01 hash, QoS that its publishers offer, messages."""

    name: str
    type: str
    digest: str
    qos: list[Qos]
    count: int = 0


@dataclass(slots=True)
class FilePart:
    """A file in the metadata of a bag: name, messages, receive times ns, size of its messages before compression."""

    name: str
    count: int = 0
    first_ns: int = 0
    last_ns: int = 0
    raw_bytes: int = 0


def bag_metadata(
    files: Sequence[FilePart], topics: Sequence[TopicPart], custom: Mapping[str, str],
) -> dict[str, Any]:
    """Content of ``metadata.yaml``, version 9, below its one key."""
    def span(parts: Sequence[FilePart]) -> dict[str, Any]:
        used = [p for p in parts if p.count]
        start = min((p.first_ns for p in used), default=0)
        length = max((p.last_ns for p in used), default=start) - start
        return {'starting_time': {'nanoseconds_since_epoch': start}, 'duration': {'nanoseconds': length},
                'message_count': sum(p.count for p in parts)}

    return {
        'version': 9, 'storage_identifier': 'mcap', **span(files),
        'topics_with_message_count': [{
            'topic_metadata': {'name': t.name, 'type': t.type, 'serialization_format': 'cdr',
                               'offered_qos_profiles': t.qos, 'type_description_hash': t.digest},
            'message_count': t.count} for t in topics],
        'compression_format': '', 'compression_mode': '', 'relative_file_paths': [p.name for p in files],
        'files': [{'path': p.name, **span([p])} for p in files],
        'custom_data': dict(custom), 'ros_distro': os.environ.get('ROS_DISTRO', ''),
    }


class Definitions:
    """Message definitions by type and hash, of the distributions that write bags of this version."""

    def __init__(self) -> None:
        """Nothing is loaded before it is asked for; the distribution in use comes first."""
        here = f'ROS2_{os.environ.get("ROS_DISTRO", "").upper()}'
        names = [s.name for s in Stores if s.name in (here, 'ROS2_KILTED', 'ROS2_JAZZY', 'ROS2_LYRICAL')]
        self._names = sorted(names, key=lambda name: name != here)
        self._stores: dict[str, Any] = {}

    def find(self, type_name: str, digest: str = '') -> tuple[str, str]:
        """Definition text and RIHS01 hash of e.g. ``sensor_msgs/msg/JointState``.

        Args:
            type_name: message type.
            digest: hash that the publisher announces; empty takes the first known definition.

        Raises:
            ConfigError: no definition of that name and hash.
        """
        for name in self._names:
            if name not in self._stores:
                self._stores[name] = get_typestore(Stores[name])
            store = self._stores[name]
            if type_name in store.types:
                found = str(store.hash_rihs01(type_name))
                if digest in ('', found):
                    return str(store.generate_msgdef(type_name, ros_version=2)[0]), found
        raise ConfigError(f'no definition of {type_name} with hash {digest or "any"} is known; it cannot be recorded '
                          'so that it could be read')


class PlainDumper(yaml.SafeDumper):
    """YAML without ``&id001`` aliases, which rosbag2 does not read."""

    def ignore_aliases(self, data: Any) -> bool:
        """Write every value out, also one that was written before."""
        return True


def dump(value: Any) -> str:
    """Write YAML as rosbag2 reads it."""
    return str(yaml.dump(value, Dumper=PlainDumper, sort_keys=False, allow_unicode=True)).strip()
