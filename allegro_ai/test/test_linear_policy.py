import numpy as np
import pytest
from ai_bundles import random_weights
from allegro_ai.backends.numpy_graph import NumpyGraph
from allegro_ai.backends.onnxruntime_cpu import OnnxRuntimeCpu
from allegro_ai.golden import random_observations
from allegro_ai.graph import inspect
from allegro_ai.linear_graph import build_linear_onnx
from allegro_ai.linear_policy import FEATURES, INPUTS, TOUCH_FEATURES, LinearLayout, LinearPolicy
from allegro_ai.observation import ObservationSpec
from allegro_description.errors import ConfigError
from allegro_description.model import load_hand

HAND = load_hand()
LAYOUT = LinearLayout(HAND)
TOUCH_INPUTS = [name for name in INPUTS if name.startswith('tactile')]


def observations(count: int = 40, seed: int = 0):
    return random_observations(HAND, ObservationSpec(), count, 1, seed)[0]


@pytest.mark.parametrize('engine', [OnnxRuntimeCpu, NumpyGraph])
@pytest.mark.parametrize('seed', range(4))
def test_graph_and_numpy_twin_agree(engine, seed):
    weights = random_weights(HAND, seed) * 3
    data = build_linear_onnx(HAND, weights).SerializeToString()
    observation = observations(seed=seed)
    backend = engine(data, inspect(data).spec)
    expected = LinearPolicy(HAND, weights).act(observation)
    for batch in (slice(0, 1), slice(0, 40), slice(3, 4)):
        feed = {name: observation[name][batch] for name in INPUTS}
        np.testing.assert_allclose(backend.run(feed)['action'], expected[batch], atol=1e-6)
    assert np.abs(expected).max() > 0.5, 'the comparison would pass for silence'


def test_size_and_places():
    assert len(FEATURES) == 12
    assert LAYOUT.size == 3 * 12 + 4 * 12
    action = LinearPolicy(HAND, np.ones(LAYOUT.size)).act(observations())
    abduction = [HAND.joint_index(j.name) for j in HAND.joints if not j.flexion and j.finger != 'thumb']
    assert (action[:, abduction] == 0).all()
    driven = np.setdiff1d(np.arange(len(HAND.joints)), abduction)
    assert (action[:, driven] != 0).all()


def test_index_middle_and_ring_are_the_same_policy():
    """Exchanging what two fingers feel exchanges what they do, and changes nothing else."""
    observation = observations()
    swapped = {name: value.copy() for name, value in observation.items()}
    a, b = (np.array([HAND.joint_index(n) for n in HAND.fingers[f].joints]) for f in (0, 2))
    for name in INPUTS:
        value, source = swapped[name], observation[name]
        if name.startswith('joint'):
            value[:, a], value[:, b] = source[:, b], source[:, a]
        elif name.startswith('tactile'):
            value[:, 0], value[:, 2] = source[:, 2], source[:, 0]
    # the share of torque is per joint, so exchange is exact because both fingers have the same gains
    policy = LinearPolicy(HAND, random_weights(HAND))
    before, after = policy.act(observation), policy.act(swapped)
    np.testing.assert_allclose(after[:, a], before[:, b], atol=1e-6)
    np.testing.assert_allclose(after[:, b], before[:, a], atol=1e-6)
    rest = np.setdiff1d(np.arange(16), np.concatenate([a, b]))
    np.testing.assert_allclose(after[:, rest], before[:, rest], atol=1e-6)


def test_masked_weights_make_the_policy_blind_to_touch():
    weights = random_weights(HAND)
    blind = np.where(LAYOUT.touch_mask(), 0.0, weights)
    assert LAYOUT.touch_mask().sum() == len(TOUCH_FEATURES) * 7
    observation = observations()
    numb = {name: np.zeros_like(value) if name in TOUCH_INPUTS else value for name, value in observation.items()}
    np.testing.assert_array_equal(LinearPolicy(HAND, blind).act(observation), LinearPolicy(HAND, blind).act(numb))
    seeing = LinearPolicy(HAND, weights)
    assert np.abs(seeing.act(observation) - seeing.act(numb)).max() > 0.05


def test_a_population_acts_in_one_call():
    observation = observations(5)
    population = np.stack([random_weights(HAND, s) for s in range(5)])
    together = LinearPolicy(HAND, population).act(observation)
    for b in range(5):
        one = {name: value[b:b + 1] for name, value in observation.items()}
        np.testing.assert_allclose(together[b], LinearPolicy(HAND, population[b]).act(one)[0], atol=1e-6)


def test_load_feature_is_the_share_of_torque():
    observation = observations(1)
    index = [j for j in HAND.fingers[0].joints if HAND.joints[HAND.joint_index(j)].flexion]
    error = np.zeros((1, 16), dtype=np.float32)
    for name in index:
        joint = HAND.joint_index(name)
        error[0, joint] = HAND.torque_limit[joint] / HAND.kp[joint]
    features = LinearPolicy(HAND, np.zeros(LAYOUT.size)).features({**observation, 'joint_target_error': error})
    names = [name for name, _ in FEATURES]
    assert features[0, 0, names.index('load')] == pytest.approx(1.0)
    assert features[0, 1, names.index('others_load')] == pytest.approx(1 / 3)


def test_wrong_parameters_are_refused():
    for bad in (np.zeros(3), np.full(LAYOUT.size, np.nan)):
        with pytest.raises(ConfigError, match='84 finite'):
            LinearPolicy(HAND, bad)
        with pytest.raises(ConfigError, match='84 finite'):
            build_linear_onnx(HAND, bad)
