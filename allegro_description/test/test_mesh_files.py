"""Mesh files hold the meshes, and the URDF names them."""

import os
import subprocess
import sys
from urllib.parse import unquote, urlparse
from xml.etree import ElementTree

import numpy as np
import pytest
from allegro_description.errors import ConfigError, UnknownName
from allegro_description.meshes import files, solids
from allegro_description.meshes.hand import hand_pieces
from allegro_description.meshes.materials import MATERIALS
from allegro_description.meshes.mesh import Mesh
from allegro_description.model import available_hands, load_hand
from allegro_description.robot_description import main
from allegro_description.urdf import build_urdf

PAINTED = solids.lathe([(0.01, 0.0), (0.02, 0.01), (0.02, 0.01), (0.005, 0.03)])


def read_obj(data):
    rows = [line.split() for line in data.decode().splitlines()]
    vertices = np.array([[float(v) for v in r[1:]] for r in rows if r[0] == 'v'])
    normals = np.array([[float(v) for v in r[1:]] for r in rows if r[0] == 'vn'])
    corners = [[[int(n) for n in c.split('//')] for c in r[1:]] for r in rows if r[0] == 'f']
    assert all(place == normal for face in corners for place, normal in face)
    return Mesh(vertices, np.array([[place - 1 for place, _ in face] for face in corners], dtype=np.int32)), normals


def read_stl(data):
    count = int.from_bytes(data[80:84], 'little')
    assert len(data) == 84 + 50 * count
    kind = np.dtype([('normal', '<f4', 3), ('corners', '<f4', (3, 3)), ('unused', '<u2')])
    rows = np.frombuffer(data, kind, count, 84)
    mesh = Mesh(rows['corners'].reshape(-1, 3).astype(float), np.arange(3 * count, dtype=np.int32).reshape(-1, 3))
    return mesh, rows['normal']


def test_files_hold_what_the_mesh_holds():
    mesh, normals = read_obj(files.obj_bytes(PAINTED))
    np.testing.assert_allclose(mesh.vertices, PAINTED.vertices, atol=1e-6)
    np.testing.assert_allclose(normals, PAINTED.normals, atol=1e-3)
    facets, facing = read_stl(files.stl_bytes(PAINTED))
    for read in (mesh, facets):
        assert read.volume == pytest.approx(PAINTED.volume, rel=1e-3)
        assert read.area == pytest.approx(PAINTED.area, rel=1e-3)
    unit = facets.face_normals / np.linalg.norm(facets.face_normals, axis=1, keepdims=True)
    np.testing.assert_allclose(facing, unit, atol=1e-3)
    trimesh = pytest.importorskip('trimesh')
    for kind, data in (('obj', files.obj_bytes(PAINTED)), ('stl', files.stl_bytes(PAINTED))):
        other = trimesh.load(trimesh.util.wrap_as_stream(data), file_type=kind, process=True, merge_norm=True)
        assert other.is_watertight, f'{kind}: another reader sees a hole'
        assert other.volume == pytest.approx(PAINTED.volume, rel=1e-3)


@pytest.mark.parametrize('name', available_hands())
def test_the_urdf_names_a_file_for_every_piece(name, tmp_path):
    model = load_hand(*name.rpartition('_')[::2])
    visuals = files.write_meshes(model, tmp_path / 'a folder', 'stl')
    assert sum(path.stat().st_size for path in (tmp_path / 'a folder' / name).iterdir()) < 2.5e6
    robot = ElementTree.fromstring(build_urdf(model, 'left_', visuals=visuals))
    plain = ElementTree.fromstring(build_urdf(model, 'left_'))
    colours = {m.get('name'): m.find('color').get('rgba') for m in robot.findall('material')}
    for link, pieces in hand_pieces(model).items():
        element = next(e for e in robot.iter('link') if e.get('name') == f'left_{link}')
        seen = element.findall('visual')
        assert len(seen) == len(pieces)
        for visual, piece in zip(seen, pieces, strict=True):
            uri = urlparse(visual.find('geometry/mesh').get('filename'))
            assert uri.scheme == 'file'
            with open(unquote(uri.path), 'rb') as file:
                assert read_stl(file.read())[0].volume == pytest.approx(piece.mesh.volume, rel=1e-3)
            colour = [float(v) for v in colours[visual.find('material').get('name')].split()]
            np.testing.assert_allclose(colour, MATERIALS[piece.material].rgba)

    def physics(tree):
        kept = ElementTree.fromstring(ElementTree.tostring(tree))
        for element in kept.iter('link'):
            for visual in element.findall('visual'):
                element.remove(visual)
        return [ElementTree.tostring(e).split() for e in kept if e.tag != 'material']

    assert physics(robot) == physics(plain), 'meshes must change nothing but what is seen'


def test_the_command_writes_once_and_takes_package_names(tmp_path, capsys, monkeypatch):
    options = ['--model', 'v5_3f', '--meshes', str(tmp_path), '--mesh-uri', 'package://robot/meshes/']
    assert main(options) == 0
    urdf = ElementTree.fromstring(capsys.readouterr().out)
    names = {m.get('filename') for m in urdf.iter('mesh')}
    written = sorted((tmp_path / 'v5_3f_right').iterdir())
    assert names == {f'package://robot/meshes/v5_3f_right/{path.name}' for path in written}
    first = [(path.stat().st_mtime_ns, path.read_bytes()) for path in written]
    assert main(options) == 0
    assert [(path.stat().st_mtime_ns, path.read_bytes()) for path in written] == first
    written[0].write_bytes(b'damaged')
    assert main(options) == 0
    assert written[0].read_bytes() == first[0][1]
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path / 'cache'))
    assert main(['--model', 'v5_3f', '--meshes', 'cache']) == 0
    assert list((tmp_path / 'cache').rglob('*.obj'))


def test_what_cannot_be_done_is_said_in_one_sentence(tmp_path, capsys):
    with pytest.raises(UnknownName, match='obj, stl'):
        files.write_meshes(load_hand(), tmp_path, 'dae')
    blocked = tmp_path / 'file'
    blocked.write_text('')
    with pytest.raises(ConfigError, match='choose another folder'):
        files.write_meshes(load_hand(), blocked)
    assert main(['--meshes', str(blocked)]) == 2
    assert 'cannot be written' in capsys.readouterr().err


def test_without_meshes_nothing_is_written(tmp_path):
    command = [sys.executable, '-m', 'allegro_description.robot_description']
    urdf = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True, cwd=tmp_path,
                          env=os.environ | {'XDG_CACHE_HOME': str(tmp_path)}).stdout
    assert '<mesh' not in urdf
    assert not list(tmp_path.iterdir())
