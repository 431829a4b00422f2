"""Episodes as they are announced on the topic ``episode``: started, dropped, finished."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

from allegro_bench.statistics import wilson

ENDS = ('finished', 'dropped', 'stopped')
"""Events after which an episode does not go on. A ``finished`` that follows a ``dropped`` completes its facts."""


def value_of(text: str) -> Any:
    """A key's text as bool, int, float, None or the text itself."""
    plain = text.strip()
    words = {'true': True, 'false': False, 'none': None, 'null': None, 'nan': None, '': None}
    if plain.lower() in words:
        return words[plain.lower()]
    for kind in (int, float):
        try:
            number = kind(plain)
        except ValueError:
            continue
        return number if math.isfinite(number) else None
    return plain


def merge(events: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """One row per episode from its events in order of arrival.

    Args:
        events: each with ``event``, ``time_s`` and the facts of that message (``index``, ``held`` …).

    Returns:
        Rows with the newest value of every fact, ``start_s`` (None where the start was not heard), ``end_s`` and
        ``outcome`` (``held``, ``dropped``, ``lost`` for kept in the hand but out of place, ``stopped``, ``running``).
    """
    rows: list[dict[str, Any]] = []
    for event in events:
        facts = {k: v for k, v in event.items() if k not in ('event', 'time_s')}
        kind = event['event']
        same = next((r for r in reversed(rows) if r.get('index') == facts.get('index')), None)
        if kind == 'started' or same is None:
            if kind == 'started' and rows and rows[-1]['ended'] is None:
                # Only one episode runs at a time, so this one was stopped, or its end was not heard.
                rows[-1] |= {'ended': 'stopped', 'end_s': event['time_s']}
            rows.append({'start_s': event['time_s'] if kind == 'started' else None, 'end_s': None, 'ended': None})
            same = rows[-1]
        same.update(facts)
        if kind in ENDS:
            same['end_s'] = event['time_s'] if same['end_s'] is None else same['end_s']
            same['ended'] = kind
    for row in rows:
        row['outcome'] = _outcome(row)
    return rows


def _outcome(row: Mapping[str, Any]) -> str:
    if row['ended'] is None:
        return 'running'
    if row.get('held') is True:
        return 'held'
    if row['ended'] == 'stopped':
        return 'stopped'
    return 'dropped' if row['ended'] == 'dropped' or row.get('dropped_at_s') is not None else 'lost'


def tally(rows: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """How many episodes ended, were held and succeeded, with Wilson intervals."""
    done = [r for r in rows if r['outcome'] in ('held', 'dropped', 'lost')]
    held = sum(r['outcome'] == 'held' for r in done)
    success = sum(r.get('success') is True for r in done)
    return {'n': len(done), 'held': held, 'success': success,
            'held_rate': wilson(held, len(done)).as_dict(), 'success_rate': wilson(success, len(done)).as_dict()}


def line(number: int, row: Mapping[str, Any]) -> str:
    """One episode in one line for a person."""
    when = f' at {row["dropped_at_s"]:.1f} s' if isinstance(row.get('dropped_at_s'), (int, float)) else ''
    torque = row.get('mean_torque_nm')
    effort = f', mean torque {torque:.3f} N·m' if isinstance(torque, (int, float)) else ''
    start = '' if row.get('at_start_pose', True) else ' (began off the start pose)'
    return (f'episode {number}: {row.get("shape") or "object"}, seed {row.get("seed", "unknown")}: '
            f'{row["outcome"]}{when}{effort}{start}')
