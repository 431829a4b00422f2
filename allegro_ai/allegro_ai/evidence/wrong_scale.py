"""An int8 graph with one wrong scale, as a mix-up in an exporter leaves it: a quality gate has to notice."""

from __future__ import annotations

import numpy as np
import onnx
from allegro_description.errors import ConfigError

SCALES = '_quantized'
"""Weights in 8 bit have names that end so; their scale has the same name with ``_scale``."""


def damaged(graph: bytes, factor: float, which: int | None = None) -> tuple[bytes, str]:
    """An int8 graph in which the scale of one weight tensor is wrong, as after a mix-up in an exporter.

    Args:
        graph: a graph that was converted to int8.
        factor: what the scale is multiplied by.
        which: number among the weight tensors, in the order of the graph; None: the one with most elements.

    Returns:
        The graph, and the name of the scale.

    Raises:
        ConfigError: the graph has no weights in 8 bit.
    """
    proto = onnx.load_model_from_string(graph)
    tensors = {t.name: t for t in proto.graph.initializer}
    weights = [n for n in tensors if n.endswith(SCALES) and f'{n.removesuffix(SCALES)}_scale' in tensors]
    if not weights:
        raise ConfigError('this graph holds no weights in 8 bit, so no scale can be spoilt')
    sizes = [int(np.prod(tensors[n].dims)) for n in weights]
    name = f'{weights[int(np.argmax(sizes)) if which is None else which].removesuffix(SCALES)}_scale'
    tensor = tensors[name]
    values = onnx.numpy_helper.to_array(tensor) * np.float32(factor)
    tensor.CopyFrom(onnx.numpy_helper.from_array(np.asarray(values, dtype=np.float32), name))
    return bytes(proto.SerializeToString()), name
