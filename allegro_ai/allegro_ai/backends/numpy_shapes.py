"""ONNX operators that move numbers about: shapes, slices, joins, reductions. In numpy; part of the interpreter."""

from __future__ import annotations

from typing import Any

import numpy as np

from allegro_ai.backends.plan import Attributes, Maker, NotCovered, Operation, dtype_of, ints, only


def _reshape(a: Attributes, opset: int) -> Operation:
    keep = not a.get('allowzero', 0)

    def run(x: Any, shape: Any) -> Any:
        return x.reshape([x.shape[k] if n == 0 and keep else n for k, n in enumerate(ints(shape))])

    return run


def _transpose(a: Attributes, opset: int) -> Operation:
    order = a.get('perm')
    return lambda x: x.transpose(order)


def _concat(a: Attributes, opset: int) -> Operation:
    axis = a['axis']
    return lambda *xs: np.concatenate(xs, axis)


def _slice(a: Attributes, opset: int) -> Operation:
    def run(x: Any, starts: Any = None, ends: Any = None, axes: Any = None, steps: Any = None) -> Any:
        first = ints(a['starts'] if starts is None else starts)
        last = ints(a['ends'] if ends is None else ends)
        where = ints(a.get('axes', range(len(first))) if axes is None else axes)
        by = [1] * len(first) if steps is None else ints(steps)
        index: list[slice] = [slice(None)] * x.ndim
        for axis, start, end, step in zip(where, first, last, by, strict=True):
            # Going backwards, an end before the first element is None in Python.
            stop = None if step < 0 and end < -x.shape[axis] else end
            index[axis] = slice(start, stop, step)
        return x[tuple(index)]

    return run


def _split(a: Attributes, opset: int) -> Operation:
    axis = a.get('axis', 0)
    parts = a['num_outputs']

    def run(x: Any, sizes: Any = None) -> tuple[Any, ...]:
        given = a.get('split') if sizes is None else ints(sizes)
        if given is None:
            given = [-(-x.shape[axis] // parts)] * parts
        return tuple(np.split(x, np.cumsum(given)[:-1], axis))

    return run


def _gather(a: Attributes, opset: int) -> Operation:
    axis = a.get('axis', 0)
    return lambda x, index: np.take(x, index, axis)


def _gather_elements(a: Attributes, opset: int) -> Operation:
    axis = a.get('axis', 0)
    return lambda x, index: np.take_along_axis(x, np.where(index < 0, index + x.shape[axis], index), axis)


def _gather_nd(a: Attributes, opset: int) -> Operation:
    only(a, 'batch_dims', (0,))
    return lambda x, index: x[tuple(np.moveaxis(index, -1, 0))]


def _squeeze(a: Attributes, opset: int) -> Operation:
    def run(x: Any, axes: Any = None) -> Any:
        where = a.get('axes') if axes is None else ints(axes)
        return np.squeeze(x, None if where is None else tuple(where))

    return run


def _unsqueeze(a: Attributes, opset: int) -> Operation:
    return lambda x, axes=None: np.expand_dims(x, tuple(a['axes'] if axes is None else ints(axes)))


def _expand(a: Attributes, opset: int) -> Operation:
    return lambda x, shape: np.broadcast_to(x, np.broadcast_shapes(x.shape, tuple(ints(shape))))


def _flatten(a: Attributes, opset: int) -> Operation:
    axis = a.get('axis', 1)
    return lambda x: x.reshape(int(np.prod(x.shape[:axis], dtype=np.int64)), -1)


def _pad(a: Attributes, opset: int) -> Operation:
    mode = {'constant': 'constant', 'reflect': 'reflect', 'edge': 'edge', 'wrap': 'wrap'}[a.get('mode', 'constant')]

    def run(x: Any, amounts: Any, value: Any = None, axes: Any = None) -> Any:
        where = list(range(x.ndim)) if axes is None else ints(axes)
        given = ints(amounts)
        widths = [(0, 0)] * x.ndim
        for k, axis in enumerate(where):
            widths[axis] = given[k], given[k + len(where)]
        if mode != 'constant':
            return np.pad(x, widths, mode=mode)  # type: ignore[call-overload]
        return np.pad(x, widths, constant_values=0 if value is None else np.asarray(value).item())

    return run


def _cast(a: Attributes, opset: int) -> Operation:
    kind = dtype_of(a['to'])
    return lambda x: x.astype(kind)


def _constant(a: Attributes, opset: int) -> Operation:
    for name, kind in (('value', None), ('value_float', np.float32), ('value_floats', np.float32),
                       ('value_int', np.int64), ('value_ints', np.int64)):
        if name in a:
            value = np.asarray(a[name], dtype=kind)
            return lambda: value
    raise NotCovered('a constant that is no number')


def _constant_of_shape(a: Attributes, opset: int) -> Operation:
    value = a.get('value', np.zeros(1, dtype=np.float32))
    return lambda shape: np.full(ints(shape), value[0], dtype=value.dtype)


def _range(a: Attributes, opset: int) -> Operation:
    return lambda start, stop, step: np.arange(start.item(), stop.item(), step.item(), dtype=start.dtype)


def _shape(a: Attributes, opset: int) -> Operation:
    start, end = a.get('start', 0), a.get('end')
    return lambda x: np.array(x.shape[start:end], dtype=np.int64)


def _argmax(a: Attributes, opset: int) -> Operation:
    only(a, 'select_last_index', (0,))
    axis, keep = a.get('axis', 0), bool(a.get('keepdims', 1))
    return lambda x: np.argmax(x, axis, keepdims=keep)


def _reduce(function: Any) -> Maker:
    def make(a: Attributes, opset: int) -> Operation:
        keep, idle = bool(a.get('keepdims', 1)), bool(a.get('noop_with_empty_axes', 0))

        def run(x: Any, axes: Any = None) -> Any:
            where = a.get('axes') if axes is None else ints(axes)
            if not where and idle:
                return x
            return function(x, axis=tuple(where) if where else None, keepdims=keep)

        return run

    return make


def _norm(x: Any, axis: Any, keepdims: bool) -> Any:
    return np.sqrt((x * x).sum(axis=axis, keepdims=keepdims))


SHAPES: dict[str, Maker] = {
    'Reshape': _reshape, 'Transpose': _transpose, 'Concat': _concat, 'Slice': _slice, 'Split': _split,
    'Gather': _gather, 'GatherElements': _gather_elements, 'GatherND': _gather_nd, 'Squeeze': _squeeze,
    'Unsqueeze': _unsqueeze, 'Expand': _expand, 'Flatten': _flatten, 'Pad': _pad, 'Cast': _cast,
    'Tile': lambda a, opset: lambda x, counts: np.tile(x, ints(counts)),
    'Identity': lambda a, opset: lambda x: x, 'Shape': _shape, 'Constant': _constant,
    'ConstantOfShape': _constant_of_shape, 'Range': _range, 'ArgMax': _argmax, 'ReduceMean': _reduce(np.mean),
    'ReduceSum': _reduce(np.sum), 'ReduceMax': _reduce(np.max), 'ReduceMin': _reduce(np.min),
    'ReduceL2': _reduce(_norm),
}
"""Operator to the maker of its function."""
