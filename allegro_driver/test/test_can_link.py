"""The CAN link: addresses, python-can, serial lines over a pseudo-terminal, device numbers, the guardian."""

import contextlib
import os
import pty
import select
import struct
import time
import tty
import uuid

import pytest
from allegro_description.errors import ConfigError, LinkError, MissingDependency, ProtocolError
from allegro_driver.link import can_bus
from allegro_driver.link.can_bus import CanAddress, CanLink, PythonCanPort, parse_can_address, remedy
from allegro_driver.link.guardian import Guardian
from allegro_driver.link.slcan import LineSplitter, decode_line, encode_line
from allegro_driver.protocol.can_frames import CanFrame, parse_frame, wire_id
from hypothesis import given
from hypothesis import strategies as st

FRAMES = st.one_of(
    st.builds(CanFrame, st.integers(0, 2047), st.binary(max_size=8), st.just(False)),
    st.builds(CanFrame, st.integers(0, 2047), st.just(b''), st.just(True)),
)


class Adapter:
    """The other end of a serial line."""

    def __init__(self):
        self.file, slave = pty.openpty()
        tty.setraw(slave)
        self.path = os.ttyname(slave)
        self._slave = slave
        os.set_blocking(self.file, False)
        self.lines = LineSplitter()
        self.heard = []

    def listen(self, quiet_s=0.05):
        poll = select.poll()
        poll.register(self.file, select.POLLIN)
        while poll.poll(quiet_s * 1000):
            try:
                self.heard += self.lines.feed(os.read(self.file, 4096))
            except OSError:
                break
        return self.heard

    def frames(self):
        return [f for f in map(decode_line, self.listen()) if f]

    def say(self, data):
        os.write(self.file, data)

    def close(self):
        for file in (self.file, self._slave):
            with contextlib.suppress(OSError):
                os.close(file)


@pytest.fixture
def adapter():
    one = Adapter()
    yield one
    one.close()


@pytest.fixture
def bus():
    can = pytest.importorskip('can')
    channel = uuid.uuid4().hex
    other = can.Bus(interface='virtual', channel=channel)
    yield channel, other, can
    other.shutdown()


# Frames and addresses ---------------------------------------------------------------------------------------------


@given(FRAMES)
def test_frames_survive_text_and_serial_line(frame):
    assert parse_frame(str(frame)) == frame
    assert decode_line(encode_line(frame)[:-1]) == frame


@given(st.binary(max_size=40))
def test_a_damaged_line_is_a_frame_or_nothing(line):
    frame = decode_line(line)
    assert frame is None or (frame.identifier < 2048 and len(frame.data) <= 8)


@given(st.lists(FRAMES, max_size=8), st.lists(st.integers(1, 7), min_size=1, max_size=9))
def test_lines_may_arrive_in_any_pieces(frames, sizes):
    stream, splitter, got, k = b''.join(map(encode_line, frames)), LineSplitter(), [], 0
    while stream:
        size = sizes[k % len(sizes)]
        got += splitter.feed(stream[:size])
        stream, k = stream[size:], k + 1
    assert [decode_line(line) for line in got] == frames


def test_identifiers_carry_message_and_device():
    assert wire_id(0x60) == 0x180
    assert wire_id(0x40, 1) == 0x101
    assert CanFrame(0x101).message == 0x40
    assert CanFrame(0x101).device == 1
    with pytest.raises(ProtocolError, match='allowed'):
        wire_id(0x200)


@pytest.mark.parametrize('text', ['', '123', 'ZZZ#00', '800#00', '123#0', '123#' + '00' * 9])
def test_no_frame(text):
    with pytest.raises(ProtocolError, match='IDENTIFIER#HEXBYTES'):
        parse_frame(text)


def test_addresses():
    assert parse_can_address('socketcan:can0#1') == CanAddress('socketcan', 'can0', 1)
    assert parse_can_address('slcan:/dev/ttyACM0') == CanAddress('slcan', '/dev/ttyACM0')
    assert str(parse_can_address('pcan:PCAN_USBBUS1#3')) == 'pcan:PCAN_USBBUS1#3'


@pytest.mark.parametrize('text', ['can0', '', 'socketcan:', 'socketcan:can0#4', '192.168.0.50:7000:8000#9', 'A B:c'])
def test_wrong_addresses_show_the_form(text):
    with pytest.raises(ConfigError, match=r'INTERFACE:CHANNEL\[#DEVICE\]'):
        CanLink(text)


# python-can -------------------------------------------------------------------------------------------------------


def test_frames_of_other_devices_are_counted_and_ignored(bus):
    channel, other, can = bus
    link = CanLink(f'virtual:{channel}#2')
    link.open()
    link.send(CanFrame(0x180, b'\1\2'))
    assert other.recv(1.0).arbitration_id == 0x182
    for identifier in (0x080, 0x083, 0x082):
        other.send(can.Message(arbitration_id=identifier, data=b'\5', is_extended_id=False))
    other.send(can.Message(arbitration_id=0x82, is_extended_id=True))
    before = time.monotonic_ns()
    assert link.receive(1.0) == CanFrame(0x080, b'\5')
    assert abs(link.arrival_ns - before) < 500_000_000
    assert link.receive(0.0) is None
    assert (link.counts.sent, link.counts.received, link.counts.foreign) == (1, 1, 2)
    link.close()


def test_remote_frames_both_ways(bus):
    channel, other, can = bus
    link = CanLink(f'virtual:{channel}')
    link.open()
    link.send(CanFrame(0x200, remote=True))
    assert other.recv(1.0).is_remote_frame
    other.send(can.Message(arbitration_id=0x200, is_remote_frame=True, is_extended_id=False))
    assert link.receive(1.0) == CanFrame(0x200, remote=True)
    assert link.share([CanFrame(0)]) is None
    link.close()
    link.close()
    for use in (lambda: link.send(CanFrame(0)), lambda: link.receive(0.0), lambda: link.share([])):
        with pytest.raises(LinkError, match='not open'):
            use()


def test_a_bus_that_cannot_be_opened_names_the_command():
    link = CanLink('socketcan:can73')
    with pytest.raises(LinkError, match=r'sudo ip link set can73 up type can bitrate 1000000 restart-ms 100'):
        link.open()
    with pytest.raises(LinkError, match='doctor'):
        CanLink('nonsense:1').open()


def test_without_python_can_the_package_is_named(monkeypatch):
    monkeypatch.setitem(__import__('sys').modules, 'can', None)
    with pytest.raises(MissingDependency, match='pip install'):
        PythonCanPort(CanAddress('virtual', 'x'))


def test_socketcan_frames_for_the_guardian_are_those_of_the_kernel():
    packed = can_bus._SOCKETCAN_FRAME.pack(0x180, 2, b'\1\2'.ljust(8, b'\0'))
    assert packed == struct.pack('=IBBBB8s', 0x180, 2, 0, 0, 0, b'\1\2')
    assert 'restart-ms' in remedy(CanAddress('socketcan', 'can0'))


# Serial lines -----------------------------------------------------------------------------------------------------


def test_a_serial_adapter_is_opened_at_one_megabit_and_closed(adapter):
    link = CanLink(f'slcan:{adapter.path}')
    link.open()
    assert adapter.listen() == [b'C', b'S8', b'O']
    link.send(CanFrame(0x180, bytes.fromhex('0200CB0042002500')))
    link.send(CanFrame(0x200, remote=True))
    link.close()
    assert adapter.listen()[3:] == [b't18080200CB0042002500', b'r2000', b'C']


def test_frames_from_a_serial_adapter(adapter):
    link = CanLink(f'slcan:{adapter.path}#1')
    link.open()
    adapter.say(b'\r\r\at0814DEADBEEF\rz\rt0808' + b'00' * 8 + b'\rt08')
    assert link.receive(1.0) == CanFrame(0x080, bytes.fromhex('DEADBEEF'))
    assert link.receive(0.01) is None
    adapter.say(b'50\r')
    assert link.receive(1.0) == CanFrame(0x084)
    assert link.counts.foreign == 1
    link.close()


def test_a_serial_line_that_goes_away_is_a_link_error(adapter):
    link = CanLink(f'slcan:{adapter.path}')
    link.open()
    adapter.close()
    with pytest.raises(LinkError, match=r'unplugged|closed'):
        link.receive(0.5)
    with pytest.raises(LinkError, match='check cable'):
        link.send(CanFrame(0x100))
    link.close()


def test_no_such_serial_line_and_no_serial_line(tmp_path):
    with pytest.raises(LinkError, match='plugged in'):
        CanLink(f'slcan:{tmp_path}/tty').open()
    (tmp_path / 'file').touch()
    with pytest.raises(LinkError, match='no serial line'):
        CanLink(f'slcan:{tmp_path}/file').open()


def test_the_guardian_writes_the_last_words_to_the_serial_line(adapter):
    link = CanLink(f'slcan:{adapter.path}#3')
    link.open()
    guardian = Guardian()
    guardian.start(link.share([CanFrame(0x180, bytes(8)), CanFrame(0x104)]))
    adapter.listen()
    before = len(adapter.heard)
    os.close(guardian._process.stdin.fileno())  # what the kernel does when this process is killed
    guardian._process.wait(5.0)
    assert [f for f in map(decode_line, adapter.listen()[before:]) if f] == [CanFrame(0x183, bytes(8)), CanFrame(0x107)]
    guardian._process.stdout.close()
    link.close()
