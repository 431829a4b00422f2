"""ONNX operators element by element, products and activations in numpy; part of the interpreter."""

from __future__ import annotations

import math
from functools import reduce
from typing import Any

import numpy as np

from allegro_ai.backends.numpy_layers import erf, sigmoid, softplus
from allegro_ai.backends.plan import Attributes, Maker, Operation


def _plain(function: Any) -> Maker:
    return lambda a, opset: function


def _fold(function: Any) -> Maker:
    return lambda a, opset: lambda *xs: reduce(function, xs)


def _power(x: Any, y: Any) -> Any:
    return np.power(x, y).astype(x.dtype, copy=False)


def _divide(x: Any, y: Any) -> Any:
    if x.dtype.kind != 'f':
        return (np.sign(x) * np.sign(y) * (np.abs(x) // np.abs(y))).astype(x.dtype)  # towards zero
    return x / y


def _clip(a: Attributes, opset: int) -> Operation:
    def run(x: Any, low: Any = None, high: Any = None) -> Any:
        low, high = a.get('min', low), a.get('max', high)
        return x if low is None and high is None else np.clip(x, low, high).astype(x.dtype, copy=False)

    return run


def _gemm(a: Attributes, opset: int) -> Operation:
    alpha, beta = np.float32(a.get('alpha', 1.0)), np.float32(a.get('beta', 1.0))
    left, right = a.get('transA', 0), a.get('transB', 0)

    def run(x: Any, w: Any, c: Any = None) -> Any:
        out = (x.T if left else x) @ (w.T if right else w)
        if alpha != 1:
            out = out * alpha
        return out if c is None else out + (c if beta == 1 else beta * c)

    return run


def _einsum(a: Attributes, opset: int) -> Operation:
    equation = a['equation'].replace(' ', '')
    return lambda *xs: np.einsum(equation, *xs)


def _mean(a: Attributes, opset: int) -> Operation:
    return lambda *xs: reduce(np.add, xs) / xs[0].dtype.type(len(xs))


def _scaled(function: Any, **defaults: float) -> Maker:
    """An activation with float attributes, passed as float32 by name."""
    def make(a: Attributes, opset: int) -> Operation:
        values = {name: np.float32(a.get(name, default)) for name, default in defaults.items()}
        return lambda x: function(x, **values)

    return make


def _elu(x: Any, alpha: Any, gamma: Any = 1) -> Any:
    return gamma * np.where(x > 0, x, alpha * np.expm1(np.minimum(x, 0)))


def _celu(x: Any, alpha: Any) -> Any:
    return np.maximum(x, 0) + alpha * np.expm1(np.minimum(x, 0) / alpha)


def _gelu(a: Attributes, opset: int) -> Operation:
    if a.get('approximate', 'none') == 'tanh':
        c, k = np.float32(math.sqrt(2 / math.pi)), np.float32(0.044715)
        return lambda x: np.float32(0.5) * x * (1 + np.tanh(c * (x + k * x * x * x)))
    root = np.float32(math.sqrt(0.5))
    return lambda x: np.float32(0.5) * x * (1 + erf(x * root))


def _softmax(a: Attributes, opset: int) -> Operation:
    axis = a.get('axis', -1 if opset >= 13 else 1)

    def run(x: Any) -> Any:
        e = np.exp(x - x.max(axis=axis, keepdims=True))
        return e / e.sum(axis=axis, keepdims=True)

    return run


def _log_softmax(a: Attributes, opset: int) -> Operation:
    axis = a.get('axis', -1 if opset >= 13 else 1)

    def run(x: Any) -> Any:
        low = x - x.max(axis=axis, keepdims=True)
        return low - np.log(np.exp(low).sum(axis=axis, keepdims=True))

    return run


def _hard_sigmoid(x: Any, alpha: Any, beta: Any) -> Any:
    return np.clip(alpha * x + beta, 0, 1)


ARITHMETIC: dict[str, Maker] = {
    'Add': _plain(np.add), 'Sub': _plain(np.subtract), 'Mul': _plain(np.multiply), 'Div': _plain(_divide),
    'Neg': _plain(np.negative), 'Abs': _plain(np.abs), 'Sqrt': _plain(np.sqrt), 'Exp': _plain(np.exp),
    'Log': _plain(np.log), 'Pow': _plain(_power), 'Min': _fold(np.minimum), 'Max': _fold(np.maximum),
    'Sum': _fold(np.add), 'Mean': _mean, 'Reciprocal': _plain(lambda x: 1 / x), 'Clip': _clip,
    'Where': _plain(np.where), 'Equal': _plain(np.equal), 'Greater': _plain(np.greater), 'Less': _plain(np.less),
    'GreaterOrEqual': _plain(np.greater_equal), 'LessOrEqual': _plain(np.less_equal),
    'Mod': lambda a, opset: np.fmod if a.get('fmod', 0) else np.mod,
    'Not': _plain(np.logical_not), 'And': _plain(np.logical_and), 'Or': _plain(np.logical_or),
    'MatMul': _plain(np.matmul), 'Gemm': _gemm, 'Einsum': _einsum, 'Floor': _plain(np.floor), 'Ceil': _plain(np.ceil),
    'Round': _plain(np.rint), 'Sign': _plain(np.sign), 'Sin': _plain(np.sin), 'Cos': _plain(np.cos),
    'Erf': _plain(erf),
    'Relu': _plain(lambda x: np.maximum(x, 0)), 'PRelu': _plain(lambda x, s: np.where(x < 0, s * x, x)),
    'LeakyRelu': _scaled(lambda x, alpha: np.where(x < 0, alpha * x, x), alpha=0.01), 'Elu': _scaled(_elu, alpha=1.0),
    'Selu': _scaled(_elu, alpha=1.67326319217681884765625, gamma=1.05070102214813232421875),
    'Celu': _scaled(_celu, alpha=1.0), 'Gelu': _gelu, 'Tanh': _plain(np.tanh), 'Sigmoid': _plain(sigmoid),
    'HardSigmoid': _scaled(_hard_sigmoid, alpha=0.2, beta=0.5),
    'HardSwish': _plain(lambda x: x * _hard_sigmoid(x, np.float32(1 / 6), np.float32(0.5))),
    'Mish': _plain(lambda x: x * np.tanh(softplus(x))), 'Softplus': _plain(softplus),
    'Softsign': _plain(lambda x: x / (1 + np.abs(x))), 'Softmax': _softmax, 'LogSoftmax': _log_softmax,
}
"""Operator to the maker of its function."""
