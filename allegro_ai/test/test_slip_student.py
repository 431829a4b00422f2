"""The student of SlipArrest: graph against torch, learning on real episodes, files, and the row in the table."""

import importlib

import numpy as np
import pytest
from allegro_ai.backends import BACKENDS
from allegro_ai.graph import inspect
from allegro_ai.tasks.policies import make_policy
from allegro_ai.tasks.slip_arrest import Grips
from allegro_ai.training.layout import make_layout
from allegro_ai.training.slip_graph import build_slip_onnx
from allegro_ai.training.slip_policy import load_student, save_student, student_policy, student_terms
from allegro_ai.training.slip_settings import SlipSettings
from allegro_description.errors import AllegroError, ConfigError
from allegro_description.model import load_hand

torch = pytest.importorskip('torch')
HAND = load_hand('v5_sense', 'right')


@pytest.fixture(scope='module')
def modules():
    torch.set_num_threads(1)
    return (importlib.import_module('allegro_ai.training.slip_network'),
            importlib.import_module('allegro_ai.training.slip_student'))


def random_student(modules, touch=True, seed=0):
    torch.manual_seed(seed)
    layout = make_layout(HAND, student_terms(touch), 1)
    network = modules[0].SlipNetwork(layout.width)
    network.normaliser.fit(np.random.default_rng(seed).normal(0.1, 0.5, (200, layout.width)))
    return layout, network


@pytest.mark.parametrize('touch', [True, False])
def test_the_graph_computes_what_torch_computes_step_by_step_and_after_a_reset(modules, touch):
    layout, network = random_student(modules, touch)
    policy = student_policy(HAND, layout, modules[0].weights_of(network))
    rng = np.random.default_rng(1)
    raw = [{n: rng.uniform(0.0, 3.0, (5, size)).astype(np.float32) for n, size in zip(
        layout.terms, layout.sizes, strict=True)} for _ in range(12)]
    with torch.no_grad():
        share, logit, _ = network(torch.as_tensor(np.stack([layout.flat(o) for o in raw], axis=1)))
    for _ in range(2):
        policy.reset()
        for k, observation in enumerate(raw):
            action = policy.act(observation)
            np.testing.assert_allclose(action[:, HAND.flexion], np.repeat(share[:, k:k + 1], HAND.flexion.sum(), 1),
                                       atol=1e-5)
            assert not action[:, ~HAND.flexion].any()
            np.testing.assert_allclose(policy.extra['slip_probability'][:, 0], torch.sigmoid(logit[:, k]), atol=1e-5)


@pytest.mark.parametrize('engine', ['numpy', 'torch', 'openvino'])
def test_other_engines_agree(modules, engine):
    layout, network = random_student(modules)
    data = build_slip_onnx(HAND, layout, modules[0].weights_of(network)).SerializeToString()
    feed = {n: np.ones([1 if d is None else d for d in shape], np.float32)
            for n, shape in inspect(data).spec.inputs.items()}
    want = BACKENDS.load('onnxruntime')(data, inspect(data).spec).run(feed)
    got = BACKENDS.load(engine)(data, inspect(data).spec).run(feed)
    assert all(np.allclose(want[name], got[name], atol=1e-5) for name in want)


def test_no_graph_of_what_must_not_ship(modules):
    layout, network = random_student(modules)
    weights = modules[0].weights_of(network)
    weights['head.bias'][0] = np.nan
    with pytest.raises(ConfigError, match=r'head\.bias is not finite'):
        build_slip_onnx(HAND, layout, weights)
    with pytest.raises(AllegroError, match='privileged'):
        make_layout(HAND, ['privileged'], 1)


def test_a_student_learns_from_recorded_episodes_and_comes_back_from_its_file(modules, tmp_path):
    network_module, student_module = modules
    seeds, grips = [3, 11], [Grips(0.25, 0.33, 0.064), Grips(0.11, 0.17, 0.0255)]
    seen = student_module.gather('v5_sense', 'right', seeds, grips, 'train', True, None, [True, True])
    assert seen.counts.sum(axis=1).max() == 200
    assert set(np.unique(seen.slipping)) <= {0.0, 1.0}
    assert (seen.share[seen.counts > 0] > 0.1).all()
    _, network = random_student(modules)
    network.normaliser.fit(seen.rows[seen.counts > 0])
    optimiser = torch.optim.Adam(network.parameters(), lr=3e-3)
    stacks = [torch.as_tensor(getattr(seen, n)) for n in ('rows', 'share', 'slipping', 'counts')]
    losses = [network_module.fit(network, optimiser, *stacks, epochs=1, batch=2,
                                 generator=torch.Generator().manual_seed(0)) for _ in range(15)]
    assert losses[-1][0] < 0.5 * losses[0][0]
    weights = network_module.weights_of(network)
    path = tmp_path / 'run' / 'student.npz'
    save_student(path, HAND, SlipSettings(seed=4), weights, [{'round': 1.0, 'success': 0.5}])
    again = load_student(path, HAND)
    assert (again.touch, again.seed, again.hidden, again.settings['rounds']) == (True, 4, 64, SlipSettings().rounds)
    assert again.curve == [{'round': 1.0, 'success': 0.5}]
    assert all((again.weights[k] == v).all() for k, v in weights.items())
    assert make_policy(HAND, 'slip_student', {'path': str(path)}).extras == ('slip_probability',)
    with pytest.raises(ConfigError, match='train again for v5_sense_left'):
        load_student(path, load_hand('v5_sense', 'left'))
    path.write_bytes(b'PK no')
    with pytest.raises(ConfigError, match='is no student'):
        load_student(path, HAND)
