"""How far an observation lies from what the policy was trained on.

The score is a Mahalanobis distance over the continuous terms, with a shrunk covariance, divided by the square root of
the number of elements: about 1 on training data whatever the number of terms. Pressures are squashed first, because
their tail is long. 0/1 terms are left out: they are never "far".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from allegro_description.errors import BundleError
from numpy.typing import NDArray

Array32 = NDArray[np.float32]

FILE = 'ood.npz'
TERMS = ('joint_position', 'joint_target_error', 'joint_delta', 'tactile_tip_pressure')
SHRINKAGE = 0.1
FLOOR = {'joint_position': 0.02, 'joint_target_error': 0.01, 'joint_delta': 0.002, 'tactile_tip_pressure': 0.02}
"""Smallest standard deviation of each term: what never moved in training may still move by sensor noise."""

QUANTILES = (0.001, 0.01, 0.5, 0.99, 0.999)
HALF_PRESSURE_KPA = 10.0


def _vector(observation: Mapping[str, Array32], terms: Sequence[str]) -> NDArray[np.float64]:
    parts = []
    for name in terms:
        value = observation[name].astype(np.float64)
        parts.append(value / (value + HALF_PRESSURE_KPA) if name == 'tactile_tip_pressure' else value)
    return np.concatenate(parts, axis=-1)


def fit(observation: Mapping[str, Array32], terms: Sequence[str] = TERMS) -> dict[str, NDArray[Any]]:
    """Statistics of training observations, the arrays of ``ood.npz``.

    Args:
        observation: each term (samples, elements); take samples of the RUN phase only.
        terms: which terms count.

    Raises:
        BundleError: fewer samples than ten per element.
    """
    values = _vector(observation, terms)
    samples, elements = values.shape
    if samples < 10 * elements:
        raise BundleError(f'{FILE}: {samples} samples for {elements} elements; give at least {10 * elements}')
    floor = np.concatenate([np.full(observation[name].shape[-1], FLOOR.get(name, 1e-3)) for name in terms])
    mean = values.mean(axis=0)
    scale = np.maximum(values.std(axis=0), floor)
    normal = (values - mean) / scale
    correlation = (1 - SHRINKAGE) * (normal.T @ normal) / samples + SHRINKAGE * np.eye(elements)
    whiten = np.linalg.inv(np.linalg.cholesky(correlation)).T
    typical = np.sqrt(((normal @ whiten) ** 2).mean())
    return {
        'terms': np.array(list(terms)), 'mean': mean, 'scale': scale, 'whiten': whiten / typical,
        'levels': np.array(QUANTILES), 'quantiles': np.quantile(values, QUANTILES, axis=0),
    }


class OodModel:
    """Scores observations against the statistics of a bundle."""

    def __init__(self, arrays: Mapping[str, NDArray[Any]], sizes: Mapping[str, int]) -> None:
        """Read the arrays of ``ood.npz``.

        Args:
            arrays: the file's content.
            sizes: number of elements of each known term.

        Raises:
            BundleError: arrays missing, of the wrong shape, not finite, or of unknown terms.
        """
        missing = {'terms', 'mean', 'scale', 'whiten'} - set(arrays)
        if missing:
            raise BundleError(f'{FILE}: {sorted(missing)} missing; export the bundle again')
        if arrays['terms'].ndim != 1 or any(arrays[n].dtype.kind != 'f' for n in ('mean', 'scale', 'whiten')):
            raise BundleError(f'{FILE}: terms must be a list of names, the others numbers; export the bundle again')
        self.terms = tuple(str(name) for name in arrays['terms'])
        unknown = [name for name in self.terms if name not in sizes]
        if unknown or not self.terms:
            raise BundleError(f'{FILE}: unknown terms {unknown}; known: {", ".join(sizes)}')
        n = sum(sizes[name] for name in self.terms)
        self._mean, self._scale, self._whiten = (arrays[name] for name in ('mean', 'scale', 'whiten'))
        shapes = (self._mean.shape, self._scale.shape, self._whiten.shape)
        numbers = (self._mean, self._scale, self._whiten)
        if shapes != ((n,), (n,), (n, n)) or not all(np.isfinite(a).all() for a in numbers) or (self._scale <= 0).any():
            raise BundleError(f'{FILE}: shapes {shapes} for {n} elements, or bad numbers; export the bundle again')

    def vector(self, observation: Mapping[str, Array32]) -> NDArray[np.float64]:
        """The numbers that are scored, as ``mean``, ``scale`` and ``quantiles`` count them, (batch, elements)."""
        return _vector(observation, self.terms)

    def score(self, observation: Mapping[str, Array32]) -> NDArray[np.float64]:
        """Distance from the training data, about 1 inside it, (batch,)."""
        normal = (_vector(observation, self.terms) - self._mean) / self._scale
        result: NDArray[np.float64] = np.sqrt(((normal @ self._whiten) ** 2).mean(axis=-1))
        return result
