"""Laws of touch processing: baseline, validity, drift, contact, and what no input may do to it."""

import dataclasses
import math

import numpy as np
import pytest
from allegro_description.errors import CommandRefused, ConfigError
from allegro_description.model import available_hands, load_hand
from allegro_driver.config import TouchConfig
from allegro_driver.tactile import TactilePipeline
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

HAND = load_hand()
N = len(HAND.taxels)
NAMES = [t.name for t in HAND.taxels]
TIP = NAMES.index('index_tip')
CEILING = HAND.actuation.tactile_saturation_pa
STEP = 6_000_000  # ns
PLAIN = TouchConfig(filter_hz=0.0, drift_s=0.0, tare_samples=10)


class Feed:
    """Feeds samples at 6 ms; remembers the last frame."""

    def __init__(self, config=PLAIN, rest=400.0):
        self.pipeline, self.stamp, self.rest = TactilePipeline(HAND, config), 1_000_000_000, rest
        self.frame = None
        self.hold(0.06)

    def sample(self, raw):
        self.stamp += STEP
        self.frame = self.pipeline.update(self.stamp, np.asarray(raw, dtype=np.float64))
        return self.frame

    def hold(self, seconds, **cells):
        raw = np.full(N, self.rest)
        for name, value in cells.items():
            raw[NAMES.index(name)] = value
        for _ in range(round(seconds / (STEP * 1e-9))):
            self.sample(raw)
        return self.frame


def test_nothing_is_valid_before_the_first_baseline_and_zero_after_it():
    pipeline = TactilePipeline(HAND, PLAIN)
    for k in range(9):
        frame = pipeline.update(STEP * (k + 1), np.full(N, 700.0))
        assert not frame.valid.any()
        assert not frame.pressure.any()
    assert math.isnan(pipeline.status().baseline_age_s)
    frame = pipeline.update(STEP * 10, np.full(N, 700.0))
    assert frame.valid.all()
    assert not frame.pressure.any()
    np.testing.assert_array_equal(pipeline.baseline, np.full(N, 700.0))


def test_pressure_is_what_comes_on_top():
    feed = Feed()
    frame = feed.hold(0.02, index_tip=9400.0)
    expected = np.zeros(N)
    expected[TIP] = 9000.0
    np.testing.assert_array_equal(frame.pressure, expected)
    assert frame.valid.all()
    with pytest.raises(ValueError, match='read-only'):
        frame.pressure[0] = 1.0


def test_a_touched_cell_is_not_zeroed_but_will_be_once_it_is_let_go():
    raw = np.full(N, 400.0)
    raw[TIP] = 20000.0
    pipeline, stamp = TactilePipeline(HAND, PLAIN), 0
    for _ in range(10):
        stamp += STEP
        frame = pipeline.update(stamp, raw)
    assert pipeline.status().untared == ('index_tip',)
    assert not frame.valid[TIP]
    assert frame.valid.sum() == N - 1
    raw[TIP] = 500.0
    for _ in range(20):
        stamp += STEP
        frame = pipeline.update(stamp, raw)
    assert frame.valid.all()
    assert pipeline.baseline[TIP] == 500.0


def test_tare_on_request_tells_what_it_left_alone():
    feed = Feed()
    feed.hold(0.1, index_tip=20000.0, palm=900.0, ring_tip=np.nan)
    report = feed.pipeline.tare()
    assert report.touched == ('index_tip',)
    assert report.missing == ('ring_tip',)
    assert not report.complete
    assert 'index_tip' in str(report)
    assert feed.pipeline.baseline[TIP] == 400.0
    assert feed.pipeline.baseline[0] == 900.0
    feed.hold(0.1)
    assert feed.pipeline.tare().complete
    with pytest.raises(CommandRefused):
        TactilePipeline(HAND, PLAIN).tare()


@pytest.mark.parametrize('value', [np.nan, np.inf, -np.inf, -1.0])
def test_a_missing_reading_is_invalid_and_comes_back(value):
    feed = Feed()
    feed.hold(0.02, index_tip=5000.0)
    frame = feed.hold(0.006, index_tip=value)
    assert not frame.valid[TIP]
    assert frame.pressure[TIP] == 0.0
    assert feed.pipeline.status().missing == ('index_tip',)
    assert not feed.pipeline.contact[TIP]
    frame = feed.hold(0.006, index_tip=5000.0)
    assert frame.valid[TIP]
    assert frame.pressure[TIP] == 4600.0


def test_saturation_shows_the_ceiling_but_is_not_valid():
    feed = Feed()
    frame = feed.hold(0.02, index_tip=CEILING)
    assert not frame.valid[TIP]
    assert frame.pressure[TIP] == CEILING - 400.0
    assert feed.pipeline.status().saturated == ('index_tip',)
    assert feed.pipeline.contact[TIP]


def test_a_fall_from_high_to_nothing_is_an_overload_until_a_reading_returns():
    feed = Feed()
    feed.hold(0.02, index_tip=0.8 * CEILING)
    frame = feed.hold(0.3, index_tip=0.0)
    assert not frame.valid[TIP]
    assert frame.pressure[TIP] == CEILING - 400.0
    frame = feed.hold(0.006, index_tip=60000.0)
    assert frame.valid[TIP]
    assert frame.pressure[TIP] == 59600.0


def test_an_overload_that_never_comes_back_counts_as_let_go():
    feed = Feed()
    feed.hold(0.02, index_tip=0.8 * CEILING)
    assert not feed.hold(0.9, index_tip=0.0).valid[TIP]
    frame = feed.hold(0.3, index_tip=0.0)
    assert frame.valid[TIP]
    assert frame.pressure[TIP] == 0.0


def test_letting_go_is_no_overload():
    feed = Feed()
    for value in np.linspace(0.8 * CEILING, 0.0, 8):
        assert feed.hold(0.006, index_tip=value).valid[TIP]
    feed.hold(0.02, index_tip=0.3 * CEILING)
    assert feed.hold(0.006, index_tip=0.0).valid[TIP]


def test_a_touched_cell_that_stands_still_for_long_is_frozen_an_untouched_one_is_not():
    feed = Feed(TouchConfig(filter_hz=0.0, drift_s=0.0, tare_samples=10, frozen_after_s=1.0))
    assert feed.hold(0.9, index_tip=5000.0).valid.all()
    frame = feed.hold(0.3, index_tip=5000.0)
    assert feed.pipeline.status().frozen == ('index_tip',)
    assert not frame.valid[TIP]
    assert frame.valid.sum() == N - 1
    assert feed.hold(0.006, index_tip=5100.0).valid[TIP]


def test_cells_that_never_change_are_listed_but_stay_valid():
    feed = Feed()
    assert feed.hold(0.05, index_tip=500.0).valid.all()
    assert feed.pipeline.status().silent == tuple(n for n in NAMES if n != 'index_tip')


def test_the_baseline_of_idle_fingers_follows_drift_that_of_touching_ones_stands():
    feed = Feed(TouchConfig(filter_hz=0.0, tare_samples=10, drift_s=1.0))
    drifted = dict.fromkeys(NAMES, 900.0) | {'index_tip': 8000.0}
    frame = feed.hold(5.0, **drifted)
    index = [i for i, t in enumerate(HAND.taxels) if t.finger == 'index' and i != TIP]
    others = [i for i, t in enumerate(HAND.taxels) if t.finger != 'index']
    np.testing.assert_allclose(frame.pressure[others], 0.0, atol=5.0)
    np.testing.assert_array_equal(frame.pressure[index], 500.0)
    assert frame.pressure[TIP] == 7600.0


def test_contact_has_hysteresis():
    feed = Feed()
    seen = []
    for pressure in (1400, 1600, 1200, 900, 1200, 1600):
        feed.hold(0.006, index_tip=400.0 + pressure)
        seen.append(bool(feed.pipeline.contact[TIP]))
    assert seen == [False, True, True, False, False, True]


def test_the_filter_smooths_noise_without_turning_it_into_pressure():
    config = TouchConfig(drift_s=0.0, filter_hz=5.0, tare_samples=50)
    rng = np.random.default_rng(1)
    pipeline, last = TactilePipeline(HAND, config), []
    for k in range(1, 1000):
        frame = pipeline.update(k * STEP, 1000.0 + rng.normal(0.0, 100.0, N))
        if k > 300:
            last.append(frame.pressure)
    # Rectified before the filter, noise of 100 Pa would look like a steady 40 Pa.
    assert np.mean(last) < 25.0


def test_a_gap_restarts_filter_and_contact_and_keeps_the_baseline():
    feed = Feed(TouchConfig(drift_s=0.0, filter_hz=1.0, tare_samples=10))
    feed.hold(0.5, index_tip=1700.0)
    before = feed.pipeline.baseline
    feed.stamp += 1_000_000_000
    frame = feed.hold(0.006, index_tip=3400.0)
    assert frame.pressure[TIP] == 3000.0
    np.testing.assert_array_equal(feed.pipeline.baseline, before)


def test_wrong_sizes_and_thresholds_are_refused():
    with pytest.raises(ConfigError):
        Feed().pipeline.update(0, np.zeros(N - 1))
    with pytest.raises(ConfigError):
        TactilePipeline(HAND, TouchConfig(contact_on_pa=100.0, contact_off_pa=200.0))


@pytest.mark.parametrize('name', available_hands())
def test_thresholds_of_zero_are_those_of_the_hand(name):
    hand = load_hand(*name.rsplit('_', 1))
    if not hand.taxels:
        with pytest.raises(ConfigError, match='no taxels'):
            TactilePipeline(hand)
        return
    pipeline, idle, on = TactilePipeline(hand), np.zeros(len(hand.taxels)), hand.touch['contact_on_pa']
    stamp = 0
    for raw, touched in ((idle, False), (idle + 0.9 * on, False), (idle + 1.2 * on, True)):
        for _ in range(200):
            stamp += 3_000_000
            pipeline.update(stamp, raw)
        assert pipeline.contact.all() == touched
        assert pipeline.contact.any() == touched


def test_a_hand_described_without_thresholds_needs_them_as_parameters():
    bare = dataclasses.replace(HAND, touch={})
    with pytest.raises(ConfigError, match='contact_on_pa'):
        TactilePipeline(bare)
    TactilePipeline(bare, TouchConfig(tare_limit_pa=3000.0, contact_on_pa=1500.0, contact_off_pa=1000.0))


readings = hnp.arrays(np.float64, N, elements=st.one_of(
    st.floats(-1e3, 2e5), st.sampled_from([0.0, CEILING, math.nan, math.inf, -math.inf])))


@settings(max_examples=60)
@given(st.lists(st.tuples(st.integers(-20_000_000, 2_000_000_000), readings), min_size=1, max_size=40))
def test_no_sequence_of_readings_breaks_the_promises(samples):
    pipeline, stamp = TactilePipeline(HAND, TouchConfig(tare_samples=5, drift_s=0.5)), 10**12
    for step, raw in samples:
        stamp += step
        frame = pipeline.update(stamp, raw)
        assert frame.stamp_ns == stamp
        assert np.isfinite(frame.pressure).all()
        assert (frame.pressure >= 0.0).all()
        usable = np.isfinite(raw) & (raw >= 0.0) & (raw < CEILING)
        assert not (frame.valid & ~usable).any()
        assert not (pipeline.contact & ~usable & (raw != CEILING) & ~(raw > CEILING)).any()
        assert not np.isinf(pipeline.baseline).any()
