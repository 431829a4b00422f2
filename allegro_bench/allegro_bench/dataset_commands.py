"""``allegro-bench export-lerobot``: recorded episodes as a data set for training."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from allegro_description.errors import ConfigError


def add_commands(commands: Any) -> None:
    """Register the sub-command."""
    words = 'write the episodes of a bag as a LeRobot dataset (needs pyarrow)'
    command = commands.add_parser('export-lerobot', help=words, description=words)
    command.add_argument('bag', type=Path, metavar='BAG', help='folder of a bag that bag_recorder or ros2 bag wrote')
    command.add_argument('--output', type=Path, required=True, metavar='DIR', help='folder of the new dataset')
    command.add_argument('--fps', type=float, default=50.0, help='frames per second (default: %(default)g)')
    command.add_argument('--task', default='', help='what was to be done (default: from the facts of each episode)')
    command.add_argument('--format', choices=('v2.1', 'v3.0'), default='v2.1',
                         help='LeRobot 0.4 and newer read v3.0, older ones v2.1 (default: %(default)s)')
    command.set_defaults(run=_export_lerobot)


def _export_lerobot(given: argparse.Namespace) -> int:
    from allegro_bench.lerobot import export

    if not 1 <= given.fps <= 1000:
        raise ConfigError(f'--fps is {given.fps:g}; allowed: 1 to 1000')
    info = export(given.bag, given.output, fps=given.fps, task=given.task, version=given.format)
    print(f'{given.output}: {info["total_episodes"]} episodes, {info["total_frames"]} frames at {info["fps"]} Hz, '
          f'{info["total_tasks"]} tasks, LeRobot {info["codebase_version"]}; read back, complete')
    return 0
