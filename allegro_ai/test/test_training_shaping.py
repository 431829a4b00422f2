"""What the learner adds to the reward of the task: the hard budget of the score, and nothing where it is kept."""

import numpy as np
import pytest
from allegro_ai.training.shaping import SUCCESS, VERSIONS, make_shaping
from allegro_description.errors import ConfigError, UnknownName

NAMES = ('tip_force/index', 'tip_force/thumb', 'mass/kg', 'force_limit/N')


class Ended:
    def __init__(self, success):
        self.result = type('Result', (), {'success': success})


def felt(version, tips, outcome=None, limit=4.0):
    row = np.array([[tips[0], tips[1], 9.0, limit]], dtype=np.float32)
    return float(make_shaping(version, NAMES).reward(np.array([2.0]), row, [outcome])[0])


@pytest.mark.parametrize('version', VERSIONS)
def test_a_gentle_grip_earns_what_the_task_gives(version):
    assert felt(version, (0.0, 2.9)) == pytest.approx(2.0)
    assert felt(version, (2.9, 0.0), Ended(False)) == pytest.approx(2.0)


def test_force_beyond_the_limit_costs_and_success_pays():
    assert felt('task', (5.0, 0.0), Ended(True)) == 2.0
    for version in ('budget-1', 'budget-2'):
        assert felt(version, (5.0, 0.0)) < felt(version, (3.7, 0.0)) + 1e-9
        assert felt(version, (0.0, 5.0)) <= 1.0
        assert felt(version, (0.0, 0.0), Ended(True)) == 2.0 + SUCCESS
    assert felt('budget-2', (4.4, 0.0)) < felt('budget-2', (3.6, 0.0)) < felt('budget-2', (3.0, 0.0))
    assert felt('budget-2', (4.4, 0.0), limit=20.0) == 2.0
    assert felt('budget-2', (400.0, 0.0)) == felt('budget-2', (5.0, 0.0)) > -1.0


def test_an_unknown_version_or_a_silent_task_is_refused():
    with pytest.raises(UnknownName, match='budget-1'):
        make_shaping('budget-0', NAMES)
    with pytest.raises(ConfigError, match='force_limit'):
        make_shaping('budget-2', NAMES[:2])
