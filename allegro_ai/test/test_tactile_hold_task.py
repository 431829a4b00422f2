"""TactileHold as a task: deterministic, honest about failures, and the same for every way of running it."""

import numpy as np
import pytest
from allegro_ai.evaluation.closed_loop import Contestant, compare, evaluate, markdown
from allegro_ai.evaluation.intervals import paired_difference, wilson
from allegro_ai.linear_policy import LinearLayout, LinearPolicy
from allegro_ai.tasks.policies import Blind, Squeeze
from allegro_ai.tasks.tactile_hold import STEPS, TactileHold, episodes
from allegro_ai.tasks.workers import Workers
from allegro_ai.training.random_search import SearchConfig, initial_parameters, load_result, search
from allegro_description.errors import ConfigError
from allegro_description.model import load_hand
from hypothesis import given
from hypothesis import strategies as st

HAND = load_hand()


def results(seeds, policy, level='L2', **options):
    return [o.result for o in TactileHold(HAND, episodes(HAND, seeds, level)).run(policy, **options)]


def test_outcomes_depend_on_the_seed_alone():
    squeeze = Squeeze(HAND, 0.5)
    together = results(range(4), squeeze)
    assert together == results(range(4), squeeze)
    assert together == results(range(4), squeeze, threads=2)
    alone = [results([s], squeeze)[0] for s in range(4)]
    assert [r.held for r in alone] == [r.held for r in together]


def test_a_squeeze_holds_more_than_an_open_hand():
    class Open:
        def act(self, observation):
            return np.tile(np.where(HAND.flexion, -1.0, 0.0), (len(observation['joint_position']), 1))

    held_open = sum(r.held for r in results(range(12), Open()))
    held = sum(r.held for r in results(range(12), Squeeze(HAND, 0.5)))
    assert held > held_open
    dropped = [r for r in results(range(12), Open()) if r.dropped_at_s is not None]
    assert dropped, 'an open hand must drop something'
    assert not any(r.held or r.success for r in dropped)


def test_the_initial_policy_is_the_open_loop_squeeze_it_starts_from():
    theta = initial_parameters(HAND, 0.5)
    task = TactileHold(HAND, episodes(HAND, range(2), 'L1'))
    seen = []
    task.run(LinearPolicy(HAND, theta), record=seen)
    actions = LinearPolicy(HAND, theta).act(seen[0])
    assert actions[:, HAND.flexion] == pytest.approx(0.5, abs=1e-6)
    assert (actions[:, ~HAND.flexion] == 0).all()
    assert 0 < len(seen) <= STEPS


def test_blind_policies_see_no_touch():
    class Spy:
        def act(self, observation):
            assert all(not v.any() for k, v in observation.items() if k.startswith('tactile'))
            assert observation['joint_position'].any()
            return np.zeros_like(observation['joint_position'])

    TactileHold(HAND, episodes(HAND, [3], 'L1')).run(Blind(Spy()))


def test_a_population_acts_like_its_members():
    rng = np.random.default_rng(1)
    population = initial_parameters(HAND, 0.3) + 0.2 * rng.normal(size=(3, LinearLayout(HAND).size))
    seen = []
    together = LinearPolicy(HAND, population)
    TactileHold(HAND, episodes(HAND, (5, 5, 5), 'L2')).run(together, record=seen)
    for observation in seen[::20]:
        actions = together.act(observation)
        for k, row in enumerate(population):
            alone = LinearPolicy(HAND, row).act({name: value[k:k + 1] for name, value in observation.items()})
            # the rounding of float32 sums may depend on the batch
            assert actions[k] == pytest.approx(alone[0], abs=1e-5)


def test_training_improves_is_reproducible_and_keeps_touch_out_when_told(tmp_path):
    config = SearchConfig(iterations=2, directions=2, best=2, episodes=1, touch=False)
    with Workers(2) as workers:
        first = search(HAND, config, workers)
        second = search(HAND, config, workers)
        document = evaluate(HAND, [Contestant('trained', first.parameters), Contestant('freeze')], workers,
                            level='L2', n=4)
    assert (first.parameters == second.parameters).all()
    assert (first.parameters[LinearLayout(HAND).touch_mask()] == 0).all()
    assert (first.parameters != initial_parameters(HAND, config.first_squeeze)).any()
    assert first.episodes == 2 * 2 * 2
    again = load_result(first.save(tmp_path, HAND))
    assert (again.parameters == first.parameters).all()
    assert again.config == config
    table = markdown(document)
    assert 'trained' in table
    assert 'freeze' in table
    same = compare(document, 'trained', 'trained')
    assert same['difference'] == 0
    assert same['ci95'] == [0, 0]


def test_missing_training_result_is_one_sentence(tmp_path):
    with pytest.raises(ConfigError, match='allegro-ai train'):
        load_result(tmp_path / 'none.json')


@given(st.integers(1, 5000), st.data())
def test_wilson_contains_the_rate(n, data):
    k = data.draw(st.integers(0, n))
    low, high = wilson(k, n)
    assert 0 <= low <= k / n <= high <= 1


def test_wilson_known_value():
    # 10 of 100: 5.5 % to 17.4 % (Wilson 1927, as tabulated in Brown, Cai and DasGupta 2001)
    assert wilson(10, 100) == pytest.approx((0.0552, 0.1744), abs=2e-4)


def test_paired_difference_sees_a_shift():
    rng = np.random.default_rng(0)
    a = rng.uniform(size=400) < 0.8
    mean, low, high = paired_difference(a.astype(float), np.zeros(400))
    assert low < mean < high
    assert low > 0.7
