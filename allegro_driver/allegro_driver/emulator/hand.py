"""What the firmware of an emulated V5 Sense does: state and answers, without sockets and without a clock.

Behaviour where sources are silent, each the worse or the neutral case for a host: the last currents act for ever
(``torque_watchdog_ms`` changes that); entering the on-board position mode holds the present pose until targets come;
leaving it sets the currents to zero; gravity angles are stored and have no effect; a mode survives a new session.
"""

from __future__ import annotations

import math

import numpy as np
from allegro_description.errors import ConfigError
from allegro_description.model import HandModel
from allegro_description.state import Array

from allegro_driver.emulator.config import SERIALS, EmulatorConfig
from allegro_driver.emulator.faults import FaultSet
from allegro_driver.emulator.world import World
from allegro_driver.protocol.v5b2 import VELOCITY_UNIT_RAD_S, CalibrationDone
from allegro_driver.protocol.v5b2_hand import V5B2HandCodec
from allegro_driver.protocol.v5b2_packets import FROM_HAND, PAYLOAD_LENGTH, MessageType, Packet
from allegro_driver.protocol.v5b2_payloads import Info, NetConfig, Serial, rpy_from_payload

REQUESTS = frozenset({MessageType.HELLO_REQUEST, MessageType.SERIAL_REQUEST, MessageType.NET_CONFIG_REQUEST})
CALIBRATED_JOINT = 'joint_13_0'  # becomes 90° where all others become 0 (vendor)


class EmulatedHand:
    """Mode, currents, encoder zeros and settings of one hand."""

    def __init__(self, model: HandModel, world: World, faults: FaultSet, config: EmulatorConfig) -> None:
        """Power the hand on: currents zero, torque mode.

        Raises:
            ProtocolError: the serial number is not up to 8 ASCII characters.
            ConfigError: ``serial_response_type`` is not a packet type that a hand may send with eight bytes.
        """
        self.world = world
        self.faults = faults
        self.codec = V5B2HandCodec(model, VELOCITY_UNIT_RAD_S if config.velocity_field == '0.229rpm' else 0.0)
        self.info = Info(hardware=0x0101, firmware=0x0102, status=1)
        self.net = NetConfig()
        self.serial = config.serial or SERIALS[config.side]
        Serial(self.serial).to_payload()
        self.hinf = False
        self.gravity_rpy = (0, 0, 0)
        self.sample = 0
        self.calibrations = 0
        self._serial_type = _hand_type(config.serial_response_type)
        self._calibrate = {
            'both': {MessageType.CALIBRATE, MessageType.CALIBRATE_README},
            '0x20': {MessageType.CALIBRATE}, '0x25': {MessageType.CALIBRATE_README},
        }[config.calibrate_type]
        self._model = model
        self._watchdog_ms = config.torque_watchdog_ms
        self._commanded_ms = 0
        self._targets = world.position.copy()
        self._offset = np.zeros(len(model.joints))
        self.current_ma: Array = np.zeros(len(model.joints))
        self._frozen: bytes | None = None

    # The wire ----------------------------------------------------------------------------------------------------

    def request(self, packet: Packet, now_ms: int) -> bytes | None:
        """Answer what anyone may ask: HELLO, serial number, network settings. None: it stays unanswered."""
        if self.faults.ignores_request():
            return None
        if packet.type is MessageType.HELLO_REQUEST:
            return self.codec.answer(self.info, packet.sequence, now_ms)
        if packet.type is MessageType.SERIAL_REQUEST:
            return self.codec.answer(
                Serial(self.faults.serial(self.serial)), packet.sequence, now_ms, self._serial_type)
        return self.codec.answer(self.net, packet.sequence, now_ms)

    def command(self, packet: Packet, now_ms: int) -> bytes | None:
        """Obey a packet of the session's owner; returns the answer, if that type has one."""
        if packet.type is MessageType.TORQUE:
            self._commanded_ms = now_ms
            if self.hinf:
                self._targets = self.codec.targets(packet) - self._offset
            else:
                clamp = self._model.clamp
                self.current_ma = np.clip(self.codec.currents(packet), -clamp, clamp)
        elif packet.type is MessageType.HINF_MODE:
            self._set_mode(packet.payload[0] != 0)
        elif packet.type is MessageType.GRAVITY_RPY:
            self.gravity_rpy = rpy_from_payload(packet.payload)
        elif packet.type is MessageType.NET_CONFIG_WRITE:
            self.net = NetConfig.from_payload(packet.payload)
            return self.codec.answer(self.net, packet.sequence, now_ms)
        elif packet.type in self._calibrate:
            self._zero_encoders()
            return self.codec.answer(CalibrationDone(), packet.sequence, now_ms)
        return None

    def step(self, now_ms: int) -> None:
        """Advance the world by one period under the currents of the moment."""
        if self._watchdog_ms and now_ms - self._commanded_ms > self._watchdog_ms and not self.hinf:
            self.current_ma = np.zeros_like(self.current_ma)
        if self.hinf:
            self.current_ma = self._position_loop()
        self.world.step(self.current_ma / self._model.per_nm)
        self.sample = (self.sample + 1) & 0xFFFFFFFF

    def telemetry(self, now_ms: int) -> bytes | None:
        """The datagram of the present sample, or None while the stream is stale."""
        if 'stale' in self.faults:
            return None
        if 'freeze' in self.faults and self._frozen is not None:
            return self._frozen
        world = self.world
        self._frozen = self.codec.telemetry(
            self.sample, now_ms, self.faults.position(self.encoders), self.current_ma,
            self.faults.tactile(world.pressure), world.velocity)
        return self._frozen

    # Inside --------------------------------------------------------------------------------------------------------

    @property
    def encoders(self) -> Array:
        """Joint angles as the encoders give them after calibration, rad, (n_joints,)."""
        return self.world.position + self._offset

    def _set_mode(self, hinf: bool) -> None:
        if hinf and not self.hinf:
            self._targets = self.world.position.copy()
        if self.hinf and not hinf:
            self.current_ma = np.zeros_like(self.current_ma)
        self.hinf = hinf

    def _position_loop(self) -> Array:
        model, world = self._model, self.world
        effort = model.kp * (self._targets - world.position) - model.kd * world.velocity
        return np.clip(effort, -model.torque_limit, model.torque_limit) * model.per_nm

    def _zero_encoders(self) -> None:
        self._offset = -self.world.position
        self._offset[self._model.joint_index(CALIBRATED_JOINT)] += math.pi / 2
        self.calibrations += 1


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
