"""Pre-gate: how far a candidate's actions are from the reference's on the same observations, nothing executed.

It catches a broken export within seconds. It is no verdict: a large difference may be harmless and a small one, fed
back, may not be.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from allegro_ai.bundle import Bundle
from allegro_description.errors import ConfigError
from allegro_description.simulation.rig import Places
from numpy.typing import NDArray

from allegro_bench.quality.candidates import Candidate
from allegro_bench.quality.closed_loop import Observation, Scene, acted, play
from allegro_bench.quality.late_lanes import LateLanes
from allegro_bench.statistics import nearest_rank

EPISODES = 12
"""Episodes of the reference whose observations are taken."""

Sequences = list[list[Observation]]
"""Observations one by one, each term (1, elements), episode by episode."""


@dataclass(frozen=True, eq=False)
class Deviation:
    """Difference of joint targets asked for, before the rate limit, over all observations.

    Attributes:
        n: observations.
        joints: names.
        max_rad, p99_rad: of each joint, rad, (n_joints,); NaN where an answer was no number.
        share: largest difference of each joint over its range, (n_joints,).
        p99_all: 99th percentile over joints and observations together, rad.
    """

    n: int
    joints: tuple[str, ...]
    max_rad: NDArray[np.float64]
    p99_rad: NDArray[np.float64]
    share: NDArray[np.float64]
    p99_all: float

    @property
    def worst(self) -> str:
        """The joint whose difference is the largest share of its range; '' where an answer was no number."""
        return self.joints[int(self.share.argmax())] if np.isfinite(self.share).all() else ''

    def section(self) -> dict[str, float | None]:
        """As in ``quality[].deviation``; null where an answer was no number."""
        values = {'max_rad': self.max_rad.max(), 'p99_rad': self.p99_all, 'max_share_of_range': self.share.max()}
        return {name: float(v) if np.isfinite(v) else None for name, v in values.items()}


def observed(scene: Scene, who: Candidate, seeds: Sequence[int]) -> Sequences:
    """What the reference sees under its own control in episodes of these seeds."""
    found: Sequences = [[] for _ in seeds]

    def watch(lanes: LateLanes, deciding: Places, seen: Observation) -> None:
        for k in deciding.tolist():
            found[k].append({name: value[k:k + 1].copy() for name, value in seen.items()})

    play(scene, who, seeds, watch)
    return [one for one in found if one]


def recorded(path: Path, bundle: Bundle) -> Sequences:
    """Observations of a file: ``input/<term>`` (episodes, steps, elements), as in ``golden.npz``.

    Raises:
        ConfigError: it cannot be read, or lacks a term that the policy reads.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays: Mapping[str, NDArray[Any]] = {n: file[f'input/{n}'] for n in bundle.inputs}
    except (OSError, ValueError, KeyError) as error:
        raise ConfigError(f'{path} cannot be read as observations: {error}; it has to be an .npz with input/<term> '
                          f'(episodes, steps, elements) for {", ".join(bundle.inputs)}') from error
    shapes = {a.shape[:2] for a in arrays.values()}
    if len(shapes) != 1 or min(next(iter(shapes))) < 1 or any(a.ndim != 3 for a in arrays.values()):
        raise ConfigError(f'{path}: terms have the shapes {sorted(a.shape for a in arrays.values())}; needed is '
                          '(episodes, steps, elements), the first two alike')
    episodes, steps = shapes.pop()
    return [[{n: np.asarray(a[e:e + 1, s], dtype=np.float32) for n, a in arrays.items()} for s in range(steps)]
            for e in range(episodes)]


def deviation(bundle: Bundle, first: Candidate, second: Candidate, sequences: Sequences) -> Deviation:
    """Actions of two candidates on the same observations.

    Args:
        bundle: the policy.
        first: the reference.
        second: what is compared with it.
        sequences: observations; memories of the policies begin anew with each.

    Raises:
        ConfigError: no observations.
        AllegroError: an engine cannot load its graph.
    """
    if not sequences:
        raise ConfigError('there are no observations to compare actions on')
    answers = [_actions(bundle, who, sequences) for who in (first, second)]
    scale = np.array(bundle.contract['action']['scale_rad'], dtype=np.float64)
    apart = np.abs(np.clip(answers[1], -1.0, 1.0) - np.clip(answers[0], -1.0, 1.0)) * scale
    apart[~np.isfinite(apart)] = np.nan
    model, n = bundle.model, len(apart)
    most = apart.max(axis=0)
    rank = nearest_rank(n, 0.99) - 1
    p99 = np.sort(apart, axis=0)[rank]      # what is no number is sorted to the end, as the worst
    every = np.sort(apart, axis=None)[nearest_rank(apart.size, 0.99) - 1]
    return Deviation(n, tuple(model.joint_names), most, p99, most / (model.upper - model.lower), float(every))


def _actions(bundle: Bundle, who: Candidate, sequences: Sequences) -> NDArray[np.float64]:
    policy = who.policies(bundle, 1)[0]
    try:
        rows = []
        for sequence in sequences:
            policy.reset()
            rows += [acted(who.name, policy, seen) for seen in sequence]
        return np.array(rows)
    finally:
        policy.backend.close()
