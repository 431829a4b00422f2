"""``allegro-bench run``: measure a policy in several inference backends at its control rate."""

from __future__ import annotations

import argparse
import signal
import sys
import tempfile
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from allegro_description.errors import AllegroError, ConfigError

if TYPE_CHECKING:
    from allegro_bench.running.profiles import Profile

EPILOG = """examples:
  allegro-bench run --plan                                 what a run would do here, and how long it takes
  allegro-bench run --profile quick                        does everything work? the shipped policy, 3 x 10 s a backend
  allegro-bench run tactile_hold_linear --profile standard what is compared and published: 5 x 120 s a backend
  allegro-bench run L1b --backends onnxruntime,openvino    a network of the ladder (random weights), two backends
  allegro-bench run L3b --backends torch,torch/bf16        the same backend in two precisions
  allegro-bench run my_policy/ --backends my_engine:Fast   a class of your own, found on PYTHONPATH
  allegro-bench run L1b --on-overrun queue --rate-hz 100   late ticks are worked off, at another rate
  allegro-bench run L1b --meter none --reverse             without energy; all blocks in reversed order

what is measured: response = finish minus scheduled release of each tick, so that a stall is not hidden; a tick is
missed if it ends after its deadline or is skipped. Around the engine's call everything that runs on the robot is in
(observation, limits, targets); the engine's call alone is reported beside it. Each backend has a process of its own,
warms up at the control rate until steady, and takes turns with the others. The null backend shows what the harness
itself costs; the reference backend opens and closes the run and shows whether the machine drifted.

The result folder holds result.json, every tick (ticks/*.npz) and, with plotly, report.html.
exit codes: 0 valid or degraded, 1 the result is invalid (it is kept, with the reasons), 2 nothing could be measured,
130 stopped by hand (kept too)"""


def add_commands(commands: Any) -> None:
    """Register the sub-command."""
    words = 'measure a policy in several inference backends at its control rate'
    command = commands.add_parser('run', help=words, description=words, epilog=EPILOG,
                                  formatter_class=argparse.RawDescriptionHelpFormatter)
    command.add_argument('policy', nargs='?', default='tactile_hold_linear', metavar='POLICY',
                         help='shipped bundle, path of a bundle, or rung of the ladder L0 … L5b (default: %(default)s)')
    command.add_argument('--profile', default='quick', choices=('quick', 'standard', 'long'),
                         help='quick: 3 x 10 s, never published; standard: 5 x 120 s; long: 5 x 600 s '
                              '(default: %(default)s)')
    command.add_argument('--block-s', type=float, metavar='S', help='length of a block; the profile is then custom')
    command.add_argument('--blocks', type=int, metavar='N', help='number of blocks; the profile is then custom')
    command.add_argument('--backends', default='all', metavar='LIST',
                         help='comma list of backend or backend/precision, or module:Class; all: whatever is installed '
                              '(default: %(default)s)')
    command.add_argument('--rate-hz', type=float, metavar='HZ', help="control rate (default: the policy's own)")
    command.add_argument('--deadline-ms', type=float, metavar='MS', help='default: one period')
    command.add_argument('--on-overrun', default='skip', choices=('skip', 'queue'),
                         help='ticks released while busy are dropped, or worked off in order (default: %(default)s)')
    command.add_argument('--bare', action='store_true', help='leave out what is before and after the policy')
    command.add_argument('--observations', default='synthetic', metavar='FILE',
                         help='a bag, or an .npz with position, pressure and valid, or with input/<term> '
                              '(default: synthetic, by seed)')
    command.add_argument('--meter', default='auto', metavar='LIST', help='energy meters (default: %(default)s)')
    command.add_argument('--zone', metavar='CODE', help='country whose grid the carbon is computed with; no default')
    command.add_argument('--intensity', type=float, metavar='G', help='your own grid intensity, g CO2e per kWh')
    command.add_argument('--seed', type=int, default=1, help='of the order of blocks (default: %(default)s)')
    command.add_argument('--reverse', action='store_true', help='all blocks in reversed order')
    command.add_argument('--spin-us', type=float, default=0.0, metavar='US',
                         help='wait busily so long before each release; recorded (default: only sleep)')
    command.add_argument('--output', type=Path, metavar='DIR', help='default: runs/bench/<time>_<policy>')
    command.add_argument('--plan', action='store_true', help='print what would be done and how long it takes, and stop')
    command.add_argument('--quiet', action='store_true', help='no progress')
    command.add_argument('--model', default='v5_sense', help='hand model (default: %(default)s)')
    command.add_argument('--side', default='right', choices=('right', 'left'), help='default: %(default)s')
    command.set_defaults(run=_run)


def _run(given: argparse.Namespace) -> int:
    if not 0 <= given.spin_us <= 10_000:
        raise ConfigError(f'--spin-us is {given.spin_us:g}; allowed: 0 to 10000')
    from allegro_bench.running.workload import checked_name, is_rung

    checked_name(given.policy)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with tempfile.TemporaryDirectory(prefix='allegro_bench_') as scratch:
        path = ladder(given, Path(scratch)) if is_rung(given.policy) else given.policy
        return measure(given, path, Path(scratch))


def ladder(given: argparse.Namespace, scratch: Path) -> str:
    """Write the bundle of a rung below ``scratch``; returns its path."""
    from allegro_bench.running.worker import Worker

    with Worker() as worker:
        answer = worker.ask('write_ladder', 300.0, rung=given.policy, folder=str(scratch / given.policy),
                            model=given.model, side=given.side)
    return str(answer['path'])


def measure(given: argparse.Namespace, path: str, scratch: Path, *, ready: str = '', notes: Sequence[str] = (),
            command_line: Sequence[str] | None = None, workload_hash: str = '',
            lengths: Profile | None = None, packed: bool = False) -> int:
    """Carry out a run; returns the exit code.

    Args:
        given: the options of ``allegro-bench run``.
        path: folder of the bundle.
        scratch: an empty folder for what is needed on the way.
        ready: see :class:`allegro_bench.running.workload.Workload`.
        notes: sentences for the result.
        command_line: as it stands in the result; default: what this process was called with.
        workload_hash: hash that the workload has to have; '' for any.
        lengths: of everything; default: what ``given`` says.
        packed: the machine has only a pack: no page is written, and no other command can be pointed to.

    Raises:
        AllegroError: nothing can be measured; the sentence says why.
    """
    from allegro_ai.bundle import load_bundle
    from allegro_description.model import load_hand

    from allegro_bench.carbon import intensity_of
    from allegro_bench.energy import EnergyRecorder
    from allegro_bench.meters.opening import open_meters
    from allegro_bench.running import plan
    from allegro_bench.running.engines import NULL, engine, reference, usable
    from allegro_bench.running.profiles import profile
    from allegro_bench.running.recorded import observations_of
    from allegro_bench.running.run import Run
    from allegro_bench.running.setup import Setup
    from allegro_bench.running.workload import SYNTHETIC, is_rung, section, workload

    bundle = load_bundle(path, load_hand(given.model, given.side))
    source = given.observations
    if source != SYNTHETIC:
        source = observations_of(source, bundle.model, given.rate_hz or 1.0 / bundle.period_s, scratch)
    chosen = workload(bundle, given.policy if is_rung(given.policy) else bundle.name, rate_hz=given.rate_hz,
                      deadline_ms=given.deadline_ms, on_overrun=given.on_overrun, bare=given.bare,
                      source=source, ready=ready)
    found = section(chosen, bundle)['hash']
    if workload_hash not in ('', found):
        raise ConfigError(f'the workload has the hash {found[:12]} here and had {workload_hash[:12]} when it was '
                          'packed; export it again')
    if given.backends == 'all':
        engines, left = usable(bundle)
    else:
        named = [engine(name.strip()) for name in given.backends.split(',') if name.strip()]
        engines, left = [e for e in dict.fromkeys(named) if e.plugin != NULL], []
        for one in engines:
            one.load()
    if not engines:
        raise ConfigError('no backend is left to measure: ' + ('; '.join(left) or 'null is always measured'))
    first, note = reference()
    intensity = intensity_of(given.zone, given.intensity)
    lengths = lengths or profile(given.profile, given.block_s, given.blocks)
    setup = Setup(chosen, bundle, engines, first, lengths, given.seed, given.reverse, given.spin_us,
                  [*notes, *([note] if note else [])],
                  command_line or ['allegro-bench', *sys.argv[1:]],
                  None if intensity is None else intensity.as_dict(), given.quiet)
    print(plan.words(chosen, engines, first, lengths, setup.planned(), left, setup.notes), flush=True)
    if given.plan:
        return 0
    folder = given.output or Path('runs/bench') / f'{datetime.now():%Y-%m-%d_%H-%M-%S}_{chosen.name}'
    if (folder / 'result.json').exists():
        raise ConfigError(f'{folder} holds a result already; choose another --output')
    with EnergyRecorder(open_meters(given.meter)) as recorder:
        if recorder.reason:
            usual = 'no meter works here; allegro-bench meters says why'
            print(f'energy     none: {recorder.reason if packed else usual}')
        run = Run(setup, folder, recorder)
        document = run.carry_out()
    return _told(document, folder, interrupted=run.interrupted, report=not packed)


def _told(document: dict[str, Any], folder: Path, *, interrupted: bool, report: bool) -> int:
    """Print what came out; returns the exit code."""
    from allegro_bench.running.outcome import table

    print(table(document))
    validity = document['validity']
    print(f'\n{validity["status"].upper()}')
    for found in validity['reasons']:
        print(f'  {found["code"]} ({found["where"]}): {found["detail"]}; {found["recommendation"]}')
    print(f'result     {folder / "result.json"}')
    if report:
        _page(folder)
    return 130 if interrupted else 1 if validity['status'] == 'invalid' else 0


def _page(folder: Path) -> None:
    try:
        from allegro_bench.results.page import write as write_page
        print(f'report     {write_page(folder)}')
    except (ImportError, AllegroError) as error:
        print(f'report     none: {error}')
