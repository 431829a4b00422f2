"""Modes, calibration, heat and errors of CAN hands as their controllers have them; frames written by hand."""

from __future__ import annotations

import math
import struct

import numpy as np
import pytest
from allegro_description.errors import ProtocolError
from firmware_bench import Bench, frame, newest

# --- the V5 Sense's own loop, gravity, calibration ----------------------------------------------------------------


def test_with_the_position_loop_on_a_frame_of_zero_torque_means_0_degrees():
    hand = Bench('v5_sense')
    hand.say('204#030000000000', '100#', frame(0x184, 0, 60, 60, 60))
    start = newest(hand.run(300), 0x084)
    hand.say('184#0000000000000000')
    hand.say('228#0100000000000000')
    still = newest(hand.run(300), 0x084)
    assert still == pytest.approx(start, abs=60)  # holds until a target comes
    assert still[1] > 60
    hand.say('184#0000000000000000')  # "torque off", thinks the host
    assert newest(hand.run(2000), 0x084) == pytest.approx((0, 0, 0, 0), abs=3)
    hand.say(frame(0x184, 0, 300, 200, 100))
    sent = hand.run(2000)
    assert newest(sent, 0x084) == pytest.approx((0, 300, 200, 100), abs=5)
    assert newest(sent, 0x080) == (0, 0, 0, 0)
    hand.say('228#0000000000000000')
    assert not hand.body.torque.any()
    hand.say(frame(0x184, 0, 70, 0, 0))
    assert hand.body.torque[5] == 70  # milliamps again


def test_gravity_is_stored():
    hand = Bench('v5_sense')
    hand.say('22C#1A04F3FD28230000')
    assert hand.hand.status()['gravity_rpy_cdeg'] == [1050, -525, 9000]


@pytest.mark.parametrize(('model', 'reply'), [('v5_sense', 'yes'), ('v5_sense', 'no'), ('v5_b', 'yes')])
def test_calibration_makes_the_pose_zero_and_joint_13_90_degrees(model, reply):
    hand = Bench(model, calibration_reply=reply)
    hand.say('204#030000000000', '100#', *(frame(0x180 + 4 * f, 0, 30, 30, 30) for f in range(4)))
    hand.run(300)
    hand.say('104#', '204#000000000000')
    hand.run(100)
    world = hand.body.world.position.copy()
    answers = hand.say('224#')
    assert answers == (['248#'] if reply == 'yes' else [])
    position = [struct.unpack('<4h', bytes.fromhex(hand.say(f'{0x080 + 4 * f:03X}#R')[0][4:])) for f in range(4)]
    assert position == [(0,) * 4, (0,) * 4, (0,) * 4, (0, 1023, 0, 0)]
    assert (hand.body.world.position == world).all()


def test_v4_has_none_of_that():
    for text in ('228#0100000000000000', '22C#0000000000000000', '224#'):
        with pytest.raises(ProtocolError):
            Bench('v4').say(text)


# --- Plexus modes -------------------------------------------------------------------------------------------------


def plexus(mode, limit, **config):
    hand = Bench('plexus', **config)
    hand.say('101#', '011#0A000A0000', '00D#00', f'015#01{mode:02X}00000000',
             *(frame(0x051 + 4 * f, *[limit] * 4) for f in range(4)))
    return hand


def test_plexus_moves_only_while_the_system_is_on():
    hand = plexus(0x0A, 178)
    hand.say(frame(0x045, 0, 500, 0, 0))
    assert newest(hand.run(500), 0x085)[1] == 0
    hand.say('00D#01')
    assert newest(hand.run(3000), 0x085)[1] == pytest.approx(500, abs=3)
    hand.say('00D#00', frame(0x045, 0, 0, 0, 0))
    hand.run(100)
    before = newest(hand.run(10), 0x085)
    assert newest(hand.run(1000), 0x085) == before


@pytest.mark.parametrize('physics', ['simple', 'mujoco'])
@pytest.mark.parametrize('limit', [178, 40])
def test_plexus_position_mode_does_not_overshoot_and_keeps_the_current_limit(limit, physics):
    if physics == 'mujoco':
        pytest.importorskip('mujoco')
    hand = plexus(0x0A, limit, physics=physics)
    hand.say('00D#01', frame(0x04D, 0, 0, 0, 500))
    sent = hand.run(3000)
    angles = [struct.unpack('<4h', data)[3] for _, i, data in sent if i == 0x08D]
    currents = [struct.unpack('<4h', data) for _, i, data in sent if i in (0x091, 0x095, 0x099, 0x09D)]
    assert max(angles) <= 505
    assert max(angles) > 300
    assert 10 < np.abs(currents).max() <= limit


def test_plexus_torque_mode_takes_milliamps_and_ignores_poses():
    hand = plexus(0x0B, 0)
    hand.say('00D#01', frame(0x045, 0, 500, 0, 0))
    assert newest(hand.run(300), 0x085)[1] == 0
    hand.say(frame(0x055, 0, 100, 0, 0))
    sent = hand.run(300)
    assert newest(sent, 0x085)[1] * 2 * math.pi / 4096 == pytest.approx(0.3, rel=0.1)
    assert newest(sent, 0x095) == (0, 100, 0, 0)
    hand.say('015#010A00000000')  # position mode holds the pose
    pose = newest(hand.run(200), 0x085)
    assert newest(hand.run(1000), 0x085) == pytest.approx(pose, abs=15)


def test_plexus_starts_in_the_position_mode_so_that_a_torque_frame_is_a_limit():
    hand = Bench('plexus')
    hand.say('00D#01', frame(0x055, 0, 50, 0, 0))
    hand.run(500)
    assert not hand.body.world.position.any()
    assert hand.hand.status()['current_limit_ma'][4:8] == [0, 50, 0, 0]


# --- temperature and errors ---------------------------------------------------------------------------------------


def test_motors_warm_under_load_and_cool_without():
    hand = Bench('v4', thermal_s=1.0)
    hand.say('204#030000006400', '100#', frame(0x180, 375, 337, 0, 0))
    warm = [data for _, i, data in hand.run(10_000) if i == 0x0E0][-1]
    assert list(warm) == [85, 44, 30, 30]  # full load, half of it, none: I²R
    assert int(hand.say('200#R')[0][16:18], 16) & 0x02  # too warm
    hand.say('180#0000000000000000')
    assert list([data for _, i, data in hand.run(10_000) if i == 0x0E0][-1]) == [30] * 4
    assert not int(hand.say('200#R')[0][16:18], 16) & 0x02


def test_v5_complains_once_of_each_joint_that_becomes_too_warm():
    hand = Bench('v5_b', thermal_s=0.5)
    hand.say('204#030000000000', '100#', frame(0x184, 0, 0, 240, 0))
    errors = [data for _, i, data in hand.run(5000) if i == 0x3B8]
    assert errors == [bytes((6, 0x04))]
    hand.faults.inject('motor_error', '3:0x21')
    assert [(i, data) for _, i, data in hand.run(30) if i == 0x3B8] == [(0x3B8, b'\x03\x21')]


def test_plexus_tells_of_heat_in_its_joint_status():
    hand = Bench('plexus')
    assert hand.say('101#')[0][-2:] == '00'
    hand.faults.inject('overheat', 80)
    assert bytes.fromhex(hand.say('101#')[0][4:])[5:] == bytes((80, 0, 4))
    assert hand.say('0D1#') == ['0D1#50505050']
