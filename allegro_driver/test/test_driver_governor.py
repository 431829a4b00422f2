"""The decision per sample, with time as a number: watchdog, hold, relax, wake-up, faults; and laws over any history."""

import contextlib
import dataclasses

import numpy as np
import pytest
from allegro_description.errors import CommandRefused
from allegro_description.model import load_hand
from allegro_description.state import HandState, JointCommand
from allegro_driver.config import ControlConfig
from allegro_driver.control.governor import Governor
from allegro_driver.control.gravity import Gravity
from allegro_driver.control.motions import MotionPlanner
from allegro_driver.control.orders import FreeMotion
from allegro_driver.control.safety import Event, State
from allegro_driver.control.trajectory import move_to
from hypothesis import given
from hypothesis import strategies as st

MODEL = load_hand()
HOME = MODEL.pose('home')
PERIOD = 3_000_000
OUT = MODEL.upper + 0.9


class Bench:
    """A governor with a clock and a hand that stands still unless told otherwise."""

    def __init__(self, **config):
        self.config = ControlConfig(**config)
        self.governor = Governor(MODEL, self.config, 0.003)
        self.now, self.count = 1_000_000_000, 0
        self.position = HOME.copy()
        self.temperature = None

    def step(self, order=None, steps=1):
        for _ in range(steps):
            self.now += PERIOD
            self.count += 1
            state = HandState(self.now, self.count, self.position, np.zeros(16), temperature_c=self.temperature)
            self.decision = self.governor.step(state, order)
            order = None
        return self.decision.effort

    def command(self, **values):
        order = JointCommand(self.now, **values)
        self.governor.check(order, self.now)
        return order


def enabled(**config):
    bench = Bench(**{'position_jump_rad': 10.0, **config})  # these hands are put where a test wants them
    bench.step()
    bench.governor.enable(bench.now)
    return bench


@pytest.mark.parametrize(('jump', 'pause', 'state'), [
    (0.3, 1, State.HOLD), (0.5, 1, State.FAULT), (0.5, 20, State.HOLD), (-0.5, 1, State.FAULT),
])
def test_a_reading_that_no_joint_can_reach_is_damaged_data(jump, pause, state):
    bench = enabled(position_jump_rad=0.35)
    bench.step()
    bench.now += (pause - 1) * PERIOD  # the joint had this much time to get there
    bench.position = HOME.copy()
    bench.position[2] += jump
    assert not bench.step().any() or state is State.HOLD
    assert bench.governor.state is state
    if state is State.FAULT:
        assert 'joint_2_0 jumped by 0.500 rad' in bench.governor.safety.reason


def test_off_means_zero_and_refuses():
    bench = Bench()
    assert not bench.step().any()
    with pytest.raises(CommandRefused, match='enable it first'):
        bench.command(position=HOME)
    assert not bench.step(JointCommand(bench.now, position=HOME + 0.1)).any()  # even if it slips through
    assert bench.governor.state is State.OFF


def test_hold_resists_displacement():
    bench = enabled()
    assert not bench.step().any()
    bench.position = HOME + 0.02
    assert (bench.step() < 0).all()


def test_hold_then_relax_then_wake_up_at_the_measured_pose():
    bench = enabled()
    bench.step(bench.command(position=HOME + 0.01))
    assert bench.governor.state is State.ACTIVE
    bench.step(steps=40)
    assert bench.governor.state is State.HOLD
    np.testing.assert_allclose(bench.governor.target(), HOME + 0.01)  # the grip is kept
    bench.step(steps=670)
    assert bench.governor.state is State.RELAXED
    bench.position = HOME - 0.1
    assert not bench.step().any()
    bench.step(bench.command(position=HOME))
    assert bench.governor.state is State.ACTIVE
    assert (np.abs(bench.governor.target() - bench.position) <= 4.0 * 0.003 + 1e-12).all()


def test_relax_can_be_switched_off():
    bench = enabled(relax_after_s=0.0)
    bench.step(steps=5000)
    assert bench.governor.state is State.HOLD


def test_torque_commands_are_clamped_and_end_in_a_hold_of_the_measured_pose():
    bench = enabled()
    effort = bench.step(bench.command(effort=np.full(16, 9.0)))
    free = MODEL.upper - 0.06 > HOME
    np.testing.assert_allclose(effort[free], MODEL.torque_limit[free])
    bench.position = HOME + 0.03
    bench.step(steps=40)
    assert bench.governor.state is State.HOLD
    np.testing.assert_allclose(bench.governor.target(), np.clip(bench.position, MODEL.lower, MODEL.upper))


def test_old_and_future_commands_are_refused_and_zero_means_now():
    bench = enabled()
    for stamp, says in ((bench.now - 101_000_000, 'old'), (bench.now + 60_000_000, 'future')):
        with pytest.raises(CommandRefused, match=says):
            bench.governor.check(JointCommand(stamp, position=HOME), bench.now)
    order = JointCommand(0, position=HOME)
    bench.governor.check(order, bench.now)
    bench.step(order)
    bench.step(steps=30)
    assert bench.governor.state is State.ACTIVE


def test_a_trajectory_keeps_the_hand_active_until_its_end():
    bench = enabled()
    goal = np.clip(HOME + 0.3, MODEL.lower, MODEL.upper)
    order = move_to(MODEL, HOME, goal, 0.5)
    bench.governor.check(order, bench.now)
    bench.step(order)
    bench.step(steps=int(order.duration / 0.003) - 2)
    assert bench.governor.state is State.ACTIVE
    bench.step(steps=50)
    assert bench.governor.state is State.HOLD
    np.testing.assert_allclose(bench.governor.target(), goal)


def test_a_command_replaces_a_trajectory():
    bench = enabled()
    bench.step(move_to(MODEL, HOME, MODEL.pose('zero'), 0.5))
    bench.step(steps=10)
    bench.step(bench.command(position=HOME))
    bench.step(steps=20)
    np.testing.assert_allclose(bench.governor.target(), HOME)


@pytest.mark.parametrize('state', [State.OFF, State.HOLD, State.ACTIVE, State.RELAXED])
def test_implausible_feedback_is_a_fault_from_every_state(state):
    bench = Bench() if state is State.OFF else enabled()
    if state is State.ACTIVE:
        bench.step(bench.command(position=HOME))
    if state is State.RELAXED:
        bench.step(steps=700)
    assert bench.governor.state is state
    bench.position = OUT
    assert not bench.step().any()
    assert bench.governor.state is State.FAULT
    assert 'joint_0_0' in bench.governor.safety.reason


def test_a_fault_ends_only_by_clearing_and_then_the_hand_is_off():
    bench = enabled()
    bench.governor.fault(Event.MOTOR_ERROR, 'motor 3')
    bench.governor.enable(bench.now)
    assert not bench.step().any()
    with pytest.raises(CommandRefused, match='motor 3'):
        bench.command(position=HOME)
    bench.governor.clear()
    assert bench.governor.state is State.OFF
    assert not bench.step().any()


# The hand's own position loop ---------------------------------------------------------------------------------------

SETTLE = 17  # samples in 50 ms


def test_on_board_begins_with_a_pause_and_the_pose_at_its_end():
    bench = enabled(control_mode='onboard')
    for _ in range(SETTLE):
        bench.step()
        assert bench.decision.onboard
        assert bench.decision.target is None
    bench.position = HOME + 0.05
    bench.step()
    np.testing.assert_allclose(bench.decision.target, bench.position)
    bench.position = HOME
    bench.step()
    np.testing.assert_allclose(bench.decision.target, HOME + 0.05)  # holds: no creeping after the measured pose


def test_on_board_leads_back_into_the_range_slowly():
    bench = enabled(control_mode='onboard')
    bench.position = MODEL.upper + 0.3
    bench.step(steps=SETTLE + 1)
    before = bench.decision.target
    np.testing.assert_allclose(before, bench.position)
    bench.step()
    step = before - bench.decision.target
    assert ((step >= 0) & (step <= 4.0 * 0.003 + 1e-12)).all()
    bench.step(steps=120)
    np.testing.assert_allclose(bench.decision.target, MODEL.upper)


def test_a_trajectory_waits_for_the_hand_to_be_ready():
    bench = enabled(control_mode='onboard')
    bench.step(move_to(MODEL, HOME, np.clip(HOME + 0.3, MODEL.lower, MODEL.upper), 0.5))
    bench.step(steps=SETTLE)
    np.testing.assert_allclose(bench.decision.target, HOME)
    bench.step(steps=10)
    assert 0 < np.abs(bench.decision.target - HOME).max() < 0.02


def test_changing_the_mode_is_refused_while_torque_flows_and_safe_in_any_case():
    bench = enabled()
    other = ControlConfig(control_mode='onboard')
    with pytest.raises(CommandRefused, match='stays host'):
        bench.governor.configure(other)
    bench.governor._config = other  # as if the check had come a moment too early
    bench.step()
    assert (bench.decision.onboard, bench.decision.target) == (True, None)
    bench.governor.disable()
    bench.step()
    assert (bench.decision.onboard, bench.decision.target) == (False, None)


# Gravity and free motion --------------------------------------------------------------------------------------------


def test_free_motion_is_gravity_with_light_damping_and_soft_ends():
    bench = enabled(gravity=(-9.81, 0.0, 0.0), free_timeout_s=3.0)
    bench.step(FreeMotion())
    assert bench.governor.state is State.FREE
    bench.position = (MODEL.lower + MODEL.upper) / 2
    expected = Gravity(MODEL).torque(bench.position, np.array([-9.81, 0.0, 0.0]))
    np.testing.assert_allclose(bench.step(), expected)
    bench.position = MODEL.upper + 0.1
    assert (bench.step() < 0).all()  # back, gently, whatever gravity says
    bench.step(steps=int(2.9 / 0.003))
    assert bench.governor.state is State.FREE
    bench.step(steps=int(0.2 / 0.003))
    assert bench.governor.state is State.RELAXED


def test_gravity_is_fed_forward_only_on_request():
    plain, forward = enabled(gravity=(-9.81, 0.0, 0.0)), enabled(gravity=(-9.81, 0.0, 0.0), gravity_feedforward=True)
    expected = Gravity(MODEL).torque(HOME, np.array([-9.81, 0.0, 0.0]))
    np.testing.assert_allclose(plain.step(), 0.0)
    np.testing.assert_allclose(forward.step(), expected)


def test_gravity_from_the_topic_stays_until_the_parameter_is_set_anew():
    bench = enabled()
    bench.governor.gravity = (1.0, 2.0, 3.0)
    bench.governor.configure(ControlConfig(torque_scale=0.5))
    np.testing.assert_allclose(bench.governor.gravity, [1, 2, 3])
    bench.governor.configure(ControlConfig(gravity=(0.0, -9.81, 0.0)))
    np.testing.assert_allclose(bench.governor.gravity, [0, -9.81, 0])


PLANNER = MotionPlanner(MODEL)


def outside(position):
    """How far beyond the joint range, rad."""
    return np.maximum(np.maximum(MODEL.lower - position, position - MODEL.upper), 0.0)


events = st.one_of(
    st.tuples(st.just('free'), st.just(0), st.just(0.0)),
    st.tuples(st.just('word'), st.integers(0, 6), st.just(0.0)),
    st.tuples(st.just('hot'), st.integers(0, 15), st.just(0.0)),
    st.tuples(st.just('mode'), st.just(0), st.just(0.0)),
    st.tuples(st.just('position'), st.integers(0, 15), st.floats(-10, 10)),
    st.tuples(st.just('effort'), st.integers(0, 15), st.floats(-10, 10)),
    st.tuples(st.just('move'), st.integers(0, 15), st.floats(-0.2, 0.2)),
    st.tuples(st.just('enable'), st.just(0), st.just(0.0)),
    st.tuples(st.just('disable'), st.just(0), st.just(0.0)),
    st.tuples(st.just('fault'), st.just(0), st.just(0.0)),
    st.tuples(st.just('clear'), st.just(0), st.just(0.0)),
    st.tuples(st.just('wait'), st.integers(1, 60), st.just(0.0)),
)


@given(st.lists(events, max_size=30), st.floats(0, 1), st.floats(0.1, 7))
def test_laws_over_any_history(history, scale, speed):
    bench = Bench(torque_scale=scale, max_target_speed=speed, relax_after_s=0.2, free_timeout_s=0.2, motion_hold_s=0.1)
    bench.step()
    settling = 0
    for kind, number, value in history:
        order, values = None, np.clip(bench.position, MODEL.lower, MODEL.upper)
        bench.temperature = None
        if kind in ('position', 'effort'):
            values[number] = value
            order = JointCommand(bench.now, **{kind: values})
        elif kind == 'free':
            order = FreeMotion()
        elif kind == 'word':
            with contextlib.suppress(CommandRefused):  # no clear way from a random pose
                order = PLANNER.order(PLANNER.words[number], lambda values=values: values, min(speed, 1.5))
        elif kind == 'hot':
            bench.temperature = np.where(np.arange(16) == number, 99.0, np.nan)
        elif kind == 'mode':
            mode = 'host' if bench.config.control_mode == 'onboard' else 'onboard'
            bench.config = dataclasses.replace(bench.config, control_mode=mode)
            bench.governor._config = bench.config  # even at the worst moment
        elif kind == 'move':
            bench.position[number] += value
        elif kind == 'enable':
            bench.governor.enable(bench.now)
        elif kind == 'disable':
            bench.governor.disable()
        elif kind == 'fault':
            bench.governor.fault(Event.MOTOR_ERROR, 'motor')
        elif kind == 'clear':
            bench.governor.clear()
        for _ in range(number if kind == 'wait' else 1):
            before = bench.governor._target
            effort = bench.step(order)
            order = None
            assert np.isfinite(effort).all()
            assert (np.abs(effort) <= MODEL.torque_limit * scale).all()
            decision, state = bench.decision, bench.governor.state
            if state not in (State.HOLD, State.ACTIVE, State.FREE):
                assert not effort.any()
                assert not decision.onboard
            if kind == 'hot':
                assert state is State.FAULT
            # Torques and targets never together; targets only after the pause, and from the measured pose on.
            settling = settling + 1 if decision.onboard else 0
            assert not (decision.onboard and effort.any())
            assert decision.target is None or settling > 0.05 / 0.003
            assert decision.onboard == (bench.config.control_mode == 'onboard' and bench.governor.safety.torque_allowed)
            target = bench.governor._target
            if target is not None and before is not None:
                assert (np.abs(target - before) <= speed * 0.003 + 1e-12).all()
                assert (outside(target) <= outside(before) + 1e-12).all()
            elif decision.target is not None:
                np.testing.assert_allclose(decision.target, bench.position)
