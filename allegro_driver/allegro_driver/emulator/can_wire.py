"""Any CAN interface of python-can: the emulated hand is one more node on that bus."""

from __future__ import annotations

import contextlib
import os
import random
import threading
from collections import deque
from collections.abc import Sequence

from allegro_description.errors import ConfigError, LinkError

from allegro_driver.emulator.can_faults import CAN_LINK_FAULTS, forge_frame, junk_frame, spoil_frame
from allegro_driver.emulator.seams import Peer
from allegro_driver.link.can_bus import PythonCanPort, parse_can_address
from allegro_driver.protocol.can_frames import CanFrame

_LISTEN_S = 0.1        # how long the listening thread takes to notice the end
_MOST_WAITING = 4096   # frames; an adapter's queue ends somewhere too


class CanBusWire:
    """Implements :class:`.seams.Wire` for frames.

    Interfaces that cannot be waited on with a file (all but SocketCAN) are heard by a thread.
    """

    kind = 'can'
    faults = CAN_LINK_FAULTS
    bus_off = False

    def __init__(self, address: str) -> None:
        """Describe it; the bus is not joined yet.

        Args:
            address: ``INTERFACE:CHANNEL``.

        Raises:
            ConfigError: malformed, or with a device number.
        """
        self._address = parse_can_address(address)
        if '#' in address:
            raise ConfigError(f'wire is {address!r}: give the device number with --device-id')
        self._port: PythonCanPort | None = None
        self._thread: threading.Thread | None = None
        self._over = threading.Event()
        self._waiting: deque[CanFrame] = deque(maxlen=_MOST_WAITING)
        self._bell: tuple[int, int] | None = None
        self._descriptor = -1

    @property
    def address(self) -> str:
        """``INTERFACE:CHANNEL``."""
        return str(self._address)

    def open(self) -> None:
        """Join the bus.

        Raises:
            LinkError: it cannot be opened; the message says what to do.
            MissingDependency: python-can, or what it needs for this interface, is not installed.
        """
        self._port = PythonCanPort(self._address)
        shared = self._port.share(())
        if shared is not None:
            self._descriptor = shared.descriptor
            return
        self._bell = os.pipe()
        for end in self._bell:
            os.set_blocking(end, False)
        self._descriptor = self._bell[0]
        self._over.clear()
        self._thread = threading.Thread(target=self._listen, args=(self._port, self._bell[1]), daemon=True,
                                        name='hand_emulator_bus')
        self._thread.start()

    def close(self) -> None:
        """Leave the bus; safe to call again."""
        self._over.set()
        if self._thread is not None:
            self._thread.join(timeout=10 * _LISTEN_S)
        if self._port is not None:
            self._port.close()
        for end in self._bell or ():
            os.close(end)
        self._port = self._thread = self._bell = None

    def descriptors(self) -> Sequence[int]:
        """The bus, or what the listening thread rings."""
        return () if self._port is None else (self._descriptor,)

    def receive(self) -> tuple[CanFrame, Peer] | None:
        """Return the next frame of somebody else, or None."""
        if self._thread is None:
            with contextlib.suppress(LinkError):
                got = None if self._port is None else self._port.receive(0.0)
                return None if got is None else (got[0], None)
            return None
        try:
            return self._waiting.popleft(), None
        except IndexError:
            if self._bell is not None:
                with contextlib.suppress(BlockingIOError):
                    os.read(self._bell[0], 4096)
        # A frame may have come between the two lines above; its ring may have been read with the others'.
        return (self._waiting.popleft(), None) if self._waiting else None

    def send(self, unit: CanFrame, to: Peer, forged: bool = False) -> bool:
        """Put a frame on the bus.

        Raises:
            LinkError: the bus does not take it.
        """
        if self._port is None:
            return False
        self._port.send(unit)
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

    def _listen(self, port: PythonCanPort, bell: int) -> None:
        while not self._over.is_set():
            try:
                got = port.receive(_LISTEN_S)
            except LinkError:
                self._over.wait(_LISTEN_S)
                continue
            if got is not None:
                self._waiting.append(got[0])
                with contextlib.suppress(BlockingIOError):
                    os.write(bell, b'\0')
