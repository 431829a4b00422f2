"""A graph with fewer, larger operators: chains that are affine become one matrix product each.

A small policy is dozens of operators on four numbers each, and an engine needs a quarter of a microsecond for any of
them. What lies between two operators that are not affine (``tanh``, ``max``, a product of two variables …) is
``x @ M + b``; the columns of ``M`` are measured by running the operators in numpy, in double, on unit vectors. The
result differs from the original by rounding, so whoever uses it compares both.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from allegro_ai.backends.numpy_graph import MAKERS
from allegro_ai.backends.plan import Operation, Step, operation, read_attributes

LARGEST = 512
"""Most numbers on either side of a matrix product that is made here; what is larger stays as it is."""

_NODE_US, _PRODUCT_US, _JOIN_US, _PART_US = 0.27, 0.45, 0.5, 0.1
"""What an operator on few numbers, a product, and putting vectors together cost in ONNX Runtime, about."""

_FIRST_ONLY = frozenset({'Reshape', 'Unsqueeze', 'Squeeze', 'Flatten', 'Transpose', 'Slice', 'Gather', 'Expand',
                         'ReduceSum', 'ReduceMean', 'Identity', 'Neg', 'Div', 'Gemm', 'Tile'})
"""Affine in the first operand if the others are constants."""

_ALL = frozenset({'Add', 'Sub', 'Sum', 'Mean', 'Concat'})
"""Affine in all operands."""

_ONE = frozenset({'Mul', 'MatMul'})
"""Affine if all operands but one are constants."""

Array = NDArray[Any]


def fold(
    nodes: Sequence[onnx.NodeProto],
    constants: Iterable[onnx.TensorProto],
    inputs: Mapping[str, Sequence[int]],
    outputs: Sequence[str],
    opset: int,
) -> tuple[list[onnx.NodeProto], list[onnx.TensorProto]]:
    """Nodes and constants that compute the same outputs.

    Args:
        nodes: in order of execution; each value has one maker.
        constants: initializers.
        inputs: name to shape, float32; free dimensions must be set.
        outputs: values that are needed, under their names.
        opset: version of the default operator set.

    Raises:
        BundleError: an operator that numpy does not compute here.
    """
    return _Folding(nodes, constants, inputs, opset).result(outputs)


class _Folding:
    def __init__(self, nodes: Sequence[onnx.NodeProto], constants: Iterable[onnx.TensorProto],
                 inputs: Mapping[str, Sequence[int]], opset: int) -> None:
        self._known: dict[str, Array] = {t.name: numpy_helper.to_array(t) for t in constants}
        self._makers: dict[str, onnx.NodeProto] = {}
        self._functions: dict[str, Operation] = {}
        self._shapes: dict[str, tuple[int, ...]] = {name: tuple(shape) for name, shape in inputs.items()}
        self._atoms: dict[str, tuple[str, ...]] = {name: (name,) for name in inputs}
        self._cones: dict[str, frozenset[str]] = {}
        self._walk(nodes, opset)
        self._nodes: list[onnx.NodeProto] = []
        self._constants: dict[str, onnx.TensorProto] = {}
        self._done: set[str] = set(inputs)
        self._joined: dict[tuple[str, ...], str] = {}

    # Reading ----------------------------------------------------------------------------------------------------

    def _walk(self, nodes: Sequence[onnx.NodeProto], opset: int) -> None:
        """Shapes and constants by running everything once, and what is affine in what."""
        rng = np.random.default_rng(0)
        values: dict[str, Any] = {'': None, **self._known}
        values |= {name: rng.normal(size=shape).astype(np.float32) for name, shape in self._shapes.items()}
        for node in nodes:
            step = Step(node.op_type, read_attributes(node), (), ())
            function = operation(MAKERS, step, opset, 'numpy')
            made = function(*[values[name] for name in node.input])
            made = made if isinstance(made, tuple) else (made,)
            constant = all(not name or name in self._known for name in node.input)
            for name, value in zip(node.output, made, strict=False):
                values[name] = np.asarray(value)
                self._shapes[name] = values[name].shape
                self._makers[name], self._functions[name] = node, function
                if constant:
                    self._known[name] = values[name]
                elif len(node.output) == 1 and self._affine(node, values[name]):
                    self._atoms[name] = tuple(dict.fromkeys(
                        atom for source in self._variables(node) for atom in self._atoms[source]))
                    self._cones[name] = frozenset({name}).union(
                        *(self._cones.get(source, frozenset()) for source in self._variables(node)))
                else:
                    self._atoms[name] = (name,)

    def _variables(self, node: onnx.NodeProto) -> list[str]:
        return [name for name in node.input if name and name not in self._known]

    def _affine(self, node: onnx.NodeProto, value: Array) -> bool:
        variables = self._variables(node)
        atoms = {atom for source in variables for atom in self._atoms[source]}
        if value.dtype != np.float32 or value.size > LARGEST or self._size(atoms) > LARGEST:
            return False
        return (node.op_type in _ALL or (node.op_type in _ONE and len(variables) == 1)
                or (node.op_type in _FIRST_ONLY and variables == [node.input[0]]))

    def _size(self, atoms: Iterable[str]) -> int:
        return sum(int(np.prod(self._shapes[atom])) for atom in atoms)

    # Writing ----------------------------------------------------------------------------------------------------

    def result(self, outputs: Sequence[str]) -> tuple[list[onnx.NodeProto], list[onnx.TensorProto]]:
        """Everything that the outputs need."""
        for name in outputs:
            self._need(name)
        return self._nodes, list(self._constants.values())

    def _need(self, name: str) -> None:
        if not name or name in self._done:
            return
        self._done.add(name)
        if name in self._known:
            self._constants[name] = numpy_helper.from_array(np.ascontiguousarray(self._known[name]), name)
        elif name in self._cones and self._worth(name):
            self._product(name)
        else:
            node = self._makers[name]
            for source in node.input:
                self._need(source)
            self._done.update(node.output)
            self._nodes.append(node)

    def _worth(self, name: str) -> bool:
        atoms = self._atoms[name]
        joins = len(atoms) > 1 and atoms not in self._joined
        cost = _PRODUCT_US + (_JOIN_US + _PART_US * len(atoms) if joins else 0.0)
        cost += _NODE_US * sum(not self._flat(n) for n in (name, *atoms))
        return bool(atoms) and cost < _NODE_US * len([n for n in self._cones[name] if n not in self._done or n == name])

    def _flat(self, name: str) -> bool:
        shape = self._shapes[name]
        return len(shape) == 2 and shape[0] == 1

    def _reshaped(self, name: str, shape: Sequence[int], output: str) -> str:
        where = f'{output}.shape'
        self._constants[where] = numpy_helper.from_array(np.array(shape, dtype=np.int64), where)
        self._nodes.append(helper.make_node('Reshape', [name, where], [output], name=output))
        return output

    def _together(self, atoms: tuple[str, ...]) -> str:
        """All atoms in one row."""
        if atoms not in self._joined:
            rows = [a if self._flat(a) else self._reshaped(a, (1, -1), f'{a}.row') for a in atoms]
            if len(rows) > 1:
                rows = [f'{atoms[0]}.joined_{len(self._joined)}', *rows]
                self._nodes.append(helper.make_node('Concat', rows[1:], rows[:1], name=rows[0], axis=1))
            self._joined[atoms] = rows[0]
        return self._joined[atoms]

    def _product(self, name: str) -> None:
        atoms = self._atoms[name]
        for atom in atoms:
            self._need(atom)
        row = self._together(atoms)
        matrix, offset = self._measured(name)
        for suffix, values in (('matrix', matrix), ('offset', offset)):
            key = f'{name}.{suffix}'
            self._constants[key] = numpy_helper.from_array(values.astype(np.float32), key)
        output = name if self._flat(name) else f'{name}.product'
        self._nodes.append(helper.make_node('Gemm', [row, f'{name}.matrix', f'{name}.offset'], [output], name=output))
        if output != name:
            self._reshaped(output, self._shapes[name], name)

    def _measured(self, name: str) -> tuple[Array, Array]:
        """Matrix and offset of an affine value, in double."""
        cone = [n for n in self._makers if n in self._cones[name]]
        atoms, known = self._atoms[name], {}
        for source in (s for n in cone for s in self._makers[n].input):
            if source in self._known:
                value = self._known[source]
                known[source] = value.astype(np.float64) if value.dtype == np.float32 else value

        def at(place: int) -> Array:
            row, values = np.zeros(self._size(atoms)), {'': None, **known}
            if place >= 0:
                row[place] = 1.0
            for atom in atoms:
                size = self._size([atom])
                values[atom], row = row[:size].reshape(self._shapes[atom]), row[size:]
            for n in cone:
                values[n] = np.asarray(self._functions[n](*[values[s] for s in self._makers[n].input]))
            return np.asarray(values[name], dtype=np.float64).reshape(-1)

        offset = at(-1)
        return np.array([at(k) - offset for k in range(self._size(atoms))]), offset
