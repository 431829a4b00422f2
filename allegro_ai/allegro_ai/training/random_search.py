"""Augmented random search for the finger-shared linear policy, after Mania, Guy and Recht (2018).

Antithetic pairs with common episodes, best directions only, steps divided by the spread of their returns. Every
iteration draws new episodes of the training objects; nothing of the held-out set is ever touched. No gradient and no
library: sixty lines that a reader can check, and the runs are reproducible from the seed alone.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from allegro_description.config import parameter
from allegro_description.errors import ConfigError
from allegro_description.model import HandModel
from numpy.typing import NDArray

from allegro_ai.linear_policy import FEATURES, LinearLayout
from allegro_ai.tasks.workers import Work, Workers

TRAIN_LEVELS = ('L1', 'L2', 'L3')
_GRIP = [name for name, _ in FEATURES].index('grip')
SEEDS_PER_RUN = 1_000_000       # training seeds of run k: k * SEEDS_PER_RUN onwards, objects of the set `train`


@dataclass(frozen=True, slots=True)
class SearchConfig:
    """Numbers of one training run."""

    seed: int = parameter(0, 'training seed', low=0, high=999)
    touch: bool = parameter(True, 'whether the policy may use touch')
    iterations: int = parameter(60, 'updates', low=1, high=100000)
    directions: int = parameter(10, 'antithetic pairs per update', low=1, high=1000)
    best: int = parameter(6, 'pairs that enter the update', low=1, high=1000)
    episodes: int = parameter(4, 'episodes per policy and update', low=1, high=1000)
    noise: float = parameter(0.15, 'standard deviation of the trial steps', low=0.001, high=10.0)
    step: float = parameter(0.1, 'step size', low=0.001, high=10.0)
    first_squeeze: float = parameter(0.85, 'share of full torque to start from', low=0.0, high=0.95)
    first_grip: float = parameter(0.7, 'weight of the grip class to start from: less for fragile, more for robust',
                                  low=0.0, high=3.0)
    time_limit_s: float = parameter(540.0, 'stop before the next update after this time', unit='s', low=1.0)


@dataclass(frozen=True, slots=True, eq=False)
class SearchResult:
    """A finished run: weights, mean return per update, time and number of episodes."""

    config: SearchConfig
    parameters: NDArray[np.float64]
    curve: list[float]
    episodes: int
    wall_s: float

    def save(self, folder: Path, hand: HandModel) -> Path:
        """Write ``<arm>_seed<k>.json``: everything needed to evaluate or export the policy."""
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f'{"touch" if self.config.touch else "no_touch"}_seed{self.config.seed}.json'
        document = {
            'config': asdict(self.config), 'parameters': self.parameters.tolist(), 'curve': self.curve,
            'episodes': self.episodes, 'wall_s': self.wall_s, 'hand': hand.name, 'hand_sha256': hand.sha256,
        }
        path.write_text(json.dumps(document, indent=1) + '\n')
        return path


def load_result(path: Path) -> SearchResult:
    """Read a file written by :meth:`SearchResult.save`.

    Raises:
        ConfigError: no such file, or not a training result.
    """
    try:
        document = json.loads(path.read_text())
        return SearchResult(SearchConfig(**document['config']), np.array(document['parameters']), document['curve'],
                            document['episodes'], document['wall_s'])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConfigError(f'{path} is not a training result ({error}); make one with: allegro-ai train') from error


def initial_parameters(hand: HandModel, squeeze: float, grip: float = 0.0) -> NDArray[np.float64]:
    """Weights of an open-loop squeeze: only bias and grip class of flexion joints; ``squeeze`` is that of normal."""
    layout = LinearLayout(hand)
    weights = np.zeros(layout.size)
    finger, _ = layout.split(weights)
    rows = [True] * finger.shape[0] + [bool(hand.flexion[j]) for j in layout.thumb_joints]
    for row, flexes in enumerate(rows):
        weights[row * len(FEATURES)] = np.arctanh(squeeze) if flexes else 0.0
        weights[row * len(FEATURES) + _GRIP] = grip if flexes else 0.0
    return weights


def search(
    hand: HandModel, config: SearchConfig, workers: Workers,
    progress: Callable[[int, float, float], None] = lambda update, reward, elapsed: None,
) -> SearchResult:
    """Train one policy.

    Args:
        hand: the hand.
        config: the run's numbers.
        workers: processes that run the episodes.
        progress: called after each update with its number, mean return and the seconds so far.

    Raises:
        ConfigError: more best directions than directions.
    """
    if config.best > config.directions:
        raise ConfigError(f'best is {config.best}, but there are only {config.directions} directions')
    rng = np.random.default_rng(np.random.SeedSequence((7, config.seed)))
    theta = initial_parameters(hand, config.first_squeeze, config.first_grip)
    free = np.ones(theta.size) if config.touch else ~LinearLayout(hand).touch_mask()
    start, curve, count = time.monotonic(), [], 0
    for update in range(config.iterations):
        if time.monotonic() - start > config.time_limit_s:
            break
        first = config.seed * SEEDS_PER_RUN + update * config.episodes
        seeds = tuple(range(first, first + config.episodes))
        levels = tuple(TRAIN_LEVELS[s % len(TRAIN_LEVELS)] for s in seeds)
        deltas = rng.normal(size=(config.directions, theta.size)) * free
        trials = np.concatenate([theta + config.noise * deltas, theta - config.noise * deltas])
        pieces = []
        for rows in np.array_split(trials, workers.count):
            if len(rows):
                pieces.append(Work(hand.model, hand.side, seeds * len(rows), levels * len(rows),
                                   parameters=np.repeat(rows, config.episodes, axis=0)))
        outcomes = [outcome for piece in workers.run(pieces) for outcome in piece]
        returns = np.array([o.reward for o in outcomes]).reshape(len(trials), config.episodes).mean(axis=1)
        count += len(outcomes)
        plus, minus = returns[: config.directions], returns[config.directions:]
        chosen = np.argsort(np.maximum(plus, minus))[-config.best:]
        spread = float(np.std(np.concatenate([plus[chosen], minus[chosen]]))) or 1.0
        theta = theta + config.step / (config.best * spread) * ((plus - minus)[chosen] @ deltas[chosen])
        curve.append(float(returns.mean()))
        progress(update + 1, curve[-1], time.monotonic() - start)
    return SearchResult(config, theta, curve, count, time.monotonic() - start)
