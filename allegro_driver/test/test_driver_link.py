"""The UDP link: addresses, busy ports, strangers, arrival stamps; and the guardian that outlives a killed driver."""

import dataclasses
import os
import signal
import socket
import subprocess
import sys
import time

import numpy as np
import pytest
from allegro_description.errors import ConfigError, LinkError, UnknownPlugin
from allegro_description.model import available_hands, load_hand
from allegro_description.state import JointCommand
from allegro_driver.config import DriverConfig
from allegro_driver.control.safety import State
from allegro_driver.emulator.background import running_emulator
from allegro_driver.hand import Hand
from allegro_driver.hardware import make_hardware
from allegro_driver.link import LINKS
from allegro_driver.link.udp import UdpLink, parse_address
from wire_hand import WireHand, wait_until

MODEL = load_hand()


@pytest.fixture
def peer():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(('127.0.0.1', 0))
        sock.settimeout(2.0)
        yield sock


@pytest.fixture
def link(peer):
    link = UdpLink(f'127.0.0.1:{peer.getsockname()[1]}:0')
    link.open()
    yield link
    link.close()


@pytest.mark.parametrize(('text', 'ip', 'to', 'local'), [
    ('192.168.0.50', '192.168.0.50', 7000, 8000), ('192.168.0.50:7001', '192.168.0.50', 7001, 8000),
    ('192.168.0.50:7001:0', '192.168.0.50', 7001, 0), (' 10.0.0.1:1:65535 ', '10.0.0.1', 1, 65535),
])
def test_addresses(text, ip, to, local):
    address = parse_address(text)
    assert (address.ip, address.peer, address.local) == (ip, to, local)


@pytest.mark.parametrize('text', ['', 'hand.local', '192.168.0', '192.168.0.50:', '1.2.3.4:x', '1.2.3.4:-1',
                                  '1.2.3.4:0', '1.2.3.4:65536', '1.2.3.4:1:2:3', '1.2.3.4:1:', '::1', '1.2.3.4:²'])
def test_wrong_addresses_show_the_form(text):
    with pytest.raises(ConfigError, match='IP:PEER_PORT:LOCAL_PORT'):
        parse_address(text)


def test_datagrams_go_both_ways_and_are_counted(link, peer):
    link.send(b'hello')
    data, sender = peer.recvfrom(100)
    assert data == b'hello'
    assert sender[1] == link.local_port
    peer.sendto(b'answer', sender)
    assert link.receive(1.0) == b'answer'
    assert link.receive(0.0) is None
    assert (link.counts.sent, link.counts.received) == (1, 1)


def test_strangers_are_counted_and_ignored(link, peer):
    to = ('127.0.0.1', link.local_port)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
        for _ in range(3):
            stranger.sendto(b'obey me', to)
    peer.sendto(b'mine', to)
    assert link.receive(1.0) == b'mine'
    assert link.counts.foreign == 3


def test_arrival_is_when_it_came_not_when_it_was_read(link, peer):
    # Linux begins to stamp a moment after the first socket of the machine asked for it, so the first tries may be late
    for _ in range(20):
        before = time.monotonic_ns()
        peer.sendto(b'x', ('127.0.0.1', link.local_port))
        after = time.monotonic_ns()
        time.sleep(0.05)
        link.receive(1.0)
        if link.arrival_ns <= after + 20_000_000:
            break
        time.sleep(0.1)
    assert before - 1_000_000 <= link.arrival_ns <= after + 20_000_000


def test_a_busy_port_names_itself_and_a_remedy(peer):
    port = peer.getsockname()[1]
    with pytest.raises(LinkError, match=str(port)) as caught:
        UdpLink(f'127.0.0.1:9:{port}').open()
    assert 'choose another local port' in str(caught.value)


def test_a_hand_on_this_machine_is_listened_to_on_loopback_only(link):
    assert link._opened().getsockname()[0] == '127.0.0.1'


def test_a_closed_link_says_so(link):
    link.close()
    link.close()
    with pytest.raises(LinkError, match='not open'):
        link.send(b'')
    with pytest.raises(LinkError, match='not open'):
        link.receive(0.0)


def test_tables_are_lazy_and_name_what_there_is():
    with pytest.raises(UnknownPlugin, match='udp'):
        LINKS.load('upd')
    code = ('import sys, allegro_driver.link, allegro_driver.hardware;'
            'print([m for m in sys.modules if m.endswith((".udp", ".bus", ".v5b2"))])')
    assert subprocess.run([sys.executable, '-c', code], capture_output=True, text=True).stdout.strip() == '[]'


def test_a_link_that_does_not_exist():
    with pytest.raises(UnknownPlugin, match='udp'):
        make_hardware(MODEL, DriverConfig(link='telepathy'))


def test_a_link_that_the_hand_does_not_have():
    without = dataclasses.replace(MODEL, protocol={'udp': MODEL.protocol['udp']})
    with pytest.raises(ConfigError, match='has no can link'):
        make_hardware(without, DriverConfig(link='can'))


# Guardian ---------------------------------------------------------------------------------------------------------

VICTIM = """
import sys, time
import numpy as np
from allegro_description.model import load_hand
from allegro_driver.config import DriverConfig
from allegro_driver.hardware import make_hardware
model = load_hand()
hardware = make_hardware(model, DriverConfig(address=sys.argv[1]))
hardware.open()
print('open', hardware._guardian.pid, flush=True)
while True:
    hardware.read(1.0)
    hardware.write(np.full(16, 0.05))
"""


def test_a_killed_driver_leaves_zero_torque():
    with WireHand(MODEL) as hand:
        victim = subprocess.Popen([sys.executable, '-c', VICTIM, hand.address], stdout=subprocess.PIPE, text=True)
        try:
            assert victim.stdout is not None
            guardian = int(victim.stdout.readline().split()[1])
            assert wait_until(lambda: len(hand.torques()) > 20 and hand.torques()[-1].any())
        finally:
            victim.kill()
            victim.wait()
        killed = time.monotonic()
        assert wait_until(lambda: hand.ends_with_zero())
        assert time.monotonic() - killed < 0.5
        assert wait_until(lambda: not os.path.exists(f'/proc/{guardian}') or _zombie(guardian))
        hand.settle()
        assert hand.ends_with_zero()


def test_a_driver_that_hangs_loses_the_torque_and_finds_out():
    code = VICTIM.replace("    hardware.write(np.full(16, 0.05))", """    try:
        hardware.write(np.full(16, 0.05))
    except LinkError as error:
        print(error, flush=True)
        break""").replace('import numpy', 'from allegro_description.errors import LinkError\nimport numpy')
    with WireHand(MODEL) as hand, subprocess.Popen(
            [sys.executable, '-c', code, hand.address], stdout=subprocess.PIPE, text=True) as victim:
        try:
            victim.stdout.readline()
            assert wait_until(lambda: len(hand.torques()) > 20 and hand.torques()[-1].any())
            victim.send_signal(signal.SIGSTOP)
            stopped = time.monotonic()
            assert wait_until(lambda: hand.ends_with_zero())
            assert time.monotonic() - stopped < 0.5
            hand.settle()
            assert hand.ends_with_zero()
            victim.send_signal(signal.SIGCONT)
            assert 'the guardian has ended the torque' in victim.stdout.readline()
        finally:
            victim.kill()
        victim.wait()
        hand.settle()
        assert hand.ends_with_zero()


def test_without_torque_a_driver_may_take_its_time():
    with WireHand(MODEL) as hand:
        hardware = make_hardware(MODEL, DriverConfig(address=hand.address))
        hardware.open()
        for effort in (0.05, 0.0):
            hardware.read(1.0)
            hardware.write(np.full(16, effort))
        time.sleep(0.3)
        assert not hardware._guardian.acted
        hardware.write(np.full(16, 0.05))
        assert wait_until(lambda: hardware._guardian.acted)  # and here it may not
        with pytest.raises(LinkError, match='stood still'):
            hardware.write(np.full(16, 0.05))
        hardware.write(np.zeros(16))  # zero torque is always let through
        hardware.close()
        hardware.open()
        hardware.write(np.full(16, 0.05))  # a new session is a new beginning
        hardware.close()
        hand.settle()
        assert hand.ends_with_zero()


def test_the_hands_own_position_loop_is_watched_from_its_first_moment():
    with running_emulator(model='v5_sense', side='right', wire='udp') as emulator:
        hardware = make_hardware(MODEL, DriverConfig(address=emulator.address, stall_after_s=0.15))
        hardware.open()
        hardware.enable(True)
        hardware.position_mode(True)
        end = time.monotonic() + 0.4
        while time.monotonic() < end:  # no target yet, but the loop goes round
            hardware.read(1.0)
        assert not hardware._guardian.acted
        assert wait_until(lambda: hardware._guardian.acted)
        hardware.close()
        hardware.open()
        hardware.enable(True)
        hardware.position_mode(True)
        position = hardware.read(1.0).position
        hardware.write_targets(position + 0.1)
        assert wait_until(lambda: emulator.firmware.body.applied.any())
        assert wait_until(lambda: hardware._guardian.acted)
        assert wait_until(lambda: not emulator.firmware.body.applied.any())
        with pytest.raises(LinkError, match='stood still'):
            hardware.write_targets(position)
        emulator.firmware.body.faults.inject('stale')
        with pytest.raises(LinkError, match='stood still'):  # and not that the cable may be loose
            _read_on(hardware)
        hardware.close()


def test_a_driver_whose_thread_hangs_is_in_fault_and_says_why():
    pause = [0.0]
    with running_emulator(model='v5_sense', side='right', wire='udp') as emulator:
        config = DriverConfig(address=emulator.address, realtime='off', stale_after_s=0.1)
        with Hand(make_hardware(MODEL, config), MODEL, config) as hand:
            hand.add_listener(lambda _: time.sleep(pause[0]))
            hand.enable()
            assert wait_until(lambda: hand.state is State.HOLD)
            time.sleep(0.3)
            assert hand.state is State.HOLD
            hand.command(JointCommand(0, position=MODEL.pose('pregrasp')))
            assert wait_until(lambda: emulator.firmware.body.applied.any())
            pause[0] = 0.4
            assert wait_until(lambda: hand.state is State.FAULT)
            pause[0] = 0.0
            assert 'stood still' in hand.status().reason
            assert wait_until(lambda: not emulator.firmware.body.applied.any())
            assert hand.clear_fault().startswith('hold')


def test_how_long_torque_may_stand_still():
    assert DriverConfig().stall_s(0.003) == 0.06
    assert DriverConfig().stall_s(0.01) == pytest.approx(0.075)
    assert DriverConfig(stall_after_s=0.2).stall_s(0.003) == 0.2
    assert DriverConfig(stale_after_s=0.2).stall_s(0.003) == pytest.approx(0.23)


@pytest.mark.parametrize('name', available_hands())
def test_patience_fits_the_period_of_every_hand(name):
    for settings in load_hand(*name.rsplit('_', 1)).protocol.values():
        period_s = settings['period_ms'] / 1e3
        patience_s = DriverConfig().patience_s(period_s)
        assert 4 * period_s < patience_s <= 0.05
        assert patience_s < DriverConfig().stall_s(period_s) <= 0.08  # and zero torque within 100 ms
        assert DriverConfig(stale_after_s=0.5).patience_s(period_s) == 0.5


def test_a_guardian_ignores_ctrl_c_and_leaves_with_the_driver():
    with WireHand(MODEL) as hand:
        hardware = make_hardware(MODEL, DriverConfig(address=hand.address))
        hardware.open()
        pid = hardware._guardian.pid
        assert os.getpgid(pid) != os.getpgid(0)
        os.kill(pid, signal.SIGINT)
        os.kill(pid, signal.SIGTERM)
        time.sleep(0.1)
        assert os.path.exists(f'/proc/{pid}')
        hardware.close()
        assert not os.path.exists(f'/proc/{pid}')


def test_a_guardian_that_was_killed_is_replaced_before_there_is_torque():
    with WireHand(MODEL) as hand:
        hardware = make_hardware(MODEL, DriverConfig(address=hand.address))
        hardware.open()
        first = hardware._guardian.pid
        hardware.enable(True)
        assert hardware._guardian.pid == first
        os.kill(first, signal.SIGKILL)
        assert wait_until(lambda: _zombie(first))
        hardware.enable(True)
        assert hardware._guardian.pid != first
        hardware.write(np.full(16, 0.05))
        assert wait_until(lambda: hardware._guardian.acted)
        hardware.close()


def _read_on(hardware):
    while True:
        hardware.read(0.05)


def _zombie(pid):
    try:
        with open(f'/proc/{pid}/stat') as file:
            return file.read().rsplit(')', 1)[1].split()[0] == 'Z'
    except OSError:
        return True
