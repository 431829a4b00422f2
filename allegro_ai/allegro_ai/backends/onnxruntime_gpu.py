"""ONNX Runtime on an NVIDIA GPU, by name. No machine of the project has one: untested, and refused where it is absent.

A provider that is missing would make ONNX Runtime fall back to the CPU without a word, so both are checked before and
after the session is made.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import onnxruntime
from allegro_description.errors import MissingDependency

from allegro_ai.backends import BACKENDS, GraphSpec
from allegro_ai.backends.onnxruntime_cpu import OnnxRuntimeCpu


class OnnxRuntimeCuda(OnnxRuntimeCpu):
    """See :class:`allegro_ai.backends.Backend`."""

    name = 'onnxruntime_cuda'
    precisions = ('fp32',)
    provider = 'CUDAExecutionProvider'

    def __init__(self, model: bytes, spec: GraphSpec, precision: str = 'fp32') -> None:
        """Create the session on the first GPU."""
        super().__init__(model, spec, precision)
        session = self._run.__self__
        if self.provider not in session.get_providers():
            raise MissingDependency(f'inference backend {self.name!r}: ONNX Runtime fell back to '
                                    f'{", ".join(session.get_providers())}; are CUDA and cuDNN of its version here?')

    @classmethod
    def _providers(cls) -> Sequence[Any]:
        present = onnxruntime.get_available_providers()
        if cls.provider not in present:
            raise MissingDependency(
                f'inference backend {cls.name!r} cannot be used here: this ONNX Runtime {onnxruntime.__version__} has '
                f'{", ".join(present)}, not {cls.provider}. Install it with: {BACKENDS.install_of(cls.name)}')
        # TF32 would round inputs of products to 10 bits: not the graph that was checked.
        return [(cls.provider, {'use_tf32': '0'})]


class OnnxRuntimeTensorRt(OnnxRuntimeCuda):
    """See :class:`allegro_ai.backends.Backend`."""

    name = 'onnxruntime_tensorrt'
    provider = 'TensorrtExecutionProvider'

    @classmethod
    def _providers(cls) -> Sequence[Any]:
        return [super()._providers()[0][0], *OnnxRuntimeCuda._providers()]
