"""A photographer's studio: soft boxes around a table, real soft shadows and reflections, computed in numpy.

Light comes from many directions; each has its own shadow map, and their sum is a soft shadow that is darkest where
parts meet. What a surface reflects is the same studio, blurred by the roughness of the surface.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from allegro_description.meshes.materials import Material
from allegro_description.meshes.mesh import Mesh
from allegro_description.state import Array
from allegro_description.viewer import raster
from allegro_description.viewer.raster import Camera

#: Side of a shadow map, pixels; one is about half a millimetre on a hand.
_MAP = 600
#: Directions that the sky's light comes from.
_SKY = 36


@dataclass(frozen=True, eq=False)
class Body:
    """A mesh in the world and its finish."""

    mesh: Mesh
    finish: Material


@dataclass(frozen=True)
class SoftBox:
    """A round lamp far away: direction towards it, half angle (rad), strength, how many directions stand for it."""

    towards: tuple[float, float, float]
    spread: float
    power: float
    rays: int


#: Key light, fill and rim.
BOXES = (SoftBox((0.45, -0.55, 0.95), 0.32, 1.25, 26), SoftBox((0.5, 0.95, 0.3), 0.35, 0.40, 8),
         SoftBox((-0.9, 0.6, 0.5), 0.25, 0.70, 8))
_SKY_POWER, _GROUND = 0.46, 0.45


def render(bodies: Sequence[Body], camera: Camera, floor: float, mirror: bool = False) -> NDArray[np.uint8]:
    """A picture of bodies on a white table, 8-bit sRGB, (height, width, 3).

    Args:
        bodies: what stands there.
        camera: from where; twice its resolution is computed and averaged.
        floor: height of the table, m.
        mirror: swap the lamps' sides, for the picture of a mirrored hand.
    """
    fine = Camera(camera.eye, camera.target, camera.angle, 2 * camera.width, 2 * camera.height)
    vertices = np.concatenate([b.mesh.vertices for b in bodies])
    normals = np.concatenate([b.mesh.normals for b in bodies])
    starts = np.cumsum([0, *(len(b.mesh.vertices) for b in bodies)])[:-1]
    faces = np.concatenate([b.mesh.faces + s for b, s in zip(bodies, starts, strict=True)]).astype(np.int32)
    owner = np.repeat(np.arange(len(bodies)), [len(b.mesh.vertices) for b in bodies])
    picture, near = fine.project(vertices)
    facets = raster.flatten(picture, near, faces)
    index, depth = raster.cover(facets, fine.width, fine.height)
    rays = fine.rays()
    eye = np.array(fine.eye)
    image = np.ones((fine.height, fine.width, 3))
    hit = index >= 0
    lamps = _lamps(mirror)
    maps = [_ShadowMap(vertices, faces, towards) for towards, _ in lamps]

    which = index[hit]
    along = rays[hit]
    place = eye + along / (along @ fine.axes[2])[:, None] / depth[hit][:, None]
    rows, columns = np.nonzero(hit)
    corners = facets.faces[which]
    pixels = np.stack([columns + 0.5, rows + 0.5, np.ones(len(rows))], axis=1)
    share = np.einsum('nkj,nj->nk', facets.plane[which], pixels) * near[corners]
    share /= share.sum(axis=1, keepdims=True)
    normal = np.einsum('ij,ijk->ik', share, normals[corners])
    normal /= np.linalg.norm(normal, axis=1, keepdims=True)
    light, open_sky = _gather(place, normal, lamps, maps)
    finishes = [b.finish for b in bodies]
    image[hit] = _shade(normal, along, light, open_sky, finishes, owner[corners[:, 0]], mirror)

    flat = ~hit & (rays[..., 2] < -1e-3)
    reach = (floor - eye[2]) / rays[flat][:, 2]
    ground = eye + rays[flat] * reach[:, None]
    up = np.broadcast_to([0.0, 0.0, 1.0], ground.shape)
    centre = np.array([vertices[:, 0].mean(), vertices[:, 1].mean()])
    distance = np.linalg.norm(ground[:, :2] - centre, axis=1)
    close = distance < 0.35
    bright = np.ones(len(ground))
    bright[close] = _gather(ground[close], up[close], lamps, maps)[0] / _gather(
        np.array([[9.0, 9.0, floor]]), up[:1], lamps, maps)[0]
    fade = np.clip((0.35 - distance) / 0.2, 0, 1)
    image[flat] = (1 - fade * (1 - bright) * 0.9)[:, None] * _backdrop(rays[flat])
    rest = ~hit & ~flat
    image[rest] = _backdrop(rays[rest])
    half = image.reshape(camera.height, 2, camera.width, 2, 3).mean(axis=(1, 3))
    return _developed(half)


def _backdrop(rays: Array) -> Array:
    """White paper that greys a little towards its lower edge, linear light."""
    tone = 0.93 + 0.07 * np.clip(rays[:, 2] * 3 + 0.6, 0, 1)
    return np.stack([tone, tone, tone * 1.005], axis=1)


def _lamps(mirror: bool) -> list[tuple[Array, float]]:
    """(unit direction towards the light, irradiance it gives to a surface that faces it)."""
    golden = np.pi * (3 - np.sqrt(5))
    result = []
    for k in range(_SKY):
        z = -0.35 + 1.35 * (k + 0.5) / _SKY
        r = np.sqrt(1 - z * z)
        tone = _SKY_POWER * (1 if z > 0 else _GROUND) * 2 / _SKY
        result.append((np.array([r * np.cos(golden * k), r * np.sin(golden * k), z]), tone))
    for box in BOXES:
        axes = raster.axes_of(np.array(box.towards))
        for k in range(box.rays):
            lean = np.sin(box.spread) * np.sqrt((k + 0.5) / box.rays)
            towards = axes[2] + lean * (np.cos(golden * k) * axes[0] + np.sin(golden * k) * axes[1])
            result.append((towards / np.linalg.norm(towards), box.power / box.rays))
    side = np.array([1.0, -1.0 if mirror else 1.0, 1.0])
    return [(towards * side, power) for towards, power in result]


class _ShadowMap:
    """Nearest surface towards a far light, on a raster around the bodies."""

    def __init__(self, vertices: Array, faces: NDArray[np.int32], towards: Array) -> None:
        self._axes = raster.axes_of(-towards)
        local = vertices @ self._axes.T
        self._low = local[:, :2].min(axis=0)
        self._scale = (_MAP - 3) / float((local[:, :2].max(axis=0) - self._low).max())
        facets = raster.flatten((local[:, :2] - self._low) * self._scale + 1, -local[:, 2], faces)
        _, self._near = raster.cover(facets, _MAP, _MAP)

    def lit(self, points: Array, slope: Array) -> Array:
        """Share of the light that reaches points (n, 3), 0 … 1; ``slope`` is their cosine to the light, (n,)."""
        local = points @ self._axes.T
        at = (local[:, :2] - self._low) * self._scale + 0.5
        near = -local[:, 2] + 0.0004 + 0.0009 * (1 - slope)
        cell = np.floor(at).astype(np.int64)
        part = at - cell
        total = np.zeros(len(points))
        for dx in (0, 1):
            for dy in (0, 1):
                x, y = cell[:, 0] + dx, cell[:, 1] + dy
                inside = (x >= 0) & (y >= 0) & (x < _MAP) & (y < _MAP)
                open_ = np.ones(len(points))
                open_[inside] = near[inside] >= self._near[y[inside], x[inside]]
                total += open_ * np.where(dx, part[:, 0], 1 - part[:, 0]) * np.where(dy, part[:, 1], 1 - part[:, 1])
        return total


def _gather(points: Array, normals: Array, lamps: list[tuple[Array, float]], maps: list[_ShadowMap]) -> tuple[
        Array, Array]:
    """Light that falls on points, and the share of the sky that each sees, both (n,)."""
    light, seen, whole = np.zeros(len(points)), np.zeros(len(points)), np.zeros(len(points))
    for k, ((towards, power), shadow) in enumerate(zip(lamps, maps, strict=True)):
        slope = normals @ towards
        facing = np.flatnonzero(slope > 0)
        lit = shadow.lit(points[facing] + 0.0006 * normals[facing], slope[facing])
        light[facing] += power * slope[facing] * lit
        if k < _SKY:
            seen[facing] += lit * slope[facing]
            whole[facing] += slope[facing]
    return light, np.where(whole > 0, seen / np.maximum(whole, 1e-9), 0.0)


def _reflected(directions: Array, roughness: Array, mirror: bool) -> Array:
    """Brightness of the studio in a direction, blurred by roughness, (n,)."""
    height = directions[:, 2]
    blur = 0.15 + 0.7 * roughness
    sky = _GROUND + (1 - _GROUND) / (1 + np.exp(-height / (0.35 * blur)))
    total = _SKY_POWER * sky
    for box in BOXES:
        towards = np.array(box.towards) * [1, -1 if mirror else 1, 1]
        cosine = np.clip(directions @ towards / np.linalg.norm(towards), -1, 1)
        wide = box.spread * 1.2 + 0.9 * roughness**1.5
        lobe = np.exp(-((np.arccos(cosine) / wide) ** 2))
        total += 1.6 * box.power * lobe * (box.spread * 1.2 / wide)
    return np.asarray(total)


def _shade(normal: Array, along: Array, light: Array, open_sky: Array, finishes: Sequence[Material],
           which: NDArray[np.int64], mirror: bool) -> Array:
    colour = _linear(np.array([f.colour for f in finishes], dtype=np.float64) / 255)[which]
    rough = np.array([f.roughness for f in finishes])[which]
    metal = np.array([float(f.metal) for f in finishes])[which]
    cosine = np.clip(-(normal * along).sum(axis=1), 0.02, 1)
    bounce = along + 2 * cosine[:, None] * normal
    mirrored = _reflected(bounce, rough, mirror) * (0.25 + 0.75 * open_sky)
    base = np.where(metal[:, None] > 0, colour, 0.04)
    edge = (1 - rough[:, None]) * (1 - base) * ((1 - cosine) ** 5)[:, None]
    return np.asarray(colour * (1 - 0.85 * metal)[:, None] * light[:, None] / 1.0 + (base + edge) * mirrored[:, None])


def _linear(coded: Array) -> Array:
    return np.asarray(np.where(coded <= 0.04045, coded / 12.92, ((coded + 0.055) / 1.055) ** 2.4))


def _developed(light: Array) -> NDArray[np.uint8]:
    """Linear light to 8-bit sRGB; highlights roll off."""
    soft = np.where(light < 0.8, light, 0.8 + 0.2 * (1 - np.exp(-(light - 0.8) / 0.2)))
    coded = np.where(soft <= 0.0031308, 12.92 * soft, 1.055 * np.maximum(soft, 1e-9) ** (1 / 2.4) - 0.055)
    return np.asarray((np.clip(coded, 0, 1) * 255).round().astype(np.uint8))
