"""What happened in an episode, step by step, and the moments worth a picture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from allegro_description.model import HandModel
from allegro_description.simulation.episode import DISTURB_S, Episode
from allegro_description.state import Array
from numpy.typing import NDArray

from allegro_ai.evaluation.trials import Trial, trial_of
from allegro_ai.tasks.lanes import CONTROL_S, STEPS, Lanes
from allegro_ai.tasks.policies import Acting
from allegro_ai.tasks.tactile_hold import TactileHold

BEFORE_S, AFTER_S = 0.20, 0.30
FIRST = round(DISTURB_S / CONTROL_S)    # step from which tip forces and motion are judged
COLUMNS = {'xyz': 3, 'quat': 4, 'gravity': 3, 'force': 3, 'tips': 1, 'slip': 1, 'turn': 1}


@dataclass(frozen=True, slots=True, eq=False)
class Footage:
    """One episode; the first dimension of every array is the control step.

    Attributes:
        episode, trial: what it was and how it went.
        position: joint angles, rad. xyz, quat: the object's pose in the palm frame. gravity: there, m/s².
        force: push, N. tips: largest tip force, N. slip: m since 1.6 s, 0 before. turn: rad, likewise.
    """

    episode: Episode
    trial: Trial
    position: Array
    xyz: Array
    quat: Array
    gravity: Array
    force: Array
    tips: Array
    slip: Array
    turn: Array

    def moments(self, count: int) -> list[int]:
        """Steps for ``count`` pictures: the start of the disturbances, around what decided, and the end."""
        last, decided = len(self.xyz) - 1, self._decided()
        begin = min(FIRST, decided)
        around = (decided, last, begin, decided - round(BEFORE_S / CONTROL_S), decided + round(AFTER_S / CONTROL_S))
        chosen = list(dict.fromkeys(min(max(k, 0), last) for k in around))[:count]
        while len(chosen) < min(count, last + 1):
            # what is farthest from any picture so far
            chosen.append(max(range(last + 1), key=lambda k: min(abs(k - c) for c in chosen)))
        return sorted(chosen)

    def _decided(self) -> int:
        kind, last = self.trial.kind, len(self.xyz) - 1
        if kind == 'crushed':
            return FIRST + int(np.argmax(self.tips[FIRST:]))
        measure = {'slipped': self.slip, 'turned': self.turn}.get(kind, self.slip)
        if not measure.any():
            return max(last - round(AFTER_S / CONTROL_S), 0)
        return int(np.argmax(measure > 0.5 * measure.max()))


class Camera:
    """Films every lane; give it to ``TactileHold.run`` as ``watch``."""

    def __init__(self, hand: HandModel, count: int) -> None:
        """Load film for ``count`` episodes."""
        self.position = np.zeros((count, STEPS + 1, len(hand.joints)))
        self.film = {name: np.zeros((count, STEPS + 1, width)) for name, width in COLUMNS.items()}
        self.length = np.zeros(count, dtype=np.intp)

    def __call__(self, lanes: Lanes, which: NDArray[np.intp]) -> None:
        """Take the step that was just done."""
        k = self.length[which]
        state, now = lanes.state, np.minimum(lanes.clock[which], STEPS) - 1
        self.position[which, k] = state.position[which]
        values = {
            'xyz': state.xyz[which], 'quat': state.quat[which], 'gravity': lanes.world['gravity'][which, now],
            'force': lanes.world['force'][which, now], 'tips': state.tips[which].max(axis=1, keepdims=True),
            'slip': np.nan_to_num(lanes.judge.slip_m[which])[:, None],
            'turn': np.nan_to_num(lanes.judge.turn_rad[which])[:, None],
        }
        for name, value in values.items():
            self.film[name][which, k] = value
        self.length[which] += 1


def filmed(hand: HandModel, todo: Sequence[Episode], policy: Acting, randomise: bool = True) -> list[Footage]:
    """Run episodes and film them all."""
    camera = Camera(hand, len(todo))
    outcomes = TactileHold(hand, todo, randomise=randomise).run(policy, watch=camera)
    result = []
    for k, (episode, outcome) in enumerate(zip(todo, outcomes, strict=True)):
        n = int(camera.length[k])
        film = {name: values[k, :n] for name, values in camera.film.items()}
        film = {name: v[:, 0] if COLUMNS[name] == 1 else v for name, v in film.items()}
        result.append(Footage(episode, trial_of(episode, outcome), camera.position[k, :n], **film))
    return result
