"""ONNX Runtime on one CPU thread.

One thread and no spinning: a second thread gains nothing on policies of this size and its spinning pool burns a core
between ticks. Plain ``run`` on preallocated arrays, without ``RunOptions``, is the cheapest call.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnxruntime
from allegro_description.errors import BundleError
from numpy.typing import NDArray

from allegro_ai.backends import GraphSpec, only_precision

Array32 = NDArray[np.float32]

_ERRORS_ONLY = 3


class OnnxRuntimeCpu:
    """See :class:`allegro_ai.backends.Backend`."""

    name = 'onnxruntime'
    faithful = True
    precisions: tuple[str, ...] = ('fp32', 'int8_dynamic', 'int8_static')

    def __init__(self, model: bytes, spec: GraphSpec, precision: str = 'fp32') -> None:
        """Create the session."""
        only_precision(self, precision)
        session = new_session(model, self._providers())
        self._run = session.run
        self._outputs = [output.name for output in session.get_outputs()]

    @classmethod
    def _providers(cls) -> Sequence[Any]:
        """Execution providers, the preferred one first."""
        return ['CPUExecutionProvider']

    def run(self, inputs: Mapping[str, Array32]) -> dict[str, Array32]:
        """Run the session on the given arrays; it copies nothing that is contiguous."""
        return dict(zip(self._outputs, self._run(self._outputs, inputs), strict=True))

    def close(self) -> None:
        """Nothing to close: memory goes with the object."""


def new_session(
    model: bytes, providers: Sequence[Any] = ('CPUExecutionProvider',), *, reuse: bool = True,
) -> Any:
    """A session on one thread, without spinning.

    Args:
        model: the graph.
        providers: execution providers, the preferred one first.
        reuse: whether results may share memory; without, a graph of many small results is a microsecond faster.

    Raises:
        BundleError: ONNX Runtime refuses the graph.
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    options.log_severity_level = _ERRORS_ONLY
    options.enable_mem_reuse = reuse
    options.add_session_config_entry('session.intra_op.allow_spinning', '0')
    options.add_session_config_entry('session.inter_op.allow_spinning', '0')
    try:
        return onnxruntime.InferenceSession(model, options, providers=list(providers))
    except Exception as error:  # the exception classes of onnxruntime have no common, public base
        raise BundleError(f'policy.onnx: ONNX Runtime cannot load it: {str(error).splitlines()[0]}') from error
