"""A policy that reads its past in place decides what it decides on a stack; one that cannot is refused by name."""

import numpy as np
import onnx
import pytest
from allegro_ai.backends.onnxruntime_cpu import new_session
from allegro_ai.windows import Rows, read_in_place
from allegro_description.errors import BundleError
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

WIDTHS = {'a': 2, 'b': 3}
TERMS = {'a': slice(0, 2), 'b': slice(2, 5)}
WIDTH = 5


class Graph:
    """A policy on a stack of ``steps``, written node by node."""

    def __init__(self, steps, order=('a', 'b'), seed=0):
        self.steps, self.nodes, self.constants = steps, [], []
        self.rng = np.random.default_rng(seed)
        self.add('Concat', *order, output='whole', axis=2)

    def constant(self, values):
        name = f'constant_{len(self.constants)}'
        values = np.asarray(values)
        kept = values if values.dtype == np.int64 else values.astype(np.float32)
        self.constants.append(numpy_helper.from_array(kept, name))
        return name

    def add(self, kind, *inputs, output='', **attributes):
        name = output or f'value_{len(self.nodes)}'
        self.nodes.append(helper.make_node(kind, list(inputs), [name], name=name, **attributes))
        return name

    def cut(self, first, last, output=''):
        return self.add('Slice', 'whole', *(self.constant([v]) for v in (first, last, 1)), output=output)

    def flat(self, value, width, output=''):
        return self.add('Reshape', value, self.constant([-1, width]), output=output)

    def dense(self, value, inputs, outputs, output=''):
        weights, bias = self.rng.normal(size=(inputs, outputs)), self.rng.normal(size=outputs)
        return self.add('Gemm', value, self.constant(weights), self.constant(bias), output=output)

    def past(self, first, last, deep):
        """A window of the past, through numbers of its own for each place in it, and perhaps a convolution."""
        rows = last - first
        x = self.add('Sub', self.cut(first, last), self.constant(self.rng.normal(size=(rows, WIDTH))))
        x = self.add('Clip', x, self.constant(np.float32(-0.7)), self.constant(np.float32(0.7)))
        if not deep:
            return self.flat(x, rows * WIDTH), rows * WIDTH
        x = self.add('Relu', self.dense(self.flat(x, WIDTH), WIDTH, 4))
        reach = min(2, rows)
        windows = np.arange(0, rows - reach + 1)[:, None] + np.arange(reach)
        x = self.add('Reshape', x, self.constant([-1, rows, 4]))
        x = self.flat(self.add('Gather', x, self.constant(windows), axis=1), reach * 4)
        return self.flat(self.add('Relu', self.dense(x, reach * 4, 3)), len(windows) * 3), len(windows) * 3

    def action(self, parts):
        joined = self.add('Concat', *(name for name, _ in parts), axis=1)
        self.add('Tanh', self.dense(joined, sum(width for _, width in parts), 4), output='action')
        return self

    def session(self, nodes, inputs):
        made = helper.make_graph(
            nodes, 'policy', [helper.make_tensor_value_info(n, TensorProto.FLOAT, s) for n, s in inputs.items()],
            [helper.make_tensor_value_info('action', TensorProto.FLOAT, [1, 4])], self.constants)
        model = helper.make_model(made, ir_version=10, opset_imports=[helper.make_opsetid('', 17)])
        onnx.checker.check_model(model)
        return new_session(model.SerializeToString())

    def read(self, outputs=('action',)):
        return read_in_place(self.nodes, self.constants, TERMS, self.steps, {'seen': (1, WIDTH)}, outputs, 'w.', 17)


def newest(graph, lags):
    return graph.flat(graph.cut(graph.steps - lags, graph.steps), lags * WIDTH), lags * WIDTH


@settings(max_examples=15, deadline=None)
@given(st.integers(2, 12), st.booleans(), st.data())
def test_what_is_read_in_place_is_what_was_stacked(steps, deep, data):
    graph = Graph(steps, seed=steps)
    first = data.draw(st.integers(0, steps - 2))
    last = data.draw(st.integers(first + 1, steps - 1))
    lags = data.draw(st.integers(1, steps))
    graph.action([newest(graph, lags), graph.past(first, last, deep)])
    nodes, windows = graph.read()
    assert len(nodes) <= len(graph.nodes) - (5 if deep else 3), 'nothing is joined, cut, or reshaped for a batch'
    rows, rng = Rows(steps, WIDTH), np.random.default_rng(1)
    stacked = graph.session(graph.nodes, {n: [1, steps, w] for n, w in WIDTHS.items()})
    placed = graph.session(nodes, {'seen': [1, WIDTH], **{n: w.shape for n, w in windows.items()}})
    for _ in range(2):  # episodes: each begins with its first observation all over the past
        seen = rng.normal(size=WIDTH).astype(np.float32)
        stack, turn = np.tile(seen, (steps, 1)), 0
        rows.fill(slice(0, WIDTH), stack[1:])
        for _ in range(2 * Rows.turns + 5):
            seen = rng.normal(size=WIDTH).astype(np.float32)
            stack = np.concatenate([stack[1:], seen[None]])
            rows.newest(turn)[...] = seen
            fed = {name: rows.window(turn, window) for name, window in windows.items()}
            found, = placed.run(None, {'seen': rows.newest(turn), **fed})
            wanted, = stacked.run(None, {name: stack[None, :, place] for name, place in TERMS.items()})
            np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-6)
            turn = (turn + 1) % Rows.turns
            if not turn:
                rows.carry_back()


def other_order():
    graph = Graph(4, ('b', 'a'))
    return graph.action([newest(graph, 2)])


def apart():
    graph = Graph(4)
    graph.add('Tanh', 'a')
    return graph.action([newest(graph, 2)])


def whole():
    graph = Graph(4)
    return graph.action([(graph.flat(graph.add('Tanh', 'whole'), 4 * WIDTH), 4 * WIDTH)])


def moving():
    graph = Graph(4)
    start = graph.add('Cast', graph.constant([1.0]), to=TensorProto.INT64)
    cut = graph.add('Slice', 'whole', start, graph.constant([4]), graph.constant([1]))
    return graph.action([(graph.flat(cut, 3 * WIDTH), 3 * WIDTH)])


def columns():
    graph = Graph(4)
    cut = graph.add('Slice', 'whole', *(graph.constant([v]) for v in (0, 2, 2)))
    return graph.action([(graph.flat(cut, 8), 8)])


def not_flat():
    graph = Graph(4)
    return graph.action([(graph.flat(graph.add('Tanh', graph.cut(2, 4)), 2 * WIDTH), 2 * WIDTH)])


@pytest.mark.parametrize(('make', 'sentence'), [
    (other_order, "'whole' does not lay all that is seen side by side"),
    (apart, 'does not begin with its terms side by side'),
    (whole, "'value_1' reads a stack of observations and cuts no fixed window"),
    (moving, 'cuts no fixed window'),
    (columns, 'cuts no fixed window'),
    (not_flat, 'reaches to the newest observation and is not flattened'),
])
def test_a_policy_that_does_something_else_is_refused_by_name(make, sentence):
    with pytest.raises(BundleError, match=sentence):
        make().read()


def test_what_is_an_output_stays_one():
    graph = Graph(4)
    x = graph.add('Tanh', graph.cut(0, 3), output='extra')
    graph.action([newest(graph, 2), (graph.flat(x, 3 * WIDTH), 3 * WIDTH)])
    _, windows = graph.read(('action', 'extra'))
    assert windows['w.0.3'].shape == (1, 3, WIDTH), 'an output keeps its shape'
    with pytest.raises(BundleError, match='is an output'):
        graph.read(('action', 'whole'))
