"""A hand that only keeps time: it sends a sample every 3 ms and writes down when the answer to each one arrived.

The kernel stamps arrivals, so what is measured is the host under test and the loopback, the same for every host.
"""

from __future__ import annotations

import select
import socket
import struct
import time
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from allegro_description.model import HandModel
from allegro_description.state import Array
from numpy.typing import NDArray

from allegro_driver.protocol.v5b2_hand import V5B2HandCodec
from allegro_driver.protocol.v5b2_packets import MessageType
from allegro_driver.protocol.v5b2_payloads import Info, Serial

PERIOD_S = 0.003
_SO_TIMESTAMPNS = 35  # Linux (asm-generic/socket.h)
_TIMESPEC = struct.Struct('@qq')


@dataclass(slots=True)
class Answers:
    """When samples left and when their answers came, ns of the wall clock; 0 where none came."""

    sent: list[int] = field(default_factory=list)
    answered: list[int] = field(default_factory=list)

    def turnaround_us(self) -> NDArray[np.float64]:
        """Sample sent to torque packet arrived, for every sample that was answered before the next one, µs."""
        sent, answered = np.array(self.sent[:-1]), np.array(self.answered[:-1])
        following = np.array(self.sent[1:])
        good = (answered > 0) & (answered < following)
        return np.asarray((answered[good] - sent[good]) / 1e3)

    def jitter_us(self) -> NDArray[np.float64]:
        """Distance of the time between two answers from the time between their samples: what the host added, µs."""
        sent, answered = np.array(self.sent), np.array(self.answered)
        both = (answered[1:] > 0) & (answered[:-1] > 0)
        return np.asarray(np.abs(np.diff(answered) - np.diff(sent))[both] / 1e3)

    @property
    def on_time(self) -> tuple[int, int]:
        """Samples answered before the next one was sent, and samples."""
        return len(self.turnaround_us()), max(len(self.sent) - 1, 0)


class WireClock:
    """Serves one host on a free port of 127.0.0.1."""

    def __init__(self, model: HandModel) -> None:
        """Open the socket."""
        self._codec = V5B2HandCodec(model)
        self._serial = Serial('5SBR0001' if model.side == 'right' else '5SBL0001')
        zeros: Array = np.zeros(len(model.joints))
        self._rest = (model.pose('home'), zeros, np.zeros(len(model.taxels)), zeros)
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
        self._socket.bind(('127.0.0.1', 0))
        self._socket.setblocking(False)
        self.port = int(self._socket.getsockname()[1])
        self._host: Any = None
        self._due, self._sample = 0.0, 0

    def connect(self, patience_s: float = 30.0) -> bool:
        """Wait until a host says HELLO; return whether one did."""
        end = time.monotonic() + patience_s
        while self._host is None and time.monotonic() < end:
            select.select([self._socket], [], [], 0.1)
            self._hear(None)
        return self._host is not None

    def serve(self, seconds: float) -> Answers:
        """Send samples for a while; call it again to go on without a gap."""
        answers = Answers()
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            left = self._due - time.monotonic()
            if left > 0:
                select.select([self._socket], [], [], left)
            self._hear(answers)
            if time.monotonic() < self._due:
                continue
            self._due = max(self._due + PERIOD_S, time.monotonic() - PERIOD_S)
            self._sample += 1
            data = self._codec.telemetry(self._sample, self._sample * 3, *self._rest)
            answers.sent.append(time.time_ns())
            answers.answered.append(0)
            self._socket.sendto(data, self._host)
        return answers

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()

    def _hear(self, answers: Answers | None) -> None:
        while True:
            try:
                data, ancillary, _, sender = self._socket.recvmsg(2048, 64)
            except (BlockingIOError, ConnectionRefusedError):
                return
            packet = self._codec.decode(data)
            if packet.type is MessageType.HELLO_REQUEST:
                self._host = sender
                self._due = time.monotonic() + PERIOD_S
                self._socket.sendto(self._codec.answer(Info(), packet.sequence, 0), sender)
            elif packet.type is MessageType.SERIAL_REQUEST:
                self._socket.sendto(self._codec.answer(self._serial, packet.sequence, 0), sender)
            elif packet.type is MessageType.TORQUE and answers and answers.sent and not answers.answered[-1]:
                seconds, nanoseconds = _TIMESPEC.unpack(ancillary[0][2])
                answers.answered[-1] = seconds * 1_000_000_000 + nanoseconds
