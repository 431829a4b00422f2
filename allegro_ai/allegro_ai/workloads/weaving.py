"""Layers written as ONNX nodes with random, seeded weights; the batch dimension stays free."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

OPSET = 17
IR_VERSION = 8
PRODUCER = 'allegro_ai.workloads'


class Weaver:
    """Collects nodes and weights of one graph. A method returns the name of the value that it adds.

    Weights have a name; asking for the same name again gives the same weights, as unrolled steps need.
    """

    def __init__(self, seed: int) -> None:
        """Begin an empty graph whose weights follow from ``seed``."""
        self._rng = np.random.default_rng(seed)
        self._nodes: list[onnx.NodeProto] = []
        self._constants: dict[str, NDArray[Any]] = {}

    def op(self, kind: str, *inputs: str, outputs: int = 1, **attributes: Any) -> Any:
        """Add one node; its output name, or names if there are several."""
        names = [f'v{len(self._nodes)}' + (f'_{k}' if outputs > 1 else '') for k in range(outputs)]
        self._nodes.append(helper.make_node(kind, inputs, names, name=f'n{len(self._nodes)}', **attributes))
        return names[0] if outputs == 1 else names

    def constant(self, value: Any, dtype: Any = np.int64) -> str:
        """A constant that is no weight, e.g. a shape; the same value is stored once."""
        array = np.asarray(value, dtype=dtype)
        name = f'c_{array.dtype.name}_{"_".join(map(str, array.reshape(-1).tolist()))}_{array.ndim}'
        self._constants[name] = array
        return name

    def number(self, value: float) -> str:
        """A float constant."""
        return self.constant(value, np.float32)

    def weight(self, name: str, *shape: int, fan_in: int = 0) -> str:
        """Random weights: normal with variance 1 / fan_in; without fan_in a bias, small."""
        if name not in self._constants:
            scale = 1 / math.sqrt(fan_in) if fan_in else 0.02
            self._constants[name] = (self._rng.standard_normal(shape) * scale).astype(np.float32)
        return name

    def linear(self, x: str, name: str, n: int, m: int) -> str:
        """Product with W plus b over the last dimension, n to m."""
        return str(self.op('Add', self.op('MatMul', x, self.weight(f'{name}.w', n, m, fan_in=n)),
                           self.weight(f'{name}.b', m)))

    def mlp(self, x: str, name: str, sizes: Sequence[int], activation: str = 'Elu') -> str:
        """Linear layers with ``activation`` between them."""
        for k, (n, m) in enumerate(pairwise(sizes)):
            x = self.linear(x, f'{name}.{k}', n, m)
            if k < len(sizes) - 2:
                x = self.op(activation, x)
        return x

    def reshape(self, x: str, *shape: int) -> str:
        """With 0 for a dimension that stays and -1 for the one that follows."""
        return str(self.op('Reshape', x, self.constant(list(shape))))

    def norm(self, x: str, name: str, width: int) -> str:
        """LayerNormalization over the last dimension, with gain near one."""
        gain = f'{name}.g'
        if gain not in self._constants:
            self._constants[gain] = np.ones(width, dtype=np.float32)
        return str(self.op('LayerNormalization', x, gain, self.weight(f'{name}.s', width), axis=-1))

    def gelu(self, x: str) -> str:
        """The exact one, in its parts."""
        inner = self.op('Add', self.op('Erf', self.op('Mul', x, self.number(math.sqrt(0.5)))), self.number(1.0))
        return str(self.op('Mul', self.op('Mul', x, self.number(0.5)), inner))

    def mish(self, x: str) -> str:
        """The activation x tanh(softplus(x)), in its parts."""
        return str(self.op('Mul', x, self.op('Tanh', self.op('Softplus', x))))

    def attention(self, x: str, memory: str, name: str, width: int, heads: int) -> str:
        """Multi-head attention of ``x`` (batch, T, width) to ``memory`` (batch, S, width)."""
        def split(value: str, part: str, order: Sequence[int]) -> Any:
            wide = self.reshape(self.linear(value, f'{name}.{part}', width, width), 0, 0, heads, width // heads)
            return self.op('Transpose', wide, perm=list(order))

        q, k = split(x, 'q', (0, 2, 1, 3)), split(memory, 'k', (0, 2, 3, 1))
        v = split(memory, 'v', (0, 2, 1, 3))
        scores = self.op('Mul', self.op('MatMul', q, k), self.number(1 / math.sqrt(width // heads)))
        mixed = self.op('Transpose', self.op('MatMul', self.op('Softmax', scores, axis=-1), v), perm=[0, 2, 1, 3])
        return self.linear(self.reshape(mixed, 0, 0, width), f'{name}.o', width, width)

    def block(self, x: str, name: str, width: int, heads: int, inner: int, memory: str = '') -> str:
        """Transformer layer (norm first): self-attention, attention to ``memory`` if there is one, feed-forward."""
        own = self.norm(x, f'{name}.n1', width)
        x = self.op('Add', x, self.attention(own, own, f'{name}.self', width, heads))
        if memory:
            seen = self.attention(self.norm(x, f'{name}.n2', width), memory, f'{name}.cross', width, heads)
            x = self.op('Add', x, seen)
        wide = self.gelu(self.linear(self.norm(x, f'{name}.n3', width), f'{name}.up', width, inner))
        return str(self.op('Add', x, self.linear(wide, f'{name}.down', inner, width)))

    def conv(self, x: str, name: str, n: int, m: int, kernel: int, *, stride: int = 1, pad: int = 0,
             up: bool = False) -> str:
        """One-dimensional convolution of (batch, n, T), or its transpose (``up``)."""
        shape = (n, m, kernel) if up else (m, n, kernel)
        w = self.weight(f'{name}.w', *shape, fan_in=n * kernel // (stride if up else 1))
        return str(self.op('ConvTranspose' if up else 'Conv', x, w, self.weight(f'{name}.b', m), kernel_shape=[kernel],
                           strides=[stride], pads=[pad, pad]))

    def group_norm(self, x: str, name: str, width: int, groups: int = 8) -> str:
        """Group normalisation of (batch, width, T), in the parts that exporters write."""
        ones, zeros = (self.constant(np.full(groups, v), np.float32) for v in (1, 0))
        normal = self.op('InstanceNormalization', self.reshape(x, 0, groups, -1), ones, zeros)
        back = self.reshape(normal, 0, width, -1)
        gain = f'{name}.g'
        if gain not in self._constants:
            self._constants[gain] = np.ones((width, 1), dtype=np.float32)
        return str(self.op('Add', self.op('Mul', back, gain), self.weight(f'{name}.s', width, 1)))

    def graph(self, inputs: dict[str, list[Any]], outputs: dict[str, tuple[str, list[Any]]]) -> onnx.ModelProto:
        """The finished graph.

        Args:
            inputs: name to shape.
            outputs: name to the value that it is and its shape.
        """
        for name, (value, _) in outputs.items():
            self._nodes.append(helper.make_node('Identity', [value], [name], name=f'out_{name}'))
        graph = helper.make_graph(
            self._nodes, 'workload',
            [helper.make_tensor_value_info(n, TensorProto.FLOAT, s) for n, s in inputs.items()],
            [helper.make_tensor_value_info(n, TensorProto.FLOAT, s) for n, (_, s) in outputs.items()],
            [numpy_helper.from_array(value, name) for name, value in self._constants.items()])
        return helper.make_model(graph, producer_name=PRODUCER, ir_version=IR_VERSION,
                                 opset_imports=[helper.make_opsetid('', OPSET)])
