"""Laws of the pictures: the raster finds the nearest surface, light behaves like light, left mirrors right."""

import numpy as np
import pytest
from allegro_description.kinematics import homogeneous
from allegro_description.meshes import solids
from allegro_description.meshes.materials import MATERIALS, SHELL, SOFT
from allegro_description.model import available_hands, load_hand
from allegro_description.share import share_dir
from allegro_description.viewer import pictures, raster, studio
from allegro_description.viewer.raster import Camera
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip('PIL')


@pytest.fixture
def quick(monkeypatch):
    """Fewer lamps and coarser shadows than a picture for people needs."""
    monkeypatch.setattr(studio, '_MAP', 120)
    monkeypatch.setattr(studio, '_SKY', 8)
    monkeypatch.setattr(studio, 'BOXES', tuple(studio.SoftBox(b.towards, b.spread, b.power, 3) for b in studio.BOXES))


@settings(max_examples=60, deadline=None)
@given(st.lists(st.floats(-5, 45), min_size=6, max_size=6), st.integers(0, 2**32))
def test_the_raster_agrees_with_the_definition(corners, seed):
    """Pixel by pixel: inside exactly where the centre lies on the inner side of all three edges."""
    picture = np.array(corners).reshape(3, 2)
    near = np.random.default_rng(seed).uniform(1, 2, 3)
    a, b, c = picture
    turn = (b - a)[0] * (c - a)[1] - (b - a)[1] * (c - a)[0]
    if abs(turn) < 1.0:
        return
    faces = np.array([[0, 1, 2]], dtype=np.int32)
    index, depth = raster.cover(raster.flatten(picture, near, faces, front=False), 40, 30)
    x, y = np.meshgrid(np.arange(40) + 0.5, np.arange(30) + 0.5)
    shares = [((q - p)[0] * (y - p[1]) - (q - p)[1] * (x - p[0])) / turn for p, q in ((b, c), (c, a), (a, b))]
    margin = np.min(shares, axis=0)
    assert (index[margin > 1e-6] == 0).all()
    assert (index[margin < -1e-6] == -1).all()
    inside = index == 0
    expected = sum(s * n for s, n in zip(shares, near, strict=True))
    np.testing.assert_allclose(depth[inside], expected[inside], atol=1e-6)
    assert np.isneginf(depth[~inside]).all()
    assert (raster.cover(raster.flatten(picture, near, faces), 40, 30)[0] >= 0).any() == (turn < 0 and inside.any())


def test_the_nearest_surface_is_seen():
    camera = Camera((1.0, 0.0, 0.0), (0.0, 0.0, 0.0), np.radians(20), 60, 60)
    for order in ((0.1, -0.1), (-0.1, 0.1)):
        balls = [solids.capsule(0.05, 0.0).moved(homogeneous((x, 0.0, 0.0), np.eye(3))) for x in order]
        vertices = np.concatenate([b.vertices for b in balls])
        faces = np.concatenate([balls[0].faces, balls[1].faces + len(balls[0].vertices)]).astype(np.int32)
        index, _ = raster.cover(raster.flatten(*camera.project(vertices), faces), 60, 60)
        facets = raster.flatten(*camera.project(vertices), faces)
        seen = vertices[facets.faces[index[30, 30]], 0].mean()
        assert seen == pytest.approx(0.15, abs=0.01)


def test_rays_and_projection_are_inverse():
    camera = Camera((0.5, 0.3, 0.2), (0.0, 0.1, 0.0), np.radians(25), 40, 30)
    points = camera.eye + camera.rays().reshape(-1, 3) * 0.7
    picture, near = camera.project(points)
    x, y = np.meshgrid(np.arange(40) + 0.5, np.arange(30) + 0.5)
    np.testing.assert_allclose(picture, np.stack([x, y], axis=-1).reshape(-1, 2), atol=1e-9)
    assert (near > 0).all()


def test_a_roof_shades_what_is_below_it(quick):
    table = solids.rounded_box((0.3, 0.3, 0.01), 0.001)
    roof = solids.rounded_box((0.14, 0.14, 0.01), 0.001).moved(homogeneous((0.0, 0.0, 0.06), np.eye(3)))
    camera = Camera((0.9, 0.0, 0.25), (0.0, 0.0, 0.0), np.radians(25), 60, 40)
    finish = MATERIALS[SHELL]
    bare, covered = (studio.render([studio.Body(m, finish) for m in parts], camera, -0.02).astype(int)
                     for parts in ([table], [table, roof]))
    at = camera.project(np.array([[0.0, 0.0, 0.006], [0.0, -0.13, 0.006]]))[0].astype(int)
    below, beside = (np.abs(bare[y, x] - covered[y, x]).mean() for x, y in at)
    assert covered[at[0][1], at[0][0]].mean() < 0.75 * bare[at[0][1], at[0][0]].mean()
    assert below > 4 * beside


def test_a_bright_material_is_brighter_and_nothing_depends_on_chance(quick):
    ball = solids.capsule(0.05, 0.0)
    camera = Camera((1.0, 0.0, 0.2), (0.0, 0.0, 0.0), np.radians(14), 30, 30)
    dark, bright = (studio.render([studio.Body(ball, MATERIALS[name])], camera, -0.05) for name in (SHELL, SOFT))
    assert dark[15, 15].mean() < 0.6 * bright[15, 15].mean()
    assert np.array_equal(dark, studio.render([studio.Body(ball, MATERIALS[SHELL])], camera, -0.05))
    assert (dark[0, 0] > 200).all(), 'the paper is white'


@pytest.mark.parametrize('model', ['v4', 'plexus'])
def test_the_left_picture_mirrors_the_right_one(quick, model):
    right, left = (pictures.picture(load_hand(model, side), 'home', 66, 80).astype(int) for side in ('right', 'left'))
    hand = (right < 150).all(axis=2)
    assert 0.1 < hand.mean() < 0.7, 'the hand fills the picture'
    assert np.abs(right - left[:, ::-1]).mean() < 3.0
    assert np.abs(right - left).mean() > 10.0, 'the picture itself is not symmetric'


@pytest.mark.parametrize('name', available_hands())
def test_every_hand_has_poses_to_show_and_a_camera_that_holds_it(name):
    model = load_hand(*name.rpartition('_')[::2])
    shown = pictures.shown_poses(model)
    assert len(shown) == len(set(shown)) == len(pictures.SHOWN)
    points = np.concatenate([b.mesh.vertices for b in pictures.bodies(model, model.pose(shown[1]))])
    camera = pictures.framed(points, np.array([0.6, 0.5, 0.2]), 66, 80)
    picture, near = camera.project(points)
    assert (near > 0).all()
    assert (picture >= 0).all()
    assert (picture <= [66, 80]).all()
    assert (np.ptp(picture, axis=0) / [66, 80]).max() > 0.85


def test_the_committed_sheet_is_small_and_shows_every_hand():
    from PIL import Image

    path = share_dir() / 'pictures' / 'hands.webp'
    if not path.is_file():
        pytest.skip('installed without pictures')
    assert path.stat().st_size < 400e3
    names = available_hands()
    columns, sides = len({n.rpartition('_')[0] for n in names}), len({n.rpartition('_')[2] for n in names})
    with Image.open(path) as image:
        tall = sides * (len(pictures.SHOWN) * pictures.TILE[1] + pictures.BAND)
        assert image.size == (columns * pictures.TILE[0], tall), (
            'hands came or went: python -m allegro_description.viewer.pictures OUT --size 330x400 --sheet ' + str(path))


def test_the_command_writes_pictures_and_a_sheet(quick, tmp_path, capsys):
    sheet = tmp_path / 'sheet.png'
    options = ['--hand', 'v5_3f_right', '--pose', 'home', '--size', '33x40', '--jobs', '1', '--sheet', str(sheet)]
    assert pictures.main([str(tmp_path), *options]) == 0
    from PIL import Image

    with Image.open(tmp_path / 'v5_3f_right_home.png') as image:
        assert image.size == (33, 40)
    with Image.open(sheet) as image:
        assert image.size == (pictures.TILE[0], pictures.TILE[1] + pictures.BAND)
    assert str(sheet) in capsys.readouterr().out


@pytest.mark.parametrize(('options', 'sentence'), [
    (['--hand', 'v9_right'], "unknown hand 'v9_right'"), (['--pose', 'hme'], "Did you mean 'home'"),
    (['--size', 'large'], 'WIDTHxHEIGHT'), (['--size', '9x5000'], '16 … 4096'),
])
def test_the_command_refuses_in_one_sentence(options, sentence, tmp_path, capsys):
    assert pictures.main([str(tmp_path / 'new'), *options]) == 2
    assert sentence in capsys.readouterr().err
    assert not (tmp_path / 'new').exists()
