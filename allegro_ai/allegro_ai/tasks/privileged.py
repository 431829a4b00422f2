"""What the simulator knows and no hand does: for critics, oracles and labels, never for a policy that is deployed."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from allegro_description.model import HandModel
from allegro_description.state import Array
from numpy.typing import NDArray

from allegro_ai.tasks.lanes import STEPS, Lanes, times

XYZ = ('x', 'y', 'z')


def privileged_names(hand: HandModel) -> tuple[str, ...]:
    """``term/element`` of each number, SI units, in the order of :func:`privileged`."""
    joints, tips = hand.joint_names, tuple(f.name for f in hand.fingers)
    table = {
        'object_position': XYZ, 'object_quaternion': ('w', 'x', 'y', 'z'), 'object_velocity': XYZ,
        'object_rate': XYZ, 'object_com': XYZ, 'object_extent': XYZ, 'object_mass': ('kg',), 'friction': ('1',),
        'force_limit': ('N',), 'gravity': XYZ, 'push': XYZ, 'payload': ('kg',), 'time': ('s',),
        'joint_position': joints, 'joint_velocity': joints, 'joint_torque': joints,
        'taxel_force': tuple(t.name for t in hand.taxels), 'tip_force': tips, 'slip': ('m',), 'turn': ('rad',),
    }
    return tuple(f'{term}/{element}' for term, elements in table.items() for element in elements)


def privileged(lanes: Lanes, which: NDArray[np.intp]) -> NDArray[np.float32]:
    """State of some lanes as one vector each, (k, p) float32. Empty lanes show the last state they had."""
    return np.concatenate(list(_columns(lanes, which)), axis=1).astype(np.float32)


def _columns(lanes: Lanes, which: NDArray[np.intp]) -> Iterator[Array]:
    state, step = lanes.state, np.minimum(lanes.clock[which], STEPS - 1)
    quat = state.quat[which]
    yield state.xyz[which]
    yield quat * np.where(quat[:, :1] < 0, -1.0, 1.0)       # q and -q are the same turn
    yield state.twist[which]
    yield lanes.facts[which]                                # com, extent, mass, friction
    yield lanes.limit[which][:, None]
    for name in ('gravity', 'force', 'payload'):
        yield lanes.world[name][which, step]
    yield times(lanes.clock[which])[:, None]
    for table in (state.position, state.velocity, state.torque, state.taxels, state.tips):
        yield table[which]
    yield np.nan_to_num(lanes.judge.slip_m[which])[:, None]
    yield np.nan_to_num(lanes.judge.turn_rad[which])[:, None]
