"""Golden vectors: inputs with the outputs that the policy gave when it was exported.

``golden.npz`` holds ``input/<term>`` (sequences, steps, elements), ``output`` (sequences, steps, joints) and, for
further outputs of the graph, ``output/<name>``. They are replayed through the very call path of the node at every
load: another runtime version, a wrong input order, an altered weight or a broken conversion shows here, before a
finger moves.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from allegro_description.errors import AllegroError, BundleError
from allegro_description.model import HandModel
from numpy.typing import NDArray

from allegro_ai.observation import ObservationBuilder, ObservationSpec
from allegro_ai.policy import Policy

Array32 = NDArray[np.float32]

MINIMUM = 64
"""Fewest sequences that count as a check."""

MINIMUM_WORKLOAD = 4
"""The same for benchmarks, whose networks may take a second for one sequence."""

FILE = 'golden.npz'


def random_observations(
    model: HandModel, spec: ObservationSpec, sequences: int, steps: int, seed: int = 0,
) -> list[dict[str, Array32]]:
    """Observations of random but consistent walks through the joint range, one dictionary per step.

    Used where no recorded episode is at hand; every term is exercised, with missing taxels among them.
    """
    rng, tilt = np.random.default_rng(seed), np.random.default_rng((seed, 1))
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
        gravity = np.where(tilt.random((sequences, 1)) < 0.2, np.nan, tilt.uniform(-9.0, 9.0, (sequences, 3)))
        observation = builder.update(step, position, target, pressure, rng.random(cells) > 0.1,
                                     last_action=rng.uniform(-1.0, 1.0, shape), gravity=gravity)
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
    outputs: list[Array32] = []
    extras: dict[str, list[Array32]] = {}
    for observation in observations:
        outputs.append(np.array(policy.act(observation), dtype=np.float32))
        for name, value in _extra(policy).items():
            extras.setdefault(f'output/{name}', []).append(np.array(value, dtype=np.float32))
    arrays = {f'input/{name}': np.stack([o[name] for o in observations], axis=1) for name in names}
    arrays |= {name: np.stack(values, axis=1) for name, values in extras.items()}
    return {**arrays, 'output': np.stack(outputs, axis=1)}


def _extra(policy: Policy) -> Mapping[str, Array32]:
    """Further outputs of the last step, of policies that have any."""
    found: Mapping[str, Array32] = getattr(policy, 'extra', {})
    return found


def check(
    policy: Policy,
    arrays: Mapping[str, NDArray[Any]],
    names: Sequence[str],
    tolerance: float,
    *,
    extras: Sequence[str] = (),
    minimum: int = MINIMUM,
) -> float:
    """Replay the golden vectors one by one, as the node would.

    Args:
        policy: what is checked.
        arrays: content of ``golden.npz``.
        names: the terms that the policy reads.
        tolerance: largest absolute difference of any output.
        extras: names of further outputs.
        minimum: fewest sequences.

    Returns:
        The largest absolute difference found.

    Raises:
        BundleError: arrays missing or of the wrong shape, fewer than ``minimum``, or a difference above
            ``tolerance``; the replay ends with the first sequence that differs.
    """
    outputs = {'output': '', **{f'output/{name}': name for name in extras}}
    wanted = {*outputs, *(f'input/{name}' for name in names)}
    if set(arrays) != wanted:
        raise BundleError(f'{FILE}: holds {sorted(arrays)}, needs {sorted(wanted)}; export the bundle again')
    lead = arrays['output'].shape[:2]
    if len(lead) < 2 or lead[0] < minimum or lead[1] < 1:
        raise BundleError(f'{FILE}: output has shape {arrays["output"].shape}; needs at least {minimum} sequences of '
                          'steps')
    if any(a.ndim < 3 or a.shape[:2] != lead or a.dtype != np.float32 for a in arrays.values()) or \
            not all(np.isfinite(a).all() for a in arrays.values()):
        raise BundleError(f'{FILE}: arrays must be finite float32 of equal sequences and steps; export again')
    worst = 0.0
    for sequence in range(lead[0]):
        policy.reset()
        for step in range(lead[1]):
            one = {name: arrays[f'input/{name}'][sequence:sequence + 1, step] for name in names}
            found = {'': _act(policy, one), **_extra(policy)}
            for key, name in outputs.items():
                worst = max(worst, _difference(found[name], arrays[key][sequence:sequence + 1, step]))
        if worst > tolerance:
            raise BundleError(
                f'{FILE}: the policy answers differently here than when it was exported (difference {worst:.2g} in '
                f'sequence {sequence}, allowed {tolerance:g}); the graph or the runtime has changed. Export the bundle '
                'again'
            )
    policy.reset()
    return worst


def _act(policy: Policy, observation: Mapping[str, Array32]) -> Array32:
    try:
        return policy.act(observation)
    except AllegroError:
        raise
    except Exception as error:  # whatever a backend throws: it cannot compute this graph
        said = ' '.join(str(error).split())
        raise BundleError(f'{FILE}: the graph cannot be run here ({said[:200]}); export the bundle again, or use '
                          'another backend') from error


def _difference(found: Array32, expected: Array32) -> float:
    if found.shape != expected.shape:
        return np.inf
    # NaN differs from everything
    return float(np.nan_to_num(np.abs(found - expected).max(initial=0.0), nan=np.inf))
