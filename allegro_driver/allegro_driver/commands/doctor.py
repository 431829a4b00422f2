"""``allegro-hand doctor``: is this machine ready for a hand, and what to do if not."""

from __future__ import annotations

import argparse
from typing import Any

from allegro_description.errors import AllegroError
from allegro_description.model import HandModel, load_hand

from allegro_driver.commands.hand_options import add_hand_options, chosen_link
from allegro_driver.config import ControlConfig
from allegro_driver.doctor import Finding, Level, Machine, Wanted, examine
from allegro_driver.doctor.machine import ThisMachine
from allegro_driver.hardware import CODECS
from allegro_driver.hardware.probe import probe
from allegro_driver.link import LINKS
from allegro_driver.link.can_bus import CanLink
from allegro_driver.link.udp import UdpLink
from allegro_driver.protocol.switches import overridden

_WATCH_S = 0.5


def add(commands: Any) -> None:
    """Add the command."""
    command = commands.add_parser(
        'doctor', help='is this machine ready for a hand? what to do if not; with an ADDRESS: does the hand answer?')
    add_hand_options(command)
    command.add_argument('--all', action='store_true', help='show what is in order, too')
    command.set_defaults(run=run)


def run(options: argparse.Namespace, machine: Machine | None = None) -> int:
    """Print findings; 1 where one of them fails."""
    model = load_hand(options.model, options.side)
    report = examine(machine or ThisMachine(), wanted(options, model))
    if options.address:
        report['hand'] = [hand_answers(options, model)]
    findings = [finding for section in report.values() for finding in section]
    for section, rows in report.items():
        print(section)
        for row in rows:
            if options.all or row.level is not Level.OK:
                print(f'  {row.level.value:4s} {row.topic}: {row.found}')
                if row.remedy and row.level is not Level.OK:
                    print(f'       -> {row.remedy}')
        fine = sum(row.level is Level.OK for row in rows)
        if fine and not options.all:
            print(f'  OK   {fine} of {len(rows)} in order')
    fails, warnings = (sum(f.level is level for f in findings) for level in (Level.FAIL, Level.WARN))
    print(f'{len(findings)} checks: {fails} failed, {warnings} warnings; nothing was changed')
    return 1 if fails else 0


def wanted(options: argparse.Namespace, model: HandModel) -> Wanted:
    """What the command line asks the machine to be ready for.

    Raises:
        ConfigError, CommandRefused: an address or a link that this hand does not have.
    """
    named = bool(options.link or options.address)
    kind = chosen_link(options, model)
    known: dict[str, Any] = {'link': kind if named else '', 'priority': ControlConfig().realtime_priority}
    if 'udp' in model.protocol:
        udp = UdpLink.from_description(options.address if kind == 'udp' else '', model.protocol['udp'])
        known |= {'hand_ip': udp.address.ip, 'local_port': udp.address.local}
    if named and kind == 'can':
        can = CanLink.from_description(options.address, model.protocol['can'])
        known['interface'] = can.address.channel
        if options.address:  # else any adapter will do
            known['adapter'] = can.address.interface
    return Wanted(**known)


def hand_answers(options: argparse.Namespace, model: HandModel) -> Finding:
    """Ask the hand who it is, without torque."""
    kind = chosen_link(options, model)
    try:
        settings = overridden(model.protocol[kind], options.switches, model.name)
        link = LINKS.load(kind).from_description(options.address, settings)
        result = probe(
            CODECS.load(settings['codec'])(model, settings), link, period_s=float(settings['period_ms']) / 1e3,
            seconds=_WATCH_S, timeout_s=options.timeout)
    except AllegroError as error:
        return Finding(Level.FAIL, 'answer', str(error), f'allegro-hand probe {options.address}   (for another look)')
    serial = result.serial.text if result.serial else ''
    text = f'{model.name} at {link.peer}: serial {serial or "unknown"}, {result.report.frames} samples'
    if result.side not in (None, model.side):
        return Finding(Level.FAIL, 'answer', f'{text}, but it is a {result.side} hand', f'--side {result.side}')
    if not result.report.frames and kind != 'can':
        return Finding(Level.FAIL, 'answer', f'{text}: it answers and sends nothing', 'restart the hand')
    if result.info is None and result.serial is None:
        return Finding(Level.WARN, 'answer', f'{text}: nobody said who it is',
                       f'allegro-hand probe {options.address} --servo   (zero torque)')
    return Finding(Level.OK, 'answer', text)
