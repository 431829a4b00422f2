"""How far the fingers of a hand are from each other and from its palm, for many poses at once.

Every shape is a box (a capsule's is a line, a sphere's a point) grown by a radius. The distance of two is bounded from
below by their gap along any direction; tried are the directions in which boxes can be separated (faces, crossed edges)
and the line between the nearest points that a few alternating projections find. So a positive clearance is sure, and
a negative one is the depth of an overlap.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from allegro_description.kinematics import homogeneous, rotation
from allegro_description.model import HandModel, Shape
from allegro_description.state import Array
from numpy.typing import NDArray

_FAR = 0.01  # m: pairs whose spheres are farther apart than this are not looked at closely
_PROJECTIONS = 12
Indices = NDArray[np.intp]


@dataclass(frozen=True, slots=True)
class Pair:
    """Two links that must not touch: of different fingers, or of a finger and the palm (finger name ``palm``)."""

    links: tuple[str, str]
    fingers: tuple[str, str]


class Clearance:
    """Distances between the links of one hand."""

    def __init__(self, model: HandModel) -> None:
        """Gather the shapes and the pairs that count.

        Links that meet at a joint or overlap by construction do not count: those of one finger, and the palm with the
        links of each finger's first two pivots (joints whose axes share a point count as one).
        """
        self._model = model
        shapes = {link.name: link.shapes for link in model.links}
        owner = {model.palm: 'palm'} | {j.child: j.finger for j in model.joints}
        near = {link for finger in model.fingers for link in _near_palm(model, finger.name)}
        names = [name for name in owner if shapes[name]]
        self.pairs = tuple(
            Pair((a, b), (owner[a], owner[b]))
            for i, a in enumerate(names) for b in names[i + 1:]
            if owner[a] != owner[b] and not (a == model.palm and b in near))
        first: list[int] = []
        second: list[int] = []
        begins: list[int] = []
        rows = [(name, shape) for name in names for shape in shapes[name]]
        places = {name: [k for k, (owner_of, _) in enumerate(rows) if owner_of == name] for name in names}
        for pair in self.pairs:
            begins.append(len(first))
            for a in places[pair.links[0]]:
                for b in places[pair.links[1]]:
                    first.append(a)
                    second.append(b)
        self._first, self._second = np.array(first, dtype=np.intp), np.array(second, dtype=np.intp)
        self._begins = np.array(begins, dtype=np.intp)  # of each pair's shapes in the two lists
        self._link = [name for name, _ in rows]
        self._offset = np.stack([homogeneous(s.xyz, rotation(s.rpy)) for _, s in rows])
        self._half = np.array([_half_edges(s) for _, s in rows])
        self._radius = np.array([0.0 if s.kind == 'box' else s.size[0] for _, s in rows])
        self._reach = np.linalg.norm(self._half, axis=1) + self._radius
        self._joints = [
            (j.parent, j.child, homogeneous(j.xyz, rotation(j.rpy)), np.array(j.axis)) for j in model.joints]

    def of(self, positions: Array) -> Array:
        """Clearance of every pair, m, (k, n_pairs): never more than the true distance, negative where they overlap.

        Args:
            positions: joint angles, rad, (k, n_joints). Distances beyond a centimetre are bounded loosely.
        """
        poses = self._poses(positions)
        centre, turn = poses[..., :3, 3], poses[..., :3, :3]
        apart = np.linalg.norm(centre[:, self._first] - centre[:, self._second], axis=-1)
        bound = apart - (self._reach[self._first] + self._reach[self._second])
        when, which = np.nonzero(bound < _FAR)
        a, b = self._first[which], self._second[which]
        bound[when, which] = _gap(
            centre[when, a], turn[when, a], self._half[a], centre[when, b], turn[when, b], self._half[b],
        ) - self._radius[a] - self._radius[b]
        result: Array = np.minimum.reduceat(bound, self._begins, axis=1)
        return result

    def _poses(self, positions: Array) -> Array:
        """Poses of all shapes in the palm frame, (k, n_shapes, 4, 4)."""
        links = {self._model.palm: np.broadcast_to(np.eye(4), (len(positions), 4, 4))}
        for (parent, child, origin, axis), angle in zip(self._joints, positions.T, strict=True):
            turn = np.zeros((len(positions), 4, 4))
            turn[:, :3, :3] = _turns(axis, angle)
            turn[:, 3, 3] = 1.0
            links[child] = links[parent] @ origin @ turn
        return np.stack([links[name] for name in self._link], axis=1) @ self._offset


def _near_palm(model: HandModel, finger: str) -> list[str]:
    chain = [j for j in model.joints if j.finger == finger]
    pivots = np.cumsum([k == 0 or any(j.xyz) for k, j in enumerate(chain)])
    return [j.child for j, pivot in zip(chain, pivots, strict=True) if pivot <= 2]


def _half_edges(shape: Shape) -> tuple[float, float, float]:
    if shape.kind == 'box':
        x, y, z = shape.size
        return (x / 2, y / 2, z / 2)
    return (0.0, 0.0, shape.size[1] / 2 if len(shape.size) > 1 else 0.0)


def _turns(axis: Array, angles: Array) -> Array:
    x, y, z = axis
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    s, c = np.sin(angles)[:, None, None], np.cos(angles)[:, None, None]
    turn: Array = np.eye(3) + s * cross + (1 - c) * (cross @ cross)
    return turn


def _gap(pa: Array, ra: Array, ha: Array, pb: Array, rb: Array, hb: Array) -> Array:
    """Lower bound of the distance of boxes, m, (m,); centres (m, 3), turns (m, 3, 3), half edges (m, 3)."""
    axes_a, axes_b = np.swapaxes(ra, 1, 2), np.swapaxes(rb, 1, 2)  # rows are the axes of the boxes
    edges = np.cross(axes_a[:, :, None], axes_b[:, None, :]).reshape(len(pa), 9, 3)
    point = _nearest(pa, ra, ha, pb, rb, hb)
    axes = np.concatenate([axes_a, axes_b, edges, point[:, None]], axis=1)
    length = np.linalg.norm(axes, axis=2, keepdims=True)
    axes = np.divide(axes, length, out=np.zeros_like(axes), where=length > 1e-6)
    between = np.abs(np.einsum('mij,mj->mi', axes, pb - pa))
    extent = np.einsum('mij,mj->mi', np.abs(axes @ ra), ha) + np.einsum('mij,mj->mi', np.abs(axes @ rb), hb)
    gap = np.where(length[..., 0] > 1e-6, between - extent, -np.inf)
    best: Array = gap.max(axis=1)
    return best


def _nearest(pa: Array, ra: Array, ha: Array, pb: Array, rb: Array, hb: Array) -> Array:
    """Direction between nearest points of boxes, not normalised, (m, 3); nearly zero where they overlap."""
    here = pb
    for _ in range(_PROJECTIONS):
        there = _into(here, pa, ra, ha)
        here = _into(there, pb, rb, hb)
    return here - _into(here, pa, ra, ha)


def _into(point: Array, centre: Array, turn: Array, half: Array) -> Array:
    local = np.einsum('mij,mi->mj', turn, point - centre)
    inside: Array = centre + np.einsum('mij,mj->mi', turn, np.clip(local, -half, half))
    return inside
