"""Fuzzing in small, and that it would find what it looks for."""

from __future__ import annotations

import os
import random

import numpy as np
import pytest
from allegro_driver.control.safety import State
from allegro_driver.evidence.fuzz import decode_all, drive_all, main
from allegro_driver.evidence.fuzz_foreign import strangers
from allegro_driver.evidence.fuzz_guided import HOW
from allegro_driver.evidence.fuzz_inputs import from_hand, from_host, happening
from allegro_driver.evidence.fuzz_loop import Action, ClosedLoop
from allegro_driver.evidence.fuzz_sides import HANDS, Breach, HandSide, HostSide
from allegro_driver.evidence.fuzz_targets import TARGETS, join, split
from allegro_driver.protocol.session import Sample

ONBOARD = ('v5_sense_can', 'v5b2')


@pytest.mark.parametrize('codec', HANDS)
def test_every_codec_holds_what_is_promised(codec):
    dice = random.Random(5)
    host, hand = (decode_all(codec, target, 2000, dice) for target in ('host', 'hand'))
    loop = drive_all(codec, 800, dice)
    for row in (host, hand, loop):
        assert not row.crash
    assert host.samples > 50
    assert host.refused > 50
    assert hand.understood > 500
    assert loop.torques > 50
    assert loop.refused > 0


@pytest.mark.parametrize('codec', HANDS)
def test_what_hands_and_hosts_really_say_is_understood(codec):
    host, hand = HostSide(codec), HandSide(codec)
    for unit in from_hand(codec, 40, random.Random(1)):
        host.feed(unit)
    for unit in from_host(codec, 200, random.Random(1)):
        hand.feed(unit)
    assert (host.refused, hand.refused) == (0, 0)
    assert host.samples == 40


def test_the_same_seed_tries_the_same():
    one, two = (drive_all('v4_can', 600, random.Random('x')) for _ in range(2))
    assert (one.understood, one.refused, one.torques) == (two.understood, two.refused, two.torques)


@pytest.mark.parametrize('codec', HANDS)
def test_inputs_survive_the_way_through_bytes(codec):
    dice = random.Random(2)
    items = [item for unit in from_hand(codec, 10, dice) for item in (*happening(dice), unit)]
    assert split(codec, join(items), actions=True) == items
    for target in TARGETS.values():
        target(codec, dice.randbytes(400))


@pytest.mark.parametrize('value', [float('nan'), float('inf'), 1e9])
def test_a_number_that_cannot_be_is_found(value):
    side = HostSide('v4_can')
    side.session.decode = lambda unit: Sample(np.full(16, value))
    with pytest.raises(Breach):
        side.feed(b'')


def test_a_codec_that_breaks_is_found(monkeypatch):
    monkeypatch.setattr(
        'allegro_driver.protocol.can_session.CanSession._temperatures', lambda *_: [][0])
    row = decode_all('v4_can', 'host', 20000, random.Random(1))
    assert 'IndexError' in row.crash
    assert row.units < 20000


def test_torque_where_none_belongs_is_found():
    loop = ClosedLoop('v4_can')
    effort = loop.model.torque_limit * 0.5
    with loop.clock.installed():
        loop.hand.hardware.write(effort)
        loop.hand.enable(False)
        with pytest.raises(Breach, match='torque in state'):
            loop.hand.hardware.write(effort)


def test_torque_beyond_the_clamp_is_found(monkeypatch):
    loop = ClosedLoop('v4_can')
    session = loop.hand.hardware._session
    session._bounds = tuple((per_nm, clamp + 1) for per_nm, clamp in session._bounds)
    with loop.clock.installed(), pytest.raises(Breach, match='beyond the clamp'):
        loop.hand.hardware.write(loop.model.torque_limit * 1.5)


def test_torque_left_in_a_fault_is_found():
    loop = ClosedLoop('v4_can')
    loop.hand.hardware.halt = lambda: None
    loop.hand.hardware.write, write = (lambda effort: None), loop.hand.hardware.write
    with loop.clock.installed():
        write(loop.model.torque_limit * 0.5)
    with pytest.raises(Breach, match='left in a fault'):
        loop.feed([(Action.SILENCE, 0)])


@pytest.mark.parametrize('codec', ONBOARD)
def test_a_link_that_breaks_while_the_hand_has_its_own_loop(codec):
    """Found by fuzzing: the position loop could not be switched off at once; it must be as soon as the link carries."""
    loop = ClosedLoop(codec, 'onboard')
    samples = [unit for _ in range(40) for unit in loop.link._measurement()]
    loop.feed([(Action.POSE, 128), *samples, (Action.POSE, 100)])
    assert loop.heard.positioning
    loop.link.broken = 7
    loop.feed([(Action.SILENCE, 0)])
    assert loop.hand.state is State.FAULT
    loop.feed([unit for _ in range(40) for unit in loop.link._measurement()])
    assert not loop.heard.positioning
    assert not any(loop.heard.torque)
    loop.feed([(Action.CLEAR, 0)])
    assert loop.hand.state is State.HOLD


@pytest.mark.parametrize('codec', ['v4_can', 'plexus_can', 'v5b2'])
def test_what_strangers_say_changes_nothing(codec):
    result = strangers(codec, 150, 1)
    assert result.changed == ()
    assert result.counted == result.sent == 150


def test_the_command_prints_a_table_and_judges(capsys, monkeypatch):
    arguments = ['--codec', 'v4_can', '--target', 'host', '--count', '2000', '--foreign', '0']
    assert main(arguments) == 0
    assert '| v4_can | host | 2000 |' in capsys.readouterr().out
    monkeypatch.setattr('allegro_driver.protocol.can_session.CanSession._position', lambda *_: 1 / 0)
    assert main(arguments) == 1
    assert 'ZeroDivisionError' in capsys.readouterr().out


# Guided by coverage: without Atheris, which is no dependency; a stand-in that tries the recordings ------------------

STAND_IN = """
import contextlib, pathlib, sys
def instrument_imports(include):
    return contextlib.nullcontext()
def Setup(arguments, one):
    global options, corpus, call
    options, corpus, call = dict(a[1:].split('=') for a in arguments[1:-1]), pathlib.Path(arguments[-1]), one
def Fuzz():
    prefix = pathlib.Path(options['artifact_prefix'])
    found = sorted(corpus.iterdir())
    print('#2 INITED cov: 7 ft: 9 corp: 2/3b')
    for path in found:
        call(path.read_bytes())
    print('#9 NEW cov: 11 ft: 20 corp: 5/9b')
    if not list(prefix.parent.iterdir()):
        pathlib.Path(f'{prefix}crash-1').write_bytes(b'\\xab\\xcd')
        print('ZeroDivisionError: of the stand-in')
        sys.exit(77)
"""


@pytest.fixture
def stand_in(tmp_path, monkeypatch):
    (tmp_path / 'atheris.py').write_text(STAND_IN)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv('PYTHONPATH', str(tmp_path), prepend=os.pathsep)
    return tmp_path


def test_a_guided_run_goes_on_after_a_crash_and_tells_it(stand_in, capsys):
    keep = stand_in / 'keep'
    assert main(['--guided', '6', '--codec', 'v4_can', '--target', 'host', '--keep', str(keep)]) == 1
    printed = capsys.readouterr().out
    (row,) = (line for line in printed.splitlines() if line.startswith('| v4_can | host'))
    cells = [cell.strip() for cell in row.split('|')]
    inputs, units, edges, crashes, verdict = cells[4], cells[5], cells[6], cells[8], cells[9]
    assert (int(inputs), edges, crashes, verdict) == (80, '7 → 11', '1', 'BROKEN')  # the recordings, twice
    assert int(units) > 10 * int(inputs)
    assert 'ZeroDivisionError: of the stand-in' in printed
    assert 'input: abcd' in printed
    assert main(['--guided', '1', '--codec', 'v4_can', '--target', 'host', '--keep', str(keep)]) == 0
    assert '0 crashes' in capsys.readouterr().out


def test_without_atheris_the_command_says_how(monkeypatch, capsys):
    monkeypatch.setattr('allegro_driver.evidence.fuzz_guided.find_spec', lambda _: None)
    assert main(['--guided', '1']) == 2
    assert HOW in capsys.readouterr().err
