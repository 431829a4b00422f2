"""Streams of episodes: the same outcomes as one by one, whatever the threads; curriculum, randomisation, Gymnasium."""

import math
import warnings

import numpy as np
import pytest
from allegro_ai.action import ActionMapper
from allegro_ai.grasp import GraspController, Phase
from allegro_ai.observation import terms
from allegro_ai.tasks.lanes import CONTROL_S, PHYSICS_S, STEPS, SUBSTEPS, Lanes
from allegro_ai.tasks.policies import POLICIES, Squeeze, make_policy
from allegro_ai.tasks.randomisation import FROZEN_NM, Randomisation
from allegro_ai.tasks.tactile_hold import TactileHold, episodes
from allegro_ai.tasks.vector import VectorTask
from allegro_ai.tasks.workers import Work, run_work
from allegro_description.errors import ConfigError, UnknownName, UnknownPlugin
from allegro_description.model import load_hand
from allegro_description.simulation.episode import DURATION_S, Episode
from allegro_description.simulation.plant import Plant
from allegro_description.simulation.score import Score

HAND = load_hand()


def stream(task, policy, wanted, seed=0):
    """Outcomes by (seed, level) of the first ``wanted`` episodes to end, and the seeds in the order of their envs."""
    observation, info = task.reset(seed=seed)
    found, order = {}, []
    while len(found) < wanted:
        running = list(zip(info['seed'], info['level'], strict=True))
        observation, _, terminated, truncated, info = task.step(policy.act(observation))
        for k, outcome in enumerate(info['outcome']):
            assert (outcome is not None) == bool(terminated[k] or truncated[k])
            if outcome is not None:
                found[running[k]] = outcome
                order.append(running[k][0])
    task.close()
    return found, order


def test_a_stream_gives_what_episodes_one_by_one_give_whatever_the_threads():
    policy = Squeeze(HAND, 0.4)
    found, order = stream(VectorTask(HAND, 3, levels=('L1', 'L4')), policy, 5)
    threaded, _ = stream(VectorTask(HAND, 3, levels=('L1', 'L4'), threads=2), policy, 5)
    assert threaded == found
    assert len(set(order)) == len(order)
    for (seed, level), outcome in found.items():
        alone = TactileHold(HAND, [Episode(HAND, seed, level)]).run(policy)[0]
        assert alone.result == outcome.result
        assert alone.reward == pytest.approx(outcome.reward, rel=1e-12)


def test_environments_go_through_their_own_seeds():
    task = VectorTask(HAND, 2, levels=('L0',))
    _, info = task.reset(seed=10)
    assert info['seed'] == [10, 11]
    open_hand = np.tile(np.where(HAND.flexion, -1.0, 0.0), (2, 1))
    seen = {0: [10], 1: [11]}
    while min(len(s) for s in seen.values()) < 2:
        _, _, terminated, truncated, info = task.step(open_hand)
        for k in np.flatnonzero(terminated | truncated).tolist():
            seen[k].append(info['seed'][k])
    assert seen[0][:2] == [10, 12]
    assert seen[1][:2] == [11, 13]


def test_observations_have_the_terms_of_the_node_and_privileged_ones_their_names():
    task = VectorTask(HAND, 2)
    seen, _ = task.reset(seed=0)
    assert set(seen) == {*terms(HAND), 'privileged'}
    for name, term in terms(HAND).items():
        assert seen[name].shape == (2, len(term.elements))
        assert seen[name].dtype == np.float32
    assert seen['privileged'].shape == (2, len(task.privileged_names))
    assert np.isfinite(seen['privileged']).all()
    names = list(task.privileged_names)
    mass = seen['privileged'][:, names.index('object_mass/kg')]
    assert mass == pytest.approx([Episode(HAND, s).obj.mass for s in (0, 1)], rel=1e-6)
    assert seen['privileged'][:, names.index('gravity/x')] == pytest.approx(-9.81)
    assert seen['privileged'][:, names.index('time/s')] == pytest.approx(1.0)


def test_curriculum_and_levels_are_obeyed():
    task = VectorTask(HAND, 8, levels=(0.0, '2.5'), tilt_max=math.pi / 4)
    _, info = task.reset(seed=0)
    assert set(info['level']) == {'0', '2.5'}
    for lane in range(8):
        gravity = task.lanes.world['gravity'][lane]
        if task.lanes.episode[lane].level == '0':
            assert -gravity[-1, 0] / 9.81 >= math.cos(math.pi / 4) - 1e-9
    force = np.linalg.norm(task.lanes.world['force'], axis=2).max(axis=1)
    pushed = max(force[lane] / (9.81 * task.lanes.episode[lane].obj.mass) for lane in range(8))
    assert pushed == pytest.approx(2.5)


@pytest.mark.parametrize(('options', 'error'), [
    ({'levels': ('L9',)}, UnknownName), ({'levels': (25.0,)}, UnknownName), ({'levels': ()}, ConfigError),
    ({'object_set': 'mine'}, UnknownName), ({'num_envs': 0}, ConfigError)])
def test_refusals(options, error):
    with pytest.raises(error):
        VectorTask(HAND, **{'num_envs': 1, **options})


def test_a_wrong_action_is_refused():
    task = VectorTask(HAND, 1)
    task.reset(seed=0)
    with pytest.raises(ConfigError, match='shape'):
        task.step(np.zeros((2, 16)))
    with pytest.raises(ConfigError, match='seeds'):
        task.reset(seed=[1, 2])


def test_randomisation_stays_in_its_ranges_and_reaches_the_plant():
    draws = [Randomisation.draw(HAND, Episode(HAND, s)) for s in range(300)]
    assert {d.delay for d in draws} == {d.sense_delay for d in draws} == {0, 1, 2}
    for name, spread in (('kp', 0.25), ('kd', 0.25), ('armature', 0.5), ('friction', 0.5), ('torque', 0.1)):
        values = np.concatenate([getattr(d, name) for d in draws])
        assert 1 - spread <= values.min() < 1 - 0.9 * spread
        assert 1 + 0.9 * spread < values.max() <= 1 + spread
    assert all(0.005 <= d.contact_time <= 0.020 for d in draws)
    frozen = [d for d in draws if d.frozen is not None]
    assert 1 <= len(frozen) <= 15
    masked = [d for d in draws if not d.valid.all()]
    assert 0.4 < len(masked) / len(draws) < 0.6
    assert all(d.valid[HAND.tip_taxels].all() and d.valid.sum() == HAND.tip_taxels.size for d in masked)
    assert 0.4 < np.mean([d.gravity_known for d in draws]) < 0.6
    seed = next(s for s, d in enumerate(draws) if d.frozen is not None)
    lanes = Lanes(HAND, 1)
    lanes.start(0, Episode(HAND, seed))
    plant, joint = lanes.rig.plants[0], draws[seed].frozen
    at = plant.addresses
    assert plant.model.dof_frictionloss[at.velocity[joint]] == FROZEN_NM
    np.testing.assert_allclose(plant.model.actuator_gainprm[at.actuator, 0], HAND.kp * draws[seed].kp)
    np.testing.assert_allclose(plant.model.actuator_forcerange[at.actuator, 1], HAND.torque_limit * draws[seed].torque)
    before = plant.position[joint]
    for _ in range(20):
        lanes.observe(np.array([0]))
        lanes.step(np.array([0]), np.zeros((1, 16)))
    assert plant.position[joint] == pytest.approx(before, abs=0.02)       # its neighbours move by some 0.5 rad


def test_masks_hide_links_and_gravity():
    draws = [Randomisation.draw(HAND, Episode(HAND, s)) for s in range(40)]
    tips = next(s for s, d in enumerate(draws) if not d.valid.all() and not d.gravity_known)
    full = next(s for s, d in enumerate(draws) if d.valid.all() and d.gravity_known)
    lanes = Lanes(HAND, 2)
    lanes.start(0, Episode(HAND, tips))
    lanes.start(1, Episode(HAND, full))
    seen = lanes.observe(np.arange(2))
    assert not seen['tactile_link_valid'][0].any()
    assert seen['tactile_link_valid'][1].all()
    assert seen['gravity_valid'].ravel().tolist() == [0.0, 1.0]
    assert not seen['gravity_palm'][0].any()
    np.testing.assert_allclose(seen['gravity_palm'][1], [-9.81, 0.0, 0.0], atol=1e-5)


def test_delays_are_whole_control_steps():
    episode = Episode(HAND, 0, 'L0')
    for delay in (0, 2):
        lanes = Lanes(HAND, 1, randomise=False)
        lanes.start(0, episode)
        lanes._delay[0] = delay
        sent = []
        for _ in range(6):
            lanes.observe(np.array([0]))
            lanes.step(np.array([0]), np.zeros((1, 16)))
            sent.append(lanes.controller.target[0].copy())
            control = lanes.rig.plants[0].data.ctrl[lanes.rig.plants[0].addresses.actuator]
            expected = sent[-1 - delay] if len(sent) > delay else None
            if expected is not None:
                np.testing.assert_array_equal(control, expected)


def test_policies_by_name():
    assert {'squeeze', 'linear', 'bundle'} <= set(POLICIES.names())
    with pytest.raises(UnknownPlugin, match='squeeze'):
        make_policy(HAND, 'genius')
    with pytest.raises(ConfigError, match='strength'):
        make_policy(HAND, 'squeeze', {'strength': 1})
    by_name = run_work(Work('v5_sense', 'right', (3,), ('L1',), policy='squeeze', arguments={'share': 0.5}))
    assert by_name == run_work(Work('v5_sense', 'right', (3,), ('L1',), squeeze=0.5))
    outcome = run_work(Work('v5_sense', 'right', (3,), ('L1',), policy='bundle',
                            arguments={'path': 'tactile_hold_linear'}))[0]
    assert 1.0 < outcome.result.finished_s <= DURATION_S
    assert not outcome.unstable


def test_privileged_policies_see_the_state_and_stateful_ones_are_reset():
    class Oracle:
        privileged, resets = True, 0

        def reset(self, which):
            self.resets += 1

        def act(self, observation):
            assert observation['privileged'].shape[0] == 2
            return np.zeros((2, 16))

    policy = Oracle()
    TactileHold(HAND, episodes(HAND, range(2), 'L0')).run(policy)
    assert policy.resets == 1


def test_gymnasium_accepts_both_environments():
    gymnasium = pytest.importorskip('gymnasium')
    from allegro_ai.tasks import gym_env
    from gymnasium.utils.env_checker import check_env

    env = gymnasium.make(gym_env.ID, levels=('L1',))
    with warnings.catch_warnings():
        warnings.simplefilter('ignore', UserWarning)        # it advises bounded spaces
        check_env(env.unwrapped, skip_render_check=True)
    env.close()
    envs = gymnasium.make_vec(gym_env.ID, num_envs=3, vectorization_mode='vector_entry_point', levels=('L4',))
    seen, _ = envs.reset(seed=4)
    assert envs.observation_space.contains(seen)
    while True:
        seen, _, terminated, truncated, info = envs.step(np.tile(np.where(HAND.flexion, -1.0, 0.0), (3, 1)))
        if (terminated | truncated).any():
            break
    k = int(np.flatnonzero(terminated | truncated)[0])
    assert info['_final_obs'][k]
    assert set(info['final_obs'][k]) == set(seen)
    assert info['outcome'][k].result.finished_s > 1.0
    envs.close()


@pytest.mark.parametrize('level', ['L0', 'L3'])
def test_lanes_judge_as_the_emulated_hand_does(level):
    # plant, script and score driven one by one, as the emulator does, against the arrays of the task
    episode, squeeze = Episode(HAND, 1, level), np.where(HAND.flexion, 0.5, 0.0)
    plant = Plant(HAND, episode.obj, timestep=PHYSICS_S, actuation='position')
    controller, score = GraspController(HAND, ActionMapper(HAND)), Score(HAND, episode)
    episode.reset(plant)
    controller.start(Phase.CLOSE, plant.encoder_position[None])
    result = None
    for step in range(STEPS):
        plant.set_target(controller.step(CONTROL_S, plant.encoder_position[None], squeeze[None])[0])
        episode.apply(step * CONTROL_S, plant)
        plant.advance(SUBSTEPS)
        result = score.update((step + 1) * CONTROL_S, plant)
    alone = TactileHold(HAND, [episode], randomise=False).run(Squeeze(HAND, 0.5))[0].result
    assert result is not None
    assert (alone.held, alone.success, alone.acquired) == (result.held, result.success, result.acquired)
    assert alone.slip_mm == pytest.approx(result.slip_mm, rel=1e-3)
    assert alone.turn_deg == pytest.approx(result.turn_deg, rel=1e-3)
    assert alone.mean_torque_nm == pytest.approx(result.mean_torque_nm, rel=1e-3)
    assert alone.p99_tip_force_n == pytest.approx(result.p99_tip_force_n, rel=1e-3)
