"""Numbers of a training run of SlipArrest's student."""

from __future__ import annotations

from dataclasses import dataclass

from allegro_description.config import parameter


@dataclass(frozen=True, slots=True)
class SlipSettings:
    """Numbers of one run."""

    seed: int = parameter(0, 'of weights, order and episodes', low=0, high=999)
    touch: bool = parameter(True, 'whether the student may feel')
    episodes: int = parameter(
        384, 'seeds drawn for training; those that ask nothing of a grip drop out', low=32, high=9999)
    drawn_from: int = parameter(
        -1, 'seed that draws the training episodes, so that runs can share the search for their least grips; -1: seed',
        low=-1, high=999)
    rounds: int = parameter(5, 'rounds of DAgger', low=1, high=50)
    epochs: int = parameter(12, 'passes over all episodes in each round', low=1, high=200)
    learning_rate: float = parameter(1e-3, 'of Adam', low=1e-6, high=0.1)
