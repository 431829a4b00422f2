"""What a replay prints, writes and shows: the words it may use, its schema, and what it does with bad input."""

import dataclasses
import json
import re
import shutil

import numpy as np
import pytest
import yaml
from allegro_bench.cli import main
from allegro_bench.replay import distribution, report, tables
from allegro_bench.replay import document as documents
from allegro_bench.replay.evaluation import Options, evaluate, examine, leakage, plan_for
from allegro_bench.replay.findings import KINDS, LEVELS
from allegro_bench.replay.intake import read_inputs
from allegro_bench.replay.runner import run
from allegro_bench.replay.verdict import HEADER, WORDS
from allegro_description.errors import ConfigError
from replay_cases import BAG, chosen, linear_bundle, logged_by, swapped_joints

QUICK = Options(paced_s=0.0)
FORBIDDEN = 'succ' + 'ess'


@pytest.fixture(scope='module')
def bundle(tmp_path_factory):
    return linear_bundle(tmp_path_factory.mktemp('report') / 'made_up')


@pytest.fixture(scope='module')
def logged(bundle):
    return logged_by(read_inputs(BAG), bundle)


@pytest.fixture(scope='module')
def made(logged, bundle, tmp_path_factory):
    """Document, page, recording, drawn: sound with all sections; spoilt, three policies; with hardly anything."""
    blind = linear_bundle(tmp_path_factory.mktemp('blind') / 'blind', touch=False, name='blind')
    cases = [(logged, [bundle.path], Options(paced_s=0.2, model_check=True)),
             (swapped_joints(logged), [bundle.path, blind.path, 'nonsense'], QUICK),
             (dataclasses.replace(logged, controller='', touch=None, raw=None), [bundle.path], QUICK)]
    found = []
    for inputs, bundles, options in cases:
        document, replayed = evaluate(inputs, [str(b) for b in bundles], options)
        found.append((document, report.render(document, inputs, replayed), inputs, replayed))
    return found


def test_the_word_does_not_occur(made):
    for document, page, *_ in made:
        assert FORBIDDEN not in json.dumps(document).lower()
        assert FORBIDDEN not in page.lower()
        assert FORBIDDEN not in report.text(document).lower()


def test_every_document_fits_the_schema(made):
    pytest.importorskip('jsonschema')
    for document, *_ in made:
        documents.validate(document)
    assert made[0][0]['policies'][0]['model_check']['checked']
    assert made[0][0]['policies'][0]['latency']['measured']
    assert made[1][0]['policies'][2]['error'].startswith('unknown policy bundle')
    assert not made[2][0]['policies'][0]['action_difference']['compared']


def test_the_schema_knows_the_words_and_refuses_others(made):
    pytest.importorskip('jsonschema')
    schema = documents.schema_document()
    entry = schema['properties']['findings']['items']['properties']
    assert set(entry['kind']['enum']) == set(KINDS)
    assert entry['level']['enum'] == list(LEVELS)
    assert set(schema['properties']['policies']['items']['oneOf'][0]['properties']['verdict']['items']['enum']) == set(
        WORDS)
    for spoil in (lambda d: d['policies'][0]['verdict'].append('works'), lambda d: d.update(header='closed loop'),
                  lambda d: d['policies'][0]['coverage'].update(steps=-1), lambda d: d.pop('cannot_say'),
                  lambda d: d['policies'][0]['command_quality']['jerk_rms_rad_s3'].update(value=1.0, segments=3)):
        changed = json.loads(json.dumps(made[0][0]))
        spoil(changed)
        with pytest.raises(ConfigError, match='does not fit'):
            documents.validate(changed)


def test_an_average_over_too_few_segments_is_nowhere(made):
    def averages(value):
        if isinstance(value, dict):
            if 'segments' in value and 'needed' in value:
                yield value
            for inner in value.values():
                yield from averages(inner)
        elif isinstance(value, list):
            for inner in value:
                yield from averages(inner)

    found = [a for document, *_ in made for a in averages(document)]
    assert len(found) > 50
    assert all((a['value'] is None) == (a['segments'] < 30) for a in found)
    assert 'refused: ' in made[0][1], 'and the page says so'


def test_the_page_stands_alone_and_says_what_it_is(made):
    for document, page, *_ in made:
        assert HEADER in page.lower()
        assert not re.search(r'(src|href)=["\']?https?:', page)
        assert 'What this cannot say' in page
        for policy in document['policies']:
            assert policy['name'] in page
        for finding in document['findings']:
            assert finding['kind'].replace('_', ' ') in page
    data = json.loads(re.search(r'id="replay-data">(.*?)</script>', made[0][1], re.S).group(1))
    hand = data['hand']
    assert len(hand['t']) == len(hand['measured']) == len(hand['wanted'][0]['bones']) == len(hand['cells']['at'])
    assert len(hand['measured'][0]) == 3 * (1 + 4 * 5)
    for panel in data['panels']:
        for curve in panel['curves']:
            assert len(curve['t']) == len(curve['v'])
            assert curve['t'] == sorted(curve['t'])


def test_names_from_a_recording_cannot_become_markup(made):
    document, _, inputs, replayed = made[0]
    evil = json.loads(json.dumps(document))
    evil['recording'] |= {'name': '<img src=x onerror=alert(1)>', 'remarks': [
        {'time_s': 1.0, 'text': '</script><b>hi'}]}
    page = report.render(evil, inputs, replayed)
    assert '<img' not in page
    assert '</script><b>' not in page


def test_several_policies_stand_side_by_side(made):
    document = made[1][0]
    for _, _, rows in tables.GROUPS:
        assert all(len(values) == 2 for _, values in rows(document))


def test_the_command_writes_both_files_and_keeps_what_it_can(bundle, tmp_path, capsys):
    code = main(['replay', str(BAG), '--policy', str(bundle.path), 'nonsense', '--pace', '0', '--output',
                 str(tmp_path / 'out')])
    said = capsys.readouterr()
    assert code == 1, 'a part could not be evaluated'
    assert said.out.startswith(HEADER)
    assert 'nonsense: could not be replayed' in said.out
    document = documents.load(tmp_path / 'out')
    assert [p['error'] is None for p in document['policies']] == [True, False]
    assert (tmp_path / 'out' / 'replay.html').stat().st_size < 5_000_000
    assert main(['replay', str(BAG), '--policy', 'nonsense', '--pace', '0', '--output', str(tmp_path / 'none')]) == 2
    kept = documents.load(tmp_path / 'none')
    assert kept['input_health']['streams'], 'what can be said without a policy is said'


@pytest.mark.parametrize('pace', ['-1', 'nan', '1e9'])
def test_a_pace_out_of_bounds(pace, bundle, capsys):
    assert main(['replay', str(BAG), '--policy', str(bundle.path), f'--pace={pace}']) == 2
    assert 'allowed: 0 to 3600' in capsys.readouterr().err


def test_no_bag_an_empty_bag_and_another_hand_are_one_sentence(bundle, tmp_path, capsys):
    (tmp_path / 'empty').mkdir()
    for bag in (tmp_path / 'nothing', tmp_path / 'empty'):
        assert main(['replay', str(bag), '--policy', str(bundle.path)]) == 2
        said = capsys.readouterr().err.strip()
        assert said.startswith('allegro-bench replay:')
        assert '\n' not in said
    code = main(['replay', str(BAG), '--policy', str(bundle.path), '--hand', 'v9_right', '--output', str(tmp_path)])
    assert code == 2
    assert 'v5_sense_right' in capsys.readouterr().err


def test_a_truncated_bag_is_replayed_as_far_as_it_goes(bundle, tmp_path, capsys):
    folder = tmp_path / 'held_box'
    shutil.copytree(BAG, folder)
    whole = (folder / 'held_box_0.mcap').read_bytes()
    (folder / 'held_box_0.mcap').write_bytes(whole[:len(whole) * 9 // 10])
    assert main(['replay', str(folder), '--policy', str(bundle.path), '--pace', '0', '--output',
                 str(tmp_path / 'out')]) == 0
    capsys.readouterr()
    document = documents.load(tmp_path / 'out')
    assert document['recording']['damage']
    assert any(f['kind'] == 'damage' for f in document['findings'])
    assert document['policies'][0]['coverage']['steps'] > 20


@pytest.mark.parametrize('lost', ['touch', 'raw', 'commands', 'states', 'everything'])
def test_missing_topics_are_named_and_the_rest_is_replayed(logged, bundle, lost):
    gone = ('touch', 'raw', 'commands', 'states') if lost == 'everything' else (lost,)
    bare = dataclasses.replace(logged, **dict.fromkeys(gone))
    if 'states' in gone:
        bare = dataclasses.replace(bare, state_names=())
    plan = plan_for(bare, bundle)
    named = {f.topic for f in examine(bare, plan, bundle) if f.kind == 'missing_topic'}
    topics = {'touch': 'tactile/points', 'commands': 'joint_commands', 'states': 'grasp_policy/policy_state'}
    assert named == {topics[g] for g in gone if g in topics}
    assert len(run(bare, plan, bundle, bundle.policy())) > 20
    if lost == 'everything':
        document, replayed = evaluate(bare, [str(bundle.path)], QUICK)
        assert document['policies'][0]['error'] is None
        report.render(document, bare, replayed)


def test_a_recording_in_which_nothing_happens(logged, bundle):
    still = logged.joints.received_ns < logged.joints.received_ns[3]
    short = dataclasses.replace(logged, joints=chosen(logged.joints, still), commands=None, states=None, state_names=(),
                                touch=None, raw=None, episodes=())
    document, replayed = evaluate(short, [str(bundle.path)], QUICK)
    assert 'answered no step' in document['policies'][0]['error']
    assert 'could not be replayed' in report.text(document)
    report.render(document, short, replayed)


def test_a_recording_that_training_has_seen(logged, bundle):
    record = bundle.contract['provenance']['randomisation']
    digest = 'ab' * 32
    seen = dataclasses.replace(bundle, files={**bundle.files, record: f'recordings: [{digest}]\n'.encode()})
    known = dataclasses.replace(logged, sources={'files': {'held_box_0.mcap': digest}})
    assert leakage(known, seen)['leaked'] == ['held_box_0.mcap']
    assert leakage(known, bundle)['leaked'] == []


def test_a_policy_far_from_its_training_data_is_said_to_be(logged, bundle):
    plan = plan_for(logged, bundle)
    trace = run(logged, plan, bundle, bundle.policy())

    def judged(warn):
        safety = {**bundle.contract['safety'], 'ood_warn': warn, 'ood_stop': 1e6}
        return distribution.describe(trace, dataclasses.replace(bundle, contract={**bundle.contract, 'safety': safety}))
    assert not judged(float(trace.score.max()))['out_of_distribution']
    far = judged(float(np.percentile(trace.score, 90)))
    assert far['out_of_distribution']
    assert far['above_warn'] == pytest.approx(0.1, abs=0.02)
    assert {e['term'] for e in far['exceedance']} == set(far['terms'])


def test_planted_faults_reach_the_page(made):
    document, page, *_ = made[1]
    found = [f for f in document['findings'] if f['kind'] == 'swapped_fingers']
    assert all(f['from_s'] is not None for f in found)
    assert {f['bundle'] for f in document['findings'] if f['kind'] == 'not_using_touch'} == {'blind-0.0.1'}
    for said in (page, report.text(document)):
        for words in ('swapped fingers', 'joint_states', 'index and ring', 'Map joints and taxels by name',
                      'not using touch'):
            assert words in said


def test_the_recording_of_the_tests_is_small_and_says_who_made_it():
    meta = yaml.safe_load((BAG / 'metadata.yaml').read_text())['rosbag2_bagfile_information']
    assert meta['message_count'] > 1000
    assert sum(p.stat().st_size for p in BAG.iterdir()) < 600_000
