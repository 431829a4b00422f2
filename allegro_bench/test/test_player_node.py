"""The player as a process on a graph: messages byte for byte, /clock, pause, commands and live outputs set apart."""

import time
from functools import partial

import pytest
from allegro_description.ros.testing import require_graph, spin_until

require_graph()

from allegro_bench.playing.routing import Routing  # noqa: E402
from allegro_bench.recording import BagWriter  # noqa: E402
from allegro_description.ros.convert import to_ns, to_stamp  # noqa: E402
from allegro_description.ros.interfaces import GRAVITY, JOINT_COMMANDS, JOINT_STATES, MOTION, RECORDED_GRAVITY  # noqa: E402
from rclpy.serialization import serialize_message  # noqa: E402
from rosgraph_msgs.msg import Clock  # noqa: E402
from std_srvs.srv import SetBool  # noqa: E402

pytestmark = pytest.mark.graph
T0, MS = 1_700_000_000_000_000_000, 1_000_000
COUNT = 60
RECORDED = {'/joint_states': JOINT_STATES, '/joint_commands': JOINT_COMMANDS, '/gravity': GRAVITY, '/motion': MOTION}
PLAYER = 'allegro_bench.nodes.bag_player'


@pytest.fixture
def bag(tmp_path):
    with BagWriter(tmp_path / 'bag') as writer:
        for name, topic in RECORDED.items():
            writer.add_topic(name, f'{topic.type.__module__.split(".")[0]}/msg/{topic.type.__name__}')
        writer.add_topic('/strange', 'std_msgs/msg/String')
        for k in range(COUNT):
            for name, topic in RECORDED.items():
                message = topic.type()
                if topic is MOTION:
                    message.data = 'grasp_4'
                else:
                    message.header.stamp = to_stamp(T0 + k * 20 * MS)
                writer.write(name, serialize_message(message), T0 + k * 20 * MS)
    return tmp_path / 'bag'


def listen(graph):
    node, heard = graph.node('listener'), {'clock': []}

    def take(name, message):
        stamp = message.data if name.endswith('motion') else to_ns(message.header.stamp)
        heard[name].append((stamp, time.monotonic_ns()))

    for topic in RECORDED.values():
        for name in (topic.name, f'recorded/{topic.name}'):
            heard[name] = []
            node.create_subscription(topic.type, name, partial(take, name), 100)
    node.create_subscription(Clock, '/clock', lambda m: heard['clock'].append(to_ns(m.clock)), 100)
    return node, heard


def play(graph, node, heard, ready, *arguments):
    """Start the player standing still, let it play once everybody has found it, and wait for its end."""
    player = graph.start(PLAYER, '--ros-args', *arguments, '-p', 'paused:=true')
    assert spin_until(node, lambda: heard['clock'] and all(node.count_publishers(name) for name in ready), 30.0)
    spin_until(node, lambda: False, 2.0)  # the other side has to find out too
    client = node.create_client(SetBool, 'bag_player/pause')
    assert spin_until(node, client.service_is_ready, 10.0)
    client.call_async(SetBool.Request(data=False))
    assert spin_until(node, lambda: player.process.poll() is not None, 30.0), player.output
    assert player.wait() == 0, player.output
    assert 'Traceback' not in player.output
    return player.output


@pytest.mark.parametrize('commands', [False, True])
def test_a_recorded_command_reaches_a_hand_only_when_asked_for(graph, bag, commands):
    node, heard = listen(graph)
    under, silent = ('{}', 'recorded/{}') if commands else ('recorded/{}', '{}')
    names = ('joint_commands', 'gravity', 'motion')
    output = play(graph, node, heard, ('joint_states', *(under.format(n) for n in names)), '-p', f'bag:={bag}',
                  '-p', 'rate:=4.0', '-p', f'commands:={str(commands).lower()}')
    for name in names:
        assert len(heard[under.format(name)]) == COUNT
        assert heard[silent.format(name)] == []
        assert f'/{name}' in output
    assert {word for word, _ in heard[under.format('motion')]} == {'grasp_4'}
    assert len(heard['joint_states']) == COUNT
    assert heard['recorded/joint_states'] == []
    assert 'will move' in output
    assert ('-p commands:=true' in output) is not commands


def test_what_is_looked_at_is_named_as_the_player_names_it():
    assert Routing().name('/gravity', 'geometry_msgs/msg/Vector3Stamped') == f'/{RECORDED_GRAVITY.name}'


def test_plays_in_time_with_a_clock_and_sets_outputs_of_live_nodes_apart(graph, bag):
    node, heard = listen(graph)
    play(graph, node, heard, ('joint_states', 'recorded/joint_commands'), '-p', f'bag:={bag}', '-p',
         'live:=[grasp_policy]', '-p', 'rate:=2.0', '-p', 'commands:=true')
    stamps = [stamp for stamp, _ in heard['joint_states']]
    assert stamps == [T0 + k * 20 * MS for k in range(COUNT)]
    assert [stamp for stamp, _ in heard['recorded/joint_commands']] == stamps
    assert heard['joint_commands'] == []
    took = (heard['joint_states'][-1][1] - heard['joint_states'][0][1]) / 1e9
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
    assert len(heard['joint_states']) <= 1, 'only what lies at the very place'
    assert client.wait_for_service(10.0)
    future = client.call_async(SetBool.Request(data=False))
    assert spin_until(node, future.done, 10.0)
    assert future.result().message.startswith('playing at 0.')
    assert spin_until(node, lambda: len(heard['joint_states']) == COUNT, 20.0), player.output
    assert player.stop() == 0, player.output


@pytest.mark.parametrize(('wrong', 'words'), [('rate:=1.0', 'bag is empty'), ('bag:=/nowhere', '/nowhere'),
                                              ('rate:=0.0', 'rate')])
def test_bad_parameters_are_refused_with_one_sentence(graph, wrong, words):
    player = graph.start(PLAYER, '--ros-args', '-p', wrong)
    assert player.wait(20.0) == 2
    assert words in player.output
    assert 'Traceback' not in player.output
