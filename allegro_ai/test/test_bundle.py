"""A bundle as a whole: complete, tied together by hashes, written all or not at all."""

import json

import numpy as np
import pytest
import yaml
from ai_bundles import bundle_of, random_weights, sound_files, write_random_bundle
from allegro_ai.archive import write_folder
from allegro_ai.bundle import available_bundles, find_bundle, load_bundle
from allegro_ai.contract import METADATA
from allegro_ai.golden import random_observations
from allegro_ai.graph import inspect
from allegro_ai.linear_policy import INPUTS, LinearPolicy
from allegro_ai.observation import ObservationSpec
from allegro_description.errors import BundleError, UnknownName
from allegro_description.model import load_hand

from allegro_ai import integrity

HAND = load_hand()


@pytest.fixture(scope='module')
def original(tmp_path_factory):
    folder = tmp_path_factory.mktemp('bundles') / 'random_linear'
    write_random_bundle(folder)
    return folder


@pytest.fixture
def folder(tmp_path):
    write_folder(sound_files(), tmp_path / 'bundle')
    return tmp_path / 'bundle'


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


def test_the_fingerprint_is_of_content_and_of_nothing_else(folder):
    bundle = load_bundle(folder, HAND)
    assert bundle.fingerprint == bundle_of(sound_files()).fingerprint
    other = {**bundle.files, 'LICENSE': b'none'}
    assert integrity.fingerprint(other) != bundle.fingerprint
    assert integrity.fingerprint({**bundle.files, 'SHA256SUMS.minisig': b'x'}) == bundle.fingerprint


def test_too_many_files_are_refused(folder):
    for number in range(70):
        (folder / f'{number}.md').write_text('x')
    with pytest.raises(BundleError, match='64 files'):
        load_bundle(folder, HAND)
    with pytest.raises(BundleError, match='no policy bundle'):
        load_bundle('/usr', HAND)


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
