"""UDP link to one hand.

The kernel stamps every datagram on arrival (``SO_TIMESTAMPNS``, Linux), so that latencies count from the moment the
sample reached this machine and not from when Python got to see it.

Waiting and receiving are one call of the system, which counts hundreds of times a second: the socket blocks, but not
until the very end of the wait, because the system rounds the time of a blocking call to its own ticks.
"""

from __future__ import annotations

import errno
import ipaddress
import select
import socket
import struct
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from allegro_description.errors import ConfigError, LinkError

from allegro_driver.link.base import LinkCounts, SharedSend

_SO_TIMESTAMPNS = 35  # Linux (asm-generic/socket.h); Python has no name for it
_TIMESPEC = struct.Struct('@qq')
_ANCILLARY = socket.CMSG_SPACE(_TIMESPEC.size)
_TIMEVAL = struct.Struct('@ll')
_LARGEST = 2048  # bytes; the biggest packet of the protocol has 272
_EXACT_MS = 10  # so much of the end of a wait is left to poll(), which keeps time


@dataclass(frozen=True, slots=True)
class Address:
    """Where the hand is and where this machine listens. ``local`` 0 lets the system choose."""

    ip: str
    peer: int
    local: int

    def __str__(self) -> str:
        return f'{self.ip}:{self.peer}'


def parse_address(text: str, *, peer: int = 7000, local: int = 8000) -> Address:
    """Read ``IP``, ``IP:PEER_PORT`` or ``IP:PEER_PORT:LOCAL_PORT``.

    Args:
        text: e.g. ``192.168.0.50:7000:8000``.
        peer: the hand's port where ``text`` has none.
        local: this machine's port where ``text`` has none.

    Raises:
        ConfigError: not such an address; the message shows the form.
    """
    form = 'write IP, IP:PEER_PORT or IP:PEER_PORT:LOCAL_PORT, e.g. 192.168.0.50:7000:8000'
    ip, *ports = text.strip().split(':')
    try:
        ipaddress.IPv4Address(ip)
    except ValueError:
        raise ConfigError(f'address {text!r}: {ip!r} is no IPv4 address; {form}') from None
    if len(ports) > 2 or not all(p.isascii() and p.isdigit() and int(p) <= 65535 for p in ports):
        raise ConfigError(f'address {text!r}: ports are whole numbers up to 65535; {form}')
    numbers = [int(p) for p in ports] + [peer, local][len(ports):]
    if numbers[0] == 0:
        raise ConfigError(f"address {text!r}: the hand's port cannot be 0; {form}")
    return Address(ip, numbers[0], numbers[1])


class UdpLink:
    """Datagrams to and from one hand; what others send to our port is counted and ignored."""

    def __init__(self, address: str, *, peer: int = 7000, local: int = 8000) -> None:
        """Describe the link; nothing is opened yet.

        Args:
            address: see :func:`parse_address`.
            peer: default port of the hand.
            local: default port of this machine. (Not 7000: Fast DDS may hold that one.)

        Raises:
            ConfigError: the address is malformed.
        """
        self.address = parse_address(address, peer=peer, local=local)
        self.counts = LinkCounts()
        self.arrival_ns = 0
        self._to = (self.address.ip, self.address.peer)
        self._socket: socket.socket | None = None
        self._poll = select.poll()
        self._stamped = False
        self._blocking_ms = 0

    @classmethod
    def from_description(cls, address: str, settings: Mapping[str, Any]) -> UdpLink:
        """Build it from the ``udp`` entry of a hand description; '' as address means the hand's factory address.

        Raises:
            ConfigError: the address is malformed.
        """
        return cls(address or settings['hand_address'], peer=int(settings['port']), local=int(settings['pc_port']))

    @property
    def peer(self) -> str:
        """The hand's ``IP:PORT``."""
        return str(self.address)

    @property
    def local_port(self) -> int:
        """The port this machine listens on; 0 while closed."""
        return 0 if self._socket is None else int(self._socket.getsockname()[1])

    def fileno(self) -> int:
        """The socket's descriptor.

        Raises:
            LinkError: closed.
        """
        return self._opened().fileno()

    def share(self, units: Sequence[bytes]) -> SharedSend:
        """The socket and the hand's address.

        Raises:
            LinkError: closed.
        """
        return SharedSend(self.fileno(), tuple(units), self._to)

    def open(self) -> None:
        """Bind the local port (127.0.0.1 only, when the hand is there too).

        Raises:
            LinkError: the port is taken or forbidden; the message says what to do.
        """
        if self._socket is not None:
            return
        here = '127.0.0.1' if ipaddress.IPv4Address(self.address.ip).is_loopback else '0.0.0.0'
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        try:
            self._blocking_ms = 0
            try:
                sock.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
                self._stamped = True
            except OSError:
                self._stamped = False
            sock.bind((here, self.address.local))
        except OSError as error:
            sock.close()
            port = self.address.local
            if error.errno == errno.EADDRINUSE:
                raise LinkError(
                    f'UDP port {port} on this machine is in use, perhaps by another driver. Stop that one, or choose '
                    f'another local port: {self.address.ip}:{self.address.peer}:{port + 1}'
                ) from error
            raise LinkError(f'cannot listen on UDP port {port} of this machine: {error.strerror}') from error
        self._socket = sock
        self._poll.register(sock, select.POLLIN)

    def send(self, data: bytes) -> None:
        """Send one datagram to the hand.

        Raises:
            LinkError: closed, no route, or another error of the socket.
        """
        try:
            self._opened().sendto(data, socket.MSG_DONTWAIT, self._to)
        except LinkError:
            raise
        except OSError as error:
            self.counts.errors += 1
            raise LinkError(f'cannot send to {self.peer}: {error.strerror}; check cable and network') from error
        self.counts.sent += 1

    def receive(self, timeout_s: float) -> bytes | None:
        """Return the next datagram of the hand, or None after ``timeout_s`` seconds. Zero only looks.

        Raises:
            LinkError: closed or broken.
        """
        sock = self._opened()
        deadline = time.monotonic() + timeout_s
        flags, waited = 0, timeout_s <= 0
        if not self._block(sock, timeout_s):
            flags = socket.MSG_DONTWAIT
            waited = waited or not self._poll.poll(timeout_s * 1000)
        while True:
            try:
                data, ancillary, _, sender = sock.recvmsg(_LARGEST, _ANCILLARY, flags)
            except BlockingIOError:
                if waited:
                    return None
                flags = socket.MSG_DONTWAIT
                left = deadline - time.monotonic()
                waited = left <= 0 or not self._poll.poll(left * 1000)
                continue
            except OSError as error:
                self.counts.errors += 1
                raise LinkError(f'cannot receive from {self.peer}: {error.strerror}') from error
            if sender != self._to:
                self.counts.foreign += 1
                flags = socket.MSG_DONTWAIT
                waited = waited or time.monotonic() > deadline
                continue
            self.counts.received += 1
            self.arrival_ns = self._arrival(ancillary)
            return data

    def close(self) -> None:
        """Close the socket. Does nothing when closed."""
        sock, self._socket = self._socket, None
        if sock is not None:
            self._poll.unregister(sock)
            sock.close()

    def _block(self, sock: socket.socket, timeout_s: float) -> bool:
        """Let the socket block for most of a long wait; False for one that is too short for that."""
        milliseconds = int(timeout_s * 1000) - _EXACT_MS
        if milliseconds <= 0:
            return False
        if milliseconds != self._blocking_ms:  # seldom: waits differ by less than a millisecond
            timeval = _TIMEVAL.pack(milliseconds // 1000, milliseconds % 1000 * 1000)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, timeval)
            self._blocking_ms = milliseconds
        return True

    def _opened(self) -> socket.socket:
        if self._socket is None:
            raise LinkError(f'the link to {self.peer} is not open')
        return self._socket

    def _arrival(self, ancillary: list[tuple[int, int, bytes]]) -> int:
        now = time.monotonic_ns()
        if self._stamped and ancillary:
            seconds, nanoseconds = _TIMESPEC.unpack(ancillary[0][2])
            age = time.time_ns() - (seconds * 1_000_000_000 + nanoseconds)
            if 0 <= age < 1_000_000_000:  # otherwise the wall clock was set meanwhile
                return now - int(age)
        return now
