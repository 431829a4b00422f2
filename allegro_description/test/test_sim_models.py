"""URDF text, MuJoCo model and numpy kinematics are the same hand, and a physical one."""

from xml.etree import ElementTree

import mujoco
import numpy as np
import pytest
from allegro_description.errors import ConfigError, UnknownName
from allegro_description.kinematics import Kinematics, axis_rotation, homogeneous, rotation
from allegro_description.mjcf import Scene, build_mjcf
from allegro_description.model import load_hand
from allegro_description.simulation.objects import SHAPES, ObjectSpec
from allegro_description.simulation.plant import Plant
from allegro_description.urdf import build_urdf
from hypothesis import given, settings
from hypothesis import strategies as st

HAND = load_hand()
FRAMES = [f.name for f in HAND.frames]
KINEMATICS = Kinematics(HAND)
MODEL = mujoco.MjModel.from_xml_string(build_mjcf(HAND))
URDF = ElementTree.fromstring(build_urdf(HAND))
SPHERE = ObjectSpec('sphere', (0.03,), 0.1)


def numbers(text):
    return tuple(float(v) for v in text.split())


def urdf_frame(root, joints, name, prefix=''):
    """Pose of a link in the palm frame, read from URDF text alone; shares no tree code with the package."""
    pose, link = np.eye(4), prefix + name
    by_child = {j.find('child').get('link'): j for j in root.iter('joint')}
    while link in by_child:
        joint = by_child[link]
        origin = joint.find('origin')
        step = homogeneous(numbers(origin.get('xyz')), rotation(numbers(origin.get('rpy'))))
        if joint.get('type') == 'revolute':
            turn = axis_rotation(numbers(joint.find('axis').get('xyz')), joints[joint.get('name')])
            step = step @ homogeneous((0, 0, 0), turn)
        pose, link = step @ pose, joint.find('parent').get('link')
    assert link == prefix + HAND.palm
    return pose


def mujoco_frames(position):
    data = mujoco.MjData(MODEL)
    for name, angle in zip(HAND.joint_names, position, strict=True):
        data.joint(name).qpos[0] = angle
    mujoco.mj_kinematics(MODEL, data)
    return {n: homogeneous(data.site(n).xpos, data.site(n).xmat.reshape(3, 3)) for n in FRAMES}


def unit_box():
    return st.lists(st.floats(0, 1), min_size=len(HAND.joints), max_size=len(HAND.joints))


@settings(max_examples=25, deadline=None)
@given(unit_box())
def test_urdf_mujoco_and_numpy_agree_on_every_frame(share):
    low, high = np.array([j.urdf_range for j in HAND.joints]).T
    q = low + np.array(share) * (high - low)
    angles = dict(zip(HAND.joint_names, q, strict=True))
    ours, theirs = KINEMATICS.frame_poses(q), mujoco_frames(q)
    for name in FRAMES:
        np.testing.assert_allclose(theirs[name], ours[name], atol=1e-9)
        np.testing.assert_allclose(urdf_frame(URDF, angles, name), ours[name], atol=1e-9)


@pytest.mark.parametrize(('pose', 'index', 'middle', 'ring', 'thumb'), [
    ('zero', (0, 42.5, 137.82), (0, -0.9, 140.06), (0, -42.5, 137.82), (1, 161.71, -81.87)),
    ('mid', (90.18, 47.58, 4.10), (90.18, -0.9, 6.9), (90.18, -47.58, 4.10), (90.36, 25.15, -12.5)),
])
def test_published_tip_positions(pose, index, middle, ring, thumb):
    """Derived from the vendor's V5 Sense right files, mm; ``mid`` is the middle of the vendor's ranges."""
    q = np.zeros(16) if pose == 'zero' else np.array([sum(j.urdf_range) / 2 for j in HAND.joints])
    tips = [f.tip for f in HAND.fingers]
    expected = np.array([index, middle, ring, thumb]) / 1e3
    np.testing.assert_allclose(KINEMATICS.tip_positions(q), expected, atol=1e-4)
    angles = dict(zip(HAND.joint_names, q, strict=True))
    np.testing.assert_allclose([urdf_frame(URDF, angles, t)[:3, 3] for t in tips], expected, atol=1e-4)
    np.testing.assert_allclose([mujoco_frames(q)[t][:3, 3] for t in tips], expected, atol=1e-4)


def physical(moments):
    low, middle, high = np.sort(moments)
    return low > 0 and low + middle >= high * (1 - 1e-9)


def test_masses_and_inertias_are_physical_everywhere():
    for link in HAND.links:
        ixx, iyy, izz, ixy, ixz, iyz = link.inertia
        tensor = np.array([[ixx, ixy, ixz], [ixy, iyy, iyz], [ixz, iyz, izz]])
        assert physical(np.linalg.eigvalsh(tensor)), link.name
        body = MODEL.body(link.name)
        assert float(body.mass[0]) == pytest.approx(link.mass)
        assert physical(body.inertia), link.name
        np.testing.assert_allclose(np.sort(body.inertia), np.linalg.eigvalsh(tensor), rtol=1e-6)
        element = next(e for e in URDF.iter('link') if e.get('name') == link.name).find('inertial')
        assert float(element.find('mass').get('value')) == link.mass
        assert float(element.find('inertia').get('iyz')) == iyz


@pytest.mark.parametrize('pose', ['zero', 'home', 'pregrasp'])
def test_the_hand_does_not_touch_itself(pose):
    plant = Plant(HAND)
    plant.reset(HAND.pose(pose))
    assert plant.data.ncon == 0


def test_fingers_still_collide_with_thumb_and_each_other():
    plant = Plant(HAND)
    q = HAND.pose('home').copy()
    q[12:] = [1.4, 0.4, 1.4, 1.2]
    q[0:4] = [0, 1.3, 1.2, 0.8]
    plant.reset(q)
    pairs = {tuple(sorted(MODEL.geom(g).name.split('_')[1] for g in pair)) for pair in plant.data.contact.geom}
    assert any({'14', '15'} & set(p) and {'2', '3'} & set(p) for p in pairs), pairs


def test_urdf_is_one_tree_with_our_limits_and_the_clamp_torque():
    children = [j.find('child').get('link') for j in URDF.iter('joint')]
    links = [e.get('name') for e in URDF.iter('link')]
    assert len(children) == len(set(children)) == len(links) - 1
    assert set(links) - set(children) == {HAND.palm}
    for joint, torque in zip(HAND.joints, HAND.torque_limit, strict=True):
        limit = next(j for j in URDF.iter('joint') if j.get('name') == joint.name).find('limit')
        assert (float(limit.get('lower')), float(limit.get('upper'))) == (joint.lower, joint.upper)
        assert float(limit.get('effort')) == pytest.approx(torque, abs=1e-6)
    kinds = {g[0].tag for g in URDF.iter('geometry')}
    assert kinds <= {'box', 'cylinder', 'sphere'}


def test_prefix_separates_two_hands():
    left, right = (ElementTree.fromstring(build_urdf(HAND, p)) for p in ('a_', 'b_'))
    names = [{e.get('name') for e in root.iter() if e.tag in ('link', 'joint')} for root in (left, right)]
    assert not names[0] & names[1]
    q = dict.fromkeys(('a_' + n for n in HAND.joint_names), 0.2)
    expected = KINEMATICS.frame_poses(np.full(16, 0.2))['link_15_0_tip']
    np.testing.assert_allclose(urdf_frame(left, q, 'link_15_0_tip', 'a_'), expected, atol=1e-9)


def test_mjcf_refuses_what_it_cannot_build():
    with pytest.raises(UnknownName, match='torque, position'):
        build_mjcf(HAND, actuation='velocity')
    with pytest.raises(ConfigError, match='timestep'):
        build_mjcf(HAND, timestep=0.1)
    with pytest.raises(UnknownName, match='sphere'):
        ObjectSpec('torus', (0.1,), 0.1)
    with pytest.raises(ConfigError, match='needs 3'):
        ObjectSpec('box', (0.1,), 0.1)
    with pytest.raises(ConfigError, match='positive'):
        ObjectSpec('sphere', (0.03,), float('nan'))


@pytest.mark.parametrize('shape', SHAPES)
def test_object_inertia_is_that_of_the_uniform_solid(shape):
    size = {'sphere': (0.03,), 'box': (0.03, 0.05, 0.07), 'ellipsoid': (0.02, 0.03, 0.04)}.get(shape, (0.02, 0.08))
    spec = ObjectSpec(shape, size, 0.2)
    half = {'box': [v / 2 for v in size], 'sphere': size, 'ellipsoid': size}.get(shape, (size[0], size[-1] / 2))
    xml = (f'<mujoco><worldbody><body name="b"><freejoint/><geom type="{shape}" mass="0.2" '
           f'size="{" ".join(str(v) for v in half)}"/></body></worldbody></mujoco>')
    body = mujoco.MjModel.from_xml_string(xml).body('b')
    np.testing.assert_allclose(np.sort(spec.inertia), np.sort(body.inertia), rtol=1e-6)
    built = mujoco.MjModel.from_xml_string(build_mjcf(HAND, scene=Scene(spec)))
    assert float(built.body('object').mass[0]) == pytest.approx(0.2)


@pytest.mark.parametrize('shape', SHAPES)
def test_support_height_and_surface_points_match_the_collision_shape(shape):
    size = {'sphere': (0.03,), 'box': (0.03, 0.05, 0.07), 'ellipsoid': (0.02, 0.03, 0.04)}.get(shape, (0.02, 0.08))
    spec = ObjectSpec(shape, size, 0.2)
    rng = np.random.default_rng(5)
    quat = rng.normal(size=4)
    quat /= np.linalg.norm(quat)
    turn = np.zeros(9)
    mujoco.mju_quat2Mat(turn, quat)
    support = spec.support(turn.reshape(3, 3))
    # An object that floats by its support height minus 0.2 mm over the flat palm overlaps it by about 0.2 mm.
    plant = Plant(HAND, spec)
    plant.reset(HAND.pose('zero'), (np.array([0.010 + support - 0.0002, -0.01, -0.1]), quat))
    assert plant.object_penetration == pytest.approx(0.0002, abs=5e-5)
    half = np.array(spec.extent) / 2
    for _ in range(20):
        point = spec.surface_point(rng)
        assert (np.abs(point) <= half + 1e-12).all()
        assert np.linalg.norm(point) > 0.3 * half.min()
