"""The recorder as a process on a graph: every message, every type, every hash; and how it ends."""

import collections
import json
import os
import signal
import time

import pytest
import yaml
from allegro_ai.bundle import find_bundle
from allegro_ai.contents import read_contents
from allegro_ai.integrity import fingerprint
from allegro_bench.bags.recovery import recover
from allegro_description.model import load_hand
from allegro_description.ros.testing import require_graph, spin_until

require_graph()

from allegro_bench.nodes.discovery import type_name  # noqa: E402
from allegro_description.ros import interfaces  # noqa: E402
from allegro_description.ros.convert import diagnostic_array  # noqa: E402
from rclpy.qos import QoSProfile, ReliabilityPolicy  # noqa: E402
from rosbags.highlevel import AnyReader  # noqa: E402
from rosbags.typesys import Stores, get_typestore  # noqa: E402
from std_msgs.msg import String  # noqa: E402

pytestmark = pytest.mark.graph
HAND = load_hand()
STORE = get_typestore(Stores.ROS2_KILTED)
WARM_UP = -7
TOPICS = interfaces.all_topics(f.name for f in HAND.fingers)


def start(graph, output, *parameters):
    arguments = [part for p in (f'output_dir:={output}', *parameters) for part in ('-p', p)]
    recorder = graph.start('allegro_bench.nodes.bag_recorder', '--ros-args', *arguments)
    assert recorder.wait_for('recording to'), recorder.output
    return recorder


def publishers(node, topics=TOPICS):
    """Publishers that the recorder has demonstrably heard: it told so, after messages with the stamp WARM_UP."""
    made, heard = {}, set()
    for topic in topics:
        name = node.resolve_topic_name(topic.public_name)
        made[name] = topic, node.create_publisher(topic.type, name, topic.publish_qos)

    def listen(message):
        for status in message.status:
            heard.update(v.key.removeprefix('count ') for v in status.values if v.key.startswith('count '))

    node.create_subscription(interfaces.DIAGNOSTICS.type, '/diagnostics', listen, 10)
    end = time.monotonic() + 30.0
    while not heard >= set(made):
        assert time.monotonic() < end, set(made) - heard
        for name in set(made) - heard:
            topic, publisher = made[name]
            message = topic.type()
            mark(message, WARM_UP)
            publisher.publish(message)
        spin_until(node, lambda: heard >= set(made), 0.3)
    return made


def mark(message, number):
    """Number a message: in its stamp or, where it has none, in its text or number."""
    if hasattr(message, 'header'):
        message.header.stamp.sec = number
    else:
        message.data = type(message.data)(number)


def marked(message):
    if hasattr(message, 'header'):
        return message.header.stamp.sec
    text = str(getattr(message, 'data', '')).removesuffix('.0')
    return int(text) if text.removeprefix('-').isdecimal() else 0


def read(folder):
    counts, total = collections.Counter(), 0
    with AnyReader([folder]) as reader:
        kinds = {c.topic: (c.msgtype, c.digest) for c in reader.connections}
        stamps = collections.defaultdict(list)
        for connection, _, raw in reader.messages():
            total += 1
            message = reader.deserialize(raw, connection.msgtype)
            if marked(message) != WARM_UP:
                counts[connection.topic] += 1
                stamps[connection.topic].append(marked(message))
        assert total == reader.message_count
    return counts, kinds, stamps


@pytest.mark.parametrize('number', [signal.SIGINT, signal.SIGTERM])
def test_every_topic_arrives_complete_with_its_type_and_hash(graph, tmp_path, number):
    recorder, node = start(graph, tmp_path), graph.node()
    made = publishers(node)
    count = 40
    for k in range(count):
        for topic, publisher in made.values():
            message = topic.type()
            mark(message, k)
            publisher.publish(message)
        spin_until(node, lambda: False, 0.005)
    time.sleep(0.7)
    live = {name: str(node.get_publishers_info_by_topic(name)[0].topic_type_hash) for name in made}
    assert recorder.stop(number) == 0, recorder.output
    assert 'Traceback' not in recorder.output
    assert 'at least 0 lost' in recorder.output
    counts, kinds, stamps = read(tmp_path / 'bag')
    for name, (topic, _) in made.items():
        kind = type_name(topic.type)
        assert kinds[name] == (kind, live[name])
        assert kinds[name] == (kind, STORE.hash_rihs01(kind))
        if name == '/diagnostics':  # the recorder's own come on top
            assert counts[name] >= count
        else:
            assert counts[name] == count, name
            assert stamps[name] == list(range(count)), name


def test_a_recorder_that_could_not_run_says_so(graph, tmp_path):
    recorder, node, messages = start(graph, tmp_path), graph.node(), []
    (_, publisher), = publishers(node, [interfaces.GRAVITY]).values()
    node.create_subscription(interfaces.DIAGNOSTICS.type, '/diagnostics',
                             lambda m: messages.extend(s.message for s in m.status), 10)
    os.kill(recorder.process.pid, signal.SIGSTOP)
    end = time.monotonic() + 2.0
    while time.monotonic() < end:
        publisher.publish(interfaces.GRAVITY.type())
        time.sleep(0.001)
    os.kill(recorder.process.pid, signal.SIGCONT)
    # how many were lost the middleware does not always tell; that there was a stall is always said
    assert spin_until(node, lambda: any('stalled' in m for m in messages)), messages


def test_killed_it_has_lost_at_most_a_second(graph, tmp_path):
    recorder, node = start(graph, tmp_path), graph.node()
    made = publishers(node, [interfaces.GRAVITY])
    (_, publisher), = made.values()
    begin = time.monotonic()
    sent = []
    while time.monotonic() - begin < 3.0:
        message = interfaces.GRAVITY.type()
        message.header.stamp.sec = len(sent)
        publisher.publish(message)
        sent.append(time.monotonic())
        spin_until(node, lambda: False, 0.02)
    os.kill(recorder.process.pid, signal.SIGKILL)
    killed = time.monotonic()
    recorder.wait()
    outcome = recover(tmp_path / 'bag')
    assert not outcome.complete
    _, _, stamps = read(tmp_path / 'bag')
    assert stamps['/gravity'] == list(range(len(stamps['/gravity'])))
    assert len(stamps['/gravity']) >= sum(1 for t in sent if t < killed - 1.2)


def test_chosen_topics_only_also_foreign_and_best_effort_ones(graph, tmp_path):
    recorder = start(graph, tmp_path, 'topics:=[gravity,/chatter,/never]')
    node = graph.node()
    qos = QoSProfile(depth=10, reliability=ReliabilityPolicy.BEST_EFFORT)
    chatter = node.create_publisher(String, '/chatter', qos)
    made = publishers(node, [interfaces.GRAVITY])
    other = node.create_publisher(interfaces.OBJECT.type, '/object', 10)
    assert spin_until(node, lambda: chatter.get_subscription_count() > 0)
    statuses = []
    node.create_subscription(interfaces.DIAGNOSTICS.type, '/diagnostics', lambda m: statuses.extend(m.status), 10)
    for _ in range(20):
        chatter.publish(String(data='x'))
        made['/gravity'][1].publish(interfaces.GRAVITY.type())
        other.publish(interfaces.OBJECT.type())
        spin_until(node, lambda: False, 0.05)
    assert spin_until(node, lambda: any(v.value == '/never' for s in statuses for v in s.values))
    assert recorder.stop() == 0
    counts, kinds, _ = read(tmp_path / 'bag')
    assert set(kinds) == {'/gravity', '/chatter'}
    assert counts['/chatter'] > 0


def test_a_second_recording_takes_another_folder_and_a_namespace_its_names(graph, tmp_path):
    (tmp_path / 'bag').mkdir()
    arguments = ['--ros-args', '-r', '__ns:=/left', '-p', f'output_dir:={tmp_path}']
    recorder, node = graph.start('allegro_bench.nodes.bag_recorder', *arguments), graph.node(namespace='/left')
    assert recorder.wait_for('recording to')
    made = publishers(node, [interfaces.GRAVITY, interfaces.POLICY_STATE])
    for _ in range(3):
        for _, publisher in made.values():
            publisher.publish(publisher.msg_type())
        time.sleep(0.3)
    assert recorder.stop() == 0
    counts, _, _ = read(tmp_path / 'bag_2')
    assert counts['/left/gravity'] == counts['/left/grasp_policy/policy_state'] == 3
    assert not list((tmp_path / 'bag').iterdir())


def test_an_almost_full_disk_ends_the_recording_completely_and_is_said(graph, tmp_path):
    recorder, node, statuses = start(graph, tmp_path, 'min_free_mb:=1000000.0'), graph.node(), []
    node.create_subscription(interfaces.DIAGNOSTICS.type, '/diagnostics', lambda m: statuses.extend(m.status), 10)
    assert recorder.wait_for('disk almost full')
    assert spin_until(node, lambda: any(s.level == b'\x02' and 'min_free_mb' in s.message for s in statuses))
    assert recorder.stop() == 0
    read(tmp_path / 'bag')


def test_a_place_that_cannot_be_written_is_one_sentence(graph, tmp_path):
    (tmp_path / 'file').write_text('')
    recorder = graph.start('allegro_bench.nodes.bag_recorder', '--ros-args', '-p', f'output_dir:={tmp_path}/file/x')
    assert recorder.wait(15.0) == 2
    assert 'cannot make the bag' in recorder.output
    assert 'Traceback' not in recorder.output


def test_record_is_one_command_and_says_what_it_lost(graph, tmp_path):
    wanted = ('--topics', '/gravity', '/chat')
    recorder = graph.start('allegro_bench.cli', 'record', '--output-dir', str(tmp_path), *wanted)
    assert recorder.wait_for('recording to'), recorder.output
    publishers(graph.node(), [interfaces.GRAVITY])
    assert recorder.stop() == 0, recorder.output
    assert '0 dropped because of a slow disk, at least 0 lost' in recorder.output
    assert set(read(tmp_path / 'bag')[1]) == {'/gravity'}


def test_the_bag_says_what_the_nodes_were(graph, tmp_path):
    node = graph.node('grasp_policy')
    node.declare_parameter('policy', 'tactile_hold_linear')
    node.declare_parameter('gains', [1.0, 2.0])
    recorder = start(graph, tmp_path)
    publishers(node, [interfaces.GRAVITY])
    array = diagnostic_array(node, 'status', 0, 'IDLE', {'policy': 'tactile_hold_linear-0.1.0', 'mode': 'sim'})
    out = node.create_publisher(interfaces.DIAGNOSTICS.type, '/diagnostics', 10)
    end = time.monotonic() + 20.0
    facts = {}
    while not {'policy', 'bundle_sha256', 'parameters /grasp_policy'} <= set(facts) and time.monotonic() < end:
        out.publish(array)
        spin_until(node, lambda: False, 0.2)
        described = yaml.safe_load((tmp_path / 'bag' / 'metadata.yaml').read_text())
        facts = described['rosbag2_bagfile_information']['custom_data']
    assert recorder.stop() == 0, recorder.output
    assert facts['policy'] == 'tactile_hold_linear-0.1.0'
    assert json.loads(facts['parameters /grasp_policy'])['gains'] == [1.0, 2.0]
    assert facts['bundle_sha256'] == fingerprint(read_contents(find_bundle('tactile_hold_linear')))
    assert facts['hand_sha256'] == HAND.sha256
