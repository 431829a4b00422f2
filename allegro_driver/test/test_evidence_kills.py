"""Kills in small, and that torque which is left would be found."""

from __future__ import annotations

import os
import random
import signal

import pytest
from allegro_description.model import load_hand
from allegro_driver.evidence.kill_trials import Arena, Outcome
from allegro_driver.evidence.kills import KINDS, main, plan
from allegro_driver.loop import LoopStatistics


def test_what_an_outcome_objects_to():
    assert Outcome(True, 0.01).failures(0.1) == []
    assert Outcome(True, None).failures(None) == []
    assert 'never' in Outcome(True, None).failures(0.1)[0]
    assert '200 ms' in Outcome(True, 0.2).failures(0.1)[0]
    assert Outcome(True, 0.01, ('a helper process is left',)).failures(0.1) == ['a helper process is left']


def test_a_plan_has_every_kind_by_its_share():
    kinds = plan(2 * sum(kind.share for kind in KINDS), True, random.Random(1))
    assert all(kinds.count(kind) == 2 * kind.share for kind in KINDS)
    assert all(kind.victim != 'node' for kind in plan(50, False, random.Random(1)))


def test_three_kills(capsys):
    code = main(['--count', '3', '--place', 'v5_sense_right/udp', '--no-node', '--seed', '3'])
    printed = capsys.readouterr()
    assert code == 0, printed.out + printed.err
    assert '3 kills, seed 3: 0 failures' in printed.out


@pytest.mark.parametrize(('model', 'link'), [('v4', 'can')])
def test_a_killed_hand_is_noticed_and_torque_that_stays_is_found(tmp_path, model, link):
    with Arena(load_hand(model, 'right'), link, tmp_path, dict(os.environ)) as arena:
        hand = arena.kill_hand(random.Random(1))
        assert hand.failures(0.5) == []
        alone = arena.kill_driver(
            random.Random(1), 'loop', signal.SIGKILL, guardian=True, starting=False)
        assert alone.flowing
        assert alone.seconds is None  # nobody is left to send zeros
        assert alone.failures(0.1)
        assert not alone.objections


def test_the_loop_report_bears_samples_that_came_in_one_piece():
    """Found by killing: a serial line hands over two cycles at once, and the first diagnostics ended the node."""
    statistics = LoopStatistics(0.003)
    for sequence in (1, 2):
        statistics.frame(1_000_000, sequence)
    assert statistics.report().rate_hz >= 0.0
