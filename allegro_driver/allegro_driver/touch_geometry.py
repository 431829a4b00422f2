"""Where the cells are and what they add up to: cell poses in the palm frame, net contact per finger. Pure.

Same kinematics as :class:`allegro_description.kinematics.Kinematics`, but with everything constant precomputed and all
joints of one depth turned at once: a fifth of the time, which matters at several hundred samples per second.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from allegro_description.kinematics import homogeneous, rotation
from allegro_description.model import HandModel
from allegro_description.state import Array
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, eq=False)
class _Level:
    """Joints of one depth of the tree: canonical indices, parent slots, fixed parts ``A + sin B + (1 - cos) C``."""

    joints: NDArray[np.intp]
    parents: NDArray[np.intp]
    fixed: Array
    sine: Array
    cosine: Array


class TouchGeometry:
    """Cell poses and contact wrenches of one hand."""

    def __init__(self, model: HandModel) -> None:
        """Precompute what does not depend on the joints."""
        slot = {model.palm: 0} | {joint.child: i + 1 for i, joint in enumerate(model.joints)}
        depth = {model.palm: 0}
        for joint in model.joints:
            depth[joint.child] = depth[joint.parent] + 1
        self._levels = [
            self._level(model, [i for i, j in enumerate(model.joints) if depth[j.child] == d], slot)
            for d in range(1, max(depth.values()) + 1)
        ]
        self._poses: Array = np.tile(np.eye(4), (len(slot), 1, 1))
        frames = {f.name: (f.parent, homogeneous(f.xyz, rotation(f.rpy))) for f in model.frames}
        wanted = [t.frame for t in model.taxels] + [f.tip for f in model.fingers]
        placed = []
        for name in wanted:
            link, offset = frames[name]
            while link in frames:
                link, outer = frames[link]
                offset = outer @ offset
            placed.append((slot[link], offset))
        self._frame_links = np.array([link for link, _ in placed])
        self._frame_offsets = np.array([offset for _, offset in placed])
        self._n = len(model.taxels)
        self._normals = np.array([t.normal for t in model.taxels])
        self._member = np.array([[t.finger == f.name for t in model.taxels] for f in model.fingers], dtype=np.float64)

    @staticmethod
    def _level(model: HandModel, joints: list[int], slot: dict[str, int]) -> _Level:
        fixed, sine, cosine = [], [], []
        for i in joints:
            joint = model.joints[i]
            origin = homogeneous(joint.xyz, rotation(joint.rpy))
            x, y, z = joint.axis
            cross = np.zeros((4, 4))
            cross[:3, :3] = [[0, -z, y], [z, 0, -x], [-y, x, 0]]
            fixed.append(origin)
            sine.append(origin @ cross)
            cosine.append(origin @ cross @ cross)
        parents = np.array([slot[model.joints[i].parent] for i in joints])
        return _Level(np.array(joints), parents, np.array(fixed), np.array(sine), np.array(cosine))

    def update(self, position: Array) -> tuple[Array, Array]:
        """Poses in the palm frame for joint angles (rad, canonical order).

        Returns:
            Cell poses, taxel order, (n_taxels, 4, 4), and tip frame poses, finger order, (n_fingers, 4, 4).
        """
        sine, cosine = np.sin(position)[:, None, None], (1.0 - np.cos(position))[:, None, None]
        poses = self._poses
        for level in self._levels:
            at = level.joints
            turned = level.fixed + sine[at] * level.sine + cosine[at] * level.cosine
            poses[at + 1] = poses[level.parents] @ turned
        placed = poses[self._frame_links] @ self._frame_offsets
        return placed[: self._n], placed[self._n:]

    def wrenches(self, cells: Array, tips: Array, force: Array) -> tuple[Array, Array]:
        """Sum the force that each finger exerts on what it touches.

        A cell feels no direction: its force is taken along its outward normal.

        Args:
            cells: from :meth:`update`.
            tips: from :meth:`update`.
            force: normal force of each cell, N, (n_taxels,), 0 where unknown.

        Returns:
            Force, N, and torque about the tip frame's origin, N·m, both in the tip frame, (n_fingers, 3) each.
        """
        vector = (cells[:, :3, :3] @ self._normals[:, :, None])[:, :, 0] * force[:, None]
        moment = np.cross(cells[:, :3, 3], vector)
        total, about_palm = self._member @ vector, self._member @ moment
        torque = about_palm - np.cross(tips[:, :3, 3], total)
        to_tip = np.swapaxes(tips[:, :3, :3], 1, 2)
        return (to_tip @ total[:, :, None])[:, :, 0], (to_tip @ torque[:, :, None])[:, :, 0]
