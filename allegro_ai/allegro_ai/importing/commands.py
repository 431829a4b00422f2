"""`allegro-ai import`: bundles from policies that were trained elsewhere."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from allegro_description.model import load_hand


def add_commands(commands: Any) -> None:
    """Register the sub-commands on an ``add_subparsers`` object; each sets ``run`` to a function of the arguments."""
    words = 'make a bundle of a policy that was trained elsewhere'
    importing = commands.add_parser('import', help=words, description=words)
    kinds = importing.add_subparsers(dest='kind', required=True, metavar='KIND')
    words = 'in-hand rotation in the architecture of HORA: weights only, nothing in the file is run'
    hora = kinds.add_parser('hora', help=words, description=words)
    hora.add_argument('checkpoint', type=Path, metavar='CHECKPOINT', help='file of torch.save (.pth, .ckpt)')
    hora.add_argument('--output', type=Path, required=True, metavar='BUNDLE', help='folder of the new bundle')
    hora.add_argument('--stage', type=int, choices=(1, 2), help='refuse a file of the other stage')
    hora.add_argument('--model', default='v4',
                      help='hand model (default: %(default)s, whose limits are those of training)')
    hora.add_argument('--side', default='right', choices=('right', 'left'), help='default: %(default)s')
    hora.add_argument('--name', default='hora_rotation', help='name of the bundle (default: %(default)s)')
    hora.add_argument('--bundle-version', default='0.1.0', metavar='VERSION', help='default: %(default)s')
    hora.add_argument('--licence', default='LicenseRef-unknown', help='licence of the weights (SPDX)')
    hora.add_argument('--accept-gains', action='store_true',
                      help='the gains of the hand may differ from those of training')
    hora.add_argument('--replace', action='store_true', help='replace an existing bundle')
    hora.set_defaults(run=_hora)


def _hora(args: argparse.Namespace) -> int:
    from allegro_ai.importing.hora import import_hora
    bundle = import_hora(args.checkpoint, args.output, load_hand(args.model, args.side), stage=args.stage,
                         name=args.name, version=args.bundle_version, licence=args.licence,
                         accept_gains=args.accept_gains, replace=args.replace)
    runtime, controller = bundle.contract['runtime'], bundle.contract['controller']
    print(f'{args.output}: {bundle.name} for {bundle.model.name}, {bundle.report.parameters} numbers, '
          f'{runtime["history"]["steps"]} steps of history, {runtime["rate_hz"]:g} Hz; golden vectors agree')
    if 'trained' in controller:
        trained = controller['trained']
        print(f'note: trained with kp {trained["kp"]:g}, kd {trained["kd"]:g}, {trained["torque_limit_nm"]:g} N·m; '
              f'{bundle.model.name} has kp {min(controller["kp"]):.2g} … {max(controller["kp"]):.2g}, '
              f'{min(controller["torque_limit_nm"]):.2g} … {max(controller["torque_limit_nm"]):.2g} N·m')
    print(f'note: {bundle.contract["evaluation"]["sim2real"]}')
    return 0
