"""What a learned policy has to beat, and the ceiling it is measured against. Nothing here was learnt by gradients.

=== ================= ==================================================================================
B0  freeze            close, then leave every target where the object stopped the fingers
B1  open_loop         the best constant share of the torque limit
B1g open_loop_by_grip the same with one share per grip class, so that listening to that command is no merit
B2  max_squeeze       all the torque that the clamp allows
B3  tactile_reflex    one squeeze for all fingers: up at pressure jumps and lost contacts, else back down
B4  finger_reflex     the same finger by finger
B5  tracking_reflex   no touch: up when joints are moved by what they hold, and when they give way
B7  foresight         an oracle: knows object, forces and what pushes, plans and regulates the force of each fingertip,
                      and rehearses each episode with a few sets of numbers to keep the best (:mod:`.foresight`)
=== ================= ==================================================================================

B6, a policy retrained without touch, is a training result and not a program. All of them squeeze along the flexion
joints; what each keeps in mind is the last action, so a restart or a lost step is harmless. Their numbers are chosen by
``allegro-ai tune-baseline`` on training objects and lie, with how they were found, in ``policies/baselines.json``.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from allegro_description.errors import ConfigError
from allegro_description.model import HandModel
from allegro_description.share import share_dir
from numpy.typing import NDArray

from allegro_ai.tasks.policies import Squeeze

Observation = Mapping[str, NDArray[np.float32]]
Actions = NDArray[Any]

Ranges = Mapping[str, tuple[float, float, float]]
"""Lowest value, value before any search and highest value of each number that the search may choose."""

FORESIGHT = 'foresight'        # the policy that chooses among oracles
GRIPS = ('fragile', 'normal', 'robust')
SHARES: Ranges = {'share_fragile': (0.0, 0.4, 1.0), 'share_normal': (0.0, 0.8, 1.0), 'share_robust': (0.0, 0.95, 1.0)}
REFLEX: Ranges = {
    **SHARES, 'threshold': (0.05, 0.4, 1.2), 'gain': (0.0, 0.2, 0.6), 'loss': (0.0, 0.2, 0.5),
    'decay': (0.0, 0.08, 0.2), 'kpa_per_n': (3.0, 10.0, 30.0), 'relief': (0.0, 0.1, 0.3),
}
SPACES: Mapping[str, Ranges] = {
    'open_loop': {'share': (0.0, 0.5, 1.0)},
    'open_loop_by_grip': SHARES,
    'tactile_reflex': REFLEX,
    'finger_reflex': REFLEX,
    'tracking_reflex': {**SHARES, 'threshold': (0.005, 0.03, 0.08), 'gain': (0.0, 5.0, 20.0), 'decay': (0.0, 0.1, 0.2),
                        'yielding': (0.0, 0.3, 1.0)},
    'oracle': {**SHARES, 'cap': (0.4, 0.7, 1.0), 'margin': (0.3, 6.0, 12.0), 'feedback': (0.02, 0.1, 0.6),
               'alarm': (0.0, 10.0, 20.0), 'coupling': (0.0, 0.5, 1.0), 'splay': (-1.0, 0.0, 1.0),
               'opposition': (-1.0, 0.0, 1.0), 'twist': (-1.0, 0.2, 1.0), 'thumb': (0.6, 1.0, 1.4),
               'proximal': (-1.0, -0.5, 1.0), 'distal': (0.5, 1.0, 1.5)},
}
"""What ``allegro-ai tune-baseline`` searches, by policy."""


@lru_cache(maxsize=1)
def tuned() -> Mapping[str, Mapping[str, Any]]:
    """Results of the searches, by policy: ``arguments`` and how they were found; empty before the first search."""
    path = share_dir('allegro_ai') / 'policies' / 'baselines.json'
    if not path.is_file():
        return {}
    found: Mapping[str, Mapping[str, Any]] = json.loads(path.read_text(encoding='utf-8'))
    return found


def arguments_of(name: str, given: Mapping[str, float]) -> dict[str, float]:
    """Arguments of a baseline: those given, else those found by the search, else those of before.

    Raises:
        ConfigError: an argument that it does not have, or a value outside its range.
    """
    space = SPACES[name]
    unknown = sorted(set(given) - set(space))
    if unknown:
        raise ConfigError(f'policy {name!r} has no argument {unknown[0]!r}; it has {", ".join(space)}')
    best = tuned().get(name, {}).get('arguments', {})
    result = {}
    for key, (low, start, high) in space.items():
        value = float(given.get(key, best.get(key, start)))
        if not low <= value <= high:
            raise ConfigError(f'argument {key!r} of policy {name!r} is {value:g}; allowed: {low:g} … {high:g}')
        result[key] = value
    return result


def oracle_plans() -> list[dict[str, float]]:
    """Sets of numbers of the oracle that the search found worth rehearsing, best first; else the oracle's own."""
    found = tuned().get(FORESIGHT, {}).get('plans') or [{}]
    return [arguments_of('oracle', plan) for plan in found]


def freeze(hand: HandModel) -> Squeeze:
    """B0: no squeeze after the close."""
    return Squeeze(hand, 0.0)


def open_loop(hand: HandModel, **arguments: float) -> Squeeze:
    """B1: one constant share of the torque limit."""
    return Squeeze(hand, arguments_of('open_loop', arguments)['share'])


def max_squeeze(hand: HandModel) -> Squeeze:
    """B2: all that the clamp allows."""
    return Squeeze(hand, 1.0)


class ByGrip:
    """B1g: a constant share by grip class."""

    name = 'open_loop_by_grip'

    def __init__(self, hand: HandModel, **arguments: float) -> None:
        """Set the shares, see :data:`SPACES`; those not given are what the search found."""
        self._number = arguments_of(self.name, arguments)
        self._flexion = hand.flexion
        self._shares = np.array([self._number[f'share_{grip}'] for grip in GRIPS])
        # (n_joints, n_fingers): which finger a joint is part of
        self._member = np.array([[joint in f.joints for f in hand.fingers] for joint in hand.joint_names], dtype=float)
        self._count = np.maximum(self._member.T @ hand.flexion, 1.0)

    def act(self, observation: Observation, /) -> Actions:
        """The share of the class on every flexion joint."""
        return self._spread(np.repeat(self._base(observation), self._member.shape[1], axis=1))

    def _base(self, observation: Observation) -> Actions:
        return np.asarray((observation['grip_class'] @ self._shares)[:, None])

    def _last(self, observation: Observation) -> Actions:
        """Share of each finger in the last action, (batch, n_fingers)."""
        return np.asarray((observation['last_action'] * self._flexion) @ self._member / self._count)

    def _first(self, last: Actions) -> Actions:
        """Where no finger squeezes yet: the policy was just given the hand, (batch, 1)."""
        return np.asarray((last == 0.0).all(axis=1, keepdims=True))

    def _spread(self, shares: Actions) -> Actions:
        """From a share per finger (batch, n_fingers) to an action."""
        return np.asarray(np.clip(shares, 0.0, 1.0) @ self._member.T * self._flexion)


class FingerReflex(ByGrip):
    """B4: each finger squeezes harder while its tip reports a jump or has just lost contact, else relaxes to a base.

    Pressure above what the class allows, at a guessed kPa per newton, loosens the finger.
    """

    name = 'finger_reflex'

    def act(self, observation: Observation, /) -> Actions:
        """Last action, plus reflex, minus decay and relief."""
        number, last, base = self._number, self._last(observation), self._base(observation)
        up, down = self._reflex(observation)
        shares = np.where(self._first(last), base, last + number['decay'] * (base - last))
        return self._spread(np.maximum(shares + self._pooled(up) - self._pooled(down), 0.0))

    def _reflex(self, observation: Observation) -> tuple[Actions, Actions]:
        number = self._number
        rate, contact = observation['tactile_tip_rate'], observation['tactile_tip_contact']
        known = observation['tactile_valid']
        jump = np.maximum(np.abs(rate) - number['threshold'], 0.0) * contact
        lost = (rate < -number['threshold']) * (1.0 - contact)
        allowed = number['kpa_per_n'] * (observation['grip_class'] @ np.array([4.0, 10.0, 20.0]))[:, None]
        excess = np.maximum(observation['tactile_tip_pressure'] / allowed - 1.0, 0.0)
        up = known * (number['gain'] * jump + number['loss'] * lost)
        return up, np.asarray(number['relief'] * np.minimum(excess, 1.0))

    def _pooled(self, per_tip: Actions) -> Actions:
        return per_tip


class TactileReflex(FingerReflex):
    """B3: as B4, but the strongest report of any tip moves all fingers alike."""

    name = 'tactile_reflex'

    def _pooled(self, per_tip: Actions) -> Actions:
        return np.repeat(per_tip.max(axis=1, keepdims=True), per_tip.shape[1], axis=1)


class TrackingReflex(ByGrip):
    """B5: feels through the position loop only. Joints that are moved make their finger squeeze harder.

    A finger that follows its target carries less than was asked for, so it is asked for more (``yielding``).
    """

    name = 'tracking_reflex'

    def __init__(self, hand: HandModel, **arguments: float) -> None:
        """See :data:`SPACES`."""
        super().__init__(hand, **arguments)
        self._unit = np.where(hand.flexion, hand.kp / hand.torque_limit, 0.0)

    def act(self, observation: Observation, /) -> Actions:
        """Last action, plus reflex, minus decay."""
        number, last, base = self._number, self._last(observation), self._base(observation)
        moved = np.abs(observation['joint_delta']) * self._flexion @ self._member / self._count
        load = np.clip(observation['joint_target_error'] * self._unit, -1.0, 1.0) @ self._member / self._count
        up = number['gain'] * np.maximum(moved - number['threshold'], 0.0)
        wanted = base + number['yielding'] * np.maximum(base - load, 0.0)
        shares = np.where(self._first(last), base, last + number['decay'] * (wanted - last))
        return self._spread(shares + up)


class Oracle(ByGrip):
    """B7: sees everything. The force each tip needs is planned from weight, payload, push and friction.

    Each finger is regulated to that force by the true tip forces, below the limit of the class; an object that moves
    raises it. Posture offsets (splay, opposition) are part of what the search chooses.
    """

    name = 'oracle'
    privileged = True

    def __init__(self, hand: HandModel, **arguments: float) -> None:
        """See :data:`SPACES`."""
        super().__init__(hand, **arguments)
        from allegro_ai.tasks.privileged import privileged_names

        self._where: dict[str, list[int]] = {}
        for k, name in enumerate(privileged_names(hand)):
            self._where.setdefault(name.partition('/')[0], []).append(k)
        self._posture = np.zeros(len(hand.joints))
        thumb = len(hand.fingers) - 1
        for f, finger in enumerate(hand.fingers):
            free = [hand.joint_names.index(j) for j in finger.joints if not hand.flexion[hand.joint_names.index(j)]]
            if f == thumb:
                for joint, what in zip(free, ('opposition', 'twist'), strict=False):
                    self._posture[joint] = self._number[what]
            else:
                for joint in free:      # the outer fingers turn towards or away from the middle one
                    self._posture[joint] = self._number['splay'] * (1 - f)
        self._weight = np.ones(len(hand.fingers))
        self._weight[thumb] = self._number['thumb']
        # Of each finger's flexion joints: the first and the last by a weight, one between them as it is.
        flexing = [[k for k in map(hand.joint_index, f.joints) if hand.flexion[k]] for f in hand.fingers]
        self._whole = [joints[-2] for joints in flexing]
        self._share = self._member * np.asarray(hand.flexion)[:, None]
        for f, joints in enumerate(flexing):
            self._share[joints[:-2], f] = self._number['proximal']
            self._share[joints[-1], f] = self._number['distal']

    def act(self, observation: Observation, /) -> Actions:
        """Regulate every fingertip to its planned force."""
        number, seen = self._number, observation['privileged']
        mass, payload = self._take(seen, 'object_mass'), self._take(seen, 'payload')
        pull = self._take(seen, 'gravity') * (mass + payload) + self._take(seen, 'push')
        needed = np.linalg.norm(pull, axis=1, keepdims=True) / (2.0 * self._take(seen, 'friction'))
        speed = np.linalg.norm(self._take(seen, 'object_velocity'), axis=1, keepdims=True)
        cap = number['cap'] * self._take(seen, 'force_limit')
        wanted = np.minimum(number['margin'] * needed * (1.0 + number['alarm'] * speed), cap)
        tips, last, base = self._take(seen, 'tip_force'), self._last(observation), self._base(observation)
        # The thumb carries what all fingers press together: part of the error is that of the hardest tip.
        alone, hardest = wanted * self._weight - tips, wanted - tips.max(axis=1, keepdims=True)
        error = ((1.0 - number['coupling']) * alone + number['coupling'] * hardest) / cap
        shares = np.where(self._first(last), base, last + number['feedback'] * np.clip(error, -1.0, 1.0))
        # Never looser than the base, unless a tip presses more than it may.
        crushing = np.where(number['coupling'] > 0.0, tips.max(axis=1, keepdims=True), tips) > cap
        shares = np.maximum(shares, np.where(crushing, 0.0, base))
        return self._spread(shares * np.ones_like(tips)) + self._posture

    def _last(self, observation: Observation) -> Actions:
        return np.asarray(observation['last_action'][:, self._whole], dtype=np.float64)

    def _spread(self, shares: Actions) -> Actions:
        return np.asarray(np.clip(np.clip(shares, 0.0, 1.0) @ self._share.T, -1.0, 1.0))

    def _take(self, seen: Actions, term: str) -> Actions:
        return np.asarray(seen[:, self._where[term]], dtype=np.float64)


BASELINES: Mapping[str, str] = {
    'B0': 'freeze', 'B1': 'open_loop', 'B1g': 'open_loop_by_grip', 'B2': 'max_squeeze', 'B3': 'tactile_reflex',
    'B4': 'finger_reflex', 'B5': 'tracking_reflex', 'B7': FORESIGHT,
}
"""Short names of tables, and the policies of :data:`~allegro_ai.tasks.policies.POLICIES` that they stand for."""

REFERENCE_LABELS: Sequence[str] = ('B0', 'B1', 'B2', 'B3', 'B4', 'B5')
"""Baselines that the release bar compares with; B1g is ours, and compared besides."""
