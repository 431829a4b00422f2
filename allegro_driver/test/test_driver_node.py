"""The driver node on a ROS graph, with a hand on the wire behind it."""

import json
import os
import signal
import time

import numpy as np
import pytest
from allegro_description.model import load_hand
from allegro_description.ros.testing import require_graph, spin_until
from wire_hand import WireHand

require_graph()

from allegro_description.ros.convert import command_message, tactile_from_raw, to_ns, to_stamp  # noqa: E402
from allegro_description.ros.interfaces import (  # noqa: E402
    DIAGNOSTICS,
    GRAVITY,
    JOINT_COMMANDS,
    JOINT_STATES,
    JOINT_TRAJECTORY,
    MOTION,
    TACTILE_RAW,
)
from allegro_description.state import JointCommand  # noqa: E402
from allegro_driver.nodes.trajectory_message import trajectory_from_message  # noqa: E402
from allegro_driver.protocol.v5b2_packets import MessageType  # noqa: E402
from std_srvs.srv import SetBool, Trigger  # noqa: E402
from trajectory_msgs.msg import JointTrajectory, JointTrajectoryPoint  # noqa: E402

pytestmark = pytest.mark.graph
MODEL = load_hand()
HOME = MODEL.pose('home')


class Probe:
    """Listens to a driver and talks to it."""

    def __init__(self, graph, address, **parameters):
        values = {'address': address, 'stale_after_s': 0.25, 'hold_after_s': 0.5, 'answer_timeout_s': 0.3,
                  'retry_s': 0.3, 'realtime': 'off', **parameters}
        args = [a for name, value in values.items() for a in ('-p', f'{name}:={json.dumps(value)}')]
        self.process = graph.start('allegro_driver.nodes.hand_driver', '--ros-args', *args)
        self.node = graph.node('probe')
        self.states, self.raw, self.diagnostics = [], [], []
        for topic, store in ((JOINT_STATES, self.states), (TACTILE_RAW, self.raw), (DIAGNOSTICS, self.diagnostics)):
            self.node.create_subscription(topic.type, topic.name, store.append, topic.subscribe_qos)
        self.commands = self.node.create_publisher(
            JOINT_COMMANDS.type, JOINT_COMMANDS.name, JOINT_COMMANDS.publish_qos)
        self.plans = self.node.create_publisher(
            JOINT_TRAJECTORY.type, JOINT_TRAJECTORY.name, JOINT_TRAJECTORY.publish_qos)

    def until(self, condition, timeout=15.0):
        assert spin_until(self.node, condition, timeout), self.process.output

    def call(self, name, request):
        client = self.node.create_client(_service(request), f'hand_driver/{name}')
        assert client.wait_for_service(10.0), self.process.output
        future = client.call_async(request)
        self.until(future.done)
        return future.result()

    def enable(self, on=True):
        return self.call('enable', SetBool.Request(data=on))

    def clear_fault(self):
        return self.call('clear_fault', Trigger.Request())

    def now(self):
        return self.node.get_clock().now().nanoseconds

    def value(self, key):
        for array in reversed(self.diagnostics):
            for status in array.status:
                if status.name == 'hand_driver: status':
                    return {v.key: v.value for v in status.values}.get(key)
        return None

    def send(self, position):
        self.commands.publish(command_message(MODEL, JointCommand(to_ns(self.states[-1].header.stamp), position)))


def _service(request):
    return SetBool if isinstance(request, SetBool.Request) else Trigger


@pytest.fixture
def wire():
    with WireHand(MODEL) as hand:
        yield hand


@pytest.fixture
def probe(graph, wire):
    probe = Probe(graph, wire.address)
    probe.until(lambda: len(probe.states) > 10 and len(probe.raw) > 10)
    return probe


def test_publishes_states_and_touch_with_one_stamp(probe, wire):
    message = probe.states[-1]
    assert tuple(message.name) == MODEL.joint_names
    np.testing.assert_allclose(message.position, wire.position, atol=0.05)
    assert len(message.velocity) == len(message.effort) == 16
    assert abs(probe.now() - to_ns(message.header.stamp)) < 1_000_000_000
    stamps = {to_ns(m.header.stamp) for m in probe.states}
    both = [m for m in probe.raw if to_ns(m.header.stamp) in stamps]
    assert len(both) > 0.5 * len(probe.raw)
    np.testing.assert_allclose(tactile_from_raw(both[-1])[1], 500.0)


def test_is_off_until_enabled_then_follows_positions(probe, wire):
    probe.send(HOME)
    probe.until(lambda: int(probe.value('commands_refused') or 0) >= 1)
    assert 'enable' in probe.value('last_refusal')
    assert probe.value('state') == 'off'
    reply = probe.enable()
    assert reply.success, reply.message
    goal = np.clip(HOME + 0.2, MODEL.lower, MODEL.upper)

    def there():
        probe.send(goal)
        return np.abs(np.array(probe.states[-1].position) - goal).max() < 0.03

    probe.until(there)
    probe.until(lambda: there() and probe.value('state') == 'active')
    assert float(probe.value('command_age_p50_ms')) > 0
    assert probe.enable(False).success
    probe.until(lambda: probe.value('state') == 'off')
    assert not wire.torques()[-1].any()


def test_refuses_by_name_and_says_why(probe):
    probe.enable()
    message = command_message(MODEL, JointCommand(probe.now(), HOME))
    message.name = [*message.name[:-1], 'joint_99']
    probe.commands.publish(message)
    probe.until(lambda: 'joint_99' in (probe.value('last_refusal') or ''))
    probe.until(lambda: 'joint_99' in probe.process.output)
    message = command_message(MODEL, JointCommand(probe.now() - 10**10, HOME))
    probe.commands.publish(message)
    probe.until(lambda: 'old' in (probe.value('last_refusal') or ''))
    assert int(probe.value('commands_accepted')) == 0


def plan(now, points, times, velocities=None, names=MODEL.joint_names):
    message = JointTrajectory(joint_names=list(names))
    message.header.stamp = to_stamp(now)
    for k, (position, when) in enumerate(zip(points, times, strict=True)):
        point = JointTrajectoryPoint(positions=list(position))
        point.time_from_start.sec = int(when)
        point.time_from_start.nanosec = round((when % 1) * 1e9)
        if velocities is not None and velocities[k] is not None:
            point.velocities = list(velocities[k])
        message.points.append(point)
    return message


def test_follows_a_trajectory(probe, wire):
    probe.enable()
    goal = MODEL.pose('zero')
    probe.plans.publish(plan(probe.now(), [HOME, goal], [0.2, 1.5]))
    probe.until(lambda: np.abs(np.array(probe.states[-1].position) - goal).max() < 0.03)


def test_trajectory_messages_are_checked():
    zero = np.zeros(16)
    read = trajectory_from_message(MODEL, plan(0, [HOME, zero], [1.25, 2.5], [zero, zero]), 5, 4.0)
    np.testing.assert_allclose(read.times, [1.25, 2.5])
    assert read.velocities is not None
    for message, says in (
        (plan(10**10, [HOME], [1.0]), 'from now'),
        (plan(0, [HOME, HOME], [1.0, 2.0], [zero, None]), 'all or none'),
        (plan(0, [HOME[:4]], [1.0]), 'point 0 has 4 positions'),
        (plan(0, [], []), 'no points'),
        (plan(0, [HOME], [1.0], names=[*MODEL.joint_names[:-1], 'x']), "'x'"),
    ):
        with pytest.raises(Exception, match=says):
            trajectory_from_message(MODEL, message, 5, 4.0)


def test_words_gravity_and_control_mode(probe, wire):
    words = probe.node.create_publisher(MOTION.type, MOTION.name, MOTION.publish_qos)
    gravity = probe.node.create_publisher(GRAVITY.type, GRAVITY.name, GRAVITY.publish_qos)
    probe.enable()
    words.publish(MOTION.type(data='ready'))
    goal = MODEL.pose('pregrasp')
    probe.until(lambda: np.abs(np.array(probe.states[-1].position) - goal).max() < 0.03)
    probe.until(lambda: probe.value('motion') == 'ready')
    assert 'ready: open cradle' in probe.process.output
    words.publish(MOTION.type(data='wave'))
    probe.until(lambda: "'wave'" in (probe.value('last_refusal') or ''))
    assert 'grasp_3' in probe.value('last_refusal')
    words.publish(MOTION.type(data='gravcomp'))
    probe.until(lambda: probe.value('state') == 'free')
    down = GRAVITY.type()
    down.vector.x = -9.81

    def carried():
        gravity.publish(down)
        heaviest = wire.torques()[-1]
        return np.abs(heaviest[[1, 5, 9]]).min() > 5.0  # mA at the near joints: fingers lie level now

    probe.until(carried)
    down.header.frame_id = 'table'
    probe.until(lambda: (gravity.publish(down), "frame 'table'" in probe.process.output)[1])  # warnings are throttled
    assert 'stays host' in _set(probe, 'control_mode', 'onboard').reason
    words.publish(MOTION.type(data='off'))
    probe.until(lambda: probe.value('state') == 'off')
    assert _set(probe, 'control_mode', 'onboard').successful
    probe.enable()
    probe.until(lambda: probe.value('control_mode') == 'onboard' and MessageType.HINF_MODE in wire.kinds())
    probe.until(lambda: wire.kinds()[-1] is MessageType.TORQUE)


def _set(probe, name, value):
    from rcl_interfaces.srv import SetParameters
    from rclpy.parameter import Parameter

    client = probe.node.create_client(SetParameters, 'hand_driver/set_parameters')
    assert client.wait_for_service(5.0)
    future = client.call_async(SetParameters.Request(parameters=[Parameter(name, value=value).to_parameter_msg()]))
    probe.until(future.done)
    return future.result().results[0]


def test_names_in_messages_carry_the_prefix(graph, wire):
    probe = Probe(graph, wire.address, prefix='left_')
    probe.until(lambda: len(probe.states) > 10 and len(probe.raw) > 10)
    assert list(probe.states[-1].name) == ['left_' + name for name in MODEL.joint_names]
    assert probe.raw[-1].header.frame_id == 'left_' + MODEL.palm
    np.testing.assert_allclose(probe.states[-1].position, wire.position, atol=0.05)
    probe.enable()
    message = command_message(MODEL, JointCommand(probe.now(), HOME))
    probe.commands.publish(message)
    probe.until(lambda: 'left_joint_0_0' in (probe.value('last_refusal') or ''))
    message.name = ['left_' + name for name in message.name]
    message.header.stamp = to_stamp(0)  # now
    probe.commands.publish(message)
    probe.until(lambda: probe.value('commands_accepted') == '1')


def test_fault_is_reported_and_cleared(probe, wire):
    probe.enable()
    wire.paused = True
    probe.until(lambda: probe.value('state') == 'fault')
    assert 'no sample' in probe.value('reason')
    assert not probe.enable().success
    wire.paused = False
    reply = probe.clear_fault()
    assert reply.success, reply.message
    probe.until(lambda: probe.value('state') in ('hold', 'relaxed'))


def test_live_parameters_and_refused_ones(probe):
    for value, fine in ((0.5, True), (1.5, False)):
        assert _set(probe, 'torque_scale', value).successful is fine


@pytest.mark.parametrize('number', [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_signals_end_it_quietly_with_zero_torque(probe, wire, number):
    probe.enable()
    probe.send(np.clip(HOME + 0.3, MODEL.lower, MODEL.upper))
    probe.until(lambda: wire.torques()[-1].any())
    begin = time.monotonic()
    assert probe.process.stop(number) == 0
    assert time.monotonic() - begin < 8.0  # well below a second on a machine that is not overloaded
    assert 'Traceback' not in probe.process.output
    wire.settle()
    assert wire.ends_with_zero()


def test_no_hand_is_one_sentence_and_is_tried_again(graph):
    with WireHand(MODEL) as wire:
        wire.answer_hello = False
        probe = Probe(graph, wire.address, answer_timeout_s=0.05)
        probe.until(lambda: 'no hand answers' in probe.process.output)
        assert 'Traceback' not in probe.process.output
        wire.answer_hello = True
        probe.until(lambda: len(probe.states) > 5)


def test_a_wrong_side_ends_with_code_2_when_not_retrying(graph):
    with WireHand(MODEL, serial='5SBL0001') as wire:
        probe = Probe(graph, wire.address, retry=False)
        assert probe.process.wait(20.0) == 2
        assert 'left hand, but right' in probe.process.output
        assert 'Traceback' not in probe.process.output


def test_the_real_emulator_killed_and_back(graph):
    first = graph.start('allegro_driver.emulator', '--port', '0', '--control-port', '0', '--physics', 'simple')
    assert first.wait_for('wire_port'), first.output
    port = json.loads(first.lines[0])['wire_port']
    probe = Probe(graph, f'127.0.0.1:{port}:0', enable_on_activate=True)
    probe.until(lambda: probe.value('state') in ('hold', 'relaxed'))
    os.kill(first.process.pid, signal.SIGKILL)
    probe.until(lambda: probe.value('state') == 'fault')
    assert not probe.clear_fault().success
    second = graph.start('allegro_driver.emulator', '--port', str(port), '--control-port', '0', '--physics', 'simple')
    assert second.wait_for('wire_port'), second.output
    reply = probe.clear_fault()
    assert reply.success, reply.message
    count = len(probe.states)
    probe.until(lambda: len(probe.states) > count + 50)
    assert 'Traceback' not in probe.process.output
