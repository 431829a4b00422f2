"""Stretches of a recording in which something holds: a cell touches, a reading is not valid, the object slides."""

from __future__ import annotations

import numpy as np
from allegro_description.model import HandModel
from numpy.typing import NDArray

from allegro_bench.bags.recording import Float, Track

ON_PA, OFF_PA = 1500.0, 1000.0
"""Where a cell begins and ceases to touch, for hands whose description does not say."""

SHORTEST_S = 0.1
"""Changes back and forth within less are one."""

SLIDE_S = 0.1
SLIDE_MPS = 0.03
"""An object that moves in the palm's frame faster than this, over :data:`SLIDE_S`, slides."""

Stretch = tuple[float, float]
"""Begin and end, s."""


def thresholds(model: HandModel) -> tuple[float, float]:
    """Pressures at which a cell of the hand begins and ceases to touch, Pa."""
    return float(model.touch.get('contact_on_pa', ON_PA)), float(model.touch.get('contact_off_pa', OFF_PA))


def pressed(pressure: Float, valid: NDArray[np.bool_], on_pa: float, off_pa: float) -> NDArray[np.bool_]:
    """Whether a cell touches at each reading: from above ``on_pa`` until not above ``off_pa``, (n,).

    A reading that is not valid changes nothing.
    """
    value = np.where(valid, pressure, np.nan)
    decided = np.where(value > on_pa, 1, np.where(value <= off_pa, 0, -1))
    rows = np.maximum.accumulate(np.where(decided >= 0, np.arange(len(decided)), -1))
    return np.asarray((rows >= 0) & (decided[np.maximum(rows, 0)] == 1))


def stretches(times: Float, state: NDArray[np.bool_], shortest_s: float = SHORTEST_S) -> list[Stretch]:
    """Where ``state`` holds: disjoint, in order; pauses and stretches shorter than ``shortest_s`` are left out.

    A stretch ends with the first reading at which it no longer holds, or with the last one.
    """
    if not len(times):
        return []
    edges = np.diff(np.concatenate([[0], state.astype(np.int8), [0]]))
    begins, ends = np.flatnonzero(edges == 1), np.minimum(np.flatnonzero(edges == -1), len(times) - 1)
    found: list[Stretch] = []
    for begin, end in zip(times[begins], times[ends], strict=True):
        if found and begin - found[-1][1] < shortest_s:
            found[-1] = (found[-1][0], float(end))
        else:
            found.append((float(begin), float(end)))
    return [(a, b) for a, b in found if b - a >= shortest_s]


def touching(track: Track, times: Float, model: HandModel) -> dict[str, list[Stretch]]:
    """Taxel → stretches in which it touches."""
    on_pa, off_pa = thresholds(model)
    return {name: stretches(times, pressed(track.values[:, k], track.valid[:, k], on_pa, off_pa))
            for k, name in enumerate(track.names)}


def unreadable(track: Track, times: Float) -> dict[str, list[Stretch]]:
    """Taxel → stretches without a valid reading."""
    return {name: stretches(times, ~track.valid[:, k]) for k, name in enumerate(track.names)}


def slides(track: Track, times: Float) -> list[tuple[float, float, float]]:
    """Where the object slides through the hand: begin and end, s, and how far it got meanwhile, m."""
    there = np.array([e.get('action') == 0 for e in track.events], dtype=bool)
    place = np.where(there[:, None], track.values[:, :3], np.nan)
    before = np.searchsorted(times, times - SLIDE_S, side='left')
    passed = times - times[before]
    moved = np.linalg.norm(place - place[before], axis=1)
    # A stream that was silent in between, or an object put elsewhere, is no slide.
    even = (passed > SLIDE_S / 2) & (passed < 2 * SLIDE_S)
    fast = even & (np.nan_to_num(moved) > SLIDE_MPS * SLIDE_S) & (np.nan_to_num(moved) < 0.5)
    found = []
    for begin, end in stretches(times, fast):
        rows = np.flatnonzero((times >= begin - SLIDE_S) & (times <= end) & there)
        found.append((begin, end, float(np.linalg.norm(np.ptp(place[rows], axis=0))) if len(rows) else 0.0))
    return found
