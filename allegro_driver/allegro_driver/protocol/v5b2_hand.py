"""UDP protocol "V5B2", the hand's side: what an emulated hand decodes and sends, canonical order and SI units."""

from __future__ import annotations

import math

import numpy as np
from allegro_description.errors import ProtocolError
from allegro_description.model import HandModel
from allegro_description.state import Array, frozen

from allegro_driver.protocol.v5b2 import VELOCITY_UNIT_RAD_S, CalibrationDone, to_counts
from allegro_driver.protocol.v5b2_packets import FROM_HAND, MessageType, Packet, decode_packet, encode_packet
from allegro_driver.protocol.v5b2_payloads import (
    FailMasks,
    Info,
    MotorError,
    NetConfig,
    Serial,
    TelemetryCounts,
    counts_from_payload,
)

Answer = Info | Serial | NetConfig | MotorError | FailMasks | CalibrationDone

_TYPES: dict[type, MessageType] = {
    Info: MessageType.HELLO_RESPONSE, Serial: MessageType.SERIAL_RESPONSE,
    NetConfig: MessageType.NET_CONFIG_RESPONSE, MotorError: MessageType.MOTOR_ERROR,
    FailMasks: MessageType.FAIL_MASKS, CalibrationDone: MessageType.CALIBRATION_DONE,
}


class V5B2HandCodec:
    """The hand's side of the protocol for one hand model; stateless."""

    def __init__(self, model: HandModel, velocity_unit: float = VELOCITY_UNIT_RAD_S) -> None:
        """Prepare for a hand.

        Args:
            model: joint order and scales.
            velocity_unit: rad/s per count of the velocity field, UNVERIFIED (see ``VELOCITY_UNIT_RAD_S``); 0 leaves
                the field zero.
        """
        self._from_wire = model.permutation('udp')
        self._to_wire = np.argsort(self._from_wire)
        self._rad_per_count = math.radians(model.actuation.position_lsb_deg)
        self._tactile_lsb = model.actuation.tactile_lsb_pa
        self._velocity_unit = velocity_unit

    def decode(self, datagram: bytes) -> Packet:
        """Read a datagram of a host.

        Raises:
            ProtocolError: not a valid packet, or one that only hands send.
        """
        packet = decode_packet(datagram)
        if packet.type in FROM_HAND and packet.type is not MessageType.CLI_REQUEST:
            raise ProtocolError(f'{packet.type.name} came from a host; only hands send it')
        return packet

    def currents(self, packet: Packet) -> Array:
        """A TORQUE packet read as currents: mA, (16,), canonical order, not yet saturated."""
        return frozen(np.array(counts_from_payload(packet.payload), dtype=np.float64)[self._from_wire])

    def targets(self, packet: Packet) -> Array:
        """A TORQUE packet read as targets of the on-board position mode: rad, (16,), canonical order."""
        return frozen(self.currents(packet) * self._rad_per_count)

    def telemetry(
        self, sample: int, timestamp_ms: int, position: Array, current_ma: Array, tactile: Array, velocity: Array,
    ) -> bytes:
        """Encode one sample; values beyond their field saturate. The packet's sequence number is the sample's.

        Args:
            sample: sample counter.
            timestamp_ms: the hand's clock, ms.
            position: rad, (16,), canonical order; rounded to counts.
            current_ma: mA, (16,), canonical order.
            tactile: Pa, (16,), taxel order.
            velocity: rad/s, (16,), canonical order.
        """
        speed = velocity / self._velocity_unit if self._velocity_unit else np.zeros_like(velocity)
        raw = TelemetryCounts(
            sample=sample,
            position=_field((position / self._rad_per_count)[self._to_wire], -0x8000, 0x7FFF),
            current=_field(current_ma[self._to_wire], -0x8000, 0x7FFF),
            sensor=_field(tactile / self._tactile_lsb, 0, 0xFFFF),
            velocity=_field(speed[self._to_wire], -0x80000000, 0x7FFFFFFF),
        )
        return encode_packet(Packet(MessageType.TELEMETRY, sample, timestamp_ms, raw.to_payload()))

    def answer(self, message: Answer, sequence: int, timestamp_ms: int, kind: MessageType | None = None) -> bytes:
        """Encode what a hand says besides telemetry.

        Args:
            message: the values.
            sequence: echoes the request's, as hosts expect.
            timestamp_ms: the hand's clock, ms.
            kind: packet type, if not the usual one of that message.
        """
        payload = message.payload if isinstance(message, CalibrationDone) else message.to_payload()
        return encode_packet(Packet(kind or _TYPES[type(message)], sequence, timestamp_ms, payload))


def _field(values: Array, low: int, high: int) -> tuple[int, ...]:
    return tuple(to_counts(np.clip(values, low, high)).tolist())
