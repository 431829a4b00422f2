"""A recording in the browser: objects as they were recorded, the clock, and the page itself."""

import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from allegro_bench.bags.recording import NO_STAMP, Recording, Sources, Track, read_recording
from allegro_bench.viewing import markup
from allegro_bench.viewing.bands import lanes
from allegro_bench.viewing.events import events, later
from allegro_bench.viewing.objects import ObjectMeshes, corners_of, read_meshes
from allegro_bench.viewing.timeline import Timeline
from allegro_description.errors import ProtocolError
from allegro_description.model import load_hand
from bag_making import STORE, TYPES, header
from hypothesis import strategies as st

from allegro_bench import cli

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


def marker(kind, corners):
    point = TYPES['geometry_msgs/msg/Point']
    pose = TYPES['geometry_msgs/msg/Pose'](point(0.0, 0.0, 0.1), TYPES['geometry_msgs/msg/Quaternion'](0, 0, 0, 1.0))
    one, dot = TYPES['geometry_msgs/msg/Vector3'](1.0, 1.0, 1.0), TYPES['std_msgs/msg/ColorRGBA'](0.1, 0.2, 0.3, 1.0)
    message = TYPES['visualization_msgs/msg/Marker'](
        header(BEGIN), 'object', 7, kind, 0, pose, one, dot, TYPES['builtin_interfaces/msg/Duration'](0, 0), False,
        [point(*map(float, c)) for c in corners], [], '', TYPES['sensor_msgs/msg/CompressedImage'](
            header(0, ''), '', np.zeros(0, np.uint8)), [], '', '', TYPES['visualization_msgs/msg/MeshFile'](
            '', np.zeros(0, np.uint8)), '', False)
    return bytes(STORE.serialize_cdr(message, 'visualization_msgs/msg/Marker'))


def test_corners_come_back_as_they_were_written_and_a_cut_message_gives_none():
    corners = np.random.default_rng(0).normal(size=(12, 3))
    data = marker(11, corners)
    np.testing.assert_array_equal(corners_of(data), corners.reshape(4, 3, 3))
    assert corners_of(marker(1, corners)) is None
    assert corners_of(marker(11, corners[:11])) is None
    for length in range(4, 240, 7):
        with pytest.raises(ProtocolError):
            corners_of(data[:length])


def test_equal_objects_are_kept_once_and_found_by_the_time_of_their_message():
    meshes, one, other = ObjectMeshes(), np.zeros((1, 3, 3)), np.ones((1, 3, 3))
    for at, corners in ((30, one), (10, other), (20, one.copy())):
        meshes.add(at, corners)
    assert meshes(20) is meshes(30)
    np.testing.assert_array_equal(meshes(10), other)
    assert meshes(15) is None


def test_an_object_of_triangles_is_shown_as_it_was_recorded():
    path = DATASET / 'objects'
    found = read_recording(path, hashes=False)
    timeline = Timeline(found, read_meshes(path, '/object'))
    shapes = {e['shape']: k for k, e in enumerate(timeline.tracks['object'].events) if e['action'] == 0}
    at = float(timeline.seconds(int(timeline.tracks['object'].received_ns[shapes[11]])))
    assert timeline.moment(at).grasped.triangles.shape == (120, 3, 3)
    assert Timeline(found).moment(at).grasped is None


@pytest.mark.parametrize(('seconds', 'shown'), [(0.0, '0:00.00'), (59.999, '1:00.00'), (3600.5, '1:00:00.50')])
def test_the_clock_carries_over(seconds, shown):
    assert markup.clock(seconds) == shown


def test_words_from_a_recording_are_no_markup():
    evil = '<img src=x onerror=alert(1)>'
    timeline = Timeline(recording(
        joints([0, 1000]), said([0, 500], 'hand_driver', [(2, evil, {'state': evil}), (0, evil, {'state': 'active'})]),
        track('episodes', [0], events_=[{'event': 'started', 'index': evil, 'shape': evil}]), damage=[evil],
        metadata={'about': evil, 'policy': evil}))
    found = events(timeline)
    pieces = [markup.head(timeline), markup.state(timeline, timeline.moment(0.2)), markup.table(found),
              markup.strip(lanes(timeline), found, 1.0), markup.key(lanes(timeline)),
              markup.recording(timeline.recording, timeline.remarks), markup.legend([evil], ['#000000'], False)]
    assert all('&lt;img' in piece for piece in pieces)
    assert not any('<img' in piece for piece in pieces)


# The command and the page ----------------------------------------------------------------------------------------

def test_the_list_of_events_needs_no_browser(capsys):
    assert cli.main(['view', str(DATASET / 'slip'), '--events']) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == len(events(Timeline(read_recording(DATASET / 'slip', hashes=False))))
    assert any('dropped' in line for line in lines)


@pytest.mark.parametrize(('words', 'said_'), [
    (['--at', '99'], 'allowed: 0 to that'), (['--port', '70000'], '65535'),
    (['--policy-state', 'nothing'], 'joint_delta'),
])
def test_what_cannot_be_is_one_sentence_with_what_is_allowed(words, said_, capsys):
    assert cli.main(['view', str(DATASET / 'slip'), *words]) == 2
    assert said_ in capsys.readouterr().err


def test_without_viser_it_says_how_to_get_it(monkeypatch, capsys):
    for name in [n for n in sys.modules if n.startswith('allegro_description.viewer.page')]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, 'viser', None)
    assert cli.main(['view', str(DATASET / 'slip')]) == 2
    assert "pip install 'allegro_description[view]'" in capsys.readouterr().err


def test_the_page_follows_what_is_clicked(emulated):
    pytest.importorskip('viser')
    from allegro_bench.viewing.controls import BACK, ON, PLAY
    from allegro_bench.viewing.screen import Screen

    screen = Screen(emulated['slip'], 0, 'joint_delta')
    try:
        quiet = [e for e in screen.events if e.kind != 'touch']
        now = 0.0
        for what, event in ((ON, quiet[0]), (ON, later(quiet, quiet[0].at_s)), (BACK, quiet[0])):
            screen.controls.click(what)
            screen.refresh(now := now + 1.0)
            assert screen.moment.seconds == event.at_s
        screen.controls.jump(quiet[-1])
        screen.refresh(now := now + 1.0)
        assert screen.moment.seconds == quiet[-1].at_s
        screen.controls.jump(quiet[0])
        screen.controls.speed('4×')
        screen.controls.click(PLAY)
        screen.refresh(now)
        screen.refresh(now + 0.5)
        assert screen.moment.seconds == pytest.approx(quiet[0].at_s + 2.0)
        assert screen.url.startswith('http://127.0.0.1:')
    finally:
        screen.close()


def test_ctrl_c_ends_it_without_a_complaint():
    pytest.importorskip('viser')
    program = 'import sys; from allegro_bench.cli import main; sys.exit(main(sys.argv[1:]))'
    with subprocess.Popen([sys.executable, '-c', program, 'view', str(DATASET / 'slip'), '--port', '0'],
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as child:
        try:
            assert 'http://127.0.0.1:' in child.stdout.readline()
            child.send_signal(signal.SIGINT)
            assert child.wait(timeout=30) == 0
            assert child.stderr.read() == ''
        finally:
            child.kill()
