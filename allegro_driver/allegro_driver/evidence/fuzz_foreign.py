"""Does it matter to a driver what others on its wire say? Real links, an emulated hand, and a third party.

The third party sends what would stop or mislead the driver if it were believed: motor errors, samples of a hand that
has restarted or is bent beyond its joints, noise. On UDP it does so from another port, on CAN with other device
numbers.
"""

from __future__ import annotations

import os
import random
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from typing import Any

from allegro_description.config import from_mapping
from allegro_description.model import load_hand
from allegro_description.state import JointCommand

from allegro_driver.config import DriverConfig
from allegro_driver.control.safety import State
from allegro_driver.emulator.background import running_emulator
from allegro_driver.evidence.fuzz_inputs import from_hand, noise, spoilt
from allegro_driver.evidence.fuzz_sides import HANDS
from allegro_driver.evidence.moved_hand import wave
from allegro_driver.hand import Hand
from allegro_driver.hardware import make_hardware
from allegro_driver.link.can_bus import PythonCanPort, parse_can_address

BURST, PAUSE_S = 10, 0.005


@dataclass(frozen=True, slots=True)
class Foreign:
    """What came of it.

    Attributes:
        sent, counted: foreign units, and those among them that the driver counted as such.
        changed: what else was different afterwards, in words.
    """

    codec: str
    sent: int
    counted: int
    changed: tuple[str, ...]


def strangers(codec: str, count: int, seed: int) -> Foreign:
    """Let a third party talk for a while to a driver that follows commands.

    Raises:
        AllegroError: hand or bus cannot be had.
    """
    dice = random.Random(seed)
    model = load_hand(*HANDS[codec].rsplit('_', 1))
    link = 'udp' if codec == 'v5b2' else 'can'
    wire = 'udp' if link == 'udp' else f'virtual:fuzz_{os.getpid()}_{codec}'
    stream = spoilt(codec, from_hand(codec, 200, dice), dice, 0.5)
    with ExitStack() as stack:
        server = stack.enter_context(running_emulator(model=model.model, side=model.side, wire=wire))
        address = f'127.0.0.1:{server.wire_port}:0' if link == 'udp' else server.address
        config = from_mapping(DriverConfig, {
            'model': model.model, 'side': model.side, 'link': link, 'address': address, 'guardian': False,
            'confirmed': ','.join(model.confirm), 'stale_after_s': 0.5, 'hold_after_s': 1.0})
        hand = stack.enter_context(Hand(make_hardware(model, config), model, config))
        hand.enable()
        inner: Any = hand.hardware
        send = stack.enter_context(_voice(link, address, inner.inner.link, dice))
        begin = time.monotonic()
        hand.command(JointCommand(0, position=wave(model, 0.0)))
        _until(lambda: hand.state is State.ACTIVE)
        before, counted = _seen(hand), hand.hardware.counts()['link_foreign']
        for k in range(count):
            send(noise(codec, dice) if dice.random() < 0.2 else next(stream))
            if k % BURST == 0:
                hand.command(JointCommand(0, position=wave(model, time.monotonic() - begin)))
                time.sleep(PAUSE_S)
        _until(lambda: hand.hardware.counts()['link_foreign'] - counted >= count)
        after = _seen(hand)
        changed = tuple(f'{what}: {before[what]} → {after[what]}' for what in before if before[what] != after[what])
        return Foreign(codec, count, hand.hardware.counts()['link_foreign'] - counted, changed)


@contextmanager
def _voice(link: str, address: str, driver: Any, dice: random.Random) -> Iterator[Callable[[Any], None]]:
    """How the third party speaks to the driver."""
    if link == 'udp':
        with closing(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as sock:
            yield lambda unit: (sock.sendto(unit, ('127.0.0.1', driver.local_port)), None)[1]
        return
    own = parse_can_address(address)
    others = [device for device in range(4) if device != own.device]
    with closing(PythonCanPort(own)) as port:
        yield lambda unit: port.send(unit._replace(identifier=unit.identifier & ~3 | dice.choice(others)))


def _seen(hand: Hand) -> dict[str, object]:
    """What a foreign unit must not change."""
    status, counts = hand.status(), hand.hardware.counts()
    return {
        'state': status.state.value, 'faults': status.faults, 'refused': status.refused,
        **{key: counts[key] for key in ('packets_not_understood', 'samples_out_of_order', 'link_errors')}}


def _until(true: Callable[[], bool], seconds: float = 2.0) -> None:
    end = time.monotonic() + seconds
    while not true() and time.monotonic() < end:
        time.sleep(0.01)
