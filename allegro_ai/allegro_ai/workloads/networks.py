"""The networks of the ladder: published shapes, random weights. What a source leaves open is said at the network."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import onnx

from allegro_ai.workloads.weaving import Weaver

TOKENS, FEATURES = 20, 32
"""Observation tokens of the chunked policies, and numbers in each (the sources' cameras are left out)."""
CHUNK, ACTIONS = 16, 16


def mlp(seed: int, *sizes: int) -> onnx.ModelProto:
    """A multi-layer perceptron with ELU."""
    w = Weaver(seed)
    out = w.op('Tanh', w.mlp('observation', 'actor', sizes))
    return w.graph({'observation': ['batch', sizes[0]]}, {'action': (out, ['batch', sizes[-1]])})


def hora_student(seed: int) -> onnx.ModelProto:
    """30 steps of 32 numbers through three temporal convolutions to 8 numbers, beside 96 observations."""
    w = Weaver(seed)
    x = w.mlp('history', 'channels', (32, 32, 32), 'Relu')
    x = w.op('Transpose', w.op('Relu', x), perm=[0, 2, 1])
    for k, (kernel, stride) in enumerate(((9, 2), (5, 1), (5, 1))):
        x = w.op('Relu', w.conv(x, f'conv{k}', 32, 32, kernel, stride=stride))
    latent = w.op('Tanh', w.linear(w.reshape(x, 0, 96), 'latent', 96, 8))
    out = w.op('Tanh', w.mlp(w.op('Concat', 'observation', latent, axis=1), 'actor', (104, 512, 256, 128, 16)))
    return w.graph({'observation': ['batch', 96], 'history': ['batch', 30, 32]}, {'action': (out, ['batch', 16])})


def gru(seed: int, width: int = 102, hidden: int = 256) -> onnx.ModelProto:
    """A GRU, whose output goes on beside its input: only so do the published numbers of parameters come out."""
    w = Weaver(seed)
    weights = (w.weight('gru.w', 1, 3 * hidden, width, fan_in=width),
               w.weight('gru.r', 1, 3 * hidden, hidden, fan_in=hidden), w.weight('gru.b', 1, 6 * hidden))
    _, h = w.op('GRU', w.reshape('observation', 1, 1, width), *weights, '', 'h', outputs=2, hidden_size=hidden,
                linear_before_reset=1)
    both = w.op('Concat', w.reshape(h, 1, hidden), 'observation', axis=1)
    out = w.op('Tanh', w.mlp(both, 'actor', (hidden + width, 512, 256, 128, 16)))
    return w.graph({'observation': [1, width], 'h': [1, 1, hidden]},
                   {'action': (out, [1, 16]), 'h_next': (h, [1, 1, hidden])})


def lstm(seed: int, width: int = 128, hidden: int = 1024) -> onnx.ModelProto:
    """A wide LSTM and two layers of 512."""
    w = Weaver(seed)
    weights = (w.weight('lstm.w', 1, 4 * hidden, width, fan_in=width),
               w.weight('lstm.r', 1, 4 * hidden, hidden, fan_in=hidden), w.weight('lstm.b', 1, 8 * hidden))
    _, h, c = w.op('LSTM', w.reshape('observation', 1, 1, width), *weights, '', 'h', 'c', outputs=3,
                   hidden_size=hidden)
    out = w.op('Tanh', w.mlp(w.reshape(h, 1, hidden), 'actor', (hidden, 512, 512, 16)))
    state: list[Any] = [1, 1, hidden]
    return w.graph({'observation': [1, width], 'h': state, 'c': state},
                   {'action': (out, [1, 16]), 'h_next': (h, state), 'c_next': (c, state)})


def history_transformer(seed: int) -> onnx.ModelProto:
    """30 steps of 96 numbers, width 32, two layers of two heads; inner width 64 and a head over all 30 tokens."""
    w = Weaver(seed)
    x = w.op('Add', w.linear('history', 'embed', 96, 32), w.weight('place', 30, 32))
    for k in range(2):
        x = w.block(x, f'layer{k}', 32, 2, 64)
    out = w.op('Tanh', w.linear(w.reshape(x, 0, 960), 'head', 960, 40))
    return w.graph({'history': ['batch', 30, 96]}, {'action': (out, ['batch', 40])})


def tactile_transformer(seed: int) -> onnx.ModelProto:
    """16 steps of 5 tokens, width 128, four layers; the mean token goes through one more layer of 128."""
    w = Weaver(seed)
    x = w.op('Add', w.linear('tokens', 'embed', 24, 128), w.weight('place', 80, 128))
    for k in range(4):
        x = w.block(x, f'layer{k}', 128, 4, 512)
    mean = w.op('ReduceMean', x, axes=[1], keepdims=0)
    out = w.op('Tanh', w.mlp(mean, 'head', (128, 128, 16)))
    return w.graph({'tokens': ['batch', 80, 24]}, {'action': (out, ['batch', 16])})


def chunking_transformer(seed: int, width: int, inner: int, encoders: int, chunk: int) -> onnx.ModelProto:
    """Encoder over 20 tokens and one decoder layer whose queries are the steps of the chunk."""
    w = Weaver(seed)
    x = w.op('Add', w.linear('tokens', 'embed', FEATURES, width), w.weight('place', TOKENS, width))
    for k in range(encoders):
        x = w.block(x, f'encoder{k}', width, 8, inner)
    # A query for each step, in every batch: added to a zero that has the batch dimension.
    zero = w.op('Mul', w.op('ReduceMean', x, axes=[1], keepdims=1), w.number(0.0))
    y = w.block(w.op('Add', zero, w.weight('query', chunk, width, fan_in=1)), 'decoder', width, 8, inner, memory=x)
    out = w.op('Tanh', w.linear(y, 'head', width, ACTIONS))
    return w.graph({'tokens': ['batch', TOKENS, FEATURES]}, {'action': (out, ['batch', chunk, ACTIONS])})


def flow_matching(seed: int, width: int = 256, layers: int = 4, steps: int = 5) -> onnx.ModelProto:
    """Euler steps of a transformer that turns noise into a chunk; keys and values of the tokens anew at each step."""
    w = Weaver(seed)
    memory = w.linear('tokens', 'embed', FEATURES, width)
    action = 'noise'
    for step in range(steps):
        time = w.constant(_sinusoid(step / steps, width), np.float32)
        x = w.op('Add', w.linear(action, 'action', ACTIONS, width), w.weight('place', CHUNK, width))
        x = w.op('Add', x, time)
        for k in range(layers):
            x = w.block(x, f'layer{k}', width, 8, 1024, memory=memory)
        speed = w.op('Mul', w.linear(x, 'head', width, ACTIONS), w.number(1 / steps))
        action = w.op('Add', action, speed)
    out = w.op('Tanh', action)
    return w.graph({'tokens': ['batch', TOKENS, FEATURES], 'noise': ['batch', CHUNK, ACTIONS]},
                   {'action': (out, ['batch', CHUNK, ACTIONS])})


def diffusion(seed: int, steps: int = 10, observed: int = 218, embedded: int = 64) -> onnx.ModelProto:
    """DDIM steps of a one-dimensional U-Net with widths 64, 128, 256 and kernels of 5.

    It is scaled and shifted by 282 numbers: 218 of the observation and 64 of the step (the source does not say how
    they divide).
    """
    w = Weaver(seed)
    signal = np.cos(np.linspace(1.5, 0.05, steps + 1)) ** 2  # share of the action in each noisy chunk
    x = w.op('Transpose', 'noise', perm=[0, 2, 1])
    for step in range(steps):
        time = w.mlp(w.constant(_sinusoid(1 - step / steps, embedded)[None], np.float32), 'time',
                     (embedded, 4 * embedded, embedded), 'Tanh')
        zero = w.op('Mul', w.op('ReduceMean', 'condition', axes=[1], keepdims=1), w.number(0.0))
        condition = w.mish(w.op('Concat', 'condition', w.op('Add', zero, time), axis=1))
        guess = _unet(w, x, condition, observed + embedded)
        now, then = float(signal[step]), float(signal[step + 1])
        clean = w.op('Mul', w.op('Sub', x, w.op('Mul', guess, w.number(math.sqrt(1 - now)))),
                     w.number(1 / math.sqrt(now)))
        clean = w.op('Clip', clean, w.number(-1.0), w.number(1.0))
        x = w.op('Add', w.op('Mul', clean, w.number(math.sqrt(then))),
                 w.op('Mul', guess, w.number(math.sqrt(1 - then))))
    out = w.op('Transpose', w.op('Tanh', x), perm=[0, 2, 1])
    return w.graph({'condition': ['batch', observed], 'noise': ['batch', CHUNK, ACTIONS]},
                   {'action': (out, ['batch', CHUNK, ACTIONS])})


def _unet(w: Weaver, x: str, condition: str, cond: int) -> str:
    def residual(x: str, name: str, n: int, m: int) -> str:
        y = w.mish(w.group_norm(w.conv(x, f'{name}.a', n, m, 5, pad=2), f'{name}.na', m))
        film = w.reshape(w.linear(condition, f'{name}.film', cond, 2 * m), 0, 2 * m, 1)
        gain, shift = w.op('Split', film, w.constant([m, m]), outputs=2, axis=1)
        y = w.op('Add', w.op('Mul', y, gain), shift)
        y = w.mish(w.group_norm(w.conv(y, f'{name}.b', m, m, 5, pad=2), f'{name}.nb', m))
        return str(w.op('Add', y, x if n == m else w.conv(x, f'{name}.skip', n, m, 1)))

    kept = []
    widths = (ACTIONS, 64, 128, 256)
    for k in range(3):
        x = residual(residual(x, f'down{k}.0', widths[k], widths[k + 1]), f'down{k}.1', widths[k + 1], widths[k + 1])
        if k < 2:
            kept.append(x)
            x = w.conv(x, f'down{k}.half', widths[k + 1], widths[k + 1], 3, stride=2, pad=1)
        else:
            kept.append(x)
    for k in range(2):
        x = residual(x, f'middle{k}', 256, 256)
    for k, m in ((2, 128), (1, 64)):
        x = residual(w.op('Concat', x, kept[k], axis=1), f'up{k}.0', 2 * widths[k + 1], m)
        x = w.conv(residual(x, f'up{k}.1', m, m), f'up{k}.double', m, m, 4, stride=2, pad=1, up=True)
    x = w.mish(w.group_norm(w.conv(x, 'last.a', 64, 64, 5, pad=2), 'last.n', 64))
    return w.conv(x, 'last.b', 64, ACTIONS, 1)


def _sinusoid(position: float, width: int) -> Any:
    """Place of a moment on ``width`` sine waves."""
    angles = 1000 * position * np.exp(-np.log(1e4) * np.arange(width // 2) / (width // 2 - 1))
    return np.concatenate([np.sin(angles), np.cos(angles)]).astype(np.float32)
