"""The bridge on a ROS graph: their clients and our driver, our clients and their driver."""

import contextlib
import json

import numpy as np
import pytest
from allegro_description.model import load_hand
from allegro_description.ros.testing import require_graph, spin_until
from allegro_driver.emulator.background import running_emulator
from allegro_driver.emulator.client import EmulatorClient

require_graph()

from allegro_description.errors import AllegroError  # noqa: E402
from allegro_description.ros.convert import (  # noqa: E402
    command_message,
    diagnostic_array,
    joint_state_message,
    raw_message,
    tactile_from_raw,
    to_ns,
)
from allegro_description.ros.interfaces import (  # noqa: E402
    DIAGNOSTICS,
    JOINT_COMMANDS,
    JOINT_STATES,
    TACTILE_RAW,
)
from allegro_description.state import HandState, JointCommand, frozen  # noqa: E402
from allegro_driver.dialect import ros2_control_joints  # noqa: E402
from allegro_driver.nodes.vendor_bridge import VendorBridge  # noqa: E402
from rclpy.parameter import Parameter  # noqa: E402
from ros_ears import Ears, every_10_ms  # noqa: E402
from sensor_msgs.msg import JointState  # noqa: E402
from std_msgs.msg import Float32, Float32MultiArray, Float64MultiArray, String  # noqa: E402
from std_srvs.srv import SetBool  # noqa: E402

pytestmark = pytest.mark.graph
MODEL = load_hand()
HOME = MODEL.pose('home')
GOAL = np.clip(HOME + 0.2, MODEL.lower, MODEL.upper)
OFF_NAMES, OFF_ORDER = ros2_control_joints(MODEL, 'ah_')


class StandInDriver(Ears):
    """What the bridge meets of our driver, in this process."""

    def __init__(self, graph):
        super().__init__(graph, 'hand_driver', namespace='/hand')
        self.node.declare_parameter('control_mode', 'host')
        self.position, self.switched = np.array(HOME), []
        self.hear(JointState, JOINT_COMMANDS.name)
        self.hear(String, 'motion')
        self.node.create_service(SetBool, '~/enable', self._switch)
        self.mouth(JointState, JOINT_STATES.name, JOINT_STATES.publish_qos)

    def _switch(self, request, response):
        self.switched.append(request.data)
        response.success, response.message = True, 'off: torque is off'
        return response

    def measure(self, age_s=0.0, tactile=None):
        self.stamp = self.node.get_clock().now().nanoseconds - round(age_s * 1e9)
        state = HandState(self.stamp, 1, frozen(self.position), frozen(np.full(16, 0.5)), frozen(np.full(16, 10.0)),
                          None if tactile is None else frozen(tactile))
        self.say(joint_state_message(MODEL, state), JOINT_STATES.name, JOINT_STATES.publish_qos)
        if tactile is not None:
            self.say(raw_message(MODEL, state), TACTILE_RAW.name, TACTILE_RAW.publish_qos)

    def status(self, state, serial='S1'):
        self.say(diagnostic_array(self.node, 'status', 0, state, {'state': state}, serial), DIAGNOSTICS.name,
                 DIAGNOSTICS.publish_qos)

    @property
    def commands(self):
        return self.heard[JOINT_COMMANDS.name]


def bridge(graph, namespace='/hand', **values):
    overrides = [Parameter(name, value=value) for name, value in values.items()]
    return graph.add(VendorBridge(namespace=namespace, parameter_overrides=overrides))


class Scene:
    """A stand-in driver, a bridge and a client of theirs, all in this process."""

    def __init__(self, graph, **values):
        self.driver, self.bridge = StandInDriver(graph), bridge(graph, **values)
        self.client = Ears(graph)

    def until(self, condition, timeout=8.0, measuring=True, **measured):
        measure = every_10_ms(lambda: self.driver.measure(**measured))

        def met():
            if measuring:
                measure()
            return condition()

        nodes = [self.driver.node, self.bridge, self.client.node]
        assert spin_until(nodes, met, timeout), self.bridge.diagnostics()

    def connected(self, topic, kind=JointState):
        """Wait until the bridge hears the client on this topic."""
        mouth = self.client.mouth(kind, topic)
        self.until(lambda: mouth.get_subscription_count())

    def refusals(self):
        return self.bridge._refused


JOINT_CMD, LIB_CMD = '/allegroHand_0/joint_cmd', '/allegroHand_0/lib_cmd'


def test_a_client_of_the_vendors_sees_their_names_and_units(graph):
    scene = Scene(graph)
    scene.client.hear(JointState, '/allegroHand_0/joint_states')
    scene.client.hear(Float32MultiArray, '/allegroHand_0/tactile_sensors')
    states, touch = scene.client.heard.values()
    pressure = np.arange(16) * 500.0
    scene.until(lambda: states and touch, tactile=pressure)
    message = states[-1]
    assert list(message.name) == [f'joint_{k}_0' for k in range(16)]
    np.testing.assert_allclose(message.position, HOME)
    np.testing.assert_allclose(message.effort, 10.0, err_msg='mA, as their node publishes')
    np.testing.assert_allclose(message.velocity, 0.5)
    np.testing.assert_allclose(touch[-1].data, pressure / 1e3)


def test_one_joint_cmd_is_kept_up_with_fresh_stamps_until_torque_goes_off(graph):
    scene = Scene(graph)
    scene.connected(JOINT_CMD)
    scene.until(lambda: scene.bridge._side._observed_ns)
    scene.client.say(JointState(position=GOAL.tolist()), JOINT_CMD)
    commands = scene.driver.commands
    scene.until(lambda: len(commands) >= 5)
    for message in commands:
        assert tuple(message.name) == MODEL.joint_names
        np.testing.assert_allclose(message.position, GOAL)
    stamps = [to_ns(message.header.stamp) for message in commands]
    assert sorted(set(stamps)) == stamps
    assert scene.driver.node.get_clock().now().nanoseconds - stamps[-1] < 2_000_000_000
    scene.driver.status('off')
    scene.until(lambda: not scene.bridge._side._kept.active)
    count = len(commands)
    scene.until(lambda: scene.driver.stamp > stamps[-1] + 200_000_000)
    assert len(commands) <= count + 1


def test_a_silent_driver_and_a_fault_end_what_was_kept_but_not_the_fault_of_another_hand(graph):
    scene = Scene(graph, serial='S2')
    kept = scene.bridge._side._kept
    scene.connected(JOINT_CMD)

    def command():
        scene.until(lambda: scene.bridge._side._observed_ns)
        scene.client.say(JointState(position=GOAL.tolist()), JOINT_CMD)
        scene.until(lambda: kept.active)

    command()
    scene.driver.status('fault', 'S1')
    heard = scene.bridge._side._hands
    scene.until(lambda: 'S1' in heard)
    assert kept.active
    scene.driver.status('fault', 'S2')
    scene.until(lambda: not kept.active)
    command()
    scene.driver.measure(age_s=-0.6)  # the next observation, after a silence
    scene.until(lambda: not kept.active, measuring=False)


@pytest.mark.parametrize(('message', 'says'), [
    (JointState(position=[0.1] * 15), '15 values'),
    (JointState(position=[0.1] * 17), '17 values'),
    (JointState(position=[0.1] * 15 + [float('nan')]), 'NaN'),
    (JointState(), 'no positions'),
    (JointState(effort=[0.1] * 16), 'efforts are not taken'),
    (JointState(position=[0.1] * 16, velocity=[1.0] * 16), 'velocity commands'),
])
def test_malformed_joint_cmds_move_nothing(graph, message, says):
    scene = Scene(graph)
    scene.connected(JOINT_CMD)
    scene.client.say(message, JOINT_CMD)
    scene.until(scene.refusals)
    assert says in scene.bridge.diagnostics()[1]
    assert not scene.driver.commands


def test_words_reach_the_driver_or_are_refused_with_a_sentence(graph, tmp_path):
    (tmp_path / 'wave.yaml').write_text(f'position: {GOAL.tolist()}\n')
    scene = Scene(graph, pose_dir=str(tmp_path))
    scene.connected(LIB_CMD, String)
    driver = scene.driver

    def word(text, condition):
        scene.client.say(String(data=text), LIB_CMD)
        scene.until(condition)

    word('gravcomp', lambda: [m.data for m in driver.heard['motion']] == ['gravcomp'])
    word('wave', lambda: driver.commands)
    word('off', lambda: driver.switched == [False])
    assert not scene.bridge._side._kept.active
    word('hinf_on', lambda: driver.node.get_parameter('control_mode').value == 'onboard')
    word('hinf_off', lambda: driver.node.get_parameter('control_mode').value == 'host')
    for number, (text, says) in enumerate(
            (('calibration', 'allegro-hand calibrate'), ('../wave', 'is no motion'), ('dance', 'known: ')), 1):
        word(text, lambda n=number: scene.refusals() == n)
        assert says in scene.bridge.diagnostics()[1]
    assert [m.data for m in driver.heard['motion']] == ['gravcomp']


def test_topics_that_cannot_be_obeyed_are_answered(graph):
    scene = Scene(graph)
    scene.connected('/allegroHand_0/time_chg', Float32)
    scene.client.say(Float32(data=2.0), '/allegroHand_0/time_chg')
    scene.until(scene.refusals)
    assert 'motion_speed' in scene.bridge.diagnostics()[1]


def test_before_the_driver_measures_nothing_is_taken(graph):
    scene = Scene(graph)
    mouth = scene.client.mouth(JointState, JOINT_CMD)
    scene.until(mouth.get_subscription_count, measuring=False)
    scene.client.say(JointState(position=GOAL.tolist()), JOINT_CMD)
    scene.until(scene.refusals, measuring=False)
    assert 'is it active' in scene.bridge.diagnostics()[1]


def test_a_client_of_the_ros2_control_stack(graph):
    scene = Scene(graph, dialect='ros2_control')
    scene.client.hear(JointState, '/joint_states')
    topic = '/allegro_hand_position_controller/commands'
    scene.connected(topic, Float64MultiArray)
    states, commands = scene.client.heard['/joint_states'], scene.driver.commands
    scene.until(lambda: states)
    assert tuple(states[-1].name) == OFF_NAMES
    np.testing.assert_allclose(states[-1].position, HOME[OFF_ORDER])
    np.testing.assert_allclose(states[-1].effort, (10.0 / MODEL.per_nm)[OFF_ORDER])
    scene.client.say(Float64MultiArray(data=GOAL[OFF_ORDER].tolist()), topic)
    scene.until(lambda: commands)
    np.testing.assert_allclose(commands[-1].position, GOAL)


def test_the_topic_based_interface_is_not_followed_to_zero(graph):
    """It sends zeros before any controller runs; then one interface is chosen of those it sends."""
    scene = Scene(graph, dialect='topic_based')
    topic = '/robot_joint_commands'
    scene.connected(topic)
    scene.until(lambda: scene.bridge._side._observed_ns)
    names = list(MODEL.joint_names)[::-1]
    scene.client.say(JointState(name=names, position=[0.0] * 16), topic)
    begin = scene.driver.stamp
    scene.until(lambda: scene.driver.stamp > begin + 300_000_000)
    assert not scene.driver.commands
    both = JointState(name=names, position=GOAL[::-1].tolist(), effort=[0.0] * 16)
    scene.client.say(both, topic)
    scene.until(lambda: scene.driver.commands)
    for message in scene.driver.commands:
        np.testing.assert_allclose(message.position, GOAL)
        assert not message.effort


def test_both_sides_on_one_topic_is_a_sentence(graph):
    with pytest.raises(AllegroError, match='namespace'):
        bridge(graph, namespace='/', dialect='ros2_control')


@pytest.mark.parametrize(('values', 'topic', 'kind', 'order'), [
    ({'dialect': 'vendor'}, JOINT_CMD, JointState, np.arange(16)),
    ({'dialect': 'ros2_control'}, '/allegro_hand_position_controller/commands', Float64MultiArray, OFF_ORDER),
])
def test_our_clients_drive_their_driver(graph, values, topic, kind, order):
    """Their driver limits nothing, so what reaches it is within range and slow; their names and units become ours."""
    node = bridge(graph, namespace='/client', direction='to_vendor', **values)
    theirs, ours = Ears(graph, 'their_driver'), Ears(graph, 'our_client', namespace='/client')
    theirs.hear(kind, topic)
    ours.hear(JointState, JOINT_STATES.name)
    names = [f'joint_{k}_0' for k in range(16)] if kind is JointState else list(OFF_NAMES)
    state_topic = '/allegroHand_0/joint_states' if kind is JointState else '/joint_states'
    far = np.full(16, 5.0)

    def running(condition):
        def met():
            message = JointState(name=names, position=HOME[order].tolist(), effort=[10.0] * 16)
            message.header.stamp = theirs.node.get_clock().now().to_msg()
            theirs.say(message, state_topic, 3)
            heard = ours.heard[JOINT_STATES.name]
            if heard:
                command = JointCommand(to_ns(heard[-1].header.stamp), frozen(far))
                ours.say(command_message(MODEL, command), JOINT_COMMANDS.name, JOINT_COMMANDS.publish_qos)
            return condition()

        assert spin_until([node, theirs.node, ours.node], met, 8.0), node.diagnostics()

    sent = theirs.heard[topic]
    running(lambda: len(sent) >= 5 and len(ours.heard[JOINT_STATES.name]) >= 5)
    state = ours.heard[JOINT_STATES.name][-1]
    np.testing.assert_allclose(state.position, HOME)
    per_nm = MODEL.per_nm if kind is JointState else np.ones(16)
    np.testing.assert_allclose(state.effort, 10.0 / per_nm)
    targets = [np.array(m.position if kind is JointState else m.data) for m in sent]
    assert all((t <= MODEL.upper[order] + 1e-9).all() for t in targets)
    assert (targets[0] < MODEL.upper[order]).any(), 'a jump to the end of the range'
    assert all(len(t) == 16 for t in targets)


def test_words_and_touch_on_the_way_to_their_driver(graph):
    node = bridge(graph, namespace='/client', direction='to_vendor', start_word='pdControl')
    theirs, ours = Ears(graph, 'their_driver'), Ears(graph, 'our_client', namespace='/client')
    theirs.hear(String, LIB_CMD)
    ours.hear(type(TACTILE_RAW.type()), TACTILE_RAW.name)
    words, raw = theirs.heard[LIB_CMD], ours.heard[TACTILE_RAW.name]
    nodes = [node, theirs.node, ours.node]

    def measure():
        theirs.say(JointState(name=[], position=HOME.tolist()), '/allegroHand_0/joint_states', 3)
        theirs.say(Float32MultiArray(data=[0.5] * 16), '/allegroHand_0/tactile_sensors', 10)

    paced = every_10_ms(measure)

    def running(condition):
        def met():
            paced()
            return condition()

        assert spin_until(nodes, met, 8.0), node.diagnostics()

    running(lambda: raw and ours.mouth(String, 'motion').get_subscription_count())
    np.testing.assert_allclose(tactile_from_raw(raw[-1])[1], 500.0)
    ours.say(String(data='grasp_3'), 'motion')
    running(lambda: [w.data for w in words] == ['grasp_3'])
    ours.say(String(data='fly'), 'motion')
    running(lambda: node._refused)
    client = ours.node.create_client(SetBool, 'vendor_bridge/enable')
    running(client.service_is_ready)
    for on, success in ((True, False), (False, True)):
        future = client.call_async(SetBool.Request(data=on))
        running(future.done)
        assert future.result().success is success
    running(lambda: [w.data for w in words][-1] == 'off')
    ours.say(command_message(MODEL, JointCommand(0, HOME)), JOINT_COMMANDS.name, JOINT_COMMANDS.publish_qos)
    running(lambda: [w.data for w in words][-1] == 'pdControl')


def test_a_vendor_client_moves_a_joint_of_a_real_driver_and_an_emulated_hand(graph):
    """Everything real but the hand: client, bridge process, driver process, datagrams. Then ours behind theirs."""
    with running_emulator() as emulator:
        values = {'address': f'127.0.0.1:{emulator.wire_port}:0', 'stale_after_s': 0.25, 'hold_after_s': 0.5,
                  'realtime': 'off', 'guardian': False, 'enable_on_activate': True}
        args = [a for name, value in values.items() for a in ('-p', f'{name}:={json.dumps(value)}')]
        driver = graph.start('allegro_driver.nodes.hand_driver', '--ros-args', '-r', '__ns:=/hand', *args)
        process = graph.start('allegro_driver.nodes.vendor_bridge', '--ros-args', '-r', '__ns:=/hand')
        back = bridge(graph, namespace='/client', direction='to_vendor')
        theirs, ours = Ears(graph, 'their_client'), Ears(graph, 'our_client', namespace='/client')
        theirs.hear(JointState, '/allegroHand_0/joint_states')
        ours.hear(JointState, JOINT_STATES.name)
        states, seen = theirs.heard['/allegroHand_0/joint_states'], ours.heard[JOINT_STATES.name]

        def until(condition):
            assert spin_until([back, theirs.node, ours.node], condition, 20.0), driver.output + process.output

        until(lambda: len(states) > 10 and theirs.mouth(JointState, JOINT_CMD).get_subscription_count())
        goal = np.array(states[-1].position)
        goal[2] += 0.4
        theirs.say(JointState(position=goal.tolist()), JOINT_CMD)
        until(lambda: abs(states[-1].position[2] - goal[2]) < 0.05)
        with contextlib.closing(EmulatorClient('127.0.0.1', emulator.control_port, 1.0)) as control:
            assert control.request('world')['joint_position_rad'][2] == pytest.approx(goal[2], abs=0.1)
        # The same driver as "theirs", moved by one of our clients through the bridge the other way.
        until(lambda: seen)
        goal = np.array(seen[-1].position)
        goal[6] += 0.4

        def there():
            command = JointCommand(to_ns(seen[-1].header.stamp), frozen(goal))
            ours.say(command_message(MODEL, command), JOINT_COMMANDS.name, JOINT_COMMANDS.publish_qos)
            return abs(states[-1].position[6] - goal[6]) < 0.05

        until(there)
        assert 'Traceback' not in driver.output + process.output
