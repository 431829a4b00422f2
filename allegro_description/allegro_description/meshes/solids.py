"""Solids made from dimensions alone: closed, facing outwards, round edges. Lengths in m."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from allegro_description.kinematics import homogeneous, rotation
from allegro_description.meshes import outlines
from allegro_description.meshes.mesh import SAME, Mesh
from allegro_description.meshes.outlines import QUARTER
from allegro_description.model import Shape
from allegro_description.state import Array


def skin(rings: Sequence[Array], bottom: Array, top: Array) -> Mesh:
    """Skin a stack of closed rings, each (n, 3), counter-clockwise seen from above, and close it with two points.

    Two rings at one place make a crease.
    """
    n = len(rings[0])
    vertices = np.concatenate([bottom[None], *rings, top[None]])
    here, after = np.arange(n), np.roll(np.arange(n), -1)
    last = 1 + n * (len(rings) - 1)
    faces = [np.stack([np.zeros(n, int), 1 + after, 1 + here], axis=1)]
    for k in range(len(rings) - 1):
        if np.abs(rings[k] - rings[k + 1]).max() < SAME:
            continue
        low, high = 1 + n * k, 1 + n * (k + 1)
        faces += [np.stack([low + here, low + after, high + after], axis=1),
                  np.stack([low + here, high + after, high + here], axis=1)]
    faces.append(np.stack([last + here, last + after, np.full(n, len(vertices) - 1)], axis=1))
    return Mesh(vertices, np.concatenate(faces).astype(np.int32))


def lathe(profile: Sequence[tuple[float, float]], segments: int = 4 * QUARTER) -> Mesh:
    """Turn a profile about z.

    Args:
        profile: (radius, z) from bottom to top, m; radii above zero, flat ends are closed; a repeated point makes
            a crease.
        segments: points of each ring.
    """
    ring = np.column_stack([outlines.circle(1.0, segments), np.zeros(segments)])
    rings = [ring * radius + [0, 0, z] for radius, z in profile]
    return skin(rings, np.array([0, 0, profile[0][1]]), np.array([0, 0, profile[-1][1]]))


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
    turn = np.linspace(0, np.pi / 2, 3)
    upper = [(radius - edge + edge * np.cos(a), length / 2 - edge + edge * np.sin(a)) for a in turn]
    return lathe([(r, -z) for r, z in reversed(upper)] + upper, 4 * quarter)


def rounded_box(size: Sequence[float], edge: float, points: int = QUARTER) -> Mesh:
    """A box with rounded edges and corners; ``size`` is the outer dimensions, m."""
    half = np.asarray(size, dtype=np.float64) / 2
    edge = float(min(edge, half.min()))
    inner = half - edge
    quarter = np.linspace(0, np.pi / 2, points)
    around = np.concatenate([quarter + k * np.pi / 2 for k in range(4)])
    corner = np.repeat([[1, 1], [-1, 1], [-1, -1], [1, -1]], points, axis=0)
    rings = []
    for sign, tilts in ((-1, quarter[::-1]), (1, quarter)):
        for tilt in tilts:
            flat = corner * inner[:2] + edge * np.cos(tilt) * np.stack([np.cos(around), np.sin(around)], axis=1)
            z = sign * (inner[2] + edge * np.sin(tilt))
            rings.append(np.column_stack([flat, np.full(len(flat), z)]))
    return skin(rings, np.array([0, 0, -half[2]]), np.array([0, 0, half[2]]))


def prism(outline: Array, low: float, high: float, edge: float, steps: int = 2) -> Mesh:
    """A plate along z cut from an outline in the xy plane, with rounded edges.

    Args:
        outline: counter-clockwise, (n, 2); may be hollow, must not cross itself.
        low: where it begins, m.
        high: where it ends, m.
        edge: rounding of its edges, m; below the radii of the outline's corners.
        steps: facets of the rounding.
    """
    edge = min(edge, (high - low) / 2.001)
    turn = np.linspace(0, np.pi / 2, steps + 1) if edge > 0 else np.zeros(1)
    tops = [(outlines.inset(outline, edge * (1 - np.cos(a))), high - edge * (1 - np.sin(a))) for a in turn]
    rows = [(ring, low + high - z) for ring, z in reversed(tops)] + tops
    n = len(outline)
    cap = outlines.triangles(rows[-1][0])
    levels = [np.column_stack([ring, np.full(n, z)]) for ring, z in [rows[0], *rows, rows[-1]]]
    here, after = np.arange(n), np.roll(np.arange(n), -1)
    faces = [cap[:, ::-1]]
    for k in range(1, len(levels) - 2):
        low_k, high_k = n * k, n * (k + 1)
        faces += [np.stack([low_k + here, low_k + after, high_k + after], axis=1),
                  np.stack([low_k + here, high_k + after, high_k + here], axis=1)]
    faces.append(cap + n * (len(levels) - 1))
    return Mesh(np.concatenate(levels), np.concatenate(faces).astype(np.int32))


def loft(sections: Sequence[tuple[Array, float]]) -> Mesh:
    """Skin outlines of equally many points at rising heights, [(outline (n, 2), z)], m; flat ends are closed."""
    rings = [np.column_stack([outline, np.full(len(outline), z)]) for outline, z in sections]
    return skin(rings, rings[0].mean(axis=0), rings[-1].mean(axis=0))


def box_edge(size: Sequence[float]) -> float:
    """Rounding used for a box of a hand, m: a fifth of its thinnest side, at most 10 mm."""
    return min(0.2 * min(size), 0.010)


def shape_pose(shape: Shape) -> Array:
    """Pose of a shape in its link's frame, (4, 4)."""
    return homogeneous(shape.xyz, rotation(shape.rpy))


def shape_mesh(shape: Shape) -> Mesh:
    """The plain mesh of one shape of a hand, in its link's frame."""
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
