"""The structured policy as an ONNX graph: named SI inputs and a recurrent memory in, action and memory out."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import onnx
from allegro_description.model import HandModel
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from allegro_ai.linear_graph import IR_VERSION, OPSET
from allegro_ai.observation import terms
from allegro_ai.structured_policy import (
    GRAVITY,
    HALF_PRESSURE_KPA,
    MEMORIES,
    PER_LIMIT,
    RELIEF_AT_MOST,
    SLOW,
    Array32,
    StructuredLayout,
    inputs,
    keep,
    named,
)

PRODUCER = 'allegro_ai.structured_graph'
MEMORY, NEXT_MEMORY = 'memory', 'next_memory'


def state_entry(model: HandModel) -> dict[str, Any]:
    """The entry of the contract's ``runtime.state``: slow means, motion and events of all fingers."""
    return {'name': MEMORY, 'shape': [1, MEMORIES * len(model.fingers)], 'init': 'zeros', 'output': NEXT_MEMORY}


class _Weaver:
    """Collects nodes and constants; every method returns the name of its result."""

    def __init__(self) -> None:
        self.nodes: list[Any] = []
        self.constants: dict[str, NDArray[Any]] = {}

    def op(self, kind: str, *names: str, name: str = '') -> str:
        output = name or f'{kind.lower()}_{len(self.nodes)}'
        self.nodes.append(helper.make_node(kind, list(names), [output], name=output))
        return output

    def constant(self, name: str, value: Any, dtype: Any = np.float32) -> str:
        self.constants[name] = np.asarray(value, dtype=dtype)
        return name

    def times(self, x: str, name: str, value: Any) -> str:
        """``x * value``, the value under ``name``."""
        return self.op('Mul', x, self.constant(name, value))

    def into(self, x: str, name: str, matrix: Any) -> str:
        """``x @ matrix``."""
        return self.op('MatMul', x, self.constant(name, matrix))

    def hardest(self, x: str) -> str:
        """Largest number of each row, (batch, 1)."""
        output = f'largest_{len(self.nodes)}'
        self.nodes.append(helper.make_node('ReduceMax', [x], [output], name=output, axes=[1], keepdims=1))
        return output

    def total(self, *names: str) -> str:
        """Their sum."""
        result = names[0]
        for name in names[1:]:
            result = self.op('Add', result, name)
        return result


def build_structured_onnx(model: HandModel, parameters: NDArray[np.floating], touch: bool = True) -> onnx.ModelProto:
    """Write the graph of :class:`allegro_ai.structured_policy.StructuredPolicy`; the batch dimension is free.

    Args:
        model: the hand.
        parameters: flat values, (size,).
        touch: whether the graph takes touch; without it, what weighs touch plays no part.

    Raises:
        ConfigError: a wrong number of parameters, or values that are not finite.
    """
    layout, v = StructuredLayout(model), {k: x[0] for k, x in named(np.asarray(parameters).reshape(-1)).items()}
    w, k = _Weaver(), layout.fingers
    everyone = np.ones((k, k)) / k
    error = w.times('joint_target_error', 'inverse_scale', layout.inverse)
    moved = w.op('Sub', 'last_action', error)
    w.constant('own', layout.own)
    load, displaced = w.op('MatMul', error, 'own'), w.op('MatMul', moved, 'own')
    cuts = [w.constant(f'cut_{n}', [n * k], np.int64) for n in range(MEMORIES + 1)]
    last = w.constant('last_axis', [1], np.int64)
    slow, motion, event = (w.op('Slice', MEMORY, cuts[n], cuts[n + 1], last) for n in range(MEMORIES))
    w.constant('keep', keep({'keep': np.asarray(v['keep'])}))
    fresh = w.op('Sub', displaced, slow)
    motion = w.op('Max', w.op('Mul', motion, 'keep'), w.op('Abs', fresh))
    feedback = w.total(
        w.into(load, 'load', v['load'] * np.eye(k) + v['load_hand'] * everyone),
        w.into(displaced, 'closure', v['closure'] * everyone),
        w.times(fresh, 'pushed', -v['pushed']),
        w.into(motion, 'motion', v['motion'] * np.eye(k) + v['motion_hand'] * everyone))
    relief = ''
    if touch:
        pressure = 'tactile_tip_pressure'
        squashed = w.op('Div', pressure, w.op('Add', pressure, w.constant('half_pressure_kpa', HALF_PRESSURE_KPA)))
        squashed = w.op('Mul', squashed, 'tactile_valid')
        rate = w.op('Mul', w.times(w.op('Abs', 'tactile_tip_rate'), 'rate_scale', 0.5), 'tactile_valid')
        event = w.op('Max', w.op('Mul', event, 'keep'), rate)
        allowed = w.into('grip_class', 'per_limit', PER_LIMIT)
        share = w.op('Mul', w.op('Mul', pressure, 'tactile_valid'), allowed)
        excess = w.op('Clip', w.op('Sub', share, w.constant('relief_from', v['relief_from'])),
                      w.constant('none', 0.0), w.constant('relief_at_most', RELIEF_AT_MOST))
        relief = w.total(w.times(excess, 'relief', -v['relief']),
                         w.times(w.hardest(excess), 'relief_hand', -v['relief_hand']))
        feedback = w.total(
            feedback, w.into(squashed, 'pressure', v['pressure'] * np.eye(k) + v['pressure_hand'] * everyone),
            w.into(event, 'event', v['event'] * np.eye(k) + v['event_hand'] * everyone))
    w.nodes.append(helper.make_node(
        'Concat', [w.op('Add', slow, w.times(fresh, 'slow_share', SLOW)), motion, event], [NEXT_MEMORY],
        name=NEXT_MEMORY, axis=1))
    squeeze = w.into('grip_class', 'squeeze', [[v[f'squeeze_{g}']] for g in ('fragile', 'normal', 'robust')])
    known = w.op('Mul', 'gravity_palm', 'gravity_valid')
    gravity = w.into(known, 'gravity', [[v[f'gravity_{axis}'] / GRAVITY] for axis in 'xyz'])
    factor = w.into('grip_class', 'feedback_factor', [[v['feedback_fragile']], [1.0], [1.0]])
    drive = w.total(w.op('Mul', feedback, factor), squeeze, gravity, *([relief] if relief else ()))
    flexes, weights = 1.0 - layout.side, _constant(layout.weights, v)
    softer = _constant(partial(layout.weights, fragile=True), v) - weights
    fragile = w.into('grip_class', 'fragile', [[1.0], [0.0], [0.0]])
    back = w.total(w.into(drive, 'weights', layout.back * weights),
                   w.into(w.op('Mul', drive, fragile), 'softer', layout.back * softer))
    resist = w.times(moved, 'stiffness', flexes * v['stiffness'] + layout.side * v['side_stiffness'])
    damp = w.times('joint_delta', 'damping', flexes * v['damping'] * 10.0)
    wanted = w.op('Sub', w.op('Add', back, w.constant('offset', _constant(layout.offset, v))),
                  w.op('Add', resist, damp))
    w.op('Tanh', wanted, name='action')

    table, width = terms(model), MEMORIES * k

    def value(name: str, size: int) -> Any:
        return helper.make_tensor_value_info(name, TensorProto.FLOAT, ['batch', size])

    graph = helper.make_graph(
        w.nodes, 'structured_policy',
        [*(value(n, len(table[n].elements)) for n in inputs(touch)), value(MEMORY, width)],
        [value('action', layout.joints), value(NEXT_MEMORY, width)],
        [numpy_helper.from_array(array, name) for name, array in w.constants.items()])
    proto = helper.make_model(
        graph, producer_name=PRODUCER, ir_version=IR_VERSION, opset_imports=[helper.make_opsetid('', OPSET)])
    onnx.checker.check_model(proto, full_check=True)
    return proto


def _constant(rule: Any, values: dict[str, Any]) -> Array32:
    """What a rule of the layout gives for one set of values, (n_joints,)."""
    return np.asarray(rule({name: np.atleast_1d(value) for name, value in values.items()}), dtype=np.float32)
