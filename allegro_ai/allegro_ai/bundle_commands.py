"""`allegro-ai list` and `allegro-ai bundle`: what is here, and is it sound?"""

from __future__ import annotations

import argparse
from typing import Any

from allegro_description.model import available_hands, load_hand

from allegro_ai import integrity
from allegro_ai.backends import BACKENDS
from allegro_ai.bundle import available_bundles, find_bundle, load_bundle
from allegro_ai.card import table
from allegro_ai.deployment import warm_up
from allegro_ai.schema import contract_schema, validate


def add_commands(commands: Any) -> None:
    """Register the sub-commands on an ``add_subparsers`` object; each sets ``run`` to a function of the arguments."""
    listing = commands.add_parser('list', help='shipped policies, inference backends and hands')
    listing.set_defaults(run=_list)

    bundle = commands.add_parser('bundle', help='check or read a policy bundle')
    actions = bundle.add_subparsers(dest='action', required=True, metavar='ACTION')
    check = actions.add_parser(
        'check', help='do everything the policy node does before it may run: schema, hashes, hand, graph, golden '
                      'vectors, inference time')
    check.add_argument('bundle', help='name of a shipped bundle, or a folder')
    check.add_argument('--model', default='v5_sense', help='hand model (default: %(default)s)')
    check.add_argument('--side', default='right', choices=('right', 'left'), help='default: %(default)s')
    check.add_argument('--backend', default='onnxruntime', help='inference backend (default: %(default)s)')
    check.add_argument('--warmup', type=int, default=200, help='timed inferences (default: %(default)s)')
    check.set_defaults(run=_check)
    card = actions.add_parser('card', help='print the model card of a bundle whose files are unaltered')
    card.add_argument('bundle', help='name of a shipped bundle, or a folder')
    card.set_defaults(run=_card)


def _list(args: argparse.Namespace) -> int:
    rows = []
    for name in available_bundles():
        contract = integrity.read_yaml(find_bundle(name) / integrity.CONTRACT)
        validate(contract, contract_schema(), integrity.CONTRACT)
        head = contract['evaluation']['headline']
        measured = f'{head["success"]:.1%} of {head["episodes"]} ({head["set"]}, {head["level"]}, simulated)' if head \
            else 'not evaluated'
        rows.append({'policy': name, 'version': contract['bundle']['version'], 'hand': contract['hand']['profile'],
                     'success': measured, 'on hardware': contract['evaluation']['sim2real']})
    print(table(rows) if rows else 'no policies are shipped with this install')
    print()
    print(table({'inference backend': name, 'usable': 'yes' if usable else 'no', 'why not': reason}
                for name, usable, reason in BACKENDS.available()))
    print()
    print(table({'hand': name} for name in available_hands()))
    return 0


def _check(args: argparse.Namespace) -> int:
    bundle = load_bundle(args.bundle, load_hand(args.model, args.side))
    policy = bundle.policy(args.backend)
    p99 = warm_up(bundle, policy, max(args.warmup, 1))
    golden = f'agree within {bundle.contract["golden"]["tolerance"]:g}' if policy.backend.faithful else \
        f'not checked: backend {args.backend} does not compute the graph'
    budget, report = bundle.contract['runtime']['latency_budget_ms'], bundle.report
    print(table([
        {'check': 'contract', 'result': f'{bundle.name}, schema version {bundle.contract["schema_version"]}'},
        {'check': 'files', 'result': f'{len(bundle.contract["integrity"]["files"]) + 2} files, hashes agree'},
        {'check': 'hand', 'result': f'{bundle.model.name}: joints, limits, gains and touch cells agree'},
        {'check': 'graph', 'result': f'{report.parameters} finite numbers, {sum(report.operators.values())} plain '
                                     f'operators, opset {report.opset}, belongs to this contract'},
        {'check': 'golden vectors', 'result': golden},
        {'check': 'inference time', 'result': f'p99 {p99:.3f} ms on {args.backend}, budget {budget:g} ms'},
        {'check': 'on hardware', 'result': bundle.contract['evaluation']['sim2real']},
    ]))
    return 0


def _card(args: argparse.Namespace) -> int:
    path = find_bundle(args.bundle)
    contract = integrity.read_yaml(path / integrity.CONTRACT)
    validate(contract, contract_schema(), integrity.CONTRACT)
    integrity.check_hashes(path, contract['integrity']['files'])
    print((path / 'MODEL_CARD.md').read_text(encoding='utf-8'), end='')
    return 0
