"""Every way in which a bundle can be wrong, and that each is refused with a sentence that names it."""

import copy
import json
import shutil

import numpy as np
import onnx
import pytest
import yaml
from ai_bundles import edit_contract, mend, random_weights, write_graph, write_random_bundle
from allegro_ai.bundle import available_bundles, find_bundle, load_bundle
from allegro_ai.contract import METADATA, check_controller
from allegro_ai.golden import random_observations
from allegro_ai.graph import inspect
from allegro_ai.linear_policy import INPUTS, LinearPolicy
from allegro_ai.observation import ObservationSpec
from allegro_ai.schema import contract_schema, validate
from allegro_description.errors import BundleError, UnknownName
from allegro_description.model import load_hand, read_hand
from allegro_description.share import share_dir
from onnx import TensorProto, helper, numpy_helper

from allegro_ai import golden, integrity

HAND = load_hand()


@pytest.fixture(scope='module')
def original(tmp_path_factory):
    folder = tmp_path_factory.mktemp('bundles') / 'random_linear'
    write_random_bundle(folder)
    return folder


@pytest.fixture(scope='module')
def contract(original):
    return yaml.safe_load((original / 'policy.yaml').read_text())


@pytest.fixture
def folder(original, tmp_path):
    return shutil.copytree(original, tmp_path / 'bundle')


def fields(schema, path=()):
    """Every required field of the schema, as a path of keys."""
    for name in schema.get('required', ()):
        yield (*path, name)
        yield from fields(schema['properties'][name], (*path, name))
    if 'items' in schema and isinstance(schema['items'], dict):
        yield from fields(schema['items'], (*path, 0))


REQUIRED = [path for path in fields(contract_schema()) if 'headline' not in path[:-1] and 'state' not in path[:-1]]


def parent(document, path):
    for key in path[:-1]:
        document = document[key]
    return document


def test_a_written_bundle_loads_and_answers_as_trained(original):
    bundle = load_bundle(original, HAND)
    policy = bundle.policy()
    observation = random_observations(HAND, ObservationSpec(), 20, 1, seed=99)[0]
    expected = LinearPolicy(HAND, random_weights(HAND)).act(observation)
    np.testing.assert_allclose(policy.act(observation), expected, atol=1e-6)
    assert bundle.name == 'random_linear-0.0.1'
    assert bundle.period_s == pytest.approx(0.02)
    assert not bundle.touch_required
    np.testing.assert_allclose(bundle.controller().start_pose, HAND.pose('home'))
    assert bundle.inputs == INPUTS


def test_the_bundle_is_complete(original):
    names = set(integrity.list_files(original))
    assert names == {'policy.yaml', 'policy.onnx', 'golden.npz', 'ood.npz', 'train.yaml', 'eval/closed_loop.json',
                     'MODEL_CARD.md', 'LICENSE', 'SHA256SUMS'}
    card = (original / 'MODEL_CARD.md').read_text()
    assert 'Not evaluated' in card
    assert 'not validated on hardware' in card
    assert 'tactile_tip_pressure' in card
    assert not [p for p in original.parent.iterdir() if p.name.startswith('.writing')]


def test_metadata_ties_a_loose_graph_to_its_contract(original):
    report = inspect((original / 'policy.onnx').read_bytes())
    document = yaml.safe_load((original / 'policy.yaml').read_text())
    assert report.metadata[METADATA['name']] == 'random_linear'
    assert report.metadata[METADATA['contract']] == integrity.contract_hash(document)
    document['integrity'] = {'files': {}}
    assert report.metadata[METADATA['contract']] == integrity.contract_hash(document), 'the cycle is cut at integrity'
    document['action']['rate_limit_rad_s'] = 1.9
    assert report.metadata[METADATA['contract']] != integrity.contract_hash(document)


@pytest.mark.parametrize('path', REQUIRED, ids=lambda p: '.'.join(map(str, p)))
def test_each_required_field_is_required(contract, path):
    document = copy.deepcopy(contract)
    del parent(document, path)[path[-1]]
    with pytest.raises(BundleError, match=r'policy\.yaml') as error:
        validate(document, contract_schema(), 'policy.yaml')
    assert str(path[-1]) in str(error.value)
    assert 'missing' in str(error.value)


@pytest.mark.parametrize('path', [p for p in REQUIRED if len(p) <= 2], ids=lambda p: '.'.join(map(str, p)))
def test_our_checker_and_jsonschema_agree(contract, path):
    jsonschema = pytest.importorskip('jsonschema')
    theirs = jsonschema.Draft202012Validator(contract_schema())
    for value in (None, -5, 'nonsense', [], {'a': 1}, float('nan'), True):
        document = copy.deepcopy(contract)
        parent(document, path)[path[-1]] = value
        try:
            validate(document, contract_schema(), 'policy.yaml')
            ours = True
        except BundleError:
            ours = False
        if isinstance(value, float):
            assert not ours, 'NaN is never a value; JSON does not know it'
        else:
            assert ours == theirs.is_valid(document), f'{path} = {value!r}'


def test_the_schema_is_valid_and_says_what_each_field_means():
    jsonschema = pytest.importorskip('jsonschema')
    jsonschema.Draft202012Validator.check_schema(contract_schema())

    def walk(schema, path):
        assert schema.get('description'), f'{path} has no description'
        for name, part in schema.get('properties', {}).items():
            walk(part, f'{path}.{name}')

    walk(contract_schema(), '')


def put(path, value):
    def change(document):
        parent(document, path)[path[-1]] = value
    return change


WRONG = {
    'unknown field': (lambda d: d['safety'].update(workspace='big'), r'safety\.workspace is not a known field'),
    'unknown version': (put(('schema_version',), 2), 'schema_version is 2; must be 1'),
    'NaN number': (put(('action', 'scale_rad', 3), float('nan')), r'scale_rad\[3\] is nan'),
    'negative rate': (put(('runtime', 'rate_hz'), -50), 'rate_hz is -50'),
    'text for a number': (put(('safety', 'stale_ms'), '60'), 'stale_ms'),
    'loose golden tolerance': (put(('golden', 'tolerance'), 0.1), 'golden.tolerance'),
    'other semantics': (put(('action', 'semantics'), 'torque'), 'action.semantics'),
    'normaliser outside': (put(('normalisation', 'location'), 'in_node'), 'normalisation.location'),
    'skewed pairing': (put(('timing', 'pairing'), 'obs[t] with target[t]'), 'timing.pairing'),
    'short vector': (lambda d: d['controller']['kp'].pop(), r'controller\.kp has 15 values'),
    'joint twice': (put(('joints', 1), 'joint_0_0'), 'names a joint twice'),
    'foreign joint': (put(('joints', 1), 'joint_99'), 'joint_99'),
    'joints in another order': (lambda d: d['joints'].reverse(), 'order'),
    'other hand': (put(('hand', 'profile'), 'v4_left'), "is 'v4_left', but the hand is 'v5_sense_right'"),
    'other description': (put(('hand', 'profile_sha256'), '0' * 64), 'have changed since training'),
    'start pose outside': (put(('safety', 'start_pose', 0), 2.0), 'joint_0_0'),
    'unknown term': (put(('inputs', 0, 'name'), 'object_pose'), 'object_pose'),
    'other unit': (put(('inputs', 2, 'unit'), 'Pa'), r"unit is 'Pa'.*'kPa'"),
    'tips in another order': (lambda d: d['inputs'][2]['elements'].reverse(), 'elements'),
    'term twice': (lambda d: d['inputs'].append(copy.deepcopy(d['inputs'][0])), 'listed twice'),
    'mask without mask': (lambda d: d['inputs'][2].pop('mask'), 'mask'),
    'masked joints': (lambda d: d['inputs'][0].update(required=False, on_missing='mask', mask='tactile_valid'),
                      'only touch can be masked'),
    'other opset': (put(('runtime', 'opset'), 18), 'opset'),
    'other output': (put(('output', 'name'), 'actions'), 'outputs are'),
    'other gains': (put(('controller', 'kp', 5), 9.0), r'kp of joint_5_0 is 9, but the .* has 3'),
    'a term the graph lacks': (lambda d: d['inputs'].append(
        {**copy.deepcopy(d['inputs'][0]), 'name': 'last_action', 'kind': 'action/last', 'unit': '1',
         'source': 'derived'}), 'inputs are'),
    'stack the graph lacks': (put(('runtime', 'history'), {'kind': 'stack', 'steps': 3}), 'shape'),
    'hysteresis upside down': (put(('observation', 'contact_off_kpa'), 5.0), 'contact_off_kpa'),
}


@pytest.mark.parametrize('name', WRONG)
def test_a_contract_that_does_not_fit_is_refused(folder, name):
    change, message = WRONG[name]
    edit_contract(folder, change)
    with pytest.raises(BundleError, match=message) as error:
        load_bundle(folder, HAND)
    assert '\n' not in str(error.value)


def test_a_contract_on_its_own_cannot_be_altered(folder):
    path = folder / 'policy.yaml'
    path.write_text(path.read_text().replace('rate_limit_rad_s: 2.0', 'rate_limit_rad_s: 9.0'))
    with pytest.raises(BundleError, match=r'policy\.yaml was altered'):
        load_bundle(folder, HAND)
    integrity.write_sums(folder)
    with pytest.raises(BundleError, match='do not belong together'):
        load_bundle(folder, HAND)


@pytest.mark.parametrize('name', ['policy.onnx', 'golden.npz', 'ood.npz', 'MODEL_CARD.md', 'eval/closed_loop.json'])
def test_altered_and_missing_files_are_refused(folder, name):
    path = folder / name
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(bytes(data))
    with pytest.raises(BundleError, match=f'{name} was altered'):
        load_bundle(folder, HAND)
    path.unlink()
    with pytest.raises(BundleError, match=f'{name} is missing'):
        load_bundle(folder, HAND)


def test_files_that_do_not_belong_are_refused(folder):
    (folder / 'weights.pkl').write_bytes(b'')
    with pytest.raises(BundleError, match=r'weights\.pkl does not belong'):
        load_bundle(folder, HAND)
    (folder / 'weights.pkl').unlink()
    (folder / 'more.json').write_text('{}')
    with pytest.raises(BundleError, match=r'more\.json is not listed'):
        load_bundle(folder, HAND)
    (folder / 'more.json').unlink()
    (folder / 'link.md').symlink_to('/etc/hostname')
    with pytest.raises(BundleError, match=r'link\.md is a link'):
        load_bundle(folder, HAND)


@pytest.mark.parametrize(('text', 'message'), [
    ('schema_version: 1\nschema_version: 1\n', 'occurs twice'),
    ('!!python/object/apply:os.getcwd []', 'not a YAML file'),
    ('a: [1, 2', 'not a YAML file'),
    ('- 1\n- 2\n', 'must be object'),
    ('', 'must be object'),
])
def test_damaged_yaml_is_refused(folder, text, message):
    (folder / 'policy.yaml').write_text(text)
    integrity.write_sums(folder)
    with pytest.raises(BundleError, match=message):
        load_bundle(folder, HAND)


def graph_of(folder):
    return onnx.load(folder / 'policy.onnx')


def nan_weights(proto):
    tensor = next(t for t in proto.graph.initializer if t.name == 'finger_weights')
    values = numpy_helper.to_array(tensor).copy()
    values[0, 0] = np.nan
    tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))


def foreign_operator(proto):
    proto.graph.node[0].domain = 'com.example'
    proto.opset_import.append(helper.make_opsetid('com.example', 1))


def unlisted_operator(proto):
    proto.graph.node.append(helper.make_node('RandomNormal', [], ['noise'], shape=[1]))


def control_flow(proto):
    value = numpy_helper.from_array(np.zeros(1, dtype=np.float32), 'v')
    body = helper.make_graph([helper.make_node('Constant', [], ['v'], value=value)], 'b', [],
                             [helper.make_tensor_value_info('v', TensorProto.FLOAT, [1])])
    condition = helper.make_tensor('c', TensorProto.BOOL, [], [True])
    proto.graph.initializer.append(condition)
    proto.graph.node.append(helper.make_node('If', ['c'], ['branch'], then_branch=body, else_branch=body))


def external_data(proto):
    tensor = next(t for t in proto.graph.initializer if t.name == 'finger_weights')
    tensor.ClearField('raw_data')
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key='location', value='../../secret')


def changed_weight(proto):
    tensor = next(t for t in proto.graph.initializer if t.name == 'finger_weights')
    values = numpy_helper.to_array(tensor).copy()
    values[0, 0] += 0.01
    tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))


def other_metadata(proto):
    helper.set_model_props(proto, {**{p.key: p.value for p in proto.metadata_props}, METADATA['version']: '9.9.9'})


def renamed_input(proto):
    proto.graph.input[0].name = 'errors'
    for node in proto.graph.node:
        node.input[:] = ['errors' if n == 'joint_target_error' else n for n in node.input]


@pytest.mark.parametrize(('change', 'message'), [
    (nan_weights, "weight 'finger_weights' holds NaN"),
    (foreign_operator, 'com.example'),
    (unlisted_operator, "'RandomNormal'"),
    (control_flow, "operator 'If'"),
    (external_data, "'finger_weights' lies in an external file"),
    (other_metadata, "metadata allegro.version is '9.9.9'"),
    (renamed_input, 'inputs are'),
], ids=lambda v: getattr(v, '__name__', ''))
def test_graphs_that_may_not_run_are_refused(folder, change, message):
    proto = graph_of(folder)
    change(proto)
    write_graph(folder, proto)
    with pytest.raises(BundleError, match=message) as error:
        load_bundle(folder, HAND)
    assert '\n' not in str(error.value)


def test_bytes_that_are_no_graph_are_refused(folder):
    (folder / 'policy.onnx').write_bytes(b'\x00\x01 not a graph')
    mend(folder)
    with pytest.raises(BundleError, match=r'policy\.onnx'):
        load_bundle(folder, HAND)


def test_golden_vectors_catch_a_changed_weight(folder):
    proto = graph_of(folder)
    changed_weight(proto)
    write_graph(folder, proto)
    bundle = load_bundle(folder, HAND)
    with pytest.raises(BundleError, match=r'golden.npz: the policy answers differently'):
        bundle.policy()


def golden_without_input(arrays):
    del arrays['input/joint_delta']


def golden_too_few(arrays):
    for name in arrays:
        arrays[name] = arrays[name][:10]


def golden_nan(arrays):
    arrays['output'][0, 0, 0] = np.nan


@pytest.mark.parametrize('change', [golden_without_input, golden_too_few, golden_nan])
def test_golden_vectors_that_prove_nothing_are_refused(folder, change):
    arrays = {k: v.copy() for k, v in integrity.read_arrays(folder / 'golden.npz').items()}
    change(arrays)
    np.savez(folder / 'golden.npz', **arrays)
    mend(folder)
    with pytest.raises(BundleError, match=golden.FILE):
        load_bundle(folder, HAND).policy()


def test_pickles_are_never_opened(folder):
    np.savez(folder / 'golden.npz', allow_pickle=True, output=np.array([{'a': 1}], dtype=object))
    mend(folder)
    with pytest.raises(BundleError, match='not a plain numpy archive'):
        load_bundle(folder, HAND).policy()


def test_statistics_that_cannot_score_are_refused(folder):
    arrays = dict(integrity.read_arrays(folder / 'ood.npz'))
    for name, value in (('mean', arrays['mean'][:-1]), ('scale', arrays['scale'] * 0), ('terms', np.array(['x']))):
        np.savez(folder / 'ood.npz', **{**arrays, name: value})
        mend(folder)
        with pytest.raises(BundleError, match=r'ood\.npz'):
            load_bundle(folder, HAND)


def test_ood_score_is_near_one_inside_and_large_outside(original):
    model = load_bundle(original, HAND).ood()
    inside = random_observations(HAND, ObservationSpec(), 300, 1, seed=5)[0]
    score = model.score(inside)
    assert 0.8 < np.median(score) < 1.2
    assert np.quantile(score, 0.99) < 3
    outside = {**inside, 'joint_delta': inside['joint_delta'] + 1.0}
    assert (model.score(outside) > 6).all()


def test_comments_in_the_hand_description_do_not_make_a_policy_unfit(tmp_path):
    text = (share_dir() / 'hands' / 'v5_sense_right.yaml').read_text()
    commented, regained = tmp_path / 'a.yaml', tmp_path / 'b.yaml'
    commented.write_text(text + '\n# a remark\n')
    regained.write_text(text.replace('joint_5_0: [3.0, 0.15]', 'joint_5_0: [3.1, 0.15]'))
    assert integrity.hand_fingerprint(read_hand(commented)) == integrity.hand_fingerprint(HAND)
    assert integrity.hand_fingerprint(read_hand(regained)) != integrity.hand_fingerprint(HAND)


def test_gains_of_a_driver_are_compared_by_joint(original):
    contract = load_bundle(original, HAND).contract
    check_controller(contract, HAND.kp * 1.2, HAND.kd, HAND.torque_limit, 'driver')
    kp = HAND.kp.copy()
    kp[7] *= 1.5
    with pytest.raises(BundleError, match=r'joint_7_0 is 0\.6, but the driver has 0\.9'):
        check_controller(contract, kp, HAND.kd, HAND.torque_limit, 'driver')
    with pytest.raises(BundleError, match='cannot be compared'):
        check_controller(contract, kp[:4], HAND.kd, HAND.torque_limit, 'driver')


def test_nothing_is_left_behind_when_writing_fails(tmp_path):
    with pytest.raises(BundleError, match='stale_ms'):
        write_random_bundle(tmp_path / 'b', safety={'stale_ms': -1.0})
    assert list(tmp_path.iterdir()) == []
    write_random_bundle(tmp_path / 'b')
    with pytest.raises(BundleError, match='exists'):
        write_random_bundle(tmp_path / 'b')


def test_unknown_bundles_are_listed(tmp_path):
    with pytest.raises(UnknownName, match='policy bundle'):
        find_bundle('no_such_bundle')
    with pytest.raises(BundleError, match=r'policy\.yaml is missing'):
        load_bundle(tmp_path, HAND)
    for name in available_bundles():
        assert load_bundle(name, HAND).policy().backend.faithful


def test_the_evaluation_file_is_the_one_the_card_was_made_from(original):
    results = json.loads((original / 'eval/closed_loop.json').read_text())
    assert results['status'] == 'not evaluated'
    assert results['reason'] in (original / 'MODEL_CARD.md').read_text()
    assert yaml.safe_load((original / 'policy.yaml').read_text())['evaluation']['headline'] is None
