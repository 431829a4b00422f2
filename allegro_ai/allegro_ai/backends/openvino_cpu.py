"""OpenVINO on one CPU thread.

Its default precision on processors with bfloat16 is bfloat16, so float32 is asked for by name. Inputs lie in tensors
that are bound once: handing over arrays costs more than a small network itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import openvino
from allegro_description.errors import BundleError
from numpy.typing import NDArray

from allegro_ai.backends import GraphSpec, only_precision

Array32 = NDArray[np.float32]

_HINTS = {'bf16': 'bf16'}
"""Precision to hint; others compute what is not quantised in float32."""


class OpenVinoCpu:
    """See :class:`allegro_ai.backends.Backend`."""

    name = 'openvino'
    faithful = True
    precisions: tuple[str, ...] = ('fp32', 'bf16', 'int8_static')

    def __init__(self, model: bytes, spec: GraphSpec, precision: str = 'fp32') -> None:
        """Compile the graph."""
        only_precision(self, precision)
        core = openvino.Core()
        if precision == 'bf16' and 'BF16' not in core.get_property('CPU', 'OPTIMIZATION_CAPABILITIES'):
            raise BundleError('backend openvino: this processor does not compute in bf16; use fp32')
        options = {'INFERENCE_PRECISION_HINT': _HINTS.get(precision, 'f32'), 'INFERENCE_NUM_THREADS': 1,
                   'NUM_STREAMS': 1, 'PERFORMANCE_HINT': 'LATENCY', 'ENABLE_CPU_PINNING': False}
        try:
            self._compiled = core.compile_model(core.read_model(model), 'CPU', options)
        except Exception as error:  # OpenVINO raises plain RuntimeErrors of many lines
            said = ' '.join(str(error).split())
            raise BundleError(f'policy.onnx: OpenVINO cannot load it: {said[:300]}') from error
        self._request = self._compiled.create_infer_request()
        self._feed: dict[str, Array32] = {}
        self._outputs = [(name, self._compiled.output(name)) for name in spec.outputs]
        self._bind({name: [1 if n is None else n for n in shape] for name, shape in spec.inputs.items()})

    def _bind(self, shapes: Mapping[str, Any]) -> None:
        for name, shape in shapes.items():
            self._feed[name] = np.zeros(shape, dtype=np.float32)
            self._request.set_tensor(name, openvino.Tensor(self._feed[name], shared_memory=True))

    def run(self, inputs: Mapping[str, Array32]) -> dict[str, Array32]:
        """Copy the inputs into the bound tensors, infer, copy the outputs out."""
        feed = self._feed
        for name, value in inputs.items():
            if feed[name].shape != value.shape:
                self._bind({name: value.shape})
            feed[name][...] = value
        self._request.infer()
        return {name: self._request.get_tensor(port).data.copy() for name, port in self._outputs}

    def close(self) -> None:
        """Nothing to close: memory goes with the object."""
