"""Is the node's answer the offline runner's? ``python -m allegro_bench.evidence.replay_exactness [--bag BAG …]``.

For each recording, bundle and engine: the recorded observations once more through the engine (steps, largest difference
of an action), and the recorded topics once more through the whole step (observations, actions, targets): how many steps
were judged, and how many not, because a term remembers touch that the recording does not hold. Recordings of another
bundle are named as such; nothing is skipped in silence.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from allegro_ai.bundle import available_bundles, load_bundle
from allegro_description.errors import AllegroError
from allegro_description.share import share_dir

from allegro_bench.replay import exactness
from allegro_bench.replay.commands import engines
from allegro_bench.replay.evaluation import plan_for
from allegro_bench.replay.inputs import Inputs
from allegro_bench.replay.intake import read_inputs
from allegro_bench.replay.logged_past import TOLERANCE
from allegro_bench.replay.runner import run

DATASET = 'datasets/emulated_hand'


def recordings(folder: Path) -> list[Path]:
    """Every bag folder below a folder: where a ``metadata.yaml`` lies."""
    return sorted(p.parent for p in folder.rglob('metadata.yaml'))


def rows(bags: Sequence[Path], bundles: Sequence[str], names: Sequence[str]) -> Iterator[dict[str, Any]]:
    """One row per recording, bundle and engine; one with ``reason`` where there is nothing to compare."""
    for bag in bags:
        name = f'{bag.parent.name}/{bag.name}' if bag.name == 'bag' else bag.name
        try:
            inputs = read_inputs(bag)
        except AllegroError as error:
            yield {'recording': name, 'bundle': None, 'engine': None, 'reason': str(error), 'exact': None}
            continue
        for bundle in bundles:
            yield from _of_bundle(inputs, name, bundle, names)


def _of_bundle(inputs: Inputs, bag: str, name: str, names: Sequence[str]) -> Iterator[dict[str, Any]]:
    row: dict[str, Any] = {'recording': bag, 'bundle': name, 'engine': None, 'exact': None}
    try:
        bundle = load_bundle(name, inputs.model)
        steps = exactness.recorded_steps(inputs, bundle)
    except AllegroError as error:
        yield row | {'reason': str(error)}
        return
    for engine in names:
        found = exactness.of_engine(inputs, bundle, steps, engine)
        topics: dict[str, Any] = {'steps': 0, 'undetermined': 0, 'largest_action': None, 'largest_target_rad': None,
                                  'exact': None}
        if found['exact'] is not None:
            plan = plan_for(inputs, bundle)
            policy = bundle.policy(engine)
            topics = exactness.from_topics(inputs, plan, run(inputs, plan, bundle, policy, as_logged=True), bundle)
            policy.backend.close()
        unknown = found['exact'] is None or topics['exact'] is None
        exact = None if unknown else bool(found['exact'] and topics['exact'])
        yield row | {
            'bundle': bundle.name, 'engine': engine, 'steps': found['steps'], 'largest': found['largest'],
            'topic_steps': topics['steps'] - topics['undetermined'], 'not_judged': topics['undetermined'],
            'largest_from_topics': topics['largest_action'],
            'largest_target_rad': topics['largest_target_rad'], 'exact': exact,
            'reason': found['reason'] or topics.get('reason')}


def main(args: Sequence[str] | None = None) -> int:
    """Print the table; exit code 1 if a node's answer was not reproduced, 2 if nothing could be compared."""
    parser = argparse.ArgumentParser(prog='python -m allegro_bench.evidence.replay_exactness', description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--bag', type=Path, nargs='+', help='bags, or folders of bags (default: the dataset)')
    parser.add_argument('--policy', nargs='+', default=list(available_bundles()), help='default: every shipped bundle')
    parser.add_argument('--backend', nargs='+', default=['all'], help='default: every engine that works here')
    parser.add_argument('--json', action='store_true', help='one JSON document instead of a table')
    given = parser.parse_args(args)
    places = given.bag or [share_dir('allegro_bench') / DATASET]
    bags = [bag for place in places for bag in (recordings(place) or [place])]
    found = list(rows(bags, given.policy, engines(given.backend)))
    compared = [r for r in found if r['exact'] is not None]
    if given.json:
        print(json.dumps({'tolerance': TOLERANCE, 'rows': found}, indent=1, ensure_ascii=False))
    else:
        print(f'{"recording":<22} {"bundle":<28} {"engine":<16} {"steps":>6} {"largest":>9} {"judged":>6} '
              f'{"not":>4} {"action":>9} {"target":>9}')
        for row in found:
            print(_line(row))
        bad = sum(not r['exact'] for r in compared)
        print(f'{len(compared)} compared, {bad} beyond {TOLERANCE:g}')
    return 2 if not compared else 1 if any(not r['exact'] for r in compared) else 0


def _line(row: dict[str, Any]) -> str:
    head = f'{row["recording"]:<22} {row["bundle"] or "-":<28} {row["engine"] or "-":<16}'
    if row['exact'] is None:
        return f'{head} not compared: {row["reason"]}'
    numbers = f'{row["steps"]:>6} {row["largest"]:>9.2g} {row["topic_steps"]:>6} {row["not_judged"]:>4} ' \
        f'{row["largest_from_topics"]:>9.2g} {row["largest_target_rad"]:>9.2g}'
    return f'{head} {numbers}' + ('' if row['exact'] else f'  DIFFERS: {row["reason"]}')


if __name__ == '__main__':
    sys.exit(main())
