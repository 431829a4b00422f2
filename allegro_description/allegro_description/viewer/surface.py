"""Where the surface of a link is, and pads that lie on it.

The taxel frames of a hand sit on the centre line of their links, because that is all the vendor publishes; a reading is
only legible on the skin. A pad is therefore projected along the taxel's normal onto the link's mesh.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from allegro_description.errors import ConfigError
from allegro_description.meshes.mesh import Mesh, merged
from allegro_description.state import Array

#: A pad follows the skin down to this far below its highest place and bridges what is deeper (seams, grooves), m.
_DRAPE = 0.0030


def project(mesh: Mesh, points: Array, normal: Array) -> Array:
    """Move each point (n, 3) along ``normal`` (unit, (3,)) to the outermost surface of a mesh on its line, (n, 3).

    Lines that miss the mesh give NaN rows.
    """
    u, v = tangents(normal)
    flat = np.stack([u, v, normal])
    corners, wanted = (mesh.vertices @ flat.T)[mesh.faces], points @ flat.T
    low, high = wanted[:, :2].min(axis=0) - 1e-9, wanted[:, :2].max(axis=0) + 1e-9
    a, b, c = (corners[:, k] for k in range(3))
    turn = _cross(b - a, c - a)
    near = (corners[:, :, :2].min(axis=1) <= high).all(axis=1) & (corners[:, :, :2].max(axis=1) >= low).all(axis=1)
    near &= turn > 1e-14  # facing the same way as the normal
    a, b, c, turn = a[near], b[near], c[near], turn[near]
    p = wanted[:, None, :]
    wa, wb = _cross(b - p, c - p) / turn, _cross(c - p, a - p) / turn
    wc = 1 - wa - wb
    inside = (wa >= -1e-9) & (wb >= -1e-9) & (wc >= -1e-9)
    height = np.where(inside, wa * a[:, 2] + wb * b[:, 2] + wc * c[:, 2], -np.inf).max(axis=1, initial=-np.inf)
    lifted = points + np.outer(np.where(np.isfinite(height), height - wanted[:, 2], np.nan), normal)
    return np.asarray(lifted)


def _cross(a: Array, b: Array) -> Array:
    return np.asarray(a[..., 0] * b[..., 1] - a[..., 1] * b[..., 0])


def tangents(normal: Array) -> tuple[Array, Array]:
    """Two unit vectors that form a right-handed frame (u, v, normal); v is as near to z as can be."""
    up = np.array([0.0, 0.0, 1.0]) if abs(normal[2]) < 0.9 else np.array([1.0, 0.0, 0.0])
    v = up - normal * (normal @ up)
    v /= np.linalg.norm(v)
    return np.cross(v, normal), v


def _heights(mesh: Mesh, pose: Array, flat: Array, facing: Array, name: str) -> Array:
    """How far along ``facing`` the skin lies over points of a taxel's plane, m, (n,); the first one must meet it."""
    turn, origin = pose[:3, :3], pose[:3, 3]
    height = ((project(mesh, flat @ turn.T + origin, turn @ facing) - origin) @ turn) @ facing
    if np.isnan(height[0]):
        raise ConfigError(f'taxel {name!r}: the line along its normal {facing.tolist()} does not meet its link')
    highest = np.nanmax(height)
    return np.asarray(np.maximum(np.where(np.isnan(height), highest - _DRAPE, height), highest - _DRAPE))


def pad(mesh: Mesh, pose: Array, normal: Sequence[float], half: tuple[float, float], height: float = 0.0008,
        name: str = '') -> Mesh:
    """A thin cushion lying on the surface around a taxel, in the taxel's own frame.

    Args:
        mesh: the taxel's link, link frame.
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
    skin = flat + np.outer(_heights(mesh, pose, flat, facing, name), facing)
    lift = np.concatenate([[1.0], np.repeat([1.0, 1.0, 0.85, 0.4], segments)]) * height
    vertices = np.concatenate([skin + np.outer(lift, facing), skin[-segments:] - 2 * height * facing])
    here, after = np.arange(segments), np.roll(np.arange(segments), -1)
    faces = [np.stack([np.zeros(segments, int), 1 + here, 1 + after], axis=1)]
    for k in range(len(levels)):
        inner, outer = 1 + segments * k, 1 + segments * (k + 1)
        faces += [np.stack([inner + here, outer + here, outer + after], axis=1),
                  np.stack([inner + here, outer + after, inner + after], axis=1)]
    return Mesh(vertices, np.concatenate(faces).astype(np.int32))


def hatching(mesh: Mesh, pose: Array, normal: Sequence[float], half: tuple[float, float],
             height: float = 0.0012) -> Mesh:
    """Diagonal bars over a pad, in the taxel's own frame: the sign of a reading that is not valid.

    Args:
        mesh: the taxel's link, link frame.
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
        bars += [np.stack([(along * reach + side) * half[0], (along * reach - side) * half[1]], axis=1)
                 for side in (step / 2 - width, step / 2 + width)]
    flat = np.concatenate([np.zeros((1, 2)), *bars])
    points = flat[:, :1] * u + flat[:, 1:] * v
    points = (points + np.outer(_heights(mesh, pose, points, facing, '') + height, facing))[1:]
    k, n = np.arange(len(along) - 1), len(along)
    faces = np.concatenate([np.stack([k, n + k, n + k + 1], axis=1), np.stack([k, n + k + 1, k + 1], axis=1)])
    return merged(Mesh(part, faces.astype(np.int32)) for part in np.split(points, len(steps)))
