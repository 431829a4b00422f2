"""Which triangle covers each pixel: a depth buffer in numpy, so that pictures need no graphics card and repeat exactly.

Coordinates of the picture: x to the right, y down, in pixels; ``near`` rises towards the eye and is linear on the
picture (minus the depth for a parallel view, one over the depth for a perspective one).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from allegro_description.state import Array

#: Rows of triangles filled at once; bounds the memory to some hundred megabytes.
_ROWS = 1 << 16


@dataclass(frozen=True)
class Camera:
    """A perspective view.

    Attributes:
        eye, target: where it stands and what it looks at, m.
        angle: of the picture's height, rad.
        width, height: pixels.
    """

    eye: tuple[float, float, float]
    target: tuple[float, float, float]
    angle: float
    width: int
    height: int

    @property
    def axes(self) -> Array:
        """Right, down and ahead as rows, (3, 3)."""
        return axes_of(np.subtract(self.target, self.eye))

    def project(self, points: Array) -> tuple[Array, Array]:
        """Picture coordinates (n, 2) and nearness (n,) of points (n, 3)."""
        local = (points - self.eye) @ self.axes.T
        focal = self.height / 2 / np.tan(self.angle / 2)
        picture = local[:, :2] / local[:, 2:] * focal + [self.width / 2, self.height / 2]
        return picture, 1 / local[:, 2]

    def rays(self) -> Array:
        """Unit direction of the ray through every pixel, (height, width, 3)."""
        focal = self.height / 2 / np.tan(self.angle / 2)
        x, y = np.arange(self.width) + 0.5 - self.width / 2, np.arange(self.height) + 0.5 - self.height / 2
        grid = np.stack([*np.meshgrid(x / focal, y / focal), np.ones((self.height, self.width))], axis=-1)
        directions: Array = grid @ self.axes
        return np.asarray(directions / np.linalg.norm(directions, axis=-1, keepdims=True))


def axes_of(ahead: Array) -> Array:
    """Right, down and ahead of a view along ``ahead`` with z upwards, as rows, (3, 3)."""
    z = ahead / np.linalg.norm(ahead)
    up = np.array([0.0, 0.0, 1.0]) if abs(z[2]) < 0.99 else np.array([1.0, 0.0, 0.0])
    right = np.cross(z, up)
    right /= np.linalg.norm(right)
    return np.stack([right, np.cross(z, right), z])


@dataclass(frozen=True, eq=False)
class Facets:
    """Triangles laid flat on a picture: three functions of the place (x, y, 1) that add up to 1, (m, 3, 3).

    Inside a triangle all three lie between 0 and 1: they are the weights of its corners.
    """

    faces: NDArray[np.int32]
    plane: Array
    near: Array
    low: NDArray[np.int64]
    high: NDArray[np.int64]


def flatten(picture: Array, near: Array, faces: NDArray[np.int32], front: bool = True) -> Facets:
    """Prepare triangles for :func:`cover`.

    Args:
        picture: vertices in pixels, (n, 2).
        near: nearness of the vertices, (n,).
        faces: vertex indices, (m, 3).
        front: leave out triangles seen from behind; those seen edge-on always go.
    """
    a, b, c = (picture[faces[:, k]] for k in range(3))
    turn = (b[:, 0] - a[:, 0]) * (c[:, 1] - a[:, 1]) - (b[:, 1] - a[:, 1]) * (c[:, 0] - a[:, 0])
    # y runs down, so a triangle that is counter-clockwise from outside turns the other way when seen from the front
    seen = turn < -1e-9 if front else np.abs(turn) > 1e-9
    faces, a, b, c, turn = faces[seen], a[seen], b[seen], c[seen], turn[seen]
    plane = np.stack([np.stack([p[:, 1] - q[:, 1], q[:, 0] - p[:, 0], p[:, 0] * q[:, 1] - p[:, 1] * q[:, 0]], axis=1)
                      for p, q in ((b, c), (c, a), (a, b))], axis=1) / turn[:, None, None]
    y = np.stack([a[:, 1], b[:, 1], c[:, 1]])
    return Facets(faces, plane, np.einsum('mk,mkj->mj', near[faces], plane),
                  np.ceil(y.min(axis=0) - 0.5).astype(np.int64), np.floor(y.max(axis=0) - 0.5).astype(np.int64) + 1)


def cover(facets: Facets, width: int, height: int) -> tuple[NDArray[np.int32], Array]:
    """The nearest triangle of each pixel: its index, -1 for none, and its nearness, -inf for none, (height, width)."""
    index = np.full(width * height, -1, dtype=np.int32)
    buffer = np.full(width * height, -np.inf)
    low, high = np.clip(facets.low, 0, height), np.clip(facets.high, 0, height)
    chosen = np.flatnonzero(high > low)
    amount = np.cumsum(high[chosen] - low[chosen])
    first = 0
    while first < len(chosen):
        done = amount[first - 1] if first else 0
        last = max(first + 1, int(np.searchsorted(amount, done + _ROWS, side='right')))
        some = chosen[first:last]
        _fill(facets, some, low[some], high[some], width, index, buffer)
        first = last
    return index.reshape(height, width), buffer.reshape(height, width)


def _expanded(count: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """For counts (2, 3): owners (0 0 1 1 1) and places within them (0 1 0 1 2)."""
    owner = np.repeat(np.arange(len(count)), count)
    return owner, np.arange(len(owner)) - np.repeat(np.cumsum(count) - count, count)


def _fill(facets: Facets, some: NDArray[np.int64], low: NDArray[np.int64], high: NDArray[np.int64], width: int,
          index: NDArray[np.int32], buffer: Array) -> None:
    row, step = _expanded(high - low)
    y = low[row] + step
    triangle = some[row]
    plane = facets.plane[triangle]
    slope, rest = plane[:, :, 0], plane[:, :, 1] * (y + 0.5)[:, None] + plane[:, :, 2]
    with np.errstate(divide='ignore', invalid='ignore'):
        edge = -rest / slope
    left = np.where(slope > 0, edge, -np.inf).max(axis=1)
    right = np.where(slope < 0, edge, np.inf).min(axis=1)
    right[((slope == 0) & (rest < 0)).any(axis=1)] = -np.inf
    first = np.ceil(np.clip(left, 0.0, width) - 0.5).astype(np.int64)
    count = np.floor(np.clip(right, 0.0, width) - 0.5).astype(np.int64) + 1 - first
    kept = count > 0
    triangle, y, first, count = triangle[kept], y[kept], first[kept], count[kept]
    near = facets.near[triangle]
    span, step = _expanded(count)
    depth = (near[:, 0] * (first + 0.5) + near[:, 1] * (y + 0.5) + near[:, 2])[span] + near[span, 0] * step
    pixel = (y * width + first)[span] + step
    np.maximum.at(buffer, pixel, depth)
    best = depth >= buffer[pixel]
    index[pixel[best]] = triangle[span[best]]
