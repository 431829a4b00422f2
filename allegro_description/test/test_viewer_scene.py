"""Laws of the scene: it agrees with the kinematics, its meshes are sound, its colours mean what they say."""

import numpy as np
import pytest
from allegro_description.errors import ConfigError, UnknownName
from allegro_description.kinematics import Kinematics, homogeneous, rotation
from allegro_description.model import Shape, load_hand
from allegro_description.viewer import colours, meshes, surface
from allegro_description.viewer.scene import HandScene, matrix_of, object_mesh, quaternion, turn_to
from hypothesis import given, settings
from hypothesis import strategies as st

HAND = load_hand()
SCENE = HandScene(HAND)
FK = Kinematics(HAND)
ANGLES = st.lists(st.floats(0, 1), min_size=16, max_size=16).map(
    lambda share: HAND.lower + np.array(share) * (HAND.upper - HAND.lower))


def world_poses(position):
    """Compose the node tree the way a renderer does."""
    turned = dict(zip(SCENE.joint_paths, SCENE.joint_rotations(position), strict=True))
    poses = {'/hand': np.eye(4)}
    for node in SCENE.nodes:
        local = homogeneous(node.position, matrix_of(turned.get(node.path, node.wxyz)))
        poses[node.path] = poses[node.path.rsplit('/', 1)[0]] @ local
    return poses


@settings(max_examples=40, deadline=None)
@given(ANGLES)
def test_every_node_is_where_forward_kinematics_says(position):
    world = world_poses(position)
    links, frames = FK.link_poses(position), FK.frame_poses(position)
    assert set(SCENE.link_paths) == set(links)
    assert set(SCENE.frame_paths) == set(frames)
    for name, pose in (links | frames).items():
        np.testing.assert_allclose(world[SCENE.frame_path(name)], pose, atol=1e-6)


@pytest.mark.parametrize('index', range(len(HAND.taxels)))
def test_pads_lie_on_the_skin_and_follow_their_taxel(index):
    taxel, part = HAND.taxels[index], SCENE.taxels[index]
    frame = next(f for f in HAND.frames if f.name == taxel.frame)
    shapes = next(link.shapes for link in HAND.links if link.name == frame.parent)
    on_link = homogeneous(frame.xyz, rotation(frame.rpy))
    centre = part.pad.moved(on_link).vertices[:1]
    assert 0 < surface.distance(shapes, centre)[0] < 0.001
    outward = part.pad.vertices[0] / np.linalg.norm(part.pad.vertices[0])
    assert outward @ np.array(taxel.normal) > 0.999
    assert part.path.startswith(SCENE.frame_path(taxel.frame) + '/')
    gap = surface.distance(shapes, part.pad.moved(on_link).vertices)
    assert gap.max() < 0.0025, 'part of the pad floats'
    bars = surface.distance(shapes, part.hatch.moved(on_link).vertices)
    assert (bars > 0.0005).all(), 'hatching hidden below the skin'


@pytest.mark.parametrize(('mesh', 'volume'), [
    (meshes.capsule(0.01, 0.03), np.pi * 1e-4 * 0.03 + 4 / 3 * np.pi * 1e-6),
    (meshes.capsule(0.01, 0.0), 4 / 3 * np.pi * 1e-6),
    (meshes.rounded_cylinder(0.01, 0.02, 1e-4), np.pi * 1e-4 * 0.02),
    (meshes.rounded_box((0.05, 0.12, 0.146), 1e-4), 0.05 * 0.12 * 0.146),
    (object_mesh('box', (0.05, 0.06, 0.07)), 0.05 * 0.06 * 0.07),
    (object_mesh('sphere', (0.05, 0.06, 0.07)), np.pi / 6 * 0.05 * 0.06 * 0.07),
    (object_mesh('cylinder', (0.05, 0.05, 0.07)), np.pi / 4 * 0.05 * 0.05 * 0.07),
])
def test_meshes_are_closed_face_outwards_and_have_their_volume(mesh, volume):
    assert mesh.volume == pytest.approx(volume, rel=0.05)
    shifted = meshes.Mesh(mesh.vertices + np.array([1.0, 2.0, 3.0]), mesh.faces)
    assert shifted.volume == pytest.approx(mesh.volume, rel=1e-6), 'an open mesh has no volume of its own'


@settings(max_examples=50, deadline=None)
@given(st.lists(st.floats(0.01, 1), min_size=3, max_size=3))
def test_distance_agrees_with_the_drawn_mesh(direction):
    for shape in (Shape('box', (0.04, 0.03, 0.05)), Shape('capsule', (0.01, 0.03), (0.01, 0, 0), (0.3, 0.2, 0.1)),
                  Shape('sphere', (0.02,)), Shape('cylinder', (0.012, 0.03))):
        vertices = meshes.shape_mesh(shape).vertices
        assert np.abs(surface.distance([shape], vertices)).max() < 0.0012
        outside = 0.2 * np.array([direction]) / np.linalg.norm(direction)
        near = np.linalg.norm(vertices - outside, axis=1).min()
        assert surface.distance([shape], outside)[0] == pytest.approx(near, abs=0.006)


def test_a_taxel_that_faces_no_surface_is_refused():
    away = homogeneous((0.0, 0.1, 0.0), np.eye(3))
    with pytest.raises(ConfigError, match="'lonely'"):
        surface.pad([Shape('sphere', (0.01,))], away, (1, 0, 0), (0.005, 0.005), name='lonely')


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
        SCENE.frame_path('link_3_0_tipp')
