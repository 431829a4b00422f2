"""Inputs for the fuzz targets: what real conversations look like, and how to spoil it.

A recording is made by the project's own codecs, so nine in ten mutated units are still close to something valid; the
rest is noise. Everything follows from the seed of the ``random.Random`` that is handed in.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from allegro_description.errors import CommandRefused

from allegro_driver.evidence.fuzz_loop import Action, Item
from allegro_driver.evidence.fuzz_sides import Unit, hand_codec, hand_of, session_class
from allegro_driver.protocol.can_frames import CanFrame
from allegro_driver.protocol.v5b2 import CalibrationDone
from allegro_driver.protocol.v5b2_packets import MAGIC, MessageType
from allegro_driver.protocol.v5b2_payloads import FailMasks, Info, MotorError, NetConfig, Serial

_WORTH_TRYING = (0x00, 0x01, 0x7F, 0x80, 0xFE, 0xFF)
_MAGIC = MAGIC.to_bytes(4, 'little')
_LARGEST_DATAGRAM = 300


def from_hand(codec: str, samples: int, dice: random.Random) -> list[Unit]:
    """What a hand says: samples of a moving hand with everything else that it can say between them."""
    model, _ = hand_of(codec)
    side = hand_codec(codec, model)
    numbers = np.random.default_rng(dice.getrandbits(32))
    position = np.clip(model.pose('home'), model.lower, model.upper)
    zero, units = np.zeros(len(model.joints)), []
    for sample in range(samples):
        position = np.clip(position + numbers.normal(0.0, 0.01, len(zero)), model.lower, model.upper)
        current = numbers.normal(0.0, 60.0, len(zero))
        tactile = numbers.exponential(3000.0, len(model.taxels))
        if codec == 'v5b2':
            units.append(side.telemetry(sample, 3 * sample, position, current, tactile, zero))
        else:
            units += side.position(position)
            if sample % 8 == 0:
                units += side.temperature(numbers.uniform(20.0, 70.0, len(zero)))
            for name, values in (('current', current), ('tactile', tactile), ('fingertips', tactile)):
                if hasattr(side, name):
                    units += getattr(side, name)(values)
        if sample % 20 == 0:
            units.append(_remark(codec, side, dice))
    return units


def _remark(codec: str, side: Any, dice: random.Random) -> Unit:
    """Something else that a hand says now and then."""
    text = ''.join(dice.choices('5SBTARL0123 ', k=dice.randrange(9)))
    if codec == 'v5b2':
        say = dice.choice((
            Info(dice.randrange(65536), dice.randrange(65536)), Serial(text), NetConfig(), CalibrationDone(),
            MotorError(dice.randrange(256), dice.randrange(256)), FailMasks(dice.getrandbits(32), 1)))
        return bytes(side.answer(say, dice.getrandbits(32), 0))
    kinds = [lambda: side.info(dice.randrange(65536), 0x0102), lambda: side.serial(text), side.imu]
    if hasattr(side, 'error'):
        kinds += [lambda: side.error(dice.randrange(256), dice.randrange(256)), side.calibration_done]
    frame: CanFrame = dice.choice(kinds)()
    return frame


def from_host(codec: str, rounds: int, dice: random.Random) -> list[Unit]:
    """What a driver says: everything a session can, in whatever order."""
    model, settings = hand_of(codec)
    session = session_class(codec)(model, settings)
    units: list[Unit] = []
    for _ in range(rounds):
        effort = np.array([dice.gauss(0.0, 1.0) for _ in model.joints]) * model.torque_limit
        angles = np.array([dice.uniform(low, high) for low, high in zip(model.lower, model.upper, strict=True)])
        say = dice.choice((
            lambda: session.torque(effort), lambda: session.torque(effort), session.quiet, session.hello,  # noqa: B023
            session.serial_request, session.stream, session.silence, lambda: session.position_mode(True),
            lambda: session.position_mode(False), lambda: session.targets(angles)))  # noqa: B023
        try:
            units += say()
        except CommandRefused:
            continue
    return units


def noise(codec: str, dice: random.Random) -> Unit:
    """A unit of random bytes; half of the datagrams begin with a header that could be right."""
    if codec != 'v5b2':
        remote = dice.random() < 0.05
        return CanFrame(dice.getrandbits(11), b'' if remote else dice.randbytes(dice.randrange(9)), remote)
    data = dice.randbytes(dice.randrange(_LARGEST_DATAGRAM))
    if dice.random() < 0.5:
        kind = dice.choice(tuple(MessageType))
        data = _MAGIC + bytes((1, kind)) + len(data[:256]).to_bytes(2, 'little') + data[:8] + data[:256]
    return data


def mutated(unit: Unit, other: Unit, dice: random.Random) -> Unit:
    """A unit with something wrong: bits, bytes, length, number, or half of it from another one."""
    frame = isinstance(unit, CanFrame)
    data = bytearray(unit.data if isinstance(unit, CanFrame) else unit)
    identifier, remote = (unit.identifier, unit.remote) if isinstance(unit, CanFrame) else (0, False)
    for _ in range(1 + (dice.random() < 0.2)):
        kind = dice.randrange(9 if frame else 6)
        if kind == 0 and data:
            data[dice.randrange(len(data))] ^= 1 << dice.randrange(8)
        elif kind == 1 and data:
            data[dice.randrange(len(data))] = dice.choice(_WORTH_TRYING)
        elif kind == 2 and len(data) > 1:
            at = dice.randrange(len(data) - 1)
            data[at:at + 2] = dice.randbytes(2)
        elif kind == 3:
            del data[dice.randrange(len(data) + 1):]
        elif kind == 4:
            data += dice.randbytes(dice.randrange(1, 9))
        elif kind == 5:
            rest = other.data if isinstance(other, CanFrame) else other
            at = dice.randrange(len(data) + 1)
            data[at:] = rest[at:]
        elif kind == 6:
            identifier ^= 1 << dice.randrange(11)
        elif kind == 7:
            identifier = dice.getrandbits(11)
        elif kind == 8:
            remote = not remote
    if frame:
        return CanFrame(identifier, b'' if remote else bytes(data[:8]), remote)
    return bytes(data[:2048])


def spoilt(codec: str, recording: Sequence[Unit], dice: random.Random, damage: float) -> Iterator[Unit]:
    """An endless stream: the recording again and again, a share of it lost, repeated, moved, mutated or noise."""
    at, count = 0, len(recording)
    while True:
        unit = recording[at % count]
        at += 1
        if dice.random() >= damage:
            yield unit
            continue
        what = dice.randrange(10)
        if what == 0:
            yield noise(codec, dice)
        elif what == 1:
            at += dice.randrange(8)  # lost
        elif what == 2:
            at = max(at - dice.randrange(1, 8), 0)  # once more
        elif what == 3:
            yield recording[dice.randrange(count)]  # out of place
        else:
            yield mutated(unit, recording[dice.randrange(count)], dice)


_OFTEN = (Action.POSE, Action.POSE, Action.EFFORT, Action.MOVE, Action.FREE, Action.ENABLE)
_SELDOM = (Action.SILENCE, Action.LATE, Action.BROKEN, Action.DISABLE)


def happening(dice: random.Random) -> list[Item]:
    """Something that may happen between units; mostly a command."""
    actions: list[Item] = [(Action.CLEAR, 0)] if dice.random() < 0.6 else []
    actions.append((dice.choice(_OFTEN if dice.random() < 0.97 else _SELDOM), dice.randrange(256)))
    return actions
