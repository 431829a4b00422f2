"""A hand that only keeps time: it sends a sample every 3 ms and writes down when the answer to each one arrived.

The kernel stamps arrivals, so what is measured is the host under test and the loopback, the same for every host.

An answer does not say which sample it answers, and a host that is always one period behind would look punctual if its
answers were credited to whatever was sent last. So the hand pauses for four periods every two seconds: by the end of a
pause everything has been answered, and between two pauses the first answer belongs to the first sample. See
:func:`matched`.
"""

from __future__ import annotations

import select
import socket
import struct
import time
from collections.abc import Sequence
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
STRETCH = 667  # samples between two pauses
PAUSE_S = 4 * PERIOD_S
_SO_TIMESTAMPNS = 35  # Linux (asm-generic/socket.h)
_TIMESPEC = struct.Struct('@qq')


@dataclass(slots=True)
class Answers:
    """When samples left and when their answers came, ns of the wall clock; 0 where none came."""

    sent: list[int] = field(default_factory=list)
    answered: list[int] = field(default_factory=list)

    def add(self, sent: Sequence[int], heard: Sequence[int]) -> None:
        """Take a stretch between two pauses: its samples, and its answers in order of arrival."""
        self.sent += sent
        self.answered += matched(sent, heard)

    def turnaround_us(self) -> NDArray[np.float64]:
        """Sample sent to torque packet arrived, for every sample that was answered within a period, µs."""
        sent, answered = np.array(self.sent), np.array(self.answered)
        good = (answered > 0) & (answered - sent < round(PERIOD_S * 1e9))
        return np.asarray((answered[good] - sent[good]) / 1e3)

    def jitter_us(self) -> NDArray[np.float64]:
        """Distance of the time between two answers from the time between their samples: what the host added, µs."""
        sent, answered = np.array(self.sent), np.array(self.answered)
        both = (answered[1:] > 0) & (answered[:-1] > 0)
        return np.asarray(np.abs(np.diff(answered) - np.diff(sent))[both] / 1e3)

    @property
    def on_time(self) -> tuple[int, int]:
        """Samples answered within a period, and samples."""
        return len(self.turnaround_us()), len(self.sent)


def matched(sent: Sequence[int], heard: Sequence[int]) -> list[int]:
    """Give each sample of a stretch its answer.

    Where there are as many answers as samples, the n-th belongs to the n-th. Where there are fewer, the host passed
    some over: from the last pair backwards, an answer that came before its sample left belongs to an earlier one. Where
    there are more, the surplus at the end is nobody's.

    Args:
        sent: when samples left, rising, ns.
        heard: when answers came, rising, ns; all samples before these had been answered.

    Returns:
        For each sample when its answer came, ns; 0 for those passed over.
    """
    answered = [0] * len(sent)
    ahead = max(len(sent) - len(heard), 0)
    for k in reversed(range(min(len(sent), len(heard)))):
        while ahead and heard[k] <= sent[k + ahead]:
            ahead -= 1
        answered[k + ahead] = heard[k]
    return answered


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
        """Send samples for a while; call it again to go on after a pause."""
        answers = Answers()
        end = time.monotonic() + seconds
        while (now := time.monotonic()) < end:
            count = max(1, min(STRETCH, round((end - now) / PERIOD_S)))
            answers.add(*self._stretch(count))
        return answers

    def _stretch(self, count: int) -> tuple[list[int], list[int]]:
        """Send so many samples and pause; return when samples left and when answers came."""
        sent: list[int] = []
        heard: list[int] = []
        self._due = max(self._due, time.monotonic())
        while len(sent) < count:
            left = self._due - time.monotonic()
            if left > 0:
                select.select([self._socket], [], [], left)
            self._hear(heard)
            if time.monotonic() < self._due:
                continue
            self._due = max(self._due + PERIOD_S, time.monotonic() - PERIOD_S)
            self._sample += 1
            data = self._codec.telemetry(self._sample, self._sample * 3, *self._rest)
            sent.append(time.time_ns())
            self._socket.sendto(data, self._host)
        self._due += PAUSE_S - PERIOD_S
        while (left := self._due - time.monotonic()) > 0:
            select.select([self._socket], [], [], left)
            self._hear(heard)
        return sent, heard

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()

    def _hear(self, heard: list[int] | None) -> None:
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
            elif packet.type is MessageType.TORQUE and heard is not None:
                seconds, nanoseconds = _TIMESPEC.unpack(ancillary[0][2])
                heard.append(seconds * 1_000_000_000 + nanoseconds)
