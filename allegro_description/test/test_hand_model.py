"""Laws of the hand description, over every hand that has one."""

from itertools import pairwise

import numpy as np
import pytest
import yaml
from allegro_description.errors import ConfigError, UnknownName
from allegro_description.kinematics import Kinematics
from allegro_description.model import available_hands, load_hand, read_hand
from allegro_description.share import share_dir
from hypothesis import given
from hypothesis import strategies as st

HANDS = available_hands()
FAMILY = {f'{model}_{side}' for model in ('v4', 'v5_a', 'v5_b', 'v5_sense', 'v5_3f', 'plexus')
          for side in ('right', 'left')}

# Tip positions in mm (finger order of the hand), computed from the joint tables that the vendor publishes: all joints
# 0, and all joints in the middle of their published ranges.
V4 = {'zero': [[0, 55.31, 133.44], [0, 0, 136.2], [0, -55.31, 133.44], [-13.2, 167.7, -86.07]],
      'mid': [[95.35, 47.52, 44.37], [95.35, 0, 46.79], [95.35, -47.52, 44.37], [84.03, 57.14, -10.2]]}
PLEXUS = {'zero': [[0, 55.57, 152.31], [0, 0, 155], [0, -55.57, 152.31], [-8, 191.6, -73.3]],
          'mid': [[108.89, 47.83, 63.76], [108.89, 0, 66.12], [108.89, -47.83, 63.76], [97.11, 68.5, 7.17]]}
THREE = {'zero': [[22.5, 61.2, 114.76], [-22.5, 61.2, 114.76], [-0.07, -61.2, 114.76]],
         'mid': [[77.39, 75.49, 108.37], [-77.39, 75.49, 108.37], [-0.12, -97.89, 108.37]]}
PUBLISHED_TIPS = {
    'v4_right': V4,
    'v4_left': {k: (np.array(v) * [1, -1, 1]).tolist() for k, v in V4.items()},
    'v5_a_right': {
        'zero': [[0, 52.45, 127.13], [0, 0, 129.2], [2.5, -52.45, 127.13], [2, 183.06, -78.08]],
        'mid': [[95.58, 43.94, 29.83], [95.58, 0, 31.53], [98.08, -43.94, 29.83], [100.88, 41.98, -8.31]]},
    'v5_b_right': {
        'zero': [[0.5, 54.54, 132.57], [0, 0, 136.1], [0.5, -54.54, 132.57], [2, 183.06, -78.08]],
        'mid': [[86.63, 43.09, 1.74], [93.04, 0, 10.39], [93.53, -42.19, 7.46], [98.46, 45.24, -5.17]]},
    'v5_b_left': {
        'zero': [[0.5, -54.54, 132.57], [0, 0, 136.1], [0.5, 54.54, 132.57], [1.75, -183.06, -78.08]],
        'mid': [[93.53, -42.19, 7.46], [93.04, 0, 10.39], [86.63, 43.09, 1.74], [100.37, -42.8, -7.66]]},
    'v5_sense_right': {
        'zero': [[0, 42.5, 137.82], [0, -0.9, 140.06], [0, -42.5, 137.82], [1, 161.71, -81.87]],
        'mid': [[90.18, 47.58, 4.1], [90.18, -0.9, 6.9], [90.18, -47.58, 4.1], [90.36, 25.15, -12.5]]},
    'v5_sense_left': {
        'zero': [[0, -42.5, 137.82], [0, -0.9, 140.06], [0, 42.5, 137.82], [0.77, -161.71, -81.87]],
        'mid': [[87.54, -42.5, 3.24], [87.54, -0.9, 5.48], [87.54, 42.5, 3.24], [-88.37, -25.01, -12.49]]},
    'plexus_right': PLEXUS,
    'plexus_left': {k: (np.array(v) * [1, -1, 1]).tolist() for k, v in PLEXUS.items()},
    'v5_3f_right': THREE,
    'v5_3f_left': THREE,
}
# Without a published vector: the type A left hand, whose law is that of test_hand_mirror.py.
WITHOUT_VECTOR = {'v5_a_left'}
# Where the description keeps other ranges than the published ones (its comments say why), these give the vector.
PUBLISHED_RANGES = {'v5_sense_left': {'joint_12_0': (0, 1.78), 'joint_13_0': (-0.26, 1.78), 'joint_14_0': (-0.05, 1.85),
                                      'joint_15_0': (-0.09, 1.8)}}
# Sum of the published link masses, kg.
PUBLISHED_MASS = {'v4': 0.9549, 'v5_a': 0.9248, 'v5_b': 0.9862, 'v5_sense': 1.0358, 'plexus': 0.77, 'v5_3f': 1.0513}


@pytest.fixture(params=HANDS)
def hand(request):
    return load_hand(*request.param.rsplit('_', 1))


def test_the_whole_family_is_described():
    assert set(HANDS) >= FAMILY


def test_file_name_says_model_and_side():
    for name in HANDS:
        hand = load_hand(*name.rsplit('_', 1))
        assert (hand.name, hand.side) == (name, name.rsplit('_', 1)[1])


def test_every_order_is_a_permutation_that_inverts(hand):
    canonical = np.arange(float(len(hand.joints)))
    for name in hand.orders:
        p = hand.permutation(name)
        assert sorted(p) == list(range(len(hand.joints)))
        wire = canonical[np.argsort(p)]
        assert (wire[p] == canonical).all()
        assert [hand.joint_names[int(i)] for i in wire] == list(hand.orders[name])


def test_canonical_order_is_finger_by_finger_base_to_tip(hand):
    assert [j.finger for j in hand.joints] == [f.name for f in hand.fingers for _ in f.joints]
    for finger in hand.fingers:
        chain = [hand.joints[hand.joint_index(n)] for n in finger.joints]
        assert chain[0].parent == hand.palm
        assert all(a.child == b.parent for a, b in pairwise(chain))
        assert next(f for f in hand.frames if f.name == finger.tip).parent == chain[-1].child


@pytest.mark.parametrize(('order', 'fingers'), [
    ('udp', ('thumb', 'index', 'middle', 'ring')),
    ('ros2_control', ('thumb', 'index', 'middle', 'ring')),
    ('hora', ('index', 'thumb', 'middle', 'ring')),
])
def test_named_orders_are_whole_fingers_in_the_stated_order(hand, order, fingers):
    if order not in hand.orders:
        assert not (order == 'hora' and len(hand.joints) == 16), 'every 16-joint hand has the order of hora policies'
        return
    by_name = {f.name: f.joints for f in hand.fingers}
    assert hand.orders[order] == tuple(n for finger in fingers for n in by_name[finger])


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
    if hand.name not in PUBLISHED_TIPS:
        assert hand.name in WITHOUT_VECTOR, f'no published vector for {hand.name}: compute it from its joint table'
        return
    ranges = [PUBLISHED_RANGES.get(hand.name, {}).get(j.name, j.urdf_range) for j in hand.joints]
    q = np.zeros(len(ranges)) if pose == 'zero' else np.array([sum(r) / 2 for r in ranges])
    tips = Kinematics(hand).tip_positions(q) * 1e3
    assert np.abs(tips - PUBLISHED_TIPS[hand.name][pose]).max() < 0.1


def test_inertias_are_physical(hand):
    for link in hand.links:
        ixx, iyy, izz, ixy, ixz, iyz = link.inertia
        moments = np.linalg.eigvalsh([[ixx, ixy, ixz], [ixy, iyy, iyz], [ixz, iyz, izz]])
        assert moments[0] > 0, link.name
        assert moments[0] + moments[1] >= moments[2], f'{link.name} breaks the triangle inequality'


def test_mass_is_the_published_sum(hand):
    assert sum(link.mass for link in hand.links) == pytest.approx(PUBLISHED_MASS[hand.model], rel=1e-3)


def test_mass_centre_and_inertia_fit_into_the_link(hand):
    """A mass centre outside its link, or a radius of gyration larger than it, is a unit or frame error."""
    for link in hand.links:
        reach = np.array([max(s.size) / 2 + (s.size[0] if s.kind != 'box' else 0) for s in link.shapes])[:, None]
        centres = np.array([s.xyz for s in link.shapes])
        low, high = (centres - reach).min(axis=0), (centres + reach).max(axis=0)
        assert (low - 0.005 < link.com).all(), link.name
        assert (link.com < high + 0.005).all(), link.name
        gyration = np.sqrt(max(link.inertia[:3]) / link.mass)
        assert 0.002 < gyration < 0.6 * np.linalg.norm(high - low), link.name


def test_limits_lie_inside_the_vendor_range(hand):
    for joint in hand.joints:
        assert joint.urdf_range[0] <= joint.lower < joint.upper <= joint.urdf_range[1], joint.name


@pytest.mark.parametrize('pose', ['zero', 'home', 'pregrasp'])
def test_every_hand_has_the_poses_that_motions_start_from(hand, pose):
    assert (hand.pose(pose) >= hand.lower).all()
    assert (hand.pose(pose) <= hand.upper).all()


def test_zero_is_as_near_to_zero_as_the_limits_allow_on_a_right_hand(hand):
    if hand.side == 'right':
        np.testing.assert_allclose(hand.pose('zero'), np.clip(0.0, hand.lower, hand.upper), atol=1e-9)


@pytest.mark.parametrize(('model', 'finger', 'limits'), [
    # N·m, by the constants of the vendors' drivers. V4: its normalised limits, of 0.70 N·m.
    ('v4', 'index', [0.7 * f for f in (0.3125, 0.5625, 0.375, 0.2375)]),
    ('v4', 'thumb', [0.7 * f for f in (0.4375, 0.3375, 0.225, 0.225)]),
    ('v5_a', 'index', [0.168, 0.168, 0.168, 0.168]),
    ('v5_b', 'index', [0.168, 0.336, 0.168, 0.168]),
    ('v5_b', 'thumb', [0.168, 0.168, 0.168, 0.168]),
    ('v5_sense', 'ring', [0.168, 0.336, 0.168, 0.168]),
    ('v5_3f', 'thumb', [0.368, 0.560, 0.368]),
    ('plexus', 'index', [0.205, 0.299, 0.205, 0.205]),
    ('plexus', 'ring', [0.205, 0.205, 0.205, 0.205]),
])
def test_torque_limits_are_the_vendors_clamps(model, finger, limits):
    for side in ('right', 'left'):
        hand = load_hand(model, side)
        names = next(f.joints for f in hand.fingers if f.name == finger)
        np.testing.assert_allclose(hand.torque_limit[[hand.joint_index(n) for n in names]], limits, atol=5e-4)


def test_v4_gains_are_the_classic_set_on_the_wire():
    hand = load_hand('v4')
    np.testing.assert_allclose(hand.kp * hand.per_nm, [500, 800, 900, 500] * 3 + [1000, 700, 600, 600], rtol=1e-4)
    np.testing.assert_allclose(hand.kd * hand.per_nm, [25, 50, 55, 40] * 3 + [50, 50, 50, 40], rtol=1e-4)


def test_touch_thresholds_come_with_cells_and_leave_room_for_hysteresis(hand):
    assert bool(hand.touch) == bool(hand.taxels) == (hand.actuation.tactile_lsb_pa > 0)
    if hand.touch:
        assert set(hand.touch) == {'contact_on_pa', 'contact_off_pa', 'tare_limit_pa'}
        assert 0 < hand.touch['contact_off_pa'] < hand.touch['contact_on_pa'] < hand.touch['tare_limit_pa']
        assert hand.touch['tare_limit_pa'] < hand.actuation.tactile_saturation_pa
        assert hand.tip_taxels.size == len(hand.fingers)


def test_every_unverified_point_has_a_default_and_a_test(hand):
    for name, text in hand.unverified.items():
        default, _, test = text.partition('; ')
        assert default, name
        assert test, f'{name}: after the safe default and a semicolon, state the hardware test'


def test_every_named_switch_of_a_wire_is_listed_as_unverified(hand):
    settled = {'codec', 'order', 'default_address', 'period_ms', 'temperature_period_ms'}
    assert set(hand.protocol['can']) - settled <= set(hand.unverified)


def test_left_thumbs_of_unsure_sign_need_the_operators_word():
    assert {n for n in HANDS if load_hand(*n.rsplit('_', 1)).confirm} == {
        'v5_a_left', 'v5_b_left', 'v5_sense_left', 'v5_3f_left'}
    for model in ('v5_a', 'v5_b', 'v5_sense'):
        assert 'thumb_sign' in load_hand(model, 'left').confirm


def test_every_link_says_its_codec_and_period(hand):
    for kind, settings in hand.protocol.items():
        assert settings['codec'], kind
        assert settings['period_ms'] in (2, 3, 10), kind
    assert hand.protocol['can']['default_address'].startswith('socketcan:can0')


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
