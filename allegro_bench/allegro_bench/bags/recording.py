"""A recording as arrays: one track per stream of a hand, canonical joint and taxel order, SI units.

:func:`read_recording` reads all of it, :func:`windows` stretch by stretch in bounded memory; both live on
:mod:`allegro_bench.bags.reading`. Damage never raises: it becomes sentences in :attr:`Recording.damage`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Float = NDArray[np.float64]
Stamps = NDArray[np.int64]

NO_STAMP = -1
"""In :attr:`Track.stamp_ns`: the message type has no header."""

KINDS = (
    'joint_states', 'touch', 'touch_raw', 'commands', 'policy_state', 'ood_score', 'slip_probability', 'inference',
    'inference_release', 'episodes', 'diagnostics', 'motion', 'gravity', 'object', 'wrench',
)
"""Streams that a profile can map. ``wrench`` has one track per finger: ``wrench/index`` …"""


@dataclass(frozen=True)
class Track:
    """One stream, one row per message (``diagnostics``: one per status), in the order of :attr:`received_ns`.

    Attributes:
        kind: one of :data:`KINDS`, for wrenches with ``/finger``.
        topic: name as recorded.
        type: message type.
        names: of the columns of ``values``: joints or taxels in canonical order, ``term/element`` of a policy's state.
        unit: of ``values``: rad (``joint_states``, ``commands``), Pa (touch), s (``inference``: how long it took;
            ``inference_release``: finish after the scheduled release), empty otherwise.
        received_ns: when the recorder received it, (n,).
        stamp_ns: stamp in its header, (n,); :data:`NO_STAMP` where the type has none.
        values: (n, len(names)), NaN where absent; no columns for streams of text.
        valid: which values are finite and said to be valid, (n, len(names)).
        extra: further columns: ``velocity`` rad/s and ``effort`` N·m of joints, each (n, joints); ``reference_ns`` of
            ``inference`` (its start) and ``inference_release`` (its schedule), int64, (n,).
        events: per row of a stream of text: facts of an episode message (with ``event``), a status (``level``,
            ``name``, ``message``, ``hardware_id``, ``values``), or text (backend of an inference, index of a release).
        segment: (n,), 0 until the clock jumps backwards for the first time, then 1 … Times grow within a segment only.
    """

    kind: str
    topic: str
    type: str
    names: tuple[str, ...]
    unit: str
    received_ns: Stamps
    stamp_ns: Stamps
    values: Float
    valid: NDArray[np.bool_]
    extra: Mapping[str, NDArray[Any]] = field(default_factory=dict)
    events: tuple[Any, ...] = ()
    segment: NDArray[np.int32] = field(default_factory=lambda: np.zeros(0, np.int32))

    def __len__(self) -> int:
        """Number of rows."""
        return len(self.received_ns)

    @property
    def time_ns(self) -> Stamps:
        """Header stamps, receive times where a message has none."""
        return np.where(self.stamp_ns == NO_STAMP, self.received_ns, self.stamp_ns)

    def rows(self, which: Any) -> Track:
        """The same track with some of its rows: a slice, a mask or indices."""
        events = self.events
        if events:
            chosen = np.arange(len(self))[which]
            events = tuple(events[int(k)] for k in chosen)
        return Track(self.kind, self.topic, self.type, self.names, self.unit, self.received_ns[which],
                     self.stamp_ns[which], self.values[which], self.valid[which],
                     {name: column[which] for name, column in self.extra.items()}, events, self.segment[which])


@dataclass(frozen=True)
class Stream:
    """One topic of a bag, whether or not it became a track.

    Attributes:
        topic: name as recorded.
        type: message type.
        count: messages found so far.
        announced: messages that the bag says it holds; None where it does not say.
        kind: what the profile takes it for; empty: not read.
    """

    topic: str
    type: str
    count: int
    announced: int | None
    kind: str


@dataclass(frozen=True)
class Sources:
    """Where a recording comes from.

    Attributes:
        path: folder or file as given.
        files: name → SHA-256 of each file (empty where hashing was not asked for).
        storage: ``mcap`` or ``sqlite3``.
        profile: name of the profile that mapped the topics.
        hand: name of the hand, e.g. ``v5_sense_right``.
        namespace: of its topics, without slashes at the ends.
        prefix: before its joint names.
        metadata: key-value facts written by the recorder (serial, calibration, bundle, versions).
        distribution: ROS distribution that wrote it; empty where unknown.
        streams: every topic.
    """

    path: Path
    files: Mapping[str, str]
    storage: str
    profile: str
    hand: str
    namespace: str
    prefix: str
    metadata: Mapping[str, str]
    distribution: str
    streams: tuple[Stream, ...]


@dataclass(frozen=True)
class Recording:
    """A bag, or a window of it.

    Attributes:
        tracks: by kind; streams that were not recorded are absent.
        damage: sentences on what is lost or doubtful: topic, time, remedy. Of a window: known up to its end.
        sources: provenance.
        begin_ns, end_ns: first and last receive time; both 0 where there is nothing.
    """

    tracks: Mapping[str, Track]
    damage: tuple[str, ...]
    sources: Sources
    begin_ns: int = 0
    end_ns: int = 0

    @property
    def duration_s(self) -> float:
        """Length, s."""
        return (self.end_ns - self.begin_ns) * 1e-9


def read_recording(
    path: Path | str, profile: str = 'auto', *, hand: str = '', namespace: str | None = None,
    prefix: str | None = None, kinds: Collection[str] = KINDS, hashes: bool = True,
) -> Recording:
    """Read a whole bag into memory (400 bytes a joint state: two hours at 333 Hz take 1 GB; see :func:`windows`).

    Args:
        path: folder of a bag, or one ``.mcap`` or ``.db3`` file, also compressed (``.zstd``).
        profile: how topics are called and which units they carry: ``auto``, a name of
            :func:`allegro_bench.bags.profiles.available`, or a YAML file of your own.
        hand: e.g. ``v5_sense_left``; empty: what the bag or the profile says.
        namespace: of the hand's topics; None: the only one, or the first of several (which is then said).
        prefix: before its joint names; None: what the first message says.
        kinds: streams to read; the others cost no memory.
        hashes: whether to compute SHA-256 of the files.

    Raises:
        ConfigError: no bag at all there, no such profile, or no topic of a hand in it; the sentence lists topics.
        UnknownName: no such hand.
    """
    from allegro_bench.bags.reading import Wish, whole

    return whole(Path(path), Wish(profile, hand, namespace, prefix, frozenset(kinds), hashes))


def windows(
    path: Path | str, profile: str = 'auto', *, seconds: float = 60.0, hand: str = '', namespace: str | None = None,
    prefix: str | None = None, kinds: Collection[str] = KINDS, hashes: bool = True,
) -> Iterator[Recording]:
    """Read a bag window by window: every message is in exactly one window, memory does not grow with the bag.

    Windows are stretches of the file of at least ``seconds``; a bag without messages gives one empty window. The last
    window's :attr:`Recording.damage` and :attr:`Sources.streams` are those of the whole bag. Arguments and errors
    otherwise as :func:`read_recording`.
    """
    from allegro_bench.bags.reading import Wish, stretches

    return stretches(Path(path), Wish(profile, hand, namespace, prefix, frozenset(kinds), hashes), seconds)
