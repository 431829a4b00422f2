"""Faults planted into a real recording of the emulated hand are named; the sound recording raises none."""

import dataclasses

import numpy as np
import pytest
from allegro_bench.replay import report
from allegro_bench.replay.evaluation import Options, evaluate, examine, lagging, plan_for
from allegro_bench.replay.intake import read_inputs
from allegro_bench.replay.runner import run
from allegro_description.share import share_dir
from replay_cases import (
    BAG,
    HAND,
    PLANTED,
    linear_bundle,
    logged_by,
    missed_by_the_recorder,
    mutilated,
    swapped_joints,
)

QUICK = Options(paced_s=0.0)


@pytest.fixture(scope='module')
def bundle(tmp_path_factory):
    return linear_bundle(tmp_path_factory.mktemp('bundles') / 'made_up')


@pytest.fixture(scope='module')
def sound(bundle):
    return logged_by(read_inputs(BAG), bundle)


def findings(inputs, bundle):
    """What a report says about the recording, without the rest of the report."""
    plan = plan_for(inputs, bundle)
    trace = run(inputs, plan, bundle, bundle.policy())
    found = [*examine(inputs, plan, bundle), *lagging(inputs, plan, trace, bundle, inputs.controller)]
    return [f.as_dict() for f in found]


def graver(found):
    """What is about the recording; that a random policy is far from its training data says nothing here."""
    return [f for f in found if f['level'] != 'note' and f['kind'] != 'hold']


def test_a_sound_recording_raises_nothing(sound, bundle):
    assert graver(evaluate(sound, [str(bundle.path)], QUICK)[0]['findings']) == []


def test_nor_does_it_as_it_was_recorded(bundle):
    """Whoever ran then: only that it was another policy may be seen."""
    assert graver(findings(read_inputs(BAG), bundle)) == []


@pytest.mark.parametrize('name', ['objects', 'disturbances', 'slip', 'link_fault'])
def test_the_data_set_shows_what_was_injected_and_nothing_else(bundle, name):
    """Only in ``link_fault`` was something done to the wire: no sample for 0.3 s, and the driver says so."""
    inputs = read_inputs(share_dir('allegro_bench') / 'datasets' / 'emulated_hand' / name)
    found = graver(findings(inputs, bundle))
    expected = {'stale_joint_states', 'fault_reported', 'lost_messages'} if name == 'link_fault' else set()
    assert {f['kind'] for f in found} == expected
    assert [f['topic'] for f in found if f['level'] == 'fault'] == ['/joint_states'] * bool(expected)


def test_nor_without_policy_state_or_raw_touch(sound, bundle):
    bare = dataclasses.replace(sound, states=None, state_names=(), raw=None)
    assert graver(findings(bare, bundle)) == []


@pytest.mark.parametrize('name', PLANTED)
def test_a_planted_fault_is_named(sound, bundle, name):
    plant, kind, topic = PLANTED[name]
    faults = [f for f in findings(plant(sound), bundle) if f['level'] == 'fault']
    found = [f for f in faults if f['kind'] == kind]
    assert found, f'{name} was not found'
    assert any(f['topic'].endswith(topic) for f in found)
    assert all(f['remedy'] for f in found)
    assert {f['kind'] for f in faults} == {kind}, 'and it is not taken for another one'


def test_which_fingers_and_when(sound, bundle):
    found = [f for f in findings(swapped_joints(sound), bundle) if f['kind'] == 'swapped_fingers']
    assert all('index and ring' in f['text'] for f in found)
    stale = next(f for f in findings(PLANTED['silent_joints'][0](sound), bundle) if f['kind'] == 'stale_joint_states')
    middle = sound.seconds(sound.states.received_ns[len(sound.states) // 2])
    assert abs(stale['from_s'] - middle) < 0.05
    assert 0.19 < stale['to_s'] - stale['from_s'] < 0.25


def test_what_the_recorder_missed_is_not_blamed_on_the_hand(sound, bundle):
    found = [f for f in findings(missed_by_the_recorder(sound), bundle) if f['topic'].endswith('joint_states')]
    assert [(f['kind'], f['level']) for f in found] == [('lost_messages', 'warning')]


def test_a_policy_that_is_blind_to_touch_is_not_a_touch_policy(sound, tmp_path):
    blind = linear_bundle(tmp_path / 'touch_grasp', touch=False, name='touch_grasp')
    document = evaluate(sound, [str(blind.path)], QUICK)[0]
    found = [f for f in document['findings'] if f['kind'] == 'not_using_touch']
    assert [f['bundle'] for f in found] == ['touch_grasp-0.0.1']
    assert document['policies'][0]['touch_use']['verdict'] == 'not using touch'
    assert all(v['action_p99'] == 0 for v in document['policies'][0]['touch_use']['variants'])


def test_units_are_checked(sound, bundle):
    kilo = dataclasses.replace(sound, raw=dataclasses.replace(sound.raw, values=sound.raw.values * 1e-3))
    assert any(f['kind'] == 'wrong_unit' and 'kPa' in f['text'] for f in findings(kilo, bundle))
    degrees = dataclasses.replace(sound, joints=dataclasses.replace(
        sound.joints, values=np.degrees(sound.joints.values)))
    assert any(f['kind'] == 'wrong_unit' and 'radians' in f['remedy'] for f in findings(degrees, bundle))


def test_a_dead_and_a_saturated_cell(sound, bundle):
    tip = HAND.tip_taxels[1]
    raw = sound.raw.values.copy()
    resting = raw[:, tip].min()
    raw[:, tip] += 500 - resting
    half, steps = len(raw) // 2, 20
    raw[half - steps:half, tip] *= 0.75 ** np.arange(1, steps + 1)  # through the low-pass of the sensor
    raw[half:, tip] = 0
    found = findings(dataclasses.replace(sound, raw=dataclasses.replace(sound.raw, values=raw)), bundle)
    assert [f['level'] for f in found if f['kind'] == 'dead_taxel'] == ['fault']
    raw = sound.raw.values.copy()
    raw[200, tip], raw[201, tip] = 99_000, 0
    found = findings(dataclasses.replace(sound, raw=dataclasses.replace(sound.raw, values=raw)), bundle)
    assert any(f['kind'] == 'saturated_taxel' for f in found)


def test_joint_states_that_arrive_too_late_all_the_time(sound, bundle):
    """Stamped a tenth of a second before they arrive: clocks that differ, or a slow relay."""
    def older(stream):
        return dataclasses.replace(stream, stamp_ns=stream.stamp_ns - 100_000_000)
    late = dataclasses.replace(sound, joints=older(sound.joints), commands=older(sound.commands),
                               states=older(sound.states))
    found = [f for f in findings(late, bundle) if f['kind'] == 'stale_joint_states']
    assert [f['level'] for f in found] == ['fault']
    assert '100 ms old' in found[0]['text'] or '101 ms old' in found[0]['text']


@pytest.mark.filterwarnings('error')
@pytest.mark.parametrize('seed', range(12))
def test_a_mutilated_recording_is_examined_all_the_same(sound, bundle, seed):
    for finding in findings(mutilated(sound, seed), bundle):
        assert finding['text']
        assert finding['remedy']
        assert finding['from_s'] is None or -1e3 < finding['from_s'] < 1e3


@pytest.mark.filterwarnings('error')
def test_and_reported(sound, bundle):
    inputs = mutilated(sound, 77)
    document, replayed = evaluate(inputs, [str(bundle.path)], QUICK)
    assert report.render(document, inputs, replayed)
