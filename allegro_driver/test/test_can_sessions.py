"""Laws of the CAN sessions: host and hand understand each other, clamps hold, cycles never mix, modes never mix up."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
from allegro_description.errors import CommandRefused, ConfigError, ProtocolError, UnknownName
from allegro_driver.hardware import CODECS
from allegro_driver.protocol.can_commands import (
    Calibrate,
    ConfigDevice,
    ConfigMode,
    GravityRpy,
    HinfMode,
    Reading,
    Request,
    ServoOff,
    ServoOn,
    SetPeriod,
    SetPlexusPeriod,
    SetPose,
    Torque,
)
from allegro_driver.protocol.can_frames import CanFrame
from allegro_driver.protocol.can_hand import CAN_HANDS, can_hand
from allegro_driver.protocol.session import HandInfo, Sample, SerialNumber
from allegro_driver.protocol.switches import CHOICES, NUMBERS
from can_pairs import HANDS, MODELS, RIGHT, few, finite, last, pair, torques, values
from hypothesis import given
from hypothesis import strategies as st


def test_every_hand_of_the_family_is_here():
    assert {name.rsplit('_', 1)[0] for name in HANDS} >= {'v4', 'v5_a', 'v5_b', 'v5_sense', 'v5_3f', 'plexus'}
    assert {MODELS[name].protocol['can']['codec'] for name in HANDS} == set(CAN_HANDS) == set(CHOICES) == set(NUMBERS)


# --- host and hand ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize('name', HANDS)
@few
@given(st.data())
def test_positions_round_trip(name, data):
    session, hand = pair(name)
    n = len(MODELS[name].joints)
    lsb = math.radians(MODELS[name].actuation.position_lsb_deg)
    position = data.draw(values(n, -2.9, 2.9))
    sample = last(session, hand.position(position))
    assert isinstance(sample, Sample)
    np.testing.assert_allclose(sample.position, position, atol=lsb / 2 + 1e-12)
    assert not sample.position.flags.writeable
    assert (sample.sequence, sample.tactile, sample.current_ma, sample.temperature_c) == (None,) * 4


@pytest.mark.parametrize('name', RIGHT)
@few
@given(st.data())
def test_torque_never_exceeds_the_request_nor_the_clamp(name, data):
    session, hand = pair(name)
    model = MODELS[name]
    effort = data.draw(values(len(model.joints), -1.0, 1.0))
    counts = torques(hand, session.torque(effort), len(model.joints))
    wanted = effort * model.per_nm
    assert (np.abs(counts) <= model.clamp).all()
    assert (np.abs(counts) <= np.abs(wanted) + 1e-6).all()
    assert (np.abs(np.clip(wanted, -model.clamp, model.clamp) - counts) < 1.0).all()
    assert (counts * effort >= 0).all()


@pytest.mark.parametrize('name', RIGHT)
@few
@given(st.data())
def test_no_finite_effort_leaves_the_clamp(name, data):
    session, hand = pair(name)
    model = MODELS[name]
    n = len(model.joints)
    effort = np.array(data.draw(st.lists(finite, min_size=n, max_size=n)))
    assert (np.abs(torques(hand, session.torque(effort), n)) <= model.clamp).all()


@pytest.mark.parametrize('name', RIGHT)
@few
@given(st.data())
def test_counts_survive_the_way_through_newton_metres(name, data):
    session, hand = pair(name)
    model = MODELS[name]
    counts = np.array([data.draw(st.integers(-int(c), int(c))) for c in model.clamp])
    np.testing.assert_array_equal(torques(hand, session.torque(counts / model.per_nm), len(counts)), counts)


@pytest.mark.parametrize('name', [name for name in RIGHT if name != 'v5_a_right'])
@few
@given(st.data())
def test_temperatures_round_trip(name, data):
    session, hand = pair(name)
    celsius = np.array(list(data.draw(st.binary(min_size=16, max_size=16))), float)[:len(MODELS[name].joints)]
    assert last(session, hand.temperature(celsius)) is None
    sample = last(session, hand.position(celsius * 0))
    np.testing.assert_array_equal(sample.temperature_c, celsius)


@pytest.mark.parametrize('name', ['v5_a_right', 'v5_b_left', 'v5_3f_right', 'v5_3f_left'])
@few
@given(st.data())
def test_fingertips_round_trip(name, data):
    order = data.draw(st.sampled_from([['index', 'middle', 'thumb'], ['index', 'middle', 'unused', 'thumb']]))
    session, hand = pair(name, **({'fingertip_order': order} if '3f' in name else {}))
    n = len(MODELS[name].taxels)
    pressure = np.array(data.draw(st.lists(st.integers(-1000, 2**31 - 1), min_size=n, max_size=n)), float)
    assert last(session, hand.fingertips(pressure, data.draw(st.sampled_from(['new', 'old'])))) is None
    sample = last(session, hand.position(np.zeros(len(MODELS[name].joints))))
    np.testing.assert_array_equal(sample.tactile, np.maximum(pressure, 0))


@few
@given(st.lists(st.one_of(st.just(math.nan), st.floats(0, 101_600)), min_size=16, max_size=16).map(np.array),
       values(16, -239, 239), st.sampled_from(['compressed', 'legacy']), st.sampled_from([1, 10]),
       st.sampled_from(CHOICES['v5_sense_can']['current_order']))
def test_sense_readings_round_trip(pressure, current, layout, palm, order):
    session, hand = pair('v5_sense_right', tactile_frames=layout, palm_scale=palm, current_order=order)
    assert last(session, [*hand.current(current), *hand.tactile(pressure)]) is None
    sample = last(session, hand.position(np.zeros(16)))
    lsb = {'compressed': 400.0, 'legacy': 100.0}[layout] * np.array([palm, *[1] * 15])
    expected = pressure if layout == 'compressed' else np.nan_to_num(pressure)
    assert (np.abs(sample.tactile - expected)[~np.isnan(expected)] <= lsb[~np.isnan(expected)] / 2 + 1e-6).all()
    np.testing.assert_array_equal(np.isnan(sample.tactile), np.isnan(expected))
    np.testing.assert_allclose(sample.current_ma, current, atol=240 / 127 / 2 + 0.5)


@few
@given(values(16, -3000, 3000), values(16, -10, 10))
def test_plexus_readings_round_trip(current, velocity):
    session, hand = pair('plexus_right')
    assert last(session, [*hand.current(current), *hand.velocity(velocity), hand.imu()]) is None
    sample = last(session, hand.position(np.zeros(16)))
    np.testing.assert_allclose(sample.current_ma, current, atol=0.5)


@few
@given(values(16, -3.1, 3.1))
def test_targets_round_trip(position):
    session, hand = pair('v5_sense_right')
    modes = [hand.decode(frame) for frame in session.position_mode(True)]
    assert modes == [HinfMode(True)] * 3
    angles = np.concatenate([hand.targets(hand.decode(frame)) for frame in session.targets(position)])
    lsb = math.radians(0.088)
    assert (np.abs(angles) <= np.abs(position) + 1e-9).all()
    assert (np.abs(angles - position) < lsb).all()
    again = np.concatenate([hand.targets(hand.decode(frame)) for frame in session.targets(angles)])
    np.testing.assert_array_equal(again, angles)


IDENTIFIED = {name: pair(name) for name in ('v4_right', 'plexus_right', 'v5_b_right', 'v5_sense_right', 'v5_3f_right')}


@few
@given(st.integers(0, 0xFFFF), st.integers(0, 0xFFFF), st.booleans(), st.integers(0, 255),
       st.sampled_from(['right', 'left']), st.text(st.sampled_from('0123456789ABRLT'), max_size=8))
def test_identity_round_trips(hardware, firmware, servo, palm_c, side, text):
    for name, (session, hand) in IDENTIFIED.items():
        if name == 'plexus_right':
            info = hand.info(hardware, firmware, palm_c=palm_c, side=side)
            assert session.decode(info) == HandInfo(hardware, firmware, side, None, palm_c)
        else:
            info = hand.info(hardware, firmware, servo=servo, palm_c=palm_c, side=side)
            told = HandInfo(hardware, firmware, side, servo, palm_c)
            assert session.decode(info) == (told if name == 'v4_right' else HandInfo(hardware, firmware))
        serial = session.decode(hand.serial(text))
        assert isinstance(serial, SerialNumber)
        assert serial.text == text


@pytest.mark.parametrize('name', HANDS)
def test_hands_understand_all_that_hosts_say(name):
    session, hand = pair(name)
    n = len(MODELS[name].joints)
    asked = {hand.decode(frame) for frame in (*session.hello(), *session.serial_request())}
    assert asked == {Request(Reading.INFO), Request(Reading.SERIAL)}
    begin, end = [hand.decode(f) for f in session.stream()], [hand.decode(f) for f in session.quiet()]
    assert isinstance(hand.decode(session.silence()[0]), ServoOff)
    assert sum(isinstance(c, ServoOn) for c in begin) == 1
    assert not any(isinstance(c, ServoOn) for c in end)
    assert sum(isinstance(c, ServoOff) for c in end) >= 2
    fingers = len(MODELS[name].fingers)
    for words, times in ((begin[begin.index(ServoOn()):], 1), (end, 1)):
        for finger in range(fingers):
            zeros = [c for c in words if isinstance(c, Torque) and c.finger == finger]
            assert len(zeros) >= times
            assert not any(any(c.counts) for c in zeros)
    kinds = {type(c) for c in begin} - {ServoOn, Torque}
    assert kinds in ({SetPeriod}, {SetPeriod, HinfMode}, {SetPlexusPeriod, ServoOff, ConfigMode})
    before = begin[:begin.index(ServoOn())]
    assert sum(isinstance(c, Torque) for c in before) >= fingers  # no torque is left when the servo comes on
    assert len(session.torque(np.zeros(n))) == fingers
    for switch in ('calibrate', 'gravity_rpy', 'change_device'):
        method = getattr(session, switch, None)
        if method is not None:
            arguments = {'calibrate': (), 'gravity_rpy': ((1.0, 2.0, 3.0),), 'change_device': (2,)}[switch]
            command = hand.decode(method(*arguments)[0])
            assert command in (Calibrate(), GravityRpy(1.0, 2.0, 3.0), ConfigDevice(2))


@pytest.mark.parametrize('name', [n for n in RIGHT if n != 'plexus_right'])
def test_any_one_lost_frame_leaves_a_quiet_hand_quiet(name):
    """And in the on-board position mode no zero torque arrives before the mode is off."""
    session, hand = pair(name)
    frames = session.quiet()
    for lost in range(len(frames)):
        commands = [hand.decode(f) for k, f in enumerate(frames) if k != lost]
        assert ServoOff() in commands
        zero = {c.finger for c in commands if isinstance(c, Torque) and not any(c.counts)}
        assert zero == set(range(len(MODELS[name].fingers)))
        if session.onboard_position:
            assert commands[0] == HinfMode(False)


def test_frames_for_other_devices_are_no_concern():
    _, hand = pair('v4_right')
    hand.device = 2
    assert hand.decode(CanFrame(0x101)) is None
    assert hand.decode(CanFrame(0x102)) == ServoOn()
    assert {f.identifier & 3 for f in (*hand.position(np.zeros(16)), hand.serial(''), hand.info(1, 2))} == {2}
    assert hand.decode(CanFrame(0x386, bytes.fromhex('0100020003000400'))) == SetPose(1, (1, 2, 3, 4))


def test_device_number_of_a_description():
    assert can_hand(MODELS['plexus_right'], 1).device == 1
    without = dataclasses.replace(MODELS['v4_right'], protocol={})
    with pytest.raises(UnknownName, match='v4_can, v5_can'):
        can_hand(without)


# --- refusals ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize('name', RIGHT)
def test_commands_that_are_not_finite_numbers(name):
    session, _ = pair(name)
    n = len(MODELS[name].joints)
    for bad in (np.full(n, math.nan), np.full(n, math.inf), np.zeros(n - 1), np.zeros((4, 4)), 0.0):
        with pytest.raises(CommandRefused, match=f'{n} finite'):
            session.torque(bad)


@pytest.mark.parametrize('name', ['v5_sense_right', 'plexus_right'])
def test_torque_and_targets_are_never_mixed_up(name):
    session, _ = pair(name)
    zero = np.zeros(16)
    for leave in (session.quiet, session.stream, lambda: session.position_mode(False)):
        with pytest.raises(CommandRefused, match='off'):
            session.targets(zero)
        session.position_mode(True)
        with pytest.raises(CommandRefused, match='on'):
            session.torque(zero)
        session.targets(zero)
        leave()
        session.torque(zero)
    session.position_mode(True)
    for bad in (np.full(16, 51.0), np.full(16, 1e300)):
        with pytest.raises(CommandRefused, match='does not fit'):
            session.targets(bad)
    for bad in (np.full(16, math.nan), np.zeros(15)):
        with pytest.raises(CommandRefused, match='16 finite'):
            session.targets(bad)


def test_gravity_must_be_three_angles():
    session, _ = pair('v5_sense_right')
    for bad in ((400.0, 0.0, 0.0), (math.nan, 0.0, 0.0), (0.0, 0.0)):
        with pytest.raises(CommandRefused, match='three numbers'):
            session.gravity_rpy(bad)


@pytest.mark.parametrize('name', [n for n in RIGHT if n not in ('v5_sense_right', 'plexus_right')])
def test_hands_without_a_position_loop_say_so(name):
    session, _ = pair(name)
    for call in (lambda: session.position_mode(True), lambda: session.targets(np.zeros(len(MODELS[name].joints)))):
        with pytest.raises(CommandRefused, match='no position loop'):
            call()
    assert not any(any(f.data) for f in session.position_mode(False))


@pytest.mark.parametrize('name', RIGHT)
def test_each_side_refuses_what_only_it_says_itself(name):
    session, hand = pair(name)
    n = len(MODELS[name].joints)
    for frame in (*session.torque(np.ones(n)), *session.quiet(), *session.stream(), *session.hello()):
        with pytest.raises(ProtocolError):
            session.decode(frame)
    with pytest.raises(ProtocolError, match='only hosts send it'):
        session.decode(session.stream()[-1])
    for frame in (*hand.position(np.ones(n)), hand.info(1, 2), hand.serial('X')):
        with pytest.raises(ProtocolError, match='no command'):
            hand.decode(frame)


@pytest.mark.parametrize('name', RIGHT)
def test_frames_of_wrong_length_device_or_number(name):
    session, hand = pair(name)
    frames = [*hand.position(np.ones(len(MODELS[name].joints))), hand.info(1, 2), hand.serial('X')]
    for frame in frames:
        for data in (frame.data[:-1], b'') if frame.data else (b'1',):
            with pytest.raises(ProtocolError, match='bytes'):
                session.decode(frame._replace(data=data))
        with pytest.raises(ProtocolError, match='only hosts'):
            session.decode(frame._replace(remote=True, data=b''))
        with pytest.raises(ProtocolError, match='device number'):
            session.decode(frame._replace(identifier=frame.identifier | 1))
    with pytest.raises(ProtocolError, match='no message'):
        session.decode(CanFrame(0x7FC))


def test_only_v5_hands_complain_of_motors():
    with pytest.raises(ProtocolError):
        pair('v4_right')[0].decode(CanFrame(0x3B8, b'\1\4'))
    with pytest.raises(ProtocolError):
        pair('v5_b_right', fingertip_ids='new')[0].decode(CanFrame(0x3C0, bytes(8)))


def test_switches_name_what_is_allowed():
    for codec, choices in CHOICES.items():
        make = CODECS.load(codec)
        name = next(n for n in RIGHT if MODELS[n].protocol['can']['codec'] == codec)
        for switch, allowed in choices.items():
            for value in allowed:
                make(MODELS[name], {switch: list(value) if isinstance(value, tuple) else value})
            twins = [int(a) if isinstance(a, bool) else bool(a) for a in allowed if a in (0, 1)]  # True is not 1
            for bad in ('sideways', 7, None, *twins):
                with pytest.raises(ConfigError, match=switch):
                    make(MODELS[name], {switch: bad})
        for number, (_, low, high) in NUMBERS[codec].items():
            make(MODELS[name], {number: high})
            for bad in (low - 1, high + 1, 1.5, 'fast', True):
                with pytest.raises(ConfigError, match=f'{number}.*{low} … {high}'):
                    make(MODELS[name], {number: bad})
        with pytest.raises(UnknownName, match='Did you mean'):
            make(MODELS[name], {'finger_ordr': 'any'})


def test_hands_that_do_not_fit():
    sense, v4 = MODELS['v5_sense_right'], MODELS['v4_right']
    with pytest.raises(ConfigError, match='finger by finger'):
        CODECS.load('v4_can')(dataclasses.replace(v4, fingers=v4.fingers[::-1]))
    with pytest.raises(ConfigError, match='16 joints and 16 taxels'):
        CODECS.load('v5_sense_can')(v4)
    strong = dataclasses.replace(sense.joints[0], clamp=40_000.0)
    with pytest.raises(ConfigError, match='32767'):
        CODECS.load('v4_can')(dataclasses.replace(sense, joints=(strong, *sense.joints[1:])))
