"""What ``run.py`` of a pack does once its files are checked: the run of ``allegro-bench run``, with what was packed."""

from __future__ import annotations

import argparse
import hashlib
import importlib.util
import json
import platform
import signal
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from allegro_description.errors import AllegroError, ConfigError

from allegro_bench.exporting.start import MANIFEST, STAND_INS
from allegro_bench.running.profiles import CUSTOM, PROFILES, Profile, profile

PLAN, BUNDLE, OBSERVATIONS = 'plan.json', 'bundle', 'observations'
RECORDED = 'recorded.npz'

EPILOG = """examples:
  python3 run.py --plan                        what would be measured here, and how long it takes
  python3 run.py --profile quick               does everything work?
  python3 run.py --profile standard --meter auto --output my_board
  python3 run.py --check                       are all files as they were packed?

Take the output folder home: allegro-bench verify my_board, report my_board, compare my_board OTHER.
exit codes: 0 valid or degraded, 1 the result is invalid (it is kept, with the reasons), 2 nothing could be measured,
130 stopped by hand (kept too)"""


def parser(plan: Mapping[str, Any]) -> argparse.ArgumentParser:
    """The command line; what belongs to the workload is fixed by the pack."""
    top = argparse.ArgumentParser(
        prog='run.py', description=f'Measure {plan["name"]} at {plan["rate_hz"]:g} Hz on this machine.', epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    usual = plan['profile']['name']
    top.add_argument('--profile', default=usual, choices=tuple(dict.fromkeys((*PROFILES, usual))),
                     help='quick: 3 x 10 s, never published; standard: 5 x 120 s; long: 5 x 600 s '
                          '(default: %(default)s)')
    top.add_argument('--block-s', type=float, metavar='S', help='length of a block; the profile is then custom')
    top.add_argument('--blocks', type=int, metavar='N', help='number of blocks; the profile is then custom')
    top.add_argument('--backends', metavar='LIST', help=f'comma list (default: those of {", ".join(plan["engines"])} '
                                                        'that are installed here)')
    top.add_argument('--meter', default='auto', metavar='LIST',
                     help='energy meters: powercap, perf, ina3221, hwmon, power_supply, external:…, csv:…, none '
                          '(default: %(default)s, all that work)')
    top.add_argument('--zone', metavar='CODE', help='country whose grid the carbon is computed with; no default')
    top.add_argument('--intensity', type=float, metavar='G', help='your own grid intensity, g CO2e per kWh')
    top.add_argument('--seed', type=int, default=1, help='of the order of blocks (default: %(default)s)')
    top.add_argument('--reverse', action='store_true', help='all blocks in reversed order')
    top.add_argument('--spin-us', type=float, default=0.0, metavar='US', help='wait busily so long before each release')
    top.add_argument('--output', type=Path, metavar='DIR', help='default: runs/bench/<time>_<policy>')
    top.add_argument('--plan', action='store_true', help='print what would be done and how long it takes, and stop')
    top.add_argument('--check', action='store_true', help='check the files of the pack, and stop')
    top.add_argument('--quiet', action='store_true', help='no progress')
    top.set_defaults(policy=plan['policy'], rate_hz=plan['rate_hz'], deadline_ms=plan['deadline_ms'],
                     on_overrun=plan['on_overrun'], bare=plan['bare'], model=plan['model'], side=plan['side'],
                     observations=plan['source'])
    return top


def main(root: Path, args: Sequence[str] | None = None) -> int:
    """Measure; returns the exit code. ``root`` is the folder of the pack, its files have been checked."""
    plan = json.loads((root / PLAN).read_text(encoding='utf-8'))
    given = parser(plan).parse_args(args)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    manifest = hashlib.sha256((root / MANIFEST).read_bytes()).hexdigest()
    print(f'pack       {plan["name"]}, manifest {manifest[:12]}, all files as packed')
    if given.check:
        return 0
    try:
        return _measure(root, plan, manifest, given, sys.argv[1:] if args is None else args)
    except AllegroError as error:
        print(f'run.py: {error}', file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130


def _measure(root: Path, plan: Mapping[str, Any], manifest: str, given: argparse.Namespace,
             words: Sequence[str]) -> int:
    from allegro_bench.running.commands import measure

    given.backends, left = _engines(plan['engines'], given.backends)
    for sentence in left:
        print(f'left out   {sentence}')
    notes = [f'measured with an exported pack, manifest sha256 {manifest}', *(f'left out: {s}' for s in left)]
    held = [n for n in sorted(p.name for p in (root / STAND_INS).iterdir()) if _stands_in(root, n)]
    if held:
        notes.append(f'absent here, so that what the pack brought along was used: {", ".join(held)}')
    if given.observations != 'synthetic':
        given.observations = str(root / given.observations)
    with tempfile.TemporaryDirectory(prefix='allegro_bench_') as scratch:
        return measure(given, str(root / BUNDLE), Path(scratch), ready=str(root / OBSERVATIONS), notes=notes,
                       command_line=['run.py', *words], workload_hash=plan['workload_hash'], packed=True,
                       lengths=_lengths(plan['profile'], given))


def _lengths(packed: Mapping[str, Any], given: argparse.Namespace) -> Profile:
    base = Profile(**packed) if given.profile == CUSTOM else None
    return profile(given.profile, given.block_s, given.blocks, base)


def _stands_in(root: Path, name: str) -> bool:
    spec = importlib.util.find_spec(name)
    return spec is not None and spec.origin is not None and Path(spec.origin).is_relative_to(root / STAND_INS)


def _engines(packed: Sequence[str], asked: str | None) -> tuple[str, list[str]]:
    """The backends to measure as a comma list, and a sentence for each that is absent here.

    Raises:
        ConfigError: none is here, or one that was not packed was asked for.
    """
    from allegro_ai.backends import BACKENDS, split_name

    if asked is not None and asked != 'all':
        for name in asked.split(','):
            if ':' not in name and split_name(name.strip())[0] not in {split_name(p)[0] for p in packed}:
                raise ConfigError(f'backend {name.strip()!r} is not in this pack; it holds {", ".join(packed)}')
        return asked, []
    rows = {name: (here, why) for name, here, why in BACKENDS.available()}
    there = [name for name in packed if rows[split_name(name)[0]][0]]
    left = [f'{name}: {rows[split_name(name)[0]][1]}' for name in packed if name not in there]
    if not there:
        raise ConfigError(f'no engine of this pack is installed on this {platform.machine()} machine: '
                          + '; '.join(left))
    return ','.join(there), left
