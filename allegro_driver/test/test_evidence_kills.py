"""Kills in small, and that torque which is left would be found."""

from __future__ import annotations

import os
import random
import signal

import pytest
from allegro_description.model import load_hand
from allegro_driver.evidence.kill_trials import Arena, Outcome
from allegro_driver.evidence.kills import KINDS, Row, main, plan, summary, together
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


def test_the_result_tells_zero_torque_from_a_process_that_is_gone():
    kinds = {kind.label: kind for kind in KINDS}
    killed, frozen = kinds['driver node SIGKILL'], kinds['driver SIGSTOP']
    rows = [
        Row('a', killed, [Outcome(True, 0.07, gone_s=0.141), Outcome(True, 0.06, gone_s=0.05)]),
        Row('b', killed, [Outcome(True, 0.15, gone_s=0.02)]), Row('b', frozen, [Outcome(True, 0.08)])]
    assert '| 141.0 | 70.0 | 100 | holds |' in rows[0].markdown()
    assert '| 20.0 | 150.0 | 100 | 1 failed |' in rows[1].markdown()
    assert '|  | 80.0 | 100 | holds |' in rows[2].markdown()  # one that was frozen and went on was never gone
    assert {(row.kind, len(row.outcomes)) for row in together(rows)} == {(killed, 3), (frozen, 1)}
    text = summary(rows, 1)
    assert '4 kills, seed 1: 1 failures' in text
    assert 'zero torque after 150.0 ms' in text
    assert 'gone after 141.0 ms' in text


def test_a_frozen_driver_loses_the_torque_and_does_not_take_it_back(tmp_path):
    with Arena(load_hand('v4', 'right'), 'can', tmp_path, dict(os.environ)) as arena:
        frozen = arena.kill_driver(random.Random(1), 'loop', signal.SIGSTOP, guardian=False, starting=False)
    assert frozen.flowing
    assert frozen.failures(0.5) == []
    assert frozen.seconds > 0.0
    assert frozen.gone_s is None


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
