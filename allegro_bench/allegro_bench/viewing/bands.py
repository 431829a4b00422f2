"""Stretches for the time line: episodes, phases of the policy, states of the driver, and which finger touches."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from allegro_description.viewer.live import Status

from allegro_bench.viewing import contacts
from allegro_bench.viewing.events import episode_rows
from allegro_bench.viewing.timeline import Timeline, is_driver, is_policy, phase_of

SILENT_S = 4.0
"""A node that publishes each second and is not heard for longer is not taken to go on."""


@dataclass(frozen=True)
class Band:
    """What held from when to when, s: ``value`` chooses the colour, ``text`` is for a person."""

    begin_s: float
    end_s: float
    value: str
    text: str


@dataclass(frozen=True)
class Lane:
    """Bands of one kind, disjoint and in order."""

    name: str
    bands: tuple[Band, ...]


def lanes(timeline: Timeline) -> tuple[Lane, ...]:
    """The lanes that have something to show, from the top."""
    found = [Lane('episode', tuple(_episodes(timeline)))]
    for name, rows in timeline.statuses():
        if is_driver(name):
            found.append(Lane('driver', held(((s.at, _state(s)) for _, s in rows), timeline.duration_s)))
        elif is_policy(name):
            found.append(Lane('policy', held(((s.at, phase_of(s)) for _, s in rows), timeline.duration_s)))
    return tuple(lane for lane in [*found, *_touch(timeline)] if lane.bands)


def held(said: Iterable[tuple[float, str]], end_s: float) -> tuple[Band, ...]:
    """Bands from what was said when: each value holds until another is said, or nothing for :data:`SILENT_S`.

    Args:
        said: times, s, growing, and values; an empty value is shown as nothing.
        end_s: end of the recording.
    """
    found: list[Band] = []
    rows = list(said)
    for k, (at_s, value) in enumerate(rows):
        end = min(at_s + SILENT_S, end_s, rows[k + 1][0] if k + 1 < len(rows) else end_s)
        if not value or end <= at_s:
            continue
        if found and found[-1].value == value and found[-1].end_s == at_s:
            found[-1] = Band(found[-1].begin_s, end, value, value)
        else:
            found.append(Band(at_s, end, value, value))
    return tuple(found)


def _state(status: Status) -> str:
    return str(status.values.get('state') or ('ok', 'warning', 'fault', 'stale')[min(status.level, 3)])


def _episodes(timeline: Timeline) -> Iterable[Band]:
    end = timeline.duration_s
    for row in episode_rows(timeline):
        # An episode whose start was not recorded was under way when the recording began.
        begin_s, end_s = row['start_s'] or 0.0, end if row['end_s'] is None else row['end_s']
        if end_s > begin_s:
            yield Band(begin_s, end_s, row['outcome'],
                       f'episode {row.get("index", "?")}: {row.get("shape") or "object"}, {row["outcome"]}')


def _touch(timeline: Timeline) -> Sequence[Lane]:
    track = timeline.tracks.get('touch')
    if track is None:
        return []
    parts = contacts.touching(track, timeline.seconds(track.received_ns), timeline.model)
    cell_of = {name: timeline.model.taxels[k].finger or 'palm' for k, name in enumerate(track.names)}
    found = []
    for part in dict.fromkeys(cell_of.values()):
        merged = union(s for name, finger in cell_of.items() if finger == part for s in parts[name])
        found.append(Lane(part, tuple(Band(a, b, 'touch', f'{part} touches') for a, b in merged)))
    return found


def union(parts: Iterable[contacts.Stretch]) -> list[contacts.Stretch]:
    """Stretches in which any of these holds, disjoint and in order."""
    found: list[contacts.Stretch] = []
    for begin, end in sorted(parts):
        if found and begin <= found[-1][1]:
            found[-1] = (found[-1][0], max(end, found[-1][1]))
        else:
            found.append((begin, end))
    return found
