"""GRU, LSTM and RNN layers as the ONNX operators define them, step by step, for numpy and for torch alike."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from allegro_ai.backends.plan import Attributes, Maker, NotCovered, Operation, only


@dataclass(frozen=True, slots=True)
class Arithmetic:
    """What a layer needs of its array library."""

    sigmoid: Callable[[Any], Any]
    tanh: Callable[[Any], Any]
    stack: Callable[[list[Any]], Any]
    zeros: Callable[[tuple[int, ...], Any], Any]
    """Zeros of a shape, of the type of another array."""


def layer(kind: str, xp: Arithmetic) -> Maker:
    """The operator ``kind`` (``GRU``, ``LSTM`` or ``RNN``); its functions take X, W, R, B, lengths, h and c."""
    gates = {'GRU': 3, 'LSTM': 4, 'RNN': 1}[kind]
    step = {'GRU': _gru, 'LSTM': _lstm, 'RNN': _rnn}[kind]

    def make(attributes: Attributes, opset: int) -> Operation:
        default = {'GRU': ['Sigmoid', 'Tanh'], 'LSTM': ['Sigmoid', 'Tanh', 'Tanh'], 'RNN': ['Tanh']}[kind]
        only(attributes, 'activations', (default, default * 2))
        for name in ('clip', 'layout', 'input_forget'):
            only(attributes, name, (0,))
        direction = attributes.get('direction', 'forward')
        size = attributes['hidden_size']
        reset_after = bool(attributes.get('linear_before_reset', 0))

        def run(x: Any, w: Any, r: Any, b: Any = None, lengths: Any = None, h: Any = None, c: Any = None,
                peepholes: Any = None) -> tuple[Any, ...]:
            if lengths is not None or peepholes is not None:
                raise NotCovered('sequence lengths and peepholes')
            steps, batch = int(x.shape[0]), int(x.shape[1])
            ways, last_h, last_c = [], [], []
            for way in range(2 if direction == 'bidirectional' else 1):
                bias = xp.zeros((2 * gates * size,), x) if b is None else b[way]
                own, fed = bias[:gates * size], bias[gates * size:]
                state = xp.zeros((batch, size), x) if h is None else h[way]
                cell = xp.zeros((batch, size), x) if c is None else c[way]
                backward = direction == 'reverse' or way == 1
                inward, outward = x @ w[way].T + own, r[way].T
                found: list[Any] = [None] * steps
                for t in reversed(range(steps)) if backward else range(steps):
                    state, cell = step(xp, inward[t], outward, fed, state, cell, size, reset_after)
                    found[t] = state
                ways.append(xp.stack(found))
                last_h.append(state)
                last_c.append(cell)
            all_steps = xp.stack([xp.stack([way[t] for way in ways]) for t in range(steps)])
            result = all_steps, xp.stack(last_h)
            return (*result, xp.stack(last_c)) if kind == 'LSTM' else result

        return run

    return make


def _gru(xp: Arithmetic, x: Any, r: Any, b: Any, h: Any, c: Any, n: int, reset_after: bool) -> tuple[Any, Any]:
    two = h @ r[:, :2 * n] + b[:2 * n]
    update = xp.sigmoid(x[:, :n] + two[:, :n])
    reset = xp.sigmoid(x[:, n:2 * n] + two[:, n:])
    if reset_after:
        new = xp.tanh(x[:, 2 * n:] + reset * (h @ r[:, 2 * n:] + b[2 * n:]))
    else:
        new = xp.tanh(x[:, 2 * n:] + (reset * h) @ r[:, 2 * n:] + b[2 * n:])
    return (1 - update) * new + update * h, c


def _lstm(xp: Arithmetic, x: Any, r: Any, b: Any, h: Any, c: Any, n: int, reset_after: bool) -> tuple[Any, Any]:
    gates = x + h @ r + b
    enter, leave, forget = (xp.sigmoid(gates[:, k * n:(k + 1) * n]) for k in range(3))
    cell = forget * c + enter * xp.tanh(gates[:, 3 * n:])
    return leave * xp.tanh(cell), cell


def _rnn(xp: Arithmetic, x: Any, r: Any, b: Any, h: Any, c: Any, n: int, reset_after: bool) -> tuple[Any, Any]:
    return xp.tanh(x + h @ r + b), c
