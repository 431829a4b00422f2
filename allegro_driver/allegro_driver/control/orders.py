"""What a hand can be told to do, and what it is sent in answer to a sample."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from allegro_description.state import Array, JointCommand

from allegro_driver.control.trajectory import Trajectory


@dataclass(frozen=True, slots=True)
class FreeMotion:
    """Carry the fingers against gravity and let people move them, until something else is commanded."""


@dataclass(frozen=True, slots=True, eq=False)
class Motion:
    """A named motion, planned from where the hand is.

    Attributes:
        word: its name.
        trajectory: the way; its end is held until something else is commanded.
        grip: share of the torque limit in use from ``grip_from_s`` on, 0 … 1.
        grip_from_s: when the fingers begin to squeeze, s from the start.
    """

    word: str
    trajectory: Trajectory
    grip: float = 1.0
    grip_from_s: float = float('inf')


Order = JointCommand | Trajectory | Motion | FreeMotion


class Decision(NamedTuple):  # made for every sample; a frozen dataclass takes three times as long
    """What may leave for the hand.

    Attributes:
        effort: joint torques, N·m, (n_joints,), finite and within the limit; zero unless torque mode drives the hand.
        onboard: the hand's own position loop has to be on; otherwise it has to be off before ``effort`` is sent.
        target: targets of that loop, rad, (n_joints,); None while there is nothing to tell it.
    """

    effort: Array
    onboard: bool = False
    target: Array | None = None
