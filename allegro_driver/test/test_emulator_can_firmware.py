"""What the controllers of CAN hands do, without a wire and without a clock; frames written by hand.

Layouts and numbers are the fact sheet's; nothing here goes through the suite's codecs.
"""

from __future__ import annotations

import math
import struct
from collections import Counter

import numpy as np
import pytest
from allegro_description.errors import AllegroError, CommandRefused, ConfigError, ProtocolError
from allegro_driver.emulator.build import build_emulator
from allegro_driver.emulator.config import EmulatorConfig
from allegro_driver.protocol.can_frames import parse_frame
from firmware_bench import V5_DEG, Bench, frame, newest
from hypothesis import given, settings
from hypothesis import strategies as st

# --- identity -----------------------------------------------------------------------------------------------------


def test_v4_tells_who_it_is():
    hand = Bench('v4')
    info = hand.say('200#R')[0]
    assert info.startswith('200#02040604')  # hardware 0x0402, firmware 0x0406
    assert info[12:14] == '00'              # right
    assert int(info[16:18], 16) & 1 == 0    # servo off
    hand.say('100#')
    assert int(hand.say('200#R')[0][16:18], 16) & 1 == 1
    assert Bench('v4', side='left').say('200#R')[0][12:14] == '01'
    assert bytes.fromhex(hand.say('220#R')[0][4:]).rstrip(b'\0').endswith(b'R')


@pytest.mark.parametrize(('model', 'letter'), [('v5_a', 'A'), ('v5_b', 'B'), ('v5_3f', 'C'), ('v5_sense', 'B')])
def test_v5_serial_numbers_tell_type_and_side(model, letter):
    for side in ('right', 'left'):
        text = bytes.fromhex(Bench(model, side=side).say('220#R')[0][4:]).decode()
        assert (len(text), text[0], text[2], text[3]) == (8, '5', letter, side[0].upper())


def test_v5_information_is_that_of_the_manual():
    assert Bench('v5_b').say('200#R')[0][12:] == '000001'
    assert Bench('v5_b', answers_info='no').say('200#R') == []
    old, new = (Bench('v5_b', fingertip_ids=ids).say('200#R')[0][8:12] for ids in ('old', 'new'))
    assert (old, new) == ('0101', '0201')  # firmware 1.1 and 1.2


def test_plexus_answers_remote_frames_and_empty_data_frames_with_device_number_1():
    hand = Bench('plexus')
    for text in ('101#R', '101#'):
        data = bytes.fromhex(hand.say(text)[0].removeprefix('101#'))
        assert len(data) == 8
        assert data[4] == 1  # right
    assert Bench('plexus', side='left').say('101#')[0].removeprefix('101#')[8:10] == '00'
    assert len(hand.say('105#')) == len(hand.say('105#R')) == 1
    assert hand.say('100#', '100#R') == []
    assert [t[:4] for f in range(4) for t in hand.say(f'{0x81 + 4 * f:03X}#')] == ['081#', '085#', '089#', '08D#']


def test_other_hands_take_an_empty_data_frame_for_no_request():
    with pytest.raises(ProtocolError):
        Bench('v4').say('200#')


# --- device numbers -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize('device', [0, 1, 2, 3])
def test_a_hand_hears_its_own_device_number_only_and_answers_with_it(device):
    hand = Bench('v4', device_id=device)
    answers = hand.say(*(f'{0x200 | d:03X}#R' for d in range(4)))
    assert [a[:3] for a in answers] == [f'{0x200 | device:03X}']
    assert hand.hand.foreign == 3


def test_config_changes_the_device_number_for_good():
    hand = Bench('v4')
    hand.say('1A0#8277AA550000')  # vendor hosts leave the middle bytes undefined
    assert hand.say('200#R') == []
    assert hand.say('202#R')[0].startswith('202#')
    hand.faults.inject('restart', 0)
    hand.run(3)
    assert hand.say('202#R')
    plexus = Bench('plexus')
    plexus.say('015#020300000000')
    assert plexus.say('103#')[0].startswith('103#')


# --- streams ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize('text', ['204#030000000000', '204#0300000000000000'])
def test_v4_streams_positions_with_either_length_of_the_period_frame_and_servo_off(text):
    hand = Bench('v4')
    assert hand.run(30) == []  # nothing by itself
    hand.say(text)
    assert hand.ids(30) == {'080': 10, '084': 10, '088': 10, '08C': 10}
    hand.say('204#000000000000')
    assert hand.run(30) == []


def test_each_stream_keeps_its_own_period():
    hand = Bench('v4')
    hand.say('204#03000A006400')
    assert hand.ids(900) == {**dict.fromkeys(('080', '084', '088', '08C'), 300), '0C0': 90,
                             **dict.fromkeys(('0E0', '0E4', '0E8', '0EC'), 9)}
    hand.say('204#0000000000003200')  # DIGIT's fourth period: status
    assert hand.ids(500) == {'200': 10}


@pytest.mark.parametrize('period', [1, 2, 3, 7, 10, 40, 255])
def test_positions_come_with_the_period_that_was_set(period):
    hand = Bench('v4')
    hand.say('204#' + struct.pack('<3H', period, 0, 0).hex())
    sent = [ms for ms, identifier, _ in hand.run(20 * period) if identifier == 0x080]
    assert len(sent) == 20
    assert np.diff(sent) == pytest.approx(period)
    assert hand.hand.period_s <= 0.005


def test_requests_are_answered_without_any_stream_and_with_servo_off():
    hand = Bench('v4')
    assert [a[:4] for a in hand.say('080#R', '08C#R', '0E4#R', '0C0#R')] == ['080#', '08C#', '0E4#', '0C0#']
    assert hand.say('0E0#R') == ['0E0#1E1E1E1E']  # 30 °C


@pytest.mark.parametrize(('switch', 'streams'), [('auto', False), ('yes', False), ('no', True)])
@pytest.mark.parametrize('model', ['v5_a', 'v5_sense'])
def test_v5_streams_while_the_servo_is_on_only(model, switch, streams):
    hand = Bench(model, stream_needs_servo=switch)
    hand.say('204#030000000000')
    assert bool(hand.run(12)) == streams
    hand.say('100#')
    assert len(hand.run(12)) >= 16
    hand.say('104#')
    assert bool(hand.run(12)) == streams


@pytest.mark.parametrize(('ids', 'names'), [('new', ('140', '148')), ('old', ('3C0', '3C8'))])
def test_fingertips_come_with_each_cycle_under_either_set_of_ids(ids, names):
    hand = Bench('v5_b', ['saturated_taxel=thumb_tip'], fingertip_ids=ids)
    hand.say('204#020000000000', '100#')
    assert hand.ids(20) == dict.fromkeys(('080', '084', '088', '08C', *names), 10)
    sent = {f'{i:03X}': data for _, i, data in hand.run(2)}
    assert struct.unpack('<2i', sent[names[0]]) == (0, 0)          # index, middle
    assert struct.unpack('<2i', sent[names[1]]) == (0, 23675)      # ring, thumb


def test_v5_3_finger_sends_three_position_frames_and_ignores_the_fourth_field():
    hand = Bench('v5_3f')
    hand.say('204#020000000000', '100#', frame(0x180, 0, 50, 0, 300), frame(0x188, 0, 0, 40, -300))
    sent = hand.run(200)
    assert {i for _, i, _ in sent} == {0x080, 0x084, 0x088, 0x140, 0x148}
    assert newest(sent, 0x080)[1] > 20
    assert newest(sent, 0x080)[3] == 0
    assert newest(sent, 0x084) == (0, 0, 0, 0)
    assert newest(sent, 0x088)[2] > 20
    with pytest.raises(ProtocolError):
        hand.say('18C#0000000000000000')


def test_sense_sends_cells_and_currents_with_each_cycle():
    hand = Bench('v5_sense', ['saturated_taxel=palm', 'taxel_invalid=ring_tip'])
    hand.say('204#030000000000', '100#', frame(0x184, 0, 0, 0, 120))
    sent = hand.run(9)
    assert Counter(i for _, i, _ in sent) == dict.fromkeys(
        (0x000, 0x00C, 0x080, 0x084, 0x088, 0x08C, 0x150, 0x154), 3)
    by_id = {i: data for _, i, data in sent}
    assert by_id[0x150] == bytes((0xFE,)) + bytes(7)   # 254 x 0.4 kPa: the palm
    assert by_id[0x154] == bytes(7) + b'\xff'          # the ring tip has no reading
    currents = by_id[0x000] + by_id[0x00C]
    assert sorted(currents) == [0] * 15 + [round(120 * 127 / 240)]


def test_plexus_streams_five_kinds_with_periods_of_one_byte():
    hand = Bench('plexus')
    hand.say('011#0A0A14FFFF')
    counts = hand.ids(2550)
    assert {counts[f'{0x81 + 4 * f:03X}'] for f in range(4)} == {255}   # positions
    assert {counts[f'{0xA1 + 4 * f:03X}'] for f in range(4)} == {255}   # velocities
    assert {counts[f'{0x91 + 4 * f:03X}'] for f in range(4)} == {127}   # torques, every 20 ms
    assert {counts[f'{0xD1 + 4 * f:03X}'] for f in range(4)} == {10}
    assert counts['0C1'] == 10


# --- torque -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(('model', 'count', 'lsb_deg'), [
    ('v4', 200, 333.3 / 65536), ('v5_a', 60, V5_DEG), ('v5_b', 60, V5_DEG), ('v5_3f', 60, V5_DEG),
    ('v5_sense', 60, V5_DEG)])
def test_torque_moves_the_joint_that_was_meant_and_servo_off_stops_it(model, count, lsb_deg):
    hand = Bench(model, stream_needs_servo='no')
    hand.say('204#030000000000', frame(0x184, 0, count, 0, 0))
    assert newest(hand.run(60), 0x084)[1] == 0  # the servo is off
    hand.say('100#')
    moved = newest(hand.run(300), 0x084)[1] * math.radians(lsb_deg)
    unit_rate = 0.002 if model == 'v4' else 0.01
    assert moved == pytest.approx(count * unit_rate * 0.3, rel=0.1)
    hand.say('104#')
    hand.run(60)
    rest = newest(hand.run(3), 0x084)
    assert newest(hand.run(300), 0x084) == rest


def test_torque_beyond_the_bound_is_cut_and_counted():
    hand = Bench('v4')
    hand.say('100#', frame(0x180, 1200, -1200, 100, 32767))
    assert hand.body.torque[:4].tolist() == [375, -675, 100, 285]
    assert hand.hand.status()['beyond_clamp'] == 1


@pytest.mark.parametrize(('watchdog', 'kept'), [(0.0, True), (50.0, False)])
def test_the_last_torque_is_held_for_ever_without_a_test_watchdog(watchdog, kept):
    hand = Bench('v5_b', torque_watchdog_ms=watchdog)
    hand.say('204#030000000000', '100#', frame(0x180, 0, 10, 0, 0))
    hand.run(45)
    assert hand.body.torque[1] == 10
    hand.run(4_000)
    assert bool(hand.body.torque[1]) == kept
    assert (hand.hand.status()['idle_s'] > 3.5) == (not kept)


def test_poses_and_picks_are_inert():
    hand = Bench('v5_b')
    hand.say('204#030000000000', '100#', frame(0x380, 500, 500, 500, 500), '044#', '048#')
    assert newest(hand.run(60), 0x080) == (0, 0, 0, 0)


@given(st.lists(st.tuples(st.integers(0, 3), st.lists(st.integers(-32768, 32767), min_size=4, max_size=4)),
                max_size=6), st.sampled_from(['v4', 'v5_b', 'v5_sense', 'plexus']))
@settings(max_examples=25)
def test_whatever_is_commanded_joints_and_torques_stay_in_bounds(commands, model):
    hand = Bench(model)
    low, high = np.array([j.urdf_range for j in hand.hand.model.joints]).T
    base, on = (0x051, '00D#01') if model == 'plexus' else (0x180, '100#')
    hand.say(on)
    for finger, counts in commands:
        hand.say(frame(base + 4 * finger, *counts))
        if model == 'plexus':
            hand.say(frame(0x041 + 4 * finger, *counts))
        hand.run(30)
        assert (low <= hand.body.world.position).all()
        assert (hand.body.world.position <= high).all()
        assert (np.abs(hand.body.torque) <= hand.hand.model.clamp + 1e-9).all()


# --- as vendors' programs do it ------------------------------------------------------------------------------------


def test_the_vendors_exit_ends_the_stream_and_leaves_the_torque():
    hand = Bench('v5_b')
    torques = [frame(0x180 + 4 * f, 0, 20, 0, 0) for f in range(4)]
    hand.say('104#', '200#R', '220#R', '204#020000000000', '100#', *torques)
    assert hand.ids(20)['080'] == 10
    before = hand.body.world.position.copy()
    hand.say('204#000000000000')  # "System Off", says its log; it never sends 104
    assert hand.run(600) == []
    assert (hand.body.world.position[1::4][:3] > before[1::4][:3] + 0.05).all()


def test_the_ros2_control_start_of_a_v4():
    hand = Bench('v4')
    hand.say('100#')
    hand.run(100)
    assert hand.say('200#R', '204#03000000F401')[0].startswith('200#')
    assert hand.ids(1500) == {**dict.fromkeys(('080', '084', '088', '08C'), 500),
                              **dict.fromkeys(('0E0', '0E4', '0E8', '0EC'), 3)}


def test_a_host_that_polls_instead_of_streaming():
    hand = Bench('v4')
    hand.say('204#000000000000', '100#', frame(0x180, 0, 300, 0, 0))
    seen = []
    for _ in range(100):
        assert hand.run(3) == []
        seen.append(struct.unpack('<4h', bytes.fromhex(hand.say('080#R')[0][4:]))[1])
    assert np.diff(seen[10:]).min() > 0
    hand.say('180#0000000000000000', '104#')
    hand.run(100)
    assert hand.say('080#R') == (hand.run(300), hand.say('080#R'))[1]


def test_older_sense_firmware_sends_its_cells_as_big_endian_words():
    hand = Bench('v5_sense', ['saturated_taxel=ring_tip'], switches='tactile_frames=legacy')
    hand.say('204#030000000000', '100#')
    sent = {i: data for _, i, data in hand.run(3)}
    assert struct.unpack('>4H', sent[0x15C]) == (0, 0, 0, 1020)
    assert sent[0x150] == sent[0x154] == sent[0x158] == bytes(8)


# --- MuJoCo behind every hand -------------------------------------------------------------------------------------


@pytest.mark.parametrize('model', ['v4', 'v5_a', 'v5_b', 'v5_3f', 'v5_sense', 'plexus'])
def test_contacts_behind_every_hand_and_every_period(model):
    pytest.importorskip('mujoco')
    hand = Bench(model, physics='mujoco', stream_needs_servo='no')
    joint = hand.body.world.position.size - 1  # thumb, last joint
    on = ('00D#01', '015#010B00000000') if model == 'plexus' else ('100#',)
    hand.say(*on)
    for period, sign in ((2, 1), (10, -1)):
        hand.say('011#' + f'{period:02X}' * 5 if model == 'plexus' else f'204#{period:02X}0000000000')
        hand.run(200)
        assert hand.hand.period_s == pytest.approx(0.002 if period == 2 else 0.005)
        rest = hand.body.world.position[joint]
        counts = [sign * 0.6 * hand.hand.model.clamp[joint] if i == joint else 0.0 for i in range(joint + 1)]
        hand.body.command_torque(np.array(counts), 0)
        hand.run(200)
        assert sign * (hand.body.world.position[joint] - rest) > 0.1
        hand.body.command_torque(np.zeros(joint + 1), 0)
    assert np.isfinite(hand.body.world.position).all()
    assert hand.body.world.failures == 0


def test_episodes_exist_for_one_hand_and_run_over_can_too():
    pytest.importorskip('mujoco')
    with pytest.raises(CommandRefused, match='v5_sense_right') as caught:
        build_emulator(EmulatorConfig(model='v4'))._episodes.start(1, 'L1', 'H1')
    assert '\n' not in str(caught.value)
    with pytest.raises(CommandRefused, match='--physics mujoco'):
        build_emulator(EmulatorConfig(physics='simple'))._episodes.start(1, 'L1', 'H1')
    server = build_emulator(EmulatorConfig(wire='slcan'))
    episodes, hand = server._episodes, server.firmware
    episodes.start(3, 'L1', 'H1')
    for text, seconds in (('204#020000000000', 0.5), ('204#060000000000', 0.25)):
        hand.hear(parse_frame(text), None, 0)
        for _ in range(round(seconds / hand.period_s)):
            episodes.before_step()
            hand.step(0)
            episodes.after_step()
    assert episodes.view()['episode']['clock_s'] == pytest.approx(0.75, abs=0.003)
    assert episodes.view()['object'] is not None


# --- settings -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(('config', 'word'), [
    ({'model': 'v4', 'wire': 'udp'}, 'speaks: can'), ({'wire': 'slcan:/dev/pts/3'}, '--pty-link'),
    ({'wire': 'vcan0'}, 'INTERFACE:CHANNEL'), ({'wire': 'virtual:x#1'}, '--device-id'),
    ({'wire': 'udp', 'pty_link': 'x'}, '--wire slcan'), ({'switches': 'palm_scale'}, 'NAME=VALUE'),
    ({'switches': 'palm=1'}, 'palm'), ({'serial': 'x' * 9}, '8 ASCII')])
def test_wrong_settings_are_refused_with_one_sentence(config, word):
    with pytest.raises(AllegroError, match=word) as caught:
        Bench(config.pop('model', 'v5_sense'), **config)
    assert '\n' not in str(caught.value)


def test_switches_of_the_protocol_can_be_turned():
    def palm(**config):
        hand = Bench('v5_sense', ['saturated_taxel=palm'], **config)
        hand.say('204#030000000000', '100#')
        return next(data for _, i, data in hand.run(3) if i == 0x150)[0]

    assert palm() == 254
    assert palm(switches='palm_scale=10') == 26  # a count of the palm is worth ten of other cells


def test_a_script_is_checked_when_the_emulator_is_built():
    with pytest.raises(ConfigError, match='entry 1'):
        Bench('v4', script='1 motor_error')
