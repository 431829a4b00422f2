"""What every energy meter has to keep, whatever it reads: known joules, named faults, and never a wrong number."""

import json

import pytest
from allegro_bench.evidence.fake_meters import FAKES
from allegro_bench.evidence.fake_source import Load, Stage
from allegro_bench.meters import METERS
from allegro_bench.meters.meter import BOUNDARIES, KINDS, QUALITIES, headline, window_joules
from allegro_bench.meters.sampled import window_error
from allegro_description.errors import AllegroError, ConfigError

SECONDS = 35.0  # five periods of the load


@pytest.fixture(params=FAKES, ids=lambda kind: kind.__name__)
def stage(request, tmp_path):
    found = Stage(request.param, tmp_path / 'tree')
    yield found
    found.close()


def sample(stage):
    return stage.read()[stage.fake.channel]


def window(stage, seconds):
    before = sample(stage)
    stage.run(seconds)
    after = sample(stage)
    return window_joules(before, after), after.problem


def test_every_built_in_meter_has_a_fake(tmp_path):
    stages = [Stage(kind, tmp_path / kind.__name__) for kind in FAKES]
    drivers = {channel.driver for stage in stages for channel in stage.channels}
    for stage in stages:
        stage.close()
    # A log is tested with files of its own; none reads nothing.
    assert drivers | {'csv', 'none'} >= {name for name in METERS.names() if METERS.load(name).__module__.startswith(
        'allegro_bench.')}


def test_it_says_what_it_measures(stage):
    channels = {c.id: c for c in stage.channels}
    assert stage.fake.channel in channels
    assert len(channels) == len(stage.channels)
    assert stage.reason == ''
    assert stage.guard_s >= 0.1, 'sources of power at most ten times per second'
    for channel in channels.values():
        assert channel.boundary in BOUNDARIES
        assert channel.kind in KINDS
        assert channel.quality in QUALITIES
        assert (channel.quality == 'estimated') == (channel.kind == 'model')
        assert channel.driver in METERS.names()
        assert channel.unit_raw
        assert channel.path_or_device
        assert json.loads(json.dumps(channel.as_dict()))['id'] == channel.id
        assert channel.id not in channel.overlaps
        for other in channel.overlaps:
            assert channel.id in channels[other].overlaps, 'sharing joules is mutual'
    assert set(stage.read()) == set(channels)
    shown = headline(stage.channels)
    assert shown[0] == stage.fake.channel, 'the whole comes first'


def test_known_joules(stage):
    joules, problem = window(stage, SECONDS)
    known = stage.load.joules(stage.now) - stage.load.joules(stage.now - SECONDS)
    channel = next(c for c in stage.channels if c.id == stage.fake.channel)
    # The source's own step, and a trapezoid over each edge of the load.
    allowed = 0.005 * known + stage.load.pulse_w * max(stage.fake.period_s, stage.guard_s < 10) * 0.5
    assert problem == ''
    assert joules == pytest.approx(known, abs=allowed)
    error = window_error(channel, SECONDS)
    assert error is None or error > 0


def test_sums_begin_at_zero_and_never_fall(stage):
    sums = [sample(stage).joules]
    assert sums[0] == 0.0
    for _ in range(40):
        stage.run(0.7)
        sums.append(sample(stage).joules)
    assert sums == sorted(sums)


def test_windows_add_up(stage):
    first = sample(stage)
    stage.run(7.0)
    middle = sample(stage)
    stage.run(14.0)
    last = sample(stage)
    assert window_joules(first, middle) + window_joules(middle, last) == pytest.approx(window_joules(first, last))
    assert [s.t_ns for s in (first, middle, last)] == sorted({s.t_ns for s in (first, middle, last)})


@pytest.mark.parametrize('how', ['vanish', 'garble'])
def test_what_cannot_be_read_is_no_energy_and_the_next_window_is_good(stage, how):
    before = sample(stage)
    stage.run(7.0)
    getattr(stage.fake, how)()
    stage.frozen = True
    stage.sleep(0.05)
    broken = sample(stage)
    assert window_joules(before, broken) is None
    assert broken.problem
    assert '\n' not in broken.problem
    stage.frozen = False
    stage.sleep(8.0)  # longer than a meter of a network rests after no answer
    again = sample(stage)
    stage.run(7.0)
    joules = window_joules(again, sample(stage))
    assert joules == pytest.approx(stage.load.joules(stage.now) - stage.load.joules(stage.now - 7.0), rel=0.08)
    assert sample(stage).joules < stage.load.joules(stage.now), 'nothing is made up for the hole'


def test_a_source_that_stands_still_is_no_energy(stage):
    if not stage.fake.freezes:
        pytest.skip('an idle machine looks the same')
    before = sample(stage)
    stage.run(7.0)
    stage.frozen = True
    stage.run(400.0 if 'battery' in stage.fake.channel else 60.0)
    after = sample(stage)
    assert window_joules(before, after) is None
    assert 'frozen' in after.problem


def test_a_counter_that_jumps_back_is_no_energy(stage):
    if not stage.fake.counts:
        pytest.skip('states power')
    stage.run(7.0)
    before = sample(stage)
    stage.fake.offset_j -= 500.0
    stage.run(1.0)
    assert window_joules(before, sample(stage)) is None
    assert 'jumped' in sample(stage).problem


def test_closing_twice_is_harmless(stage):
    stage.close()
    stage.close()


@pytest.mark.parametrize('kind', FAKES, ids=lambda kind: kind.__name__)
def test_one_sentence_where_it_cannot_work(kind, tmp_path):
    fake = kind(tmp_path / 'tree', lambda: 0.0)
    fake.show(0.0, 1.0)
    fake.vanish()
    if kind.__name__ == 'FakeZeus':
        fake.code = 'import time; time.sleep(0)'
    with pytest.raises(ConfigError) as found:
        fake.open()
    assert len(str(found.value)) > 20
    assert '\n' not in str(found.value)
    assert issubclass(found.type, AllegroError)


def test_the_load_is_what_it_says():
    load, pitch = Load(), 0.001
    by_sum = sum(load.watts((k + 0.5) * pitch) for k in range(20_000)) * pitch
    assert load.joules(20.0) == pytest.approx(by_sum, rel=1e-4)
