"""In which order blocks are measured, so that a machine that warms up or is disturbed treats all backends alike."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def order(backends: Sequence[str], rounds: int, seed: int, *, reverse: bool = False) -> list[tuple[int, str]]:
    """Round and backend of each block. Each round holds every backend once: neighbours in time form the pairs.

    Two backends alternate as ABBA BAAB …, the seed choosing which begins. More of them are shuffled in each round, and
    every second round is the mirror image of the one before, so that a steady drift cancels.

    Args:
        backends: names, each once.
        rounds: blocks of each.
        seed: stored with the result; the same seed gives the same order.
        reverse: the whole sequence backwards (rounds are still numbered from 0): a result that depends on it is none.
    """
    rng = np.random.default_rng(seed)
    sequence: list[list[str]] = []
    if len(backends) == 2:
        flip = bool(rng.integers(2))
        for k in range(rounds):
            mirrored = (k % 4 in (1, 2)) != flip
            sequence.append(list(reversed(backends)) if mirrored else list(backends))
    else:
        for k in range(rounds):
            shuffled = [backends[i] for i in rng.permutation(len(backends))]
            sequence.append(sequence[-1][::-1] if k % 2 else shuffled)
    if reverse:
        sequence = [row[::-1] for row in reversed(sequence)]
    return [(k, name) for k, row in enumerate(sequence) for name in row]
