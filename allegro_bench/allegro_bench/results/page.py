"""``report.html`` of a benchmark's result: the verdict first, then every number with what it rests on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
from allegro_description.errors import ConfigError

from allegro_bench.page import Html, card, facts, figure, page, paragraph, pill, section
from allegro_bench.results import blocks, tables
from allegro_bench.results.comparisons import per_round
from allegro_bench.results.cost import summed
from allegro_bench.results.document import CACHE_DISTINCT, CACHE_REPEATED, REPORT_FILE, load, ticks_of
from allegro_bench.results.intervals import known
from allegro_bench.statistics import figures as digits

FEW = 3
"""So many things of a kind are told one by one at the top."""

MEANING = {
    'valid': 'Valid: no reservation was found.',
    'degraded': 'Degraded: usable with the reservations below.',
    'invalid': 'Invalid: do not use these numbers. The reasons and what to do about them:',
}


def write(folder: Path) -> Path:
    """Write ``report.html`` from the files of a result folder, and return its path.

    Raises:
        ConfigError: a file is missing or damaged, or the report cannot be written.
        MissingDependency: plotly is not installed.
    """
    path = folder / REPORT_FILE
    text = render(load(folder), folder)
    try:
        path.write_text(text, encoding='utf-8')
    except OSError as error:
        raise ConfigError(f'cannot write {path}: {error}') from error
    return path


def render(document: Mapping[str, Any], folder: Path) -> str:
    """The report as one HTML document.

    Raises:
        ConfigError: a tick file is missing or damaged.
    """
    from allegro_bench import charts
    from allegro_bench.results import figures

    drawn: list[str] = []

    def draw(chart: Any, caption: str, otherwise: str) -> str:
        if chart is None:
            return paragraph(otherwise, 'note')
        drawn.append(charts.html(chart, len(drawn)))
        return figure(drawn[-1], caption)

    summary, work, names = document['summary'], document['workload'], blocks.backends(document)
    runs = [(b, ticks_of(folder, b)) for b in document['blocks'] if b['kind'] not in (CACHE_DISTINCT, CACHE_REPEATED)]
    responses = {n: np.concatenate([r.response_ns() for b, r in runs if b['kind'] == 'measure' and b['backend'] == n])
                 for n in names}
    deadline = blocks.deadline_ns(work) * 1e-6
    rounds = {n: per_round(document, folder, n) for n in names}
    joules, ids = summed(document), names
    costs = {e['backend']: e['energy'][joules[0]]['gross_j_per_inference'] if len(joules) == 1
             else e['cpu_s_per_inference'] for e in summary}
    measured = len(joules) == 1
    verdicts = {q['backend']: q['verdict'] for q in document['quality'] if q['stage'] == 'closed_loop'}
    unit, scale = ('mJ', 1e3) if measured else ('CPU ms', 1e3)
    parts = [
        _head(document), _cards(document),
        section('Latency', paragraph(
            'Response runs from the intended release of a tick to its finish: a stall is in it. Skipped ticks have no '
            'response; they are among the misses. Service is the step alone, engine the call of the inference library '
            'alone.'),
            draw(figures.percentiles(summary, deadline), 'Percentiles of the response with 95 % intervals. Grey: what '
                 'the empty loop takes (p99). Dashed: the deadline.', 'Too few ticks for a percentile.'),
            tables.percentiles(summary),
            draw(figures.tails(responses, deadline), 'The tail: which share of the ticks takes longer than that.',
                 'Too few ticks for a distribution.')),
        section('Missed ticks', tables.misses(summary)),
        section('Cost', tables.cost_words(document),
                draw(figures.pareto(summary, costs, unit, scale, verdicts),
                     'Fast and cheap is bottom left; filled circles passed the quality gate, crosses failed '
                     'it, open ones were not judged. ' + ('Energy is measured, gross.' if measured else
                     'No meter: CPU time of the measuring process stands for cost; it is no energy.'),
                     'Neither energy nor CPU time is known.'), tables.cost(document)),
        section('Quality', tables.quality(document)),
        section('Backends against each other', tables.comparisons(document)),
        section('Every block',
                draw(figures.time_line(runs, ids, deadline), 'Response over the run, in the order in which it was '
                     'measured; crosses are null and reference blocks.', 'No tick was completed.'),
                draw(figures.each_block({n: rounds[n].get('response_ms.p50', {}) for n in names}, names,
                                        'median response (ms)'),
                     'Median response of every block. Where lines cross, the faster one depends on the round.',
                     'Too few ticks for a median.'),
                tables.every_block(document)),
        _system(document), _how(document),
    ]
    return page(f'{work["name"]}: inference benchmark', '\n'.join(parts), charts.get_plotlyjs())


def _head(document: Mapping[str, Any]) -> str:
    run, work, validity = document['run'], document['workload'], document['validity']
    status, system = validity['status'], document['system']
    sentences = _sentences(document['summary'])
    what = (f'{work["name"]} at {work["control_rate_hz"]:g} Hz, deadline {work["deadline_ms"]:g} ms; '
            f'{", ".join(str(p) for p in (system["cpu"]["model"], system["host_class"]) if p) or "machine unknown"}; '
            f'{run["created_utc"][:10]}; profile {run["profile"]}.')
    listing = ''.join(_reason(alike) for alike in _grouped(validity['reasons']))
    listing = f'<ul class="reasons">{listing}</ul>' if listing else ''
    return (f'<h1>Inference benchmark</h1>{paragraph(what, "dim")}<div class="verdict {status}"><b>{status.upper()}</b>'
            f'{escape("; ".join(sentences))}{". " if sentences else ""}{MEANING[status]}</div>{listing}')


def _sentences(summary: Sequence[Mapping[str, Any]]) -> list[str]:
    """The headline: each backend, or, of many, the range."""
    known_ones = [e for e in summary if known(e['response_ms']['p99']) is not None]
    missed, ticks = (sum(e['miss'][k] for e in summary) for k in ('missed', 'n'))
    if len(known_ones) <= FEW:
        found = [f'{e["backend"]}: p99 {tables.estimate(e["response_ms"]["p99"], " ms")}' for e in known_ones]
    else:
        ranked = sorted(known_ones, key=lambda e: float(e['response_ms']['p99']['value']))
        ends = [f'{digits(e["response_ms"]["p99"]["value"])} ms ({e["backend"]})' for e in (ranked[0], ranked[-1])]
        found = [f'{len(summary)} backends, response p99 from {ends[0]} to {ends[1]}']
    return [*found, f'{missed} of {ticks} ticks missed'] if ticks else found


def _grouped(reasons: Sequence[Mapping[str, str]]) -> list[list[Mapping[str, str]]]:
    """Reasons of one code and one remedy together, in the order in which they were met."""
    found: dict[tuple[str, str], list[Mapping[str, str]]] = {}
    for one in reasons:
        found.setdefault((one['code'], one['recommendation']), []).append(one)
    return list(found.values())


def _reason(alike: Sequence[Mapping[str, str]]) -> str:
    first = alike[0]
    details = ''.join(f'<br>{escape(r["detail"])}' for r in alike[:FEW])
    more = f'<br><span class="dim">and {len(alike) - FEW} more of this kind, in result.json</span>' \
        if len(alike) > FEW else ''
    return (f'<li><code>{escape(first["code"])}</code> <span class="dim">{escape(", ".join(r["where"] for r in alike))}'
            f'</span>{details}{more}<br><span class="remedy">{escape(first["recommendation"])}</span></li>')


def _cards(document: Mapping[str, Any]) -> str:
    cards = []
    entries = [e for e in document['summary'] if known(e['response_ms']['p99']) is not None]
    if entries:
        best = min(entries, key=lambda e: e['response_ms']['p99']['value'])
        cards.append(card('Lowest response p99', f'{digits(best["response_ms"]["p99"]["value"])} ms', best['backend']))
    spent = [e for e in document['summary'] if known(e['cpu_s_per_inference']) is not None]
    if spent:
        best = min(spent, key=lambda e: e['cpu_s_per_inference']['value'])
        cards.append(card('Least CPU time', f'{digits(best["cpu_s_per_inference"]["value"] * 1e3)} ms',
                          f'per inference, {best["backend"]}'))
    missed, ticks = (sum(e['miss'][k] for e in document['summary']) for k in ('missed', 'n'))
    cards.append(card('Missed ticks', f'{missed} of {ticks}', 'all backends'))
    floor = next((e['floor_ms'] for e in document['summary'] if e['floor_ms'] is not None), None)
    cards.append(card('Floor of the harness', 'n/a' if floor is None else f'{digits(floor)} ms',
                      'p99 of the empty loop'))
    quality = sorted({m['quality'] for m in document['meters']} - {'none'})
    cards.append(card('Energy', ', '.join(quality) or 'none', ', '.join(sorted({m['boundary'] for m in
                 document['meters']})) or 'no meter on this machine: no joule, no gram'))
    return f'<div class="cards">{"".join(cards)}</div>'


def _system(document: Mapping[str, Any]) -> str:
    system = document['system']
    cpu = system['cpu']
    rows: list[tuple[str, Any]] = [
        ('Fingerprint', system['id']), ('Class', system['host_class']), ('Board', system['board']),
        ('CPU', cpu['model']), ('Logical cores', cpu['cores']), ('SMT', cpu['smt']), ('Governor', cpu['governor']),
        ('Turbo', cpu['turbo']), ('Microcode', cpu['microcode']),
        *((f'GPU {i}', ', '.join(f'{k} {v}' for k, v in g.items() if v is not None)) for i, g in
          enumerate(system['gpu'])),
        ('Memory', None if system['ram_gb'] is None else f'{system["ram_gb"]:g} GB'), ('System', system['os']),
        ('Kernel', system['kernel']), ('PREEMPT_RT', system['preempt_rt']), ('Virtual machine', system['virtualised']),
        ('Container', system['container']), ('Power', system['power_source']), ('Power mode', system['power_mode']),
        ('Python', system['python']), ('Libraries', ', '.join(f'{k} {v}' for k, v in system['libs'].items())),
    ]
    return section('Machine', paragraph('A dash is something that could not be found out.', 'note'), facts(rows))


def _how(document: Mapping[str, Any]) -> str:
    run, work, policy = document['run'], document['workload'], document['workload']['policy']
    order = ' '.join(('| ' if i and e['round'] != run['order'][i - 1]['round'] else '') + e['backend']
                     for i, e in enumerate(run['order']))
    rows: list[tuple[str, Any]] = [
        ('Policy', f'{policy["name"]}, {policy["params"]} parameters' if policy['params'] else policy['name']),
        ('Policy SHA-256', policy['sha256']), ('Workload hash', work['hash']),
        ('In the step', ', '.join(k for k, v in work['includes'].items() if v) or 'the policy alone'),
        ('Observations', f'{work["source"]["kind"]}, seeds {", ".join(map(str, work["seeds"])) or "none"}'),
        ('On overrun', work['policy_on_overrun']), ('Order', f'seed {run["order_seed"]}: {order}'),
        ('Run', run['id']), ('Tool', run['tool_version']), ('Command', ' '.join(run['command_line'])),
    ]
    return section('How it was measured', tables.backends(document), facts(rows), paragraph(
        'Every tick of every block is kept beside this page; allegro-bench verify computes all numbers again from '
        'them. The protocol, and what must not be claimed: docs/protocol.md of allegro_bench.', 'note'))


def verdict_pill(status: str) -> Html:
    """A verdict as a coloured word."""
    return pill(status.upper(), {'valid': '#00664a', 'degraded': '#855b00', 'invalid': '#9a330a'}[status])

