# ruff: noqa: E402
"""The page in a real server: this machine only, clear when the port is taken, complete without internet."""

import re
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from html.parser import HTMLParser

import numpy as np
import pytest

pytest.importorskip('viser')
websocket = pytest.importorskip('websockets.sync.client')
from allegro_description.errors import LinkError
from allegro_description.kinematics import Kinematics, homogeneous
from allegro_description.model import available_hands, load_hand
from allegro_description.viewer import colours
from allegro_description.viewer.live import LiveHand, ObjectView
from allegro_description.viewer.page import HOST, HandPage, open_server
from allegro_description.viewer.panel import HandPanel
from allegro_description.viewer.scene import matrix_of
from allegro_description.viewer.sliders import SliderHand, named_poses
from websockets.exceptions import InvalidStatus

HAND = load_hand()


@pytest.fixture
def page():
    made = HandPage(HAND)
    yield made
    made.close()


def later():
    """A clock that steps over the pause between two refreshes nobody watches."""
    now = 1000.0
    while True:
        now += 2.0
        yield now


def listening(port):
    """Local addresses of the listening sockets of this machine with that port, from the kernel."""
    found = set()
    for table in ('/proc/net/tcp', '/proc/net/tcp6'):
        with open(table) as lines:
            for line in list(lines)[1:]:
                local, state = line.split()[1], line.split()[3]
                address, _, number = local.rpartition(':')
                if state == '0A' and int(number, 16) == port:
                    found.add(address)
    return found


@pytest.mark.skipif(not sys.platform.startswith('linux'), reason='reads /proc/net')
def test_listens_on_this_machine_only(page):
    assert listening(page.server.get_port()) == {'0100007F'}
    assert page.url == f'http://127.0.0.1:{page.server.get_port()}'


def test_a_taken_port_is_one_clear_sentence_and_zero_takes_the_next(page):
    port = page.server.get_port()
    with pytest.raises(LinkError, match=rf'port {port} .*taken.* parameter port .* 0 for the next free one'):
        open_server(port)
    other = open_server(0)
    try:
        assert other.get_port() != port
    finally:
        other.stop()


def test_other_websites_and_public_tunnels_are_refused(page):
    address = page.url.replace('http', 'ws')
    with pytest.raises(InvalidStatus, match='403'):
        websocket.connect(address, origin='http://elsewhere.example', subprotocols=['viser-v0'])
    websocket.connect(address, origin=page.url, subprotocols=['viser-v0']).close()
    assert page.server.request_share_url() is None


def test_the_page_loads_nothing_from_elsewhere(page):
    class Links(HTMLParser):
        found: tuple = ()

        def handle_starttag(self, tag, attrs):
            self.found += tuple(v for k, v in attrs if k in ('src', 'href', 'data') and v)

    with urllib.request.urlopen(page.url, timeout=10) as reply:
        html = reply.read().decode()
    links = Links()
    links.feed(html)
    for link in links.found:
        if not link.startswith('data:'):
            assert not re.match(r'(\w+:)?//', link), f'the page asks another server for {link}'
            with urllib.request.urlopen(f'{page.url}/{link.lstrip("./")}', timeout=10) as reply:
                assert reply.status == 200
    assert not re.search(r'@import\s+(url\()?[\'"]?https?:', html)
    with pytest.raises(urllib.error.HTTPError, match='404'):
        urllib.request.urlopen(f'{page.url}/%2e%2e/%2e%2e/setup.py', timeout=10)


def test_the_drawn_nodes_agree_with_forward_kinematics(page):
    clock, live = later(), LiveHand(HAND)
    rng = np.random.default_rng(4)
    for _ in range(5):
        live.position = rng.uniform(HAND.lower, HAND.upper)
        assert page.refresh(live, next(clock))
        world = {'/hand': np.eye(4)}
        for node in page.scene.nodes:
            handle = page.nodes[node.path]
            local = homogeneous(handle.position, matrix_of(handle.wxyz))
            world[node.path] = world[node.path.rsplit('/', 1)[0]] @ local
        expected = Kinematics(HAND)
        for name, pose in (expected.link_poses(live.position) | expected.frame_poses(live.position)).items():
            np.testing.assert_allclose(world[page.scene.frame_path(name)], pose, atol=1e-6)


def test_pads_show_pressure_and_hatching_shows_what_is_not_valid(page):
    clock, live = later(), LiveHand(HAND)
    page.refresh(live, next(clock))
    assert all(h.visible for h in page.hatches), 'no data must not look like no touch'
    now = next(clock)
    live.pressure, live.valid = np.linspace(0, page.full_scale_pa, 16), np.ones(16, dtype=bool)
    live.valid[3] = False
    live.heard('tactile', now)
    page.refresh(live, now)
    assert [k for k, h in enumerate(page.hatches) if h.visible] == [3]
    shown = [tuple(pad.color) for pad in page.pads]
    assert shown[3] == colours.INVALID
    light = colours.lightness(np.array(shown[:3] + shown[4:]))
    assert (np.diff(light) > 0).all()
    live.pressure = live.pressure[::-1].copy()
    now += 0.5
    live.heard('tactile', now + 1)
    page.refresh(live, now + 1)
    assert tuple(page.pads[0].color) == shown[15]


def test_object_and_gravity_come_and_go(page):
    clock, live = later(), LiveHand(HAND)
    now = next(clock)
    live.grasped = ObjectView('sphere', (0.06,) * 3, np.array([0.06, 0.0, 0.05]), np.array([1.0, 0, 0, 0]), (9, 9, 9))
    live.gravity = np.array([0.0, 9.81, 0.0])
    live.heard('object', now)
    live.heard('gravity', now)
    page.refresh(live, now)
    np.testing.assert_allclose(page._object.position, [0.06, 0.0, 0.05])
    assert page._gravity.visible
    np.testing.assert_allclose(matrix_of(page._gravity.wxyz)[:, 2], [0, 1, 0], atol=1e-6)
    page.refresh(live, now + 5.0)
    assert page._object is None, 'an object nobody reports any more must vanish'
    assert not page._gravity.visible


def test_panel_shows_plots_of_the_chosen_finger_and_no_buttons_by_default(page, monkeypatch):
    monkeypatch.setattr(HandPage, 'watched', True)
    panel, live = HandPanel(page, HAND), LiveHand(HAND)
    for now in np.arange(100.0, 101.0, 0.05):
        live.position = np.radians(np.arange(16.0))
        live.heard('joints', now)
        live.sample(now)
    panel.refresh(live, now)
    assert 'NO DATA' in panel._texts['status'].content
    panel._finger.value = 'ring'
    panel._choose()
    panel.refresh(live, now + 1)
    t, *lines = panel._joint_plot.data
    assert [s.get('label') for s in panel._joint_plot.series[1:]] == list(HAND.fingers[2].joints)
    assert (t <= 0).all()
    np.testing.assert_allclose([line[-1] for line in lines], [8, 9, 10, 11], atol=1e-6)
    kinds = {type(h).__name__ for h in page.server.gui._gui_input_handle_from_uuid.values()}
    assert kinds == {'GuiSliderHandle', 'GuiDropdownHandle'}, 'nothing that commands the hand unless asked for'


def test_enable_and_release_buttons_exist_only_on_request(page):
    HandPanel(page, HAND, on_enable=lambda enable: None)
    kinds = {type(h).__name__ for h in page.server.gui._gui_input_handle_from_uuid.values()}
    assert 'GuiButtonGroupHandle' in kinds


def test_sliders_never_leave_the_joint_limits(page):
    hand = SliderHand(page.server.gui, HAND)
    np.testing.assert_allclose(hand.position(), HAND.pose('home'), atol=1e-3)
    hand.go_to('pregrasp')
    np.testing.assert_allclose(hand.position(), HAND.pose('pregrasp'), atol=1e-3)
    before = hand.position()
    for name, value in (('joint_1_0', 99.0), ('joint_2_0', -99.0), ('joint_3_0', float('nan'))):
        hand._sliders[name]._impl.value = value  # what a browser that ignores the slider's ends would send
    after = hand.position()
    assert after[1] == HAND.upper[1]
    assert after[2] == HAND.lower[2]
    assert after[3] == before[3]


def test_slider_program_starts_and_ends_cleanly():
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port = probe.getsockname()[1]
    command = [sys.executable, '-m', 'allegro_description.nodes.hand_viewer', '--sliders', '--port', str(port),
               '--model', 'v4', '--side', 'left']
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        assert f'http://127.0.0.1:{port}' in process.stdout.readline()
        second = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        assert second.returncode == 2
        assert 'taken by another program' in second.stderr
        assert 'Traceback' not in second.stderr
        started = time.monotonic()
        process.terminate()
        _, errors = process.communicate(timeout=20)
        assert process.returncode == 0, errors
        assert 'Traceback' not in errors
        assert time.monotonic() - started < 10
    finally:
        process.kill()


@pytest.mark.parametrize('name', available_hands())
def test_every_hand_has_its_own_page(name, monkeypatch):
    """Sliders and buttons from its description; touch only where it has cells."""
    monkeypatch.setattr(HandPage, 'watched', True)
    hand = load_hand(*name.rpartition('_')[::2])
    page = HandPage(hand)
    try:
        sliders, live = SliderHand(page.server.gui, hand), LiveHand(hand)
        assert set(sliders._sliders) == set(hand.joint_names)
        for k, joint in enumerate(hand.joint_names):
            assert (sliders._sliders[joint].min, sliders._sliders[joint].max) == (hand.lower[k], hand.upper[k])
        assert len(sliders.pressure()) == len(hand.taxels)
        assert (sliders._pressure is None) == (not hand.taxels)
        for pose in named_poses(hand):
            sliders.go_to(pose)
            np.testing.assert_allclose(sliders.position(), hand.pose(pose), atol=1e-3)
        live.position = sliders.position()
        panel = HandPanel(page, hand)
        panel.refresh(live, 100.0)
        assert page.refresh(live, 100.0)
        labels = [h.label for h in page.server.gui._gui_input_handle_from_uuid.values()]
        shown = 'Touch' in panel._texts['status'].content, any('kPa' in label for label in labels)
        assert shown == (bool(hand.taxels),) * 2
        assert len(page.pads) == len(page.hatches) == len(hand.taxels)
        assert page.full_scale_pa <= max(hand.actuation.tactile_saturation_pa, 5e3)
    finally:
        page.close()


def test_pose_buttons_move_every_slider_and_leave_out_way_points(page):
    hand = SliderHand(page.server.gui, HAND)
    groups = [h for h in page.server.gui._gui_input_handle_from_uuid.values()
              if type(h).__name__ == 'GuiButtonGroupHandle']
    offered = [name for group in groups for name in group._impl.props.options]
    assert offered == list(named_poses(HAND))
    assert {'zero', 'home', 'pregrasp', 'grasp_4'} <= set(offered)
    assert not any(name.endswith('_open') for name in offered)
    hand.go_to('grasp_4')
    np.testing.assert_allclose(hand.position(), HAND.pose('grasp_4'), atol=1e-3)


@pytest.mark.parametrize(('arguments', 'sentence'), [
    (['--model', 'v9'], "unknown hand 'v9_right'"), (['--pose', 'hme'], "Did you mean 'home'"),
])
def test_slider_program_refuses_in_one_sentence(arguments, sentence, capsys):
    from allegro_description.viewer.sliders import main

    assert main(['--sliders', *arguments]) == 2
    assert sentence in capsys.readouterr().err
