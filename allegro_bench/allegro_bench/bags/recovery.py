"""Complete a bag whose recorder was killed or ran out of disk space, so that every rosbag2 reader opens it."""

from __future__ import annotations

import os
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

import yaml
from allegro_description.errors import AllegroError, ConfigError

from allegro_bench.bag_format import FilePart, TopicPart, bag_metadata, dump
from allegro_bench.bags.folder import open_bag
from allegro_bench.bags.mcap_file import McapFile
from allegro_bench.bags.storage import StoredTopic
from allegro_bench.recording import BagWriter


@dataclass(frozen=True, slots=True)
class Recovery:
    """Outcome of :func:`recover`.

    Attributes:
        messages: how many the bag holds now.
        complete: the bag was whole, nothing has changed.
        reason: what was damaged, in sentences.
    """

    messages: int
    complete: bool
    reason: str = ''


def recover(folder: Path) -> Recovery:
    """Write damaged files of a bag again, with everything that can be read in them, and its metadata.

    The damaged file is kept beside the new one as ``*.damaged``. A whole bag is left alone.

    Raises:
        ConfigError: no MCAP file there, or not one of a bag.
        LinkError: no space for the new file.
    """
    if not folder.is_dir() or not list(folder.glob('*.mcap')):
        raise ConfigError(f'{folder} holds no .mcap file; give the folder of a bag')
    bag = open_bag(folder)
    parts: list[FilePart] = []
    topics: dict[str, TopicPart] = {}
    facts, reasons = dict(bag.facts), [d for d in bag.damage if 'metadata.yaml' in d]
    scratch = folder.with_name(folder.name + '.recovering')
    shutil.rmtree(scratch, ignore_errors=True)
    try:
        for path in bag.files:
            if path.suffix != '.mcap':
                raise ConfigError(f'{path}: only MCAP can be completed, this is not; it is read as it is')
            part, file = _scan(path, topics)
            parts.append(part)
            facts.update(file.found.facts)
            if file.found.damage:
                reasons += file.found.damage
                _rewrite(path, scratch, facts)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    if reasons:
        made = folder / 'metadata.yaml.tmp'
        made.write_text(dump({'rosbag2_bagfile_information': bag_metadata(parts, list(topics.values()), facts)}))
        made.replace(folder / 'metadata.yaml')
    return Recovery(sum(part.count for part in parts), not reasons, '; '.join(reasons))


def _scan(path: Path, topics: dict[str, TopicPart]) -> tuple[FilePart, McapFile]:
    part, file = FilePart(path.name), McapFile(path)
    for rows in file.blocks():
        if rows:
            times = [row[1] for row in rows]
            part.first_ns = min([part.first_ns or times[0], *times])
            part.last_ns = max([part.last_ns, *times])
            part.count += len(rows)
    if not file.ros:
        raise ConfigError(f'{path} is no MCAP file of a ROS 2 bag')
    for topic in file.found.topics.values():
        if not topic.definition and not topic.count:
            continue
        known = topics.setdefault(topic.name, TopicPart(
            topic.name, topic.type, topic.facts.get('topic_type_hash', ''),
            yaml.safe_load(topic.facts.get('offered_qos_profiles') or '[]')))
        known.count += topic.count
    return part, file


def _rewrite(path: Path, scratch: Path, facts: dict[str, str]) -> None:
    source = McapFile(path)
    with BagWriter(scratch / path.stem, facts) as writer:
        for topic in source.found.topics.values():
            _declare(writer, topic)
        for rows in source.blocks():
            for key, received, sent, data in rows:
                topic = source.found.topics[key]
                _declare(writer, topic)
                writer.write(topic.name, bytes(data), received, sent)
        for topic in source.found.topics.values():
            _declare(writer, topic)
    made = scratch / path.stem / f'{path.stem}_0.mcap'
    os.replace(path, path.with_suffix('.mcap.damaged'))
    os.replace(made, path)


def _declare(writer: BagWriter, topic: StoredTopic) -> None:
    writer.add_defined(topic.name, topic.type, topic.definition, topic.facts.get('topic_type_hash', ''),
                       yaml.safe_load(topic.facts.get('offered_qos_profiles') or '[]'))


def main() -> int:
    """``python -m allegro_bench.recording BAG``."""
    if len(sys.argv) != 2 or sys.argv[1].startswith('-'):
        print('usage: python -m allegro_bench.recording BAG   (the folder of a bag whose recording was cut off)')
        return 2
    try:
        outcome = recover(Path(sys.argv[1]))
    except AllegroError as error:
        print(error, file=sys.stderr)
        return 2
    done = 'the bag is whole' if outcome.complete else f'completed; it was damaged: {outcome.reason}'
    print(f'{outcome.messages} messages; {done}')
    return 0
