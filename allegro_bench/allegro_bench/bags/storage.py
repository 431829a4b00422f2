"""What every kind of bag file gives: topics, blocks of serialised messages in stored order, and what is damaged."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

Row = tuple[int, int, int, 'bytes | memoryview']
"""Key of the topic, receive time ns, publish time ns (0: not stored), serialised message."""


@dataclass
class StoredTopic:
    """A topic as a file declares it.

    Attributes:
        name: as recorded.
        type: ``package/msg/Type``.
        encoding: of its messages; ``cdr`` is the one that is read.
        count: messages given so far.
        announced: messages that the file says it holds; None where it does not say.
        definition: text of the type, where the file carries it.
        facts: what else is written beside it (``offered_qos_profiles``, ``topic_type_hash``).
    """

    name: str
    type: str
    encoding: str = 'cdr'
    count: int = 0
    announced: int | None = None
    definition: str = ''
    facts: dict[str, str] = field(default_factory=dict)


@dataclass
class Findings:
    """What reading a file has brought to light.

    Attributes:
        topics: by the key that rows carry; complete only when all blocks were taken.
        facts: key-value facts of the recorder.
        distribution: of ROS.
        damage: sentences.
    """

    topics: dict[int, StoredTopic] = field(default_factory=dict)
    facts: dict[str, str] = field(default_factory=dict)
    distribution: str = ''
    damage: list[str] = field(default_factory=list)


class BagFile(Protocol):
    """A file of a bag that can be read block by block."""

    path: Path
    found: Findings

    def blocks(self) -> Iterator[list[Row]]:
        """Messages in stored order, some hundred kilobytes at a time. Never raises: damage is noted and skipped."""
        ...


def when(ns: int) -> str:
    """A time stamp for a person: UTC, or seconds where it is no date."""
    if ns < 10**17:
        return f'{ns * 1e-9:.3f} s'
    return datetime.fromtimestamp(ns * 1e-9, UTC).strftime('%Y-%m-%d %H:%M:%S.%f')[:-3] + ' UTC'
