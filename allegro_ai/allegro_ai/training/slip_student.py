"""Teacher and student of SlipArrest: DAgger on whole episodes.

The teacher is the privileged oracle of the task, not a network: the least grip of every episode is known by search, so
reinforcement learning would only approximate what can be told exactly. Round after round the student acts in more of
the episodes, the teacher says what it would have done there, and the student learns from all that was seen so far.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from allegro_description.errors import ConfigError
from allegro_description.model import HandModel, load_hand
from allegro_description.simulation.rig import Places
from allegro_description.simulation.slip import SlipEpisode, SlipResult
from numpy.typing import NDArray

from allegro_ai.observation import Observation
from allegro_ai.policy import GraphPolicy
from allegro_ai.tasks.lanes import STEPS
from allegro_ai.tasks.slip_arrest import FIRST_STEP, Grips, SlipArrest, SlipLanes
from allegro_ai.tasks.slip_grips import grips_of
from allegro_ai.tasks.slip_policies import Oracle
from allegro_ai.tasks.workers import Workers
from allegro_ai.training.layout import make_layout
from allegro_ai.training.slip_network import SlipNetwork, fit, weights_of
from allegro_ai.training.slip_policy import Weights, student_policy, student_terms
from allegro_ai.training.slip_settings import SlipSettings

BEGIN = 50                      # control step at which the hand is handed over; before, there is nothing to see
LENGTH = STEPS - BEGIN
CHUNK = 48


class Mixture:
    """Teacher in some episodes, student in the others; says in all of them what the teacher would have done."""

    privileged = True

    def __init__(self, hand: HandModel, student: GraphPolicy | None, taught: NDArray[np.bool_]) -> None:
        """Take who acts where."""
        self._flexion, self._student, self._taught = hand.flexion, student, taught
        self.teacher = Oracle(hand)

    def reset(self, which: NDArray[np.bool_] | None = None) -> None:
        """Forget the past."""
        if self._student is not None:
            self._student.reset(which)

    def act(self, observation: Mapping[str, NDArray[np.float32]], /) -> NDArray[Any]:
        """The action of whoever acts."""
        taught = self.teacher.share(observation)[:, None] * self._flexion
        if self._student is None:
            return taught
        own = self._student.act(observation)
        return np.where(self._taught[:, None], taught, own)


@dataclass(slots=True, eq=False)
class Episodes:
    """What was seen: rows (episodes, LENGTH, width), the teacher's shares, slip labels, and which steps count."""

    rows: NDArray[np.float32]
    share: NDArray[np.float32]
    slipping: NDArray[np.float32]
    counts: NDArray[np.float32]
    results: list[SlipResult]


def gather(
    model: str, side: str, seeds: Sequence[int], grips: Sequence[Grips], object_set: str, touch: bool,
    weights: Weights | None, taught: Sequence[bool],
) -> Episodes:
    """Run episodes in this process and record them."""
    hand = load_hand(model, side)
    layout, n = make_layout(hand, student_terms(touch), 1), len(seeds)
    policy = Mixture(hand, None if weights is None else student_policy(hand, layout, weights), np.array(taught))
    empty = [np.zeros((n, LENGTH), np.float32) for _ in range(3)]
    seen = Episodes(np.zeros((n, LENGTH, layout.width), np.float32), empty[0], empty[1], empty[2], [])

    def watch(lanes: SlipLanes, which: Places, observation: Observation, action: NDArray[Any]) -> None:
        step = lanes.clock[which] - BEGIN
        now = which[step >= 0]
        at = step[step >= 0]
        seen.rows[now, at] = layout.flat(observation)[now]
        seen.share[now, at] = policy.teacher.share(observation)[now]
        seen.slipping[now, at] = lanes.judge.slipping[now]
        seen.counts[now, at] = lanes.clock[now] >= FIRST_STEP

    episodes = [SlipEpisode(hand, s, object_set) for s in seeds]
    seen.results = SlipArrest(hand, episodes, grips).run(policy, watch=watch)
    return seen


def train_student(
    hand: HandModel, settings: SlipSettings, workers: Workers, *, minutes: float = 60.0,
    progress: Callable[[str], None] = lambda text: None,
) -> tuple[dict[str, NDArray[np.float32]], list[dict[str, float]]]:
    """Train one student; returns its weights and the curve.

    Args:
        hand: the hand.
        settings: numbers of the run.
        workers: processes that run episodes.
        minutes: limit of wall-clock time; the student of the last finished round counts.
        progress: called with a line now and then.

    Raises:
        ConfigError: no seed has an episode.
    """
    begin = time.monotonic()
    first = (settings.seed if settings.drawn_from < 0 else settings.drawn_from) * 10_000
    known = grips_of(hand, range(first, first + settings.episodes), 'train', workers,
                     progress=lambda done, total: progress(f'least grips: {done}/{total} seeds'))
    if not known:
        raise ConfigError(f'none of {settings.episodes} seeds has an object that can be held and then slips')
    torch.manual_seed(settings.seed)
    generator = torch.Generator().manual_seed(settings.seed)
    rng = np.random.default_rng(settings.seed)
    layout = make_layout(hand, student_terms(settings.touch), 1)
    network = SlipNetwork(layout.width)
    optimiser = torch.optim.Adam(network.parameters(), lr=settings.learning_rate)
    weights: dict[str, NDArray[np.float32]] | None = None
    seen: list[Episodes] = []
    curve: list[dict[str, float]] = []
    longest = 0.0                       # of the rounds; the search for grips is none
    for number in range(settings.rounds):
        at = time.monotonic()
        taught = 0.5 ** number          # share of episodes in which the teacher acts
        parts = run_chunks(hand, known, 'train', settings.touch, weights, workers,
                           taught=lambda size: (rng.random(size) < taught).tolist())  # noqa: B023 (used at once)
        seen += parts
        stacks = [torch.as_tensor(np.concatenate([getattr(p, name) for p in seen]))
                  for name in ('rows', 'share', 'slipping', 'counts')]
        if number == 0:
            network.normaliser.fit(np.concatenate([p.rows[p.counts > 0] for p in parts]))
        threads = torch.get_num_threads()
        torch.set_num_threads(workers.count)
        losses = fit(network, optimiser, *stacks, epochs=settings.epochs, batch=32, generator=generator)
        torch.set_num_threads(threads)
        if not all(map(math.isfinite, losses)):
            raise ConfigError('learning broke (a loss is not finite); try half the learning rate')
        weights = weights_of(network)
        results = [r for p in parts for r in p.results]
        curve.append({'round': float(number + 1), 'taught': taught, 'squeeze_loss': losses[0], 'slip_loss': losses[1],
                      'success': float(np.mean([r.success for r in results])),
                      'held': float(np.mean([r.held for r in results])), 'episodes': float(len(results)),
                      'seconds': time.monotonic() - begin})
        progress(f'round {number + 1}/{settings.rounds}  ' + '  '.join(
            f'{k} {v:.3f}' for k, v in curve[-1].items() if k != 'round'))
        longest = max(longest, time.monotonic() - at)
        if number + 1 < settings.rounds and time.monotonic() - begin + 1.2 * longest > 60.0 * minutes:
            progress(f'the limit of {minutes:g} minutes ends the run after round {number + 1}')
            break
    assert weights is not None
    return weights, curve


def run_chunks(
    hand: HandModel, known: Mapping[int, Grips], object_set: str, touch: bool, weights: Weights | None,
    workers: Workers, *, taught: Callable[[int], list[bool]] = lambda size: [False] * size,
) -> list[Episodes]:
    """Run every known seed once, in chunks of a fixed size on all processes; order and result do not depend on them."""
    seeds = sorted(known)
    futures = []
    for k in range(0, len(seeds), CHUNK):
        chunk = seeds[k:k + CHUNK]
        futures.append(workers.submit(
            gather, hand.model, hand.side, chunk, [known[s] for s in chunk], object_set, touch, weights,
            taught(len(chunk))))
    return [future.result() for future in futures]
