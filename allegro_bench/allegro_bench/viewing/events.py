"""What happened in a recording, and when: one list for the page, the time line and the jump to the next one."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from allegro_description.viewer.live import Status

from allegro_bench import episodes
from allegro_bench.bags.recording import Track
from allegro_bench.viewing import contacts
from allegro_bench.viewing.timeline import Timeline, is_driver, is_policy, node_of, phase_of

KINDS = {
    'damage': 'the recording itself: what is lost or doubtful',
    'gap': 'a stream that is silent',
    'fault': 'a node that calls itself faulty',
    'warning': 'a node that warns',
    'driver': 'what the driver does: active, hold, idle',
    'episode': 'begin and end of episodes',
    'phase': 'phases of the policy',
    'slip': 'an object that slides, or is said to',
    'cell': 'touch cells that are dead, frozen or not valid',
    'touch': 'cells that begin or cease to touch',
}
"""Kinds of events, in the order in which those of one time are listed."""

LEVELS = ('note', 'warning', 'fault')

SILENT_S = 0.25
PERIODS = 10.0
"""A stream that comes regularly is silent after so many of its typical periods, and :data:`SILENT_S` at least."""

FALL_M = 0.2
"""An object that moves farther than this at once has left the hand."""

FEW = 3
"""More cells than this that are lost together are counted, not named."""

_REGULAR = ('joint_states', 'touch', 'commands')
_ERROR = 2
_DATE = re.compile(r'\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3}(?= UTC)')
SLIP_AT = 0.5
"""Of ``slip_probability``: above, the policy takes it for a slip."""


@dataclass(frozen=True)
class Event:
    """One thing that happened.

    Attributes:
        at_s: when it began, s from the beginning of the recording.
        kind: a key of :data:`KINDS`.
        level: one of :data:`LEVELS`.
        text: a few words.
        until_s: when it ended; None: it has no length.
    """

    at_s: float
    kind: str
    level: str
    text: str
    until_s: float | None = None


def events(timeline: Timeline) -> tuple[Event, ...]:
    """Everything that happened, by time; of equal times in the order of :data:`KINDS`."""
    found = [*damage(timeline), *gaps(timeline), *nodes(timeline), *episode_events(timeline), *slips(timeline),
             *cells(timeline), *touch(timeline)]
    order = {kind: k for k, kind in enumerate(KINDS)}
    return tuple(sorted(found, key=lambda e: (e.at_s, order[e.kind], e.text)))


def later(found: Sequence[Event], seconds: float) -> Event | None:
    """The first event after a moment."""
    return next((e for e in found if e.at_s > seconds), None)


def earlier(found: Sequence[Event], seconds: float) -> Event | None:
    """The last event before a moment."""
    return next((e for e in reversed(found) if e.at_s < seconds), None)


def near(found: Sequence[Event], seconds: float, count: int) -> Sequence[Event]:
    """So many neighbours in the list: the last event up to a moment, one before it, and what follows."""
    after = next((k for k, e in enumerate(found) if e.at_s > seconds), len(found))
    first = max(0, min(after - 2, len(found) - count))
    return found[first:first + count]


def damage(timeline: Timeline) -> list[Event]:
    """What is lost of the recording; at the beginning where the sentence names no time."""
    found = []
    for words in timeline.remarks:
        named = _DATE.search(words)
        at_s = 0.0
        if named:
            told = datetime.strptime(named[0], '%Y-%m-%d %H:%M:%S.%f').replace(tzinfo=UTC)
            at_s = min(max(told.timestamp() - timeline.begin_ns * 1e-9, 0.0), timeline.duration_s)
        found.append(Event(at_s, 'damage', 'fault', words))
    return found


def gaps(timeline: Timeline) -> list[Event]:
    """Silences of streams that otherwise come regularly."""
    found = []
    for kind in _REGULAR:
        track = timeline.tracks.get(kind)
        if track is None or len(track) < 3:
            continue
        times = timeline.seconds(track.received_ns)
        steps = times[1:] - times[:-1]
        least = max(SILENT_S, PERIODS * float(sorted(steps)[len(steps) // 2]))
        # Who commands the hand may be silent by right, while there is nothing to do.
        level = 'note' if kind == 'commands' else 'warning'
        found += [Event(float(times[k]), 'gap', level, f'{track.topic} is silent for {steps[k]:.2f} s',
                        float(times[k + 1])) for k in range(len(steps)) if steps[k] > least]
    return found


def nodes(timeline: Timeline) -> list[Event]:
    """Changes in what the nodes say of themselves: the driver's state, the policy's phase, warnings and faults."""
    found: list[Event] = []
    for name, rows in timeline.statuses():
        level, state, phase = 0, '', ''
        for at_s, status in rows:
            if is_driver(name) and _state(status) != state:
                state = _state(status)
                found.append(_driver(at_s, status))
            elif status.level > level and status.level in (1, _ERROR):
                found.append(Event(at_s, 'fault' if status.level == _ERROR else 'warning',
                                   'fault' if status.level == _ERROR else 'warning',
                                   f'{node_of(name)}: {status.message}'))
            elif status.level == 0 < level and not is_driver(name):
                found.append(Event(at_s, 'warning', 'note', f'{node_of(name)}: well again'))
            level = status.level
            if is_policy(name) and phase_of(status) not in ('', phase):
                phase = phase_of(status)
                found.append(Event(at_s, 'phase', 'warning' if phase == 'HOLD' else 'note', f'policy: {phase}'))
    return found


def episode_events(timeline: Timeline) -> list[Event]:
    """Begin and end of each episode; the end carries what came of it."""
    found = []
    for row in episode_rows(timeline):
        what = ' '.join(str(part) for part in (row.get('level'), row.get('shape')) if part)
        mass = row.get('mass_kg')
        about = what + (f' {mass:.2f} kg' if isinstance(mass, (int, float)) else '')
        name = f'episode {row.get("index", "?")}'
        if row['start_s'] is not None:
            found.append(Event(row['start_s'], 'episode', 'note', f'{name} begins: {about}', row['end_s']))
        if row['end_s'] is not None:
            slip = row.get('slip_mm')
            slid = f', slid {slip:.0f} mm' if isinstance(slip, (int, float)) else ''
            found.append(Event(row['end_s'], 'episode', 'note' if row['outcome'] == 'held' else 'warning',
                               f'{name}: {row["outcome"]}{slid}'))
    return found


def episode_rows(timeline: Timeline) -> list[dict[str, Any]]:
    """One row per episode; ``start_s`` and ``end_s`` in seconds from the beginning of the recording."""
    track = timeline.tracks.get('episodes')
    if track is None:
        return []
    return episodes.merge({**facts, 'time_s': float(at)} for at, facts in
                          zip(timeline.seconds(track.received_ns), track.events, strict=True) if facts.get('event'))


def slips(timeline: Timeline) -> list[Event]:
    """Slips: as the policy estimates them, and as a simulated object really moved."""
    found = []
    track = timeline.tracks.get('object')
    if track is not None:
        for a, b, far in contacts.slides(track, timeline.seconds(track.received_ns)):
            words = f'slides {1e3 * far:.0f} mm' if far < FALL_M else f'slides and falls, {far:.1f} m'
            found.append(Event(a, 'slip', 'warning', f'the object {words}', b))
    track = timeline.tracks.get('slip_probability')
    if track is not None:
        said = contacts.stretches(timeline.seconds(track.received_ns), track.values[:, 0] > SLIP_AT)
        found += [Event(a, 'slip', 'note', 'the policy takes it for a slip', b) for a, b in said]
    return found


def cells(timeline: Timeline) -> list[Event]:
    """Cells without a valid reading, and cells that replay finds dead, frozen or scaled otherwise."""
    found: list[Event] = []
    track = timeline.tracks.get('touch')
    if track is not None:
        together: dict[contacts.Stretch, list[str]] = {}
        for name, parts in contacts.unreadable(track, timeline.seconds(track.received_ns)).items():
            for part in parts:
                together.setdefault(part, []).append(name)
        for (a, b), names in together.items():
            who = ', '.join(names) if len(names) <= FEW else f'{len(names)} of {len(track.names)} cells'
            found.append(Event(a, 'cell', 'warning', f'{who}: no valid reading for {b - a:.1f} s', b))
    return [*found, *_sensors(timeline)]


def touch(timeline: Timeline) -> list[Event]:
    """Cells that begin and cease to touch."""
    track: Track | None = timeline.tracks.get('touch')
    if track is None:
        return []
    parts = contacts.touching(track, timeline.seconds(track.received_ns), timeline.model)
    return [event for name, found in parts.items() for a, b in found
            for event in (Event(a, 'touch', 'note', f'{name} touches', b), Event(b, 'touch', 'note', f'{name} lets go'))
            if event.at_s > 0.0 and (event.until_s is not None or b < timeline.duration_s)]


def counts(found: Iterable[Event]) -> dict[str, int]:
    """How many of each kind, those that occur, in the order of :data:`KINDS`."""
    kinds = [e.kind for e in found]
    return {kind: kinds.count(kind) for kind in KINDS if kind in kinds}


def _state(status: Status) -> str:
    return f'{status.values.get("state", status.level)}: {status.values.get("reason", "")}'


def _driver(at_s: float, status: Status) -> Event:
    kind = 'fault' if status.values.get('state') == 'fault' or status.level == _ERROR else 'driver'
    level = 'fault' if kind == 'fault' else 'warning' if status.level else 'note'
    return Event(at_s, kind, level, f'driver: {status.message}')


def _sensors(timeline: Timeline) -> list[Event]:
    """What replay says of the values of touch cells."""
    from allegro_description.errors import AllegroError

    from allegro_bench.replay.intake import from_recording
    from allegro_bench.replay.sensors import sensor_findings

    try:
        inputs = from_recording(timeline.recording)
    except AllegroError:
        return []
    found, shift = [], float(timeline.seconds(inputs.origin_ns))
    for finding in sensor_findings(inputs):
        at_s = 0.0 if finding.from_s is None else min(max(finding.from_s + shift, 0.0), timeline.duration_s)
        until = None if finding.to_s is None else min(max(finding.to_s + shift, at_s), timeline.duration_s)
        found.append(Event(at_s, 'cell', finding.level, finding.text, until))
    return found
