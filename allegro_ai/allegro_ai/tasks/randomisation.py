"""What differs from hand to hand and from day to day, drawn once per episode.

Ranges follow the usual practice for tactile hands; none was measured on a V5 Sense (ASSUMED). The tactile cells draw
their own differences, delay included (``allegro_description.simulation.tactile``), objects theirs.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from allegro_description.model import HandModel
from allegro_description.simulation.episode import Episode
from allegro_description.simulation.objects import object_rng
from allegro_description.simulation.plant import Plant
from allegro_description.state import Array
from numpy.typing import NDArray

GAIN_SPREAD = 0.25          # kp and kd of every joint, relative
DYNAMICS_SPREAD = 0.5       # armature and dry friction of every joint, relative
TORQUE_SPREAD = 0.1         # the clamp is a current: what torque it gives differs from motor to motor, relative
POSITION_BIAS_RAD = 0.02    # constant within the episode
POSITION_NOISE_RAD = 0.01   # anew at each control step
MAX_ACTION_DELAY = 2        # control steps between a target and its effect
MAX_SENSE_DELAY = 2         # control steps between a joint angle and its observation
CONTACT_TIME_S = (0.005, 0.020)     # contact stiffness as a time constant; MuJoCo takes at least two physics steps
FROZEN_CHANCE, FROZEN_NM = 0.02, 3.0    # one joint is stuck: dry friction that no motor overcomes
LINK_MASK_CHANCE = 0.5      # a hand with cells at the tips only
GRAVITY_MASK_CHANCE = 0.5   # nobody tells the policy how the palm is turned
STREAM_DYNAMICS, STREAM_NOISE, STREAM_TOUCH = 10, 11, 12   # seed streams of one episode


@dataclass(frozen=True, slots=True, eq=False)
class Randomisation:
    """The draw of one episode.

    Attributes:
        kp, kd, armature, friction, torque: factors, (n_joints,).
        bias: added to measured joint angles, rad, (n_joints,).
        delay: control steps between a target and its effect.
        sense_delay: control steps between a joint angle and its observation.
        contact_time: time constant of contacts, s; None: the plant's own.
        frozen: index of a joint that is stuck, or None.
        valid: cells whose readings reach the policy, (n_taxels,) bool.
        gravity_known: whether the policy is told the direction of gravity.
    """

    kp: Array
    kd: Array
    armature: Array
    friction: Array
    torque: Array
    bias: Array
    delay: int
    sense_delay: int
    contact_time: float | None
    frozen: int | None
    valid: NDArray[np.bool_]
    gravity_known: bool

    @classmethod
    def draw(cls, hand: HandModel, episode: Episode) -> Randomisation:
        """Draw for an episode; the same for the same seed and object set, whatever the level."""
        rng = object_rng(episode.seed, episode.object_set, STREAM_DYNAMICS)
        n = len(hand.joints)

        def around(spread: float) -> Array:
            return np.asarray(rng.uniform(1.0 - spread, 1.0 + spread, n))

        kp, kd, armature, friction = (
            around(s) for s in (GAIN_SPREAD, GAIN_SPREAD, DYNAMICS_SPREAD, DYNAMICS_SPREAD))
        bias = np.asarray(rng.uniform(-POSITION_BIAS_RAD, POSITION_BIAS_RAD, n))
        delay, sense_delay = int(rng.integers(MAX_ACTION_DELAY + 1)), int(rng.integers(MAX_SENSE_DELAY + 1))
        torque, contact_time = around(TORQUE_SPREAD), float(rng.uniform(*CONTACT_TIME_S))
        stuck, joint = rng.uniform() < FROZEN_CHANCE, int(rng.integers(n))
        valid = np.ones(len(hand.taxels), dtype=bool)
        if rng.uniform() < LINK_MASK_CHANCE:
            valid &= np.isin(np.arange(valid.size), hand.tip_taxels)
        return cls(
            kp=kp, kd=kd, armature=armature, friction=friction, torque=torque, bias=bias, delay=delay,
            sense_delay=sense_delay, contact_time=contact_time, frozen=joint if stuck else None, valid=valid,
            gravity_known=bool(rng.uniform() >= GRAVITY_MASK_CHANCE))

    @classmethod
    def nominal(cls, hand: HandModel) -> Randomisation:
        """The hand of the description: nothing differs, nothing is late, everything is known."""
        ones = np.ones(len(hand.joints))
        return cls(
            kp=ones, kd=ones, armature=ones, friction=ones, torque=ones, bias=np.zeros(ones.size), delay=0,
            sense_delay=0, contact_time=None, frozen=None, valid=np.ones(len(hand.taxels), dtype=bool),
            gravity_known=True)

    def apply(self, plant: Plant) -> None:
        """Change the plant's gains, joints and contacts. Call it once, on a fresh plant with position input."""
        model, at = plant.model, plant.addresses
        model.actuator_gainprm[at.actuator, 0] *= self.kp
        model.actuator_biasprm[at.actuator, 1] *= self.kp
        model.actuator_biasprm[at.actuator, 2] *= self.kd
        model.actuator_forcerange[at.actuator] *= self.torque[:, None]
        model.dof_armature[at.velocity] *= self.armature
        model.dof_frictionloss[at.velocity] *= self.friction
        if self.frozen is not None:
            model.dof_frictionloss[at.velocity[self.frozen]] = FROZEN_NM
        if self.contact_time is not None:
            model.geom_solref[:, 0] = self.contact_time
        plant.settle_constants()
