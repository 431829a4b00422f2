"""The allow-listed ONNX operators interpreted in numpy: an independent computation of any policy, with no engine.

The plan is made once; a call walks it. For small networks that is as fast as an inference engine.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from allegro_ai.backends import GraphSpec, only_precision
from allegro_ai.backends.numpy_arithmetic import ARITHMETIC
from allegro_ai.backends.numpy_layers import LAYERS
from allegro_ai.backends.numpy_shapes import SHAPES
from allegro_ai.backends.plan import operation, read_plan

Array32 = NDArray[np.float32]

MAKERS = {**ARITHMETIC, **SHAPES, **LAYERS}
"""Every operator that numpy computes here."""


class NumpyGraph:
    """See :class:`allegro_ai.backends.Backend`."""

    name = 'numpy'
    faithful = True
    precisions: tuple[str, ...] = ('fp32',)

    def __init__(self, model: bytes, spec: GraphSpec, precision: str = 'fp32') -> None:
        """Plan the graph."""
        only_precision(self, precision)
        plan = read_plan(model, MAKERS, self.name)
        self._values: list[Any] = list(plan.values)
        self._inputs, self._outputs = tuple(plan.inputs.items()), tuple(plan.outputs.items())
        self._steps = [(operation(MAKERS, step, plan.opset, self.name), step.inputs, step.outputs)
                       for step in plan.steps]

    def run(self, inputs: Mapping[str, Array32]) -> dict[str, Array32]:
        """Walk the plan."""
        values = self._values.copy()
        for name, slot in self._inputs:
            values[slot] = inputs[name]
        for function, sources, targets in self._steps:
            made = function(*[values[i] for i in sources])
            if len(targets) == 1 and type(made) is not tuple:
                values[targets[0]] = made
            else:
                for target, value in zip(targets, made, strict=False):
                    values[target] = value
        # A copy: an output may be a view of an input or of a constant.
        return {name: np.array(values[slot], dtype=np.float32) for name, slot in self._outputs}

    def close(self) -> None:
        """Nothing to close."""
