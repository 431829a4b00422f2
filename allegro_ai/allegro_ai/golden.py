"""Golden vectors: inputs with the outputs that the policy gave when it was exported.

``golden.npz`` holds ``input/<term>`` (sequences, steps, elements) and ``output`` (sequences, steps, joints). They are
replayed through the very call path of the node at every load: another runtime version, a wrong input order, an
altered weight or a broken conversion shows here, before a finger moves.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from allegro_description.errors import BundleError
from allegro_description.model import HandModel
from numpy.typing import NDArray

from allegro_ai.observation import ObservationBuilder, ObservationSpec
from allegro_ai.policy import Policy

Array32 = NDArray[np.float32]

MINIMUM = 64
"""Fewest sequences that count as a check."""

FILE = 'golden.npz'


def random_observations(
    model: HandModel, spec: ObservationSpec, sequences: int, steps: int, seed: int = 0,
) -> list[dict[str, Array32]]:
    """Observations of random but consistent walks through the joint range, one dictionary per step.

    Used where no recorded episode is at hand; every term is exercised, with missing taxels among them.
    """
    rng = np.random.default_rng(seed)
    builder = ObservationBuilder(model, spec, batch=sequences)
    builder.set_grip(rng.choice(['fragile', 'normal', 'robust'], sequences).tolist())
    shape, cells = (sequences, len(model.joints)), (sequences, len(model.taxels))
    position = rng.uniform(model.lower, model.upper, shape)
    pressure = rng.uniform(0.0, 6e4, cells)
    result = []
    for step in range(steps + 1):
        position = np.clip(position + rng.normal(0.0, 0.03, shape), model.lower, model.upper)
        pressure = np.clip(pressure * rng.uniform(0.6, 1.5, cells) + rng.normal(0.0, 500.0, cells), 0.0, 1e5)
        target = position + rng.uniform(-0.25, 0.25, shape)
        observation = builder.update(step, position, target, pressure, rng.random(cells) > 0.1,
                                     last_action=rng.uniform(-1.0, 1.0, shape))
        result.append(observation)
    return result[1:]  # the first step has no differences yet


def record(policy: Policy, observations: Sequence[Mapping[str, Array32]], names: Sequence[str]) -> dict[str, Array32]:
    """Run ``policy`` over a sequence of batched observations and return the arrays of ``golden.npz``.

    Args:
        policy: the policy as trained.
        observations: one dictionary per step, each term (sequences, elements).
        names: the terms that the policy reads.
    """
    policy.reset()
    outputs = [np.array(policy.act(observation), dtype=np.float32) for observation in observations]
    arrays = {f'input/{name}': np.stack([o[name] for o in observations], axis=1) for name in names}
    return {**arrays, 'output': np.stack(outputs, axis=1)}


def check(policy: Policy, arrays: Mapping[str, NDArray[Any]], names: Sequence[str], tolerance: float) -> float:
    """Replay the golden vectors one by one, as the node would.

    Returns:
        The largest absolute difference found.

    Raises:
        BundleError: arrays missing or of the wrong shape, fewer than :data:`MINIMUM`, or a difference above
            ``tolerance``.
    """
    wanted = {'output', *(f'input/{name}' for name in names)}
    if set(arrays) != wanted:
        raise BundleError(f'{FILE}: holds {sorted(arrays)}, needs {sorted(wanted)}; export the bundle again')
    output = arrays['output']
    if output.ndim != 3 or len(output) < MINIMUM:
        raise BundleError(f'{FILE}: output has shape {output.shape}; needs at least {MINIMUM} sequences of steps')
    if any(a.shape[:2] != output.shape[:2] or a.ndim != 3 or a.dtype != np.float32 for a in arrays.values()) or \
            not all(np.isfinite(a).all() for a in arrays.values()):
        raise BundleError(f'{FILE}: arrays must be finite float32 of equal sequences and steps; export again')
    worst = 0.0
    for sequence in range(len(output)):
        policy.reset()
        for step in range(output.shape[1]):
            one = {name: arrays[f'input/{name}'][sequence:sequence + 1, step] for name in names}
            action = policy.act(one)
            difference = np.abs(action[0] - output[sequence, step]) if action.shape[1:] == output.shape[2:] else np.inf
            worst = max(worst, float(np.nan_to_num(np.max(difference), nan=np.inf)))
    policy.reset()
    if worst > tolerance:
        raise BundleError(
            f'{FILE}: the policy answers differently here than when it was exported (largest difference {worst:.2g}, '
            f'allowed {tolerance:g}); the graph or the runtime has changed. Export the bundle again'
        )
    return worst
