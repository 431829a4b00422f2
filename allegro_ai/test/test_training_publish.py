"""From runs of either kind to what is published: names, medians, and contracts that fit their graphs."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from ai_bundles import PROVENANCE, random_weights
from allegro_ai.bundle import load_bundle
from allegro_ai.evaluation import closed_loop
from allegro_ai.export import policy_contract, write_bundle
from allegro_ai.observation import ObservationSpec
from allegro_ai.structured_policy import spread, start
from allegro_ai.tasks.lanes import Outcome
from allegro_ai.training import publish as publishing
from allegro_ai.training.evolution import Evolution
from allegro_ai.training.layout import make_layout, policy_terms
from allegro_ai.training.publish import contestant, median_run, same_but_seed
from allegro_ai.training.random_search import SearchConfig, SearchResult
from allegro_ai.training.structured import StructuredRun, StructuredSettings
from allegro_ai.training.trained import load_trained
from allegro_description.errors import ConfigError
from allegro_description.model import load_hand
from allegro_description.simulation.score import EpisodeResult

from allegro_ai import golden, ood

pytest.importorskip('safetensors')
from allegro_ai.integrity import hand_fingerprint
from allegro_ai.training.checkpoint import ACTOR, Checkpoint
from allegro_ai.training.settings import Settings

HAND = load_hand()


def linear_run(folder, touch=True, seed=0, **settings):
    config = SearchConfig(seed=seed, touch=touch, **settings)
    return SearchResult(config, random_weights(HAND, seed), [1.0], 10, 1.0).save(folder, HAND)


def structured_run(folder, touch=True, seed=0):
    rng = np.random.default_rng(seed)
    centre = start(touch) + 2.0 * spread(touch) * rng.normal(size=spread().size)
    run = StructuredRun(StructuredSettings(seed=seed, touch=touch), 'TactileHold-v2', HAND.name,
                        hand_fingerprint(HAND), Evolution(centre, spread(touch)))
    run.save(folder)
    return folder


def network_run(folder, touch=True, seed=0, steps=3):
    settings = Settings(seed=seed, touch=touch, steps=steps, encoder=4, hidden=8)
    layout, rng = make_layout(HAND, policy_terms(touch), steps), np.random.default_rng(seed)
    count, each = layout.fingers.shape

    def random(*shape):
        return rng.normal(0.0, 0.3, shape).astype(np.float32)

    actor = {'normaliser.mean': random(layout.width), 'normaliser.scale': np.ones(layout.width, dtype=np.float32),
             'encoder.weight': random(4, each), 'identity': random(count, 4),
             'trunk.0.weight': random(8, 4 * count + len(layout.hand)), 'trunk.0.bias': random(8),
             'trunk.1.weight': random(8, 8), 'trunk.1.bias': random(8),
             'head.weight': random(16, 8), 'head.bias': random(16)}
    Checkpoint(settings, 'TactileHold-v2', HAND.name, hand_fingerprint(HAND), 7, 700, 5.0, layout.terms,
               tensors={ACTOR + name: value for name, value in actor.items()}).save(folder)
    return folder


@pytest.mark.parametrize(('make', 'touch'), [
    (linear_run, True), (network_run, True), (network_run, False), (structured_run, True), (structured_run, False)])
def test_a_bundle_of_either_kind_passes_its_own_checks(tmp_path, make, touch):
    run = load_trained(make(tmp_path / 'run', touch), HAND)
    seen = golden.random_observations(HAND, ObservationSpec(), 64, 4, 1)
    many = golden.random_observations(HAND, ObservationSpec(), 200, 4, 2)
    document = policy_contract(
        HAND, inputs=run.inputs, steps=run.steps, normalisation=run.normalisation, states=run.states, name='made',
        version='0.0.1', provenance={**PROVENANCE, 'touch_used': touch}, headline=None)
    write_bundle(
        tmp_path / 'made', HAND, document, run.graph, golden_arrays=golden.record(run.acting, seen, run.inputs),
        ood_arrays=ood.fit({k: np.concatenate([o[k] for o in many]) for k in seen[0]}),
        evaluation={'status': 'not evaluated', 'reason': 'random weights, for tests'}, train={'method': 'none'})
    bundle = load_bundle(tmp_path / 'made', HAND)
    policy = bundle.policy('onnxruntime')
    run.acting.reset()
    for observation in seen:
        one = {name: value[:1] for name, value in observation.items()}
        np.testing.assert_allclose(policy.act(one), run.acting.act(one), atol=1e-5)
    reads = [entry['name'] for entry in bundle.contract['inputs']]
    assert any(name.startswith('tactile') for name in reads) == touch


def test_the_median_run_of_each_arm_is_chosen_by_validation():
    class Run:
        def __init__(self, touch):
            self.touch = touch

    runs = [Run(True), Run(True), Run(True), Run(False), Run(False)]
    assert median_run(runs, [3.0, 1.0, 2.0, 9.0, 8.0], True) is runs[2]
    assert median_run(runs, [3.0, 1.0, 2.0, 9.0, 8.0], False) is runs[4]
    with pytest.raises(ConfigError, match='no run without touch'):
        median_run(runs[:3], [1.0, 2.0, 3.0], False)


def test_runs_of_different_settings_are_not_mixed(tmp_path):
    runs = [load_trained(linear_run(tmp_path, touch, seed), HAND) for touch in (True, False) for seed in (0, 1)]
    same_but_seed(runs)
    with pytest.raises(ConfigError, match='in noise'):
        same_but_seed([*runs, load_trained(linear_run(tmp_path / 'b', seed=5, noise=0.3), HAND)])
    with pytest.raises(ConfigError, match='kind'):
        same_but_seed([runs[0], load_trained(network_run(tmp_path / 'c'), HAND)])
    with pytest.raises(ConfigError, match='twice'):
        same_but_seed([runs[0], runs[0]])
    with pytest.raises(ConfigError, match='no training result'):
        load_trained(tmp_path / 'nothing', HAND)


def test_names_in_tables_tell_arm_and_seed(tmp_path):
    run = load_trained(network_run(tmp_path, touch=False, seed=3), HAND)
    assert run.name == 'network, without touch, seed 3'
    assert contestant(run, blind=True).name.startswith(run.name)
    assert contestant(run).arguments == {'path': str(tmp_path)}
    assert replace(run, seed=4).recipe == run.recipe


RATES = {'structured, with touch': 0.9, 'structured, without touch': 0.7, 'B7': 0.95, 'B1 ': 0.75}


def pretended(hand, contestants, workers, *, level, n, object_set, progress=None, **_):
    """An evaluation without physics: rates by name, more torque for full squeeze."""
    rows = []
    for c in contestants:
        share = next((rate for start, rate in RATES.items() if c.name.startswith(start)), 0.5)
        torque = 0.12 if c.name.startswith('B2') else 0.06
        rows.append(closed_loop._row(c.name, [
            Outcome(EpisodeResult(k < share * n, k < share * n, True, None, 1.0, 1.0, torque, 3.0, 6.0), share, False)
            for k in range(n)]))
    return {'rows': rows, 'n': n, 'level': level, 'object_set': object_set}


def test_what_is_published_says_what_was_measured(tmp_path, monkeypatch):
    seen = golden.random_observations(HAND, ObservationSpec(), 200, 4, 2)
    monkeypatch.setattr(publishing, 'evaluate', pretended)
    monkeypatch.setattr(publishing, '_observations',
                        lambda hand, run: {k: np.concatenate([o[k] for o in seen]) for k in seen[0]})
    runs = [load_trained(structured_run(tmp_path / f'{touch}{seed}', touch, seed), HAND)
            for touch in (True, False) for seed in (1, 2, 3)]
    workers = SimpleNamespace(count=1)
    bundle = publishing.publish(tmp_path / 'made', HAND, runs, workers, n=40)
    card = (tmp_path / 'made' / 'MODEL_CARD.md').read_text()
    headline = bundle.contract['evaluation']['headline']
    assert headline['set'] == 'H2'
    assert headline['best_baseline']['name'] == 'B1 open loop'
    assert headline['baseline_gain']['difference'] == pytest.approx(0.15)
    assert headline['touch_gain']['difference'] == pytest.approx(0.2)
    assert headline['touch_gain']['runs'] == [3, 3]
    assert headline['touch_gain']['success'] == pytest.approx([0.9, 0.7])
    assert all(run.name in card for run in runs)
    assert 'L2: reached (+15.0 points against B1 open loop' in card
    assert bundle.contract['runtime']['state'][0]['name'] == 'memory'
    monkeypatch.setitem(RATES, 'structured, with touch', 0.8)
    again = publishing.publish(tmp_path / 'worse', HAND, runs, workers, n=40)
    assert 'L2: not reached (+5.0 points' in (tmp_path / 'worse' / 'MODEL_CARD.md').read_text()
    assert again.contract['evaluation']['headline']['success'] == pytest.approx(0.8)
