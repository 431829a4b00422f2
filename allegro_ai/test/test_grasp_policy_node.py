"""The policy node as a process of its own, seen through its topics and services."""

import dataclasses
import itertools
import time

import numpy as np
import pytest
from ai_bundles import changed, write_random_bundle
from allegro_ai.archive import write_folder
from allegro_ai.bundle import load_bundle
from allegro_ai.replay import read_step, replay, skew
from allegro_description.model import load_hand
from allegro_description.ros.testing import require_graph, spin_until

require_graph()

from allegro_description.ros.convert import command_from_message, joint_state_message, points_message, to_ns  # noqa: E402
from allegro_description.ros.interfaces import (  # noqa: E402
    DIAGNOSTICS,
    INFERENCE,
    INFERENCE_RELEASE,
    JOINT_COMMANDS,
    JOINT_STATES,
    OOD_SCORE,
    POLICY_STATE,
    TACTILE_POINTS,
)
from allegro_description.state import HandState, TactileFrame  # noqa: E402
from std_srvs.srv import Trigger  # noqa: E402

pytestmark = pytest.mark.graph
HAND = load_hand()


@pytest.fixture(scope='module')
def bundle(tmp_path_factory):
    """Generous times: the machine that tests may be busy."""
    folder = tmp_path_factory.mktemp('node') / 'random_linear'
    contract = {'safety': {'ood_stop': 1e6, 'stale_ms': 500.0}}
    written = write_random_bundle(folder, **contract)
    return written.path


class Peer:
    """The rest of the graph: joint states that follow the commands, touch, the driver's parameters, a listener."""

    def __init__(self, graph, **parameters):
        self.node = graph.node('hand_driver')
        told = {'model': 'v5_sense', 'side': 'right', 'control_mode': 'host', 'torque_scale': 1.0,
                'max_target_speed': 4.0, 'address': '127.0.0.1:17000:18000', **parameters}
        for name, value in told.items():
            self.node.declare_parameter(name, value)
        self.position = HAND.pose('home') + 0.1
        self.stop = HAND.pose('home') + np.where(HAND.flexion, 0.3, 9.0)
        self.talking = True
        self.rename = None
        self.follow = True
        heard = (JOINT_COMMANDS, INFERENCE, INFERENCE_RELEASE, POLICY_STATE, OOD_SCORE, DIAGNOSTICS)
        self.seen = {t.name: [] for t in heard}
        self.positions = {}
        self._states = self.node.create_publisher(JOINT_STATES.type, JOINT_STATES.name, JOINT_STATES.publish_qos)
        self._touch = self.node.create_publisher(TACTILE_POINTS.type, TACTILE_POINTS.name, TACTILE_POINTS.publish_qos)
        for topic in heard:
            self.node.create_subscription(topic.type, topic.public_name, self._listener(topic.name), 200)
        self.services = {n: self.node.create_client(Trigger, f'grasp_policy/{n}') for n in ('grasp', 'release')}
        self.node.create_timer(0.008, self._talk)

    def _listener(self, name):
        def heard(message):
            self.seen[name].append(message)
            if name == JOINT_COMMANDS.name and self.follow:
                self.position = np.minimum(command_from_message(HAND, message).position, self.stop)
        return heard

    def _talk(self):
        if not self.talking:
            return
        now = self.node.get_clock().now().nanoseconds
        message = joint_state_message(HAND, HandState(now, 0, self.position, np.zeros(16)))
        if self.rename is not None:
            message.name = self.rename
        self.positions[now] = self.position
        self._states.publish(message)
        pressure = np.full(len(HAND.taxels), 4000.0)
        frame = TactileFrame(now, pressure, np.ones(len(pressure), dtype=bool))
        self._touch.publish(points_message(HAND, frame, np.zeros((len(pressure), 3))))

    def until(self, predicate, timeout=20.0):
        return spin_until(self.node, predicate, timeout)

    def rest(self, seconds):
        end = time.monotonic() + seconds
        self.until(lambda: time.monotonic() > end, seconds + 5)

    def status(self):
        for message in reversed(self.seen[DIAGNOSTICS.name]):
            for status in message.status:
                if status.name == 'grasp_policy: status':
                    return status, {v.key: v.value for v in status.values}
        return None, {}

    def call(self, name):
        assert self.until(self.services[name].service_is_ready), f'no service {name}'
        future = self.services[name].call_async(Trigger.Request())
        assert self.until(future.done), f'{name} did not answer'
        return future.result()

    def grasp(self):
        """Ask for a grasp until everything it needs has been seen; the last answer."""
        assert self.until(lambda: self.status()[1].get('lifecycle') == 'active'), 'the node did not become active'
        for _ in range(20):
            answer = self.call('grasp')
            if answer.success or 'yet' not in answer.message:
                return answer
            self.rest(0.3)
        return answer

    def phase(self):
        return self.status()[1].get('phase')


def start(graph, bundle, **parameters):
    values = {'policy': str(bundle), 'warmup': 20, **parameters}
    arguments = [a for k, v in values.items() for a in ('-p', f'{k}:={v}')]
    return graph.start('allegro_ai.nodes.grasp_policy', '--ros-args', *arguments)


def test_a_grasp_from_start_to_exit(graph, bundle):
    process, peer = start(graph, bundle), Peer(graph)
    answer = peer.grasp()
    assert answer.success, answer.message + process.output
    assert peer.until(lambda: len(peer.seen[POLICY_STATE.name]) > 30), process.output
    again = peer.call('grasp')
    assert not again.success
    assert 'under way' in again.message

    commands = peer.seen[JOINT_COMMANDS.name]
    assert all(tuple(m.name) == HAND.joint_names for m in commands)
    stamps = {to_ns(m.header.stamp) for m in commands}
    assert stamps <= set(peer.positions), 'commands carry the stamp of their joint state'
    first = command_from_message(HAND, commands[0]).position
    assert np.abs(first - (HAND.pose('home') + 0.1)).max() < 0.06, 'soft start: the first target is near the hand'

    loaded = load_bundle(bundle, HAND)
    policy = loaded.policy()
    steps = [read_step(loaded, to_ns(m.header.stamp), m.name, m.position) for m in peer.seen[POLICY_STATE.name][:30]]
    assert [s.number for s in steps] == list(range(30))
    assert replay(policy, steps).max() < 1e-5, 'what is logged must reproduce what was done'
    assert skew(loaded, steps, peer.positions).max() < 1e-6, 'each state is paired with the target before it'
    late = [dataclasses.replace(a, target=b.target) for a, b in itertools.pairwise(steps)]
    assert skew(loaded, late, peer.positions).max() > 1e-4, 'one step of skew would be seen'
    assert len(peer.seen[OOD_SCORE.name]) > 25
    assert all(m.data > 0 for m in peer.seen[OOD_SCORE.name])
    targets = {to_ns(m.header.stamp): command_from_message(HAND, m).position for m in commands}
    last = peer.seen[POLICY_STATE.name][20]
    sent = dict(zip(last.name, last.position, strict=True))
    np.testing.assert_allclose([sent[f'target/{n}'] for n in HAND.joint_names], targets[to_ns(last.header.stamp)])

    finished = {to_ns(m.header.stamp): m for m in peer.seen[INFERENCE.name]}
    released = {to_ns(m.header.stamp): m for m in peer.seen[INFERENCE_RELEASE.name]}
    both = sorted(set(finished) & set(released))
    assert len(both) > 25, 'the two messages of one inference share their stamp'
    for stamp in both:
        began, due = to_ns(finished[stamp].time_ref), to_ns(released[stamp].time_ref)
        assert due <= began <= stamp
        assert finished[stamp].source == 'onnxruntime'
    indices = [int(released[s].source) for s in both]
    assert indices == sorted(set(indices)), 'each control period has a number of its own'
    spacing = np.diff([to_ns(released[s].time_ref) for s in both]) / np.diff(indices)
    assert np.median(spacing) == pytest.approx(20e6, rel=0.02)

    assert peer.call('release').success
    assert peer.until(lambda: peer.phase() == 'IDLE'), process.output
    values = peer.status()[1]
    assert int(values['inferences']) > 25
    assert float(values['cpu_ms_per_inference']) > 0
    assert values['pid'] == str(process.process.pid)
    count = len(commands)
    peer.rest(0.5)
    assert len(commands) <= count + 1, 'an idle policy is silent'
    assert process.stop() == 0
    assert 'inferences, p50' in process.output, 'cadence summary'
    assert 'Traceback' not in process.output


def test_stale_states_hold_and_silence(graph, bundle):
    process, peer = start(graph, bundle), Peer(graph)
    assert peer.grasp().success, process.output
    assert peer.until(lambda: len(peer.seen[POLICY_STATE.name]) > 5), process.output
    peer.talking = False
    assert peer.until(lambda: 'ms old' in peer.status()[1].get('hold_reason', '')), process.output
    count = len(peer.seen[JOINT_COMMANDS.name])
    peer.rest(0.4)
    assert len(peer.seen[JOINT_COMMANDS.name]) <= count + 1
    refused = peer.call('release')
    assert not refused.success
    assert 'ms old' in refused.message
    peer.talking = True
    peer.rest(1.2)
    assert peer.phase() == 'HOLD', 'nothing moves again by itself'
    commands = [command_from_message(HAND, m).position for m in peer.seen[JOINT_COMMANDS.name][-5:]]
    np.testing.assert_array_equal(commands[0], commands[-1])


def test_joint_names_fail_closed(graph, bundle):
    process, peer = start(graph, bundle), Peer(graph)
    assert peer.grasp().success, process.output
    assert peer.until(lambda: len(peer.seen[JOINT_COMMANDS.name]) > 5), process.output
    peer.rename = [*HAND.joint_names[:-1], 'joint_99']
    assert peer.until(lambda: 'joint_99' in peer.status()[1].get('hold_reason', '')), process.output
    answer = peer.call('grasp')
    assert not answer.success
    assert 'joint_99' in answer.message


@pytest.mark.parametrize(('parameters', 'message'), [
    ({'address': '192.168.0.50'}, 'say mode:=live'),
    ({'address': ''}, 'say mode:=live'),
    ({'torque_scale': 0.3}, 'torque_limit_nm'),
    ({'control_mode': 'onboard'}, 'set control_mode to host'),
    ({'side': 'left'}, 'the driver moves v5_sense_left'),
])
def test_a_driver_that_does_not_fit_is_refused(graph, bundle, parameters, message):
    process, peer = start(graph, bundle), Peer(graph, **parameters)
    answer = peer.grasp()
    assert not answer.success
    assert message in answer.message, process.output
    assert peer.seen[JOINT_COMMANDS.name] == []


def test_shadow_computes_and_stays_silent(graph, bundle):
    process, peer = start(graph, bundle, mode='shadow'), Peer(graph, address='192.168.0.50')
    answer = peer.grasp()
    assert answer.success, process.output
    assert 'nothing is commanded' in answer.message
    assert peer.until(lambda: len(peer.seen[POLICY_STATE.name]) > 10), process.output
    assert peer.seen[JOINT_COMMANDS.name] == []


def test_without_joint_states_it_waits_and_says_so(graph, bundle):
    process, peer = start(graph, bundle), Peer(graph)
    peer.talking = False
    assert peer.until(lambda: 'no joint states have arrived' in process.output), process.output
    assert peer.until(lambda: peer.status()[1].get('lifecycle') == 'inactive'), process.output
    answer = peer.call('grasp')
    assert not answer.success
    peer.talking = True
    assert peer.until(lambda: peer.status()[1].get('lifecycle') == 'active'), process.output


@pytest.mark.parametrize(('parameters', 'message'), [
    ({'policy': 'no_such_policy'}, "unknown policy bundle 'no_such_policy'"),
    ({'backend': 'warp_drive'}, "unknown inference backend 'warp_drive'"),
    ({'backend': 'null', 'mode': 'live'}, 'does not compute the policy'),
    ({'mode': 'real'}, 'shadow, sim, live'),
    ({'side': 'left'}, 'v5_sense_left'),
    ({'require_signature': 'true', 'trusted_keys': 'nowhere'}, 'no such trust store'),
])
def test_what_cannot_start_says_why_in_one_sentence(graph, bundle, parameters, message):
    process = start(graph, bundle, retry='false', **parameters)
    assert process.wait(20.0) == 2, process.output
    assert message in process.output
    assert 'Traceback' not in process.output


def test_a_workload_does_not_start_live(graph, tmp_path):
    write_folder(changed(lambda d: d.update(kind='workload')), tmp_path / 'workload')
    process = start(graph, tmp_path / 'workload', retry='false', mode='live')
    assert process.wait(20.0) == 2
    assert 'is a workload' in process.output


def test_an_altered_bundle_does_not_start(graph, bundle, tmp_path):
    import shutil
    folder = shutil.copytree(bundle, tmp_path / 'altered')
    with (folder / 'policy.onnx').open('ab') as file:
        file.write(b'\0')
    process = start(graph, folder, retry='false')
    assert process.wait(20.0) == 2
    assert 'policy.onnx was altered' in process.output
