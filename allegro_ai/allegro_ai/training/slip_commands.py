"""``allegro-ai train slip_arrest`` and ``evaluate-slip``: one student, and students beside what was not learnt."""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

from allegro_description.config import from_mapping, parameters
from allegro_description.errors import ConfigError, MissingDependency
from allegro_description.model import load_hand

from allegro_ai.evaluation.entrants import entrant
from allegro_ai.evaluation.slip import Entrant, evaluate_slip, markdown
from allegro_ai.evaluation.slip_hold import hold_alarms
from allegro_ai.tasks.slip_grips import grips_of
from allegro_ai.tasks.workers import Workers
from allegro_ai.training.network_commands import LEARNING, LIMIT_MINUTES
from allegro_ai.training.slip_publish import BASELINES, publish_slip, students
from allegro_ai.training.slip_settings import SlipSettings
from allegro_ai.training.terminal import add_hand_options, status


def add_training(policies: Any) -> None:
    """Register ``slip_arrest`` beside the other policies of ``allegro-ai train``."""
    parser = policies.add_parser(
        'slip_arrest', help='recurrent student of the privileged oracle, with a slip detector',
        description='DAgger: the oracle of SlipArrest teaches a network that sees only what the hand feels.')
    parser.add_argument('--output', type=Path, default=Path('runs/training'), help='folder that holds the runs')
    parser.add_argument('--no-touch', action='store_true', help='the arm that may not use touch')
    parser.add_argument('--minutes', type=float, default=LIMIT_MINUTES, help='limit of wall-clock time')
    for p in parameters(SlipSettings):
        if p.name != 'touch':
            parser.add_argument(f'--{p.name.replace("_", "-")}', type=type(p.default), default=p.default,
                                help=f'{p.doc}, {p.allowed()} {p.unit} (default {p.default!r})')
    add_hand_options(parser)
    parser.set_defaults(run=_train)


def add_commands(commands: Any) -> None:
    """Register ``evaluate-slip``."""
    parser = commands.add_parser(
        'evaluate-slip', help='SlipArrest: students beside keeping, squeezing, a threshold detector and the oracle')
    parser.add_argument('students', nargs='*', type=Path, help='files written by allegro-ai train slip_arrest')
    parser.add_argument('--object-set', default='H1', help='where objects come from (default H1, never trained on)')
    parser.add_argument('--seeds', type=int, default=300,
                        help='seeds drawn; those whose event asks nothing of a grip drop out (default 300)')
    parser.add_argument('--hold', type=int, default=0, metavar='N',
                        help='count false alarms in N episodes of TactileHold, too (default 0: none)')
    parser.add_argument('--hold-level', default='L2', help='their disturbance level (default L2)')
    parser.add_argument('--hold-policy', default='B1g', help='who holds there (default B1g)')
    parser.add_argument('--json', type=Path, help='write every episode to this file')
    add_hand_options(parser)
    parser.set_defaults(run=_evaluate)
    add_publish(commands)


def add_publish(commands: Any) -> None:
    """Register ``publish-slip``."""
    parser = commands.add_parser(
        'publish-slip', help='evaluate all students of both arms and write the bundle of the median one with touch')
    parser.add_argument('students', nargs='+', type=Path, help='files written by allegro-ai train slip_arrest')
    parser.add_argument('--bundle', type=Path, required=True, help='folder of the bundle')
    parser.add_argument('--seeds', type=int, default=600, help='test seeds drawn (default 600)')
    parser.add_argument('--object-set', default='H2', help='test objects (default H2)')
    parser.add_argument('--version', default='0.1.0', help='semantic version of the bundle')
    parser.add_argument('--replace', action='store_true', help='overwrite an existing folder')
    add_hand_options(parser)
    parser.set_defaults(run=_publish)


def _publish(args: argparse.Namespace) -> int:
    hand = load_hand(args.model, args.side)
    found = students(args.students, hand)
    with Workers(args.workers) as workers:
        bundle = publish_slip(
            args.bundle, hand, found, workers, seeds=args.seeds, object_set=args.object_set, version=args.version,
            replace_existing=args.replace,
            progress=lambda what, done, total: status(f'{what}: {done}/{total}', last=done == total))
    print(f'{bundle.name} written to {args.bundle}; read {args.bundle / "MODEL_CARD.md"}')
    return 0


def _train(args: argparse.Namespace) -> int:
    if not 0.0 < args.minutes <= LIMIT_MINUTES:
        raise ConfigError(f'--minutes is {args.minutes:g}; a run takes more than 0 and at most {LIMIT_MINUTES:g}')
    try:
        from allegro_ai.training.slip_policy import save_student
        from allegro_ai.training.slip_student import train_student
    except ImportError as error:
        raise MissingDependency(f'training a network needs packages that are absent ({error}). Install them with: '
                                f'{LEARNING}') from error
    hand = load_hand(args.model, args.side)
    values = {p.name: getattr(args, p.name) for p in parameters(SlipSettings) if p.name != 'touch'}
    settings = from_mapping(SlipSettings, {**values, 'touch': not args.no_touch})
    begin = time.monotonic()
    with Workers(args.workers) as workers:
        weights, curve = train_student(hand, settings, workers, minutes=args.minutes,
                                       progress=lambda text: status(text, last=text.startswith(('round', 'the limit'))))
    arm = 'touch' if settings.touch else 'no_touch'
    path = args.output / f'slip_{arm}_seed{settings.seed}.npz'
    save_student(path, hand, settings, weights, curve)
    print(f'{len(curve)} rounds in {time.monotonic() - begin:.0f} s; written to {path}')
    return 0


def _evaluate(args: argparse.Namespace) -> int:
    hand = load_hand(args.model, args.side)
    entrants = [*BASELINES, *(Entrant(path.stem, 'slip_student', {'path': str(path)}) for path in args.students)]
    with Workers(args.workers) as workers:
        known = grips_of(hand, range(args.seeds), args.object_set, workers,
                         progress=lambda done, total: status(f'least grips: {done}/{total} seeds', last=done == total))
        document = evaluate_slip(
            hand, entrants, known, workers, object_set=args.object_set,
            progress=lambda done, total: status(f'{done}/{total} episodes', last=done == total))
        if args.hold:
            holding = entrant(args.hold_policy, hand)
            document['hold'] = hold_alarms(
                hand, entrants, Entrant(holding.label, holding.policy, holding.arguments), workers,
                seeds=range(args.hold), level=args.hold_level, object_set=args.object_set,
                threshold=document['threshold'],
                progress=lambda done, total: status(f'TactileHold: {done}/{total}', last=done == total))
    if args.json:
        args.json.write_text(json.dumps(document, indent=1) + '\n')
    print(f'SlipArrest, simulated, objects {args.object_set}, {len(known)} of {args.seeds} seeds have an episode\n\n'
          f'{markdown(document)}')
    for name, found in document.get('hold', {}).items():
        print(f'{name}: {found["per_min"]:.2f} false alarms a minute in {found["minutes"]:.0f} min of TactileHold '
              f'({found["level"]}, {found["n"]} episodes, held by {found["holds"]})')
    return 0
