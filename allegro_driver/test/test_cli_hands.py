"""The command line on every kind of hand and wire, emulated."""

import numpy as np
import pytest
from allegro_description.model import load_hand
from allegro_driver.cli import main, parser
from allegro_driver.commands.hand_options import chosen_link
from allegro_driver.emulator.background import running_emulator


@pytest.mark.parametrize('name', ['v4', 'v5_a', 'v5_b', 'v5_3f', 'v5_sense', 'plexus'])
def test_probe_over_can_switches_no_motor_on_unless_asked(name, capsys):
    with running_emulator(model=name, wire='slcan') as emulator:
        body = emulator.firmware.body
        words = ['probe', emulator.address, '--model', name, '--seconds', '0.15', '--timeout', '0.5']
        assert main(words) == 0
        text = capsys.readouterr().out
        assert emulator.firmware.serial in text
        assert 'samples    0 in' in text
        assert '--servo' in text
        assert not body.servo
        assert main([*words, '--servo']) == 0
        text = capsys.readouterr().out
        assert 'samples    0 in' not in text
        assert not body.servo, 'the motors are switched off at the end'
        assert not body.torque.any()
        assert body.beyond_clamp == 0


def test_nobody_on_the_bus_is_code_2(capsys):
    with running_emulator(['ignore_requests=20'], model='v5_b', answers_info='no', wire='slcan') as emulator:
        assert main(['probe', emulator.address, '--model', 'v5_b', '--seconds', '0.1', '--timeout', '0.05']) == 2
    said = capsys.readouterr()
    assert '--servo' in said.out or 'no hand answers' in said.err


@pytest.mark.parametrize(('name', 'wire'), [('v5_sense', 'udp'), ('v5_b', 'slcan')])
def test_pose_and_motions_move_and_end_without_torque(name, wire, capsys):
    model = load_hand(name)
    with running_emulator(model=name, wire=wire) as emulator:
        body = emulator.firmware.body
        words = [emulator.address, '--model', name, '--yes', '--stale', '0.5']
        assert main(['pose', 'home', *words, '--speed', '3', '--hold', '0.8']) == 0
        assert 'torque off now' in capsys.readouterr().out
        np.testing.assert_allclose(body.world.position, model.pose('home'), atol=0.2)  # it began up to 1.5 rad away
        assert main(['play', 'gravcomp', *words, '--seconds', '0.3']) == 0
        assert 'free motion' in capsys.readouterr().out
        assert not body.applied.any()
        assert main(['play', 'dance', *words]) == 2
        assert 'gravcomp' in capsys.readouterr().err
        assert not body.applied.any()


@pytest.mark.parametrize('words', [
    ['pose', 'home', '--speed', '3', '--hold', '0.1'], ['play', 'home', '--seconds', '0.1']])
def test_what_a_left_hand_asks_for_can_be_confirmed_on_the_command_line(words, capsys):
    with running_emulator(model='v5_sense', side='left') as emulator:
        body = emulator.firmware.body
        words = [*words[:2], emulator.address, '--side', 'left', '--yes', '--stale', '0.5', *words[2:]]
        assert main(words) == 2
        said = capsys.readouterr().err
        value = f'thumb_sign@{emulator.firmware.serial}'
        assert f'add --confirmed {value}' in said
        assert 'joint_12_0 must fall' in said
        assert 'parameter' not in said
        assert main([*words, '--confirmed', 'thumb_sign@5SBL9999']) == 2
        assert main([*words, '--confirmed', 'thumb_sing']) == 2
        assert 'known: thumb_sign' in capsys.readouterr().err
        assert not body.applied.any()
        assert main([*words, '--confirmed', value]) == 0
        assert 'torque off now' in capsys.readouterr().out


def test_monitor_shows_temperatures_where_a_hand_tells_them(capsys):
    with running_emulator(model='v4', wire='slcan') as emulator:
        assert main(['monitor', emulator.address, '--model', 'v4', '--seconds', '0.8', '--stale', '0.5']) == 0
    text = capsys.readouterr().out
    assert '°C' in text
    assert 'thumb' in text


@pytest.mark.parametrize(('words', 'link'), [
    ([], 'udp'),
    (['192.168.0.50'], 'udp'),
    (['socketcan:can0'], 'can'),
    (['slcan:/dev/ttyACM0#1'], 'can'),
    (['--link', 'can'], 'can'),
    (['--model', 'v4'], 'can'),
    (['--model', 'v4', 'socketcan:can0#1'], 'can'),
])
def test_the_link_follows_from_address_and_hand(words, link):
    options = parser().parse_args(['probe', *words])
    assert chosen_link(options, load_hand(options.model)) == link


def test_list_tells_poses_and_motions_of_every_hand(capsys):
    assert main(['list']) == 0
    text = capsys.readouterr().out
    for word in ('v4_left', 'v5_b_right', 'plexus_right', 'motions: ', 'gravcomp', 'can (codec v4_can)'):
        assert word in text
