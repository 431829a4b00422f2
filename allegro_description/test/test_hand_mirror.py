"""A left hand in the mirrored pose is the mirror image of the right hand: geometry, masses, inertia, shapes, touch.

Reflection in y of the palm frame. Which joint value mirrors which stands in :data:`MAPS`; it is the rule by which the
limits, poses and axes of the left descriptions were written, so every law here fails if one of them is wrong.
"""

import math
from dataclasses import replace
from functools import lru_cache

import mujoco
import numpy as np
import pytest
from allegro_description.kinematics import Kinematics, rotation
from allegro_description.mjcf import build_mjcf
from allegro_description.model import load_hand
from hypothesis import given, settings
from hypothesis import strategies as st

REFLECT = np.diag([1.0, -1.0, 1.0])
SAME, ROLL, BACK, TURN = (1, 0.0), (-1, 0.0), (-1, 0.0), (-1, math.pi)
# Left value = sign * right value + offset, finger by finger. Roll and abduction change sign where the vendor keeps
# their axis; the thumb of V5 hands counts backwards.
MAPS = {
    'v4': [ROLL, SAME, SAME, SAME] * 3 + [SAME] * 4,
    'v5_a': [ROLL, SAME, SAME, SAME] * 3 + [BACK, TURN, BACK, BACK],
    'v5_b': [ROLL, SAME, SAME, SAME] * 3 + [BACK, TURN, BACK, BACK],
    'v5_sense': [ROLL, SAME, SAME, SAME] * 3 + [BACK, TURN, BACK, BACK],
    'plexus': [SAME] * 16,
}
# Where the vendor's two files are no mirror images: left minus mirrored right, m.
ASYMMETRY = {
    'v5_a': {'index': (0.0025, 0, 0), 'ring': (-0.0025, 0, 0)},
    'v5_sense': {'middle': (0, -0.0018, 0)},
}
PAIRS = sorted(MAPS)
UNIT = st.lists(st.floats(0, 1), min_size=16, max_size=16)


@lru_cache
def pair(model):
    """The right hand and the left one with the pi that the vendor's 3.14 stands for."""
    right, left = load_hand(model, 'right'), load_hand(model, 'left')
    exact = replace(left, joints=tuple(replace(j, rpy=exactly(j.rpy)) for j in left.joints),
                    frames=tuple(replace(f, rpy=exactly(f.rpy)) for f in left.frames))
    return right, exact


def exactly(rpy):
    return tuple(math.pi if v == 3.14 else v for v in rpy)


def mapped(model, right_q):
    sign, offset = np.array(MAPS[model]).T
    return sign * right_q + offset


def shift(model, finger):
    return np.array(ASYMMETRY.get(model, {}).get(finger, (0.0, 0.0, 0.0)))


def posed(model, share):
    right, left = pair(model)
    q = right.lower + np.array(share) * (right.upper - right.lower)
    return (right, q), (left, mapped(model, q))


def finger_of(hand, link):
    return next((j.finger for j in hand.joints if j.child == link), '')


@pytest.mark.parametrize('model', PAIRS)
@settings(max_examples=15, deadline=None)
@given(share=UNIT)
def test_tips_and_touch_are_mirror_images(model, share):
    (right, q), (left, p) = posed(model, share)
    ours, theirs = Kinematics(left), Kinematics(right)
    away = np.array([shift(model, f.name) for f in right.fingers])
    np.testing.assert_allclose(ours.tip_positions(p), theirs.tip_positions(q) @ REFLECT + away, atol=2e-6)
    for (a, b, x, y) in zip(left.taxels, right.taxels, ours.taxel_poses(p), theirs.taxel_poses(q), strict=True):
        assert (a.name, a.finger, a.tip) == (b.name, b.finger, b.tip)
        np.testing.assert_allclose(x[:3, 3], REFLECT @ y[:3, 3] + shift(model, a.finger), atol=2e-6, err_msg=a.name)
        np.testing.assert_allclose(
            x[:3, :3] @ a.normal, REFLECT @ y[:3, :3] @ b.normal, atol=2e-5, err_msg=a.name)


@pytest.mark.parametrize('model', PAIRS)
@settings(max_examples=15, deadline=None)
@given(share=UNIT)
def test_links_are_mirror_images(model, share):
    (right, q), (left, p) = posed(model, share)
    ours, theirs = Kinematics(left).link_poses(p), Kinematics(right).link_poses(q)
    for a, b in zip(left.links, right.links, strict=True):
        x, y, away = ours[a.name], theirs[b.name], shift(model, finger_of(right, a.name))
        np.testing.assert_allclose(at(x, a.com), REFLECT @ at(y, b.com) + away, atol=2e-6, err_msg=a.name)
        np.testing.assert_allclose(
            tensor(x, a.inertia), REFLECT @ tensor(y, b.inertia) @ REFLECT, rtol=0, atol=1e-4 * max(b.inertia))
        assert (a.name, a.mass) == (b.name, b.mass)
        for one, two in zip(a.shapes, b.shapes, strict=True):
            assert (one.kind, one.size) == (two.kind, two.size)
            np.testing.assert_allclose(at(x, one.xyz), REFLECT @ at(y, two.xyz) + away, atol=2e-6, err_msg=a.name)
            # A shape looks the same after half a turn about its axes, so only the size of each component counts.
            np.testing.assert_allclose(np.abs(x[:3, :3] @ rotation(one.rpy)), np.abs(y[:3, :3] @ rotation(two.rpy)),
                                       atol=2e-5, err_msg=a.name)


def at(pose, point):
    return pose[:3, :3] @ point + pose[:3, 3]


def tensor(pose, inertia):
    ixx, iyy, izz, ixy, ixz, iyz = inertia
    return pose[:3, :3] @ np.array([[ixx, ixy, ixz], [ixy, iyy, iyz], [ixz, iyz, izz]]) @ pose[:3, :3].T


@lru_cache
def simulated(model, side):
    hand = pair(model)[side]
    return mujoco.MjModel.from_xml_string(build_mjcf(hand))


@pytest.mark.parametrize('model', PAIRS)
@settings(max_examples=10, deadline=None)
@given(share=UNIT)
def test_the_mass_matrix_is_that_of_the_right_hand(model, share):
    """Mass, centre, inertia, axes and armature at once: M_left = D M_right D with D the signs of the joint map."""
    matrices = []
    for side, (hand, q) in enumerate(posed(model, share)):
        sim = simulated(model, side)
        data = mujoco.MjData(sim)
        for name, angle in zip(hand.joint_names, q, strict=True):
            data.joint(name).qpos[0] = angle
        mujoco.mj_forward(sim, data)
        full = np.zeros((sim.nv, sim.nv))
        mujoco.mj_fullM(sim, data, full)
        order = [int(sim.joint(n).dofadr[0]) for n in hand.joint_names]
        matrices.append(full[np.ix_(order, order)])
    signs = np.array(MAPS[model])[:, 0]
    np.testing.assert_allclose(matrices[1], matrices[0] * np.outer(signs, signs), rtol=0, atol=1e-5 * matrices[0].max())


@pytest.mark.parametrize('model', PAIRS)
def test_limits_poses_and_actuation_are_those_of_the_right_hand(model):
    right, left = load_hand(model, 'right'), load_hand(model, 'left')
    ends = np.sort([mapped(model, right.lower), mapped(model, right.upper)], axis=0)
    np.testing.assert_allclose([left.lower, left.upper], ends, atol=3e-3)
    assert set(left.poses) == set(right.poses)
    for name in right.poses:
        np.testing.assert_allclose(left.pose(name), mapped(model, right.pose(name)), atol=1e-3, err_msg=name)
    for what in ('kp', 'kd', 'per_nm', 'clamp', 'flexion'):
        np.testing.assert_array_equal(getattr(left, what), getattr(right, what))
    assert left.joint_names == right.joint_names
    assert left.orders == right.orders
    assert set(right.unverified) <= set(left.unverified)


@pytest.mark.parametrize('model', ['v5_a', 'v5_b', 'v5_sense'])
def test_the_published_3_14_moves_the_thumb_by_a_quarter_of_a_millimetre(model):
    exact, published = pair(model)[1], load_hand(model, 'left')
    q = published.pose('zero')
    away = np.linalg.norm(Kinematics(published).tip_positions(q) - Kinematics(exact).tip_positions(q), axis=1)
    assert away[3] == pytest.approx(0.00025, abs=0.00005)
    assert not away[:3].any()


def test_a_left_thumb_closes_over_the_palm():
    """What the vendor's Sense left file gets wrong: its positive thumb angles lead behind the palm."""
    for model in PAIRS:
        for hand in pair(model):
            q = hand.pose('zero').copy()
            q[12:] = hand.pose('pregrasp')[12:]
            thumb = Kinematics(hand).tip_positions(q)[3]
            assert thumb[0] > 0.05, hand.name
    published = load_hand('v5_sense', 'left')
    q = published.pose('zero').copy()
    q[12:] = 0.89, 0.76, 0.9, 0.855
    assert Kinematics(published).tip_positions(q)[3][0] < -0.05


def test_three_finger_hands_share_one_description():
    right, left = load_hand('v5_3f', 'right'), load_hand('v5_3f', 'left')
    for part in ('joints', 'links', 'frames', 'taxels', 'fingers', 'actuation'):
        assert getattr(left, part) == getattr(right, part)
    assert (left.side, left.serial_kind) == ('left', 'C')
