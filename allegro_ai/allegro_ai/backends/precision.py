"""Graphs in 8 bit for the backends that run them: dynamic, or static with ranges measured on observations.

Ranges need many observations: with 32 the error of a small network is nine times that with 256, which is the least
allowed here. Where they come from and how many they were is written into the converted graph.
"""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
from allegro_description.errors import BundleError, MissingDependency
from numpy.typing import NDArray

from allegro_ai.policy import GraphPolicy

if TYPE_CHECKING:
    from allegro_ai.bundle import Bundle

Array32 = NDArray[np.float32]

MINIMUM = 256
"""Fewest observations that ranges may be calibrated on."""

RECORDING = 'calibration.npz'
"""File of a bundle with observations of real or simulated episodes: ``input/<term>`` (sequences, steps, …)."""

QUANTISED = ('MatMul', 'Gemm', 'Conv')
"""Operators that are computed in 8 bit; quantising the others too multiplies the error and gains nothing."""


@dataclass(frozen=True)
class Calibration:
    """What a graph was fed with.

    Attributes:
        feeds: one dictionary of graph inputs per observation, history and recurrent state included.
        source: where the observations come from, in words.
    """

    feeds: Sequence[Mapping[str, Array32]]
    source: str


class _Listener:
    """A backend that remembers what it was given."""

    faithful = True

    def __init__(self, engine: Any) -> None:
        self.name, self.precisions, self._engine = engine.name, engine.precisions, engine
        self.heard: list[dict[str, Array32]] = []

    def run(self, inputs: Mapping[str, Array32]) -> dict[str, Array32]:
        self.heard.append({name: np.array(value) for name, value in inputs.items()})
        result: dict[str, Array32] = self._engine.run(inputs)
        return result

    def close(self) -> None:
        self._engine.close()


def calibration(policy: GraphPolicy, arrays: Mapping[str, NDArray[Any]], source: str) -> Calibration:
    """Feeds of a policy that walks through recorded sequences of observations.

    Args:
        policy: the policy in fp32; it is given back as it was, reset.
        arrays: ``input/<term>`` (sequences, steps, …), as in ``golden.npz``.
        source: where they come from.

    Raises:
        BundleError: fewer than :data:`MINIMUM` observations, or a term is missing.
    """
    missing = [name for name in policy.inputs if f'input/{name}' not in arrays]
    if missing:
        raise BundleError(f'{source}: holds no input/{missing[0]}, which the policy reads')
    lead = arrays[f'input/{policy.inputs[0]}'].shape[:2]
    if len(lead) < 2 or lead[0] * lead[1] < MINIMUM:
        raise BundleError(f'int8_static: {source} holds {int(np.prod(lead))} observations; ranges need at least '
                          f'{MINIMUM}. Give a recording of more')
    engine, listener = policy.backend, _Listener(policy.backend)
    policy.backend = listener
    try:
        for sequence in range(lead[0]):
            policy.reset()
            for step in range(lead[1]):
                policy.act({n: arrays[f'input/{n}'][sequence:sequence + 1, step] for n in policy.inputs})
    finally:
        policy.backend = engine
        policy.reset()
    return Calibration(listener.heard, f'{len(listener.heard)} observations of {source}')


def convert(model: bytes, precision: str, given: Calibration | None = None) -> bytes:
    """The graph that a backend runs in ``precision``; ``fp32`` and ``bf16`` run the graph as it is.

    Args:
        model: bytes of ``policy.onnx``.
        precision: key of :data:`allegro_ai.backends.PRECISIONS`.
        given: observations, for ``int8_static``.

    Raises:
        BundleError: nothing to calibrate on, or the graph cannot be converted.
        MissingDependency: ONNX Runtime, which converts, is absent.
    """
    if not precision.startswith('int8'):
        return model
    try:
        from onnxruntime import quantization
    except ImportError as error:
        raise MissingDependency(f'{precision} is made by ONNX Runtime, which is absent ({error}). Install it with: '
                                "pip install 'allegro_ai[onnx]'") from error
    if precision == 'int8_static' and given is None:
        raise BundleError(f'int8_static needs at least {MINIMUM} observations to measure ranges on')
    logger, level = logging.getLogger(), logging.getLogger().level
    logger.setLevel(logging.ERROR)  # it recommends a preparation to the root logger at each call
    try:
        with tempfile.TemporaryDirectory(prefix='allegro_int8_') as folder:
            target = Path(folder) / 'int8.onnx'
            proto = onnx.load_model_from_string(model)
            if given is None:
                quantization.quantize_dynamic(proto, target, weight_type=quantization.QuantType.QInt8)
            else:
                quantization.quantize_static(
                    proto, target, _Reader(given.feeds), quant_format=quantization.QuantFormat.QDQ,
                    op_types_to_quantize=list(QUANTISED), per_channel=True,
                    activation_type=quantization.QuantType.QUInt8, weight_type=quantization.QuantType.QInt8)
            made = onnx.load(target)
    except Exception as error:  # the tool raises whatever went wrong inside it
        said = ' '.join(str(error).split())
        raise BundleError(f'policy.onnx: cannot be converted to {precision}: {said[:300]}') from error
    finally:
        logger.setLevel(level)
    kept = {p.key: p.value for p in made.metadata_props}
    onnx.helper.set_model_props(made, {**kept, 'allegro.precision': precision,
                                       'allegro.calibration': '' if given is None else given.source})
    return bytes(made.SerializeToString())


@lru_cache(maxsize=4)
def graph_of(bundle: Bundle, precision: str) -> bytes:
    """The graph of a bundle in ``precision``, with ranges from its observations.

    They come from its ``calibration.npz`` if there is one, else from its golden vectors.

    Raises:
        BundleError: too few observations, or the graph cannot be converted.
    """
    if precision != 'int8_static':
        return convert(bundle.graph, precision)
    golden = bundle.contract['golden']['file']
    source = RECORDING if RECORDING in bundle.files else golden
    arrays = {name: value for name, value in bundle.arrays(source).items() if name.startswith('input/')}
    return convert(bundle.graph, precision, calibration(bundle.unchecked('onnxruntime'), arrays, source))


class _Reader:
    """What the calibrator of ONNX Runtime reads from."""

    def __init__(self, feeds: Sequence[Mapping[str, Array32]]) -> None:
        self._feeds: Iterator[Mapping[str, Array32]] = iter(feeds)

    def get_next(self) -> Mapping[str, Array32] | None:
        return next(self._feeds, None)
