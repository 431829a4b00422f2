"""Names, orders, units and words of other people's stacks: laws without ROS."""

import numpy as np
import pytest
from allegro_description.config import from_mapping
from allegro_description.errors import CommandRefused, ConfigError
from allegro_description.model import available_hands, load_hand
from allegro_driver.bridge_config import BridgeConfig
from allegro_driver.dialect import make_dialect, ros2_control_joints, touch_pressure, touch_unit, touch_values
from allegro_driver.kept_target import LONGEST_STEP_S, FencedTarget, KeptTarget
from allegro_driver.lib_words import REFUSED_TOPICS, WORDS, read_pose, wish
from hypothesis import given, settings
from hypothesis import strategies as st

HANDS = [name.rsplit('_', 1) for name in available_hands()]
FOUR = [(model, side) for model, side in HANDS if len(load_hand(model, side).fingers) == 4]
SENSE = load_hand('v5_sense', 'right')


def dialect_of(model, side='right', **values):
    config = from_mapping(BridgeConfig, {'model': model, 'side': side, **values})
    return make_dialect(config, load_hand(model, side))


def everyone():
    for model, side in HANDS:
        yield model, side, 'vendor', 'suite'
        yield model, side, 'topic_based', 'suite'
    for model, side in FOUR:
        yield model, side, 'ros2_control', 'suite'
        yield model, side, 'topic_based', 'ros2_control'


# Joints


@pytest.mark.parametrize(('model', 'side', 'dialect', 'names'), everyone())
def test_there_and_back_is_the_same_hand(model, side, dialect, names):
    one = dialect_of(model, side, dialect=dialect, names=names)
    count = len(load_hand(model, side).joints)
    values = np.arange(count) / 10 - 0.4
    assert len(set(one.names)) == count
    np.testing.assert_array_equal(one.canonical(one.names, one.theirs(values), 'x'), values)
    assert sorted(one.order) == list(range(count))


@settings(max_examples=20)
@given(order=st.permutations(range(16)))
def test_by_name_the_order_does_not_matter_and_by_index_the_names_do_not(order):
    values = np.linspace(-1, 1, 16)
    named = dialect_of('v5_sense', dialect='topic_based')
    shuffled = [named.names[k] for k in order]
    np.testing.assert_array_equal(named.canonical(shuffled, values[list(order)], 'x'), values)
    indexed = dialect_of('v5_sense')
    np.testing.assert_array_equal(indexed.canonical(shuffled, values, 'x'), values)
    np.testing.assert_array_equal(indexed.canonical([], values, 'x'), values)


def test_the_vendors_v5_nodes_go_index_first_under_their_own_names():
    one = dialect_of('v5_sense', number=3)
    assert one.names == tuple(f'joint_{k}_0' for k in range(16))
    assert [SENSE.joints[k].finger for k in one.order[::4]] == ['index', 'middle', 'ring', 'thumb']
    assert (one.command_topic, one.state_topic) == ('/allegroHand_3/joint_cmd', '/allegroHand_3/joint_states')
    assert dialect_of('v4').names[15] == 'joint_15.0'
    assert len(dialect_of('v5_3f').names) == 9


@pytest.mark.parametrize(('model', 'side'), FOUR)
def test_the_ros2_control_stack_goes_thumb_first(model, side):
    """The fact sheet: off[0..3] = sdk[12..15], off[4..15] = sdk[0..11]."""
    one = dialect_of(model, side, dialect='ros2_control')
    np.testing.assert_array_equal(one.theirs(np.arange(16)), [12, 13, 14, 15, *range(12)])
    assert one.names[:5] == ('ah_joint00', 'ah_joint01', 'ah_joint02', 'ah_joint03', 'ah_joint10')
    assert dialect_of(model, side, dialect='ros2_control', joint_prefix='ahl_').names[15] == 'ahl_joint33'


def test_where_a_description_states_that_order_it_is_the_same():
    stating = [hand for hand in (load_hand(*words) for words in FOUR) if 'ros2_control' in hand.orders]
    assert {hand.model for hand in stating} == {'v4', 'plexus'}, 'the hands of that stack'
    for hand in stating:
        _, order = ros2_control_joints(hand, 'ah_')
        assert [hand.joint_names[k] for k in order] == list(hand.orders['ros2_control'])


def test_three_fingers_are_not_of_the_ros2_control_stack():
    with pytest.raises(ConfigError, match='index, middle, thumb'):
        dialect_of('v5_3f', dialect='ros2_control')


def test_effort_is_milliamps_on_the_sense_and_newton_metres_where_it_is_measured():
    """0.168 N·m is 240 mA, 120 mA on the joints with the doubled gear."""
    per_nm = dialect_of('v5_sense').effort_per_nm
    np.testing.assert_allclose(per_nm[:4] * 0.168, [240.24, 120.12, 240.24, 240.24])
    assert dialect_of('v5_a').effort_per_nm is None
    assert dialect_of('v4', dialect='ros2_control').effort_per_nm is None
    np.testing.assert_array_equal(dialect_of('plexus', dialect='ros2_control').effort_per_nm, 1.0)


@pytest.mark.parametrize(('names', 'values', 'says'), [
    ((), [0.0] * 15, '15 values; this hand has 16'),
    ((), [0.0] * 17, '17 values'),
    ((), [], '0 values'),
    ((), [0.0] * 15 + [float('nan')], 'positions [15]'),
    ((), [float('inf')] + [0.0] * 15, 'positions [0]'),
])
def test_what_the_vendor_would_take_blindly_is_refused(names, values, says):
    for dialect in ('vendor', 'ros2_control'):
        with pytest.raises(CommandRefused) as caught:
            dialect_of('v5_sense', dialect=dialect).canonical(names, values, 'joint_cmd')
        assert says in str(caught.value)
        assert 'joint_cmd' in str(caught.value)


@pytest.mark.parametrize(('change', 'says'), [
    (lambda names: names[:-1], "missing: ['joint_15_0']"),
    (lambda names: [*names[:-1], 'joint_99'], "unknown: ['joint_99']"),
    (lambda names: [*names[:-1], names[0]], "missing: ['joint_15_0']"),
    (lambda names: [*names, 'joint_99'], "unknown: ['joint_99']"),
])
def test_by_name_every_joint_is_there_once(change, says):
    one = dialect_of('v5_sense', dialect='topic_based')
    with pytest.raises(CommandRefused) as caught:
        one.canonical(change(list(one.names)), [0.0] * 16, 'x')
    assert says in str(caught.value)


# Touch


def test_touch_is_kilopascal_on_the_sense_in_the_order_of_the_fact_sheet():
    values = touch_values(SENSE, np.arange(16) * 1000.0)
    assert values == [float(k) for k in range(16)]
    assert [t.name for t in SENSE.taxels][:4] == ['palm', 'thumb_proximal', 'thumb_distal', 'thumb_tip']
    np.testing.assert_allclose(touch_pressure(SENSE, values), np.arange(16) * 1000.0)


def test_touch_is_whole_pascals_on_three_fingers_and_none_on_the_classic_ones():
    hand = load_hand('v5_3f')
    assert touch_unit(load_hand('v5_a')) == ''
    assert touch_values(hand, np.array([10.4, 20.6, np.nan])) == [10, 21, 0, 0]
    np.testing.assert_allclose(touch_pressure(hand, [1, 2, 3, 0]), [1.0, 2.0, 3.0])
    with pytest.raises(CommandRefused, match='3 values; 4'):
        touch_pressure(hand, [1, 2, 3])


# Words


VENDOR = dialect_of('v5_sense')
MOTIONS = {'home', 'grasp_3', 'gravcomp'}


def test_words_become_what_they_mean():
    assert wish('home', MOTIONS, VENDOR, '').motion == 'home'
    assert wish('gravcomp', MOTIONS, VENDOR, '').motion == 'gravcomp'
    assert wish('off', MOTIONS, VENDOR, '').off
    assert (wish('hinf_on', MOTIONS, VENDOR, '').mode, wish('hinf_off', MOTIONS, VENDOR, '').mode) == (
        'onboard', 'host')
    follow = wish('pdControl', MOTIONS, VENDOR, '')
    assert (follow.motion, follow.off, follow.mode, follow.position) == ('', False, '', None)


def test_calibration_by_one_keystroke_is_refused_with_the_remedy():
    with pytest.raises(CommandRefused, match='allegro-hand calibrate'):
        wish('calibration', {*MOTIONS, 'calibration'}, VENDOR, '')


def test_the_vendors_words_are_those_of_the_fact_sheet():
    assert 'calibration' not in set().union(*WORDS.values())
    for model, side in HANDS:
        assert model == 'plexus' or 'off' in WORDS[model], (model, side)
    assert all('{driver}' in reason or 'ros2' not in reason for reason in REFUSED_TOPICS.values())


def test_pose_files_come_from_their_folder_and_nowhere_else(tmp_path):
    inside = tmp_path / 'poses'
    inside.mkdir()
    values = [0.1 * k for k in range(16)]
    (inside / 'wave.yaml').write_text(f'position: {values}\n')
    (tmp_path / 'secret.yaml').write_text(f'position: {values}\n')
    np.testing.assert_allclose(wish('wave', MOTIONS, VENDOR, str(inside)).position, values)
    for word in ('../secret', '/etc/passwd', 'wave.yaml', '.', '', 'wave\x00', 'a' * 65, 'missing'):
        with pytest.raises(CommandRefused, match='is no motion'):
            wish(word, MOTIONS, VENDOR, str(inside))
    with pytest.raises(CommandRefused, match='pose_dir'):
        wish('wave', MOTIONS, VENDOR, '')


@pytest.mark.parametrize('text', [
    '', '[]', 'position: 3', 'position: [1, 2]', 'position: [a]', '{', 'positions: []', f'position: {[True] * 16}',
    f'position: [{", ".join(["0.0"] * 15)}, .nan]', f'position: [{", ".join(["0.0"] * 15)}, 1e400]',
    'position: &a [*a]', '\x00'])
def test_a_damaged_pose_file_is_a_sentence(text, tmp_path):
    path = tmp_path / 'x.yaml'
    path.write_text(text)
    with pytest.raises(CommandRefused, match='pose file'):
        read_pose(path, VENDOR)
    with pytest.raises(CommandRefused, match='cannot be read'):
        read_pose(tmp_path / 'none.yaml', VENDOR)


# Keeping up a command


S = 1_000_000_000


def test_one_command_is_repeated_with_the_stamp_of_each_observation():
    kept = KeptTarget(50.0, 1.0)
    assert kept.due(5 * S) is None
    goal = np.full(16, 0.2)
    kept.take(goal, None, 10 * S)
    stamps = [10 * S + k * 3_000_000 for k in range(400)]
    sent = [command for stamp in stamps if (command := kept.due(stamp))]
    assert len(sent) == pytest.approx(50, abs=8)
    assert all(command.stamp_ns in stamps for command in sent)
    assert len({command.stamp_ns for command in sent}) == len(sent), 'old stamps would be refused'
    assert all(command.position is goal for command in sent)
    assert sent[-1].stamp_ns <= 11 * S, 'kept longer than allowed'
    assert not kept.active


def test_without_end_means_without_end_and_drop_ends_it():
    kept = KeptTarget(50.0, 0.0)
    kept.take(None, np.zeros(16), 0)
    assert kept.due(10**9 * S).effort is not None
    assert kept.drop()
    assert not kept.drop()
    assert kept.due(2 * 10**9 * S) is None


@given(st.lists(st.tuples(st.integers(0, 200), st.floats(-9, 9)), min_size=1, max_size=30))
@settings(max_examples=40)
def test_whatever_we_command_their_driver_gets_slow_targets_within_range(steps):
    """Their drivers limit neither range nor speed, so what is sent must."""
    fence, now = FencedTarget(SENSE, 2.0, 0.1), 0
    measured = np.array(SENSE.pose('home'))
    previous = np.clip(measured, SENSE.lower, SENSE.upper)
    for wait_ms, wanted in steps:
        now += wait_ms * 1_000_000
        fence.take(np.full(16, wanted), now)
        for _ in range(3):
            now += 3_000_000
            target = fence.step(measured, now)
            assert (target >= SENSE.lower - 1e-12).all()
            assert (target <= SENSE.upper + 1e-12).all()
            assert np.abs(target - previous).max() <= 2.0 * max(LONGEST_STEP_S, 0.003) + 1e-9
            previous = target


def test_an_old_command_is_not_sent_and_the_next_begins_at_the_hand():
    fence = FencedTarget(SENSE, 2.0, 0.1)
    home, away = SENSE.pose('home'), np.clip(SENSE.pose('home') + 0.4, SENSE.lower, SENSE.upper)
    assert fence.step(home, 0) is None
    fence.take(away, 0)
    np.testing.assert_allclose(fence.step(home, 1_000_000), home)
    assert fence.step(home, 99_000_000) is not None
    assert fence.step(home, 101_000_000) is None
    fence.take(home, 102_000_000)
    np.testing.assert_allclose(fence.step(away, 103_000_000), away)
