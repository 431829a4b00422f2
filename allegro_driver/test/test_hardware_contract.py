"""What every hardware must do, run over each kind there is; then what is particular to the bus."""

import itertools
import socket
import time
from contextlib import contextmanager, suppress

import numpy as np
import pytest
from allegro_description.errors import CommandRefused, IdentityError, LinkError, LinkTimeout
from allegro_description.model import load_hand
from allegro_driver.config import DriverConfig
from allegro_driver.hardware import make_hardware
from allegro_driver.hardware.base import AlarmKind
from allegro_driver.protocol.v5b2_packets import MessageType
from wire_hand import WireHand, wait_until

MODEL = load_hand()


def bus(hand, **config):
    values = {'address': hand.address, 'answer_timeout_s': 0.3, 'guardian': False, **config}
    return make_hardware(MODEL, DriverConfig(**values))


@contextmanager
def bus_rig():
    with WireHand(MODEL) as hand:
        hardware = bus(hand)
        try:
            yield hardware, hand
        finally:
            hardware.close()


# A further kind of hardware adds a context manager here that yields (hardware, the hand behind it).
RIGS = {'bus over udp': bus_rig}


@pytest.fixture(params=list(RIGS))
def rig(request):
    with RIGS[request.param]() as both:
        yield both


def test_opens_identifies_and_is_without_torque(rig):
    hardware, hand = rig
    identity = hardware.open()
    assert identity.side == MODEL.side
    assert hardware.identity == identity
    hand.settle()
    assert all(not t.any() for t in hand.torques())


def test_open_twice_and_close_twice_change_nothing(rig):
    hardware, _ = rig
    assert hardware.open() == hardware.open()
    hardware.close()
    hardware.close()


def test_reads_new_samples_in_order_with_arrival_stamps(rig):
    hardware, _ = rig
    hardware.open()
    states = [hardware.read(0.5) for _ in range(20)]
    numbers = [s.sequence for s in states]
    assert numbers == sorted(set(numbers))
    for earlier, later in itertools.pairwise(states):
        assert earlier.stamp_ns < later.stamp_ns
    assert 0 <= time.monotonic_ns() - states[-1].stamp_ns < 500_000_000
    for state in states:
        assert state.position.shape == state.velocity.shape == (16,)
        assert np.isfinite(state.position).all()
        assert np.isfinite(state.velocity).all()


def test_a_reader_that_was_away_gets_the_newest(rig):
    hardware, _ = rig
    hardware.open()
    first = hardware.read(0.5)
    time.sleep(0.05)
    now = time.monotonic_ns()
    second = hardware.read(0.5)
    assert second.sequence > first.sequence + 5
    assert now - second.stamp_ns < 30_000_000
    assert hardware.skipped > 3


def test_torque_moves_joints_in_canonical_order(rig):
    hardware, _ = rig
    hardware.open()
    hardware.enable(True)
    before = hardware.read(0.5).position
    effort = np.zeros(16)
    effort[2], effort[13] = 0.1, -0.05
    for _ in range(30):
        hardware.read(0.5)
        hardware.write(effort)
    moved = hardware.read(0.5).position - before
    assert moved[2] > 0.01
    assert moved[13] < -0.01
    assert np.abs(np.delete(moved, (2, 13))).max() < 0.005


def test_close_leaves_zero_torque_and_disable_too(rig):
    hardware, hand = rig
    hardware.open()
    for end in (lambda: hardware.enable(False), hardware.close):
        hardware.write(np.full(16, 0.1))
        end()
        hand.settle()
        assert hand.ends_with_zero()


def test_closed_hardware_says_so_and_can_be_opened_again(rig):
    hardware, _ = rig
    for call in (lambda: hardware.read(0.01), lambda: hardware.write(np.zeros(16)), lambda: hardware.enable(True)):
        with pytest.raises(LinkError):
            call()
    hardware.enable(False)
    hardware.open()
    hardware.close()
    hardware.open()
    hardware.read(0.5)


def test_silence_is_a_timeout_in_time(rig):
    hardware, hand = rig
    hardware.open()
    hand.paused = True
    time.sleep(0.05)
    with suppress(LinkTimeout):
        hardware.read(0.0)  # what came before
    begin = time.monotonic()
    with pytest.raises(LinkTimeout):
        hardware.read(0.05)
    assert 0.045 < time.monotonic() - begin < 0.5


def test_the_position_loop_takes_targets_and_no_torques(rig):
    hardware, hand = rig
    if not hardware.onboard_position:
        pytest.skip('no such loop')
    hardware.open()
    with pytest.raises(CommandRefused, match='switch that on'):
        hardware.write_targets(np.zeros(16))
    begin = time.monotonic()
    hardware.position_mode(True)
    assert time.monotonic() - begin < 0.04  # the control loop must not stand still while the hand gets ready
    assert hardware.settle_s >= 0.05
    with pytest.raises(CommandRefused, match='take torques for angles'):
        hardware.write(np.zeros(16))
    hardware.write_targets(hardware.read(0.5).position)
    hardware.position_mode(False)
    hardware.write(np.zeros(16))
    hand.settle()
    assert hand.ends_with_zero()


@pytest.mark.parametrize('way_out', ['disable', 'enable', 'halt', 'close'])
def test_every_way_out_of_the_position_loop_ends_with_zero_torque_in_torque_mode(rig, way_out):
    hardware, hand = rig
    if not hardware.onboard_position:
        pytest.skip('no such loop')
    hardware.open()
    hardware.position_mode(True)
    hardware.write_targets(np.full(16, 0.1))
    calls = {'disable': lambda: hardware.enable(False), 'enable': lambda: hardware.enable(True)}
    calls.get(way_out, getattr(hardware, way_out, None))()
    hand.settle()
    kinds, modes = hand.kinds(), [p.payload for _, p in hand.heard if p.type is MessageType.HINF_MODE]
    assert modes[-1] == b'\x00'
    last_on = max(k for k, (_, p) in enumerate(hand.heard) if p.payload == b'\x01')
    targets = [k for k, kind in enumerate(kinds) if kind is MessageType.TORQUE and k > last_on]
    off = kinds.index(MessageType.HINF_MODE, last_on + 1)
    assert [k for k in targets if k < off] == targets[:1]  # the one target; every zero came after the mode
    assert hand.ends_with_zero()


def test_halt_ends_all_torque_and_opening_anew_brings_samples_back(rig):
    hardware, hand = rig
    hardware.open()
    hardware.enable(True)
    hardware.write(np.full(16, 0.1))
    hardware.halt()
    hand.settle()
    assert hand.ends_with_zero()
    hardware.close()
    hardware.open()
    hardware.read(0.5)


# The bus in particular --------------------------------------------------------------------------------------------


def test_the_position_mode_is_off_before_the_first_torque_packet():
    with bus_rig() as (hardware, hand):
        hardware.open()
        kinds = hand.kinds()
        assert kinds[0] is MessageType.HELLO_REQUEST
        first_torque = kinds.index(MessageType.TORQUE)
        modes = [p for _, p in hand.heard if p.type is MessageType.HINF_MODE]
        assert kinds[:first_torque].count(MessageType.HINF_MODE) == 3
        assert all(p.payload == b'\x00' for p in modes)
        times = [t for t, p in hand.heard if p.type is MessageType.HINF_MODE]
        assert all(later - earlier > 0.001 for earlier, later in itertools.pairwise(times))


def test_nobody_there_is_one_sentence_after_all_tries():
    with WireHand(MODEL) as hand:
        hand.answer_hello = False
        hardware = bus(hand, answer_timeout_s=0.05, answer_tries=3)
        with pytest.raises(LinkTimeout, match='check power') as caught:
            hardware.open()
        assert f'127.0.0.1:{hand.port}' in str(caught.value)
        assert hand.kinds() == [MessageType.HELLO_REQUEST] * 3


def test_an_answer_to_the_second_hello_is_enough():
    with WireHand(MODEL) as hand:
        hand.answer_hello = False
        hardware = bus(hand, answer_timeout_s=0.1)
        original = hand._hear

        def hear(packet, sender):
            hand.answer_hello = len(hand.heard) >= 1
            original(packet, sender)

        hand._hear = hear
        hardware.open()
        hardware.close()


def test_hello_without_samples_is_refused_and_closed():
    with WireHand(MODEL) as hand:
        hand.paused = True
        hardware = bus(hand, answer_timeout_s=0.1)
        with pytest.raises(LinkTimeout, match='no samples'):
            hardware.open()
        hand.settle()
        assert hand.ends_with_zero()
        with pytest.raises(LinkError):
            hardware.read(0.01)


def test_the_other_side_is_refused_with_zero_torque():
    with WireHand(MODEL, serial='5SBL0001') as hand:
        hardware = bus(hand)
        with pytest.raises(IdentityError, match='left hand, but right'):
            hardware.open()
        hand.settle()
        assert hand.ends_with_zero()


@pytest.mark.parametrize(('serial', 'says'), [('', 'lost its serial'), (None, 'did not tell')])
def test_blank_or_missing_serial_warns(serial, says):
    with WireHand(MODEL, serial=serial) as hand:
        hardware = bus(hand, answer_timeout_s=0.05)
        identity = hardware.open()
        assert identity.side is None
        assert says in identity.warnings[0]
        assert 'allow_unknown_side' in identity.warnings[1]
        requests = hand.kinds().count(MessageType.SERIAL_REQUEST)
        assert requests == (3 if serial is None else 1)
        hardware.close()


def test_expected_serial():
    with WireHand(MODEL) as hand:
        with pytest.raises(IdentityError, match='5SBR9999'):
            bus(hand, expected_serial='5SBR9999').open()
        hardware = bus(hand, expected_serial='5SBR0001')
        assert hardware.open().serial == '5SBR0001'
        hardware.close()


def test_a_three_finger_serial_is_pointed_out():
    with WireHand(MODEL, serial='5TCR0001') as hand:
        hardware = bus(hand)
        assert any('3-finger' in w for w in hardware.open().warnings)
        hardware.close()


def test_motor_errors_name_the_joint_in_wire_order():
    with bus_rig() as (hardware, hand):
        hardware.open()
        hand.motor_error(1, 0b100)  # the wire begins with the thumb
        assert wait_until(lambda: hardware.read(0.5) and hardware._alarms)
        (alarm,) = hardware.take_alarms()
        assert alarm.kind is AlarmKind.MOTOR
        assert 'joint_12_0' in alarm.text
        assert 'overheating' in alarm.text
        assert hardware.take_alarms() == ()


def test_a_counter_that_starts_anew_is_an_alarm_but_old_samples_are_dropped():
    with bus_rig() as (hardware, hand):
        hand.sample = 50_000
        hardware.open()
        last = hardware.read(0.5).sequence
        hand.sample -= 5
        assert hardware.read(0.5).sequence > last
        assert hardware.counts()['samples_out_of_order'] >= 1
        assert not hardware.take_alarms()
        hand.sample = 0
        assert hardware.read(0.5).sequence < 100
        assert hardware.take_alarms()[0].kind is AlarmKind.RESTART


def test_the_counter_may_wrap():
    with bus_rig() as (hardware, hand):
        hand.sample = 2**32 - 5
        hardware.open()
        numbers = [hardware.read(0.5).sequence for _ in range(20)]
        assert 0 < numbers[-1] < 10_000  # from before the wrap to after it, however late the machine is
        assert not hardware.take_alarms()


def test_a_queue_that_ran_over_does_not_serve_old_samples():
    with bus_rig() as (hardware, _):
        hardware.open()
        hardware.link._opened().setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)  # a few samples fill it
        time.sleep(0.5)
        state = hardware.read(0.5)
        assert time.monotonic_ns() - state.stamp_ns < 200_000_000


def test_zero_torque_waits_until_the_mode_was_sent_without_an_error(monkeypatch):
    with bus_rig() as (hardware, hand):
        hardware.open()
        hardware.position_mode(True)
        send, failures = hardware.link.send, iter([True] * 7)

        def unsure(unit):
            if next(failures, False):
                raise LinkError('no buffer space')
            send(unit)

        monkeypatch.setattr(hardware.link, 'send', unsure)
        before = len(hand.heard)
        hardware.enable(False)
        hand.settle()
        heard = hand.kinds()[before:]
        assert MessageType.TORQUE not in heard  # every attempt failed at its first packet: silence is better than 0°
        with pytest.raises(CommandRefused):
            hardware.write(np.zeros(16))
        hardware.halt()
        hand.settle()
        heard = hand.kinds()[before:]
        assert heard.index(MessageType.HINF_MODE) < heard.index(MessageType.TORQUE)
        assert hand.ends_with_zero()


def test_damaged_packets_are_counted_and_skipped():
    with bus_rig() as (hardware, hand):
        hardware.open()
        for junk in (b'', b'junk', b'V5B2' + bytes(40)):
            hand.send(junk)
        for _ in range(5):
            hardware.read(0.5)
        assert hardware.counts()['packets_not_understood'] == 3
