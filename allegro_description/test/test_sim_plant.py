"""Laws of the simulated hand: limits, touch, friction, the human's hand, both actuations, threads."""

from dataclasses import replace

import mujoco
import numpy as np
import pytest
from allegro_description.errors import AllegroError, CommandRefused, ConfigError
from allegro_description.kinematics import Kinematics
from allegro_description.mjcf import tip_shape
from allegro_description.model import available_hands, load_hand
from allegro_description.simulation.batch import Batch
from allegro_description.simulation.objects import ObjectSpec
from allegro_description.simulation.plant import GRAVITY, Plant
from allegro_description.simulation.tactile import IDEAL, TactileParams, TactileSensor, params_for

HAND = load_hand()
PRE = HAND.pose('pregrasp')
BALL = ObjectSpec('sphere', (0.032,), 0.1)
PALE = (np.array([0.046, 0.0, 0.012]), np.array([1.0, 0.0, 0.0, 0.0]))


def close_and_hold(plant, seconds, torque=0.12):
    """Torque-limited close with the human's help for 0.8 s, then hold; position input, 20 ms control."""
    target = plant.position
    steps = round(0.02 / plant.timestep)
    for k in range(round(seconds / 0.02)):
        plant.hold_object(float(np.clip((1.0 - 0.02 * k) / 0.2, 0, 1)))
        wanted = np.where(HAND.flexion, plant.position + torque / HAND.kp, PRE)
        target = np.clip(target + np.clip(wanted - target, -0.04, 0.04), HAND.lower, HAND.upper)
        plant.set_target(target)
        plant.advance(steps)
    return plant


def grasped(obj=BALL, seconds=2.0):
    plant = Plant(HAND, obj, timestep=0.004, actuation='position')
    plant.reset(PRE, PALE)
    return close_and_hold(plant, seconds)


def test_torque_is_clamped_to_the_current_clamp():
    plant = Plant(HAND)
    plant.reset(PRE)
    plant.apply_torque(np.full(16, 5.0))
    plant.advance()
    np.testing.assert_allclose(plant.torque, HAND.torque_limit, rtol=1e-9)
    assert (np.abs(plant.current_ma) <= HAND.clamp).all()
    position = Plant(HAND, actuation='position', timestep=0.004)
    position.reset(PRE)
    position.set_target(np.full(16, 1.7))
    position.advance()
    assert (np.abs(position.torque) <= HAND.torque_limit + 1e-9).all()


@pytest.mark.parametrize('bad', [np.full(16, np.nan), np.zeros(15), np.full(16, np.inf)])
def test_bad_input_is_refused_and_changes_nothing(bad):
    plant = Plant(HAND)
    plant.apply_torque(np.full(16, 0.01))
    before = plant.data.ctrl.copy()
    with pytest.raises(CommandRefused):
        plant.apply_torque(bad)
    with pytest.raises(CommandRefused):
        plant.reset(bad)
    np.testing.assert_array_equal(plant.data.ctrl, before)
    with pytest.raises(CommandRefused, match='position'):
        plant.set_target(np.zeros(16))
    with pytest.raises(CommandRefused):
        plant.set_gravity(np.array([np.nan, 0, 0]))
    with pytest.raises(ConfigError):
        plant.hold_object(True)


def test_joints_stay_within_the_mechanical_range_under_full_torque():
    low, high = np.array([j.urdf_range for j in HAND.joints]).T
    for sign in (1, -1):
        plant = Plant(HAND)
        plant.reset(PRE)
        plant.set_gravity(np.zeros(3))
        plant.apply_torque(sign * np.asarray(HAND.torque_limit))
        plant.advance(500)
        assert (plant.position > low - 0.03).all()
        assert (plant.position < high + 0.03).all()


@pytest.mark.parametrize('name', available_hands())
def test_every_hand_holds_its_home_pose_with_its_gains_at_its_own_rate(name):
    """The host's PD law on counted angles, one sample late, palm up: no ringing, little sag, nothing touches."""
    hand = load_hand(*name.rsplit('_', 1))
    period = 1e-3 * hand.protocol['can']['period_ms']
    home = hand.pose('home')
    plant = Plant(hand, timestep=1e-3)
    plant.reset(home)
    last, torque, track = home, np.zeros(len(home)), []
    for _ in range(round(1.0 / period)):
        angle = plant.encoder_position
        plant.apply_torque(torque)
        torque = hand.kp * (home - angle) - hand.kd * (angle - last) / period
        last = angle
        plant.advance(round(period / 1e-3))
        track.append(plant.position)
    settled = np.array(track[-round(0.3 / period):])
    assert np.abs(settled[-1] - home).max() < 0.15
    assert np.ptp(settled, axis=0).max() < 0.005
    assert plant.data.ncon == 0


@pytest.mark.parametrize('name', available_hands())
def test_every_fingertip_feels_a_ball_at_its_end_whether_or_not_it_has_a_cell(name):
    hand = load_hand(*name.rsplit('_', 1))
    ball, home, felt = ObjectSpec('sphere', (0.01,), 0.05), hand.pose('home'), []
    plant, links = Plant(hand, ball, timestep=1e-3), Kinematics(hand).link_poses(home)
    for finger in hand.fingers:
        tip = next(f for f in hand.frames if f.name == finger.tip)
        dome = tip_shape(next(link for link in hand.links if link.name == tip.parent), tip)
        bone = np.array(tip.xyz) / np.linalg.norm(tip.xyz)
        reach = dome.size[0] + (dome.size[1] / 2 if dome.kind == 'capsule' else 0.0)
        pose = links[tip.parent]
        centre = pose[:3, :3] @ (dome.xyz + (reach + 0.01 - 0.0005) * bone) + pose[:3, 3]
        plant.reset(home, (centre, np.array([1.0, 0, 0, 0])))
        plant.advance(1)
        felt.append(plant.tip_forces)
    forces = np.array(felt)
    assert forces.shape == (len(hand.fingers),) * 2
    assert (np.diag(forces) > 0.1).all()
    assert not (forces - np.diag(np.diag(forces))).any()


def test_both_actuations_follow_the_same_scripted_close():
    """Torque input at 3 ms with the host's PD law and position input at 4 ms end within 0.02 rad of each other."""
    torque = Plant(HAND, BALL, timestep=0.003, actuation='torque')
    position = Plant(HAND, BALL, timestep=0.004, actuation='position')
    goal = PRE + np.where(HAND.flexion, 0.5, 0.0)
    worst = 0.0
    for plant in (torque, position):
        plant.reset(PRE, PALE)
    for k in range(125):                                   # 12 ms periods, 1.5 s
        target = PRE + np.clip(goal - PRE, -2.0 * 0.012 * k, 2.0 * 0.012 * k)
        position.set_target(target)
        position.advance(3)
        for _ in range(4):
            torque.apply_torque(HAND.kp * (target - torque.position) - HAND.kd * torque.velocity)
            torque.advance(1)
        worst = max(worst, float(np.abs(torque.position - position.position).max()))
    assert torque.time == pytest.approx(position.time)
    assert float(np.abs(torque.position - PRE).max()) > 0.3
    assert float(np.abs(torque.position - position.position).max()) < 0.02
    assert worst < 0.06
    assert torque.tip_forces.sum() == pytest.approx(position.tip_forces.sum(), rel=0.25, abs=0.3)


def test_taxels_feel_what_the_contacts_carry():
    """The taxels of a grasp sum to the contact forces on the parts that carry taxels; nothing is felt unloaded."""
    plant = grasped()
    plant.hold_object(False)
    plant.advance(1)
    mujoco.mj_forward(plant.model, plant.data)
    covered = {t.frame: f.parent for t in HAND.taxels for f in HAND.frames if f.name == t.frame}.values()
    total, force = 0.0, np.zeros(6)
    for k in range(plant.data.ncon):
        mujoco.mj_contactForce(plant.model, plant.data, k, force)
        bodies = {plant.model.geom(g).bodyid[0] for g in plant.data.contact.geom[k]}
        names = {plant.model.body(b).name for b in bodies}
        total += force[0] if names & set(covered) else 0.0
    assert total > 1.0
    assert plant.taxel_forces.sum() == pytest.approx(total, rel=0.25)
    assert (plant.taxel_forces >= 0).all()
    np.testing.assert_array_equal(plant.tip_forces, plant.taxel_forces[HAND.tip_taxels])
    empty = Plant(HAND)
    empty.reset(PRE)
    empty.advance(10)
    assert not empty.taxel_forces.any()


def test_a_weight_on_the_palm_is_felt_by_the_palm_only():
    plant = Plant(HAND, ObjectSpec('box', (0.04, 0.04, 0.04), 0.2))
    plant.reset(HAND.pose('zero'), (np.array([0.0302, -0.03, -0.09]), np.array([1.0, 0, 0, 0])))
    plant.hold_object(False)
    for _ in range(300):
        plant.apply_torque(HAND.kp * -plant.position - HAND.kd * plant.velocity)
        plant.advance(1)
    expected = np.zeros(len(HAND.taxels))
    expected[0] = 0.2 * GRAVITY
    np.testing.assert_allclose(plant.taxel_forces, expected, atol=0.05)


def test_gravity_turns_and_a_loose_object_falls_along_it():
    plant = Plant(HAND, BALL)
    plant.reset(PRE, (np.array([0.5, 0, 0]), np.array([1.0, 0, 0, 0])))
    plant.hold_object(False)
    plant.set_gravity(np.array([0.0, 3.0, 4.0]))
    plant.advance(100)
    moved = plant.object_pose[0] - np.array([0.5, 0, 0])
    np.testing.assert_allclose(moved, 0.5 * 0.3**2 * np.array([0.0, 3.0, 4.0]), rtol=0.02, atol=1e-6)


def test_payload_and_push_accelerate_as_newton_says():
    plant = Plant(HAND, BALL)
    plant.reset(PRE, (np.array([0.5, 0, 0]), np.array([1.0, 0, 0, 0])))
    plant.hold_object(False)
    plant.push(np.array([0.0, 0.2, 0.0]), np.array([0.0, 0.0, 0.03]))
    plant.set_payload(0.05)
    plant.advance(1)
    velocity = plant.object_velocity
    np.testing.assert_allclose(velocity[:3] / 0.003, [-1.5 * GRAVITY, 2.0, 0.0], rtol=1e-3, atol=1e-6)
    assert velocity[3] / 0.003 == pytest.approx(-0.03 * 0.2 / BALL.inertia[0], rel=1e-3)


@pytest.mark.parametrize('mass', [0.03, 0.1, 0.4])
def test_the_humans_hand_is_a_spring_of_the_stated_stiffness(mass):
    plant = Plant(HAND, ObjectSpec('sphere', (0.03,), mass))
    pose = (np.array([0.5, 0, 0]), np.array([1.0, 0, 0, 0]))
    plant.reset(PRE, pose)
    plant.set_gravity(np.zeros(3))
    plant.push(np.array([0.0, 1.5, 0.0]))
    plant.advance(600)
    assert plant.object_pose[0][1] == pytest.approx(1.5 / 300.0, rel=0.1)


def test_static_hold_does_not_creep():
    """Solver softness must not look like slip: a firm grasp drifts less than 3 mm in 10 s."""
    plant = grasped(seconds=2.0)
    target = plant.position + np.where(HAND.flexion, 0.12 / HAND.kp, 0.0)
    plant.set_target(np.clip(target, HAND.lower, HAND.upper))
    plant.advance(125)
    start = plant.object_pose[0]
    plant.advance(2500)
    assert np.linalg.norm(plant.object_pose[0] - start) < 0.003
    assert plant.tip_forces.max() > 0.3


def test_threads_do_not_change_the_result():
    results = []
    for threads in (1, 2, 3):
        plants = [grasped(ObjectSpec('sphere', (0.028 + 0.002 * k,), 0.1), seconds=0.3) for k in range(4)]
        with Batch(threads) as batch:
            assert batch.advance(plants, 25).all()
        results.append(np.stack([p.data.qpos for p in plants]))
    np.testing.assert_array_equal(results[0], results[1])
    np.testing.assert_array_equal(results[0], results[2])
    with pytest.raises(ConfigError):
        Batch(-1)


def test_an_unstable_state_is_reported():
    plant = Plant(HAND, BALL)
    plant.data.qvel[3] = 1e12
    with pytest.raises(AllegroError, match='unstable'):
        plant.advance(5)
    plant.reset(PRE)
    plant.advance(5)
    assert not plant.unstable


def test_encoder_counts():
    plant = Plant(HAND)
    plant.reset(PRE + 0.0001)
    lsb = np.deg2rad(0.088)
    counts = plant.encoder_position / lsb
    np.testing.assert_allclose(counts, np.rint(counts), atol=1e-9)
    assert np.abs(plant.encoder_position - plant.position).max() <= lsb / 2 + 1e-12


# Touch sensor model

def run_sensor(params, forces, dt=0.003, seed=1, seconds=1.0):
    sensor = TactileSensor(HAND, np.random.default_rng(seed), params)
    return sensor, np.stack([sensor.sense(forces, dt) for _ in range(round(seconds / dt))])


def test_an_ideal_cell_reports_force_over_area():
    _, out = run_sensor(IDEAL, np.linspace(0, 3, 16))
    np.testing.assert_allclose(out[0], np.linspace(0, 3, 16) / 100e-6)


def test_readings_are_quantised_bounded_and_repeatable():
    forces = np.linspace(0, 30, 16)
    _, first = run_sensor(None, forces, seed=3)
    _, again = run_sensor(None, forces, seed=3)
    _, other = run_sensor(None, forces, seed=4)
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()
    assert first.min() >= 0
    assert first.max() <= HAND.actuation.tactile_saturation_pa
    np.testing.assert_allclose(first / 400.0, np.rint(first / 400.0), atol=1e-9)
    assert first[-1, -1] > 100e3                            # 30 N saturates whatever was drawn


def test_barometers_are_scaled_to_their_contact_threshold():
    """0.6 N is felt, and an untouched cell stays below the threshold for contact, on every hand with touch."""
    for name in available_hands():
        hand = load_hand(*name.rsplit('_', 1))
        n = len(hand.taxels)
        if not n:
            assert TactileSensor(hand, np.random.default_rng(1)).sense(np.zeros(0), 0.003).shape == (0,)
            continue
        sensor = TactileSensor(hand, np.random.default_rng(1), replace(params_for(hand), dead_tip=0.0, dropout=0.0))
        at_rest = np.array([sensor.sense(np.zeros(n), 0.003) for _ in range(200)])
        touched = np.array([sensor.sense(np.full(n, 0.6), 0.003) for _ in range(200)])
        on = hand.touch['contact_on_pa']
        assert at_rest.max() <= on
        assert (touched[-1] - at_rest[-1] > hand.touch['contact_off_pa']).mean() > 0.7
        assert at_rest.max() < hand.touch['tare_limit_pa']
    assert params_for(HAND) == TactileParams()


def test_more_force_never_reads_less():
    readings = [run_sensor(None, np.full(16, f), seed=9, seconds=0.2)[1][-1] for f in (0.0, 0.2, 0.5, 1.0, 3.0)]
    assert (np.diff(np.stack(readings), axis=0) >= 0).all()


def test_delay_is_a_delay():
    params = TactileParams(**{**{k: getattr(IDEAL, k) for k in IDEAL.__slots__}, 'delay': (0.03, 0.03)})
    _, out = run_sensor(params, np.ones(16), dt=0.003, seconds=0.06)
    arrived = int(np.argmax(out[:, 0] > 0))
    assert arrived == 10                                    # 30 ms later than the first sample


def test_dead_tips_and_dropouts_happen_as_often_as_stated():
    dead = [(~TactileSensor(HAND, np.random.default_rng(s)).alive).sum() for s in range(1000)]
    assert set(dead) <= {0, 1}
    assert 25 <= sum(dead) <= 85                            # 50 expected, 5 sigma
    sensor, out = run_sensor(TactileParams(dead_tip=1.0), np.full(16, 5.0))
    assert not out[:, ~sensor.alive].any()
    assert set(np.flatnonzero(~sensor.alive)) <= set(HAND.tip_taxels.tolist())
    with pytest.raises(ConfigError):
        sensor.sense(np.zeros(16), 0.0)
