"""The run's processes: order of start and stop, deaths, Ctrl-C, and that nothing is left behind.

The children are stand-ins; everything above the operating system's processes is the real thing.
"""

import os
import signal
import sys
import threading
import time
from pathlib import Path

import allegro_bringup.processes
import pytest
from allegro_bringup.graph import NodeSpec, ProcessSpec
from allegro_bringup.processes import Child
from allegro_bringup.session import Interrupted, RunFailed, Session, StopRequest

STAND_IN = Path(__file__).with_name('bringup_stand_in.py')
HAND = ProcessSpec('p', 'hand_emulator', 'hand_emulator')
DRIVER = NodeSpec('p', 'hand_driver', commands_hand=True)
PROFILER = NodeSpec('p', 'inference_profiler', writes_files=True)
POLICY = NodeSpec('p', 'grasp_policy')
RUNNER = NodeSpec('p', 'episode_runner', ends_run=True)
VIEWER = NodeSpec('p', 'hand_viewer', required=False)


@pytest.fixture
def start(tmp_path, monkeypatch):
    """A session of stand-ins; ``behaviour`` by name."""
    sessions = []

    def make(specs, read_torque=lambda: 0.0, **behaviour):
        def find(package, executable):
            extra = [behaviour[executable]] if executable in behaviour else []
            return [sys.executable, str(STAND_IN), executable, str(tmp_path), *extra]

        monkeypatch.setattr(allegro_bringup.processes, 'find_executable', find)
        session = Session(tmp_path, dict(os.environ), StopRequest(), read_torque)
        sessions.append(session)
        session.start(specs)
        return session

    yield make
    for session in sessions:
        for child in session.children.values():
            if child.running:
                child.process.kill()
                child.process.wait()


def order(folder, word):
    path = folder / 'order.txt'
    lines = path.read_text().splitlines() if path.exists() else []
    return [line.split()[1] for line in lines if line.startswith(word + ' ')]


def wait_for(condition, seconds=10.0):
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        time.sleep(0.02)
    assert condition()


def alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_the_hand_answers_before_a_node_is_started(start, tmp_path):
    session = start([HAND, DRIVER, POLICY])
    wait_for(lambda: len(order(tmp_path, 'start')) == 3)
    lines = (tmp_path / 'order.txt').read_text().splitlines()
    assert lines.index('ready hand_emulator') < lines.index('start hand_driver')
    session.hurry()


def test_at_the_end_files_are_written_before_anything_else_stops_and_the_hand_goes_last(start, tmp_path):
    session = start([HAND, DRIVER, POLICY, PROFILER])
    wait_for(lambda: len(order(tmp_path, 'start')) == 4)
    session.finish(lambda: None)
    lines = (tmp_path / 'order.txt').read_text().splitlines()
    assert lines.index('end inference_profiler') < lines.index('stop hand_driver')
    assert order(tmp_path, 'stop')[-1] == 'hand_emulator'
    assert session.killed == []


def test_in_a_hurry_everything_is_gone_within_two_seconds_even_what_does_not_listen(start, tmp_path):
    asked = []
    session = start([HAND, DRIVER, POLICY, PROFILER], lambda: asked.append(1) or 0.0, grasp_policy='deaf')
    wait_for(lambda: len(order(tmp_path, 'start')) == 4)
    pids = [child.process.pid for child in session.children.values()]
    begin = time.monotonic()
    session.hurry()
    assert time.monotonic() - begin < 2.5  # two, and what a busy machine adds
    assert not any(alive(pid) for pid in pids)
    assert session.killed == ['grasp_policy']
    assert order(tmp_path, 'stop')[-1] == 'hand_emulator'
    assert asked == [1]
    assert session.torque_ma == 0.0


@pytest.mark.parametrize('moment', ['hand_emulator', 'grasp_policy'])
def test_a_death_is_one_sentence_with_name_cause_and_log(start, moment):
    def until_it_fails():
        session = start([HAND, DRIVER, POLICY], **{moment: 'die'})
        while True:
            session.check()
            time.sleep(0.02)

    with pytest.raises(RunFailed) as caught:
        until_it_fails()
    text = str(caught.value)
    assert text.startswith(f'{moment} ended with exit code 3')
    assert 'the cable is out' in text
    assert f'{moment}.log' in text
    assert '\n' not in text


def test_a_viewer_may_be_closed(start):
    session = start([HAND, VIEWER], hand_viewer='die')
    ended = []
    wait_for(lambda: ended.extend(session.check()) or ended)
    assert [child.name for child in ended] == ['hand_viewer']
    session.check()
    session.hurry()


def test_the_run_is_over_when_the_episodes_are(start):
    session = start([HAND, RUNNER], episode_runner='through')
    wait_for(lambda: session.check() is not None and session.through())
    assert {'event': 'finished', 'index': 1, 'held': True} in session.events()
    session.finish(lambda: None)


def test_asked_to_stop_while_waiting_for_the_hand(start):
    request = StopRequest()
    with request.listening():
        threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGINT)).start()
        wait_for(lambda: request.asked)
        with pytest.raises(Interrupted):
            request.check()


def test_killed_runner_takes_its_children_along(tmp_path):
    code = (
        'import os, sys; from pathlib import Path\n'
        'from allegro_bringup.graph import ProcessSpec\nfrom allegro_bringup.processes import Child\n'
        f'c = Child(ProcessSpec("p", "x", "x"), [sys.executable, {str(STAND_IN)!r}, "x", {str(tmp_path)!r}],'
        f' Path({str(tmp_path)!r}) / "x.log", os.environ)\n'
        'print(c.process.pid, flush=True)\nimport time; time.sleep(60)\n'
    )
    runner = Child(ProcessSpec('p', 'r', 'r'), [sys.executable, '-c', code], tmp_path / 'r.log', os.environ)
    wait_for(lambda: order(tmp_path, 'start'))
    pid = int(runner.new_lines()[0])
    runner.process.kill()
    runner.process.wait()
    wait_for(lambda: not alive(pid) or Path(f'/proc/{pid}/stat').read_text().split()[2] == 'Z')
    assert order(tmp_path, 'stop') == ['x']


def test_lines_are_taken_whole_and_once(tmp_path):
    child = Child(ProcessSpec('p', 'e', 'e'), ['true'], tmp_path / 'e.log', os.environ)
    child.process.wait()
    with child.log.open('a') as log:
        log.write('one\ntw')
        log.flush()
        assert child.new_lines() == ['one']
        log.write('o\n')
        log.flush()
        assert child.new_lines() == ['two']
    assert child.new_lines() == []
