"""CAN link to one hand.

Addresses are ``INTERFACE:CHANNEL``, with ``#N`` behind for device number N on the bus: ``socketcan:can0``,
``socketcan:can0#1``, ``pcan:PCAN_USBBUS1``, ``slcan:/dev/ttyACM0``. ``slcan`` is :mod:`.slcan` of this suite, because
python-can reads serial lines byte by byte, too slowly for 333 Hz; everything else is python-can's.
"""

from __future__ import annotations

import re
import select
import struct
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from allegro_description.errors import ConfigError, LinkError, MissingDependency

from allegro_driver.link.base import LinkCounts, SharedSend
from allegro_driver.link.slcan import SlcanPort
from allegro_driver.protocol.can_frames import CanFrame

BITRATE = 1_000_000
_ADDRESS = re.compile(r'(?P<interface>[a-z0-9_]+):(?P<channel>[^#]+?)(?:#(?P<device>[0-3]))?')
_SOCKETCAN_FRAME = struct.Struct('<IB3x8s')  # struct can_frame of linux/can.h
_RTR_FLAG = 0x4000_0000


@dataclass(frozen=True, slots=True)
class CanAddress:
    """Where a hand is on which bus."""

    interface: str
    channel: str
    device: int = 0

    def __str__(self) -> str:
        return f'{self.interface}:{self.channel}' + (f'#{self.device}' if self.device else '')


def parse_can_address(text: str) -> CanAddress:
    """Read ``INTERFACE:CHANNEL[#DEVICE]``.

    Raises:
        ConfigError: not such an address; the message shows the form.
    """
    match = _ADDRESS.fullmatch(text.strip())
    if match is None:
        raise ConfigError(
            f'CAN address {text!r}: write INTERFACE:CHANNEL[#DEVICE], e.g. socketcan:can0, socketcan:can0#1, '
            'pcan:PCAN_USBBUS1 or slcan:/dev/ttyACM0; DEVICE is 0 … 3')
    return CanAddress(match['interface'], match['channel'], int(match['device'] or 0))


class CanPort(Protocol):
    """An open bus: frames out and in, nothing filtered."""

    def send(self, frame: CanFrame) -> None:
        """Send; OSError or python-can's CanError where it fails."""
        ...

    def receive(self, timeout_s: float) -> tuple[CanFrame, int] | None:
        """Next frame and its arrival (monotonic ns), or None."""
        ...

    def share(self, frames: Sequence[CanFrame]) -> SharedSend | None:
        """See :meth:`allegro_driver.link.base.Link.share`."""
        ...

    def close(self) -> None:
        """Leave the bus."""
        ...


class PythonCanPort:
    """A bus of python-can."""

    def __init__(self, address: CanAddress) -> None:
        """Open it.

        Raises:
            MissingDependency: python-can is not installed.
            LinkError: the bus cannot be opened; for a SocketCAN interface the message holds the command that brings
                it up.
        """
        try:
            import can
        except ImportError:
            raise MissingDependency(
                'CAN needs the package python-can: pip install "allegro_driver[can]" (slcan: works without)') from None
        self._errors = (can.CanError, OSError, ValueError)
        self._message = can.Message
        own: dict[str, Any] = {} if address.interface in ('socketcan', 'virtual') else {'bitrate': BITRATE}
        try:
            self._bus: Any = can.Bus(interface=address.interface, channel=address.channel, **own)
        except self._errors as error:
            raise LinkError(f'cannot open the CAN bus {address}: {error}. {remedy(address)}') from error
        except ImportError as error:
            raise MissingDependency(f'the CAN interface {address.interface} needs a package: {error}') from error
        self._socket = address.interface == 'socketcan'
        # python-can's own time-out costs a context manager per frame; a poll object does not.
        self._poll = None
        if self._socket:
            self._poll = select.poll()
            self._poll.register(self._bus.fileno(), select.POLLIN)

    def send(self, frame: CanFrame) -> None:
        """Send one frame.

        Raises:
            LinkError: it could not be queued.
        """
        try:
            self._bus.send(self._message(
                arbitration_id=frame.identifier, data=frame.data, is_remote_frame=frame.remote, is_extended_id=False))
        except self._errors as error:
            raise LinkError(str(error)) from error

    def receive(self, timeout_s: float) -> tuple[CanFrame, int] | None:
        """Next classic frame; error and extended frames are passed over.

        Raises:
            LinkError: the bus is broken.
        """
        deadline = time.monotonic() + timeout_s
        while True:
            left = max(deadline - time.monotonic(), 0.0)
            if self._poll is not None and left > 0 and not self._poll.poll(left * 1000):
                return None
            try:
                message = self._bus.recv(0.0 if self._poll is not None else left)
            except self._errors as error:
                raise LinkError(str(error)) from error
            if message is None:
                if time.monotonic() >= deadline:
                    return None
                continue
            if message.is_error_frame or message.is_extended_id:
                continue
            frame = CanFrame(message.arbitration_id, bytes(message.data), bool(message.is_remote_frame))
            return frame, _arrival(message.timestamp)

    def share(self, frames: Sequence[CanFrame]) -> SharedSend | None:
        """SocketCAN sockets can be inherited; other interfaces live in this process only."""
        if not self._socket:
            return None
        payloads = [
            _SOCKETCAN_FRAME.pack(f.identifier | (_RTR_FLAG if f.remote else 0), len(f.data), f.data.ljust(8, b'\0'))
            for f in frames
        ]
        return SharedSend(int(self._bus.fileno()), tuple(payloads))

    def close(self) -> None:
        """Leave the bus."""
        self._bus.shutdown()


class CanLink:
    """Frames to and from the hand with one device number; what others on the bus say is counted and ignored."""

    def __init__(self, address: str) -> None:
        """Describe the link; nothing is opened yet.

        Raises:
            ConfigError: the address is malformed.
        """
        self.address = parse_can_address(address)
        self.counts = LinkCounts()
        self.arrival_ns = 0
        self._port: CanPort | None = None

    @classmethod
    def from_description(cls, address: str, settings: Mapping[str, Any]) -> CanLink:
        """Build it from the ``can`` entry of a hand description; '' as address means its ``default_address``.

        Raises:
            ConfigError: the address is malformed.
        """
        return cls(address or settings['default_address'])

    @property
    def peer(self) -> str:
        """Bus and device."""
        return str(self.address)

    def open(self) -> None:
        """Join the bus.

        Raises:
            LinkError: it cannot be opened; the message says what to do.
            MissingDependency: python-can, or what it needs for this interface, is not installed.
        """
        if self._port is None:
            slcan = self.address.interface == 'slcan'
            self._port = SlcanPort(self.address.channel) if slcan else PythonCanPort(self.address)

    def send(self, unit: CanFrame) -> None:
        """Send one frame; the device number is added to its identifier.

        Raises:
            LinkError: closed, or the bus does not take it (bus off, unplugged).
        """
        port = self._opened()
        try:
            port.send(unit._replace(identifier=unit.identifier & ~3 | self.address.device))
        except LinkError as error:
            self.counts.errors += 1
            raise LinkError(f'cannot send to {self.peer}: {error}; check cable, power and bit rate') from error
        self.counts.sent += 1

    def receive(self, timeout_s: float) -> CanFrame | None:
        """Return the next frame of the hand, device number removed, or None after ``timeout_s``. Zero only looks.

        Raises:
            LinkError: closed or broken.
        """
        port, device = self._opened(), self.address.device
        deadline = time.monotonic() + timeout_s
        while True:
            try:
                got = port.receive(max(deadline - time.monotonic(), 0.0))
            except LinkError as error:
                self.counts.errors += 1
                raise LinkError(f'cannot receive from {self.peer}: {error}') from error
            if got is None:
                return None
            frame, self.arrival_ns = got
            if frame.identifier & 3 == device:
                self.counts.received += 1
                return frame if device == 0 else frame._replace(identifier=frame.identifier & ~3)
            self.counts.foreign += 1
            if timeout_s > 0 and time.monotonic() > deadline:
                return None

    def share(self, units: Sequence[CanFrame]) -> SharedSend | None:
        """How a child process could send these frames; None for buses that live in this process.

        Raises:
            LinkError: closed.
        """
        device = self.address.device
        return self._opened().share([u._replace(identifier=u.identifier & ~3 | device) for u in units])

    def close(self) -> None:
        """Leave the bus. Does nothing when closed."""
        port, self._port = self._port, None
        if port is not None:
            port.close()

    def _opened(self) -> CanPort:
        if self._port is None:
            raise LinkError(f'the link to {self.peer} is not open')
        return self._port


def remedy(address: CanAddress) -> str:
    """What to do when a bus cannot be opened, as a command where there is one."""
    if address.interface == 'socketcan':
        name = address.channel
        return (f'Is the adapter plugged in? `ip -br link show {name}` tells; bring it up with: '
                f'sudo ip link set {name} up type can bitrate {BITRATE} restart-ms 100')
    return 'Check the adapter, its driver, and that no other program holds it; `allegro-hand doctor` looks at them.'


def _arrival(stamp_s: float) -> int:
    now = time.monotonic_ns()
    age = time.time_ns() - round(stamp_s * 1e9)
    return now - age if 0 <= age < 1_000_000_000 else now  # otherwise the wall clock was set, or there is no stamp
