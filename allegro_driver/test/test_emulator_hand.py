"""Laws of the emulated firmware, its simple world and its settings; no sockets, no clock."""

from __future__ import annotations

import math

import numpy as np
import pytest
from allegro_description.errors import AllegroError, ConfigError, ProtocolError
from allegro_description.model import load_hand
from allegro_driver.emulator.body import HandBody
from allegro_driver.emulator.build import build_emulator
from allegro_driver.emulator.config import EmulatorConfig
from allegro_driver.emulator.faults import FaultSet
from allegro_driver.emulator.firmware import Parts
from allegro_driver.emulator.v5b2_firmware import V5B2Firmware
from allegro_driver.emulator.world import SimpleWorld
from allegro_driver.protocol.v5b2 import Telemetry, V5B2Codec
from allegro_driver.protocol.v5b2_packets import decode_packet
from hypothesis import given, settings
from hypothesis import strategies as st

MODEL = load_hand('v5_sense', 'right')
counts = st.lists(st.integers(-32768, 32767), min_size=16, max_size=16)


def new_hand(**config):
    settings, faults = EmulatorConfig(**config), FaultSet(MODEL)
    body = HandBody(MODEL, SimpleWorld(MODEL, 0.003), faults, watchdog_ms=settings.torque_watchdog_ms)
    return V5B2Firmware(Parts(MODEL, body, faults, settings, settings.serial or '5SBR0001'))


def tell(hand, datagram, now_ms=0):
    return hand.command(decode_packet(datagram), now_ms)


@given(counts)
def test_currents_never_exceed_the_clamp(wire):
    hand, codec = new_hand(), V5B2Codec(MODEL)
    datagram = codec.torque(np.zeros(16))
    tell(hand, datagram[:16] + np.array(wire, dtype='<i2').tobytes())
    assert (np.abs(hand.body.torque) <= MODEL.clamp).all()
    assert (hand.body.torque == np.clip(np.array(wire)[(np.arange(16) + 4) % 16], -240, 240)).all()


@given(st.lists(st.tuples(counts, st.booleans()), max_size=8))
@settings(max_examples=30)
def test_whatever_is_commanded_joints_stay_in_the_vendors_range(commands):
    hand, codec = new_hand(), V5B2Codec(MODEL)
    low, high = np.array([j.urdf_range for j in MODEL.joints]).T
    header = codec.torque(np.zeros(16))[:16]
    for wire, mode in commands:
        tell(hand, codec.hinf_mode(mode))
        tell(hand, header + np.array(wire, dtype='<i2').tobytes())
        for _ in range(40):
            hand.step(0)
            assert (low <= hand.body.world.position).all()
            assert (hand.body.world.position <= high).all()
            assert (np.abs(hand.body.torque) <= 240.0 + 1e-9).all()
            assert np.isfinite(hand.body.world.velocity).all()


def test_speed_follows_current_at_the_documented_rate():
    hand = new_hand()
    ma = np.zeros(16)
    ma[[1, 2]] = 100.0
    tell(hand, V5B2Codec(MODEL).torque(ma / MODEL.per_nm))
    for _ in range(100):
        hand.step(0)
    np.testing.assert_allclose(hand.body.world.velocity, 0.01 * ma, atol=1e-6)
    assert hand.body.world.position[1] == pytest.approx(0.3, abs=0.02)  # 1 rad/s for 0.3 s, geared or not


def test_entering_position_mode_holds_the_pose_and_leaving_it_drops_the_currents():
    hand, codec = new_hand(), V5B2Codec(MODEL)
    tell(hand, codec.torque(np.full(16, 0.1)))
    for _ in range(60):
        hand.step(0)
    pose = hand.body.world.position.copy()
    tell(hand, codec.hinf_mode(True))
    for _ in range(300):
        hand.step(0)
    np.testing.assert_allclose(hand.body.world.position, pose, atol=0.05)
    tell(hand, codec.hinf_mode(False))
    assert not hand.body.torque.any()


def test_targets_are_in_encoder_coordinates_after_calibration():
    hand, codec = new_hand(), V5B2Codec(MODEL)
    tell(hand, codec.torque(np.full(16, 0.1)))
    for _ in range(100):
        hand.step(0)
    tell(hand, codec.calibrate())
    expected = np.zeros(16)
    expected[13] = math.pi / 2
    np.testing.assert_allclose(hand.body.encoders, expected, atol=1e-12)
    before = hand.body.world.position.copy()
    tell(hand, codec.hinf_mode(True))
    tell(hand, codec.targets(expected))
    for _ in range(300):
        hand.step(0)
    np.testing.assert_allclose(hand.body.encoders, expected, atol=0.02)
    np.testing.assert_allclose(hand.body.world.position, before, atol=0.05)


@pytest.mark.parametrize(('watchdog', 'kept'), [(0.0, True), (100.0, False)])
def test_torque_watchdog(watchdog, kept):
    hand = new_hand(torque_watchdog_ms=watchdog)
    tell(hand, V5B2Codec(MODEL).torque(np.full(16, 0.1)), now_ms=1000)
    hand.step(1099)
    assert hand.body.torque.any()
    hand.step(600_000)
    assert hand.body.torque.any() == kept


def test_sample_counter_wraps():
    hand, codec = new_hand(), V5B2Codec(MODEL)
    hand.sample = 2**32 - 1
    hand.step(0)
    message = codec.decode(hand.telemetry(2**32 + 5))
    assert isinstance(message, Telemetry)
    assert (message.sequence, message.timestamp_ms) == (0, 5)


@pytest.mark.parametrize(('field', 'unit'), [('0.229rpm', True), ('zero', False)])
def test_velocity_field_switch(field, unit):
    hand = new_hand(velocity_field=field)
    tell(hand, V5B2Codec(MODEL).torque(np.full(16, 0.1)))
    for _ in range(30):
        hand.step(0)
    velocity = V5B2Codec(MODEL).decode(hand.telemetry(0)).velocity
    np.testing.assert_allclose(velocity, hand.body.world.velocity if unit else np.zeros(16), atol=0.0121)


@pytest.mark.parametrize('text', ['0x02', '0x10', '0x99', 'x', '0x11'])
def test_serial_response_type_must_be_one_a_hand_may_send(text):
    with pytest.raises(ConfigError, match='0x35'):
        new_hand(serial_response_type=text)


def test_serial_response_type_switch():
    hand = new_hand(serial_response_type='0x37')
    assert hand.request(decode_packet(V5B2Codec(MODEL).serial_request()), 0)[5] == 0x37


def test_serial_number_must_fit():
    with pytest.raises(ProtocolError, match='8 ASCII'):
        new_hand(serial='123456789')


def test_building_refuses_with_one_sentence():
    for wrong in ({'wire': 'udp', 'model': 'v4'}, {'model': 'v9'}, {'stream_to': 'there'}, {'stream_to': '1.2.3.4:0'}):
        with pytest.raises(AllegroError) as caught:
            build_emulator(EmulatorConfig(**{'physics': 'simple', **wrong}))
        assert '\n' not in str(caught.value)
