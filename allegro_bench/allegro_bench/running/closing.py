"""The end of a run, whatever ended it: what follows from its blocks, its verdict, and the file."""

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
from allegro_bench.results.validity import judge, status
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
    found += environment.changes(before, after) + environment.preflight(before)
    complete = {b['order_index'] for b in document['blocks'] if not b['error']} >= set(range(len(run['order'])))
    run |= {'finished_utc': now_utc() if complete else None, 'system_after_id': after['id']}
    if not any(b['kind'] == 'measure' and b['n_completed'] for b in document['blocks']):
        found.append(reason('nothing_measured', 'blocks', 'not one inference of a backend was measured',
                            'mend the reasons before this one'))
    document['provenance'] |= {'files': [b['ticks_file'] for b in document['blocks']]}
    try:
        document['summary'], document['comparisons'] = summarise(document, folder)
        document['validity'] = judge(document, folder, found)
    except AllegroError as error:
        found.append(reason('incomplete', 'summary', str(error), 'look at the blocks'))
        document['validity'] = {'status': status(found), 'reasons': found}
    results.write(folder, document)


def watts(joules: Mapping[str, float | None], seconds: float | None) -> dict[str, float | None]:
    """Mean power by meter, W; None where it is not known."""
    return {name: None if j is None or not seconds else j / seconds for name, j in joules.items()}
