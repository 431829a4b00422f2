"""The emulated serial CAN adapter: Lawicel's commands, clients that come and go, a host that does not read."""

from __future__ import annotations

import importlib.util
import os
import re
import time

import pytest
from allegro_driver.emulator.background import running_emulator
from allegro_driver.emulator.client import EmulatorClient
from allegro_driver.emulator.slcan_adapter import SlcanAdapter
from allegro_driver.protocol.can_frames import parse_frame
from hypothesis import given
from hypothesis import strategies as st
from raw_can import Host, RawSerial


def adapter(start=b'S8\rO\r'):
    one = SlcanAdapter(lambda: 60_000 + 0x1234)
    one.feed(start)
    return one


@pytest.mark.parametrize(('before', 'command', 'answer'), [
    (b'', b'C\r', b'\r'), (b'', b'S8\r', b'\r'), (b'', b'S0\r', b'\r'), (b'', b'S9\r', b'\a'), (b'', b'S\r', b'\a'),
    (b'', b'O\r', b'\r'), (b'', b'L\r', b'\r'), (b'O\r', b'O\r', b'\a'), (b'O\r', b'S8\r', b'\a'),
    (b'O\r', b'C\r', b'\r'), (b'', b'V\r', b'V1013\r'), (b'', b'N\r', b'NA123\r'), (b'O\r', b'F\r', b'F00\r'),
    (b'', b'F\r', b'\a'), (b'', b'Z1\r', b'\r'), (b'', b'Z2\r', b'\a'), (b'O\r', b'Z1\r', b'\a'),
    (b'', b't1000\r', b'\a'), (b'L\r', b't1000\r', b'\a'), (b'O\r', b't1000\r', b'z\r'),
    (b'O\r', b'r2000\r', b'z\r'), (b'O\r', b't18080200CB0042002500\r', b'z\r'), (b'O\r', b't1802AA\r', b'\a'),
    (b'O\r', b't1801AABB\r', b'\a'), (b'O\r', b't8000\r', b'\a'), (b'O\r', b't1009\r', b'\a'),
    (b'O\r', b'T000001800\r', b'Z\r'), (b'O\r', b'T0000018012A\r', b'Z\r'), (b'O\r', b'T00000180\r', b'\a'),
    (b'O\r', b'R000001800\r', b'Z\r'), (b'', b'Q\r', b'\a'), (b'', b'hello\r', b'\a')])
def test_commands_are_answered_as_adapters_do(before, command, answer):
    assert adapter(before).feed(command)[0] == answer


def test_frames_reach_the_bus_and_the_host():
    one = adapter()
    _, frames = one.feed(b't18080200CB0042002500\rr2000\rT000001800\r')
    assert list(map(str, frames)) == ['180#0200CB0042002500', '200#R']
    assert one.ignored == 1
    assert one.line(parse_frame('080#CAFDBDFE90FFCEFF')) == b't0808CAFDBDFE90FFCEFF\r'
    assert one.line(parse_frame('248#')) == b't2480\r'


def test_lines_may_come_in_pieces_and_several_at_once():
    one = adapter()
    assert one.feed(b't20430') == (b'', [])
    assert [str(f) for f in one.feed(b'30000\rt10')[1]] == ['204#030000']
    assert [str(f) for f in one.feed(b'00\rt1040\r')[1]] == ['100#', '104#']


def test_a_closed_adapter_or_another_bit_rate_hears_nothing():
    frame = parse_frame('080#00')
    assert adapter(b'').line(frame) == b''
    assert adapter(b'O\rC\r').line(frame) == b''
    assert adapter(b'L\r').line(frame) != b''
    slow = adapter(b'S6\rO\r')
    assert slow.line(frame) == b''
    assert slow.feed(b't1000\r') == (b'z\r', [])  # sent at 500 kbit/s: no hand understands it


def test_time_stamps():
    assert adapter(b'Z1\rO\r').line(parse_frame('080#AB')) == b't0801AB1234\r'


def test_bus_off_shows_in_answers():
    one = adapter()
    one.bus_off = True
    assert one.feed(b't1000\rF\r') == (b'\aFA0\r', [])
    assert one.line(parse_frame('080#AB')) == b''


@given(st.lists(st.binary(max_size=40) | st.sampled_from([b't1008', b'\r', b'O\r', b'S8\r', b'\a', b'T', b'r1230\r']),
                max_size=12))
def test_any_bytes_are_survived(pieces):
    one = adapter(b'')
    for piece in pieces:
        answers, frames = one.feed(piece)
        assert re.fullmatch(rb'(\r|\a|[zZ]\r|V1013\r|NA123\r|F..\r)*', answers)
        assert all(0 <= f.identifier < 2048 and len(f.data) <= 8 for f in frames)


# --- on a real pseudo-terminal ------------------------------------------------------------------------------------


@pytest.fixture
def hand():
    with running_emulator(model='v5_b', wire='slcan') as server, \
            EmulatorClient(port=server.control_port, timeout_s=5.0) as control:
        yield server.address.removeprefix('slcan:'), control


def test_clients_may_come_and_go(hand):
    path, control = hand
    for round_ in range(6):
        port = RawSerial(path)
        port.send('220#R')
        while not port.next().startswith('220#'):
            pass
        port.send('204#030000000000')
        port.send('100#')
        assert port.next()
        if round_ % 2:
            port.write(b'C\r')
            time.sleep(0.01)
        port.close()
        time.sleep(0.02 * (round_ % 3))
    status = control.request('status')
    assert status['servo'] is True  # a hand does not notice that its host has gone
    assert status['send_errors'] == 0


def test_the_words_of_a_client_that_left_at_once_count(hand):
    path, control = hand
    for count in range(1, 11):
        port = RawSerial(path)
        port.send('100#')
        port.close()
        deadline = time.monotonic() + 2.0
        while control.request('status').get('heard', {}).get('ServoOn', 0) < count:
            assert time.monotonic() < deadline
            time.sleep(0.002)


def test_an_adapter_that_nobody_holds_costs_no_time(hand):
    path, control = hand
    RawSerial(path).close()
    before = control.request('status')
    time.sleep(0.4)
    after = control.request('status')
    assert after['cpu_s'] - before['cpu_s'] < 0.2


def test_a_new_client_finds_the_adapter_closed(hand):
    path, _ = hand
    first = RawSerial(path)
    first.send('204#020000000000')
    first.send('100#')
    assert first.next()
    first.close()
    time.sleep(0.05)
    silent = RawSerial(path, start=b'')
    assert not silent.pump(0.05)
    silent.write(b'V\r')
    silent.pump(1.0)
    assert silent.answers == [b'V1013\r']
    silent.write(b'O\r')
    assert silent.next()  # the stream goes on
    silent.close()


def test_a_host_that_does_not_read_loses_frames_and_stops_nothing(hand):
    path, control = hand
    port = RawSerial(path)
    port.send('204#020000000000')
    port.send('100#')
    assert port.next()
    control.request('inject', fault='flood', value=20000)
    deadline = time.monotonic() + 5.0
    while control.request('status')['lost'] < 100:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    control.request('clear_faults')
    begin = control.request('status')
    time.sleep(0.1)
    end = control.request('status')
    assert end['sample'] - begin['sample'] > 10  # the clock goes on
    port.frames.clear()
    while port.pump(0.0):
        pass
    port.send('220#R')
    deadline = time.monotonic() + 5.0
    while not any(f.startswith('220#') for f in port.frames):
        assert time.monotonic() < deadline
        port.pump(0.1)
    assert all(re.fullmatch(r'[0-9A-F]{3}#([0-9A-F]{2}){0,8}', f) for f in port.frames)  # no line was cut
    assert all(answer in (b'\r', b'z\r') for answer in port.answers)
    port.close()


def test_another_bit_rate_reaches_no_hand(hand):
    path, control = hand
    port = RawSerial(path, start=b'C\rS6\rO\r')
    port.send('200#R')
    assert port.next(0.1) is None
    assert control.request('status')['received'] == 0
    port.close()


def test_a_link_to_the_terminal(tmp_path):
    link = tmp_path / 'hand'
    with running_emulator(model='v4', wire='slcan', pty_link=str(link)) as server:
        assert server.address == f'slcan:{link}'
        assert os.readlink(link).startswith('/dev/pts/')
        with running_emulator(model='v4', wire='slcan', pty_link=str(link), side='left') as other, \
                Host(other.address) as host:
            assert host.ask('200#R')[12:14] == '01'  # the newer one has it
        assert not os.path.lexists(link)
    assert not os.path.lexists(link)


@pytest.mark.skipif(importlib.util.find_spec('serial') is None, reason='python-can reads serial lines with pyserial, '
                    'which is not installed')
def test_python_cans_own_slcan_interface_can_attach(hand):
    import can

    path, _ = hand
    with can.Bus(interface='slcan', channel=path, bitrate=1_000_000, sleep_after_open=0.0) as bus:
        assert bus.get_version(1.0) == (10, 13)
        bus.send(can.Message(arbitration_id=0x220, is_remote_frame=True, is_extended_id=False))
        deadline = time.monotonic() + 5.0
        got = bus.recv(1.0)
        while got is None or got.arbitration_id != 0x220:
            assert time.monotonic() < deadline
            got = bus.recv(1.0)
        assert bytes(got.data)[3:4] == b'R'
