"""Ask a running emulator: one JSON request, one reply."""

from __future__ import annotations

import contextlib
import json
import socket
import time
from typing import Any

from allegro_description.errors import CommandRefused, LinkError, LinkTimeout


class EmulatorClient:
    """Client of the control interface. Safe to keep while the emulator goes and comes back."""

    def __init__(self, host: str = '127.0.0.1', port: int = 7001, timeout_s: float = 1.0) -> None:
        """Open a socket; nothing is sent yet.

        Args:
            host: where the emulator runs; it listens on 127.0.0.1 only.
            port: its ``--control-port``.
            timeout_s: how long :meth:`request` waits for a reply.

        Raises:
            LinkError: the address cannot be used.
        """
        self._peer = f'{host}:{port}'
        self._timeout = timeout_s
        self._ident = 0
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        try:
            self._socket.connect((host, port))
        except (OSError, OverflowError) as error:
            self._socket.close()
            raise LinkError(f'cannot use {self._peer} as the address of an emulator: {error}') from None

    def request(self, op: str, **arguments: Any) -> dict[str, Any]:
        """Send one request and return the reply. It is sent once: a lost ``start_episode`` must not start two.

        Raises:
            CommandRefused: the emulator refused; the message is its own.
            LinkTimeout: no reply; is it running, and is this its control port?
        """
        self._ident += 1
        message = json.dumps({'id': self._ident, 'op': op, **arguments}).encode()
        deadline = time.monotonic() + self._timeout
        try:
            with contextlib.suppress(ConnectionRefusedError):  # left over from an earlier request
                self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            self._socket.send(message)
            while True:
                left = deadline - time.monotonic()
                if left <= 0.0:
                    raise TimeoutError
                self._socket.settimeout(left)
                reply = json.loads(self._socket.recv(65536))
                if isinstance(reply, dict) and reply.get('id') == self._ident:
                    break
        except (TimeoutError, ConnectionRefusedError):
            raise LinkTimeout(f'no answer from an emulator at {self._peer}; is it running, and is this its '
                              '--control-port?') from None
        except ValueError as error:
            raise LinkError(f'{self._peer} does not answer in JSON ({error}); is this the control port?') from None
        except OSError as error:
            raise LinkError(f'asking the emulator at {self._peer} failed: {error}') from None
        if not reply.get('ok'):
            raise CommandRefused(str(reply.get('error', 'refused without a reason')))
        return reply

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()

    def __enter__(self) -> EmulatorClient:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
