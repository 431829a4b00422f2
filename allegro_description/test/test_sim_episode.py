"""The TactileHold script: deterministic, as scheduled, judged as stated, feasible at L0 and harder at L4."""

import math

import numpy as np
import pytest
from allegro_description.errors import ConfigError, UnknownName
from allegro_description.model import available_hands, load_hand
from allegro_description.simulation.episode import GRIP_FORCE_N, LEVELS, Episode
from allegro_description.simulation.object_sets import FAMILIES, sample_object
from allegro_description.simulation.objects import ObjectSpec, object_rng
from allegro_description.simulation.plant import GRAVITY, Plant
from allegro_description.simulation.score import DROP_DISTANCE, Score

HAND = load_hand()
PERIOD, SUBSTEPS = 0.02, 5
TIMES = np.arange(0.0, 6.0, 0.01)


def trial(seed, level, squeeze, object_set='train', grip=True):
    """Close with 0.12 N·m until 1 s, then hold the posture plus ``squeeze``: the plainest open-loop grip."""
    episode = Episode(HAND, seed, level, object_set)
    plant = Plant(HAND, episode.obj, timestep=PERIOD / SUBSTEPS, actuation='position')
    episode.reset(plant)
    score = Score(HAND, episode)
    limit = np.asarray(HAND.torque_limit)
    target, posture = plant.position, plant.position
    for k in range(400):
        t = PERIOD * k
        result = score.update(t, plant)
        if result is not None:
            return result, plant
        closing = t < 1.0
        posture = plant.position if closing else posture
        aim = np.where(HAND.flexion, posture + np.minimum(0.12 if closing else squeeze, limit) / HAND.kp, episode.start)
        if grip:
            target = np.clip(target + np.clip(aim - target, -0.04, 0.04), HAND.lower, HAND.upper)
        plant.set_target(target)
        episode.apply(t, plant)
        plant.advance(SUBSTEPS)
    raise AssertionError('the episode did not end')


@pytest.mark.parametrize('name', available_hands())
def test_episodes_begin_without_the_object_in_a_finger_or_are_refused(name):
    hand = load_hand(*name.rsplit('_', 1))
    if len(hand.fingers) < 4:
        with pytest.raises(ConfigError, match='4-finger'):
            Episode(hand, 0)
        return
    for seed in range(10):
        episode = Episode(hand, seed)
        plant = Plant(hand, episode.obj)
        episode.reset(plant)
        assert plant.object_penetration < 0.004


def share_held(level, squeeze, seeds):
    return sum(trial(s, level, squeeze)[0].held for s in seeds) / len(seeds)


def test_a_plain_squeeze_holds_at_l0_and_drops_more_at_l4():
    seeds = range(24)
    calm, rough = share_held('L0', 0.15, seeds), share_held('L4', 0.15, seeds)
    assert calm > 0.5
    assert rough < calm - 0.15
    assert share_held('L3', 0.03, seeds) < share_held('L3', 0.15, seeds)


def test_an_open_hand_drops_the_object_and_the_episode_ends():
    results = [trial(s, 'L2', 0.0, grip=False)[0] for s in range(10)]
    dropped = [r for r in results if r.dropped_at_s is not None]
    assert len(dropped) >= 3
    for r in dropped:
        assert 0.8 <= r.dropped_at_s == r.finished_s < 6.0
        assert not r.held
        assert not r.success


def test_the_same_seed_gives_the_same_result_to_the_last_bit():
    (first, one), (second, two) = trial(5, 'L3', 0.1), trial(5, 'L3', 0.1)
    assert first == second
    np.testing.assert_array_equal(one.data.qpos, two.data.qpos)
    assert trial(6, 'L3', 0.1)[0] != first


def test_level_changes_only_the_disturbances():
    episodes = [Episode(HAND, 11, level) for level in LEVELS]
    for e in episodes:
        assert e.obj == episodes[0].obj
        assert e.grip_class == episodes[0].grip_class
        np.testing.assert_array_equal(e.object_pose[0], episodes[0].object_pose[0])
        np.testing.assert_array_equal(e.gravity(1.6), episodes[0].gravity(1.6))
        for (start, force, _), (_, unit, _) in zip(e.pulses, episodes[2].pulses, strict=True):
            np.testing.assert_allclose(force, unit * LEVELS[e.level])
            assert np.linalg.norm(force) == pytest.approx(LEVELS[e.level] * e.obj.mass * GRAVITY)
            assert 1.6 <= start <= 5.8


def test_sets_and_seeds_are_disjoint():
    drawn = {sample_object(object_rng(s, name, 0), name) for s in range(300) for name in ('train', 'H1')}
    assert len(drawn) == 600
    assert {o.shape for o in drawn} == set(FAMILIES)
    assert all(0.03 <= o.mass <= 0.40 and 0.35 <= o.friction <= 1.2 for o in drawn)
    assert all(np.all(np.abs(o.com) <= np.array(o.extent) / 8 + 1e-12) for o in drawn)


def test_schedule():
    for seed in range(20):
        e = Episode(HAND, seed, 'L3')
        gravity = np.array([e.gravity(t) for t in TIMES])
        np.testing.assert_allclose(gravity[TIMES < 1.0], [[-GRAVITY, 0, 0]] * 100, atol=1e-12)
        np.testing.assert_allclose(np.linalg.norm(gravity[TIMES <= 1.6], axis=1), GRAVITY)
        assert np.abs(np.diff(gravity, axis=0)).max() < 1.5        # no jumps: the arm has no infinite jerk
        assert np.linalg.norm(np.diff(gravity[TIMES > 2.0], axis=0), axis=1).max() > 0.01
        pushed = np.array([np.linalg.norm(e.push(t)[0]) > 0 for t in TIMES])
        assert not pushed[TIMES < 1.6].any()
        assert pushed.sum() == pytest.approx(7 * 20, abs=7)
        hold = np.array([e.hold(t) for t in TIMES])
        assert (hold[TIMES <= 0.8] == 1).all()
        assert (hold[TIMES > 1.0] == 0).all()
        assert (np.diff(hold) <= 0).all()
    calm = Episode(HAND, 3, 'L0')
    np.testing.assert_allclose(calm.gravity(5.0), calm.gravity(1.6))
    assert calm.payload is None
    assert not calm.push(1.9)[0].any()


def test_payload_in_a_quarter_of_the_episodes_and_all_grip_classes():
    episodes = [Episode(HAND, s, 'L1') for s in range(400)]
    loaded = [e for e in episodes if e.payload]
    assert 60 <= len(loaded) <= 140
    assert all(e.payload[1] == pytest.approx(0.5 * e.obj.mass) for e in loaded)
    assert {e.grip_class for e in episodes} == set(GRIP_FORCE_N)


def test_arm_noise_has_the_stated_strength():
    power = [np.sum((e.gravity(t) - e.gravity(1.6)) ** 2)
             for e in (Episode(HAND, s, 'L2') for s in range(40)) for t in np.arange(2.0, 6.0, 0.1)]
    assert math.sqrt(np.mean(power)) == pytest.approx(1.0, rel=0.15)


def test_tilt_curriculum_bounds_the_angle():
    for seed in range(50):
        g = Episode(HAND, seed, 'L0', tilt_max=math.pi / 4).gravity(2.0)
        assert -g[0] / GRAVITY >= math.cos(math.pi / 4) - 1e-12
    everywhere = [Episode(HAND, s, 'L0').gravity(2.0)[0] for s in range(200)]
    assert min(everywhere) < -0.9 * GRAVITY
    assert max(everywhere) > 0.9 * GRAVITY


def test_presented_objects_do_not_overlap_the_hand():
    for seed in range(30):
        e = Episode(HAND, seed, 'L0', 'H1')
        plant = Plant(HAND, e.obj, timestep=0.004, actuation='position')
        e.reset(plant)
        assert plant.object_penetration < 0.0005
        assert np.linalg.norm(plant.object_pose[0] - e.object_pose[0]) <= 0.1201


def score_sheet(level='L0', seed=0):
    e = Episode(HAND, seed, level)
    plant = Plant(HAND, e.obj, timestep=0.004, actuation='position')
    e.reset(plant)
    return e, plant, Score(HAND, e)


def move(plant, shift, angle=0.0):
    """Put the object elsewhere: fault injection into the judge's input."""
    plant.data.qpos[plant._oq:plant._oq + 3] += shift
    half = angle / 2
    w, x, y, z = plant.data.qpos[plant._oq + 3:plant._oq + 7]
    s, c = math.sin(half), math.cos(half)
    plant.data.qpos[plant._oq + 3:plant._oq + 7] = (w * c - z * s, x * c + y * s, y * c - x * s, z * c + w * s)


@pytest.mark.parametrize(('shift', 'angle', 'held'), [
    (0.0, 0.0, True), (0.020, 0.0, True), (0.045, 0.0, False), (0.0, math.radians(50), True),
    (0.0, math.radians(70), False),
])
def test_the_judge_applies_the_stated_bounds(shift, angle, held):
    e = Episode(HAND, 0, 'L0', obj=ObjectSpec('sphere', (0.03,), 0.1))
    plant = Plant(HAND, e.obj, actuation='position', timestep=0.004)
    e.reset(plant)
    score = Score(HAND, e)
    for t in (0.0, 1.0, 1.6):
        assert score.update(t, plant) is None
    move(plant, np.array([0.0, shift, 0.0]), angle)
    result = score.update(6.0, plant)
    assert result.held is held
    assert result.acquired
    assert result.slip_mm == pytest.approx(1e3 * shift, abs=1e-6)
    assert result.turn_deg == pytest.approx(math.degrees(angle), abs=1e-4)
    assert score.update(6.1, plant) is result


def test_the_judge_sees_a_drop_and_a_crush():
    _, plant, score = score_sheet()
    score.update(0.5, plant)
    move(plant, np.array([DROP_DISTANCE + 0.1, 0, 0]))
    assert score.update(0.7, plant) is None                 # the human still holds it
    result = score.update(0.9, plant)
    assert result.dropped_at_s == 0.9
    assert not result.acquired
    assert math.isnan(result.slip_mm)

    e, plant, score = score_sheet()
    score.update(1.6, plant)
    plant.data.sensordata[plant._touch[HAND.tip_taxels[0]]] = GRIP_FORCE_N[e.grip_class] + 1.0
    for k in range(1, 100):
        score.update(1.6 + 0.02 * k, plant)
    result = score.update(6.0, plant)
    assert result.held
    assert not result.success
    assert result.p99_tip_force_n == pytest.approx(GRIP_FORCE_N[e.grip_class] + 1.0)


def test_refusals():
    with pytest.raises(UnknownName, match='L4'):
        Episode(HAND, 0, 'L9')
    with pytest.raises(UnknownName, match='H1'):
        Episode(HAND, 0, 'L1', 'H9')
    with pytest.raises(ConfigError, match='seed'):
        Episode(HAND, -1, 'L1')
    with pytest.raises(ConfigError, match='tilt_max'):
        Episode(HAND, 0, 'L1', tilt_max=7.0)
