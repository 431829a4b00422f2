"""The rehearsing oracle: what it does is what its best plan does alone; masses are chosen by its successes."""

import numpy as np
import pytest
from allegro_ai.evaluation import masses, tuning
from allegro_ai.evaluation.masses import Bound, largest
from allegro_ai.evaluation.trials import Trial
from allegro_ai.evaluation.tuning import TuneConfig, choose_plans
from allegro_ai.tasks.foresight import Foresight
from allegro_ai.tasks.policies import make_policy
from allegro_ai.tasks.tactile_hold import TactileHold, episodes
from allegro_description.errors import ConfigError
from allegro_description.model import load_hand

HAND = load_hand('v5_sense', 'right')


def test_it_ends_each_episode_as_the_best_plan_does_alone():
    plans = [{'cap': 0.4, 'share_fragile': 0.0, 'share_normal': 0.0, 'share_robust': 0.0, 'margin': 0.3}, {}]
    task = TactileHold(HAND, episodes(HAND, [3, 4, 5], 'L2'))
    alone = [task.run(make_policy(HAND, 'oracle', plan)) for plan in plans]
    together = task.run(Foresight(HAND, plans))
    for k, outcome in enumerate(together):
        assert outcome == next((row[k] for row in alone if row[k].result.success), outcome)
        assert outcome in [row[k] for row in alone]
    assert any(o != a for o, a in zip(together, alone[0], strict=True)), 'the first plan would do as well'


def test_without_rehearsal_the_first_plan_acts_and_no_plan_is_refused():
    assert make_policy(HAND, 'foresight').privileged
    with pytest.raises(ConfigError, match='at least one plan'):
        Foresight(HAND, [])
    with pytest.raises(ConfigError, match='no argument'):
        Foresight(HAND, [{'courage': 1.0}])


def test_the_largest_bound_that_is_good_enough():
    found = [Bound(0.1, 100, 95, 99), Bound(0.2, 200, 181, 190), Bound(0.3, 300, 269, 290), Bound(0.4, 400, 300, 380)]
    assert largest(found) == found[1]
    assert largest(found[2:]) is None
    assert largest([Bound(0.1, 0, 0, 0)]) is None


def trial(seed, success, mass=0.1):
    return Trial(seed, 'box', 'normal', mass, 0.8, 1.0, success, success, True, 'held' if success else 'dropped', 1.0,
                 1.0, 0.05, 2.0, 0.1, 0.1, 6.0, 0.0)


class Inline:
    """Runs at once what workers would run elsewhere."""

    def submit(self, function, *arguments):
        from concurrent.futures import Future
        done = Future()
        done.set_result(function(*arguments))
        return done


def test_bounds_count_what_lies_below_them(monkeypatch):
    rng = np.random.default_rng(0)
    heavy = {seed: float(rng.uniform(0.03, 0.4)) for seed in range(masses.FIRST_SEED, masses.FIRST_SEED + 60)}
    monkeypatch.setattr(masses, 'run_chunk', lambda model, side, seeds, objects: [
        trial(s, heavy[s] < 0.2, heavy[s]) for s in seeds])
    found = masses.bounds(HAND, 60, Inline())
    assert [b.n for b in found] == [sum(m <= b.mass for m in heavy.values()) for b in found]
    assert {b.mass: b.rate for b in found}[0.20] == 1.0
    assert found[-1].success == sum(m < 0.2 for m in heavy.values())


def test_plans_are_taken_while_they_add_something(monkeypatch):
    wins = {0: {0, 1, 2}, 1: {2, 3}, 2: {0}, 3: {4}, 4: {1, 2}}
    calls = []

    def trials(hand, name, candidates, offsets, workers):
        calls.append((name, len(candidates)))
        if len(candidates) == 5:
            return [[trial(s, s in wins[k]) for s in range(6)] for k in range(5)]
        return [[trial(s, s < 4) for s in range(6)]]

    monkeypatch.setattr(tuning, '_trials', trials)
    found = choose_plans(HAND, TuneConfig(population=5, final=6), None)
    assert len(found['plans']) == 3
    assert found['search']['covered'] == pytest.approx(5 / 6, abs=1e-4)
    assert calls == [('oracle', 5), ('foresight', 1), ('oracle', 1)]
