"""The surface of an object as triangles, for viewers. No simulator is needed."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from allegro_description.meshes import solids as shapes
from allegro_description.meshes.mesh import Mesh
from allegro_description.simulation.object_sets import sample_object
from allegro_description.simulation.objects import ObjectSpec, object_rng
from allegro_description.simulation.solids import Solid
from allegro_description.state import Array

QUARTER = 4                         # points of a quarter circle: round enough for a thing of some centimetres


def triangles(obj: ObjectSpec) -> Array:
    """Corners of the triangles in the object's frame, m, (n, 3, 3), counter-clockwise seen from outside.

    Solids of a compound that meet are closed each by itself.
    """
    meshes = [(solid, _mesh(solid)) for solid in obj.solids if solid.weight > 0]
    return np.concatenate([
        (mesh.vertices @ solid.turn.T + np.array(solid.xyz))[mesh.faces] for solid, mesh in meshes])


@lru_cache(maxsize=8)
def drawn_triangles(seed: int, object_set: str) -> Array:
    """The triangles of an episode's object.

    Raises:
        UnknownName: no such object set.
        ConfigError: a negative seed.
    """
    return triangles(sample_object(object_rng(seed, object_set, 0), object_set))


def _mesh(solid: Solid) -> Mesh:
    if solid.kind == 'hull':
        return Mesh(np.array(solid.vertices), np.array(solid.faces, dtype=np.int32))
    if solid.kind == 'box':
        x, y, z = solid.size
        return shapes.rounded_box((x, y, z), 0.02 * min(x, y, z), 2)
    if solid.kind == 'ellipsoid':
        unit = shapes.capsule(1.0, 0.0, QUARTER)
        return Mesh(unit.vertices * np.array(solid.size), unit.faces)
    radius, length = solid.size[0], solid.size[1] if len(solid.size) > 1 else 0.0
    if solid.kind == 'cylinder':
        return shapes.lathe([(radius, -length / 2), (radius, length / 2)], 4 * QUARTER)
    return shapes.capsule(radius, length, QUARTER)
