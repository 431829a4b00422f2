"""Benchmark networks, from a matrix to a diffusion policy: published sizes, random weights, never for a hand."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from allegro_description.errors import UnknownName

if TYPE_CHECKING:
    import onnx


@dataclass(frozen=True, slots=True)
class Rung:
    """One network of the ladder.

    Attributes:
        title: what it is.
        source: whose shape it has.
        rate_hz: control rate, or rate of chunks, of the source.
        parameters: published number of weights.
        macs: published multiplications with addition of one decision.
        network: function of :mod:`allegro_ai.workloads.networks`.
        arguments: what it is called with, after the seed.
    """

    title: str
    source: str
    rate_hz: float
    parameters: float
    macs: float
    network: str
    arguments: tuple[int, ...] = ()


RUNGS = {
    'L0': Rung('linear, 84 to 16', 'ours', 50, 1.4e3, 1e3, 'mlp', (84, 16)),
    'L1a': Rung('perceptron 77-128-128-16', 'ours', 50, 0.029e6, 0.028e6, 'mlp', (77, 128, 128, 16)),
    'L1b': Rung('perceptron 104-512-256-128-16', 'HORA and MuJoCo Playground actors', 20, 0.22e6, 0.22e6, 'mlp',
                (104, 512, 256, 128, 16)),
    'L2a': Rung('temporal convolutions over 30 x 32, and L1b', 'HORA student', 20, 0.24e6, 0.43e6, 'hora_student'),
    'L2b': Rung('GRU 256 and 512-256-128', 'LEAP', 20, 0.63e6, 0.62e6, 'gru'),
    'L2c': Rung('LSTM 1024 and 512-512', 'like DeXtreme', 30, 5.5e6, 5.5e6, 'lstm'),
    'L3a': Rung('transformer, 30 tokens of 32, 2 layers', 'RotateIt', 20, 0.06e6, 0.74e6, 'history_transformer'),
    'L3b': Rung('tactile transformer, 80 tokens of 128, 4 layers', 'ours', 50, 0.83e6, 70e6, 'tactile_transformer'),
    'L4a': Rung('action chunking transformer, width 256, chunk 16', 'ACT, smaller', 50, 2.6e6, 50e6,
                'chunking_transformer', (256, 1024, 2, 16)),
    'L4b': Rung('action chunking transformer, width 512, chunk 100', 'ACT as in LeRobot, without camera', 50, 22.7e6,
                0.86e9, 'chunking_transformer', (512, 3200, 4, 100)),
    'L5a': Rung('flow matching, width 256, 4 layers, 5 steps', 'ours', 10, 4.2e6, 0.35e9, 'flow_matching'),
    'L5b': Rung('diffusion U-Net 64-128-256, 10 steps', 'Diffusion Policy, smaller', 10, 4.8e6, 0.19e9, 'diffusion'),
}
"""Name to rung, small to large."""


def build(name: str, seed: int = 0) -> onnx.ModelProto:
    """The graph of a rung; the same bytes for the same seed.

    Raises:
        UnknownName: no such rung.
    """
    from allegro_ai.workloads import networks
    if name not in RUNGS:
        raise UnknownName('workload', name, RUNGS)
    rung = RUNGS[name]
    make: Callable[..., Any] = getattr(networks, rung.network)
    proto: onnx.ModelProto = make(1000 * seed + list(RUNGS).index(name), *rung.arguments)
    return proto
