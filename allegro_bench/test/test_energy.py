"""Joules of blocks: the recorder as the single owner, marks around blocks, faults in words, and none where none is."""

import math
import threading
import time

import pytest
from allegro_bench.config import ProfilerConfig
from allegro_bench.energy import EnergyRecorder, meter_overhead, together, window
from allegro_bench.evidence import known_joules
from allegro_bench.evidence.fake_meters import FakeNvml, FakeShelly
from allegro_bench.evidence.fake_source import Load, Stage
from allegro_bench.evidence.fake_sysfs import RANGE_UJ, FakeHwmonPower, FakeIna3221, FakePowercap, FakeStat
from allegro_bench.live import Live
from allegro_bench.meters.meter import Channel, Sample, headline
from allegro_bench.meters.none import NoMeter
from allegro_bench.meters.powercap import PowercapMeter
from allegro_bench.meters.sampled import SampledPower
from allegro_bench.results.document import new_document
from allegro_bench.results.summary import summarise
from allegro_bench.session import Session
from allegro_description.model import load_hand
from hypothesis import given
from hypothesis import strategies as st

from allegro_bench import carbon


@pytest.mark.parametrize('kind', [FakePowercap, FakeIna3221, FakeNvml], ids=lambda kind: kind.__name__)
def test_known_joules_through_the_whole_pipeline(kind, tmp_path):
    """Show 2: a fake powercap tree that wraps inside a block, a fake INA3221, a stub NVML that steps every 100 ms."""
    row = known_joules.measured(kind, tmp_path)
    assert row['error'] == pytest.approx(0.0, abs=0.005)
    assert row['wrapped'] == (kind is FakePowercap)
    if row['wrapped']:
        raw = int((tmp_path / 'tree' / FakePowercap.base / 'energy_uj').read_text())
        assert raw < RANGE_UJ / 100, 'the raw counter did begin anew'
    assert row['carbon'] is None, 'no country, no gram'
    for block in row['document']['blocks']:
        assert block['energy_problems'] == {}
        first, last, *_ = block['energy_marks'][row['meter']]
        assert first <= block['t0_monotonic_ns']
        assert last >= block['t0_monotonic_ns'] + round(block['duration_s'] * 1e9)
    assert f'`{row["meter"]}`' in known_joules.table([row])


def test_without_a_meter_there_is_none_everywhere_and_no_gram(tmp_path):
    """Show 2, second half."""
    recorder = EnergyRecorder([NoMeter('nothing found')])
    before = recorder.mark()
    found = recorder.window(before, recorder.mark(), 0, 1).as_block()
    assert found == {'energy_j': {}, 'energy_window_s': None, 'energy_marks': {}, 'energy_problems': {}}
    assert recorder.reason == 'nothing found'
    assert recorder.channels == ()
    assert recorder.poll() > 3600.0 - 1.0, 'nothing to do in the background'
    recorder.close()

    row = known_joules.measured(FakePowercap, tmp_path, blocks=1)
    document = row['document']
    document['meters'] = []
    for block in document['blocks']:
        block |= found
    document['run']['carbon_intensity'] = carbon.intensity_of('DE').as_dict()
    entry = summarise(document, tmp_path)[0][0]
    assert entry['energy'] == {}
    assert entry['carbon'] is None, 'a country alone makes no gram'
    document = new_document()
    assert document['meters'] == []


def test_an_estimate_makes_no_gram(tmp_path):
    row = known_joules.measured(FakeStat, tmp_path, blocks=1)
    document = row['document']
    document['run']['carbon_intensity'] = carbon.intensity_of('DE').as_dict()
    entry = summarise(document, tmp_path)[0][0]
    assert entry['energy']['estimate']['quality'] == 'estimated'
    assert entry['carbon'] is None


def made(kind, tmp_path, **more):
    stage = Stage(kind, tmp_path / kind.__name__, **more)
    return stage, EnergyRecorder([stage], clock=lambda: stage.now, sleep=stage.sleep)


def elapse(stage, recorder, seconds):
    end = stage.now + seconds
    while stage.now < end - 1e-9:
        stage.sleep(min(max(recorder.poll(), 1e-6), end - stage.now))
    recorder.poll()


def test_a_reading_from_another_window_is_no_energy(tmp_path):
    stage, recorder = made(FakePowercap, tmp_path)
    idle = recorder.mark()
    elapse(stage, recorder, 30.0)
    before, begin = recorder.mark(), round(stage.now * 1e9)
    elapse(stage, recorder, 15.0)
    middle = recorder.mark()
    elapse(stage, recorder, 15.0)
    end, after = round(stage.now * 1e9), recorder.mark()
    name = 'package-0'
    assert recorder.window(before, after, begin, end).joules[name] == pytest.approx(
        stage.load.joules(60.0) - stage.load.joules(30.0), rel=1e-3)
    for first, last in ((idle, before), (idle, after), (before, middle), (middle, after)):
        found = window(first, last, begin, end)
        assert found.joules[name] is None
        assert 'read from another window' in found.problems[name]
    assert 'same time' in window(after, after, begin, end).problems[name]
    assert 'does not say when' in window({name: Sample(0.0)}, {name: Sample(9.0)}, begin, end).problems[name]


def test_a_counter_that_stops_before_the_end_of_a_window_is_noticed(tmp_path):
    """Its last readings differ, so only what comes after the window can tell."""
    stage, recorder = made(FakePowercap, tmp_path)
    before = recorder.mark()
    elapse(stage, recorder, 25.0)
    recorder.mark()
    stage.frozen = True
    elapse(stage, recorder, 1.0)
    found = recorder.window(before, recorder.mark())
    assert found.joules['package-0'] is None
    assert 'frozen' in found.problems['package-0']


@pytest.mark.parametrize(('how', 'words'), [('vanish', 'unreadable'), ('garble', 'unreadable')])
def test_faults_within_a_window_are_named_and_the_next_window_is_good(how, words, tmp_path):
    stage, recorder = made(FakeIna3221, tmp_path)
    before = recorder.mark()
    elapse(stage, recorder, 5.0)
    getattr(stage.fake, how)()
    stage.frozen = True
    elapse(stage, recorder, 0.5)
    stage.frozen = False
    elapse(stage, recorder, 5.0)
    after = recorder.mark()
    found = recorder.window(before, after)
    assert found.joules['ina3221/VDD_IN'] is None
    assert words in found.problems['ina3221/VDD_IN']
    assert '\n' not in found.problems['ina3221/VDD_IN']
    elapse(stage, recorder, 21.0)
    joules = recorder.window(after, recorder.mark()).joules['ina3221/VDD_IN']
    assert joules == pytest.approx(stage.load.joules(stage.now) - stage.load.joules(stage.now - 21.0), rel=0.02)


def test_a_channel_that_disappears_is_named():
    found = window({'a': Sample(1.0, t_ns=1)}, {})
    assert found.joules == {'a': None}
    assert 'disappeared' in found.problems['a']


def test_a_meter_that_raises_costs_only_itself(tmp_path):
    stage, other = Stage(FakePowercap, tmp_path / 'a'), Stage(FakeNvml, tmp_path / 'b')
    good, broken = other.read, [False]

    def read():
        other.now = stage.now
        if broken[0]:
            raise RuntimeError('a plug-in of somebody else')
        return good()

    other.read = read
    recorder = EnergyRecorder([stage, other], clock=lambda: stage.now, sleep=stage.sleep)
    before = recorder.mark()
    elapse(stage, recorder, 10.0)
    broken[0] = True
    middle = recorder.mark()
    elapse(stage, recorder, 10.0)
    broken[0] = False
    last = recorder.mark()
    for first, second in ((before, middle), (middle, last), (before, last)):
        found = window(first, second)
        assert found.joules['package-0'] is not None
        assert found.joules['gpu0'] is None
    assert 'a plug-in of somebody else' in window(before, middle).problems['gpu0']
    elapse(stage, recorder, 10.0)
    assert recorder.window(last, recorder.mark()).joules['gpu0'] is not None


def test_power_is_read_ten_times_per_second_and_counters_hardly(tmp_path):
    counted = {}
    for kind in (FakePowercap, FakeHwmonPower):
        stage, recorder = made(kind, tmp_path)
        reads, original = [], stage.read

        def counting(reads=reads, original=original):
            reads.append(1)
            return original()

        stage.read = counting
        elapse(stage, recorder, 120.0)
        counted[kind] = len(reads)
    assert counted[FakePowercap] <= 3, 'once per minute, against the wrap'
    assert 1150 <= counted[FakeHwmonPower] <= 1201


def test_sampling_that_was_paused_is_unknown(tmp_path):
    stage, recorder = made(FakeHwmonPower, tmp_path)
    before = recorder.mark()
    stage.sleep(5.0)
    found = recorder.window(before, recorder.mark())
    assert found.joules['amdgpu/power1'] is None
    assert 'unknown in between' in found.problems['amdgpu/power1']


def test_a_slow_meter_does_not_push_the_others_off_the_edge(tmp_path):
    stage, slow = Stage(FakePowercap, tmp_path / 'a'), Stage(FakeShelly, tmp_path / 'b')
    original = slow.read

    def read():  # as over a network: the time of both goes on
        stage.sleep(0.2)
        slow.now = stage.now - 0.1
        return original()

    slow.read = read
    recorder = EnergyRecorder([slow, stage], clock=lambda: stage.now, sleep=stage.sleep)
    before, begin = recorder.mark(), stage.now
    elapse(stage, recorder, 30.0)
    end = stage.now
    after = recorder.mark()
    found = window(before, after, round(begin * 1e9), round(end * 1e9))
    first, last, *_ = found.marks['package-0']
    assert abs(first * 1e-9 - begin) < 0.01
    assert abs(last * 1e-9 - end) < 0.01
    assert found.problems == {}


def test_the_thread_reads_on_the_real_clock(tmp_path):
    """A writer thread counts up; the recorder's own thread samples a power beside it."""
    folder = tmp_path / 'class' / 'powercap' / 'intel-rapl:0'
    folder.mkdir(parents=True)
    (folder / 'name').write_text('package-0')
    (folder / 'max_energy_range_uj').write_text(str(RANGE_UJ))
    value, begin, stop = folder / 'energy_uj', time.monotonic(), threading.Event()
    value.write_text('1000000')

    def write():
        while not stop.wait(0.002):
            text = f'{1_000_000 + round((time.monotonic() - begin) * 20e6)}'
            (folder / 'next').write_text(text)
            (folder / 'next').replace(value)  # as the kernel: never half a number

    power = tmp_path / 'class' / 'hwmon' / 'hwmon0'
    power.mkdir(parents=True)
    (power / 'name').write_text('board')
    (power / 'power1_input').write_text('5000000')
    from allegro_bench.meters.hwmon import HwmonMeter

    writer = threading.Thread(target=write)
    writer.start()
    try:
        with EnergyRecorder([PowercapMeter(tmp_path), HwmonMeter('', tmp_path)]) as recorder:
            before = recorder.mark()
            time.sleep(1.2)  # longer than a gap that would be a fault: only the thread can have read in between
            after = recorder.mark()
            found = recorder.window(before, after)
    finally:
        stop.set()
        writer.join()
    assert found.problems == {}
    first, last, *_ = found.marks['package-0']
    assert found.joules['package-0'] == pytest.approx(20.0 * (last - first) * 1e-9, abs=2.0)
    first, last, *_ = found.marks['board/power1']
    assert found.joules['board/power1'] == pytest.approx(5.0 * (last - first) * 1e-9, rel=1e-6)


def channel(name, boundary, quality='measured', overlaps=()):
    return Channel(name, 'x', 'counter', boundary, quality, 'here', 'J', overlaps=overlaps)


def test_joules_of_two_meters_are_added_only_where_they_lie_side_by_side():
    cpu, gpu, wall = channel('cpu', 'cpu_package'), channel('gpu', 'gpu_board'), channel('plug', 'wall')
    again = channel('perf', 'cpu_package')
    found = {c.id: set(c.overlaps) for c in together([[cpu], [gpu], [wall], [again]])}
    assert found == {'cpu': {'plug', 'perf'}, 'gpu': {'plug'}, 'plug': {'cpu', 'gpu', 'perf'}, 'perf': {'cpu', 'plug'}}
    assert headline(together([[cpu], [again]])) == ('cpu',)


def test_a_model_is_never_shown_before_a_measurement():
    model = channel('estimate', 'unknown', 'estimated')
    assert headline([model, channel('plug', 'wall')]) == ('plug',)
    assert headline([model]) == ('estimate',)


def test_overhead_is_the_ratio_of_on_and_off_whatever_drifts():
    blocks = iter(range(4))

    def p50(on):
        return (1.0 + 0.1 * next(blocks)) * 1.0 + (0.05 if on else 0.0)

    found = meter_overhead(p50)
    assert found['ratio'] == pytest.approx((1.15 + 0.05) / 1.15)
    assert found['reported']
    assert not meter_overhead(lambda on: 2.0)['reported']


@given(st.lists(st.tuples(st.floats(0.01, 0.9), st.floats(0.0, 100.0)), min_size=1, max_size=30))
def test_power_between_readings_is_a_straight_line(steps):
    """Exact for any power that is one, however irregular the readings."""
    watts, now, known = [50.0], 0.0, 0.0
    source = SampledPower(lambda: watts[-1], 100.0, now)
    for pause, power in steps:
        known += pause * (watts[-1] + power) / 2
        watts.append(power)
        now += pause
        found = source.update(now)
    assert found.faults == 0
    assert found.joules == pytest.approx(known, abs=1e-9)


def test_load_in_no_proportion_to_sampling_is_summed_within_its_stated_error(tmp_path):
    stage, recorder = made(FakeHwmonPower, tmp_path, load=Load(5.0, 20.0, period_s=0.731, high_s=0.2))
    before = recorder.mark()
    elapse(stage, recorder, 60.0)
    joules = recorder.window(before, recorder.mark()).joules['amdgpu/power1']
    assert joules == pytest.approx(stage.load.joules(60.0), rel=0.02)
    assert math.isfinite(joules)


def test_the_energy_topic_carries_id_boundary_and_quality(tmp_path):
    stage, recorder = made(FakeIna3221, tmp_path, load=Load(10.0, 0.0))
    session = Session(ProfilerConfig(), load_hand('v5_sense', 'right'), recorder, 0)
    live = Live(session)
    session.second(0)
    assert live.energy()[1]['ina3221/VDD_IN_power_w'] == 'n/a', 'one reading is no window'
    elapse(stage, recorder, 1.0)
    session.second(10**9)
    sentence, values = live.energy()
    assert sentence == 'gross, measured, ina3221/VDD_IN'
    assert values['ina3221/VDD_IN_power_w'] == pytest.approx(10.0, rel=0.01)
    assert values['ina3221/VDD_IN_boundary'] == 'soc_module'
    assert values['ina3221/VDD_IN_quality'] == 'measured'
    stage.fake.vanish()
    stage.frozen = True
    stage.sleep(0.1)
    session.second(2 * 10**9)
    _, values = live.energy()
    assert values['ina3221/VDD_IN_power_w'] == 'n/a'
    assert 'unreadable' in values['ina3221/VDD_IN_problem']
