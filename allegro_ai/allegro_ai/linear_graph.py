"""The linear policy as an ONNX graph: named SI inputs, scaling and squashing inside, one output ``action``."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from allegro_description.model import HandModel
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from allegro_ai.linear_policy import FEATURES, HALF_PRESSURE_KPA, INPUTS, RATE_SCALE, LinearLayout
from allegro_ai.observation import terms

OPSET = 17
IR_VERSION = 8
PRODUCER = 'allegro_ai.linear_graph'
FINGER_WEIGHTS, THUMB_WEIGHTS = 'finger_weights', 'thumb_weights'


def build_linear_onnx(model: HandModel, parameters: NDArray[np.floating]) -> onnx.ModelProto:
    """Write the graph of :class:`allegro_ai.linear_policy.LinearPolicy`; the batch dimension is free.

    Args:
        model: the hand.
        parameters: flat weights, (size,).

    Raises:
        ConfigError: a wrong number of parameters, or values that are not finite.
    """
    layout = LinearLayout(model)
    finger, thumb = layout.split(np.asarray(parameters).reshape(-1))
    nodes: list[Any] = []
    constants: dict[str, NDArray[Any]] = {}

    def add(op: str, inputs: list[str], output: str, **attributes: Any) -> str:
        nodes.append(helper.make_node(op, inputs, [output], name=output, **attributes))
        return output

    def constant(name: str, value: Any, dtype: Any = np.float32) -> str:
        constants[name] = np.asarray(value, dtype=dtype)
        return name

    half = constant('rate_scale', RATE_SCALE)
    others = constant('mean_of_others', layout.others)
    pressure = 'tactile_tip_pressure'
    shifted = add('Add', [pressure, constant('half_pressure_kpa', HALF_PRESSURE_KPA)], 'pressure_shifted')
    squashed = add('Div', [pressure, shifted], 'pressure')
    trace = add('Mul', ['tactile_tip_trace', half], 'trace')
    load = add('MatMul', ['joint_target_error', constant('load_matrix', layout.load)], 'load')
    columns = {
        'bias': add('Add', [add('Mul', [pressure, constant('zero', 0.0)], 'zeros'), constant('one', 1.0)], 'bias'),
        'pressure': squashed,
        'rate': add('Mul', ['tactile_tip_rate', half], 'rate'),
        'trace': trace,
        'contact': 'tactile_tip_contact',
        'others_pressure': add('MatMul', [squashed, others], 'others_pressure'),
        'others_trace': add('MatMul', [trace, others], 'others_trace'),
        'valid': 'tactile_valid',
        'load': load,
        'others_load': add('MatMul', [load, others], 'others_load'),
        'speed': add('MatMul', ['joint_delta', constant('speed_matrix', layout.speed)], 'speed'),
        'grip': add('MatMul', ['grip_class', constant('grip_matrix', np.outer([-1, 0, 1], np.ones(layout.fingers)))],
                    'grip'),
    }
    last = constant('last_axis', [2], np.int64)
    stacked = [add('Unsqueeze', [columns[name], last], f'{name}_column') for name, _ in FEATURES]
    add('Concat', stacked, 'features', axis=2)
    parts = []
    for part, weights, name, joints, begin, end in (
        ('finger', finger, FINGER_WEIGHTS, layout.finger_joints.ravel(), 0, layout.fingers - 1),
        ('thumb', thumb, THUMB_WEIGHTS, layout.thumb_joints, layout.fingers - 1, layout.fingers),
    ):
        bounds = [constant(f'{part}_begin', [begin], np.int64), constant(f'{part}_end', [end], np.int64),
                  constant('finger_axis', [1], np.int64)]
        own = add('Slice', ['features', *bounds], f'{part}_features')
        output = add('MatMul', [own, constant(name, weights.T)], f'{part}_output')
        flat = add('Reshape', [output, constant(f'{part}_flat', [0, len(joints)], np.int64)], f'{part}_flattened')
        places = np.zeros((len(joints), layout.joints))
        places[np.arange(len(joints)), joints] = 1.0
        parts.append(add('MatMul', [flat, constant(f'{part}_places', places)], f'{part}_joints'))
    add('Tanh', [add('Add', parts, 'squeeze')], 'action')

    table = terms(model)
    graph = helper.make_graph(
        nodes, 'finger_shared_linear_policy',
        [helper.make_tensor_value_info(n, TensorProto.FLOAT, ['batch', len(table[n].elements)]) for n in INPUTS],
        [helper.make_tensor_value_info('action', TensorProto.FLOAT, ['batch', layout.joints])],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    proto = helper.make_model(
        graph, producer_name=PRODUCER, ir_version=IR_VERSION, opset_imports=[helper.make_opsetid('', OPSET)])
    onnx.checker.check_model(proto, full_check=True)
    return proto
