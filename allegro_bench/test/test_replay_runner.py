"""The offline runner is the node's own step: what the node logged comes out again, and only then."""

import dataclasses

import numpy as np
import pytest
from allegro_ai.backends import BACKENDS
from allegro_ai.bundle import load_bundle
from allegro_bench.evidence import replay_exactness
from allegro_bench.replay import exactness, pacing, runner, touch_use
from allegro_bench.replay.evaluation import Options, evaluate, plan_for
from allegro_bench.replay.intake import read_inputs
from allegro_description.errors import AllegroError, ConfigError
from replay_cases import BAG, HAND, chosen, linear_bundle, logged_by, spoilt


@pytest.fixture(scope='module')
def bundle(tmp_path_factory):
    return linear_bundle(tmp_path_factory.mktemp('runner') / 'made_up')


@pytest.fixture(scope='module')
def logged(bundle):
    return logged_by(read_inputs(BAG), bundle)


def replayed(inputs, bundle, **options):
    return runner.run(inputs, plan_for(inputs, bundle), bundle, bundle.policy(), **options)


def test_the_node_that_was_recorded_is_reproduced_from_the_topics():
    """Recorded over ROS with real jitter. Holds for the very bundle that ran; a newer one of that name is refused."""
    inputs = read_inputs(BAG)
    bundle = load_bundle('tactile_hold_linear', HAND)
    if inputs.controller != bundle.name:
        with pytest.raises(ConfigError, match='not with'):
            exactness.recorded_steps(inputs, bundle)
        return
    found = exactness.from_topics(inputs, plan_for(inputs, bundle), replayed(inputs, bundle), bundle)
    assert found['exact']
    assert found['steps'] == found['recorded_steps'] == len(inputs.states)


@pytest.mark.parametrize('engine', ['onnxruntime', 'numpy', 'openvino', 'torch'])
def test_logged_actions_come_out_of_every_engine(logged, bundle, engine):
    try:
        BACKENDS.load(engine)
    except AllegroError as error:
        pytest.skip(str(error))
    row = exactness.of_engine(logged, bundle, exactness.recorded_steps(logged, bundle), engine)
    assert row['exact'], row
    assert row['steps'] == len(logged.states)


def test_teacher_forced_and_self_fed_agree_on_the_policys_own_recording(logged, bundle):
    plan = plan_for(logged, bundle)
    forced, own = replayed(logged, bundle), replayed(logged, bundle, feed=runner.OWN)
    assert np.allclose(forced.target, plan.answer[forced.tick], atol=1e-9)
    assert np.allclose(own.target, forced.target, atol=1e-9)


def test_they_differ_on_somebody_elses(logged, bundle):
    """A controller that keeps its targets: teacher-forced answers stay within the rate limit of them."""
    still = dataclasses.replace(logged, controller='', commands=spoilt(
        logged.commands, lambda v: np.tile(v[len(v) // 2], (len(v), 1))))
    forced, own = replayed(still, bundle), replayed(still, bundle, feed=runner.OWN)
    limit = bundle.contract['action']['rate_limit_rad_s'] * bundle.period_s
    assert (np.abs(forced.target - forced.previous) <= limit + 1e-9).all()
    assert np.abs(own.target - forced.target).max() > limit, 'self-fed goes its own way'


def test_two_replays_are_equal_bit_by_bit_and_one_changed_sample_is_seen(logged, bundle):
    first = replayed(logged, bundle)
    assert exactness.same(first, replayed(logged, bundle))
    row = plan_for(logged, bundle).joint[first.tick[50]]

    def nudge(values):
        values[row, 3] += 1e-4
        return values
    other = replayed(dataclasses.replace(logged, joints=spoilt(logged.joints, nudge)), bundle)
    assert not exactness.same(first, other)
    found = exactness.from_topics(dataclasses.replace(logged, joints=spoilt(logged.joints, nudge)),
                                  plan_for(logged, bundle), other, bundle)
    assert not found['exact']
    assert found['first_s'] == pytest.approx(first.time_s[50])
    assert 'joint_target_error' in found['reason']


def test_another_answer_is_dated_and_explained(logged, bundle):
    """An action that the network never gave."""
    at = logged.state_names.index('action/joint_3_0')

    def lie(values):
        values[40:, at] += 1e-3
        return values
    told = dataclasses.replace(logged, states=spoilt(logged.states, lie))
    row = exactness.of_engine(told, bundle, exactness.recorded_steps(told, bundle), 'onnxruntime')
    assert not row['exact']
    assert row['first_step'] == 40
    assert row['first_s'] == pytest.approx(float(logged.seconds(logged.states.received_ns[40])))
    assert row['reason']
    document = evaluate(told, [str(bundle.path)], Options(paced_s=0.0))[0]
    assert 'differs from recording' in document['policies'][0]['verdict']


def test_another_bundle_is_not_taken_for_the_recorded_one(logged, tmp_path):
    other = linear_bundle(tmp_path / 'other', name='other', seed=5)
    with pytest.raises(ConfigError, match='not with other'):
        exactness.recorded_steps(logged, other)
    entry = evaluate(logged, [str(other.path)], Options(paced_s=0.0))[0]['policies'][0]
    assert entry['determinism']['recorded_policy'] is False
    assert entry['action_difference']['controller'] == logged.controller
    assert 'differs from recording' in entry['verdict']


def test_a_recording_that_begins_inside_a_grasp_is_still_replayed(logged, bundle):
    middle = logged.states.received_ns[30]
    late = dataclasses.replace(logged, **{n: chosen(s, s.received_ns > middle) for n, s in (
        ('joints', logged.joints), ('commands', logged.commands), ('touch', logged.touch), ('states', logged.states))})
    plan = plan_for(late, bundle)
    assert [inside for *_, inside in plan.runs] == [True]
    assert len(replayed(late, bundle)) == len(late.states)


def test_steps_that_the_recorder_missed_are_counted_and_the_rest_is_exact(logged, bundle):
    """Commands and policy_state of single steps are lost; what follows them remembers what is not there."""
    keep = np.ones(len(logged.states), dtype=bool)
    keep[[30, 31, 90]] = False
    gone = logged.states.stamp_ns[~keep]
    gappy = dataclasses.replace(logged, states=chosen(logged.states, keep),
                                commands=chosen(logged.commands, ~np.isin(logged.commands.stamp_ns, gone)))
    plan = plan_for(gappy, bundle)
    assert len(plan.runs) == 1
    found = exactness.from_topics(gappy, plan, replayed(gappy, bundle), bundle)
    assert found['exact'], found
    assert found['steps'] == found['recorded_steps'] == len(logged.states) - 3
    assert 0 < found['undetermined'] < 40


def test_where_the_node_would_have_held(logged, bundle):
    tip, begin = HAND.tip_taxels[0], logged.states.received_ns[60]
    far = {**bundle.contract['safety'], 'ood_warn': 1e6, 'ood_stop': 1e6}
    bundle = dataclasses.replace(bundle, contract={**bundle.contract, 'safety': far})

    def press(values):
        values[logged.touch.received_ns > begin, tip] = far['max_tip_kpa'] * 1500.0
        return values
    plan = plan_for(logged, bundle)
    assert runner.holds(logged, plan, bundle, bundle.policy()) == []
    pressed = dataclasses.replace(logged, touch=spoilt(logged.touch, press))
    held = runner.holds(pressed, plan, bundle, bundle.policy())
    assert ['pressed' in why for _, why in held] == [True]
    assert 0 < held[0][0] - logged.seconds(begin) < 0.3
    assert len(replayed(pressed, bundle)) == len(logged.states), 'the evaluation goes on all the same'


def test_touch_that_is_late_is_older_and_else_the_same(logged, bundle):
    plan = plan_for(logged, bundle)
    streams = dict(touch_use.variants(logged, plan))
    late = streams['delayed 60 ms']
    rows = logged.touch.newest(plan.now_ns - 60_000_000)
    assert np.array_equal(late.values[rows >= 0], logged.touch.values[rows[rows >= 0]])
    assert not streams['masked'].valid.any()
    first, _, end, _ = plan.runs[0]
    shuffled, base = streams['shuffled'].values[first:end], logged.touch.values[plan.touch[first:end]]
    assert np.array_equal(np.sort(shuffled, axis=0), np.sort(base, axis=0)), 'the same samples'
    assert not np.array_equal(shuffled, base), 'in another order'


def test_deadlines_are_seen_at_the_recordings_own_pace(logged, bundle):
    plan = plan_for(logged, bundle)
    section = pacing.describe(logged, plan, bundle, bundle.policy(), 0.4)
    assert section['measured']
    assert 0.3 < section['seconds'] <= 0.4
    assert section['miss']['n'] == pytest.approx(0.4 * 50, abs=2)
    assert section['service_ms']['max'] > 0
    assert pacing.describe(logged, plan, bundle, bundle.policy(), 0.0)['measured'] is False


def test_the_evidence_command_prints_what_it_compared(capsys):
    code = replay_exactness.main(['--bag', str(BAG.parent), '--backend', 'onnxruntime', 'nonsense'])
    out = capsys.readouterr().out
    assert 'held_box' in out
    assert 'compared' in out
    assert code in (0, 2), 'a bundle that ran answers alike; another one is not compared'


def test_the_hash_in_the_metadata_says_which_files_ran(logged, bundle):
    def recorded_as(digest):
        return dataclasses.replace(logged, sources={'metadata': {'bundle_sha256': digest}})
    assert exactness.same_files(logged, bundle) is None
    assert exactness.same_files(recorded_as('unknown: no such folder'), bundle) is None
    assert exactness.same_files(recorded_as(bundle.fingerprint), bundle) is True
    other = recorded_as('0' * 64)
    assert exactness.same_files(other, bundle) is False
    at = logged.state_names.index('action/joint_3_0')

    def drift(values):
        values[10:, at] += 0.1
        return values
    told = dataclasses.replace(other, states=spoilt(other.states, drift))
    row = exactness.of_engine(told, bundle, exactness.recorded_steps(told, bundle), 'onnxruntime')
    assert 'other files' in row['reason']
