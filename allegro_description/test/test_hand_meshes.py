"""Laws of the hands' meshes: closed, near the collision shapes, symmetric, small, the same on every run."""

import hashlib

import numpy as np
import pytest
from allegro_description.kinematics import Kinematics
from allegro_description.meshes.anatomy import bones, extent
from allegro_description.meshes.hand import hand_pieces
from allegro_description.meshes.materials import MATERIALS, SOFT
from allegro_description.meshes.mesh import merged
from allegro_description.model import available_hands, load_hand

HANDS = available_hands()
PIECES = {name: hand_pieces(load_hand(*name.rsplit('_', 1))) for name in HANDS}
#: How far cheeks, caps, plates and pads may stand out of the collision shapes of their link, and of the palm's, m.
PROUD, PALM_PROUD = 0.006, 0.019
#: Largest radius around the next hinge, which may lie beyond the collision shapes, m.
HINGE = 0.0125
BUDGET = 40_000


def model_of(name):
    return load_hand(*name.rsplit('_', 1))


@pytest.mark.parametrize('name', HANDS)
def test_every_link_has_closed_pieces_of_known_materials(name):
    model = model_of(name)
    assert set(PIECES[name]) == {link.name for link in model.links if link.shapes}
    for link, pieces in PIECES[name].items():
        assert pieces, link
        assert len({p.material for p in pieces}) == len(pieces)
        for piece in pieces:
            assert piece.material in MATERIALS
            assert piece.mesh.open_edges == 0, f'{link}: {piece.material}'
            assert piece.mesh.volume > 0, f'{link}: {piece.material} is inside out'
            assert np.isfinite(piece.mesh.vertices).all()
    soft = [link for link, pieces in PIECES[name].items() if any(p.material == SOFT for p in pieces)]
    assert len(soft) == len(model.fingers), 'one soft tip per finger'


@pytest.mark.parametrize('name', HANDS)
def test_what_is_seen_is_near_what_collides(name):
    model = model_of(name)
    for link in model.links:
        if not link.shapes:
            continue
        mesh = merged(p.mesh for p in PIECES[name][link.name])
        low, high = extent(link.shapes, np.eye(4))
        if link.name != model.palm:
            pivots = np.array([(0.0, 0.0, 0.0), *(j.xyz for j in model.joints if j.parent == link.name)])
            low = np.minimum(low, pivots.min(axis=0) - HINGE)
            high = np.maximum(high, pivots.max(axis=0) + HINGE)
        proud = PALM_PROUD if link.name == model.palm else PROUD
        beyond = np.maximum(low - mesh.vertices, mesh.vertices - high).max()
        assert beyond < proud, f'{link.name}: {beyond * 1e3:.1f} mm outside of its collision shapes'
        size, seen = np.subtract(*extent(link.shapes, np.eye(4))[::-1]), np.ptp(mesh.vertices, axis=0)
        assert (seen > 0.4 * size).all(), f'{link.name}: {seen} m of {size} m'


@pytest.mark.parametrize('name', HANDS)
def test_soft_tips_have_the_sensorised_length(name):
    """Each soft tip ends where its collision shape ends, and is as wide."""
    model = model_of(name)
    for link, bone in bones(model).items():
        if bone.dome is None:
            continue
        mesh = next(p.mesh for p in PIECES[name][link] if p.material == SOFT)
        local = (mesh.vertices @ bone.frame[:3, :3])
        radius = bone.dome.size[0]
        half = bone.dome.size[1] / 2 if len(bone.dome.size) > 1 else 0.0
        assert local[:, 2].max() == pytest.approx(bone.dome.xyz[2] + half + radius, abs=1e-6)
        assert np.ptp(local[:, 2]) > 2 * radius + 2 * half - 0.003
        np.testing.assert_allclose(np.ptp(local[:, :2], axis=0), 2 * radius, rtol=0.02)


def placed(name, pose='home'):
    """Per link at a named pose: box (low, high) around its origin, surface, volume."""
    model = model_of(name)
    where = Kinematics(model).link_poses(model.pose(pose))
    rows = {}
    for link, pieces in PIECES[name].items():
        mesh = merged(p.mesh for p in pieces)
        turned = mesh.vertices @ where[link][:3, :3].T
        rows[link] = (turned.min(axis=0), turned.max(axis=0), mesh.area, mesh.volume)
    return rows


def assert_mirrored(first, second, axis, tolerance):
    (low, high, area, volume), (other_low, other_high, other_area, other_volume) = first, second
    swap = np.arange(3) == axis
    np.testing.assert_allclose(other_low, np.where(swap, -high, low), atol=tolerance)
    np.testing.assert_allclose(other_high, np.where(swap, -low, high), atol=tolerance)
    assert other_area == pytest.approx(area, rel=0.01)
    assert other_volume == pytest.approx(volume, rel=0.01)


def mirrors(model):
    """Whether the left hand's fingers stand mirrored to the right hand's (the 3-finger hand has one geometry)."""
    ends = [Kinematics(m).tip_positions(m.pose('home')) for m in (model, load_hand(model.model, 'left'))]
    return np.allclose(ends[0] * [1, -1, 1], ends[1], atol=0.003)


@pytest.mark.parametrize('name', [n for n in HANDS if n.endswith('_right') and mirrors(model_of(n))])
def test_left_is_the_mirror_of_right(name):
    """Link by link. The palm follows the fingers, some of which the vendor does not mirror (up to 2.5 mm)."""
    right, left = placed(name), placed(name.replace('_right', '_left'))
    for link, rows in right.items():
        assert_mirrored(rows, left[link], 1, 0.0026 if link == model_of(name).palm else 1e-4)


@pytest.mark.parametrize('name', [n for n in HANDS if n.endswith('_right') and mirrors(model_of(n))])
def test_palms_are_mirrored_point_by_point(name):
    """Every part of the left palm is where the mirror shows it, but for fingers the vendor does not mirror."""
    right, left = (PIECES[n][model_of(n).palm] for n in (name, name.replace('_right', '_left')))
    assert [p.material for p in right] == [p.material for p in left]
    for one, other in zip(right, left, strict=True):
        assert len(one.mesh.vertices) == len(other.mesh.vertices), one.material
        wanted = one.mesh.vertices[::5] * [1, -1, 1]
        gap = np.linalg.norm(wanted[:, None] - other.mesh.vertices[None], axis=2).min(axis=1).max()
        assert gap < 0.0055, f'{one.material}: {gap * 1e3:.1f} mm off'


def test_a_hand_without_sides_is_its_own_mirror():
    name = 'v5_3f_right'
    assert not mirrors(model_of(name))
    index, middle = (model_of(name).fingers[k].joints for k in (0, 1))
    rows, model = placed(name, 'zero'), model_of(name)
    for first, second in zip(index, middle, strict=True):
        links = [model.joints[model.joint_index(j)].child for j in (first, second)]
        assert_mirrored(rows[links[0]], rows[links[1]], 0, 0.0015)


@pytest.mark.parametrize('name', HANDS)
def test_meshes_are_small_and_the_same_every_time(name):
    def digest(pieces):
        total = hashlib.sha256()
        for link, parts in sorted(pieces.items()):
            for p in parts:
                total.update(f'{link} {p.material}'.encode() + p.mesh.vertices.tobytes() + p.mesh.faces.tobytes())
        return total.hexdigest()

    assert sum(len(p.mesh.faces) for parts in PIECES[name].values() for p in parts) < BUDGET
    assert digest(hand_pieces(model_of(name))) == digest(PIECES[name])
