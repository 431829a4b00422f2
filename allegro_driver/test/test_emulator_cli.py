"""The emulator as a program: ready line, busy ports, signals, help."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
import time

import pytest
from allegro_driver.emulator.__main__ import main

COMMAND = [sys.executable, '-m', 'allegro_driver.emulator', '--physics', 'simple']


def busy_port():
    one = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    one.bind(('127.0.0.1', 0))
    return one, one.getsockname()[1]


@pytest.mark.parametrize('option', ['--port', '--control-port'])
def test_a_busy_port_is_one_sentence_and_exit_code_2(option, capsys):
    taken, port = busy_port()
    other = '--control-port' if option == '--port' else '--port'
    with taken:
        assert main(['--physics', 'simple', option, str(port), other, '0']) == 2
    out, err = capsys.readouterr()
    assert out == ''
    assert err.count('\n') == 1
    assert str(port) in err
    assert option in err


@pytest.mark.parametrize(('arguments', 'word'), [
    (['--model', 'v5'], 'v5_sense_right'), (['--fault', 'drip'], "Did you mean 'drop'"),
    (['--fault', 'drop=2'], '0 … 1'), (['--period-ms', '0'], 'period_ms'), (['--serial', 'x' * 9], '8 ASCII'),
    (['--stream-to', 'x'], 'IP:PORT'), (['--host', '203.0.113.7'], '203.0.113.7'), (['--port', '99999'], 'port'),
    (['--serial-response-type', '0x02'], '0x35'),
])
def test_wrong_settings_are_one_sentence_and_exit_code_2(arguments, word, capsys):
    assert main(['--physics', 'simple', '--port', '0', '--control-port', '0', *arguments]) == 2
    out, err = capsys.readouterr()
    assert out == ''
    assert err.startswith('hand_emulator: ')
    assert err.count('\n') == 1
    assert word in err


def test_help_teaches(capsys):
    with pytest.raises(SystemExit) as done:
        main(['--help'])
    assert done.value.code == 0
    text = ' '.join(capsys.readouterr().out.split())
    for word in ('--torque-watchdog-ms', 'saturated_taxel', 'examples:', 'start_episode', 'default 7000', '--bus',
                 '--pty-link', 'slcand -o -c -s8', 'candump', 'socketcan:vcan0', '--script', 'missing_finger', 'v5_3f',
                 'plexus'):
        assert word in text


@pytest.mark.parametrize('number', [signal.SIGINT, signal.SIGTERM])
def test_signals_end_it_with_0_and_without_words(number):
    process = subprocess.Popen([*COMMAND, '--port', '0', '--control-port', '0'],
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        ports = json.loads(process.stdout.readline())
        assert set(ports) == {'wire_port', 'control_port'}
        assert len({*ports.values(), 0}) == 3
        began = time.monotonic()
        process.send_signal(number)
        out, err = process.communicate(timeout=5.0)
        assert time.monotonic() - began < 2.0
        assert (process.returncode, out, err) == (0, '', '')
    finally:
        process.kill()
        process.wait()


def test_it_serves_on_loopback_only():
    process = subprocess.Popen([*COMMAND, '--port', '0', '--control-port', '0'], stdout=subprocess.PIPE, text=True)
    try:
        ports = json.loads(process.stdout.readline())
        for port in ports.values():
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
                probe.bind(('127.0.0.2', port))  # would fail if it had taken all addresses
    finally:
        process.terminate()
        assert process.wait(timeout=5.0) == 0


def test_simple_physics_needs_no_mujoco_and_mujoco_is_asked_for_in_one_sentence():
    code = ('import sys; sys.modules["mujoco"] = None\n'
            'from allegro_driver.emulator.build import build_emulator\n'
            'from allegro_driver.emulator.config import EmulatorConfig\n'
            'from allegro_description.errors import MissingDependency\n'
            'build_emulator(EmulatorConfig(physics="simple"))\n'
            'try: build_emulator(EmulatorConfig())\n'
            'except MissingDependency as error: print(error)\n')
    done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, check=True)
    assert 'allegro_driver[mujoco]' in done.stdout
    assert '--physics simple' in done.stdout
    assert done.stdout.count('\n') == 1
