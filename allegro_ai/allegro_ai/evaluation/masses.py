"""How heavy the objects may be: the largest bound at which the oracle still succeeds in nine of ten episodes at L2.

Every episode gets an object of the design's whole range of masses; whatever bound is asked about, the objects below it
are then a fair draw of the set with that bound, so one run answers for all of them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from allegro_description.model import HandModel, load_hand
from allegro_description.simulation.episode import Episode
from allegro_description.simulation.object_sets import DESIGN_MASS_RANGE
from allegro_description.simulation.objects import object_rng

from allegro_ai.evaluation.intervals import wilson
from allegro_ai.evaluation.trials import Trial, trials_of
from allegro_ai.tasks.baselines import FORESIGHT
from allegro_ai.tasks.policies import make_policy
from allegro_ai.tasks.workers import Workers

LEVEL, ASKED = 'L2', 0.90
FIRST_SEED = 600_000_000        # of the training set; tuning and learners draw elsewhere
STREAM_MASS = 40                # seed stream of the masses that are tried
BOUNDS = (0.10, 0.12, 0.15, 0.18, 0.20, 0.25, 0.30, 0.35, 0.40)     # kg
CHUNK = 25


@dataclass(frozen=True, slots=True)
class Bound:
    """What a bound would give: kg, episodes below it, successes and held ones among them."""

    mass: float
    n: int
    success: int
    held: int

    @property
    def rate(self) -> float:
        """Share of successes."""
        return self.success / self.n if self.n else 0.0

    @property
    def ci95(self) -> tuple[float, float]:
        """Wilson interval of it."""
        return wilson(self.success, self.n)


def run_chunk(model: str, side: str, seeds: Sequence[int], object_set: str) -> list[Trial]:
    """Run the oracle on objects of the whole range of masses, in this process."""
    hand = load_hand(model, side)
    return trials_of(hand, [_episode(hand, seed, object_set) for seed in seeds], make_policy(hand, FORESIGHT))


def _episode(hand: HandModel, seed: int, object_set: str) -> Episode:
    obj = Episode(hand, seed, LEVEL, object_set).obj
    mass = float(np.exp(object_rng(seed, object_set, STREAM_MASS).uniform(*np.log(DESIGN_MASS_RANGE))))
    return Episode(hand, seed, LEVEL, object_set, obj=replace(obj, mass=mass))


def bounds(
    hand: HandModel, n: int, workers: Workers, *, object_set: str = 'train',
    progress: Callable[[int, int, str], None] = lambda done, total, text: None,
) -> list[Bound]:
    """Run ``n`` episodes and say what each of :data:`BOUNDS` would give."""
    seeds = range(FIRST_SEED, FIRST_SEED + n)
    futures = [workers.submit(run_chunk, hand.model, hand.side, tuple(seeds[k:k + CHUNK]), object_set)
               for k in range(0, n, CHUNK)]
    trials: list[Trial] = []
    for future in futures:
        trials += future.result()
        progress(len(trials), n, '')
    found = []
    for bound in BOUNDS:
        light = [t for t in trials if t.mass <= bound]
        found.append(Bound(bound, len(light), sum(t.success for t in light), sum(t.held for t in light)))
    return found


def largest(found: Sequence[Bound]) -> Bound | None:
    """The largest bound whose rate of success reaches what is asked; None if there is none."""
    good = [b for b in found if b.n and b.rate >= ASKED]
    return max(good, key=lambda b: b.mass, default=None)
