"""Closed outlines in a plane, counter-clockwise, (n, 2), m: what plates and housings are cut from."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from allegro_description.errors import ConfigError
from allegro_description.state import Array

#: Points on a quarter of a circle; 5 looks round at the size of a finger and keeps a page light.
QUARTER = 5


def circle(radius: float, segments: int = 4 * QUARTER) -> Array:
    """A circle about the origin."""
    angle = np.linspace(0, 2 * np.pi, segments, endpoint=False)
    return radius * np.stack([np.cos(angle), np.sin(angle)], axis=1)


def rounded(corners: Sequence[Sequence[float]], radius: float | Sequence[float], points: int = 4) -> Array:
    """A polygon with round corners, convex and reflex ones.

    Args:
        corners: of the polygon, counter-clockwise.
        radius: of all corners or of each; shortened where a side is too short for it.
        points: on each corner.
    """
    p = np.asarray(corners, dtype=np.float64)
    radii = np.broadcast_to(np.asarray(radius, dtype=np.float64), len(p))
    before, after = np.roll(p, 1, axis=0) - p, np.roll(p, -1, axis=0) - p
    result = []
    for corner, a, b, r in zip(p, before, after, radii, strict=True):
        la, lb = np.linalg.norm(a), np.linalg.norm(b)
        u, v = a / la, b / lb
        half = np.arccos(np.clip(u @ v, -1, 1)) / 2
        cut = min(r / np.tan(half), 0.499 * la, 0.499 * lb)
        if cut < 1e-9 or half > np.pi / 2 - 1e-6:
            result.append(corner[None])
            continue
        centre = corner + (u + v) / np.linalg.norm(u + v) * cut / np.cos(half)
        first, last = corner + cut * u - centre, corner + cut * v - centre
        turn = np.pi - 2 * half
        side = np.sign(first[0] * last[1] - first[1] * last[0])
        angle = np.linspace(0, side * turn, points)
        c, s = np.cos(angle), np.sin(angle)
        result.append(centre + np.stack([c * first[0] - s * first[1], s * first[0] + c * first[1]], axis=1))
    return np.concatenate(result)


def rectangle(width: float, height: float, radius: float, points: int = 4) -> Array:
    """A rectangle about the origin with round corners."""
    x, y = width / 2, height / 2
    return rounded([(-x, -y), (x, -y), (x, y), (-x, y)], min(radius, 0.95 * min(x, y)), points)


def tongue(reach: float, radius: float, foot: float, points: int = 2 * QUARTER) -> Array:
    """A lug: round about the origin with ``radius``, its straight foot ``foot`` wide at y = -``reach``."""
    angle = np.linspace(0, np.pi, points + 1)
    arc = radius * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    base = np.array([[-foot / 2, -reach], [foot / 2, -reach]])
    return np.concatenate([arc, base])


def inset(outline: Array, distance: float) -> Array:
    """Move every side inwards; meant for distances below the radii of the corners."""
    ahead, behind = np.roll(outline, -1, axis=0) - outline, outline - np.roll(outline, 1, axis=0)
    ahead = ahead / np.linalg.norm(ahead, axis=1, keepdims=True)
    behind = behind / np.linalg.norm(behind, axis=1, keepdims=True)
    first, second = (np.stack([-d[:, 1], d[:, 0]], axis=1) for d in (behind, ahead))
    mitre = first + second
    mitre /= np.maximum(np.einsum('ij,ij->i', mitre, first), 0.2)[:, None]
    return np.asarray(outline + distance * mitre)


def area(outline: Array) -> float:
    """Signed area, m²: positive counter-clockwise."""
    x, y = outline.T
    return float((x * np.roll(y, -1) - y * np.roll(x, -1)).sum() / 2)


def contains(outline: Array, points: Array) -> NDArray[np.bool_]:
    """Which points (n, 2) lie inside an outline (even-odd rule), (n,)."""
    a, b = outline, np.roll(outline, -1, axis=0)
    y = points[:, 1][:, None]
    crosses = (a[:, 1] > y) != (b[:, 1] > y)
    with np.errstate(divide='ignore', invalid='ignore'):
        at = a[:, 0] + (y - a[:, 1]) * (b[:, 0] - a[:, 0]) / (b[:, 1] - a[:, 1])
    return np.asarray((crosses & (points[:, 0][:, None] < at)).sum(axis=1) % 2 == 1)


def largest_rectangle(outline: Array, step: float = 0.003) -> tuple[float, float, float, float] | None:
    """The largest upright rectangle inside an outline, on a raster of ``step``: (x, x, y, y), m; None if none fits."""
    (x0, y0), (x1, y1) = outline.min(axis=0), outline.max(axis=0)
    xs, ys = np.arange(x0, x1, step), np.arange(y0, y1, step)
    free = contains(outline, np.stack(np.meshgrid(xs, ys, indexing='ij'), axis=-1).reshape(-1, 2))
    best, found, depth = 0, None, np.zeros(len(xs), dtype=int)
    for k, row in enumerate(free.reshape(len(xs), len(ys)).T):
        depth = np.where(row, depth + 1, 0)  # free cells below, per column
        for first in range(len(xs)):
            least = np.minimum.accumulate(depth[first:])
            size = least * np.arange(1, len(least) + 1)
            last = int(np.argmax(size))
            if size[last] > best:
                best, found = int(size[last]), (first, first + last, k - int(least[last]) + 1, k)
    if found is None:
        return None
    a, b, c, d = found
    return (float(xs[a]), float(xs[b]), float(ys[c]), float(ys[d]))


def triangles(outline: Array) -> NDArray[np.int32]:
    """Cut a simple outline into triangles, (n - 2, 3): a convex one across, others ear by ear, the fullest first.

    Raises:
        ConfigError: the outline crosses itself.
    """
    ahead = np.roll(outline, -1, axis=0) - outline
    if (_cross(ahead, np.roll(ahead, -1, axis=0)) >= 0).all():
        zigzag = np.stack([np.arange(len(outline)), -1 - np.arange(len(outline))], axis=1).ravel()[:len(outline)]
        zigzag %= len(outline)
        strip = np.stack([zigzag[:-2], zigzag[1:-1], zigzag[2:]], axis=1)
        strip[::2] = strip[::2, [0, 2, 1]]
        return strip.astype(np.int32)
    left, result = list(range(len(outline))), []
    while len(left) > 3:
        index = np.array(left)
        a, b, c = outline[np.roll(index, 1)], outline[index], outline[np.roll(index, -1)]
        turn = _cross(b - a, c - b)
        quality = np.where(turn > 0, turn / (_square(b - a) + _square(c - b) + _square(a - c)), -1.0)
        for k in np.argsort(-quality):
            others = outline[np.delete(index, [k, k - 1, (k + 1) % len(index)])]
            corner = (a[k], b[k], c[k])
            inside = np.ones(len(others), dtype=bool)
            for p, q in zip(corner, (corner[1], corner[2], corner[0]), strict=True):
                inside &= _cross(q - p, others - p) >= -1e-15
            if quality[k] > 0 and not inside.any():
                break
        else:
            if abs(area(outline[index])) > 1e-9:
                raise ConfigError('an outline of a mesh crosses itself; the dimensions it is made from do not fit')
            k = int(np.argmax(quality))  # nothing is left but rounding
        result.append((left[k - 1], left[k], left[(k + 1) % len(left)]))
        del left[k]
    return np.array([*result, left], dtype=np.int32)


def _cross(a: Array, b: Array) -> Array:
    return np.asarray(a[..., 0] * b[..., 1] - a[..., 1] * b[..., 0])


def _square(a: Array) -> Array:
    return np.asarray((a * a).sum(axis=-1))
