"""``allegro-hand calibrate``: measure where the zeros of a hand's encoders are, and keep them in a file.

Torque stays off: a person moves the joints. The firmware's own calibration is in :mod:`.firmware_zero`.
"""

from __future__ import annotations

import argparse
import datetime
import time
from contextlib import closing
from typing import Any

import numpy as np
from allegro_description.errors import CommandRefused
from allegro_description.model import HandModel, load_hand
from allegro_description.state import Array

from allegro_driver.calibration import (
    Calibration,
    calibration_folder,
    calibration_path,
    load_calibration,
    plain_calibration,
    save_calibration,
)
from allegro_driver.commands import firmware_zero
from allegro_driver.commands.dialogue import Dialogue, dialogue, typed_serial
from allegro_driver.commands.hand_options import add_hand_options, driver_config
from allegro_driver.hardware import HARDWARE
from allegro_driver.hardware.base import Hardware
from allegro_driver.zero_finding import (
    KEEP_RAD,
    STILL_RAD,
    Place,
    Placement,
    chosen_joints,
    find_zeros,
    placements,
    still,
    table,
    with_zeros,
)

EXPLANATION = """Torque is off and stays off (over CAN the motors are on with zero torque, because some hands send
positions only then). Move the joints by hand, gently. At every step: bring the joints there, press Enter, and hold
them still until they are measured. Where a joint turns sideways, either end may come first, except with --signs.
s skips a step, q ends without writing anything."""
_ATTEMPTS = 3


def add(commands: Any) -> None:
    """Add the command."""
    command = commands.add_parser(
        'calibrate', help='measure the zeros of a hand, step by step; no torque',
        description='Measures encoder zeros with torque off and keeps them in a file of this hand, which the driver '
                    'applies from then on. Nothing changes in the hand.')
    add_hand_options(command)
    command.add_argument('--joints', default='', metavar='NAMES', help='only these joints, separated by commas')
    command.add_argument('--reference', default='', metavar='POSE',
                         help='measure in one named pose, set with a jig, instead of at the ends of travel')
    command.add_argument('--signs', action='store_true',
                         help='also find encoders that count backwards; mind which end each step asks for')
    command.add_argument('--limits', action='store_true', help='also keep joints within the travel that is measured')
    command.add_argument('--keep', type=float, default=KEEP_RAD, metavar='RAD',
                         help='ends of travel: leave zeros that are off by less as they are (default: %(default)s)')
    command.add_argument('--seconds', type=float, default=1.0, metavar='S', help='how long to measure (default: 1)')
    command.add_argument('--delay', type=float, default=2.0, metavar='S',
                         help='time between Enter and measuring, to have both hands free (default: 2)')
    command.add_argument('--answers', default='', metavar='FILE', help='answers, one a line; - is standard input')
    command.add_argument('--firmware', action='store_true',
                         help="not a file: tell the hand to take its present pose as zero. This CANNOT BE UNDONE")
    command.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Measure and write, or hand over to the firmware's own calibration."""
    model = load_hand(options.model, options.side)
    talk = dialogue(options.answers)
    if options.firmware:
        return firmware_zero.run(options, model, talk)
    return guide(options, model, talk)


def guide(options: argparse.Namespace, model: HandModel, talk: Dialogue) -> int:
    """Ask for one placement after the other, show what was found, write it when the serial number is typed."""
    if options.reference:
        model.pose(options.reference)  # raises where there is no such pose
    joints = chosen_joints(model, [name.strip() for name in options.joints.split(',') if name.strip()])
    config = driver_config(options, model, guardian=False)
    folder = calibration_folder(config.calibration_dir)
    hardware: Hardware = HARDWARE.load(config.hardware).from_config(model, config)
    with closing(hardware):
        identity = hardware.open()
        path = calibration_path(folder, identity.serial)
        before = load_calibration(folder, model, identity.serial) or plain_calibration(model, identity.serial)
        print(f'{model.name}, serial {identity.serial}, {identity.version}')
        for warning in identity.warnings:
            print(f'warning: {warning}')
        print(f'{EXPLANATION}\n')
        found: dict[tuple[int, Place], float] = {}
        steps = placements(model, joints, options.reference)
        for number, step in enumerate(steps, 1):
            reading = _placed(f'Step {number} of {len(steps)}. {step.text}.', step, model, hardware, talk, options)
            if reading is not None:
                found |= {(k, place): float(reading[k]) for k, place in step.places.items()}
        zeros = find_zeros(
            model, found, before, pose=options.reference, signs=options.signs, keep_rad=options.keep)
        date = datetime.datetime.now().astimezone().isoformat(timespec='seconds')
        after = with_zeros(model, before, zeros, date, limits=options.limits)
        print(f'\n{table(model, before, after, zeros, hardware.read(config.stale_after_s).position)}\n')
        if all(zero.problem for zero in zeros.values()):
            raise CommandRefused('no joint was measured well enough; nothing was written')
        typed_serial(talk, identity.serial, f'This writes {path}.', lambda: _angles(model, after, hardware, joints))
    _, backup = save_calibration(folder, after, model)
    print(f'written: {path}' + (f'; the older file is {backup.name}' if backup else ''))
    print('The driver uses it from its next start. Check it: allegro-hand monitor, with the joints moved by hand.')
    return 0


def _placed(
    text: str, step: Placement, model: HandModel, hardware: Hardware, talk: Dialogue, options: argparse.Namespace
) -> Array | None:
    """Encoder readings of one placement, or None where it is skipped."""
    plain = plain_calibration(model, '')
    measured = sorted(step.places)
    for _ in range(_ATTEMPTS):
        answer = talk.ask(f'{text}\nEnter measures, s skips, q ends: ',
                          lambda: _angles(model, plain, hardware, measured)).lower()
        if answer == 's':
            return None
        if answer == 'q':
            raise CommandRefused('ended; nothing was written')
        if answer:
            print(f'{answer!r} means nothing here.')
            continue
        time.sleep(max(options.delay, 0.0))
        middle, moved = still(_samples(hardware, options.seconds, options.stale))
        restless = [k for k in measured if moved[k] > STILL_RAD]
        if not restless:
            return middle
        print('moved while measured: '
              + ', '.join(f'{model.joint_names[k]} by {moved[k]:.2f} rad' for k in restless) + '; once more.')
    raise CommandRefused(f'{_ATTEMPTS} attempts at one step; nothing was written')


def _samples(hardware: Hardware, seconds: float, patience_s: float) -> Array:
    """Encoder readings, rad, (n, n_joints), n at least 1."""
    rows = [hardware.read(patience_s).position]
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        rows.append(hardware.read(patience_s).position)
    return np.array(rows)


def _angles(model: HandModel, calibration: Calibration, hardware: Hardware, joints: Any) -> str:
    angles = calibration.angles(hardware.read(1.0).position)
    return '  '.join(f'{model.joint_names[k]} {angles[k]:.2f}' for k in joints)
