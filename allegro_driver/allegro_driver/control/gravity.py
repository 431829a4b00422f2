"""What gravity pulls at the joints of a hand that stands still, for all chains at once.

Torque of joint i: ``axis_i . ((m c - m p_i) x g)`` with the mass ``m`` and the mass moment ``m c`` of everything beyond
the joint, the joint's place ``p_i`` and its axis. A joint's transform is ``A + B sin q + C cos q`` with constant
matrices, so one hand costs some twenty operations on small arrays.
"""

from __future__ import annotations

import numpy as np
from allegro_description.errors import ConfigError
from allegro_description.kinematics import homogeneous, rotation
from allegro_description.model import HandModel
from allegro_description.state import Array, frozen

LONGEST = 30.0
"""A gravity vector longer than this is a mistake, m/s² (an arm that accelerates adds to 9.81)."""


def checked_gravity(values: object) -> Array:
    """Return a gravity vector, m/s², palm frame, (3,).

    Raises:
        ConfigError: not three finite numbers, or too long.
    """
    try:
        vector = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError):
        vector = np.full(0, np.nan)
    if vector.shape != (3,) or not np.isfinite(vector).all() or np.linalg.norm(vector) > LONGEST:
        raise ConfigError(
            f'gravity is {values!r}; needed: three numbers, m/s², in the palm frame, at most {LONGEST:g} long')
    return frozen(vector)


class Gravity:
    """Gravity torques of one hand."""

    def __init__(self, model: HandModel) -> None:
        """Gather masses and geometry.

        Raises:
            ConfigError: a finger is not one chain of joints that begins at the palm.
        """
        chains = [[j for j in model.joints if j.finger == finger.name] for finger in model.fingers]
        for chain in chains:
            parents = [model.palm, *(j.child for j in chain)]
            if [j.parent for j in chain] != parents[:-1]:
                raise ConfigError(f'{model.name}: finger {chain[0].finger} is not one chain from {model.palm}')
        depth, n = max(map(len, chains)), len(chains)
        links = {link.name: link for link in model.links}
        # Shorter chains end in joints that turn nothing.
        self._constant = np.tile(np.eye(4), (n, depth, 1, 1))
        self._sine, self._cosine = np.zeros((n, depth, 4, 4)), np.zeros((n, depth, 4, 4))
        self._axis = np.zeros((n, depth, 3, 1))
        self._moment = np.zeros((n, depth, 4, 1))
        places = []
        for f, chain in enumerate(chains):
            for k, joint in enumerate(chain):
                origin = homogeneous(joint.xyz, rotation(joint.rpy))
                x, y, z = joint.axis
                cross = np.zeros((4, 4))
                cross[:3, :3] = [[0, -z, y], [z, 0, -x], [-y, x, 0]]
                square = cross @ cross
                self._constant[f, k] = origin @ (np.eye(4) + square)
                self._sine[f, k], self._cosine[f, k] = origin @ cross, -origin @ square
                self._axis[f, k, :, 0] = joint.axis
                link = links[joint.child]
                self._moment[f, k, :, 0] = link.mass * np.array([*link.com, 1.0])
                places.append((model.joint_index(joint.name), f, k))
        places.sort()
        self._rows = np.array([f * depth + k for _, f, k in places])
        self._shape = (n, depth)
        self._angle = np.zeros(n * depth)
        # Entry (f, k) of a later sum: all links of finger f from k outwards.
        self._beyond = np.triu(np.ones((depth, depth)))
        self._mass = np.einsum('kl,fl->fk', self._beyond, self._moment[:, :, 3, 0])[..., None]

    def torque(self, position: Array, gravity: Array) -> Array:
        """Joint torques that carry the links, N·m, (n_joints,).

        Args:
            position: joint angles, rad, (n_joints,).
            gravity: in the palm frame, m/s², (3,).
        """
        self._angle[self._rows] = position
        angle = self._angle.reshape(*self._shape, 1, 1)
        pose = self._constant + self._sine * np.sin(angle) + self._cosine * np.cos(angle)
        for k in range(1, self._shape[1]):
            pose[:, k] = pose[:, k - 1] @ pose[:, k]
        moment = self._beyond @ (pose @ self._moment)[:, :, :3, 0]
        arm = moment - self._mass * pose[:, :, :3, 3]
        axis = (pose[:, :, :3, :3] @ self._axis)[..., 0]
        # -axis . (arm x g) without numpy's slow cross product: the same determinant, turned around.
        x, y, z = gravity
        turned = axis @ np.array([[0.0, -z, y], [z, 0.0, -x], [-y, x, 0.0]])
        torque: Array = (arm * turned).sum(axis=2).ravel()[self._rows]
        return torque
