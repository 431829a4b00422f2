"""Faults of CAN hands and of their bus, seen from the bus; faults of any link, seen by a wire that writes down."""

from __future__ import annotations

import itertools
import math
import struct
import time

import numpy as np
import pytest
from allegro_description.errors import CommandRefused
from allegro_description.model import load_hand
from allegro_driver.emulator.background import running_emulator
from allegro_driver.emulator.client import EmulatorClient
from raw_can import Host, RawSerial

V5 = load_hand('v5_b', 'right')


# --- seen from the bus --------------------------------------------------------------------------------------------


@pytest.fixture(scope='module')
def rig():
    """One V5 that streams over a real pseudo-terminal, servo on."""
    with running_emulator(model='v5_b', wire='slcan', thermal_s=1.0) as server, \
            EmulatorClient(port=server.control_port, timeout_s=5.0) as control, Host(server.address) as host:
        yield server, control, host


@pytest.fixture
def bus(rig):
    _, control, host = rig
    control.request('clear_faults')
    for device in range(4):
        host.send(f'{0x1A0 | device:03X}#800000000000')  # device number 0 again
    host.send('104#', '204#030000000000', '100#', *(f'{0x180 + 4 * f:03X}#0000000000000000' for f in range(4)))
    host.settle()
    assert host.wait('08C#')
    yield control, host
    control.request('clear_faults')


def heard(host, seconds=0.06):
    host.settle(0.02)
    return {text[:3] for text in host.collect(seconds)}


def test_nothing_wrong(bus):
    assert heard(bus[1]) == {'080', '084', '088', '08C', '140', '148'}


def test_missing_finger(bus):
    control, host = bus
    control.request('inject', fault='missing_finger', value='ring')
    assert heard(host) == {'080', '084', '08C', '140', '148'}
    host.send('088#R')
    assert host.wait('088#', 0.1) is None
    control.request('clear_faults', fault='missing_finger')
    assert host.wait('088#')


def test_stale_stream_that_still_answers(bus):
    control, host = bus
    control.request('inject', fault='stale')
    assert heard(host) == set()
    assert host.ask('220#R')
    assert host.ask('084#R')


def test_frozen_measurements(bus):
    control, host = bus
    host.send('180#0000280028002800')  # 40 mA
    host.settle(0.05)
    control.request('inject', fault='freeze')
    host.settle()
    seen = {host.wait('080#') for _ in range(20)}
    assert len(seen) == 1
    assert control.request('world')['joint_position_rad'][1] > 0.01
    control.request('clear_faults')
    host.settle()
    assert host.wait('080#') not in seen


def test_bus_off_and_what_the_adapter_says_of_it(bus):
    control, host = bus
    control.request('inject', fault='bus_off')
    assert heard(host) == set()
    host.port.answers.clear()
    host.send('220#R')
    host.port.write(b'F\r')
    host.settle()
    assert host.port.answers == [b'\a', b'FA0\r']
    control.request('clear_faults')
    assert host.wait('080#')


def test_drop_on_the_bus(bus):
    control, host = bus
    control.request('inject', fault='drop', value=1.0)
    assert heard(host) == set()
    control.request('inject', fault='drop', value=0.5, duration_s=0.3)
    assert heard(host, 0.15)


def test_flood_of_unknown_identifiers(bus):
    control, host = bus
    control.request('inject', fault='flood', value=2000)
    names = heard(host, 0.1)
    assert {'080', '084', '088', '08C'} < names
    assert sum(int(name, 16) >= 0x400 for name in names) > 50


def test_frames_of_another_device(bus):
    control, host = bus
    control.request('inject', fault='wrong_peer')
    names = heard(host)
    assert {'080', '081', '08C', '08D', '140', '141'} <= names
    true = np.degrees(control.request('world')['joint_position_rad'][:4]) / 0.088
    for identifier, forged in (('080#', False), ('081#', True)):
        values = np.array(struct.unpack('<4h', bytes.fromhex(host.wait(identifier)[4:])))
        assert (~values if forged else values) == pytest.approx(true, abs=1)


@pytest.mark.parametrize('device', [1, 2, 3])
def test_another_device_number(bus, device):
    control, host = bus
    control.request('inject', fault='device_id', value=device)
    host.settle()
    assert heard(host) == {f'{identifier | device:03X}' for identifier in (0x80, 0x84, 0x88, 0x8C, 0x140, 0x148)}
    host.send('220#R')
    assert host.wait('220#', 0.05) is None
    assert host.ask(f'{0x220 | device:03X}#R')


def test_ignored_period(bus):
    control, host = bus
    control.request('inject', fault='period_ignored', value=20)
    host.send('204#030000000000')
    host.settle(0.05)
    assert 5 <= sum(text.startswith('080#') for text in host.collect(0.2)) <= 14
    host.send('204#000000000000')
    assert host.wait('080#', 0.5)
    control.request('inject', fault='period_ignored', value=0)
    host.send('204#030000000000')
    host.settle(0.05)
    assert heard(host) == set()


@pytest.mark.parametrize(('fault', 'text'), [
    ('wrong_side', b'5TBL0001'), ('wrong_type', b'5TAR0001'), ('blank_serial', bytes(8))])
def test_serial_numbers(bus, fault, text):
    control, host = bus
    control.request('inject', fault=fault)
    host.settle(0.01)
    assert bytes.fromhex(host.ask('220#R')[4:]) == text


def test_unanswered_requests(bus):
    control, host = bus
    control.request('inject', fault='ignore_requests', value=2)
    for expected in (None, None, '220#'):
        host.send('220#R')
        got = host.wait('220#', 0.15 if expected is None else 2.0)
        assert (got is None) == (expected is None)


def test_motor_errors_come_once_each(bus):
    control, host = bus
    control.request('inject', fault='motor_error', value='6:0x20')
    assert host.wait('3B8#') == '3B8#0620'
    assert host.wait('3B8#', 0.05) is None


def test_overheating_v5_complains_of_all_joints(bus):
    control, host = bus
    control.request('inject', fault='overheat', value=95)
    got = {host.wait('3B8#') for _ in range(16)}
    assert got == {f'3B8#{joint:02X}04' for joint in range(16)}


def test_cells(bus):
    control, host = bus
    for fault, expected in (('saturated_taxel', 23675), ('taxel_invalid', 0x7FFFFFFF), ('dead_taxel', 0)):
        control.request('inject', fault=fault, value='middle_tip')
        host.settle(0.02)
        assert struct.unpack('<2i', bytes.fromhex(host.wait('140#')[4:])) == (0, expected)


def test_zero_offset(bus):
    control, host = bus
    control.request('inject', fault='zero_offset')
    host.settle(0.02)
    thumb = struct.unpack('<4h', bytes.fromhex(host.wait('08C#')[4:]))
    assert thumb[1] - thumb[0] == pytest.approx(1.47 / math.radians(0.088), abs=1)


def test_restart(bus):
    control, host = bus
    host.send('180#0000280028002800')
    host.settle()
    assert control.request('status')['torque'][1] == 40
    control.request('inject', fault='restart', value=120)
    host.settle()
    host.send('220#R')
    assert host.wait('220#', 0.05) is None  # deaf while it starts
    time.sleep(0.12)
    assert host.ask('220#R')
    assert heard(host) == set()             # no period set
    status = control.request('status')
    assert (status['servo'], status['restarts'], any(status['torque'])) == (False, 1, False)
    host.send('204#030000000000', '100#')
    assert host.wait('080#')


def test_delay_duplicate_reorder_corrupt_reach_the_bus(bus):
    control, host = bus
    control.request('inject', fault='corrupt', value=1.0)
    assert len(heard(host)) > 6
    control.request('clear_faults')
    control.request('inject', fault='duplicate', value=1.0)
    host.settle()
    cycle = [host.port.next() for _ in range(24)]
    assert all(a == b for a, b in zip(cycle[1::2], cycle[2::2], strict=False)) or \
        all(a == b for a, b in zip(cycle[::2], cycle[1::2], strict=False))
    control.request('clear_faults')
    control.request('inject', fault='delay', value=100)
    begin = time.monotonic()
    host.settle(0.01)
    assert host.ask('220#R')
    assert time.monotonic() - begin > 0.1
    control.request('clear_faults')
    time.sleep(0.12)
    control.request('inject', fault='reorder', value=0.5)
    host.settle()
    order = [text[:3] for text in host.collect(0.06)]
    assert ('084', '080') in set(itertools.pairwise(order))


def test_faults_of_v4_and_sense_show_in_their_own_frames():
    with running_emulator(['info_fault=4', 'wrong_side'], model='v4', wire='slcan') as server, \
            Host(server.address) as host:
        info = host.ask('200#R')
        assert (info[12:14], info[16:18]) == ('01', '04')
        assert bytes.fromhex(host.ask('220#R')[4:]).rstrip(b'\0').endswith(b'L')
    with running_emulator(['taxel_invalid=palm'], model='v5_sense', wire='slcan') as server, \
            Host(server.address) as host:
        host.send('204#030000000000', '100#')
        assert host.wait('150#') == '150#FF00000000000000'


# --- datagrams ----------------------------------------------------------------------------------------------------


def test_faults_of_datagrams_from_strangers_and_of_junk():
    import socket

    with running_emulator(['wrong_peer', 'flood=2000', 'taxel_invalid=index_tip']) as server, \
            socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(('127.0.0.1', 0))
        sock.settimeout(2.0)
        sock.sendto(bytes.fromhex('56354232011000000000000000000000'), ('127.0.0.1', server.wire_port))
        own, strangers, junk = [], [], 0
        while len(own) < 30 or len(strangers) < 30 or junk < 50:
            data, sender = sock.recvfrom(2048)
            good = data[:6] == b'V5B2\x01\x02' and len(data) == 180
            if sender[1] != server.wire_port:
                strangers += [data] if good else []
            elif good:
                own.append(data)
            else:
                junk += 1
        assert all(struct.unpack_from('<16h', data, 20) == (0,) * 16 for data in own)
        assert all(struct.unpack_from('<16h', data, 20) == (-1,) * 16 for data in strangers)
        assert struct.unpack_from('<16H', own[-1], 84)[7] == 0xFFFF


def test_a_restarted_hand_on_a_network_has_no_session():
    import socket

    with running_emulator() as server, EmulatorClient(port=server.control_port, timeout_s=5.0) as control, \
            socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.connect(('127.0.0.1', server.wire_port))
        sock.settimeout(2.0)
        hello = bytes.fromhex('56354232011000000000000000000000')
        sock.send(hello)
        assert sock.recv(2048)
        control.request('inject', fault='restart', value=50)
        time.sleep(0.1)
        status = control.request('status')
        assert (status['session'], status['restarts'], status['hinf']) == (None, 1, False)
        assert status['sample'] < 100
        sock.send(hello)
        while sock.recv(2048)[5] != 0x11:
            pass


def test_clearing_one_fault_needs_its_name(rig):
    _, control, _ = rig
    with pytest.raises(CommandRefused, match='Did you mean'):
        control.request('clear_faults', fault='drp')


def test_a_client_that_vanished_under_faults_does_not_stop_the_hand(rig):
    server, control, _ = rig
    with running_emulator(model='v4', wire='slcan') as other, EmulatorClient(port=other.control_port) as ask:
        for fault in ('delay', 'flood', 'reorder', 'duplicate'):
            ask.request('inject', fault=fault)
        RawSerial(other.address.removeprefix('slcan:')).close()
        before = ask.request('status')['sample']
        time.sleep(0.1)
        assert ask.request('status')['sample'] > before
    assert control.request('status')['ok']
    assert server.wire_port == 0
