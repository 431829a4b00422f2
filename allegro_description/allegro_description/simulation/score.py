"""The judgement of TactileHold: one rule, for many episodes side by side or for one."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from allegro_description.errors import ConfigError
from allegro_description.model import HandModel
from allegro_description.simulation.episode import CRADLE, DISTURB_S, DURATION_S, GRIP_FORCE_N, RELEASE_S, Episode
from allegro_description.simulation.plant import Plant
from allegro_description.state import Array

MAX_SLIP_M, MAX_TURN_RAD, MAX_TORQUE_NM = 0.030, math.radians(60.0), 0.30
DROP_DISTANCE = 0.13                # m from the cradle: farther than any fingertip encloses
SAMPLES = 512                       # tip forces kept at first; grows as needed


@dataclass(frozen=True, slots=True)
class EpisodeResult:
    """What came out of an episode.

    Attributes:
        held: slip and turn within bounds at the end. success: held within the force and torque budget.
        acquired: still in the hand when the disturbances begin.
        dropped_at_s: when the object left the hand, s, or None.
        slip_mm, turn_deg: motion relative to the palm since 1.6 s (NaN if it never got there).
        mean_torque_nm: mean |torque| over flexion joints since 1.6 s (since 1.0 s if it ended earlier).
        p99_tip_force_n: 99th percentile over time of the largest tip force, same window.
        finished_s: time of the end, s.
    """

    held: bool
    success: bool
    acquired: bool
    dropped_at_s: float | None
    slip_mm: float
    turn_deg: float
    mean_torque_nm: float
    p99_tip_force_n: float
    finished_s: float


class Judge:
    """Judges ``count`` episodes side by side; call :meth:`update` at a fixed period of at most 20 ms."""

    def __init__(self, count: int) -> None:
        """Prepare; every place is free until :meth:`start`."""
        self._com, self._limit = np.zeros((count, 3)), np.zeros(count)
        self._xyz, self._quat = np.zeros((count, 3)), np.zeros((count, 4))
        self._reference = np.zeros(count, dtype=bool)
        self._torque, self._count = np.zeros(count), np.zeros(count, dtype=np.intp)
        self._tip = np.zeros((count, SAMPLES))
        self.slip_m, self.turn_rad = np.full(count, math.nan), np.full(count, math.nan)

    def start(self, place: int, episode: Episode) -> None:
        """Begin a new score sheet."""
        self._com[place], self._limit[place] = episode.obj.com, GRIP_FORCE_N[episode.grip_class]
        self._reference[place], self._torque[place], self._count[place] = False, 0.0, 0
        self.slip_m[place] = self.turn_rad[place] = math.nan

    def update(
        self, which: NDArray[np.intp], t: Array, xyz: Array, quat: Array, torque: Array, tip: Array
    ) -> list[tuple[int, EpisodeResult]]:
        """Take the state of some places; returns ``(place, result)`` of those that are over.

        Args:
            which: the places, (k,).
            t: time since the start of each, s, (k,).
            xyz: the object's place in the palm frame, m, (k, 3).
            quat: how it is turned there, (w, x, y, z), (k, 4).
            torque: mean |torque| of the flexion joints, N·m, (k,).
            tip: largest fingertip force, N, (k,).
        """
        centre = xyz + rotated(quat, self._com[which])
        setting = which[(t >= DISTURB_S - 1e-9) & ~self._reference[which]]
        self._count[setting] = 0
        self._torque[setting] = 0.0
        counting = t >= RELEASE_S[1]
        places = which[counting]
        if places.size and self._count[places].max() >= self._tip.shape[1]:
            self._tip = np.concatenate([self._tip, np.zeros_like(self._tip)], axis=1)
        self._tip[places, self._count[places]] = tip[counting]
        self._torque[places] += torque[counting]
        self._count[places] += 1
        fresh = np.isin(which, setting)
        self._reference[setting] = True
        self._xyz[setting], self._quat[setting] = centre[fresh], quat[fresh]
        known = self._reference[which]
        slip = np.linalg.norm(centre - self._xyz[which], axis=1)
        turn = 2.0 * np.arccos(np.minimum(1.0, np.abs((self._quat[which] * quat).sum(axis=1))))
        self.slip_m[which] = np.where(known, slip, math.nan)
        self.turn_rad[which] = np.where(known, turn, math.nan)
        gone = (t >= RELEASE_S[0]) & (np.linalg.norm(centre - np.array(CRADLE), axis=1) > DROP_DISTANCE)
        over = gone | (t >= DURATION_S - 1e-9)
        return [(int(which[k]), self._finish(int(which[k]), float(t[k]), bool(gone[k]))) for k in np.flatnonzero(over)]

    def _finish(self, place: int, t: float, dropped: bool) -> EpisodeResult:
        count, slip, turn = int(self._count[place]), float(self.slip_m[place]), float(self.turn_rad[place])
        held = not dropped and slip <= MAX_SLIP_M and turn <= MAX_TURN_RAD
        torque = float(self._torque[place]) / count if count else 0.0
        tip = float(np.percentile(self._tip[place, :count], 99)) if count else 0.0
        return EpisodeResult(
            held=held, success=held and tip <= float(self._limit[place]) and torque <= MAX_TORQUE_NM,
            acquired=bool(self._reference[place]), dropped_at_s=t if dropped else None, slip_mm=1e3 * slip,
            turn_deg=math.degrees(turn), mean_torque_nm=torque, p99_tip_force_n=tip, finished_s=t,
        )


class Score:
    """Judges one episode from what its plant does; call :meth:`update` at a fixed period of at most 20 ms."""

    def __init__(self, hand: HandModel, episode: Episode) -> None:
        """Start a score sheet."""
        self._flexion, self._judge = hand.flexion, Judge(1)
        self._judge.start(0, episode)
        self.result: EpisodeResult | None = None

    def update(self, t: float, plant: Plant) -> EpisodeResult | None:
        """Take the state at ``t`` (s since the start); returns the result once the episode is over.

        Raises:
            ConfigError: the plant has no object.
        """
        if self.result is not None:
            return self.result
        pose = plant.object_pose
        if pose is None:
            raise ConfigError('a score needs a plant with an object')
        torque = np.array([np.mean(np.abs(plant.torque[self._flexion]))])
        tip = np.array([plant.tip_forces.max(initial=0.0)])
        over = self._judge.update(
            np.zeros(1, dtype=np.intp), np.array([t]), pose[0][None], pose[1][None], torque, tip)
        self.result = over[0][1] if over else None
        return self.result


def rotated(quat: Array, vector: Array) -> Array:
    """Vectors (n, 3) turned by quaternions (w, x, y, z), (n, 4)."""
    across = np.cross(quat[:, 1:], vector)
    return np.asarray(vector + 2.0 * (quat[:, :1] * across + np.cross(quat[:, 1:], across)))
