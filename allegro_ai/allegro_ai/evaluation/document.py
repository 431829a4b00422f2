"""The JSON document of an evaluation, checked against its schema, and the same as markdown."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
from allegro_description.errors import ConfigError
from allegro_description.model import HandModel
from allegro_description.share import share_dir

from allegro_ai.evaluation.entrants import Entrant
from allegro_ai.evaluation.pieces import Table
from allegro_ai.evaluation.rows import BAR_LEVELS, BAR_SET, anyone, curve, pair, release, row
from allegro_ai.schema import validate
from allegro_ai.tasks.baselines import BASELINES
from allegro_ai.tasks.vector import VERSION

CURVE = 'curve'
Document = dict[str, Any]


def document(
    hand: HandModel, entrants: Sequence[Entrant], table: Table, *, reference: str, first_seed: int,
    randomise: bool, workers: int, wall_s: float, command: str,
) -> Document:
    """Put an evaluation together.

    Args:
        hand: the hand.
        entrants: who took part.
        table: all trials.
        reference: label that every other row is compared with.
        first_seed: of the episodes.
        randomise: whether hands were drawn per episode, or nominal.
        workers: processes.
        wall_s: seconds since the command was started, for the last time if it was resumed.
        command: that makes it again.
    """
    cells = list(dict.fromkeys(cell for _, cell in table))
    result: Document = {
        'schema_version': 1, 'kind': 'closed_loop', 'task': VERSION, 'simulated': True, 'hand': hand.name,
        'hand_sha256': hand.sha256, 'first_seed': first_seed, 'randomised': randomise, 'control_rate_hz': 50,
        'intervals': 'rates: Wilson 95 %; differences and ratios: paired bootstrap 95 %, 10000 draws',
        'reference': reference, 'command': command, 'wall_s': round(wall_s, 1),
        'machine': {'cpu': _cpu(), 'cores': len(os.sched_getaffinity(0)), 'system': platform.platform(terse=True),
                    'workers': workers},
        'versions': {'python': platform.python_version(), 'numpy': np.__version__,
                     'mujoco': metadata.version('mujoco')},
        'policies': [{'label': e.label, 'policy': e.policy, 'arguments': _plain(e.arguments), 'sha256': e.fingerprint,
                      'privileged': e.privileged} for e in entrants],
        'cells': [], 'curves': [], 'release': [],
    }
    labels = [e.label for e in entrants]
    for cell in cells:
        by_label = {label: table[label, cell] for label in labels}
        if cell.title == CURVE:
            result['curves'].append({'object_set': cell.object_set, 'rows': [curve(m, by_label[m]) for m in labels]})
            continue
        result['cells'].append({
            'object_set': cell.object_set, 'level': cell.title, 'n': len(cell.seeds), 'anyone': anyone(by_label),
            'rows': [row(label, by_label) for label in labels],
            'pairs': [pair(label, reference, by_label) for label in labels if label != reference],
        })
        if cell.object_set == BAR_SET and cell.title in BAR_LEVELS:
            result['release'] += [
                {'label': e.label, 'object_set': cell.object_set, 'level': cell.title,
                 'clauses': release(e.label, by_label)}
                for e in entrants if not e.baseline and not e.privileged and e.label not in BASELINES]
    return result


@lru_cache(maxsize=1)
def evaluation_schema() -> Mapping[str, Any]:
    """The schema of such documents, version 1."""
    path = share_dir('allegro_ai') / 'policies' / 'evaluation.schema.json'
    schema: Mapping[str, Any] = json.loads(path.read_text(encoding='utf-8'))
    return schema


def write(folder: Path, found: Document) -> tuple[Path, Path]:
    """Check a document and write it as ``evaluation.json`` and ``evaluation.md``.

    Raises:
        BundleError: it does not fit the schema.
        ConfigError: the folder cannot be written.
    """
    validate(found, evaluation_schema(), 'evaluation.json')
    paths = folder / 'evaluation.json', folder / 'evaluation.md'
    try:
        paths[0].write_text(json.dumps(found, indent=1, allow_nan=False) + '\n', encoding='utf-8')
        paths[1].write_text(markdown(found), encoding='utf-8')
    except OSError as error:
        raise ConfigError(f'{folder} cannot take the report: {error}') from error
    return paths


def markdown(found: Document) -> str:
    """All tables of a document."""
    return '\n'.join(_lines(found)) + '\n'


def _lines(found: Document) -> Iterator[str]:
    hands = 'hands drawn per episode' if found['randomised'] else 'the nominal hand'
    yield f'# {found["task"]}, simulated: {found["hand"]}, {hands}'
    yield ''
    yield f'`{found["command"]}`'
    yield ''
    yield (f'Seeds from {found["first_seed"]}; {found["intervals"]}. {found["machine"]["cpu"]}, '
           f'{found["machine"]["workers"]} processes, {found["wall_s"]:.0f} s; MuJoCo {found["versions"]["mujoco"]}.')
    for cell in found['cells']:
        yield from _cell(cell, found['reference'])
    for part in found['curves']:
        yield from ('', f'## Disturbance with 50 % success, in object weights, objects {part["object_set"]}', '',
                    '| policy | n | success [95 %] | held [95 %] |', '|---|---|---|---|')
        for r in part['rows']:
            yield f'| {r["label"]} | {r["n"]} | {_half(r, "success")} | {_half(r, "held")} |'
    if found['release']:
        yield from ('', '## Release bar', '', '| policy | objects | level | asked | found [95 %] | met |',
                    '|---|---|---|---|---|---|')
    for part in found['release']:
        for c in part['clauses']:
            met = {True: 'yes', False: '**no**', None: 'not measured'}[c['met']]
            yield (f'| {part["label"]} | {part["object_set"]} | {part["level"]} | {c["asked"]} | {_clause(c)} '
                   f'| {met} |')


def _cell(cell: Mapping[str, Any], reference: str) -> Iterator[str]:
    yield from ('', f'## Objects {cell["object_set"]}, level {cell["level"]}, n = {cell["n"]}', '',
                '| policy | success, % [95 %] | held, % [95 %] | acquired, % | mean torque, N·m | of B2 '
                '| p99 tip force, N: median / p95 | slip, mm: median / p95 | work, J | torque², N²m²s | of B7 |',
                '|---|---|---|---|---|---|---|---|---|---|---|')
    for r in cell['rows']:
        yield (f'| {r["label"]} | {_rate(r["success"])} | {_rate(r["held"])} | {100 * r["acquired"]["rate"]:.1f} '
               f'| {r["torque_nm"]:.3f} | {_share(r.get("torque_of_b2"))} | {r["tip_n_median"]:.2f} / '
               f'{r["tip_n_p95"]:.2f} | {_value(r["slip_mm_median"])} / {_value(r["slip_mm_p95"])} '
               f'| {r["work_j"]:.2f} | {r["heat_n2m2s"]:.2f} | {_share(r.get("success_of_b7"))} |')
    yield f'| any of them | {_rate(cell["anyone"])} | | | | | | | | | |'
    grips = sorted(cell['rows'][0]['by_grip'])
    families = sorted(cell['rows'][0]['by_family'])
    for title, field, names in (('grip class', 'by_grip', grips), ('object', 'by_family', families)):
        counts = [f'{name} ({cell["rows"][0][field][name]["n"]})' for name in names]
        yield from ('', f'Success by {title}, % [95 %]:', '', f'| policy | {" | ".join(counts)} |',
                    '|---' * (len(names) + 1) + '|')
        for r in cell['rows']:
            yield f'| {r["label"]} | {" | ".join(_rate(r[field][name]) for name in names)} |'
    kinds = sorted({kind for r in cell['rows'] for kind in r['kinds']} - {'held'})
    yield from ('', 'Failures:', '', f'| policy | {" | ".join(kinds)} |', '|---' * (len(kinds) + 1) + '|')
    for r in cell['rows']:
        yield f'| {r["label"]} | {" | ".join(str(r["kinds"].get(kind, 0)) for kind in kinds)} |'
    yield from ('', f'Success against {reference} on the same episodes:', '',
                '| policy | difference, points [95 %] | only it | only the other | McNemar p |',
                '|---|---|---|---|---|')
    for p in cell['pairs']:
        low, high = (100 * v for v in p['ci95'])
        yield (f'| {p["a"]} | {100 * p["value"]:+.1f} [{low:+.1f}, {high:+.1f}] | {p["only_a"]} | {p["only_b"]} '
               f'| {p["mcnemar_p"]:.2g} |')


def _rate(r: Mapping[str, Any]) -> str:
    low, high = r['ci95']
    return f'{100 * r["rate"]:.1f} [{100 * low:.1f}, {100 * high:.1f}]'


def _share(part: Mapping[str, Any] | None) -> str:
    if part is None or part['value'] is None:
        return ''
    low, high = part['ci95']
    return f'{100 * part["value"]:.0f} % [{100 * low:.0f}, {100 * high:.0f}]'


def _value(value: float | None) -> str:
    return 'none' if value is None else f'{value:.1f}'


def _half(r: Mapping[str, Any], what: str) -> str:
    fit = r[what]
    bounds = ', '.join('beyond' if v is None else f'{v:.2f}' for v in fit['ci95'])
    return f'{"not within those tried" if fit["half"] is None else format(fit["half"], ".2f")} [{bounds}]'


def _clause(clause: Mapping[str, Any]) -> str:
    if clause['value'] is None:
        return ''
    if clause['ci95'] is None:
        return f'{clause["value"]:g}'
    low, high = clause['ci95']
    return f'{100 * clause["value"]:.1f} % [{100 * low:.1f}, {100 * high:.1f}]'


def _plain(arguments: Mapping[str, Any]) -> dict[str, Any]:
    return {k: v.tolist() if isinstance(v, np.ndarray) else v for k, v in arguments.items()}


def _cpu() -> str:
    try:
        lines = Path('/proc/cpuinfo').read_text(encoding='utf-8').splitlines()
    except OSError:
        lines = []
    names = [line.partition(':')[2].strip() for line in lines if line.startswith('model name')]
    return names[0] if names else platform.machine()
