"""Rows of small pictures of a hand and its object, computed on the processor: no graphics card, no display."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from typing import Any

import numpy as np
from allegro_description.errors import MissingDependency
from allegro_description.meshes.materials import MATERIALS, SHELL, Material
from allegro_description.model import HandModel
from allegro_description.simulation.surfaces import triangles
from allegro_description.state import Array
from allegro_description.viewer import pictures, raster
from allegro_description.viewer.raster import Camera
from allegro_description.viewer.scene import matrix_of, object_mesh
from allegro_description.viewer.studio import Body
from numpy.typing import NDArray

from allegro_ai.evaluation.footage import Footage
from allegro_ai.tasks.lanes import CONTROL_S

WIDTH, HEIGHT, CAPTION = 240, 270, 46
VIEW, TARGET, DISTANCE, ANGLE = (0.80, 0.62, 0.16), (0.030, 0.012, 0.005), 0.74, 0.40
OBJECT = Material((235, 140, 50), 0.7)
LIGHT, FILL, AMBIENT = np.array([0.5, 0.1, 0.86]), np.array([0.3, 0.9, 0.1]), 0.32
PAPER = 0.97
STAND = 2                           # bodies at the end of a picture of a hand that are its stand
SMALLEST_PUSH_N, ARROW_M = 1e-3, 0.07


def strip(hand: HandModel, footage: Footage, count: int) -> Any:
    """A picture (PIL) of ``count`` moments side by side with time, tip force and slip below each."""
    from PIL import ImageDraw, ImageFont

    images = _images()
    moments = footage.moments(count)
    paper = images.new('RGB', (WIDTH * count, HEIGHT + CAPTION), 'white')
    pen, font = ImageDraw.Draw(paper), ImageFont.load_default(13)
    camera = _camera(hand)
    for n, step in enumerate(moments):
        left = WIDTH * n
        paper.paste(images.fromarray(frame(hand, footage, step)), (left, 0))
        gravity = footage.gravity[step] / max(float(np.linalg.norm(footage.gravity[step])), 1e-9)
        _arrow(pen, camera, left, (30, 34), gravity, '#3060c0', 'g')
        push = footage.force[step]
        if np.linalg.norm(push) > SMALLEST_PUSH_N:
            _arrow(pen, camera, left, (WIDTH - 40, 34), push / np.linalg.norm(push), '#c02030',
                   f'{np.linalg.norm(push):.1f} N')
        text = (f't = {CONTROL_S * (step + 1):.2f} s\ntip {footage.tips[step]:.1f} N, '
                f'moved {1e3 * footage.slip[step]:.0f} mm, {np.degrees(footage.turn[step]):.0f}°')
        pen.multiline_text((left + WIDTH / 2, HEIGHT + CAPTION / 2), text, '#333', font, anchor='mm', align='center')
    return paper


def frame(hand: HandModel, footage: Footage, step: int) -> NDArray[np.uint8]:
    """One moment, seen by an eye that moves with the palm, 8-bit sRGB, (HEIGHT, WIDTH, 3)."""
    pose = np.eye(4)
    pose[:3, :3], pose[:3, 3] = matrix_of(footage.quat[step]), footage.xyz[step]
    thing = object_mesh('', (1.0, 1.0, 1.0), triangles(footage.episode.obj)).moved(pose)
    return shaded([*pictures.bodies(hand, footage.position[step])[:-STAND], Body(thing, OBJECT)], _camera(hand))


def shaded(bodies: Iterable[Body], camera: Camera) -> NDArray[np.uint8]:
    """Bodies under two lamps, every pixel the mean of four, 8-bit sRGB."""
    fine = Camera(camera.eye, camera.target, camera.angle, 2 * camera.width, 2 * camera.height)
    vertices, faces, normals, colours, start = [], [], [], [], 0
    for body in bodies:
        vertices.append(body.mesh.vertices)
        faces.append(body.mesh.faces + start)
        normals.append(body.mesh.face_normals)
        colours.append(np.tile(_bright(body.finish), (len(body.mesh.faces), 1)))
        start += len(body.mesh.vertices)
    points, corners = np.concatenate(vertices), np.concatenate(faces).astype(np.int32)
    keep = _in_front(points, corners, fine)
    corners, normal, colour = corners[keep], np.concatenate(normals)[keep], np.concatenate(colours)[keep]
    picture, near = fine.project(points)
    facets = raster.flatten(picture, near, corners)
    kept = _kept(picture, corners)
    index, _ = raster.cover(facets, fine.width, fine.height)
    unit = normal[kept] / np.maximum(np.linalg.norm(normal[kept], axis=1, keepdims=True), 1e-30)
    light = AMBIENT + 0.75 * np.maximum(unit @ (LIGHT / np.linalg.norm(LIGHT)), 0.0)
    light = light + 0.30 * np.maximum(unit @ (FILL / np.linalg.norm(FILL)), 0.0)
    image = np.full((fine.height, fine.width, 3), PAPER)
    hit = index >= 0
    image[hit] = np.minimum(colour[kept] * light[:, None], 1.0)[index[hit]]
    half = image.reshape(camera.height, 2, camera.width, 2, 3).mean(axis=(1, 3))
    return np.asarray(np.rint(255 * half), dtype=np.uint8)


@lru_cache(maxsize=4)
def _camera(hand: HandModel) -> Camera:
    side = -1.0 if hand.side == 'left' else 1.0
    towards = np.array(VIEW) * [1.0, side, 1.0]
    eye = np.array(TARGET) + DISTANCE * towards / np.linalg.norm(towards)
    return Camera((float(eye[0]), float(eye[1]), float(eye[2])), TARGET, ANGLE, WIDTH, HEIGHT)


def _bright(finish: Material) -> Array:
    # dark shells would swallow the picture at this size
    lift = 1.35 if finish == MATERIALS[SHELL] else 1.0
    return np.minimum(np.array(finish.colour) / 255.0 * lift, 1.0)


def _in_front(points: Array, faces: NDArray[np.int32], camera: Camera) -> NDArray[np.bool_]:
    """Triangles that are not behind the eye (a dropped object may fly past it)."""
    depth = (points - camera.eye) @ camera.axes[2]
    return np.asarray((depth[faces] > 0.05).all(axis=1))


def _kept(picture: Array, faces: NDArray[np.int32]) -> NDArray[np.intp]:
    """Which triangles :func:`~allegro_description.viewer.raster.flatten` keeps: those that face the eye."""
    a, b, c = (picture[faces[:, k]] for k in range(3))
    turn = (b[:, 0] - a[:, 0]) * (c[:, 1] - a[:, 1]) - (b[:, 1] - a[:, 1]) * (c[:, 0] - a[:, 0])
    return np.flatnonzero(turn < -1e-9)


def _arrow(pen: Any, camera: Camera, left: int, at: tuple[int, int], direction: Array, colour: str, text: str) -> None:
    """A direction of the palm frame as an arrow on the picture; a short one points into or out of it."""
    ends, _ = camera.project(np.stack([np.array(TARGET), np.array(TARGET) + ARROW_M * direction]))
    step = 0.5 * (ends[1] - ends[0])
    x, y = left + at[0], at[1]
    tip = (x + step[0], y + step[1])
    pen.line([(x - step[0], y - step[1]), tip], colour, 2)
    pen.ellipse([tip[0] - 3, tip[1] - 3, tip[0] + 3, tip[1] + 3], colour)
    pen.text((x, y + 36), text, colour, anchor='mm')


def _images() -> Any:
    try:
        from PIL import Image
    except ImportError as error:
        raise MissingDependency(f'pictures need the package pillow ({error}). Install it with: pip install pillow'
                                ) from error
    return Image
