"""The test plug-in itself: a domain per run, and no silent skip where a graph is required."""

import os
import subprocess
import sys

import pytest
from allegro_description.ros import testing

MARKED = '''
import pytest
@pytest.mark.graph
def test_marked(graph):
    assert True
'''
MODULE = '''
from allegro_description.ros.testing import require_graph
require_graph()
import rclpy
def test_module():
    assert True
'''


def run_without_ros(tmp_path, content, **environment):
    (tmp_path / 'rclpy.py').write_text('raise ImportError("hidden for this test")')
    (tmp_path / 'test_probe.py').write_text(content)
    (tmp_path / 'pytest.ini').write_text('[pytest]\nmarkers = graph\naddopts = -p allegro_description.ros.testing\n')
    paths = os.pathsep.join([str(tmp_path), os.environ.get('PYTHONPATH', '')])
    clean = {k: v for k, v in os.environ.items() if k != 'ALLEGRO_REQUIRE_GRAPH'}
    return subprocess.run(
        [sys.executable, '-m', 'pytest', '-q', '-rs', '-p', 'no:cacheprovider', '-c', 'pytest.ini', 'test_probe.py'],
        cwd=tmp_path, env={**clean, 'PYTHONPATH': paths, **environment}, capture_output=True, text=True, timeout=60)


@pytest.mark.parametrize('content', [MARKED, MODULE])
def test_without_rclpy_graph_tests_are_skipped_with_a_reason(tmp_path, content):
    done = run_without_ros(tmp_path, content)
    assert done.returncode in (0, 5), done.stdout  # 5: the only module was skipped, so nothing was collected
    assert '1 skipped' in done.stdout
    assert 'no ROS graph here: hidden for this test' in done.stdout


@pytest.mark.parametrize('content', [MARKED, MODULE])
def test_without_rclpy_they_fail_where_a_graph_is_required(tmp_path, content):
    done = run_without_ros(tmp_path, content, ALLEGRO_REQUIRE_GRAPH='1')
    assert done.returncode not in (0, 5)
    assert 'ALLEGRO_REQUIRE_GRAPH=1, but no ROS graph here' in done.stdout


def test_two_runs_never_share_a_domain():
    ours = {int(os.environ['ROS_DOMAIN_ID'])}
    program = 'import os, allegro_description.ros.testing as t; print(os.environ["ROS_DOMAIN_ID"], flush=True); input()'
    # Same starting point for all of them: only the lock can tell them apart.
    program = 'import os; os.getpid = lambda: 7\n' + program
    children = [subprocess.Popen([sys.executable, '-c', program], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                 text=True) for _ in range(4)]
    try:
        taken = [int(child.stdout.readline()) for child in children]
    finally:
        for child in children:
            child.communicate('\n')
    assert len({*ours, *taken}) == 5
    assert all(1 <= domain <= 101 for domain in taken)


def test_every_claim_moves_to_another_domain_on_this_machine_only():
    before = int(os.environ['ROS_DOMAIN_ID'])
    assert testing.claim_domain() != before
    assert os.environ['ROS_AUTOMATIC_DISCOVERY_RANGE'] == 'LOCALHOST'
