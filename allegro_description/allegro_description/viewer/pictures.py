"""``python -m allegro_description.viewer.pictures OUT``: a picture of every hand, and one sheet of them all.

Needs no graphics card and no display: :mod:`~allegro_description.viewer.studio` computes the light. The same hand gives
the same picture on every run.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from allegro_description.errors import AllegroError, ConfigError, MissingDependency
from allegro_description.kinematics import Kinematics
from allegro_description.meshes import solids
from allegro_description.meshes.materials import GRIP, MATERIALS, METAL, Material
from allegro_description.model import HandModel, available_hands, load_hand
from allegro_description.state import Array
from allegro_description.viewer import INSTALL, raster, studio
from allegro_description.viewer.colours import SCALE
from allegro_description.viewer.raster import Camera
from allegro_description.viewer.scene import HandScene
from allegro_description.viewer.studio import Body

#: Poses that show a hand as it rests and as it grasps: of each row the first that a hand has.
SHOWN = (('home',), ('grasp_4', 'grasp_3', 'pregrasp', 'zero'))
#: Size of one picture on the sheet, pixels, and the band for its name below it.
TILE, BAND = (330, 400), 26
_VIEW = (0.62, 0.52, 0.24)       # from the hand towards the eye, on the thumb's side
_ANGLE = np.radians(18)
_FILL = 0.90                     # share of the picture that the hand takes
_TOUCH = Material(tuple(int(v) for v in SCALE[14]), 0.6)  # type: ignore[arg-type]


def bodies(model: HandModel, position: Array) -> list[Body]:
    """The hand at joint angles (rad) with its taxels, on a stand, in the palm frame."""
    scene, kinematics = HandScene(model), Kinematics(model)
    links, frames = kinematics.link_poses(position), kinematics.frame_poses(position)
    result = [Body(p.mesh.moved(links[p.link]), MATERIALS[p.material]) for p in scene.parts]
    result += [Body(part.pad.moved(frames[taxel.frame]), _TOUCH)
               for taxel, part in zip(model.taxels, scene.taxels, strict=True)]
    palm = np.concatenate([p.mesh.vertices for p in scene.parts if p.link == model.palm])
    low, centre = float(palm[:, 2].min()), (palm.min(axis=0) + palm.max(axis=0)) / 2
    place = np.eye(4)
    place[:3, 3] = centre[0], centre[1], low
    post = solids.rounded_cylinder(0.013, 0.046, 0.001, 8)
    foot = solids.lathe([(0.044, -0.044), (0.046, -0.043), (0.046, -0.040), (0.043, -0.037), (0.016, -0.034)], 64)
    up = np.eye(4)
    up[2, 3] = -0.02
    return [*result, Body(post.moved(place @ up), MATERIALS[METAL]), Body(foot.moved(place), MATERIALS[GRIP])]


def framed(points: Array, towards: Array, width: int, height: int) -> Camera:
    """A camera in a direction from which points (n, 3) just fill the picture."""
    axes, centre, distance = raster.axes_of(-towards), points.mean(axis=0), 1.0
    half = np.tan(_ANGLE / 2)
    for _ in range(12):
        local = (points - centre) @ axes.T
        x, y = (local[:, k] / (local[:, 2] + distance) for k in (0, 1))
        middle = np.array([x.max() + x.min(), y.max() + y.min()]) / 2 * distance
        centre = centre + axes[:2].T @ middle
        distance *= max(np.ptp(y) / (2 * half), np.ptp(x) / (2 * half) * height / width) / _FILL
    eye = centre + towards / np.linalg.norm(towards) * distance
    return Camera(_row(eye), _row(centre), float(_ANGLE), width, height)


def picture(model: HandModel, pose: str, width: int, height: int) -> NDArray[np.uint8]:
    """A hand at a named pose, 8-bit sRGB, (height, width, 3); left hands are seen and lit from the other side.

    Raises:
        UnknownName: no such pose.
    """
    parts = bodies(model, model.pose(pose))
    points = np.concatenate([b.mesh.vertices for b in parts])
    left = model.side == 'left'
    towards = np.array(_VIEW) * [1, -1 if left else 1, 1]
    return studio.render(parts, framed(points, towards, width, height), float(points[:, 2].min()), mirror=left)


def shown_poses(model: HandModel) -> tuple[str, ...]:
    """The poses of :data:`SHOWN` that a hand has."""
    return tuple(next(name for name in row if name in model.poses) for row in SHOWN)


def _row(values: Array) -> tuple[float, float, float]:
    x, y, z = (float(v) for v in values)
    return (x, y, z)


def _save(job: tuple[str, str, int, int, str]) -> str:
    name, pose, width, height, path = job
    model, _, side = name.rpartition('_')
    _images().fromarray(picture(load_hand(model, side), pose, width, height)).save(path)
    return path


def _images() -> Any:
    try:
        from PIL import Image
    except ImportError as error:
        raise MissingDependency(f'pictures need the package pillow ({error}). Install it with: {INSTALL}') from error
    return Image


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point; returns the exit code (2 with one sentence for a hand or pose that does not exist)."""
    parser = argparse.ArgumentParser(prog='pictures', description=__doc__)
    parser.add_argument('out', type=Path, help='folder for the pictures, <hand>_<pose>.png')
    parser.add_argument('--hand', action='append', help='e.g. v4_left; may be repeated (default: every hand)')
    parser.add_argument('--pose', action='append', help='named pose; may be repeated (default: at rest and grasping)')
    parser.add_argument('--size', default='800x1000', help='pixels, WIDTHxHEIGHT (default: %(default)s)')
    parser.add_argument('--sheet', type=Path, help='also put all of them, small, on one sheet, e.g. hands.webp')
    parser.add_argument('--jobs', type=int, default=os.cpu_count() or 1, help='processes (default: %(default)s)')
    given = parser.parse_args(argv)
    try:
        _make(given)
    except AllegroError as error:
        print(f'{parser.prog}: {error}', file=sys.stderr)
        return 2
    return 0


def _make(given: argparse.Namespace) -> None:
    names = given.hand or available_hands()
    models = {name: load_hand(*name.rpartition('_')[::2]) for name in names}
    poses = {name: given.pose or shown_poses(model) for name, model in models.items()}
    for name, model in models.items():
        for pose in poses[name]:
            model.pose(pose)  # refused before anything is computed
    try:
        width, height = (int(v) for v in given.size.split('x'))
    except ValueError:
        width = height = 0
    if not (16 <= width <= 4096 and 16 <= height <= 4096):
        raise ConfigError(f'picture size is {given.size!r}; allowed: WIDTHxHEIGHT in pixels, 16 … 4096 each, '
                          'e.g. 800x1000')
    given.out.mkdir(parents=True, exist_ok=True)
    jobs = [(name, pose, width, height, str(given.out / f'{name}_{pose}.png')) for name in names
            for pose in poses[name]]
    with ProcessPoolExecutor(given.jobs) if given.jobs > 1 else contextlib.nullcontext() as pool:
        for path in pool.map(_save, jobs) if pool is not None else map(_save, jobs):
            print(path, flush=True)
    if given.sheet is not None:
        sheet([[path for name, _, _, _, path in jobs if name == hand] for hand in names], list(names), given.sheet)
        print(given.sheet)


def sheet(columns: Sequence[Sequence[str]], names: Sequence[str], path: Path) -> None:
    """Put pictures on one sheet: a column per hand model, its left hand below its right one, names below each.

    Args:
        columns: files of each hand.
        names: of the hands.
        path: where to write; the ending chooses the format.
    """
    from PIL import ImageDraw, ImageFont

    images = _images()
    models = list(dict.fromkeys(name.rpartition('_')[0] for name in names))
    sides = sorted({name.rpartition('_')[2] for name in names}, reverse=True)
    rows = max(len(files) for files in columns)
    size = (TILE[0] * len(models), (TILE[1] * rows + BAND) * len(sides))
    paper = images.new('RGB', size, 'white')
    pen, font = ImageDraw.Draw(paper), ImageFont.load_default(15)
    for files, name in zip(columns, names, strict=True):
        model, _, side = name.rpartition('_')
        x, y = TILE[0] * models.index(model), (TILE[1] * rows + BAND) * sides.index(side)
        for k, file in enumerate(files):
            with images.open(file) as image:
                small = image.convert('RGB')
                small.thumbnail(TILE, images.Resampling.LANCZOS)
                paper.paste(small, (x + (TILE[0] - small.width) // 2, y + TILE[1] * k))
        pen.text((x + TILE[0] / 2, y + TILE[1] * rows + BAND / 2), f'{model} {side}', '#444', font, anchor='mm')
    path.parent.mkdir(parents=True, exist_ok=True)
    paper.save(path, quality=84, method=6)


if __name__ == '__main__':
    sys.exit(main())
