"""Runs of the learner on a task of two minutes' thought: resumed, limited, improved, diagnosed."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest
from allegro_ai.observation import terms
from allegro_ai.training.diagnosis import diagnose
from allegro_ai.training.settings import Settings
from allegro_description.errors import ConfigError, UnknownName
from allegro_description.model import load_hand

pytest.importorskip('torch')
pytest.importorskip('stable_baselines3')
from allegro_ai.tasks.policies import make_policy
from allegro_ai.training.checkpoint import FILE, load_checkpoint
from allegro_ai.training.network_commands import progress_line
from allegro_ai.training.runs import train

HAND = load_hand()
JOINTS = len(HAND.joints)
SMALL = Settings(updates=4, environments=4, horizon=16, minibatch=32, epochs=2, hidden=16, encoder=4, critic=16,
                 steps=2, reward='task', teacher='', warm_steps=8, segment=2, learning_rate=3e-3)


class Task:
    """Reward for pushing by what the grip class says; 10 steps an episode; joint angles are noise."""

    privileged_names = ('secret/1',)
    version = 'toy'

    def __init__(self, environments=4):
        self.num_envs, self.closed = environments, False
        self._table = terms(HAND)

    def reset(self, *, seed=0):
        self._rng, self._clock = np.random.default_rng(seed), np.zeros(self.num_envs, dtype=int)
        self._grip = self._rng.integers(3, size=self.num_envs)
        return self._observe(), {}

    def step(self, action):
        wanted = (self._grip - 1) * 0.5
        reward = 1.0 - np.abs(action - wanted[:, None]).mean(axis=1)
        self._clock += 1
        ended = self._clock >= 10
        outcome = [Ended() if over else None for over in ended]
        final = self._observe()
        self._clock[ended] = 0
        self._grip = np.where(ended, self._rng.integers(3, size=self.num_envs), self._grip)
        info = {'outcome': outcome, 'final_observation': final if ended.any() else None}
        return self._observe(), reward, np.zeros_like(ended), ended, info

    def _observe(self):
        seen = {name: np.zeros((self.num_envs, len(t.elements)), dtype=np.float32) for name, t in self._table.items()}
        seen['joint_position'][:] = self._rng.normal(size=(self.num_envs, JOINTS))
        seen['grip_class'] = np.eye(3, dtype=np.float32)[self._grip]
        seen['privileged'] = self._grip[:, None].astype(np.float32)
        return seen

    def close(self):
        self.closed = True


class Ended:
    class result:
        success, held, mean_torque_nm = True, True, 0.05


class Killed(Exception):
    pass


def kill_after(update):
    def progress(numbers, done, elapsed, seconds):
        if done == update:
            raise Killed
    return progress


def same(a, b):
    assert a.tensors.keys() == b.tensors.keys()
    return all(np.array_equal(a.tensors[name], b.tensors[name]) for name in a.tensors)


def test_a_killed_run_goes_on_as_if_it_had_not_been_killed(tmp_path):
    whole = train(tmp_path / 'whole', HAND, SMALL, task=Task())
    with pytest.raises(Killed):
        train(tmp_path / 'cut', HAND, SMALL, task=Task(), progress=kill_after(3))
    half = load_checkpoint(tmp_path / 'cut')
    assert half.updates == 2
    assert not same(half, whole)
    resumed = train(tmp_path / 'cut', HAND, SMALL, task=Task(), resume=True)
    assert same(resumed, whole)
    assert [row['return'] for row in resumed.curve] == [row['return'] for row in whole.curve]
    other = train(tmp_path / 'other', HAND, replace(SMALL, seed=1), task=Task())
    assert not same(other, whole)


def test_what_lies_on_disk_is_what_was_trained_and_no_pickle(tmp_path):
    task = Task()
    made = train(tmp_path, HAND, SMALL, task=task)
    assert task.closed
    found = load_checkpoint(tmp_path, HAND)
    assert same(made, found)
    assert found.settings == SMALL
    assert sorted(p.name for p in tmp_path.iterdir()) == [FILE, 'curves.json', 'curves.svg']
    assert len(json.loads((tmp_path / 'curves.json').read_text())['curve']) == 4
    assert b'\x80\x04' not in (tmp_path / FILE).read_bytes()[:64]
    observation = {name: value for name, value in task.reset()[0].items() if name != 'privileged'}
    action = make_policy(HAND, 'network', {'path': str(tmp_path)}).act(observation)
    assert action.shape == (4, JOINTS)


def test_it_learns_and_imitation_starts_from_the_teacher(tmp_path):
    settings = replace(SMALL, updates=20, environments=16, horizon=32, minibatch=128, epochs=5, segment=100,
                       log_noise=-1.0, target_kl=1.0, learning_rate=6e-3)
    curve = train(tmp_path / 'alone', HAND, settings, task=Task(16)).curve
    assert np.mean([r['return'] for r in curve[-5:]]) > np.mean([r['return'] for r in curve[:3]]) + 0.3
    taught = train(tmp_path / 'taught', HAND, replace(settings, updates=1, teacher='grip_squeeze', critic_updates=1,
                                                       warm_steps=480), task=Task(16))
    assert math.isfinite(taught.curve[0]['teacher'])
    policy = make_policy(HAND, 'network', {'path': str(tmp_path / 'taught')})
    teacher = make_policy(HAND, 'grip_squeeze')
    seen = Task(16).reset(seed=5)[0]
    assert np.abs(policy.act(seen) - teacher.act(seen)).mean() < 0.15


def test_the_limit_of_time_ends_a_run_with_a_checkpoint(tmp_path):
    ended = train(tmp_path, HAND, replace(SMALL, updates=10_000), task=Task(), minutes=0.01)
    assert 'limit' in ended.stopped
    assert 0 < ended.updates < 10_000
    assert load_checkpoint(tmp_path).updates == ended.updates


def test_a_run_is_neither_overwritten_nor_continued_with_other_settings(tmp_path):
    train(tmp_path, HAND, replace(SMALL, updates=1), task=Task())
    with pytest.raises(ConfigError, match='--resume'):
        train(tmp_path, HAND, SMALL, task=Task())
    with pytest.raises(ConfigError, match='hidden 16'):
        train(tmp_path, HAND, replace(SMALL, hidden=8), task=Task(), resume=True)
    with pytest.raises(UnknownName, match='reward version'):
        train(tmp_path / 'new', HAND, replace(SMALL, reward='much'), task=Task())
    (tmp_path / FILE).write_bytes(b'no checkpoint')
    with pytest.raises(ConfigError, match='no training checkpoint'):
        load_checkpoint(tmp_path)


ROW = {'return': 100.0, 'kl': 0.01, 'noise': 0.2, 'explained': 0.8, 'loss': 0.1}


@pytest.mark.parametrize(('change', 'kind', 'words'), [
    ({'kl': math.nan}, 'nan', 'learning rate'), ({'loss': math.inf}, 'nan', 'checkpoint'),
    ({'kl': 0.2}, 'kl', '--learning-rate'), ({'noise': 0.001}, 'entropy', '--entropy'),
    ({'explained': -0.5}, 'critic', '--critic'), ({'return': 50.0}, 'return', '--log-noise'),
])
def test_trouble_is_named_early_and_says_what_to_try(change, kind, words):
    assert diagnose([ROW] * 50, 100, 0.02, 80.0) == {}
    found = diagnose([{**ROW, **change}] * 50, 100, 0.02, 80.0)
    assert list(found) == [kind]
    assert words in found[kind]


def test_trouble_is_not_named_before_it_can_be_known():
    assert diagnose([{**ROW, 'explained': -1.0, 'return': 0.0}] * 5, 100, 0.02, 80.0) == {}
    assert diagnose([], 100, 0.02) == {}
    nothing_ended = {**ROW, 'return': math.nan, 'held': math.nan, 'explained': math.nan}
    assert diagnose([nothing_ended] * 50, 100, 0.02, 80.0) == {}


def test_progress_says_how_good_and_how_healthy():
    line = progress_line({**ROW, 'success': 0.5, 'held': math.nan}, 10, Settings(updates=20), 60.0)
    assert '10/20' in line
    for words in ('return 100', 'success 50%', 'held –', 'KL 0.010', 'explained 0.80', '60 s left'):
        assert words in line
