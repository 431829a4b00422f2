"""CAN over a serial line ("SLCAN", Lawicel's text protocol): CANable, USBtin and many others, and pseudo-terminals.

``tIIILDD…`` is a data frame (identifier in three hexadecimal digits, length, bytes), ``rIIIL`` a remote frame; ``C``
closes, ``S8`` sets 1 Mbit/s, ``O`` opens; every line ends with a carriage return. The emulated hands speak it over a
pseudo-terminal, which Linux's ``slcand`` can turn into an ordinary ``can0``.
"""

from __future__ import annotations

import contextlib
import errno
import os
import select
import termios
import time
import tty
from collections import deque
from collections.abc import Sequence

from allegro_description.errors import LinkError

from allegro_driver.link.base import SharedSend
from allegro_driver.protocol.can_frames import CanFrame

OPEN = b'C\rS8\rO\r'
CLOSE = b'C\r'
_LONGEST_LINE = 64   # bytes; the longest frame has 21, with a time stamp 25
_CHUNK = 4096


def encode_line(frame: CanFrame) -> bytes:
    """A frame as a line, carriage return included."""
    if frame.remote:
        return b'r%03X0\r' % frame.identifier
    return b't%03X%d' % (frame.identifier, len(frame.data)) + frame.data.hex().upper().encode() + b'\r'


def decode_line(line: bytes) -> CanFrame | None:
    """The frame of a line (without carriage return), or None for answers, other commands and damaged lines."""
    try:
        if line[:1] == b't':
            size = int(line[4:5])
            data = bytes.fromhex(line[5:5 + 2 * size].decode('ascii'))
            identifier = int(line[1:4], 16)
            return CanFrame(identifier, data) if size <= 8 and len(data) == size and identifier < 2048 else None
        if line[:1] == b'r':
            identifier = int(line[1:4], 16)
            return CanFrame(identifier, b'', True) if identifier < 2048 and len(line) >= 5 else None
    except ValueError:
        pass
    return None


class LineSplitter:
    """Cuts a byte stream into lines; what is no line in time is thrown away."""

    def __init__(self) -> None:
        self._rest = b''

    def feed(self, data: bytes) -> list[bytes]:
        """Complete lines so far, without their ends. BEL, an adapter's "refused", ends a line too."""
        parts = (self._rest + data).replace(b'\a', b'\r').split(b'\r')
        self._rest = parts.pop()[-_LONGEST_LINE:]
        return [part.strip(b'\n') for part in parts if part]


class SlcanPort:
    """A serial adapter, opened at 1 Mbit/s."""

    def __init__(self, device: str) -> None:
        """Open it.

        Raises:
            LinkError: no such device, no permission, or no serial line.
        """
        try:
            self._file = os.open(device, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
        except OSError as error:
            remedy = {
                errno.ENOENT: 'is the adapter plugged in, or the emulator running?',
                errno.EACCES: 'add yourself to the group dialout: sudo usermod -aG dialout $USER, then log in again',
            }.get(error.errno or 0, 'is another program using it?')
            raise LinkError(f'cannot open the serial line {device}: {error.strerror}; {remedy}') from error
        try:
            tty.setraw(self._file, termios.TCSANOW)
            termios.tcflush(self._file, termios.TCIOFLUSH)
        except termios.error as error:
            os.close(self._file)
            raise LinkError(f'{device} is no serial line: {error}') from error
        self._poll = select.poll()
        self._poll.register(self._file, select.POLLIN)
        self._lines = LineSplitter()
        self._frames: deque[tuple[CanFrame, int]] = deque()
        self._write(OPEN)

    def send(self, frame: CanFrame) -> None:
        """Send one frame.

        Raises:
            LinkError: unplugged, or the line takes no more.
        """
        self._write(encode_line(frame))

    def receive(self, timeout_s: float) -> tuple[CanFrame, int] | None:
        """Next frame and its arrival (monotonic ns), or None.

        Raises:
            LinkError: unplugged.
        """
        deadline = time.monotonic() + timeout_s
        while not self._frames:
            left = deadline - time.monotonic()
            if left > 0 and not self._poll.poll(left * 1000):
                return None
            try:
                data = os.read(self._file, _CHUNK)
            except BlockingIOError:
                if left <= 0:
                    return None
                continue
            except OSError as error:
                raise LinkError(f'{error.strerror} (unplugged, or the emulator has ended)') from error
            if not data:
                raise LinkError('the serial line was closed at the other end')
            now = time.monotonic_ns()
            self._frames.extend((f, now) for f in map(decode_line, self._lines.feed(data)) if f is not None)
        return self._frames.popleft()

    def share(self, frames: Sequence[CanFrame]) -> SharedSend:
        """The serial line, and the frames as lines."""
        return SharedSend(self._file, tuple(encode_line(f) for f in frames))

    def close(self) -> None:
        """Close the adapter's channel and the line."""
        with contextlib.suppress(LinkError):
            self._write(CLOSE)
        os.close(self._file)

    def _write(self, data: bytes) -> None:
        try:
            sent = os.write(self._file, data)
        except BlockingIOError:
            raise LinkError('the serial line takes no more frames') from None
        except OSError as error:
            raise LinkError(f'{error.strerror} (unplugged, or the emulator has ended)') from error
        if sent != len(data):
            raise LinkError('the serial line took only part of a frame')
