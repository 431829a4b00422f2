"""Whether a result may be believed: the reasons that follow from its data, and the verdict that follows from all."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from allegro_bench.environment import reason
from allegro_bench.results import blocks
from allegro_bench.results.cost import IDLE_DRIFT, idle_drift
from allegro_bench.results.document import CACHE_DISTINCT, CACHE_REPEATED, MEASURE, REFERENCE, ticks_of
from allegro_bench.results.summary import FLOOR_FACTOR
from allegro_bench.running import reasons
from allegro_bench.statistics import needed

Reason = dict[str, str]

VALID, DEGRADED, INVALID = 'valid', 'degraded', 'invalid'

UNUSABLE = reasons.INVALID | {'missing_blocks', 'unfinished'}
"""Codes after which the numbers must not be used; any other code is a reservation."""

LEAST_ENERGY_S, LEAST_PERIODS = 30.0, 100
"""A window of energy lasts at least so long, or so many update periods of its meter."""

MOST_OVERHEAD = 1.02


def status(found: Iterable[Mapping[str, str]]) -> str:
    """The verdict that reasons lead to."""
    codes = {r['code'] for r in found}
    return INVALID if codes & UNUSABLE else DEGRADED if codes else VALID


def judge(document: Mapping[str, Any], folder: Path, own: Sequence[Reason] = ()) -> dict[str, Any]:
    """The section ``validity``: what the runner knows, and what follows from the data.

    Args:
        document: every other section, ``summary`` included.
        folder: where the tick files lie.
        own: reasons that were met during the run.

    Raises:
        ConfigError: a tick file is missing or damaged.
    """
    found: dict[tuple[str, str], Reason] = {}
    for one in [*own, *findings(document, folder)]:
        found.setdefault((one['code'], one['where']), dict(one))
    return {'status': status(found.values()), 'reasons': list(found.values())}


def findings(document: Mapping[str, Any], folder: Path) -> list[Reason]:
    """Reasons that follow from the data, so that they can be computed again."""
    return [*_whole(document), *_blocks(document), *drift(document, folder), *cached(document, folder),
            *_summary(document), *_energy(document)]


DERIVED = frozenset({
    'missing_blocks', 'not_for_publication', 'drift', 'no_drift_check', 'cached', 'too_few_ticks', 'at_floor',
    'idle_drift', 'energy_unknown', 'short_energy_window', 'meter_overhead', 'wrong_answers', 'not_a_number'})
"""Codes that only follow from the data."""


def _whole(document: Mapping[str, Any]) -> list[Reason]:
    run, found = document['run'], []
    there = {b['order_index'] for b in document['blocks'] if b['kind'] == MEASURE}
    missing = [i for i in range(len(run['order'])) if i not in there]
    if missing or not run['order']:
        found.append(reason('missing_blocks', 'blocks', f'{len(missing)} of {len(run["order"])} planned blocks were '
                            'not measured', 'run it again, to its end'))
    if run['profile'] not in ('standard', 'long'):
        found.append(reason('not_for_publication', 'run/profile', f'profile {run["profile"]}: it shows that everything '
                            'works, its numbers rest on too little', 'measure with --profile standard'))
    return found


def _blocks(document: Mapping[str, Any]) -> list[Reason]:
    found = []
    for block in document['blocks']:
        if block['kind'] in (CACHE_DISTINCT, CACHE_REPEATED) or block['error']:
            continue
        found += reasons.of_block(block, block)
        found += reasons.of_answers(block, block.get('answers'))
    return found


def drift(document: Mapping[str, Any], folder: Path) -> list[Reason]:
    """What the reference, which opens and closes a run, says about the machine."""
    mine = blocks.of_kind(document, REFERENCE)
    ends = [_median_ms([ticks_of(folder, b).response_ns()]) for b in (mine[0], mine[-1])] if len(mine) > 1 else []
    first, last = ends or (None, None)
    return reasons.of_drift(mine[0]['backend'] if mine else 'backend', first, last)


def cached(document: Mapping[str, Any], folder: Path) -> list[Reason]:
    """Backends that answer a question faster when they have heard it before."""
    found = []
    for name in blocks.backends(document):
        distinct, repeated = (_median_ms([ticks_of(folder, b).service_ns() for b in blocks.of(document, name, kind)])
                              for kind in (CACHE_DISTINCT, CACHE_REPEATED))
        if distinct is not None and repeated is not None:
            found += reasons.of_cache(name, distinct, repeated)
    return found


def _median_ms(parts: Sequence[NDArray[np.int64]]) -> float | None:
    values = np.concatenate(parts) if parts else np.empty(0)
    return float(np.median(values)) * 1e-6 if values.size else None


def _summary(document: Mapping[str, Any]) -> list[Reason]:
    found = []
    for entry in document['summary']:
        where, p99, floor = f'summary/{entry["backend"]}', entry['response_ms']['p99'], entry['floor_ms']
        if p99['value'] is None:
            found.append(reason('too_few_ticks', where, f'{p99["n"]} completed ticks; a p99 needs {needed(0.99)}',
                                'measure longer'))
        if entry['at_floor']:
            found.append(reason('at_floor', where, f'response p99 {p99["value"]:.3g} ms is less than {FLOOR_FACTOR:g} '
                                f'times that of an empty loop ({floor:.3g} ms): a good part of it is the machine',
                                'compare service or engine times, or a larger policy'))
    return found


def _energy(document: Mapping[str, Any]) -> list[Reason]:
    found = []
    for meter in document['meters']:
        name, where = meter['id'], f'meters/{meter["id"]}'
        mine = [b for b in document['blocks'] if b['kind'] == MEASURE]
        unknown = [b for b in mine if b['energy_j'].get(name) is None]
        if unknown:
            why = next((b['energy_problems'][name] for b in unknown if name in b.get('energy_problems', {})), 'unknown')
            found.append(reason('energy_unknown', where, f'no energy in {len(unknown)} of {len(mine)} blocks: {why}',
                                'see allegro-bench meters'))
        change = idle_drift(document, name)
        if change is None or change > IDLE_DRIFT:
            words = 'is not known before and after the run' if change is None else f'changed by {change:.1%}'
            found.append(reason('idle_drift', where, f'power of the idle machine {words}: there is no marginal energy',
                                'leave the machine alone for a minute before and after'))
        least = min(LEAST_ENERGY_S, LEAST_PERIODS * (meter['update_period_s'] or np.inf))
        short = [b for b in mine if b['energy_window_s'] is not None and b['energy_window_s'] < least]
        if short:
            found.append(reason('short_energy_window', where, f'{len(short)} windows are shorter than {least:.3g} s',
                                'measure longer blocks'))
    overhead = document['run'].get('meter_overhead')
    if overhead is not None and overhead['ratio'] is not None and overhead['ratio'] > MOST_OVERHEAD:
        found.append(reason('meter_overhead', 'run/meter_overhead', f'reading the meters makes the median '
                            f'{overhead["ratio"] - 1:.1%} longer', 'use a counter instead of a sampled source'))
    return found
