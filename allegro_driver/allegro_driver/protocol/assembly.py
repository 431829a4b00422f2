"""From frames to samples: one cycle of finger frames, and the newest of what arrives beside it. No clock."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import numpy as np
from allegro_description.state import Array

PATIENCE = 100
"""Samples after which a reading that was not repeated is forgotten."""


class FingerSet:
    """The position frames of one cycle of the hand.

    Frames carry no cycle number, so the order on the wire has to tell cycles apart: the frame of the first finger
    begins a set, each finger joins it once, and nothing else completes it. A frame that has no set to join, or comes
    twice, spoils what is there until the first finger comes again. So a lost frame costs that cycle and old angles
    never join new ones; only the loss of a whole cycle's length between two frames of a set would look the same. CAN
    itself may deliver a frame twice in a row; such a copy changes nothing.

    Attributes:
        counts: position counts, canonical order.
        incomplete: cycles that were dropped.
    """

    def __init__(self, slices: Sequence[slice], first: int) -> None:
        """Wait for the first frame.

        Args:
            slices: canonical indices of each finger's joints.
            first: the finger that begins a cycle.
        """
        self._slices, self._first = tuple(slices), first
        self._all = (1 << len(slices)) - 1
        self._arrived = 0
        self._last = -1
        self._spoilt = False
        self.counts: list[int] = [0] * slices[-1].stop
        self.incomplete = 0

    def add(self, finger: int, counts: Sequence[int]) -> bool:
        """Take a finger's counts; True when the set is complete."""
        bit = 1 << finger
        twice, self._last = finger == self._last, finger
        joined = self._arrived & bit or finger != self._first
        if twice and joined and self.counts[self._slices[finger]] == list(counts):
            return False
        if finger == self._first:
            self.incomplete += self._spoilt or self._arrived != 0
            self._spoilt, self._arrived = False, 0
        elif self._arrived == 0 or self._arrived & bit:
            self._spoilt, self._arrived = True, 0
            return False
        self._arrived |= bit
        self.counts[self._slices[finger]] = counts
        if self._arrived != self._all:
            return False
        self._arrived = 0
        return True

    def clear(self) -> None:
        """Drop what has arrived."""
        self._spoilt, self._arrived = False, 0


class NewestReadings:
    """Values that arrive in groups, one frame each, beside the positions: touch, currents, temperatures."""

    def __init__(
        self, size: int, places: Sequence[Sequence[int]], patience: float = PATIENCE, *, whole: bool = False
    ) -> None:
        """Know nothing yet.

        Args:
            size: how many values there are.
            places: indices of the values in each group.
            patience: samples after which a group that was not heard again is unknown; infinite: never.
            whole: give no values at all while a group is unknown; else those are NaN.
        """
        self._places, self._patience, self._whole = tuple(tuple(p) for p in places), patience, whole
        self._values = [math.nan] * size
        self._heard: list[int | None] = [None] * len(self._places)
        self._samples = 0
        self._changed = False
        self._array: Array | None = None

    def put(self, group: int, values: Iterable[float]) -> None:
        """Take the values of one group."""
        for place, value in zip(self._places[group], values, strict=False):
            self._values[place] = value
        self._heard[group] = self._samples
        self._changed = True

    def take(self) -> Array | None:
        """The values for one more sample, read-only; None when nothing is known."""
        self._samples += 1
        for group, heard in enumerate(self._heard):
            if heard is not None and self._samples - heard > self._patience:
                self._forget(group)
        if self._changed:
            self._changed = False
            known = [heard is not None for heard in self._heard]
            self._array = None
            if all(known) if self._whole else any(known):
                self._array = np.array(self._values)
                self._array.setflags(write=False)
        return self._array

    def clear(self) -> None:
        """Forget everything."""
        for group in range(len(self._places)):
            self._forget(group)

    def _forget(self, group: int) -> None:
        self._heard[group] = None
        self._changed = True
        for place in self._places[group]:
            self._values[place] = math.nan
