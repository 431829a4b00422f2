"""``allegro-ai gallery``: one page of pictures of failed episodes, by kind."""

from __future__ import annotations

import argparse
import base64
import html
import io
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from allegro_description.errors import ConfigError
from allegro_description.model import HandModel, load_hand
from allegro_description.simulation.episode import GRIP_FORCE_N, disturbance
from allegro_description.simulation.objects import object_rng

from allegro_ai.evaluation.entrants import Entrant, entrant
from allegro_ai.evaluation.footage import Footage, filmed
from allegro_ai.evaluation.progress import Bar
from allegro_ai.evaluation.strips import strip
from allegro_ai.evaluation.trials import KINDS
from allegro_ai.tasks.policies import make_policy
from allegro_ai.tasks.tactile_hold import episodes

CHUNK, FRAMES = 20, 5
MEANING = {
    'not acquired': 'lost before the disturbances began', 'dropped': 'left the hand',
    'slipped': 'moved more than 30 mm in the hand', 'turned': 'turned more than 60° in the hand',
    'crushed': 'held, but pressed harder than its grip class allows',
    'overworked': 'held, but with more torque than allowed', 'unstable': 'the physics broke',
}
STYLE = ('body{font:15px sans-serif;max-width:1240px;margin:2em auto;color:#222}img{max-width:100%;display:block}'
         'figure{margin:1em 0 2em}figcaption{color:#555;margin-bottom:.3em}h2{border-bottom:1px solid #ccc}')


def add_command(commands: Any) -> None:
    """Register the sub-command."""
    shown = commands.add_parser(
        'gallery', help='pictures of failed episodes by kind, on one page',
        description='Runs episodes and shows failures of each kind as strips of pictures. Needs no graphics card.')
    shown.add_argument('policy', help='as for evaluate: B0 … B7, a bundle or a training result')
    shown.add_argument('--object-set', default='H2', help='train, H1 … H4 (default H2)')
    shown.add_argument('--level', default='L3', help='L0 … L4 or object weights (default L3)')
    shown.add_argument('--episodes', type=int, default=100, help='episodes to look through (default 100)')
    shown.add_argument('--first-seed', type=int, default=0, help='of the episodes (default 0)')
    shown.add_argument('--per-kind', type=int, default=4, help='strips of each kind (default 4)')
    shown.add_argument('--nominal', action='store_true', help='the nominal hand, nothing drawn per episode')
    shown.add_argument('--output', type=Path, default=Path('runs/gallery.html'), help='(default runs/gallery.html)')
    shown.add_argument('--model', default='v5_sense', help='hand model')
    shown.add_argument('--side', default='right', help='hand side')
    shown.set_defaults(run=_gallery)


def _gallery(args: argparse.Namespace) -> int:
    if args.episodes < 1 or args.per_kind < 1 or args.first_seed < 0:
        raise ConfigError(f'--episodes is {args.episodes}, --per-kind {args.per_kind}, --first-seed {args.first_seed}; '
                          'the first two are at least 1, the last at least 0')
    hand = load_hand(args.model, args.side)
    object_rng(0, args.object_set, 0)
    level = disturbance(args.level)[0]
    who = entrant(args.policy, hand)
    seeds = range(args.first_seed, args.first_seed + args.episodes)
    chosen: dict[str, list[Footage]] = {kind: [] for kind in KINDS}
    counts = dict.fromkeys(('held', *KINDS), 0)
    policy = make_policy(hand, who.policy, who.arguments)
    with Bar('gallery') as bar:
        for first in range(0, len(seeds), CHUNK):
            part = seeds[first:first + CHUNK]
            for footage in filmed(hand, episodes(hand, part, level, args.object_set), policy, not args.nominal):
                kind = footage.trial.kind
                counts[kind] += 1
                if kind in chosen and len(chosen[kind]) < args.per_kind:
                    chosen[kind].append(footage)
            bar.show(first + len(part), len(seeds))
    facts = f'{hand.name}, objects {args.object_set}, level {level}, seeds {seeds.start} … {seeds.stop - 1}, simulated'
    try:
        args.output.parent.mkdir(parents=True, exist_ok=True)
        args.output.write_text('\n'.join(page(hand, who, facts, counts, chosen)), encoding='utf-8')
    except OSError as error:
        raise ConfigError(f'{args.output} cannot be written: {error}; name another file with --output') from error
    print(', '.join(f'{count} {kind}' for kind, count in counts.items() if count) + f'; written: {args.output}')
    return 0


def page(
    hand: HandModel, who: Entrant, facts: str, counts: dict[str, int], chosen: dict[str, list[Footage]]
) -> Iterator[str]:
    """The page, line by line; pictures are inside."""
    title = html.escape(f'{who.label}: failures')
    yield f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{title}</title><style>{STYLE}</style>'
    yield f'<h1>{title}</h1><p>{html.escape(facts)}</p><p>'
    yield ', '.join(f'{count} {html.escape(kind)}' for kind, count in counts.items()) + '</p>'
    yield ('<p>The eye moves with the palm. Blue: direction of gravity; red: a push and its size; the dot is the head '
           'of the arrow. Below each picture: time, largest tip force, motion since 1.6 s.</p>')
    for kind, found in chosen.items():
        if found:
            yield f'<h2>{html.escape(kind)}: {html.escape(MEANING[kind])} ({counts[kind]})</h2>'
            yield from (line for footage in found for line in _figure(hand, footage))
    yield '</html>'


def _figure(hand: HandModel, footage: Footage) -> Sequence[str]:
    trial, buffer = footage.trial, io.BytesIO()
    strip(hand, footage, FRAMES).save(buffer, 'WEBP', quality=80, method=4)
    data = base64.b64encode(buffer.getvalue()).decode()
    text = (f'seed {trial.seed}: {trial.family.replace("_", " ")}, {1e3 * trial.mass:.0f} g, friction '
            f'{trial.friction:.2f}, {trial.grip} (at most {GRIP_FORCE_N[trial.grip]:g} N); p99 tip force '
            f'{trial.tip_n:.1f} N, mean torque {trial.torque_nm:.3f} N·m, over at {trial.end_s:.2f} s')
    return (f'<figure><figcaption>{html.escape(text)}</figcaption>',
            f'<img alt="{html.escape(text)}" src="data:image/webp;base64,{data}"></figure>')
