"""Inference backends: one module each, found by name in a lazy table, all behind :class:`Backend`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from allegro_description.plugins import Plugin, PluginTable
from numpy.typing import NDArray

Array32 = NDArray[np.float32]
Shape = tuple[int | None, ...]

BACKENDS = PluginTable(
    'inference backend',
    {
        'onnxruntime': Plugin('allegro_ai.backends.onnxruntime_cpu:OnnxRuntimeCpu', ('onnxruntime',),
                              "pip install 'allegro_ai[onnx]'"),
        'numpy': Plugin('allegro_ai.backends.numpy_linear:NumpyLinear', ('onnx',), "pip install 'allegro_ai[onnx]'"),
        'null': Plugin('allegro_ai.backends.null:NullBackend'),
    },
    'allegro_ai.backends',
)


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
    """

    name: str
    faithful: bool

    def __init__(self, model: bytes, spec: GraphSpec) -> None:
        """Load the graph from the bytes of ``policy.onnx``.

        Raises:
            BundleError: the graph cannot be run by this backend.
            MissingDependency: a package is absent.
        """

    def run(self, inputs: Mapping[str, Array32]) -> dict[str, Array32]:
        """Compute all outputs. ``inputs`` has exactly the names of the spec, float32, equal batch sizes."""

    def close(self) -> None:
        """Release what the backend holds; safe to call twice."""
