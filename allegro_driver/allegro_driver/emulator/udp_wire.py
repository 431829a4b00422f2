"""UDP: the hand's port."""

from __future__ import annotations

import errno
import random
import socket
from collections.abc import Sequence

from allegro_description.errors import LinkError

from allegro_driver.emulator.seams import LINK_FAULTS, Peer
from allegro_driver.protocol.v5b2_packets import HEADER_SIZE

LARGEST = 65536
_TRIES = 8            # receives that may fail in a row; an earlier datagram that met a closed port makes one fail
_UNKNOWN_TYPE = 0x7F


class UdpWire:
    """Implements :class:`.seams.Wire` for datagrams."""

    kind = 'udp'
    faults = LINK_FAULTS
    bus_off = False

    def __init__(self, host: str, port: int) -> None:
        """Describe it; the port is not taken yet.

        Args:
            host: local address.
            port: 0 takes a free one.
        """
        self._host, self._port = host, port
        self._socket: socket.socket | None = None
        self._stranger: socket.socket | None = None

    @property
    def port(self) -> int:
        """UDP port of the hand; 0 while closed."""
        return port_of(self._socket)

    @property
    def address(self) -> str:
        """IP:PORT:LOCAL_PORT, with a free local port."""
        return f'{self._host}:{self.port}:0'

    def open(self) -> None:
        """Bind the port.

        Raises:
            LinkError: it is in use or not allowed; names the port and the option that chooses another.
        """
        self._socket = bind(self._host, self._port, 'port')

    def close(self) -> None:
        """Close the port; safe to call again."""
        for one in (self._socket, self._stranger):
            if one is not None:
                one.close()
        self._socket = self._stranger = None

    def descriptors(self) -> Sequence[int]:
        """Return the socket's descriptor."""
        return () if self._socket is None else (self._socket.fileno(),)

    def receive(self) -> tuple[bytes, Peer] | None:
        """Return the next datagram and its sender, or None."""
        for _ in range(_TRIES if self._socket is not None else 0):
            try:
                return self._socket.recvfrom(LARGEST)  # type: ignore[union-attr]
            except BlockingIOError:
                return None
            except OSError:
                continue
        return None

    def send(self, unit: bytes, to: Peer, forged: bool = False) -> bool:
        """Send to ``to``; forged datagrams leave from another port.

        Raises:
            LinkError: nobody listens there, or the buffer is full.
        """
        if forged and self._stranger is None:
            self._stranger = bind(self._host, 0, 'port')
        one = self._stranger if forged else self._socket
        if one is None or to is None:
            return False
        try:
            one.sendto(unit, to)
        except OSError as error:
            raise LinkError(f'cannot send to {to[0]}:{to[1]}: {error}') from error
        return True

    def spoil(self, unit: bytes, dice: random.Random) -> bytes:
        """Change one byte to another value."""
        return spoil_bytes(unit, dice)

    def junk(self, dice: random.Random) -> bytes:
        """Random bytes; every second time behind a good magic and version, with a type that does not exist."""
        noise = dice.randbytes(dice.randrange(200))
        return noise if dice.random() < 0.5 else b'V5B2\x01' + bytes((_UNKNOWN_TYPE,)) + noise

    def forge(self, unit: bytes) -> bytes:
        """The same header, every bit of the payload turned over."""
        return unit[:HEADER_SIZE] + bytes(byte ^ 0xFF for byte in unit[HEADER_SIZE:])


def spoil_bytes(data: bytes, dice: random.Random) -> bytes:
    """Change one byte of ``data`` (at least one long) to another value."""
    place = dice.randrange(len(data))
    other = data[place] ^ dice.randrange(1, 256)
    return data[:place] + bytes((other,)) + data[place + 1:]


def bind(host: str, port: int, option: str) -> socket.socket:
    """Return a bound UDP socket that does not block.

    Args:
        host: local address.
        port: 0 takes a free one.
        option: command line option that chooses another, for messages.

    Raises:
        LinkError: the port is in use or not allowed.
    """
    one = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    try:
        one.bind((host, port))
        one.setblocking(False)
    except OSError as error:
        one.close()
        if error.errno == errno.EADDRINUSE:
            raise LinkError(f'UDP port {port} on {host} is in use by another program; end that one or choose another '
                            f'port with --{option} (0 takes a free one)') from None
        raise LinkError(f'cannot listen on {host}:{port}: {error.strerror or error}; '
                        f'check --host and --{option}') from None
    except OverflowError:
        one.close()
        raise LinkError(f'port {port} is not in 0 … 65535; check --{option}') from None
    return one


def port_of(one: socket.socket | None) -> int:
    """Port of a bound socket, 0 for None."""
    return int(one.getsockname()[1]) if one is not None else 0
