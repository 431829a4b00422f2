"""ONNX Runtime on one CPU thread.

One thread and no spinning: a second thread gains nothing on policies of this size and its spinning pool burns a core
between ticks. Plain ``run`` on preallocated arrays, without ``RunOptions``, is the cheapest call.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import onnxruntime
from allegro_description.errors import BundleError
from numpy.typing import NDArray

from allegro_ai.backends import GraphSpec

Array32 = NDArray[np.float32]

_ERRORS_ONLY = 3


class OnnxRuntimeCpu:
    """See :class:`allegro_ai.backends.Backend`."""

    name = 'onnxruntime'
    faithful = True

    def __init__(self, model: bytes, spec: GraphSpec) -> None:
        """Create the session and the input arrays (batch 1; they follow the batch that is given)."""
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
        options.log_severity_level = _ERRORS_ONLY
        options.add_session_config_entry('session.intra_op.allow_spinning', '0')
        options.add_session_config_entry('session.inter_op.allow_spinning', '0')
        try:
            session = onnxruntime.InferenceSession(model, options, providers=['CPUExecutionProvider'])
        except Exception as error:  # the exception classes of onnxruntime have no common, public base
            raise BundleError(f'policy.onnx: ONNX Runtime cannot load it: {str(error).splitlines()[0]}') from error
        self._run = session.run
        self._outputs = [output.name for output in session.get_outputs()]
        self._feed: dict[str, Array32] = {
            name: np.zeros([1 if n is None else n for n in shape], dtype=np.float32)
            for name, shape in spec.inputs.items()
        }

    def run(self, inputs: Mapping[str, Array32]) -> dict[str, Array32]:
        """Copy the inputs into the arrays of the session and run it."""
        feed = self._feed
        for name, value in inputs.items():
            if feed[name].shape != value.shape:
                feed[name] = np.empty(value.shape, dtype=np.float32)
            np.copyto(feed[name], value)
        return dict(zip(self._outputs, self._run(self._outputs, feed), strict=True))

    def close(self) -> None:
        """Nothing to close: memory goes with the object."""
