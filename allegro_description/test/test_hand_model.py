"""Laws of the hand description, over every hand that has one."""

import numpy as np
import pytest
import yaml
from allegro_description.errors import ConfigError, UnknownName
from allegro_description.kinematics import Kinematics
from allegro_description.model import available_hands, load_hand, read_hand
from allegro_description.share import share_dir
from hypothesis import given
from hypothesis import strategies as st

HANDS = [tuple(name.rsplit('_', 1)) for name in available_hands()]

# Tip positions in mm (index, middle, ring, thumb), computed from the joint tables that the vendor publishes.
PUBLISHED_TIPS = {
    ('v5_sense_right', 'zero'): [[0, 42.5, 137.82], [0, -0.9, 140.06], [0, -42.5, 137.82], [1, 161.71, -81.87]],
    ('v5_sense_right', 'mid'): [[90.18, 47.58, 4.1], [90.18, -0.9, 6.9], [90.18, -47.58, 4.1], [90.36, 25.15, -12.5]],
}


@pytest.fixture(params=HANDS, ids=available_hands())
def hand(request):
    return load_hand(*request.param)


def test_every_order_is_a_permutation_that_inverts(hand):
    canonical = np.arange(16.0)
    for name in hand.orders:
        p = hand.permutation(name)
        assert sorted(p) == list(range(len(hand.joints)))
        wire = canonical[np.argsort(p)]
        assert (wire[p] == canonical).all()
        assert [hand.joint_names[int(i)] for i in wire] == list(hand.orders[name])


def test_udp_order_is_thumb_first_rotation(hand):
    udp = np.arange(16)
    assert (udp[hand.permutation('udp')] == [(i + 4) % 16 for i in range(16)]).all()


@given(st.permutations(range(16)))
def test_permutation_from_names_maps_by_name(indices):
    hand = load_hand()
    names = [hand.joint_names[i] for i in indices]
    values = np.array(indices, dtype=float)
    assert (values[hand.permutation(names)] == np.arange(16)).all()


@pytest.mark.parametrize(
    ('change', 'error', 'words'),
    [
        (lambda n: n[:-1], ConfigError, 'missing'),
        (lambda n: [*n[:-1], n[0]], ConfigError, 'repeated'),
        (lambda n: [*n[:-1], 'joint_99_0'], UnknownName, 'joint_99_0'),
    ],
)
def test_wrong_joint_names_are_refused_with_the_sets(change, error, words):
    hand = load_hand()
    with pytest.raises(error, match=words):
        hand.permutation(change(list(hand.joint_names)))


@pytest.mark.parametrize('pose', ['zero', 'mid'])
def test_forward_kinematics_meets_the_published_vectors(hand, pose):
    if (hand.name, pose) not in PUBLISHED_TIPS:
        pytest.fail(f'no published vector for {hand.name} {pose}: compute it from the published joint table')
    q = np.zeros(16) if pose == 'zero' else np.array([sum(j.urdf_range) / 2 for j in hand.joints])
    tips = Kinematics(hand).tip_positions(q) * 1e3
    assert np.abs(tips - PUBLISHED_TIPS[hand.name, pose]).max() < 0.1


def test_inertias_are_physical(hand):
    for link in hand.links:
        ixx, iyy, izz, ixy, ixz, iyz = link.inertia
        moments = np.linalg.eigvalsh([[ixx, ixy, ixz], [ixy, iyy, iyz], [ixz, iyz, izz]])
        assert moments[0] > 0, link.name
        assert moments[0] + moments[1] >= moments[2], f'{link.name} breaks the triangle inequality'


def test_limits_lie_inside_the_vendor_range(hand):
    for joint in hand.joints:
        assert joint.urdf_range[0] <= joint.lower < joint.upper <= joint.urdf_range[1]


def test_torque_limit_is_the_vendor_clamp(hand):
    # 240 mA: about 0.168 N·m, 0.336 N·m on a half-current joint (vendor driver)
    assert hand.torque_limit[0] == pytest.approx(0.168, abs=1e-3)
    assert hand.torque_limit[1] == pytest.approx(0.336, abs=1e-3)


def test_unknown_hand_lists_those_there_are():
    with pytest.raises(UnknownName, match='v5_sense_right'):
        load_hand('v5_sens', 'right')


@pytest.mark.parametrize(
    'damage',
    [
        lambda d: d.pop('joints'),
        lambda d: d['joints'][3].update(limit=[1.0, -1.0]),
        lambda d: d['joints'][3].update(parent='link_nowhere'),
        lambda d: d['poses'].update(home=[0.0] * 15),
        lambda d: d['poses'].update(home=[9.0] * 16),
        lambda d: d['links'][0].update(shapes=[{'kind': 'cone', 'size': [1]}]),
        lambda d: d['orders'].update(udp=d['orders']['udp'][:-1]),
        lambda d: d['gains'].pop('joint_0_0'),
        lambda d: d['taxels'][2].update(frame='nowhere'),
    ],
)
def test_damaged_description_is_a_sentence_not_a_traceback(tmp_path, damage):
    doc = yaml.safe_load((share_dir() / 'hands' / 'v5_sense_right.yaml').read_text())
    damage(doc)
    path = tmp_path / 'hand.yaml'
    path.write_text(yaml.safe_dump(doc))
    with pytest.raises((ConfigError, UnknownName)):
        read_hand(path)


def test_arrays_are_read_only():
    hand = load_hand()
    for array in (hand.lower, hand.upper, hand.kp, hand.torque_limit, hand.pose('home')):
        with pytest.raises(ValueError, match='read-only'):
            array[0] = 1.0
