"""Reward of TactileHold: stay close, do not turn, do not slip, do not crush, do not work hard, do not jitter."""

from __future__ import annotations

import math

import numpy as np
from allegro_description.simulation.episode import DISTURB_S, GRIP_FORCE_N, Episode
from allegro_description.simulation.plant import Plant
from allegro_description.state import Array

DROP_REWARD = -10.0
TARGET_FORCE_SHARE = 0.4        # of the grip class's force limit
DISTANCE_SCALE_M, TURN_SCALE_RAD, SPEED_SCALE_M_S, TORQUE_SCALE_NM = 0.015, 0.35, 0.1, 0.3
CONTACT_FORCE_N = 0.05          # a tip that carries more is in contact


class Reward:
    """Reward per control step of one episode; distances count from where the object is when disturbances begin."""

    def __init__(self, episode: Episode) -> None:
        """Start at zero."""
        self._target = TARGET_FORCE_SHARE * GRIP_FORCE_N[episode.grip_class]
        self._reference: tuple[Array, Array] | None = None

    def step(self, t: float, plant: Plant, action: Array, previous: Array) -> float:
        """Reward of the step that ends at ``t`` (s) with this action and the one before, (n_joints,) each."""
        pose = plant.object_pose
        if pose is None:
            return 0.0
        distance = turn = 0.0
        if self._reference is None and t >= DISTURB_S - 1e-9:
            self._reference = pose
        if self._reference is not None:
            distance = float(np.linalg.norm(pose[0] - self._reference[0]))
            turn = 2.0 * math.acos(min(1.0, abs(float(self._reference[1] @ pose[1]))))
        speed = float(np.linalg.norm(plant.object_velocity[:3]))
        tips = plant.tip_forces
        torque = float(np.mean(np.abs(plant.torque[plant.hand.flexion])))
        grasped = tips[-1] > CONTACT_FORCE_N and bool((tips[:-1] > CONTACT_FORCE_N).any())
        change = action - previous
        return (
            math.exp(-((distance / DISTANCE_SCALE_M) ** 2))
            + 0.3 * math.exp(-((turn / TURN_SCALE_RAD) ** 2))
            - 0.2 * min(1.0, speed / SPEED_SCALE_M_S)
            - 0.4 * float(np.mean(np.maximum(tips - self._target, 0.0))) / self._target
            - 0.5 * torque / TORQUE_SCALE_NM
            - 0.05 * float(change @ change)
            + 0.1 * grasped
        )
