import numpy as np
import pytest
from allegro_ai.observation import (
    GRIP_CLASSES,
    ObservationBuilder,
    ObservationError,
    ObservationSpec,
    element_names,
    terms,
)
from allegro_description.errors import UnknownName
from allegro_description.model import load_hand
from hypothesis import given, settings
from hypothesis import strategies as st

HAND = load_hand()
N, TAXELS = len(HAND.joints), len(HAND.taxels)
MS = 1_000_000


def walk(seed: int, batch: int, steps: int):
    """A random but plausible run: positions, targets, pressures, validity, actions per step."""
    rng = np.random.default_rng(seed)
    return (
        rng.uniform(-0.1, 1.5, (steps, batch, N)),
        rng.uniform(-0.1, 1.5, (steps, batch, N)),
        rng.choice([0.0, 800.0, 1600.0, 2e4, 9e4], (steps, batch, TAXELS)),
        rng.random((steps, batch, TAXELS)) > 0.2,
        rng.uniform(-1, 1, (steps, batch, N)),
    )


def test_names_are_spelled_out_and_cover_every_number():
    table = terms(HAND)
    out = ObservationBuilder(HAND).update(1, np.zeros((1, N)), np.zeros((1, N)))
    assert set(out) == set(table)
    for name, value in out.items():
        assert value.shape == (1, len(table[name].elements))
        assert value.dtype == np.float32
    assert table['tactile_tip_pressure'].elements == ('index_tip', 'middle_tip', 'ring_tip', 'thumb_tip')
    assert element_names(HAND, ['tactile_valid', 'joint_position'])[3:5] == ['tactile_valid/thumb_tip',
                                                                            'joint_position/joint_0_0']
    with pytest.raises(UnknownName, match='joint_position'):
        element_names(HAND, ['joint_positions'])


def test_tip_values_follow_the_finger_order_not_the_taxel_order():
    pressure = np.arange(TAXELS, dtype=float)[None] * 1000
    out = ObservationBuilder(HAND).update(1, np.zeros((1, N)), np.zeros((1, N)), pressure)
    by_name = {t.name: i for i, t in enumerate(HAND.taxels)}
    expected = [by_name[f'{f.name}_tip'] for f in HAND.fingers]
    assert out['tactile_tip_pressure'][0].tolist() == expected
    links = [i for i, t in enumerate(HAND.taxels) if not t.tip]
    assert out['tactile_link_pressure'][0].tolist() == links


@given(seed=st.integers(0, 10_000), batch=st.integers(1, 5))
@settings(max_examples=20, deadline=None)
def test_a_batch_is_the_same_as_each_hand_alone(seed, batch):
    position, target, pressure, valid, action = walk(seed, batch, 6)
    together = ObservationBuilder(HAND, batch=batch)
    alone = [ObservationBuilder(HAND) for _ in range(batch)]
    for t in range(6):
        both = together.update(t, position[t], target[t], pressure[t], valid[t], last_action=action[t])
        for b, builder in enumerate(alone):
            one = slice(b, b + 1)
            single = builder.update(t, position[t, one], target[t, one], pressure[t, one], valid[t, one],
                                    last_action=action[t, one])
            for name, value in single.items():
                np.testing.assert_array_equal(value[0], both[name][b], err_msg=name)


@given(seed=st.integers(0, 10_000))
@settings(max_examples=30, deadline=None)
def test_laws_of_the_derived_terms(seed):
    position, target, pressure, valid, action = walk(seed, 3, 8)
    spec = ObservationSpec()
    builder = ObservationBuilder(HAND, spec, batch=3)
    previous = None
    for t in range(8):
        out = builder.update(t, position[t], target[t], pressure[t], valid[t], last_action=action[t])
        tip_valid = valid[t][:, HAND.tip_taxels]
        np.testing.assert_array_equal(out['tactile_valid'] == 1, tip_valid)
        for name in ('tactile_tip_pressure', 'tactile_tip_rate', 'tactile_tip_contact'):
            assert (out[name][~tip_valid] == 0).all(), f'{name} shows something where nothing is known'
        assert (np.abs(out['tactile_tip_rate']) <= spec.rate_clip).all()
        assert (out['tactile_tip_trace'] >= np.abs(out['tactile_tip_rate']) - 1e-6).all()
        assert (out['tactile_tip_trace'] <= spec.rate_clip).all()
        np.testing.assert_allclose(out['joint_target_error'], target[t] - position[t], atol=1e-6)
        if previous is None:
            assert (out['joint_delta'] == 0).all()
            assert (out['tactile_tip_rate'] == 0).all()
        else:
            np.testing.assert_allclose(out['joint_delta'], position[t] - position[t - 1], atol=1e-6)
            gap = previous['tactile_valid'] == 0
            assert (out['tactile_tip_rate'][gap] == 0).all(), 'a rate across a gap is not a measurement'
        previous = out


def test_contact_has_hysteresis():
    builder = ObservationBuilder(HAND)
    seen = []
    for t, kpa in enumerate([1.2, 1.6, 1.2, 0.9, 1.2]):
        pressure = np.full((1, TAXELS), kpa * 1000)
        seen.append(builder.update(t, np.zeros((1, N)), np.zeros((1, N)), pressure)['tactile_tip_contact'][0, 0])
    assert seen == [0, 1, 1, 0, 0]


def test_reset_of_one_hand_leaves_the_others_alone():
    position, target, pressure, valid, action = walk(3, 2, 3)
    reference, builder = ObservationBuilder(HAND, batch=2), ObservationBuilder(HAND, batch=2)
    for t in range(2):
        for b in (reference, builder):
            b.update(t, position[t], target[t], pressure[t], valid[t], last_action=action[t])
    builder.reset(np.array([True, False]))
    fresh = builder.update(2, position[2], target[2], pressure[2], valid[2])
    kept = reference.update(2, position[2], target[2], pressure[2], valid[2])
    assert (fresh['joint_delta'][0] == 0).all()
    assert (fresh['tactile_tip_rate'][0] == 0).all()
    for name in fresh:
        np.testing.assert_array_equal(fresh[name][1], kept[name][1])


def test_pairing_state_of_next_step_with_target_of_this_step():
    """A hand that follows its target in exactly one step shows zero error under correct pairing, never otherwise."""
    rng = np.random.default_rng(0)
    targets = rng.uniform(0, 1, (10, 1, N))
    builder, skewed = ObservationBuilder(HAND), ObservationBuilder(HAND)
    position = targets[0]
    for t in range(1, 10):
        issued = t * 20 * MS
        old, position = position, targets[t]  # the hand reaches target t before step t + 1
        good = builder.update(issued + 19 * MS, position, targets[t], issued_ns=issued)
        assert (good['joint_target_error'] == 0).all()
        # What a node computes that reads the state right after it has sent the target:
        wrong = skewed.update(issued - 1 * MS, old, targets[t])
        assert np.abs(wrong['joint_target_error']).max() > 0.05
        with pytest.raises(ObservationError, match='not younger'):
            ObservationBuilder(HAND).update(issued - 1 * MS, old, targets[t], issued_ns=issued)


def test_unusable_measurements_are_refused_and_leave_no_trace():
    position, target, pressure, valid, _ = walk(5, 1, 3)
    builder, reference = ObservationBuilder(HAND), ObservationBuilder(HAND)
    for b in (builder, reference):
        b.update(0, position[0], target[0], pressure[0], valid[0])
    bad = position[1].copy()
    bad[0, 3] = np.nan
    with pytest.raises(ObservationError, match=r'NaN.*\[3\]'):
        builder.update(1, bad, target[1], pressure[1], valid[1])
    with pytest.raises(ObservationError, match='last targets'):
        builder.update(1, position[1], bad)
    with pytest.raises(ObservationError, match='shape'):
        builder.update(1, position[1][0], target[1])
    with pytest.raises(ObservationError, match='taxel'):
        builder.update(1, position[1], target[1], pressure[1][:, :4])
    after, expected = (b.update(2, position[2], target[2], pressure[2], valid[2]) for b in (builder, reference))
    for name in after:
        np.testing.assert_array_equal(after[name], expected[name])


def test_a_cell_that_reads_nan_counts_as_missing():
    pressure = np.full((1, TAXELS), 5000.0)
    pressure[0, HAND.tip_taxels[1]] = np.nan
    out = ObservationBuilder(HAND).update(0, np.zeros((1, N)), np.zeros((1, N)), pressure)
    assert out['tactile_valid'][0].tolist() == [1, 0, 1, 1]
    assert out['tactile_tip_pressure'][0].tolist() == [5, 0, 5, 5]


def test_grip_class_is_one_hot_per_hand():
    builder = ObservationBuilder(HAND, batch=3)
    builder.set_grip(GRIP_CLASSES)
    out = builder.update(0, np.zeros((3, N)), np.zeros((3, N)))
    np.testing.assert_array_equal(out['grip_class'], np.eye(3))
    with pytest.raises(UnknownName, match='fragile'):
        builder.set_grip('fragil')
