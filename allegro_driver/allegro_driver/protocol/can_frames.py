"""CAN frames of the Allegro family: 11-bit identifiers that carry a message and a device number. No I/O.

On the wire an identifier is ``message << 2 | device``. The vendor's headers list unshifted message numbers; this suite
says *message* for those and *identifier* for what the wire carries, and only :func:`wire_id` joins them.
"""

from __future__ import annotations

from typing import NamedTuple

from allegro_description.errors import ProtocolError


class CanFrame(NamedTuple):
    """One classic CAN 2.0A frame.

    Attributes:
        identifier: 11 bits, as on the wire.
        data: up to 8 bytes; empty for remote frames.
        remote: a request (RTR) for the frame of this identifier.
    """

    identifier: int
    data: bytes = b''
    remote: bool = False

    @property
    def message(self) -> int:
        """Message number, 9 bits."""
        return self.identifier >> 2

    @property
    def device(self) -> int:
        """Device number, 0 … 3."""
        return self.identifier & 3

    def __str__(self) -> str:
        """As candump and cansend write it, e.g. ``180#0200CB0042002500`` or ``200#R``."""
        return f'{self.identifier:03X}#' + ('R' if self.remote else self.data.hex().upper())


def wire_id(message: int, device: int = 0) -> int:
    """Identifier of a message for a device.

    Raises:
        ProtocolError: a number that does not fit its field.
    """
    if not (0 <= message < 512 and 0 <= device < 4):
        raise ProtocolError(f'message 0x{message:x} and device {device}: allowed are 0 … 0x1ff and 0 … 3')
    return message << 2 | device


def parse_frame(text: str) -> CanFrame:
    """Read what candump and cansend write, e.g. ``080#CAFDBDFE90FFCEFF`` or ``200#R``; spaces are ignored.

    Raises:
        ProtocolError: not such a text.
    """
    left, mark, right = text.replace(' ', '').partition('#')
    try:
        identifier = int(left, 16)
        data = b'' if right.upper() == 'R' else bytes.fromhex(right)
    except ValueError:
        mark = ''
        identifier, data = 0, b''
    if not mark or not 0 <= identifier < 2048 or len(data) > 8:
        raise ProtocolError(f'{text!r} is no CAN frame; write IDENTIFIER#HEXBYTES, e.g. 180#0200CB0042002500, or 200#R')
    return CanFrame(identifier, data, right.upper() == 'R')
