"""Where the surface of a link is, and pads that lie on it.

The taxel frames of a hand sit on the centre line of their links, because that is all the vendor publishes; a reading is
only legible on the skin. A pad is therefore projected along the taxel's normal onto the link's shapes.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from allegro_description.errors import ConfigError
from allegro_description.model import Shape
from allegro_description.state import Array
from allegro_description.viewer.meshes import Mesh, box_edge, merged, shape_pose

#: How far outside a link the projection starts, m; larger than any link of a hand.
REACH = 0.2
_STEPS = 64


def distance(shapes: Sequence[Shape], points: Array) -> Array:
    """Signed distance from points (n, 3) of the link frame to the union of shapes, m; negative inside, (n,)."""
    result = np.full(len(points), np.inf)
    for shape in shapes:
        pose = shape_pose(shape)
        local = (points - pose[:3, 3]) @ pose[:3, :3]
        result = np.minimum(result, _one(shape, local))
    return result


def _one(shape: Shape, p: Array) -> Array:
    size = shape.size
    if shape.kind == 'box':
        edge = box_edge(size)
        q = np.abs(p) - (np.asarray(size) / 2 - edge)
        gap: Array = np.linalg.norm(np.maximum(q, 0), axis=1) + np.minimum(q.max(axis=1), 0) - edge
        return gap
    if shape.kind == 'cylinder':
        q = np.stack([np.linalg.norm(p[:, :2], axis=1) - size[0], np.abs(p[:, 2]) - size[1] / 2], axis=1)
        rim: Array = np.linalg.norm(np.maximum(q, 0), axis=1) + np.minimum(q.max(axis=1), 0)
        return rim
    half = size[1] / 2 if shape.kind == 'capsule' else 0.0
    core = p - np.stack([np.zeros(len(p)), np.zeros(len(p)), np.clip(p[:, 2], -half, half)], axis=1)
    centre: Array = np.linalg.norm(core, axis=1)
    return centre - size[0]


def project(shapes: Sequence[Shape], points: Array, normal: Array) -> Array:
    """Move each point (n, 3) along ``normal`` (unit, (3,)) to the outermost surface on its line, (n, 3).

    Lines that miss the shapes give NaN rows.
    """
    reach = np.full(len(points), REACH)
    for _ in range(_STEPS):
        gap = distance(shapes, points + reach[:, None] * normal)
        reach -= gap
    on = np.abs(distance(shapes, points + reach[:, None] * normal)) < 1e-6
    return np.where(on[:, None], points + reach[:, None] * normal, np.nan)


def tangents(normal: Array) -> tuple[Array, Array]:
    """Two unit vectors that form a right-handed frame (u, v, normal); v is as near to z as can be."""
    up = np.array([0.0, 0.0, 1.0]) if abs(normal[2]) < 0.9 else np.array([1.0, 0.0, 0.0])
    v = up - normal * (normal @ up)
    v /= np.linalg.norm(v)
    return np.cross(v, normal), v


def pad(shapes: Sequence[Shape], pose: Array, normal: Sequence[float], half: tuple[float, float],
        height: float = 0.0007, name: str = '') -> Mesh:
    """A thin cushion lying on the surface around a taxel, in the taxel's own frame.

    Args:
        shapes: the shapes of the taxel's link, link frame.
        pose: taxel frame in the link frame, (4, 4).
        normal: where the cell faces, taxel frame.
        half: half width and half height of the rounded outline, m.
        height: how far the cushion stands out of the surface, m.
        name: used in the error.

    Raises:
        ConfigError: the line along the normal does not meet the link.
    """
    facing = np.asarray(normal, dtype=np.float64)
    facing = facing / np.linalg.norm(facing)
    u, v = tangents(facing)
    segments, levels = 28, (0.35, 0.7, 0.92, 1.0)
    angle = np.linspace(0, 2 * np.pi, segments, endpoint=False)
    c, s = np.cos(angle), np.sin(angle)
    # a superellipse of exponent 3: between a disc and a rectangle
    outline = (np.sign(c) * np.abs(c) ** (2 / 3) * half[0])[:, None] * u + (
        np.sign(s) * np.abs(s) ** (2 / 3) * half[1])[:, None] * v
    flat = np.concatenate([np.zeros((1, 3)), *(level * outline for level in levels)])
    turn, origin = pose[:3, :3], pose[:3, 3]
    hit = project(shapes, flat @ turn.T + origin, turn @ facing)
    if np.isnan(hit[0]).any():
        raise ConfigError(f'taxel {name!r}: the line along its normal {tuple(normal)} does not meet its link')
    skin = (hit - origin) @ turn
    # beyond the rim of the link the pad ends in the tangent plane of its nearest hit
    depth = skin @ facing
    depth = np.where(np.isnan(depth), np.nanmin(depth), depth)
    skin = flat - np.outer(flat @ facing, facing) + np.outer(depth, facing)
    lift = np.concatenate([[1.0], np.repeat([1.0, 1.0, 0.85, 0.4], segments)]) * height
    vertices = np.concatenate([skin + np.outer(lift, facing), skin[-segments:] - 2 * height * facing])
    here, after = np.arange(segments), np.roll(np.arange(segments), -1)
    faces = [np.stack([np.zeros(segments, int), 1 + here, 1 + after], axis=1)]
    for k in range(len(levels)):
        inner, outer = 1 + segments * k, 1 + segments * (k + 1)
        faces += [np.stack([inner + here, outer + here, outer + after], axis=1),
                  np.stack([inner + here, outer + after, inner + after], axis=1)]
    return Mesh(vertices, np.concatenate(faces).astype(np.int32))


def hatching(shapes: Sequence[Shape], pose: Array, normal: Sequence[float], half: tuple[float, float],
             height: float = 0.0011) -> Mesh:
    """Diagonal bars over a pad, in the taxel's own frame: the sign of a reading that is not valid.

    Args:
        shapes: the shapes of the taxel's link, link frame.
        pose: taxel frame in the link frame, (4, 4).
        normal: where the cell faces, taxel frame.
        half: half width and half height of the pad's outline, m.
        height: how far the bars stand out of the surface, m; above the pad's.
    """
    facing = np.asarray(normal, dtype=np.float64)
    facing = facing / np.linalg.norm(facing)
    u, v = tangents(facing)
    along, steps, width = np.linspace(-1, 1, 9), (-0.62, 0.0, 0.62), 0.11
    bars = []
    for step in steps:
        reach = 0.8 * np.sqrt(1 - step**2)
        rows = [np.stack([(along * reach + side) * half[0], (along * reach - side) * half[1]], axis=1)
                for side in (step / 2 - width, step / 2 + width)]
        flat = np.concatenate(rows)
        points = flat[:, :1] * u + flat[:, 1:] * v
        turn, origin = pose[:3, :3], pose[:3, 3]
        depth = ((project(shapes, points @ turn.T + origin, turn @ facing) - origin) @ turn) @ facing
        depth = np.where(np.isnan(depth), np.nanmin(depth), depth)
        k, n = np.arange(len(along) - 1), len(along)
        faces = np.concatenate([np.stack([k, n + k, n + k + 1], axis=1), np.stack([k, n + k + 1, k + 1], axis=1)])
        bars.append(Mesh(points + np.outer(depth + height, facing), faces.astype(np.int32)))
    return merged(bars)
