"""`allegro-ai backends` and `allegro-ai ladder`: what computes here, how exactly, and benchmark networks to compute."""

from __future__ import annotations

import argparse
import importlib.metadata
from pathlib import Path
from typing import Any

import numpy as np
from allegro_description.errors import AllegroError
from allegro_description.model import load_hand

from allegro_ai import golden
from allegro_ai.backends import BACKENDS
from allegro_ai.bundle import Bundle, load_bundle
from allegro_ai.card import table
from allegro_ai.contract import golden_tolerance

_PACKAGES = {'torch_cuda': 'torch', 'torch_compile': 'torch', 'aotinductor': 'torch', 'null': 'numpy',
             'onnxruntime_cuda': 'onnxruntime', 'onnxruntime_tensorrt': 'onnxruntime'}
"""Backend to the package whose version counts, where its name differs."""

COMPILED = ('torch_compile', 'aotinductor')
"""Backends that compile for half a minute at each load; measured only when asked for by name."""


def add_commands(commands: Any) -> None:
    """Register the sub-commands."""
    backends = commands.add_parser(
        'backends', help='inference backends and precisions; with a bundle, how far each is from its golden vectors')
    backends.add_argument('bundle', nargs='?', default='', help='name of a shipped bundle, a folder, or a .tar.zst')
    backends.add_argument('--only', default='', metavar='NAME', help='one backend, or one backend/precision')
    backends.add_argument('--model', default='v5_sense', help='hand model (default: %(default)s)')
    backends.add_argument('--side', default='right', choices=('right', 'left'), help='default: %(default)s')
    backends.set_defaults(run=_backends)
    ladder = commands.add_parser('ladder', help='write benchmark networks (random weights) as bundles of kind workload')
    ladder.add_argument('rungs', nargs='*', metavar='RUNG', help='L0 … L5b (default: all)')
    ladder.add_argument('--output', required=True, metavar='DIR', help='folder for the bundles')
    ladder.add_argument('--seed', type=int, default=0, help='of the weights (default: %(default)s)')
    ladder.set_defaults(run=_ladder)


def _backends(args: argparse.Namespace) -> int:
    bundle = load_bundle(args.bundle, load_hand(args.model, args.side)) if args.bundle else None
    wanted, _, only = args.only.partition('/')
    rows: list[dict[str, str]] = []
    for name, usable, reason in BACKENDS.available():
        if wanted not in ('', name):
            continue
        try:
            if not usable:
                raise AllegroError(reason)
            kind = BACKENDS.load(name)
        except AllegroError as error:
            rows.append({'backend': name, 'verdict': f'absent: {error}'})
            continue
        for precision in kind.precisions:
            if only in ('', precision):
                row = {'backend': name, 'version': _version(name), 'precision': precision}
                rows.append({**row, **(_measured(bundle, name, precision, args.only) if bundle else {})})
    if not rows:
        BACKENDS.load(wanted)  # says which names there are
    keys = ('backend', 'version', 'precision', *(('difference', 'tolerance') if bundle else ()), 'verdict')
    print(table([{key: row.get(key, '') for key in keys} for row in rows]))
    return 0


def _version(name: str) -> str:
    try:
        return importlib.metadata.version(_PACKAGES.get(name, name))
    except importlib.metadata.PackageNotFoundError:
        return ''


def _measured(bundle: Bundle, name: str, precision: str, asked: str) -> dict[str, str]:
    """Difference from the golden vectors, beside the tolerance."""
    if name in COMPILED and not asked:
        return {'verdict': f'not measured: compiles for half a minute; ask with --only {name}'}
    try:
        policy = bundle.unchecked(name, precision)
        if not policy.backend.faithful:
            return {'verdict': 'does not compute the graph'}
        minimum = golden.MINIMUM_WORKLOAD if bundle.workload else golden.MINIMUM
        difference = golden.check(policy, bundle.arrays(golden.FILE), bundle.inputs, np.inf, extras=policy.extras,
                                  minimum=minimum)
        policy.backend.close()
    except AllegroError as error:
        return {'verdict': f'refused: {error}'}
    found = {'difference': f'{difference:.2g}'}
    try:
        tolerance = golden_tolerance(bundle.contract, name, precision)
    except AllegroError:
        return {**found, 'tolerance': 'none', 'verdict': 'refused: no tolerance is recorded'}
    verdict = 'agrees' if difference <= tolerance else 'refused: differs too much'
    return {**found, 'tolerance': f'{tolerance:g}', 'verdict': verdict}


def _ladder(args: argparse.Namespace) -> int:
    from allegro_ai.workloads import RUNGS
    from allegro_ai.workloads.ladder import write_workload
    rows = []
    for name in args.rungs or RUNGS:
        bundle = write_workload(name, Path(args.output) / name, load_hand(), args.seed)
        report = bundle.report
        rows.append({'rung': name, 'network': RUNGS[name].title, 'parameters': f'{report.parameters}',
                     'MACs': f'{report.macs}', 'bundle': str(bundle.path)})
    print(table(rows))
    return 0
