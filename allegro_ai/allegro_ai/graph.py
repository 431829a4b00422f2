"""What an ONNX file may contain before anything runs it: sizes, operators, numbers, names, shapes.

A policy graph is data from outside. Control flow, custom domains, functions, external files, random operators and
weights that are not finite are refused; what is left cannot open files, loop for ever or answer NaN by design.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
from allegro_description.errors import BundleError

from allegro_ai.backends import GraphSpec, Shape
from allegro_ai.contents import check_size
from allegro_ai.graph_sizes import measure

MAX_NODES = 20_000

_ARITHMETIC = """Add Sub Mul Div Neg Abs Sqrt Exp Log Pow Min Max Sum Mean Reciprocal Clip Where Equal Greater Less
GreaterOrEqual LessOrEqual Mod Not And Or MatMul Gemm Einsum Floor Ceil Round Sign Sin Cos Erf"""
_ACTIVATIONS = """Relu LeakyRelu PRelu Elu Selu Celu Gelu Tanh Sigmoid HardSigmoid HardSwish Mish Softplus Softsign
Softmax LogSoftmax LayerNormalization BatchNormalization InstanceNormalization GroupNormalization"""
_LAYERS = 'Conv ConvTranspose AveragePool MaxPool GlobalAveragePool GlobalMaxPool GRU LSTM RNN'
_SHAPES = """Reshape Transpose Concat Split Slice Gather GatherElements GatherND Squeeze Unsqueeze Expand Flatten Tile
Pad Identity Cast Shape Constant ConstantOfShape Range ArgMax ReduceMean ReduceSum ReduceMax ReduceMin ReduceL2"""
_QUANTISED = 'QuantizeLinear DequantizeLinear DynamicQuantizeLinear MatMulInteger QLinearMatMul QLinearConv ConvInteger'

ALLOWED_OPS = frozenset(' '.join((_ARITHMETIC, _ACTIVATIONS, _LAYERS, _SHAPES, _QUANTISED)).split())
"""Operators of the default domain that a policy may use."""

_FLOATS = (onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16, onnx.TensorProto.BFLOAT16, onnx.TensorProto.DOUBLE)


@dataclass(frozen=True)
class GraphReport:
    """What was found in a graph that passed.

    Attributes:
        spec: inputs and outputs.
        opset: version of the default operator set.
        producer: who wrote it.
        metadata: its ``metadata_props``.
        parameters: number of stored weights (all constants of the graph).
        operators: how often each operator occurs.
        macs: multiplications with addition of one decision.
    """

    spec: GraphSpec
    opset: int
    producer: str
    metadata: Mapping[str, str]
    parameters: int
    operators: Mapping[str, int] = field(default_factory=dict)
    macs: int = 0


def inspect(model: bytes) -> GraphReport:
    """Check the bytes of ``policy.onnx`` and describe the graph.

    Raises:
        BundleError: anything that is not allowed; the message names it.
    """
    check_size('policy.onnx', len(model), 'policy.onnx')
    try:
        proto = onnx.load_model_from_string(model)
    except Exception as error:  # protobuf has its own exception classes per implementation
        raise BundleError(f'policy.onnx: not an ONNX file ({type(error).__name__}); export the policy again') from error
    _refuse_no_text(proto)
    _refuse_extras(proto)
    try:
        onnx.checker.check_model(proto)
    except Exception as error:  # ValidationError, and what its C++ side lets through
        said = ' '.join(str(error).split())
        raise BundleError(f'policy.onnx: not a valid graph: {said[:300]}') from error
    operators: dict[str, int] = {}
    parameters = 0
    for node in proto.graph.node:
        if node.domain not in ('', 'ai.onnx') or node.op_type not in ALLOWED_OPS:
            name = f'{node.domain}.{node.op_type}' if node.domain else node.op_type
            raise BundleError(
                f'policy.onnx: operator {name!r} (node {node.name!r}) is not allowed; '
                'a policy may only use the plain operators listed in allegro_ai/graph.py'
            )
        operators[node.op_type] = operators.get(node.op_type, 0) + 1
        for attribute in node.attribute:
            if attribute.HasField('g') or attribute.graphs or attribute.sparse_tensors or \
                    attribute.HasField('sparse_tensor'):
                raise BundleError(f'policy.onnx: node {node.name!r} carries a sub-graph or sparse tensor; not allowed')
            for tensor in [*attribute.tensors, *([attribute.t] if attribute.HasField('t') else [])]:
                parameters += _check_tensor(tensor, f'{node.name}.{attribute.name}')
            if not np.isfinite([attribute.f, *attribute.floats]).all():
                raise BundleError(f'policy.onnx: attribute {attribute.name!r} of node {node.name!r} is not finite')
    for tensor in proto.graph.initializer:
        parameters += _check_tensor(tensor, tensor.name)
    stored = {t.name for t in proto.graph.initializer}
    spec = GraphSpec(
        inputs={v.name: _shape(v) for v in proto.graph.input if v.name not in stored},
        outputs={v.name: _shape(v) for v in proto.graph.output},
    )
    opset = next(o.version for o in proto.opset_import if o.domain in ('', 'ai.onnx'))
    metadata = {p.key: p.value for p in proto.metadata_props}
    return GraphReport(spec, opset, proto.producer_name, metadata, parameters, operators, measure(proto).macs)


def _refuse_no_text(message: Any) -> None:
    """The parser lets any bytes pass as text; names that are none would surprise whoever reads them."""
    for kind, value in message.ListFields():
        if kind.type == kind.TYPE_STRING:
            texts = [value] if isinstance(value, (str, bytes)) else value
            if any(isinstance(text, bytes) for text in texts):  # how protobuf gives what is no text
                raise BundleError(f'policy.onnx: {kind.name} holds bytes that are no text; export it again')
        elif kind.type == kind.TYPE_MESSAGE:
            for part in value if hasattr(value, '__len__') else [value]:
                _refuse_no_text(part)


def _refuse_extras(proto: onnx.ModelProto) -> None:
    extras = {'functions': proto.functions, 'training info': proto.training_info,
              'sparse weights': proto.graph.sparse_initializer}
    for what, found in extras.items():
        if len(found):
            raise BundleError(f'policy.onnx: holds {what}; not allowed in a policy')
    foreign = [o.domain for o in proto.opset_import if o.domain not in ('', 'ai.onnx')]
    if foreign or len(proto.opset_import) != 1:
        found = foreign or f'named {len(proto.opset_import)} times'
        raise BundleError(f'policy.onnx: operator sets {found}; exactly one, the default ONNX set, is allowed')
    if len(proto.graph.node) > MAX_NODES:
        raise BundleError(f'policy.onnx: {len(proto.graph.node)} nodes; the limit is {MAX_NODES}')
    for tensor in proto.graph.initializer:
        if tensor.data_location == onnx.TensorProto.EXTERNAL or tensor.external_data:
            raise BundleError(f'policy.onnx: weight {tensor.name!r} lies in an external file; store it in the graph')


def _check_tensor(tensor: onnx.TensorProto, name: str) -> int:
    if tensor.data_location == onnx.TensorProto.EXTERNAL or tensor.external_data:
        raise BundleError(f'policy.onnx: weight {name!r} lies in an external file; store it in the graph')
    try:
        values = onnx.numpy_helper.to_array(tensor)
    except (ValueError, TypeError, KeyError, OverflowError, MemoryError) as error:
        said = ' '.join(str(error).split())
        raise BundleError(f'policy.onnx: weight {name!r} cannot be read: {said[:300]}') from error
    if tensor.data_type in _FLOATS:
        plain = values if values.dtype.kind == 'f' else values.astype(np.float32)  # bfloat16 is no kind of numpy
        if not np.isfinite(plain).all():
            raise BundleError(f'policy.onnx: weight {name!r} holds NaN or infinite values; train or export it again')
    return int(values.size)


def _shape(value: onnx.ValueInfoProto) -> Shape:
    tensor = value.type.tensor_type
    if not value.type.HasField('tensor_type') or tensor.elem_type != onnx.TensorProto.FLOAT:
        raise BundleError(f'policy.onnx: {value.name!r} is not a float32 tensor; inputs and outputs must be')
    return tuple(int(d.dim_value) if d.HasField('dim_value') else None for d in tensor.shape.dim)
