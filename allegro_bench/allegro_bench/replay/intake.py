"""From a :class:`~allegro_bench.bags.recording.Recording` to :class:`~allegro_bench.replay.inputs.Inputs`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from allegro_description.errors import ConfigError
from allegro_description.model import load_hand

from allegro_bench.bags.recording import NO_STAMP, Recording, Track, read_recording
from allegro_bench.episodes import merge
from allegro_bench.replay.inputs import NO_INFERENCES, Inferences, Inputs, Stamps, Stream
from allegro_bench.replay.runner import grip_of

KINDS = ('joint_states', 'touch', 'touch_raw', 'commands', 'policy_state', 'inference', 'inference_release',
         'episodes', 'diagnostics')
MOST_REMARKS = 200
ERROR = 2
"""Of diagnostic_msgs/DiagnosticStatus."""


def read_inputs(bag: Path, *, profile: str = 'auto', hand: str = '', namespace: str | None = None) -> Inputs:
    """Read a bag and prepare it for replay.

    Raises:
        ConfigError: no bag, no hand in it, or no joint states.
        UnknownName: no such hand.
    """
    return from_recording(read_recording(bag, profile, hand=hand, namespace=namespace, kinds=KINDS))


def from_recording(recording: Recording) -> Inputs:
    """Take from a recording what a policy's node would have heard.

    Raises:
        ConfigError: it holds no joint states.
    """
    source = recording.sources
    damage = list(recording.damage)
    segment = _longest_segment(recording, damage)
    streams = {kind: _stream(recording.tracks.get(kind), kind, segment, damage)
               for kind in ('joint_states', 'touch', 'touch_raw', 'commands', 'policy_state')}
    joints = streams['joint_states']
    if joints is None or not len(joints):
        topics = ', '.join(s.topic for s in source.streams) or 'none'
        raise ConfigError(f'{source.path} holds no joint states of a hand, so nothing can be replayed; topics: '
                          f'{topics}. Record joint_states, or name the right profile')
    origin = int(joints.received_ns[0])
    model, side = source.hand.rpartition('_')[::2]
    inputs = Inputs(
        name=source.path.name, model=load_hand(model, side), joints=joints, commands=streams['commands'],
        touch=streams['touch'], raw=streams['touch_raw'], states=streams['policy_state'],
        state_names=recording.tracks['policy_state'].names if streams['policy_state'] is not None else (),
        inferences=_inferences(recording.tracks), episodes=_episodes(recording.tracks.get('episodes'), origin),
        remarks=_remarks(recording.tracks.get('diagnostics'), origin),
        faults=_remarks(recording.tracks.get('diagnostics'), origin, ERROR),
        controller=_controller(recording), damage=damage, sources=_facts(recording))
    return replace(inputs, grip=grip_of(inputs))


def _longest_segment(recording: Recording, damage: list[str]) -> int:
    """The stretch between two backward jumps of the clock that holds most joint states."""
    track = recording.tracks.get('joint_states')
    if track is None or not len(track) or not track.segment.size:
        return 0
    numbers, counts = np.unique(track.segment, return_counts=True)
    if len(numbers) > 1:
        damage.append(f'{track.topic}: the clock jumps backwards {len(numbers) - 1} times; only the longest stretch '
                      f'between jumps ({counts.max()} of {len(track)} joint states) is replayed. Record with a clock '
                      'that runs forward')
    return int(numbers[np.argmax(counts)])


def _stream(track: Track | None, kind: str, segment: int, damage: list[str]) -> Stream | None:
    """One track of one segment in order of arrival, rows without usable numbers left out."""
    if track is None or not len(track):
        return None
    usable = track.segment == segment if track.segment.size else np.ones(len(track), dtype=bool)
    if kind in ('joint_states', 'commands'):
        finite = track.valid.all(axis=1)
        lost = int((usable & ~finite).sum())
        if lost and kind == 'joint_states':
            damage.append(f'{track.topic}: {lost} of {len(track)} messages lack a joint or hold values that are not '
                          'finite; they are left out, a node would hold the hand there. Look at the driver')
        usable = usable & finite
    order = np.flatnonzero(usable)
    order = order[np.argsort(track.received_ns[order], kind='stable')]
    if not len(order):
        return None
    stamps = np.where(track.stamp_ns == NO_STAMP, track.received_ns, track.stamp_ns)
    return Stream(track.topic, track.received_ns[order], stamps[order], track.values[order], track.valid[order])


def _inferences(tracks: Mapping[str, Track]) -> Inferences:
    track = tracks.get('inference')
    if track is None or not len(track) or 'reference_ns' not in track.extra:
        return NO_INFERENCES
    order = np.argsort(track.stamp_ns, kind='stable')
    finish, start = track.stamp_ns[order], track.extra['reference_ns'][order].astype(np.int64)
    release: Stamps = np.full(len(finish), -1, dtype=np.int64)
    schedule = tracks.get('inference_release')
    if schedule is not None and len(schedule) and 'reference_ns' in schedule.extra:
        due = dict(zip(schedule.stamp_ns.tolist(), schedule.extra['reference_ns'].tolist(), strict=True))
        release = np.array([due.get(int(f), -1) for f in finish], dtype=np.int64)
    return Inferences(start, finish, release)


def _episodes(track: Track | None, origin: int) -> Sequence[Mapping[str, Any]]:
    if track is None:
        return ()
    return merge({**facts, 'time_s': (int(when) - origin) * 1e-9}
                 for when, facts in zip(track.received_ns, track.events, strict=True) if facts.get('event'))


def _statuses(track: Track | None, node: str) -> list[tuple[int, Mapping[str, Any]]]:
    if track is None:
        return []
    return [(int(when), status) for when, status in zip(track.received_ns, track.events, strict=True)
            if str(status.get('name', '')).partition(':')[0].strip().endswith(node)]


def _remarks(track: Track | None, origin: int, least: int = 0) -> list[tuple[float, str]]:
    """What driver and policy said of themselves, each time that it changed, from a level on."""
    found: list[tuple[float, str]] = []
    for node in ('grasp_policy', 'hand_driver', 'tactile_publisher'):
        last: dict[str, str] = {}
        for when, status in _statuses(track, node):
            name, message = str(status.get('name', '')), str(status.get('message', ''))
            changed, last[name] = last.get(name) != message, message
            if changed and int(status.get('level', 0)) >= least:
                found.append(((when - origin) * 1e-9, f'{name.replace(": status", "")}: {message}'))
    return sorted(found)[:MOST_REMARKS]


def _controller(recording: Recording) -> str:
    """Who computed the commands: what the policy's node or the recorder says; '' if neither does."""
    for _, status in _statuses(recording.tracks.get('diagnostics'), 'grasp_policy'):
        values = status.get('values') or {}
        policy = values.get('policy') if isinstance(values, Mapping) else None
        if policy and (not isinstance(values, Mapping) or values.get('mode') != 'shadow'):
            return str(policy)
    told = recording.sources.metadata
    return str(told.get('policy', '')) if told.get('policy_mode') not in (None, '', 'shadow') else ''


def _facts(recording: Recording) -> dict[str, Any]:
    source = recording.sources
    return {
        'path': str(source.path), 'files': dict(source.files), 'storage': source.storage, 'profile': source.profile,
        'hand': source.hand, 'namespace': source.namespace, 'prefix': source.prefix,
        'distribution': source.distribution, 'metadata': dict(source.metadata), 'duration_s': recording.duration_s,
        'topics': [{'topic': s.topic, 'type': s.type, 'count': s.count, 'kind': s.kind or None}
                   for s in source.streams],
    }
