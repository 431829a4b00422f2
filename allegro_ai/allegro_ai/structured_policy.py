"""The structured policy: three dozen numbers with a meaning each, few enough to be found by an evolution strategy.

Every finger has a drive: a squeeze by grip class, plus feedback from how far it was moved out of its posture, how hard
it is loaded, what it remembers of recent motion and of recent events at the tips, and where gravity points if somebody
knows; pressure above a share of what the class allows takes from it. The drive goes to the flexion joints by a weight
each, some of them by class; abduction and opposition take a constant offset and resist being moved. Memory is a
recurrent state of three numbers per finger, zero at the start.

This is the numpy twin, batch first and in float32, used for training; :mod:`allegro_ai.structured_graph` writes the
same arithmetic as an ONNX graph, and a test holds both to 1e-5.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from allegro_description.errors import ConfigError
from allegro_description.model import HandModel
from allegro_description.simulation.episode import GRIP_FORCE_N
from numpy.typing import NDArray

from allegro_ai.action import default_scale
from allegro_ai.observation import GRIP_CLASSES

Array32 = NDArray[np.float32]

HALF_PRESSURE_KPA = 10.0
GRAVITY = 9.81
SLOW = 0.05         # share of the way that the slow mean of a finger's displacement goes in one step
MEMORIES = 3        # per finger: slow mean, motion, events at the tip
KEEP_AT_MOST = 0.99
KPA_PER_N = 10.0    # of a fingertip, as assumed; cells differ by a factor of six
RELIEF_AT_MOST = 1.0


@dataclass(frozen=True, slots=True)
class Parameter:
    """One number of the policy: name, meaning, first value, spread of the first trials, and whether it weighs touch."""

    name: str
    meaning: str
    start: float
    spread: float
    touch: bool = False


PARAMETERS = (
    Parameter('squeeze_fragile', 'drive for fragile objects', 0.7, 0.12),
    Parameter('squeeze_normal', 'drive for normal objects', 0.8, 0.2),
    Parameter('squeeze_robust', 'drive for robust objects', 0.8, 0.2),
    Parameter('feedback_fragile', 'factor of all feedback for fragile objects', 0.1, 0.1),
    Parameter('proximal', 'weight of the first flexion joint, the second has 1', -0.8, 0.3),
    Parameter('proximal_fragile', 'the same for fragile objects', -0.8, 0.3),
    Parameter('distal', 'weight of the last flexion joint', 1.0, 0.2),
    Parameter('distal_fragile', 'the same for fragile objects', 1.0, 0.2),
    Parameter('thumb_medial', 'weight of the first flexion joint of the thumb', 1.0, 0.2),
    Parameter('thumb_distal', 'weight of the last joint of the thumb', 1.0, 0.2),
    Parameter('index', 'weight of the index finger, the middle finger has 1', 1.0, 0.15),
    Parameter('ring', 'weight of the ring finger', 1.0, 0.15),
    Parameter('spread', 'offset of abduction: index one way, ring the other', 0.0, 0.3),
    Parameter('thumb_rotation', 'offset of the first joint of the thumb', 0.0, 0.3),
    Parameter('thumb_opposition', 'offset of the second joint of the thumb', 0.5, 0.3),
    Parameter('stiffness', 'flexion joints resist displacement', 0.0, 0.2),
    Parameter('side_stiffness', 'abduction and opposition resist displacement', 0.0, 0.3),
    Parameter('damping', 'flexion joints resist speed', 0.0, 0.1),
    Parameter('load', 'own load, as a share of the full torque', 0.0, 0.2),
    Parameter('load_hand', 'mean load of all fingers', 0.0, 0.2),
    Parameter('closure', 'mean displacement of all fingers', 0.0, 0.2),
    Parameter('pushed', 'own displacement against its slow mean', 0.0, 1.0),
    Parameter('motion', 'own memory of motion', 0.0, 3.0),
    Parameter('motion_hand', 'mean memory of motion', 16.0, 4.0),
    Parameter('keep', 'what a memory keeps per step, as a logit', 2.5, 0.4),
    Parameter('gravity_x', 'gravity along the palm normal, 1 is 9.81 m/s²', 0.0, 0.15),
    Parameter('gravity_y', 'gravity across the palm', 0.0, 0.15),
    Parameter('gravity_z', 'gravity along the fingers', 0.0, 0.15),
    Parameter('pressure', 'own pressure p / (p + 10 kPa)', 0.0, 0.2, True),
    Parameter('pressure_hand', 'mean pressure of all tips', 0.0, 0.2, True),
    Parameter('relief', 'own pressure above the allowed share', 0.0, 0.2, True),
    Parameter('relief_hand', 'the largest of these', 0.5, 0.2, True),
    Parameter('relief_from', 'allowed share of the force limit of the class', 0.45, 0.15, True),
    Parameter('event', 'own memory of tactile events', 0.0, 0.15, True),
    Parameter('event_hand', 'mean memory of tactile events', 0.1, 0.2, True),
)
"""All numbers of the policy, in the order of the flat vector."""

BY_CLASS = ('proximal', 'distal')
"""Weights that fragile objects have of their own."""

NAMES = tuple(p.name for p in PARAMETERS)
PER_LIMIT = np.array([[1.0 / (KPA_PER_N * GRIP_FORCE_N[grip])] for grip in GRIP_CLASSES], dtype=np.float32)
"""Share of the force limit per kPa by class, (3, 1)."""

PUBLIC = ('joint_target_error', 'joint_delta', 'last_action', 'gravity_palm', 'gravity_valid', 'grip_class')
TOUCH = ('tactile_tip_pressure', 'tactile_tip_rate', 'tactile_valid')


def inputs(touch: bool) -> tuple[str, ...]:
    """Observation terms that the policy reads, in the order of the graph inputs."""
    return PUBLIC + TOUCH if touch else PUBLIC


def start(touch: bool = True) -> NDArray[np.float64]:
    """First values, set by hand (training/ATTEMPTS.md), (size,); what weighs touch is 0 in the arm without it."""
    return np.array([p.start * (touch or not p.touch) for p in PARAMETERS])


def spread(touch: bool = True) -> NDArray[np.float64]:
    """Standard deviations of the first trials, (size,); 0 where the arm without touch stays."""
    return np.array([p.spread * (touch or not p.touch) for p in PARAMETERS])


class StructuredLayout:
    """Constant matrices of one hand.

    Attributes:
        inverse: (n_joints,) action per rad. own: (n_joints, n_fingers) mean over the flexion joints of each finger.
        back: (n_fingers, n_joints) from drives to flexion joints. side: (n_joints,) 1 where a joint does not flex.
        roles: {parameter: (n_joints,)} places of the weights; offsets: the same for constant offsets.
    """

    def __init__(self, model: HandModel) -> None:
        """Derive the matrices.

        Raises:
            ConfigError: the hand has no index, middle, ring and thumb in this order, with three flexion joints on the
                fingers, two on the thumb, and one tip cell each.
        """
        names = [f.name for f in model.fingers]
        flexing = [[j for j in map(model.joint_index, f.joints) if model.flexion[j]] for f in model.fingers]
        if names != ['index', 'middle', 'ring', 'thumb'] or [len(j) for j in flexing] != [3, 3, 3, 2] \
                or len(model.tip_taxels) != len(names):
            raise ConfigError(f'{model.name}: the structured policy needs index, middle, ring and thumb with 3, 3, 3 '
                              f'and 2 flexion joints and a tip cell each; found {names} with '
                              f'{[len(j) for j in flexing]} and {len(model.tip_taxels)} cells')
        n, k = len(model.joints), len(names)
        self.joints, self.fingers = n, k
        self.inverse = (1.0 / default_scale(model)).astype(np.float32)
        self.own, self.back = np.zeros((n, k), dtype=np.float32), np.zeros((k, n), dtype=np.float32)
        for f, joints in enumerate(flexing):
            self.own[joints, f], self.back[f, joints] = 1.0 / len(joints), 1.0
        self.side = np.asarray(~model.flexion, dtype=np.float32)

        def at(*joints: int) -> Array32:
            place = np.zeros(n, dtype=np.float32)
            place[list(joints)] = 1.0
            return place

        self.roles = {'proximal': at(*(j[0] for j in flexing[:3])), 'distal': at(*(j[2] for j in flexing[:3])),
                      'thumb_medial': at(flexing[3][0]), 'thumb_distal': at(flexing[3][1]),
                      'index': at(*flexing[0]), 'ring': at(*flexing[2])}
        aside = [[j for j in map(model.joint_index, f.joints) if not model.flexion[j]] for f in model.fingers]
        self.offsets = {'spread': at(*aside[0]) - at(*aside[2]), 'thumb_rotation': at(aside[3][0]),
                        'thumb_opposition': at(*aside[3][1:])}

    def weights(self, values: Mapping[str, Array32], fragile: bool = False) -> Array32:
        """Weight of the drive on each joint, (…, n_joints), from parameters (…, 1); for fragile objects or others."""
        total: Array32 = np.ones(1, dtype=np.float32)
        for name, place in self.roles.items():
            value = values[f'{name}_fragile' if fragile and name in BY_CLASS else name]
            total = total * (1.0 + (value - 1.0) * place)
        return total

    def offset(self, values: Mapping[str, Array32]) -> Array32:
        """Constant offset of each joint, (…, n_joints)."""
        return np.asarray(sum(values[name] * place for name, place in self.offsets.items()), dtype=np.float32)


def named(parameters: NDArray[np.floating]) -> dict[str, Array32]:
    """Parameters by name, (…, 1) each, float32.

    Raises:
        ConfigError: another number of parameters, or values that are not finite.
    """
    values = np.asarray(parameters, dtype=np.float32)
    if values.ndim not in (1, 2) or values.shape[-1] != len(NAMES) or not np.isfinite(values).all():
        raise ConfigError(f'the structured policy needs {len(NAMES)} finite parameters, got shape {values.shape}')
    return {name: values[..., k:k + 1] for k, name in enumerate(NAMES)}


def keep(values: Mapping[str, Array32]) -> Array32:
    """What a memory keeps per step, 0 … 0.99."""
    logit = np.clip(values['keep'].astype(np.float64), -30.0, 30.0)
    return np.asarray(KEEP_AT_MOST / (1.0 + np.exp(-logit)), dtype=np.float32)


class StructuredPolicy:
    """``act(observation) -> action`` with a memory per episode."""

    def __init__(self, model: HandModel, parameters: NDArray[np.floating]) -> None:
        """Set the numbers.

        Args:
            model: the hand.
            parameters: (size,), or one row per environment, (batch, size): a whole population acts in one call.
        """
        self.layout, self._values = StructuredLayout(model), named(parameters)
        values = self._values
        self._weights, self._offset, self._keep = self.layout.weights(values), self.layout.offset(values), keep(values)
        self._softer = self.layout.weights(values, fragile=True) - self._weights
        self._touch = any(np.any(values[p.name]) for p in PARAMETERS if p.touch)
        self._memory = np.zeros((0, MEMORIES, self.layout.fingers), dtype=np.float32)

    def reset(self, which: NDArray[np.bool_] | None = None) -> None:
        """Forget, in all environments or where ``which`` (batch,) is true."""
        if which is None:
            self._memory = self._memory[:0]
        elif len(self._memory):
            self._memory[which] = 0.0

    def act(self, observation: Mapping[str, Array32]) -> Array32:
        """Actions in (-1, 1), float32, (batch, n_joints). Call it once per control step."""
        v, layout = self._values, self.layout
        error = observation['joint_target_error'] * layout.inverse
        moved = observation['last_action'] - error
        load = np.asarray(error @ layout.own, dtype=np.float32)
        displaced = np.asarray(moved @ layout.own, dtype=np.float32)
        if len(self._memory) != len(error):
            self._memory = np.zeros((len(error), MEMORIES, layout.fingers), dtype=np.float32)
        slow, motion, event = self._memory[:, 0], self._memory[:, 1], self._memory[:, 2]
        fresh = displaced - slow
        motion = np.maximum(self._keep * motion, np.abs(fresh))
        feedback = (v['load'] * load + v['load_hand'] * mean(load) + v['closure'] * mean(displaced)
                    - v['pushed'] * fresh + v['motion'] * motion + v['motion_hand'] * mean(motion))
        relief = np.float32(0.0)
        if self._touch:
            pressure = observation['tactile_tip_pressure']
            known = observation['tactile_valid']
            squashed = known * (pressure / (pressure + np.float32(HALF_PRESSURE_KPA)))
            rate = np.abs(observation['tactile_tip_rate']) * np.float32(0.5)
            event = np.maximum(self._keep * event, known * rate)
            feedback = (feedback + v['pressure'] * squashed + v['pressure_hand'] * mean(squashed)
                        + v['event'] * event + v['event_hand'] * mean(event))
            share = known * pressure * (observation['grip_class'] @ PER_LIMIT)
            excess = np.clip(share - v['relief_from'], 0.0, np.float32(RELIEF_AT_MOST))
            relief = v['relief'] * excess + v['relief_hand'] * excess.max(axis=1, keepdims=True)
        self._memory = np.stack([slow + np.float32(SLOW) * fresh, motion, event], axis=1)
        grip = observation['grip_class']
        gravity = observation['gravity_palm'] * observation['gravity_valid'] * np.float32(1.0 / GRAVITY)
        fragile, normal, robust = grip[:, 0:1], grip[:, 1:2], grip[:, 2:3]
        drive = (v['squeeze_fragile'] * fragile + v['squeeze_normal'] * normal + v['squeeze_robust'] * robust
                 + v['gravity_x'] * gravity[:, 0:1] + v['gravity_y'] * gravity[:, 1:2]
                 + v['gravity_z'] * gravity[:, 2:3]
                 + feedback * (1.0 + (v['feedback_fragile'] - 1.0) * fragile) - relief)
        flexion = (1.0 - layout.side) * (v['stiffness'] * moved + v['damping'] * 10.0 * observation['joint_delta'])
        aside = layout.side * v['side_stiffness'] * moved
        driven = (drive @ layout.back) * (self._weights + fragile * self._softer)
        return np.asarray(np.tanh(driven + self._offset - flexion - aside), dtype=np.float32)


def mean(x: Array32) -> Array32:
    """Mean over fingers, (batch, 1)."""
    return np.asarray(x.mean(axis=1, keepdims=True))
