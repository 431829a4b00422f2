"""Tables of a benchmark's report, as HTML."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from allegro_bench.page import Html, paragraph, pill, table
from allegro_bench.results.comparisons import distinguishable
from allegro_bench.results.intervals import known
from allegro_bench.statistics import figures

VERDICTS = {'pass': '#00664a', 'fail': '#9a330a', 'inconclusive': '#855b00', 'not_run': '#667085'}


METRICS = {'response_ms.p50': 'response, median', 'response_ms.p99': 'response, p99',
           'service_ms.p50': 'service, median', 'service_ms.p99': 'service, p99',
           'cpu_s_per_inference': 'CPU time', 'gross_j_per_inference': 'energy, gross'}


def estimate(e: Mapping[str, Any] | None, unit: str = '', scale: float = 1.0) -> str:
    """A stored estimate for a reader: value and interval, or why there is none."""
    if e is None:
        return 'n/a'
    if e['value'] is None:
        return f'n/a (need {e["needed"]})' if e.get('needed', 1) > 1 else 'n/a'
    if e['lo'] is None or e['hi'] is None:
        return f'{figures(e["value"] * scale)}{unit}'
    return f'{figures(e["value"] * scale)}{unit} [{figures(e["lo"] * scale)}, {figures(e["hi"] * scale)}]'


def percentiles(summary: Sequence[Mapping[str, Any]]) -> str:
    """Response, service, engine and release jitter of every backend."""
    rows = []
    for e in summary:
        for name, key, unit in (('response', 'response_ms', 'ms'), ('service', 'service_ms', 'ms'),
                                ('engine', 'engine_ms', 'ms'), ('release jitter', 'jitter_us', 'µs')):
            if e[key] is not None:
                rows.append([e['backend'] if key == 'response_ms' else Html(''), f'{name} ({unit})',
                             *(estimate(e[key][p]) for p in ('p50', 'p90', 'p95', 'p99', 'p999', 'max')), e[key]['n']])
    floor = [e['backend'] for e in summary if e['at_floor']]
    note = ('Nearest-rank percentiles with 95 % intervals: the wider of order statistics and a bootstrap over blocks '
            'and runs of one second. The maximum is that of the sample.'
            + (f' At the floor of the harness (p99 below three times the empty loop): {", ".join(floor)}.' if floor
               else ''))
    return table(['backend', Html(''), 'p50', 'p90', 'p95', 'p99', 'p99.9', 'maximum', 'n'], rows) + paragraph(
        note, 'note')


def misses(summary: Sequence[Mapping[str, Any]]) -> str:
    """Miss rates and how misses cluster."""
    rows = []
    for e in summary:
        miss = e['miss']
        rate = estimate({'value': miss['rate'], 'lo': miss['lo'], 'hi': miss['hi']}, ' %', 100.0)
        rows.append([e['backend'], rate, miss['n'], miss['late'], miss['skipped'], miss['longest_run'],
                     *miss['mk'].values(), miss['worst_second'],
                     None if e['achieved_rate_hz'] is None else round(e['achieved_rate_hz'], 3)])
    windows = [f'most in {k}' for e in summary[:1] for k in e['miss']['mk']]
    return table(['backend', 'miss rate', 'ticks', 'late', 'skipped', 'longest run', *windows, 'worst second',
                  'achieved (Hz)'], rows) + paragraph(
                      'A tick is missed if it finishes after its deadline or is skipped. Intervals: Wilson.', 'note')


def cost_words(document: Mapping[str, Any]) -> str:
    """Where the joules come from, or that there are none."""
    if not document['meters']:
        return paragraph('Energy: none. This machine has no meter that could be read; joules and grams are unknown '
                         'and are not guessed from load or data sheets.')
    return paragraph('Gross energy is all that the boundary used in the block, divided by completed inferences; '
                     'marginal energy is gross minus the same process with the model loaded and an empty loop.')


def cost(document: Mapping[str, Any]) -> str:
    """CPU time, energy, carbon per backend."""
    rows = []
    for e in document['summary']:
        first = [e['backend'], estimate(e['cpu_s_per_inference'], ' ms', 1e3)]
        spent = estimate(e['cpu_s_per_success'], ' s')
        if not e['energy']:
            rows.append([*first, 'none', 'none', 'none', 'none', 'none', 'none', spent])
        for i, (meter, joules) in enumerate(e['energy'].items()):
            grams = e['carbon'] if i == 0 else None
            rows.append([*(first if i == 0 else (Html(''), Html(''))), f'{meter} ({joules["boundary"]}, '
                         f'{joules["quality"]})', *(estimate(joules[k], unit, scale) for k, unit, scale in (
                             ('gross_j_per_inference', ' mJ', 1e3), ('marginal_j_per_inference', ' mJ', 1e3),
                             ('wh_per_hour', ' Wh/h', 1.0))),
                         'none' if grams is None else f'{figures(grams["g_per_hour"], 2)} g/h ({grams["zone"]}, '
                         f'{grams["intensity_g_per_kwh"]:g} g/kWh)',
                         'none' if e['j_per_success'] is None else
                         f'{estimate(e["j_per_success"], " J")} {e["j_per_success"]["kind"]}',
                         spent if i == 0 else Html('')])
    return table(['backend', 'CPU per inference', 'meter', 'gross per inference', 'marginal', 'at the control rate',
                  'operational CO2e', 'energy per success', 'CPU per success'], rows)


def quality(document: Mapping[str, Any]) -> str:
    """What the quality gate said."""
    if not document['quality']:
        return paragraph('The quality gate was not run: nothing here says that a faster backend still grasps.')
    rows = []
    for q in document['quality']:
        pairs, difference = q['discordant'], q['diff_pp']
        rows.append([q['backend'], q['stage'].replace('_', ' '), pill(q['verdict'], VERDICTS[q['verdict']]), q['n'],
                     'n/a' if q['success_cand'] is None else f'{q["success_cand"]} (reference {q["success_ref"]})',
                     'n/a' if pairs is None else f'{pairs["b"]} lost, {pairs["c"]} won',
                     'n/a' if difference is None or difference['value'] is None else
                     f'{difference["value"]:+.2f} pp, at least ' + ('n/a' if difference['lo'] is None else
                                                                     f'{difference["lo"]:+.2f}'),
                     None if q['margin_pp'] is None else q['margin_pp'], 'yes' if q['latency_injected'] else 'no',
                     q.get('detail', '')])
    return table(['backend', 'stage', 'verdict', 'pairs', 'successes', 'discordant', 'difference', 'margin (pp)',
                  'own latency', Html('')], rows)


def comparisons(document: Mapping[str, Any]) -> str:
    """Every ratio with its interval and the ratios of all pairs."""
    rows = []
    for c in document['comparisons']:
        ratio, told = c['ratio'], distinguishable(c['ratio'])
        rows.append([c['a'], c['b'], METRICS.get(c['metric'], c['metric']), estimate(ratio),
                     {True: 'yes', False: 'no', None: 'n/a'}[told],
                     ' '.join(f'{r:.3f}' for r in c['per_block'])])
    if not rows:
        return paragraph('One backend was measured: there is nothing to compare.', 'note')
    return table(['a', 'b', 'metric', 'a / b', 'told apart', 'ratio of each pair'], rows) + paragraph(
        'Blocks of one round were measured side by side and form a pair. Told apart: the 95 % interval leaves out 1.',
        'note')


def every_block(document: Mapping[str, Any]) -> str:
    """One line for each block, failed ones included."""
    rows = []
    for b in sorted(document['blocks'], key=lambda x: int(x['index'])):
        joules = [f'{m} {figures(j)} J' for m, j in b['energy_j'].items() if j is not None]
        rows.append([b['index'], b['kind'].replace('_', ' '), b['backend'], b['n_expected'], b['n_completed'],
                     b['n_skipped'], None if b['kind'].startswith('cache') else b['n_late'],
                     None if b['cpu_s'] is None else round(b['cpu_s'], 3),
                     ', '.join(joules) or 'none', b['temp_c']['start'], b['error'] or ''])
    return table(['#', 'kind', 'backend', 'ticks', 'completed', 'skipped', 'late', 'CPU (s)', 'energy', '°C', 'error'],
                 rows)


def backends(document: Mapping[str, Any]) -> str:
    """What was measured: versions, precision, loading."""
    rows = [[b['name'], b['version'], b['device'], b['precision'], b['threads']['intra'],
             None if b['load_s'] is None else round(b['load_s'], 3),
             None if b['first_inference_ms'] is None else round(b['first_inference_ms'], 2),
             None if b['peak_rss_mb'] is None else round(b['peak_rss_mb'], 1),
             (b['artifact_sha256'] or '')[:12]] for b in document['backends']]
    return table(['backend', 'version', 'device', 'precision', 'threads', 'load (s)', 'first inference (ms)',
                  'peak memory (MB)', 'artefact'], rows)


def value(e: Mapping[str, Any] | None, scale: float = 1.0) -> float | None:
    """The number of an estimate alone, scaled."""
    found = known(e)
    return None if found is None else found * scale
