"""Forward kinematics of any hand model in numpy: poses of links and frames in the palm frame.

Conventions (REP-103): right-handed, x out of the palm, z along the straight fingers, roll-pitch-yaw about fixed axes
(``R = Rz(yaw) Ry(pitch) Rx(roll)``).
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from allegro_description.errors import UnknownName
from allegro_description.model import HandModel, Vector
from allegro_description.state import Array


def rotation(rpy: Vector) -> Array:
    """Rotation matrix of roll, pitch, yaw (rad), (3, 3)."""
    (cr, cp, cy), (sr, sp, sy) = np.cos(rpy), np.sin(rpy)
    return np.array([
        [cy * cp, cy * sp * sr - sy * cr, cy * sp * cr + sy * sr],
        [sy * cp, sy * sp * sr + cy * cr, sy * sp * cr - cy * sr],
        [-sp, cp * sr, cp * cr],
    ])


def axis_rotation(axis: Vector, angle: float) -> Array:
    """Rotation by ``angle`` (rad) about a unit axis (Rodrigues), (3, 3)."""
    x, y, z = axis
    k = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    turn: Array = np.eye(3) + np.sin(angle) * k + (1 - np.cos(angle)) * (k @ k)
    return turn


def homogeneous(xyz: Vector, turn: Array) -> Array:
    """Homogeneous transform from a translation (m) and a rotation matrix, (4, 4)."""
    pose = np.eye(4)
    pose[:3, :3] = turn
    pose[:3, 3] = xyz
    return pose


class Kinematics:
    """Forward kinematics of one hand, with the fixed parts computed once."""

    def __init__(self, model: HandModel) -> None:
        """Prepare the tree of ``model``; joints must be listed parents first, as in every description."""
        self._model = model
        self._origins = [homogeneous(j.xyz, rotation(j.rpy)) for j in model.joints]
        self._frames = {f.name: (f.parent, homogeneous(f.xyz, rotation(f.rpy))) for f in model.frames}

    def link_poses(self, position: Array) -> dict[str, Array]:
        """Poses of all links in the palm frame for joint angles (rad, canonical order): name -> (4, 4)."""
        poses = {self._model.palm: np.eye(4)}
        for joint, origin, angle in zip(self._model.joints, self._origins, position, strict=True):
            turn = homogeneous((0.0, 0.0, 0.0), axis_rotation(joint.axis, float(angle)))
            poses[joint.child] = poses[joint.parent] @ origin @ turn
        return poses

    def frame_poses(self, position: Array, names: Iterable[str] | None = None) -> dict[str, Array]:
        """Poses of fixed frames (tips, taxels) in the palm frame: name -> (4, 4). All frames by default.

        Raises:
            UnknownName: a name that is no frame of this hand.
        """
        links = self.link_poses(position)
        result: dict[str, Array] = {}
        for name in self._frames if names is None else names:
            if name not in self._frames:
                raise UnknownName('frame', name, self._frames)
            parent, offset = self._frames[name]
            while parent in self._frames:
                parent, outer = self._frames[parent]
                offset = outer @ offset
            result[name] = links[parent] @ offset
        return result

    def taxel_poses(self, position: Array) -> Array:
        """Poses of all taxels in the palm frame, taxel order, (n_taxels, 4, 4); none for a hand without touch."""
        frames = self.frame_poses(position, [t.frame for t in self._model.taxels])
        return np.array([frames[t.frame] for t in self._model.taxels]).reshape(-1, 4, 4)

    def tip_positions(self, position: Array) -> Array:
        """Fingertip positions in the palm frame, m, finger order, (n_fingers, 3)."""
        frames = self.frame_poses(position, [f.tip for f in self._model.fingers])
        return np.stack([frames[f.tip][:3, 3] for f in self._model.fingers])
