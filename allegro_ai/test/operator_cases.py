"""Small graphs, one operator each: what every interpreter of graphs has to compute as ONNX Runtime does."""

from typing import Any

import numpy as np
from onnx import TensorProto, helper, numpy_helper

F32, I64 = np.float32, np.int64


def model_of(nodes: list[Any], inputs: dict[str, list[Any]], outputs: dict[str, Any],
             constants: dict[str, Any] | None = None, opset: int = 17) -> bytes:
    """Bytes of a graph with float inputs and outputs."""
    graph = helper.make_graph(
        nodes, 'g', [helper.make_tensor_value_info(n, TensorProto.FLOAT, s) for n, s in inputs.items()],
        [helper.make_tensor_value_info(n, TensorProto.FLOAT, s) for n, s in outputs.items()],
        [numpy_helper.from_array(np.asarray(v), n) for n, v in (constants or {}).items()])
    version = 8 if opset < 18 else 10
    proto = helper.make_model(graph, ir_version=version, opset_imports=[helper.make_opsetid('', opset)])
    return proto.SerializeToString()


def one(op: str, *operands: Any, shape: tuple[int, ...] = (2, 3, 4), outputs: int = 1, opset: int = 17,
        cast: str = '', before: str = '', **attributes: Any) -> bytes:
    """``op(x, *operands)``: a tuple is a shape of random weights, ``'x'`` the input again, None nothing.

    ``cast`` is the ONNX type of inputs that are no floats, ``before`` an operator that is applied first.
    """
    rng = np.random.default_rng(1)
    nodes, constants, names = [], {}, ['x']
    if before:
        nodes.append(helper.make_node(before, ['x'], ['x_before']))
        names[0] = 'x_before'
    if cast:
        nodes.append(helper.make_node('Cast', [names[0]], ['x_cast'], to=getattr(TensorProto, cast)))
        names[0] = 'x_cast'
    for k, value in enumerate(operands):
        if value is None:
            names.append('')
        elif isinstance(value, str):
            names.append(names[0])
        else:
            drawn = rng.normal(0, 0.5, value).astype(F32) if isinstance(value, tuple) else np.asarray(value)
            constants[f'c{k}'] = drawn
            names.append(f'c{k}')
    made = [f'y{k}' for k in range(outputs)]
    nodes.append(helper.make_node(op, names, made, **attributes))
    nodes += [helper.make_node('Cast', [m], [f'{m}_float'], to=TensorProto.FLOAT) for m in made]
    return model_of(nodes, {'x': list(shape)}, {f'{m}_float': None for m in made}, constants, opset)


def _quantised(*shape: int, kind: Any = np.int8) -> Any:
    return np.random.default_rng(2).integers(-100 if kind is np.int8 else 0, 100, shape).astype(kind)


U0, S1 = np.uint8(3), F32(0.02)
BYTES: dict[str, Any] = {'cast': 'UINT8', 'before': 'Exp'}
SEQUENCE: dict[str, Any] = {'shape': (3, 2, 4), 'hidden_size': 5}
TRUTHS = np.array([True, False, True, True])
NUMBERS = I64([2, -3, 4, 5])
_UNARY = """Neg Abs Exp Floor Ceil Round Sign Sin Cos Erf Relu LeakyRelu Elu Selu Celu Tanh Sigmoid HardSigmoid
HardSwish Softplus Softsign Softmax LogSoftmax Identity Flatten Reciprocal ReduceMax ReduceMin ReduceL2"""
_node = helper.make_node

CASES: dict[str, bytes] = {
    **{op: one(op) for op in _UNARY.split()},
    **{op: one(op, before='Abs') for op in ('Sqrt', 'Log')},
    **{op: one(op, (3, 1)) for op in ('Add', 'Sub', 'Mul', 'Max', 'Min', 'Sum', 'Mean')},
    'Mish': one('Mish', opset=18), 'Gelu': one('Gelu', opset=20),
    'Gelu tanh': one('Gelu', opset=20, approximate='tanh'),
    'Div': one('Div', (3, 4), before='Exp'), 'Div of integers': one('Div', NUMBERS, cast='INT64'),
    'Mod': one('Mod', F32(0.7), fmod=1), 'Mod of integers': one('Mod', NUMBERS, cast='INT64'),
    'Pow': one('Pow', F32(2.5), before='Abs'), 'Clip': one('Clip', F32(-0.3), F32(0.4)),
    'Clip below': one('Clip', F32(-0.3)), 'PRelu': one('PRelu', (3, 1)),
    'Equal': one('Equal', 'x'), 'Greater': one('Greater', (3, 4)), 'Less': one('Less', (3, 4)),
    'GreaterOrEqual': one('GreaterOrEqual', 'x'), 'LessOrEqual': one('LessOrEqual', (3, 4)),
    'Not': one('Not', cast='BOOL', before='Relu'), 'And': one('And', TRUTHS, cast='BOOL'),
    'Or': one('Or', TRUTHS, cast='BOOL', before='Relu'),
    'Where': model_of([_node('Greater', ['x', 'c'], ['w']), _node('Where', ['w', 'x', 'c'], ['y'])],
                      {'x': [2, 4]}, {'y': [2, 4]}, {'c': F32([0, 0.5, -1, 2])}),
    'MatMul': one('MatMul', (4, 5)), 'Gemm': one('Gemm', (5, 4), (5,), shape=(2, 4), transB=1),
    'Gemm plain': one('Gemm', (4, 5), (1, 5), shape=(2, 4)),
    'Gemm scaled': one('Gemm', (2, 5), (5,), shape=(2, 4), transA=1, alpha=0.5, beta=2.0),
    'Einsum': one('Einsum', (5, 4), equation='bij,kj->bik'),
    'Reshape': one('Reshape', I64([0, -1])), 'Transpose': one('Transpose', perm=[2, 0, 1]),
    'Transpose reversed': one('Transpose'), 'Concat': one('Concat', (2, 2, 4), axis=1),
    'Slice': one('Slice', I64([1, -3]), I64([3, 99]), I64([1, 2])),
    'Slice backwards': one('Slice', I64([-1]), I64([-99]), I64([2]), I64([-2])),
    'Slice by two': one('Slice', I64([0]), I64([4]), I64([-1]), I64([2])),
    'Split': one('Split', I64([1, 3]), outputs=2, axis=2), 'Split evenly': one('Split', outputs=2, axis=2),
    'Gather': one('Gather', I64([[0, -1], [2, 1]]), axis=1), 'Gather one': one('Gather', I64(1), axis=2),
    'GatherElements': one('GatherElements', I64([[[0, 1, 2, -1]]]), axis=1, shape=(1, 3, 4)),
    'GatherND': one('GatherND', I64([[0, 1], [1, 2]])),
    'Squeeze': one('Squeeze', I64([1]), shape=(2, 1, 3)), 'Unsqueeze': one('Unsqueeze', I64([0, -1])),
    'Expand': one('Expand', I64([2, 3, 4]), shape=(2, 1, 4)), 'Tile': one('Tile', I64([1, 2, 1])),
    'Pad': one('Pad', I64([0, 1, 0, 0, 0, 2]), F32(0.5)), 'Cast': one('Cast', to=TensorProto.INT64),
    'Shape': model_of([_node('Shape', ['x'], ['s'], end=2), _node('Concat', ['s', 'm'], ['t'], axis=0),
                       _node('Reshape', ['x', 't'], ['y'])], {'x': [2, 3, 2, 2]}, {'y': [2, 3, 4]}, {'m': I64([-1])}),
    'Constant': model_of([_node('Constant', [], ['c'], value_float=1.5), _node('Add', ['x', 'c'], ['y'])],
                         {'x': [2]}, {'y': [2]}),
    'ConstantOfShape': model_of(
        [_node('ConstantOfShape', ['s'], ['c'], value=numpy_helper.from_array(F32([2]))),
         _node('Mul', ['x', 'c'], ['y'])], {'x': [3]}, {'y': [3]}, {'s': I64([3])}),
    'Range': model_of([_node('Range', ['a', 'b', 'd'], ['r']), _node('Mul', ['x', 'r'], ['y'])],
                      {'x': [3]}, {'y': [3]}, {'a': F32(0), 'b': F32(3), 'd': F32(1)}),
    'ArgMax': one('ArgMax', axis=2), 'ReduceMean': one('ReduceMean', axes=[1]),
    'ReduceSum': one('ReduceSum', I64([-1, 0]), keepdims=0), 'ReduceSum all': one('ReduceSum'),
    'LayerNormalization': one('LayerNormalization', (4,), (4,)),
    'LayerNormalization over two': one('LayerNormalization', (3, 4), (3, 4), axis=1, epsilon=1e-3),
    'BatchNormalization': one('BatchNormalization', (3,), (3,), (3,), F32([0.5, 1, 2])),
    'InstanceNormalization': one('InstanceNormalization', (3,), (3,)),
    'GroupNormalization': one('GroupNormalization', (4,), (4,), shape=(2, 4, 3), num_groups=2, opset=21),
    'Conv': one('Conv', (6, 3, 2), (6,), shape=(2, 3, 9), strides=[2], pads=[1, 0], dilations=[2]),
    'Conv of an image': one('Conv', (4, 2, 3, 2), shape=(1, 2, 6, 5), pads=[1, 0, 1, 1]),
    'Conv in groups': one('Conv', (4, 2, 3), shape=(2, 4, 7), group=2),
    'ConvTranspose': one('ConvTranspose', (3, 5, 4), (5,), shape=(2, 3, 6), strides=[2], pads=[1, 1]),
    'ConvTranspose in groups': one('ConvTranspose', (4, 2, 3), shape=(1, 4, 5), group=2, strides=[2],
                                   output_padding=[1]),
    'MaxPool': one('MaxPool', shape=(2, 3, 7), kernel_shape=[3], strides=[2], pads=[1, 1]),
    'AveragePool': one('AveragePool', shape=(2, 3, 7), kernel_shape=[3], strides=[2], pads=[1, 1]),
    'GlobalAveragePool': one('GlobalAveragePool'), 'GlobalMaxPool': one('GlobalMaxPool'),
    'GRU': one('GRU', (1, 15, 4), (1, 15, 5), (1, 30), **SEQUENCE, outputs=2, linear_before_reset=1),
    'GRU the other way': one('GRU', (1, 15, 4), (1, 15, 5), (1, 30), **SEQUENCE, outputs=2, direction='reverse'),
    'LSTM': one('LSTM', (1, 20, 4), (1, 20, 5), (1, 40), None, (1, 2, 5), (1, 2, 5), **SEQUENCE, outputs=3),
    'LSTM both ways': one('LSTM', (2, 20, 4), (2, 20, 5), **SEQUENCE, outputs=3, direction='bidirectional'),
    'RNN': one('RNN', (1, 5, 4), (1, 5, 5), (1, 10), **SEQUENCE, outputs=2),
    'QuantizeLinear': one('QuantizeLinear', S1, U0),
    'QuantizeLinear by channel': one('QuantizeLinear', F32([0.01, 0.02, 0.03]), np.int8([0, 1, -2]), axis=1),
    'DequantizeLinear': one('DequantizeLinear', S1, U0, **BYTES),
    'DynamicQuantizeLinear': one('DynamicQuantizeLinear', outputs=3),
    'MatMulInteger': one('MatMulInteger', _quantised(4, 5), U0, np.int8(1), **BYTES),
    'ConvInteger': one('ConvInteger', _quantised(2, 3, 2, kind=np.uint8), U0, np.uint8(1), **BYTES, shape=(1, 3, 5)),
    'QLinearMatMul': one('QLinearMatMul', S1, U0, _quantised(4, 5), S1, np.int8(1), F32(0.1), U0, **BYTES),
    'QLinearConv': one('QLinearConv', S1, U0, _quantised(2, 3, 2), F32([0.02, 0.03]), np.int8([0, 0]), F32(0.1), U0,
                       np.int32([10, -20]), **BYTES, shape=(1, 3, 5)),
}
"""Name, beginning with the operator, to the graph."""
