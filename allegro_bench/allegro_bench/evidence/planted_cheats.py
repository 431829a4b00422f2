"""``python -m allegro_bench.evidence.planted_cheats RESULT``: does ``verify`` notice the usual ways to embellish?

Each cheat is planted in a copy of a result that was really measured, by somebody careful: afterwards summary,
comparisons and verdict are computed again, hashes and counts fit, so that only what the cheat cannot hide is left to
be found.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from allegro_description.errors import AllegroError, ConfigError

from allegro_bench.latency import Ticks, ticks
from allegro_bench.results import blocks
from allegro_bench.results.document import CACHE_DISTINCT, CACHE_REPEATED, load, save_ticks, ticks_of, write
from allegro_bench.results.summary import summarise
from allegro_bench.results.validity import DERIVED, judge
from allegro_bench.results.verify import verify

Document = dict[str, Any]
Cheat = Callable[[Path, Document], None]
SECOND = 1_000_000_000


def _first(document: Document) -> dict[str, Any]:
    """The first measured block of the first backend."""
    found: dict[str, Any] = next(b for b in document['blocks'] if b['kind'] == 'measure')
    return found


def _store(folder: Path, document: Document, block: dict[str, Any], run: Ticks, name: str) -> None:
    block['ticks_file'] = save_ticks(folder, name, run)
    block |= blocks.numbers(run, blocks.deadline_ns(document['workload']))


def cached_results(folder: Path, document: Document) -> None:
    """A backend that remembers its answers, and a result that does not say so."""
    name = blocks.backends(document)[0]
    for block in (b for b in document['blocks'] if b['backend'] == name and b['kind'] == CACHE_REPEATED):
        run = ticks_of(folder, blocks.of(document, name, CACHE_DISTINCT)[0])
        quick = ticks(run.index, run.release_ns, run.start_ns, run.start_ns + (run.finish_ns - run.start_ns) // 4)
        _store(folder, document, block, quick, 'cheat')
    document['cheat_hides'] = 'cached'


def selective_retries(folder: Path, document: Document) -> None:
    """A block is measured once more at the end; both stay."""
    block, last = _first(document), document['blocks'][-1]
    shift = last['t0_monotonic_ns'] + round(last['duration_s'] * 1e9) + SECOND - block['t0_monotonic_ns']
    run = ticks_of(folder, block)
    moved = [np.where(v >= 0, v + shift, v) for v in (run.release_ns, run.start_ns, run.finish_ns)]
    again = {**block, 'index': len(document['blocks']), 't0_monotonic_ns': block['t0_monotonic_ns'] + shift,
             'energy_j': dict.fromkeys(block['energy_j']), 'energy_marks': {}}
    _store(folder, document, again, ticks(run.index, *moved), 'cheat')
    document['blocks'].append(again)


def best_of(folder: Path, document: Document) -> None:
    """The slowest block of a backend vanishes, with its file, and everything is numbered anew."""
    name = blocks.backends(document)[0]
    worst = max(blocks.of(document, name), key=lambda b: float(np.median(ticks_of(folder, b).response_ns())))
    document['blocks'].remove(worst)
    (folder / worst['ticks_file']['path']).unlink()
    for index, block in enumerate(document['blocks']):
        block['index'] = index


def best_of_with_a_new_plan(folder: Path, document: Document) -> None:
    """The same, and the block is taken out of the plan too."""
    name = blocks.backends(document)[0]
    place = blocks.of(document, name)[0]['order_index']
    worst = next(b for b in document['blocks'] if b['order_index'] == place)
    document['blocks'].remove(worst)
    (folder / worst['ticks_file']['path']).unlink()
    del document['run']['order'][place]
    for index, block in enumerate(document['blocks']):
        block['index'] = index
        if block['order_index'] is not None and block['order_index'] > place:
            block['order_index'] -= 1


def fp32_in_accuracy_mode_only(folder: Path, document: Document) -> None:
    """Quality is judged with another graph than speed."""
    name = blocks.backends(document)[0]
    entry = next(b for b in document['backends'] if b['name'] == name)
    document['quality'] = [{
        'backend': name, 'reference': name, 'stage': 'closed_loop', 'n': 700, 'success_ref': 600, 'success_cand': 600,
        'discordant': {'b': 4, 'c': 4}, 'diff_pp': {'value': 0.0, 'lo': -0.7, 'hi': 0.7}, 'margin_pp': 3.0,
        'latency_injected': True, 'verdict': 'pass', 'env': None, 'artifact_sha256': 'f' * 64,
        'precision': entry['precision']}]


def meter_of_another_window(folder: Path, document: Document) -> None:
    """Joules of a quiet minute stand under a block; where there is no meter, one is made up for it."""
    if not document['meters']:
        document['meters'] = [{
            'id': 'rapl:package-0', 'driver': 'powercap', 'kind': 'counter', 'boundary': 'cpu_package',
            'quality': 'measured', 'path_or_device': None, 'unit_raw': 'uJ', 'update_period_s': 0.001,
            'resolution_j': None, 'accuracy_pct': None, 'accuracy_source': None, 'wrap_range_j': None, 'overlaps': []}]
    meter, block = document['meters'][0]['id'], _first(document)
    begin = block['t0_monotonic_ns'] - 60 * SECOND
    block['energy_marks'] = {meter: [begin, begin + round(block['duration_s'] * 1e9), 100.0, 101.0]}
    block['energy_j'] = {meter: 1.0}
    block['energy_window_s'] = block['duration_s']


def slow_ticks_removed(folder: Path, document: Document) -> None:
    """The slowest 2 % of a block's ticks are cut out."""
    block = _first(document)
    run = ticks_of(folder, block)
    keep = (run.finish_ns - run.release_ns) <= np.percentile(run.response_ns(), 98)
    _store(folder, document, block, run[keep], 'cheat')


def schedule_that_gives_way(folder: Path, document: Document) -> None:
    """Releases are moved to when the loop was free: the stall is not there any more."""
    block = _first(document)
    run = ticks_of(folder, block)
    _store(folder, document, block, ticks(run.index, np.where(run.start_ns >= 0, run.start_ns, run.release_ns),
                                          run.start_ns, run.finish_ns), 'cheat')


CHEATS: dict[Cheat, str] = {
    cached_results: 'cached_results', selective_retries: 'selective_retries', best_of: 'best_of',
    best_of_with_a_new_plan: 'best_of', fp32_in_accuracy_mode_only: 'other_artifact',
    meter_of_another_window: 'meter_window', slow_ticks_removed: 'impossible_ticks',
    schedule_that_gives_way: 'impossible_ticks'}
"""Each with the name that it has to be called by."""


def caught(folder: Path, cheat: Cheat) -> set[str]:
    """Codes of what ``verify`` finds in a copy of a result with a cheat planted.

    Raises:
        ConfigError: the result cannot be read.
    """
    with tempfile.TemporaryDirectory(prefix='allegro_bench_') as scratch:
        copy = Path(scratch) / 'copy'
        shutil.copytree(folder, copy)
        document = load(copy)
        cheat(copy, document)
        hidden = document.pop('cheat_hides', '')
        used = {b['ticks_file']['path'] for b in document['blocks']}
        for path in (copy / 'ticks').glob('*.npz'):
            if f'ticks/{path.name}' not in used:
                path.unlink()
        document['provenance']['files'] = [b['ticks_file'] for b in document['blocks']]
        document['summary'], document['comparisons'] = summarise(document, copy)
        own = [r for r in document['validity']['reasons'] if r['code'] not in DERIVED]
        found = judge(document, copy, own)
        document['validity'] = {**found, 'reasons': [r for r in found['reasons'] if r['code'] != hidden]}
        write(copy, document)
        return {p.code for p in verify(copy)}


def main() -> int:
    """Plant every cheat in the result given; exit code 1 if one is not called by its name."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('result', type=Path, metavar='RESULT', help='folder that allegro-bench run wrote')
    folder = parser.parse_args().result
    missed = 0
    try:
        problems = verify(folder)
        if problems:
            raise ConfigError(f'{folder} does not verify as it is: {problems[0]}')
        print(f'honest: verifies; {load(folder)["validity"]["status"]}')
        for cheat, name in CHEATS.items():
            found = caught(folder, cheat)
            missed += name not in found
            print(f'{cheat.__name__.replace("_", " ")}: {"caught" if name in found else "NOT CAUGHT"} as {name}'
                  + (f' (also {", ".join(sorted(found - {name}))})' if found - {name} else ''))
    except AllegroError as error:
        print(f'planted_cheats: {error}', file=sys.stderr)
        return 2
    return 1 if missed else 0


if __name__ == '__main__':
    raise SystemExit(main())
