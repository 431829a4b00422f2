"""CAN protocols against bytes written down elsewhere: captures, published layouts, the vendors' start-up frames."""

from __future__ import annotations

import math

import numpy as np
import pytest
from allegro_description.model import load_hand
from allegro_driver.protocol.can_commands import (
    ConfigBaud,
    ConfigDevice,
    GravityRpy,
    HinfMode,
    Reading,
    Request,
    ServoOff,
    ServoOn,
    SetPeriod,
    SetPlexusPeriod,
    Torque,
)
from allegro_driver.protocol.can_frames import parse_frame
from allegro_driver.protocol.classic_can_hand import V4CanHand, V5CanHand
from allegro_driver.protocol.classic_can_session import V4CanSession
from allegro_driver.protocol.plexus_can_hand import PlexusCanHand
from allegro_driver.protocol.plexus_can_session import PlexusCanSession
from allegro_driver.protocol.session import CalibrationDone, HandInfo, MotorFault, Sample, SerialNumber
from allegro_driver.protocol.v5_can_session import V5CanSession, V5ThreeFingerCanSession
from allegro_driver.protocol.v5_sense_can_hand import V5SenseCanHand
from allegro_driver.protocol.v5_sense_can_session import V5SenseCanSession

V4, V5_B, V5_3F, SENSE, PLEXUS = (load_hand(name) for name in ('v4', 'v5_b', 'v5_3f', 'v5_sense', 'plexus'))


def feed(session, *texts):
    """What the last of these frames tells."""
    message = None
    for text in texts:
        message = session.decode(parse_frame(text))
    return message


def written(frames):
    return [str(frame) for frame in frames]


def rest(first, last):
    return [f'{identifier:03X}#0000000000000000' for identifier in range(first, last + 1, 4)]


# --- captured from a V4 ----------------------------------------------------------------------------------------------


def test_captured_v4_position():
    sample = feed(V4CanSession(V4), '080#CAFDBDFE90FFCEFF', *rest(0x084, 0x08C))
    assert isinstance(sample, Sample)
    np.testing.assert_allclose(np.degrees(sample.position[:4]), [-2.879, -1.643, -0.570, -0.254], atol=5e-4)
    np.testing.assert_allclose(sample.position[:4], np.array([-566, -323, -112, -50]) * math.radians(333.3 / 65536))
    np.testing.assert_array_equal(sample.position[4:], 0.0)


def test_captured_v4_torque_is_a_share_of_1200_pwm_counts():
    torque = V4CanHand(V4).decode(parse_frame('180#0200CB0042002500'))
    assert torque == Torque(0, (2, 203, 66, 37))
    np.testing.assert_allclose(np.array(torque.counts) / 1200, [0.0017, 0.169, 0.055, 0.031], atol=5e-4)
    effort = np.zeros(16)
    effort[:4] = np.array(torque.counts) / V4.per_nm[:4]
    assert written(V4CanSession(V4).torque(effort)) == ['180#0200CB0042002500', *rest(0x184, 0x18C)]


@pytest.mark.parametrize(('reading', 'faults'), [
    ('any', ('internal communication fault, or throttled because joints are hot',)),
    ('vendor', ('internal communication fault',)),
    ('digit', ()),
])
def test_captured_v4_info(reading, faults):
    info = feed(V4CanSession(V4, {'status_bits': reading}), '200#0204060400 3C 05')
    assert info == HandInfo(0x0402, 0x0406, 'right', True, 60.0, faults)


def test_captured_v4_temperature_stays_with_the_samples():
    session = V4CanSession(V4)
    assert feed(session, '0E0#2B2A2925') is None
    for _ in range(500):  # temperatures come every 500 ms, samples every 3
        sample = feed(session, *rest(0x080, 0x08C))
        np.testing.assert_array_equal(sample.temperature_c, [43, 42, 41, 37, *[math.nan] * 12])


def test_v4_serial_number():
    assert feed(V4CanSession(V4), '220#4130383052000000') == SerialNumber('A080R', 'right')
    assert feed(V4CanSession(V4), '220#413038304C202020') == SerialNumber('A080L', 'left')
    assert feed(V4CanSession(V4), '220#FFFFFFFFFFFFFFFF') == SerialNumber()
    assert feed(V4CanSession(V4), '220#3554425230303137') == SerialNumber('5TBR0017', 'right', 'B')


# --- derived from the published layouts ------------------------------------------------------------------------------


def test_half_a_radian():
    position = np.zeros(16)
    position[0] = 0.5
    assert str(V4CanHand(V4).position(position)[0]) == '080#0116000000000000'
    assert str(V5CanHand(V5_B).position(position)[0]) == '080#4601000000000000'
    sample = feed(V4CanSession(V4), '080#0116000000000000', *rest(0x084, 0x08C))
    assert sample.position[0] == pytest.approx(0.5, abs=5e-5)


def test_v5_type_b_halves_the_geared_joint_and_truncates():
    effort = np.zeros(16)
    effort[:4] = 0.05
    session = V5CanSession(V5_B)
    assert written(session.torque(effort)) == ['180#4700230047004700', *rest(0x184, 0x18C)]
    assert written(session.torque(-effort))[0] == '180#B9FFDDFFB9FFB9FF'  # -71, -35: toward zero


def test_range_of_the_position_field():
    for model, degrees in ((V4, 166.6), (V5_B, 2883.5)):
        session = V5CanSession(V5_B) if model is V5_B else V4CanSession(V4)
        sample = feed(session, '080#FF7F018000000000', *rest(0x084, 0x08C))
        np.testing.assert_allclose(np.degrees(sample.position[:2]), [degrees, -degrees], atol=0.1)


def test_gravity_bytes():
    frame, = V5SenseCanSession(SENSE).gravity_rpy((10.5, -5.25, 90.0))
    assert str(frame) == '22C#1A04F3FD28230000'
    assert V5SenseCanHand(SENSE).decode(frame) == GravityRpy(10.5, -5.25, 90.0)


def test_periods_of_six_and_eight_bytes():
    hand = V4CanHand(V4)
    assert hand.decode(parse_frame('204#030000000000')) == SetPeriod(3, 0, 0)
    assert hand.decode(parse_frame('204#03000000F401')) == SetPeriod(3, 0, 500)
    assert hand.decode(parse_frame('204#03000000F401E803')) == SetPeriod(3, 0, 500, 1000)
    long = V4CanSession(V4, {'period_bytes': 8, 'status_period_ms': 1000})
    assert str(long.stream()[0]) == '204#03000000F401E803'
    assert str(long.silence()[1]) == '204#0000000000000000'


def test_config_bytes():
    hand = V4CanHand(V4)
    assert written(V4CanSession(V4).change_device(2)) == ['1A0#820000000000']
    assert hand.decode(parse_frame('1A0#820000000000')) == ConfigDevice(2)
    assert hand.decode(parse_frame('1A0#82DEADBEEF00')) == ConfigDevice(2)  # vendors leave the middle undefined
    assert hand.decode(parse_frame('1A0#0000C2018000')) == ConfigBaud(0x01C200)
    assert written(PlexusCanSession(PLEXUS).change_device(2)) == ['014#020200000000']


# --- what the vendors' hosts say at the beginning and at the end -----------------------------------------------------


def test_v4_conversation():
    session, zero = V4CanSession(V4, {'temperature_period_ms': 0}), rest(0x180, 0x18C)
    assert written(session.hello()) == ['200#R']
    assert written(session.serial_request()) == ['220#R']
    assert written(session.stream()) == ['204#030000000000', *zero, '100#', *zero]
    assert written(V4CanSession(V4).stream())[0] == '204#03000000F401'
    assert written(session.quiet()) == [*zero, '104#'] * 3
    assert written(session.silence()) == ['104#', '204#000000000000'] * 2


def test_v5_conversations():
    assert str(V5CanSession(V5_B, V5_B.protocol['can']).stream()[0]) == '204#030000000000'
    three = V5ThreeFingerCanSession(V5_3F, V5_3F.protocol['can'])
    assert written(three.stream()) == ['204#020000000000', *rest(0x180, 0x188), '100#', *rest(0x180, 0x188)]
    assert written(three.quiet()) == [*rest(0x180, 0x188), '104#'] * 3


def test_sense_conversation_settles_the_mode_before_the_first_torque():
    session, zero, off = V5SenseCanSession(SENSE), rest(0x180, 0x18C), ['228#0000000000000000'] * 3
    assert written(session.quiet()) == [*off, *[*zero, '104#'] * 2]
    assert written(session.stream()) == [*off, '204#030000000000', *zero, '100#', *zero]
    assert written(session.position_mode(True)) == ['228#0100000000000000'] * 3
    assert written(session.position_mode(False)) == [*off, *zero]
    assert written(session.calibrate()) == ['224#']
    assert V5SenseCanHand(SENSE).decode(parse_frame('228#0100000000000000')) == HinfMode(True)


def test_plexus_conversation():
    session, zero = PlexusCanSession(PLEXUS), rest(0x050, 0x05C)
    assert written(session.hello()) == ['100#R', '100#']
    assert written(session.serial_request()) == ['104#R', '104#']
    assert written(PlexusCanSession(PLEXUS, {'request': 'rtr'}).hello()) == ['100#R']
    assert written(PlexusCanSession(PLEXUS, {'request': 'data'}).hello()) == ['100#']
    stream = written(session.stream())
    assert stream[:2] == ['00C#00', '010#0A0A0A0AFF']
    assert stream[-9:] == [*zero, '00C#01', *zero]
    off, mode = stream.index('00C#00'), stream.index('014#010B00000000')
    assert (mode - off) * session.gap_s >= 0.1  # the vendor waits 100 ms after switching off
    assert '014#010C00000000' in written(PlexusCanSession(PLEXUS, {'mode_table': 'older'}).stream())
    assert written(session.quiet())[0] == written(session.quiet())[-1] == '00C#00'
    assert written(session.silence()) == ['00C#00']
    assert written(PlexusCanSession(PLEXUS, {'at_exit': 'off_and_period_zero'}).silence())[1] == '010#0000000000'


def test_plexus_identifiers_with_device_number_one():
    hand = PlexusCanHand(PLEXUS, device=1)
    zero = np.zeros(16)
    assert [f.identifier for f in hand.position(zero)] == [0x081, 0x085, 0x089, 0x08D]
    assert [f.identifier for f in hand.current(zero)] == [0x091, 0x095, 0x099, 0x09D]
    assert [f.identifier for f in hand.velocity(zero)] == [0x0A1, 0x0A5, 0x0A9, 0x0AD]
    assert [f.identifier for f in hand.temperature(zero)] == [0x0D1, 0x0D5, 0x0D9, 0x0DD]
    assert [hand.imu().identifier, hand.info(0, 0).identifier, hand.serial('').identifier] == [0x0C1, 0x101, 0x105]
    assert hand.decode(parse_frame('00D#01')) == ServoOn()
    assert hand.decode(parse_frame('00D#00')) == ServoOff()
    assert hand.decode(parse_frame('011#0A0A0A0AFF')) == SetPlexusPeriod(10, 10, 10, 10, 255)
    for text in ('101#R', '101#'):
        assert hand.decode(parse_frame(text)) == Request(Reading.INFO)
    assert hand.decode(parse_frame('00C#01')) is None  # somebody else's


def test_plexus_bytes():
    session = PlexusCanSession(PLEXUS)
    info = feed(session, '100#0204 0604 01 2D FF 84')
    assert info == HandInfo(0x0402, 0x0406, 'right', None, 45.0, ('overheating', 'no connection to the thumb'))
    sample = feed(session, *rest(0x094, 0x09C), '090#B200000000000000', '0A0#0100000000000000', '0C0#000000000000',
                  '0D0#2B2A2925', '080#0004000000000000', *rest(0x084, 0x08C))
    assert sample.position[0] == pytest.approx(math.pi / 2)  # 1024 of 4096 counts
    assert sample.current_ma[0] == 178
    np.testing.assert_array_equal(sample.temperature_c[:4], [43, 42, 41, 37])
    effort = np.zeros(16)
    effort[:2] = [0.1, 9.0]
    assert written(session.torque(effort))[0] == '050#5600040100000000'  # 86 mA, and 260 mA on the index' second joint


# --- V5 family -------------------------------------------------------------------------------------------------------


def test_v5_serial_number_and_info():
    session = V5CanSession(V5_B)
    assert feed(session, '220#3554425230303137') == SerialNumber('5TBR0017', 'right', 'B')
    assert feed(session, '220#0000000000000000') == SerialNumber()
    assert feed(session, '200#02040604000001') == HandInfo(0x0402, 0x0406)  # the other bytes are fixed
    assert not session.answers_hello
    assert V5CanSession(V5_B, {'info_required': True}).answers_hello


@pytest.mark.parametrize('ids', [('140', '148'), ('3C0', '3C8')])
def test_fingertips_on_both_sets_of_identifiers(ids):
    a, b = ids
    session = V5CanSession(V5_B)
    sample = feed(session, f'{a}#C8000000 9CFFFFFF', f'{b}#88130000 01000000', *rest(0x080, 0x08C))
    np.testing.assert_array_equal(sample.tactile[V5_B.tip_taxels], [200, 0, 5000, 1])  # below the atmosphere: 0
    three = V5ThreeFingerCanSession(V5_3F)
    sample = feed(three, f'{a}#01000000 02000000', f'{b}#03000000 04000000', *rest(0x080, 0x088))
    np.testing.assert_array_equal(sample.tactile[V5_3F.tip_taxels], [1, 2, 3])
    other = V5ThreeFingerCanSession(V5_3F, {'fingertip_order': ['index', 'middle', 'unused', 'thumb']})
    sample = feed(other, f'{a}#01000000 02000000', f'{b}#03000000 04000000', *rest(0x080, 0x088))
    np.testing.assert_array_equal(sample.tactile[V5_3F.tip_taxels], [1, 2, 4])


def test_motor_errors_name_both_joints_that_it_may_be():
    first = V5CanSession(V5_B, {'error_motor_base': 0})
    fault = feed(first, '3B8#0524')
    assert isinstance(fault, MotorFault)
    assert 'joint_5_0 counting from 0, joint_4_0 if the hand counts from 1' in fault.text
    assert 'overheating, overload (code 0x24)' in fault.text
    assert 'joint_4_0 counting from 1' in feed(V5CanSession(V5_B, {'error_motor_base': 1}), '3B8#0511').text
    assert 'input voltage out of range, electrical shock' in feed(first, '3B8#0511').text
    assert 'no joint counting from 0' in feed(first, '3B8#1001').text
    assert 'unknown bit 7' in feed(first, '3B8#0080').text
    assert feed(first, '248#') == CalibrationDone()


def test_the_fourth_field_of_three_finger_frames_is_ignored_and_sent_as_zero():
    session = V5ThreeFingerCanSession(V5_3F)
    sample = feed(session, '080#0100 0200 0300 FF7F', '084#0400 0500 0600 FF7F', '088#0700 0800 0900 FF7F')
    np.testing.assert_allclose(sample.position, np.arange(1, 10) * math.radians(0.088))
    assert all(frame.data[6:] == b'\0\0' for frame in session.torque(np.full(9, 9.0)))
    # 885 / 0.92 mA per N·m, but 885 / 1.4 on joints 1, 4, 7
    assert session.torque(np.full(9, 0.1))[0].data[:6] == bytes.fromhex('6000 3F00 6000')


# --- V5 Sense --------------------------------------------------------------------------------------------------------


def sense(settings, *texts):
    return feed(V5SenseCanSession(SENSE, settings), *texts, *rest(0x080, 0x08C))


def test_compressed_cells():
    sample = sense({}, '150#01020304050607FE', '154#FF00000000000080')
    np.testing.assert_array_equal(
        sample.tactile, [400, 800, 1200, 1600, 2000, 2400, 2800, 101600, math.nan, *[0] * 6, 51200])
    assert sense({'palm_scale': 10}, '150#0101000000000000').tactile[:2].tolist() == [4000, 400]


def test_legacy_cells_are_big_endian():
    old = {'tactile_frames': 'legacy'}
    sample = sense(old, '150#0001 0002 0003 0100', '158#0009 000A 000B 000C', '15C#FFFF 0000 0000 0000')
    np.testing.assert_array_equal(
        sample.tactile, [100, 200, 300, 25600, *[math.nan] * 4, 900, 1000, 1100, 1200, 6553500, 0, 0, 0])
    assert sense({}, '158#0009 000A 000B 000C').tactile[8] == 900  # as the vendor's driver reads them


@pytest.mark.parametrize(('order', 'joint'), [('vendor', 4), ('thumb_first', 12), ('index_first', 0)])
def test_first_current_field_by_rule(order, joint):
    sample = sense({'current_order': order}, '000#7F00000000000000', '00C#0000000000000081')
    expected = np.zeros(16)
    expected[joint], expected[(joint + 15) % 16] = 240, -240
    np.testing.assert_array_equal(sample.current_ma, expected)


def test_currents_round_half_away_and_need_both_frames():
    sample = sense({'current_order': 'index_first'}, '000#01FF0280 00000000', '00C#0000000000000000')
    np.testing.assert_array_equal(sample.current_ma[:4], [2, -2, 4, -242])
    assert sense({}, '000#0102030405060708').current_ma is None


def test_targets_truncate():
    session = V5SenseCanSession(SENSE)
    session.position_mode(True)
    position = np.zeros(16)
    position[:2] = np.radians([0.088 * 2.6, -0.088 * 2.6])
    assert written(session.targets(position))[0] == '180#0200FEFF00000000'
