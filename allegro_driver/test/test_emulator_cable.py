"""Faults of any link, seen by a wire that writes down: the cable, without a wire."""

from __future__ import annotations

import itertools
import random
import struct

import pytest
from allegro_description.model import load_hand
from allegro_driver.emulator.cable import Cable
from allegro_driver.emulator.can_faults import forge_frame, junk_frame, spoil_frame
from allegro_driver.emulator.faults import FaultSet
from allegro_driver.protocol.can_frames import CanFrame
from hypothesis import given
from hypothesis import strategies as st

V5 = load_hand('v5_b', 'right')


class Ledger:
    """A wire that writes down what is sent and hands out what was put in."""

    kind, bus_off = 'can', False

    def __init__(self):
        self.sent, self.waiting = [], []

    def receive(self):
        return (self.waiting.pop(0), None) if self.waiting else None

    def send(self, unit, to, forged=False):
        self.sent.append((unit, forged))
        return True

    def spoil(self, unit, dice):
        return spoil_frame(unit, dice)

    def junk(self, dice):
        return junk_frame(dice)

    def forge(self, unit):
        return forge_frame(unit)


def frames(count):
    return [CanFrame(0x080, struct.pack('<Q', n)) for n in range(count)]


def through(fault, value=None, count=400, at=1.0):
    """What arrives of so many frames, in order."""
    wire, faults = Ledger(), FaultSet(V5, 1)
    cable = Cable(wire, faults)
    faults.inject(fault, value)
    for unit in frames(count):
        cable.send(unit, None, at)
    cable.flush(at)
    return [unit for unit, _ in wire.sent], wire, cable


def test_no_fault_changes_nothing():
    wire = Ledger()
    cable = Cable(wire, FaultSet(V5))
    for unit in frames(50):
        cable.send(unit, None, 0.0)
    cable.flush(0.0)
    assert [unit for unit, _ in wire.sent] == frames(50)
    assert cable.due is None


def test_drop_loses_a_share_in_both_directions():
    got, wire, cable = through('drop', 0.25)
    assert 250 < len(got) < 350
    wire.waiting = frames(400)
    heard = [cable.receive() for _ in range(400)]
    assert 50 < sum(unit is None for unit, _ in heard) < 150
    assert cable.counts['received'] == 400
    assert cable.counts['lost'] == (400 - len(got)) + sum(unit is None for unit, _ in heard)
    assert cable.receive() is None


def test_delay_holds_everything_back_for_so_long():
    got, wire, cable = through('delay', 50, count=3, at=1.0)
    assert got == []
    assert cable.due == pytest.approx(1.05)
    cable.flush(1.049)
    assert wire.sent == []
    cable.flush(1.051)
    assert [unit for unit, _ in wire.sent] == frames(3)


def test_duplicate_sends_a_share_twice():
    got, _, _ = through('duplicate', 0.5)
    assert 550 < len(got) < 650
    assert sorted(set(got)) == sorted(frames(400))
    numbers = [struct.unpack('<Q', unit.data)[0] for unit in got]
    assert all(b - a in (0, 1) for a, b in itertools.pairwise(numbers))


def test_reorder_swaps_neighbours_and_loses_nothing():
    got, _, _ = through('reorder', 0.5)
    numbers = [struct.unpack('<Q', unit.data)[0] for unit in got]
    assert sorted(numbers)[:-1] == list(range(len(numbers) - 1))  # the last one may still be held back
    assert len(numbers) >= 399
    assert 0 < sum(a > b for a, b in itertools.pairwise(numbers)) < 300
    assert all(abs(n - place) <= 1 for place, n in enumerate(numbers))


def test_corrupt_changes_one_place():
    got, _, _ = through('corrupt', 1.0)
    changed = list(zip(got, frames(400), strict=True))
    assert all(a != b for a, b in changed)
    assert {a.identifier != b.identifier for a, b in changed} == {True, False}
    assert {len(a.data) != len(b.data) for a, b in changed} == {True, False}


def test_wrong_peer_adds_frames_of_another_device_number_with_other_contents():
    got, _, _ = through('wrong_peer', count=10)
    assert len(got) == 20
    own = [unit for unit in got if unit.identifier == 0x080]
    assert own == frames(10)
    assert all(unit.identifier == 0x081 for unit in got if unit not in own)
    assert not {unit.data for unit in got if unit not in own} & {unit.data for unit in own}


def test_flood_sends_junk_at_its_rate():
    _, wire, cable = through('flood', 1000, count=0)
    for step in range(1, 101):
        cable.flush(1.0 + 0.005 * step)
    assert len(wire.sent) == pytest.approx(500, abs=300)  # the first turn may bring a burst
    before = len(wire.sent)
    for step in range(101, 201):
        cable.flush(1.0 + 0.005 * step)
    assert len(wire.sent) - before == pytest.approx(500, abs=2)
    assert all(unit.identifier >= 0x400 for unit, _ in wire.sent)


def test_bus_off_lets_nothing_through_and_forgets_nothing_else():
    got, wire, cable = through('bus_off')
    assert got == []
    wire.waiting = frames(3)
    assert [cable.receive()[0] for _ in range(3)] == [None] * 3
    assert wire.bus_off
    assert cable.counts['lost'] == 403


@given(st.integers(0, 2047), st.binary(max_size=8), st.integers(0, 2**31))
def test_spoilt_frames_differ_and_are_frames(identifier, data, seed):
    frame = CanFrame(identifier, data)
    spoilt = spoil_frame(frame, random.Random(seed))
    assert spoilt != frame
    assert 0 <= spoilt.identifier < 2048
    assert len(spoilt.data) <= 8
