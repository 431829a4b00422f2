"""`allegro-ai list` and `allegro-ai bundle`: what is here, is it sound, who made it, and what has changed?"""

from __future__ import annotations

import argparse
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from allegro_description.errors import BundleError
from allegro_description.model import available_hands, load_hand

from allegro_ai import archive, contents, integrity, signing
from allegro_ai.backends import BACKENDS
from allegro_ai.bundle import available_bundles, check_files, find_bundle, inspect_graph, load_bundle
from allegro_ai.card import table
from allegro_ai.contract import Contract, golden_tolerance
from allegro_ai.deployment import warm_up
from allegro_ai.schema import contract_schema, validate
from allegro_ai.untrusted import parse_json

_SIGNED = f'{contents.SIGNATURE} removed, because it fits no longer; sign the bundle again'


def add_commands(commands: Any) -> None:
    """Register the sub-commands on an ``add_subparsers`` object; each sets ``run`` to a function of the arguments."""
    listing = commands.add_parser('list', help='shipped policies, inference backends and hands')
    listing.set_defaults(run=_list)

    bundle = commands.add_parser('bundle', help='check, compare, sign, pack or read a policy bundle')
    actions = bundle.add_subparsers(dest='action', required=True, metavar='ACTION')

    def action(name: str, run: Any, about: str) -> argparse.ArgumentParser:
        parser: argparse.ArgumentParser = actions.add_parser(name, help=about, description=about)
        parser.set_defaults(run=run)
        if name not in ('diff', 'key'):
            parser.add_argument('bundle', help='name of a shipped bundle, a folder, or a .tar.zst')
        return parser

    check = action('check', _check, 'do everything the policy node does before it may run: schema, hashes, signature, '
                                    'hand, graph, golden vectors, inference time')
    check.add_argument('--model', default='v5_sense', help='hand model (default: %(default)s)')
    check.add_argument('--side', default='right', choices=('right', 'left'), help='default: %(default)s')
    check.add_argument('--backend', default='onnxruntime', help='inference backend (default: %(default)s)')
    check.add_argument('--precision', default='fp32', help='what the graph is converted to (default: %(default)s)')
    check.add_argument('--warmup', type=int, default=200, help='timed inferences (default: %(default)s)')
    check.add_argument('--require-signature', action='store_true', help='refuse a bundle that no trusted key signed')
    check.add_argument('--trusted', default='', metavar='FILE',
                       help='public keys that are trusted (default: $ALLEGRO_TRUSTED_KEYS, then '
                            '~/.config/allegro/trusted_keys)')
    diff = action('diff', _diff, 'say in words how two bundles differ; exit code 1 if they do')
    diff.add_argument('bundle', help='the one')
    diff.add_argument('other', help='the other')
    card = action('card', _card, 'print the model card of a bundle whose files are unaltered')
    card.add_argument('--write', action='store_true',
                      help='make the card again from contract, graph and evaluation, and the hashes with it')
    sign = action('sign', _sign, 'sign a bundle (in the format of minisign)')
    sign.add_argument('--key', required=True, metavar='FILE', help='secret key without a password')
    sign.add_argument('--comment', default='', help='one line that is signed too (default: name, version and time)')
    key = action('key', _key, 'make a key pair: FILE and FILE.pub')
    key.add_argument('file', metavar='FILE', help='where the secret key shall lie; never in a bundle or repository')
    key.add_argument('--name', default='', help='whose key it is')
    pack = action('pack', _pack, 'write a bundle as one file')
    pack.add_argument('--out', default='', help='default: <name>-<version>.tar.zst here')
    unpack = action('unpack', _unpack, 'write a packed bundle as a folder')
    unpack.add_argument('--out', default='', help='default: <name>-<version> here')


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
    bundle = load_bundle(args.bundle, load_hand(args.model, args.side),
                         **signing.settings(args.require_signature, args.trusted))
    policy = bundle.policy(args.backend, args.precision)
    p99 = warm_up(bundle, policy, max(args.warmup, 1))
    golden = f'not checked: backend {args.backend} does not compute the graph'
    if policy.backend.faithful:
        golden = f'agree within {golden_tolerance(bundle.contract, args.backend, args.precision):g}'
    budget, report = bundle.contract['runtime']['latency_budget_ms'], bundle.report
    kind = ', a workload with random weights: never for a real hand' if bundle.workload else ''
    print(table([
        {'check': 'contract',
         'result': f'{bundle.name}, schema version {bundle.contract["schema_version"]}{kind}'},
        {'check': 'files', 'result': f'{len(bundle.files)} files, hashes agree'},
        {'check': 'fingerprint', 'result': bundle.fingerprint},
        {'check': 'signature', 'result': bundle.signature.text},
        {'check': 'hand', 'result': f'{bundle.model.name}: joints, limits, gains and touch cells agree'},
        {'check': 'graph', 'result': f'{report.parameters} finite numbers, {sum(report.operators.values())} plain '
                                     f'operators, opset {report.opset}, {report.macs} multiplications a '
                                     'decision, belongs to this contract'},
        {'check': 'golden vectors', 'result': golden},
        {'check': 'inference time',
         'result': f'p99 {p99:.3f} ms on {args.backend} in {args.precision}, budget {budget:g} ms'},
        {'check': 'on hardware', 'result': bundle.contract['evaluation']['sim2real']},
    ]))
    return 0


def _read(name: str) -> tuple[Path, dict[str, bytes], Contract]:
    """Path, files and contract of a bundle whose files are unaltered; whose hand it is does not matter."""
    path = find_bundle(name)
    files = contents.read_contents(path)
    contract, _ = check_files(files, str(path))
    return path, files, contract


def _name(contract: Contract) -> str:
    return f'{contract["bundle"]["name"]}-{contract["bundle"]["version"]}'


def _diff(args: argparse.Namespace) -> int:
    from allegro_ai.difference import differences
    (_, old, _), (_, new, _) = _read(args.bundle), _read(args.other)
    lines = differences(old, new)
    print('\n'.join(lines) if lines else f'no difference: both have the fingerprint {integrity.fingerprint(old)}')
    return 1 if lines else 0


def _card(args: argparse.Namespace) -> int:
    path, files, contract = _read(args.bundle)
    if not args.write:
        print(files[contents.CARD].decode('utf-8', errors='replace'), end='')
        return 0
    from allegro_ai.card import model_card
    from allegro_ai.export import graph_facts, to_yaml
    folder = _folder(path)
    results = parse_json(files[contract['evaluation']['file']], contract['evaluation']['file'])
    graph = files[contents.GRAPH]
    text = model_card(contract, results, graph_facts(inspect_graph(graph), len(graph)))
    if text.encode() == files[contents.CARD]:
        print('the card says what contract, graph and evaluation say; nothing was changed')
        return 0
    new = integrity.renewed({**files, contents.CARD: text.encode()}, to_yaml)
    for name in (contents.CARD, contents.CONTRACT, contents.SUMS):
        (folder / name).write_bytes(new[name])
    print(f'{folder / contents.CARD} written, hashes made again')
    if contents.SIGNATURE in files:
        (folder / contents.SIGNATURE).unlink()
        print(_SIGNED)
    return 0


def _folder(path: Path) -> Path:
    if not path.is_dir():
        raise BundleError(f'{path}: a packed bundle is not changed; unpack it first: allegro-ai bundle unpack {path}')
    return path


def _sign(args: argparse.Namespace) -> int:
    path, files, contract = _read(args.bundle)
    key, folder = signing.read_secret_key(Path(args.key)), _folder(path)
    comment = args.comment or f'{_name(contract)}, {datetime.now(UTC):%Y-%m-%d %H:%M} UTC'
    if not comment.isprintable():
        raise BundleError('the comment of a signature is one line of printable text')
    (folder / contents.SIGNATURE).write_bytes(signing.sign(files, key, comment))
    print(f'{folder / contents.SIGNATURE} written: {comment}')
    print(f'public key for trust stores: {key.public.text()}')
    return 0


def _key(args: argparse.Namespace) -> int:
    if (Path(args.file).parent / contents.CONTRACT).exists():
        raise BundleError(f'{args.file}: a secret key must not lie in a bundle; choose another place')
    key = signing.new_key(args.name)
    public = signing.write_key(key, Path(args.file))
    print(f'secret key {args.file} (keep it to yourself), public key {public}:\n{key.public.text()}')
    return 0


def _pack(args: argparse.Namespace) -> int:
    _, files, contract = _read(args.bundle)
    out = Path(args.out or _name(contract) + contents.ARCHIVE)
    if not out.name.endswith(contents.ARCHIVE) or out.exists():
        raise BundleError(f'{out} exists already, or does not end in {contents.ARCHIVE}; choose another name')
    data = archive.pack(files, _name(contract))
    out.write_bytes(data)
    print(f'{out}: {len(files)} files, {sum(map(len, files.values()))} bytes packed into {len(data)}')
    return 0


def _unpack(args: argparse.Namespace) -> int:
    path, files, contract = _read(args.bundle)
    out = Path(args.out or _name(contract))
    archive.write_folder(files, out)
    print(f'{path} unpacked into {out}: {len(files)} files, hashes agree')
    return 0
