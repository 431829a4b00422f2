"""The firmware of an emulated V5 Sense on Ethernet, UDP protocol V5B2.

Session rule: whoever sent the newest HELLO owns the session. Telemetry goes to it and only its commands are obeyed;
commands of others are counted (``foreign``) and ignored. Anyone may say HELLO, ask for the serial number and for the
network settings. There is no goodbye in this protocol: the stream goes on until the next HELLO. A mode survives a new
session.
"""

from __future__ import annotations

import socket
from typing import Any

from allegro_description.errors import ConfigError

from allegro_driver.emulator.firmware import HAND_FAULTS, TAXEL_FAULTS, BaseFirmware, Parts, without_nan
from allegro_driver.emulator.seams import Peer
from allegro_driver.protocol.v5b2 import VELOCITY_UNIT_RAD_S, CalibrationDone
from allegro_driver.protocol.v5b2_hand import V5B2HandCodec
from allegro_driver.protocol.v5b2_packets import FROM_HAND, PAYLOAD_LENGTH, MessageType, Packet
from allegro_driver.protocol.v5b2_payloads import Info, MotorError, NetConfig, Serial, rpy_from_payload

REQUESTS = frozenset({MessageType.HELLO_REQUEST, MessageType.SERIAL_REQUEST, MessageType.NET_CONFIG_REQUEST})
V5B2_FAULTS = HAND_FAULTS | TAXEL_FAULTS | {'motor_error', 'wrong_type'}


class V5B2Firmware(BaseFirmware):
    """Implements :class:`.seams.Firmware` for datagrams."""

    def __init__(self, parts: Parts) -> None:
        """Power the hand on: torque mode, currents zero.

        Raises:
            ProtocolError: the serial number is not up to 8 ASCII characters.
            ConfigError: ``stream_to`` is no address, or ``serial_response_type`` is not a packet type that a hand may
                send with eight bytes.
        """
        super().__init__(parts)
        config = parts.config
        self.codec = V5B2HandCodec(parts.model, VELOCITY_UNIT_RAD_S if config.velocity_field == '0.229rpm' else 0.0)
        self.info = Info(hardware=0x0101, firmware=0x0102, status=1)
        self.net = NetConfig()
        self.period_s = config.period_ms / 1000.0
        self.owner: Peer = None
        self._stream_to = _parse_stream(config.stream_to)
        self._serial_type = _hand_type(config.serial_response_type)
        self._calibrate = {
            'both': {MessageType.CALIBRATE, MessageType.CALIBRATE_README},
            '0x20': {MessageType.CALIBRATE}, '0x25': {MessageType.CALIBRATE_README},
        }[config.calibrate_type]
        self._still: bytes | None = None

    def hear(self, unit: bytes, sender: Peer, now_ms: int) -> tuple[tuple[bytes, Peer], ...]:
        """Take a datagram; return the answer.

        Raises:
            ProtocolError: no valid packet of a host.
        """
        packet = self.codec.decode(unit)
        if self.deaf(now_ms):
            return ()
        if packet.type in REQUESTS:
            answer = self.request(packet, now_ms)
            if packet.type is MessageType.HELLO_REQUEST and answer is not None:
                self.owner = sender
        elif sender == self.owner:
            answer = self.command(packet, now_ms)
        else:
            self.foreign += 1
            return ()
        return () if answer is None else ((answer, sender),)

    def stream(self, now_ms: int) -> list[tuple[bytes, Peer]]:
        """Motor errors and the present sample, to the owner of the session."""
        if self.owner is None or self.deaf(now_ms):
            return []
        to = self._stream_to or self.owner
        units: list[tuple[bytes, Peer]] = [
            (self.codec.answer(MotorError(joint, status), self.sample, now_ms), to)
            for joint, status in self.faults.take_motor_errors()]
        sample = self.telemetry(now_ms)
        if sample is not None:
            units.append((sample, to))
        return units

    def request(self, packet: Packet, now_ms: int) -> bytes | None:
        """Answer what anyone may ask: HELLO, serial number, network settings. None: it stays unanswered."""
        if self.faults.ignores_request():
            return None
        if packet.type is MessageType.HELLO_REQUEST:
            return self.codec.answer(self.info, packet.sequence, now_ms)
        if packet.type is MessageType.SERIAL_REQUEST:
            return self.codec.answer(Serial(self.told_serial()), packet.sequence, now_ms, self._serial_type)
        return self.codec.answer(self.net, packet.sequence, now_ms)

    def command(self, packet: Packet, now_ms: int) -> bytes | None:
        """Obey a packet of the session's owner; returns the answer, if that type has one."""
        body = self.body
        if packet.type is MessageType.TORQUE:
            if body.positioning:
                body.command_targets(self.codec.targets(packet), now_ms)
            else:
                body.command_torque(self.codec.currents(packet), now_ms)
        elif packet.type is MessageType.HINF_MODE:
            body.set_positioning(packet.payload[0] != 0)
        elif packet.type is MessageType.GRAVITY_RPY:
            body.gravity_rpy = rpy_from_payload(packet.payload)
        elif packet.type is MessageType.NET_CONFIG_WRITE:
            self.net = NetConfig.from_payload(packet.payload)
            return self.codec.answer(self.net, packet.sequence, now_ms)
        elif packet.type in self._calibrate:
            body.calibrate()
            return self.codec.answer(CalibrationDone(), packet.sequence, now_ms)
        return None

    def telemetry(self, now_ms: int) -> bytes | None:
        """The datagram of the present sample, or None while the stream is stale."""
        if 'stale' in self.faults:
            return None
        if 'freeze' in self.faults and self._still is not None:
            return self._still
        body = self.body
        self._still = self.codec.telemetry(
            self.sample, now_ms, body.position, body.applied, without_nan(body.tactile), body.world.velocity)
        return self._still

    def reboot(self) -> None:
        """Forget session and mode."""
        super().reboot()
        self.owner, self._still = None, None

    def status(self) -> dict[str, Any]:
        """State for the control interface."""
        owner = self.owner
        return {**super().status(), 'net_config': self.net.to_payload().hex(),
                'session': f'{owner[0]}:{owner[1]}' if owner else None}


def _hand_type(text: str) -> MessageType:
    fitting = {kind for kind in FROM_HAND if PAYLOAD_LENGTH.get(kind, 8) == 8}
    try:
        kind = MessageType(int(text, 16))
    except ValueError:
        kind = MessageType.TELEMETRY
    if kind not in fitting:
        allowed = ', '.join(f'0x{k:02x}' for k in sorted(fitting))
        raise ConfigError(f'serial_response_type is {text!r}; allowed: {allowed}')
    return kind


def _parse_stream(text: str) -> tuple[str, int] | None:
    if text == 'sender':
        return None
    host, _, port = text.rpartition(':')
    try:
        socket.inet_aton(host)
        if not 0 < int(port) < 65536:
            raise ValueError
    except (OSError, ValueError):
        raise ConfigError(f'stream_to is {text!r}; allowed: sender, or IP:PORT such as 192.168.0.10:8000') from None
    return host, int(port)
