"""Run episodes on several processes; the outcome depends on seeds only, never on the number of processes."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from types import TracebackType
from typing import Any

import numpy as np
from allegro_description.model import load_hand
from numpy.typing import NDArray

from allegro_ai.linear_policy import LinearPolicy
from allegro_ai.tasks.tactile_hold import Acting, Outcome, TactileHold, episodes


@dataclass(frozen=True, slots=True, eq=False)
class Work:
    """Episodes that share a process.

    Attributes:
        model, side: which hand.
        seeds: one per episode. levels: one per episode.
        object_set: ``train`` or ``H1``.
        parameters: linear policies, one row per episode or one for all; None: ``squeeze`` is used.
        squeeze: constant action of the flexion joints, 0 … 1 (open-loop baseline).
        blind: touch reads "nothing known" although the policy may have been trained with it.
        randomise: see :class:`TactileHold`.
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


class Squeeze:
    """Open loop: after the close, push every flexion joint by a constant share of its torque limit."""

    def __init__(self, flexion: NDArray[np.bool_], share: float) -> None:
        """Set the share, 0 (freeze) … 1 (as hard as the current clamp allows)."""
        self._action = np.where(flexion, share, 0.0)

    def act(self, observation: Mapping[str, NDArray[np.float32]], /) -> NDArray[Any]:
        """The same action always."""
        return np.tile(self._action, (len(observation['joint_position']), 1))


class Blind:
    """Hides touch from a policy: every touch term 0, every reading invalid."""

    def __init__(self, policy: Acting) -> None:
        """Wrap a policy."""
        self._policy = policy

    def act(self, observation: Mapping[str, NDArray[np.float32]], /) -> NDArray[Any]:
        """Act without touch."""
        return self._policy.act({k: np.zeros_like(v) if k.startswith('tactile') else v for k, v in observation.items()})


def run_work(work: Work) -> list[Outcome]:
    """Run one piece of work in this process."""
    hand = load_hand(work.model, work.side)
    policy: Acting = Squeeze(hand.flexion, work.squeeze) if work.parameters is None else LinearPolicy(
        hand, work.parameters)
    task = TactileHold(hand, episodes(hand, work.seeds, work.levels, work.object_set), randomise=work.randomise)
    return task.run(Blind(policy) if work.blind else policy)


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
        self._pool.shutdown(cancel_futures=True)

    def run(self, pieces: Sequence[Work]) -> list[list[Outcome]]:
        """Run all pieces; results in the order of ``pieces``."""
        return list(self._pool.map(run_work, pieces))

    def run_as_completed(self, pieces: Sequence[Work]) -> Iterator[tuple[int, list[Outcome]]]:
        """Yield ``(index of the piece, outcomes)`` as they finish, for progress bars."""
        futures = {self._pool.submit(run_work, piece): k for k, piece in enumerate(pieces)}
        for future in as_completed(futures):
            yield futures[future], future.result()
