"""Run episodes on several processes; the outcome depends on seeds only, never on the number of processes."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any

import numpy as np
from allegro_description.model import HandModel, load_hand
from numpy.typing import NDArray

from allegro_ai.tasks.policies import Acting, Blind, make_policy
from allegro_ai.tasks.tactile_hold import Outcome, TactileHold, episodes


@dataclass(frozen=True, slots=True, eq=False)
class Work:
    """Episodes that share a process.

    Attributes:
        model, side: which hand.
        seeds: one per episode. levels: one per episode.
        object_set: ``train`` or ``H1``.
        parameters: linear policies, one row per episode or one for all; None: ``policy`` is used.
        squeeze: constant action of the flexion joints, 0 … 1, of the policy ``squeeze`` without arguments.
        blind: touch reads "nothing known" although the policy may have been trained with it.
        randomise: see :class:`TactileHold`.
        policy, arguments: name in :data:`~allegro_ai.tasks.policies.POLICIES` and what its factory takes.
    """

    model: str
    side: str
    seeds: tuple[int, ...]
    levels: tuple[str, ...]
    object_set: str = 'train'
    parameters: NDArray[np.float64] | None = None
    squeeze: float = 0.0
    blind: bool = False
    randomise: bool = True
    policy: str = 'squeeze'
    arguments: Mapping[str, Any] = field(default_factory=dict)

    def acting(self, hand: HandModel) -> Acting:
        """The policy of this work.

        Raises:
            AllegroError: as :func:`~allegro_ai.tasks.policies.make_policy`.
        """
        name, arguments = self.policy, dict(self.arguments)
        if self.parameters is not None:
            name, arguments = 'linear', {'parameters': self.parameters}
        elif name == 'squeeze':
            arguments.setdefault('share', self.squeeze)
        acting = make_policy(hand, name, arguments)
        return Blind(acting) if self.blind else acting


def run_work(work: Work) -> list[Outcome]:
    """Run one piece of work in this process."""
    hand = load_hand(work.model, work.side)
    task = TactileHold(hand, episodes(hand, work.seeds, work.levels, work.object_set), randomise=work.randomise)
    return task.run(work.acting(hand))


class Workers:
    """A pool of worker processes. Use it as a context manager."""

    def __init__(self, count: int = 0) -> None:
        """Start ``count`` processes (0: one per CPU that this process may use)."""
        self.count = count or len(os.sched_getaffinity(0))
        # spawn: a forked child would inherit the locks of whatever threads run here
        self._pool = ProcessPoolExecutor(self.count, mp_context=multiprocessing.get_context('spawn'))

    def __enter__(self) -> Workers:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not None and not issubclass(kind, Exception):    # Ctrl-C: nobody wants what is being computed
            for child in multiprocessing.active_children():
                child.terminate()
        self._pool.shutdown(cancel_futures=True)

    def submit(self, function: Callable[..., Any], /, *arguments: Any) -> Future[Any]:
        """Run a function of a module in one of the processes; the arguments are sent to it."""
        return self._pool.submit(function, *arguments)

    def run(self, pieces: Sequence[Work]) -> list[list[Outcome]]:
        """Run all pieces; results in the order of ``pieces``."""
        return list(self._pool.map(run_work, pieces))

    def run_as_completed(self, pieces: Sequence[Work]) -> Iterator[tuple[int, list[Outcome]]]:
        """Yield ``(index of the piece, outcomes)`` as they finish, for progress bars."""
        futures = {self._pool.submit(run_work, piece): k for k, piece in enumerate(pieces)}
        for future in as_completed(futures):
            yield futures[future], future.result()
