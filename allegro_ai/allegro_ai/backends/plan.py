"""A graph as a list of steps over numbered slots: what the numpy and the torch interpreters have in common.

Everything that follows from constants alone is computed once, at load.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from allegro_description.errors import BundleError
from numpy.typing import NDArray

Attributes = Mapping[str, Any]
Operation = Callable[..., Any]
Maker = Callable[[Attributes, int], Operation]
"""From the attributes of a node and the version of the operator set to a function of its inputs."""

NOTHING = 0
"""Slot of an optional input that is left out; always None."""


@dataclass(frozen=True, slots=True)
class Step:
    """One node: slots in, slots out."""

    operator: str
    attributes: Attributes
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]


@dataclass(frozen=True)
class Plan:
    """A graph, ready to be walked.

    Attributes:
        opset: version of the default operator set.
        values: initial content of all slots: constants, None elsewhere.
        steps: in order of execution; those of constants alone are gone.
        inputs: name to slot.
        outputs: name to slot.
    """

    opset: int
    values: tuple[NDArray[Any] | None, ...]
    steps: tuple[Step, ...]
    inputs: Mapping[str, int]
    outputs: Mapping[str, int]


def read_plan(model: bytes, makers: Mapping[str, Maker], backend: str) -> Plan:
    """Parse a graph and fold its constants with the operators ``makers``.

    Raises:
        BundleError: not a graph, or an operator that the interpreters do not know; both are named.
    """
    try:
        proto = onnx.load_model_from_string(model)
        opset = next(o.version for o in proto.opset_import if o.domain in ('', 'ai.onnx'))
    except Exception as error:  # protobuf has its own exception classes per implementation
        raise BundleError(f'policy.onnx: backend {backend} cannot read it ({type(error).__name__})') from error
    slots: dict[str, int] = {'': NOTHING}
    values: list[NDArray[Any] | None] = [None]

    def slot(name: str) -> int:
        if name not in slots:
            slots[name] = len(values)
            values.append(None)
        return slots[name]

    for tensor in proto.graph.initializer:
        values[slot(tensor.name)] = _array(tensor)
    stored = {t.name for t in proto.graph.initializer}
    inputs = {v.name: slot(v.name) for v in proto.graph.input if v.name not in stored}
    steps = []
    for node in proto.graph.node:
        step = Step(node.op_type, read_attributes(node), tuple(map(slot, node.input)), tuple(map(slot, node.output)))
        if all(i == NOTHING or values[i] is not None for i in step.inputs) and step.inputs != (NOTHING,):
            made = operation(makers, step, opset, backend)(*[values[i] for i in step.inputs])
            for out, value in zip(step.outputs, made if isinstance(made, tuple) else (made,), strict=False):
                values[out] = np.asarray(value)
        else:
            steps.append(step)
    return Plan(opset, tuple(values), tuple(steps), inputs, {v.name: slots[v.name] for v in proto.graph.output})


def read_attributes(node: onnx.NodeProto) -> Attributes:
    """Attributes of a node as Python values."""
    attributes = {a.name: _attribute(a) for a in node.attribute}
    if node.op_type == 'Split':
        attributes.setdefault('num_outputs', len(node.output))
    return attributes


def operation(makers: Mapping[str, Maker], step: Step, opset: int, backend: str) -> Operation:
    """The function of one step.

    Raises:
        BundleError: the operator, or an attribute of it, is not covered; both are named.
    """
    if step.operator not in makers:
        raise BundleError(f'policy.onnx: backend {backend} does not know the operator {step.operator!r}; '
                          'use backend onnxruntime')
    return makers[step.operator](step.attributes, opset)


class NotCovered(BundleError):
    """Something about an operator that the interpreters do not compute."""

    def __init__(self, what: str) -> None:
        """Name it."""
        super().__init__(f'policy.onnx: the numpy and torch backends do not compute {what}; use backend onnxruntime')


def only(attributes: Attributes, name: str, allowed: Sequence[Any]) -> None:
    """Refuse an attribute that is given and not among ``allowed``.

    Raises:
        NotCovered: it is.
    """
    if name in attributes and attributes[name] not in allowed:
        raise NotCovered(f'{name}={attributes[name]!r}')


def ints(value: Any) -> list[int]:
    """Numbers of a shape operand."""
    return [int(v) for v in np.asarray(value).reshape(-1)]


def pads(attributes: Attributes, rank: int) -> list[tuple[int, int]]:
    """Padding before and after each of ``rank`` spatial dimensions."""
    only(attributes, 'auto_pad', ('NOTSET', 'VALID'))
    given = attributes.get('pads') or [0] * (2 * rank)
    return list(zip(given[:rank], given[rank:], strict=True))


def _attribute(attribute: onnx.AttributeProto) -> Any:
    value = onnx.helper.get_attribute_value(attribute)
    if isinstance(value, bytes):
        return value.decode(errors='replace')
    if isinstance(value, onnx.TensorProto):
        return _array(value)
    if attribute.type == onnx.AttributeProto.STRINGS:
        return [v.decode(errors='replace') for v in value]
    return list(value) if attribute.type in (onnx.AttributeProto.INTS, onnx.AttributeProto.FLOATS) else value


def _array(tensor: onnx.TensorProto) -> NDArray[Any]:
    result: NDArray[Any] = onnx.numpy_helper.to_array(tensor)
    return result


def dtype_of(code: int) -> np.dtype[Any]:
    """The numpy type of an ONNX type code."""
    result: np.dtype[Any] = np.dtype(onnx.helper.tensor_dtype_to_np_dtype(code))
    return result
