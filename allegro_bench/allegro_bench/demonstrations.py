"""Episodes of a bag as arrays at a fixed rate: what the hand felt, and what was commanded next."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from allegro_description.errors import ConfigError
from numpy.typing import NDArray
from rosbags.highlevel import AnyReader, AnyReaderError

from allegro_bench.episodes import merge, value_of

Float = NDArray[np.float64]

TOPICS = ('joint_states', 'joint_commands', 'tactile/points', 'episode')

_POINT_FORMATS = {7: '<f4', 4: '<u2', 2: 'u1'}
"""Of sensor_msgs/PointField."""


@dataclass(frozen=True)
class Demonstration:
    """One episode, one row per frame.

    Attributes:
        facts: what was announced about it (object, seed, held …).
        time_s: of each frame since the first one, multiples of the period.
        state: newest joint angles, rad, (frames, n_joints).
        action: newest target that was commanded in answer to them, rad, (frames, n_joints).
        pressure: newest pressure above baseline, Pa, 0 where unknown, (frames, n_taxels).
        valid: which of it is known.
    """

    facts: Mapping[str, Any]
    time_s: Float
    state: Float
    action: Float
    pressure: Float
    valid: NDArray[np.bool_]


@dataclass
class _Track:
    """Stamped rows of one topic."""

    stamps: list[int] = field(default_factory=list)
    rows: list[Any] = field(default_factory=list)

    def add(self, stamp_ns: int, row: Any) -> None:
        self.stamps.append(stamp_ns)
        self.rows.append(row)

    def at(self, when: NDArray[np.int64]) -> list[Any]:
        """The newest row at each time; the first one before it came."""
        places = np.searchsorted(np.array(self.stamps), when, side='right') - 1
        return [self.rows[max(place, 0)] for place in places]


def read_demonstrations(bag: Path, fps: float) -> tuple[tuple[str, ...], list[Demonstration]]:
    """The joint names and every complete episode of a bag; without announced episodes the bag is one.

    A command carries the stamp of the joint state that caused it, so a frame pairs both at that instant; between
    commands the last one stays, as in the driver. Frames where nothing was commanded yet are left out.

    Raises:
        ConfigError: no bag, no joint states or commands in it, or joints that change their names.
    """
    names: tuple[str, ...] = ()
    tracks = {topic: _Track() for topic in TOPICS}
    try:
        with AnyReader([bag]) as reader:
            chosen = {c.topic: t for c in reader.connections for t in TOPICS if f'/{c.topic}'.endswith(f'/{t}')}
            for topic in TOPICS:
                found = [name for name, kind in chosen.items() if kind == topic]
                if len(found) > 1:
                    raise ConfigError(f'{bag} holds several hands ({", ".join(found)}); record one hand per bag')
            for connection, received_ns, raw in reader.messages([c for c in reader.connections if c.topic in chosen]):
                topic = chosen[connection.topic]
                message: Any = reader.deserialize(raw, connection.msgtype)
                if topic == 'episode':
                    tracks[topic].add(received_ns, message.status[0])
                    continue
                stamp_ns = message.header.stamp.sec * 10**9 + message.header.stamp.nanosec
                if topic == 'tactile/points':
                    tracks[topic].add(stamp_ns, _touch(message))
                elif len(message.position):
                    names = names or tuple(message.name)
                    if tuple(message.name) != names:
                        raise ConfigError(f'{connection.topic} names the joints {", ".join(message.name)}, before they '
                                          f'were {", ".join(names)}')
                    tracks[topic].add(stamp_ns, np.array(message.position, dtype=np.float64))
    except (AnyReaderError, OSError) as error:
        raise ConfigError(f'{bag} cannot be read as a bag: {error}') from error
    missing = [topic for topic in ('joint_states', 'joint_commands') if not tracks[topic].rows]
    if missing:
        raise ConfigError(f'{bag} holds no {" and no ".join(missing)}; record them')
    made = [_cut(tracks, facts, begin, end, fps) for facts, begin, end in _spans(tracks)]
    return names, [d for d in made if len(d.time_s) > 1]


def _spans(tracks: Mapping[str, _Track]) -> list[tuple[Mapping[str, Any], int, int]]:
    """Facts, begin and end, ns, of each episode that ended."""
    heard = tracks['episode']
    if not heard.rows:
        stamps = tracks['joint_commands'].stamps
        return [({}, stamps[0], stamps[-1])]
    events = [{'event': status.message, 'time_s': stamp, **{v.key: value_of(v.value) for v in status.values}}
              for stamp, status in zip(heard.stamps, heard.rows, strict=True)]
    return [(row, row['start_s'], row['end_s']) for row in merge(events)
            if row['start_s'] is not None and row['end_s'] is not None and row['outcome'] != 'stopped']


def _cut(tracks: Mapping[str, _Track], facts: Mapping[str, Any], begin: int, end: int, fps: float) -> Demonstration:
    commanded = [stamp for stamp in tracks['joint_commands'].stamps if begin <= stamp <= end]
    first = commanded[0] if commanded else end
    count = int(np.ceil((end - first) * 1e-9 * fps - 1e-6)) if commanded else 0  # the end is no frame
    when = first + np.round(np.arange(count) * 1e9 / fps).astype(np.int64)
    touch = tracks['tactile/points']
    felt = touch.at(when) if touch.rows else [(np.zeros(0), np.zeros(0, dtype=bool))] * count
    known = np.array([valid for _, valid in felt], dtype=bool)
    if count and touch.rows:
        known &= (when >= touch.stamps[0])[:, None]
    pressure = np.array([values for values, _ in felt], dtype=np.float64)
    return Demonstration(
        facts, np.arange(count) / fps, np.array(tracks['joint_states'].at(when)),
        np.array(tracks['joint_commands'].at(when)), np.where(known, pressure, 0.0), known)


def _touch(cloud: Any) -> tuple[Float, NDArray[np.bool_]]:
    """Pressure, Pa, and validity of ``tactile/points``."""
    layout: Sequence[Any] = [f for f in cloud.fields if f.name in ('pressure', 'valid')]
    if {f.name for f in layout} != {'pressure', 'valid'} or any(f.datatype not in _POINT_FORMATS for f in layout):
        raise ConfigError('tactile/points has no fields pressure and valid; it was not recorded by this suite')
    dtype = np.dtype({'names': [f.name for f in layout], 'formats': [_POINT_FORMATS[f.datatype] for f in layout],
                      'offsets': [f.offset for f in layout], 'itemsize': cloud.point_step})
    points = np.frombuffer(bytes(cloud.data), dtype=dtype)
    pressure = points['pressure'].astype(np.float64)
    return pressure, points['valid'].astype(bool) & np.isfinite(pressure)
