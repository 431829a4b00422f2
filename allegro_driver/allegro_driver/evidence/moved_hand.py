"""A driver in a process of its own that keeps a hand moving, for commands that watch it or kill it.

``python -m allegro_driver.evidence.moved_hand --hand v4_right --link can --address slcan:/tmp/hand`` commands a pose at
50 Hz, every joint in a slow wave of its own phase, so that torque never stops flowing. It writes what happens as lines
of JSON and reads ``clear`` (the fault) from its standard input, whose end ends it.

:mod:`.nodes.commander` does the same to a running ``hand_driver`` node over its topics.
"""

from __future__ import annotations

import argparse
import json
import select
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import numpy as np
from allegro_description.config import from_mapping
from allegro_description.errors import AllegroError, CommandRefused
from allegro_description.model import HandModel, load_hand
from allegro_description.state import Array, HandState, JointCommand

from allegro_driver.config import DriverConfig
from allegro_driver.control.safety import State
from allegro_driver.hand import Hand
from allegro_driver.hardware import make_hardware

PERIOD_S = 0.02
WAVE_RAD, WAVE_RAD_S = 0.15, 3.0


class Noted:
    """Any hardware, with the times that tell how fast a fault was answered."""

    def __init__(self, hardware: Any) -> None:
        self._hardware = hardware
        self.sample_ns = self.last_ns = self.halt_ns = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._hardware, name)

    def read(self, timeout_s: float) -> HandState:
        """Read, and note when the sample came."""
        state: HandState = self._hardware.read(timeout_s)
        self.sample_ns = state.stamp_ns
        return state

    def halt(self) -> None:
        """Note when this began, and the newest sample then."""
        self.halt_ns, self.last_ns = time.monotonic_ns(), self.sample_ns
        self._hardware.halt()


def wave(model: HandModel, seconds: float) -> Array:
    """The commanded pose after a time, rad, (n_joints,)."""
    phase = WAVE_RAD_S * seconds + np.arange(len(model.joints))
    pose: Array = np.clip(model.pose('home') + WAVE_RAD * np.sin(phase), model.lower, model.upper)
    return pose


def say(event: str, **values: object) -> None:
    """Write one line of JSON."""
    print(json.dumps({'event': event, 'ns': time.monotonic_ns(), **values}), flush=True)


def keep_moving(hand: Hand, report_s: float, clear: bool = False) -> None:
    """Command and answer until standard input ends; ``clear``: leave faults without being asked."""
    before, begin, reported = hand.state, time.monotonic(), time.monotonic()
    while True:
        if select.select([sys.stdin], [], [], PERIOD_S)[0]:
            line = sys.stdin.readline()
            if not line:
                return
            try:
                say('cleared', text=hand.clear_fault())
            except AllegroError as error:
                say('refused', text=str(error))
        state, now = hand.state, time.monotonic()
        if state is State.FAULT and before is not State.FAULT:
            noted = hand.hardware
            say('fault', reason=hand.status().reason, last_ns=getattr(noted, 'last_ns', 0),
                halt_ns=getattr(noted, 'halt_ns', 0))
        if clear and state is State.FAULT:
            with suppress(AllegroError):
                hand.clear_fault()
        before = state
        with suppress(CommandRefused):
            hand.command(JointCommand(0, position=wave(hand.model, now - begin)))
        if report_s and now - reported >= report_s:
            reported = now
            report = hand.report()
            say('report', state=state.value, frames=report.frames, on_time=report.on_time)


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point; returns the exit code."""
    parser = argparse.ArgumentParser(prog='moved_hand', description=(__doc__ or '').partition('\n')[0])
    parser.add_argument('--hand', default='v5_sense_right')
    parser.add_argument('--link', default='udp')
    parser.add_argument('--address', required=True)
    parser.add_argument('--report', type=float, default=0.0, metavar='S', help='write the loop figures so often, s')
    parser.add_argument('--note', action='store_true', help='note the times of a fault')
    parser.add_argument('--clear', action='store_true', help='clear faults without being asked')
    options = parser.parse_args(argv)
    model_name, side = options.hand.rsplit('_', 1)
    model = load_hand(model_name, side)
    config = from_mapping(DriverConfig, {
        'model': model_name, 'side': side, 'link': options.link, 'address': options.address,
        'confirmed': ','.join(model.confirm), 'allow_unknown_side': True, 'answer_timeout_s': 0.3})
    try:
        hardware = make_hardware(model, config)
        with Hand(Noted(hardware) if options.note else hardware, model, config) as hand:
            hand.enable()
            say('moving')
            keep_moving(hand, options.report, options.clear)
    except AllegroError as error:
        say('failed', text=str(error))
        return 2
    return 0



if __name__ == '__main__':
    sys.exit(main())
