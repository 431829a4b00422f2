"""A policy with memory is reproduced from the topics of a recorder and a node that were late, too."""

import dataclasses

import numpy as np
import pytest
from allegro_ai.bundle import load_bundle
from allegro_bench.evidence import replay_exactness
from allegro_bench.replay import exactness, runner
from allegro_bench.replay.evaluation import plan_for
from allegro_bench.replay.intake import read_inputs
from allegro_bench.replay.logged_past import REMEMBERING, Unsettled
from replay_cases import BAG, HAND, chosen, logged_by, spoilt


@pytest.fixture(scope='module')
def bundle():
    """The shipped policy with a recurrent state, whose own last action is among what it sees."""
    bundle = load_bundle('tactile_hold_structured', HAND)
    assert bundle.contract['runtime']['state']
    assert 'last_action' in bundle.inputs
    return bundle


@pytest.fixture(scope='module')
def logged(bundle):
    return logged_by(read_inputs(BAG), bundle)


def found(inputs, bundle, engine='numpy', *, as_logged=True):
    plan, policy = plan_for(inputs, bundle), bundle.policy(engine)
    return exactness.from_topics(inputs, plan, runner.run(inputs, plan, bundle, policy, as_logged=as_logged), bundle)


def repeating(inputs, steps):
    """As if the node, a little later, had sent its target of these steps again, on a measurement older than that."""
    commands, row = inputs.commands, inputs.commands.row_of(inputs.states.stamp_ns[steps])
    joint = inputs.joints.row_of(commands.stamp_ns[row]) + 1
    late = np.maximum(commands.received_ns[row], inputs.joints.stamp_ns[joint])
    again = dataclasses.replace(commands, **{n: np.concatenate([getattr(commands, n), added]) for n, added in (
        ('received_ns', late + 1_000_000), ('stamp_ns', inputs.joints.stamp_ns[joint]),
        ('values', commands.values[row]), ('valid', commands.valid[row]))})
    first = dataclasses.replace(again, received_ns=again.received_ns.copy())
    first.received_ns[row] = late
    return dataclasses.replace(inputs, commands=chosen(first, np.argsort(first.received_ns, kind='stable')))


@pytest.mark.parametrize('engine', ['numpy', 'onnxruntime'])
def test_every_step_of_a_policy_with_memory_comes_out_of_its_topics(logged, bundle, engine):
    row = found(logged, bundle, engine)
    assert row['exact'], row
    assert row['steps'] - row['undetermined'] > 0.95 * len(logged.states)


def test_a_target_that_was_sent_again_is_no_step(logged, bundle):
    steps = np.array([3, 20, 21, 22, 60, 90])
    spoken = repeating(logged, steps)
    assert len(spoken.commands) == len(logged.commands) + len(steps)
    plan, before = plan_for(spoken, bundle), plan_for(logged, bundle)
    assert np.array_equal(plan.joint, before.joint)
    assert found(spoken, bundle)['exact']


def test_a_step_of_which_only_the_log_is_lost_stays_a_step(logged, bundle):
    """Its command says another target than the one before: the policy did answer, so its memory moves on."""
    keep = np.ones(len(logged.states), dtype=bool)
    keep[[30, 31, 90]] = False
    gappy = dataclasses.replace(logged, states=chosen(logged.states, keep))
    assert np.array_equal(plan_for(gappy, bundle).joint, plan_for(logged, bundle).joint)
    row = found(gappy, bundle)
    assert row['exact'], row


def test_a_recorder_that_heard_late_makes_no_measurement_old(logged, bundle):
    """Touch, commands and policy_state of a while arrive together, later than any measurement may be old."""
    begin, end = logged.states.received_ns[[40, 50]]

    def late(stream):
        inside = (stream.received_ns >= begin) & (stream.received_ns < end)
        received = np.where(inside, end + 60_000_000, stream.received_ns)
        return dataclasses.replace(stream, received_ns=np.maximum.accumulate(received))
    heard = dataclasses.replace(logged, **{n: late(getattr(logged, n)) for n in ('commands', 'states', 'touch')})
    plan, before = plan_for(heard, bundle), plan_for(logged, bundle)
    assert np.array_equal(plan.now_ns[plan.state >= 0], before.now_ns[before.state >= 0]), 'the inferences tell when'
    untimed = dataclasses.replace(heard, inferences=chosen_inferences(heard.inferences, begin, end))
    for inputs in (heard, untimed):
        row = found(inputs, bundle)
        assert row['exact'], row
        assert row['steps'] == len(logged.states)


def chosen_inferences(inferences, begin, end):
    """Those outside a while."""
    keep = (inferences.start_ns < begin) | (inferences.start_ns >= end)
    return type(inferences)(inferences.start_ns[keep], inferences.finish_ns[keep], inferences.release_ns[keep])


def test_commands_that_began_before_the_joint_states_still_say_when_the_node_ticked(logged, bundle):
    """A recorder that heard of the joint states only when the policy was about to act."""
    first = logged.states.stamp_ns[0] - 50_000_000
    late = dataclasses.replace(logged, joints=chosen(logged.joints, logged.joints.stamp_ns >= first))
    assert (logged.commands.stamp_ns < first).mean() > 0.2
    plan = plan_for(late, bundle)
    assert plan.recorded_ticks
    assert found(late, bundle)['exact']


def test_touch_that_was_too_old_for_the_node_is_too_old_for_the_runner(bundle):
    blind = (10, 11, 50)
    logged = logged_by(read_inputs(BAG), bundle, blind)
    assert not logged.columns('tactile_valid')[list(blind)].any()
    plan = plan_for(logged, bundle)
    assert (plan.touch[plan.runs[0][1] + np.array(blind)] == -1).all()
    row = found(logged, bundle)
    assert row['exact'], row


def test_a_first_step_that_cannot_be_told_does_not_spoil_the_run(logged, bundle):
    """The touch of the close is other than the node's: the rate of the first step differs, and with it an answer."""
    plan = plan_for(logged, bundle)
    row = plan.touch[plan.runs[0][1] - 1]
    assert row != plan.touch[plan.runs[0][1]]

    def press(values):
        values[row, HAND.tip_taxels] += 2000.0
        return values
    other = dataclasses.replace(logged, touch=spoilt(logged.touch, press))
    assert not found(other, bundle, as_logged=False)['exact'], 'its memory and its last action carry it on'
    row = found(other, bundle)
    assert row['exact'], row
    assert 0 < row['undetermined'] < 5


def test_answers_of_an_inference_that_is_nowhere_are_not_judged(logged, bundle):
    """One step is missing on every topic: what follows comes from a memory that nobody knows."""
    gone = logged.states.stamp_ns[60]
    holed = dataclasses.replace(logged, **{name: chosen(stream, stream.stamp_ns != gone) for name, stream in (
        ('states', logged.states), ('commands', logged.commands), ('joints', logged.joints))})
    row = found(holed, bundle)
    assert row['exact'], row
    assert row['steps'] - row['undetermined'] <= 60


def test_a_step_that_only_policy_state_holds_is_made_up_for(logged, bundle):
    gone = logged.states.stamp_ns[60]
    holed = dataclasses.replace(logged, joints=chosen(logged.joints, logged.joints.stamp_ns != gone))
    row = found(holed, bundle)
    assert row['exact'], row
    assert row['undetermined'] < 5


def test_a_wrong_last_action_is_still_seen(logged, bundle):
    """A node that shows its policy the action of two steps before."""
    at = [n for n, name in enumerate(logged.state_names) if name.startswith('last_action/')]

    def skew(values):
        values[1:, at] = values[:-1, at].copy()
        return values
    row = found(dataclasses.replace(logged, states=spoilt(logged.states, skew)), bundle)
    assert not row['exact']
    assert 'last_action' in row['reason']


def test_the_evidence_command_says_where_nothing_could_be_judged(bundle, logged, monkeypatch, tmp_path, capsys):
    """No command or policy_state bears the stamp of a joint state: neither exact nor not."""
    apart = dataclasses.replace(logged, commands=dataclasses.replace(
        logged.commands, stamp_ns=logged.commands.stamp_ns + 1), states=dataclasses.replace(
        logged.states, stamp_ns=logged.states.stamp_ns + 1))
    monkeypatch.setattr(replay_exactness, 'read_inputs', lambda _: apart)
    assert replay_exactness.main(['--bag', str(tmp_path), '--policy', str(bundle.path), '--backend', 'numpy']) == 2
    assert 'no step of the recorded policy could be replayed' in capsys.readouterr().out


def test_only_terms_that_remember_excuse_a_step_and_only_at_the_beginning():
    unsettled, rate = Unsettled(), {next(iter(REMEMBERING))}
    assert [unsettled.step(0, False, terms) for terms in (rate, rate, set(), rate)] == [True, True, False, False]
    assert [unsettled.step(1, False, terms) for terms in ({'joint_delta'}, rate)] == [False, False]
    assert unsettled.step(1, True, {'joint_delta'} | rate)
    assert not unsettled.step(1, False, {'joint_delta'})
