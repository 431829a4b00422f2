"""What every unit must leave true: of a session whatever a wire brings, of a hand's codec whatever a host says."""

from __future__ import annotations

import functools
import math
from typing import Any

import numpy as np
from allegro_description.errors import ProtocolError
from allegro_description.model import HandModel, load_hand
from allegro_description.state import Array

from allegro_driver.hardware import CODECS
from allegro_driver.protocol import can_commands as do
from allegro_driver.protocol.can_frames import CanFrame
from allegro_driver.protocol.can_hand import can_hand
from allegro_driver.protocol.session import CalibrationDone, HandInfo, MotorFault, Sample, SerialNumber
from allegro_driver.protocol.v5b2_hand import V5B2HandCodec
from allegro_driver.protocol.v5b2_packets import MessageType, Packet
from allegro_driver.protocol.v5b2_payloads import NetConfig, rpy_from_payload

HANDS = {
    'v4_can': 'v4_right', 'v5_can': 'v5_b_right', 'v5_3f_can': 'v5_3f_right', 'v5_sense_can': 'v5_sense_right',
    'plexus_can': 'plexus_right', 'v5b2': 'v5_sense_right',
}
"""Codec to the hand that it is tried with."""


class Breach(AssertionError):
    """A promise was broken; the text says which."""


Unit = bytes | CanFrame


@functools.lru_cache
def hand_of(codec: str) -> tuple[HandModel, Any]:
    """The hand of a codec and the ``protocol`` entry that names it."""
    model = load_hand(*HANDS[codec].rsplit('_', 1))
    return model, next(entry for entry in model.protocol.values() if entry['codec'] == codec)


@functools.lru_cache
def session_class(codec: str) -> Any:
    """The host's side of a codec; looking it up among all installed plug-ins takes longer than most inputs."""
    return CODECS.load(codec)


def hand_codec(codec: str, model: HandModel) -> Any:
    """The hand's side of a codec, device number 0."""
    return V5B2HandCodec(model) if codec == 'v5b2' else can_hand(model)


def demand(good: bool, what: str, *values: object) -> None:
    """Raise unless something is so.

    Raises:
        Breach: it is not.
    """
    if not good:
        raise Breach(' '.join((what, *map(repr, values))))


class HostSide:
    """One session, fed with anything."""

    def __init__(self, codec: str) -> None:
        """Begin a conversation as the driver does."""
        self.model, settings = hand_of(codec)
        self.session = session_class(codec)(self.model, settings)
        self.session.stream()
        self._count = len(self.model.joints)
        self._farthest = 32768.5 * math.radians(self.model.actuation.position_lsb_deg)
        self._gaps = codec != 'v5b2'
        self.refused = self.messages = self.samples = 0

    def feed(self, unit: Unit) -> None:
        """Decode one unit and look at what comes out."""
        try:
            message = self.session.decode(unit)
        except ProtocolError:
            self.refused += 1
            return
        if message is None:
            return
        self.messages += 1
        if isinstance(message, Sample):
            self.samples += 1
            self._look(message)
        elif isinstance(message, HandInfo):
            demand(0 <= message.hardware < 65536 and 0 <= message.firmware < 65536, 'versions', message)
            demand(message.side in (None, 'right', 'left'), 'side', message)
            demand(message.palm_c is None or 0.0 <= message.palm_c <= 255.0, 'palm temperature', message)
        elif isinstance(message, SerialNumber):
            demand(len(message.text) <= 8 and message.text.isascii() and message.text.isprintable(), 'serial', message)
        elif isinstance(message, MotorFault):
            demand(bool(message.text) and message.text.isprintable(), 'motor fault', message)
        else:
            demand(isinstance(message, CalibrationDone), 'no message', message)

    def _look(self, sample: Sample) -> None:
        self._numbers(sample.position, self._count, -self._farthest, self._farthest, 'position')
        if sample.sequence is not None:
            demand(0 <= sample.sequence < 2**32, 'sequence', sample.sequence)
        if sample.current_ma is not None:
            self._numbers(sample.current_ma, self._count, -32768.0, 32767.0, 'current')
        if sample.tactile is not None:
            self._numbers(sample.tactile, len(self.model.taxels), 0.0, 2.0**32, 'tactile', self._gaps)
        if sample.temperature_c is not None:
            self._numbers(sample.temperature_c, self._count, 0.0, 255.0, 'temperature', True)

    def _numbers(self, array: Array, count: int, low: float, high: float, what: str, gaps: bool = False) -> None:
        demand(array.shape == (count,) and array.dtype == np.float64, what, array)
        if gaps:  # NaN is documented: never reported, or reported as invalid
            array = array[array == array]
        # A comparison with NaN is false, so this finds NaN and infinities too.
        demand(bool(((array >= low) & (array <= high)).all()), what, array)


class HandSide:
    """The codec of a hand, fed with anything; it remembers what a hand would do."""

    def __init__(self, codec: str) -> None:
        """Power on: torque mode, no torque."""
        self.model, _ = hand_of(codec)
        self.codec = hand_codec(codec, self.model)
        self.torque = [0] * len(self.model.joints)
        self.positioning = False
        self.refused = self.messages = 0
        self._slices = None if codec == 'v5b2' else self.codec.joints.slices

    def feed(self, unit: Any) -> Any:
        """Decode one unit of a host; returns it as command or packet, None for what is not understood or not for us."""
        try:
            command = self.codec.decode(unit)
            if isinstance(command, Packet):
                self._packet(command)
        except ProtocolError:
            self.refused += 1
            return None
        if command is None:
            return None
        self.messages += 1
        if isinstance(command, (do.Torque, do.SetPose)):
            joints = self._slices[command.finger]  # type: ignore[index]
            demand(len(command.counts) == joints.stop - joints.start, 'counts', command)
            demand(all(-32768 <= count <= 32767 for count in command.counts), 'counts', command)
            demand(bool(np.isfinite(self.codec.targets(command)).all()), 'targets', command)
            if isinstance(command, do.Torque):
                self.torque[joints] = command.counts
        elif isinstance(command, do.HinfMode):
            self._mode(command.on)
        return command

    def angles(self) -> Array:
        """The torque field read as targets, rad, (n_joints,)."""
        return np.asarray(self.torque) * math.radians(self.model.actuation.position_lsb_deg)

    def _packet(self, packet: Packet) -> None:
        kind = packet.type
        if kind is MessageType.TORQUE:
            currents = self.codec.currents(packet)
            demand(bool((np.abs(currents) <= 32768).all()), 'currents', currents)
            demand(bool(np.isfinite(self.codec.targets(packet)).all()), 'targets', packet)
            self.torque = [int(c) for c in currents]
        elif kind is MessageType.HINF_MODE:
            self._mode(packet.payload[0] != 0)
        elif kind is MessageType.GRAVITY_RPY:
            rpy_from_payload(packet.payload)
        elif kind is MessageType.NET_CONFIG_WRITE:
            demand(NetConfig.from_payload(packet.payload).to_payload() == packet.payload, 'network settings', packet)

    def _mode(self, on: bool) -> None:
        if on != self.positioning:
            self.torque = [0] * len(self.torque)  # holds the present pose, or has no torque, until told otherwise
        self.positioning = on
