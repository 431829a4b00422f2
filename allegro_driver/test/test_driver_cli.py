"""The command line: what it says, what it does to a hand, and how it ends."""

import dataclasses
import json
import signal
import subprocess
import sys

import numpy as np
import pytest
from allegro_description.model import available_hands, load_hand
from allegro_driver.calibration import plain_calibration, save_calibration
from allegro_driver.cli import main
from allegro_driver.protocol.v5b2_packets import MessageType
from wire_hand import WireHand, wait_until

MODEL = load_hand()


@pytest.fixture
def wire():
    with WireHand(MODEL) as hand:
        yield hand


def test_help_teaches_every_command(capsys):
    with pytest.raises(SystemExit) as done:
        main(['--help'])
    assert done.value.code == 0
    text = capsys.readouterr().out
    for word in ('list', 'probe', 'pose', 'monitor', 'play', 'emulate', 'examples', 'exit code 2'):
        assert word in text


def test_list_names_hands_and_what_is_not_verified(capsys):
    assert main(['list']) == 0
    text = capsys.readouterr().out
    for name in available_hands():
        assert name in text
    assert 'not verified' in text
    assert next(iter(MODEL.unverified)) in text
    assert 'real hand' in text


def test_probe_tells_who_is_there_and_sends_no_torque(wire, capsys):
    assert main(['probe', wire.address, '--seconds', '0.5']) == 0
    text = capsys.readouterr().out
    assert '5SBR0001' in text
    assert 'right' in text
    assert '0x0203' in text
    assert set(wire.kinds()) == {MessageType.HELLO_REQUEST, MessageType.SERIAL_REQUEST}


def test_probe_warns_of_a_lost_zero(wire, capsys):
    wire.position[13] = 3.344
    assert main(['probe', wire.address, '--seconds', '0.2']) == 0
    assert 'joint_13_0 reads 3.34' in capsys.readouterr().out


def test_probe_sees_the_hand_through_its_calibration(wire, capsys, tmp_path):
    wire.position[13] = 3.0
    made = plain_calibration(MODEL, wire.serial)
    offset = made.offset.copy()
    offset[13] = -2.5
    path, _ = save_calibration(tmp_path, dataclasses.replace(made, offset=offset), MODEL)
    words = ['probe', wire.address, '--seconds', '0.2', '--calibration-dir', str(tmp_path)]
    assert main(words) == 0
    text = capsys.readouterr().out
    assert 'zeros      calibrated' in text
    assert 'reads' not in text
    path.write_text('nonsense')
    assert main(words) == 0
    assert f'warning    calibration file {path}' in capsys.readouterr().out


def test_pose_moves_there_and_ends_with_zero_torque(wire, capsys):
    assert main(['pose', 'zero', wire.address, '--yes', '--speed', '3', '--hold', '0.5',
                 '--stale', '0.5']) == 0
    assert np.abs(wire.position - MODEL.pose('zero')).max() < 0.05
    assert 'torque off' in capsys.readouterr().out
    wire.settle()
    assert wire.ends_with_zero()


def test_pose_needs_consent(wire, capsys, monkeypatch):
    monkeypatch.setattr(sys, 'stdin', open('/dev/null'))  # noqa: SIM115
    assert main(['pose', 'zero', wire.address]) == 2
    assert '--yes' in capsys.readouterr().err
    assert not wire.heard


@pytest.mark.parametrize(('words', 'says'), [
    (['probe', 'nonsense'], 'IP:PEER_PORT'),
    (['probe', '127.0.0.1:1:0', '--timeout', '0.05'], 'check power'),
    (['pose', 'hoem', '127.0.0.1', '--yes'], "'home'"),
    (['pose', 'home', '127.0.0.1', '--yes', '--speed', '99'], '99'),
    (['probe', '--model', 'v9'], 'v5_sense_right'),
    (['probe', '--link', 'telepathy'], 'udp'),
    (['monitor', '127.0.0.1:1:0', '--timeout', '0.05'], 'check power'),
    (['emulate', '--fault', 'nonsense'], 'nonsense'),
])
def test_errors_are_one_sentence_with_code_2(words, says, capsys):
    assert main(words) == 2
    error = capsys.readouterr().err
    assert says in error
    assert len(error.strip().splitlines()) == 1
    assert 'Traceback' not in error


def test_monitor_shows_every_finger_and_sends_only_zero_torque(wire, capsys):
    assert main(['monitor', wire.address, '--seconds', '0.6', '--stale', '0.5']) == 0
    text = capsys.readouterr().out
    for finger in MODEL.fingers:
        assert finger.name in text
    assert 'kPa' in text
    wire.settle()
    assert all(not t.any() for t in wire.torques())


@pytest.mark.parametrize(('number', 'code'), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_signals_end_a_move_with_zero_torque(wire, number, code):
    command = [sys.executable, '-m', 'allegro_driver', 'pose', 'zero', wire.address, '--yes', '--speed', '0.1',
               '--stale', '0.5']
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        assert wait_until(lambda: len(wire.torques()) > 50 and wire.torques()[-1].any(), 15.0)
        process.send_signal(number)
        output, _ = process.communicate(timeout=10)
    finally:
        process.kill()
        process.wait()
    assert process.returncode == code
    assert 'Traceback' not in output
    wire.settle()
    assert wire.ends_with_zero()


def test_emulate_is_the_emulator():
    process = subprocess.Popen(
        [sys.executable, '-m', 'allegro_driver', 'emulate', '--port', '0', '--control-port', '0',
         '--physics', 'simple'],
        stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        port = json.loads(process.stdout.readline())['wire_port']
        assert main(['probe', f'127.0.0.1:{port}:0', '--seconds', '0.3']) == 0
    finally:
        process.terminate()
        assert process.wait(10) == 0
