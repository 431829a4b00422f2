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
from rclpy.node import NodeNameNonExistentError  # noqa: E402
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


def test_a_recorded_command_does_not_reach_a_hand_unless_asked_for(graph, bag):
    node, heard = listen(graph)
    names = ('joint_commands', 'gravity', 'motion')
    output = play(graph, node, heard, ('joint_states', *(f'recorded/{n}' for n in names)), '-p', f'bag:={bag}',
                  '-p', 'rate:=4.0')
    for name in names:
        assert len(heard[f'recorded/{name}']) == COUNT
        assert heard[name] == []
        assert f'/{name} as /recorded/{name}' in output
    assert len(heard['joint_states']) == COUNT
    assert heard['recorded/joint_states'] == []
    assert '-p commands:=true plays them, and a hand that listens will move' in output


def test_whatever_moves_a_hand_listens_to_nothing_else_than_commands_and_measurements(graph):
    measured = {'/joint_states', '/tactile/raw', '/diagnostics', '/allegroHand_0/joint_states',
                '/allegroHand_0/tactile_sensors', '/parameter_events', '/clock'}
    node = graph.node('onlooker')
    nodes = {'hand_driver': ('hand_driver', ()), 'inwards': ('vendor_bridge', ('-p', 'direction:=to_driver')),
             'outwards': ('vendor_bridge', ('-p', 'direction:=to_vendor'))}
    for name, (module, more) in nodes.items():
        graph.start(f'allegro_driver.nodes.{module}', '--ros-args', '-r', f'__node:={name}', *more)

    def heard(name):
        try:
            return dict(node.get_subscriber_names_and_types_by_node(name, '/'))
        except NodeNameNonExistentError:
            return {}

    # What each of them subscribes to last.
    assert spin_until(node, lambda: '/gravity' in heard('hand_driver') and '/allegroHand_0/gff_rpy' in heard('inwards')
                      and '/allegroHand_0/tactile_sensors' in heard('outwards'), 30.0)
    for name in nodes:
        commanding = {topic: kinds[0] for topic, kinds in heard(name).items() if topic not in measured}
        assert commanding
        assert set(Routing().held(commanding)) == set(commanding), name


def test_what_is_looked_at_is_named_as_the_player_names_it():
    assert Routing().name('/gravity', 'geometry_msgs/msg/Vector3Stamped') == f'/{RECORDED_GRAVITY.name}'


def test_plays_in_time_with_a_clock_and_sets_outputs_of_live_nodes_apart(graph, bag):
    node, heard = listen(graph)
    output = play(graph, node, heard, ('joint_states', 'recorded/joint_commands', 'gravity', 'motion'), '-p',
                  f'bag:={bag}', '-p', 'live:=[grasp_policy]', '-p', 'rate:=2.0', '-p', 'commands:=true')
    stamps = [stamp for stamp, _ in heard['joint_states']]
    assert stamps == [T0 + k * 20 * MS for k in range(COUNT)]
    assert [stamp for stamp, _ in heard['recorded/joint_commands']] == stamps
    assert heard['joint_commands'] == heard['recorded/motion'] == []
    assert [word for word, _ in heard['motion']] == ['grasp_4'] * COUNT
    assert 'a hand that listens to /gravity, /motion will move' in output
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
