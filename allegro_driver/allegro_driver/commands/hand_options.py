"""Options that every command on a hand shares: which hand, where, and how long to wait for it."""

from __future__ import annotations

import argparse
import re
import sys
import time
from collections.abc import Callable
from typing import Any

from allegro_description.config import from_mapping
from allegro_description.errors import CommandRefused
from allegro_description.model import HandModel

from allegro_driver.config import DriverConfig
from allegro_driver.control.safety import State
from allegro_driver.hand import Hand
from allegro_driver.permission import Unconfirmed, read_confirmed

_CAN_ADDRESS = re.compile(r'[a-z][a-z0-9_]*:.*')


def add_hand_options(command: argparse.ArgumentParser) -> None:
    """Add address, model, side, link and waiting times to a command."""
    command.add_argument(
        'address', nargs='?', default='',
        help='IP[:PORT[:LOCAL_PORT]] or INTERFACE:CHANNEL[#DEVICE] (default: its factory address)')
    command.add_argument('--model', default='v5_sense', help='hand model (default: %(default)s)')
    command.add_argument('--side', default='right', choices=('right', 'left'), help='default: %(default)s')
    command.add_argument('--link', default='',
                         help='udp or can (default: what the address looks like, else the first of the hand)')
    command.add_argument('--stale', type=float, default=0.1, metavar='S',
                         help='silence of the hand for this long is a fault (default: 0.1)')
    command.add_argument('--calibration-dir', default='', metavar='DIR',
                         help='folder of calibration files (default: ~/.config/allegro/calibration)')
    command.add_argument('--switches', default='', metavar='NAME=VALUE[,…]',
                         help='CAN: unverified points of the protocol set otherwise; allegro-hand list names them')
    command.add_argument('--timeout', type=float, default=1.0, metavar='S', help='wait for each answer, s (default: 1)')


def add_torque_options(command: argparse.ArgumentParser) -> None:
    """Add what a command that gives a hand torque must be told."""
    command.add_argument('--yes', action='store_true', help='do not ask before moving')
    command.add_argument('--allow-unknown-side', action='store_true', help='move a hand that lost its serial number')
    command.add_argument(
        '--confirmed', default='', metavar='NAME[,NAME]',
        help='what you have checked on this hand because no source settles it (the refusal without it says what to '
             'look at); NAME@SERIAL holds for the hand with that serial number only')


def torque_config(options: argparse.Namespace, model: HandModel, **values: Any) -> DriverConfig:
    """Driver parameters for a command that has :func:`add_torque_options`.

    Raises:
        ConfigError, CommandRefused: as :func:`driver_config`.
        UnknownName: something confirmed that this hand does not ask for.
    """
    read_confirmed(model, options.confirmed)
    return driver_config(
        options, model, allow_unknown_side=options.allow_unknown_side, confirmed=options.confirmed, **values)


def switch_on(hand: Hand) -> None:
    """Torque on.

    Raises:
        Unconfirmed: says what to look at and which option to add then.
        CommandRefused, LinkError: as :meth:`~allegro_driver.hand.Hand.enable`.
    """
    try:
        hand.enable()
    except Unconfirmed as error:
        raise Unconfirmed(error.checks, error.value, f'add --confirmed {error.value}') from None


def chosen_link(options: argparse.Namespace, model: HandModel) -> str:
    """The kind of link that was asked for, that the address looks like, or that comes first for this hand.

    Raises:
        CommandRefused: the hand has no such link.
    """
    link: str = options.link
    if not link:
        looks = 'can' if _CAN_ADDRESS.fullmatch(options.address) else 'udp' if options.address else ''
        link = looks if looks in model.protocol else next(iter(model.protocol))
    if link not in model.protocol:
        raise CommandRefused(f'{model.name} has no {link} link; it has: {", ".join(model.protocol)}')
    return link


def driver_config(options: argparse.Namespace, model: HandModel, **values: Any) -> DriverConfig:
    """Driver parameters for a command.

    Raises:
        ConfigError: a value that is not allowed.
        CommandRefused: the hand has no such link.
    """
    given = {'model': options.model, 'side': options.side, 'link': chosen_link(options, model),
             'address': options.address, 'answer_timeout_s': options.timeout, 'stale_after_s': options.stale,
             'hold_after_s': 0.5, 'calibration_dir': options.calibration_dir, 'switches': options.switches}
    return from_mapping(DriverConfig, {**given, **values})


def agree(question: str) -> None:
    """Ask before a hand moves.

    Raises:
        CommandRefused: the answer is not yes, or there is nobody to ask.
    """
    if not sys.stdin.isatty():
        raise CommandRefused('moving a hand needs your consent: add --yes')
    if input(f'{question} Type yes to go on: ').strip().lower() not in ('y', 'yes'):
        raise CommandRefused('nothing moved')


def until(hand: Hand, condition: Callable[[], bool], timeout_s: float) -> None:
    """Wait until the condition holds or the time is over.

    Raises:
        CommandRefused: the hand went into fault; the message holds the reason.
    """
    end = time.monotonic() + timeout_s
    while not condition() and time.monotonic() < end:
        if hand.state is State.FAULT:
            raise CommandRefused(f'the hand went into fault, torque is off: {hand.status().reason}')
        time.sleep(0.02)
