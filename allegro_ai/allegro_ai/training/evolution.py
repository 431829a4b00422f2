"""CMA-ES with a diagonal covariance, after Ros and Hansen (2008): sixty lines that a reader can check.

Without the off-diagonal part the covariance is learnt (n + 2) / 3 times faster. A run of an hour has about a hundred
generations, and each number of a structured policy has a scale and a meaning of its own, so that is the better trade.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from allegro_description.errors import ConfigError
from numpy.typing import NDArray

Array = NDArray[np.float64]


@dataclass(slots=True, eq=False)
class Evolution:
    """A search distribution that maximises; ask with :meth:`trials`, answer with :meth:`tell`.

    Attributes:
        mean: centre, (n,). scale: fixed unit of each coordinate, (n,); 0 where nothing is searched.
        sigma: common factor of the spread. variance: of each coordinate in its unit, (n,).
        path, path_sigma: evolution paths, (n,). generation: done so far.
    """

    mean: Array
    scale: Array
    sigma: float = 1.0
    variance: Array = field(default_factory=lambda: np.zeros(0))
    path: Array = field(default_factory=lambda: np.zeros(0))
    path_sigma: Array = field(default_factory=lambda: np.zeros(0))
    generation: int = 0

    def __post_init__(self) -> None:
        """Fill what was not given.

        Raises:
            ConfigError: nothing to search, or scales that do not fit the centre.
        """
        for name in ('mean', 'scale', 'variance', 'path', 'path_sigma'):
            setattr(self, name, np.array(getattr(self, name), dtype=np.float64))
        if self.mean.shape != self.scale.shape or not (self.scale > 0).any() or (self.scale < 0).any():
            raise ConfigError(f'a search over {self.mean.shape} with scales {self.scale.shape}: one of each is needed '
                              'per coordinate, none negative and at least one positive')
        if not self.variance.size:
            self.variance = np.ones_like(self.mean)
            self.path, self.path_sigma = np.zeros_like(self.mean), np.zeros_like(self.mean)

    @property
    def spread(self) -> Array:
        """Standard deviation of each coordinate, (n,)."""
        return np.asarray(self.sigma * np.sqrt(self.variance) * self.scale)

    def trials(self, count: int, rng: np.random.Generator) -> Array:
        """Draw ``count`` points in mirrored pairs, (count, n)."""
        half = rng.normal(size=((count + 1) // 2, self.mean.size))
        return np.asarray(self.mean + np.concatenate([half, -half])[:count] * self.spread)

    def tell(self, trials: Array, values: Array) -> None:
        """Move to where the values, (count,), are high. Uses their order only."""
        count, n = len(values), int((self.scale > 0).sum())
        best = count // 2
        weights = np.log(best + 0.5) - np.log(np.arange(1, best + 1))
        weights /= weights.sum()
        mass = 1.0 / float(weights @ weights)
        cs = (mass + 2.0) / (n + mass + 5.0)
        ds = 1.0 + cs + 2.0 * max(0.0, np.sqrt((mass - 1.0) / (n + 1.0)) - 1.0)
        cc = (4.0 + mass / n) / (n + 4.0 + 2.0 * mass / n)
        faster = (n + 2.0) / 3.0
        c1 = min(0.5, faster * 2.0 / ((n + 1.3) ** 2 + mass))
        cm = min(1.0 - c1, faster * 2.0 * (mass - 2.0 + 1.0 / mass) / ((n + 2.0) ** 2 + mass))
        expected = np.sqrt(n) * (1.0 - 1.0 / (4.0 * n) + 1.0 / (21.0 * n * n))
        unit = np.where(self.scale > 0, self.scale, 1.0)
        steps = (trials[np.argsort(-values, kind='stable')[:best]] - self.mean) / unit / self.sigma
        move = weights @ steps
        self.generation += 1
        self.mean = self.mean + self.sigma * move * self.scale
        white = move / np.sqrt(self.variance)
        self.path_sigma = (1.0 - cs) * self.path_sigma + np.sqrt(cs * (2.0 - cs) * mass) * white
        length = float(np.linalg.norm(self.path_sigma))
        settled = np.sqrt(1.0 - (1.0 - cs) ** (2 * self.generation))
        inside = float(length / settled < (1.4 + 2.0 / (n + 1.0)) * expected)
        self.path = (1.0 - cc) * self.path + inside * np.sqrt(cc * (2.0 - cc) * mass) * move
        stalled = (1.0 - inside) * cc * (2.0 - cc)
        self.variance = ((1.0 - c1 - cm) * self.variance + c1 * (self.path ** 2 + stalled * self.variance)
                         + cm * (weights @ steps ** 2))
        self.variance = np.where(self.scale > 0, self.variance, 1.0)
        self.sigma *= float(np.exp(min(1.0, cs / ds * (length / expected - 1.0))))

    def document(self) -> dict[str, Any]:
        """Everything as plain numbers and lists; ``Evolution(**document)`` is equal."""
        return {k: v.tolist() if isinstance(v, np.ndarray) else v for k, v in asdict(self).items()}
