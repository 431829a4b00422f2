"""What goes into one tick of a running policy, and what it decided."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from allegro_ai.grasp import Phase

Float = NDArray[np.float64]


class JointSample(NamedTuple):
    """Newest joint state: stamp (ns) and position (rad, (n_joints,))."""

    stamp_ns: int
    position: Float


class TouchSample(NamedTuple):
    """Newest touch: stamp (ns), pressure (Pa, (n_taxels,)) and which of it can be trusted."""

    stamp_ns: int
    pressure: Float
    valid: NDArray[np.bool_]


@dataclass(slots=True)
class Tick:
    """What one tick decided.

    Attributes:
        phase: phase during this tick.
        stamp_ns: stamp of the joint state it is based on.
        target: target to command, rad, (n_joints,), or None: command nothing.
        observation: what the policy saw, or None when there was no inference.
        action: what it answered, (n_joints,).
        started_ns, finished_ns: when the inference began and ended, the loop's clock.
        number: how many inferences the policy has made since RUN began; 0: its history and state were empty before.
        score: how far the observation is from the training data.
        extra: further outputs of the policy within their bounds, by name, each (elements,).
        events: sentences about what has changed, for the log.
    """

    phase: Phase
    stamp_ns: int = 0
    target: Float | None = None
    observation: Mapping[str, NDArray[np.float32]] | None = None
    action: Float | None = None
    started_ns: int = 0
    finished_ns: int = 0
    number: int = 0
    score: float = 0.0
    extra: dict[str, NDArray[np.float32]] = field(default_factory=dict)
    events: list[str] = field(default_factory=list)
