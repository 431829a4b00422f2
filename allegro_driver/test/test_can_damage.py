"""Random and mutated CAN frames: a refusal or a message, never another exception, never a number that is none."""

from __future__ import annotations

import math
import random
from collections import Counter

import numpy as np
import pytest
from allegro_description.errors import ProtocolError
from allegro_description.model import load_hand
from allegro_driver.hardware import CODECS
from allegro_driver.protocol.can_commands import Torque
from allegro_driver.protocol.can_frames import CanFrame, parse_frame
from allegro_driver.protocol.can_hand import CAN_HANDS
from allegro_driver.protocol.session import CalibrationDone, HandInfo, MotorFault, Sample, SerialNumber
from allegro_driver.protocol.switches import CHOICES

MODELS = {'v4_can': 'v4', 'v5_can': 'v5_b', 'v5_3f_can': 'v5_3f', 'v5_sense_can': 'v5_sense', 'plexus_can': 'plexus'}
FRAMES = 30_000


def seeds(session, hand, n):
    """Something of everything that this pair says."""
    zero = np.zeros(n)
    frames = [*session.torque(zero), *session.quiet(), *session.stream(), *session.hello(), *session.silence(),
              *hand.position(zero + 0.3), *hand.temperature(zero + 30), hand.info(0x402, 1), hand.serial('5TBR0017')]
    for name, values in (('current', zero + 20), ('velocity', zero + 1), ('tactile', np.full(16, 5000.0)),
                         ('fingertips', np.full(len(hand.model.taxels), 200.0))):
        if hasattr(hand, name):
            frames += getattr(hand, name)(values)
    return [*frames, *(hand.position(zero) * 3)]


def mutate(frame, rng):
    identifier, data, remote = frame
    if rng.random() < 0.2:
        identifier ^= 1 << rng.randrange(11)
    data = bytearray(data)
    for _ in range(rng.randrange(3)):
        if data:
            data[rng.randrange(len(data))] = rng.randrange(256)
    if rng.random() < 0.15:
        data = (data + rng.randbytes(8))[:rng.randrange(9)]
    return CanFrame(identifier, bytes(data), remote != (rng.random() < 0.05))


def check(sample, model):
    n = len(model.joints)
    assert sample.position.shape == (n,)
    assert np.isfinite(sample.position).all()
    assert np.abs(sample.position).max() <= 32768 * math.radians(model.actuation.position_lsb_deg)
    if sample.current_ma is not None:
        assert sample.current_ma.shape == (n,)
        assert np.isfinite(sample.current_ma).all()
    for values, size in ((sample.tactile, len(model.taxels)), (sample.temperature_c, n)):
        if values is not None:
            assert values.shape == (size,)
            assert (np.isnan(values) | (np.isfinite(values) & (values >= 0))).all()


@pytest.mark.parametrize('codec', CHOICES)
def test_damage_raises_protocol_errors_and_nothing_else(codec):
    rng = random.Random(codec)
    model = load_hand(MODELS[codec])
    settings = {name: rng.choice(allowed) for name, allowed in CHOICES[codec].items()}
    session, hand = CODECS.load(codec)(model, settings), CAN_HANDS[codec](model, settings, 0)
    good = seeds(session, hand, len(model.joints))
    seen = Counter()
    for turn in range(FRAMES):
        if turn % 5 == 0:
            frame = CanFrame(rng.randrange(2048), rng.randbytes(rng.randrange(9)), rng.random() < 0.1)
        elif turn % 5 < 4:
            frame = good[turn % len(good)]  # in order, so that samples come about
            frame = mutate(frame, rng) if turn % 3 == 0 else frame
        else:
            frame = mutate(rng.choice(good), rng)
        try:
            message = session.decode(frame)
        except ProtocolError:
            seen['refused'] += 1
        else:
            seen[type(message)] += 1
            if isinstance(message, Sample):
                check(message, model)
            assert message is None or isinstance(message, (Sample, HandInfo, SerialNumber, MotorFault, CalibrationDone))
        try:
            command = hand.decode(frame)
        except ProtocolError:
            seen['refused by the hand'] += 1
        else:
            if isinstance(command, Torque):
                assert len(command.counts) == len(model.fingers[command.finger].joints)
    assert seen['refused'] > 5000
    assert seen['refused by the hand'] > 5000
    assert seen[None.__class__] > 5000
    assert min(seen[Sample], seen[HandInfo], seen[SerialNumber]) > 20, seen


@pytest.mark.parametrize(
    'text', ['', '#', '180', 'XYZ#00', '180#0', '180#GG', '800#00', '-1#00', '180#001122334455667788'])
def test_texts_that_are_no_frames(text):
    with pytest.raises(ProtocolError, match='no CAN frame'):
        parse_frame(text)
