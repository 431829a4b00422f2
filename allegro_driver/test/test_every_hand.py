"""One contract over every hand on every wire, emulated: the driver's whole stack, real sockets, terminals and buses."""

import contextlib
import dataclasses
import itertools
import time
import uuid

import numpy as np
import pytest
from allegro_description.errors import CommandRefused, LinkError
from allegro_description.model import available_hands, load_hand
from allegro_description.state import JointCommand
from allegro_driver.config import DriverConfig
from allegro_driver.control.safety import State
from allegro_driver.emulator.background import running_emulator
from allegro_driver.hand import Hand
from allegro_driver.hardware import make_hardware
from wire_hand import wait_until

HANDS = [load_hand(*name.rsplit('_', 1)) for name in available_hands()]
CASES = [(hand, wire) for hand in HANDS for wire in
         (('udp',) if 'udp' in hand.protocol else ()) + (('slcan',) if hand.side == 'right' else ('virtual',))]
NAMES = [f'{hand.name} {wire}' for hand, wire in CASES]
NEAR = 0.1
"""rad; a proportional controller stops short of its target where the torque it asks for is less than one count."""


def wire_name(wire):
    return f'virtual:{uuid.uuid4().hex}' if wire == 'virtual' else wire


def config_for(hand, server, **changes):
    return DriverConfig(**{
        'model': hand.model, 'side': hand.side, 'link': 'udp' if server.wire.kind == 'udp' else 'can',
        'address': server.address, 'answer_timeout_s': 0.5,
        'guardian': False, 'realtime': 'off', 'stale_after_s': 0.2, 'confirmed': ','.join(hand.confirm), **changes})


def driven(hand, server, **changes):
    config = config_for(hand, server, **changes)
    return Hand(make_hardware(hand, config), hand, config)


@pytest.fixture(params=CASES, ids=NAMES)
def rig(request):
    hand, wire = request.param
    with running_emulator(model=hand.model, side=hand.side, wire=wire_name(wire)) as server:
        yield hand, server


def follow(driver, goal, seconds=3.0):
    """Command a pose at 50 Hz until it is reached."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        driver.command(JointCommand(0, position=goal))
        if np.abs(driver.last.position - goal).max() < NEAR:
            return True
        time.sleep(0.02)
    return False


def test_opens_identifies_reads_and_is_without_torque(rig):
    hand, server = rig
    hardware = make_hardware(hand, config_for(hand, server))
    identity = hardware.open()
    assert identity.side == hand.side
    # The simplest physics begins at 0 clipped into the vendor's range; some limits are narrower.
    assert all('calibrate' in warning for warning in identity.warnings)
    states = [hardware.read(1.0) for _ in range(5)]
    # Frames that a serial line delivers in one piece have arrived together.
    assert all(a.sequence < b.sequence and a.stamp_ns <= b.stamp_ns for a, b in itertools.pairwise(states))
    for state in states:
        assert state.position.shape == state.velocity.shape == (len(hand.joints),)
        assert (state.tactile is None) == (not hand.taxels)
    assert not server.firmware.body.torque.any()
    hardware.close()
    hardware.close()
    with pytest.raises(LinkError):
        hardware.read(0.01)
    hardware.open()
    hardware.read(1.0)
    hardware.close()


def test_follows_faults_clears_and_ends_without_torque(rig):
    hand, server = rig
    body, faults = server.firmware.body, server.firmware.body.faults
    with driven(hand, server) as driver:
        assert wait_until(lambda: driver.last is not None)
        with pytest.raises(CommandRefused, match='enable'):
            driver.command(JointCommand(0, position=hand.pose('home')))
        driver.enable()
        # A pose in which no two joints stand alike, so that swapped joints cannot hide.
        goal = hand.lower + (hand.upper - hand.lower) * np.linspace(0.3, 0.6, len(hand.joints))
        assert follow(driver, goal), np.round(driver.last.position - goal, 3)
        assert np.abs(body.encoders - goal).max() < 2 * NEAR
        assert body.beyond_clamp == 0
        driver.enable(False)
        assert wait_until(lambda: not body.applied.any())
        driver.enable()
        faults.inject('stale')
        assert wait_until(lambda: driver.state is State.FAULT)
        assert 'no sample' in driver.status().reason
        assert wait_until(lambda: not body.applied.any())
        faults.clear()
        driver.clear_fault()
        assert driver.state is State.HOLD
        driver.command(JointCommand(0, effort=0.5 * hand.torque_limit))
        assert wait_until(lambda: body.applied.any())
    assert wait_until(lambda: not body.applied.any(), 1.0)
    if server.wire.kind != 'udp':
        assert not body.servo


@pytest.mark.parametrize('model', ['v5_sense', 'v5_b', 'v4', 'plexus'])
def test_a_hand_of_the_other_side_is_refused(model):
    right, left = load_hand(model, 'right'), load_hand(model, 'left')
    with running_emulator(model=model, side='left', wire=wire_name('virtual')) as server:
        with pytest.raises(Exception, match='left hand, but right') as caught:
            make_hardware(right, config_for(right, server)).open()
        assert type(caught.value).__name__ == 'IdentityError'
        assert not server.firmware.body.applied.any()
        make_hardware(left, config_for(left, server)).open()


# Two hands at once ------------------------------------------------------------------------------------------------


def both_follow(first, second):
    """Two hands go to different poses at the same time and stay apart."""
    with contextlib.ExitStack() as stack:
        drivers = [stack.enter_context(driven(hand, server, **more)) for hand, server, more in (first, second)]
        goals = []
        for driver, share in zip(drivers, (0.35, 0.6), strict=True):
            assert wait_until(lambda driver=driver: driver.last is not None)
            driver.enable()
            goals.append(driver.model.lower + share * (driver.model.upper - driver.model.lower))
        end = time.monotonic() + 4.0
        while time.monotonic() < end:
            for driver, goal in zip(drivers, goals, strict=True):
                driver.command(JointCommand(0, position=goal))
            if all(np.abs(d.last.position - g).max() < NEAR for d, g in zip(drivers, goals, strict=True)):
                break
            time.sleep(0.02)
        for driver, goal in zip(drivers, goals, strict=True):
            assert np.abs(driver.last.position - goal).max() < NEAR
            assert driver.state is State.ACTIVE
        return [driver.hardware.counts() for driver in drivers]


def test_two_v4_on_one_bus_are_told_apart_by_their_device_numbers():
    hand, channel = load_hand('v4', 'right'), wire_name('virtual')
    with running_emulator(model='v4', wire=channel, device_id=0) as first, \
            running_emulator(model='v4', wire=channel, device_id=1) as second:
        assert second.address.endswith('#1')
        counts = both_follow((hand, first, {}), (hand, second, {}))
        assert all(c['link_foreign'] > 50 and c['packets_not_understood'] == 0 for c in counts)
        assert not first.firmware.body.applied.any()
        assert not second.firmware.body.applied.any()


def test_two_v5_sense_on_two_ports():
    hand = load_hand('v5_sense', 'right')
    with running_emulator(model='v5_sense') as first, running_emulator(model='v5_sense') as second:
        both_follow((hand, first, {}), (hand, second, {}))


def test_two_models_on_two_kinds_of_link():
    sense, three = load_hand('v5_sense', 'left'), load_hand('v5_3f', 'right')
    with running_emulator(model='v5_sense', side='left') as first, \
            running_emulator(model='v5_3f', wire='slcan') as second:
        both_follow((sense, first, {}), (three, second, {}))


def test_what_nobody_confirmed_gets_no_torque():
    hand = load_hand('v5_sense', 'left')
    with running_emulator(model='v5_sense', side='left') as server, driven(hand, server, confirmed='') as driver:
        assert wait_until(lambda: driver.last is not None)
        with pytest.raises(CommandRefused, match='thumb_sign'):
            driver.enable()
        assert dataclasses.asdict(driver.status())['state'] is State.OFF


@pytest.mark.parametrize(('wanted', 'warned'), [(True, True), (False, False)])
def test_a_link_that_no_second_process_can_share_is_said_to_have_no_guardian(wanted: bool, warned: bool) -> None:
    with running_emulator(model='v4', side='right', wire=wire_name('virtual')) as server:
        config = DriverConfig(model='v4', link='can', address=server.address, guardian=wanted)
        hardware = make_hardware(load_hand('v4', 'right'), config)
        try:
            assert any('no guardian' in warning for warning in hardware.open().warnings) is warned
        finally:
            hardware.close()
