"""Profiler and episode runner in a real ROS graph, with small stand-ins for policy, driver and episode control."""

import json
import os
import time

import numpy as np
import pytest
from allegro_description.ros.testing import require_graph

require_graph()

from allegro_bench.record import load_ticks  # noqa: E402
from allegro_description.model import load_hand  # noqa: E402
from allegro_description.ros.convert import (  # noqa: E402
    command_message,
    diagnostic_array,
    joint_state_message,
    points_message,
    to_stamp,
)
from allegro_description.ros.interfaces import (  # noqa: E402
    DIAGNOSTICS,
    EPISODE,
    INFERENCE,
    INFERENCE_RELEASE,
    JOINT_COMMANDS,
    JOINT_STATES,
    TACTILE_POINTS,
)
from allegro_description.ros.testing import spin_until  # noqa: E402
from allegro_description.state import HandState, JointCommand, TactileFrame  # noqa: E402
from allegro_driver.hand import NO_FAULT  # noqa: E402
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue  # noqa: E402
from sensor_msgs.msg import TimeReference  # noqa: E402
from std_srvs.srv import Trigger  # noqa: E402

from allegro_bench import result  # noqa: E402

pytestmark = pytest.mark.graph
MS = 1_000_000
PROFILER, RUNNER = 'allegro_bench.nodes.inference_profiler', 'allegro_bench.nodes.episode_runner'


class StandIn:
    """Publishes what policy, driver and emulator would, at 50 Hz, from one timer; answers their services."""

    def __init__(self, graph, *, episode_s=0.3, grasp_works=True):
        self.node = graph.node('grasp_policy')
        self.control = graph.node('episode_control')
        self.model = load_hand()
        self.publishers = {t.name: self.node.create_publisher(t.type, t.name, t.publish_qos) for t in (
            INFERENCE, INFERENCE_RELEASE, JOINT_COMMANDS, JOINT_STATES, TACTILE_POINTS, EPISODE, DIAGNOSTICS)}
        self.calls, self.episode_s, self.grasp_works = [], episode_s, grasp_works
        for what in ('grasp', 'release'):
            self.node.create_service(Trigger, f'~/{what}', lambda q, r, what=what: self.answer(what, r))
        self.control.create_service(Trigger, '~/start_episode', lambda q, r: self.answer('start_episode', r))
        self.tick, self.t0, self.index, self.ends = 0, time.time_ns(), 0, None
        self.ready_at, self.skip = 0.0, False
        self.position = self.model.pose('pregrasp')
        self.node.create_timer(0.02, self.step)

    def answer(self, what, response):
        self.calls.append(what)
        response.success, response.message = what != 'grasp' or self.grasp_works, 'hold: no joint states'
        if time.monotonic() < self.ready_at:
            response.success, response.message = False, 'grasp_policy is unconfigured'
            return response
        if what == 'start_episode':
            self.index += 1
            self.ends = time.monotonic() + self.episode_s
            self.say('started', {})
        return response

    def say(self, event, extra):
        facts = {'index': self.index, 'seed': 100 + self.index, 'shape': 'box', **extra}
        status = DiagnosticStatus(name='episode', message=event,
                                  values=[KeyValue(key=k, value=str(v)) for k, v in facts.items()])
        message = DiagnosticArray(status=[status])
        message.header.stamp = to_stamp(time.time_ns())
        self.publishers['episode'].publish(message)

    def step(self):
        now = time.time_ns()
        self.tick += 1 if not self.skip else 3
        self.skip = False
        release, start, finish = now - 2 * MS, now - MS, now - MS // 2
        inference = TimeReference(source='stand-in')
        inference.header.stamp, inference.time_ref = to_stamp(finish), to_stamp(start)
        released = TimeReference(source=str(self.tick))
        released.header.stamp, released.time_ref = to_stamp(finish), to_stamp(release)
        self.publishers['inference'].publish(inference)
        self.publishers['inference_release'].publish(released)
        state = HandState(release - MS, self.tick, self.position, self.position * 0, self.model.per_nm * 0.05)
        self.publishers['joint_states'].publish(joint_state_message(self.model, state))
        command = JointCommand(release - MS, self.position)
        self.publishers['joint_commands'].publish(command_message(self.model, command))
        pressure = abs(self.position[0]) + 1000.0
        taxels = len(self.model.taxels)
        frame = TactileFrame(release, [pressure] * taxels, [True] * taxels)
        self.publishers['tactile/points'].publish(points_message(self.model, frame, np.zeros((taxels, 3))))
        if self.tick % 25 == 0:
            values = {'pid': os.getpid(), 'cpu_s': f'{time.process_time():.3f}', 'on_time_percent': 99.9,
                      'loop_jitter_p99_us': 123.0, 'mode': 'sim', 'policy': 'stand-in'}
            self.publishers['/diagnostics'].publish(diagnostic_array(self.node, 'status', 0, 'running', values))
        if self.ends is not None and time.monotonic() >= self.ends:
            self.ends = None
            held = self.index % 3 != 2
            result_ = {'held': str(held).lower(), 'success': str(held).lower(), 'mean_torque_nm': '0.083',
                       'dropped_at_s': 'none' if held else '2.50'}
            self.say('finished' if held else 'dropped', result_)


def everyone(stand_in):
    return [stand_in.node, stand_in.control]


def test_profiler_measures_says_and_writes(graph, tmp_path):
    stand_in = StandIn(graph)
    probe = graph.node('probe')
    heard = {}
    probe.create_subscription(DIAGNOSTICS.type, DIAGNOSTICS.name,
                              lambda m: heard.update({s.name: s for s in m.status}), DIAGNOSTICS.subscribe_qos)
    profiler = graph.start(PROFILER, '--ros-args', '-p', f'output_dir:={tmp_path}', '-p', 'warmup_ticks:=10',
                           '-p', 'meter:=none')
    nodes = [*everyone(stand_in), probe]

    def latency():
        found = heard.get('inference_profiler: latency')
        return {p.key: p.value for p in found.values} if found else {}

    assert spin_until(nodes, lambda: int(latency().get('ticks', 0)) > 60, 20.0), profiler.output
    values = latency()
    assert float(values['service_p50_ms']) == pytest.approx(0.5, abs=0.01)
    assert float(values['response_p50_ms']) == pytest.approx(1.5, abs=0.01)
    assert float(values['end_to_end_p50_ms']) > 3.0
    assert values['response_p99_ms'].startswith('n/a (need 368)')
    assert values['backend'] == 'stand-in'
    energy = {p.key: p.value for p in heard['inference_profiler: energy'].values}
    assert energy['energy_source'] == 'none'
    assert 'reason' in energy

    stand_in.say('started', {})
    client = probe.create_client(Trigger, 'inference_profiler/write_report')
    assert spin_until(nodes, client.service_is_ready, 10.0)
    future = client.call_async(Trigger.Request())
    assert spin_until(nodes, future.done, 30.0), profiler.output
    assert future.result().success, future.result().message
    assert (tmp_path / 'report.html').is_file()
    before = result.load(tmp_path)

    assert spin_until(nodes, lambda: int(latency().get('ticks', 0)) > 150, 20.0)
    assert profiler.stop() == 0, profiler.output
    assert 'Traceback' not in profiler.output
    found = result.load(tmp_path)
    result.validate(found)
    assert result.verify(tmp_path) == []
    assert found['blocks'][0]['n_completed'] > before['blocks'][0]['n_completed'], 'the end writes the whole run'
    assert found['workload']['control_rate_hz'] == pytest.approx(50, rel=0.2)
    assert found['workload']['source']['kind'] == 'sim'
    assert found['workload']['policy']['policy'] == 'stand-in'
    assert found['energy_source']['name'] == 'none'
    names = {row['name'] for row in found['nodes']}
    assert {'grasp_policy', 'inference_profiler', 'whole machine'} <= names
    assert {r['source'] for r in found['nodes']} == {'proc'}, 'all of these run on this machine'
    assert found['policy_pid'] == os.getpid()
    assert found['streams']['joint_states']['messages'] > 50
    assert found['streams']['tactile/points']['messages'] > 50
    assert found['episodes']['rows'][0]['outcome'] == 'running'
    assert sum(found['account']['unmatched'].values()) == 0


def test_profiler_refuses_bad_parameters_with_one_sentence(graph):
    for wrong in ('meter:=joulemeter', 'side:=middle', 'window_s:=-1.0'):
        process = graph.start(PROFILER, '--ros-args', '-p', wrong)
        assert process.wait(20.0) == 2
        assert 'Traceback' not in process.output


def test_profiler_says_when_it_cannot_write(graph, tmp_path):
    blocker = tmp_path / 'file'
    blocker.write_text('')
    process = graph.start(PROFILER, '--ros-args', '-p', f'output_dir:={blocker}/below')
    assert process.wait_for('energy source', 20.0), process.output
    assert process.stop() == 0
    assert 'output_dir' in process.output
    assert 'Traceback' not in process.output


def test_runner_runs_episodes_and_tells_each(graph, tmp_path):
    stand_in = StandIn(graph)
    runner = graph.start(RUNNER, '--ros-args', '-p', 'episodes:=3', '-p', 'json:=true', '-p', f'output_dir:={tmp_path}')
    ended = spin_until(everyone(stand_in), lambda: runner.process.poll() is not None, 40.0)
    assert ended, runner.output
    assert runner.wait() == 0, runner.output
    lines = [json.loads(text) for text in runner.lines if text.startswith('{')]
    assert [row['event'] for row in lines] == ['episode'] * 3 + ['done']
    assert [row['outcome'] for row in lines[:3]] == ['held', 'dropped', 'held']
    assert lines[1]['dropped_at_s'] == 2.5
    assert lines[0]['mean_torque_nm'] == 0.083
    assert lines[0]['at_start_pose'] is True
    assert stand_in.calls == ['release'] + ['start_episode', 'grasp', 'release'] * 3
    stored = json.loads((tmp_path / 'episodes.json').read_text())
    assert (stored['n'], stored['held']) == (3, 2)


def test_runner_keeps_to_a_duration_in_words(graph):
    stand_in = StandIn(graph)
    runner = graph.start(RUNNER, '--ros-args', '-p', 'duration_s:=7.0', '-p', 'episode_s:=6.0')
    assert spin_until(everyone(stand_in), lambda: runner.process.poll() is not None, 40.0), runner.output
    assert runner.wait() == 0
    assert 'episode 1: box, seed 101: held, mean torque 0.083 N·m' in runner.output
    assert 'Traceback' not in runner.output
    assert stand_in.calls.count('start_episode') >= 2


def test_runner_waits_until_the_policy_is_ready(graph):
    """A lifecycle node offers its services before it is active, and refuses them until then."""
    stand_in = StandIn(graph)
    stand_in.ready_at = time.monotonic() + 3.0
    runner = graph.start(RUNNER, '--ros-args', '-p', 'episodes:=1')
    assert spin_until(everyone(stand_in), lambda: runner.process.poll() is not None, 40.0), runner.output
    assert runner.wait() == 0, runner.output
    assert 'episode 1: box' in runner.output


def test_runner_waits_for_the_start_pose_but_not_for_ever(graph):
    stand_in = StandIn(graph)
    stand_in.position = stand_in.model.pose('zero')
    runner = graph.start(RUNNER, '--ros-args', '-p', 'episodes:=1', '-p', 'pause_s:=0.2')
    assert spin_until(everyone(stand_in), lambda: runner.process.poll() is not None, 40.0), runner.output
    assert runner.wait() == 0
    assert 'off the start pose' in runner.output


def test_runner_clears_a_fault_of_the_driver_and_says_so(graph):
    stand_in, driver, cleared = StandIn(graph), graph.node('hand_driver'), []
    stand_in.position = stand_in.model.pose('zero')

    def clear(request, response):
        cleared.append(stand_in.calls.count('start_episode'))
        stand_in.position = stand_in.model.pose('pregrasp')
        response.success, response.message = True, 'hold: torque is on'
        return response

    driver.create_service(Trigger, '~/clear_fault', clear)
    runner = graph.start(RUNNER, '--ros-args', '-p', 'episodes:=2', '-p', 'json:=true')
    assert spin_until([*everyone(stand_in), driver], lambda: runner.process.poll() is not None, 40.0), runner.output
    assert runner.wait() == 0, runner.output
    lines = [json.loads(text) for text in runner.lines if text.startswith('{')]
    assert [row['event'] for row in lines] == ['fault', 'episode', 'episode', 'done']
    assert lines[0] == {'event': 'fault', 'cleared': True, 'text': 'hold: torque is on'}
    assert lines[1]['at_start_pose'] is True
    assert cleared == [0], 'before the first episode, and never again'


def test_runner_says_nothing_of_a_driver_without_a_fault(graph):
    stand_in, driver = StandIn(graph), graph.node('hand_driver')
    stand_in.position = stand_in.model.pose('zero')

    def clear(request, response):
        response.success, response.message = True, f'hold: {NO_FAULT}'
        return response

    driver.create_service(Trigger, '~/clear_fault', clear)
    runner = graph.start(RUNNER, '--ros-args', '-p', 'episodes:=1', '-p', 'pause_s:=0.2', '-p', 'json:=true')
    assert spin_until([*everyone(stand_in), driver], lambda: runner.process.poll() is not None, 40.0), runner.output
    assert runner.wait() == 0, runner.output
    assert '"fault"' not in runner.output


@pytest.mark.parametrize(('arguments', 'words', 'stand_in'), [
    (('service_timeout_s:=0.5',), 'start grasp_policy', None),
    (('service_timeout_s:=6.0', 'control_node:=nobody'), 'nobody/start_episode', {}),
    (('episodes:=1', 'episode_timeout_s:=1.0'), 'did not end', {'episode_s': 60.0}),
    (('episodes:=1', 'service_timeout_s:=3.0'), 'refused: hold: no joint states', {'grasp_works': False}),
])
def test_runner_ends_with_one_sentence_when_it_cannot_go_on(graph, arguments, words, stand_in):
    made = StandIn(graph, **stand_in) if stand_in is not None else None
    process = graph.start(RUNNER, '--ros-args', *(a for text in arguments for a in ('-p', text)))
    idle = graph.node('idle')
    nodes = [*(everyone(made) if made else []), idle]
    assert spin_until(nodes, lambda: process.process.poll() is not None, 40.0), process.output
    assert process.wait() == 2, process.output
    assert words in process.output
    assert 'Traceback' not in process.output


def test_profiler_measures_between_start_and_stop(graph, tmp_path):
    stand_in = StandIn(graph)
    probe = graph.node('probe')
    profiler = graph.start(PROFILER, '--ros-args', '-p', f'output_dir:={tmp_path / "run"}', '-p', 'meter:=none',
                           '-p', 'autostart:=false', '-p', 'warmup_ticks:=5')
    nodes = [*everyone(stand_in), probe]

    def ask(what):
        client = probe.create_client(Trigger, f'inference_profiler/{what}')
        assert spin_until(nodes, client.service_is_ready, 15.0), profiler.output
        future = client.call_async(Trigger.Request())
        assert spin_until(nodes, future.done, 30.0), profiler.output
        return future.result().success, future.result().message

    assert ask('stop') == (False, 'no run is under way; start one')
    done, words = ask('write_report')
    assert (done, 'no run was started' in words) == (False, True)
    for run in (1, 2):
        began = time.time_ns()
        assert ask('start')[0]
        assert ask('start') == (False, 'a run is under way; stop it first')
        spin_until(nodes, lambda: False, 2.0)
        done, words = ask('stop')
        ended = time.time_ns()
        assert done, words
        folder = tmp_path / ('run' if run == 1 else 'run_2')
        found = result.load(folder)
        assert result.verify(folder) == []
        assert sum(found['account']['unmatched'].values()) == 0
        assert 60 < found['blocks'][0]['n_completed'] < 50 * (ended - began) * 1e-9 + 5
        ticks = load_ticks(folder)
        assert began < ticks.done[0, 3] <= ticks.done[-1, 3] < ended
        ages, _ = ticks.command_ages()
        assert np.median(ages) < 20 * MS, 'received when the middleware did, not when the node looked'
        spin_until(nodes, lambda: False, 0.5)
    assert profiler.stop() == 0
    assert not (tmp_path / 'run_3').exists()
