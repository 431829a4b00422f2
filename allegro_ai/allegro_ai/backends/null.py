"""A backend that answers zeros: the floor of a timing harness. It decides nothing, so a live hand is refused."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from allegro_ai.backends import GraphSpec, only_precision

Array32 = NDArray[np.float32]


class NullBackend:
    """See :class:`allegro_ai.backends.Backend`."""

    name = 'null'
    faithful = False
    precisions: tuple[str, ...] = ('fp32',)

    def __init__(self, model: bytes, spec: GraphSpec, precision: str = 'fp32') -> None:
        """Take the shapes of the outputs; the model itself is not read."""
        only_precision(self, precision)
        self._outputs = dict(spec.outputs)

    def run(self, inputs: Mapping[str, Array32]) -> dict[str, Array32]:
        """Zeros of the right shapes."""
        batch = len(next(iter(inputs.values())))
        return {
            name: np.zeros([batch if n is None else n for n in shape], dtype=np.float32)
            for name, shape in self._outputs.items()
        }

    def close(self) -> None:
        """Nothing to close."""
