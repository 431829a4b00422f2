"""The fault table in small: what it sums up, and that it would find torque where none belongs."""

from __future__ import annotations

from contextlib import closing

import pytest
from allegro_description.model import load_hand
from allegro_driver.evidence.fault_table import CASES, UNCONFIRMED, Row, by_fault, main, run
from allegro_driver.evidence.fault_trials import Bench, Outcome
from allegro_driver.hardware.bus import BusHardware

STALE = [case for case in CASES if case.fault == 'stale' and not case.before]


def test_a_fault_is_summed_up_over_hands():
    unsafe = Outcome('fault', '', 0.2, ('zero torque only 200 ms after it could be noticed',))
    rows = [
        Row('a', 'can', 'drop', [Outcome('active', '', None), Outcome('fault', '', 0.001)]),
        Row('b', 'udp', 'drop', [Outcome('fault', '', 0.0021)]), Row('b', 'udp', 'freeze', [unsafe])]
    assert by_fault(rows) == ['| drop | 2 | fault, active | 2.1 | 0 |', '| freeze | 1 | fault | 200.0 | 1 |']


def test_a_left_hand_needs_confirmation_and_the_table_says_so(capsys):
    assert main(['--hand', 'v5_b_left', '--fault', 'stale', '--trials', '1']) == 0
    lines = capsys.readouterr().out.splitlines()
    refused = next(line for line in lines if line.startswith('| v5_b_left | can'))
    assert UNCONFIRMED in refused
    assert 'thumb_sign' in refused
    assert '| refused |' in refused
    assert sum(line.startswith('| v5_b_left (thumb_sign confirmed) | can | stale') for line in lines) == 2
    assert '3 rows, 1 trials each: 0 unsafe' in lines[-1]


def test_torque_without_confirmation_is_found(monkeypatch):
    monkeypatch.setattr('allegro_driver.hand.check_torque', lambda *_: None)
    with closing(Bench(load_hand('v5_a', 'left'), 'can')) as bench:
        assert 'torque is given unconfirmed' in bench.unconfirmed().objections


def test_torque_that_a_fault_leaves_is_found(monkeypatch):
    monkeypatch.setattr(BusHardware, 'halt', lambda self: None)
    monkeypatch.setattr(BusHardware, 'close', lambda self: self._link.close())
    monkeypatch.setattr(
        BusHardware, 'enable', lambda self, on: self._sending.each(self._session.stream() if on else ()))
    monkeypatch.setattr(BusHardware, 'write', _only_torque(BusHardware.write))
    (row,) = run(load_hand('v4', 'right'), 'can', STALE, 1)
    assert any('left with torque' in text for text in row.objections)


def _only_torque(write):
    return lambda self, effort: write(self, effort) if effort.any() else None


@pytest.mark.parametrize('option', [['--hand', 'v9_right'], ['--hand', 'v4_middle']])
def test_a_hand_that_there_is_not(option, capsys):
    assert main(option) == 2
    assert 'fault_table:' in capsys.readouterr().err
