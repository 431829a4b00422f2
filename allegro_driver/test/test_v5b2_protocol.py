"""Codec of the V5B2 UDP protocol: byte examples of the vendor's layout, round trips, damage."""

from __future__ import annotations

import math
import random
import struct

import numpy as np
import pytest
from allegro_description.errors import CommandRefused, ProtocolError
from allegro_description.model import load_hand
from allegro_driver.protocol.v5b2 import (
    VELOCITY_UNIT_RAD_S,
    CalibrationDone,
    FailMasks,
    Info,
    MotorError,
    NetConfig,
    Serial,
    Telemetry,
    V5B2Codec,
)
from allegro_driver.protocol.v5b2_hand import V5B2HandCodec
from allegro_driver.protocol.v5b2_packets import PAYLOAD_LENGTH, MessageType, Packet, decode_packet, encode_packet
from allegro_driver.protocol.v5b2_payloads import TelemetryCounts, counts_from_payload
from hypothesis import given
from hypothesis import strategies as st

MODEL = load_hand('v5_sense', 'right')
u32 = st.integers(0, 2**32 - 1)


def joints(low: float, high: float) -> st.SearchStrategy[np.ndarray]:
    return st.lists(st.floats(low, high), min_size=16, max_size=16).map(np.array)


# --- bytes written down by hand from the vendor's layout ---------------------------------------------------------


def test_hello_bytes():
    assert V5B2Codec(MODEL).hello() == bytes.fromhex('56354232 01 10 0000 00000000 00000000')


def test_torque_header_bytes():
    codec = V5B2Codec(MODEL)
    for _ in range(7):
        codec.hello()
    datagram = codec.torque(np.zeros(16), timestamp_ms=1000)
    assert datagram == bytes.fromhex('56354232 01 03 2000 07000000 E8030000') + bytes(32)


def test_telemetry_header_bytes():
    zero = np.zeros(16)
    datagram = V5B2HandCodec(MODEL).telemetry(7, 1000, zero, zero, zero, zero)
    assert datagram[:16] == bytes.fromhex('56354232 01 02 A400 07000000 E8030000')
    assert len(datagram) == 16 + 164


def test_net_config_bytes():
    payload = bytes.fromhex('3200A8C0 00FFFFFF 0100A8C0 581B')
    config = NetConfig('192.168.0.50', '255.255.255.0', '192.168.0.1', 7000)
    assert config.to_payload() == payload
    assert NetConfig.from_payload(payload) == config


def test_half_radian_is_326_counts_thumb_first():
    position = np.zeros(16)
    position[MODEL.joint_index('joint_0_0')] = 0.5
    payload = V5B2HandCodec(MODEL).telemetry(0, 0, position, position * 0, position * 0, position * 0)[16:]
    assert payload[4 + 8:4 + 10] == bytes.fromhex('4601')  # the first index joint is wire element 4
    assert TelemetryCounts.from_payload(payload).position == (0, 0, 0, 0, 326, *[0] * 11)


def test_torque_truncates_halves_and_clamps():
    effort = np.zeros(16)
    effort[:4] = 0.05
    effort[12:14] = [-0.05, -9.0]
    effort[15] = 9.0
    wire = counts_from_payload(V5B2Codec(MODEL).torque(effort)[16:])
    assert wire[4:8] == (71, 35, 71, 71)
    assert wire[:4] == (-71, -240, 0, 240)


def test_gravity_and_mode_bytes():
    codec = V5B2Codec(MODEL)
    assert codec.gravity_rpy((10.5, -5.25, 90.0))[16:] == bytes.fromhex('1A04 F3FD 2823')
    assert codec.hinf_mode(True)[5:8] == bytes.fromhex('60 0100')
    assert codec.hinf_mode(True)[16:] == b'\x01'
    assert codec.hinf_mode(False)[16:] == b'\x00'


def test_targets_round_where_torque_truncates():
    codec = V5B2Codec(MODEL)
    codec.hinf_mode(True)
    position = np.zeros(16)
    position[12] = math.radians(0.088 * 2.6)
    position[13] = -math.radians(0.088 * 2.6)
    assert counts_from_payload(codec.targets(position)[16:])[:2] == (3, -3)


def test_wire_order_is_thumb_index_middle_ring():
    raw = TelemetryCounts(1, tuple(range(16)), tuple(range(100, 116)), tuple(range(16)), tuple(range(16)))
    got = V5B2Codec(MODEL).decode(encode_packet(Packet(MessageType.TELEMETRY, payload=raw.to_payload())))
    assert isinstance(got, Telemetry)
    np.testing.assert_array_equal(got.current_ma, [100 + (i + 4) % 16 for i in range(16)])
    np.testing.assert_allclose(got.position, np.radians(0.088) * ((np.arange(16) + 4) % 16))
    np.testing.assert_allclose(got.velocity, VELOCITY_UNIT_RAD_S * ((np.arange(16) + 4) % 16))
    np.testing.assert_array_equal(got.tactile, 100.0 * np.arange(16))  # taxels are not permuted


def test_info_motor_error_and_serial_bytes():
    codec = V5B2Codec(MODEL)

    def hand(kind: int, payload: str) -> bytes:
        body = bytes.fromhex(payload)
        return bytes.fromhex('56354232 01') + bytes([kind]) + struct.pack('<HII', len(body), 3, 4) + body

    assert codec.decode(hand(0x11, '0204 0604 00 3C 05')) == Info(0x0402, 0x0406, 0, 60, 5)
    assert codec.decode(hand(0x50, '0524')) == MotorError(5, 0x24)
    assert MotorError(5, 0x24).reasons == ('overheating', 'overload')
    assert MotorError(1, 0x80).reasons == ('unknown bit 7',)
    serial = codec.decode(hand(0x35, '3554425230303137'))
    assert serial == Serial('5TBR0017')
    assert serial.side == 'right'
    assert Serial('5TBL0017').side == 'left'
    for blank in ('00' * 8, '20' * 8, 'ff' * 8):
        assert codec.decode(hand(0x35, blank)) == Serial('')
    assert Serial('').side is None
    assert codec.decode(hand(0x37, '0100000002000000')) == FailMasks(1, 2)
    assert codec.decode(hand(0x21, '')) == CalibrationDone()
    assert codec.decode(hand(0x33, '3200A8C000FFFFFF0100A8C0581B')) == NetConfig()


# --- laws ------------------------------------------------------------------------------------------------------------


@given(st.sampled_from(MessageType), u32, u32, st.binary(max_size=256), st.binary(max_size=40))
def test_packet_round_trip_with_trailing_bytes(kind, sequence, stamp, payload, trailing):
    payload = payload.ljust(PAYLOAD_LENGTH.get(kind, 0), b'x')[:PAYLOAD_LENGTH.get(kind, 256)]
    packet = Packet(kind, sequence, stamp, payload)
    assert decode_packet(encode_packet(packet) + trailing) == packet


@given(joints(-40.0, 40.0), st.lists(st.integers(-32768, 32767), min_size=16, max_size=16),
       st.lists(st.integers(0, 65535), min_size=16, max_size=16), joints(-30.0, 30.0), u32, u32)
def test_telemetry_round_trip(position, current, sensor, velocity, sample, stamp):
    tactile = np.array(sensor, dtype=float) * 100.0
    current = np.array(current, dtype=float)
    datagram = V5B2HandCodec(MODEL).telemetry(sample, stamp, position, current, tactile, velocity)
    got = V5B2Codec(MODEL).decode(datagram)
    assert isinstance(got, Telemetry)
    assert (got.sequence, got.timestamp_ms) == (sample, stamp)
    np.testing.assert_allclose(got.position, position, atol=math.radians(0.044) + 1e-12)
    np.testing.assert_array_equal(got.current_ma, current)
    np.testing.assert_array_equal(got.tactile, tactile)
    np.testing.assert_allclose(got.velocity, velocity, atol=VELOCITY_UNIT_RAD_S / 2 + 1e-12)


@given(joints(-1.0, 1.0))
def test_torque_never_exceeds_the_request_nor_the_clamp(effort):
    datagram = V5B2Codec(MODEL).torque(effort)
    hand = V5B2HandCodec(MODEL)
    ma = hand.currents(hand.decode(datagram))
    assert (np.abs(ma) <= 240).all()
    assert (np.abs(ma) <= np.abs(effort * MODEL.per_nm) + 1e-6).all()
    assert (np.abs(np.clip(effort * MODEL.per_nm, -240, 240) - ma) < 1.0).all()
    assert (ma * effort >= 0).all()


@given(st.lists(st.integers(-240, 240), min_size=16, max_size=16))
def test_currents_survive_the_way_through_newton_metres(ma):
    hand = V5B2HandCodec(MODEL)
    datagram = V5B2Codec(MODEL).torque(np.array(ma) / MODEL.per_nm)
    np.testing.assert_array_equal(hand.currents(hand.decode(datagram)), ma)


@given(joints(-3.0, 3.0))
def test_targets_round_trip(position):
    codec, hand = V5B2Codec(MODEL), V5B2HandCodec(MODEL)
    codec.hinf_mode(True)
    got = hand.targets(hand.decode(codec.targets(position)))
    np.testing.assert_allclose(got, position, atol=math.radians(0.044) + 1e-12)


@given(st.ip_addresses(v=4), st.ip_addresses(v=4), st.ip_addresses(v=4), st.integers(0, 65535))
def test_net_config_round_trip(address, mask, gateway, port):
    config = NetConfig(str(address), str(mask), str(gateway), port)
    assert NetConfig.from_payload(config.to_payload()) == config


@given(st.text(st.characters(codec='ascii', min_codepoint=0x21, max_codepoint=0x7E), max_size=8))
def test_serial_round_trip(text):
    assert Serial.from_payload(Serial(text).to_payload()) == Serial(text)


def test_sequence_counts_up_from_zero_and_wraps():
    codec = V5B2Codec(MODEL)
    assert [decode_packet(codec.hello()).sequence for _ in range(3)] == [0, 1, 2]
    codec._sequence = 2**32 - 1
    assert [decode_packet(codec.hello()).sequence for _ in range(2)] == [2**32 - 1, 0]


# --- refusals ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(('datagram', 'word'), [
    (b'', 'shorter'),
    (bytes.fromhex('56354232 01 10 0000 00000000 000000'), 'shorter'),
    (bytes.fromhex('57354232 01 10 0000 00000000 00000000'), 'magic'),
    (bytes.fromhex('56354232 02 10 0000 00000000 00000000'), 'version'),
    (bytes.fromhex('56354232 01 7F 0000 00000000 00000000'), 'unknown packet type'),
    (bytes.fromhex('56354232 01 03 2000 00000000 00000000') + bytes(31), 'announces 32'),
    (bytes.fromhex('56354232 01 41 0101 00000000 00000000') + bytes(257), 'at most 256'),
    (bytes.fromhex('56354232 01 03 1F00 00000000 00000000') + bytes(31), 'it has 32'),
])
def test_receiver_rules(datagram, word):
    with pytest.raises(ProtocolError, match=word):
        decode_packet(datagram)


def test_each_side_refuses_its_own_packets():
    zero = np.zeros(16)
    with pytest.raises(ProtocolError, match='only hosts'):
        V5B2Codec(MODEL).decode(V5B2Codec(MODEL).torque(zero))
    hand = V5B2HandCodec(MODEL)
    with pytest.raises(ProtocolError, match='only hands'):
        hand.decode(hand.telemetry(0, 0, zero, zero, zero, zero))


@pytest.mark.parametrize('bad', [np.full(16, math.nan), np.full(16, math.inf), np.zeros(15), np.zeros((4, 4))])
def test_commands_that_are_not_sixteen_finite_numbers(bad):
    codec = V5B2Codec(MODEL)
    with pytest.raises(CommandRefused, match='16 finite'):
        codec.torque(bad)
    codec.hinf_mode(True)
    with pytest.raises(CommandRefused, match='16 finite'):
        codec.targets(bad)


def test_torque_and_targets_are_never_mixed_up():
    codec = V5B2Codec(MODEL)
    with pytest.raises(CommandRefused, match='off'):
        codec.targets(np.zeros(16))
    codec.hinf_mode(True)
    with pytest.raises(CommandRefused, match='on'):
        codec.torque(np.zeros(16))
    packets = [decode_packet(d) for d in codec.stop()]
    assert [(p.type, p.payload) for p in packets] == (
        [(MessageType.HINF_MODE, b'\0')] * 3 + [(MessageType.TORQUE, bytes(32))] * 3)
    assert not codec.hinf


def test_values_that_do_not_fit():
    codec = V5B2Codec(MODEL)
    with pytest.raises(CommandRefused):
        codec.gravity_rpy((400.0, 0.0, 0.0))
    codec.hinf_mode(True)
    with pytest.raises(CommandRefused, match='fit'):
        codec.targets(np.full(16, 60.0))
    for build in (lambda: NetConfig(address='hand').to_payload(), lambda: NetConfig(port=70000).to_payload(),
                  lambda: Serial('123456789').to_payload(), lambda: Serial('né').to_payload(),
                  lambda: encode_packet(Packet(MessageType.TORQUE, payload=b'x'))):
        with pytest.raises(ProtocolError):
            build()


def test_damage_raises_protocol_errors_and_nothing_else():
    """120 000 mutated or random datagrams on both sides."""
    rng = random.Random(20)
    host, hand = V5B2Codec(MODEL), V5B2HandCodec(MODEL)
    zero = np.zeros(16)
    seeds = [host.hello(), host.torque(zero), host.net_config_write(NetConfig()), host.hinf_mode(False),
             host.gravity_rpy((1.0, 2.0, 3.0)), hand.telemetry(1, 2, zero, zero, zero, zero),
             hand.answer(Info(), 1, 2), hand.answer(Serial('5SBR0001'), 1, 2), hand.answer(MotorError(1, 4), 1, 2),
             hand.answer(NetConfig(), 1, 2), hand.answer(CalibrationDone(), 1, 2), hand.answer(FailMasks(1, 2), 1, 2)]
    accepted = refused = 0
    for turn in range(60_000):
        if turn % 6 == 0:
            data = bytearray(rng.randbytes(rng.randrange(300)))
        else:
            data = bytearray(rng.choice(seeds))
            for _ in range(rng.randrange(1, 4)):
                data[rng.randrange(len(data))] = rng.randrange(256)
            if turn % 3 == 0:
                data = data[:rng.randrange(len(data) + 1)]
        for decode in (host.decode, hand.decode):
            try:
                decode(bytes(data))
                accepted += 1
            except ProtocolError:
                refused += 1
    assert accepted > 1000
    assert refused > 30_000


@given(payload=st.binary(min_size=164, max_size=164), tail=st.binary(max_size=3))
def test_the_short_way_reads_what_the_long_way_reads(payload, tail):
    datagram = encode_packet(Packet(MessageType.TELEMETRY, payload=payload)) + tail
    short, long = V5B2Codec(MODEL).sample(datagram), V5B2Codec(MODEL).decode(datagram)
    assert short.sequence == long.sequence
    for name in ('position', 'current_ma', 'tactile'):
        assert (getattr(short, name) == getattr(long, name)).all()


@given(st.binary(max_size=200), st.integers(0, 180))
def test_the_short_way_takes_whole_telemetry_only(noise, cut):
    whole = encode_packet(Packet(MessageType.TELEMETRY, payload=bytes(164)))
    assert V5B2Codec(MODEL).sample(whole[:cut][:179]) is None
    assert V5B2Codec(MODEL).sample(noise) is None
    assert V5B2Codec(MODEL).sample(V5B2Codec(MODEL).hello()) is None
