"""Lock-step beside real time: what is compared is the same episodes, and a difference is called one."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from allegro_bringup.realtime_evaluation import Episode, Told, comparison, from_wire, main, table
from allegro_description.errors import ConfigError

GOOD = Episode(seed=0, success=True, held=True, acquired=True, torque_nm=0.05, tip_n=3.0)
BAD = replace(GOOD, success=False, held=False)


def rows(good: int, n: int) -> list[Episode]:
    """``good`` successes first, of ``n``."""
    return [replace(GOOD if k < good else BAD, seed=k) for k in range(n)]


def test_pairs_by_seed_whatever_the_order() -> None:
    """Only seeds that both have count; their order does not matter."""
    wire = [e for e in reversed(rows(7, 12)) if e.seed != 3]
    found = comparison(rows(8, 10), wire)
    assert (found['n'], found['missing']) == (9, 1)
    r = found['rates']['success']
    assert (r['only_lock_step'], r['only_real_time']) == (1, 0)
    assert r['difference'] == pytest.approx(-1 / 9)
    assert 'success' in table(found)
    with pytest.raises(ConfigError, match='no episode'):
        comparison(rows(1, 2), [replace(GOOD, seed=9)])


def test_agreement_is_that_of_the_intervals() -> None:
    """Equal runs agree; a run that fails half of what the other manages does not."""
    assert all(r['agree'] for r in comparison(rows(30, 50), rows(30, 50))['rates'].values())
    assert not comparison(rows(40, 50), rows(15, 50))['rates']['success']['agree']


def test_reads_what_the_runner_writes(tmp_path: Path) -> None:
    """Finished episodes only; a file that is none is refused."""
    row = {'seed': 4, 'success': True, 'held': True, 'acquired': True, 'mean_torque_nm': 0.06, 'p99_tip_force_n': 2.0,
           'outcome': 'held'}
    path = tmp_path / 'episodes.json'
    path.write_text(json.dumps({'episodes': [row, {**row, 'seed': 5, 'outcome': 'stopped'}]}))
    assert from_wire(path) == [Episode(4, True, True, True, 0.06, 2.0)]
    path.write_text('{}')
    with pytest.raises(ConfigError):
        from_wire(path)


def test_both_are_told_the_same() -> None:
    """The policy sees the one grip class and no gravity; the rest is untouched."""
    class Mirror:
        def act(self, observation: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
            return observation

    seen = Told(Mirror(), 'robust').act({
        'grip_class': np.array([[1, 0, 0], [0, 1, 0]]), 'gravity_palm': np.ones((2, 3)),
        'gravity_valid': np.ones((2, 1)), 'joint_position': np.ones((2, 16))})
    assert seen['grip_class'].tolist() == [[0, 0, 1], [0, 0, 1]]
    assert not seen['gravity_palm'].any()
    assert not seen['gravity_valid'].any()
    assert seen['joint_position'].all()


def test_refuses_before_anything_starts(capsys: pytest.CaptureFixture[str]) -> None:
    """A sentence and exit code 2."""
    assert main(['--episodes', '0']) == 2
    assert main(['no_such_policy', '--episodes', '1']) == 2
    assert 'Traceback' not in capsys.readouterr().err
