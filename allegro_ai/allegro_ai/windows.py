"""A policy's graph that reads past observations where they lie, for one hand, instead of having them stacked.

Who keeps observations in rows, one after the other, has every window of past ones ready and moves none of them. A
policy that lays its terms side by side and cuts windows out of time is rewritten to take those windows as inputs; only
one that reaches to the newest observation is put together, of its past and of what was just seen. Dimensions that are
there for several environments at once go too. Any other policy is refused by name, and runs on a stack as it is.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import onnx
from allegro_description.errors import BundleError
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

Array32 = NDArray[np.float32]

_EACH = frozenset({'Sub', 'Add', 'Mul', 'Div', 'Clip', 'Max', 'Min', 'Relu', 'Tanh', 'Elu', 'Identity'})
"""Operators that take numbers one by one, so that a leading dimension of one means nothing to them."""


class Window(NamedTuple):
    """Past observations from ``first`` (0: the oldest of the stack), ``rows`` of them, as an input of ``shape``."""

    first: int
    rows: int
    shape: tuple[int, ...]


class Rows:
    """Memory of observations for :class:`Window` to lie in: that of the next step is one row further, until it turns.

    Attributes:
        turns: steps after which the past is carried back to the start; even.
        past: rows before the newest.
    """

    turns = 32

    def __init__(self, steps: int, width: int) -> None:
        """For a policy that looks at ``steps`` observations of ``width`` numbers."""
        self.past = steps - 1
        self._values = np.zeros((self.turns + self.past, width), dtype=np.float32)

    def newest(self, turn: int) -> Array32:
        """Where the observation of this turn is written, (1, width)."""
        newest: Array32 = self._values[turn + self.past][None]
        return newest

    def window(self, turn: int, window: Window) -> Array32:
        """Where its past lies."""
        begin = turn + window.first
        return self._values[begin:begin + window.rows].reshape(window.shape)

    def fill(self, place: slice, values: Array32) -> None:
        """Set columns of the past of turn 0, (past, columns)."""
        self._values[:self.past, place] = values

    def carry_back(self) -> None:
        """After the last turn: its past and newest observation are the past of turn 0."""
        self._values[:self.past] = self._values[self.turns:]


def read_in_place(
    nodes: Iterable[onnx.NodeProto],
    constants: Iterable[TensorProto],
    terms: Mapping[str, slice],
    steps: int,
    inputs: Mapping[str, Sequence[int]],
    outputs: Iterable[str],
    prefix: str,
    opset: int,
) -> tuple[list[onnx.NodeProto], dict[str, Window]]:
    """Nodes that compute the same outputs, and the windows that they read.

    Args:
        nodes: of the policy, in order of execution; each value has one maker.
        constants: its initializers.
        terms: stacked input to its columns of an observation.
        steps: observations in a stack, the newest last.
        inputs: what else there is, and its shape; the first is the newest observation, (1, columns).
        outputs: values that are needed, under their names.
        prefix: of the names of windows.
        opset: version of the default operator set.

    Raises:
        BundleError: a policy that does anything else with its past; the message names it.
    """
    seen = next(iter(inputs))
    reader = _Reader(nodes, constants, frozenset(outputs), prefix)
    reader.cut(reader.side_by_side(terms, inputs[seen][1]), steps, inputs[seen][1], seen)
    reader.drop_ones(inputs, opset)
    return reader.nodes, reader.windows


class _Reader:
    def __init__(
        self, nodes: Iterable[onnx.NodeProto], constants: Iterable[TensorProto], outputs: frozenset[str], prefix: str,
    ) -> None:
        self.nodes: list[onnx.NodeProto] = []
        for node in nodes:
            copied = onnx.NodeProto()
            copied.CopyFrom(node)
            self.nodes.append(copied)
        self.constants = list(constants)
        self.windows: dict[str, Window] = {}
        self._known: dict[str, NDArray[Any]] = {t.name: numpy_helper.to_array(t) for t in self.constants}
        self._outputs, self._prefix = outputs, prefix

    def side_by_side(self, terms: Mapping[str, slice], width: int) -> str:
        """The value that is all terms of the stack as columns; its maker goes."""
        readers = [node for node in self.nodes if any(name in terms for name in node.input)]
        if len(readers) != 1 or readers[0].op_type != 'Concat' or _attribute(readers[0], 'axis') not in (2, -1):
            raise BundleError('a policy that does not begin with its terms side by side needs a stack')
        join = readers[0]
        columns = [column for name in join.input for column in _columns(terms, name)]
        if columns != list(range(width)):
            raise BundleError(f'{join.name!r} does not lay all that is seen side by side, in that order')
        self.nodes.remove(join)
        whole: str = join.output[0]
        return whole

    def cut(self, whole: str, steps: int, width: int, seen: str) -> None:
        """Make windows of what is cut out of ``whole``."""
        if whole in self._outputs:
            raise BundleError(f'{whole!r}, a stack of observations, is an output')
        for node in self._readers(whole):
            first, last = self._range(node, steps)
            self.nodes.remove(node)
            if last < steps:
                name = f'{self._prefix}{first}.{last}'
                self.windows[name] = Window(first, last - first, (1, last - first, width))
                self._rename(node.output[0], name)
            else:
                self._join_newest(node, first, steps - 1 - first, width, seen)

    def _join_newest(self, cut: onnx.NodeProto, first: int, rows: int, width: int, seen: str) -> None:
        readers = self._readers(cut.output[0])
        flat = (1, (rows + 1) * width)
        if len(readers) != 1 or self._shape(readers[0], math.prod(flat)) != flat or cut.output[0] in self._outputs:
            raise BundleError(f'{cut.name!r} reaches to the newest observation and is not flattened')
        name = f'{self._prefix}{first}'
        if rows:
            self.windows[name] = Window(first, rows, (1, rows * width))
        output = readers[0].output[0]
        self.nodes[self.nodes.index(readers[0])] = helper.make_node(
            'Concat', [name, seen] if rows else [seen], [output], name=output, axis=1)

    def drop_ones(self, inputs: Mapping[str, Sequence[int]], opset: int) -> None:
        """Let windows and what is gathered from time be matrices from the start."""
        for name, window in list(self.windows.items()):
            if len(window.shape) == 3:
                self._flatten(name, window)
        shapes = self._shapes({**inputs, **{name: window.shape for name, window in self.windows.items()}}, opset)
        makers = {node.output[0]: node for node in self.nodes}
        for node in [n for n in self.nodes if n.op_type == 'Gather' and _attribute(n, 'axis') == 1]:
            before, after = makers.get(node.input[0]), self._readers(node.output[0])
            if before is None or before.op_type != 'Reshape' or not after or node.output[0] in self._outputs or \
                    any(self._shape(reader, 0) is None for reader in after):
                continue
            matrix = shapes.get(before.input[0])
            if matrix is None or len(matrix) != 2 or shapes.get(before.output[0]) != (1, *matrix):
                continue
            self.nodes[self.nodes.index(node)] = helper.make_node(
                'Gather', [before.input[0], node.input[1]], list(node.output), name=node.name, axis=0)
            if not self._readers(before.output[0]) and before.output[0] not in self._outputs:
                self.nodes.remove(before)

    def _flatten(self, name: str, window: Window) -> None:
        """Make the window (rows, columns), if all that reads it takes numbers one by one until it is reshaped."""
        size, matrix = math.prod(window.shape), window.shape[1:]
        same, ends = {name}, []
        for node in self.nodes:
            if not same.intersection(node.input):
                continue
            if node.op_type == 'Reshape' and self._shape(node, size) is not None:
                ends.append(node)
            elif node.op_type in _EACH and all(
                    other in same or not other or (other in self._known and self._known[other].ndim <= len(matrix))
                    for other in node.input):
                same.update(node.output)
            else:
                return
        if same & self._outputs:
            return
        self.windows[name] = window._replace(shape=matrix)
        for node in ends:
            if self._shape(node, size) == matrix and node.output[0] not in self._outputs:
                self.nodes.remove(node)
                self._rename(node.output[0], node.input[0])

    # Reading ----------------------------------------------------------------------------------------------------

    def _readers(self, value: str) -> list[onnx.NodeProto]:
        return [node for node in self.nodes if value in node.input]

    def _rename(self, value: str, name: str) -> None:
        for node in self.nodes:
            node.input[:] = [name if used == value else used for used in node.input]

    def _range(self, node: onnx.NodeProto, steps: int) -> tuple[int, int]:
        """Which observations of a stack a node cuts out."""
        given = [self._known.get(name) for name in node.input[1:]]
        if node.op_type == 'Slice' and len(given) in (3, 4) and all(v is not None and v.size == 1 for v in given):
            first, last, axis, *stride = (int(value.item()) for value in given if value is not None)
            first, last, _ = slice(first, last).indices(steps)
            if axis in (1, -2) and stride in ([], [1]) and first < last:
                return first, last
        raise BundleError(f'{node.name!r} reads a stack of observations and cuts no fixed window out of it')

    def _shape(self, node: onnx.NodeProto, size: int) -> tuple[int, ...] | None:
        """What a node makes of ``size`` numbers whatever their shape was; None: it is no such reshaping."""
        wanted = self._known.get(node.input[1]) if node.op_type == 'Reshape' else None
        if wanted is None or (wanted == 0).any():
            return None
        rest = -math.prod(wanted.tolist())
        return tuple(size // rest if n == -1 else int(n) for n in wanted)

    def _shapes(self, inputs: Mapping[str, Sequence[int]], opset: int) -> dict[str, tuple[int, ...]]:
        """Of every value whose shape is known."""
        declared = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in inputs.items()]
        graph = helper.make_graph(self.nodes, 'windows', declared, [], self.constants)
        found = onnx.shape_inference.infer_shapes(
            helper.make_model(graph, opset_imports=[helper.make_opsetid('', opset)]), data_prop=True)
        shapes = {v.name: tuple(d.dim_value for d in v.type.tensor_type.shape.dim) for v in found.graph.value_info}
        return {**{name: shape for name, shape in shapes.items() if 0 not in shape},
                **{name: tuple(shape) for name, shape in inputs.items()}}


def _columns(terms: Mapping[str, slice], name: str) -> Sequence[int]:
    if name not in terms:
        raise BundleError(f'{name!r} is laid beside the terms and is none')
    return range(terms[name].start, terms[name].stop)


def _attribute(node: onnx.NodeProto, name: str) -> Any:
    return next((helper.get_attribute_value(a) for a in node.attribute if a.name == name), None)
