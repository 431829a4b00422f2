import numpy as np
import pytest
from allegro_ai.action import ActionMapper, default_scale
from allegro_ai.grasp import GraspController, GraspSpec, Phase
from allegro_description.errors import CommandRefused, ConfigError
from allegro_description.model import load_hand
from hypothesis import given, settings
from hypothesis import strategies as st

HAND = load_hand()
N = len(HAND.joints)
START = HAND.pose('home')
DT = 0.02


def controller(batch: int = 1, **spec: float) -> GraspController:
    return GraspController(HAND, ActionMapper(HAND), GraspSpec(**spec), start_pose=START, batch=batch)


def test_full_action_asks_for_the_full_torque_of_each_flexion_joint():
    torque = default_scale(HAND) * HAND.kp
    np.testing.assert_allclose(torque[HAND.flexion], HAND.torque_limit[HAND.flexion])
    assert (default_scale(HAND)[~HAND.flexion] == 0.15).all()


@given(seed=st.integers(0, 100_000), gain=st.floats(0.1, 50))
@settings(max_examples=50, deadline=None)
def test_targets_respect_rate_and_joint_limits_whatever_the_action(seed, gain):
    rng = np.random.default_rng(seed)
    mapper = ActionMapper(HAND)
    reference = rng.uniform(HAND.lower, HAND.upper, (4, N))
    previous = rng.uniform(HAND.lower, HAND.upper, (4, N))
    for _ in range(5):
        target = mapper.to_target(reference, rng.normal(0, gain, (4, N)), previous, DT)
        assert (target >= HAND.lower).all()
        assert (target <= HAND.upper).all()
        assert (np.abs(target - previous) <= 2.0 * DT + 1e-9).all()
        previous = target


def test_action_zero_goes_to_the_reference_and_nothing_accumulates():
    mapper = ActionMapper(HAND)
    reference, target = START[None] + 0.05, START[None]
    for _ in range(40):
        target = mapper.to_target(reference, np.zeros((1, N)), target, DT)
    np.testing.assert_allclose(target, reference)
    wanted = mapper.to_target(reference, np.full((1, N), 3.0), reference, dt=10.0)
    np.testing.assert_allclose(wanted, np.clip(reference + mapper.scale, HAND.lower, HAND.upper))


def test_bad_numbers_are_refused():
    mapper = ActionMapper(HAND)
    action = np.zeros((1, N))
    action[0, 2] = np.inf
    with pytest.raises(CommandRefused, match='NaN or infinite'):
        mapper.to_target(START[None], action, START[None], DT)
    with pytest.raises(ConfigError, match='16 finite'):
        ActionMapper(HAND, scale=np.ones(4))
    with pytest.raises(ConfigError, match='rate limit'):
        ActionMapper(HAND, rate_limit=0.0)
    with pytest.raises(ConfigError, match='joint_15_0'):
        GraspController(HAND, mapper, start_pose=np.append(START[:-1], 3.0))


def run(grasp: GraspController, position: np.ndarray, steps: int, follow: float = 1.0) -> np.ndarray:
    """Step with a hand that moves ``follow`` of the way to its target in each period; returns the last position."""
    for _ in range(steps):
        target = grasp.step(DT, position, np.zeros_like(position))
        position = position + follow * (target - position)
    return position


def test_a_whole_grasp():
    grasp = controller()
    position = np.zeros((1, N))
    run(grasp, position, 3)
    assert grasp.phase[0] == Phase.IDLE
    np.testing.assert_array_equal(grasp.target, position)
    grasp.grasp()
    first = grasp.step(DT, position)
    assert np.abs(first - position).max() < 0.03, 'the first target is the measured posture, not a step'
    steps = 0
    while grasp.phase[0] == Phase.RAMP:
        position = run(grasp, position, 1)
        steps += 1
        assert steps < 2.0 / DT
    np.testing.assert_allclose(grasp.target[0], START)
    stop = START + np.where(HAND.flexion, 0.3, 0.0)  # an object stops the fingers here
    for _ in range(50):
        assert grasp.phase[0] == Phase.CLOSE
        target = grasp.step(DT, position)
        assert (HAND.kp * (target - position)[0] <= 0.12 + 1e-9)[HAND.flexion].all(), 'the close is torque limited'
        position = np.minimum(target, stop)
    assert grasp.phase[0] == Phase.RUN
    np.testing.assert_allclose(grasp.reference[0][HAND.flexion], stop[HAND.flexion], atol=1e-6)
    np.testing.assert_allclose(grasp.reference[0][~HAND.flexion], START[~HAND.flexion])
    with pytest.raises(CommandRefused, match='no action'):
        grasp.step(DT, position)
    squeeze = np.where(HAND.flexion, 0.5, 0.0)[None]
    for _ in range(20):
        target = grasp.step(DT, position, squeeze)
    np.testing.assert_allclose(HAND.kp * (target - position)[0], 0.5 * HAND.torque_limit * HAND.flexion, atol=1e-6)
    grasp.hold()
    for _ in range(5):
        np.testing.assert_array_equal(grasp.step(DT, position - 0.1), target)
    grasp.release()
    position = run(grasp, position, int(2.5 / DT))
    assert grasp.phase[0] == Phase.IDLE
    np.testing.assert_allclose(position[0], START)


def test_the_close_never_pushes_harder_when_an_object_pushes_back():
    grasp = controller()
    position = START[None].copy()
    grasp.start(Phase.CLOSE, position)
    rng = np.random.default_rng(1)
    for _ in range(49):
        position = np.clip(position + rng.normal(0, 0.05, (1, N)), HAND.lower, HAND.upper)
        target = grasp.step(DT, position)
        assert (HAND.kp * (target - position)[0] <= 0.12 + 1e-9)[HAND.flexion].all()


@given(seed=st.integers(0, 10_000))
@settings(max_examples=15, deadline=None)
def test_hands_side_by_side_do_not_touch_each_other(seed):
    rng = np.random.default_rng(seed)
    batch = 4
    together, alone = controller(batch, close_s=0.2), [controller(close_s=0.2) for _ in range(batch)]
    events = rng.integers(0, 4, (60, batch))
    position = rng.uniform(HAND.lower, HAND.upper, (batch, N))
    for t in range(60):
        for number, name in ((1, 'grasp'), (2, 'release'), (3, 'hold')):
            which = (events[t] == number) & (rng.random(batch) < 0.15)
            getattr(together, name)(which)
            for b in np.flatnonzero(which):
                getattr(alone[b], name)()
        action = rng.uniform(-1, 1, (batch, N))
        target = together.step(DT, position, action)
        for b in range(batch):
            one = slice(b, b + 1)
            np.testing.assert_array_equal(alone[b].step(DT, position[one], action[one])[0], target[b])
            assert alone[b].phase[0] == together.phase[b]
        assert (target >= HAND.lower).all()
        assert (target <= HAND.upper).all()
        position = np.clip(position + rng.uniform(0, 1) * (target - position), HAND.lower, HAND.upper)


@pytest.mark.parametrize('phase', list(Phase))
def test_a_measurement_that_is_nan_changes_nothing(phase):
    grasp = controller()
    grasp.start(phase, START[None])
    before, bad = grasp.target.copy(), START[None].copy()
    bad[0, 0] = np.nan
    with pytest.raises(CommandRefused, match='NaN'):
        grasp.step(DT, bad, np.zeros((1, N)))
    np.testing.assert_array_equal(grasp.target, before)
    assert grasp.phase[0] == phase


def test_grasp_is_ignored_while_a_grasp_is_under_way():
    for phase in (Phase.RAMP, Phase.CLOSE, Phase.RUN):
        grasp = controller()
        grasp.start(phase, START[None])
        grasp.grasp()
        assert grasp.phase[0] == phase


def test_increments_add_to_the_last_target_within_the_bounds_of_the_policy():
    bounds = HAND.lower + 0.05, HAND.upper - 0.05
    mapper = ActionMapper(HAND, np.full(N, 1 / 24), 1.0, incremental=True, bounds=bounds)
    target = START[None]
    for _ in range(3):
        target = mapper.to_target(START[None] + 9.0, np.full((1, N), 0.5), target, 0.05)
    np.testing.assert_allclose(target, np.clip(START + 3 / 48, *bounds)[None], atol=1e-12)
    for _ in range(200):
        target = mapper.to_target(START[None], np.full((1, N), 5.0), target, 0.05)
    np.testing.assert_allclose(target[0], bounds[1])
    with pytest.raises(ConfigError, match='no room'):
        ActionMapper(HAND, bounds=(HAND.upper + 1, HAND.upper + 2))


def test_increments_begin_at_the_measured_posture_not_at_the_last_target_of_the_close():
    mapper = ActionMapper(HAND, np.full(N, 1 / 24), 1.0, incremental=True)
    hand = GraspController(HAND, mapper, GraspSpec(close_s=0.2), start_pose=START)
    position = START[None] + 0.1
    hand.start(Phase.CLOSE, position)
    while hand.phase[0] == Phase.CLOSE:
        target = hand.step(DT, position)
    np.testing.assert_allclose(target, mapper.clipped(position))
    np.testing.assert_allclose(hand.step(DT, position - 1.0, np.full((1, N), 0.1)), mapper.clipped(target + 0.1 / 24))
