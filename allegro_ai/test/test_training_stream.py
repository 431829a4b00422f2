"""Rows for the learner: stacked oldest first, begun anew with each episode, the simulator's state behind them."""

import numpy as np
import pytest
from allegro_ai.observation import terms
from allegro_ai.training.layout import make_layout
from allegro_description.model import load_hand

pytest.importorskip('stable_baselines3')
from allegro_ai.training.shaping import make_shaping
from allegro_ai.training.stream import Stream

HAND = load_hand()
TERM = 'gravity_palm'


class Counter:
    """Shows the step count of each environment; the second one ends after three steps, with a fall."""

    num_envs, privileged_names = 2, ('secret/1',)

    def reset(self, *, seed=0):
        self.count = np.array([seed, seed + 100])
        return self._seen(self.count), {}

    def step(self, action):
        self.count = self.count + 1
        ended = np.array([False, self.count[1] % 100 == 3])
        final = self._seen(self.count)
        self.count[ended] = 500
        info = {'outcome': ['over' if e else None for e in ended], 'final_observation': final if ended.any() else None}
        return self._seen(self.count), np.ones(2), ended, np.zeros(2, dtype=bool), info

    def _seen(self, count):
        seen = {TERM: np.repeat(count[:, None], 3, axis=1).astype(np.float32)}
        return {**seen, 'privileged': -count[:, None].astype(np.float32)}

    def close(self):
        pass


def history(row):
    """The steps in a row and the privileged number."""
    return [*row[:-1].reshape(-1, 3)[:, 0].astype(int).tolist(), int(row[-1])]


def test_rows_tell_the_past_of_one_episode_only():
    assert TERM in terms(HAND)
    stream = Stream(Counter(), make_layout(HAND, [TERM], 3), 16, make_shaping('task', ('secret/1',)))
    stream.first_seed = 0
    first = stream.reset()
    assert [history(r) for r in first] == [[0, 0, 0, 0], [100, 100, 100, -100]]
    action = np.zeros((2, 16))
    stream.step(action)
    rows, reward, done, infos = stream.step(action)
    assert [history(r) for r in rows] == [[0, 1, 2, -2], [100, 101, 102, -102]]
    assert not done.any()
    assert reward == pytest.approx([0.1, 0.1])
    rows, _, done, infos = stream.step(action)
    assert done.tolist() == [False, True]
    assert history(rows[0]) == [1, 2, 3, -3]
    assert history(rows[1]) == [500, 500, 500, -500]
    assert history(infos[1]['terminal_observation']) == [101, 102, 103, -103]
    assert infos[1]['TimeLimit.truncated'] is False
    assert stream.returns == [3.0]
    rows = stream.step(action)[0]
    assert history(rows[1]) == [500, 500, 501, -501]
