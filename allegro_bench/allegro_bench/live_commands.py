"""``allegro-bench report`` and ``verify`` of runs that the node inference_profiler recorded."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from allegro_description.errors import MissingDependency

from allegro_bench import result


def add_commands(commands: Any) -> None:
    """Register the sub-commands."""
    for name, words, run in (('report', 'write report.html of a run again (needs plotly)', _report),
                             ('verify', 'compute the numbers of a run again from its raw ticks', _verify)):
        command = commands.add_parser(name, help=words, description=words)
        command.add_argument('run_dir', type=Path, metavar='RUN_DIR', help='folder that inference_profiler wrote')
        command.set_defaults(run=run)


def _report(given: argparse.Namespace) -> int:
    from allegro_bench import report

    print(f'wrote {report.write(given.run_dir)}')
    return 0


def _verify(given: argparse.Namespace) -> int:
    folder = given.run_dir
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
