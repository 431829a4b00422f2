"""The student of SlipArrest as an ONNX graph: one step, state in and out, action and slip probability."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx
from allegro_description.errors import ConfigError
from allegro_description.model import HandModel
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from allegro_ai.linear_graph import IR_VERSION, OPSET
from allegro_ai.policy import Recurrence
from allegro_ai.training.layout import CLIP, HALF_PRESSURE_KPA, Layout, is_pressure

PRODUCER = 'allegro_ai.training.slip_graph'
STATE, NEXT, ACTION, SLIP = 'memory', 'next_memory', 'action', 'slip_probability'
GATES = ('reset', 'update', 'new')      # torch stacks them in this order


def build_slip_onnx(hand: HandModel, layout: Layout, weights: Mapping[str, NDArray[np.float32]]) -> onnx.ModelProto:
    """Write one step of :class:`~allegro_ai.training.slip_network.SlipNetwork`; the batch dimension is free.

    The layer is written in plain operators, so that its state is (batch, hidden) and single environments can be reset.

    Raises:
        ConfigError: a term is privileged, or a weight is not finite.
    """
    private = [name for name in layout.terms if name.startswith('privileged')]
    broken = [name for name, value in weights.items() if not np.isfinite(value).all()]
    if private or broken:
        raise ConfigError(f'no graph can be written: {(private or broken)[0]} is '
                          f'{"known to a simulator only" if private else "not finite"}')
    nodes: list[Any] = []
    constants: dict[str, NDArray[Any]] = {}

    def add(op: str, inputs: list[str], output: str, **attributes: Any) -> str:
        nodes.append(helper.make_node(op, inputs, [output], name=output, **attributes))
        return output

    def constant(name: str, value: Any) -> str:
        constants[name] = np.ascontiguousarray(value, dtype=np.float32)
        return name

    def dense(x: str, name: str, weight: NDArray[np.float32], bias: NDArray[np.float32]) -> str:
        return add('Gemm', [x, constant(f'{name}_weights', weight), constant(f'{name}_bias', bias)], name, transB=1)

    columns = []
    for name in layout.terms:
        if is_pressure(name):
            half = constant('half_pressure_kpa', HALF_PRESSURE_KPA)
            columns.append(add('Div', [name, add('Add', [name, half], f'{name}_shifted')], f'{name}_squashed'))
        else:
            columns.append(name)
    joined = add('Concat', columns, 'observation', axis=-1)
    centred = add('Sub', [joined, constant('mean', weights['normaliser.mean'])], 'centred')
    scaled = add('Mul', [centred, constant('scale', weights['normaliser.scale'])], 'scaled')
    bounded = add('Clip', [scaled, constant('low', -CLIP), constant('high', CLIP)], 'bounded')
    encoded = add('Elu', [dense(bounded, 'encoder', weights['encoder.weight'], weights['encoder.bias'])], 'encoded')
    hidden = weights['head.weight'].shape[1]
    gates = {}
    for k, gate in enumerate(GATES):
        part = slice(k * hidden, (k + 1) * hidden)
        gates[gate] = [
            dense(x, f'{gate}_of_{what}', weights[f'cell.weight_{place}_l0'][part],
                  weights[f'cell.bias_{place}_l0'][part])
            for x, what, place in ((encoded, 'input', 'ih'), (STATE, 'memory', 'hh'))]
    reset = add('Sigmoid', [add('Add', gates['reset'], 'reset_sum')], 'reset')
    update = add('Sigmoid', [add('Add', gates['update'], 'update_sum')], 'update')
    new = add('Tanh', [add('Add', [gates['new'][0], add('Mul', [reset, gates['new'][1]], 'kept')], 'new_sum')], 'new')
    add('Add', [new, add('Mul', [update, add('Sub', [STATE, new], 'difference')], 'change')], NEXT)
    share = add('Sigmoid', [dense(NEXT, 'squeeze', weights['head.weight'][:1], weights['head.bias'][:1])], 'share')
    add('MatMul', [share, constant('flexion', hand.flexion[None, :])], ACTION)
    add('Sigmoid', [dense(NEXT, 'slip', weights['head.weight'][1:], weights['head.bias'][1:])], SLIP)

    def value(name: str, size: int) -> Any:
        return helper.make_tensor_value_info(name, TensorProto.FLOAT, ['batch', size])

    graph = helper.make_graph(
        nodes, 'slip_student',
        [*(value(name, size) for name, size in zip(layout.terms, layout.sizes, strict=True)), value(STATE, hidden)],
        [value(ACTION, len(hand.joints)), value(SLIP, 1), value(NEXT, hidden)],
        [numpy_helper.from_array(v, name) for name, v in constants.items()],
    )
    proto = helper.make_model(
        graph, producer_name=PRODUCER, ir_version=IR_VERSION, opset_imports=[helper.make_opsetid('', OPSET)])
    onnx.checker.check_model(proto, full_check=True)
    return proto


def recurrence(weights: Mapping[str, NDArray[np.float32]]) -> Recurrence:
    """The state of the graph."""
    return Recurrence(STATE, (1, weights['head.weight'].shape[1]), NEXT)
