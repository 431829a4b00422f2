"""``allegro-hand play``: one of the named motions (home, grasp_3, envelop, gravcomp …), then torque off."""

from __future__ import annotations

import argparse
from typing import Any

from allegro_description.model import load_hand

from allegro_driver.commands.hand_options import (
    add_hand_options,
    add_torque_options,
    agree,
    switch_on,
    torque_config,
    until,
)
from allegro_driver.hand import Hand
from allegro_driver.hardware import make_hardware


def add(commands: Any) -> None:
    """Add the command."""
    play = commands.add_parser('play', help='run one of the named motions of a hand, then torque off')
    play.add_argument('word', help='a motion of the hand, or gravcomp (free motion); see `allegro-hand list`')
    add_hand_options(play)
    play.add_argument('--seconds', type=float, default=5.0, metavar='S', help='torque off after this (default: 5)')
    add_torque_options(play)
    play.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Run a motion; an unknown word is a sentence that lists those there are."""
    model = load_hand(options.model, options.side)
    config = torque_config(options, model)
    if not options.yes:
        agree(f'The {model.side} hand will play {options.word!r} for {options.seconds:g} s. Keep clear.')
    with Hand(make_hardware(model, config), model, config) as hand:
        until(hand, lambda: hand.last is not None, 1.0)
        switch_on(hand)
        print(hand.play(options.word), flush=True)
        until(hand, lambda: False, options.seconds)
        print(f'{options.word}: torque off now')
    return 0
