"""ONNX operators with windows, norms and small integers in numpy; part of the interpreter."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from allegro_ai.backends.plan import Attributes, Maker, Operation, only, pads
from allegro_ai.backends.recurrent import Arithmetic, layer

_GRID = 64
"""Nodes of :func:`erf` per unit; between them a cubic, so that the error stays below 1e-9."""
_X = np.arange(6 * _GRID + 2) / _GRID
_ERF = np.array([math.erf(x) for x in _X])
_SLOPE = 2 / math.sqrt(math.pi) * np.exp(-_X * _X) / _GRID


def erf(x: NDArray[Any]) -> NDArray[Any]:
    """Gauss's error function, which numpy lacks."""
    size = np.minimum(np.abs(x, dtype=np.float64), 6.0) * _GRID
    k = np.nan_to_num(size).astype(np.intp)
    t = size - k
    a, b, da, db = _ERF[k], _ERF[k + 1], _SLOPE[k], _SLOPE[k + 1]
    value = a + t * (da + t * (3 * (b - a) - 2 * da - db + t * (2 * (a - b) + da + db)))
    result: NDArray[Any] = np.copysign(value, x).astype(x.dtype)
    return result


def sigmoid(x: NDArray[Any]) -> NDArray[Any]:
    """Without overflow on either side."""
    result: NDArray[Any] = 0.5 * np.tanh(0.5 * x) + x.dtype.type(0.5)
    return result


def softplus(x: NDArray[Any]) -> NDArray[Any]:
    """log(1 + e^x)."""
    result: NDArray[Any] = np.logaddexp(x, x.dtype.type(0))
    return result


def _windows(x: NDArray[Any], a: Attributes, kernel: list[int], fill: Any) -> NDArray[Any]:
    """Windows of the spatial dimensions, (N, C, *out, *kernel)."""
    rank = len(kernel)
    only(a, 'ceil_mode', (0,))
    strides, dilations = a.get('strides') or [1] * rank, a.get('dilations') or [1] * rank
    padding = [(0, 0), (0, 0), *pads(a, rank)]
    if any(p != (0, 0) for p in padding):
        x = np.pad(x, padding, constant_values=fill)
    span = [(k - 1) * d + 1 for k, d in zip(kernel, dilations, strict=True)]
    view = sliding_window_view(x, span, tuple(range(2, 2 + rank)))
    return view[(slice(None), slice(None), *(slice(None, None, s) for s in strides),
                 *(slice(None, None, d) for d in dilations))]


def _conv(a: Attributes, opset: int) -> Operation:
    groups = a.get('group', 1)

    def run(x: Any, w: Any, b: Any = None) -> Any:
        rank = w.ndim - 2
        windows = _windows(x, a, list(w.shape[2:]), 0)
        axes = [1, *range(2 + rank, 2 + 2 * rank)], [1, *range(2, 2 + rank)]
        parts = [np.tensordot(part, weights, axes) for part, weights in
                 zip(np.split(windows, groups, 1), np.split(w, groups), strict=True)]
        out = np.moveaxis(np.concatenate(parts, -1) if groups > 1 else parts[0], -1, 1)
        return out if b is None else out + b.reshape(-1, *[1] * rank)

    return run


def _conv_transpose(a: Attributes, opset: int) -> Operation:
    groups = a.get('group', 1)
    only(a, 'output_shape', ())

    def run(x: Any, w: Any, b: Any = None) -> Any:
        rank, kernel = w.ndim - 2, w.shape[2:]
        strides, dilations = a.get('strides') or [1] * rank, a.get('dilations') or [1] * rank
        extra = a.get('output_padding') or [0] * rank
        full = [(n - 1) * s + (k - 1) * d + 1 + e for n, s, k, d, e in
                zip(x.shape[2:], strides, kernel, dilations, extra, strict=True)]
        out = np.zeros((x.shape[0], w.shape[1] * groups, *full), dtype=x.dtype)
        for place in np.ndindex(*kernel):
            term = np.concatenate([np.einsum('nc...,cm->nm...', xs, ws[(slice(None), slice(None), *place)]) for xs, ws
                                   in zip(np.split(x, groups, 1), np.split(w, groups), strict=True)], 1)
            where = [slice(p * d, p * d + (n - 1) * s + 1, s) for p, d, n, s in
                     zip(place, dilations, x.shape[2:], strides, strict=True)]
            out[(slice(None), slice(None), *where)] += term
        cut = [slice(low, size - high) for (low, high), size in zip(pads(a, rank), full, strict=True)]
        out = out[(slice(None), slice(None), *cut)]
        return out if b is None else out + b.reshape(-1, *[1] * rank)

    return run


def _max_pool(a: Attributes, opset: int) -> Operation:
    kernel = a['kernel_shape']
    return lambda x: _windows(x, a, kernel, -np.inf).max(axis=tuple(range(-len(kernel), 0)))


def _average_pool(a: Attributes, opset: int) -> Operation:
    kernel, inclusive = a['kernel_shape'], a.get('count_include_pad', 0)
    axes = tuple(range(-len(kernel), 0))

    def run(x: Any) -> Any:
        total = _windows(x, a, kernel, 0).sum(axis=axes)
        counted = _windows(np.ones_like(x), a, kernel, 1 if inclusive else 0).sum(axis=axes)
        return total / counted

    return run


def _spatial(function: Any) -> Maker:
    return lambda a, opset: lambda x: function(x, axis=tuple(range(2, x.ndim)), keepdims=True)


def _normal(x: Any, axes: tuple[int, ...], epsilon: float) -> Any:
    centred = x - x.mean(axis=axes, keepdims=True)
    return centred / np.sqrt((centred * centred).mean(axis=axes, keepdims=True) + x.dtype.type(epsilon))


def _layer_norm(a: Attributes, opset: int) -> Operation:
    axis, epsilon = a.get('axis', -1), a.get('epsilon', 1e-5)

    def run(x: Any, scale: Any, bias: Any = None) -> Any:
        out = _normal(x, tuple(range(axis % x.ndim, x.ndim)), epsilon) * scale
        return out if bias is None else out + bias

    return run


def _channels(v: Any, x: Any) -> Any:
    return v.reshape(-1, *[1] * (x.ndim - 2))


def _instance_norm(a: Attributes, opset: int) -> Operation:
    epsilon = a.get('epsilon', 1e-5)
    return lambda x, s, b: _normal(x, tuple(range(2, x.ndim)), epsilon) * _channels(s, x) + _channels(b, x)


def _batch_norm(a: Attributes, opset: int) -> Operation:
    only(a, 'training_mode', (0,))
    epsilon = a.get('epsilon', 1e-5)

    def run(x: Any, s: Any, b: Any, mean: Any, variance: Any) -> Any:
        gain = s / np.sqrt(variance + x.dtype.type(epsilon))
        return (x - _channels(mean, x)) * _channels(gain, x) + _channels(b, x)

    return run


def _group_norm(a: Attributes, opset: int) -> Operation:
    groups, epsilon = a['num_groups'], a.get('epsilon', 1e-5)

    def run(x: Any, s: Any, b: Any) -> Any:
        per = x.shape[1] // groups
        if s.size == groups != x.shape[1]:  # before operator set 21 scale and bias are per group
            s, b = np.repeat(s, per), np.repeat(b, per)
        parts = x.reshape(x.shape[0], groups, -1)
        return _normal(parts, (2,), epsilon).reshape(x.shape) * _channels(s, x) + _channels(b, x)

    return run


def _axis(v: Any, x: Any, axis: int) -> Any:
    return v.reshape([-1 if k == axis % x.ndim else 1 for k in range(x.ndim)]) if v.ndim == 1 and v.size > 1 else v


def _rounded(x: Any, zero: Any) -> Any:
    limits = np.iinfo(zero.dtype)
    return np.clip(np.rint(x) + zero.astype(np.float64), limits.min, limits.max).astype(zero.dtype)


def _quantize(a: Attributes, opset: int) -> Operation:
    axis = a.get('axis', 1)

    def run(x: Any, scale: Any, zero: Any = None) -> Any:
        offset = np.zeros((), dtype=np.uint8) if zero is None else zero
        return _rounded(x / _axis(scale, x, axis), _axis(offset, x, axis))

    return run


def _dequantize(a: Attributes, opset: int) -> Operation:
    axis = a.get('axis', 1)

    def run(x: Any, scale: Any, zero: Any = None) -> Any:
        offset = 0 if zero is None else _axis(zero, x, axis).astype(np.int32)
        return (x.astype(np.int32) - offset).astype(scale.dtype) * _axis(scale, x, axis)

    return run


def _dynamic_quantize(a: Attributes, opset: int) -> Operation:
    def run(x: Any) -> tuple[Any, ...]:
        low, high = min(float(x.min()), 0.0), max(float(x.max()), 0.0)
        scale = np.float32((high - low) / 255 or 1.0)
        zero = np.clip(np.rint(-low / scale), 0, 255).astype(np.uint8)
        return _rounded(x / scale, zero), scale, zero

    return run


def _integer(v: Any, zero: Any, rows: bool) -> Any:
    wide = v.astype(np.int32)
    if zero is None:
        return wide
    offset = zero.astype(np.int32)
    return wide - (offset[..., None] if rows and offset.ndim else offset)


def _matmul_integer(a: Attributes, opset: int) -> Operation:
    return lambda x, w, xz=None, wz=None: np.matmul(_integer(x, xz, True), _integer(w, wz, False))


def _conv_integer(a: Attributes, opset: int) -> Operation:
    conv = _conv(a, opset)

    def run(x: Any, w: Any, xz: Any = None, wz: Any = None) -> Any:
        zero = None if wz is None or wz.ndim == 0 else wz.reshape(-1, *[1] * (w.ndim - 1))
        return conv(_integer(x, xz, False), _integer(w, wz if zero is None else zero, False))

    return run


def _qlinear(make: Maker) -> Maker:
    """Dequantise, compute, quantise; inputs (x, scale, zero, w, scale, zero, scale, zero[, bias])."""
    def made(a: Attributes, opset: int) -> Operation:
        inner = make(a, opset)
        convolves = make is _conv

        def run(x: Any, xs: Any, xz: Any, w: Any, ws: Any, wz: Any, ys: Any, yz: Any, b: Any = None) -> Any:
            axis = 0 if convolves else -1
            weights = (w.astype(np.float64) - _axis(wz, w, axis).astype(np.float64)) * _axis(ws, w, axis)
            terms = () if b is None else (b * (xs * ws).astype(np.float64),)
            out = inner((x.astype(np.float64) - xz) * xs, weights, *terms)
            return _rounded(out / ys, yz)

        return run

    return made


NUMPY_ARITHMETIC = Arithmetic(sigmoid, np.tanh, np.stack, lambda shape, like: np.zeros(shape, dtype=like.dtype))

LAYERS: dict[str, Maker] = {
    'Conv': _conv, 'ConvTranspose': _conv_transpose, 'MaxPool': _max_pool, 'AveragePool': _average_pool,
    'GlobalMaxPool': _spatial(np.max), 'GlobalAveragePool': _spatial(np.mean), 'LayerNormalization': _layer_norm,
    'InstanceNormalization': _instance_norm, 'BatchNormalization': _batch_norm, 'GroupNormalization': _group_norm,
    'QuantizeLinear': _quantize, 'DequantizeLinear': _dequantize, 'DynamicQuantizeLinear': _dynamic_quantize,
    'MatMulInteger': _matmul_integer, 'ConvInteger': _conv_integer, 'QLinearConv': _qlinear(_conv),
    'QLinearMatMul': _qlinear(lambda a, opset: np.matmul),
    **{kind: layer(kind, NUMPY_ARITHMETIC) for kind in ('GRU', 'LSTM', 'RNN')},
}
"""Operator to the maker of its function."""
