"""The actor in torch and the graph that ships are one function; what enters is named and sorted by finger."""

import numpy as np
import pytest
from allegro_ai.backends.numpy_graph import NumpyGraph
from allegro_ai.backends.onnxruntime_cpu import OnnxRuntimeCpu
from allegro_ai.golden import random_observations
from allegro_ai.graph import inspect
from allegro_ai.observation import ObservationSpec, terms
from allegro_ai.policy import GraphPolicy
from allegro_ai.training.layout import make_layout, policy_terms
from allegro_ai.training.network_graph import build_network_onnx
from allegro_description.errors import ConfigError, UnknownName
from allegro_description.model import load_hand

torch = pytest.importorskip('torch')
network = pytest.importorskip('allegro_ai.training.network')

HAND = load_hand()
LOUD = 3.0


def actor(layout, seed=0):
    """Random weights that move the hand; the scales are those of some observations."""
    torch.manual_seed(seed)
    made = network.Actor(layout, len(HAND.joints), 8, (32, 24))
    made.normaliser.fit(np.concatenate([layout.flat(o) for o in observations(3, 1)]))
    with torch.no_grad():
        made.head.weight.normal_(0.0, LOUD / 5)
        made.identity.normal_()
    return made


def observations(steps, seed, batch=8):
    return random_observations(HAND, ObservationSpec(), batch, steps, seed)


def weights(made):
    return {name: value.numpy() for name, value in made.state_dict().items()}


@pytest.mark.parametrize('engine', [OnnxRuntimeCpu, NumpyGraph])
@pytest.mark.parametrize('steps', [1, 3])
@pytest.mark.parametrize('touch', [True, False])
def test_torch_and_the_shipped_graph_agree(engine, steps, touch):
    layout = make_layout(HAND, policy_terms(touch), steps)
    made = actor(layout)
    data = build_network_onnx(layout, weights(made)).SerializeToString()
    policy = GraphPolicy(engine(data, inspect(data).spec), layout.terms, 'action', stack=steps)
    seen, past = observations(5, 7), []
    largest = 0.0
    for observation in seen:
        past.append(layout.flat(observation))
        stack = ([past[0]] * steps + past)[-steps:] if len(past) < steps else past[-steps:]
        with torch.no_grad():
            expected = made(torch.as_tensor(np.concatenate(stack, axis=1))).numpy()
        action = policy.act(observation)
        np.testing.assert_allclose(action, expected, atol=1e-5)
        largest = max(largest, float(np.abs(action).max()))
    assert largest > 0.5, 'the comparison would pass for silence'


def test_columns_of_a_finger_mean_the_same_for_each_finger():
    layout = make_layout(HAND, policy_terms(True), 2)
    table = terms(HAND)
    names = [f'{step}/{term}/{element}' for step in range(2) for term in layout.terms
             for element in table[term].elements]
    assert sorted([*layout.fingers.ravel(), *layout.hand]) == list(range(len(names)))
    for row, finger in zip(layout.fingers, HAND.fingers, strict=True):
        for column, first in zip(row, layout.fingers[0], strict=True):
            step, term, element = names[column].split('/')
            assert [step, term] == names[first].split('/')[:2]
            assert element in finger.joints or element.startswith(finger.name)


def test_the_arm_without_touch_reads_no_touch():
    assert not [t for t in policy_terms(False) if t.startswith('tactile')]
    assert [t for t in policy_terms(True) if t.startswith('tactile')]


def test_privileged_or_broken_weights_are_not_exported():
    with pytest.raises(UnknownName, match='privileged'):
        make_layout(HAND, ['joint_position', 'privileged'], 1)
    layout = make_layout(HAND, policy_terms(True), 1)
    good = weights(actor(layout))
    with pytest.raises(ConfigError, match='NaN'):
        build_network_onnx(layout, {**good, 'head.bias': np.full(16, np.nan, dtype=np.float32)})
    with pytest.raises(ConfigError, match=r'head\.weight'):
        build_network_onnx(layout, {k: v for k, v in good.items() if k != 'head.weight'})
    from dataclasses import replace
    with pytest.raises(ConfigError, match='simulator'):
        build_network_onnx(replace(layout, terms=('privileged', *layout.terms[1:])), good)


def test_the_critic_sees_what_the_actor_does_not():
    layout = make_layout(HAND, policy_terms(True), 3)
    both = network.ActorCritic(actor(layout), network.Critic(layout.width + 7, (16, 8)), 3 * layout.width)
    row = torch.randn(1, 3 * layout.width + 7)
    changed = row.clone()
    changed[:, -1] += 1.0
    with torch.no_grad():
        assert torch.equal(both.forward_actor(row), both.forward_actor(changed))
        assert not torch.equal(both.forward_critic(row), both.forward_critic(changed))
