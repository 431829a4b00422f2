"""Which numbers of an observation a network sees, how they are scaled, and which of them belong to which finger."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from allegro_description.errors import ConfigError, UnknownName
from allegro_description.model import HandModel
from numpy.typing import NDArray

from allegro_ai.observation import terms

Array32 = NDArray[np.float32]

HALF_PRESSURE_KPA = 10.0
"""Pressures enter as p / (p + 10 kPa)."""

CLIP = 5.0
"""Bound of a scaled number, in standard deviations."""

NETWORK_LEVELS = ('L1', 'L2', 'L3', 'L3')
"""Disturbance levels that networks are trained at, with equal chances."""

FINGER_TERMS = ('joint_position', 'joint_target_error', 'tactile_tip_pressure', 'tactile_tip_rate',
                'tactile_tip_trace', 'tactile_tip_contact', 'tactile_valid')
HAND_TERMS = ('tactile_link_pressure', 'tactile_link_valid', 'gravity_palm', 'gravity_valid', 'grip_class')


@dataclass(frozen=True, slots=True, eq=False)
class Layout:
    """Columns of one network.

    Attributes:
        terms: names of the observation terms, in order.
        sizes: numbers per term.
        steps: observations in a stack, oldest first.
        fingers: (n_fingers, m) columns of the flat stack that belong to each finger, same meaning in each row.
        hand: (k,) columns that belong to no finger.
    """

    terms: tuple[str, ...]
    sizes: tuple[int, ...]
    steps: int
    fingers: NDArray[np.intp]
    hand: NDArray[np.intp]

    @property
    def width(self) -> int:
        """Numbers of one observation."""
        return sum(self.sizes)

    def flat(self, observation: Mapping[str, Array32]) -> Array32:
        """One observation as rows of numbers, pressures squashed, not yet normalised, (batch, width)."""
        columns = [squashed(name, observation[name]) for name in self.terms]
        return np.concatenate(columns, axis=1).astype(np.float32, copy=False)


def is_pressure(term: str) -> bool:
    """Whether a term is a pressure in kPa."""
    return term.endswith('_pressure')


def squashed(term: str, value: Array32) -> Array32:
    """Pressures as p / (p + 10 kPa), all else as it is."""
    return value / (value + np.float32(HALF_PRESSURE_KPA)) if is_pressure(term) else value


def policy_terms(touch: bool) -> tuple[str, ...]:
    """What a network reads; without touch, no term that comes from a tactile cell."""
    return tuple(t for t in (*FINGER_TERMS, *HAND_TERMS) if touch or not t.startswith('tactile'))


def make_layout(hand: HandModel, names: Sequence[str], steps: int) -> Layout:
    """Sort the columns of a stack of observations by finger.

    Args:
        hand: the hand.
        names: observation terms.
        steps: observations in a stack, oldest first.

    Raises:
        UnknownName: a term that no hand can build, e.g. a privileged one.
        ConfigError: no term, or no step.
    """
    table = terms(hand)
    if not names or steps < 1:
        raise ConfigError(f'a network of {len(names)} terms and {steps} steps sees nothing; both need at least one')
    fingers: list[list[int]] = [[] for _ in hand.fingers]
    rest: list[int] = []
    sizes = []
    for name in names:
        if name not in table:
            raise UnknownName('observation term', name, table)
        sizes.append(len(table[name].elements))
    width, start = sum(sizes), 0
    for name, size in zip(names, sizes, strict=True):
        owners = [_owner(hand, element) for element in table[name].elements]
        counts = {owners.count(f) for f in range(len(hand.fingers))}
        shared = None not in owners and len(counts) == 1
        for step in range(steps):
            for k, owner in enumerate(owners):
                column = step * width + start + k
                (fingers[owner] if shared and owner is not None else rest).append(column)
        start += size
    return Layout(tuple(names), tuple(sizes), steps, np.array(fingers, dtype=np.intp), np.array(rest, dtype=np.intp))


def _owner(hand: HandModel, element: str) -> int | None:
    for f, finger in enumerate(hand.fingers):
        if element in finger.joints or element.startswith(f'{finger.name}_'):
            return f
    return None
