"""Cycles of CAN hands: a sample never mixes two, and readings that stop are forgotten."""

from __future__ import annotations

import math

import numpy as np
import pytest
from allegro_driver.protocol.assembly import PATIENCE, FingerSet, LooseFingerSet, NewestReadings
from can_pairs import last, pair
from hypothesis import given, settings
from hypothesis import strategies as st

# --- cycles -----------------------------------------------------------------------------------------------------------

SLICES = tuple(slice(k, k + 1) for k in range(4))


@settings(max_examples=300, deadline=None)
@given(st.sampled_from([0, 3]), st.lists(st.sampled_from('kkkkkdt'), min_size=8, max_size=60))
def test_a_sample_never_mixes_cycles(first, fates):
    """k: the frame arrives, t: it arrives twice, d: it is lost, but never four in a row."""
    fingers = FingerSet(SLICES, first)
    lost_in_a_row = complete = 0
    whole = {}
    for number, fate in enumerate(fates):
        cycle, finger = number // 4, (first + number) % 4
        lost_in_a_row = lost_in_a_row + 1 if fate == 'd' else 0
        if lost_in_a_row == 4:
            fate, lost_in_a_row = 'k', 0
        whole[cycle] = whole.get(cycle, True) and fate != 'd'
        for _ in range({'k': 1, 't': 2, 'd': 0}[fate]):
            if fingers.add(finger, (cycle,)):
                complete += 1
                assert fingers.counts == [cycle] * 4
    cycles = len(fates) // 4
    assert complete == sum(whole[c] for c in range(cycles))  # and no whole cycle is wasted


def test_incomplete_cycles_are_counted():
    session, hand = pair('v4_right')
    frames = hand.position(np.zeros(16))
    assert last(session, [*frames, *frames[1:], frames[0], frames[1], *frames]) is not None
    assert session.incomplete == 2


def test_a_cycle_does_not_outlive_the_conversation():
    session, hand = pair('v4_right')
    old, new = hand.position(np.zeros(16)), hand.position(np.ones(16))
    last(session, old[:2])
    session.stream()
    assert last(session, new[2:]) is None
    assert last(session, new).position == pytest.approx(np.ones(16), abs=1e-4)


def test_any_order_will_do_if_the_description_says_so():
    session, hand = pair('v4_right', finger_order='any')
    frames = hand.position(np.arange(16.0) / 10)
    assert last(session, [frames[k] for k in (2, 0, 3, 1)]).position == pytest.approx(np.arange(16) / 10, abs=1e-4)
    assert last(session, [frames[0], frames[0], *frames[1:]]) is not None
    assert session.incomplete == 1
    loose = LooseFingerSet(SLICES)
    assert not any(loose.add(k, (1,)) for k in (0, 1, 2))
    loose.clear()
    assert not loose.add(3, (2,))


def test_thumb_first():
    session, hand = pair('v4_right', finger_order='thumb_first')
    old, new = hand.position(np.zeros(16)), hand.position(np.ones(16))
    assert last(session, [*old[:3], new[3], *new[:3]]).position == pytest.approx(np.ones(16), abs=1e-4)


# --- what comes beside positions -----------------------------------------------------------------------------------


def test_readings_that_stop_are_forgotten():
    session, hand = pair('v5_sense_right')
    first, second = hand.tactile(np.full(16, 4000.0))
    last(session, [first, second, *hand.current(np.full(16, 50.0))])
    at_rest = hand.position(np.zeros(16))
    for _ in range(PATIENCE):
        sample = last(session, [*at_rest[:-1], first, at_rest[-1]])
        assert np.isfinite(sample.tactile).all()
        assert sample.current_ma is not None
    sample = last(session, [*at_rest[:-1], first, at_rest[-1]])
    np.testing.assert_array_equal(sample.tactile, [*[4000.0] * 8, *[math.nan] * 8])
    assert sample.current_ma is None
    session.quiet()
    assert last(session, at_rest).tactile is None


def test_unchanged_readings_are_the_same_array():
    readings = NewestReadings(2, [(0, 1)])
    readings.put(0, (1.0, 2.0))
    once = readings.take()
    assert readings.take() is once
    assert not once.flags.writeable
    readings.put(0, (3.0, 4.0))
    assert once.tolist() == [1.0, 2.0]  # samples that were given away stay as they were
