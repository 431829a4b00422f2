"""The allow-listed ONNX operators as torch operations, node by node.

Operands that only say shapes, axes or bounds stay numpy arrays (``HOST``); everything else is a tensor.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce
from typing import Any

import numpy as np
import torch
from torch.nn import functional as F

from allegro_ai.backends.plan import Attributes, Maker, NotCovered, Operation, dtype_of, ints, only, pads
from allegro_ai.backends.recurrent import Arithmetic, layer

HOST = {'Reshape': (1,), 'Slice': (1, 2, 3, 4), 'Split': (1,), 'Squeeze': (1,), 'Unsqueeze': (1,), 'Expand': (1,),
        'Tile': (1,), 'Pad': (1, 2, 3), 'ReduceMean': (1,), 'ReduceSum': (1,), 'ReduceMax': (1,), 'ReduceMin': (1,),
        'ReduceL2': (1,)}
"""Operator to the places of its operands that stay on the host."""


def _plain(function: Any) -> Maker:
    return lambda a, opset: function


def _fold(function: Any) -> Maker:
    return lambda a, opset: lambda *xs: reduce(function, xs)


def _divide(x: Any, y: Any) -> Any:
    return x / y if x.is_floating_point() else torch.div(x, y, rounding_mode='trunc')


def _clip(a: Attributes, opset: int) -> Operation:
    def run(x: Any, low: Any = None, high: Any = None) -> Any:
        low, high = a.get('min', low), a.get('max', high)
        x = x if low is None else torch.maximum(x, torch.as_tensor(low, dtype=x.dtype))
        return x if high is None else torch.minimum(x, torch.as_tensor(high, dtype=x.dtype))

    return run


def _gemm(a: Attributes, opset: int) -> Operation:
    alpha, beta = a.get('alpha', 1.0), a.get('beta', 1.0)
    left, right = a.get('transA', 0), a.get('transB', 0)

    def run(x: Any, w: Any, c: Any = None) -> Any:
        x = x.t() if left else x
        if c is not None and alpha == beta == 1:
            return F.linear(x, w, c) if right and c.ndim == 1 else torch.addmm(c, x, w.t() if right else w)
        out = alpha * (x @ (w.t() if right else w))
        return out if c is None else out + beta * c

    return run


def _reshape(a: Attributes, opset: int) -> Operation:
    keep = not a.get('allowzero', 0)
    return lambda x, shape: x.reshape([x.shape[k] if n == 0 and keep else n for k, n in enumerate(ints(shape))])


def _transpose(a: Attributes, opset: int) -> Operation:
    order = a.get('perm')
    return lambda x: x.permute(order or tuple(reversed(range(x.ndim))))


def _slice(a: Attributes, opset: int) -> Operation:
    def run(x: Any, starts: Any = None, ends: Any = None, axes: Any = None, steps: Any = None) -> Any:
        first, last = (ints(a[n] if v is None else v) for n, v in (('starts', starts), ('ends', ends)))
        where = ints(a.get('axes', range(len(first))) if axes is None else axes)
        by = [1] * len(first) if steps is None else ints(steps)
        for axis, start, end, step in zip(where, first, last, by, strict=True):
            size = x.shape[axis]
            if step > 0:
                begin, stop, _ = slice(start, end, step).indices(size)
                x = x.narrow(axis, begin, max(stop - begin, 0))
                if step > 1:
                    x = x[(slice(None),) * (axis % x.ndim) + (slice(None, None, step),)]
            else:
                chosen = list(range(size))[slice(start, None if end < -size else end, step)]
                x = x.index_select(axis, torch.tensor(chosen, dtype=torch.int64, device=x.device))
        return x

    return run


def _split(a: Attributes, opset: int) -> Operation:
    axis, parts = a.get('axis', 0), a['num_outputs']

    def run(x: Any, sizes: Any = None) -> tuple[Any, ...]:
        given = a.get('split') if sizes is None else ints(sizes)
        return tuple(torch.split(x, -(-x.shape[axis] // parts) if given is None else given, axis))

    return run


def _gather(a: Attributes, opset: int) -> Operation:
    axis = a.get('axis', 0)

    def run(x: Any, index: Any) -> Any:
        where = torch.where(index < 0, index + x.shape[axis], index)
        found = x.index_select(axis, where.reshape(-1))
        at = axis % x.ndim
        return found.reshape(*x.shape[:at], *index.shape, *x.shape[at + 1:])

    return run


def _gather_elements(a: Attributes, opset: int) -> Operation:
    axis = a.get('axis', 0)
    return lambda x, index: torch.gather(x, axis, torch.where(index < 0, index + x.shape[axis], index))


def _gather_nd(a: Attributes, opset: int) -> Operation:
    only(a, 'batch_dims', (0,))
    return lambda x, index: x[tuple(index.movedim(-1, 0))]


def _squeeze(a: Attributes, opset: int) -> Operation:
    def run(x: Any, axes: Any = None) -> Any:
        where = a.get('axes') if axes is None else ints(axes)
        return x.squeeze() if where is None else x.squeeze(tuple(where))

    return run


def _unsqueeze(a: Attributes, opset: int) -> Operation:
    def run(x: Any, axes: Any = None) -> Any:
        where = list(a['axes']) if axes is None else ints(axes)
        for axis in sorted(k % (x.ndim + len(where)) for k in where):
            x = x.unsqueeze(axis)
        return x

    return run


def _pad(a: Attributes, opset: int) -> Operation:
    only(a, 'mode', ('constant',))

    def run(x: Any, amounts: Any, value: Any = None, axes: Any = None) -> Any:
        where, given = list(range(x.ndim)) if axes is None else ints(axes), ints(amounts)
        widths = [(0, 0)] * x.ndim
        for k, axis in enumerate(where):
            widths[axis] = given[k], given[k + len(where)]
        flat = [n for pair in reversed(widths) for n in pair]
        return F.pad(x, flat, value=0.0 if value is None else float(np.asarray(value).item()))

    return run


def _reduce(function: Callable[[Any, Any, bool], Any]) -> Maker:
    def make(a: Attributes, opset: int) -> Operation:
        keep, idle = bool(a.get('keepdims', 1)), bool(a.get('noop_with_empty_axes', 0))

        def run(x: Any, axes: Any = None) -> Any:
            where = a.get('axes') if axes is None else ints(axes)
            return x if not where and idle else function(x, tuple(where or range(x.ndim)), keep)

        return run

    return make


def _spatial(x: Any, a: Attributes, rank: int, fill: float) -> Any:
    """The input with its padding made explicit; what a torch layer pads itself must be the same on both sides."""
    flat = [n for pair in reversed(pads(a, rank)) for n in pair]
    return F.pad(x, flat, value=fill) if any(flat) else x


def _conv(a: Attributes, opset: int) -> Operation:
    def run(x: Any, w: Any, b: Any = None) -> Any:
        rank = w.ndim - 2
        function = (F.conv1d, F.conv2d, F.conv3d)[rank - 1]
        return function(_spatial(x, a, rank, 0.0), w, b, a.get('strides') or 1, 0, a.get('dilations') or 1,
                        a.get('group', 1))

    return run


def _conv_transpose(a: Attributes, opset: int) -> Operation:
    only(a, 'output_shape', ())

    def run(x: Any, w: Any, b: Any = None) -> Any:
        rank = w.ndim - 2
        cuts = pads(a, rank)
        if any(low != high for low, high in cuts):
            raise NotCovered('ConvTranspose with uneven pads')
        function = (F.conv_transpose1d, F.conv_transpose2d, F.conv_transpose3d)[rank - 1]
        return function(x, w, b, a.get('strides') or 1, [low for low, _ in cuts], a.get('output_padding') or 0,
                        a.get('group', 1), a.get('dilations') or 1)

    return run


def _max_pool(a: Attributes, opset: int) -> Operation:
    kernel = a['kernel_shape']
    only(a, 'ceil_mode', (0,))
    function = (F.max_pool1d, F.max_pool2d, F.max_pool3d)[len(kernel) - 1]
    return lambda x: function(_spatial(x, a, len(kernel), -torch.inf), kernel, a.get('strides') or 1, 0,
                              a.get('dilations') or 1)


def _average_pool(a: Attributes, opset: int) -> Operation:
    kernel, inclusive = a['kernel_shape'], a.get('count_include_pad', 0)
    only(a, 'ceil_mode', (0,))
    only(a, 'dilations', ([1] * len(kernel),))
    function: Any = (F.avg_pool1d, F.avg_pool2d, F.avg_pool3d)[len(kernel) - 1]

    def run(x: Any) -> Any:
        mean = function(_spatial(x, a, len(kernel), 0.0), kernel, a.get('strides') or 1)
        if inclusive:
            return mean
        return mean / function(_spatial(torch.ones_like(x), a, len(kernel), 0.0), kernel, a.get('strides') or 1)

    return run


def _layer_norm(a: Attributes, opset: int) -> Operation:
    axis, epsilon = a.get('axis', -1), a.get('epsilon', 1e-5)
    return lambda x, s, b=None: F.layer_norm(x, x.shape[axis % x.ndim:], s, b, epsilon)


def _group_norm(a: Attributes, opset: int) -> Operation:
    groups, epsilon = a['num_groups'], a.get('epsilon', 1e-5)

    def run(x: Any, s: Any, b: Any) -> Any:
        if len(s) == groups != x.shape[1]:  # before operator set 21 scale and bias are per group
            s, b = s.repeat_interleave(x.shape[1] // groups), b.repeat_interleave(x.shape[1] // groups)
        return F.group_norm(x, groups, s, b, epsilon)

    return run


def _softmax(function: Any) -> Maker:
    return lambda a, opset: lambda x: function(x, dim=a.get('axis', -1 if opset >= 13 else 1))


def _activation(function: Any, **defaults: float) -> Maker:
    def make(a: Attributes, opset: int) -> Operation:
        values = [float(a.get(name, default)) for name, default in defaults.items()]
        return lambda x: function(x, *values)

    return make


def _cast(a: Attributes, opset: int) -> Operation:
    kind = getattr(torch, dtype_of(a['to']).name)
    return lambda x: x.to(kind)


ARITHMETIC = Arithmetic(torch.sigmoid, torch.tanh, torch.stack, lambda shape, like: like.new_zeros(shape))

OPERATORS: dict[str, Maker] = {
    'Add': _plain(torch.add), 'Sub': _plain(torch.sub), 'Mul': _plain(torch.mul), 'Div': _plain(_divide),
    'Neg': _plain(torch.neg), 'Abs': _plain(torch.abs), 'Sqrt': _plain(torch.sqrt), 'Exp': _plain(torch.exp),
    'Log': _plain(torch.log), 'Pow': _plain(lambda x, y: torch.pow(x, y).to(x.dtype)), 'Min': _fold(torch.minimum),
    'Max': _fold(torch.maximum), 'Sum': _fold(torch.add),
    'Mean': lambda a, opset: lambda *xs: reduce(torch.add, xs) / len(xs), 'Reciprocal': _plain(torch.reciprocal),
    'Clip': _clip, 'Where': _plain(torch.where), 'Equal': _plain(torch.eq), 'Greater': _plain(torch.gt),
    'Less': _plain(torch.lt), 'GreaterOrEqual': _plain(torch.ge), 'LessOrEqual': _plain(torch.le),
    'Mod': lambda a, opset: torch.fmod if a.get('fmod', 0) else torch.remainder, 'Not': _plain(torch.logical_not),
    'And': _plain(torch.logical_and),
    'Or': _plain(torch.logical_or), 'MatMul': _plain(torch.matmul), 'Gemm': _gemm,
    'Einsum': lambda a, opset: lambda *xs: torch.einsum(a['equation'].replace(' ', ''), *xs),
    'Floor': _plain(torch.floor), 'Ceil': _plain(torch.ceil), 'Round': _plain(torch.round), 'Sign': _plain(torch.sign),
    'Sin': _plain(torch.sin), 'Cos': _plain(torch.cos), 'Erf': _plain(torch.erf), 'Relu': _plain(torch.relu),
    'PRelu': _plain(lambda x, s: torch.where(x < 0, s * x, x)), 'LeakyRelu': _activation(F.leaky_relu, alpha=0.01),
    'Elu': _activation(F.elu, alpha=1.0), 'Selu': _plain(F.selu), 'Celu': _activation(F.celu, alpha=1.0),
    'Gelu': lambda a, opset: lambda x: F.gelu(x, approximate=a.get('approximate', 'none')), 'Tanh': _plain(torch.tanh),
    'Sigmoid': _plain(torch.sigmoid),
    'HardSigmoid': _activation(lambda x, alpha, beta: torch.clamp(alpha * x + beta, 0, 1), alpha=0.2, beta=0.5),
    'HardSwish': _plain(F.hardswish), 'Mish': _plain(F.mish), 'Softplus': _plain(F.softplus),
    'Softsign': _plain(F.softsign), 'Softmax': _softmax(F.softmax), 'LogSoftmax': _softmax(F.log_softmax),
    'LayerNormalization': _layer_norm, 'GroupNormalization': _group_norm,
    'InstanceNormalization': lambda a, opset: lambda x, s, b: F.instance_norm(
        x, weight=s, bias=b, eps=a.get('epsilon', 1e-5)),
    'BatchNormalization': lambda a, opset: lambda x, s, b, mean, variance: F.batch_norm(
        x, mean, variance, s, b, eps=a.get('epsilon', 1e-5)),
    'Conv': _conv, 'ConvTranspose': _conv_transpose, 'MaxPool': _max_pool, 'AveragePool': _average_pool,
    'GlobalAveragePool': _plain(lambda x: x.mean(dim=tuple(range(2, x.ndim)), keepdim=True)),
    'GlobalMaxPool': _plain(lambda x: x.amax(dim=tuple(range(2, x.ndim)), keepdim=True)),
    **{kind: layer(kind, ARITHMETIC) for kind in ('GRU', 'LSTM', 'RNN')},
    'Reshape': _reshape, 'Transpose': _transpose, 'Slice': _slice, 'Split': _split, 'Gather': _gather,
    'Concat': lambda a, opset: lambda *xs: torch.cat(xs, a['axis']), 'GatherElements': _gather_elements,
    'GatherND': _gather_nd, 'Squeeze': _squeeze, 'Unsqueeze': _unsqueeze,
    'Expand': _plain(lambda x, shape: x.expand(np.broadcast_shapes(tuple(x.shape), tuple(ints(shape))))),
    'Flatten': lambda a, opset: lambda x: x.reshape(int(np.prod(x.shape[:a.get('axis', 1)], dtype=np.int64)), -1),
    'Tile': _plain(lambda x, counts: x.repeat(ints(counts))), 'Pad': _pad, 'Identity': _plain(lambda x: x),
    'Cast': _cast, 'Shape': lambda a, opset: lambda x: np.array(
        x.shape[a.get('start', 0):a.get('end')], dtype=np.int64),
    'ArgMax': lambda a, opset: lambda x: torch.argmax(x, a.get('axis', 0), bool(a.get('keepdims', 1))),
    'ReduceMean': _reduce(torch.mean), 'ReduceSum': _reduce(torch.sum), 'ReduceMax': _reduce(torch.amax),
    'ReduceMin': _reduce(torch.amin),
    'ReduceL2': _reduce(lambda x, axes, keep: torch.sqrt((x * x).sum(axes, keep))),
}
"""Operator to the maker of its function. Quantised operators are left to engines that compute in 8 bit."""
