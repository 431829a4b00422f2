"""``allegro-hand probe``: ask a hand who it is and count its samples, without torque."""

from __future__ import annotations

import argparse
from typing import Any

from allegro_description.errors import ConfigError
from allegro_description.model import HandModel, load_hand
from allegro_description.state import Array

from allegro_driver.calibration import calibration_folder, load_calibration
from allegro_driver.commands.hand_options import add_hand_options, chosen_link
from allegro_driver.hardware import CODECS
from allegro_driver.hardware.calibrated import outside_range
from allegro_driver.hardware.probe import ProbeResult, probe
from allegro_driver.link import LINKS
from allegro_driver.protocol.switches import overridden


def add(commands: Any) -> None:
    """Add the command."""
    command = commands.add_parser('probe', help='ask a hand who it is and count its samples; no torque')
    add_hand_options(command)
    command.add_argument('--seconds', type=float, default=1.0, metavar='S', help='how long to count (default: 1)')
    command.add_argument('--servo', action='store_true',
                         help='switch the motors on, with zero torque, while counting: over CAN some hands send '
                              'positions only then')
    command.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Ask a hand who it is; 2 where it shows nothing of itself."""
    model = load_hand(options.model, options.side)
    kind = chosen_link(options, model)
    settings = overridden(model.protocol[kind], options.switches, model.name)
    link = LINKS.load(kind).from_description(options.address, settings)
    result = probe(
        CODECS.load(settings['codec'])(model, settings), link, period_s=float(settings['period_ms']) / 1e3,
        seconds=options.seconds, timeout_s=options.timeout, servo=options.servo)
    print(f'address    {link.peer}')
    print('\n'.join(_identity(result)))
    position, notes = _calibrated(options, model, result)
    report = result.report
    print(f'samples    {report.frames} in {options.seconds:g} s, {report.rate_hz:.1f} Hz, {report.lost} lost')
    print(f'jitter     p50 {report.jitter_us.p50:.0f} µs, p99 {report.jitter_us.p99:.0f} µs, '
          f'max {report.jitter_us.max:.0f} µs')
    for warning in (*notes, *_warnings(model, result, position)):
        print(f'warning    {warning}')
    if result.position is not None:
        return 0
    if kind == 'can' and not options.servo:
        print('note       over CAN some hands send positions only with the motors on: add --servo (zero torque)')
        return 0 if result.info or result.serial else 2
    print('warning    it sends no samples')
    return 2


def _identity(result: ProbeResult) -> list[str]:
    info, serial = result.info, result.serial
    lines = ['hardware   did not answer']
    if info is not None:
        lines = [f'hardware   0x{info.hardware:04x}, firmware 0x{info.firmware:04x}']
        if info.servo is not None:
            lines.append(f'motors     {"on" if info.servo else "off"}')
        if info.palm_c is not None:
            lines.append(f'palm       {info.palm_c:.0f} °C')
    lines.append(f'serial     {"did not answer" if serial is None else serial.text or "lost"}')
    if serial is not None and serial.kind:
        lines.append(f'type       {serial.kind}')
    return [*lines, f'side       {result.side or "unknown"}']


def _calibrated(
    options: argparse.Namespace, model: HandModel, result: ProbeResult
) -> tuple[Array | None, list[str]]:
    """Joint angles, rad, (n_joints,), as the driver will see them, and what is wrong with the calibration file."""
    serial = result.serial.text if result.serial else ''
    try:
        calibration = load_calibration(calibration_folder(options.calibration_dir), model, serial)
    except ConfigError as error:
        return None, [str(error)]
    if calibration is None or result.position is None:
        return result.position, []
    print(f'zeros      calibrated {calibration.date}')
    return calibration.angles(result.position), []


def _warnings(model: HandModel, result: ProbeResult, position: Array | None) -> list[str]:
    warnings = []
    if result.info is not None and result.info.faults:
        warnings.append(f'the hand reports: {", ".join(result.info.faults)}')
    if result.not_understood:
        warnings.append(f'{result.not_understood} packets were not understood')
    if result.side not in (None, model.side):
        warnings.append(f'this is a {result.side} hand; the driver with side {model.side} will refuse it')
    if model.serial_kind and result.serial is not None and result.serial.kind not in ('', model.serial_kind):
        warnings.append(f'it is of type {result.serial.kind}, but {model.name} is of type {model.serial_kind}')
    if position is not None:
        warnings += [f'{text}: zero lost?' for text in outside_range(model, position)]
    return warnings
