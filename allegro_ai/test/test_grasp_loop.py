"""The running policy without ROS: phases, pairing, and a reason for every hold."""

import re
import shutil

import numpy as np
import pytest
import yaml
from ai_bundles import edit_contract, write_random_bundle
from allegro_ai.bundle import load_bundle
from allegro_ai.cadence import Metronome, Recent
from allegro_ai.grasp import Phase
from allegro_ai.grasp_loop import MS, GraspLoop, JointSample, TouchSample
from allegro_description.model import load_hand

HAND = load_hand()
N, TAXELS = len(HAND.joints), len(HAND.taxels)
PERIOD = 20 * MS


@pytest.fixture(scope='module')
def original(tmp_path_factory):
    return write_random_bundle(tmp_path_factory.mktemp('loop') / 'random_linear', safety={'ood_stop': 1e6}).path


class World:
    """A hand that follows its targets until an object stops it, a clock, and the loop."""

    def __init__(self, folder, mode='sim'):
        self.now = 1_000 * PERIOD
        self.bundle = load_bundle(folder, HAND)
        self.loop = GraspLoop(self.bundle, self.bundle.policy('numpy'), lambda: self.now, mode=mode)
        self.position = HAND.pose('home') + 0.02
        self.touch_kpa = 3.0
        self.events: list[str] = []
        self.age = 5 * MS

    def joints(self):
        return JointSample(self.now - self.age, self.position.copy())

    def touch(self):
        return TouchSample(self.now - self.age, np.full(TAXELS, self.touch_kpa * 1000), np.ones(TAXELS, dtype=bool))

    def step(self, count=1, **kwargs):
        for _ in range(count):
            self.now += PERIOD
            given = {'joints': self.joints(), 'touch': self.touch(), **kwargs}
            result = self.loop.tick(**given)
            self.events += result.events
            if result.target is not None:
                self.loop.issued(self.now + MS)
                stop = HAND.pose('home') + 0.35
                self.position = np.minimum(result.target, np.where(HAND.flexion, stop, 9.0))
        return result

    def run_until(self, phase, limit=400):
        for _ in range(limit):
            if self.loop.phase == phase:
                return
            self.step()
        raise AssertionError(f'{phase.name} was not reached: {self.events}')

    def running(self):
        self.step()
        self.loop.request('grasp')
        self.run_until(Phase.RUN)
        self.step(3)
        return self


@pytest.fixture
def world(original):
    return World(original)


def test_a_grasp_and_a_release(world):
    assert world.step(3).target is None, 'an idle policy commands nothing'
    world.loop.request('grasp')
    first = world.step()
    assert np.abs(first.target - world.position).max() < 0.05
    world.run_until(Phase.CLOSE)
    world.run_until(Phase.RUN)
    tick = world.step()
    assert tick.action.shape == (N,)
    assert tick.finished_ns >= tick.started_ns > 0
    expected = world.loop.policy.act(tick.observation)[0]
    np.testing.assert_allclose(tick.action, expected, atol=1e-6)
    world.loop.request('release')
    world.run_until(Phase.IDLE)
    assert world.step().target is None
    assert [e for e in world.events if 'HOLD' in e] == []
    assert world.events == ['IDLE -> RAMP', 'RAMP -> CLOSE', 'CLOSE -> RUN', 'RUN -> RELEASE', 'RELEASE -> IDLE']


def test_inference_happens_in_run_only_and_is_counted(world):
    world.step(5)
    world.loop.request('grasp')
    seen = {}
    for _ in range(150):
        phase = world.loop.phase
        tick = world.step()
        assert (tick.observation is not None) == (tick.phase == Phase.RUN) == (tick.action is not None)
        seen[phase] = seen.get(phase, 0) + 1
    assert world.loop.counts['inferences'] == seen[Phase.RUN]
    assert world.loop.latency_ms.count == seen[Phase.RUN]
    assert world.loop.cpu_total_s > 0


def test_target_error_pairs_the_new_state_with_the_last_target(world):
    world.running()
    for _ in range(5):
        target = world.loop.controller.target[0].copy()
        tick = world.step()
        measured = tick.observation['joint_target_error'][0]
        # the world moved the hand after that target and before this tick
        expected = target - np.minimum(target, np.where(HAND.flexion, HAND.pose('home') + 0.35, 9.0))
        np.testing.assert_allclose(measured, expected, atol=1e-6)


def test_a_state_that_is_not_younger_than_the_target_is_not_used(world):
    world.running()
    before = world.loop.controller.target[0].copy()
    inferences = world.loop.counts['inferences']
    world.age = 21 * MS + 1  # measured before the last target was sent, yet not stale
    tick = world.step()
    assert tick.observation is None
    np.testing.assert_array_equal(tick.target, before)
    assert world.loop.counts['repeated'] == 1
    assert world.loop.counts['inferences'] == inferences
    world.age = 5 * MS
    assert world.step().observation is not None


def test_joint_states_that_are_always_older_than_a_period_slow_the_policy_down_and_do_not_stop_it(world):
    world.running()
    world.age = 25 * MS
    inferences = world.loop.counts['inferences']
    world.step(20)
    assert world.loop.counts['inferences'] - inferences in range(9, 12), 'every second tick has a state that is due'
    assert world.loop.phase == Phase.RUN


def test_the_policy_begins_where_the_hand_is(original):
    world = World(original)
    world.position = HAND.pose('zero')
    world.loop.request('grasp')
    target = world.step().target
    assert np.abs(target - HAND.pose('zero')).max() < 0.05, 'no step towards the start pose'
    world.run_until(Phase.RUN)
    world.loop.request('hold', 'asked to')
    world.step()
    assert world.loop.reason == 'asked to'
    world.position = HAND.pose('zero')  # somebody relaxed and moved the hand
    world.loop.request('release')
    world.now += PERIOD
    target = world.loop.tick(world.joints(), world.touch()).target
    assert np.abs(target - HAND.pose('zero')).max() < 0.05


def hold_cases():
    def stale(world):
        return {'joints': JointSample(world.now - 200 * MS, world.position)}

    def absent(world):
        return {'joints': None}

    def future(world):
        return {'joints': JointSample(world.now + 500 * MS, world.position)}

    def nan(world):
        position = world.position.copy()
        position[4] = np.nan
        return {'joints': JointSample(world.now + 15 * MS, position)}

    def late(world):
        return {'skipped': 4}

    return [(stale, r'joint states are \d+ ms old, limit 60 ms'), (absent, 'no joint states'),
            (future, 'in the future'), (nan, r'NaN or infinite values at joint indices \[4\]'),
            (late, 'late by 4 periods')]


@pytest.mark.parametrize(('fault', 'reason'), hold_cases(), ids=lambda v: getattr(v, '__name__', ''))
@pytest.mark.parametrize('phase', [Phase.RAMP, Phase.CLOSE, Phase.RUN])
def test_faults_hold_with_a_reason_and_nothing_moves_again_by_itself(world, fault, reason, phase):
    world.position = HAND.pose('zero')
    world.step()
    world.loop.request('grasp')
    world.run_until(phase)
    world.step(2)
    assert world.loop.phase == phase
    frozen = world.loop.controller.target[0].copy()
    tick = world.step(**fault(world))
    assert world.loop.phase == Phase.HOLD
    if tick.target is not None:
        np.testing.assert_array_equal(tick.target, frozen)
    assert re.search(reason, world.loop.reason), world.loop.reason
    for _ in range(20):
        np.testing.assert_array_equal(world.step().target, frozen)
    assert world.loop.phase == Phase.HOLD
    assert world.loop.counts['holds'] == 1
    world.loop.request('grasp')
    world.run_until(Phase.RUN)


def test_nothing_is_commanded_on_stale_states(world):
    world.running()
    for _ in range(5):
        tick = world.step(joints=JointSample(world.now - 300 * MS, world.position))
        assert tick.target is None


def test_requests_are_refused_not_kept_while_states_are_stale(world):
    world.step()
    world.loop.request('grasp')
    world.step(joints=None)
    world.step(5)
    assert world.loop.phase == Phase.IDLE
    assert any('grasp refused: no joint states' in e for e in world.events)


class Broken:
    """A policy that fails in a chosen way."""

    def __init__(self, answer):
        self.answer = answer

    def reset(self, which=None):
        pass

    def act(self, observation):
        return self.answer()


def fail():
    raise RuntimeError('backend\nlost its device')


@pytest.mark.parametrize(('answer', 'reason'), [
    (fail, 'inference failed: RuntimeError: backend lost its device'),
    (lambda: np.full((1, N), np.nan), 'NaN or infinite actions'),
    (lambda: np.zeros((1, 3)), 'wrong number'),
])
def test_a_policy_that_fails_holds(world, answer, reason):
    world.running()
    frozen = world.loop.controller.target[0].copy()
    world.loop.policy = Broken(answer)
    tick = world.step()
    np.testing.assert_array_equal(tick.target, frozen)
    assert reason in world.loop.reason
    assert world.loop.phase == Phase.HOLD


def test_touch_that_is_missing_is_masked_or_stops(original, world, tmp_path):
    world.running()
    tick = world.step(touch=None)
    assert (tick.observation['tactile_valid'] == 0).all()
    assert (tick.observation['tactile_tip_pressure'] == 0).all()
    assert world.loop.counts['touch_masked'] == 1
    old = TouchSample(world.now - 300 * MS, np.full(TAXELS, 5e4), np.ones(TAXELS, dtype=bool))
    assert (world.step(touch=old).observation['tactile_valid'] == 0).all()
    folder = shutil.copytree(original, tmp_path / 'b')

    def require(document):
        for entry in document['inputs']:
            if entry['name'].startswith('tactile'):
                entry.update(required=True, on_missing='stop')

    edit_contract(folder, require)
    strict = World(folder).running()
    assert 'requires touch' in strict.loop.ready(strict.joints(), None)
    assert strict.loop.ready(strict.joints(), strict.touch()) == ''
    strict.step(touch=None)
    assert strict.loop.reason == 'touch is required and missing'


def variant(original, tmp_path, **safety):
    folder = shutil.copytree(original, tmp_path / 'variant')
    edit_contract(folder, lambda d: d['safety'].update(safety))
    return World(folder).running()


def test_a_fingertip_pressed_for_long_holds_a_bump_does_not(original, tmp_path):
    world = variant(original, tmp_path, max_tip_kpa=50.0, sustain_ticks=5)
    world.touch_kpa = 60.0
    world.step(4)
    world.touch_kpa = 3.0
    world.step(2)
    assert world.loop.phase == Phase.RUN
    world.touch_kpa = 60.0
    world.step(5)
    assert 'pressed with 60 kPa' in world.loop.reason


def test_observations_far_from_training_hold(original, tmp_path):
    world = variant(original, tmp_path, ood_warn=1e-6, ood_stop=1e-5, sustain_ticks=3)
    assert any('from the training data (warning' in e for e in world.events)
    assert 'from the training data, limit' in world.loop.reason


def test_impossible_values_hold(original, tmp_path):
    folder = shutil.copytree(original, tmp_path / 'ranged')

    def bound(document):
        next(e for e in document['inputs'] if e['name'] == 'joint_delta')['range'] = [-0.5, 0.5]

    edit_contract(folder, bound)
    world = World(folder).running()
    world.position = world.position + 0.8
    world.step()
    assert 'joint_delta is' in world.loop.reason


def test_hold_then_relax_stops_commanding(original, tmp_path):
    world = variant(original, tmp_path, on_stale='hold_then_relax', relax_after_s=0.5)
    world.loop.request('hold', 'test')
    assert world.step(20).target is not None
    assert world.step(10).target is None
    assert world.loop.phase == Phase.IDLE


def test_shadow_computes_but_commands_nothing(original):
    world = World(original, mode='shadow')
    world.step()
    world.loop.request('grasp')
    phases = set()
    followed = HAND.pose('home') + 0.1
    for _ in range(200):
        tick = world.step(followed=followed)
        assert tick.target is None
        phases.add(tick.phase)
    assert Phase.RUN in phases
    np.testing.assert_allclose(tick.observation['joint_target_error'][0], followed - world.position, atol=1e-6)


def test_the_contract_of_the_bundle_reaches_the_loop(original):
    bundle = load_bundle(original, HAND)
    document = yaml.safe_load((original / 'policy.yaml').read_text())
    assert bundle.controller().spec.close_torque_nm == document['grasp']['close_torque_nm']
    assert bundle.controller().mapper.rate_limit == document['action']['rate_limit_rad_s']


def test_metronome_keeps_its_grid_and_counts_what_it_misses():
    clock = [0]

    def wait(seconds):
        clock[0] += round(seconds * 1e9)
        return False

    beats = Metronome(PERIOD, lambda: clock[0], wait)
    first = beats.next()
    assert (first.index, first.scheduled_ns, first.late_ns, first.skipped) == (0, PERIOD, 0, 0)
    clock[0] += 7 * MS  # work
    assert beats.next().scheduled_ns == 2 * PERIOD
    clock[0] += 75 * MS  # a stall over three deadlines
    late = beats.next()
    assert (late.index, late.skipped) == (4, 2)
    assert late.scheduled_ns == 5 * PERIOD
    assert late.late_ns == 15 * MS
    assert beats.next().scheduled_ns == 6 * PERIOD
    assert Metronome(PERIOD, lambda: 0, lambda s: True).next() is None


def test_recent_values_forget_the_old():
    recent = Recent(4)
    assert recent.percentile(50) == 0.0
    for value in (100, 1, 2, 3, 4):
        recent.add(value)
    assert recent.count == 5
    assert recent.percentile(100) == 4
