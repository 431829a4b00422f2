"""Triangle meshes of rounded primitives, made from dimensions alone.

All meshes are closed, face outwards and share vertices along smooth edges, so a renderer that averages vertex normals
shows round edges round. Lengths in m.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from allegro_description.kinematics import homogeneous, rotation
from allegro_description.model import Shape
from allegro_description.state import Array

#: Points on a quarter of a circle; 5 looks round at the size of a finger and keeps the page light.
QUARTER = 5


@dataclass(frozen=True, eq=False)
class Mesh:
    """Vertices (n, 3), m, and triangles (m, 3) as vertex indices, counter-clockwise seen from outside."""

    vertices: Array
    faces: NDArray[np.int32]

    def moved(self, pose: Array) -> Mesh:
        """The mesh after a homogeneous transform, (4, 4)."""
        return Mesh(self.vertices @ pose[:3, :3].T + pose[:3, 3], self.faces)

    @property
    def volume(self) -> float:
        """Signed volume, m³: positive exactly if a closed mesh faces outwards."""
        a, b, c = (self.vertices[self.faces[:, k]] for k in range(3))
        return float(np.einsum('ij,ij->i', a, np.cross(b, c)).sum() / 6)


def merged(meshes: Iterable[Mesh]) -> Mesh:
    """One mesh out of several."""
    vertices, faces, start = [], [], 0
    for mesh in meshes:
        vertices.append(mesh.vertices)
        faces.append(mesh.faces + start)
        start += len(mesh.vertices)
    return Mesh(np.concatenate(vertices), np.concatenate(faces).astype(np.int32))


def _grid(rings: Sequence[Array], bottom: Array, top: Array) -> Mesh:
    """Skin a stack of closed rings (each (n, 3), counter-clockwise seen from above) and close it with two points."""
    n = len(rings[0])
    vertices = np.concatenate([bottom[None], *rings, top[None]])
    here, after = np.arange(n), np.roll(np.arange(n), -1)
    last = 1 + n * (len(rings) - 1)
    faces = [np.stack([np.zeros(n, int), 1 + after, 1 + here], axis=1)]
    for k in range(len(rings) - 1):
        low, high = 1 + n * k, 1 + n * (k + 1)
        faces += [np.stack([low + here, low + after, high + after], axis=1),
                  np.stack([low + here, high + after, high + here], axis=1)]
    faces.append(np.stack([last + here, last + after, np.full(n, len(vertices) - 1)], axis=1))
    return Mesh(vertices, np.concatenate(faces).astype(np.int32))


def lathe(profile: Sequence[tuple[float, float]], segments: int = 4 * QUARTER) -> Mesh:
    """Turn a profile about z.

    Args:
        profile: (radius, z) from bottom to top, m; radii above zero, flat ends are closed.
        segments: points of each ring.
    """
    angle = np.linspace(0, 2 * np.pi, segments, endpoint=False)
    ring = np.stack([np.cos(angle), np.sin(angle), np.zeros(segments)], axis=1)
    rings = [ring * radius + [0, 0, z] for radius, z in profile]
    return _grid(rings, np.array([0, 0, profile[0][1]]), np.array([0, 0, profile[-1][1]]))


def capsule(radius: float, length: float, quarter: int = QUARTER) -> Mesh:
    """A capsule along z; ``length`` between the cap centres, m; ``quarter`` points on a quarter circle."""
    turn = np.linspace(0, np.pi / 2, quarter + 1)[:-1]
    upper = [(radius * np.cos(a), length / 2 + radius * np.sin(a)) for a in turn]
    pole = radius + length / 2
    lower = [(r, -z) for r, z in reversed(upper)]
    mesh = lathe((lower if length > 0 else lower[:-1]) + upper, 4 * quarter)  # one equator, or the sphere has a seam
    vertices = mesh.vertices.copy()
    vertices[0], vertices[-1] = (0, 0, -pole), (0, 0, pole)  # round caps, where a lathe ends flat
    return Mesh(vertices, mesh.faces)


def rounded_cylinder(radius: float, length: float, edge: float, quarter: int = QUARTER) -> Mesh:
    """A cylinder along z with rounded edges; outer dimensions, m."""
    edge = min(edge, radius * 0.999, length / 2)
    turn = np.linspace(0, np.pi / 2, QUARTER)
    upper = [(radius - edge + edge * np.cos(a), length / 2 - edge + edge * np.sin(a)) for a in turn]
    return lathe([(r, -z) for r, z in reversed(upper)] + upper, 4 * quarter)


def rounded_box(size: Sequence[float], edge: float) -> Mesh:
    """A box with rounded edges and corners; ``size`` is the outer dimensions, m."""
    half = np.asarray(size, dtype=np.float64) / 2
    edge = float(min(edge, half.min()))
    inner = half - edge
    quarter = np.linspace(0, np.pi / 2, QUARTER)
    around = np.concatenate([quarter + k * np.pi / 2 for k in range(4)])
    corner = np.repeat([[1, 1], [-1, 1], [-1, -1], [1, -1]], QUARTER, axis=0)
    rings = []
    for sign, tilts in ((-1, quarter[::-1]), (1, quarter)):
        for tilt in tilts:
            flat = corner * inner[:2] + edge * np.cos(tilt) * np.stack([np.cos(around), np.sin(around)], axis=1)
            z = sign * (inner[2] + edge * np.sin(tilt))
            rings.append(np.column_stack([flat, np.full(len(flat), z)]))
    return _grid(rings, np.array([0, 0, -half[2]]), np.array([0, 0, half[2]]))


def box_edge(size: Sequence[float]) -> float:
    """Rounding used for a box of a hand, m: a fifth of its thinnest side, at most 10 mm."""
    return min(0.2 * min(size), 0.010)


def shape_pose(shape: Shape) -> Array:
    """Pose of a shape in its link's frame, (4, 4)."""
    return homogeneous(shape.xyz, rotation(shape.rpy))


def shape_mesh(shape: Shape) -> Mesh:
    """The mesh of one shape of a hand, in its link's frame."""
    size = shape.size
    if shape.kind == 'box':
        mesh = rounded_box(size, box_edge(size))
    elif shape.kind == 'capsule':
        mesh = capsule(size[0], size[1])
    elif shape.kind == 'cylinder':
        mesh = rounded_cylinder(size[0], size[1], 0.15 * size[0])
    else:
        mesh = capsule(size[0], 0.0)
    return mesh.moved(shape_pose(shape))


def arrow(length: float, radius: float) -> Mesh:
    """An arrow from the origin along z, m; the head is three shaft radii wide."""
    neck = max(length - 5 * radius, 0.3 * length)
    return lathe([(radius, 0.0), (radius, neck), (2.6 * radius, neck), (0.05 * radius, length)], 3 * QUARTER)
