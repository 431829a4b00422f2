"""What the view shows: the newest values from the graph and short histories. One thread fills and reads it."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from allegro_description.model import HandModel
from allegro_description.state import Array

#: Length of the plots, s, and time between two points of them, s.
WINDOW_S, POINT_S = 12.0, 0.05
#: A stream silent for this long is shown as lost, s.
LOST_S = 1.0
#: A diagnostics entry (published once per second) silent for this long is shown as lost, s.
STATUS_LOST_S = 4.0

PHASES = ('IDLE', 'RAMP', 'CLOSE', 'RUN', 'HOLD', 'RELEASE')


@dataclass(frozen=True, eq=False)
class ObjectView:
    """The grasped object: ``box``, ``sphere``, ``cylinder``, outer size (m), pose in the palm frame, colour.

    A shape ``triangles`` has their corners, m, (n, 3, 3), and its size is a factor on each axis.
    """

    shape: str
    size: tuple[float, float, float]
    position: Array
    wxyz: Array
    colour: tuple[int, int, int]
    opacity: float = 1.0
    triangles: Array | None = None


@dataclass(frozen=True)
class Status:
    """One diagnostics entry: level 0 OK, 1 warning, 2 error, 3 stale; the sentence; the values; when it came, s."""

    level: int
    message: str
    values: Mapping[str, str]
    at: float


@dataclass(frozen=True)
class EpisodeResult:
    """One ended episode; ``outcome``: ``success``, ``held``, ``dropped``, ``lost`` (out of place) or ``stopped``."""

    index: str
    shape: str
    level: str
    outcome: str
    note: str


def episode_result(event: str, facts: Mapping[str, str]) -> EpisodeResult | None:
    """The result that an ``episode`` message reports, or None for one that ends nothing.

    Args:
        event: ``started``, ``dropped``, ``finished`` or ``stopped``.
        facts: the message's keys and values.
    """
    if event not in ('dropped', 'finished', 'stopped'):
        return None

    def true(key: str) -> bool:
        return facts.get(key, '').lower() == 'true'

    dropped_at = facts.get('dropped_at_s', '').lower()
    dropped = event == 'dropped' or dropped_at not in ('', 'none', 'nan', 'null')
    if true('success'):
        outcome = 'success'
    elif true('held'):
        outcome = 'held'
    else:
        outcome = 'stopped' if event == 'stopped' else 'dropped' if dropped else 'lost'
    note = f'after {float(dropped_at):.1f} s' if _number(dropped_at) else ''
    if not note and _number(facts.get('slip_mm', '')):
        note = f'slip {float(facts["slip_mm"]):.1f} mm'
    return EpisodeResult(facts.get('index', '?'), facts.get('shape', ''), facts.get('level', ''), outcome, note)


def _number(text: str) -> bool:
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False


class History:
    """Ring of rows over the last :data:`WINDOW_S` seconds."""

    def __init__(self, columns: int) -> None:
        """Start empty with that many values per row."""
        self._rows = np.full((int(WINDOW_S / POINT_S) + 1, columns + 1), np.nan)
        self._count = 0

    def add(self, at: float, values: Array) -> None:
        """Append a row; NaN leaves a gap in the plot."""
        row = self._rows[self._count % len(self._rows)]
        row[0], row[1:] = at, values
        self._count += 1

    def read(self, now: float) -> tuple[Array, Array]:
        """Times relative to ``now`` (s, oldest first, (n,)) and values (n, columns)."""
        n = min(self._count, len(self._rows))
        rows = np.roll(self._rows, -(self._count % len(self._rows)), axis=0)[-n:] if n else self._rows[:0]
        return rows[:, 0] - now, rows[:, 1:]


@dataclass(eq=False)
class LiveHand:
    """Newest values. Times are monotonic seconds of the caller's clock.

    Attributes:
        position: joint angles, rad, (n_joints,), or None before the first message.
        pressure, valid: Pa and validity per taxel, or None before the first message.
        grasped: the object in the hand, or None.
        gravity: m/s² in the palm frame, or None.
        forces: finger name -> net contact force in its tip frame, N.
        statuses: diagnostics name -> newest entry.
        episodes: finished episodes, newest first.
        inference_ms: durations of the last inferences, ms.
        age_ms: newest age of ``joint_states`` on arrival, ms, or None.
    """

    model: HandModel
    position: Array | None = None
    pressure: Array | None = None
    valid: NDArray[np.bool_] | None = None
    grasped: ObjectView | None = None
    gravity: Array | None = None
    forces: dict[str, Array] = field(default_factory=dict)
    statuses: dict[str, Status] = field(default_factory=dict)
    episodes: deque[EpisodeResult] = field(default_factory=lambda: deque(maxlen=12))
    inference_ms: deque[float] = field(default_factory=lambda: deque(maxlen=500))
    age_ms: float | None = None
    #: The newest arrival of each stream, s; filled by :meth:`heard`.
    arrivals: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.joints = History(len(self.model.joints))
        self.pressures = History(len(self.model.tip_taxels))
        self.phases = History(1)
        self._sampled = -np.inf

    def heard(self, stream: str, now: float) -> None:
        """Note that ``stream`` delivered at ``now``."""
        self.arrivals[stream] = now

    def silence_s(self, stream: str, now: float) -> float:
        """Seconds since ``stream`` delivered; infinite if never."""
        return now - self.arrivals.get(stream, -np.inf)

    def lost(self, stream: str, now: float) -> bool:
        """Whether ``stream`` has never spoken or is silent for longer than :data:`LOST_S`."""
        return self.silence_s(stream, now) > LOST_S

    def touch(self, now: float) -> tuple[Array, NDArray[np.bool_]]:
        """Pressure (Pa) and validity per taxel; nothing is valid once the stream is lost."""
        n = len(self.model.taxels)
        if self.pressure is None or self.valid is None or self.lost('tactile', now):
            return np.zeros(n), np.zeros(n, dtype=bool)
        return self.pressure, self.valid

    def episode(self, event: str, facts: Mapping[str, str]) -> None:
        """Take an ``episode`` message; a later one about the same episode replaces the earlier."""
        result = episode_result(event, facts)
        if result is None:
            return
        if self.episodes and self.episodes[0].index == result.index:
            self.episodes.popleft()
        self.episodes.appendleft(result)

    @property
    def phase(self) -> str:
        """The grasp policy's phase as it reports it in diagnostics, or an empty string."""
        for name, status in self.statuses.items():
            if name.startswith('grasp_policy') and 'phase' in status.values:
                return status.values['phase'].upper()
        return ''

    def sample(self, now: float) -> None:
        """Add one point to the histories, at most every :data:`POINT_S`; lost streams leave gaps."""
        if now - self._sampled < POINT_S * 0.99:
            return
        self._sampled = now
        gone = np.full(len(self.model.joints), np.nan)
        live = self.position is not None and not self.lost('joints', now)
        self.joints.add(now, self.position if live and self.position is not None else gone)
        pressure, valid = self.touch(now)
        tips = self.model.tip_taxels
        self.pressures.add(now, np.where(valid[tips], pressure[tips], np.nan))
        phase = self.phase
        self.phases.add(now, np.array([PHASES.index(phase) if phase in PHASES else np.nan], dtype=np.float64))

    def status_lost(self, status: Status, now: float) -> bool:
        """Whether a diagnostics entry is too old to be believed."""
        return now - status.at > STATUS_LOST_S

    def worst(self, prefix: str) -> tuple[str, Status] | None:
        """The diagnostics entry of highest level whose name begins with ``prefix``."""
        found = [(name, s) for name, s in self.statuses.items() if name.startswith(prefix)]
        return max(found, key=lambda item: item[1].level) if found else None

    def inference(self) -> tuple[float, float] | None:
        """Median and 99th percentile of the last inferences, ms, or None."""
        if not self.inference_ms:
            return None
        p50, p99 = np.percentile(np.array(self.inference_ms), [50, 99])
        return float(p50), float(p99)
