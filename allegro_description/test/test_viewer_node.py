# ruff: noqa: E402
"""Messages on a graph reach the picture."""

from __future__ import annotations

import time

import numpy as np
import pytest
from allegro_description.ros.testing import require_graph

require_graph()
pytest.importorskip('viser')
import rclpy
from allegro_description.model import load_hand
from allegro_description.nodes.viewer_node import HandViewer
from allegro_description.ros import interfaces
from allegro_description.ros.convert import diagnostic_array, joint_state_message, points_message
from allegro_description.ros.testing import spin_until
from allegro_description.state import HandState, TactileFrame
from geometry_msgs.msg import Vector3Stamped, WrenchStamped
from rclpy.parameter import Parameter
from visualization_msgs.msg import Marker

pytestmark = pytest.mark.graph
HAND = load_hand()


@pytest.fixture
def viewer(graph, monkeypatch):
    # The page skips work while nobody looks; here the test looks.
    monkeypatch.setattr('allegro_description.viewer.page.IDLE_S', 0.0)
    from rclpy.node import Node

    original = Node.__init__

    def with_any_port(self, name, **kwargs):
        original(self, name, parameter_overrides=[Parameter('port', value=0)], **kwargs)

    monkeypatch.setattr(Node, '__init__', with_any_port)
    node = graph.add(HandViewer())
    monkeypatch.setattr(Node, '__init__', original)
    return node


def publisher(node, topic):
    return node.create_publisher(topic.type, topic.name, topic.publish_qos)


def send_until(probe, viewer, pairs, reached, timeout=15.0):
    """Publish every message again and again until the picture shows it."""
    end = time.monotonic() + timeout
    while time.monotonic() < end:
        for out, message in pairs:
            out.publish(message() if callable(message) else message)
        if spin_until([probe, viewer], reached, timeout=0.1):
            return True
    return False


def test_state_touch_object_and_faults_reach_the_picture(graph, viewer):
    probe = graph.node()
    page, live = viewer.page, viewer.live
    pose = np.array(HAND.pose('pregrasp'))
    pressure = np.linspace(0, 45e3, 16)
    valid = np.ones(16, dtype=bool)
    valid[5] = False

    def stamp():
        return probe.get_clock().now().nanoseconds

    def state():
        return joint_state_message(HAND, HandState(stamp(), 0, pose, np.zeros(16)))

    def touch():
        return points_message(HAND, TactileFrame(stamp(), pressure, valid), np.zeros((16, 3)))

    marker = Marker(type=Marker.CYLINDER, action=Marker.ADD)
    marker.scale.x, marker.scale.y, marker.scale.z = 0.05, 0.05, 0.09
    marker.pose.position.x, marker.pose.orientation.w = 0.07, 1.0
    marker.color.r = marker.color.a = 1.0
    gravity, wrench = Vector3Stamped(), WrenchStamped()
    gravity.vector.z, wrench.wrench.force.x = -9.81, -2.0
    fault = diagnostic_array(probe, 'status', 2, 'fault: motor error on joint_3_0', {'rate_hz': 333.0})
    fault.status[0].name = 'hand_driver: status'
    done = diagnostic_array(probe, 'episode', 0, 'finished', {'index': 7, 'held': True, 'success': True})
    pairs = [
        (publisher(probe, interfaces.JOINT_STATES), state), (publisher(probe, interfaces.TACTILE_POINTS), touch),
        (publisher(probe, interfaces.OBJECT), marker), (publisher(probe, interfaces.GRAVITY), gravity),
        (publisher(probe, interfaces.wrench_topic('thumb')), wrench),
        (publisher(probe, interfaces.DIAGNOSTICS), fault), (publisher(probe, interfaces.EPISODE), done),
    ]

    def shown():
        return (live.position is not None and not page.hatches[0].visible and page.hatches[5].visible
                and page._object is not None and page._gravity.visible and page._arrows['thumb'].visible
                and bool(live.episodes) and 'hand_driver: status' in live.statuses)

    assert send_until(probe, viewer, pairs, shown), f'arrived: {live.arrivals}'
    np.testing.assert_allclose(live.position, pose)
    expected = page.scene.joint_rotations(pose)
    for path, wxyz in zip(page.scene.joint_paths, expected, strict=True):
        np.testing.assert_allclose(page.nodes[path].wxyz, wxyz, atol=1e-5)
    assert tuple(page.pads[0].color) != tuple(page.pads[15].color)
    assert not page._arrows['index'].visible
    assert live.statuses['hand_driver: status'].message == 'fault: motor error on joint_3_0'
    assert live.episodes[0].outcome == 'success'
    assert live.age_ms is not None

    marker.action = Marker.DELETE
    assert send_until(probe, viewer, pairs[2:3], lambda: page._object is None)


def test_gravity_of_a_recording_reaches_the_picture(graph, viewer):
    probe, gravity = graph.node(), Vector3Stamped()
    gravity.vector.x = 9.81
    pairs = [(publisher(probe, interfaces.RECORDED_GRAVITY), gravity)]
    assert not viewer.page._gravity.visible
    assert send_until(probe, viewer, pairs, lambda: viewer.page._gravity.visible)
    np.testing.assert_allclose(viewer.live.gravity, [9.81, 0.0, 0.0])


def test_messages_that_do_not_fit_are_refused_and_said(graph, viewer):
    probe = graph.node()
    wrong = joint_state_message(HAND, HandState(1, 0, np.zeros(16), np.zeros(16)))
    wrong.name = ['elbow', *HAND.joint_names[1:]]
    broken = joint_state_message(HAND, HandState(1, 0, np.full(16, np.nan), np.zeros(16)))
    out = publisher(probe, interfaces.JOINT_STATES)
    assert send_until(probe, viewer, [(out, wrong)], lambda: 'elbow' in viewer.diagnostics()[1])
    assert send_until(probe, viewer, [(out, broken)], lambda: 'not finite' in viewer.diagnostics()[1])
    assert viewer.live.position is None
    assert viewer.diagnostics()[0] == 1


def test_a_taken_port_ends_the_process_with_one_sentence(graph):
    import socket

    with socket.socket() as taken:
        taken.bind(('127.0.0.1', 0))
        taken.listen()
        port = taken.getsockname()[1]
        process = graph.start('allegro_description.nodes.hand_viewer', '--ros-args', '-p', f'port:={port}')
        assert process.wait(30.0) == 2, process.output
    assert f'port {port} of 127.0.0.1 is taken' in process.output
    assert 'Traceback' not in process.output


def test_the_process_says_where_to_look_and_ends_cleanly(graph):
    process = graph.start('allegro_description.nodes.hand_viewer', '--ros-args', '-p', 'port:=0')
    assert process.wait_for('http://127.0.0.1:', 30.0), process.output
    assert process.stop() == 0, process.output
    assert 'Traceback' not in process.output
    assert rclpy.ok()
