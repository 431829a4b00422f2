"""``allegro-bench export``: pack a workload and what measures it for a machine without the suite."""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from typing import Any

EPILOG = """examples:
  allegro-bench export L1b --output l1b.tar.gz           a network of the ladder
  allegro-bench export my_policy/ --output my_pack       a folder instead of an archive
  allegro-bench export L4b --engines onnxruntime --profile standard --output l4b.tar.gz

On the other machine (Linux, Python 3.10 or newer, numpy and an engine): unpack, python3 run.py --help. It measures with
the same code as allegro-bench run and leaves a result folder. Bring that home: allegro-bench verify FOLDER, report
FOLDER, compare FOLDER OTHER."""


def add_commands(commands: Any) -> None:
    """Register the sub-command."""
    words = 'pack a policy and what measures it for a bare machine: Python, numpy and an engine are enough there'
    command = commands.add_parser('export', help=words, description=words, epilog=EPILOG,
                                  formatter_class=argparse.RawDescriptionHelpFormatter)
    command.add_argument('policy', metavar='POLICY',
                         help='shipped bundle, path of a bundle, or rung of the ladder L0 … L5b')
    command.add_argument('--output', type=Path, required=True, metavar='FILE', help='NAME.tar.gz, or a new folder')
    command.add_argument('--engines', default='onnxruntime,numpy', metavar='LIST',
                         help='measured where they are installed, e.g. onnxruntime/int8_static (default: %(default)s)')
    command.add_argument('--profile', default='quick', choices=('quick', 'standard', 'long'),
                         help='what run.py does unless told otherwise (default: %(default)s)')
    command.add_argument('--block-s', type=float, metavar='S', help='length of a block; the profile is then custom')
    command.add_argument('--blocks', type=int, metavar='N', help='number of blocks; the profile is then custom')
    command.add_argument('--rate-hz', type=float, metavar='HZ', help="control rate (default: the policy's own)")
    command.add_argument('--deadline-ms', type=float, metavar='MS', help='default: one period')
    command.add_argument('--on-overrun', default='skip', choices=('skip', 'queue'),
                         help='ticks released while busy are dropped, or worked off in order (default: %(default)s)')
    command.add_argument('--bare', action='store_true', help='leave out what is before and after the policy')
    command.add_argument('--observations', default='synthetic', metavar='FILE',
                         help='a bag, or an .npz with position, pressure and valid, or with input/<term> '
                              '(default: synthetic, by seed)')
    command.add_argument('--model', default='v5_sense', help='hand model (default: %(default)s)')
    command.add_argument('--side', default='right', choices=('right', 'left'), help='default: %(default)s')
    command.set_defaults(run=_run)


def _run(given: argparse.Namespace) -> int:
    from allegro_bench.running.commands import ladder
    from allegro_bench.running.workload import checked_name, is_rung

    checked_name(given.policy)
    with tempfile.TemporaryDirectory(prefix='allegro_bench_') as scratch:
        path = ladder(given, Path(scratch)) if is_rung(given.policy) else given.policy
        return _export(given, path, Path(scratch))


def _export(given: argparse.Namespace, path: str, scratch: Path) -> int:
    from allegro_ai.bundle import load_bundle
    from allegro_description.model import load_hand

    from allegro_bench.exporting.pack import Order, files, write
    from allegro_bench.running.profiles import profile
    from allegro_bench.running.recorded import observations_of
    from allegro_bench.running.workload import SYNTHETIC, is_rung, workload

    bundle = load_bundle(path, load_hand(given.model, given.side))
    source = given.observations
    if source != SYNTHETIC:
        source = observations_of(source, bundle.model, given.rate_hz or 1.0 / bundle.period_s, scratch)
    policy = given.policy if is_rung(given.policy) else bundle.name
    chosen = workload(bundle, policy, rate_hz=given.rate_hz, deadline_ms=given.deadline_ms, on_overrun=given.on_overrun,
                      bare=given.bare, source=source)
    engines = [name.strip() for name in given.engines.split(',') if name.strip()]
    made = files(Order(chosen, bundle, policy, engines, profile(given.profile, given.block_s, given.blocks)))
    write(made, given.output)
    size = sum(map(len, made.values()))
    print(f'{given.output}: {len(made)} files, {size / 1e6:.1f} MB unpacked; {policy} at {chosen.rate_hz:g} Hz on '
          f'{", ".join(engines)}\nthere: python3 run.py --help; at home: allegro-bench verify FOLDER')
    return 0
