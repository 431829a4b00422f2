"""Limits, position control, velocity filter and trajectories: laws over any input."""

import math

import numpy as np
import pytest
from allegro_description.errors import AllegroError, CommandRefused, ConfigError
from allegro_description.model import load_hand
from allegro_driver.control.filters import VelocityFilter
from allegro_driver.control.limits import Limits, checked
from allegro_driver.control.pd import PositionController
from allegro_driver.control.trajectory import make_trajectory, move_to
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

MODEL = load_hand()
ANY = st.floats(allow_nan=True, allow_infinity=True)
anything = arrays(np.float64, 16, elements=ANY)
angles = arrays(np.float64, 16, elements=st.floats(-4, 4))


@given(anything, st.floats(0, 1))
def test_torque_is_finite_and_within_the_clamp_for_any_input(effort, scale):
    limits = Limits(MODEL, torque_scale=scale)
    out = limits.torque(effort)
    assert np.isfinite(out).all()
    assert (np.abs(out) <= MODEL.torque_limit * scale).all()
    sane = np.isfinite(effort) & (np.abs(effort) <= MODEL.torque_limit * scale)
    assert (out[sane] == effort[sane]).all()


@given(anything, anything, anything)
def test_controlled_torque_is_within_the_clamp_for_any_input(target, position, velocity):
    with np.errstate(all='ignore'):
        effort = PositionController(MODEL).torque(target, position, velocity)
    out = Limits(MODEL).torque(effort)
    assert np.isfinite(out).all()
    assert (np.abs(out) <= MODEL.torque_limit).all()


@given(anything, st.floats(1, 4000), st.floats(0, 1))
def test_the_sum_of_currents_stays_within_the_budget_and_the_direction_is_kept(effort, budget, share):
    limits, free = Limits(MODEL, current_budget_ma=budget), Limits(MODEL)
    out, wanted = limits.torque(effort, share), free.torque(effort, share)
    assert (np.abs(out * MODEL.per_nm)).sum() <= budget * (1 + 1e-12)
    assert limits.limited == (np.abs(wanted * MODEL.per_nm).sum() > budget)
    scale = min(1.0, budget / max(np.abs(wanted * MODEL.per_nm).sum(), 1e-300))
    np.testing.assert_allclose(out, wanted * scale, atol=1e-15)


def test_a_budget_needs_a_hand_that_is_commanded_in_currents():
    with pytest.raises(ConfigError, match='PWM'):
        Limits(load_hand('v4', 'right'), current_budget_ma=500.0)
    with pytest.raises(ConfigError, match='current_budget_ma'):
        Limits(MODEL, current_budget_ma=-1.0)


@given(angles, angles, st.floats(0, 0.1))
def test_from_outside_the_range_the_way_leads_back_not_in_one_jump(previous, wanted, dt):
    target = Limits(MODEL, max_speed=4.0).approach(previous, wanted, dt)
    assert (np.abs(target - previous) <= 4.0 * dt + 1e-12).all()
    beyond = lambda q: np.maximum(np.maximum(MODEL.lower - q, q - MODEL.upper), 0.0)  # noqa: E731
    assert (beyond(target) <= beyond(previous) + 1e-12).all()


@given(angles, anything, st.floats(0, 0.1), st.floats(0.05, 7))
def test_targets_stay_in_range_and_below_the_speed(previous, wanted, dt, speed):
    limits = Limits(MODEL, max_speed=speed)
    begin = limits.position(previous)
    target = limits.approach(begin, wanted, dt)
    assert ((target >= MODEL.lower) & (target <= MODEL.upper)).all()
    assert (np.abs(target - begin) <= speed * dt + 1e-12).all()
    assert (target[~np.isfinite(wanted)] == begin[~np.isfinite(wanted)]).all()


@given(arrays(np.float64, 16, elements=st.floats(-0.5, 0.5)), angles)
def test_torque_never_pushes_a_joint_out_of_its_range(effort, position):
    out = Limits(MODEL).taper(effort, position)
    assert (np.abs(out) <= np.abs(effort) + 1e-15).all()
    assert (out * effort >= 0).all()
    assert (out[position >= MODEL.upper] <= 0).all()
    assert (out[position <= MODEL.lower] >= 0).all()
    room = np.where(effort > 0, MODEL.upper - position, position - MODEL.lower)
    free = room >= 0.05 + 1e-9
    np.testing.assert_allclose(out[free], effort[free])


def test_position_control_pulls_to_the_target_and_damps():
    pd, zero = PositionController(MODEL), np.zeros(16)
    assert (pd.torque(zero + 0.1, zero, zero) > 0).all()
    assert (pd.torque(zero, zero, zero + 1.0) < 0).all()
    np.testing.assert_allclose(pd.torque(zero + 0.1, zero, zero), 0.1 * MODEL.kp)


@pytest.mark.parametrize('values', [
    [0.0] * 15, [0.0] * 17, [[0.0] * 16], ['a'] * 16, None, [0.0] * 15 + [math.nan], [math.inf] + [0.0] * 15,
])
def test_malformed_commands_are_refused(values):
    with pytest.raises(CommandRefused):
        checked(values, MODEL, 'position command')


def test_a_refusal_names_the_joint():
    values = np.zeros(16)
    values[5] = math.nan
    with pytest.raises(CommandRefused, match='joint_5_0'):
        checked(values, MODEL, 'position command')


@pytest.mark.parametrize('wrong', [{'max_speed': 0}, {'max_speed': 8}, {'torque_scale': 1.1}, {'torque_scale': -0.1},
                                   {'taper_rad': 0.0}, {'max_speed': math.nan}])
def test_limits_refuse_nonsense(wrong):
    with pytest.raises(ConfigError):
        Limits(MODEL, **wrong)


def test_implausible_angles_are_named():
    limits, position = Limits(MODEL), np.clip(np.zeros(16), MODEL.lower, MODEL.upper)
    assert limits.outside(position, 0.5) == ''
    position[13] = 3.344  # measured on a real hand whose zero was lost
    assert 'joint_13_0' in limits.outside(position, 0.5)
    position[13] = math.nan
    assert 'joint_13_0' in limits.outside(position, 0.5)


# Velocity ---------------------------------------------------------------------------------------------------------


def test_velocity_of_constant_motion_converges():
    low_pass, dt = VelocityFilter(1, 30.0), 0.003
    for k in range(200):
        velocity = low_pass.update(np.array([0.5 * k * dt]), dt)
    np.testing.assert_allclose(velocity, 0.5, rtol=1e-6)


def test_one_count_of_flicker_stays_quiet():
    count, dt = math.radians(0.088), 0.003
    low_pass, seen = VelocityFilter(1, 30.0), []
    for k in range(100):
        seen.append(float(low_pass.update(np.array([count * (k % 2)]), dt)[0]))
    assert count / dt > 0.5  # what a plain difference would say, rad/s
    assert max(map(abs, seen)) < 0.25


def test_gaps_restart_the_filter_and_repeats_change_nothing():
    low_pass = VelocityFilter(1, 30.0)
    low_pass.update(np.array([0.0]), 0.003)
    before = low_pass.update(np.array([0.01]), 0.003)
    assert before[0] > 0
    assert low_pass.update(np.array([0.5]), 0.0) is before
    assert low_pass.update(np.array([1.0]), 1.0)[0] == 0.0
    with pytest.raises(ConfigError):
        VelocityFilter(1, 0.0)


@given(st.lists(st.tuples(arrays(np.float64, 16, elements=st.floats(-4, 4)), st.floats(0, 0.1)), max_size=20))
def test_velocity_is_finite_and_never_above_the_steepest_step(samples):
    low_pass, last, steepest = VelocityFilter(16, 30.0), None, 0.0
    for position, dt in samples:
        if last is not None and dt >= 1e-6:
            steepest = max(steepest, float(np.abs((position - last) / dt).max()))
        velocity = low_pass.update(position, dt)
        if last is None or dt >= 1e-6:
            last = position
        assert np.isfinite(velocity).all()
        assert np.abs(velocity).max() <= steepest * (1 + 1e-9) + 1e-12


# Trajectories -----------------------------------------------------------------------------------------------------

HOME, ZERO = MODEL.pose('home'), MODEL.pose('zero')


def test_a_trajectory_passes_its_points_and_stays_at_the_end():
    points = np.stack([ZERO, HOME, ZERO])
    for velocities in (None, np.zeros((3, 16))):
        trajectory = make_trajectory(MODEL, MODEL.joint_names, (0.5, 2.0, 4.0), points, velocities, max_speed=4.0)
        start = ZERO + 0.01
        np.testing.assert_allclose(trajectory.sample(0.0, start), start)
        np.testing.assert_allclose(trajectory.sample(0.25, start), (start + ZERO) / 2)
        np.testing.assert_allclose(trajectory.sample(2.0, start), HOME)
        np.testing.assert_allclose(trajectory.sample(99.0, start), ZERO)
        np.testing.assert_allclose(trajectory.sample(-1.0, start), start)


def test_columns_are_found_by_name():
    names = MODEL.orders['udp']
    order = MODEL.permutation('udp')
    wire = HOME[np.argsort(order)]
    trajectory = make_trajectory(MODEL, names, (1.0,), [wire], max_speed=4.0)
    np.testing.assert_allclose(trajectory.positions[0], HOME)


@given(st.floats(0.1, 4.0), angles.map(lambda q: np.clip(q, MODEL.lower, MODEL.upper)))
def test_a_move_never_exceeds_its_speed_and_arrives(speed, goal):
    trajectory = move_to(MODEL, HOME, goal, speed)
    times = np.linspace(0, trajectory.duration, 200)
    path = np.stack([trajectory.sample(t, HOME) for t in times])
    pace = np.abs(np.diff(path, axis=0)) / np.diff(times)[:, None]
    assert pace.max() <= speed * 1.001
    np.testing.assert_allclose(path[-1], goal, atol=1e-9)
    assert ((path >= MODEL.lower - 1e-9) & (path <= MODEL.upper + 1e-9)).all()


def bad_value(index, value):
    table = np.stack([ZERO, HOME])
    table[index] = value
    return table


TWO = np.stack([ZERO, HOME])


@pytest.mark.parametrize(('names', 'times', 'points', 'velocities', 'says'), [
    (MODEL.joint_names[:-1], (0, 1), TWO[:, :-1], None, 'joint_15_0'),
    ((*MODEL.joint_names[:-1], 'joint_99'), (0, 1), TWO, None, 'joint_99'),
    (MODEL.joint_names, (1, 1), TWO, None, 'increase'),
    (MODEL.joint_names, (2, 1), TWO, None, 'increase'),
    (MODEL.joint_names, (-1, 1), TWO, None, 'increase'),
    (MODEL.joint_names, (0, math.nan), TWO, None, 'NaN'),
    (MODEL.joint_names, (), np.zeros((0, 16)), None, 'no points'),
    (MODEL.joint_names, (0, 1), TWO[:1], None, 'shape'),
    (MODEL.joint_names, (0, 1), bad_value((1, 3), math.nan), None, 'NaN'),
    (MODEL.joint_names, (0, 1), bad_value((1, 3), 1.87), None, 'joint_3_0'),
    (MODEL.joint_names, (0, 0.01), TWO, None, 'rad/s'),
    (MODEL.joint_names, (0, 1), TWO, np.full((2, 16), 5.0), 'rad/s'),
    (MODEL.joint_names, (0, 1), TWO, np.zeros((1, 16)), 'shape'),
    (MODEL.joint_names, (0, 1), [['a'] * 16] * 2, None, 'numbers'),
])
def test_wrong_trajectories_are_refused_with_the_place(names, times, points, velocities, says):
    with pytest.raises(CommandRefused, match=says):
        make_trajectory(MODEL, names, times, points, velocities, max_speed=4.0)


def test_a_far_first_point_needs_time():
    trajectory = make_trajectory(MODEL, MODEL.joint_names, (0.0,), [HOME], max_speed=4.0)
    with pytest.raises(CommandRefused, match='more time'):
        trajectory.check_start(ZERO)
    trajectory.check_start(HOME + 0.04)
    make_trajectory(MODEL, MODEL.joint_names, (1.0,), [HOME], max_speed=4.0).check_start(ZERO)


def test_every_refusal_is_an_error_of_the_suite():
    with pytest.raises(AllegroError):
        move_to(MODEL, HOME, HOME + 9.0, 1.0)
