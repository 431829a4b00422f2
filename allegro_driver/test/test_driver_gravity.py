"""Gravity at the joints: what a physics engine says, for every hand; and the limits of what is believed."""

import dataclasses

import numpy as np
import pytest
from allegro_description.errors import ConfigError
from allegro_description.mjcf import build_mjcf
from allegro_description.model import available_hands, load_hand
from allegro_driver.control.gravity import LONGEST, Gravity, checked_gravity
from hypothesis import given
from hypothesis import strategies as st

mujoco = pytest.importorskip('mujoco')


def hand(name):
    return load_hand(*name.rsplit('_', 1))


@pytest.mark.parametrize('name', available_hands())
def test_torques_are_those_of_the_physics_engine_at_rest(name):
    model = hand(name)
    world = mujoco.MjModel.from_xml_string(build_mjcf(model))
    data, gravity = mujoco.MjData(world), Gravity(model)
    rows = [world.joint(joint).qposadr[0] for joint in model.joint_names]
    random = np.random.default_rng(1)
    for _ in range(20):
        position, down = random.uniform(model.lower, model.upper), random.normal(size=3) * 5.0
        world.opt.gravity[:] = down
        data.qpos[rows] = position
        mujoco.mj_forward(world, data)
        np.testing.assert_allclose(gravity.torque(position, down), data.qfrc_bias[rows], rtol=0, atol=1e-9)


MODEL = load_hand()
GRAVITY = Gravity(MODEL)
vectors = st.lists(st.floats(-10, 10), min_size=3, max_size=3).map(np.array)


@given(vectors, vectors, st.floats(-2, 2))
def test_torque_is_linear_in_gravity(first, second, factor):
    position = MODEL.pose('home')
    together = GRAVITY.torque(position, first + factor * second)
    apart = GRAVITY.torque(position, first) + factor * GRAVITY.torque(position, second)
    np.testing.assert_allclose(together, apart, atol=1e-12)


def test_straight_fingers_hanging_along_gravity_need_almost_nothing_to_flex():
    up = GRAVITY.torque(MODEL.pose('zero'), np.array([0.0, 0.0, -9.81]))
    across = GRAVITY.torque(MODEL.pose('zero'), np.array([-9.81, 0.0, 0.0]))
    flexing = [i for i, joint in enumerate(MODEL.joints) if joint.flexion and joint.finger != 'thumb']
    assert np.abs(up[flexing]).max() < 0.05 * np.abs(across[flexing]).max()
    assert np.abs(across).max() < MODEL.torque_limit.max()  # a hand can carry itself


@pytest.mark.parametrize('wrong', [(0, 0), (0, 0, float('nan')), (0, 0, -LONGEST - 1), 'down', None, (1, 2, 3, 4)])
def test_what_is_no_gravity_is_refused(wrong):
    with pytest.raises(ConfigError, match='palm frame'):
        checked_gravity(wrong)


def test_a_finger_that_is_no_chain_is_refused():
    joints = list(MODEL.joints)
    joints[2] = dataclasses.replace(joints[2], parent=MODEL.palm)
    with pytest.raises(ConfigError, match='not one chain'):
        Gravity(dataclasses.replace(MODEL, joints=tuple(joints)))
