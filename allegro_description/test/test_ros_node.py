"""Node processes from outside: how they start, fail, retry, answer, and above all how they end."""

import signal
import sys
import time
from pathlib import Path

import pytest
from allegro_description.ros.testing import require_graph, spin_until

require_graph()

from diagnostic_msgs.msg import DiagnosticArray  # noqa: E402
from lifecycle_msgs.msg import Transition  # noqa: E402
from lifecycle_msgs.srv import ChangeState, GetState  # noqa: E402
from std_msgs.msg import String  # noqa: E402

pytestmark = pytest.mark.graph
CHILD = str(Path(__file__).with_name('ros_child.py'))


def start(graph, *parameters, plain=False):
    arguments = [part for p in parameters for part in ('-p', p)]
    return graph.start_command([sys.executable, CHILD, *(['--plain'] if plain else []), '--ros-args', *arguments])


def call(node, client_type, name, request):
    client = node.create_client(client_type, name)
    assert spin_until(node, client.service_is_ready)
    future = client.call_async(request)
    assert spin_until(node, future.done)
    node.destroy_client(client)
    return future.result()


def change(node, transition):
    request = ChangeState.Request()
    request.transition.id = transition
    return call(node, ChangeState, 'child/change_state', request).success


def label(node):
    return call(node, GetState, 'child/get_state', GetState.Request()).current_state.label


def hooks(child):
    known = ('configure', 'activate', 'deactivate', 'cleanup', 'blocking', 'finish')
    return [line for line in child.lines if line in known]


def ends_with(child, *expected, timeout=5.0):
    end = time.monotonic() + timeout  # what the child wrote may reach us after its answer to a service call
    while hooks(child)[-len(expected):] != list(expected) and time.monotonic() < end:
        time.sleep(0.02)
    return hooks(child)[-len(expected):] == list(expected)


@pytest.mark.parametrize('number', [signal.SIGINT, signal.SIGTERM])
def test_a_signal_leaves_the_hand_safe_quickly_and_without_traceback(graph, number):
    child = start(graph)
    assert child.wait_for('activate')
    began = time.monotonic()
    assert child.stop(number) == 0, child.output
    assert time.monotonic() - began < 6.0  # one second where nothing else runs
    assert hooks(child) == ['configure', 'activate', 'deactivate', 'cleanup']
    assert 'Traceback' not in child.output


def test_a_signal_breaks_a_blocking_configuration(graph):
    child = start(graph, 'fail:=block')
    assert child.wait_for('blocking')
    began = time.monotonic()
    assert child.stop(signal.SIGINT) == 0, child.output
    assert time.monotonic() - began < 6.0  # one second where nothing else runs
    assert hooks(child) == ['blocking', 'cleanup']
    assert 'Traceback' not in child.output


@pytest.mark.parametrize('parameters', [('fail:=build',), ('rate_hz:=0.0',), ('rate_hz:=[',), ('fail:=nonsense',)])
def test_what_cannot_be_built_says_one_sentence_and_exits_2(graph, parameters):
    child = start(graph, *parameters)
    assert child.wait(15.0) == 2
    ours = [line for line in child.lines if line.startswith('ros_child.py: ')]
    assert len(ours) == 1, child.output
    assert 'Traceback' not in child.output
    assert not hooks(child)


@pytest.mark.parametrize('where', ['configure', 'activate'])
def test_without_retry_a_failed_start_exits_2(graph, where):
    child = start(graph, f'fail:={where}', 'retry:=false')
    assert child.wait(15.0) == 2
    assert f'no answer while told to fail in {where}' in child.output
    assert ends_with(child, 'cleanup')
    assert 'Traceback' not in child.output


def test_with_retry_it_comes_up_once_the_cause_is_gone_and_complains_once(graph):
    child = start(graph, 'fail:=configure', 'times:=3', 'retry_s:=0.1')
    assert child.wait_for('activate')
    assert hooks(child) == ['configure', 'cleanup'] * 3 + ['configure', 'activate']
    assert child.output.count('no answer') == 1


def test_an_internal_error_in_a_hook_is_a_sentence_too(graph):
    child = start(graph, 'fail:=bug', 'retry:=false')
    assert child.wait(15.0) == 2
    assert 'internal error, KeyError' in child.output
    assert 'ros_child.py:' in child.output


def test_a_broken_callback_still_leaves_the_hand_safe(graph):
    child, node = start(graph, 'fail:=callback'), graph.node()
    publisher = node.create_publisher(String, 'ask', 10)
    assert child.wait_for('activate')
    assert spin_until(node, lambda: publisher.get_subscription_count() > 0)
    publisher.publish(String(data='x'))
    assert child.wait(15.0) == 1
    assert ends_with(child, 'deactivate', 'cleanup')


def test_standard_lifecycle_services_work_and_failures_can_be_tried_again(graph):
    child, node = start(graph, 'autostart:=false', 'fail:=activate', 'times:=1'), graph.node()
    assert label(node) == 'unconfigured'
    assert change(node, Transition.TRANSITION_CONFIGURE)
    assert not change(node, Transition.TRANSITION_ACTIVATE)
    assert label(node) == 'inactive'
    assert change(node, Transition.TRANSITION_ACTIVATE)
    assert label(node) == 'active'
    assert change(node, Transition.TRANSITION_DEACTIVATE)
    assert change(node, Transition.TRANSITION_CLEANUP)
    assert label(node) == 'unconfigured'
    assert change(node, Transition.TRANSITION_CONFIGURE)
    assert change(node, Transition.TRANSITION_ACTIVATE)
    assert change(node, Transition.TRANSITION_ACTIVE_SHUTDOWN)
    assert ends_with(child, 'deactivate', 'cleanup')
    assert child.stop() == 0


def test_an_error_while_deactivating_still_closes_everything(graph):
    child, node = start(graph, 'fail:=deactivate', 'times:=1'), graph.node()
    assert child.wait_for('activate')
    change(node, Transition.TRANSITION_DEACTIVATE)
    assert label(node) == 'unconfigured'
    assert ends_with(child, 'cleanup')
    assert change(node, Transition.TRANSITION_CONFIGURE)
    assert child.stop() == 0


def test_messages_flow_beside_a_fast_timer_and_diagnostics_tell(graph):
    child, node, echoes, statuses = start(graph), graph.node(), [], []
    publisher = node.create_publisher(String, 'ask', 10)
    node.create_subscription(String, 'echo', lambda m: echoes.append(m.data), 10)
    node.create_subscription(DiagnosticArray, '/diagnostics', lambda m: statuses.extend(m.status), 10)
    assert child.wait_for('activate')
    for _ in range(1000):  # the two sides of a match are not made at the same moment
        publisher.publish(String(data='hello'))
        if spin_until(node, lambda: echoes, 0.1):
            break
    for k in range(20):
        publisher.publish(String(data=str(k)))
        assert spin_until(node, lambda k=k: echoes[-1] == str(k)), echoes
    assert echoes[-20:] == [str(k) for k in range(20)]
    statuses.clear()
    assert spin_until(node, lambda: any(v.key == 'echoed' and int(v.value) >= 20 for s in statuses for v in s.values))
    values = {v.key: v.value for v in statuses[-1].values}
    assert statuses[-1].name == 'child: status'
    assert int(values['pid']) == child.process.pid
    assert 0.0 < float(values['cpu_s']) < 60.0
    assert values['lifecycle'] == 'active'


def test_plain_nodes_finish_too(graph):
    child = start(graph, plain=True)
    time.sleep(1.0)
    assert child.stop(signal.SIGTERM) in (0, -signal.SIGTERM)  # the signal may come before the handler stands
    ended = start(graph, 'fail:=bug', plain=True)
    assert ended.wait(15.0) == 0
    assert hooks(ended) == ['finish']
