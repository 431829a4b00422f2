"""The linear policy in plain numpy: a second, independent computation of the shipped graph.

It reads the constants out of the ONNX file by name and refuses graphs of any other producer.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import onnx
from allegro_description.errors import BundleError
from numpy.typing import NDArray

from allegro_ai.backends import GraphSpec
from allegro_ai.linear_graph import FINGER_WEIGHTS, PRODUCER, THUMB_WEIGHTS
from allegro_ai.linear_policy import HALF_PRESSURE_KPA, INPUTS, RATE_SCALE

Array32 = NDArray[np.float32]


class NumpyLinear:
    """See :class:`allegro_ai.backends.Backend`."""

    name = 'numpy'
    faithful = True

    def __init__(self, model: bytes, spec: GraphSpec) -> None:
        """Read weights and layout matrices."""
        proto = onnx.load_model_from_string(model)
        if proto.producer_name != PRODUCER or tuple(spec.inputs) != INPUTS:
            raise BundleError(
                f'policy.onnx: backend numpy runs graphs of {PRODUCER} only, this one is by '
                f'{proto.producer_name or "an unnamed producer"!r}; use backend onnxruntime'
            )
        constants = {i.name: onnx.numpy_helper.to_array(i) for i in proto.graph.initializer}
        self._load, self._speed = constants['load_matrix'], constants['speed_matrix']
        self._others = constants['mean_of_others']
        self._weights = constants[FINGER_WEIGHTS], constants[THUMB_WEIGHTS]
        self._places = constants['finger_places'], constants['thumb_places']

    def run(self, inputs: Mapping[str, Array32]) -> dict[str, Array32]:
        """Compute the graph."""
        pressure, grip = inputs['tactile_tip_pressure'], inputs['grip_class']
        batch, fingers = pressure.shape
        squashed = pressure / (pressure + np.float32(HALF_PRESSURE_KPA))
        trace = inputs['tactile_tip_trace'] * np.float32(RATE_SCALE)
        load = inputs['joint_target_error'] @ self._load
        features = np.empty((batch, fingers, 12), dtype=np.float32)
        columns = (
            np.float32(1.0), squashed, inputs['tactile_tip_rate'] * np.float32(RATE_SCALE), trace,
            inputs['tactile_tip_contact'], squashed @ self._others, trace @ self._others, inputs['tactile_valid'],
            load, load @ self._others, inputs['joint_delta'] @ self._speed, grip[:, 2:] - grip[:, :1],
        )
        for k, column in enumerate(columns):
            features[:, :, k] = column
        finger = (features[:, :-1] @ self._weights[0]).reshape(batch, -1) @ self._places[0]
        thumb = (features[:, -1:] @ self._weights[1]).reshape(batch, -1) @ self._places[1]
        return {'action': np.tanh(finger + thumb)}

    def close(self) -> None:
        """Nothing to close."""
