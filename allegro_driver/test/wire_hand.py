"""A small hand on 127.0.0.1 for the driver's tests: it speaks the wire protocol and writes down what it hears.

Joints move at 0.01 rad/s per mA (first-order), enough to close a loop. What it does wrong is set by attributes.
"""

from __future__ import annotations

import socket
import threading
import time

import numpy as np
from allegro_description.model import HandModel
from allegro_driver.protocol.v5b2_hand import V5B2HandCodec
from allegro_driver.protocol.v5b2_packets import MessageType, Packet
from allegro_driver.protocol.v5b2_payloads import Info, MotorError, Serial
from allegro_driver.realtime import PunctualProcess, prepare_thread


class WireHand:
    def __init__(self, model: HandModel, *, serial: str | None = '5SBR0001', port: int = 0, period_s: float = 0.003):
        self.model, self.serial, self.period_s = model, serial, period_s
        self.codec = V5B2HandCodec(model)
        self.stream = self.paused = False
        self.answer_hello = True
        self.heard: list[tuple[float, Packet]] = []
        self.position = np.clip(model.pose('home'), model.lower, model.upper).copy()
        self.current = np.zeros(16)
        self.sample = 0
        self.last_sent = 0.0
        self.host: tuple[str, int] | None = None
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(('127.0.0.1', port))
        self.port = self.socket.getsockname()[1]
        self._over = threading.Event()
        # A real hand shares its processor with nobody; as far as allowed, neither does this one.
        self._punctual = PunctualProcess()
        self._punctual.__enter__()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def __enter__(self) -> WireHand:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    @property
    def address(self) -> str:
        return f'127.0.0.1:{self.port}:0'

    def close(self) -> None:
        self._over.set()
        self._thread.join(2.0)
        self.socket.close()
        self._punctual.__exit__(None, None, None)

    def send(self, data: bytes) -> None:
        assert self.host is not None
        self.socket.sendto(data, self.host)

    def motor_error(self, joint: int, status: int) -> None:
        self.send(self.codec.answer(MotorError(joint, status), 0, 0))

    def kinds(self) -> list[MessageType]:
        return [packet.type for _, packet in list(self.heard)]

    def torques(self) -> list[np.ndarray]:
        return [self.codec.currents(p) for _, p in list(self.heard) if p.type is MessageType.TORQUE]

    def ends_with_zero(self) -> bool:
        """Whether the last packet, and the last torque packet, is zero torque."""
        kinds, torques = self.kinds(), self.torques()
        return bool(kinds) and kinds[-1] is MessageType.TORQUE and not torques[-1].any()

    def settle(self, quiet_s: float = 0.05) -> None:
        """Wait until nothing has been heard for a while."""
        count = -1
        while count != len(self.heard):
            count = len(self.heard)
            time.sleep(quiet_s)

    def _run(self) -> None:
        prepare_thread(70)
        due = time.monotonic()
        while not self._over.is_set():
            due = max(due + self.period_s, time.monotonic() - 0.05)
            while (left := due - time.monotonic()) > 0:
                self.socket.settimeout(left)
                try:
                    data, sender = self.socket.recvfrom(2048)
                except OSError:
                    break
                self._hear(self.codec.decode(data), sender)
            self.position = self.position + 0.01 * self.current * self.period_s
            if self.stream and not self.paused:
                self.sample += 1
                self.last_sent = time.monotonic()
                self.send(self.codec.telemetry(
                    self.sample, 0, self.position, self.current, np.full(16, 500.0), np.zeros(16)))

    def _hear(self, packet: Packet, sender: tuple[str, int]) -> None:
        self.heard.append((time.monotonic(), packet))
        if packet.type is MessageType.HELLO_REQUEST and self.answer_hello:
            self.host, self.stream = sender, True
            self.send(self.codec.answer(Info(0x0100, 0x0203), packet.sequence, 0))
        elif packet.type is MessageType.SERIAL_REQUEST and self.serial is not None:
            self.send(self.codec.answer(Serial(self.serial), packet.sequence, 0))
        elif packet.type is MessageType.TORQUE:
            self.current = self.codec.currents(packet)


def wait_until(condition, timeout: float = 5.0) -> bool:
    end = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.002)
    return True
