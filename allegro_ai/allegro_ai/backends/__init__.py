"""Inference backends: one module each, found by name in a lazy table, all behind :class:`Backend`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from allegro_description.errors import BundleError, UnknownName
from allegro_description.plugins import Plugin, PluginTable
from numpy.typing import NDArray

Array32 = NDArray[np.float32]
Shape = tuple[int | None, ...]

_CUDA = "pip uninstall onnxruntime && pip install onnxruntime-gpu (on a machine with an NVIDIA driver, CUDA and cuDNN)"
_TENSORRT = "pip install onnxruntime-gpu, and NVIDIA's TensorRT libraries, which are not on PyPI"
_TORCH = 'pip install torch --index-url https://download.pytorch.org/whl/cpu'
_ONNX = "pip install 'allegro_ai[onnx]'"

BACKENDS = PluginTable(
    'inference backend',
    {
        'onnxruntime': Plugin('allegro_ai.backends.onnxruntime_cpu:OnnxRuntimeCpu', ('onnxruntime',), _ONNX),
        'openvino': Plugin('allegro_ai.backends.openvino_cpu:OpenVinoCpu', ('openvino',),
                           'pip install openvino'),
        'torch': Plugin('allegro_ai.backends.torch_eager:TorchEager', ('torch', 'onnx'), _TORCH),
        'numpy': Plugin('allegro_ai.backends.numpy_graph:NumpyGraph', ('onnx',), _ONNX),
        'onnxruntime_cuda': Plugin('allegro_ai.backends.onnxruntime_gpu:OnnxRuntimeCuda', ('onnxruntime',), _CUDA),
        'onnxruntime_tensorrt': Plugin('allegro_ai.backends.onnxruntime_gpu:OnnxRuntimeTensorRt', ('onnxruntime',),
                                       _TENSORRT),
        'torch_cuda': Plugin('allegro_ai.backends.torch_eager:TorchCuda', ('torch', 'onnx'), _TORCH),
        'torch_compile': Plugin('allegro_ai.backends.torch_compiled:TorchCompile', ('torch', 'onnx'), _TORCH),
        'aotinductor': Plugin('allegro_ai.backends.torch_compiled:AotInductor', ('torch', 'onnx'), _TORCH),
        'null': Plugin('allegro_ai.backends.null:NullBackend'),
    },
    'allegro_ai.backends',
)

PRECISIONS = {
    'fp32': 'as exported',
    'bf16': 'the graph computes in bfloat16, if the processor can',
    'int8_dynamic': 'weights in 8 bit, activations quantised at each call',
    'int8_static': 'weights and activations in 8 bit, ranges calibrated on recorded observations',
}
"""Name of a precision to its meaning."""


@dataclass(frozen=True)
class GraphSpec:
    """Inputs and outputs of a graph: name to shape, float32; ``None`` is the free batch dimension."""

    inputs: Mapping[str, Shape]
    outputs: Mapping[str, Shape]


@runtime_checkable
class Backend(Protocol):
    """Runs one graph. Built as ``Backend(model_bytes, spec)``; not thread safe; knows nothing of hands or bundles.

    Attributes:
        name: name in the table; also the ``source`` of the published inference times.
        faithful: whether it computes the graph (the null backend does not, so no golden check applies to it).
        precisions: keys of :data:`PRECISIONS` that it can run; ``int8_…`` wants the converted graph as ``model``
            (:mod:`allegro_ai.backends.precision` converts).
    """

    name: str
    faithful: bool
    precisions: tuple[str, ...]

    def __init__(self, model: bytes, spec: GraphSpec, precision: str = 'fp32') -> None:
        """Load the graph from the bytes of ``policy.onnx``.

        Raises:
            BundleError: the graph, or the precision, cannot be run by this backend.
            MissingDependency: a package, or a device, is absent.
        """

    def run(self, inputs: Mapping[str, Array32]) -> dict[str, Array32]:
        """Compute all outputs. ``inputs`` has exactly the names of the spec, float32, equal batch sizes.

        Inputs are not altered, and what is returned stays as it is during later calls.
        """

    def close(self) -> None:
        """Release what the backend holds; safe to call twice."""


def only_precision(backend: Backend, precision: str) -> None:
    """Refuse a precision that a backend does not run.

    Raises:
        BundleError: both are named, with what it runs.
    """
    if precision not in backend.precisions:
        raise BundleError(f'backend {backend.name} does not run {precision}; it runs {", ".join(backend.precisions)}')


def split_name(name: str) -> tuple[str, str]:
    """``openvino/bf16`` to backend and precision; without a slash the precision is ``fp32``.

    Raises:
        UnknownName: no such precision.
    """
    backend, slash, precision = name.partition('/')
    if slash and precision not in PRECISIONS:
        raise UnknownName('precision', precision, PRECISIONS)
    return backend, precision or 'fp32'
