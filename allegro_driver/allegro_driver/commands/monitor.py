"""``allegro-hand monitor``: watch a hand without torque."""

from __future__ import annotations

import argparse
import sys
import time
from typing import Any

import numpy as np
from allegro_description.model import HandModel, load_hand

from allegro_driver.commands.hand_options import add_hand_options, driver_config, until
from allegro_driver.hand import Hand
from allegro_driver.hardware import make_hardware


def add(commands: Any) -> None:
    """Add the command."""
    monitor = commands.add_parser('monitor', help='watch a hand with torque off (ends its other driver)')
    add_hand_options(monitor)
    monitor.add_argument('--seconds', type=float, default=0.0, metavar='S', help='stop after this (default: never)')
    monitor.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Print joints, currents, temperatures and touch twice a second."""
    model = load_hand(options.model, options.side)
    config = driver_config(options, model)
    end = time.monotonic() + options.seconds if options.seconds > 0 else float('inf')
    with Hand(make_hardware(model, config), model, config) as hand:
        identity = hand.hardware.identity
        print(f'{model.name}, serial {identity.serial or "unknown"}, side {identity.side or "unknown"}; torque off')
        for warning in identity.warnings:
            print(f'warning: {warning}', file=sys.stderr)
        while time.monotonic() < end:
            until(hand, lambda: False, min(0.5, max(end - time.monotonic(), 0.0)))
            print(picture(model, hand), flush=True)
    return 0


def picture(model: HandModel, hand: Hand) -> str:
    """A hand in text: one line of timing, one line per finger."""
    state, report = hand.last, hand.report()
    if state is None:
        return 'no sample yet'
    lines = [f'{report.rate_hz:6.1f} Hz, {report.lost} lost, {report.on_time_percent:.1f} % answered on time']
    for finger in model.fingers:
        rows = [model.joint_index(name) for name in finger.joints]
        angles = ' '.join(f'{state.position[i]:6.2f}' for i in rows)
        text = f'  {finger.name:7s} {angles} rad'
        if state.current_ma is not None:
            text += '  ' + ' '.join(f'{state.current_ma[i]:5.0f}' for i in rows) + ' mA'
        if state.temperature_c is not None:
            warm = state.temperature_c[rows]
            text += '  ' + ' '.join('  -' if np.isnan(t) else f'{t:3.0f}' for t in warm) + ' °C'
        if state.tactile is not None:
            cells = [k for k, taxel in enumerate(model.taxels) if taxel.finger == finger.name]
            text += '  ' + ' '.join(f'{state.tactile[k] / 1e3:5.1f}' for k in cells) + ' kPa'
        lines.append(text)
    return '\n'.join(lines)
