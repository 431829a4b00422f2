"""Is a result what its ticks say? Everything is computed again, and the usual ways to embellish have names."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from allegro_description.errors import ConfigError, MissingDependency

from allegro_bench.energy import window
from allegro_bench.meters.meter import Sample
from allegro_bench.quality.episode_file import again as judged_again
from allegro_bench.results import blocks
from allegro_bench.results.differences import differences
from allegro_bench.results.document import (
    CACHE_DISTINCT,
    CACHE_REPEATED,
    TICKS_FOLDER,
    damage,
    load,
    sha256_of,
    ticks_of,
)
from allegro_bench.results.schedule import schedule
from allegro_bench.results.schema import problems
from allegro_bench.results.summary import summarise
from allegro_bench.results.validity import DERIVED, findings, status

CACHE_KINDS = (CACHE_DISTINCT, CACHE_REPEATED)


@dataclass(frozen=True, slots=True)
class Problem:
    """Something in a result that its data do not bear out.

    Attributes:
        code: what it is, e.g. ``selective_retries``; see the protocol.
        where: place in the document.
        words: one sentence.
    """

    code: str
    where: str
    words: str

    def __str__(self) -> str:
        return f'{self.code}: {self.where}: {self.words}'


def verify(folder: Path) -> list[Problem]:
    """Everything that is wrong with a result; empty if it is what its ticks say.

    Raises:
        ConfigError: there is no result, or one of another schema.
    """
    document = load(folder)
    try:
        found = [Problem('schema', 'result.json', p) for p in problems(document)]
    except MissingDependency:
        found = []
    if found:
        return found  # nothing else can be relied on to be where it belongs
    try:
        if any(r['code'] == 'incomplete' for r in document['validity']['reasons']):
            kept = f'it did not come to its end; {len(document["blocks"])} blocks are kept'
            return [Problem('unfinished', 'run', kept),
                    *_files(document, folder), *_ticks(document, folder), *_meters(document)]
        return [*_files(document, folder), *schedule(document, Problem), *_ticks(document, folder),
                *_meters(document), *_quality(document, folder), *_numbers(document, folder)]
    except (KeyError, TypeError, IndexError, AttributeError, ValueError, ZeroDivisionError, OverflowError) as error:
        return [Problem('schema', 'result.json', f'its parts do not fit together ({type(error).__name__}: {error})')]


def _files(document: Mapping[str, Any], folder: Path) -> Iterator[Problem]:
    named = [b['ticks_file'] for b in document['blocks']]
    listed = [*named, *document['provenance']['files'], *(f for q in document['quality'] for f in q.get('files', []))]
    for file in {f['path']: f for f in listed}.values():
        found = sha256_of(folder, file['path'])
        if found != file['sha256']:
            yield Problem('hash', file['path'], 'there is no such file' if found is None else
                          'it is not the file that was written: its SHA-256 differs')
    seen: dict[str, str] = {}
    for file in named:
        first = seen.setdefault(file['sha256'], file['path'])
        if first != file['path'] or sum(f['path'] == file['path'] for f in named) > 1:
            yield Problem('reused_block', file['path'], f'two blocks rest on the same ticks as {first}')
    if document['run'].get('finished_utc') is None:
        return  # the newest block may not have been noted yet
    paths = {f['path'] for f in named}
    for path in sorted((folder / TICKS_FOLDER).glob('*.npz')):
        if f'{TICKS_FOLDER}/{path.name}' not in paths:
            yield Problem('dropped_blocks', f'{TICKS_FOLDER}/{path.name}', 'this block was measured and is not in the '
                          'result')


def _ticks(document: Mapping[str, Any], folder: Path) -> Iterator[Problem]:
    period, deadline = blocks.period_ns(document['workload']), blocks.deadline_ns(document['workload'])
    for block in document['blocks']:
        where = f'blocks/{block["index"]}'
        try:
            run = ticks_of(folder, block)
        except ConfigError as error:
            yield Problem('ticks', where, str(error))
            continue
        wrong = damage(run)
        if not wrong and block['kind'] not in CACHE_KINDS and len(run) and (
                run.release_ns != block['t0_monotonic_ns'] + run.index * period).any():
            wrong = 'its releases do not lie on the schedule t0 + k T'
        if wrong:
            yield Problem('impossible_ticks', where, wrong)
        again = blocks.numbers(run, deadline)
        for words in differences(where, {k: block[k] for k in again}, again):
            yield Problem('edited', where, words)


def _meters(document: Mapping[str, Any]) -> Iterator[Problem]:
    period, known = blocks.period_ns(document['workload']), {m['id'] for m in document['meters']}
    for block in document['blocks']:
        where, marks = f'blocks/{block["index"]}/energy_j', block.get('energy_marks', {})
        begin = block['t0_monotonic_ns']
        end = begin + block['n_expected'] * period
        for name, joules in block['energy_j'].items():
            if joules is None:
                continue
            if name not in known or name not in marks or None in marks[name]:
                yield Problem('meter_window', where, f'{name} has joules and no readings that they follow from')
                continue
            t_0, t_1, j_0, j_1 = marks[name]
            again = window({name: Sample(j_0, t_ns=t_0)}, {name: Sample(j_1, t_ns=t_1)}, begin, end)
            if name in again.problems:
                yield Problem('meter_window', where, f'{name}: {again.problems[name]}')
            else:
                for words in differences(f'{where}/{name}', joules, again.joules[name]):
                    yield Problem('edited', where, words)


def _quality(document: Mapping[str, Any], folder: Path) -> Iterator[Problem]:
    measured = {b['name']: b for b in document['backends']}
    for i, row in enumerate(document['quality']):
        where, name = f'quality/{i}', row['backend']
        if name not in measured:
            yield Problem('other_artifact', where, f'{name} is none of the measured backends')
            continue
        for field in ('artifact_sha256', 'precision'):
            if row['verdict'] != 'not_run' and row[field] != measured[name][field]:
                yield Problem('other_artifact', where, f'the quality of {name} was judged with {field} {row[field]}, '
                              f'its speed measured with {measured[name][field]}')
        if row['stage'] != 'closed_loop' or row['verdict'] == 'not_run':
            continue
        if row['verdict'] == 'pass' and not row['latency_injected']:
            yield Problem('no_latency', where, f'{name} passed without its own response times injected')
        n, difference, pairs = row['n'], row['diff_pp'], row['discordant']
        if None in (row['success_ref'], row['success_cand'], difference, pairs):
            yield Problem('edited', where, 'a verdict without the counts it follows from')
            continue
        gain = row['success_cand'] - row['success_ref']
        if pairs['c'] - pairs['b'] != gain or pairs['b'] + pairs['c'] > n:
            yield Problem('edited', where, f'{pairs["b"]} lost and {pairs["c"]} won pairs of {n} do not make a '
                          f'difference of {gain} successes')
        if row.get('files'):
            try:
                again = judged_again(folder, row)
            except ConfigError as error:
                yield Problem('hash', where, str(error))
                continue
            for words in differences(where, {k: row.get(k) for k in again}, again):
                yield Problem('edited', where, words)
        for words in differences(f'{where}/diff_pp/value', difference['value'], 100.0 * gain / n if n else None):
            yield Problem('edited', where, words)
        if row['verdict'] == 'pass' and (difference['lo'] is None or not difference['lo'] > -row['margin_pp']):
            yield Problem('edited', where, f'{name} passes, and its lower bound {difference["lo"]} pp is not above '
                          f'-{row["margin_pp"]} pp')


def _numbers(document: Mapping[str, Any], folder: Path) -> Iterator[Problem]:
    try:
        summary, comparisons = summarise(document, folder)
        again = findings({**document, 'summary': summary}, folder)
    except ConfigError as error:
        yield Problem('ticks', 'summary', f'it cannot be computed again: {error}')
        return
    # An entry may come from an earlier minor version; what every version has, the schema requires.
    kept = [{k: v for k, v in new.items() if k in old} for old, new in zip(document['summary'], summary, strict=False)]
    for section, computed in (('summary', [*kept, *summary[len(kept):]]), ('comparisons', comparisons)):
        for words in differences(section, document[section], computed):
            yield Problem('edited', section, words)
    stated, computed_keys = ({(r['code'], r['where']) for r in reasons}
                             for reasons in (document['validity']['reasons'], again))
    for one in again:
        if (one['code'], one['where']) not in stated:
            yield Problem('cached_results' if one['code'] == 'cached' else 'verdict', one['where'],
                          f'not stated in validity: {one["detail"]}')
    for code, where in sorted(stated - computed_keys):
        if code in DERIVED:
            yield Problem('verdict', where, f'{code} is stated and does not follow from the data')
    for block in document['blocks']:
        warm, where = block.get('warmup'), f'blocks/{block["index"]}'
        if block['error'] and where not in {w for _, w in stated} and block['error'] not in {c for c, _ in stated}:
            yield Problem('verdict', where, f'it ended with the error {block["error"]}, and no reason says so')
        if warm is not None and not warm['steady'] and 'not_steady' not in {c for c, _ in stated}:
            yield Problem('verdict', where, 'its warm-up did not become steady, and no reason says so')
    verdict = status([*document['validity']['reasons'], *again])
    if document['validity']['status'] != verdict:
        yield Problem('verdict', 'validity', f'it says {document["validity"]["status"]}; its reasons make it {verdict}')
