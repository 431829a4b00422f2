"""What the gate found as the section ``quality`` of a result, with every episode in a file beside it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
from allegro_ai.tasks.vector import VERSION
from allegro_description.model import load_hand

from allegro_bench.quality.closed_loop import Scene
from allegro_bench.quality.episode_file import again, keep, keep_joints, points
from allegro_bench.quality.gate import Judged, Settings
from allegro_bench.quality.noninferiority import INCONCLUSIVE, NOT_RUN, pairs_needed
from allegro_bench.quality.per_success import Interval, per_success
from allegro_bench.results import document as results
from allegro_bench.results.summary import summarise
from allegro_bench.results.validity import DERIVED, judge

__all__ = ['again', 'environment', 'not_run', 'rows_of', 'store']

OPEN, CLOSED = 'open_loop', 'closed_loop'

Row = dict[str, Any]


def environment(scene: Scene, settings: Settings) -> Row:
    """Section ``env``: the task, and a hash over everything that decides its episodes."""
    facts = {
        'task': VERSION, 'hand': load_hand(scene.model, scene.side).sha256, 'objects': scene.object_set,
        'level': scene.level, 'first_seed': settings.first_seed, 'randomised': scene.randomise,
        'mujoco': metadata.version('mujoco'),
    }
    words = json.dumps(facts, sort_keys=True).encode()
    return {'name': f'{VERSION}, objects {scene.object_set}, level {scene.level}',
            'version': f'mujoco {facts["mujoco"]}', 'sha256': hashlib.sha256(words).hexdigest()}


def rows_of(one: Judged, reference: str, settings: Settings, env: Row, folder: Path,
            joules: Interval | None = None) -> list[Row]:
    """The two rows of a candidate; its episodes are written into the folder.

    Args:
        one: what was found.
        reference: name of what it was compared with.
        settings: of the gate.
        env: see :func:`environment`.
        folder: of the result.
        joules: measured joules per success, if trials were metered.

    Raises:
        ConfigError: the file cannot be written.
    """
    who = one.candidate
    same: Row = {'backend': who.name, 'reference': reference, 'artifact_sha256': who.sha256,
            'precision': who.engine.precision, 'env': env}
    blank: Row = {'success_ref': None, 'success_cand': None, 'discordant': None, 'diff_pp': None}
    opened = {**same, **blank, 'stage': OPEN, 'margin_pp': None, 'latency_injected': False}
    if one.deviation is None:
        opened |= {'n': 0, 'deviation': None, 'verdict': NOT_RUN, 'detail': one.problem}
    else:
        # a difference of actions alone never decides
        worst = one.deviation.worst
        opened |= {'n': one.deviation.n, 'deviation': one.deviation.section(), 'verdict': INCONCLUSIVE,
                   'files': [keep_joints(folder, who.name, one.deviation)],
                   'detail': f'n: observations; p99: over joints and observations; largest share of a range: {worst}'
                   if worst else 'an answer was no number'}
    closed = {**same, **blank, 'stage': CLOSED, 'margin_pp': 100.0 * settings.margin}
    found, counts = one.difference, one.counts
    if found is None or counts is None:
        closed |= {'n': 0, 'latency_injected': False, 'verdict': NOT_RUN,
                   'detail': one.problem or 'the gate was stopped before', 'inferences_per_success': None,
                   'j_per_success': None}
        return [opened, closed]
    closed |= {
        'n': found.n, 'success_ref': counts.both + counts.only_a, 'success_cand': counts.both + counts.only_b,
        'discordant': {'b': counts.only_a, 'c': counts.only_b}, 'diff_pp': points(found),
        'latency_injected': True, 'verdict': found.verdict(settings.margin),
        'detail': words(one, settings), 'j_per_success': joules,
        'inferences_per_success': per_success([p.inferences for p in one.played], [p.won for p in one.played]),
        'files': [keep(folder, who.name, one.reference, one.played)],
    }
    return [opened, closed]


def not_run(entry: Mapping[str, Any], reference: str, why: str) -> list[Row]:
    """The row of a measured backend that cannot be judged here."""
    return [{'backend': entry['name'], 'reference': reference, 'stage': CLOSED, 'n': 0, 'success_ref': None,
             'success_cand': None, 'discordant': None, 'diff_pp': None, 'margin_pp': None, 'latency_injected': False,
             'verdict': NOT_RUN, 'env': None, 'artifact_sha256': entry['artifact_sha256'],
             'precision': entry['precision'], 'detail': why, 'inferences_per_success': None, 'j_per_success': None}]


def words(one: Judged, settings: Settings) -> str:
    """What a reader needs beside the numbers."""
    found, counts = one.difference, one.counts
    assert found is not None
    assert counts is not None
    response = float(np.mean([p.late_ms for p in one.played]))
    skipped = 1.0 - sum(p.inferences for p in one.played) / max(1, sum(p.released for p in one.played))
    text = (f'bounds one-sided 95 %, {found.method}; McNemar p {counts.p:.2g}; responses: {one.candidate.source}, '
            f'mean {response:.3g} ms, {skipped:.1%} of ticks skipped')
    held = sum(p.gave_up for p in one.played)
    if held:
        text += f'; the loop gave up on a policy that slow in {held} episodes'
    if found.verdict(settings.margin) == INCONCLUSIVE and found.discordance:
        needed = pairs_needed(found.discordance, settings.margin)
        text += (f'; {found.discordance:.1%} of pairs differ, which asks for {needed} pairs' if needed > found.n else
                 '; the difference lies too near the margin for this number of pairs')
    return text


def store(folder: Path, document: dict[str, Any], rows: Sequence[Row]) -> None:
    """Put rows into a result, replacing older ones of the same backends, and compute what follows from them.

    Raises:
        ConfigError: the result cannot be written, or its ticks cannot be read.
    """
    mine = {row['backend'] for row in rows}
    document['quality'] = [q for q in document['quality'] if q['backend'] not in mine] + [dict(r) for r in rows]
    document['summary'], document['comparisons'] = summarise(document, folder)
    own = [r for r in document['validity']['reasons'] if r['code'] not in DERIVED]
    document['validity'] = judge(document, folder, own)
    results.write(folder, document)
