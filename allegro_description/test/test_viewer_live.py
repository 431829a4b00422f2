"""What the view believes: histories, silence, episodes, and texts that stay text."""

import numpy as np
import pytest
from allegro_description.model import load_hand
from allegro_description.viewer import markup
from allegro_description.viewer.live import PHASES, WINDOW_S, History, LiveHand, Status, episode_result
from hypothesis import given
from hypothesis import strategies as st

HAND = load_hand()


@given(st.integers(0, 700))
def test_history_keeps_the_newest_rows_in_order(count):
    history = History(1)
    for k in range(count):
        history.add(0.05 * k, np.array([k]))
    t, rows = history.read(0.05 * count)
    assert len(t) == min(count, int(WINDOW_S / 0.05) + 1)
    np.testing.assert_array_equal(rows[:, 0], np.arange(count - len(t), count))
    assert (np.diff(t) > 0).all()
    assert (t <= 0).all()


def test_silent_streams_are_lost_and_leave_gaps():
    live = LiveHand(HAND)
    assert live.lost('joints', 0.0)
    assert not live.touch(0.0)[1].any()
    live.position, live.pressure, live.valid = np.zeros(16), np.ones(16), np.ones(16, dtype=bool)
    live.heard('joints', 10.0)
    live.heard('tactile', 10.0)
    live.sample(10.1)
    live.sample(15.0)
    assert live.touch(10.5)[1].all()
    assert not live.touch(15.0)[1].any(), 'old touch must not look like touch'
    for history in (live.joints, live.pressures):
        _, rows = history.read(15.0)
        assert np.isfinite(rows[0]).all()
        assert np.isnan(rows[1]).all()
    assert 'LIVE' in markup.status(live, 10.2)
    assert 'LOST' in markup.status(live, 15.0)


def test_driver_fault_and_phase_are_shown():
    live = LiveHand(HAND)
    assert 'NO DATA' in markup.status(live, 0.0)
    live.statuses['hand_driver: link'] = Status(0, 'fine', {}, 1.0)
    live.statuses['hand_driver: status'] = Status(2, 'fault: feedback older than 30 ms', {'rate_hz': '0'}, 1.0)
    live.statuses['grasp_policy: status'] = Status(0, 'running', {'phase': 'run'}, 1.0)
    text = markup.status(live, 1.5)
    assert 'ERROR' in text
    assert 'fault: feedback older than 30 ms' in text
    assert 'RUN' in text
    assert 'SILENT' in markup.status(live, 60.0), 'an old OK must not look like an OK'
    live.sample(1.5)
    _, rows = live.phases.read(1.5)
    assert rows[-1, 0] == PHASES.index('RUN')
    assert 'rate_hz 0' in markup.diagnostics(live, 1.5)


@pytest.mark.parametrize(('event', 'facts', 'outcome'), [
    ('finished', {'held': 'true', 'success': 'true'}, 'success'),
    ('finished', {'held': 'true', 'success': 'false'}, 'held'),
    ('finished', {'held': 'false', 'success': 'false', 'dropped_at_s': 'nan'}, 'lost'),
    ('finished', {'held': 'false', 'success': 'false', 'dropped_at_s': '2.5'}, 'dropped'),
    ('dropped', {'dropped_at_s': '2.5'}, 'dropped'),
    ('stopped', {}, 'stopped'),
])
def test_episode_outcomes(event, facts, outcome):
    assert episode_result(event, {'index': '3', **facts}).outcome == outcome


def test_an_episode_is_listed_once_newest_first():
    live = LiveHand(HAND)
    assert episode_result('started', {'index': '1'}) is None
    for index in ('1', '2'):
        live.episode('started', {'index': index})
        live.episode('dropped', {'index': index})
        live.episode('finished', {'index': index, 'held': 'false', 'dropped_at_s': '1.25'})
    assert [(e.index, e.note) for e in live.episodes] == [('2', 'after 1.2 s'), ('1', 'after 1.2 s')]
    assert markup.episodes(live).count('DROPPED') == 2


@given(st.text(max_size=40).map(lambda t: t + '<script>alert(1)</script><img src=x>'))
def test_text_from_outside_never_becomes_markup(text):
    live = LiveHand(HAND)
    live.statuses['hand_driver: ' + text] = Status(1, text, {text + '_ms': text}, 0.0)
    live.statuses['grasp_policy: status'] = Status(1, text, {'phase': text}, 0.0)
    live.episode('finished', {'index': text, 'shape': text, 'level': text, 'dropped_at_s': text})
    live.sample(0.0)
    for page in (markup.status(live, 0.0), markup.diagnostics(live, 0.0), markup.episodes(live),
                 markup.phases(live, 0.0)):
        assert '<script' not in page
        assert '<img' not in page
