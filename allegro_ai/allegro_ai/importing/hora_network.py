"""What a HORA-architecture rotation policy is: facts of its training, its weights, and its plain evaluation.

HORA (Qi et al., In-Hand Object Rotation via Rapid Motor Adaptation; also the architecture of Wonik's in-hand rotation)
sees scaled joint angles and targets of three steps, guesses eight numbers about the object from thirty, and moves
every target by at most 1/24 rad per step. Its joint order is index, thumb, middle, ring. Everything that its programs
keep in code is stated here once, and goes from here into the bundle.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from allegro_description.errors import BundleError
from allegro_description.model import HandModel
from numpy.typing import NDArray

Float = NDArray[np.float64]
Weights = Mapping[str, Float]

FINGERS = ('index', 'thumb', 'middle', 'ring')
"""Order of fingers in every vector of 16."""

LOWER = (-0.47, -0.196, -0.174, -0.227, 0.263, -0.105, -0.189, -0.162) + 2 * (-0.47, -0.196, -0.174, -0.227)
UPPER = (0.47, 1.61, 1.709, 1.618, 1.396, 1.163, 1.644, 1.719) + 2 * (0.47, 1.61, 1.709, 1.618)
"""Limits by which angles are scaled and targets are clipped, rad, in HORA's order."""

START_POSE = (0.0627, 1.2923, 0.3383, 0.1088, 1.1202, 1.1374, 0.8535, -0.0852,
              0.0724, 1.1983, 0.1551, 0.1499, 0.1343, 1.1736, 0.5355, 0.2164)
"""Where its deployment begins, rad, in HORA's order."""

ACTION_SCALE_RAD = 1 / 24
RATE_HZ = 20.0
KP, KD, TORQUE_LIMIT_NM = 3.0, 0.1, 0.5
"""PD controller of its simulation, N·m/rad and N·m·s/rad, and the bound of its torque."""
GAIN_SPREAD = 0.1
"""Its training varied kp by 3 %, kd by 10 %."""

JOINTS, LAGS, HISTORY = 16, 3, 30
FRAME, OBSERVATION = 2 * JOINTS, 2 * JOINTS * LAGS
LATENT = 8
EPSILON, BOUND = 1e-5, 5.0
"""Statistics: (x - mean) / sqrt(variance + EPSILON), clipped to ±BOUND."""
STRIDES = (2, 1, 1)
"""Of the three convolutions over time."""


@dataclass(frozen=True)
class HoraNetwork:
    """Weights under the names of the original modules, and statistics of what they see.

    Attributes:
        weights: e.g. ``actor_mlp.mlp.0.weight``, (outputs, inputs).
        mean, variance: of the observation, (96,).
        history_mean, history_variance: of the history, (30, 32); None: a policy without adaptation.
    """

    weights: Weights
    mean: Float
    variance: Float
    history_mean: Float | None = None
    history_variance: Float | None = None

    @property
    def adaptive(self) -> bool:
        """Whether it estimates the object from the history (stage 2)."""
        return self.history_mean is not None

    @property
    def steps(self) -> int:
        """How many frames it sees."""
        return HISTORY if self.adaptive else LAGS

    def act(self, angle: Float, target: Float) -> Float:
        """Actions in ±1 as the original computes them, step by step, in double precision.

        Args:
            angle: joint angles, rad, HORA's order, oldest first, (batch, steps, 16).
            target: targets, likewise.
        """
        lower, upper = np.array(LOWER), np.array(UPPER)
        frames = np.concatenate([(2 * angle - upper - lower) / (upper - lower), target], axis=-1)
        seen = frames[:, -LAGS:].reshape(len(frames), OBSERVATION)
        x = _normal(seen, self.mean, self.variance)
        if self.history_mean is not None and self.history_variance is not None:
            x = np.concatenate([x, self._latent(_normal(frames, self.history_mean, self.history_variance))], axis=-1)
        for layer in self.layers('actor_mlp.mlp'):
            x = self._linear(layer, x)
            x = np.where(x > 0, x, np.expm1(np.minimum(x, 0)))
        return np.clip(self._linear('mu', x), -1.0, 1.0)

    def layers(self, module: str) -> list[str]:
        """Names of the layers of a sequence, in order."""
        numbers = {int(name.removeprefix(module + '.').split('.')[0]) for name in self.weights
                   if name.startswith(module + '.')}
        return [f'{module}.{number}' for number in sorted(numbers)]

    def _linear(self, layer: str, x: Float) -> Float:
        result: Float = x @ self.weights[f'{layer}.weight'].T + self.weights[f'{layer}.bias']
        return result

    def _latent(self, x: Float) -> Float:
        """What the history says about the object, (batch, 8)."""
        for layer in self.layers('adapt_tconv.channel_transform'):
            x = np.maximum(self._linear(layer, x), 0)
        for layer, stride in zip(self.layers('adapt_tconv.temporal_aggregation'), STRIDES, strict=True):
            kernel = self.weights[f'{layer}.weight']
            windows = np.lib.stride_tricks.sliding_window_view(x, kernel.shape[2], axis=1)[:, ::stride]
            x = np.maximum(np.einsum('btik,oik->bto', windows, kernel) + self.weights[f'{layer}.bias'], 0)
        # The original flattens channels first, then time.
        return np.tanh(self._linear('adapt_tconv.low_dim_proj', np.swapaxes(x, 1, 2).reshape(len(x), -1)))


def _normal(x: Float, mean: Float, variance: Float) -> Float:
    return np.clip((x - mean) / np.sqrt(variance + EPSILON), -BOUND, BOUND)


def joint_order(model: HandModel) -> NDArray[np.intp]:
    """Canonical index of each joint in HORA's order, (16,), by the names of the fingers.

    Raises:
        BundleError: a hand with other fingers, or with another number of joints per finger.
    """
    fingers = {finger.name: finger.joints for finger in model.fingers}
    if set(fingers) != set(FINGERS) or any(len(joints) != JOINTS // 4 for joints in fingers.values()):
        raise BundleError(f'{model.name} has the fingers {", ".join(fingers)}; a HORA policy moves '
                          f'{", ".join(FINGERS)} with four joints each. Choose a hand with 16 joints')
    place = {name: i for i, name in enumerate(model.joint_names)}
    return np.array([place[joint] for finger in FINGERS for joint in fingers[finger]], dtype=np.intp)
