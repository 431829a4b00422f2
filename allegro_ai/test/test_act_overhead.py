"""The evidence of what a step costs measures what it says, and the checks it is made of refuse what they must."""

import numpy as np
import pytest
from allegro_ai.action import all_finite
from allegro_ai.bundle import available_bundles, load_bundle
from allegro_ai.evidence import act_overhead
from allegro_description.model import load_hand


def test_both_calls_are_timed_in_turns_and_the_step_contains_the_engine(monkeypatch):
    monkeypatch.setattr(act_overhead, 'BLOCK', 10)
    bundle = load_bundle(available_bundles()[0], load_hand())
    order = []
    times = act_overhead.interleaved((lambda: order.append(0), lambda: order.append(1)), 2, 0.0)
    assert order == [k for k in [0, 1, 1, 0, 0, 1, 1, 0] for _ in range(act_overhead.BLOCK)]
    assert times[0].shape == times[1].shape == (4, act_overhead.BLOCK)
    for whole in (True, False):
        rows = act_overhead.measure(bundle, rounds=2, paced_rounds=1, whole=whole)
        assert [(r['how'], r['step']) for r in rows] == [(how, step) for how in ('back to back', 'at 50 Hz')
                                                         for step in ('act', 'tick')]
        for row in rows:
            assert row['step_us'] > 0
            assert row['ratio'] > (0.5 if whole else 1)  # operators are folded, so act may be cheaper than bare
            assert row['ratio_95'][0] <= row['ratio'] <= row['ratio_95'][1]


def test_the_ratio_is_one_of_medians():
    found = act_overhead.compared(np.full((4, 3), 2.0), np.full((4, 3), 3.0))
    assert found['ratio'] == pytest.approx(1.5)
    assert found['ratio_95'] == [pytest.approx(1.5)] * 2


@pytest.mark.parametrize('bad', [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize('shape', [(1, 1), (1, 16), (64, 16)])
def test_what_is_not_finite_is_found_anywhere(bad, shape):
    for kind in (np.float32, np.float64):
        values = np.full(shape, np.finfo(kind).max, dtype=kind)
        assert all_finite(values)
        assert all_finite(-values)
        for place in {0, values.size // 2, values.size - 1}:
            values.flat[place], kept = bad, values.flat[place]
            assert not all_finite(values)
            assert not all_finite(np.asfortranarray(values))
            values.flat[place] = kept
