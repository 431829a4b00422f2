"""Graphs: operators, names, weights and sizes that may not be are refused before anything runs them."""

import copy
import time

import numpy as np
import onnx
import pytest
from ai_bundles import bundle_of, sound_files
from allegro_ai.contents import MAX_GRAPH_BYTES
from allegro_ai.contract import METADATA
from allegro_ai.evidence.mutants import mended
from allegro_ai.graph import inspect
from allegro_ai.graph_sizes import measure
from allegro_description.errors import BundleError
from onnx import TensorProto, helper, numpy_helper


def graph_of():
    return onnx.load_model_from_string(sound_files()['policy.onnx'])


def with_graph(data):
    return mended({**sound_files(), 'policy.onnx': data}).files


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


def two_operator_sets(proto):
    proto.opset_import.append(helper.make_opsetid('', 13))


@pytest.mark.parametrize(('change', 'message'), [
    (nan_weights, "weight 'finger_weights' holds NaN"),
    (foreign_operator, 'com.example'),
    (unlisted_operator, "'RandomNormal'"),
    (control_flow, "operator 'If'"),
    (external_data, "'finger_weights' lies in an external file"),
    (other_metadata, "metadata allegro.version is '9.9.9'"),
    (renamed_input, 'inputs are'),
    (two_operator_sets, 'named 2 times'),
], ids=lambda v: getattr(v, '__name__', ''))
def test_graphs_that_may_not_run_are_refused(change, message):
    proto = graph_of()
    change(proto)
    with pytest.raises(BundleError, match=message) as error:
        bundle_of(with_graph(proto.SerializeToString()))
    assert '\n' not in str(error.value)


@pytest.mark.parametrize('data', [b'', b'\x00\x01 not a graph', b'\x0a' * 1000])
def test_bytes_that_are_no_graph_are_refused(data):
    with pytest.raises(BundleError, match=r'policy\.onnx'):
        bundle_of(with_graph(data))


def test_text_that_is_none_is_refused():
    data = graph_of().SerializeToString().replace(b'allegro_ai.linear_graph', b'allegro_ai.line\xff\xfe_graph')
    with pytest.raises(BundleError, match='no text'):
        inspect(data)


def test_golden_vectors_catch_a_changed_weight():
    proto = graph_of()
    changed_weight(proto)
    bundle = bundle_of(with_graph(proto.SerializeToString()))
    with pytest.raises(BundleError, match=r'golden.npz: the policy answers differently'):
        bundle.policy()


def test_a_graph_that_only_fails_when_it_runs_is_refused_too():
    proto = graph_of()
    tensor = next(t for t in proto.graph.initializer if t.name == 'finger_end')
    tensor.CopyFrom(numpy_helper.from_array(np.array([1], dtype=np.int64), tensor.name))
    with pytest.raises(BundleError, match=r'policy\.onnx|cannot be run here'):
        bundle_of(with_graph(proto.SerializeToString())).policy()


# Sizes -------------------------------------------------------------------------------------------------------------


def small(nodes, constants=(), inputs=(('x', [None, 4]),), output='y'):
    """A graph of a few nodes over float inputs."""
    graph = helper.make_graph(
        [helper.make_node(op, ins.split(), outs.split(), **attributes) for op, ins, outs, attributes in nodes], 'g',
        [helper.make_tensor_value_info(n, TensorProto.FLOAT, ['b' if d is None else d for d in s]) for n, s in inputs],
        [helper.make_tensor_value_info(output, TensorProto.FLOAT, ['b', 'n'])],
        [numpy_helper.from_array(np.asarray(v), n) for n, v in dict(constants).items()])
    proto = helper.make_model(graph, ir_version=8, opset_imports=[helper.make_opsetid('', 17)])
    onnx.checker.check_model(proto)
    return proto


def doubling(times):
    return [('Concat', f'v{k} v{k}' if k else 'x x', f'v{k + 1}', {'axis': 1}) for k in range(times)] + \
        [('Identity', f'v{times}', 'y', {})]


def i64(*values):
    return np.array(values, dtype=np.int64)


BOMBS = {
    'terabytes of zeros': (small([('ConstantOfShape', 'n', 'z', {}), ('ReduceSum', 'z', 's', {'keepdims': 0}),
                                  ('Add', 'x s', 'y', {})], {'n': i64(2 ** 20, 2 ** 20)}), "'z'.*may have"),
    'doubling': (small(doubling(40)), 'may have'),
    'expand': (small([('Expand', 'x n', 'y', {})], {'n': i64(1, 2 ** 40, 4)}), "'y'.*may have"),
    'tile': (small([('Tile', 'x n', 'y', {})], {'n': i64(1, 2 ** 30)}), "'y'.*may have"),
    'outer product': (small([('MatMul', 'x a', 'p', {}), ('MatMul', 'c p', 'y', {})],
                            {'a': np.zeros((4, 8192), np.float32), 'c': np.zeros((8192, 1), np.float32)}),
                      "'y'.*may have"),
    'a size taken from an input': (small([('Cast', 'x', 'i', {'to': TensorProto.INT64}), ('Squeeze', 'i', 'n', {}),
                                          ('ConstantOfShape', 'n', 'y', {})]), 'depends on the value'),
    'hours of arithmetic': (small(
        [('MatMul', 'a0 w', 'a1', {}), *[('MatMul', f'a{k} w', f'a{k + 1}', {}) for k in range(1, 4)],
         ('ReduceSum', 'a4', 's', {'keepdims': 0}), ('Add', 'x s', 'y', {})],
        {'a0': np.zeros((1, 1), np.float32), 'w': np.zeros((1, 1), np.float32)}), None),
}


@pytest.mark.parametrize('name', [n for n, (_, message) in BOMBS.items() if message])
def test_graphs_that_ask_for_too_much_are_refused_at_once(name):
    proto, message = BOMBS[name]
    begin = time.perf_counter()
    with pytest.raises(BundleError, match=message):
        inspect(proto.SerializeToString())
    assert time.perf_counter() - begin < 5


def test_hours_of_arithmetic_are_refused():
    proto = copy.deepcopy(BOMBS['hours of arithmetic'][0])
    for tensor in proto.graph.initializer:  # the shapes are enough; no such weights are made
        tensor.dims[:] = [3000, 3000]
    with pytest.raises(BundleError, match='multiplications'):
        measure(proto)


def test_multiplications_are_counted():
    rng = np.random.default_rng(0)
    proto = small(
        [('Conv', 'x w', 'c', {'strides': [2]}), ('Flatten', 'c', 'f', {'axis': 1}), ('Gemm', 'f m', 'g', {}),
         ('Tanh', 'g', 'y', {})],
        {'w': rng.normal(size=(8, 6, 3)).astype(np.float32), 'm': rng.normal(size=(8 * 9, 5)).astype(np.float32)},
        inputs=(('x', [None, 6, 20]),))
    assert measure(proto).macs == 8 * 9 * 6 * 3 + 72 * 5
    gru = small([('Transpose', 'x', 't', {'perm': [1, 0, 2]}), ('GRU', 't w r', ' h', {'hidden_size': 7}),
                 ('Identity', 'h', 'y', {})],
                {'w': np.zeros((1, 21, 6), np.float32), 'r': np.zeros((1, 21, 7), np.float32)},
                inputs=(('x', [None, 10, 6]),))
    gru.graph.node[1].output[:] = ['', 'h']
    assert measure(gru).macs == 10 * (21 * 6 + 21 * 7)
    assert inspect(sound_files()['policy.onnx']).macs > 500


def test_two_gigabytes_are_refused_before_they_are_read(tmp_path):
    from allegro_ai.archive import write_folder
    from allegro_ai.bundle import load_bundle
    from allegro_description.model import load_hand
    write_folder(sound_files(), tmp_path / 'b')
    with (tmp_path / 'b/policy.onnx').open('r+b') as file:
        file.truncate(2 * 1024 ** 3)  # sparse: the disk holds nothing of it
    begin = time.perf_counter()
    with pytest.raises(BundleError, match=rf'has 2147483648 bytes; the limit is {MAX_GRAPH_BYTES}.*not read'):
        load_bundle(tmp_path / 'b', load_hand())
    assert time.perf_counter() - begin < 1
