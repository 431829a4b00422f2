"""``allegro-bench``: make a report again, check a result, see the energy meters and the machine."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from allegro_description.errors import AllegroError, ConfigError, MissingDependency

from allegro_bench import environment, result
from allegro_bench.meters import METERS
from allegro_bench.meters.meter import open_meter

EPILOG = """examples:
  allegro-bench report runs/2026-01-31_10-00-00     write report.html from result.json and the .npz files again
  allegro-bench verify runs/2026-01-31_10-00-00     compute every number again from the raw ticks and compare
  allegro-bench export-lerobot BAG --output DIR     episodes of a bag as a LeRobot dataset
  allegro-bench meters                              which energy meters work on this machine, and why others do not
  allegro-bench env                                 the machine as it is written into results, with reservations

A run folder is what the node inference_profiler writes (parameter output_dir):
result.json, ticks.npz (every tick), series.npz (traces), report.html.
exit codes: 0 done, 1 verify found differences, 2 it could not be done (one sentence says why)"""


def parser() -> argparse.ArgumentParser:
    """The command line."""
    top = argparse.ArgumentParser(
        prog='allegro-bench', description='Latency, energy and quality of policy inference: look at runs and machines.',
        epilog=EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = top.add_subparsers(dest='command', required=True, metavar='COMMAND')
    for name, words in (('report', 'write report.html of a run again (needs plotly)'),
                        ('verify', 'compute the numbers of a run again from its raw ticks')):
        command = commands.add_parser(name, help=words, description=words)
        command.add_argument('run_dir', type=Path, metavar='RUN_DIR', help='folder that inference_profiler wrote')
    words = 'write the episodes of a bag as a LeRobot dataset, v2.1 (needs pyarrow)'
    command = commands.add_parser('export-lerobot', help=words, description=words)
    command.add_argument('bag', type=Path, metavar='BAG', help='folder of a bag that bag_recorder or ros2 bag wrote')
    command.add_argument('--output', type=Path, required=True, metavar='DIR', help='folder of the new dataset')
    command.add_argument('--fps', type=float, default=50.0, help='frames per second (default: %(default)g)')
    command.add_argument('--task', default='', help='what was to be done (default: from the facts of each episode)')
    words = 'list energy meters and whether they work here'
    commands.add_parser('meters', help=words, description=words)
    words = 'describe this machine as results do'
    command = commands.add_parser('env', help=words, description=words)
    command.add_argument('--json', action='store_true', help='print the section of a result file')
    return top


def main(args: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code."""
    given = parser().parse_args(args)
    try:
        if given.command == 'report':
            return _report(given.run_dir)
        if given.command == 'verify':
            return _verify(given.run_dir)
        if given.command == 'export-lerobot':
            return _export_lerobot(given)
        return _meters() if given.command == 'meters' else _env(given.json)
    except AllegroError as error:
        print(f'allegro-bench {given.command}: {error}', file=sys.stderr)
        return 2
    except BrokenPipeError:
        # The reader (head, less) has seen enough; Python would complain once more when it flushes at exit.
        sys.stderr.close()
        return 0


def _report(folder: Path) -> int:
    from allegro_bench import report

    print(f'wrote {report.write(folder)}')
    return 0


def _verify(folder: Path) -> int:
    problems = result.verify(folder)
    found = result.load(folder)
    try:
        result.validate(found)
        schema = 'fits its schema'
    except MissingDependency as error:
        schema = f'was not checked against its schema ({error})'
    for problem in problems:
        print(problem)
    name = f'{found["schema"]["name"]} v{found["schema"]["version"]}'
    if problems:
        print(f'{folder}: {len(problems)} differences; the result is not what its raw ticks say')
        return 1
    ticks = sum(block['n_expected'] for block in found['blocks'])
    print(f'{folder}: {name} {schema}; all numbers follow from its {ticks} ticks; {found["validity"]["status"]}')
    return 0


def _export_lerobot(given: argparse.Namespace) -> int:
    from allegro_bench.lerobot import export

    if not 1 <= given.fps <= 1000:
        raise ConfigError(f'--fps is {given.fps:g}; allowed: 1 to 1000')
    info = export(given.bag, given.output, fps=given.fps, task=given.task)
    print(f'{given.output}: {info["total_episodes"]} episodes, {info["total_frames"]} frames at {info["fps"]} Hz, '
          f'{info["total_tasks"]} tasks, LeRobot {info["codebase_version"]}; read back, complete')
    return 0


def _meters() -> int:
    width = max(len(name) for name in METERS.names())
    for name in METERS.names():
        try:
            meter = open_meter(name)
            ids = ', '.join(f'{c.id} ({c.boundary}, {c.quality})' for c in meter.channels)
            meter.close()
            words = f'works: {ids}' if ids else 'always there: energy is then unknown, and said to be'
        except AllegroError as error:
            words = f'not here: {error}'
        print(f'{name:<{width}}  {words}')
    return 0


def _env(as_json: bool) -> int:
    card = environment.describe()
    if as_json:
        print(json.dumps(card, indent=1, ensure_ascii=False))
        return 0
    for key, value in card.items():
        if isinstance(value, dict):
            value = ', '.join(f'{k} {"unknown" if v is None else v}' for k, v in value.items()) or 'none'
        print(f'{key:<14} {"unknown" if value is None or value == [] else value}')
    for found in environment.preflight(card):
        print(f'note: {found["detail"]}; {found["recommendation"]}')
    return 0


if __name__ == '__main__':
    sys.exit(main())
