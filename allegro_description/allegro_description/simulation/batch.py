"""Step many plants on a few threads: MuJoCo releases the interpreter lock while it steps."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType

import mujoco
import numpy as np
from numpy.typing import NDArray

from allegro_description.errors import ConfigError
from allegro_description.simulation.plant import Plant


class Batch:
    """A thread pool for plants. Use it as a context manager, or call :meth:`close`."""

    def __init__(self, threads: int = 0) -> None:
        """Start ``threads`` workers (0: one per CPU that this process may use).

        Raises:
            ConfigError: a negative number of threads.
        """
        if threads < 0:
            raise ConfigError(f'threads is {threads}; allowed: 0 (one per CPU) or more')
        self.threads = threads or len(os.sched_getaffinity(0))
        self._pool = ThreadPoolExecutor(self.threads) if self.threads > 1 else None

    def __enter__(self) -> Batch:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def advance(self, plants: Sequence[Plant], steps: int) -> NDArray[np.bool_]:
        """Run ``steps`` physics steps on every plant; returns which are still stable, (n_plants,) bool.

        The result does not depend on the number of threads.
        """
        for plant in plants:
            plant.prepare()
        self.step(plants, steps)
        return np.array([not plant.unstable for plant in plants])

    def step(self, plants: Sequence[Plant], steps: int) -> None:
        """Run ``steps`` physics steps on plants whose pushes and payload are in place already."""
        if self._pool is None or len(plants) < 2:
            _step(plants, steps)
            return
        # small portions: grasps differ in cost, and the last thread should not be waited for
        portion = max(1, min(8, len(plants) // (2 * self.threads)))
        list(self._pool.map(lambda k: _step(plants[k:k + portion], steps), range(0, len(plants), portion)))

    def close(self) -> None:
        """Stop the workers."""
        if self._pool is not None:
            self._pool.shutdown()


def _step(plants: Sequence[Plant], steps: int) -> None:
    for plant in plants:
        mujoco.mj_step(plant.model, plant.data, steps)


def steps_per_second(plants: Sequence[Plant], threads: int, rounds: int = 50, steps: int = 5) -> float:
    """Physics steps per second of wall time over all plants from their present state."""
    with Batch(threads) as batch:
        batch.advance(plants, steps)
        start = time.perf_counter()
        for _ in range(rounds):
            batch.advance(plants, steps)
        return len(plants) * rounds * steps / (time.perf_counter() - start)
