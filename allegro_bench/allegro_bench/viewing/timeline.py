"""What was known at a moment of a recording: the newest message of each stream before it, and traces around it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np
from allegro_description.errors import ConfigError
from allegro_description.model import HandModel, load_hand
from allegro_description.viewer import colours
from allegro_description.viewer.live import LiveHand, ObjectView, Status
from numpy.typing import NDArray

from allegro_bench.bags.recording import Float, Recording, Track

KINDS = ('joint_states', 'touch', 'touch_raw', 'commands', 'policy_state', 'ood_score', 'slip_probability', 'inference',
         'episodes', 'diagnostics', 'gravity', 'object', 'wrench')
"""Streams that are read; the others cost no memory."""

GAP_S = 0.25
"""A trace is interrupted where a stream is silent for longer."""

POINTS = 600
INFERENCES = 500

_WHOLE = frozenset({'joint_states', 'commands', 'gravity', 'object', 'wrench'})
"""Rows of these are used only where every value is finite."""

_SHAPES = {1: 'box', 2: 'sphere', 3: 'cylinder', 11: 'triangles'}
_DELETED = (2, 3)
_ALIAS = {'joint_states': 'joints', 'touch': 'tactile'}

_hand = lru_cache(maxsize=4)(load_hand)

Triangles = Callable[[int], Float | None]
"""Receive time of a message about the object, ns → corners of its triangles, m, (n, 3, 3)."""


@dataclass(frozen=True, eq=False)
class Moment:
    """The state at a time of a recording; None or absent: nothing heard yet.

    Attributes:
        seconds: since the beginning.
        position, command: joint angles, rad, (n_joints,).
        pressure, valid: Pa and validity per taxel, (n_taxels,).
        grasped: the object, if one was recorded and not taken away.
        gravity: m/s² in the palm frame, (3,).
        forces: finger → net contact force in its tip frame, N, (3,).
        statuses: diagnostics name → newest entry; its time is seconds since the beginning.
        inference_s: durations of the last inferences, s.
        scores: ``ood_score`` and ``slip_probability``.
        ages: kind of stream → seconds since its newest message.
    """

    seconds: float
    position: Float | None = None
    command: Float | None = None
    pressure: Float | None = None
    valid: NDArray[np.bool_] | None = None
    grasped: ObjectView | None = None
    gravity: Float | None = None
    forces: Mapping[str, Float] = field(default_factory=dict)
    statuses: Mapping[str, Status] = field(default_factory=dict)
    inference_s: Float = field(default_factory=lambda: np.zeros(0))
    scores: Mapping[str, float] = field(default_factory=dict)
    ages: Mapping[str, float] = field(default_factory=dict)

    @property
    def phase(self) -> str:
        """What the grasp policy calls its phase, or an empty string."""
        return next((phase_of(s) for n, s in sorted(self.statuses.items()) if phase_of(s) and is_policy(n)), '')


def is_policy(name: str) -> bool:
    """Whether a diagnostics entry is that of the policy's node, in whatever namespace."""
    return node_of(name).startswith('grasp_policy')


def is_driver(name: str) -> bool:
    """Whether a diagnostics entry is that of the driver, in whatever namespace."""
    return node_of(name).startswith('hand_driver')


def node_of(name: str) -> str:
    """The node that a diagnostics entry is named after."""
    return name.partition(':')[0].strip().rpartition('/')[2]


def phase_of(status: Status) -> str:
    """The phase that a diagnostics entry carries, or an empty string."""
    return str(status.values.get('phase', '')).upper()


class Timeline:
    """A recording over one axis of time: receive times, ns, in the order of arrival.

    Where only raw touch was recorded, that is shown (:attr:`touch_is_raw`).
    """

    def __init__(self, recording: Recording, triangles: Triangles | None = None) -> None:
        """Sort out what can be shown.

        Args:
            recording: with the streams of :data:`KINDS`.
            triangles: corners of objects that are no box, sphere or cylinder.

        Raises:
            ConfigError: nothing of a hand was recorded.
        """
        self.recording = recording
        self.model: HandModel = _hand(*recording.sources.hand.rpartition('_')[::2])
        self.remarks = list(recording.damage)
        segment = self._segment(recording.tracks.values())
        tracks = {kind: _usable(track, segment) for kind, track in recording.tracks.items()}
        self.tracks: dict[str, Track] = {kind: track for kind, track in tracks.items() if len(track)}
        self.touch_is_raw = 'touch' not in self.tracks and 'touch_raw' in self.tracks
        if self.touch_is_raw:
            self.tracks['touch'] = self.tracks.pop('touch_raw')
        if not self.tracks:
            raise ConfigError(f'{recording.sources.path} holds no message of a hand that could be shown'
                              + ''.join(f'; {remark}' for remark in self.remarks))
        self.begin_ns = min(int(t.received_ns[0]) for t in self.tracks.values())
        self.end_ns = max(int(t.received_ns[-1]) for t in self.tracks.values())
        self._triangles = triangles
        self._statuses = self._by_name()

    @property
    def duration_s(self) -> float:
        """Length, s."""
        return (self.end_ns - self.begin_ns) * 1e-9

    def ns(self, seconds: float) -> int:
        """Receive time of a place."""
        return self.begin_ns + round(seconds * 1e9)

    def seconds(self, ns: NDArray[np.int64] | int) -> Float:
        """Seconds since the beginning."""
        return np.asarray((np.asarray(ns) - self.begin_ns) * 1e-9)

    def row(self, kind: str, seconds: float) -> int:
        """Row of the newest message of a stream up to then; -1: none yet."""
        track = self.tracks.get(kind)
        return -1 if track is None else int(np.searchsorted(track.received_ns, self.ns(seconds), side='right')) - 1

    def moment(self, seconds: float) -> Moment:
        """What was known then. Depends on nothing but ``seconds``."""
        rows = {kind: self.row(kind, seconds) for kind in self.tracks}
        rows = {kind: row for kind, row in rows.items() if row >= 0}
        value = {kind: self.tracks[kind].values[row] for kind, row in rows.items()}
        touch, inferences = rows.get('touch'), rows.get('inference', -1)
        return Moment(
            seconds, value.get('joint_states'), value.get('commands'), value.get('touch'),
            None if touch is None else self.tracks['touch'].valid[touch],
            self._object(rows.get('object')), value.get('gravity'),
            {kind.partition('/')[2]: v[:3] for kind, v in value.items() if kind.startswith('wrench/')},
            self._heard(seconds), self.tracks['inference'].values[max(0, inferences + 1 - INFERENCES):inferences + 1, 0]
            if inferences >= 0 else np.zeros(0),
            {kind: float(value[kind][0]) for kind in ('ood_score', 'slip_probability') if kind in value},
            {kind: max(0.0, seconds - float(self.seconds(int(self.tracks[kind].received_ns[row]))))
             for kind, row in rows.items()})

    def trace(self, kind: str, columns: Iterable[int], seconds: float, half_s: float) -> tuple[Float, Float]:
        """Values around a moment, thinned; what is not valid is NaN, and so is a row in every silence.

        Args:
            kind: of the stream.
            columns: of its values.
            seconds: the moment.
            half_s: how far before and after.

        Returns:
            Times relative to the moment (s, growing, (n,)) and values (n, columns).
        """
        chosen, track = np.array([*columns], dtype=np.intp), self.tracks.get(kind)
        if track is None:
            return np.zeros(0), np.zeros((0, len(chosen)))
        first, last = np.searchsorted(track.received_ns, [self.ns(seconds - half_s), self.ns(seconds + half_s)])
        # Rows are chosen by their number in the recording, so that a curve does not flicker as it moves along.
        stride = 1 << max(0, int(np.ceil(np.log2(max(1, last - first) / POINTS))))
        rows = np.arange(-(-first // stride) * stride, last, stride)
        t = self.seconds(track.received_ns[rows]) - seconds
        values = np.where(track.valid[np.ix_(rows, chosen)], track.values[np.ix_(rows, chosen)], np.nan)
        return _interrupted(t, values)

    def held(self, kind: str, columns: Iterable[int], at_s: Float) -> Float:
        """Newest values of a stream at each of some times (n, columns); NaN before the first and in every silence."""
        chosen, track = np.array([*columns], dtype=np.intp), self.tracks.get(kind)
        if track is None:
            return np.full((len(at_s), len(chosen)), np.nan)
        times = self.seconds(track.received_ns)
        row = np.searchsorted(times, at_s, side='right') - 1
        fresh = (row >= 0) & (at_s - times[np.maximum(row, 0)] <= GAP_S)
        return np.where(fresh[:, None], track.values[np.ix_(np.maximum(row, 0), chosen)], np.nan)

    def statuses(self) -> Iterable[tuple[str, list[tuple[float, Status]]]]:
        """Every diagnostics entry by name, each with its times, s, in order."""
        for name, rows in sorted(self._statuses.items()):
            yield name, [(s.at, s) for s in rows[1]]

    def _segment(self, tracks: Iterable[Track]) -> int:
        """The stretch between two backward jumps of the clock that holds most messages."""
        numbers = np.concatenate([t.segment for t in tracks if t.segment.size] or [np.zeros(0, np.int32)])
        if not len(numbers):
            return 0
        counts = np.bincount(numbers)
        best = int(np.argmax(counts))
        if np.count_nonzero(counts) > 1:
            self.remarks.append(f'the clock jumps backwards {np.count_nonzero(counts) - 1} times; shown is the longest '
                                f'stretch between jumps, {counts[best]} of {counts.sum()} messages')
        return best

    def _by_name(self) -> dict[str, tuple[Float, list[Status]]]:
        found: dict[str, list[Status]] = {}
        track = self.tracks.get('diagnostics')
        if track is not None:
            for at, entry in zip(self.seconds(track.received_ns), track.events, strict=True):
                values = entry.get('values') or {}
                found.setdefault(str(entry.get('name', '')), []).append(
                    Status(int(entry.get('level', 0)), str(entry.get('message', '')), values, float(at)))
        return {name: (np.array([s.at for s in rows]), rows) for name, rows in found.items()}

    def _heard(self, seconds: float) -> dict[str, Status]:
        # A place is turned into ns and back, as the times of messages are: both sides round alike.
        now, heard = float(self.seconds(self.ns(seconds))), {}
        for name, (times, rows) in self._statuses.items():
            row = int(np.searchsorted(times, now, side='right')) - 1
            if row >= 0:
                heard[name] = rows[row]
        return heard

    def _object(self, row: int | None) -> ObjectView | None:
        if row is None:
            return None
        track = self.tracks['object']
        told, value = track.events[row], track.values[row]
        shape = _SHAPES.get(int(told.get('shape', -1)), '')
        if not shape or told.get('action') in _DELETED or np.linalg.norm(value[3:7]) < 1e-6:
            return None
        triangles = None
        if shape == 'triangles':
            triangles = None if self._triangles is None else self._triangles(int(track.received_ns[row]))
            if triangles is None:
                return None
        x, y, z, w = value[3:7] / np.linalg.norm(value[3:7])
        size = (float(value[7]), float(value[8]), float(value[9]))
        return ObjectView(shape, size, value[:3], np.array([w, x, y, z]), colours.OBJECT, 1.0, triangles)


def live_hand(model: HandModel, moment: Moment, now: float) -> LiveHand:
    """The moment as the viewer's page takes it: as if everything had come just as long before ``now``.

    Args:
        model: the hand.
        moment: what to show.
        now: any time, s; it is the page's, not the recording's.
    """
    live = LiveHand(model, moment.position, moment.pressure, moment.valid, moment.grasped, moment.gravity,
                    dict(moment.forces))
    for kind, age in moment.ages.items():
        live.heard(_ALIAS.get(kind, kind), now - age)
    for name, status in moment.statuses.items():
        live.statuses[name] = Status(status.level, status.message, status.values, now - (moment.seconds - status.at))
    return live


def _usable(track: Track, segment: int) -> Track:
    """Rows of one segment in order of arrival; where a row is of use only as a whole, those that are."""
    keep = track.segment == segment if track.segment.size else np.ones(len(track), dtype=bool)
    kind = track.kind.partition('/')[0]
    if kind in _WHOLE and track.values.shape[1]:
        deleted = np.array([e.get('action') in _DELETED for e in track.events]) if kind == 'object' else False
        keep &= np.isfinite(track.values).all(axis=1) | deleted
    rows = np.flatnonzero(keep)
    return track.rows(rows[np.argsort(track.received_ns[rows], kind='stable')])


def _interrupted(t: Float, values: Float) -> tuple[Float, Float]:
    """The same with a row of NaN in every silence."""
    silent = np.flatnonzero(np.diff(t) > GAP_S)
    if not len(silent):
        return t, values
    return np.insert(t, silent + 1, t[silent] + GAP_S / 2), np.insert(values, silent + 1, np.nan, axis=0)
