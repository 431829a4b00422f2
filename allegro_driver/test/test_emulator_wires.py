"""Emulated hands over every wire, spoken to by a host made of bytes: the vendor's start-up, streams, torque, servo."""

from __future__ import annotations

import json
import os
import signal
import struct
import subprocess
import sys
import time
from collections import Counter

import numpy as np
import pytest
from allegro_description.errors import LinkError
from allegro_driver.emulator.background import running_emulator
from allegro_driver.emulator.client import EmulatorClient
from allegro_driver.emulator.udp_wire import UdpWire
from raw_can import Host, RawSerial

CLASSIC = {'v4': 4, 'v5_a': 6, 'v5_b': 6, 'v5_3f': 5, 'v5_sense': 8}
"""Model and frames per cycle."""


def wires(model):
    # The two kinds of V5 differ in their description only: one of them on one wire is enough.
    return ('slcan',) if model == 'v5_a' else ('slcan', f'virtual:{model}')


CASES = [(model, wire) for model in (*CLASSIC, 'plexus') for wire in wires(model)]


def lost_s(server):
    with EmulatorClient(port=server.control_port, timeout_s=5.0) as control:
        return control.request('status')['lost_ms'] / 1000.0


def joints(text):
    return struct.unpack('<4h', bytes.fromhex(text[4:]))


def torque(identifier, *values):
    return f'{identifier:03X}#' + struct.pack('<4h', *values).hex().upper()


@pytest.mark.parametrize(('model', 'wire'), [c for c in CASES if c[0] != 'plexus'])
def test_a_vendor_like_session_of_the_classic_hands(model, wire):
    """Servo off, who are you, serial, 3 ms, servo on, a torque frame for each finger; at the end the servo off."""
    with running_emulator(model=model, wire=wire) as server, Host(server.address) as host:
        host.send('104#')
        info, serial = host.ask('200#R'), host.ask('220#R')
        assert len(info) == 4 + 14
        assert b'R' in bytes.fromhex(serial[4:])
        host.send('204#030000000000', '100#')
        if model == 'v5_sense':
            host.send(*['228#0000000000000000'] * 3)
        assert host.wait('084#')
        first, begin = server.firmware.sample, time.monotonic()
        got = host.collect(0.15)
        took, steps = time.monotonic() - begin, server.firmware.sample - first
        cycles = Counter(text[:3] for text in got)
        assert len(cycles) == CLASSIC[model]
        assert min(cycles.values()) >= steps - 12
        assert max(cycles.values()) <= steps + 12  # some were under way when counting began
        assert steps == pytest.approx((took - lost_s(server)) / 0.003, rel=0.15, abs=6)
        start = joints(host.wait('084#'))
        host.send(torque(0x184, 0, 60, -0, 0))
        host.settle(0.1)
        moved = joints(host.wait('084#'))
        assert moved[1] > start[1] + (5 if model != 'v4' else 50)
        assert moved[0] == start[0]
        host.send('104#')
        host.settle(0.1)
        position = joints(host.ask('084#R'))
        time.sleep(0.04)
        host.settle(0.01)
        assert joints(host.ask('084#R')) == position
        host.send('204#000000000000')
        host.settle()
        assert host.collect(0.03) == []


@pytest.mark.parametrize('wire', wires('plexus'))
def test_a_vendor_like_session_of_the_plexus(wire):
    with running_emulator(model='plexus', wire=wire) as server, Host(server.address) as host:
        assert server.address.endswith('#1')
        assert len(host.ask('101#')) == 4 + 16  # the vendor's "remote" frames are empty data frames
        host.send('011#0A0A0A0AFF', '00D#00', '015#010A00000000',
                  *(torque(0x051 + 4 * f, *[178] * 4) for f in range(4)), '00D#01')
        assert host.ask('105#')
        host.settle()
        cycles = Counter(text[:3] for text in host.collect(0.28))
        assert len(cycles) in (13, 17)  # temperatures come every 255 ms
        assert cycles['081'] == pytest.approx(30, abs=8)
        host.send(torque(0x045, 0, 300, 0, 0))
        host.settle(0.15)
        assert joints(host.wait('085#'))[1] > 20
        host.send('00D#00', '015#010B00000000')
        host.settle(0.1)
        before = joints(host.ask('085#R'))
        time.sleep(0.05)
        assert joints(host.ask('085#R')) == pytest.approx(before, abs=1)


def test_the_host_chooses_the_period():
    with running_emulator(model='v5_3f', wire='slcan') as server, Host(server.address) as host:
        for period, wanted in ((2, 100), (20, 10)):
            host.send(f'204#{period:02X}0000000000', '100#')
            host.settle()
            before = lost_s(server)
            begin = time.monotonic()
            count = Counter(text[:3] for text in host.collect(0.2))['080']
            took = time.monotonic() - begin - (lost_s(server) - before)
            assert count == pytest.approx(wanted * took / 0.2, rel=0.25, abs=2)


def test_two_v4_on_one_bus_hear_their_own_frames_only():
    with running_emulator(model='v4', wire='virtual:pair', side='right', device_id=0) as right, \
            running_emulator(model='v4', wire='virtual:pair', side='left', device_id=1) as left, \
            Host('virtual:pair') as host:
        assert (right.address, left.address) == ('virtual:pair', 'virtual:pair#1')
        assert host.ask('200#R')[12:14] == '00'
        assert host.ask('201#R')[12:14] == '01'
        host.send('204#030000000000', '205#030000000000', '100#', '101#', torque(0x185, 0, 400, 0, 0))
        host.settle(0.2)
        assert joints(host.wait('085#'))[1] > 500
        assert joints(host.wait('084#'))[1] == 0


def test_two_datagram_hands_on_two_ports():
    with running_emulator() as one, running_emulator(side='left') as other:
        assert one.wire_port != other.wire_port
        assert isinstance(one.wire, UdpWire)


def test_a_bus_that_cannot_be_joined_is_one_sentence():
    with pytest.raises(LinkError, match='socketcan:nosuchbus') as caught, \
            running_emulator(model='v4', wire='socketcan:nosuchbus'):
        pass
    assert 'ip link set' in str(caught.value)


def test_the_suites_driver_opens_every_hand_on_its_default_wire():
    from allegro_description.model import load_hand
    from allegro_driver.config import DriverConfig
    from allegro_driver.hardware import make_hardware

    for name in (*CLASSIC, 'plexus'):
        model = load_hand(name, 'left')
        with running_emulator(model=name, side='left') as server:
            link = 'udp' if server.wire_port else 'can'
            hardware = make_hardware(model, DriverConfig(
                model=name, side='left', link=link, address=server.address, guardian=False))
            try:
                assert hardware.open().side == 'left'
                hardware.enable(True)
                state = hardware.read(1.0)
                np.testing.assert_allclose(
                    state.position, server.firmware.body.encoders, atol=np.deg2rad(model.actuation.position_lsb_deg))
            finally:
                hardware.close()
            deadline = time.monotonic() + 2.0
            while server.firmware.body.applied.any() and time.monotonic() < deadline:
                time.sleep(0.005)
            assert not server.firmware.body.applied.any()


# --- as a program -------------------------------------------------------------------------------------------------


def program(*arguments):
    return subprocess.Popen(
        [sys.executable, '-m', 'allegro_driver.emulator', '--physics', 'simple', '--control-port', '0', *arguments],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_the_program_prints_its_address_keeps_a_link_and_removes_it_at_the_end(tmp_path):
    link = tmp_path / 'hand'
    os.symlink('/dev/pts/987654', link)  # left over from one that was killed
    process = program('--model', 'v4', '--pty-link', str(link))
    try:
        ready = json.loads(process.stdout.readline())
        assert ready['address'] == f'slcan:{link}'
        assert ready['control_port'] > 0
        with Host(ready['address']) as host:
            assert host.ask('200#R')
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=5.0)
        assert (process.returncode, out, err) == (0, '', '')
        assert not os.path.lexists(link)
    finally:
        process.kill()
        process.wait()


def test_what_lies_in_the_place_of_the_link_is_left_alone(tmp_path):
    link = tmp_path / 'hand'
    link.write_text('mine')
    process = program('--model', 'v4', '--pty-link', str(link))
    out, err = process.communicate(timeout=10.0)
    assert (process.returncode, out) == (2, '')
    assert err.count('\n') == 1
    assert '--pty-link' in err
    assert link.read_text() == 'mine'


def test_a_killed_program_leaves_a_link_that_the_next_one_replaces(tmp_path):
    link = tmp_path / 'hand'
    for _ in range(2):
        process = program('--model', 'v5_3f', '--pty-link', str(link))
        try:
            address = json.loads(process.stdout.readline())['address']
            port = RawSerial(address.removeprefix('slcan:'))
            port.send('220#R')
            assert port.next().startswith('220#')
            port.close()
        finally:
            process.kill()
            process.communicate()
    assert os.path.lexists(link)
