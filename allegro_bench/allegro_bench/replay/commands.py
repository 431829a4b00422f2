"""``allegro-bench replay BAG --policy BUNDLE …``: what a recording says about policies."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from allegro_description.errors import AllegroError, ConfigError, MissingDependency

EPILOG = """Open loop: actions were not executed. The recorded inputs go once more through the very step of the policy's
node, at the recorded times; what the policy would have brought about is not known, and the report says so.

Verdicts are: runs, out of distribution, timing not met, differs from recording.
exit codes: 0 everything was evaluated, 1 a part could not be (the report says which), 2 nothing could be"""


def add_commands(commands: Any) -> None:
    """Register the sub-command."""
    words = 'replay a recording through policy bundles, and say what it can and cannot tell about them'
    command = commands.add_parser('replay', help=words, description=words, epilog=EPILOG,
                                  formatter_class=argparse.RawDescriptionHelpFormatter)
    command.add_argument('bag', type=Path, metavar='BAG', help='folder of a bag, or one .mcap or .db3 file')
    command.add_argument('--policy', nargs='+', required=True, metavar='BUNDLE',
                         help='bundles: names of shipped ones, folders or .tar.zst; several stand side by side')
    command.add_argument('--backend', nargs='+', default=['onnxruntime'], metavar='NAME',
                         help='engines: the first computes everything, all are compared with the logged actions; all: '
                         'every one that works here (default: onnxruntime)')
    command.add_argument('--output', type=Path, metavar='DIR',
                         help='folder for replay.json and replay.html (default: runs/replay_<bag>)')
    command.add_argument('--controller', default='', metavar='NAME',
                         help='who computed the recorded commands, where the recording does not say')
    command.add_argument('--expert', action='store_true', help='take that controller\'s targets as right')
    command.add_argument('--grip', default='normal', choices=('fragile', 'normal', 'robust'),
                         help='grip class, where the recording does not say (default: %(default)s)')
    command.add_argument('--profile', default='auto', help='names and units of its topics (default: %(default)s)')
    command.add_argument('--hand', default='', help='e.g. v5_sense_left, where the recording does not say')
    command.add_argument('--namespace', default=None, help='of the hand, where the recording holds several')
    command.add_argument('--pace', type=float, default=10.0, metavar='SECONDS',
                         help='how much is replayed at its own pace, for deadlines (default: %(default)g; 0: nothing)')
    command.add_argument('--model-check', action='store_true',
                         help='also compare one step of the simulated hand with each recorded one (needs mujoco)')
    command.set_defaults(run=_replay)


def _replay(given: argparse.Namespace) -> int:
    from allegro_bench.replay import document as documents
    from allegro_bench.replay import report
    from allegro_bench.replay.evaluation import Options, evaluate
    from allegro_bench.replay.intake import read_inputs

    if not 0 <= given.pace <= 3600:
        raise ConfigError(f'--pace is {given.pace:g}; allowed: 0 to 3600 s')
    inputs = read_inputs(given.bag, profile=given.profile, hand=given.hand, namespace=given.namespace)
    options = Options(engines=engines(given.backend), controller=given.controller, expert=given.expert, grip=given.grip,
                      paced_s=given.pace, model_check=given.model_check)
    found, replayed = evaluate(inputs, given.policy, options, lambda text: print(text, file=sys.stderr))
    folder = given.output or Path('runs') / f'replay_{given.bag.resolve().stem}'
    path = documents.write(folder, found)
    page = report.write(folder, found, inputs, replayed)
    try:
        documents.validate(found)
    except MissingDependency as error:
        print(f'note: {error}', file=sys.stderr)
    print(report.text(found))
    print(f'\n{path}\n{page}')
    return 0 if all(p['error'] is None for p in found['policies']) else 1 if replayed else 2


def engines(names: list[str]) -> tuple[str, ...]:
    """The engines meant by ``--backend``; ``all`` is every one that loads here and computes the policy."""
    from allegro_ai.backends import BACKENDS

    if names != ['all']:
        return tuple(names)
    found = []
    for name in BACKENDS.names():
        try:
            BACKENDS.load(name)
        except AllegroError:
            continue
        if name != 'null':
            found.append(name)
    return tuple(sorted(found, key=lambda name: name != 'onnxruntime'))
