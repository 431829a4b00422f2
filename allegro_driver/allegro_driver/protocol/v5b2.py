"""UDP protocol "V5B2" of the Allegro Hand V5 Sense, the host's side: SI values in canonical order to and from bytes.

Use it with one datagram per call and any transport::

    codec = V5B2Codec(load_hand('v5_sense', 'right'))
    link.send(codec.hello())
    message = codec.decode(link.receive(1.0))       # Info, later Telemetry, Serial, MotorError, …

Joint values travel thumb first; :class:`V5B2Codec` alone applies the hand model's ``udp`` order. Framing is in
:mod:`.v5b2_packets`, payloads in :mod:`.v5b2_payloads`, the hand's side in :mod:`.v5b2_hand`.

The TORQUE packet means milliamps, or position counts while the on-board position mode ("H-infinity") is on, and the
hand acknowledges neither. The codec therefore remembers which mode it asked for and refuses the other meaning.
"""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass
from typing import Any

import numpy as np
from allegro_description.errors import CommandRefused, ProtocolError
from allegro_description.model import HandModel
from allegro_description.state import Array, frozen
from numpy.typing import NDArray

from allegro_driver.protocol.session import Sample
from allegro_driver.protocol.v5b2_packets import (
    FROM_HAND,
    HEADER_SIZE,
    MAGIC,
    PAYLOAD_LENGTH,
    VERSION,
    MessageType,
    Packet,
    decode_packet,
    encode_packet,
)
from allegro_driver.protocol.v5b2_payloads import (
    FailMasks,
    Info,
    MotorError,
    NetConfig,
    Serial,
    TelemetryCounts,
    rpy_to_payload,
)

__all__ = [
    'VELOCITY_UNIT_RAD_S',
    'CalibrationDone',
    'CliText',
    'FailMasks',
    'Info',
    'Message',
    'MessageType',
    'MotorError',
    'NetConfig',
    'Packet',
    'Serial',
    'Telemetry',
    'V5B2Codec',
    'decode_packet',
    'encode_packet',
]

# UNVERIFIED: the usual unit of smart servos, 0.229 rpm per count, in rad/s. The vendor's host ignores the field.
VELOCITY_UNIT_RAD_S = 0.229 * 2.0 * math.pi / 60.0
_TELEMETRY_BEGIN = struct.pack('<IBBH', MAGIC, VERSION, MessageType.TELEMETRY, PAYLOAD_LENGTH[MessageType.TELEMETRY])
_TELEMETRY_SIZE = HEADER_SIZE + PAYLOAD_LENGTH[MessageType.TELEMETRY]
_COUNTER = struct.Struct('<I')
_TORQUE = struct.Struct('<IBBHII')  # and 16 counts
_TORQUE_TYPE, _TORQUE_LENGTH = int(MessageType.TORQUE), PAYLOAD_LENGTH[MessageType.TORQUE]
_I2, _U2 = np.dtype('<i2'), np.dtype('<u2')
REPEAT_HINF = 3  # the vendor repeats the unacknowledged mode packet three times


@dataclass(frozen=True, slots=True, eq=False)
class Telemetry:
    """One TELEMETRY packet in SI units and canonical order.

    Attributes:
        sequence: the hand's sample counter, modulo 2**32.
        timestamp_ms: the hand's clock, ms, modulo 2**32.
        position: rad, (16,).
        current_ma: mA, (16,).
        tactile: Pa, unfiltered, (16,) in taxel order.
        velocity: rad/s by the UNVERIFIED unit ``VELOCITY_UNIT_RAD_S``, (16,); do not control with it.
    """

    sequence: int
    timestamp_ms: int
    position: Array
    current_ma: Array
    tactile: Array
    velocity: Array


@dataclass(frozen=True, slots=True)
class CalibrationDone:
    """The hand has taken its present pose as zero (joint_13_0: 90°). Its payload is not documented."""

    payload: bytes = b''


@dataclass(frozen=True, slots=True)
class CliText:
    """Text of the hand's command line; not documented, only passed on."""

    payload: bytes = b''


Message = Telemetry | Info | Serial | NetConfig | MotorError | FailMasks | CalibrationDone | CliText


def to_counts(values: Array) -> NDArray[np.int64]:
    """Round to the nearest integer, halves away from zero (as C's ``lround``)."""
    return np.copysign(np.floor(np.abs(values) + 0.5), values).astype(np.int64)


class V5B2Codec:
    """The host's side of one session. It holds the packet counter and the mode asked for, nothing else."""

    def __init__(self, model: HandModel, calibrate_type: MessageType = MessageType.CALIBRATE) -> None:
        """Prepare for a hand.

        Args:
            model: joint order, limits of the current, scales.
            calibrate_type: CALIBRATE (vendor's code) or CALIBRATE_README (its README); UNVERIFIED which is right.

        Raises:
            ProtocolError: the hand does not have the 16 joints and 16 taxels of this protocol.
        """
        if len(model.joints) != 16 or len(model.taxels) != 16:
            raise ProtocolError(f'V5B2 carries 16 joints and 16 taxels; {model.name} has {len(model.joints)} and '
                                f'{len(model.taxels)}')
        self._model = model
        self._from_wire = model.permutation('udp')
        self._to_wire = np.argsort(self._from_wire)
        self._rad_per_count = math.radians(model.actuation.position_lsb_deg)
        # Positions and currents lie side by side in TELEMETRY, so that one step reads both; and all of this by wire.
        self._measured_order = np.concatenate((self._from_wire, self._from_wire + 16))
        self._measured_scale = np.repeat((self._rad_per_count, 1.0), 16)
        self._pa_per_count = np.float64(model.actuation.tactile_lsb_pa)
        # The guard keeps a current that went through N·m and back from coming out one mA short.
        self._wire_per_nm = model.per_nm[self._to_wire] * (1.0 + 1e-12)
        self._wire_most = model.clamp[self._to_wire]
        self._wire_least = -self._wire_most
        self._calibrate_type = calibrate_type
        self._sequence = 0
        self._hinf = False

    @property
    def hinf(self) -> bool:
        """True after :meth:`hinf_mode` asked for the on-board position mode."""
        return self._hinf

    def hello(self, timestamp_ms: int = 0) -> bytes:
        """Open the session; the hand answers with :class:`Info` and starts to stream."""
        return self._packet(MessageType.HELLO_REQUEST, b'', timestamp_ms)

    def serial_request(self, timestamp_ms: int = 0) -> bytes:
        """Ask for the serial number."""
        return self._packet(MessageType.SERIAL_REQUEST, b'', timestamp_ms)

    def net_config_request(self, timestamp_ms: int = 0) -> bytes:
        """Ask for the network settings."""
        return self._packet(MessageType.NET_CONFIG_REQUEST, b'', timestamp_ms)

    def net_config_write(self, config: NetConfig, timestamp_ms: int = 0) -> bytes:
        """Write network settings; they hold after a reboot of the hand."""
        return self._packet(MessageType.NET_CONFIG_WRITE, config.to_payload(), timestamp_ms)

    def calibrate(self, timestamp_ms: int = 0) -> bytes:
        """Take the present pose as zero. Irreversible: only with torque off and no load."""
        return self._packet(self._calibrate_type, b'', timestamp_ms)

    def torque(self, effort: Array, timestamp_ms: int = 0) -> bytes:
        """Command joint torques as currents, truncated toward zero and clamped (half on geared joints).

        Args:
            effort: N·m, (16,), canonical order.
            timestamp_ms: the sender's clock.

        Raises:
            CommandRefused: not 16 finite values, or the on-board position mode is on.
        """
        if self._hinf:
            raise CommandRefused('torque refused: the on-board position mode is on, the hand would read milliamps as '
                                 'angles. Send hinf_mode(False) first')
        ma = self._checked(effort, 'torque')[self._to_wire]
        ma *= self._wire_per_nm
        np.maximum(ma, self._wire_least, out=ma)
        np.minimum(ma, self._wire_most, out=ma)
        return self._torque_packet(ma, timestamp_ms)

    def targets(self, position: Array, timestamp_ms: int = 0) -> bytes:
        """Command angles to the on-board position mode, rounded to counts. Seed with the measured pose first.

        Joint limits are the business of the safety layer.

        Args:
            position: rad, (16,), canonical order.
            timestamp_ms: the sender's clock.

        Raises:
            CommandRefused: not 16 finite values, beyond int16 counts, or the mode is off.
        """
        if not self._hinf:
            raise CommandRefused('targets refused: the on-board position mode is off, the hand would read angles as '
                                 'milliamps. Send hinf_mode(True) first')
        counts = to_counts(self._checked(position, 'position') / self._rad_per_count)
        if (np.abs(counts) > 32767).any():
            raise CommandRefused(f'targets refused: {position!r} rad does not fit the wire; nothing was sent')
        return self._torque_packet(counts[self._to_wire], timestamp_ms)

    def hinf_mode(self, on: bool, timestamp_ms: int = 0) -> bytes:
        """Switch the on-board position mode. No acknowledgement: send three times, 2 ms apart, then wait 50 ms."""
        self._hinf = on
        return self._packet(MessageType.HINF_MODE, bytes((int(on),)), timestamp_ms)

    def stop(self, timestamp_ms: int = 0) -> tuple[bytes, ...]:
        """Datagrams that leave a hand without torque whatever mode it is in: position mode off, then zero current."""
        off = tuple(self.hinf_mode(False, timestamp_ms) for _ in range(REPEAT_HINF))
        zero = np.zeros(len(self._model.joints))
        return (*off, *(self.torque(zero, timestamp_ms) for _ in range(REPEAT_HINF)))

    def gravity_rpy(self, degrees: tuple[float, float, float], timestamp_ms: int = 0) -> bytes:
        """Tell the on-board position mode how the hand is held: roll, pitch, yaw in degrees (convention UNVERIFIED).

        Raises:
            CommandRefused: not finite, or beyond ±327.67°.
        """
        centidegrees = np.asarray(degrees, dtype=np.float64) * 100.0
        if centidegrees.shape != (3,) or not (np.abs(centidegrees) < 32767.5).all():
            raise CommandRefused(f'gravity angles {degrees!r} must be three numbers within ±327.67 degrees')
        return self._packet(MessageType.GRAVITY_RPY, rpy_to_payload(to_counts(centidegrees).tolist()), timestamp_ms)

    def decode(self, datagram: bytes) -> Message:
        """Read a datagram of the hand.

        Raises:
            ProtocolError: not a valid packet, or one that only hosts send.
        """
        packet = decode_packet(datagram)
        if packet.type is MessageType.TELEMETRY:
            return self._telemetry(packet)
        if packet.type not in FROM_HAND:
            raise ProtocolError(f'{packet.type.name} came from the hand; only hosts send it')
        reader = _READERS[packet.type]
        message: Message = reader(packet.payload)
        return message

    def sample(self, datagram: bytes) -> Sample | None:
        """The measurement in a TELEMETRY packet, or None for any other datagram: the short way for the control loop."""
        if not datagram.startswith(_TELEMETRY_BEGIN) or len(datagram) < _TELEMETRY_SIZE:
            return None
        at = HEADER_SIZE
        (number,) = _COUNTER.unpack_from(datagram, at)
        measured = np.frombuffer(datagram, _I2, 32, at + 4)[self._measured_order] * self._measured_scale
        tactile: Array = np.frombuffer(datagram, _U2, 16, at + 68) * self._pa_per_count
        measured.flags.writeable = tactile.flags.writeable = False
        return Sample(measured[:16], number, measured[16:], tactile)

    def _torque_packet(self, counts: NDArray[Any], timestamp_ms: int) -> bytes:
        """Counts in wire order, within int16; what is behind their point is cut off."""
        datagram = _TORQUE.pack(
            MAGIC, VERSION, _TORQUE_TYPE, _TORQUE_LENGTH, self._sequence, timestamp_ms & 0xFFFFFFFF,
        ) + counts.astype(_I2).tobytes()
        self._sequence = (self._sequence + 1) & 0xFFFFFFFF
        return datagram

    def _telemetry(self, packet: Packet) -> Telemetry:
        raw = TelemetryCounts.from_payload(packet.payload)
        order, tactile_lsb = self._from_wire, self._model.actuation.tactile_lsb_pa
        return Telemetry(
            sequence=raw.sample, timestamp_ms=packet.timestamp_ms,
            position=frozen(np.array(raw.position, dtype=np.float64)[order] * self._rad_per_count),
            current_ma=frozen(np.array(raw.current, dtype=np.float64)[order]),
            tactile=frozen(np.array(raw.sensor, dtype=np.float64) * tactile_lsb),
            velocity=frozen(np.array(raw.velocity, dtype=np.float64)[order] * VELOCITY_UNIT_RAD_S),
        )

    def _packet(self, kind: MessageType, payload: bytes, timestamp_ms: int) -> bytes:
        datagram = encode_packet(Packet(kind, self._sequence, timestamp_ms, payload))
        self._sequence = (self._sequence + 1) & 0xFFFFFFFF
        return datagram

    def _checked(self, values: Any, what: str) -> Array:
        array = np.asarray(values, dtype=np.float64)
        square = 0.0 if array.shape != (16,) else float(array.dot(array))  # one call where isfinite() and all() are two
        if array.shape != (16,) or not (square - square == 0.0 or np.isfinite(array).all()):
            raise CommandRefused(f'{what} command must be 16 finite numbers, got {values!r}')
        return array


_READERS: dict[MessageType, Any] = {
    MessageType.HELLO_RESPONSE: Info.from_payload,
    MessageType.CALIBRATION_DONE: CalibrationDone,
    MessageType.NET_CONFIG_RESPONSE: NetConfig.from_payload,
    MessageType.SERIAL_RESPONSE: Serial.from_payload,
    MessageType.FAIL_MASKS: FailMasks.from_payload,
    MessageType.CLI_REQUEST: CliText,
    MessageType.CLI_RESPONSE: CliText,
    MessageType.MOTOR_ERROR: MotorError.from_payload,
}
