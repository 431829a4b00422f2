"""The hand's own position loop over real wires, with an emulated hand behind: the driver's whole stack."""

import contextlib
import dataclasses
import uuid

import numpy as np
import pytest
from allegro_description.errors import ConfigError
from allegro_description.model import load_hand
from allegro_driver.config import DriverConfig
from allegro_driver.control.safety import State
from allegro_driver.emulator.background import running_emulator
from allegro_driver.hand import Hand
from allegro_driver.hardware import make_hardware
from wire_hand import wait_until


@contextlib.contextmanager
def driven(model, wire, **changes):
    with running_emulator(model=model.model, side=model.side, wire=wire) as server:
        config = DriverConfig(**{
            'model': model.model, 'side': model.side, 'link': 'udp' if server.wire.kind == 'udp' else 'can',
            'address': server.address, 'answer_timeout_s': 0.5, 'guardian': False, 'realtime': 'off',
            'stale_after_s': 0.25, 'confirmed': ','.join(model.confirm), 'control_mode': 'onboard', **changes})
        with Hand(make_hardware(model, config), model, config) as hand:
            assert wait_until(lambda: hand.last is not None)
            yield hand, server.firmware.body


@pytest.mark.parametrize(('name', 'side', 'wire'), [
    ('v5_sense', 'right', 'udp'), ('v5_sense', 'left', 'virtual'), ('plexus', 'right', 'virtual')])
def test_a_word_is_played_held_let_go_and_a_fault_ends_it(name, side, wire):
    model = load_hand(name, side)
    with driven(model, f'virtual:{uuid.uuid4().hex}' if wire == 'virtual' else wire, motion_speed=4.0,
                motion_hold_s=1.5 if name == 'plexus' else 0.3, hold_after_s=0.2) as (hand, body):
        before = body.encoders.copy()
        hand.enable()
        assert wait_until(lambda: hand.state is State.HOLD)
        assert wait_until(lambda: np.abs(hand.target() - before).max() < 0.02)  # stays where it was, not at 0°
        hand.play('ready')
        goal = model.pose('pregrasp')
        assert wait_until(lambda: np.abs(hand.last.position - goal).max() < 0.1), np.round(hand.last.position - goal, 2)
        assert wait_until(lambda: hand.state is State.RELAXED)
        assert wait_until(lambda: not body.applied.any())
        hand.play('home')
        assert wait_until(lambda: hand.state is State.ACTIVE)
        assert wait_until(lambda: np.abs(body.encoders - goal).max() > 0.2)
        body.faults.inject('stale')
        assert wait_until(lambda: hand.state is State.FAULT)
        assert wait_until(lambda: not body.applied.any())
        body.faults.clear()
        assert hand.clear_fault().startswith('hold')
        assert wait_until(lambda: body.applied.any())
    assert wait_until(lambda: not body.applied.any())


@pytest.mark.parametrize('name', ['v4_right', 'v5_a_right', 'v5_b_right', 'v5_3f_right'])
def test_hands_whose_loop_is_not_driven_say_so_at_once(name):
    model = load_hand(*name.rsplit('_', 1))
    config = DriverConfig(model=model.model, link='can', address='virtual:nobody', control_mode='onboard')
    with pytest.raises(ConfigError, match='set control_mode to host'):
        Hand(make_hardware(model, config), model, config)


def test_a_plexus_changes_its_mode_while_samples_are_answered():
    model = load_hand('plexus', 'right')
    with driven(model, f'virtual:{uuid.uuid4().hex}') as (hand, body):
        before = body.encoders.copy()
        hand.enable()
        assert wait_until(lambda: body.positioning and body.servo)
        assert wait_until(lambda: np.abs(hand.target() - before).max() < 0.05)
        hand.enable(False)
        assert wait_until(lambda: not body.applied.any())
        hand.configure(dataclasses.replace(hand._config, control_mode='host'))
        hand.enable()
        assert wait_until(lambda: not body.positioning and body.servo)
        hand.play('ready')
        assert wait_until(lambda: body.applied.any())  # the driver's own loop moves the fingers now
        assert not body.positioning
        hand.enable(False)
        hand.configure(dataclasses.replace(hand._config, control_mode='onboard'))
        hand.enable()
        assert wait_until(lambda: body.positioning and body.servo)
        hand.enable(False)
        assert wait_until(lambda: not body.applied.any())
        assert hand.state is State.OFF
