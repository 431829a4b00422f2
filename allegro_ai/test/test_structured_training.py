"""The evolution strategy finds optima; runs resume exactly, keep their limits, and are refused elsewhere."""

import json
from concurrent.futures import Future
from dataclasses import replace

import numpy as np
import pytest
from allegro_ai.cli import main
from allegro_ai.structured_policy import NAMES, start
from allegro_ai.tasks.lanes import Outcome
from allegro_ai.tasks.policies import make_policy
from allegro_ai.training.evolution import Evolution
from allegro_ai.training.structured import (
    FILE,
    StructuredSettings,
    diagnose,
    load_run,
    merit,
    run_rows,
    train,
    value,
)
from allegro_ai.training.structured_commands import progress_line
from allegro_ai.training.teachers import make_teacher
from allegro_description.errors import AllegroError, ConfigError
from allegro_description.model import load_hand
from allegro_description.simulation.score import EpisodeResult

HAND = load_hand()
SMALL = StructuredSettings(generations=6, trials=8, episodes=4)


class Pretended:
    """Workers whose episodes are a bowl around 0.3, so that a run takes milliseconds."""

    def __init__(self, count=2, stop_after=None):
        self.count, self.calls, self.stop_after = count, 0, stop_after

    def submit(self, function, model, side, rows, seeds, levels):
        assert function is run_rows
        self.calls += 1
        if self.stop_after is not None and self.calls > self.stop_after:
            raise KeyboardInterrupt
        future = Future()
        good = np.exp(-((rows - 0.3) ** 2).sum(axis=1))
        future.set_result([(g + 1e-3 * (s % 7), 0.05, g > 0.1, True) for g in good.tolist() for s in seeds])
        return future


def outcome(**changes):
    return Outcome(replace(EpisodeResult(True, True, True, None, 3.0, 5.0, 0.06, 3.0, 6.0), **changes), 0.0, False)


@pytest.mark.parametrize('still', [0, 3])
def test_evolution_finds_the_optimum_of_a_badly_scaled_bowl(still):
    rng, stretch = np.random.default_rng(1), np.geomspace(0.3, 3.0, 12)
    scale = np.ones(12)
    scale[:still] = 0.0
    search = Evolution(np.ones(12), scale)
    for _ in range(90):
        trials = search.trials(12, rng)
        search.tell(trials, -((trials * stretch) ** 2).sum(axis=1))
    np.testing.assert_array_equal(search.mean[:still], 1.0)
    assert np.abs(search.mean[still:] * stretch[still:]).max() < 0.05
    assert search.sigma < 0.2


def test_a_search_survives_its_document():
    rng = np.random.default_rng(0)
    search = Evolution(np.zeros(5), np.ones(5))
    for _ in range(3):
        trials = search.trials(6, rng)
        search.tell(trials, trials.sum(axis=1))
    again = Evolution(**json.loads(json.dumps(search.document())))
    a, b = (s.trials(6, np.random.default_rng(2)) for s in (search, again))
    np.testing.assert_array_equal(a, b)
    with pytest.raises(ConfigError, match='at least one positive'):
        Evolution(np.zeros(2), np.zeros(2))


def test_a_killed_run_goes_on_as_if_it_had_not_been(tmp_path):
    whole = train(tmp_path / 'whole', HAND, SMALL, Pretended())
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path / 'cut', HAND, SMALL, Pretended(stop_after=6))
    assert len(load_run(tmp_path / 'cut').curve) == 3
    cut = train(tmp_path / 'cut', HAND, SMALL, Pretended(count=3), resume=True)
    np.testing.assert_array_equal(whole.parameters, cut.parameters)
    assert whole.curve == cut.curve
    assert whole.curve[-1]['return'] > whole.curve[0]['return']
    np.testing.assert_array_equal(make_policy(HAND, 'structured', {'path': tmp_path / 'cut'})._values['motion'],
                                  np.float32(whole.parameters[NAMES.index('motion'):][:1]))


def test_runs_that_do_not_fit_are_refused(tmp_path):
    train(tmp_path, HAND, SMALL, Pretended())
    with pytest.raises(ConfigError, match='--resume'):
        train(tmp_path, HAND, SMALL, Pretended())
    with pytest.raises(ConfigError, match='trials 8, not 10'):
        train(tmp_path, HAND, replace(SMALL, trials=10), Pretended(), resume=True)
    document = json.loads((tmp_path / FILE).read_text())
    (tmp_path / FILE).write_text(json.dumps({**document, 'hand_sha256': '0'}))
    with pytest.raises(ConfigError, match='does not fit'):
        load_run(tmp_path, HAND)
    (tmp_path / FILE).write_text(json.dumps(document)[:-40])
    with pytest.raises(ConfigError, match='no run of the structured policy'):
        load_run(tmp_path)


def test_the_limit_of_time_holds(tmp_path):
    found = train(tmp_path, HAND, replace(SMALL, generations=10_000), Pretended(), minutes=0.002)
    assert found.stopped.startswith('the limit')
    assert 1 <= len(found.curve) < 10_000


def test_merit_is_soft_success():
    assert merit(outcome(), 4.0) > 0.95
    assert merit(outcome(p99_tip_force_n=4.0), 4.0) == pytest.approx(0.15 + 0.85 * 0.5, abs=0.02)
    assert merit(outcome(p99_tip_force_n=5.0), 4.0) < 0.2
    early, late = (merit(outcome(held=False, dropped_at_s=t), 4.0) for t in (2.0, 5.0))
    assert 0.0 < early < late < 0.15
    assert merit(outcome(slip_mm=float('nan'), dropped_at_s=None), 4.0) == 0.0


def test_torque_over_the_budget_costs_more():
    settings = StructuredSettings(torque_price=2.0, torque_budget=0.06)
    scores = np.zeros((3, 1, 4))
    scores[:, 0, 1] = 0.05, 0.06, 0.07
    steps = -np.diff(value(scores, settings))
    assert steps[0] == pytest.approx(0.02)
    assert steps[1] > 5 * steps[0]


def test_trouble_is_said_early(tmp_path):
    run = train(tmp_path, HAND, replace(SMALL, generations=2), Pretended())
    assert diagnose(run) == {}
    run.curve = [{**run.curve[0], 'return': 0.5 - 0.01 * k, 'centre_torque_nm': 0.1} for k in range(40)]
    run.search.sigma = 0.01
    assert set(diagnose(run)) == {'collapse', 'stuck', 'torque'}


def test_rows_run_on_real_episodes_and_tell_them_apart():
    limp, firm = start() * 0.0, start()
    scores = np.array(run_rows(HAND.model, HAND.side, np.stack([limp, firm]), (3, 4), ('L2', 'L3'))).reshape(2, 2, 4)
    assert scores[1, :, 1].min() > 1.5 * scores[0, :, 1].max()
    assert ((scores[..., 0] >= 0.0) & (scores[..., 0] <= 1.0)).all()


def test_a_run_is_a_teacher_by_its_path(tmp_path):
    found = train(tmp_path, HAND, SMALL, Pretended())
    taught = make_teacher(HAND, str(tmp_path))
    np.testing.assert_array_equal(taught._values['load'], np.float32(found.parameters[NAMES.index('load'):][:1]))
    assert make_teacher(HAND, '') is None
    by_hand = make_teacher(HAND, 'structured')
    np.testing.assert_array_equal(by_hand._values['keep'], np.float32(start()[NAMES.index('keep'):][:1]))
    with pytest.raises(ConfigError, match='not both'):
        make_policy(HAND, 'structured', {'path': tmp_path, 'parameters': start()})
    with pytest.raises(AllegroError, match='no_such_policy'):
        make_teacher(HAND, 'no_such_policy')


def test_the_command_refuses_times_that_are_none_and_tells_how_far_it_is(capsys):
    assert main(['train', 'structured', '--minutes', '0']) != 0
    assert 'at most 60' in capsys.readouterr().err
    numbers = {'return': 0.5, 'success': 0.6, 'held': 0.7, 'torque_nm': 0.066, 'sigma': 0.8}
    line = progress_line(numbers, 3, SMALL, 30.0, 10.0)
    assert '██████████··········' in line
    assert '30 s left' in line
