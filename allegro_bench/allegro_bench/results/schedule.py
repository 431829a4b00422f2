"""Did every planned block happen once, in its place? There is no room for retries, best-of and left-out blocks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar

from allegro_bench.results import blocks
from allegro_bench.results.document import CACHE_DISTINCT, CACHE_REPEATED, MEASURE
from allegro_bench.running.order import order
from allegro_bench.running.profiles import PROFILES

Found = TypeVar('Found')


def schedule(document: Mapping[str, Any], problem: Callable[[str, str, str], Found]) -> Iterator[Found]:
    """What is wrong with the blocks of a result as a whole.

    Args:
        document: the result.
        problem: makes one of code, where and words.
    """
    run, every = document['run'], sorted(document['blocks'], key=lambda b: int(b['index']))
    yield from _plan(document, problem)
    if [b['index'] for b in every] != list(range(len(every))):
        yield problem('dropped_blocks', 'blocks', 'the blocks are not numbered 0, 1, 2 …: some were left out')
    ends = 0
    # The two kinds of calls of a cache test alternate, back to back.
    for block in (b for b in every if b['kind'] not in (CACHE_DISTINCT, CACHE_REPEATED)):
        if block['t0_monotonic_ns'] < ends:
            yield problem('order', f'blocks/{block["index"]}', 'it begins before the block before it ends')
        ends = block['t0_monotonic_ns'] + round(block['duration_s'] * 1e9)
    mine = [b for b in every if b['kind'] == MEASURE]
    places = [b['order_index'] for b in mine]
    for block in mine:
        place, where = block['order_index'], f'blocks/{block["index"]}'
        if place is None or place >= len(run['order']):
            yield problem('unplanned_block', where, f'{block["backend"]} has a block that run.order does not know')
        elif run['order'][place]['backend'] != block['backend']:
            yield problem('order', where, f'{block["backend"]} was measured where run.order plans '
                          f'{run["order"][place]["backend"]}')
    for place, count in Counter(places).items():
        if place is not None and count > 1:
            yield problem('selective_retries', 'blocks', f'block {place} of run.order was measured {count} times')
    known = [p for p in places if p is not None]
    if known != sorted(known):
        yield problem('order', 'blocks', 'the blocks were not measured in the order of run.order')
    missing = [i for i in range(len(run['order'])) if i not in known]
    if missing and run.get('finished_utc') is not None:
        names = sorted({run['order'][i]['backend'] for i in missing})
        yield problem('best_of', 'blocks', f'{len(missing)} planned blocks are missing ({", ".join(names)}): the rest '
                      'may be the best of them')
    yield from _lengths(document, mine, problem)
    yield from _cache(document, problem)


def _plan(document: Mapping[str, Any], problem: Callable[[str, str, str], Found]) -> Iterator[Found]:
    run = document['run']
    profile, settings = run['profile'], run['settings']
    if profile in PROFILES:
        wrong = [k for k, v in PROFILES[profile].as_dict().items() if k in settings and settings[k] != v]
        if wrong or 'blocks' not in settings or 'block_s' not in settings:
            yield problem('profile', 'run/settings', f'it is called {profile} and differs from that profile in '
                          f'{", ".join(wrong) or "blocks, block_s"}')
            return
    planned = [(e['round'], e['backend']) for e in run['order']]
    rounds, names = settings.get('blocks', 0), {name for _, name in planned}
    listed = [b['name'] for b in document['backends'] if b['name'] in names]
    if planned != order(listed, rounds, run['order_seed'], reverse=run['order_reversed']):
        yield problem('order', 'run/order', f'seed {run["order_seed"]} with {rounds} blocks of each backend gives '
                      'another order')
    for name in sorted(names):
        count = sum(b == name for _, b in planned)
        if count < rounds:
            yield problem('best_of', 'run/order', f'{name}: {count} blocks are planned, the profile has {rounds}')


def _lengths(document: Mapping[str, Any], mine: list[Mapping[str, Any]],
             problem: Callable[[str, str, str], Found]) -> Iterator[Found]:
    planned = document['run']['settings'].get('block_s', 0.0) * document['workload']['control_rate_hz']
    period = blocks.period_ns(document['workload'])
    for block in mine:
        where = f'blocks/{block["index"]}'
        if block['n_expected'] < int(planned) and not block['error']:
            yield problem('short_block', where, f'{block["n_expected"]} ticks, planned are {planned:.0f}')
        if abs(block['duration_s'] - block['n_expected'] * period * 1e-9) > period * 1e-9 and not block['error']:
            yield problem('edited', where, f'{block["n_expected"]} periods do not last {block["duration_s"]} s')


def _cache(document: Mapping[str, Any], problem: Callable[[str, str, str], Found]) -> Iterator[Found]:
    run = document['run']
    if run.get('finished_utc') is None or not run['settings'].get('cache_calls'):
        return
    for name in blocks.backends(document):
        for kind in (CACHE_DISTINCT, CACHE_REPEATED):
            if not blocks.of(document, name, kind) and not any(b['error'] for b in blocks.of(document, name)):
                yield problem('no_cache_test', f'backends/{name}', f'there is no block {kind}: nothing says whether '
                              'it remembers its answers')
