"""``allegro-bench quality``: does the grasp still succeed in each measured backend, at the speed that was measured?"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from allegro_description.errors import AllegroError, ConfigError

EPILOG = """examples:
  allegro-bench quality runs/bench/NAME --plan                       how many episodes, and how long they take
  allegro-bench quality runs/bench/NAME                              every backend of the result, margin 3 points
  allegro-bench quality runs/bench/NAME --candidates onnxruntime/int8_static --margin 5
  allegro-bench quality runs/bench/NAME --trial-energy onnxruntime/fp32=trials.csv

Each backend's own graph (by its hash) plays TactileHold in lock-step simulation with its own measured response times
and misses, on the same episodes as the graph as exported without any delay. The result then holds a verdict per
backend, and CPU seconds and joules per successful grasp.
exit codes: 0 every candidate passed, 1 one of them did not, 2 it could not be done, 130 stopped by hand (what was
played is kept, the same command goes on)"""


def add_commands(commands: Any) -> None:
    """Register the sub-command."""
    words = 'judge whether the grasp still succeeds in each measured backend, at its measured speed (simulated)'
    command = commands.add_parser('quality', help=words, description=words, epilog=EPILOG,
                                  formatter_class=argparse.RawDescriptionHelpFormatter)
    command.add_argument('folder', type=Path, metavar='RESULT', help='folder that allegro-bench run wrote')
    command.add_argument('--policy', metavar='BUNDLE', help='the policy that was measured (default: by its name)')
    command.add_argument('--candidates', default='all', metavar='LIST',
                         help='comma list of backends of the result (default: %(default)s)')
    command.add_argument('--episodes', type=int, metavar='N',
                         help='pairs of episodes (default: as many as the margin asks for if 10 %% of pairs differ, '
                              'and more if more than that differ)')
    command.add_argument('--margin', type=float, default=3.0, metavar='POINTS',
                         help='percentage points of success that may be lost (default: %(default)g)')
    command.add_argument('--object-set', default='H2', help='train, H1 … H4 (default: %(default)s)')
    command.add_argument('--level', default='L2', help='disturbance, L0 … L4 (default: %(default)s)')
    command.add_argument('--observations', type=Path, metavar='FILE',
                         help='.npz with input/<term> (episodes, steps, elements) for the open-loop check (default: '
                              'episodes under the reference)')
    command.add_argument('--trial-energy', action='append', default=[], metavar='BACKEND=CSV',
                         help="joules of the policy's computer per trial, columns joules,success,simulator; counts "
                              'only where the simulator was elsewhere')
    command.add_argument('--workers', type=int, default=2, metavar='N', help='processes (default: %(default)s)')
    command.add_argument('--plan', action='store_true', help='open-loop check and plan only; writes nothing')
    command.add_argument('--model', default='v5_sense', help='hand model (default: %(default)s)')
    command.add_argument('--side', default='right', choices=('right', 'left'), help='default: %(default)s')
    command.set_defaults(run=_run)


def _run(given: argparse.Namespace) -> int:
    from allegro_ai.bundle import load_bundle
    from allegro_ai.evaluation.progress import Bar
    from allegro_description.model import load_hand
    from allegro_description.simulation.episode import disturbance
    from allegro_description.simulation.objects import object_rng

    from allegro_bench.quality import outcome, rows
    from allegro_bench.quality.candidates import measured
    from allegro_bench.quality.closed_loop import Scene
    from allegro_bench.quality.episode_file import FOLDER
    from allegro_bench.quality.gate import Gate, Settings
    from allegro_bench.quality.kept import Kept
    from allegro_bench.quality.noninferiority import PASS
    from allegro_bench.quality.open_loop import recorded
    from allegro_bench.results import document as results

    settings = Settings(margin=given.margin / 100.0, episodes=given.episodes, workers=given.workers).checked()
    level, *_ = disturbance(given.level)
    object_rng(0, given.object_set, 0)      # refuses a set that does not exist
    document = results.load(given.folder)
    hand = load_hand(given.model, given.side)
    bundle = load_bundle(given.policy or _policy(document), hand)
    names = _named(given.candidates, measured(document, bundle))
    joules = _energies(given.trial_energy, names)
    found, left = _candidates(document, given.folder, names, bundle)
    scene = Scene(given.model, given.side, str(bundle.path), bundle.fingerprint, given.object_set, level)
    gate = Gate(bundle, scene, found, settings)
    for name, why in left.items():
        print(f'not judged: {name}: {why}')
    if found:
        gate.look(recorded(given.observations, bundle) if given.observations else None)
        print('open loop, nothing executed: actions against ' + gate.reference.name)
        print(outcome.open_table(gate.judged), flush=True)
        print('\n' + _plan(gate), flush=True)
    if given.plan:
        return 0
    with Kept(given.folder / FOLDER) as kept:
        try:
            with Bar('quality') as bar:
                gate.play(bar.show, kept)
        except KeyboardInterrupt:
            print(f'\nstopped; what was played is kept in {kept.path}, the same command goes on', file=sys.stderr)
            return 130
    env = rows.environment(scene, settings)
    made = [row for one in gate.judged for row in rows.rows_of(
        one, gate.reference.name, settings, env, given.folder, joules.get(one.candidate.name))]
    for entry in document['backends']:
        if entry['name'] in left:
            made += rows.not_run(entry, gate.reference.name, left[entry['name']])
    rows.store(given.folder, document, made)
    print(f'\nclosed loop, simulated: {env["name"]}')
    print(outcome.closed_table(gate.judged, gate.reference.name, settings))
    costs = outcome.cost_table([e for e in document['summary'] if e['backend'] in names])
    print('\n' + (costs or 'no cost per success'))
    print(f'\nresult     {given.folder / results.RESULT_FILE}')
    _page(given.folder)
    passed = [one.difference is not None and one.difference.verdict(settings.margin) == PASS for one in gate.judged]
    return 0 if passed and all(passed) and not left else 1


def _policy(document: dict[str, Any]) -> str:
    """The name of the policy in a result, without its version."""
    name = str(document['workload']['policy']['name'])
    return name.rpartition('-')[0] or name


def _named(text: str, there: list[str]) -> list[str]:
    if text == 'all':
        return [name for name in there if name != 'null']
    names = [name.strip() for name in text.split(',') if name.strip()]
    for name in names:
        if name not in there:
            raise ConfigError(f'--candidates names {name!r}, which was not measured; this result has '
                              f'{", ".join(there) or "none"}')
    if not names:
        raise ConfigError('--candidates names nobody; leave it out to judge every backend of the result')
    return list(dict.fromkeys(names))


def _energies(given: list[str], names: list[str]) -> dict[str, Any]:
    from allegro_bench.quality.per_success import trial_energy

    found = {}
    for text in given:
        name, equals, path = text.partition('=')
        if not equals or name not in names:
            raise ConfigError(f'--trial-energy is {text!r}; the form is BACKEND=FILE.csv, with a backend that is '
                              f'judged: {", ".join(names)}')
        found[name] = trial_energy(Path(path))
    return found


def _candidates(document: dict[str, Any], folder: Path, names: list[str],
                bundle: Any) -> tuple[list[Any], dict[str, str]]:
    from allegro_bench.quality.candidates import candidate, why_not

    found, left = [], {}
    for name in names:
        try:
            found.append(candidate(document, folder, name, bundle))
        except AllegroError as error:
            left[name] = why_not(error)
    return found, left


def _plan(gate: Any) -> str:
    settings = gate.settings
    total, seconds = gate.planned()
    assumed = (f'for {100 * settings.margin:g} points with power 80 % if {settings.discordance:.0%} of pairs differ; '
               f'more are played if more differ, {settings.most} at most' if settings.episodes is None else 'as asked')
    lasts = 'unknown time' if seconds is None else f'about {max(1, round(seconds / 60))} min with {settings.workers} ' \
                                                   'processes'
    from allegro_bench.quality.noninferiority import smallest_excluded

    least = 100.0 * smallest_excluded(settings.first, settings.discordance)
    note = '' if least <= 100.0 * settings.margin + 0.01 else (
        f'\n           with so few, only a loss of more than {least:.0f} points can be excluded: expect "inconclusive"')
    return (f'plan       {settings.first} pairs {assumed}\n           {total} episodes of 6 s, {lasts}{note}')


def _page(folder: Path) -> None:
    """Write the report again where that can be done here."""
    try:
        from allegro_bench.results.page import write as write_page
        print(f'report     {write_page(folder)}')
    except (ImportError, AllegroError) as error:
        print(f'report     not written again: {error}', file=sys.stderr)
