"""URDF text, MuJoCo model and numpy kinematics are the same hand, and a physical one."""

from dataclasses import replace
from functools import lru_cache
from xml.etree import ElementTree

import mujoco
import numpy as np
import pytest
from allegro_description.errors import ConfigError, UnknownName
from allegro_description.kinematics import Kinematics, axis_rotation, homogeneous, rotation
from allegro_description.mjcf import Scene, build_mjcf
from allegro_description.model import available_hands, load_hand
from allegro_description.simulation.objects import SHAPES, ObjectSpec
from allegro_description.simulation.plant import Plant
from allegro_description.urdf import build_urdf
from hypothesis import given, settings
from hypothesis import strategies as st

HANDS = available_hands()
HAND = load_hand()
SPHERE = ObjectSpec('sphere', (0.03,), 0.1)


class Three:
    """One hand in three shapes: numpy kinematics, MuJoCo model, URDF tree."""

    def __init__(self, name):
        self.hand = load_hand(*name.rsplit('_', 1))
        self.kinematics = Kinematics(self.hand)
        self.model = mujoco.MjModel.from_xml_string(build_mjcf(self.hand))
        self.urdf = ElementTree.fromstring(build_urdf(self.hand))
        self.frames = [f.name for f in self.hand.frames]

    def mujoco_frames(self, position):
        data = mujoco.MjData(self.model)
        for name, angle in zip(self.hand.joint_names, position, strict=True):
            data.joint(name).qpos[0] = angle
        mujoco.mj_kinematics(self.model, data)
        return {n: homogeneous(data.site(n).xpos, data.site(n).xmat.reshape(3, 3)) for n in self.frames}


@lru_cache
def three(name):
    return Three(name)


@pytest.fixture(params=HANDS)
def every(request):
    return three(request.param)


def numbers(text):
    return tuple(float(v) for v in text.split())


def urdf_frame(root, joints, name, palm):
    """Pose of a link in the palm frame, read from URDF text alone; shares no tree code with the package."""
    pose, link = np.eye(4), name
    by_child = {j.find('child').get('link'): j for j in root.iter('joint')}
    while link in by_child:
        joint = by_child[link]
        origin = joint.find('origin')
        step = homogeneous(numbers(origin.get('xyz')), rotation(numbers(origin.get('rpy'))))
        if joint.get('type') == 'revolute':
            turn = axis_rotation(numbers(joint.find('axis').get('xyz')), joints[joint.get('name')])
            step = step @ homogeneous((0, 0, 0), turn)
        pose, link = step @ pose, joint.find('parent').get('link')
    assert link == palm
    return pose


@pytest.mark.parametrize('name', HANDS)
@settings(max_examples=6, deadline=None)
@given(share=st.lists(st.floats(0, 1), min_size=16, max_size=16))
def test_urdf_mujoco_and_numpy_agree_on_every_frame(name, share):
    every = three(name)
    low, high = np.array([j.urdf_range for j in every.hand.joints]).T
    q = low + np.array(share[:low.size]) * (high - low)
    angles = dict(zip(every.hand.joint_names, q, strict=True))
    ours, theirs = every.kinematics.frame_poses(q), every.mujoco_frames(q)
    for frame in every.frames:
        np.testing.assert_allclose(theirs[frame], ours[frame], atol=1e-9)
        np.testing.assert_allclose(urdf_frame(every.urdf, angles, frame, every.hand.palm), ours[frame], atol=1e-9)


def test_joints_are_the_same_in_yaml_mujoco_and_urdf(every):
    described = {e.get('name'): e for e in every.urdf.iter('joint')}
    assert every.model.njnt == len(every.hand.joints) == sum(e.get('type') == 'revolute' for e in described.values())
    for joint, torque in zip(every.hand.joints, every.hand.torque_limit, strict=True):
        sim, element = every.model.joint(joint.name), described[joint.name]
        np.testing.assert_allclose(sim.axis, joint.axis, atol=1e-12)
        np.testing.assert_allclose(sim.range, joint.urdf_range, atol=1e-12)
        assert numbers(element.find('axis').get('xyz')) == joint.axis
        limit = element.find('limit')
        assert (float(limit.get('lower')), float(limit.get('upper'))) == (joint.lower, joint.upper)
        assert float(limit.get('effort')) == pytest.approx(torque, abs=1e-6)
        assert (element.find('parent').get('link'), element.find('child').get('link')) == (joint.parent, joint.child)
        actuator = every.model.actuator(joint.name)
        np.testing.assert_allclose(actuator.ctrlrange, [-torque, torque], rtol=1e-12)


def physical(moments):
    low, middle, high = np.sort(moments)
    return low > 0 and low + middle >= high * (1 - 1e-9)


def test_masses_and_inertias_are_physical_everywhere(every):
    for link in every.hand.links:
        ixx, iyy, izz, ixy, ixz, iyz = link.inertia
        tensor = np.array([[ixx, ixy, ixz], [ixy, iyy, iyz], [ixz, iyz, izz]])
        assert physical(np.linalg.eigvalsh(tensor)), link.name
        body = every.model.body(link.name)
        assert float(body.mass[0]) == pytest.approx(link.mass)
        np.testing.assert_allclose(body.ipos, link.com, atol=1e-12)
        assert physical(body.inertia), link.name
        turn = np.zeros(9)
        mujoco.mju_quat2Mat(turn, body.iquat)
        turn = turn.reshape(3, 3)
        np.testing.assert_allclose(turn @ np.diag(body.inertia) @ turn.T, tensor, atol=1e-6 * tensor.max())
        element = next(e for e in every.urdf.iter('link') if e.get('name') == link.name).find('inertial')
        assert float(element.find('mass').get('value')) == link.mass
        assert numbers(element.find('origin').get('xyz')) == link.com
        values = element.find('inertia').attrib
        assert tuple(float(values[k]) for k in ('ixx', 'iyy', 'izz', 'ixy', 'ixz', 'iyz')) == link.inertia


@pytest.mark.parametrize('pose', ['zero', 'home', 'pregrasp'])
def test_the_hand_does_not_touch_itself(every, pose):
    plant = Plant(every.hand)
    plant.reset(every.hand.pose(pose))
    touching = [[every.model.geom(g).name for g in pair] for pair in plant.data.contact.geom]
    assert not touching


def test_fingers_still_collide_with_thumb_and_each_other(every):
    """Excluded are only pairs that overlap by construction: fingers meet each other and the thumb in their limits."""
    hand, rng = every.hand, np.random.default_rng(3)
    plant, pairs = Plant(hand), set()
    finger = {j.child: j.finger for j in hand.joints}
    for _ in range(60):
        plant.reset(rng.uniform(hand.lower, hand.upper))
        bodies = [[every.model.body(int(every.model.geom(g).bodyid[0])).name for g in pair]
                  for pair in plant.data.contact.geom]
        pairs |= {tuple(sorted(finger.get(b, 'palm') for b in pair)) for pair in bodies}
    names = [f.name for f in hand.fingers]
    assert {p for p in pairs if 'thumb' in p and p[0] != p[1]}, pairs
    assert {p for p in pairs if p[0] != p[1] and set(p) <= set(names) - {'thumb'}}, pairs


def test_urdf_is_one_tree_of_primitives(every):
    children = [j.find('child').get('link') for j in every.urdf.iter('joint')]
    links = [e.get('name') for e in every.urdf.iter('link')]
    names = [j.get('name') for j in every.urdf.findall('joint')]
    assert len(children) == len(set(children)) == len(links) - 1
    assert len(set(names)) == len(names)
    assert set(links) - set(children) == {every.hand.palm}
    kinds = {g[0].tag for part in every.urdf.iter('collision') for g in part.iter('geometry')}
    assert kinds <= {'box', 'cylinder', 'sphere'}


def test_mujocos_own_urdf_reader_finds_the_same_hand(every):
    """A reader that shares no code with this project: same tree, masses and fingertips."""
    root = ElementTree.fromstring(build_urdf(every.hand))
    extension = ElementTree.SubElement(root, 'mujoco')
    ElementTree.SubElement(extension, 'compiler', fusestatic='false', angle='radian')
    model = mujoco.MjModel.from_xml_string(ElementTree.tostring(root, encoding='unicode'))
    data = mujoco.MjData(model)
    q = every.hand.pose('home')
    for name, angle in zip(every.hand.joint_names, q, strict=True):
        data.joint(name).qpos[0] = angle
    mujoco.mj_kinematics(model, data)
    tips = [data.body(f.tip).xpos for f in every.hand.fingers]
    np.testing.assert_allclose(tips, every.kinematics.tip_positions(q), atol=1e-9)
    assert model.njnt == len(every.hand.joints)
    moving = [link for link in every.hand.links if link.name != every.hand.palm]
    for link in moving:
        assert float(model.body(link.name).mass[0]) == pytest.approx(link.mass)


def test_prefix_separates_two_hands(every):
    hand = every.hand
    left, right = (ElementTree.fromstring(build_urdf(hand, p)) for p in ('a_', 'b_'))
    names = [{e.get('name') for e in root.iter() if e.tag in ('link', 'joint')} for root in (left, right)]
    assert not names[0] & names[1]
    q, tip = hand.pose('home'), hand.fingers[-1].tip
    angles = dict(zip(('a_' + n for n in hand.joint_names), q, strict=True))
    expected = every.kinematics.frame_poses(q)[tip]
    np.testing.assert_allclose(urdf_frame(left, angles, 'a_' + tip, 'a_' + hand.palm), expected, atol=1e-9)


@pytest.mark.parametrize('axis', [0, 1])
@pytest.mark.parametrize('side', [-1, 1])
def test_pads_lie_on_the_side_that_the_taxel_faces(axis, side):
    normal = tuple(float(side) if k == axis else 0.0 for k in range(3))
    taxels = tuple(replace(t, normal=normal) if t.name == 'index_medial' else t for t in HAND.taxels)
    model = mujoco.MjModel.from_xml_string(build_mjcf(replace(HAND, taxels=taxels)))
    pad, link = model.site('taxel_index_medial'), next(b for b in HAND.links if b.name == 'link_2_0')
    assert side * (pad.pos[axis] - link.shapes[0].xyz[axis]) > 0.005
    assert abs(pad.pos[1 - axis] - link.shapes[0].xyz[1 - axis]) < 1e-9


def test_a_taxel_that_looks_along_its_link_is_refused():
    taxels = tuple(replace(t, normal=(0.0, 0.0, 1.0)) if t.name == 'index_medial' else t for t in HAND.taxels)
    with pytest.raises(ConfigError, match='index_medial'):
        build_mjcf(replace(HAND, taxels=taxels))


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
