"""The end of a run, whatever ended it: what is computed from its blocks, its verdict, and the file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from allegro_description.errors import AllegroError

from allegro_bench import environment
from allegro_bench.environment import reason
from allegro_bench.results import document as results
from allegro_bench.results.summary import summarise
from allegro_bench.running import reasons
from allegro_bench.running.setup import now_utc


def cold_starts(document: dict[str, Any], cold: Mapping[str, Sequence[Mapping[str, float]]]) -> None:
    """Loading and first inference of each backend, medians of fresh processes, and its peak memory."""
    for entry in document['backends']:
        mine = list(cold.get(entry['name'], ()))
        peaks = [b['peak_rss_mb'] for b in document['blocks'] if b['backend'] == entry['name'] and 'peak_rss_mb' in b]
        entry |= {'cold': mine, 'peak_rss_mb': max(peaks, default=None)}
        for name in ('load_s', 'first_inference_ms'):
            entry[name] = float(np.median([c[name] for c in mine])) if mine else None


def close(document: dict[str, Any], folder: Path, found: list[dict[str, str]], before: Mapping[str, Any]) -> None:
    """Fill in what follows from the blocks, judge, and write.

    Args:
        document: with everything that was measured.
        folder: of the result.
        found: reasons so far.
        before: the machine as it was before the run.

    Raises:
        ConfigError: it cannot be written.
    """
    after = environment.describe()
    run = document['run']
    run |= {'finished_utc': now_utc(), 'system_after_id': after['id']}
    found += environment.changes(before, after) + environment.preflight(before)
    if not any(b['kind'] == 'measure' and b['n_completed'] for b in document['blocks']):
        found.append(reason('nothing_measured', 'blocks', 'not one inference of a backend was measured',
                            'mend the reasons before this one'))
    overhead = run['meter_overhead']
    if overhead is not None and overhead['reported']:
        found.append(reason('meter_overhead', 'run/meter_overhead', 'reading the meters changes the median response by '
                            f'{overhead["ratio"] - 1:+.1%}', 'read slower sources less often, or use counters'))
    if run['profile'] not in ('standard', 'long'):
        found.append(reason('not_for_publication', 'run/profile', f'profile {run["profile"]} shows that everything '
                            'works; its numbers are not for publication', 'use --profile standard or long, unaltered'))
    document['provenance'] |= {'files': [b['ticks_file'] for b in document['blocks']]}
    document['validity'] = reasons.verdict(found)
    try:
        document['summary'], document['comparisons'] = summarise(document, folder)
    except AllegroError as error:
        found.append(reason('incomplete', 'summary', str(error), 'look at the blocks'))
        document['validity'] = reasons.verdict(found)
    results.write(folder, document)


def watts(joules: Mapping[str, float | None], seconds: float | None) -> dict[str, float | None]:
    """Mean power by meter, W; None where it is not known."""
    return {name: None if j is None or not seconds else j / seconds for name, j in joules.items()}
