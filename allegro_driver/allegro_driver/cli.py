"""Command line ``allegro-hand``: look at a hand, move it to a pose, watch it, or emulate one. No ROS needed."""

from __future__ import annotations

import argparse
import signal
import sys
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
from allegro_description.config import from_mapping
from allegro_description.errors import AllegroError, CommandRefused
from allegro_description.model import HandModel, available_hands, load_hand, read_hand
from allegro_description.share import share_dir

from allegro_driver.config import DriverConfig
from allegro_driver.control.safety import State
from allegro_driver.control.trajectory import move_to
from allegro_driver.hand import Hand
from allegro_driver.hardware import CODECS, HARDWARE, make_hardware
from allegro_driver.link import LINKS

EPILOG = """examples:
  allegro-hand list                                 hands, links, and what no source could settle
  allegro-hand emulate                              a simulated hand on 127.0.0.1:7000
  allegro-hand probe 127.0.0.1                      who is there, and how evenly does it send? (no torque)
  allegro-hand monitor 192.168.0.50                 live joints, currents and touch (torque off)
  allegro-hand pose home 127.0.0.1 --yes            move to a named pose, hold, torque off

An ADDRESS is IP, IP:PEER_PORT or IP:PEER_PORT:LOCAL_PORT. Without one, the factory address of the hand is used.
Errors are one sentence, exit code 2."""


def parser() -> argparse.ArgumentParser:
    """The command line."""
    top = argparse.ArgumentParser(
        prog='allegro-hand', description=__doc__, epilog=EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = top.add_subparsers(dest='command', required=True, metavar='COMMAND')
    commands.add_parser('list', help='hands, links and codecs; what is not verified')

    probe = commands.add_parser('probe', help='ask a hand who it is and count its samples; no torque')
    _hand_options(probe)
    probe.add_argument('--seconds', type=float, default=1.0, metavar='S', help='how long to count (default: 1)')

    pose = commands.add_parser('pose', help='move a hand to a named pose, hold it, then torque off')
    pose.add_argument('name', help='a pose of the hand description, e.g. home; see `allegro-hand list`')
    _hand_options(pose)
    pose.add_argument('--speed', type=float, default=0.8, metavar='RAD/S', help='peak joint speed (default: 0.8)')
    pose.add_argument('--hold', type=float, default=2.0, metavar='S', help='hold the pose this long (default: 2)')
    pose.add_argument('--yes', action='store_true', help='do not ask before moving')
    pose.add_argument('--allow-unknown-side', action='store_true', help='move a hand that lost its serial number')

    monitor = commands.add_parser('monitor', help='watch a hand with torque off (ends its other driver)')
    _hand_options(monitor)
    monitor.add_argument('--seconds', type=float, default=0.0, metavar='S', help='stop after this (default: never)')

    commands.add_parser('emulate', add_help=False, help='a simulated hand on the wire; see its own --help')
    return top


def _hand_options(command: argparse.ArgumentParser) -> None:
    command.add_argument('address', nargs='?', default='', help='where the hand is (default: its factory address)')
    command.add_argument('--model', default='v5_sense', help='hand model (default: %(default)s)')
    command.add_argument('--side', default='right', choices=('right', 'left'), help='default: %(default)s')
    command.add_argument('--link', default='udp', help='kind of link (default: %(default)s)')
    command.add_argument('--stale', type=float, default=0.1, metavar='S',
                         help='silence of the hand for this long is a fault (default: 0.1)')
    command.add_argument('--timeout', type=float, default=1.0, metavar='S', help='wait for each answer, s (default: 1)')


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command.

    Returns:
        0, 2 after one sentence on standard error, 130 after Ctrl-C.
    """
    words = list(sys.argv[1:] if argv is None else argv)
    if words[:1] == ['emulate']:
        from allegro_driver.emulator.__main__ import main as emulate

        return emulate(words[1:])
    options = parser().parse_args(words)
    previous = signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        run = {'list': run_list, 'probe': run_probe, 'pose': run_pose, 'monitor': run_monitor}[options.command]
        return run(options)
    except AllegroError as error:
        print(f'allegro-hand: {error}', file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print('\nallegro-hand: stopped', file=sys.stderr)
        return 130
    except BrokenPipeError:
        return 0  # the reader of our output has gone
    finally:
        signal.signal(signal.SIGTERM, previous)


def run_list(options: argparse.Namespace) -> int:
    """Print what there is."""
    print('No command of this suite has been run on a real hand yet: all numbers come from vendor sources.\n')
    for name in available_hands():
        model = read_hand(share_dir() / 'hands' / f'{name}.yaml')
        links = ', '.join(f'{kind} (codec {settings["codec"]})' for kind, settings in model.protocol.items())
        print(f'{name}: {len(model.joints)} joints, {len(model.taxels)} taxels\n  links: {links}')
        print(f'  poses: {", ".join(model.poses)}')
        print('  not verified:')
        for what, text in model.unverified.items():
            print(f'    {what}: {text}')
    for title, table in (('links', LINKS), ('codecs', CODECS), ('hardware', HARDWARE)):
        rows = ', '.join(name if usable else f'{name} ({reason})' for name, usable, reason in table.available())
        print(f'{title}: {rows}')
    return 0


def run_probe(options: argparse.Namespace) -> int:
    """Ask a hand who it is."""
    from allegro_driver.hardware.probe import probe

    model = load_hand(options.model, options.side)
    if options.link not in model.protocol:
        raise CommandRefused(f'{model.name} has no {options.link} link; it has: {", ".join(model.protocol)}')
    settings = model.protocol[options.link]
    link = LINKS.load(options.link).from_description(options.address, settings)
    result = probe(CODECS.load(settings['codec'])(model, settings), link, period_s=float(settings['period_ms']) / 1e3,
                   seconds=options.seconds, timeout_s=options.timeout)
    report = result.report
    print(f'address    {link.peer}')
    if result.info is None:
        print('hardware   did not answer')
    else:
        print(f'hardware   0x{result.info.hardware:04x}, firmware 0x{result.info.firmware:04x}')
    print(f'serial     {"did not answer" if result.serial is None else result.serial or "lost"}')
    print(f'side       {result.side or "unknown"}')
    print(f'samples    {report.frames} in {options.seconds:g} s, {report.rate_hz:.1f} Hz, {report.lost} lost')
    print(f'jitter     p50 {report.jitter_us.p50:.0f} µs, p99 {report.jitter_us.p99:.0f} µs, '
          f'max {report.jitter_us.max:.0f} µs')
    if result.not_understood:
        print(f'warning    {result.not_understood} packets were not understood')
    if result.side not in (None, model.side):
        print(f'warning    this is a {result.side} hand; the driver with side {model.side} will refuse it')
    if result.position is None:
        print('warning    it sends no samples')
        return 2
    for joint, angle in zip(model.joints, result.position, strict=True):
        if not joint.lower - 0.1 <= angle <= joint.upper + 0.1:
            print(f'warning    {joint.name} reads {angle:.2f} rad, range {joint.lower} … {joint.upper}: zero lost?')
    return 0


def run_pose(options: argparse.Namespace) -> int:
    """Move to a named pose, hold, torque off."""
    model = load_hand(options.model, options.side)
    goal = model.pose(options.name)
    config = _config(options, max_target_speed=options.speed, allow_unknown_side=options.allow_unknown_side)
    if not options.yes:
        _agree(f'The {model.side} hand will move to {options.name!r} at up to {options.speed} rad/s. Keep clear.')
    with Hand(make_hardware(model, config), model, config) as hand:
        _until(hand, lambda: hand.last is not None, 1.0)
        hand.enable()
        move = move_to(model, hand.target(), goal, options.speed)
        hand.command(move)
        _until(hand, lambda: False, move.duration + options.hold)
        last = hand.last
        away = np.zeros(1) if last is None else np.abs(last.position - goal)
        worst = int(np.argmax(away))
        print(f'{options.name}: largest distance {away[worst]:.3f} rad at {model.joint_names[worst]}; torque off now')
    return 0


def run_monitor(options: argparse.Namespace) -> int:
    """Print joints, currents and touch twice a second."""
    model = load_hand(options.model, options.side)
    config = _config(options)
    end = time.monotonic() + options.seconds if options.seconds > 0 else float('inf')
    with Hand(make_hardware(model, config), model, config) as hand:
        identity = hand.hardware.identity
        print(f'{model.name}, serial {identity.serial or "unknown"}, side {identity.side or "unknown"}; torque off')
        for warning in identity.warnings:
            print(f'warning: {warning}', file=sys.stderr)
        while time.monotonic() < end:
            _until(hand, lambda: False, min(0.5, max(end - time.monotonic(), 0.0)))
            print(_picture(model, hand), flush=True)
    return 0


def _config(options: argparse.Namespace, **values: Any) -> DriverConfig:
    given = {'model': options.model, 'side': options.side, 'link': options.link, 'address': options.address,
             'answer_timeout_s': options.timeout, 'stale_after_s': options.stale, 'hold_after_s': 0.5}
    return from_mapping(DriverConfig, {**given, **values})


def _agree(question: str) -> None:
    if not sys.stdin.isatty():
        raise CommandRefused('moving a hand needs your consent: add --yes')
    if input(f'{question} Type yes to go on: ').strip().lower() not in ('y', 'yes'):
        raise CommandRefused('nothing moved')


def _until(hand: Hand, condition: Any, timeout_s: float) -> None:
    """Wait; a fault ends the command with its reason."""
    end = time.monotonic() + timeout_s
    while not condition() and time.monotonic() < end:
        if hand.state is State.FAULT:
            raise CommandRefused(f'the hand went into fault, torque is off: {hand.status().reason}')
        time.sleep(0.02)


def _picture(model: HandModel, hand: Hand) -> str:
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
        if state.tactile is not None:
            cells = [k for k, taxel in enumerate(model.taxels) if taxel.finger == finger.name]
            text += '  ' + ' '.join(f'{state.tactile[k] / 1e3:5.1f}' for k in cells) + ' kPa'
        lines.append(text)
    return '\n'.join(lines)


if __name__ == '__main__':
    sys.exit(main())
