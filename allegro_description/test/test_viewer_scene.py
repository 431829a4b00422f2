"""Laws of the scene: it agrees with the kinematics, its meshes are sound, its colours mean what they say."""

import numpy as np
import pytest
from allegro_description.errors import ConfigError, UnknownName
from allegro_description.kinematics import Kinematics, homogeneous, rotation
from allegro_description.meshes import solids
from allegro_description.meshes.hand import hand_pieces
from allegro_description.meshes.mesh import merged
from allegro_description.model import available_hands, load_hand
from allegro_description.viewer import colours, surface
from allegro_description.viewer.scene import HandScene, matrix_of, object_mesh, quaternion, turn_to
from hypothesis import given, settings
from hypothesis import strategies as st

HANDS = {name: load_hand(*name.rsplit('_', 1)) for name in available_hands()}
SCENES = {name: HandScene(hand) for name, hand in HANDS.items()}
TAXELS = [(name, k) for name, hand in HANDS.items() for k in range(len(hand.taxels))]


def world_poses(scene, position):
    """Compose the node tree the way a renderer does."""
    turned = dict(zip(scene.joint_paths, scene.joint_rotations(position), strict=True))
    poses = {'/hand': np.eye(4)}
    for node in scene.nodes:
        local = homogeneous(node.position, matrix_of(turned.get(node.path, node.wxyz)))
        poses[node.path] = poses[node.path.rsplit('/', 1)[0]] @ local
    return poses


@pytest.mark.parametrize('name', HANDS)
@settings(max_examples=8, deadline=None)
@given(st.integers(0, 2**32))
def test_every_node_is_where_forward_kinematics_says(name, seed):
    hand, scene = HANDS[name], SCENES[name]
    position = np.random.default_rng(seed).uniform(hand.lower, hand.upper)
    world, kinematics = world_poses(scene, position), Kinematics(hand)
    links, frames = kinematics.link_poses(position), kinematics.frame_poses(position)
    assert set(scene.link_paths) == set(links)
    assert set(scene.frame_paths) == set(frames)
    for frame, pose in (links | frames).items():
        np.testing.assert_allclose(world[scene.frame_path(frame)], pose, atol=1e-6)


@pytest.mark.parametrize('name', HANDS)
def test_every_part_hangs_below_the_link_it_belongs_to(name):
    scene = SCENES[name]
    for link, pieces in hand_pieces(HANDS[name]).items():
        own = [p for p in scene.parts if p.path.rsplit('/', 1)[0] == scene.link_paths[link]]
        assert [len(p.mesh.faces) for p in own] == [len(p.mesh.faces) for p in pieces]
    assert len({p.path for p in scene.parts}) == len(scene.parts)


@pytest.mark.parametrize(('name', 'index'), TAXELS)
def test_pads_lie_on_the_skin_and_follow_their_taxel(name, index):
    hand, scene = HANDS[name], SCENES[name]
    taxel, part = hand.taxels[index], scene.taxels[index]
    frame = next(f for f in hand.frames if f.name == taxel.frame)
    skin = merged(p.mesh for p in scene.parts if p.link == frame.parent)
    normal = np.array(taxel.normal)
    on_link = homogeneous(frame.xyz, rotation(frame.rpy))
    facing = on_link[:3, :3] @ normal
    top = part.pad.moved(on_link).vertices[:-28]  # without the underside of the rim
    height = (top - surface.project(skin, top, facing)) @ facing
    assert 0.0005 < height[0] < 0.001
    assert np.nanmin(height) > 0, 'part of the pad lies below the skin'
    assert np.nanmedian(height) < 0.001, 'the pad floats'
    assert np.isnan(height).mean() < 0.1, 'the pad hangs over the end of its link'
    bars = part.hatch.moved(on_link).vertices
    assert np.nanmin((bars - surface.project(skin, bars, facing)) @ facing) > 0.0005, 'hatching hidden below the skin'
    outward = part.pad.vertices[0] / np.linalg.norm(part.pad.vertices[0])
    assert outward @ normal > 0.999
    assert part.path.startswith(scene.frame_path(taxel.frame) + '/')


@pytest.mark.parametrize(('shape', 'size', 'volume'), [
    ('box', (0.05, 0.06, 0.07), 0.05 * 0.06 * 0.07),
    ('sphere', (0.05, 0.06, 0.07), np.pi / 6 * 0.05 * 0.06 * 0.07),
    ('cylinder', (0.05, 0.05, 0.07), np.pi / 4 * 0.05 * 0.05 * 0.07),
])
def test_objects_have_their_size(shape, size, volume):
    mesh = object_mesh(shape, size)
    assert mesh.open_edges == 0
    assert mesh.volume == pytest.approx(volume, rel=0.05)
    np.testing.assert_allclose(np.ptp(mesh.vertices, axis=0), size, rtol=1e-6)


@settings(max_examples=40, deadline=None)
@given(st.floats(-0.009, 0.009), st.floats(-0.009, 0.009))
def test_projection_meets_the_outermost_surface(x, y):
    inner, outer = solids.capsule(0.01, 0.0, 20), solids.capsule(0.02, 0.0, 20)
    turn = rotation((0.4, -0.3, 0.9))
    normal, points = turn[:, 2], np.array([[x, y, -0.5]]) @ turn.T
    hit = surface.project(merged([outer, inner]), points, normal)
    assert np.linalg.norm(hit) == pytest.approx(0.02, rel=0.01)
    assert (hit - points)[0] @ normal > 0.5
    missed = surface.project(inner, points + 0.05 * turn[:, 0], normal)
    assert np.isnan(missed).all()


def test_a_taxel_that_faces_no_surface_is_refused():
    away = homogeneous((0.0, 0.1, 0.0), np.eye(3))
    with pytest.raises(ConfigError, match="'lonely'"):
        surface.pad(solids.capsule(0.01, 0.0), away, (1, 0, 0), (0.005, 0.005), name='lonely')


@settings(max_examples=60, deadline=None)
@given(st.lists(st.floats(-3.1, 3.1), min_size=3, max_size=3))
def test_quaternions_are_rotations(rpy):
    matrix = rotation(tuple(rpy))
    np.testing.assert_allclose(matrix_of(quaternion(matrix)), matrix, atol=1e-9)
    if np.linalg.norm(rpy) > 1e-3:
        np.testing.assert_allclose(matrix_of(turn_to(np.array(rpy)))[:, 2], np.array(rpy) / np.linalg.norm(rpy),
                                   atol=1e-4)


def test_pressure_scale_rises_evenly_in_lightness():
    steps = np.diff(colours.lightness(colours.SCALE))
    assert (steps > 0).all(), 'a higher pressure must never look darker'
    assert steps.max() < 1.5 * steps.mean()


def test_taxel_colours_follow_pressure_and_validity():
    pressure = np.array([0.0, 25e3, 50e3, 80e3, np.nan, 25e3])
    valid = np.array([True, True, True, True, True, False])
    shown = colours.pressure_colours(pressure, valid, 50e3)
    light = colours.lightness(np.array(shown))
    assert light[0] < light[1] < light[2] == light[3]
    assert shown[4] == shown[5] == colours.INVALID
    assert colours.INVALID not in {tuple(c) for c in colours.SCALE.tolist()}


def test_unknown_names_are_refused_with_the_known_ones():
    with pytest.raises(UnknownName, match='sphere'):
        object_mesh('teapot', (0.1, 0.1, 0.1))
    with pytest.raises(UnknownName, match='link_3_0_tip'):
        SCENES['v5_sense_right'].frame_path('link_3_0_tipp')
