"""A policy evaluated in torch, operation by operation: the plain answer that engines are compared with.

Weights come from the ONNX bytes; nothing is unpickled. One thread: two threads of torch in a control loop wait for
each other, and the number of threads is one setting for the whole process.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from allegro_description.errors import MissingDependency
from numpy.typing import NDArray

from allegro_ai.backends import GraphSpec, only_precision
from allegro_ai.backends.numpy_graph import MAKERS
from allegro_ai.backends.plan import NOTHING, operation, read_plan
from allegro_ai.backends.torch_operators import HOST, OPERATORS

Array32 = NDArray[np.float32]


class GraphModule(torch.nn.Module):
    """The graph as a module of tensors in, tensors out, in the order of ``inputs`` and ``outputs``."""

    def __init__(self, model: bytes, backend: str, dtype: torch.dtype, device: str = 'cpu') -> None:
        """Plan the graph with its weights as buffers of ``dtype`` on ``device``."""
        super().__init__()
        plan = read_plan(model, MAKERS, backend)
        self._dtype, self._device = dtype, device
        self.inputs, self.outputs = list(plan.inputs), list(plan.outputs)
        self._sources, self._targets = list(plan.inputs.values()), list(plan.outputs.values())
        self._values: list[Any] = list(plan.values)
        self._weights: dict[int, str] = {}
        self._steps = []
        for step in plan.steps:
            function = operation(OPERATORS, step, plan.opset, backend)
            host = HOST.get(step.operator, ())
            for place, slot in enumerate(step.inputs):
                if slot != NOTHING and place not in host and plan.values[slot] is not None:
                    self._weights[slot] = f'weight_{slot}'
            on_host = operation(MAKERS, step, plan.opset, backend) if step.operator in MAKERS else None
            self._steps.append((function, on_host, host, step.inputs, step.outputs))
        for slot, name in self._weights.items():
            value = plan.values[slot]
            assert value is not None
            self.register_buffer(name, self._tensor(value))
        for slot in self._targets:
            if self._values[slot] is not None and slot not in self._weights:
                self._weights[slot] = f'weight_{slot}'
                self.register_buffer(f'weight_{slot}', self._tensor(plan.values[slot]))

    def _tensor(self, value: Any) -> torch.Tensor:
        tensor = torch.from_numpy(np.array(value))
        return tensor.to(self._device, self._dtype if tensor.is_floating_point() else tensor.dtype)

    def forward(self, *inputs: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Walk the graph."""
        values = self._values.copy()  # numpy arrays: constants, and shapes that are computed on the way
        tensors: dict[int, Any] = {slot: getattr(self, name) for slot, name in self._weights.items()}
        tensors |= {slot: value.to(self._dtype) for slot, value in zip(self._sources, inputs, strict=True)}
        for function, on_host, host, sources, targets in self._steps:
            if on_host is not None and not any(slot in tensors and values[slot] is None for slot in sources):
                made = on_host(*[values[slot] for slot in sources])
            else:
                made = function(*[
                    values[slot] if place in host or slot == NOTHING else self._operand(slot, tensors, values)
                    for place, slot in enumerate(sources)])
            for slot, value in zip(targets, made if isinstance(made, tuple) else (made,), strict=False):
                if isinstance(value, torch.Tensor):
                    tensors[slot] = value
                else:
                    values[slot] = value
        return tuple(self._operand(slot, tensors, values).to(torch.float32) for slot in self._targets)

    def _operand(self, slot: int, tensors: dict[int, Any], values: list[Any]) -> Any:
        if slot not in tensors:
            tensors[slot] = self._tensor(values[slot])
        return tensors[slot]


class TorchEager:
    """See :class:`allegro_ai.backends.Backend`."""

    name = 'torch'
    faithful = True
    precisions: tuple[str, ...] = ('fp32', 'bf16')
    device = 'cpu'

    def __init__(self, model: bytes, spec: GraphSpec, precision: str = 'fp32') -> None:
        """Load the weights; sets the threads of torch in this process to one."""
        only_precision(self, precision)
        if self.device == 'cuda' and not torch.cuda.is_available():
            raise MissingDependency(f'inference backend {self.name!r} cannot be used here: torch {torch.__version__} '
                                    'sees no CUDA device. It needs an NVIDIA GPU and the CUDA build: pip install torch '
                                    '--index-url https://download.pytorch.org/whl/cu128')
        torch.set_num_threads(1)
        dtype = torch.bfloat16 if precision == 'bf16' else torch.float32
        self._module = GraphModule(model, self.name, dtype, self.device).eval()
        self._call: Any = self._module

    def run(self, inputs: Mapping[str, Array32]) -> dict[str, Array32]:
        """Walk the graph."""
        with torch.inference_mode():
            # Compiled code believes that inputs lie row by row, and answers nonsense without a word if they do not.
            given = [torch.from_numpy(np.require(inputs[name], requirements=('C', 'W'))).to(self.device)
                     for name in self._module.inputs]
            made = self._call(*given)
            return {name: np.array(value.cpu().numpy()) for name, value in zip(self._module.outputs, made, strict=True)}

    def close(self) -> None:
        """Nothing to close: memory goes with the object."""


class TorchCuda(TorchEager):
    """The same on an NVIDIA GPU. No machine of the project has one: untested, and refused where it is absent."""

    name = 'torch_cuda'
    device = 'cuda'
