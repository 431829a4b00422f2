"""The emulated hand against a client built from the vendor's byte layout by hand, not through this suite's codec."""

from __future__ import annotations

import contextlib
import json
import math
import select
import socket
import struct
import subprocess
import sys
import time

import pytest
from allegro_driver.emulator.background import running_emulator
from allegro_driver.emulator.client import EmulatorClient

MAGIC = b'\x56\x35\x42\x32'
TELEMETRY, TORQUE, HELLO, HELLO_RESP, CAL, CAL_DONE = 0x02, 0x03, 0x10, 0x11, 0x20, 0x21
DEG = math.radians(0.088)


class RawClient:
    """What the vendor's driver does with its socket."""

    def __init__(self, port: int) -> None:
        self.sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.sock.bind(('127.0.0.1', 0))
        self.to = ('127.0.0.1', port)
        self.seq = 0

    def send(self, kind: int, payload: bytes = b'') -> int:
        seq = self.seq
        self.seq += 1
        stamp = int(time.monotonic() * 1000) & 0xFFFFFFFF
        self.sock.sendto(MAGIC + bytes((1, kind)) + struct.pack('<HII', len(payload), seq, stamp) + payload, self.to)
        return seq

    def receive(self, wanted: int | None = None, timeout: float = 1.0) -> tuple[int, int, bytes] | None:
        """Next packet (of that type): type, sequence, payload. None after the timeout."""
        end = time.monotonic() + timeout
        while (left := end - time.monotonic()) > 0:
            if not select.select([self.sock], [], [], left)[0]:
                return None
            data = self.sock.recv(2048)
            if len(data) < 16 or data[:4] != MAGIC or data[4] != 1:
                continue
            length, seq, _ = struct.unpack('<HII', data[6:16])
            if len(data) < 16 + length:
                continue
            if wanted is None or data[5] == wanted:
                return data[5], seq, data[16:16 + length]
        return None

    def ask(self, kind: int, answer: int, payload: bytes = b'', tries: int = 3, timeout: float = 1.0) -> bytes | None:
        for _ in range(tries):
            seq = self.send(kind, payload)
            got = self.receive(answer, timeout)
            if got is not None:
                assert got[1] == seq, 'a response echoes the sequence number'
                return got[2]
        return None

    def telemetry(self, timeout: float = 1.0) -> dict:
        got = self.receive(TELEMETRY, timeout)
        assert got is not None, 'no telemetry'
        payload = got[2]
        assert len(payload) == 164
        return {
            'sample': struct.unpack_from('<I', payload, 0)[0],
            'position': struct.unpack_from('<16h', payload, 4),
            'current': struct.unpack_from('<16h', payload, 36),
            'sensor': struct.unpack_from('<16H', payload, 68),
            'velocity': struct.unpack_from('<16i', payload, 100),
        }

    def torque(self, wire_ma) -> None:
        self.send(TORQUE, struct.pack('<16h', *wire_ma))

    def fresh(self) -> dict:
        """Telemetry made after the hand has taken all that was sent before: ask something, wait for the answer."""
        assert self.ask(0x34, 0x35) is not None
        return self.telemetry()

    def close(self) -> None:
        self.sock.close()


@contextlib.contextmanager
def emulator(faults=(), **settings):
    """An emulator in this process: (wire port, control client)."""
    with running_emulator(faults, **settings) as server, \
            EmulatorClient(port=server.control_port, timeout_s=5.0) as control:
        yield server.wire_port, control


@pytest.fixture
def hand():
    with emulator() as (port, control):
        client = RawClient(port)
        yield client, control
        client.close()


def test_session_start_as_the_vendor_does_it(hand):
    client, _ = hand
    info = client.ask(HELLO, HELLO_RESP)
    assert info is not None
    assert len(info) == 7
    assert info[4:] == b'\x00\x00\x01'  # bytes 4 to 6 of the manual's example; bit 0: servo on
    serial = client.ask(0x34, 0x35)
    assert serial is not None
    assert len(serial) == 8
    assert serial[3:4] == b'R'
    first = client.telemetry()
    assert client.telemetry()['sample'] == first['sample'] + 1


def test_nothing_is_streamed_before_hello(hand):
    client, _ = hand
    assert client.ask(0x34, 0x35) is not None
    assert client.receive(TELEMETRY, 0.1) is None


@pytest.mark.parametrize('lost', [1, 2])
def test_hello_and_serial_succeed_at_a_later_try(lost):
    with emulator([f'ignore_requests={lost}']) as (port, control):
        client = RawClient(port)
        assert client.ask(HELLO, HELLO_RESP, timeout=0.1) is not None
        assert client.seq == lost + 1
        control.request('inject', fault='ignore_requests', value=lost)
        assert client.ask(0x34, 0x35, timeout=0.1) is not None
        client.close()


def test_telemetry_comes_every_3_ms_without_drift(hand):
    client, control = hand
    client.ask(HELLO, HELLO_RESP)
    first, begin = client.telemetry()['sample'], time.monotonic()
    samples = [client.telemetry()['sample'] for _ in range(500)]
    took = time.monotonic() - begin
    assert samples == list(range(first + 1, first + 501))
    lost = control.request('status')['lost_ms'] / 1000.0
    assert took - lost == pytest.approx(1.5, abs=0.1)


def test_torque_at_each_telemetry_moves_the_joint_that_was_meant(hand):
    """A vendor-like loop: a torque packet for every telemetry packet; wire element 5 is joint_1_0."""
    client, control = hand
    client.ask(HELLO, HELLO_RESP)
    for _ in range(100):
        client.telemetry()
        client.torque([0] * 5 + [50] + [0] * 10)
    got = client.fresh()
    assert got['current'] == (0,) * 5 + (50,) + (0,) * 10
    assert got['position'][5] * DEG > 0.05
    assert got['velocity'][5] * 0.229 * 2 * math.pi / 60 == pytest.approx(0.5, abs=0.05)
    assert sum(map(abs, got['position'])) == got['position'][5]
    assert control.request('world')['joint_position_rad'][1] > 0.05  # canonical: index first
    client.torque([0] * 16)
    assert client.fresh()['current'] == (0,) * 16


def test_currents_saturate_and_are_held_for_ever(hand):
    client, _ = hand
    client.ask(HELLO, HELLO_RESP)
    client.torque([500, -500] + [0] * 14)
    time.sleep(0.4)
    assert client.fresh()['current'][:2] == (240, -240)


def test_torque_watchdog_is_off_unless_asked_for():
    with emulator(torque_watchdog_ms=60.0) as (port, _):
        client = RawClient(port)
        client.ask(HELLO, HELLO_RESP)
        client.torque([100] + [0] * 15)
        assert client.receive(TELEMETRY) is not None
        time.sleep(0.15)
        assert client.fresh()['current'] == (0,) * 16
        client.close()


def test_network_settings_read_and_write(hand):
    client, _ = hand
    client.ask(HELLO, HELLO_RESP)
    assert client.ask(0x30, 0x33) == bytes.fromhex('3200A8C000FFFFFF0100A8C0581B')
    new = bytes.fromhex('3300A8C000FFFFFF0100A8C0591B')
    assert client.ask(0x31, 0x33, new) == new
    assert client.ask(0x30, 0x33) == new


@pytest.mark.parametrize('kind', [0x20, 0x25])
def test_calibration_zeroes_encoders_and_joint_13_becomes_90_degrees(hand, kind):
    client, control = hand
    client.ask(HELLO, HELLO_RESP)
    client.torque([60] * 16)
    time.sleep(0.2)
    client.torque([0] * 16)
    while any(client.fresh()['velocity']):
        pass
    assert any(client.fresh()['position'])
    before = control.request('world')['joint_position_rad']
    assert client.ask(kind, CAL_DONE) is not None
    after = client.fresh()['position']
    assert after[1] == 1023  # thumb first: joint_13_0 is wire element 1; 90 / 0.088 = 1022.7
    assert after[:1] + after[2:] == (0,) * 15
    assert control.request('world')['joint_position_rad'] == pytest.approx(before, abs=1e-3)  # nothing has moved


def test_calibrate_type_can_be_one_of_the_two():
    with emulator(calibrate_type='0x20') as (port, control):
        client = RawClient(port)
        client.ask(HELLO, HELLO_RESP)
        assert client.ask(0x25, CAL_DONE, tries=1, timeout=0.1) is None
        assert client.ask(CAL, CAL_DONE) is not None
        assert control.request('status')['calibrations'] == 1
        client.close()


@pytest.mark.parametrize('physics', ['simple', 'mujoco'])
def test_position_mode_moves_to_the_targets(physics):
    if physics == 'mujoco':
        pytest.importorskip('mujoco')
    with emulator(physics=physics) as (port, control):
        client = RawClient(port)
        client.ask(HELLO, HELLO_RESP)
        for _ in range(3):
            client.send(0x60, b'\x01')
            time.sleep(0.002)
        client.send(0x61, struct.pack('<3h', 1050, -525, 9000))
        time.sleep(0.05)
        start = client.fresh()['position']
        target = [start[0] + 300, start[1] + 200, *start[2:4], *([start[4], 400, 300, 300] * 3)]
        client.send(TORQUE, struct.pack('<16h', *target))
        peak = 0
        for _ in range(500):
            got = client.telemetry()
            peak = max(peak, *map(abs, got['current']))
        assert got['position'][5] == pytest.approx(400, abs=40)
        assert got['position'][6] == pytest.approx(300, abs=40)
        assert 0 < peak <= 240
        status = control.request('status')
        assert status['hinf'] is True
        assert status['gravity_rpy_cdeg'] == [1050, -525, 9000]
        client.send(0x60, b'\x00')
        assert client.fresh()['current'] == (0,) * 16
        client.close()


def test_the_newest_hello_owns_the_session(hand):
    client, control = hand
    other = RawClient(client.to[1])
    client.ask(HELLO, HELLO_RESP)
    other.torque([77] * 16)
    other.send(0x60, b'\x01')
    other.send(0x20)
    other.send(0x31, bytes(14))
    assert other.ask(0x34, 0x35) is not None  # reading is for everybody
    assert client.fresh()['current'] == (0,) * 16
    status = control.request('status')
    assert status['foreign'] == 4
    assert status['hinf'] is False
    assert status['calibrations'] == 0
    assert other.ask(HELLO, HELLO_RESP) is not None
    other.torque([7] * 16)
    assert other.fresh()['current'] == (7,) * 16
    time.sleep(0.02)
    while select.select([client.sock], [], [], 0)[0]:
        client.sock.recv(2048)
    assert client.receive(TELEMETRY, 0.1) is None
    assert control.request('status')['session'].endswith(str(other.sock.getsockname()[1]))
    other.close()


def test_damaged_datagrams_change_nothing_and_are_counted(hand):
    client, control = hand
    client.ask(HELLO, HELLO_RESP)
    good = MAGIC + bytes((1, TORQUE)) + struct.pack('<HII', 32, 9, 9) + struct.pack('<16h', *[99] * 16)
    bad = [good[:20], good[:47], good[:7], b'', b'\x00' + good[1:], good[:4] + b'\x02' + good[5:],
           good[:6] + b'\x21\x00' + good[8:] + b'x', good[:5] + b'\x7f' + good[6:], b'{"op": "status"}' * 4]
    for one in bad:
        client.sock.sendto(one, client.to)
    assert client.fresh()['current'] == (0,) * 16
    assert control.request('status')['refused'] == len(bad)
    client.sock.sendto(good + b'trailing', client.to)
    assert client.fresh()['current'] == (99,) * 16


def test_a_flood_of_garbage_does_not_stop_the_clock(hand):
    client, control = hand
    client.ask(HELLO, HELLO_RESP)
    flooder = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    first, begin = client.fresh()['sample'], time.monotonic()
    while time.monotonic() - begin < 0.6:
        for _ in range(100):
            flooder.sendto(b'garbage' * 20, client.to)
        time.sleep(0.002)
    took, last = time.monotonic() - begin, client.fresh()['sample']
    lost = control.request('status')['lost_ms'] / 1000.0
    assert control.request('status')['refused'] > 1000
    assert last - first > 0.6 * (took - lost) / 0.003
    flooder.close()


def test_a_vanished_host_does_not_hurt(hand):
    client, control = hand
    ghost = RawClient(client.to[1])
    ghost.ask(HELLO, HELLO_RESP)
    ghost.close()
    time.sleep(0.05)
    assert client.ask(HELLO, HELLO_RESP) is not None
    assert client.telemetry()
    assert control.request('status')['session'].endswith(str(client.sock.getsockname()[1]))


def test_telemetry_can_be_sent_to_a_fixed_address():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sink:
        sink.bind(('127.0.0.1', 0))
        sink.settimeout(2.0)
        with emulator(stream_to=f'127.0.0.1:{sink.getsockname()[1]}') as (port, _):
            client = RawClient(port)
            assert client.ask(HELLO, HELLO_RESP) is not None
            assert sink.recv(2048)[5] == TELEMETRY
            assert client.receive(TELEMETRY, 0.1) is None
            client.close()


def test_the_real_process_with_contacts():
    """The console program with MuJoCo: ready line, session, a raw PD loop that closes the hand, exit by SIGTERM."""
    pytest.importorskip('mujoco')
    process = subprocess.Popen(
        [sys.executable, '-m', 'allegro_driver.emulator', '--port', '0', '--control-port', '0'],
        stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        ports = json.loads(process.stdout.readline())
        client = RawClient(ports['wire_port'])
        assert client.ask(HELLO, HELLO_RESP) is not None
        goal = [0] * 4 + [0, 0.6, 0.5, 0.5] * 3
        last = None
        for _ in range(600):
            q = [c * DEG for c in client.telemetry()['position']]
            dq = [(a - b) / 0.003 for a, b in zip(q, last, strict=True)] if last else [0.0] * 16
            last = q
            client.torque([max(-240, min(240, int(600 * (g - a) - 20 * v)))
                           for g, a, v in zip(goal, q, dq, strict=True)])
        assert q[5] == pytest.approx(0.6, abs=0.15)
        assert all(1000 > s >= 0 for s in client.fresh()['sensor'])
        client.torque([0] * 16)
        client.close()
        began = time.monotonic()
        process.terminate()
        assert process.wait(timeout=5.0) == 0
        assert time.monotonic() - began < 2.0
    finally:
        process.kill()
        process.wait()
