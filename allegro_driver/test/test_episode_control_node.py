"""The ROS face of the emulator: services, object, gravity, events, the emulator going and coming back."""

from __future__ import annotations

import math
import signal

import pytest
from allegro_description.ros.testing import require_graph, spin_until
from allegro_driver.emulator.background import running_emulator
from allegro_driver.emulator.client import EmulatorClient
from allegro_driver.emulator.config import EpisodeControlConfig

require_graph()

from allegro_description.ros.interfaces import DIAGNOSTICS, EPISODE, GRAVITY, OBJECT  # noqa: E402
from allegro_driver.nodes.episode_messages import object_marker  # noqa: E402
from builtin_interfaces.msg import Time  # noqa: E402
from rcl_interfaces.srv import GetParameters  # noqa: E402
from std_srvs.srv import Trigger  # noqa: E402
from visualization_msgs.msg import Marker  # noqa: E402

pytestmark = pytest.mark.graph


class Probe:
    def __init__(self, graph, port, **parameters):
        values = {'control_port': port, **parameters}
        args = [a for name, value in values.items() for a in ('-p', f'{name}:={value}')]
        self.process = graph.start('allegro_driver.nodes.episode_control', '--ros-args', *args)
        self.node = graph.node('probe')
        self.objects, self.gravity, self.events, self.diagnostics = [], [], [], []
        for topic, store in ((OBJECT, self.objects), (GRAVITY, self.gravity), (EPISODE, self.events),
                             (DIAGNOSTICS, self.diagnostics)):
            self.node.create_subscription(topic.type, topic.name, store.append, topic.subscribe_qos)

    def until(self, condition, timeout=15.0):
        assert spin_until(self.node, condition, timeout), self.process.output

    def call(self, name, request=None):
        request = request or Trigger.Request()
        kind = Trigger if isinstance(request, Trigger.Request) else GetParameters
        client = self.node.create_client(kind, f'episode_control/{name}')
        assert client.wait_for_service(10.0), self.process.output
        future = client.call_async(request)
        self.until(future.done)
        return future.result()

    def seed(self):
        return self.call('get_parameters', GetParameters.Request(names=['seed'])).values[0].integer_value

    def names(self):
        return [e.status[0].message for e in self.events]

    def values(self, index):
        return {pair.key: pair.value for pair in self.events[index].status[0].values}

    def status(self):
        ours = [s for d in self.diagnostics for s in d.status if s.name == 'episode_control: status']
        return ours[-1] if ours else None


def test_an_episode_from_start_to_drop(graph):
    pytest.importorskip('mujoco')
    with running_emulator(physics='mujoco') as server:
        probe = Probe(graph, server.control_port, seed=3, level='L2')
        probe.until(lambda: probe.gravity)
        assert probe.gravity[-1].header.frame_id == 'palm_link'
        assert probe.gravity[-1].vector.x == pytest.approx(-9.81)
        probe.until(lambda: probe.objects)
        assert probe.objects[-1].action == Marker.DELETE

        answer = probe.call('start_episode')
        assert answer.success
        assert 'seed 3' in answer.message
        assert probe.seed() == 4
        again = probe.call('start_episode')
        assert not again.success
        assert 'is running' in again.message
        assert probe.seed() == 4  # a refused start uses no seed

        probe.until(lambda: probe.objects[-1].action == Marker.ADD)
        marker = probe.objects[-1]
        assert marker.header.frame_id == 'palm_link'
        assert min(marker.scale.x, marker.scale.y, marker.scale.z) > 0.01
        q = marker.pose.orientation
        assert math.hypot(q.w, q.x, q.y, q.z) == pytest.approx(1.0)
        assert marker.color.a == 1.0

        probe.until(lambda: 'dropped' in probe.names(), timeout=30.0)  # nobody closes the hand
        assert probe.names() == ['started', 'dropped']
        assert probe.events[0].status[0].name == 'episode'
        start, end = probe.values(0), probe.values(1)
        assert start['seed'] == end['seed'] == '3'
        assert start['level'] == 'L2'
        assert end['held'] == 'false'
        assert end['success'] == 'false'
        assert 0.8 < float(end['dropped_at_s']) < 6.0
        assert float(end['mean_torque_nm']) >= 0.0
        assert {'index', 'shape', 'slip_mm', 'turn_deg', 'p99_tip_force_n', 'mass_kg'} <= set(end)
        probe.until(lambda: probe.objects[-1].action == Marker.DELETE)

        assert probe.call('start_episode').success
        answer = probe.call('stop_episode')
        assert (answer.success, answer.message) == (True, 'episode stopped')
        probe.until(lambda: probe.names()[-1] == 'stopped')
        assert probe.call('stop_episode').message == 'no episode was running'
        assert probe.seed() == 5
        probe.until(lambda: probe.status() is not None)
        keys = {pair.key for pair in probe.status().values}
        assert {'pid', 'cpu_s', 'next_seed', 'episode', 'hand_emulator_pid', 'hand_emulator_cpu_s'} <= keys
        assert probe.process.stop(signal.SIGINT) == 0
        assert 'Traceback' not in probe.process.output


def test_the_emulator_goes_and_comes_back(graph):
    with running_emulator() as server:
        port = server.control_port
        probe = Probe(graph, port)
        probe.until(lambda: probe.gravity)
        answer = probe.call('start_episode')
        assert not answer.success
        assert '--physics mujoco' in answer.message
    probe.until(lambda: probe.process.wait_for('no answer', 0.1), timeout=10.0)
    probe.until(lambda: probe.status() is not None and probe.status().level == b'\x02')
    assert not probe.call('start_episode').success
    with running_emulator(control_port=port) as server, EmulatorClient(port=port) as client:
        client.request('set_gravity', vector=[0, 0, -5])
        probe.until(lambda: probe.gravity[-1].vector.z == -5.0)
        assert probe.process.output.count('no answer') == 1  # one WARN, however often it tried
    assert probe.process.stop(signal.SIGTERM) == 0
    assert 'Traceback' not in probe.process.output


def test_a_wrong_parameter_is_one_sentence(graph):
    process = graph.start('allegro_driver.nodes.episode_control', '--ros-args', '-p', 'level:=L9')
    assert process.wait(15.0) == 2
    assert 'L0, L1' in process.output
    assert 'Traceback' not in process.output


@pytest.mark.parametrize('shape', ['sphere', 'capsule', 'cylinder', 'box', 'ellipsoid'])
def test_every_shape_has_a_marker(shape):
    view = {'shape': shape, 'extent_m': [0.1, 0.2, 0.3], 'position_m': [1.0, 2.0, 3.0],
            'quaternion_wxyz': [1.0, 0.0, 0.0, 0.0], 'rgba': [0.1, 0.2, 0.3, 1.0]}
    marker = object_marker(view, 'palm_link', Time())
    assert (marker.scale.x, marker.scale.y, marker.scale.z) == (0.1, 0.2, 0.3)
    assert marker.pose.position.z == 3.0


@pytest.mark.parametrize('object_set', ['H2', 'H3'])
def test_compounds_are_drawn_as_triangles(object_set):
    from allegro_description.simulation.object_sets import sample_object
    from allegro_description.simulation.objects import object_rng

    obj = sample_object(object_rng(5, object_set, 0), object_set)
    view = {'shape': obj.shape, 'extent_m': list(obj.extent), 'position_m': [1.0, 2.0, 3.0], 'seed': 5,
            'object_set': object_set, 'quaternion_wxyz': [1.0, 0.0, 0.0, 0.0], 'rgba': [0.1, 0.2, 0.3, 1.0]}
    marker = object_marker(view, 'palm_link', Time())
    assert marker.type == marker.TRIANGLE_LIST
    assert marker.scale.x == marker.scale.y == marker.scale.z == 1.0
    assert len(marker.points) % 3 == 0
    reach = [2 * max(abs(getattr(p, axis)) for p in marker.points) for axis in 'xyz']
    assert reach == pytest.approx(list(obj.extent), rel=1e-2)


def test_choices_are_those_of_the_episodes():
    pytest.importorskip('mujoco')
    from allegro_description.config import parameters
    from allegro_description.simulation.episode import LEVELS
    from allegro_description.simulation.objects import OBJECT_SETS, SHAPES

    declared = {p.name: p for p in parameters(EpisodeControlConfig)}
    assert declared['level'].choices == tuple(LEVELS)
    assert declared['object_set'].choices == tuple(OBJECT_SETS)
    assert set(SHAPES) == {'sphere', 'capsule', 'cylinder', 'box', 'ellipsoid'}
