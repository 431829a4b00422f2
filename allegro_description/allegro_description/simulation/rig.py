"""Many plants of one hand read and written as arrays, stepped on a few threads."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from allegro_description.model import HandModel
from allegro_description.simulation.batch import Batch
from allegro_description.simulation.plant import Plant
from allegro_description.state import Array

Places = NDArray[np.intp]


@dataclass(frozen=True, slots=True, eq=False)
class Readings:
    """State of some places; the first dimension is the place.

    Attributes:
        position, velocity: true joint angles and rates, rad and rad/s, (k, n_joints).
        torque: motor torque at the joints, N·m, (k, n_joints).
        taxels, tips: normal forces, N, (k, n_taxels) and (k, n_fingers).
        xyz, quat: object pose in the palm frame, m and (w, x, y, z).
        twist: the object's linear (palm frame, m/s) and angular (object frame, rad/s) velocity, (k, 6).
    """

    position: Array
    velocity: Array
    torque: Array
    taxels: Array
    tips: Array
    xyz: Array
    quat: Array
    twist: Array


class Rig:
    """Places for plants with position input and an object each. Use it as a context manager, or close it.

    MuJoCo steps them on threads (``mj_step`` releases the interpreter lock); their number does not change results.
    """

    def __init__(self, hand: HandModel, count: int, threads: int = 1) -> None:
        """Prepare ``count`` places and ``threads`` threads (0: one per CPU)."""
        self.hand = hand
        self.plants: list[Plant | None] = [None] * count
        self.batch = Batch(threads)
        self._views: list[Any] = [None] * count
        self._time = np.zeros(count)

    def place(self, k: int, plant: Plant) -> None:
        """Put a plant that has been reset into place ``k``."""
        self.plants[k] = plant
        d, a = plant.data, plant.addresses
        self._views[k] = (d.qpos, d.qvel, d.actuator_force, d.sensordata, d.ctrl, plant.model.opt.gravity,
                          d.xfrc_applied[a.body], d.xmat[a.body], np.array(plant.obj.com if plant.obj else (0.0,) * 3))
        self._time[k] = d.time

    def read(self, which: Places) -> Readings:
        """State of the places ``which`` (k,)."""
        a = self._plant(int(which[0])).addresses
        qpos, qvel, force, sensors = (
            np.array([self._views[k][column] for k in which.tolist()]) for column in range(4))
        o, v = a.object_position, a.object_velocity
        return Readings(
            qpos[:, a.position], qvel[:, a.velocity], force[:, a.actuator], sensors[:, a.taxels], sensors[:, a.tips],
            qpos[:, o:o + 3], qpos[:, o + 3:o + 7], qvel[:, v:v + 6])

    def write(
        self, which: Places, target: Array, gravity: Array, force: Array, point: Array, payload: Array
    ) -> None:
        """Set targets (rad) and what the world does; shapes as in :class:`~..episode.Script`, places first."""
        actuator = self._plant(int(which[0])).addresses.actuator
        views = [self._views[k] for k in which.tolist()]
        turn = np.array([v[7] for v in views]).reshape(-1, 3, 3)
        com = np.array([v[8] for v in views])
        wrench = np.empty((len(views), 6))
        wrench[:, :3] = force + payload[:, None] * gravity
        wrench[:, 3:] = np.cross((turn @ (point - com)[:, :, None])[:, :, 0], force)
        ctrl = np.empty_like(target)
        ctrl[:, actuator] = target
        for k, view in enumerate(views):
            view[4][:] = ctrl[k]
            view[5][:] = gravity[k]
            view[6][:] = wrench[k]

    def advance(self, which: Places, steps: int) -> NDArray[np.bool_]:
        """Run ``steps`` physics steps at the places; returns which of them are still stable, (k,)."""
        chosen = [self._plant(k) for k in which.tolist()]
        self.batch.step(chosen, steps)
        # MuJoCo restarts the clock of a state that broke
        time = np.array([p.data.time for p in chosen])
        stable = time > self._time[which]
        self._time[which] = time
        return np.asarray(stable)

    def close(self) -> None:
        """Stop the threads."""
        self.batch.close()

    def _plant(self, k: int) -> Plant:
        plant = self.plants[k]
        assert plant is not None, f'place {k} is empty'
        return plant
