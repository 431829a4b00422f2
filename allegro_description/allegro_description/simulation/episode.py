"""TactileHold: close on what is put into the hand, then keep it while the arm moves and people bump it.

The script of one 6 s episode, a pure function of (seed, level, object set); it drives training and the emulator alike.

====== ===========================================================================================
0-1.0  the hand closes; the object is presented by a human's hand until 0.8 s, let go over 0.2 s
1.0-1.6 the palm tilts from palm-up to a random direction of gravity
1.6-6.0 disturbances by level: a 0.2 s push every 0.6 s of 0, 0.5, 1, 2 or 4 times the object's weight, in a random
       direction at a random surface point; arm acceleration noise; in a quarter of the episodes half the
       object's mass is added
====== ===========================================================================================

Held: at 6 s the centre of mass moved at most 30 mm and the body turned at most 60 degrees relative to the palm since
1.6 s. Success: held, and the 99th percentile of the tip force within the grip class's limit, and the mean flexion
torque within 0.30 N·m. With the 240 mA clamp the last bound cannot bind (the mean over the flexion joints is at most
0.21 N·m), so always read success together with the mean torque that is printed beside it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from allegro_description.errors import ConfigError, UnknownName
from allegro_description.kinematics import Kinematics, axis_rotation
from allegro_description.model import HandModel
from allegro_description.simulation.object_sets import sample_object
from allegro_description.simulation.objects import ObjectSpec, object_rng
from allegro_description.simulation.plant import GRAVITY, PALM_UP, Plant
from allegro_description.simulation.solids import matrix, quaternion
from allegro_description.state import Array

DURATION_S = 6.0
RELEASE_S = (0.8, 1.0)              # the human lets go
TILT_S = (1.0, 1.6)
DISTURB_S = 1.6
PULSE_FIRST_S, PULSE_EVERY_S, PULSE_LENGTH_S = 1.8, 0.6, 0.2
PULSES = 7
LEVELS = {'L0': 0.0, 'L1': 0.5, 'L2': 1.0, 'L3': 2.0, 'L4': 4.0}    # push, in object weights
MAX_FACTOR = 20.0
ARM_NOISE = {'L0': 0.0, 'L1': 0.5, 'L2': 1.0, 'L3': 2.0, 'L4': 3.0}  # rms arm acceleration, m/s² (OURS)
PAYLOAD_CHANCE, PAYLOAD_FACTOR = 0.25, 0.5
GRIP_FORCE_N = {'fragile': 4.0, 'normal': 10.0, 'robust': 20.0}
# Where objects are presented: centre of a 20 x 40 x 30 mm box (x is set by the object's height over the palm).
CRADLE = (0.050, 0.005, 0.012)
CRADLE_HALF_YZ = (0.020, 0.015)
LONG_EDGE = 0.078                   # m: a compound with a longer edge is laid across the fingers
FLAT_RATIO = 1.3                    # second to third edge of one that is gripped by its thin side
MAX_YAW = 0.35                      # rad
LIFTS = 61                          # of 2 mm, until the object does not touch the hand
PALM_FACE_X, CLEARANCE = 0.010, (0.004, 0.024)


@dataclass(frozen=True, slots=True, eq=False)
class Script:
    """What the world does to the object at a row of times; the first dimension is time.

    Attributes:
        gravity: palm frame, arm acceleration included, m/s², (n, 3).
        force, point: the push, N in the palm frame and m in the object frame, (n, 3) each.
        payload: added mass, kg, (n,).
        hold: strength of the human's hand, 1 holds, 0 has let go, (n,).
    """

    gravity: Array
    force: Array
    point: Array
    payload: Array
    hold: Array


def disturbance(level: str | float) -> tuple[str, float, float]:
    """Name, push in object weights and rms arm acceleration (m/s²) of a level.

    Args:
        level: ``L0`` … ``L4``, or any push in object weights, as a number or its text; the arm's acceleration is then
            interpolated between the named levels, and that of L4 beyond them.

    Raises:
        UnknownName: neither a level nor a number from 0 to 20.
    """
    if level in LEVELS:
        name = str(level)
        return name, LEVELS[name], ARM_NOISE[name]
    try:
        factor = float(level)
    except ValueError:
        factor = math.nan
    if not 0.0 <= factor <= MAX_FACTOR:
        raise UnknownName('level', str(level), [*LEVELS, f'0 … {MAX_FACTOR:g} (push in object weights)'])
    noise = float(np.interp(factor, list(LEVELS.values()), list(ARM_NOISE.values())))
    return f'{factor:g}', factor, noise


class Episode:
    """The script: object, start, and gravity, push, payload and human's hand as functions of time.

    Attributes:
        obj: the object. start: joint angles at t = 0, rad. object_pose: where the human presents it.
        grip_class: the user's command, ``fragile``, ``normal`` or ``robust``.
        pulses: (start s, force N in the palm frame (3,), point m in the object frame (3,)).
        payload: (time s, added mass kg), or None.
    """

    def __init__(
        self,
        hand: HandModel,
        seed: int,
        level: str | float = 'L1',
        object_set: str = 'train',
        *,
        tilt_max: float = math.pi,
        obj: ObjectSpec | None = None,
    ) -> None:
        """Draw the episode.

        Args:
            hand: the hand; its ``pregrasp`` pose is the start.
            seed: 0 or more. Object, pose and directions do not depend on the level.
            level: ``L0`` … ``L4`` or a push in object weights, see :func:`disturbance`.
            object_set: one of :data:`~allegro_description.simulation.objects.OBJECT_SETS`.
            tilt_max: largest angle between palm-up and the final gravity, rad (curriculum).
            obj: use this object instead of a drawn one.

        Raises:
            UnknownName: no such level or object set.
            ConfigError: a negative seed, or a hand whose fingers do not stand around the place of the object.
        """
        name, factor, noise = disturbance(level)
        if not 0.0 <= tilt_max <= math.pi:
            raise ConfigError(f'tilt_max is {tilt_max}; allowed: 0 … pi rad')
        if (Kinematics(hand).tip_positions(hand.pose('pregrasp'))[:, 0] < CRADLE[0]).any():
            raise ConfigError(
                f"{hand.name} does not close over the palm's +x side, where the object is presented; this task is for "
                '4-finger hands')
        self.seed, self.level, self.object_set = seed, name, object_set
        self.obj = obj or sample_object(object_rng(seed, object_set, 0), object_set)
        self.start = hand.pose('pregrasp')
        rng = object_rng(seed, object_set, 1)
        self.object_pose = _present(self.obj, rng)
        self.grip_class = str(rng.choice(list(GRIP_FORCE_N)))
        rng = object_rng(seed, object_set, 2)
        self._tilt_angle = math.acos(1.0 - rng.uniform() * (1.0 - math.cos(tilt_max)))
        side = rng.uniform(0.0, 2 * math.pi)
        # where gravity goes to: tilting is about an axis across the palm's normal
        self._sideways = GRAVITY * np.array([0.0, -math.sin(side), math.cos(side)])
        weight = self.obj.mass * GRAVITY
        self.pulses = [
            (PULSE_FIRST_S + PULSE_EVERY_S * k, factor * weight * _direction(rng), self.obj.surface_point(rng))
            for k in range(PULSES)
        ]
        # Arm noise: four sinusoids an axis; amplitudes make the rms of the vector the level's value.
        self._noise_rate = 2 * math.pi * rng.uniform(0.5, 3.0, (4, 3))
        self._noise_phase = rng.uniform(0.0, 2 * math.pi, (4, 3))
        self._noise_amplitude = noise * math.sqrt(2.0 / 12.0)
        chance, when = rng.uniform(), rng.uniform(2.0, 5.0)
        self.payload: tuple[float, float] | None = None
        if chance < PAYLOAD_CHANCE and factor > 0.0:
            self.payload = (float(when), PAYLOAD_FACTOR * self.obj.mass)

    def script(self, times: Array) -> Script:
        """Everything at ``times`` (s since the start, (n,))."""
        t = np.asarray(times, dtype=np.float64)
        share = np.clip((t - TILT_S[0]) / (TILT_S[1] - TILT_S[0]), 0.0, 1.0)
        angle = self._tilt_angle * share * share * (3.0 - 2.0 * share)
        gravity = np.cos(angle)[:, None] * np.array(PALM_UP) + np.sin(angle)[:, None] * self._sideways
        if self._noise_amplitude > 0.0:
            since = np.maximum(t - DISTURB_S, 0.0)
            wave = np.sin(self._noise_rate * since[:, None, None] + self._noise_phase).sum(axis=1)
            gravity = gravity - (np.minimum(since / 0.2, 1.0) * self._noise_amplitude)[:, None] * wave
        force, point = np.zeros((t.size, 3)), np.zeros((t.size, 3))
        for start, push, where in self.pulses:
            now = (start <= t) & (t < start + PULSE_LENGTH_S)
            force[now], point[now] = push, where
        payload = np.zeros(t.size)
        if self.payload is not None:
            payload[t >= self.payload[0]] = self.payload[1]
        hold = np.clip((RELEASE_S[1] - t) / (RELEASE_S[1] - RELEASE_S[0]), 0.0, 1.0)
        return Script(gravity, force, point, payload, hold)

    def gravity(self, t: float) -> Array:
        """Gravity in the palm frame at ``t`` (s), arm acceleration included, m/s², (3,)."""
        return np.asarray(self.script(np.array([t])).gravity[0])

    def push(self, t: float) -> tuple[Array, Array]:
        """Disturbance at ``t``: force (N, palm frame) and point (m, object frame); zero force between pulses."""
        now = self.script(np.array([t]))
        return now.force[0], now.point[0]

    def hold(self, t: float) -> float:
        """Strength of the human's hand at ``t``: 1 holds, 0 has let go."""
        return min(max((RELEASE_S[1] - t) / (RELEASE_S[1] - RELEASE_S[0]), 0.0), 1.0)

    def reset(self, plant: Plant, position: Array | None = None, velocity: Array | None = None) -> None:
        """Put hand and object at their start; the human lifts the object until it does not touch the hand.

        Args:
            plant: a plant built with this episode's object.
            position: the hand's joint angles, rad; the start pose if None.
            velocity: the hand's joint velocities, rad/s; at rest if None.
        """
        xyz, quat = self.object_pose
        for lift in range(LIFTS):
            pose = (xyz + np.array([0.002 * lift, 0.0, 0.0]), quat)
            plant.reset(self.start if position is None else position, pose, velocity)
            if plant.object_penetration < 0.0005:
                break
        self.apply(0.0, plant)

    def apply(self, t: float, plant: Plant) -> None:
        """Set gravity, push, payload and the human's hand for the step that begins at ``t`` (s)."""
        now = self.script(np.array([t]))
        plant.set_gravity(now.gravity[0])
        plant.push(now.force[0], now.point[0])
        plant.set_payload(float(now.payload[0]))
        plant.hold_object(float(now.hold[0]))


def _present(obj: ObjectSpec, rng: np.random.Generator) -> tuple[Array, Array]:
    """A pose over the palm: long objects across the fingers and their thin side into the grip, the others any way."""
    if obj.shape in ('capsule', 'cylinder'):
        spin, yaw = rng.uniform(-math.pi, math.pi), rng.uniform(-MAX_YAW, MAX_YAW)
        turn = axis_rotation((1.0, 0.0, 0.0), yaw - math.pi / 2) @ axis_rotation((0.0, 0.0, 1.0), spin)
        quat = quaternion(turn)
    elif obj.parts and max(obj.extent) > LONG_EDGE:
        thin, middle, long = np.argsort(obj.extent).tolist()
        turn = np.zeros((3, 3))
        turn[0, middle] = turn[1, long] = 1.0
        turn[2, thin] = np.linalg.det(turn + np.eye(3)[[2]].T @ np.eye(3)[[thin]])
        flat = obj.extent[middle] > FLAT_RATIO * obj.extent[thin]
        spin = rng.uniform(-MAX_YAW, MAX_YAW) + math.pi * rng.integers(2) if flat else rng.uniform(-math.pi, math.pi)
        yaw = rng.uniform(-MAX_YAW, MAX_YAW)
        turn = axis_rotation((1.0, 0.0, 0.0), yaw) @ axis_rotation((0.0, 1.0, 0.0), spin) @ turn
        quat = quaternion(turn)
    else:
        quat = rng.normal(size=4)
        quat /= np.linalg.norm(quat)
        turn = matrix(quat)
    y, z = rng.uniform(-1.0, 1.0, 2) * CRADLE_HALF_YZ
    x = PALM_FACE_X + obj.support(turn) + rng.uniform(*CLEARANCE)
    return np.array([x, CRADLE[1] + y, CRADLE[2] + z]), quat


def _direction(rng: np.random.Generator) -> Array:
    vector = rng.normal(size=3)
    return np.asarray(vector / np.linalg.norm(vector))
