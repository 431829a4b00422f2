"""What differs from hand to hand and from day to day, drawn once per episode.

Ranges follow the usual practice for tactile hands; none was measured on a V5 Sense (ASSUMED). The tactile cells draw
their own differences (``allegro_description.simulation.tactile``), objects theirs.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from allegro_description.model import HandModel
from allegro_description.simulation.episode import Episode
from allegro_description.simulation.objects import object_rng
from allegro_description.simulation.plant import Plant
from allegro_description.state import Array

GAIN_SPREAD = 0.25          # kp and kd of every joint, relative
DYNAMICS_SPREAD = 0.5       # armature and dry friction of every joint, relative
POSITION_BIAS_RAD = 0.02    # constant within the episode
POSITION_NOISE_RAD = 0.01   # anew at each control step
MAX_ACTION_DELAY = 2        # control steps
STREAM_DYNAMICS, STREAM_NOISE, STREAM_TOUCH = 10, 11, 12   # seed streams of one episode


@dataclass(frozen=True, slots=True, eq=False)
class Randomisation:
    """The draw of one episode.

    Attributes:
        kp, kd, armature, friction: factors, (n_joints,).
        bias: added to measured joint angles, rad, (n_joints,).
        delay: control steps between a target and its effect.
    """

    kp: Array
    kd: Array
    armature: Array
    friction: Array
    bias: Array
    delay: int

    @classmethod
    def draw(cls, hand: HandModel, episode: Episode) -> Randomisation:
        """Draw for an episode; the same for the same seed and object set, whatever the level."""
        rng = object_rng(episode.seed, episode.object_set, STREAM_DYNAMICS)
        n = len(hand.joints)

        def around(spread: float) -> Array:
            return np.asarray(rng.uniform(1.0 - spread, 1.0 + spread, n))

        return cls(
            kp=around(GAIN_SPREAD), kd=around(GAIN_SPREAD), armature=around(DYNAMICS_SPREAD),
            friction=around(DYNAMICS_SPREAD),
            bias=np.asarray(rng.uniform(-POSITION_BIAS_RAD, POSITION_BIAS_RAD, n)),
            delay=int(rng.integers(MAX_ACTION_DELAY + 1)),
        )

    def apply(self, plant: Plant) -> None:
        """Change the plant's gains and joint dynamics. Call it once, on a fresh plant with position input."""
        model = plant.model
        for k, name in enumerate(plant.hand.joint_names):
            actuator = model.actuator(name).id
            model.actuator_gainprm[actuator, 0] *= self.kp[k]
            model.actuator_biasprm[actuator, 1] *= self.kp[k]
            model.actuator_biasprm[actuator, 2] *= self.kd[k]
            dof = int(model.joint(name).dofadr[0])
            model.dof_armature[dof] *= self.armature[k]
            model.dof_frictionloss[dof] *= self.friction[k]
