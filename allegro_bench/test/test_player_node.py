"""The player as a process on a graph: messages byte for byte, /clock, pause, outputs of live nodes set apart."""

import time

import pytest
from allegro_description.ros.testing import require_graph, spin_until

require_graph()

from allegro_bench.recording import BagWriter  # noqa: E402
from allegro_description.ros.convert import to_ns, to_stamp  # noqa: E402
from allegro_description.ros.interfaces import GRAVITY, JOINT_COMMANDS  # noqa: E402
from rclpy.serialization import serialize_message  # noqa: E402
from rosgraph_msgs.msg import Clock  # noqa: E402
from std_srvs.srv import SetBool  # noqa: E402

pytestmark = pytest.mark.graph
T0, MS = 1_700_000_000_000_000_000, 1_000_000
COUNT = 60
PLAYER = 'allegro_bench.nodes.bag_player'


@pytest.fixture
def bag(tmp_path):
    with BagWriter(tmp_path / 'bag') as writer:
        for name, topic in (('/gravity', GRAVITY), ('/joint_commands', JOINT_COMMANDS)):
            writer.add_topic(name, f'{topic.type.__module__.split(".")[0]}/msg/{topic.type.__name__}')
        writer.add_topic('/strange', 'std_msgs/msg/String')
        for k in range(COUNT):
            for name, topic in (('/gravity', GRAVITY), ('/joint_commands', JOINT_COMMANDS)):
                message = topic.type()
                message.header.stamp = to_stamp(T0 + k * 20 * MS)
                writer.write(name, serialize_message(message), T0 + k * 20 * MS)
    return tmp_path / 'bag'


def listen(graph):
    node = graph.node('listener')
    heard = {'gravity': [], 'recorded/joint_commands': [], 'joint_commands': [], 'clock': []}
    for name, topic in (('gravity', GRAVITY), ('recorded/joint_commands', JOINT_COMMANDS),
                        ('joint_commands', JOINT_COMMANDS)):
        node.create_subscription(
            topic.type, name,
            lambda m, name=name: heard[name].append((to_ns(m.header.stamp), time.monotonic_ns())), 100)
    node.create_subscription(Clock, '/clock', lambda m: heard['clock'].append(to_ns(m.clock)), 100)
    return node, heard


def test_plays_in_time_with_a_clock_and_sets_outputs_of_live_nodes_apart(graph, bag):
    node, heard = listen(graph)
    player = graph.start(PLAYER, '--ros-args', '-p', f'bag:={bag}', '-p', 'live:=[grasp_policy]', '-p', 'rate:=2.0',
                         '-p', 'paused:=true')
    ready = ('gravity', 'recorded/joint_commands')
    assert spin_until(node, lambda: heard['clock'] and all(node.count_publishers(name) for name in ready), 30.0)
    spin_until(node, lambda: False, 2.0)  # the other side has to find out too
    client = node.create_client(SetBool, 'bag_player/pause')
    assert spin_until(node, client.service_is_ready, 10.0)
    client.call_async(SetBool.Request(data=False))
    assert spin_until(node, lambda: player.process.poll() is not None, 30.0), player.output
    assert player.wait() == 0, player.output
    assert 'Traceback' not in player.output
    stamps = [stamp for stamp, _ in heard['gravity']]
    assert stamps == [T0 + k * 20 * MS for k in range(COUNT)]
    assert [stamp for stamp, _ in heard['recorded/joint_commands']] == stamps
    assert heard['joint_commands'] == []
    took = (heard['gravity'][-1][1] - heard['gravity'][0][1]) / 1e9
    assert took == pytest.approx((COUNT - 1) * 0.02 / 2.0, abs=0.25)
    assert heard['clock'] == sorted(heard['clock'])
    assert heard['clock'][0] == T0
    assert heard['clock'][-1] == T0 + (COUNT - 1) * 20 * MS


def test_stands_still_when_told(graph, bag):
    node, heard = listen(graph)
    player = graph.start(PLAYER, '--ros-args', '-p', f'bag:={bag}', '-p', 'paused:=true')
    client = node.create_client(SetBool, 'bag_player/pause')
    assert spin_until(node, lambda: len(heard['clock']) > 5, 20.0), player.output
    spin_until(node, lambda: False, 1.0)
    assert len(heard['gravity']) <= 1, 'only what lies at the very place'
    assert client.wait_for_service(10.0)
    future = client.call_async(SetBool.Request(data=False))
    assert spin_until(node, future.done, 10.0)
    assert future.result().message.startswith('playing at 0.')
    assert spin_until(node, lambda: len(heard['gravity']) == COUNT, 20.0), player.output
    assert player.stop() == 0, player.output


@pytest.mark.parametrize(('wrong', 'words'), [('rate:=1.0', 'bag is empty'), ('bag:=/nowhere', '/nowhere'),
                                              ('rate:=0.0', 'rate')])
def test_bad_parameters_are_refused_with_one_sentence(graph, wrong, words):
    player = graph.start(PLAYER, '--ros-args', '-p', wrong)
    assert player.wait(20.0) == 2
    assert words in player.output
    assert 'Traceback' not in player.output
