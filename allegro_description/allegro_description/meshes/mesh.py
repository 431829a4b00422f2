"""Triangle meshes: what they are made of and the laws they obey.

A vertex that two smooth neighbours share is one vertex; along a crease there are two at one place. A renderer that
averages the normals around each vertex, weighted by area, therefore shows round edges round and creases sharp.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from allegro_description.state import Array

#: Vertices nearer than this are one place, m.
SAME = 1e-7


@dataclass(frozen=True, eq=False)
class Mesh:
    """Vertices (n, 3), m, and triangles (m, 3) as vertex indices, counter-clockwise seen from outside."""

    vertices: Array
    faces: NDArray[np.int32]

    def moved(self, pose: Array) -> Mesh:
        """The mesh after a homogeneous transform, (4, 4); a mirroring one keeps the faces outward."""
        turned = self.faces if np.linalg.det(pose[:3, :3]) > 0 else self.faces[:, ::-1]
        return Mesh(self.vertices @ pose[:3, :3].T + pose[:3, 3], turned)

    @cached_property
    def face_normals(self) -> Array:
        """Normals of the triangles, twice their area long, m², (m, 3)."""
        a, b, c = (self.vertices[self.faces[:, k]] for k in range(3))
        return np.asarray(np.cross(b - a, c - a))

    @cached_property
    def normals(self) -> Array:
        """Unit normals of the vertices: mean of the triangles around each, weighted by area, (n, 3)."""
        total = np.zeros_like(self.vertices)
        for k in range(3):
            np.add.at(total, self.faces[:, k], self.face_normals)
        return np.asarray(total / np.maximum(np.linalg.norm(total, axis=1, keepdims=True), 1e-30))

    @property
    def volume(self) -> float:
        """Signed volume, m³: positive exactly if a closed mesh faces outwards."""
        a, b, c = (self.vertices[self.faces[:, k]] for k in range(3))
        return float(np.einsum('ij,ij->i', a, np.cross(b, c)).sum() / 6)

    @property
    def area(self) -> float:
        """Surface, m²."""
        return float(np.linalg.norm(self.face_normals, axis=1).sum() / 2)

    @property
    def open_edges(self) -> int:
        """How many edges do not join two triangles that face the same way; 0 for a closed mesh."""
        _, place = np.unique(np.round(self.vertices / SAME).astype(np.int64), axis=0, return_inverse=True)
        corners = place.reshape(-1)[self.faces]
        edges = np.concatenate([corners[:, [k, (k + 1) % 3]] for k in range(3)]).astype(np.int64)
        edges = edges[edges[:, 0] != edges[:, 1]]
        code, back = edges[:, 0] * len(place) + edges[:, 1], edges[:, 1] * len(place) + edges[:, 0]
        one, there = np.unique(code, return_counts=True)
        other, here = np.unique(back, return_counts=True)
        if not np.array_equal(one, other):
            return len(np.setxor1d(one, other))
        return int((there != here).sum())


def merged(meshes: Iterable[Mesh]) -> Mesh:
    """One mesh out of several; empty where there are none."""
    vertices: list[Array] = [np.zeros((0, 3))]
    faces: list[NDArray[np.int32]] = [np.zeros((0, 3), dtype=np.int32)]
    start = 0
    for mesh in meshes:
        vertices.append(mesh.vertices)
        faces.append(mesh.faces + start)
        start += len(mesh.vertices)
    return Mesh(np.concatenate(vertices), np.concatenate(faces).astype(np.int32))
