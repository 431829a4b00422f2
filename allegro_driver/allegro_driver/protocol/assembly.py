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

    Frames carry no cycle number, so their order has to tell cycles apart: the first finger's begins a set and the
    others follow one by one. Whatever else comes spoils the set until the first finger comes again. So a lost frame
    costs its cycle, and old angles never join new ones: only the loss of whole cycles' length at one go could look like
    no loss. CAN may deliver a frame twice in a row; such a copy changes nothing.

    Attributes:
        counts: position counts, canonical order.
        incomplete: stretches of dropped frames.
    """

    def __init__(self, slices: Sequence[slice], first: int = 0) -> None:
        """Wait for the first frame.

        Args:
            slices: canonical indices of each finger's joints.
            first: the finger that begins a cycle; the others follow in their order, after the last one finger 0.
        """
        self._slices = tuple(slices)
        self._steps = tuple((finger - first) % len(slices) for finger in range(len(slices)))
        self._next = 0
        self._spoilt = False
        self.counts: list[int] = [0] * slices[-1].stop
        self.incomplete = 0

    def add(self, finger: int, counts: Sequence[int]) -> bool:
        """Take a finger's counts; True when the set is complete."""
        step, fingers = self._steps[finger], len(self._steps)
        if step != self._next:
            if step == (self._next - 1) % fingers and self.counts[self._slices[finger]] == list(counts):
                return False
            self._spoilt, self._next = True, 0
            if step:
                return False
        if step == 0:
            self.incomplete += self._spoilt
            self._spoilt = False
        self.counts[self._slices[finger]] = counts
        self._next = (step + 1) % fingers
        return self._next == 0

    def clear(self) -> None:
        """Drop what has arrived."""
        self._spoilt, self._next = False, 0


class LooseFingerSet(FingerSet):
    """For hands whose frames have no fixed order: complete when each finger has come.

    A finger that comes again begins a new set, so two cycles mix for as long as the order allows no better.
    """

    def __init__(self, slices: Sequence[slice]) -> None:
        """See :class:`FingerSet`."""
        super().__init__(slices)
        self._arrived: set[int] = set()

    def add(self, finger: int, counts: Sequence[int]) -> bool:
        """Take a finger's counts; True when the set is complete."""
        if finger in self._arrived:
            self.incomplete += 1
            self._arrived.clear()
        self._arrived.add(finger)
        self.counts[self._slices[finger]] = counts
        if len(self._arrived) < len(self._slices):
            return False
        self._arrived.clear()
        return True

    def clear(self) -> None:
        """Drop what has arrived."""
        self._arrived.clear()


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
