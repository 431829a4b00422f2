"""Host and hand of every model on CAN, without a bus between them."""

from __future__ import annotations

import numpy as np
from allegro_description.model import available_hands, load_hand
from allegro_driver.hardware import CODECS
from allegro_driver.protocol.can_commands import (
    Torque,
)
from allegro_driver.protocol.can_hand import CAN_HANDS
from hypothesis import settings
from hypothesis import strategies as st

HANDS = tuple(name for name in available_hands() if 'can' in load_hand(*name.rsplit('_', 1)).protocol)
MODELS = {name: load_hand(*name.rsplit('_', 1)) for name in HANDS}
RIGHT = tuple(name for name in HANDS if name.endswith('right'))
finite = st.floats(allow_nan=False, allow_infinity=False)
few = settings(max_examples=20, deadline=None)


def pair(name, **switches):
    """Host and hand of a model, with these switches on both sides."""
    model = MODELS[name]
    entry = {**model.protocol['can'], **switches}
    return CODECS.load(entry['codec'])(model, entry), CAN_HANDS[entry['codec']](model, entry, 0)


def last(session, frames):
    message = None
    for frame in frames:
        message = session.decode(frame)
    return message


def values(size, low, high):
    return st.lists(st.floats(low, high), min_size=size, max_size=size).map(np.array)


def torques(hand, frames, size):
    """The torque field of all joints, as the hand reads it."""
    counts = np.full(size, np.nan)
    for frame in frames:
        command = hand.decode(frame)
        assert isinstance(command, Torque)
        counts[hand.joints.slices[command.finger]] = command.counts
    return counts
