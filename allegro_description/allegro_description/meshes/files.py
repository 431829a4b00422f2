"""The meshes of a hand as files, for programs that read a URDF: OBJ (smooth edges) or STL (read by everything).

Nothing is stored in the repository: writing all files of a hand takes about half a second, and a stored copy could only
be out of date. Files that already hold the same bytes are left alone.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from allegro_description.errors import ConfigError, UnknownName
from allegro_description.meshes.hand import hand_pieces
from allegro_description.meshes.materials import MATERIALS
from allegro_description.meshes.mesh import Mesh
from allegro_description.model import HandModel
from allegro_description.urdf import Visual

FORMATS = ('obj', 'stl')
#: Stands for a folder of this user on command lines.
CACHE = 'cache'
_LEAST_AREA = 1e-12  # m²; thinner triangles are seams where rings meet


def folder_named(text: str) -> Path:
    """The folder that a command line means: a path, or :data:`CACHE` for this user's files that can be made again."""
    if text != CACHE:
        return Path(text).expanduser()
    return Path(os.environ.get('XDG_CACHE_HOME') or Path.home() / '.cache') / 'allegro_description' / 'meshes'


def write_meshes(
    model: HandModel, folder: Path, kind: str = 'obj', uri: Callable[[Path], str] | None = None,
) -> dict[str, tuple[Visual, ...]]:
    """Write ``<folder>/<hand>/<link>_<material>.<kind>`` for a whole hand.

    Args:
        model: the hand.
        folder: where; made if absent.
        kind: ``obj`` or ``stl``.
        uri: how a URDF names a file, from its path relative to ``folder``; by default ``file://`` and the full path.

    Returns:
        What :func:`~allegro_description.urdf.build_urdf` takes as ``visuals``: per link its files and materials.

    Raises:
        UnknownName: another kind.
        ConfigError: the folder cannot be written.
    """
    if kind not in FORMATS:
        raise UnknownName('mesh format', kind, FORMATS)
    result: dict[str, tuple[Visual, ...]] = {}
    for link, pieces in hand_pieces(model).items():
        visuals = []
        for piece in pieces:
            path = Path(model.name) / f'{link}_{piece.material}.{kind}'
            _put(folder / path, obj_bytes(piece.mesh) if kind == 'obj' else stl_bytes(piece.mesh))
            name = (folder / path).resolve().as_uri() if uri is None else uri(path)
            visuals.append(Visual(name, piece.material, MATERIALS[piece.material].rgba))
        result[link] = tuple(visuals)
    return result


def obj_bytes(mesh: Mesh) -> bytes:
    """Wavefront OBJ with vertex normals; m, to the micrometre."""
    faces = _solid_faces(mesh) + 1
    lines: Iterator[str] = (
        row for rows in (
            (f'v {x:.6f} {y:.6f} {z:.6f}' for x, y, z in mesh.vertices),
            (f'vn {x:.3f} {y:.3f} {z:.3f}' for x, y, z in mesh.normals),
            (f'f {a}//{a} {b}//{b} {c}//{c}' for a, b, c in faces),
        ) for row in rows)
    return ('\n'.join(lines) + '\n').encode()


def stl_bytes(mesh: Mesh) -> bytes:
    """Binary STL, m."""
    faces = _solid_faces(mesh)
    record = np.zeros(len(faces), dtype=[('normal', '<f4', 3), ('corners', '<f4', (3, 3)), ('unused', '<u2')])
    corners = mesh.vertices[faces]
    normal = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    record['normal'] = normal / np.linalg.norm(normal, axis=1, keepdims=True)
    record['corners'] = corners
    return b'binary STL, metres'.ljust(80) + len(faces).to_bytes(4, 'little') + record.tobytes()


def _solid_faces(mesh: Mesh) -> NDArray[np.int32]:
    return np.asarray(mesh.faces[np.linalg.norm(mesh.face_normals, axis=1) > _LEAST_AREA])


def _put(path: Path, data: bytes) -> None:
    """Write a file as a whole, so that a reader never sees half of it."""
    try:
        if path.is_file() and path.read_bytes() == data:
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        draft = path.with_name(f'.{path.name}.{os.getpid()}')
        draft.write_bytes(data)
        draft.replace(path)
    except OSError as error:
        raise ConfigError(f'mesh file {path} cannot be written ({error.strerror}); choose another folder, or leave '
                          'meshes empty for plain shapes') from error
