"""Faults of CAN hands and of their bus, seen from the bus; faults of any link, seen by a wire that writes down."""

from __future__ import annotations

import itertools
import json
import math
import random
import struct
import time

import numpy as np
import pytest
from allegro_description.errors import AllegroError, CommandRefused, ConfigError, UnknownName
from allegro_description.model import load_hand
from allegro_driver.emulator.background import running_emulator
from allegro_driver.emulator.build import build_emulator
from allegro_driver.emulator.cable import Cable
from allegro_driver.emulator.can_faults import forge_frame, junk_frame, spoil_frame
from allegro_driver.emulator.client import EmulatorClient
from allegro_driver.emulator.config import EmulatorConfig
from allegro_driver.emulator.fault_table import FAULTS
from allegro_driver.emulator.faults import FaultSet
from allegro_driver.emulator.script import FaultScript
from allegro_driver.protocol.can_frames import CanFrame
from hypothesis import given
from hypothesis import strategies as st
from raw_can import Host, RawSerial

V5 = load_hand('v5_b', 'right')
V4 = load_hand('v4', 'right')
DATAGRAM_ONLY = {'bus_off', 'missing_finger', 'period_ignored', 'device_id', 'overheat', 'info_fault'}


# --- the cable, without a wire ------------------------------------------------------------------------------------


class Ledger:
    """A wire that writes down what is sent and hands out what was put in."""

    kind, bus_off = 'can', False

    def __init__(self):
        self.sent, self.waiting = [], []

    def receive(self):
        return (self.waiting.pop(0), None) if self.waiting else None

    def send(self, unit, to, forged=False):
        self.sent.append((unit, forged))
        return True

    def spoil(self, unit, dice):
        return spoil_frame(unit, dice)

    def junk(self, dice):
        return junk_frame(dice)

    def forge(self, unit):
        return forge_frame(unit)


def frames(count):
    return [CanFrame(0x080, struct.pack('<Q', n)) for n in range(count)]


def through(fault, value=None, count=400, at=1.0):
    """What arrives of so many frames, in order."""
    wire, faults = Ledger(), FaultSet(V5, 1)
    cable = Cable(wire, faults)
    faults.inject(fault, value)
    for unit in frames(count):
        cable.send(unit, None, at)
    cable.flush(at)
    return [unit for unit, _ in wire.sent], wire, cable


def test_no_fault_changes_nothing():
    wire = Ledger()
    cable = Cable(wire, FaultSet(V5))
    for unit in frames(50):
        cable.send(unit, None, 0.0)
    cable.flush(0.0)
    assert [unit for unit, _ in wire.sent] == frames(50)
    assert cable.due is None


def test_drop_loses_a_share_in_both_directions():
    got, wire, cable = through('drop', 0.25)
    assert 250 < len(got) < 350
    wire.waiting = frames(400)
    heard = [cable.receive() for _ in range(400)]
    assert 50 < sum(unit is None for unit, _ in heard) < 150
    assert cable.counts['received'] == 400
    assert cable.counts['lost'] == (400 - len(got)) + sum(unit is None for unit, _ in heard)
    assert cable.receive() is None


def test_delay_holds_everything_back_for_so_long():
    got, wire, cable = through('delay', 50, count=3, at=1.0)
    assert got == []
    assert cable.due == pytest.approx(1.05)
    cable.flush(1.049)
    assert wire.sent == []
    cable.flush(1.051)
    assert [unit for unit, _ in wire.sent] == frames(3)


def test_duplicate_sends_a_share_twice():
    got, _, _ = through('duplicate', 0.5)
    assert 550 < len(got) < 650
    assert sorted(set(got)) == sorted(frames(400))
    numbers = [struct.unpack('<Q', unit.data)[0] for unit in got]
    assert all(b - a in (0, 1) for a, b in itertools.pairwise(numbers))


def test_reorder_swaps_neighbours_and_loses_nothing():
    got, _, _ = through('reorder', 0.5)
    numbers = [struct.unpack('<Q', unit.data)[0] for unit in got]
    assert sorted(numbers)[:-1] == list(range(len(numbers) - 1))  # the last one may still be held back
    assert len(numbers) >= 399
    assert 0 < sum(a > b for a, b in itertools.pairwise(numbers)) < 300
    assert all(abs(n - place) <= 1 for place, n in enumerate(numbers))


def test_corrupt_changes_one_place():
    got, _, _ = through('corrupt', 1.0)
    changed = list(zip(got, frames(400), strict=True))
    assert all(a != b for a, b in changed)
    assert {a.identifier != b.identifier for a, b in changed} == {True, False}
    assert {len(a.data) != len(b.data) for a, b in changed} == {True, False}


def test_wrong_peer_adds_frames_of_another_device_number_with_other_contents():
    got, _, _ = through('wrong_peer', count=10)
    assert len(got) == 20
    own = [unit for unit in got if unit.identifier == 0x080]
    assert own == frames(10)
    assert all(unit.identifier == 0x081 for unit in got if unit not in own)
    assert not {unit.data for unit in got if unit not in own} & {unit.data for unit in own}


def test_flood_sends_junk_at_its_rate():
    _, wire, cable = through('flood', 1000, count=0)
    for step in range(1, 101):
        cable.flush(1.0 + 0.005 * step)
    assert len(wire.sent) == pytest.approx(500, abs=300)  # the first turn may bring a burst
    before = len(wire.sent)
    for step in range(101, 201):
        cable.flush(1.0 + 0.005 * step)
    assert len(wire.sent) - before == pytest.approx(500, abs=2)
    assert all(unit.identifier >= 0x400 for unit, _ in wire.sent)


def test_bus_off_lets_nothing_through_and_forgets_nothing_else():
    got, wire, cable = through('bus_off')
    assert got == []
    wire.waiting = frames(3)
    assert [cable.receive()[0] for _ in range(3)] == [None] * 3
    assert wire.bus_off
    assert cable.counts['lost'] == 403


@given(st.integers(0, 2047), st.binary(max_size=8), st.integers(0, 2**31))
def test_spoilt_frames_differ_and_are_frames(identifier, data, seed):
    frame = CanFrame(identifier, data)
    spoilt = spoil_frame(frame, random.Random(seed))
    assert spoilt != frame
    assert 0 <= spoilt.identifier < 2048
    assert len(spoilt.data) <= 8


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


# --- who can have which -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(('config', 'impossible'), [
    ({}, DATAGRAM_ONLY),
    ({'model': 'v4'}, {'motor_error', 'wrong_type', 'dead_taxel', 'saturated_taxel', 'taxel_invalid'}),
    ({'model': 'v5_a'}, {'info_fault'}), ({'model': 'v5_3f'}, {'info_fault'}),
    ({'model': 'v5_sense', 'wire': 'slcan'}, {'info_fault'}),
    ({'model': 'plexus'}, {'motor_error', 'wrong_type', 'dead_taxel', 'saturated_taxel', 'taxel_invalid'})])
def test_a_fault_works_or_is_refused_with_the_list_of_those_that_do(config, impossible):
    for name in FAULTS:
        values = EmulatorConfig(**{'physics': 'simple', **config})
        if name in impossible:
            with pytest.raises(ConfigError, match='it can have') as caught:
                build_emulator(values, [name])
            assert 'drop' in str(caught.value)
            assert '\n' not in str(caught.value)
        else:
            build_emulator(values, [name])


def test_bus_off_of_a_datagram_hand_points_to_stale():
    with pytest.raises(ConfigError, match='use stale'):
        build_emulator(EmulatorConfig(physics='simple'), ['bus_off'])


# --- scripts ------------------------------------------------------------------------------------------------------


def test_a_script_does_its_entries_in_the_order_of_their_times():
    faults = FaultSet(V4)
    script = FaultScript(faults, '5.0 clear; 2.0 drop=0.3; 3 stale for 0.5\n 4 missing_finger=thumb; 4.5 clear drop')
    seen = []
    for tick in range(60):
        now = 100.0 + tick * 0.1
        script.advance(tick * 0.1 + 1e-9, now)
        faults.expire(now)
        seen.append(tuple(faults.active()))
    assert seen[19] == ()
    assert seen[20] == ('drop',)
    assert seen[31] == ('drop', 'stale')
    assert seen[36] == ('drop',)
    assert seen[41] == ('drop', 'missing_finger')
    assert seen[46] == ('missing_finger',)
    assert seen[51] == ()
    assert script.over


@pytest.mark.parametrize('suffix', ['.yaml', '.json'])
def test_a_script_from_a_file(tmp_path, suffix):
    rows = [{'at': 1, 'fault': 'drop', 'value': 0.5}, {'at': 2.0, 'fault': 'stale', 'duration_s': 1},
            {'at': 4, 'clear': 'drop'}, {'at': 5, 'clear': True}]
    path = tmp_path / f'script{suffix}'
    path.write_text(json.dumps(rows))
    faults = FaultSet(V4)
    script = FaultScript(faults, str(path))
    script.advance(2.5, 2.5)
    assert faults.active() == {'drop': 0.5, 'stale': None}
    faults.expire(3.6)
    script.advance(4.5, 4.5)
    assert faults.active() == {}
    assert not script.over


@pytest.mark.parametrize(('text', 'word'), [
    ('drop', 'SECONDS'), ('x drop', 'number'), ('-1 drop', 'number'), ('1 drip', "Did you mean 'drop'"),
    ('1 drop=2', '0 … 1'), ('1 drop for', 'SECONDS'), ('1 drop for ever', 'duration_s'), ('1 drop 5', 'SECONDS'),
    ('1 clear drip', 'drip'), ('1 motor_error', 'it can have'), ('nowhere.yaml', 'nowhere.yaml')])
def test_wrong_scripts_are_refused_with_one_sentence(text, word):
    possible = set(FAULTS) - {'motor_error'}
    with pytest.raises(AllegroError, match=word) as caught:
        FaultScript(FaultSet(V4, possible=possible), text)
    assert '\n' not in str(caught.value)


@pytest.mark.parametrize('content', ['at: 1', '- 5', '- {at: 1}', '- {fault: drop}', '- {at: 1, fault: drop, clear: x}',
                                     '- {at: 1, fault: drop, for: 2}', '- {at: [', '- {at: 1, fault: [drop]}'])
def test_wrong_script_files_are_refused(tmp_path, content):
    path = tmp_path / 'script.yml'
    path.write_text(content)
    with pytest.raises((ConfigError, UnknownName)) as caught:
        FaultScript(FaultSet(V4), str(path))
    assert '\n' not in str(caught.value)


def test_a_script_runs_on_the_emulators_clock():
    with running_emulator(model='v4', wire='slcan', script='0.05 stale for 0.2; 0.4 overheat=77') as server, \
            EmulatorClient(port=server.control_port, timeout_s=5.0) as control:
        seen, deadline = set(), time.monotonic() + 5.0
        while 'overheat' not in seen:
            assert time.monotonic() < deadline
            seen |= set(control.request('status')['faults'])
            time.sleep(0.01)
        assert seen == {'stale', 'overheat'}
        assert set(control.request('status')['temperature_c']) == {77.0}


def test_clearing_one_fault_needs_its_name(rig):
    _, control, _ = rig
    with pytest.raises(CommandRefused, match='Did you mean'):
        control.request('clear_faults', fault='drp')


def test_numbers_of_faults_reach_sensors_only():
    faults = FaultSet(V5)
    faults.inject('overheat', 200)
    assert faults.temperature(np.array([30.0, 40.0])).tolist() == [200.0, 200.0]
    faults.inject('taxel_invalid', 'index_tip')
    assert math.isnan(faults.tactile(np.zeros(4))[0])
    assert faults.period_ms(3) == 3


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
