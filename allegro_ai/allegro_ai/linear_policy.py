"""The finger-shared linear policy: small enough to read, train in minutes and check by hand.

Each finger has :data:`FEATURES` built from SI terms; index, middle and ring share one weight matrix, the thumb has its
own. ``action = tanh(W features)`` on the flexion joints of the fingers and on all joints of the thumb; abduction of
the fingers stays at the reference (action 0). For the V5 Sense: 12 features, 3 + 4 outputs, 84 parameters.

This is the numpy twin, batch first and in float32, used for training; :mod:`allegro_ai.linear_graph` writes the same
arithmetic as an ONNX graph, and a test holds both to 1e-6.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from allegro_description.errors import ConfigError
from allegro_description.model import HandModel
from numpy.typing import NDArray

from allegro_ai.action import default_scale

Array32 = NDArray[np.float32]

FEATURES = (
    ('bias', '1'),
    ('pressure', 'p / (p + 10 kPa) of the own tip'),
    ('rate', 'tactile_tip_rate / 2 of the own tip'),
    ('trace', 'tactile_tip_trace / 2 of the own tip'),
    ('contact', 'tactile_tip_contact of the own tip'),
    ('others_pressure', 'mean of the squashed pressure of the other fingers'),
    ('others_trace', 'mean of the trace / 2 of the other fingers'),
    ('valid', 'tactile_valid of the own tip'),
    ('load', 'mean over the own flexion joints of joint_target_error / action scale: share of the full torque'),
    ('others_load', 'mean load of the other fingers'),
    ('speed', 'mean joint_delta of the own flexion joints, times 20 (1 is 2.5 rad/s at 50 Hz)'),
    ('grip', 'robust minus fragile of grip_class: -1, 0 or 1'),
)
"""Name and meaning of each feature of one finger, in order of the weights."""

TOUCH_FEATURES = tuple(range(1, 8))
"""Indices of the features that come from touch; their weights are 0 in the no-touch arm."""

HALF_PRESSURE_KPA = 10.0
RATE_SCALE = 0.5
SPEED_SCALE = 20.0

INPUTS = (
    'joint_target_error', 'joint_delta', 'tactile_tip_pressure', 'tactile_tip_rate', 'tactile_tip_trace',
    'tactile_tip_contact', 'tactile_valid', 'grip_class',
)
"""Observation terms that the policy reads, in the order of the graph inputs."""


class LinearLayout:
    """Constant matrices of one hand: how terms become features and weights become joints.

    Attributes:
        load: (n_joints, n_fingers), ``error @ load`` is the load of each finger.
        speed: (n_joints, n_fingers), ``delta @ speed`` is the speed feature.
        others: (n_fingers, n_fingers), ``x @ others`` is the mean over the other fingers.
        finger_joints: (fingers - 1, outputs) joint indices driven by the shared weights.
        thumb_joints: (outputs,) joint indices driven by the thumb's weights.
    """

    def __init__(self, model: HandModel) -> None:
        """Derive the matrices.

        Raises:
            ConfigError: the last finger is not the thumb, fingers differ in their number of flexion joints, or a
                finger has no tip taxel.
        """
        thumb = model.fingers[-1]
        flexing = [[model.joint_index(n) for n in f.joints if model.joints[model.joint_index(n)].flexion]
                   for f in model.fingers]
        same = len({len(joints) for joints in flexing[:-1]}) == 1
        if thumb.name != 'thumb' or not same or len(model.tip_taxels) != len(model.fingers):
            raise ConfigError(
                f'{model.name}: the linear policy needs a thumb as last finger, as many flexion joints on every other '
                'finger, and one tip taxel per finger'
            )
        n, k = len(model.joints), len(model.fingers)
        scale = default_scale(model)
        self.joints, self.fingers = n, k
        self.load = np.zeros((n, k), dtype=np.float32)
        self.speed = np.zeros((n, k), dtype=np.float32)
        for f, joints in enumerate(flexing):
            self.load[joints, f] = 1.0 / (scale[joints] * len(joints))
            self.speed[joints, f] = SPEED_SCALE / len(joints)
        self.others = ((1 - np.eye(k)) / (k - 1)).astype(np.float32)
        self.finger_joints = np.array(flexing[:-1], dtype=np.intp)
        self.thumb_joints = np.array([model.joint_index(name) for name in thumb.joints], dtype=np.intp)

    @property
    def shapes(self) -> tuple[tuple[int, int], tuple[int, int]]:
        """Shapes of the shared and of the thumb's weights: (outputs, features)."""
        return (self.finger_joints.shape[1], len(FEATURES)), (len(self.thumb_joints), len(FEATURES))

    @property
    def size(self) -> int:
        """Number of parameters."""
        (a, b), (c, d) = self.shapes
        return a * b + c * d

    def split(self, parameters: NDArray[np.floating]) -> tuple[Array32, Array32]:
        """Shared and thumb weights from a flat vector, or from one vector per environment.

        Args:
            parameters: (size,) or (batch, size).

        Returns:
            Weights (…, outputs, features), float32.

        Raises:
            ConfigError: another number of parameters, or values that are not finite.
        """
        values = np.asarray(parameters, dtype=np.float32)
        if values.ndim not in (1, 2) or values.shape[-1] != self.size or not np.isfinite(values).all():
            raise ConfigError(f'the linear policy needs {self.size} finite parameters, got shape {values.shape}')
        finger, thumb = self.shapes
        cut = finger[0] * finger[1]
        lead = values.shape[:-1]
        return values[..., :cut].reshape(*lead, *finger), values[..., cut:].reshape(*lead, *thumb)

    def touch_mask(self) -> NDArray[np.bool_]:
        """True for parameters that weigh touch, (size,). Set those to 0 to train without touch."""
        mask = np.zeros(len(FEATURES), dtype=bool)
        mask[list(TOUCH_FEATURES)] = True
        (a, _), (b, _) = self.shapes
        return np.tile(mask, a + b)


class LinearPolicy:
    """``act(observation) -> action``; stateless, so episodes need no reset."""

    def __init__(self, model: HandModel, parameters: NDArray[np.floating]) -> None:
        """Set the weights.

        Args:
            model: the hand.
            parameters: flat weights, (size,), or one row per environment, (batch, size): a whole population of
                policies acts in one call.
        """
        self.layout = LinearLayout(model)
        self.finger_weights, self.thumb_weights = self.layout.split(parameters)

    def reset(self, which: NDArray[np.bool_] | None = None) -> None:
        """Nothing to forget."""

    def features(self, observation: Mapping[str, Array32]) -> Array32:
        """Features of every finger, (batch, n_fingers, n_features)."""
        layout, half = self.layout, np.float32(RATE_SCALE)
        pressure = observation['tactile_tip_pressure']
        squashed = pressure / (pressure + np.float32(HALF_PRESSURE_KPA))
        trace = observation['tactile_tip_trace'] * half
        load = observation['joint_target_error'] @ layout.load
        grip = observation['grip_class'][:, 2:3] - observation['grip_class'][:, 0:1]
        columns = (
            np.ones_like(pressure), squashed, observation['tactile_tip_rate'] * half, trace,
            observation['tactile_tip_contact'], squashed @ layout.others, trace @ layout.others,
            observation['tactile_valid'], load, load @ layout.others, observation['joint_delta'] @ layout.speed,
            np.broadcast_to(grip, pressure.shape),
        )
        return np.stack(columns, axis=-1)

    def act(self, observation: Mapping[str, Array32]) -> Array32:
        """Actions in (-1, 1), float32, (batch, n_joints)."""
        features, layout = self.features(observation), self.layout
        action = np.zeros((len(features), layout.joints), dtype=np.float32)
        fingers = features[:, :-1] @ np.swapaxes(self.finger_weights, -1, -2)
        thumb = features[:, -1:] @ np.swapaxes(self.thumb_weights, -1, -2)
        action[:, layout.finger_joints.ravel()] = np.tanh(fingers).reshape(len(features), -1)
        action[:, layout.thumb_joints] = np.tanh(thumb[:, 0])
        return action
