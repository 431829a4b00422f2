"""What may happen to CAN frames."""

from __future__ import annotations

import random

from allegro_driver.emulator.seams import LINK_FAULTS
from allegro_driver.protocol.can_frames import CanFrame

CAN_LINK_FAULTS = LINK_FAULTS | {'bus_off'}
FIRST_UNKNOWN = 0x400   # no message of any hand of the family has an identifier from here on


def spoil_frame(frame: CanFrame, dice: random.Random) -> CanFrame:
    """Change one bit of the identifier, one byte, or the length.

    A bus notices such damage by itself; a bad adapter or serial line may not.
    """
    kind = dice.randrange(4)
    data = frame.data
    if not data or kind == 0:
        return frame._replace(identifier=frame.identifier ^ 1 << dice.randrange(11))
    if kind == 1:
        return frame._replace(data=data[:dice.randrange(len(data))])
    place = dice.randrange(len(data))
    changed = data[place] ^ dice.randrange(1, 256)
    return frame._replace(data=data[:place] + bytes((changed,)) + data[place + 1:])


def junk_frame(dice: random.Random) -> CanFrame:
    """A frame of an identifier that no hand uses."""
    return CanFrame(dice.randrange(FIRST_UNKNOWN, 0x800), dice.randbytes(dice.randrange(9)))


def forge_frame(frame: CanFrame) -> CanFrame:
    """The same message of the hand with another device number, every bit of the data turned over."""
    return frame._replace(identifier=frame.identifier ^ 1, data=bytes(byte ^ 0xFF for byte in frame.data))
