"""The tactile publisher as a process: what goes in as raw readings comes out as touch."""

import math
import signal

import numpy as np
import pytest
from allegro_description.kinematics import Kinematics
from allegro_description.model import load_hand
from allegro_description.ros.testing import require_graph, spin_until
from allegro_description.state import HandState, frozen

require_graph()

from allegro_description.ros import convert, interfaces  # noqa: E402
from std_srvs.srv import Trigger  # noqa: E402

pytestmark = pytest.mark.graph
HAND = load_hand()
TIP = [t.name for t in HAND.taxels].index('index_tip')
POSE = HAND.pose('home')


class Bench:
    """Plays the driver and listens to the tactile publisher."""

    def __init__(self, graph, *parameters):
        self.node = graph.node()
        self.points, self.wrenches, self.statuses = [], [], []
        self.states, self.raw = (
            self.node.create_publisher(t.type, t.name, t.publish_qos)
            for t in (interfaces.JOINT_STATES, interfaces.TACTILE_RAW))
        wrench = interfaces.wrench_topic('index')
        for topic, into in ((interfaces.TACTILE_POINTS, self.points), (wrench, self.wrenches),
                            (interfaces.DIAGNOSTICS, self.statuses)):
            self.node.create_subscription(topic.type, topic.name, into.append, topic.subscribe_qos)
        arguments = [part for p in parameters for part in ('-p', p)]
        self.process = graph.start('allegro_driver.nodes.tactile_publisher', '--ros-args', *arguments)

    def feed(self, tip=0.0, joints=True, shift_ns=0):
        raw = np.full(len(HAND.taxels), 400.0)
        raw[TIP] += tip
        stamp = self.node.get_clock().now().nanoseconds
        state = HandState(stamp, 0, POSE, frozen(np.zeros(16)), None, frozen(raw))
        if joints:
            self.states.publish(convert.joint_state_message(HAND, state))
        self.raw.publish(convert.raw_message(HAND, state))
        return stamp

    def feed_until(self, condition, timeout=15.0, **how):
        for _ in range(int(timeout / 0.02)):
            self.feed(**how)
            if spin_until(self.node, condition, 0.02):
                return True
        return False

    def newest(self):
        return convert.points_from_message(self.points[-1])

    def tared(self):
        return bool(self.points) and self.newest()[3].all()

    def values(self):
        ours = [s for a in self.statuses for s in a.status if s.name.startswith('tactile_publisher')]
        return {v.key: v.value for v in ours[-1].values} | {'message': ours[-1].message} if ours else {}

    def zero(self):
        client = self.node.create_client(Trigger, 'tactile_publisher/zero_tactile')
        assert spin_until(self.node, client.service_is_ready)
        future = client.call_async(Trigger.Request())
        assert spin_until(self.node, future.done)
        return future.result()


def test_raw_readings_become_placed_pressures_and_wrenches(graph):
    bench = Bench(graph, 'tare_samples:=10')
    assert bench.feed_until(bench.tared), bench.process.output
    assert bench.feed_until(lambda: bench.newest()[2][TIP] > 7990.0, tip=8000.0)
    _, places, pressure, valid = bench.newest()
    np.testing.assert_allclose(places, Kinematics(HAND).taxel_poses(POSE)[:, :3, 3], atol=1e-6)
    assert valid.all()
    assert np.flatnonzero(pressure > 100.0).tolist() == [TIP]
    assert bench.points[-1].is_dense
    assert bench.feed_until(lambda: bench.wrenches[-1].wrench.force.x > 0.79, tip=8000.0)
    assert bench.wrenches[-1].header.frame_id == HAND.fingers[0].tip
    assert bench.wrenches[-1].wrench.force.x < 0.81  # 8 kPa on 100 mm²
    assert bench.feed_until(lambda: 'index_tip' in bench.values().get('contact_cells', ''), tip=8000.0)
    assert float(bench.values()['raw_rate_hz']) > 5.0
    assert bench.process.stop(signal.SIGTERM) == 0
    assert 'Traceback' not in bench.process.output


def test_stamps_pass_through(graph):
    bench = Bench(graph, 'tare_samples:=10')
    assert bench.feed_until(bench.tared)
    spin_until(bench.node, lambda: False, 0.3)
    stamp = bench.feed()
    assert spin_until(bench.node, lambda: bench.newest()[0] == stamp)


def test_without_joint_states_touch_goes_on_but_places_are_unknown(graph):
    bench = Bench(graph, 'tare_samples:=10')
    assert bench.feed_until(bench.tared, joints=False)
    _, places, _, valid = bench.newest()
    assert np.isnan(places).all()
    assert valid.all()
    assert not bench.points[-1].is_dense
    assert not bench.wrenches
    assert bench.feed_until(lambda: 'no joint states' in bench.values().get('message', ''), joints=False)


def test_zero_on_request_and_its_refusals(graph):
    bench = Bench(graph, 'tare_samples:=10')
    answer = bench.zero()
    assert not answer.success
    assert 'tactile/raw' in answer.message
    assert bench.feed_until(bench.tared)
    for _ in range(15):
        bench.feed(tip=2000.0)
        spin_until(bench.node, lambda: False, 0.01)
    assert bench.zero().success
    assert bench.feed_until(lambda: bench.newest()[2][TIP] == 0.0, tip=2000.0)
    for _ in range(15):
        bench.feed(tip=30000.0)
        spin_until(bench.node, lambda: False, 0.01)
    answer = bench.zero()
    assert not answer.success
    assert 'index_tip' in answer.message


def test_silence_is_an_error_and_a_wrong_cloud_does_no_harm(graph):
    bench = Bench(graph, 'tare_samples:=10', 'publish_divisor:=3')
    assert bench.feed_until(lambda: 'no tactile/raw' in bench.values().get('message', ''), 0.02) or spin_until(
        bench.node, lambda: 'no tactile/raw' in bench.values().get('message', ''))
    wrong = convert.raw_message(HAND, HandState(1, 0, POSE, POSE, None, frozen(np.zeros(3))))
    assert bench.feed_until(bench.tared)
    bench.raw.publish(wrong)
    assert bench.feed_until(lambda: bench.values().get('refused_samples') == '1')
    before = len(bench.points)
    for _ in range(30):
        bench.feed()
        spin_until(bench.node, lambda: False, 0.01)
    spin_until(bench.node, lambda: False, 0.3)
    assert math.isclose(len(bench.points) - before, 10, abs_tol=2)


@pytest.mark.parametrize('parameter', ['model:=v9', 'contact_off_pa:=5000.0'])
def test_what_cannot_work_is_said_in_one_sentence(graph, parameter):
    bench = Bench(graph, parameter, 'retry:=false')
    assert bench.process.wait(15.0) == 2
    assert bench.process.output.count('cannot configure') == 1
    assert 'Traceback' not in bench.process.output
