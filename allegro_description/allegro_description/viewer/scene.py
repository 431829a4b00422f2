"""The hand as a tree of nodes and coloured meshes, independent of what draws it.

Every link is a node below its parent link, so a joint moves everything beyond it by one rotation; taxel pads hang
below their own frames and only ever change colour. Positions in m, quaternions (w, x, y, z).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from allegro_description.errors import UnknownName
from allegro_description.kinematics import homogeneous, rotation
from allegro_description.meshes import solids
from allegro_description.meshes.hand import hand_pieces
from allegro_description.meshes.mesh import Mesh, merged
from allegro_description.model import HandModel
from allegro_description.state import Array
from allegro_description.viewer import surface

ROOT = '/hand'
OBJECT_SHAPES = ('box', 'sphere', 'cylinder')

_TIP_PAD = (0.0075, 0.0085)
_LINK_PAD = (0.0070, 0.0055)
_PALM_PAD = (0.0170, 0.0085)


@dataclass(frozen=True, eq=False)
class Node:
    """A coordinate frame: path of names from the root, rest pose relative to its parent node."""

    path: str
    position: Array
    wxyz: Array


@dataclass(frozen=True, eq=False)
class Part:
    """A mesh in the coordinates of the link it belongs to, whose node lies above it in ``path``."""

    path: str
    link: str
    mesh: Mesh
    material: str


@dataclass(frozen=True, eq=False)
class TaxelPart:
    """One pressure cell: its pad, and the hatching that covers it while its reading is not valid."""

    path: str
    pad: Mesh
    hatch: Mesh


def quaternion(matrix: Array) -> Array:
    """Unit quaternion (w, x, y, z), w not negative, of a rotation matrix (3, 3)."""
    m = matrix
    # Bar-Itzhack: the quaternion is the eigenvector of the largest eigenvalue; no case distinction, no cancellation
    k = np.array([
        [m[0, 0] + m[1, 1] + m[2, 2], m[2, 1] - m[1, 2], m[0, 2] - m[2, 0], m[1, 0] - m[0, 1]],
        [m[2, 1] - m[1, 2], m[0, 0] - m[1, 1] - m[2, 2], m[0, 1] + m[1, 0], m[0, 2] + m[2, 0]],
        [m[0, 2] - m[2, 0], m[0, 1] + m[1, 0], m[1, 1] - m[0, 0] - m[2, 2], m[1, 2] + m[2, 1]],
        [m[1, 0] - m[0, 1], m[0, 2] + m[2, 0], m[1, 2] + m[2, 1], m[2, 2] - m[0, 0] - m[1, 1]],
    ])
    vector: Array = np.linalg.eigh(k)[1][:, -1]
    return vector if vector[0] >= 0 else -vector


def turn_to(direction: Array) -> Array:
    """Unit quaternion that turns +z into ``direction`` (any length above zero, (3,))."""
    d = direction / np.linalg.norm(direction)
    if d[2] < -1 + 1e-9:
        return np.array([0.0, 1.0, 0.0, 0.0])
    half = np.array([1 + d[2], -d[1], d[0], 0.0])
    result: Array = half / np.linalg.norm(half)
    return result


class HandScene:
    """Nodes and meshes of one hand.

    Attributes:
        nodes: every link and fixed frame, parents first.
        parts: the hand's body.
        floor: lowest place of the palm, m.
        taxels: one part per taxel, taxel order.
        link_paths, frame_paths: node path by link or frame name.
    """

    def __init__(self, model: HandModel) -> None:
        """Build the tree of ``model``.

        Raises:
            ConfigError: a taxel that does not face any surface of its link.
        """
        self.model = model
        self.link_paths = {model.palm: f'{ROOT}/{model.palm}'}
        self._fixed = np.array([quaternion(rotation(j.rpy)) for j in model.joints])
        self._axes = np.array([j.axis for j in model.joints])
        nodes = [Node(self.link_paths[model.palm], np.zeros(3), np.array([1.0, 0.0, 0.0, 0.0]))]
        for joint, fixed in zip(model.joints, self._fixed, strict=True):
            path = f'{self.link_paths[joint.parent]}/{joint.child}'
            self.link_paths[joint.child] = path
            nodes.append(Node(path, np.array(joint.xyz), fixed))
        self.frame_paths: dict[str, str] = {}
        for frame in model.frames:
            above = self.link_paths.get(frame.parent) or self.frame_paths[frame.parent]
            self.frame_paths[frame.name] = f'{above}/{frame.name}'
            nodes.append(Node(self.frame_paths[frame.name], np.array(frame.xyz), quaternion(rotation(frame.rpy))))
        self.nodes = tuple(nodes)
        self.joint_paths = tuple(self.link_paths[j.child] for j in model.joints)
        pieces = hand_pieces(model)
        self.parts = tuple(Part(f'{self.link_paths[link]}/{p.material}', link, p.mesh, p.material)
                           for link, parts in pieces.items() for p in parts)
        palm = np.concatenate([p.mesh.vertices for p in self.parts if p.link == model.palm])
        self.floor = float(palm[:, 2].min())
        self._skins = {link: merged(p.mesh for p in parts) for link, parts in pieces.items()}
        self.taxels = tuple(self._taxel(k) for k in range(len(model.taxels)))

    def joint_rotations(self, position: Array) -> Array:
        """Rotation of every joint's child node relative to its parent, (n_joints, 4), for angles in rad."""
        half = np.asarray(position, dtype=np.float64) / 2
        c, v = np.cos(half), np.sin(half)[:, None] * self._axes
        w, u = self._fixed[:, 0], self._fixed[:, 1:]
        result = np.empty((len(half), 4))
        result[:, 0] = w * c - np.einsum('ij,ij->i', u, v)
        result[:, 1:] = w[:, None] * v + c[:, None] * u + np.cross(u, v)
        return result

    def frame_path(self, name: str) -> str:
        """Node path of a link or fixed frame.

        Raises:
            UnknownName: no such link or frame.
        """
        paths = self.link_paths | self.frame_paths
        if name not in paths:
            raise UnknownName('frame', name, paths)
        return paths[name]

    def _taxel(self, index: int) -> TaxelPart:
        taxel = self.model.taxels[index]
        frames = {f.name: f for f in self.model.frames}
        frame = frames[taxel.frame]
        pose, parent = homogeneous(frame.xyz, rotation(frame.rpy)), frame.parent
        while parent in frames:
            outer = frames[parent]
            pose, parent = homogeneous(outer.xyz, rotation(outer.rpy)) @ pose, outer.parent
        skin = self._skins[parent]
        half = _TIP_PAD if taxel.tip else _PALM_PAD if parent == self.model.palm else _LINK_PAD
        pad = surface.pad(skin, pose, taxel.normal, half, name=taxel.name)
        bars = surface.hatching(skin, pose, taxel.normal, half)
        return TaxelPart(f'{self.frame_paths[taxel.frame]}/{taxel.name}', pad, bars)


def matrix_of(wxyz: Array) -> Array:
    """Rotation matrix (3, 3) of a unit quaternion (w, x, y, z)."""
    w, x, y, z = wxyz
    return np.array([
        [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
        [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
        [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
    ])


def object_mesh(shape: str, size: Sequence[float], triangles: Array | None = None) -> Mesh:
    """Mesh of a grasped object centred in its own frame.

    Args:
        shape: ``box``, ``sphere`` or ``cylinder`` (along z).
        size: outer dimensions x, y, z, m, as in a visualisation marker's scale.
        triangles: corners, m, (n, 3, 3); they are the mesh, ``size`` a factor on each axis.

    Raises:
        UnknownName: another shape.
    """
    if triangles is not None:
        corners = triangles.reshape(-1, 3) * np.asarray(size)
        return Mesh(corners, np.arange(len(corners), dtype=np.int32).reshape(-1, 3))
    x, y, z = (max(float(v), 1e-4) for v in size)
    if shape == 'box':
        return solids.rounded_box((x, y, z), min(0.003, 0.1 * min(x, y, z)))
    if shape == 'sphere':
        unit = solids.capsule(0.5, 0.0, 9)
        return Mesh(unit.vertices * [x, y, z], unit.faces)
    if shape == 'cylinder':
        unit = solids.rounded_cylinder(0.5, z / x, 0.02, 9)
        return Mesh(unit.vertices * [x, y, x], unit.faces)
    raise UnknownName('object shape', shape, OBJECT_SHAPES)
