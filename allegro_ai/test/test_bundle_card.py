"""What a bundle says about itself, and what is said about two of them."""

import copy

import numpy as np
import onnx
import pytest
from ai_bundles import changed, sound_files
from allegro_ai.card import verdicts
from allegro_ai.difference import differences
from allegro_ai.evidence.mutants import mended
from allegro_ai.untrusted import parse_yaml
from onnx import numpy_helper

HEAD = {'set': 'H2', 'level': 'L3', 'episodes': 1000, 'success': 0.75, 'ci95': [0.72, 0.78],
        'best_baseline': {'name': 'max squeeze', 'success': 0.6, 'ci95': [0.57, 0.63]},
        'no_touch': {'success': 0.74, 'ci95': [0.71, 0.77]}}


def contract(**head):
    document = parse_yaml(sound_files()['policy.yaml'], 'policy.yaml')
    document['evaluation']['headline'] = {**copy.deepcopy(HEAD), **head}
    return document


def gain(difference, low, high):
    return {'difference': difference, 'ci95': [low, high]}


@pytest.mark.parametrize(('head', 'touch', 'baseline'), [
    ({}, 'Touch does not win', 'The policy wins'),
    ({'touch_gain': gain(0.01, 0.002, 0.018)}, 'Touch wins', 'The policy wins'),
    ({'touch_gain': gain(0.01, -0.002, 0.022)}, 'Touch does not win', 'The policy wins'),
    ({'touch_gain': gain(-0.05, -0.09, -0.01)}, 'Touch loses', 'The policy wins'),
    ({'no_touch': {'success': 0.9, 'ci95': [0.88, 0.92]}}, 'Touch loses', 'The policy wins'),
    ({'baseline_gain': gain(0.15, -0.01, 0.31)}, 'Touch does not win', 'The policy does not win'),
    ({'no_touch': None}, 'What touch is worth is not known', 'The policy wins'),
])
def test_the_first_lines_say_whether_touch_wins_by_the_interval(head, touch, baseline):
    lines = verdicts(contract(**head))
    assert lines[0].startswith(f'**{touch}')
    assert lines[1].startswith(f'**{baseline}')


def test_arms_of_several_runs_are_compared_and_not_the_shipped_one_alone():
    arms = {**gain(0.006, -0.03, 0.04), 'runs': [5, 5], 'success': [0.723, 0.717]}
    line = verdicts(contract(touch_gain=arms))[0]
    assert line.startswith('**Touch does not win:** 72.3% over 5 runs against 71.7% over 5 runs trained without touch')
    assert 'interval over runs and episodes -3.0 … +4.0, so no difference is shown' in line


def test_no_touch_and_no_evaluation_are_said():
    document = contract()
    document['provenance']['touch_used'] = False
    assert 'Touch is not used' in verdicts(document)[0]
    document['evaluation']['headline'] = None
    assert 'Not evaluated' in verdicts(document)[0]


def test_the_card_of_a_bundle_begins_with_it():
    files = changed(lambda d: d['evaluation'].update(headline=copy.deepcopy(HEAD)))
    lines = files['MODEL_CARD.md'].decode().split('\n')
    assert lines[0] == '# random_linear 0.0.1'
    assert lines[2].startswith('**Touch does not win:** 75.0% against 74.0%')


def test_equal_bundles_do_not_differ():
    assert differences(sound_files(), sound_files()) == []


def test_differences_are_said_in_words():
    def change(document):
        document['controller']['kp'][5] = 3.3
        document['runtime']['rate_hz'] = 25.0
        document['inputs'][2]['max_age_ms'] = 80.0
        document['safety'].pop('on_stale')
        document['safety']['on_stale'] = 'hold_then_relax'
        document['action']['scale_rad'] = [value * 2 for value in document['action']['scale_rad']]

    said = '\n'.join(differences(sound_files(), changed(change)))
    for part in ('controller.kp: joint_5_0 3 → 3.3 (+10.0%)', 'runtime.rate_hz: 50 → 25 (-50.0%)   [Control rate',
                 'inputs.tactile_tip_pressure.max_age_ms: 60 → 80 (+33.3%)', 'safety.on_stale: hold → hold_then_relax',
                 'and 10 more', 'graph: the same weights and operators', 'MODEL_CARD.md: altered'):
        assert part in said
    assert 'observation' not in said, 'what is equal is not mentioned'


def test_terms_that_come_go_or_change_places_are_named():
    document = parse_yaml(sound_files()['policy.yaml'], 'policy.yaml')
    one = dict(document, inputs=document['inputs'][1:])
    two = dict(document, inputs=document['inputs'][::-1])
    first = mended(sound_files(), one).files
    assert any('joint_target_error is read now (rad, 16 numbers)' in line for line in differences(first, sound_files()))
    assert any('joint_target_error is no longer read' in line for line in differences(sound_files(), first))
    assert any('another order: grip_class' in line
               for line in differences(sound_files(), mended(sound_files(), two).files))


def test_changed_weights_are_measured():
    proto = onnx.load_model_from_string(sound_files()['policy.onnx'])
    tensor = next(t for t in proto.graph.initializer if t.name == 'thumb_weights')
    values = numpy_helper.to_array(tensor).copy()
    values[0, :2] += np.float32(0.25)
    tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))
    proto.graph.initializer.append(numpy_helper.from_array(np.zeros(3, np.float32), 'more'))
    said = differences(sound_files(), {**sound_files(), 'policy.onnx': proto.SerializeToString()})
    assert any(line.startswith('graph: weights thumb_weights: 2 of 48 changed, by at most 0.25,') for line in said)
    assert any('weights more: only in the second' in line for line in said)


def test_files_on_one_side_only_are_named():
    files = {**sound_files(), 'notes.md': b'x'}
    assert differences(sound_files(), files) == ['notes.md: only in the second']
    assert differences(files, sound_files()) == ['notes.md: only in the first']
