"""SlipArrest: a held object starts to slip; stop it within a few millimetres and settle at the smallest safe grip.

The script of one 6 s episode, a pure function of (seed, object set):

======= ==========================================================================================
0-1.6   as in TactileHold: close, let go, tilt. The object is a long one across the fingers, and gravity ends nearly
        along it, 70 to 110 degrees from palm-up, so that friction has to carry it
1.0-2.0 the grip is squeezed with a given share of the torque, just enough to hold (the task searches it for each seed)
2.0     the policy takes over
2.5-3.5 the event, one of four: the surface becomes ``wet`` (friction times 0.4 to 0.7), ``payload``
        (half to one and a half times the object's mass is added), both within 0.2 s, ``tug`` (an impulse of 0.05 to 0.3
        N·s within 0.1 s), or ``none``, which counts false alarms and creep
======= ==========================================================================================

The tug pulls along gravity, where the grip is loaded already; the design's "weakest direction" would take a search per
episode and is not defined once the hand reacts. Slipping is said of an object whose centre of mass moves faster than
5 mm/s against the palm.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from allegro_description.errors import ConfigError
from allegro_description.model import HandModel
from allegro_description.simulation.episode import CRADLE, DURATION_S, LONG_EDGE, RELEASE_S, Episode, Script
from allegro_description.simulation.object_sets import sample_object
from allegro_description.simulation.objects import ObjectSpec, object_rng
from allegro_description.simulation.plant import GRAVITY, Plant
from allegro_description.simulation.score import DROP_DISTANCE, EpisodeResult, Judge, rotated
from allegro_description.state import Array

# Chances of the draw; an event that asks nothing of the grip is no episode, so 'none' makes up a quarter of those.
EVENTS = {'wet': 0.3, 'payload': 0.3, 'tug': 0.28, 'none': 0.12}
POLICY_S = 2.0
EVENT_S = (2.5, 3.5)
TILT, SIDE = (math.radians(70.0), math.radians(110.0)), math.radians(25.0)
FRICTION_FACTOR, PAYLOAD_FACTOR, IMPULSE_NS = (0.4, 0.7), (0.5, 1.5), (0.05, 0.3)
TUG_S = 0.1
RAMP_S = 0.2                        # nothing gets wet, or heavier, from one moment to the next
SLIP_SPEED_M_S = 0.005              # above it the object slips
STILL_S = 0.1                       # below it for so long: the slip is arrested
MAX_LATENCY_S, MAX_SLIP_M, MAX_SQUEEZE = 0.5, 0.015, 1.6
STEADY_S = 0.5                      # the end of the episode, over which the squeeze is taken
LABEL_S = 0.06                      # "slipping" means within the last so many seconds
_STREAM, _DRAWS = 30, 1000          # seed stream of the event; the next one is that of objects


class SlipEpisode(Episode):
    """The script.

    Attributes:
        event: one of ``EVENTS``. event_s: when.
        size: friction factor, added share of the mass, or impulse (N·s); 0 for ``none``.
    """

    def __init__(self, hand: HandModel, seed: int, object_set: str = 'train') -> None:
        """Draw the episode.

        Raises:
            UnknownName, ConfigError: as :class:`~.episode.Episode`.
        """
        super().__init__(hand, seed, 'L0', object_set, obj=_long_object(seed, object_set))
        rng = object_rng(seed, object_set, _STREAM)
        self._tilt_angle = float(rng.uniform(*TILT))
        side = math.copysign(math.pi / 2, rng.uniform(-1.0, 1.0)) + float(rng.uniform(-SIDE, SIDE))
        self._sideways = GRAVITY * np.array([0.0, -math.sin(side), math.cos(side)])
        self.event = str(rng.choice(list(EVENTS), p=list(EVENTS.values())))
        self.event_s = float(rng.uniform(*EVENT_S))
        ranges = {'wet': FRICTION_FACTOR, 'payload': PAYLOAD_FACTOR, 'tug': IMPULSE_NS, 'none': (0.0, 0.0)}
        self.size = float(rng.uniform(*ranges[self.event]))

    def script(self, times: Array) -> Script:
        """Everything at ``times`` (s since the start, (n,)), but for friction: see :meth:`friction`."""
        t = np.asarray(times, dtype=np.float64)
        plain = super().script(t)
        if self.event == 'payload':
            return replace(plain, payload=self._ramp(t) * self.size * self.obj.mass)
        if self.event == 'tug':
            now = (t >= self.event_s) & (t < self.event_s + TUG_S)
            down = plain.gravity / np.linalg.norm(plain.gravity, axis=1, keepdims=True)
            force = np.where(now[:, None], self.size / TUG_S * down, 0.0)
            return replace(plain, force=force, point=np.tile(self.obj.com, (t.size, 1)))
        return plain

    def friction(self, t: float) -> float:
        """Friction coefficient of every contact with the object at ``t`` (s)."""
        share = float(self._ramp(np.array(t))) if self.event == 'wet' else 0.0
        return self.obj.friction * (1.0 + share * (self.size - 1.0))

    def _ramp(self, t: Array) -> Array:
        return np.asarray(np.clip((t - self.event_s) / RAMP_S, 0.0, 1.0))

    def apply(self, t: float, plant: Plant) -> None:
        """Set gravity, push, payload, friction and the human's hand for the step that begins at ``t`` (s)."""
        super().apply(t, plant)
        plant.set_friction(self.friction(t))


def _long_object(seed: int, object_set: str) -> ObjectSpec:
    """The first long object of the seed's draws: one that lies across the fingers."""
    rng = object_rng(seed, object_set, _STREAM + 1)
    for _ in range(_DRAWS):
        obj = sample_object(rng, object_set)
        if obj.shape in ('capsule', 'cylinder') or (obj.parts and max(obj.extent) > LONG_EDGE):
            return obj
    raise ConfigError(f'object set {object_set} gave no long object in {_DRAWS} draws; SlipArrest needs such')


@dataclass(frozen=True, slots=True)
class SlipResult(EpisodeResult):
    """What came out of a SlipArrest episode; ``slip_mm`` counts from the event, forces and torques from 2.0 s.

    Attributes:
        event: which one. slipped: whether the object moved faster than 5 mm/s after it.
        arrested: it slipped and came to rest, for at least 0.1 s, within 0.5 s of the onset.
        latency_s: from the onset to rest (NaN: no slip, or no rest).
        before_mm: way of the centre of mass from 2.0 s to the event.
        last_mm: way during the last half second.
        steady_torque_nm: mean |torque| over the flexion joints in the last half second.
        squeeze: that torque over the least one that holds (NaN: unknown).
    """

    event: str
    slipped: bool
    arrested: bool
    latency_s: float
    before_mm: float
    last_mm: float
    steady_torque_nm: float
    squeeze: float


class SlipJudge(Judge):
    """Judges episodes side by side from their whole course.

    Attributes:
        least_nm: least steady torque that holds each place's object after its event, N·m, (count,); NaN: unknown.
        slipping: whether the object of each place slipped within the last 60 ms, (count,) bool.
    """

    def __init__(self, count: int, period_s: float) -> None:
        """Prepare for ``update`` at this period, s."""
        super().__init__(count)
        steps = round(DURATION_S / period_s) + 2
        self._period, self.least_nm = period_s, np.full(count, math.nan)
        self._episode: list[SlipEpisode | None] = [None] * count
        self._way, self._effort, self._peak = np.zeros((count, steps, 3)), np.zeros((count, steps)), np.zeros(
            (count, steps))
        self._seen = np.zeros(count, dtype=np.intp)
        self._last_slip = np.full(count, -math.inf)
        self.slipping: NDArray[np.bool_] = np.zeros(count, dtype=bool)

    def start(self, place: int, episode: Episode) -> None:
        """Begin a new score sheet."""
        super().start(place, episode)
        assert isinstance(episode, SlipEpisode)
        self._episode[place], self._seen[place] = episode, 0
        self._last_slip[place], self.slipping[place] = -math.inf, False

    def update(
        self, which: NDArray[np.intp], t: Array, xyz: Array, quat: Array, torque: Array, tip: Array
    ) -> list[tuple[int, EpisodeResult]]:
        """Take the state of some places; returns ``(place, result)`` of those that are over. See :class:`.Judge`."""
        centre, step = xyz + rotated(quat, self._com[which]), self._seen[which]
        before = self._way[which, np.maximum(step - 1, 0)]
        speed = np.linalg.norm(centre - before, axis=1) / self._period
        self._way[which, step], self._effort[which, step], self._peak[which, step] = centre, torque, tip
        self._seen[which] += 1
        fast = (speed > SLIP_SPEED_M_S) & (step > 0)
        self._last_slip[which[fast]] = t[fast]
        self.slipping[which] = t - self._last_slip[which] < LABEL_S - 1e-9
        started = np.array([self._begin(k) for k in which.tolist()])
        self.slip_m[which] = np.linalg.norm(centre - self._way[which, np.minimum(started, step)], axis=1)
        self.turn_rad[which] = 0.0
        gone = (t >= RELEASE_S[0]) & (np.linalg.norm(centre - np.array(CRADLE), axis=1) > DROP_DISTANCE)
        over = gone | (t >= DURATION_S - 1e-9)
        return [(int(which[k]), self._finish(int(which[k]), float(t[k]), bool(gone[k]))) for k in np.flatnonzero(over)]

    def _begin(self, place: int) -> int:
        """First step that saw the event."""
        episode = self._episode[place]
        assert episode is not None
        return math.ceil(episode.event_s / self._period) - 1

    def _finish(self, place: int, t: float, dropped: bool) -> SlipResult:
        episode, seen = self._episode[place], int(self._seen[place])
        assert episode is not None
        way, effort, peak = self._way[place, :seen], self._effort[place, :seen], self._peak[place, :seen]
        speed = np.linalg.norm(np.diff(way, axis=0), axis=1) / self._period     # of step k + 1
        policy, event = round(POLICY_S / self._period), self._begin(place)
        fast = np.flatnonzero(speed[event:] > SLIP_SPEED_M_S)
        slipped = bool(fast.size)
        latency = math.nan
        if slipped and not dropped:
            still = round(STILL_S / self._period)
            rest = np.append(fast[1:], speed.size - event + still) - fast - 1   # still steps after each fast one
            at = np.flatnonzero(rest >= still)
            latency = float((fast[at[0]] + 1 - fast[0]) * self._period) if at.size else math.nan
        arrested = bool(latency <= MAX_LATENCY_S)
        tail = round(STEADY_S / self._period)
        steady = float(effort[-tail:].mean())
        slip = float(np.linalg.norm(way[-1] - way[min(event, seen - 1)]))
        acquired = seen > event
        held = acquired and not dropped and slip <= MAX_SLIP_M and (arrested or not slipped)
        squeeze = steady / float(self.least_nm[place])
        tip = float(np.percentile(peak[policy:], 99)) if seen > policy else 0.0
        return SlipResult(
            held=held, success=held and tip <= float(self._limit[place]) and not squeeze > MAX_SQUEEZE,
            acquired=acquired, dropped_at_s=t if dropped else None, slip_mm=1e3 * slip, turn_deg=0.0,
            mean_torque_nm=float(effort[policy:].mean()) if seen > policy else 0.0, p99_tip_force_n=tip, finished_s=t,
            event=episode.event, slipped=slipped, arrested=arrested, latency_s=latency,
            before_mm=1e3 * float(np.linalg.norm(way[min(event, seen - 1)] - way[min(policy, seen - 1)])),
            last_mm=1e3 * float(np.linalg.norm(way[-1] - way[-min(tail, seen)])), steady_torque_nm=steady,
            squeeze=squeeze)
