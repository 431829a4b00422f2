"""Control modes, motions and injected faults at the seam between control loop and hardware: a hand without a wire."""

import dataclasses
import time

import numpy as np
import pytest
from allegro_description.errors import CommandRefused, ConfigError, LinkError, UnknownName
from allegro_description.model import load_hand
from allegro_description.state import JointCommand
from allegro_driver.config import DriverConfig
from allegro_driver.control.orders import FreeMotion
from allegro_driver.control.safety import State
from allegro_driver.diagnosis import ERROR, OK, WARN, diagnose
from allegro_driver.hand import Hand
from allegro_driver.hardware.base import Identity
from allegro_driver.permission import Unconfirmed
from stand_in import StandIn
from wire_hand import wait_until

MODEL = load_hand()
HOME = MODEL.pose('home')


def driven(hardware=None, model=MODEL, **config):
    made = DriverConfig(**{'realtime': 'off', 'stale_after_s': 0.25, 'hold_after_s': 0.3, **config})
    return Hand(hardware or StandIn(model), model, made)


@pytest.fixture
def standing():
    return StandIn(MODEL)


@pytest.fixture
def hand(standing):
    with driven(standing) as hand:
        assert wait_until(lambda: hand.last is not None)
        yield hand


@pytest.fixture
def onboard(standing):
    with driven(standing, control_mode='onboard') as hand:
        assert wait_until(lambda: hand.last is not None)
        yield hand


def command(**values):
    return JointCommand(time.monotonic_ns(), **values)


def after(log, mark):
    return log[len(log) - log[::-1].index(mark):]


# The hand's own position loop ---------------------------------------------------------------------------------------


def test_the_mode_comes_first_then_a_pause_then_the_measured_pose(onboard, standing):
    standing.position = HOME + 0.01
    onboard.enable()
    assert wait_until(lambda: len(standing.targets) > 3)
    assert after(standing.log, 'mode on')[0] == 'target'
    when, first = standing.targets[0]
    assert when - standing.mode_since >= standing.settle_s - standing.period_s
    np.testing.assert_allclose(first, standing.position, atol=1e-9)
    assert not any(effort.any() for effort in standing.efforts)


def test_positions_are_followed_on_board_at_limited_speed(onboard, standing):
    onboard.enable()
    assert wait_until(lambda: standing.target is not None)
    goal = np.clip(HOME + 0.2, MODEL.lower, MODEL.upper)
    end = time.monotonic() + 3
    while np.abs(standing.position - goal).max() > 0.001 and time.monotonic() < end:
        onboard.command(command(position=goal))
        time.sleep(0.01)
    assert np.abs(standing.position - goal).max() <= 0.001
    for (earlier, a), (later, b) in zip(standing.targets, standing.targets[1:], strict=False):
        assert np.abs(b - a).max() <= 4.0 * (later - earlier) + 4.0 * 0.01
    assert standing.trap == 0


@pytest.mark.parametrize('way_out', ['disable', 'relax', 'fault', 'stop', 'close', 'exception', 'alarm'])
def test_every_way_out_of_the_position_loop_switches_it_off_before_any_torque_packet(standing, way_out):
    hand = driven(standing, control_mode='onboard', relax_after_s=0.2 if way_out == 'relax' else 0.0)
    hand.start()
    hand.enable()
    assert wait_until(lambda: len(standing.targets) > 3)
    if way_out == 'disable':
        hand.enable(False)
    elif way_out == 'relax':
        assert wait_until(lambda: hand.state is State.RELAXED)
    elif way_out == 'fault':
        standing.paused = True
        assert wait_until(lambda: hand.state is State.FAULT)
    elif way_out == 'exception':
        standing.raises = True
        assert wait_until(lambda: hand.state is State.FAULT)
    elif way_out == 'alarm':
        standing.complain('motor 3 overheating')
        assert wait_until(lambda: hand.state is State.FAULT)
    elif way_out == 'stop':
        hand.stop()
    hand.close() if way_out == 'close' else time.sleep(0.03)
    assert not standing.positioning
    assert standing.trap == 0
    assert 'target' not in after(standing.log, 'mode off')
    hand.close()
    assert standing.trap == 0


def test_a_lost_mode_packet_never_lets_zero_torque_through(onboard, standing):
    onboard.enable()
    assert wait_until(lambda: len(standing.targets) > 3)
    standing.refuse_mode_off = 12  # more than are sent at once
    standing.complain('motor 3 overheating')
    assert wait_until(lambda: not standing.positioning)
    assert onboard.state is State.FAULT
    assert standing.refuse_mode_off == 0
    assert 'zero' not in standing.log[standing.log.index('mode on'):standing.log.index('halt')]


def test_torques_and_free_motion_are_refused_with_the_remedy(onboard):
    onboard.enable()
    for order in (command(effort=np.zeros(16)), FreeMotion()):
        with pytest.raises(CommandRefused, match='control_mode to host'):
            onboard.command(order)
    with pytest.raises(CommandRefused, match='control_mode to host'):
        onboard.play('gravcomp')
    assert onboard.status().refused == 3


def test_a_motion_runs_on_board_without_squeezing(onboard, standing):
    onboard.enable()
    onboard.configure(dataclasses.replace(onboard._config, motion_speed=4.0))
    onboard.play('grasp_3')
    assert wait_until(lambda: np.abs(standing.position - MODEL.pose('grasp_3')).max() < 0.005, 8.0)
    time.sleep(0.1)
    np.testing.assert_allclose(onboard.target(), MODEL.pose('grasp_3'), atol=1e-6)


def test_the_mode_changes_only_without_torque(hand, standing):
    other = DriverConfig(realtime='off', control_mode='onboard', stale_after_s=0.25)
    hand.enable()
    with pytest.raises(CommandRefused, match='disable it first'):
        hand.configure(other)
    assert hand.status().control_mode == 'host'
    hand.enable(False)
    hand.configure(other)
    hand.enable()
    assert wait_until(lambda: len(standing.targets) > 3)
    assert standing.trap == 0


def test_enabling_again_disturbs_nothing(onboard, standing):
    onboard.enable()
    assert wait_until(lambda: len(standing.targets) > 3)
    before = standing.log.count('mode off')
    assert onboard.enable().startswith('hold')
    time.sleep(0.05)
    assert standing.log.count('mode off') == before


def test_a_hand_without_such_a_loop_is_refused_the_mode_and_a_budget_it_cannot_keep():
    with pytest.raises(ConfigError, match='control_mode to host'):
        driven(StandIn(MODEL, onboard=False), control_mode='onboard')
    with pytest.raises(ConfigError, match='current_budget_ma'):
        driven(control_mode='onboard', current_budget_ma=500.0)
    with driven(StandIn(MODEL, onboard=False)) as hand, pytest.raises(ConfigError, match='no position loop'):
        hand.configure(DriverConfig(control_mode='onboard'))


# Words --------------------------------------------------------------------------------------------------------------


def test_words_move_the_hand_and_hold_longer_than_commands_do(standing):
    with driven(standing, relax_after_s=0.2, hold_after_s=0.1) as hand:
        assert wait_until(lambda: hand.last is not None)
        with pytest.raises(CommandRefused, match='enable it first'):
            hand.play('ready')
        hand.enable()
        assert hand.play('ready') == 'ready: open cradle, thumb opposed'
        assert wait_until(lambda: hand.state is State.ACTIVE)
        assert hand.status().motion == 'ready'
        assert wait_until(lambda: np.abs(standing.position - MODEL.pose('pregrasp')).max() < 0.02, 8.0)
        assert wait_until(lambda: hand.state is State.HOLD)
        assert 'ready' in hand.status().reason
        time.sleep(0.4)
        assert hand.state is State.HOLD
        hand.command(command(position=HOME))
        assert wait_until(lambda: hand.state is State.RELAXED)
        assert hand.status().motion == ''


def test_off_and_unknown_words(hand):
    hand.enable()
    assert hand.play('off').startswith('off')
    assert hand.state is State.OFF
    with pytest.raises(UnknownName, match='grasp_3'):
        hand.play('wave')
    assert hand.status().refused == 1


def test_a_grip_uses_only_its_share_of_torque(hand, standing):
    hand.enable()
    hand.configure(dataclasses.replace(hand._config, motion_speed=4.0))
    hand.play('grasp_4')
    grasp = MODEL.pose('grasp_4')
    assert wait_until(lambda: np.abs(standing.position - grasp).max() < 0.05, 8.0)
    standing.position = np.minimum(standing.position, grasp)  # something is in the hand
    moving = standing.model.per_nm
    standing.model = dataclasses.replace(MODEL)
    object.__setattr__(standing.model, 'per_nm', 0.0 * moving)  # the joints are blocked
    assert wait_until(lambda: hand.state is State.HOLD, 5.0)
    time.sleep(0.05)
    share = np.abs(standing.effort) / MODEL.torque_limit
    assert 0.3 < share.max() <= 0.6 + 1e-9


# Free motion --------------------------------------------------------------------------------------------------------


def test_free_motion_carries_the_fingers_and_ends_by_any_command_or_in_time(standing):
    with driven(standing, free_timeout_s=0.5, gravity=(-9.81, 0.0, 0.0)) as hand:
        assert wait_until(lambda: hand.last is not None)
        hand.enable()
        assert hand.play('gravcomp').startswith('gravcomp: free motion')
        assert wait_until(lambda: hand.state is State.FREE)
        standing.model = dataclasses.replace(MODEL)
        object.__setattr__(standing.model, 'per_nm', np.zeros(16))  # held by hand
        time.sleep(0.05)
        carried = standing.effort.copy()
        assert 0.0 < np.abs(carried).max() < 0.5 * MODEL.torque_limit.max()
        hand.set_gravity(np.array([9.81, 0.0, 0.0]))
        time.sleep(0.05)
        assert (standing.effort * carried <= 0.0).all()
        hand.command(command(position=HOME))
        assert wait_until(lambda: hand.state is State.ACTIVE)
        hand.play('gravcomp')
        assert wait_until(lambda: hand.state is State.RELAXED)
        assert not standing.effort.any()
        hand.play('gravcomp')
        assert wait_until(lambda: hand.state is State.FREE)
        assert hand.enable().startswith('hold')  # hold where it was put


# Faults -------------------------------------------------------------------------------------------------------------


def test_heat_warns_and_then_stops_the_hand(hand, standing):
    hand.enable()
    standing.temperature = np.full(16, np.nan)
    standing.temperature[6] = 65.0
    assert wait_until(lambda: 'joint_6_0' in hand.status().warm)
    assert hand.state is State.HOLD
    level, message, values = diagnose(hand, hand.report(), 100.0, 0.0)
    assert (level, values['temperature_max_c']) == (WARN, 65.0)
    assert 'joint_6_0 65 °C' in message
    standing.temperature = standing.temperature + 15.0
    assert wait_until(lambda: hand.state is State.FAULT)
    assert 'joint_6_0 80 °C' in hand.status().reason
    assert 'halt' in standing.log
    standing.temperature = None
    assert hand.clear_fault().startswith('hold')
    assert diagnose(hand, hand.report(), 100.0, 0.0)[0] == OK


def test_all_currents_together_stay_within_the_budget_and_it_is_counted(standing):
    middle = (MODEL.lower + MODEL.upper) / 2
    standing.position = middle
    with driven(standing, current_budget_ma=600.0, position_jump_rad=10.0) as hand:
        assert wait_until(lambda: hand.last is not None)
        hand.enable()
        wish = MODEL.torque_limit * np.where(np.arange(16) % 2, 0.5, -1.0)
        for _ in range(10):
            standing.position = middle
            hand.command(command(effort=wish))
            time.sleep(0.01)
        effort = next(e for e in reversed(standing.efforts) if e.any())
        assert np.abs(effort * MODEL.per_nm).sum() == pytest.approx(600.0)
        np.testing.assert_allclose(effort / wish, (effort / wish)[0])  # all alike
        assert hand.status().torque_limited > 0
        assert diagnose(hand, hand.report(), 100.0, 0.0)[2]['torque_limited_samples'] > 0


def test_torque_needs_everything_confirmed_that_the_description_asks_for():
    asking = dataclasses.replace(MODEL, confirm={'thumb_sign': 'move the thumb', 'names': 'look at the fingers'})
    with driven(model=asking) as hand:
        with pytest.raises(Unconfirmed, match=r"thumb_sign: move the thumb\..*parameter confirmed to") as first:
            hand.enable()
        assert first.value.value == 'thumb_sign@STANDIN,names@STANDIN'
        assert f"'{first.value.value}'" in str(first.value)
        hand.configure(dataclasses.replace(hand._config, confirmed='thumb_sign'))
        with pytest.raises(CommandRefused, match='look at the fingers') as caught:
            hand.enable()
        assert 'move the thumb' not in str(caught.value)
        assert hand.state is State.OFF
        hand.configure(dataclasses.replace(hand._config, confirmed=' names, thumb_sign '))
        assert hand.enable().startswith('hold')


def test_what_was_confirmed_of_one_hand_does_not_hold_for_another():
    asking = dataclasses.replace(MODEL, confirm={'thumb_sign': 'move the thumb'})
    with driven(model=asking, confirmed='thumb_sign@ANOTHER') as hand:
        with pytest.raises(CommandRefused, match='move the thumb'):
            hand.enable()
        hand.configure(dataclasses.replace(hand._config, confirmed='thumb_sign@ANOTHER,thumb_sign@STANDIN'))
        assert hand.enable().startswith('hold')


def test_a_hand_that_does_not_tell_its_serial_number_is_confirmed_by_name_only():
    standing = StandIn(dataclasses.replace(MODEL, confirm={'thumb_sign': 'move the thumb'}))
    standing.told = Identity(side=MODEL.side)
    with driven(standing, model=standing.model, confirmed='thumb_sign@STANDIN') as hand:
        with pytest.raises(CommandRefused, match="confirmed to 'thumb_sign'"):
            hand.enable()
        hand.configure(dataclasses.replace(hand._config, confirmed='thumb_sign'))
        assert hand.enable().startswith('hold')


def test_what_cannot_be_confirmed_is_refused_with_what_can():
    asking = dataclasses.replace(MODEL, confirm={'thumb_sign': 'move the thumb'})
    with pytest.raises(UnknownName, match="'thumb_sing'; known: thumb_sign"):
        driven(model=asking, confirmed='thumb_sing')
    with driven(model=asking, confirmed='thumb_sign') as hand:
        with pytest.raises(UnknownName, match='known: thumb_sign'):
            hand.configure(dataclasses.replace(hand._config, confirmed='names'))
        with pytest.raises(ConfigError, match='serial number of the hand behind thumb_sign@'):
            hand.configure(dataclasses.replace(hand._config, confirmed='thumb_sign@'))
        assert hand.enable().startswith('hold')
    with pytest.raises(UnknownName, match='known: none'):
        driven(confirmed='thumb_sign')


def test_the_side_comes_before_the_confirmations():
    standing = StandIn(dataclasses.replace(MODEL, confirm={'thumb_sign': 'move the thumb'}))
    standing.told = Identity(warnings=('the hand has lost its serial number',))
    with driven(standing, model=standing.model) as hand, pytest.raises(CommandRefused, match='lost its serial'):
        hand.enable()


@pytest.mark.parametrize('fault', ['silence', 'unplugged', 'alarm', 'exception'])
def test_a_fault_halts_once_then_insists_and_clears(hand, standing, fault):
    hand.enable()
    for _ in range(3):
        hand.command(command(effort=np.full(16, 0.02)))
        time.sleep(0.01)
    assert wait_until(lambda: standing.effort.any())
    if fault == 'silence':
        standing.paused = True
    elif fault == 'unplugged':
        standing.broken = True
    elif fault == 'alarm':
        standing.complain('motor 3 overload')
    else:
        standing.raises = True
    assert wait_until(lambda: hand.state is State.FAULT)
    if fault == 'unplugged':
        with pytest.raises(LinkError, match='unplugged'):
            hand.clear_fault()
    standing.paused = standing.broken = False
    assert wait_until(lambda: not standing.effort.any())
    assert hand.clear_fault().startswith('hold')
    assert hand.status().faults == ()
    assert diagnose(hand, hand.report(), 100.0, 0.0)[0] == OK


def test_silence_after_a_halt_is_no_second_fault(hand, standing):
    hand.enable()
    standing.complain('motor 3 overload')
    assert wait_until(lambda: hand.state is State.FAULT)
    assert standing.halted
    time.sleep(0.6)
    assert hand.status().faults == ('motor 3 overload',)
    assert diagnose(hand, hand.report(), 100.0, 0.0)[0] == ERROR


def test_a_hand_that_was_halted_gets_a_new_session_when_the_loop_starts_again(standing):
    with driven(standing) as hand:
        hand.enable()
        standing.complain('motor 3 overload')
        assert wait_until(lambda: hand.state is State.FAULT)
        hand.stop()
        hand.start()
        assert wait_until(lambda: hand.last is not None)
        assert hand.state is State.OFF
