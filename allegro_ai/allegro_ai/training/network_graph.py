"""An actor as an ONNX graph: one input per observation term in SI units, scaling and squashing inside.

Written from the stored weights alone, so exporting and running a checkpoint need no torch.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx
from allegro_description.errors import ConfigError
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from allegro_ai.linear_graph import IR_VERSION, OPSET
from allegro_ai.training.layout import CLIP, HALF_PRESSURE_KPA, Layout, is_pressure

PRODUCER = 'allegro_ai.training.network_graph'


def build_network_onnx(layout: Layout, weights: Mapping[str, NDArray[np.float32]]) -> onnx.ModelProto:
    """Write the graph of :class:`allegro_ai.training.network.Actor`; the batch dimension is free.

    Args:
        layout: what the actor sees; inputs are (batch, steps, elements), without the middle one for one step.
        weights: its state, by the names of torch.

    Raises:
        ConfigError: a weight is missing, not finite, or a term is privileged.
    """
    private = [name for name in layout.terms if name.split('_')[0] == 'privileged']
    if private:
        raise ConfigError(f'the actor reads {private[0]}, which only a simulator knows; train one without it')
    broken = [name for name, value in weights.items() if not np.isfinite(value).all()]
    if broken:
        raise ConfigError(f'weights {broken[0]} hold NaN or infinite values; go back to an earlier checkpoint')
    nodes: list[Any] = []
    constants: dict[str, NDArray[Any]] = {}

    def add(op: str, inputs: list[str], output: str, **attributes: Any) -> str:
        nodes.append(helper.make_node(op, inputs, [output], name=output, **attributes))
        return output

    def constant(name: str, value: Any, dtype: Any = np.float32) -> str:
        constants[name] = np.ascontiguousarray(value, dtype=dtype)
        return name

    def weight(name: str) -> NDArray[np.float32]:
        try:
            return weights[name]
        except KeyError:
            raise ConfigError(f'the checkpoint has no weight {name!r}; was it made by another version?') from None

    columns = []
    for name in layout.terms:
        if is_pressure(name):
            half = constant('half_pressure_kpa', HALF_PRESSURE_KPA)
            columns.append(add('Div', [name, add('Add', [name, half], f'{name}_shifted')], f'{name}_squashed'))
        else:
            columns.append(name)
    steps = layout.steps
    joined = add('Concat', columns, 'observation', axis=-1)
    centred = add('Sub', [joined, constant('mean', weight('normaliser.mean'))], 'centred')
    scaled = add('Mul', [centred, constant('scale', weight('normaliser.scale'))], 'scaled')
    bounded = add('Clip', [scaled, constant('low', -CLIP), constant('high', CLIP)], 'bounded')
    flat = add('Reshape', [bounded, constant('flat', [0, steps * layout.width], np.int64)], 'flattened')
    count, each = layout.fingers.shape
    picked = add('Gather', [flat, constant('finger_columns', layout.fingers.reshape(-1), np.int64)], 'picked', axis=1)
    own = add('Reshape', [picked, constant('by_finger', [0, count, each], np.int64)], 'own')
    encoded = add('MatMul', [own, constant('encoder_weights', weight('encoder.weight').T)], 'encoded')
    named = add('Add', [encoded, constant('finger_identity', weight('identity'))], 'identified')
    features = add('Reshape', [add('Elu', [named], 'finger_features'),
                               constant('all_fingers', [0, weight('identity').size], np.int64)], 'features')
    rest = add('Gather', [flat, constant('hand_columns', layout.hand, np.int64)], 'of_the_hand', axis=1)
    h = add('Concat', [features, rest], 'trunk_input', axis=1)
    for k in range(sum(name.startswith('trunk.') and name.endswith('.weight') for name in weights)):
        h = add('Gemm', [h, constant(f'trunk_{k}_weights', weight(f'trunk.{k}.weight')),
                         constant(f'trunk_{k}_bias', weight(f'trunk.{k}.bias'))], f'trunk_{k}', transB=1)
        h = add('Elu', [h], f'trunk_{k}_elu')
    out = add('Gemm', [h, constant('head_weights', weight('head.weight')), constant('head_bias', weight('head.bias'))],
              'head', transB=1)
    add('Tanh', [out], 'action')
    middle = [steps] if steps > 1 else []
    graph = helper.make_graph(
        nodes, 'finger_encoder_policy',
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, ['batch', *middle, size])
         for name, size in zip(layout.terms, layout.sizes, strict=True)],
        [helper.make_tensor_value_info('action', TensorProto.FLOAT, ['batch', len(weight('head.bias'))])],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    proto = helper.make_model(
        graph, producer_name=PRODUCER, ir_version=IR_VERSION, opset_imports=[helper.make_opsetid('', OPSET)])
    onnx.checker.check_model(proto, full_check=True)
    return proto
