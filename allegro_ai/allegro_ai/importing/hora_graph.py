"""The ONNX graph of a HORA policy: angles and targets in rad and canonical order in, actions in canonical order out.

Permutation, scaling and statistics are folded into constants in double precision: ``(x - mean) / std`` of a scaled
angle is ``(angle - centre) * factor``, and a permuted input is a permuted column of the first weights. The clip of the
original stays between them.
"""

from __future__ import annotations

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from allegro_ai.importing.hora_network import (
    BOUND,
    EPSILON,
    FRAME,
    JOINTS,
    LAGS,
    LOWER,
    OBSERVATION,
    STRIDES,
    UPPER,
    HoraNetwork,
)

Float = NDArray[np.float64]

OPSET = 17
INPUTS = ('joint_target', 'joint_position')
"""In the order in which the node has them side by side."""


class _Writer:
    """Collects nodes and constants."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []

    def constant(self, name: str, values: Float | NDArray[np.int64]) -> str:
        kept = values if values.dtype == np.int64 else values.astype(np.float32)
        self.constants.append(numpy_helper.from_array(np.ascontiguousarray(kept), name))
        return name

    def node(self, kind: str, inputs: list[str], output: str, **attributes: object) -> str:
        self.nodes.append(helper.make_node(kind, inputs, [output], name=output, **attributes))
        return output


def build_graph(network: HoraNetwork, order: NDArray[np.intp]) -> onnx.ModelProto:
    """The graph.

    Args:
        network: the policy.
        order: canonical index of each joint in HORA's order, see :func:`hora_network.joint_order`.
    """
    w = _Writer()
    frame = np.concatenate([JOINTS + np.argsort(order), np.argsort(order)])
    w.constant('low', np.array(-BOUND))
    w.constant('high', np.array(BOUND))
    frames = w.node('Concat', [*INPUTS], 'frames', axis=2)
    seen = _cut(w, frames, network.steps - LAGS, network.steps, 'lag')
    seen = w.node('Reshape', [seen, w.constant('lag.shape', np.array([-1, OBSERVATION], dtype=np.int64))], 'seen')
    lags = np.concatenate([lag * FRAME + frame for lag in range(LAGS)])
    columns = lags
    x = _normal(w, seen, network.mean, network.variance, lags, 'seen')
    if network.history_mean is not None and network.history_variance is not None:
        x = w.node('Concat', [x, _latent(w, network, frames, frame)], 'state', axis=1)
        latent = network.weights['actor_mlp.mlp.0.weight'].shape[1] - OBSERVATION
        columns = np.concatenate([lags, OBSERVATION + np.arange(latent)])
    for layer in network.layers('actor_mlp.mlp'):
        weight = network.weights[f'{layer}.weight']
        x = _gemm(w, x, weight[:, columns] if layer.endswith('.0') else weight, network.weights[f'{layer}.bias'], layer)
        x = w.node('Elu', [x], f'{layer}.elu')
    back = np.argsort(order)
    x = _gemm(w, x, network.weights['mu.weight'][back], network.weights['mu.bias'][back], 'mu')
    w.constant('minus_one', np.array(-1.0))
    w.constant('one', np.array(1.0))
    w.node('Clip', [x, 'minus_one', 'one'], 'action')
    inputs = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ['batch', network.steps, JOINTS])
              for name in INPUTS]
    outputs = [helper.make_tensor_value_info('action', TensorProto.FLOAT, ['batch', JOINTS])]
    graph = helper.make_graph(w.nodes, 'hora', inputs, outputs, w.constants)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid('', OPSET)], producer_name='allegro_ai',
                             ir_version=10)


def _cut(w: _Writer, frames: str, begin: int, end: int, name: str) -> str:
    start, stop, axis = (w.constant(f'{name}.{what}', np.array([value], dtype=np.int64))
                         for what, value in (('start', begin), ('end', end), ('axis', 1)))
    return w.node('Slice', [frames, start, stop, axis], name)


def _normal(w: _Writer, x: str, mean: Float, variance: Float, places: NDArray[np.intp], name: str) -> str:
    """Statistics of frames (…, 32 n) in HORA's order, for values in canonical order whose angles are in rad."""
    middle, half = (np.array(UPPER) + LOWER) / 2, (np.array(UPPER) - LOWER) / 2
    shift, stretch = np.concatenate([middle, np.zeros(JOINTS)]), np.concatenate([half, np.ones(JOINTS)])
    repeats = mean.shape[-1] // FRAME
    centre = np.tile(shift, repeats) + np.tile(stretch, repeats) * mean
    factor = 1 / (np.sqrt(variance + EPSILON) * np.tile(stretch, repeats))
    x = w.node('Sub', [x, w.constant(f'{name}.centre', centre[..., places])], f'{name}.difference')
    x = w.node('Mul', [x, w.constant(f'{name}.factor', factor[..., places])], f'{name}.scaled')
    return w.node('Clip', [x, 'low', 'high'], f'{name}.normal')


def _latent(w: _Writer, network: HoraNetwork, frames: str, frame: NDArray[np.intp]) -> str:
    """What stage 2 estimates from the history. Convolutions are products over gathered windows: half as dear here.

    All of it is computed anew at every step, although the history moves on by one frame only: its statistics differ
    with the place in the history, so what a frame says changes as it ages.
    """
    assert network.history_mean is not None
    assert network.history_variance is not None
    steps = _read(network)
    x = _cut(w, frames, 0, steps, 'past')
    x = _normal(w, x, network.history_mean[:steps], network.history_variance[:steps], frame, 'history')
    x = w.node('Reshape', [x, w.constant('one_by_one', np.array([-1, FRAME], dtype=np.int64))], 'each_frame')
    for layer in network.layers('adapt_tconv.channel_transform'):
        weight = network.weights[f'{layer}.weight']
        x = _gemm(w, x, weight[:, frame] if layer.endswith('.0') else weight, network.weights[f'{layer}.bias'], layer)
        x = w.node('Relu', [x], f'{layer}.relu')
    width = network.weights[f'{layer}.weight'].shape[0]
    for layer, stride in zip(network.layers('adapt_tconv.temporal_aggregation'), STRIDES, strict=True):
        kernel = network.weights[f'{layer}.weight']
        reach = kernel.shape[2]
        windows = np.arange(0, steps - reach + 1, stride)[:, None] + np.arange(reach)
        x = w.node('Reshape', [x, w.constant(f'{layer}.frames', np.array([-1, steps, width], dtype=np.int64))],
                   f'{layer}.together')
        x = w.node('Gather', [x, w.constant(f'{layer}.windows', windows.astype(np.int64))], f'{layer}.each', axis=1)
        x = w.node('Reshape', [x, w.constant(f'{layer}.rows', np.array([-1, reach * width], dtype=np.int64))],
                   f'{layer}.window')
        x = _gemm(w, x, kernel.transpose(0, 2, 1).reshape(len(kernel), -1), network.weights[f'{layer}.bias'], layer)
        x = w.node('Relu', [x], f'{layer}.relu')
        steps, width = len(windows), len(kernel)
    x = w.node('Reshape', [x, w.constant('flat.shape', np.array([-1, steps * width], dtype=np.int64))], 'flat')
    name = 'adapt_tconv.low_dim_proj'
    weight = network.weights[f'{name}.weight']
    weight = weight.reshape(-1, width, steps).transpose(0, 2, 1).reshape(weight.shape)  # it expects channels first
    x = _gemm(w, x, weight, network.weights[f'{name}.bias'], name)
    return w.node('Tanh', [x], 'latent')


def _read(network: HoraNetwork) -> int:
    """How many of the frames, from the oldest, the convolutions reach."""
    kernels = [network.weights[f'{layer}.weight'] for layer in network.layers('adapt_tconv.temporal_aggregation')]
    frames: int = network.weights['adapt_tconv.low_dim_proj.weight'].shape[1] // len(kernels[-1])
    for kernel, stride in zip(reversed(kernels), reversed(STRIDES), strict=True):
        frames = (frames - 1) * stride + kernel.shape[2]
    return frames


def _gemm(w: _Writer, x: str, weight: Float, bias: Float, name: str) -> str:
    return w.node('Gemm', [x, w.constant(f'{name}.weight', weight.T), w.constant(f'{name}.bias', bias)], f'{name}.sum')
