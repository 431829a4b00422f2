"""Step many plants on a few threads: MuJoCo releases the interpreter lock while it steps."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import Any

import mujoco
import mujoco.rollout
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


def compare_steppers(plants: Sequence[Plant], threads: int, steps: int, seconds: float) -> tuple[float, float]:
    """Speed of the two ways to step plants in C threads: ``mj_step`` on a pool, as here, and ``mujoco.rollout``.

    Both start from the present state and take turns, so that other load meets both.

    Args:
        plants: of one hand, with position input.
        threads: of each pool (0: one per CPU).
        steps: physics steps of one round, for every plant.
        seconds: how long each of five turns of either takes.

    Returns:
        Rounds of one plant per second of wall time, medians: of the pool and of ``mujoco.rollout``.
    """
    models, full = [p.model for p in plants], mujoco.mjtState.mjSTATE_FULLPHYSICS.value
    inputs = mujoco.mjtState.mjSTATE_CTRL.value | mujoco.mjtState.mjSTATE_XFRC_APPLIED.value
    state = np.zeros((len(plants), mujoco.mj_stateSize(models[0], full)))
    control = np.zeros((len(plants), steps, mujoco.mj_stateSize(models[0], inputs)))
    for k, plant in enumerate(plants):
        mujoco.mj_getState(plant.model, plant.data, state[k], full)
        now = np.zeros(control.shape[2])
        mujoco.mj_getState(plant.model, plant.data, now, inputs)
        control[k] = now
    rows: list[list[float]] = [[], []]
    with Batch(threads) as batch, mujoco.rollout.Rollout(nthread=batch.threads) as roller:
        datas = [mujoco.MjData(models[0]) for _ in range(batch.threads)]
        ways: tuple[Callable[[], Any], ...] = (
            lambda: batch.step(plants, steps),
            lambda: roller.rollout(models, datas, state, control, control_spec=inputs, nstep=steps))
        for _ in range(5):
            for way, row in zip(ways, rows, strict=True):
                count, start = 0, time.perf_counter()
                while time.perf_counter() - start < seconds:
                    way()
                    count += 1
                row.append(count * len(plants) / (time.perf_counter() - start))
    return float(np.median(rows[0])), float(np.median(rows[1]))
