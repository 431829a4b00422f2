"""Every fault of the emulated hand, seen from a socket."""

from __future__ import annotations

import contextlib
import itertools
import socket
import time

import numpy as np
import pytest
from allegro_description.errors import AllegroError, CommandRefused, ConfigError, ProtocolError, UnknownName
from allegro_description.model import load_hand
from allegro_driver.emulator.background import running_emulator
from allegro_driver.emulator.client import EmulatorClient
from allegro_driver.emulator.fault_table import FAULTS, ONCE, describe
from allegro_driver.emulator.faults import FaultSet
from allegro_driver.emulator.udp_wire import spoil_bytes
from allegro_driver.protocol.v5b2 import Info, MotorError, Serial, Telemetry, V5B2Codec
from hypothesis import given
from hypothesis import strategies as st

MODEL = load_hand('v5_sense', 'right')


class Host:
    """A socket and the suite's codec."""

    def __init__(self, port: int, control: EmulatorClient) -> None:
        self.codec, self.control = V5B2Codec(MODEL), control
        self.sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.sock.connect(('127.0.0.1', port))
        self.refused = 0

    def read(self, kind, timeout=2.0):
        end = time.monotonic() + timeout
        while (left := end - time.monotonic()) > 0:
            self.sock.settimeout(left)
            try:
                message = self.codec.decode(self.sock.recv(2048))
            except TimeoutError:
                return None
            except ProtocolError:
                self.refused += 1
                continue
            if isinstance(message, kind):
                return message
        return None

    def many(self, count):
        return [self.read(Telemetry) for _ in range(count)]

    def settle(self):
        time.sleep(0.03)
        self.sock.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            while True:
                self.sock.recv(2048)


@pytest.fixture
def host():
    with running_emulator() as server, EmulatorClient(port=server.control_port, timeout_s=5.0) as control:
        one = Host(server.wire_port, control)
        one.sock.send(one.codec.hello())
        assert isinstance(one.read(Info), Info)
        assert one.read(Telemetry)
        yield one
        one.sock.close()


def wait_until(condition, timeout=5.0):
    end = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def gaps(messages):
    return [b.sequence - a.sequence for a, b in itertools.pairwise(messages)]


def test_no_fault_no_gap(host):
    assert set(gaps(host.many(100))) == {1}


def test_drop(host):
    host.control.request('inject', fault='drop', value=0.5)
    host.settle()
    steps = gaps(host.many(100))
    assert min(steps) == 1
    assert 1.5 < np.mean(steps) < 3.0
    sent = host.control.request('status')['received']
    for _ in range(50):
        host.sock.send(host.codec.torque(np.zeros(16)))
    wait_until(lambda: host.control.request('status')['received'] == sent + 50)  # all arrive, half are then lost
    host.control.request('clear_faults')
    host.settle()
    assert set(gaps(host.many(50))) == {1}


def test_drop_of_everything_silences_both_directions(host):
    host.control.request('inject', fault='drop', value=1)
    host.settle()
    host.sock.send(host.codec.torque(np.full(16, 0.1)))
    host.sock.send(host.codec.serial_request())
    assert host.read(object, 0.15) is None
    assert host.control.request('status')['current_ma'] == [0.0] * 16


def test_delay(host):
    def answer_time():
        host.settle()
        begin = time.monotonic()
        host.sock.send(host.codec.serial_request())
        assert host.read(Serial)
        return time.monotonic() - begin

    host.control.request('inject', fault='delay', value=150)
    assert answer_time() >= 0.15
    host.control.request('clear_faults')
    time.sleep(0.2)
    assert min(answer_time() for _ in range(5)) < 0.1


def test_duplicate(host):
    host.control.request('inject', fault='duplicate', value=1.0)
    host.settle()
    steps = gaps(host.many(60))
    assert set(steps) == {0, 1}
    assert 25 <= steps.count(0) <= 35


def test_reorder(host):
    host.control.request('inject', fault='reorder', value=0.5)
    host.settle()
    got = [m.sequence for m in host.many(100)]
    assert got != sorted(got)
    assert len(set(got)) == 100
    assert min(gaps(host.many(60))) < 0
    host.control.request('clear_faults')
    host.settle()
    assert set(gaps(host.many(50))) == {1}


def test_corrupt(host):
    host.control.request('inject', fault='corrupt', value=1.0)
    host.settle()
    # A changed header byte is refused; a changed payload byte cannot be seen, the protocol has no checksum.
    host.many(300)
    assert host.refused > 0
    assert host.control.request('status')['session']


def test_freeze(host):
    host.control.request('inject', fault='freeze')
    host.settle()
    assert set(gaps(host.many(50))) == {0}
    host.control.request('clear_faults')
    host.settle()
    assert set(gaps(host.many(50))) == {1}


def test_stale(host):
    host.sock.send(host.codec.torque(np.full(16, 0.05)))
    host.control.request('inject', fault='stale')
    host.settle()
    assert host.read(Telemetry, 0.15) is None
    host.sock.send(host.codec.serial_request())
    assert host.read(Serial)
    status = host.control.request('status')
    assert status['current_ma'][0] == 71.0  # the hand itself goes on
    host.control.request('clear_faults')
    assert host.read(Telemetry)


@pytest.mark.parametrize(('fault', 'side', 'text'), [('wrong_side', 'left', '5SBL0001'), ('blank_serial', None, '')])
def test_serial_faults(host, fault, side, text):
    host.control.request('inject', fault=fault)
    host.sock.send(host.codec.serial_request())
    serial = host.read(Serial)
    assert serial.text == text
    assert serial.side == side


def test_motor_error_is_sent_once(host):
    host.control.request('inject', fault='motor_error', value='6:0x24')
    assert host.read(MotorError) == MotorError(6, 0x24)
    assert host.read(MotorError, 0.1) is None
    host.control.request('inject', fault='motor_error')
    assert host.read(MotorError) == MotorError(1, 32)


@pytest.mark.parametrize('taxel', ['thumb_tip', '3', 3])
def test_taxel_faults(host, taxel):
    host.control.request('inject', fault='saturated_taxel', value=taxel)
    host.settle()
    want = np.zeros(16)
    want[3] = MODEL.actuation.tactile_saturation_pa
    np.testing.assert_array_equal(host.read(Telemetry).tactile, want)
    host.control.request('inject', fault='dead_taxel', value=taxel)  # a dead cell cannot saturate
    host.settle()
    np.testing.assert_array_equal(host.read(Telemetry).tactile, np.zeros(16))


def test_zero_offset(host):
    host.control.request('inject', fault='zero_offset', value='joint_13_0:1.47')
    host.settle()
    position = host.read(Telemetry).position
    assert position[13] == pytest.approx(1.47, abs=0.001)
    assert np.delete(position, 13) == pytest.approx(np.zeros(15))


def test_a_fault_ends_by_itself(host):
    host.control.request('inject', fault='stale', duration_s=1.0)
    assert host.control.request('status')['faults'] == {'stale': None}
    wait_until(lambda: host.control.request('status')['faults'] == {})
    assert host.read(Telemetry)


def test_faults_of_the_command_line_are_active_at_once():
    with running_emulator(['dead_taxel=palm', 'delay=5']) as server, \
            EmulatorClient(port=server.control_port, timeout_s=5.0) as control:
        assert control.request('status')['faults'] == {'dead_taxel': 'palm', 'delay': '5'}


def test_bad_faults_are_refused_and_change_nothing(host):
    host.control.request('inject', fault='delay', value=1)
    for name, value in [('drip', None), (None, None), ('drop', 2), ('drop', 'often'), ('drop', True),
                        ('delay', -1), ('freeze', 3), ('dead_taxel', 'nose'), ('dead_taxel', 16),
                        ('motor_error', '1:999'), ('motor_error', 'x'),
                        ('zero_offset', 'joint_99:1'), ('zero_offset', 'joint_1_0'), ('ignore_requests', 0),
                        ('drop', [1]), ('delay', 'inf')]:
        with pytest.raises(CommandRefused):
            host.control.request('inject', fault=name, value=value)
    with pytest.raises(CommandRefused, match='duration_s'):
        host.control.request('inject', fault='drop', duration_s='long')
    assert host.control.request('status')['faults'] == {'delay': 1}


# --- without sockets ----------------------------------------------------------------------------------------------


def test_errors_name_the_allowed_values():
    faults = FaultSet(MODEL)
    with pytest.raises(UnknownName, match='Did you mean'):
        faults.inject('dorp')
    with pytest.raises(UnknownName, match='thumb_tip'):
        faults.inject('dead_taxel', 'thumb')
    with pytest.raises(ConfigError, match='0 … 1'):
        faults.inject('drop', '7')


def test_every_fault_has_a_working_default_and_is_described():
    for name, kind in FAULTS.items():
        faults = FaultSet(MODEL)
        faults.inject(name)
        assert (name in faults) == (name not in ONCE)
        assert (faults.take_restart() is not None) == (name == 'restart')
        assert len(faults.take_motor_errors()) == (name == 'motor_error')
        assert kind.doc in ' '.join(describe().split())


def test_random_faults_repeat_with_the_seed():
    def dice(seed):
        faults = FaultSet(MODEL, seed)
        faults.inject('drop', 0.5)
        return [faults.happens('drop') for _ in range(64)]

    assert dice(1) == dice(1)
    assert dice(1) != dice(2)


json_values = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=12),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3), max_leaves=5)


@given(st.sampled_from([*FAULTS, 'nothing']), json_values, json_values)
def test_any_value_is_taken_or_refused_cleanly(name, value, duration):
    faults = FaultSet(MODEL)
    try:
        faults.inject(name, value, duration)
    except AllegroError:
        assert faults.active() == {}
        assert faults.take_motor_errors() == []
    faults.position(np.zeros(16))
    faults.tactile(np.zeros(16))
    assert spoil_bytes(b'abc', faults.dice) != b'abc'
    faults.happens('drop')
    assert faults.delay_s() >= 0.0
