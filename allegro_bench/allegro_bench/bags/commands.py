"""``allegro-bench record``, ``bag info``, ``bag recover`` and ``dataset make``."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from allegro_description.errors import MissingDependency

_RECORD = (
    ('--output-dir', str, 'DIR', 'the bag is written to DIR/bag, or bag_2 … (default: runs/recording)'),
    ('--model', str, 'MODEL', 'hand model (default: v5_sense)'), ('--side', str, 'SIDE', 'right or left'),
    ('--prefix', str, 'PREFIX', 'before joint names, where there are two hands'),
    ('--split-mb', float, 'MB', 'begin another file at this size'),
    ('--split-s', float, 'SECONDS', 'begin another file after this time'),
    ('--buffer-mb', float, 'MB', 'how much may wait in memory for a slow disk (default: 64)'),
    ('--min-free-mb', float, 'MB', 'end the recording with less free space than this (default: 100)'),
)


def add_commands(commands: Any) -> None:
    """Register the sub-commands."""
    words = 'record the topics of a hand until Ctrl-C (needs ROS 2)'
    command = commands.add_parser('record', help=words, description=words + '. The same as the node bag_recorder.')
    for option, kind, metavar, about in _RECORD:
        command.add_argument(option, type=kind, metavar=metavar, help=about)
    command.add_argument('--topics', nargs='+', metavar='TOPIC', help='these only (default: all of the suite)')
    command.add_argument('--namespace', default='', metavar='NS', help='of the hand')
    command.set_defaults(run=_record)

    words = 'look at a bag, or complete one whose recording was cut off'
    inner = commands.add_parser('bag', help=words, description=words).add_subparsers(required=True, metavar='ACTION')
    words = 'streams, rates, gaps and damage of a bag, in words'
    command = inner.add_parser('info', help=words, description=words)
    command.add_argument('bag', type=Path, metavar='BAG', help='folder of a bag, or a .mcap or .db3 file')
    command.add_argument('--profile', default='auto', help='how topics are called: a name or a YAML file')
    command.add_argument('--namespace', metavar='NS', help='of the hand, where there are several')
    command.add_argument('--json', action='store_true', help='as JSON')
    command.set_defaults(run=_info)
    words = 'complete a bag whose recorder was killed, for readers other than this one'
    command = inner.add_parser('recover', help=words, description=words)
    command.add_argument('bag', type=Path, metavar='BAG', help='folder of a bag in MCAP')
    command.set_defaults(run=_recover)

    words = 'recordings of the emulated hand as a data set'
    group = commands.add_parser('dataset', help=words, description=words)
    inner = group.add_subparsers(required=True, metavar='ACTION')
    words = 'record it (some minutes; needs ROS 2)'
    command = inner.add_parser('make', help=words, description=words)
    command.add_argument('--output', type=Path, required=True, metavar='DIR', help='folder of the set; must not exist')
    command.set_defaults(run=_dataset)


def _record(given: argparse.Namespace) -> int:
    try:
        from allegro_bench.nodes.bag_recorder import main
    except ImportError as error:
        raise MissingDependency(f'recording needs ROS 2 and mcap ({error}). Source the setup file of your ROS 2, and '
                                "install the rest with: pip install 'mcap>=1.6' rosbags") from error
    arguments = ['--ros-args']
    for option, *_ in _RECORD:
        name = option[2:].replace('-', '_')
        value = getattr(given, name)
        if value is not None:
            arguments += ['-p', f'{name}:={value}']
    if given.topics:
        arguments += ['-p', f'topics:={json.dumps(given.topics)}']
    if given.namespace:
        arguments += ['-r', f'__ns:=/{given.namespace.strip("/")}']
    return main(arguments)


def _info(given: argparse.Namespace) -> int:
    from allegro_bench.bags.health import inspect, words

    report = inspect(given.bag, given.profile, given.namespace)
    print(json.dumps(report, indent=1, ensure_ascii=False) if given.json else words(report))
    return 0


def _recover(given: argparse.Namespace) -> int:
    from allegro_bench.bags.recovery import recover

    outcome = recover(given.bag)
    print(f'{outcome.messages} messages; ' + ('the bag is whole' if outcome.complete else
                                              f'completed; it was damaged: {outcome.reason}'))
    return 0


def _dataset(given: argparse.Namespace) -> int:
    from allegro_bench.dataset import make

    made = make(given.output)
    print(f'{given.output}: {len(made["recordings"])} recordings, {made["bytes"] / 1e6:.1f} MB')
    return 0
