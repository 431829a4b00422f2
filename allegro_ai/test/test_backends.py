"""One contract for all inference backends, run over every one that is usable here."""

import numpy as np
import pytest
from ai_bundles import random_weights
from allegro_ai.backends import BACKENDS, Backend, GraphSpec
from allegro_ai.golden import random_observations
from allegro_ai.graph import inspect
from allegro_ai.linear_graph import build_linear_onnx
from allegro_ai.linear_policy import INPUTS, LinearPolicy
from allegro_ai.observation import ObservationSpec
from allegro_ai.policy import GraphPolicy, Recurrence
from allegro_description.errors import BundleError, UnknownPlugin
from allegro_description.model import load_hand
from onnx import TensorProto, helper, numpy_helper

HAND = load_hand()
USABLE = [name for name, usable, _ in BACKENDS.available() if usable]
WEIGHTS = random_weights(HAND)
MODEL = build_linear_onnx(HAND, WEIGHTS).SerializeToString()
SPEC = inspect(MODEL).spec


@pytest.fixture(params=USABLE)
def backend(request):
    engine = BACKENDS.load(request.param)(MODEL, SPEC)
    yield engine
    engine.close()
    engine.close()


def feed(count=1, seed=0):
    observation = random_observations(HAND, ObservationSpec(), count, 1, seed)[0]
    return {name: observation[name] for name in INPUTS}


def test_keeps_the_contract(backend):
    assert isinstance(backend, Backend)
    assert backend.name in BACKENDS.names()
    for count in (1, 7, 1):
        out = backend.run(feed(count))
        assert set(out) == {'action'}
        assert out['action'].shape == (count, 16)
        assert out['action'].dtype == np.float32


def test_outputs_of_one_call_survive_the_next(backend):
    first = backend.run(feed(1, 1))['action']
    kept = first.copy()
    backend.run(feed(1, 2))
    np.testing.assert_array_equal(first, kept)


def test_inputs_are_not_altered(backend):
    given = feed(3)
    before = {k: v.copy() for k, v in given.items()}
    backend.run(given)
    for name in given:
        np.testing.assert_array_equal(given[name], before[name])


def test_same_input_same_bits(backend):
    np.testing.assert_array_equal(backend.run(feed(1, 3))['action'], backend.run(feed(1, 3))['action'])


def test_faithful_backends_compute_the_graph_and_others_say_they_do_not(backend):
    expected = LinearPolicy(HAND, WEIGHTS).act(feed(30))
    difference = np.abs(backend.run(feed(30))['action'] - expected).max()
    assert (difference < 1e-6) == backend.faithful


@pytest.mark.parametrize('name', [n for n in USABLE if n != 'null'])
def test_what_cannot_be_run_is_refused(name):
    with pytest.raises(BundleError, match=r'policy\.onnx'):
        BACKENDS.load(name)(helper.make_model(helper.make_graph(
            [helper.make_node('NoSuchOperator', ['x'], ['y'])], 'g',
            [helper.make_tensor_value_info('x', TensorProto.FLOAT, [1])],
            [helper.make_tensor_value_info('y', TensorProto.FLOAT, [1])],
        )).SerializeToString(), GraphSpec({'x': (1,)}, {'y': (1,)}))


def test_unknown_backends_are_named():
    with pytest.raises(UnknownPlugin, match='onnxruntime'):
        BACKENDS.load('onnxruntim')


def counting_graph(stack: int):
    """y = sum over the stack of x, plus h; h' = h + 1: memory of both kinds in three nodes."""
    axes = numpy_helper.from_array(np.array([1]), 'axes')
    one = numpy_helper.from_array(np.ones((1, 1), dtype=np.float32), 'one')

    def value(name, shape):
        return helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)

    graph = helper.make_graph(
        [helper.make_node('ReduceSum', ['x', 'axes'], ['s'], keepdims=0), helper.make_node('Add', ['s', 'h'], ['y']),
         helper.make_node('Add', ['h', 'one'], ['h_next'])], 'g',
        [value('x', ['batch', stack, 2]), value('h', ['batch', 1])],
        [value('y', ['batch', 2]), value('h_next', ['batch', 1])],
        [axes, one])
    data = helper.make_model(graph, ir_version=8, opset_imports=[helper.make_opsetid('', 17)]).SerializeToString()
    return BACKENDS.load('onnxruntime')(data, inspect(data).spec)


def test_stack_and_recurrent_state():
    policy = GraphPolicy(counting_graph(3), ['x'], 'y', stack=3, recurrences=[Recurrence('h', (2, 1), 'h_next')])
    rows = [np.full((2, 2), v, dtype=np.float32) for v in (1, 10, 100)]
    seen = [policy.act({'x': row})[0, 0] for row in rows]
    assert seen == [3, 12 + 1, 111 + 2], 'the first observation fills the stack, then the oldest leaves it'
    policy.reset(np.array([True, False]))
    out = policy.act({'x': rows[0]})
    assert out[:, 0].tolist() == [3, 111 + 3], 'only the first environment starts afresh'
    policy.reset()
    assert policy.act({'x': rows[1]})[0, 0] == 30


def test_a_missing_term_is_named():
    with pytest.raises(BundleError, match='joint_delta'):
        GraphPolicy(BACKENDS.load('null')(MODEL, SPEC), INPUTS, 'action').act({'joint_target_error': np.zeros((1, 16))})
