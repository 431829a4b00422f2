"""``allegro-hand pose``: move a hand to a named pose, hold it, then torque off."""

from __future__ import annotations

import argparse
from typing import Any

import numpy as np
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
    pose = commands.add_parser('pose', help='move a hand to a named pose, hold it, then torque off')
    pose.add_argument('name', help='a pose of the hand description, e.g. home; see `allegro-hand list`')
    add_hand_options(pose)
    pose.add_argument('--speed', type=float, default=0.8, metavar='RAD/S', help='peak joint speed (default: 0.8)')
    pose.add_argument('--hold', type=float, default=2.0, metavar='S', help='hold the pose this long (default: 2)')
    add_torque_options(pose)
    pose.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Move to a named pose, hold, torque off."""
    model = load_hand(options.model, options.side)
    goal = model.pose(options.name)
    config = torque_config(options, model, max_target_speed=options.speed)
    if not options.yes:
        agree(f'The {model.side} hand will move to {options.name!r} at up to {options.speed} rad/s. Keep clear.')
    with Hand(make_hardware(model, config), model, config) as hand:
        until(hand, lambda: hand.last is not None, 1.0)
        motion = hand.plan(options.name, options.speed)  # before torque: what is refused moves nothing
        switch_on(hand)
        hand.command(motion)
        until(hand, lambda: False, motion.trajectory.duration + options.hold)
        last = hand.last
        away = np.zeros(1) if last is None else np.abs(last.position - goal)
        worst = int(np.argmax(away))
        print(f'{options.name}: largest distance {away[worst]:.3f} rad at {model.joint_names[worst]}; torque off now')
    return 0
