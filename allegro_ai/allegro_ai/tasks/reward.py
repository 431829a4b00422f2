"""Reward of TactileHold: stay close, do not turn, do not slip, do not crush, do not work hard, do not jitter."""

from __future__ import annotations

import numpy as np
from allegro_description.simulation.rig import Readings
from allegro_description.state import Array

DROP_REWARD = -10.0
TARGET_FORCE_SHARE = 0.4        # of the grip class's force limit
DISTANCE_SCALE_M, TURN_SCALE_RAD, SPEED_SCALE_M_S, TORQUE_SCALE_NM = 0.015, 0.35, 0.1, 0.3
CONTACT_FORCE_N = 0.05          # a tip that carries more is in contact


def reward(
    state: Readings, torque: Array, slip: Array, turn: Array, limit: Array, action: Array, previous: Array
) -> Array:
    """Reward of the step that led to ``state``, (k,).

    Args:
        state: of k episodes.
        torque: mean |torque| of the flexion joints, N·m, (k,).
        slip: way of the mass centre since the disturbances began, m, (k,); NaN before.
        turn: the same for the angle, rad, (k,).
        limit: force limit of the grip class, N, (k,).
        action: of this step, (k, n_joints).
        previous: of the step before, (k, n_joints).
    """
    speed = np.linalg.norm(state.twist[:, :3], axis=1)
    target = TARGET_FORCE_SHARE * limit
    excess = np.maximum(state.tips - target[:, None], 0.0).mean(axis=1)
    touching = state.tips > CONTACT_FORCE_N
    grasped = touching[:, -1] & touching[:, :-1].any(axis=1)
    change = action - previous
    return np.asarray(
        np.exp(-((np.nan_to_num(slip) / DISTANCE_SCALE_M) ** 2))
        + 0.3 * np.exp(-((np.nan_to_num(turn) / TURN_SCALE_RAD) ** 2))
        - 0.2 * np.minimum(1.0, speed / SPEED_SCALE_M_S)
        - 0.4 * excess / target
        - 0.5 * torque / TORQUE_SCALE_NM
        - 0.05 * (change * change).sum(axis=1)
        + 0.1 * grasped
    )
