"""A pseudo-terminal that is a serial CAN adapter (SLCAN) with the hand on its bus.

Drivers open it as ``slcan:PATH``, ``slcand`` makes a ``canX`` of it. Clients may come and go: a hang-up unplugs the
adapter until somebody opens the terminal again.
"""

from __future__ import annotations

import contextlib
import os
import random
import select
import time
import tty
from collections import deque
from collections.abc import Sequence
from pathlib import Path

from allegro_description.errors import LinkError

from allegro_driver.emulator.can_faults import CAN_LINK_FAULTS, forge_frame, junk_frame, spoil_frame
from allegro_driver.emulator.seams import Peer
from allegro_driver.emulator.slcan_adapter import SlcanAdapter
from allegro_driver.protocol.can_frames import CanFrame

_CHUNK = 4096
_MOST_ANSWERS = 4096   # bytes of answers kept for a host that does not read


class SlcanWire:
    """Implements :class:`.seams.Wire` for frames."""

    kind = 'slcan'
    faults = CAN_LINK_FAULTS

    def __init__(self, link: str = '') -> None:
        """Describe it; nothing is made yet.

        Args:
            link: where to put a symbolic link to the terminal; '' makes none.
        """
        self._link = Path(link).absolute() if link else None
        self._adapter = SlcanAdapter(lambda: int(time.monotonic() * 1000.0))
        self._file: int | None = None
        self._poll = select.poll()
        self._present = False
        self._rest = b''
        self._frames: deque[CanFrame] = deque()
        self.path = ''

    @property
    def bus_off(self) -> bool:
        """Whether the adapter reports bus off."""
        return self._adapter.bus_off

    @bus_off.setter
    def bus_off(self, value: bool) -> None:
        self._adapter.bus_off = value

    @property
    def address(self) -> str:
        """``slcan:PATH``; the link where there is one."""
        return f'slcan:{self._link or self.path}'

    def open(self) -> None:
        """Make the terminal and its link.

        Raises:
            LinkError: no terminal can be had, or something else lies where the link should be.
        """
        try:
            self._file, client = os.openpty()
        except OSError as error:
            raise LinkError(f'cannot make a pseudo-terminal: {error.strerror}; is /dev/pts mounted?') from error
        self.path = os.ttyname(client)
        tty.setraw(client)
        os.close(client)
        os.set_blocking(self._file, False)
        self._poll.register(self._file, select.POLLIN)
        try:
            self._make_link()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Remove link and terminal; safe to call again."""
        if self._file is None:
            return
        if self._link is not None:
            with contextlib.suppress(OSError):
                if os.readlink(self._link) == self.path:
                    self._link.unlink()
        self._poll.unregister(self._file)
        os.close(self._file)
        self._file = None
        self._hang_up()

    def descriptors(self) -> Sequence[int]:
        """The terminal, while somebody has it open or has left words: else a poll would return at once, for ever."""
        if self._file is None:
            return ()
        if not self._present:
            events = dict(self._poll.poll(0)).get(self._file, 0)
            self._present = not events & select.POLLHUP or bool(events & select.POLLIN)
        return (self._file,) if self._present else ()

    def receive(self) -> tuple[CanFrame, Peer] | None:
        """Return the next frame that the host put on the bus, or None."""
        while not self._frames:
            if self._file is None or not self._present:
                return None
            try:
                data = os.read(self._file, _CHUNK)
            except BlockingIOError:
                return None
            except OSError:  # EIO: the last client has closed the terminal
                self._hang_up()
                return None
            answers, frames = self._adapter.feed(data)
            self._frames.extend(frames)
            if len(self._rest) < _MOST_ANSWERS:
                self._write(answers)
        return self._frames.popleft(), None

    def send(self, unit: CanFrame, to: Peer, forged: bool = False) -> bool:
        """Tell the host about a frame; False while it does not listen, or does not read what it was sent before."""
        if self._rest and not self._write(b''):
            return False
        line = self._adapter.line(unit) if self._present else b''
        if not line:
            return False
        self._write(line)
        return True

    def spoil(self, unit: CanFrame, dice: random.Random) -> CanFrame:
        """See :func:`.can_faults.spoil_frame`."""
        return spoil_frame(unit, dice)

    def junk(self, dice: random.Random) -> CanFrame:
        """See :func:`.can_faults.junk_frame`."""
        return junk_frame(dice)

    def forge(self, unit: CanFrame) -> CanFrame:
        """See :func:`.can_faults.forge_frame`."""
        return forge_frame(unit)

    def _write(self, data: bytes) -> bool:
        """Write what was left and ``data``; True if nothing is left. A line that was begun is finished later."""
        if self._file is None:
            return False
        data = self._rest + data
        try:
            sent = os.write(self._file, data) if data else 0
        except BlockingIOError:
            sent = 0
        except OSError:
            self._hang_up()
            return False
        self._rest = data[sent:]
        return not self._rest

    def _hang_up(self) -> None:
        self._present = False
        self._rest = b''
        self._adapter.reset()

    def _make_link(self) -> None:
        link = self._link
        if link is None:
            return
        try:
            if link.is_symlink() and os.readlink(link).startswith('/dev/pts/'):
                link.unlink()  # left over from an emulator that was killed
            link.symlink_to(self.path)
        except OSError as error:
            raise LinkError(f'cannot make the link {link} to {self.path}: {error.strerror}; remove what lies there, or '
                            'choose another place with --pty-link') from error
