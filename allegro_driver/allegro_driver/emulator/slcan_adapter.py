"""A serial CAN adapter as its host sees it: SLCAN commands in, answers and frames out. No I/O.

The command set is Lawicel's, as CANUSB and its many relatives have it: ``C`` close, ``Sn`` bit rate (``S8`` 1 Mbit/s),
``O`` open, ``L`` open to listen only, ``t``/``r`` transmit a data or remote frame, ``T``/``R`` the same with 29-bit
identifiers (no Allegro hand has those), ``V`` and ``N`` version and serial number, ``F`` status flags, ``Zn`` time
stamps. Good commands are answered with a carriage return, bad ones with BEL.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from allegro_driver.link.slcan import LineSplitter, decode_line, encode_line
from allegro_driver.protocol.can_frames import CanFrame

OK, REFUSED = b'\r', b'\a'
FLAG_BUS_OFF = 0xA0       # bus error and error passive
STAMP_WRAP_MS = 60_000
_RATES = frozenset(b'012345678')
_FAST = b'8'              # 1 Mbit/s, the only rate at which a hand is heard
_EXTENDED = re.compile(rb'(T[0-9A-Fa-f]{8}([0-8])|R[0-9A-Fa-f]{8}[0-8])[0-9A-Fa-f]*')


class SlcanAdapter:
    """Closed at first, at 1 Mbit/s, without time stamps.

    Attributes:
        bus_off: the bus is down: transmissions are refused and ``F`` tells.
        ignored: frames with 29-bit identifiers, which reach the bus but no hand.
    """

    def __init__(self, clock_ms: Callable[[], int]) -> None:
        """``clock_ms`` is the adapter's clock for time stamps."""
        self._clock = clock_ms
        self.bus_off = False
        self.ignored = 0
        self.reset()

    def reset(self) -> None:
        """Unplug and plug in again."""
        self._lines = LineSplitter()
        self._rate = _FAST
        self._open = self._listening = self._stamps = False

    @property
    def hears(self) -> bool:
        """Whether frames on the bus reach the host."""
        return self._open and self._rate == _FAST

    def feed(self, data: bytes) -> tuple[bytes, list[CanFrame]]:
        """Take bytes of the host.

        Returns:
            What to answer, and the frames that go on the bus.
        """
        answers, frames = bytearray(), []
        for line in self._lines.feed(data):
            answer, frame = self._obey(line)
            answers += answer
            if frame is not None:
                frames.append(frame)
        return bytes(answers), frames

    def line(self, frame: CanFrame) -> bytes:
        """The line that tells the host about a frame on the bus; empty while it does not hear."""
        if not self.hears or self.bus_off:
            return b''
        line = encode_line(frame)
        return line[:-1] + b'%04X\r' % (self._clock() % STAMP_WRAP_MS) if self._stamps else line

    def _obey(self, line: bytes) -> tuple[bytes, CanFrame | None]:
        command, rest = line[:1], line[1:]
        if command in (b't', b'r', b'T', b'R'):
            return self._transmit(line)
        if command == b'C' and not rest:
            self._open = False
            return OK, None
        if command in (b'O', b'L') and not rest and not self._open:
            self._open, self._listening = True, command == b'L'
            return OK, None
        if command == b'S' and len(rest) == 1 and rest[0] in _RATES and not self._open:
            self._rate = rest
            return OK, None
        if command == b'Z' and rest in (b'0', b'1') and not self._open:
            self._stamps = rest == b'1'
            return OK, None
        if line in (b'V', b'N'):
            return (b'V1013' if line == b'V' else b'NA123') + OK, None
        if line == b'F' and self._open:
            return b'F%02X' % (FLAG_BUS_OFF if self.bus_off else 0) + OK, None
        return REFUSED, None

    def _transmit(self, line: bytes) -> tuple[bytes, CanFrame | None]:
        if not self._open or self._listening or self.bus_off:
            return REFUSED, None
        extended = _EXTENDED.fullmatch(line)
        if extended is not None:
            if len(line) != 10 + 2 * int(extended[2] or 0):
                return REFUSED, None
            self.ignored += 1
            return b'Z' + OK, None
        frame = decode_line(line)
        if frame is None or len(line) != 5 + 2 * len(frame.data):
            return REFUSED, None
        return b'z' + OK, frame if self._rate == _FAST else None
