"""Fields of policy.yaml: what is missing, wrong, unknown or contradictory is refused by a sentence that names it."""

import copy

import pytest
from ai_bundles import SLIP, bundle_of, changed, sound_files, write_recurrent_bundle
from allegro_ai.contract import check_controller, check_mode, golden_tolerance
from allegro_ai.evidence.mutants import mended
from allegro_ai.integrity import hand_fingerprint
from allegro_ai.schema import contract_schema, validate
from allegro_ai.untrusted import parse_yaml
from allegro_description.errors import BundleError
from allegro_description.model import load_hand, read_hand
from allegro_description.share import share_dir

HAND = load_hand()


@pytest.fixture(scope='module')
def contract():
    return parse_yaml(sound_files()['policy.yaml'], 'policy.yaml')


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
    'privileged input': (put(('inputs', 0, 'name'), 'privileged_object_mass'), 'is privileged: only a simulator'),
    'privileged kind': (put(('inputs', 0, 'kind'), 'privileged/mass'), 'is privileged'),
    'touch claimed': (lambda d: d.update(inputs=[e for e in d['inputs'] if not e['name'].startswith('tactile')]),
                      'touch_used is true, but no input is touch'),
    'name with a line break': (put(('bundle', 'name'), 'tactile\n'), 'must match'),
    'number without end': (put(('runtime', 'rate_hz'), 10 ** 40), 'ordinary size'),
    'hysteresis upside down': (put(('observation', 'contact_off_kpa'), 5.0), 'contact_off_kpa'),
}


def altered(change):
    """The sound bundle with a change in its contract and everything made to fit it."""
    document = parse_yaml(sound_files()['policy.yaml'], 'policy.yaml')
    change(document)
    return mended(sound_files(), document).files


@pytest.mark.parametrize('name', WRONG)
def test_a_contract_that_does_not_fit_is_refused(name):
    change, message = WRONG[name]
    with pytest.raises(BundleError, match=message) as error:
        bundle_of(altered(change))
    assert '\n' not in str(error.value)
    assert len(str(error.value)) < 2000


def test_only_what_is_wrong_is_refused():
    assert bundle_of(altered(lambda d: d['safety'].update(stale_ms=70.0))).contract['safety']['stale_ms'] == 70.0


def test_comments_in_the_hand_description_do_not_make_a_policy_unfit(tmp_path):
    text = (share_dir() / 'hands' / 'v5_sense_right.yaml').read_text()
    commented, regained = tmp_path / 'a.yaml', tmp_path / 'b.yaml'
    commented.write_text(text + '\n# a remark\n')
    regained.write_text(text.replace('joint_5_0: [3.0, 0.15]', 'joint_5_0: [3.1, 0.15]'))
    assert hand_fingerprint(read_hand(commented)) == hand_fingerprint(HAND)
    assert hand_fingerprint(read_hand(regained)) != hand_fingerprint(HAND)


def test_gains_of_a_driver_are_compared_by_joint(contract):
    check_controller(contract, HAND.kp * 1.2, HAND.kd, HAND.torque_limit, 'driver')
    kp = HAND.kp.copy()
    kp[7] *= 1.5
    with pytest.raises(BundleError, match=r'joint_7_0 is 0\.6, but the driver has 0\.9'):
        check_controller(contract, kp, HAND.kd, HAND.torque_limit, 'driver')
    with pytest.raises(BundleError, match='cannot be compared'):
        check_controller(contract, kp[:4], HAND.kd, HAND.torque_limit, 'driver')


def test_a_second_output_has_a_meaning_or_is_refused(tmp_path):
    bundle = write_recurrent_bundle(tmp_path / 'b')
    policy = bundle.policy()
    assert not policy.extra
    arrays = bundle.arrays('golden.npz')
    for step in range(2):
        policy.act({'joint_target_error': arrays['input/joint_target_error'][5:6, step]})
    assert policy.extra['slip_probability'] == pytest.approx(arrays['output/slip_probability'][5:6, 1], abs=1e-4)
    assert 0 < policy.extra['slip_probability'].item() < 1
    policy.reset()
    assert not policy.extra, 'what was said about the last object says nothing about the next'
    for entry, message in (({**SLIP, 'range': [0, 2]}, r'lies in \[0, 1\]'),
                           ({**SLIP, 'elements': ['a', 'b']}, '2 names'),
                           ({**SLIP, 'name': 'torque'}, "'torque'; must be one of 'slip_probability'"),
                           ({**SLIP, 'shape': [2], 'elements': ['a', 'b']}, 'policy.yaml says')):
        with pytest.raises(BundleError, match=message):
            bundle_of(changed(lambda d, e=entry: d.update(extra_outputs=[e]), dict(bundle.files)))
    with pytest.raises(BundleError, match=r"outputs are .*'slip_probability'"):
        bundle_of(changed(lambda d: d.pop('extra_outputs'), dict(bundle.files)))


def test_a_converted_precision_needs_a_recorded_tolerance(tmp_path):
    bundle = write_recurrent_bundle(tmp_path / 'b')
    assert golden_tolerance(bundle.contract, 'onnxruntime') == 1e-4
    assert golden_tolerance(bundle.contract, 'onnxruntime', 'int8_dynamic') == 0.05
    with pytest.raises(BundleError, match=r'no openvino/bf16, .*recorded: onnxruntime/int8_dynamic'):
        bundle.policy('openvino', 'bf16')
    files = changed(lambda d: d['golden'].update(tolerances={'numpy/fp32': 1e-6}), dict(bundle.files))
    assert golden_tolerance(bundle_of(files).contract, 'numpy') == 1e-6
    for key, value, message in (('numpy', 0.1, "must match"), ('numpy/int8', 0.5, 'at most 0.2')):
        with pytest.raises(BundleError, match=message):
            bundle_of(changed(lambda d, k=key, v=value: d['golden'].update(tolerances={k: v}), dict(bundle.files)))


def test_workloads_load_and_are_refused_live():
    def workload(document):
        document['kind'] = 'workload'
        for entry in document['inputs']:
            entry.update(name=entry['name'], kind='workload/' + entry['kind'], elements='features', unit='1')

    files = {n: d for n, d in sound_files().items() if n != 'ood.npz'}
    with pytest.raises(BundleError, match=r'ood\.npz'):
        bundle_of(changed(lambda d: None, files))
    bundle = bundle_of(changed(workload, files))
    assert bundle.workload
    assert bundle.policy().backend.faithful
    check_mode(bundle.contract, 'sim')
    with pytest.raises(BundleError, match=r'is a workload.*random'):
        check_mode(bundle.contract, 'live')
    check_mode(bundle_of(sound_files()).contract, 'live')
    assert b'A workload, not a policy' in bundle.files['MODEL_CARD.md']
