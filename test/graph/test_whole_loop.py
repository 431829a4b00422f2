"""The whole loop when something is wrong with it: stopped too early, told nonsense, bereft of its driver."""

import os
import signal
import subprocess
import sys
import time

import pytest

pytestmark = [pytest.mark.graph, pytest.mark.slow]
COMMAND = [sys.executable, '-m', 'allegro_bringup.demo', '--viewer', 'false']


@pytest.fixture
def start(tmp_path):
    """Start the runner; whatever is left of it is ended with the test."""
    processes = []

    def make(*options):
        environment = {k: v for k, v in os.environ.items() if k != 'ROS_DOMAIN_ID'}
        process = subprocess.Popen(
            [*COMMAND, '--output-dir', str(tmp_path / 'run'), *options], env=environment, cwd=tmp_path, text=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True)
        processes.append(process)
        return process

    yield make
    for process in processes:
        if process.poll() is None:
            process.kill()
            process.wait()


def ours(folder):
    """Process ids of whatever runs with this run's folder on its command line or is the run's emulator."""
    found = []
    for pid in filter(str.isdigit, os.listdir('/proc')):
        try:
            with open(f'/proc/{pid}/cmdline', 'rb') as file:
                if str(folder).encode() in file.read():
                    found.append(int(pid))
        except OSError:
            continue
    return found


def wait_for_text(log, process):
    end = time.monotonic() + 90
    while time.monotonic() < end and not (log.exists() and log.stat().st_size):
        assert process.poll() is None
        time.sleep(0.05)


def test_ctrl_c_before_anything_moves(start, tmp_path):
    process = start('--duration', '60')
    run = tmp_path / 'run'
    wait_for_text(run / 'logs' / 'hand_emulator.log', process)
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=30)
    assert process.returncode == 130, output
    assert 'torque is zero' in output
    assert ours(run) == []


@pytest.mark.parametrize(('option', 'value', 'known'), [
    ('--policy', 'no_such_policy', 'tactile_hold_linear'), ('--backend', 'onx', 'onnxruntime'),
])
def test_what_cannot_work_is_said_before_anything_starts(start, tmp_path, option, value, known):
    process = start(option, value)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 2
    assert value in output
    assert known in output
    assert 'Traceback' not in output
    assert not (tmp_path / 'run').exists()


def test_the_death_of_the_driver_ends_the_run_safely(start, tmp_path):
    process = start('--duration', '60')
    wait_for_text(tmp_path / 'run' / 'logs' / 'episode_runner.log', process)
    for pid in ours(tmp_path / 'run'):
        with open(f'/proc/{pid}/cmdline', 'rb') as file:
            if b'__node:=hand_driver' in file.read():
                os.kill(pid, signal.SIGKILL)
    output, _ = process.communicate(timeout=30)
    assert process.returncode == 1, output
    assert 'hand_driver was killed by signal 9' in output
    assert 'torque is zero' in output
    assert ours(tmp_path / 'run') == []
