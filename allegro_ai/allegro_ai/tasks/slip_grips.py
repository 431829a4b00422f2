"""The least grips of SlipArrest: for each seed the smallest squeeze that holds before and after its event.

By bisection over the share of the torque limit, every joint alike, eight runs of the episode at most. A seed whose
object cannot be held by any squeeze, before or after, is no episode of the task: no policy could save it. Nor is one
whose event the start grip survives (fingers that cage the object): no policy would have to.
"""

from __future__ import annotations

import hashlib
import math
import os
from collections.abc import Callable, Sequence
from concurrent.futures import as_completed
from pathlib import Path

import numpy as np
from allegro_description.model import HandModel, load_hand
from allegro_description.simulation import slip as script
from allegro_description.simulation.slip import SlipEpisode, SlipResult
from allegro_description.state import Array

from allegro_ai.tasks.slip_arrest import VERSION, Grips, Shares, SlipArrest
from allegro_ai.tasks.workers import Workers

LEAST, AFTER_ROUNDS, BEFORE_ROUNDS = 0.03, 4, 3
BEFORE_MM, AFTER_MM, LAST_MM = 2.0, 8.0, 1.0    # ways that count as holding
NEEDED = 1.05           # an event that the start grip, or hardly more, survives asks nothing of a policy
CHUNK = 32
Progress = Callable[[int, int], None]


def search(hand: HandModel, seeds: Sequence[int], object_set: str, *, randomise: bool = True) -> list[Grips | None]:
    """Find the grips of some seeds; None where no squeeze holds, or where the event asks nothing.

    Args:
        hand: the hand.
        seeds: of :class:`~allegro_description.simulation.slip.SlipEpisode`.
        object_set: where objects come from.
        randomise: the draw of the hand belongs to the seed, see :class:`~.lanes.Lanes`.
    """
    episodes = [SlipEpisode(hand, s, object_set) for s in seeds]
    n = len(seeds)
    low, high = np.full((2, n), LEAST), np.full((2, n), np.nan)     # brackets: before, after
    torque, share = np.full(n, math.nan), np.ones(n)
    for step, side in enumerate((1,) * (1 + AFTER_ROUNDS) + (0,) * BEFORE_ROUNDS):
        alive = np.arange(n)
        if step:
            alive = np.flatnonzero(~np.isnan(high).any(axis=0))
            share[alive] = np.sqrt(low[side] * high[side])[alive]
        if not alive.size:
            break
        grips = [Grips(s, s, math.nan) for s in share[alive].tolist()]
        task = SlipArrest(hand, [episodes[k] for k in alive], grips, randomise=randomise)
        for k, result in zip(alive.tolist(), task.run(Shares(hand, share[alive])), strict=True):
            for place, held in enumerate((_holds(result, after=False), _holds(result, after=True))):
                bound = high if held else low
                better = np.fmin if held else np.fmax
                bound[place, k] = better(bound[place, k], share[k])
                if place and held and share[k] == high[1, k]:
                    torque[k] = result.steady_torque_nm
    return [_grips(episodes[k], low[:, k], high[:, k], float(torque[k])) for k in range(n)]


def _grips(episode: SlipEpisode, low: Array, high: Array, torque: float) -> Grips | None:
    # brackets that cross: more squeeze was worse somewhere, and no least grip can be told
    if np.isnan(high).any() or (low > high).any() or math.isnan(torque):
        return None
    grips = Grips(float(high[0]), float(high[1]), torque)
    return grips if episode.event == 'none' or grips.after > NEEDED * grips.start else None


def _holds(result: SlipResult, *, after: bool) -> bool:
    if not after:
        return result.acquired and result.before_mm <= BEFORE_MM
    kept = result.acquired and result.dropped_at_s is None
    return kept and result.slip_mm <= AFTER_MM and result.last_mm <= LAST_MM


def grips_of(
    hand: HandModel, seeds: Sequence[int], object_set: str, workers: Workers, *, folder: Path | None = None,
    progress: Progress = lambda done, total: None,
) -> dict[int, Grips]:
    """The grips of all seeds that can be held, searched on several processes and kept in a file of this user.

    Args:
        hand: the hand.
        seeds: in any order.
        object_set: where objects come from.
        workers: processes.
        folder: where the file lies; None: this user's cache.
        progress: called with seeds done and seeds in all.
    """
    path = (folder or _cache()) / f'{hand.name}-{object_set}-{_version(hand)}.npz'
    known = _load(path)
    todo = sorted(set(map(int, seeds)) - set(known))
    chunks = [todo[k:k + CHUNK] for k in range(0, len(todo), CHUNK)]
    futures = {workers.submit(_work, hand.model, hand.side, chunk, object_set): chunk for chunk in chunks}
    done = 0
    for future in as_completed(futures):
        known.update(zip(futures[future], future.result(), strict=True))
        done += len(futures[future])
        progress(done, len(todo))
        _save(path, known)
    return {s: g for s in map(int, seeds) if (g := known[s]) is not None}


def _work(model: str, side: str, seeds: Sequence[int], object_set: str) -> list[Grips | None]:
    return search(load_hand(model, side), seeds, object_set)


def _cache() -> Path:
    return Path(os.environ.get('XDG_CACHE_HOME') or Path.home() / '.cache') / 'allegro_ai' / 'slip_grips'


def _version(hand: HandModel) -> str:
    """Changes with whatever the grips depend on."""
    numbers = {k: v for k, v in vars(script).items() if k.isupper()}
    mine = {k: v for k, v in globals().items() if k.isupper()}
    text = f'{VERSION} {hand.sha256} {numbers} {mine}'
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def _load(path: Path) -> dict[int, Grips | None]:
    if not path.is_file():
        return {}
    with np.load(path, allow_pickle=False) as data:
        rows: Array = data['grips']
        seeds = data['seeds'].tolist()
    return {s: None if np.isnan(row).any() else Grips(*row) for s, row in zip(seeds, rows.tolist(), strict=True)}


def _save(path: Path, known: dict[int, Grips | None]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = [(math.nan,) * 3 if g is None else (g.before, g.after, g.after_nm) for g in known.values()]
    part = path.with_suffix(f'.{os.getpid()}.part')
    with part.open('wb') as out:
        np.savez(out, seeds=np.array(list(known), dtype=np.int64), grips=np.array(rows))
    part.replace(path)
