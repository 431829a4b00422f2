"""A recording in the browser: what is shown at a moment, what is said to have happened, and the page itself."""

import json
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from allegro_bench.bags.recording import NO_STAMP, Recording, Sources, Track, read_recording
from allegro_bench.viewing import contacts, markup
from allegro_bench.viewing.bands import SILENT_S, held, lanes, union
from allegro_bench.viewing.events import KINDS, LEVELS, Event, earlier, events, later, near
from allegro_bench.viewing.playhead import Playhead
from allegro_bench.viewing.timeline import Timeline, live_hand
from allegro_description.errors import ConfigError
from allegro_description.model import load_hand
from allegro_description.viewer.live import LOST_S
from hypothesis import given, settings
from hypothesis import strategies as st

HAND = load_hand()
BEGIN = 1_800_000_000_000_000_000
DATASET = Path(__file__).parents[1] / 'datasets' / 'emulated_hand'
NAMES = ('dead_taxel', 'disturbances', 'link_fault', 'objects', 'slip')
SECONDS = st.floats(-1.0, 12.0)
TIMES = st.lists(st.integers(0, 10_000), min_size=1, max_size=30)
"""Of messages, ms after the beginning, in any order."""


def track(kind, ms, values=None, names=(), events_=(), segment=None):
    ms = np.array(ms, dtype=np.int64)
    values = np.zeros((len(ms), 0)) if values is None else np.asarray(values, dtype=np.float64)
    return Track(kind, f'/{kind}', 'any', tuple(names), '', BEGIN + ms * 1_000_000, np.full(len(ms), NO_STAMP), values,
                 np.isfinite(values), {}, tuple(events_), np.zeros(len(ms), np.int32) if segment is None else segment)


def recording(*tracks, damage=(), metadata=None):
    source = Sources(Path('some_bag'), {}, 'mcap', 'ours', HAND.name, '', '', metadata or {}, '', ())
    return Recording({t.kind: t for t in tracks}, tuple(damage), source)


def joints(ms, **how):
    """Joint states whose every angle is the number of the row."""
    return track('joint_states', ms, np.tile(np.arange(len(ms))[:, None], (1, 16)), HAND.joint_names, **how)


def touch(ms, pressure):
    return track('touch', ms, pressure, [t.name for t in HAND.taxels])


def said(ms, name, rows):
    return track('diagnostics', ms, events_=[{'level': level, 'name': name, 'message': message, 'values': values}
                                             for level, message, values in rows])


@pytest.fixture(scope='module')
def emulated():
    return {name: Timeline(read_recording(DATASET / name, hashes=False)) for name in NAMES}


@given(TIMES, st.lists(SECONDS, min_size=1, max_size=5))
@settings(max_examples=40, deadline=None)
def test_what_is_shown_is_the_newest_message_before_in_whatever_order_one_looks(ms, places):
    found = Timeline(recording(joints(ms), said([0], 'a', [(0, '', {})])))
    for place in [*places, *reversed(places)]:
        before = [k for k, at in enumerate(ms) if at * 1_000_000 <= round(place * 1e9)]
        newest = max(before, key=lambda k: (ms[k], k), default=None)
        shown = found.moment(place)
        if newest is None:
            assert shown.position is None
            assert 'joint_states' not in shown.ages
        else:
            assert shown.position[0] == newest
            assert shown.ages['joint_states'] == pytest.approx(place - ms[newest] * 1e-3, abs=1e-6)


@given(TIMES, SECONDS)
@settings(max_examples=40, deadline=None)
def test_each_node_is_shown_as_it_last_spoke(ms, place):
    found = Timeline(recording(joints([0]), said(ms, 'n: status', [(0, str(at), {}) for at in ms])))
    spoken = [at for at in ms if at * 1_000_000 <= round(place * 1e9)]
    heard = found.moment(place).statuses
    assert {n: s.message for n, s in heard.items()} == ({'n: status': str(max(spoken))} if spoken else {})


@pytest.mark.parametrize('name', NAMES)
def test_an_event_can_be_reached_and_what_it_reports_is_then_known(emulated, name):
    timeline = emulated[name]
    for event in events(timeline):
        moment = timeline.moment(event.at_s)
        if event.kind == 'phase':
            assert event.text == f'policy: {moment.phase}'
        if event.kind == 'touch' and 'touches' in event.text:
            cell = timeline.tracks['touch'].names.index(event.text.split()[0])
            assert moment.pressure[cell] > contacts.thresholds(timeline.model)[0]


@given(TIMES, SECONDS, st.floats(0.1, 5.0))
@settings(max_examples=40, deadline=None)
def test_a_trace_holds_messages_only_and_is_interrupted_in_silence(ms, place, half_s):
    found = Timeline(recording(joints(ms)))
    t, values = found.trace('joint_states', [3], place, half_s)
    assert (np.diff(t) >= 0).all()
    assert (np.abs(t) <= half_s + 1e-6).all()
    kept = np.isfinite(values[:, 0])
    given_s = {(round((at * 1e-3 - place), 6), k) for k, at in enumerate(ms)}
    origin = min(ms) * 1e-3
    shifted = {(round(a - origin, 6), k) for a, k in given_s}
    assert {(round(float(a), 6), int(k)) for a, k in zip(t[kept], values[kept, 0], strict=True)} <= shifted
    for k in np.flatnonzero(kept)[:-1]:
        if kept[k + 1]:
            assert t[k + 1] - t[k] <= 0.25 + 1e-9


def test_a_long_trace_is_thinned_by_the_same_rows_wherever_one_looks():
    found = Timeline(recording(joints(range(0, 10_000, 3))))
    rows = []
    for place in (4.0, 4.0005, 4.1):
        _, values = found.trace('joint_states', [0], place, 3.0)
        assert 200 < len(values) <= 601
        rows.append({int(v) for v in values[:, 0] if 1000 < v < 1600})
    assert rows[0] == rows[1] == rows[2] != set()


@given(st.lists(st.floats(0.0, 9.0), min_size=1, max_size=20))
@settings(max_examples=30, deadline=None)
def test_targets_are_held_until_the_next_but_not_through_silence(at_s):
    command = replace(joints([0, 100, 5000]), kind='commands')
    found = Timeline(recording(joints([0, 9000]), command)).held('commands', [0], np.array(sorted(at_s)))[:, 0]
    for at, value in zip(sorted(at_s), found, strict=True):
        newest = 0 if at < 0.1 else 1 if at < 5.0 else 2
        fresh = at - (0.0, 0.1, 5.0)[newest] <= 0.25
        assert value == newest if fresh else np.isnan(value)


def test_the_page_sees_the_ages_of_the_recording_whatever_its_own_clock_says():
    moment = Timeline(recording(joints([0]), touch([0, 3000], np.zeros((2, 16))))).moment(3.0)
    for now in (0.0, 5e6):
        live = live_hand(HAND, moment, now)
        assert live.lost('joints', now)
        assert live.silence_s('joints', now) == pytest.approx(3.0, abs=1e-6)
        assert not live.lost('tactile', now)
    assert LOST_S < 3.0


@pytest.mark.parametrize('tracks', [(), (joints([]),), (replace(joints([1]), values=np.full((1, 16), np.nan)),)])
def test_nothing_to_show_is_a_sentence_that_says_why(tracks):
    with pytest.raises(ConfigError, match=r'some_bag.*could be shown; its file is cut'):
        Timeline(recording(*tracks, damage=['its file is cut']))


@pytest.mark.parametrize('only', [joints([0, 5]), touch([0, 5], np.zeros((2, 16))), said([3], 'x', [(2, 'bad', {})]),
                                  track('episodes', [4], events_=[{'event': 'finished', 'index': 1}])])
def test_one_stream_is_enough_and_the_others_are_absent(only):
    timeline = Timeline(recording(only))
    moment = timeline.moment(timeline.duration_s)
    assert set(moment.ages) == {only.kind}
    assert (moment.position is not None) == (only.kind == 'joint_states')
    assert (moment.pressure is not None) == (only.kind == 'touch')
    assert isinstance(markup.state(timeline, moment), str)
    assert all(0.0 <= e.at_s <= timeline.duration_s for e in events(timeline))


def test_raw_touch_is_shown_where_there_is_no_other():
    raw = replace(touch([0, 5], np.full((2, 16), 7.0)), kind='touch_raw')
    alone, beside = Timeline(recording(raw)), Timeline(recording(raw, touch([0, 5], np.zeros((2, 16)))))
    assert alone.touch_is_raw
    assert alone.moment(0.0).pressure[0] == 7.0
    assert not beside.touch_is_raw
    assert beside.moment(0.0).pressure[0] == 0.0


def test_where_the_clock_jumps_back_the_longest_stretch_is_shown_and_said():
    timeline = Timeline(recording(joints([5000, 5100, 0, 10, 20], segment=np.array([0, 0, 1, 1, 1], np.int32))))
    assert timeline.duration_s == pytest.approx(0.02)
    assert timeline.moment(0.0).position[0] == 2
    assert any('jumps backwards 1 times' in e.text for e in events(timeline) if e.kind == 'damage')


@pytest.mark.parametrize('name', NAMES)
def test_events_are_in_order_and_within_the_recording(emulated, name):
    timeline = emulated[name]
    found = events(timeline)
    assert [e.at_s for e in found] == sorted(e.at_s for e in found)
    assert {e.kind for e in found} <= set(KINDS)
    assert {e.level for e in found} <= set(LEVELS)
    for event in found:
        assert 0.0 <= event.at_s <= (timeline.duration_s if event.until_s is None else event.until_s)
        assert event.until_s is None or event.until_s <= timeline.duration_s + 1e-9


@pytest.mark.parametrize('name', NAMES)
def test_what_the_data_set_says_was_done_and_came_of_it_is_among_the_events(emulated, name):
    told = json.loads((DATASET / 'dataset.json').read_text())['recordings'][name]
    found = events(emulated[name])
    ends = [e.text for e in found if e.kind == 'episode' and 'begins' not in e.text]
    assert len(ends) == len(told['episodes'])
    for text, row in zip(ends, told['episodes'], strict=True):
        assert f'slid {row["slip_mm"]:.0f} mm' in text
        assert ('held' in text) == row['held']
    dropped = sum(row['dropped_at_s'] is not None for row in told['episodes'])
    assert sum('falls' in e.text for e in found if e.kind == 'slip') == dropped
    stale = [duration for _, kind, _, duration in told['faults'] if kind == 'stale']
    silent = [e.until_s - e.at_s for e in found if e.kind == 'gap' and 'joint_states' in e.text]
    assert silent == pytest.approx(stale, abs=0.1)
    dead = {cell for _, kind, cell, _ in told['faults'] if kind == 'dead_taxel'}
    assert {e.text.split()[0] for e in found if e.kind == 'cell' and 'exactly 0' in e.text} == dead
    assert sum(e.kind == 'damage' for e in found) == len(told['damage'])


def test_damage_stands_where_its_sentence_says():
    words = ['a chunk is damaged at 2027-01-15 08:00:02.500 UTC', 'no topic for touch',
             'at 1999-01-01 00:00:00.000 UTC']
    found = [e for e in events(Timeline(recording(joints([0, 4000]), damage=words))) if e.kind == 'damage']
    assert {e.text: e.at_s for e in found} == {words[0]: pytest.approx(2.5, abs=1e-3), words[1]: 0.0, words[2]: 0.0}


@given(st.lists(st.sampled_from(['active', 'hold', 'fault']), min_size=1, max_size=12))
@settings(max_examples=40, deadline=None)
def test_the_driver_gives_one_event_for_each_change_of_its_state(states):
    rows = [({'active': 0, 'hold': 1, 'fault': 2}[s], s, {'state': s, 'reason': s}) for s in states]
    found = events(Timeline(recording(said(range(0, 1000 * len(rows), 1000), '/left/hand_driver: status', rows))))
    changes = [s for before, s in pairwise(['', *states]) if s != before]
    assert [e.text for e in found] == [f'driver: {s}' for s in changes]
    assert [e.kind == 'fault' for e in found] == [s == 'fault' for s in changes]


EVENTS = st.lists(st.integers(0, 20).map(lambda at: Event(float(at), 'phase', 'note', '')), max_size=15).map(
    lambda found: sorted(found, key=lambda e: e.at_s))


@given(EVENTS)
def test_jumping_on_and_back_visits_every_time_once(found):
    times = sorted({e.at_s for e in found})
    for step, start, order in ((later, -1.0, times), (earlier, 99.0, times[::-1])):
        visited, place = [], start
        while (event := step(found, place)) is not None:
            visited.append(event.at_s)
            place = event.at_s
        assert visited == order


@given(EVENTS, st.floats(-1, 25), st.integers(1, 9))
def test_the_list_around_the_present_is_a_piece_of_the_whole_with_the_present_in_it(found, place, count):
    shown = [*near(found, place, count)]
    assert len(shown) == min(count, len(found))
    assert any(found[k:k + len(shown)] == shown for k in range(len(found) + 1))
    past = [e for e in found if e.at_s <= place]
    if past and count >= 2:
        assert past[-1] in shown


PRESSURES = st.lists(st.sampled_from([0.0, 900.0, 1200.0, 1600.0, 5e4, float('nan')]), min_size=1, max_size=30)


@given(PRESSURES)
def test_a_cell_touches_from_above_the_upper_until_below_the_lower_threshold(pressure):
    value = np.array(pressure)
    found, on = contacts.pressed(value, np.isfinite(value), 1500.0, 1000.0), False
    for now, state in zip(pressure, found, strict=True):
        on = now > 1000.0 if on and not np.isnan(now) else on if np.isnan(now) else now > 1500.0
        assert state == on


@given(st.lists(st.tuples(st.integers(1, 300), st.booleans()), max_size=30))
def test_stretches_are_disjoint_in_order_and_not_short(steps):
    times = np.cumsum([ms for ms, _ in steps]) * 1e-3
    state = np.array([on for _, on in steps], dtype=bool)
    found = contacts.stretches(times, state, 0.1)
    assert all(b - a >= 0.1 for a, b in found)
    assert all(after[0] - before[1] >= 0.1 for before, after in pairwise(found))
    for begin, _ in found:
        assert state[np.flatnonzero(times == begin)[0]]
    if len(times) and state.all() and times[-1] - times[0] >= 0.1:
        assert found == [(times[0], times[-1])]


def test_a_slide_is_found_where_it_is_and_an_object_put_elsewhere_is_none():
    ms = np.arange(0, 6000, 33)
    place = np.zeros((len(ms), 10))
    place[:, 6] = 1.0
    place[:, 2] = np.clip(ms - 2000, 0, 500) * 1e-3 * 0.08   # 40 mm in half a second
    place[ms > 4000, 0] = 2.0
    slid = track('object', ms, place, events_=[{'shape': 1, 'action': 0}] * len(ms))
    (begin, end, far), = contacts.slides(slid, ms * 1e-3)
    assert 2.0 < begin < 2.15
    assert 2.45 < end < 2.65
    assert far == pytest.approx(0.04, abs=0.004)


@given(st.lists(st.tuples(st.integers(0, 50), st.integers(0, 9)), max_size=12))
def test_the_union_holds_where_any_part_does(parts):
    whole = [(float(a), float(a + b)) for a, b in parts]
    found = union(whole)
    assert all(after[0] > before[1] for before, after in pairwise(found))
    for at in np.arange(0, 60, 0.5):
        assert any(a <= at <= b for a, b in whole) == any(a <= at <= b for a, b in found)


@given(st.lists(st.tuples(st.integers(0, 40), st.sampled_from(['', 'RUN', 'CLOSE'])), max_size=12),
       st.floats(0.0, 45.0))
def test_a_band_shows_what_was_said_last_unless_that_is_long_ago(rows, at):
    rows = sorted({float(t): v for t, v in rows}.items())
    found = [b for b in held(rows, 42.0) if b.begin_s <= at < b.end_s]
    heard = [(t, v) for t, v in rows if t <= at]
    current = heard[-1][1] if heard and at - heard[-1][0] < SILENT_S and at < 42.0 else ''
    assert [b.value for b in found] == ([current] if current else [])


@pytest.mark.parametrize('name', NAMES)
def test_bands_of_a_lane_do_not_overlap_and_lie_within_the_recording(emulated, name):
    for lane in lanes(emulated[name]):
        assert all(0.0 <= b.begin_s < b.end_s <= emulated[name].duration_s + 1e-9 for b in lane.bands)
        assert all(after.begin_s >= before.end_s for before, after in pairwise(lane.bands))


MOVES = st.lists(st.one_of(
    st.tuples(st.just('play'), st.booleans()), st.tuples(st.just('seek'), st.floats(-5, 30)),
    st.tuples(st.just('set_speed'), st.sampled_from([0.1, 1.0, 5.0, -1.0, float('nan')])),
    st.tuples(st.just('wait'), st.floats(0, 4))), max_size=12)


@given(MOVES)
def test_the_present_stays_in_the_recording_and_moves_by_time_alone_while_it_plays(moves):
    now, head = 100.0, Playhead(20.0, 100.0)
    for what, value in moves:
        before, moving, speed = head.place(now), head.playing(now), head.speed
        if what == 'wait':
            now += value
            passed = value * speed if moving else 0.0
            assert head.place(now) == pytest.approx(min(before + passed, 20.0))
        elif what == 'seek':
            head.seek(value, now)
            assert head.place(now) == min(max(value, 0.0), 20.0)
            assert head.playing(now) or not moving or head.place(now) == 20.0
        else:
            getattr(head, what)(value, now)
            again = what == 'play' and value and before >= 20.0
            assert head.place(now) == (0.0 if again else before)
        assert 0.0 <= head.place(now) <= 20.0
        assert head.speed > 0.0
