"""How much memory and arithmetic a graph needs, told before anything runs it.

A graph of a few bytes can ask for terabytes (``ConstantOfShape``, ``Expand``, a chain of ``Concat``) or for hours. So
sizes must follow from constants and input shapes alone, never from the values of inputs, and ONNX's own shape
inference must be able to tell every one of them for a batch of one.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import onnx
from allegro_description.errors import BundleError

MAX_ELEMENTS = 2 ** 24
"""Numbers of one intermediate value at batch 1."""
MAX_TOTAL = 2 ** 27
"""The same, of all values together."""
MAX_MACS = 20_000_000_000
"""Multiplications with addition of one decision: some seconds on one core."""

_SIZE_INPUTS: Mapping[str, Sequence[int]] = {
    'ConstantOfShape': (0,), 'Expand': (1,), 'Tile': (1,), 'Range': (0, 1, 2), 'Pad': (1,), 'Reshape': (1,),
}
"""Operators whose output is as large as these inputs say."""

_SMALL = 1024
"""Constants of up to so many numbers may describe shapes; others are only weights."""

Dims = tuple[int, ...]


@dataclass(frozen=True)
class Sizes:
    """What one decision needs: ``macs`` multiplications with addition, ``elements`` numbers in intermediate values."""

    macs: int
    elements: int


def measure(proto: onnx.ModelProto) -> Sizes:
    """Sizes of a graph that passed the ONNX checker (so its nodes are sorted).

    Raises:
        BundleError: a size depends on input values, cannot be told, or exceeds a limit; the node is named.
    """
    _refuse_sizes_from_values(proto.graph)
    shapes = _shapes(proto)
    elements = macs = 0
    for node in proto.graph.node:
        for name in filter(None, node.output):
            if name not in shapes:
                raise BundleError(f'policy.onnx: the size of {name!r} ({node.op_type}) cannot be told beforehand; '
                                  'export with fixed shapes and a free batch dimension only')
            count = math.prod(shapes[name])
            if count > MAX_ELEMENTS:
                raise BundleError(f'policy.onnx: {name!r} ({node.op_type}) has shape {list(shapes[name])}; a value may '
                                  f'have {MAX_ELEMENTS} numbers')
            elements += count
        macs += _macs(node, shapes)
        if elements > MAX_TOTAL or macs > MAX_MACS:
            raise BundleError(f'policy.onnx: one decision needs more than {MAX_TOTAL} intermediate numbers or '
                              f'{MAX_MACS / 1e9:g} G multiplications; this is no policy for a control loop')
    return Sizes(macs, elements)


def _refuse_sizes_from_values(graph: onnx.GraphProto) -> None:
    constants = {t.name for t in graph.initializer}
    measured = {v.name for v in graph.input if v.name not in constants}
    for node in graph.node:
        for place in _SIZE_INPUTS.get(node.op_type, ()):
            if place < len(node.input) and node.input[place] in measured:
                raise BundleError(f'policy.onnx: the size of {node.output[0]!r} ({node.op_type}) depends on the value '
                                  'of an input; not allowed, because nothing bounds it')
        if node.op_type != 'Shape' and any(name in measured for name in node.input):
            measured.update(node.output)


def _shapes(proto: onnx.ModelProto) -> dict[str, Dims]:
    """Shape of every value at batch 1, as far as it can be told; what the file claims itself is not believed."""
    light = onnx.ModelProto(ir_version=proto.ir_version, opset_import=proto.opset_import)
    light.graph.name = 'sizes'
    light.graph.node.extend(proto.graph.node)
    known: dict[str, Dims] = {}
    for tensor in proto.graph.initializer:
        known[tensor.name] = tuple(tensor.dims)
        if math.prod(tensor.dims) <= _SMALL:
            light.graph.initializer.append(tensor)
        else:
            light.graph.input.append(onnx.helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims))
    for value in proto.graph.input:
        if value.name not in known:
            tensor_type = value.type.tensor_type
            dims = [d.dim_value if d.HasField('dim_value') else 1 for d in tensor_type.shape.dim]
            light.graph.input.append(onnx.helper.make_tensor_value_info(value.name, tensor_type.elem_type, dims))
    try:
        found = onnx.shape_inference.infer_shapes(light, data_prop=True)
    except Exception as error:  # its exceptions have no common base, and the message is all that matters
        said = ' '.join(str(error).split())
        raise BundleError(f'policy.onnx: shapes contradict one another: {said[:200]}') from error
    for value in [*found.graph.input, *found.graph.value_info]:
        if value.type.HasField('tensor_type') and value.type.tensor_type.HasField('shape'):
            dims = value.type.tensor_type.shape.dim
            if all(d.HasField('dim_value') for d in dims):
                known[value.name] = tuple(d.dim_value for d in dims)
    return known


def _macs(node: onnx.NodeProto, shapes: Mapping[str, Dims]) -> int:
    """Multiplications with addition of one node; 0 for those without products."""
    ins = [shapes.get(name, ()) for name in node.input]
    out = math.prod(shapes[node.output[0]]) if node.output and node.output[0] else 0
    kind = node.op_type
    if kind in ('MatMul', 'MatMulInteger', 'Gemm', 'QLinearMatMul') and ins[0]:
        transposed = kind == 'Gemm' and any(a.name == 'transA' and a.i for a in node.attribute)
        return out * ins[0][0 if transposed else -1]
    if kind in ('Conv', 'ConvInteger', 'QLinearConv'):
        weights = ins[3 if kind == 'QLinearConv' else 1]
        return out * math.prod(weights[1:])
    if kind == 'ConvTranspose':
        return math.prod(ins[0]) * math.prod(ins[1][1:])
    if kind in ('LSTM', 'GRU', 'RNN') and ins[0]:
        return math.prod(ins[0][:2]) * (math.prod(ins[1]) + math.prod(ins[2]))
    if kind == 'Einsum':
        equation = next((a.s.decode(errors='replace') for a in node.attribute if a.name == 'equation'), '')
        sizes: dict[str, int] = {}
        for labels, dims in zip(equation.replace(' ', '').split('->')[0].split(','), ins, strict=False):
            sizes.update(zip(labels.replace('...', ''), reversed(dims) if '...' in labels else dims, strict=False))
        return max(math.prod(sizes.values()), out)
    return 0
