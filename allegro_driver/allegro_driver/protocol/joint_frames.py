"""One frame of int16 per finger: how joint values lie on the CAN wires of the family, for hosts and hands alike."""

from __future__ import annotations

import math
import struct
from collections.abc import Iterable, Sequence

from allegro_description.errors import ConfigError
from allegro_description.model import HandModel
from allegro_description.state import Array

from allegro_driver.protocol.can_frames import CanFrame, wire_id

PLACES = 4
"""int16 fields of a frame; fingers with fewer joints leave the last ones 0."""


class JointFrames:
    """Where the joints of one hand are. Wire order is canonical order: finger by finger, base to tip.

    Attributes:
        slices: canonical indices of each finger's joints.
        rad_per_count: size of a position count.
    """

    def __init__(self, model: HandModel) -> None:
        """Read the hand's fingers.

        Raises:
            ConfigError: its joints are not listed finger by finger, or a finger has more than four.
        """
        listed = [name for finger in model.fingers for name in finger.joints]
        if listed != list(model.joint_names) or any(not 1 <= len(f.joints) <= PLACES for f in model.fingers):
            raise ConfigError(
                f'{model.name}: CAN hands need their joints listed finger by finger, at most {PLACES} each; '
                f'finger_order gives {listed}, joints gives {list(model.joint_names)}')
        self.rad_per_count = math.radians(model.actuation.position_lsb_deg)
        self.slices: tuple[slice, ...] = ()
        for finger in model.fingers:
            start = self.slices[-1].stop if self.slices else 0
            self.slices += (slice(start, start + len(finger.joints)),)
        self._structs = tuple(
            struct.Struct(f'<{len(f.joints)}h{2 * (PLACES - len(f.joints))}x') for f in model.fingers)

    def unpack(self, finger: int, data: bytes) -> tuple[int, ...]:
        """Counts of a finger's joints from eight bytes."""
        return self._structs[finger].unpack(data)

    def frame(self, message: int, finger: int, counts: Sequence[int], device: int = 0) -> CanFrame:
        """The frame of one finger; ``message`` is that of the first finger, ``counts`` those of its joints."""
        return CanFrame(wire_id(message + finger, device), self._structs[finger].pack(*counts))

    def frames(self, message: int, counts: Sequence[int], device: int = 0) -> tuple[CanFrame, ...]:
        """The frames of all fingers from the counts of all joints, int16 each."""
        identifier = message << 2 | device
        return tuple([
            CanFrame(identifier + 4 * finger, layout.pack(*counts[joints]))
            for finger, (layout, joints) in enumerate(zip(self._structs, self.slices, strict=True))
        ])


def rounded(values: Array | Iterable[float], unit: float, limit: int = 32767) -> list[int]:
    """Counts of ``unit``, rounded to the nearest with halves away from zero, saturated at ``±limit``."""
    counts = []
    for value in values.tolist() if hasattr(values, 'tolist') else values:
        count = int(min(abs(value) / unit, limit) + 0.5)
        counts.append(-count if value < 0 else count)
    return counts
