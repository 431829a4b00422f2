"""SlipArrest: the script, the judgement, the search for the least grip, and what policies without learning reach."""

import dataclasses

import numpy as np
import pytest
from allegro_ai.tasks import slip_grips
from allegro_ai.tasks.policies import make_policy
from allegro_ai.tasks.slip_arrest import FIRST_STEP, Grips, SlipArrest
from allegro_ai.tasks.slip_grips import grips_of, search
from allegro_description.errors import CommandRefused
from allegro_description.model import load_hand
from allegro_description.simulation.plant import Plant
from allegro_description.simulation.score import EpisodeResult
from allegro_description.simulation.slip import EVENTS, RAMP_S, SlipEpisode, SlipJudge

HAND = load_hand('v5_sense', 'right')
PERIOD = 0.02


@pytest.fixture(scope='module')
def held():
    """Two episodes with an event whose grips are known."""
    seeds = [3, 11]
    return [SlipEpisode(HAND, s) for s in seeds], search(HAND, seeds, 'train')


def test_the_script_depends_on_seed_and_set_only_and_every_event_occurs():
    drawn = [SlipEpisode(HAND, s) for s in range(60)]
    assert {e.event for e in drawn} == set(EVENTS)
    for episode in drawn[:20]:
        again = SlipEpisode(HAND, episode.seed)
        assert (again.event, again.event_s, again.size, again.obj) == (
            episode.event, episode.event_s, episode.size, episode.obj)
        before, after = (episode.script(np.array([episode.event_s + d])) for d in (-0.01, RAMP_S))
        changed = [np.abs(getattr(before, f) - getattr(after, f)).max() > 1e-9 for f in ('payload',)]
        assert changed == [episode.event == 'payload']
        assert (episode.friction(6.0) < episode.obj.friction) == (episode.event == 'wet')
        down = episode.gravity(5.9) / np.linalg.norm(episode.gravity(5.9))
        assert abs(down[1]) > 0.8  # nearly along an object that lies across the fingers
    other = SlipEpisode(HAND, 3, 'H1')
    assert other.obj != drawn[3].obj


def test_a_tug_pulls_for_a_tenth_of_a_second_with_its_impulse():
    episode = next(e for s in range(100) if (e := SlipEpisode(HAND, s)).event == 'tug')
    t = np.arange(0.0, 6.0, 0.001)
    impulse = np.linalg.norm(episode.script(t).force, axis=1).sum() * 0.001
    assert impulse == pytest.approx(episode.size, rel=0.02)


def judged(way_mm, torque=0.05, least=0.05):
    """Judge a made-up course: way along z after 2.0 s, mm per step of 20 ms, the last value held."""
    episode = next(e for s in range(100) if (e := SlipEpisode(HAND, s)).event == 'wet')
    judge = SlipJudge(1, PERIOD)
    judge.start(0, episode)
    judge.least_nm[0] = least
    begin = np.ceil(episode.event_s / PERIOD)
    place, start = np.zeros(1, dtype=np.intp), np.array([[0.05, 0.0, 0.01]])
    quat = np.array([[1.0, 0.0, 0.0, 0.0]])
    for k in range(1, 301):
        since = int(k - begin)
        offset = 0.0 if since < 0 else way_mm[min(since, len(way_mm) - 1)]
        over = judge.update(place, np.array([k * PERIOD]), start + np.array([0.0, 0.0, 1e-3 * offset]), quat,
                            np.array([torque]), np.array([1.0]))
    return over[0][1]


def test_the_judgement_of_made_up_courses():
    still = judged([0.0])
    assert (still.slipped, still.held, still.success) == (False, True, True)
    assert np.isnan(still.latency_s)
    short = judged([0.0, 1.0, 2.0, 3.0])  # 50 mm/s for 60 ms
    assert short.slipped
    assert short.arrested
    assert short.latency_s == pytest.approx(0.06)
    assert short.slip_mm == pytest.approx(3.0)
    assert short.success
    far = judged(np.arange(0.0, 20.0, 1.0))
    assert far.arrested
    assert not far.held  # 19 mm
    creeping = judged(np.arange(0.0, 40.0, 0.2))  # 10 mm/s, never stops
    assert not creeping.arrested
    assert not creeping.success
    hard = judged([0.0, 1.0], torque=0.09)
    assert hard.held
    assert hard.squeeze == pytest.approx(1.8)
    assert not hard.success  # more than 1.6 times what is needed


def test_the_least_grips_hold_and_less_does_not(held):
    episodes, grips = held
    assert all(g is not None and g.after > slip_grips.NEEDED * g.start for g in grips)
    for change, holds in ((1.0, True), (0.45, False)):
        given = [dataclasses.replace(g, before=change * g.after) for g in grips]
        results = SlipArrest(HAND, episodes, given).run(make_policy(HAND, 'slip_keep'))
        assert all(isinstance(r, EpisodeResult) for r in results)
        assert all((r.dropped_at_s is None and r.slip_mm < 15.0) == holds for r in results), results


def test_the_oracle_saves_what_keeping_the_grip_loses(held):
    episodes, grips = held
    kept = SlipArrest(HAND, episodes, grips).run(make_policy(HAND, 'slip_keep'))
    saved = SlipArrest(HAND, episodes, grips).run(make_policy(HAND, 'slip_oracle'))
    assert sum(r.held for r in saved) > sum(r.held for r in kept)
    assert np.mean([r.slip_mm for r in saved]) < np.mean([r.slip_mm for r in kept])


def test_until_two_seconds_the_policy_only_watches(held):
    episodes, grips = held
    seen = []

    class Crush:
        def act(self, observation):
            return np.ones((len(observation['joint_position']), 16))

    def watch(lanes, which, observation, action):
        seen.append((lanes.clock[which].copy(), observation['last_action'][which][:, HAND.flexion].mean(axis=1)))

    SlipArrest(HAND, episodes, grips).run(Crush(), watch=watch)
    for clock, share in seen:
        told = np.array([g.start for g in grips])[:len(share)]
        if (clock > 51).all() and (clock <= FIRST_STEP).all():
            np.testing.assert_allclose(share, told, atol=1e-6)
        if (clock > FIRST_STEP).all():
            np.testing.assert_allclose(share, 1.0)


def test_grips_are_searched_once_and_then_read(tmp_path, monkeypatch):
    calls = []

    class Now:
        def submit(self, function, *arguments):
            from concurrent.futures import Future
            calls.append(arguments)
            done = Future()
            done.set_result([Grips(0.1, 0.3, 0.05) if seed % 2 else None for seed in arguments[2]])
            return done

    first = grips_of(HAND, [1, 2, 3], 'train', Now(), folder=tmp_path)
    again = grips_of(HAND, [3, 2, 1, 5], 'train', Now(), folder=tmp_path)
    assert set(first) == {1, 3}
    assert again[5] == first[1] == Grips(0.1, 0.3, 0.05)
    assert [c[2] for c in calls] == [[1, 2, 3], [5]]


def test_friction_of_a_plant_is_refused_when_it_makes_no_sense():
    plant = Plant(HAND, SlipEpisode(HAND, 3).obj, timestep=0.004, actuation='position')
    plant.set_friction(0.2)
    assert plant.model.geom_friction[:, 0].max() == 0.2
    for bad in (-0.1, float('nan')):
        with pytest.raises(CommandRefused, match='0 or more'):
            plant.set_friction(bad)
