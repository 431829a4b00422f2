"""``python -m allegro_bringup.realtime_evaluation``: lock-step and real time side by side, on the same episodes.

The same bundle runs the same seeds twice: in lock-step, as training and ``allegro-ai evaluate`` do, and through the
real node, driver and wire against the emulated hand, in real time. What they are told is made equal: the nominal hand,
one grip class for all episodes, no direction of gravity. What still differs, and is not hidden:

* the position loop runs in the driver every 3 ms or so, and not in the physics every 4 ms;
* the hand reaches its start pose by itself, and the close begins a moment after the episode's clock;
* touch and joints travel over wire and topics, with their delays and their jitter; cells draw other noise.
"""

from __future__ import annotations

import argparse
import json
import shlex
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from allegro_ai.bundle import load_bundle
from allegro_ai.evaluation.intervals import Z95, mcnemar, paired_difference, wilson
from allegro_ai.observation import GRIP_CLASSES
from allegro_description.errors import AllegroError, ConfigError
from allegro_description.model import HandModel, load_hand
from allegro_description.simulation.objects import OBJECT_SETS

from allegro_bringup.arguments import ProfileArgs
from allegro_bringup.progress import Progress
from allegro_bringup.runner import Demo, check_policy, free_ports
from allegro_bringup.runs import new_run_folder
from allegro_bringup.session import Interrupted, RunFailed, StopRequest

CHUNK = 20
JUDGED = ('success', 'held', 'acquired')


@dataclass(frozen=True, slots=True)
class Episode:
    """One episode of one way to run it, with the fields that both ways report."""

    seed: int
    success: bool
    held: bool
    acquired: bool
    torque_nm: float
    tip_n: float


class Told:
    """A policy that is told one grip class and no gravity, whatever the episode says: so does the node tell it."""

    def __init__(self, policy: Any, grip: str) -> None:
        """Wrap a policy."""
        self._policy, self._grip = policy, np.eye(len(GRIP_CLASSES), dtype=np.float32)[GRIP_CLASSES.index(grip)]

    def reset(self, which: Any = None) -> None:
        """Forget the past, if the policy keeps one."""
        from allegro_ai.tasks.policies import reset_policy

        reset_policy(self._policy, which)

    def act(self, observation: Mapping[str, Any], /) -> Any:
        """Act on what the node would show."""
        n = len(observation['grip_class'])
        shown = {**observation, 'grip_class': np.tile(self._grip, (n, 1))}
        return self._policy.act({k: np.zeros_like(v) if k.startswith('gravity') else v for k, v in shown.items()})


def lock_step(hand: HandModel, args: argparse.Namespace, progress: Progress) -> list[Episode]:
    """The episodes in lock-step simulation, on the nominal hand."""
    from allegro_ai.evaluation.trials import trials_of
    from allegro_ai.tasks.tactile_hold import episodes

    seeds, found = range(args.seed, args.seed + args.episodes), []
    for first in range(0, len(seeds), CHUNK):
        policy = Told(load_bundle(args.policy, hand).policy(args.backend), args.grip)
        todo = episodes(hand, seeds[first:first + CHUNK], args.level, args.object_set)
        found += [Episode(t.seed, t.success, t.held, t.acquired, t.torque_nm, t.tip_n)
                  for t in trials_of(hand, todo, policy, randomise=False)]
        progress.status(f'lock-step: {len(found)} of {len(seeds)} episodes')
    return found


def from_wire(path: Path) -> list[Episode]:
    """Episodes of an ``episodes.json`` that came to an end.

    Raises:
        ConfigError: no such file, or one that is not complete.
    """
    try:
        rows = json.loads(path.read_text(encoding='utf-8'))['episodes']
        return [Episode(int(r['seed']), r.get('success') is True, r.get('held') is True, r.get('acquired') is True,
                        float(r['mean_torque_nm']), float(r['p99_tip_force_n']))
                for r in rows if r['outcome'] in ('held', 'dropped', 'lost')]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConfigError(f'{path} does not hold the episodes of a run: {error!r}') from error


def real_time(args: argparse.Namespace, folder: Path, progress: Progress, request: StopRequest) -> list[Episode]:
    """The episodes through the real node, over the wire, in real time.

    Raises:
        AllegroError: the run failed or was interrupted; everything is stopped.
    """
    folder.mkdir(parents=True, exist_ok=True)
    parameters = folder / 'told.yaml'
    parameters.write_text(yaml.safe_dump({
        '/**/grasp_policy': {'ros__parameters': {'grip': args.grip}},
        '/**/episode_control': {'ros__parameters': {'object_set': args.object_set}}}), encoding='utf-8')
    given = free_ports(ProfileArgs(
        model=args.model, side=args.side, policy=args.policy, backend=args.backend, episodes=args.episodes,
        seed=args.seed, level=args.level, output_dir=str(folder.resolve()), params_file=str(parameters), record=False))
    check_policy(given)
    Demo(given, progress, request).run()
    return from_wire(folder / 'episodes.json')


def comparison(lock: Sequence[Episode], wire: Sequence[Episode]) -> dict[str, Any]:
    """Both ways on the episodes that both have: rates, paired differences ``real time - lock-step``.

    Raises:
        ConfigError: they share no episode.
    """
    first, second = ({e.seed: e for e in rows} for rows in (lock, wire))
    seeds = sorted(first.keys() & second.keys())
    if not seeds:
        raise ConfigError('lock-step and real time share no episode; was the run over the wire interrupted?')
    result: dict[str, Any] = {'n': len(seeds), 'missing': len(lock) - len(seeds), 'rates': {}, 'means': {}}
    for what in JUDGED:
        a, b = (np.array([getattr(rows[s], what) for s in seeds], dtype=float) for rows in (first, second))
        counts = mcnemar(b, a)
        difference, low, high = paired_difference(b, a)
        result['rates'][what] = {
            **{name: {'rate': float(v.mean()), 'ci95': wilson(int(v.sum()), len(v))}
               for name, v in (('lock_step', a), ('real_time', b))},
            'difference': difference, 'ci95': [low, high], 'only_lock_step': counts.only_b,
            'only_real_time': counts.only_a, 'mcnemar_p': counts.p, 'agree': low <= 0.0 <= high}
    for what in ('torque_nm', 'tip_n'):
        a, b = (np.array([getattr(rows[s], what) for s in seeds]) for rows in (first, second))
        difference, low, high = paired_difference(b, a)
        result['means'][what] = {'lock_step': float(a.mean()), 'real_time': float(b.mean()),
                                 'difference': difference, 'ci95': [low, high]}
    return result


def table(found: Mapping[str, Any]) -> str:
    """A comparison as markdown."""
    lines = ['| | lock-step [95 %] | real time [95 %] | paired difference [95 %] | only lock-step | only real time |',
             '|---|---|---|---|---|---|']
    for what, r in found['rates'].items():
        cells = [f'{100 * r[k]["rate"]:.1f} % [{100 * r[k]["ci95"][0]:.1f}, {100 * r[k]["ci95"][1]:.1f}]'
                 for k in ('lock_step', 'real_time')]
        low, high = r['ci95']
        lines.append(f'| {what} | {cells[0]} | {cells[1]} | {100 * r["difference"]:+.1f} [{100 * low:+.1f}, '
                     f'{100 * high:+.1f}] | {r["only_lock_step"]} | {r["only_real_time"]} |')
    for what, unit in (('torque_nm', 'mean torque, N·m'), ('tip_n', 'p99 tip force, N')):
        m = found['means'][what]
        lines.append(f'| {unit} | {m["lock_step"]:.3f} | {m["real_time"]:.3f} | {m["difference"]:+.3f} '
                     f'[{m["ci95"][0]:+.3f}, {m["ci95"][1]:+.3f}] | | |')
    return '\n'.join(lines)


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        prog='realtime_evaluation', description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('policy', nargs='?', default='tactile_hold_linear', help='bundle (default: %(default)s)')
    parser.add_argument('--episodes', type=int, default=100, help='about 9 s each (default %(default)s)')
    parser.add_argument('--seed', type=int, default=0, help='of the first episode (default %(default)s)')
    parser.add_argument('--level', default='L2', choices=('L0', 'L1', 'L2', 'L3', 'L4'), help='(default %(default)s)')
    parser.add_argument('--object-set', default='H2', choices=tuple(OBJECT_SETS), help='(default %(default)s)')
    parser.add_argument('--grip', default='normal', choices=GRIP_CLASSES, help='what both are told (default normal)')
    parser.add_argument('--backend', default='onnxruntime', help='inference backend (default %(default)s)')
    parser.add_argument('--output', type=Path, help='folder (default: runs/<time>)')
    parser.add_argument('--model', default='v5_sense', help='hand model')
    parser.add_argument('--side', default='right', help='hand side')
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line. Returns 0 when both ways agree within their intervals, 1 when they do not, 2 after an error."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    args, request = parse(given), StopRequest()
    with request.listening():
        progress = Progress(sys.stdout)
        try:
            if args.episodes < 1:
                raise ConfigError(f'--episodes is {args.episodes}; at least 1 is needed')
            folder = args.output or new_run_folder(Path('runs'))
            hand = load_hand(args.model, args.side)
            lock = lock_step(hand, args, progress)
            request.check()
            found = comparison(lock, real_time(args, folder, progress, request))
        except Interrupted:
            return 130
        except AllegroError as error:
            print(f'realtime_evaluation: {error}', file=sys.stderr)
            return 1 if isinstance(error, RunFailed) else 2
    agree = all(r['agree'] for r in found['rates'].values())
    command = shlex.join(['python', '-m', 'allegro_bringup.realtime_evaluation', *given])
    document = {'policy': args.policy, 'hand': hand.name, 'simulated': True, 'level': args.level, 'command': command,
                'object_set': args.object_set, 'first_seed': args.seed, 'told_grip': args.grip, 'z': Z95, **found}
    path = folder / 'realtime_evaluation.json'
    path.write_text(json.dumps(document, indent=1) + '\n', encoding='utf-8')
    print(f'\n{args.policy} on {hand.name} (emulated), objects {args.object_set}, level {args.level}, nominal hand, '
          f'told "{args.grip}", n = {found["n"]}\n\n{table(found)}\n')
    print('lock-step and real time agree within their intervals' if agree else
          'lock-step and real time DIFFER beyond their intervals; see above')
    print(f'written: {path}')
    return 0 if agree else 1


if __name__ == '__main__':
    sys.exit(main())
