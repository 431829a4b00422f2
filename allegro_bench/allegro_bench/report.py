"""``report.html`` of a run: what was run, how it went, what it cost, and how far the numbers may be believed."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
from allegro_description.errors import ConfigError
from allegro_description.model import HandModel, load_hand

from allegro_bench import result as results
from allegro_bench.page import Html, card, facts, figure, page, paragraph, pill, section, table
from allegro_bench.record import SeriesRecord, TickRecord, load_series, load_ticks
from allegro_bench.statistics import figures

REPORT_FILE = 'report.html'
MOST_ROWS = 60
MEANING = {
    'valid': 'Valid.',
    'degraded': 'Degraded: usable with the reservations listed under “How far to believe it”.',
    'invalid': 'Invalid: do not use these numbers; the reasons are listed under “How far to believe it”.',
}


def write(folder: Path) -> Path:
    """Write ``report.html`` from the files of a run folder, and return its path.

    Raises:
        ConfigError: a file is missing or damaged, or the report cannot be written.
        MissingDependency: plotly is not installed.
    """
    result, ticks, series = results.load(folder), load_ticks(folder), load_series(folder)
    parameters = result['run']['parameters']
    model = load_hand(parameters['model'], parameters['side'])
    path = folder / REPORT_FILE
    try:
        path.write_text(render(result, ticks, series, model), encoding='utf-8')
    except OSError as error:
        raise ConfigError(f'cannot write {path}: {error}') from error
    return path


def render(result: Mapping[str, Any], ticks: TickRecord, series: SeriesRecord, model: HandModel) -> str:
    """The report as one HTML document."""
    from allegro_bench import charts

    run, _ = ticks.restored()
    rows = result['episodes']['rows']
    end_s = result['run']['duration_s']
    deadline = result['workload']['deadline_ms']
    drawn: list[str] = []

    def draw(chart: Any, caption: str, otherwise: str) -> str:
        if chart is None:
            return paragraph(otherwise, 'note')
        drawn.append(charts.html(chart, len(drawn)))
        return figure(drawn[-1], caption)

    bands = ' Shaded: episodes, coloured by how they ended.' if rows else ''
    parts = [_head(result), _cards(result)]
    parts.append(section(
        'Episodes', _episode_words(result),
        draw(charts.episodes(rows, end_s) if rows else None, 'Each bar is one episode, with its number.',
             'No episode was announced on the topic episode.'),
        _episode_table(rows, charts.OUTCOMES) if rows else ''))
    latency = [paragraph('Response runs from the scheduled release of a tick to its finish and is the headline: it '
                         'contains the wait that a stalled loop causes. Skipped ticks have no response; they count as '
                         'missed, below. Service is the inference alone. End to end is the time '
                         + (result['summary'][0]['end_to_end_ms']['scope'] if result['summary'] else ''))]
    for number, entry in enumerate(result['summary']):
        mine = run[run.backend == number]
        warm = entry['warmup']['n']
        ages, age_rows = ticks.command_ages()
        counted = np.isin(age_rows, np.flatnonzero(ticks.done[:, 4] == number)[warm:])
        values = {'response_ms': mine.response_ns()[warm:] * 1e-6, 'service_ms': mine.service_ns()[warm:] * 1e-6,
                  'end_to_end_ms': ages[counted] * 1e-6}
        latency.append(draw(
            charts.distributions(values, entry, deadline),
            f'{entry["backend"]}: left, how the times are spread; right, the tail, with percentiles and their 95 % '
            'intervals. Dashed: the deadline.', 'Too few ticks for a distribution.'))
        latency.append(_percentile_table(entry))
    has_ticks = len(ticks.done) > 1
    latency.append(draw(charts.response(run, ticks, deadline, rows, end_s) if has_ticks else None,
                        'Response of every tick, warm-up included.' + bands, 'No tick was heard.'))
    parts.append(section('Latency', *latency))
    deadline_ns = round((deadline or 0.0) * 1e6)
    parts.append(section(
        'Missed ticks', _miss_table(result),
        draw(charts.misses(run, ticks, deadline_ns, end_s) if has_ticks and run.missed(deadline_ns).any() else None,
             'A tick is missed if it finishes after its deadline (late) or is not begun at all (skipped).',
             'Not one tick was missed.' if has_ticks else 'No tick was heard.')))
    parameters = result['run']['parameters']
    driver = parameters['driver_node']
    parts.append(section(
        'Driver loop', _said_table(result['driver']),
        draw(charts.driver_loop(series, driver, end_s),
             f'As {driver} itself publishes them once per second; not measured by the profiler.',
             f'{driver} published no loop timing.')))
    parts.append(section(
        'Policy loop', _said_table(result['policy']) or paragraph('The policy published no figures.', 'note'),
        paragraph(f'As {parameters["policy_node"]} itself publishes them; counts run since it was started.', 'note')
        if result['policy'] else ''))
    parts.append(section(
        'Processor', _cpu_words(result), _cpu_table(result),
        draw(charts.cpu(series, result['processes'], rows, end_s),
             'CPU of each process, from the kernel\'s count. Dotted: all processes of the machine together.' + bands,
             'No node announced a process id.')))
    parts.append(section('Energy', *_energy(result)))
    parts.append(section(
        'Touch', draw(charts.touch(series, [f.name for f in model.fingers], rows, end_s),
                      'Pressure at the fingertips above baseline.' + bands, 'No touch was recorded.')))
    parts.append(section(
        'Torque', draw(charts.torque(series, np.asarray(model.flexion), rows, end_s),
                       'Measured joint torque (current over the vendor\'s constant).' + bands,
                       'No joint torque was recorded.')))
    parts += [_belief(result), _system(result), _how(result)]
    return page('Allegro Hand: inference profile', '\n'.join(parts), charts.get_plotlyjs())


def _digits(value: float | None, unit: str = '') -> str:
    return 'n/a' if value is None else f'{figures(value)}{" " + unit if unit else ""}'


def _seconds(value: float | None) -> str:
    return _digits(None) if value is None else _digits(value * 1e3, 'ms') if value >= 1e-4 else _digits(
        value * 1e6, 'µs')


def _estimate(e: Mapping[str, Any], unit: str = '', scale: float = 1.0) -> str:
    if e['value'] is None:
        return f'n/a (need {e["needed"]})' if e.get('needed') else 'n/a'
    return f'{figures(e["value"] * scale)}{unit} [{figures(e["lo"] * scale)}, {figures(e["hi"] * scale)}]'


def _what(result: Mapping[str, Any]) -> str:
    kind = {'sim': 'a simulated hand', 'hand': 'a real hand', None: 'a hand (nothing says whether real or simulated)'}
    name = result['workload']['hand']['name'].replace('_', ' ')
    return f'{kind[result["workload"]["source"]["kind"]]}, Allegro {name}'


def _head(result: Mapping[str, Any]) -> str:
    run, status = result['run'], result['validity']['status']
    sentence = []
    for entry in result['summary']:
        e, miss = entry['response_ms']['p99'], entry['miss']
        sentence.append(
            f'{entry["backend"]} at {result["workload"]["control_rate_hz"]:.4g} Hz: response p99 {_estimate(e, " ms")} '
            f'of {result["workload"]["deadline_ms"]:.3g} ms allowed; {miss["missed"]} of {miss["n"]} ticks missed'
            + (f' ({_estimate(miss, " %", 100)}).' if miss['n'] else '.'))
    tally = result['episodes']
    if tally['n']:
        sentence.append(f'{tally["held"]} of {tally["n"]} objects held.')
    holds = result['policy'].get('holds')
    if holds and holds['max'] > 0:
        sentence.append(f'The policy put the hand on hold {holds["max"]:.0f} times.')
    sentence.append('Energy: ' + ('measured.' if result['meters'] else 'not measured.'))
    when = f'Measured on {_what(result)}, {run["created_utc"]}, for {run["duration_s"]:.0f} s.'
    return (f'<h1>Inference profile</h1>{paragraph(when, "dim")}<div class="verdict {status}"><b>{status.upper()}</b>'
            f'{escape(" ".join(sentence))} {MEANING[status]}</div>'
            + facts(_run_facts(result)))


def _run_facts(result: Mapping[str, Any]) -> list[tuple[str, Any]]:
    work, system = result['workload'], result['system']
    rows: list[tuple[str, Any]] = [('Policy' if k == 'policy' else f'Policy: {k}', v)
                                   for k, v in sorted(work['policy'].items(), key=lambda item: item[0] != 'policy')]
    rows += [
        ('Backend', ', '.join(b['name'] for b in result['backends'])),
        ('Control rate', None if work['control_rate_hz'] is None else f'{work["control_rate_hz"]:.4g} Hz'),
        ('Deadline', None if work['deadline_ms'] is None else f'{work["deadline_ms"]:.4g} ms after release'),
        ('Machine', ', '.join(str(p) for p in (system['cpu']['model'], f'{system["cpu"]["cores"]} cores',
                                               system['host_class']) if p)),
    ]
    return rows


def _cards(result: Mapping[str, Any]) -> str:
    cards = []
    for entry in result['summary'][:1]:
        response, miss, end = entry['response_ms'], entry['miss'], entry['end_to_end_ms']
        median, worst = _digits(response['p50']['value'], 'ms'), _digits(response['max'], 'ms')
        cards.append(card('Response p99', _digits(response['p99']['value'], 'ms'),
                          f'median {median}, slowest {worst}, n {response["n"]}'))
        cards.append(card('Missed ticks', f'{_digits(None if miss["value"] is None else 100 * miss["value"])} %',
                          f'{miss["late"]} late, {miss["skipped"]} skipped, longest run {miss["longest_run"]}'))
        cards.append(card('End to end p50', _digits(end['p50']['value'], 'ms'),
                          f'p99 {_digits(end["p99"]["value"], "ms")}, n {end["n"]}'))
        used = entry['cpu_s_per_inference']
        cards.append(card('CPU per inference', _seconds(None if used is None else used['value']),
                          'whole policy process, measured'))
    tally = result['episodes']
    cards.append(card('Objects held', f'{tally["held"]} of {tally["n"]}' if tally['n'] else 'n/a',
                      _between(tally['held_rate']) if tally['n'] else 'no episodes'))
    cards.append(card('Energy', result['energy_source']['name'] if not result['meters'] else _joules(result),
                      'not measured; why: below' if not result['meters'] else 'per inference, gross'))
    return f'<div class="cards">{"".join(cards)}</div>'


def _between(rate: Mapping[str, Any]) -> str:
    return f'95 % interval {100 * rate["lo"]:.0f} to {100 * rate["hi"]:.0f} %'


def _joules(result: Mapping[str, Any]) -> str:
    for entry in result['summary']:
        for energy in entry['energy'].values():
            if energy['gross_j_per_inference'] is not None:
                return _digits(energy['gross_j_per_inference'], 'J')
    return 'n/a'


def _episode_words(result: Mapping[str, Any]) -> str:
    tally = result['episodes']
    if not tally['n']:
        return ''
    sim = ' The hand and the objects are simulated.' if result['workload']['source']['kind'] == 'sim' else ''
    return paragraph(f'{tally["held"]} of {tally["n"]} finished episodes ended with the object held '
                     f'({_estimate(tally["held_rate"], " %", 100)}, Wilson), {tally["success"]} also within the bounds '
                     f'on force and torque.{sim} With so few episodes this shows whether it works, not how well.'
                     if tally['n'] < 100 else
                     f'{tally["held"]} of {tally["n"]} held ({_estimate(tally["held_rate"], " %", 100)}).{sim}')


def _episode_table(rows: list[dict[str, Any]], colours: Mapping[str, str]) -> str:
    columns = (('#', 'index'), ('start (s)', 'start_s'), ('shape', 'shape'), ('level', 'level'), ('seed', 'seed'),
               ('mass (kg)', 'mass_kg'), ('grip', 'grip_class'), ('outcome', 'outcome'),
               ('dropped at (s)', 'dropped_at_s'), ('slip (mm)', 'slip_mm'), ('turn (°)', 'turn_deg'),
               ('mean torque (N·m)', 'mean_torque_nm'), ('tip force p99 (N)', 'p99_tip_force_n'))
    body = [[pill(r['outcome'], colours[r['outcome']]) if key == 'outcome' else _short(r.get(key), key)
             for _, key in columns] for r in rows[-MOST_ROWS:]]
    more = paragraph(f'The last {MOST_ROWS} of {len(rows)}; all are in result.json.', 'note') \
        if len(rows) > MOST_ROWS else ''
    return table([name for name, _ in columns], body) + more


def _short(value: Any, key: str) -> Any:
    places = {'start_s': 1, 'dropped_at_s': 1, 'slip_mm': 1, 'turn_deg': 1, 'p99_tip_force_n': 2}.get(key, 3)
    return round(value, places) if isinstance(value, float) else value


def _percentile_table(entry: Mapping[str, Any]) -> str:
    rows = []
    for name, key, unit in (('response', 'response_ms', 'ms'), ('service', 'service_ms', 'ms'),
                            ('end to end', 'end_to_end_ms', 'ms'), ('release jitter', 'jitter_us', 'µs')):
        e = entry[key]
        rows.append([f'{name} ({unit})', *(_estimate(e[p]) for p in ('p50', 'p90', 'p95', 'p99', 'p999')),
                     _digits(e['max']), e['n']])
    cold = entry['warmup']
    note = (f'Nearest-rank percentiles with 95 % intervals. The maximum is that of the sample. Left out as warm-up: '
            f'the first {cold["n"]} ticks (slowest response {_digits(cold["max_response_ms"], "ms")}, '
            f'{cold["missed"]} missed); first inference {_digits(entry["first_inference_ms"], "ms")}.')
    return table([Html(''), 'p50', 'p90', 'p95', 'p99', 'p99.9', 'maximum', 'n'], rows) + paragraph(note, 'note')


def _miss_table(result: Mapping[str, Any]) -> str:
    rows = []
    for entry in result['summary']:
        miss = entry['miss']
        rows.append([entry['backend'], _estimate(miss, ' %', 100), miss['n'], miss['late'], miss['skipped'],
                     miss['longest_run'], *miss['mk'].values(), miss['worst_second'],
                     _digits(entry['achieved_rate_hz'], 'Hz')])
    windows = [f'most in {k}' for entry in result['summary'][:1] for k in entry['miss']['mk']]
    return table(['backend', 'miss rate', 'ticks', 'late', 'skipped', 'longest run', *windows, 'worst second',
                  'achieved rate'], rows) if rows else ''


def _said_table(said: Mapping[str, Any]) -> str:
    rows = [[Html(f'<code>{key}</code>') if key.isidentifier() else key,
             *(figures(v[c], 4) for c in ('last', 'mean', 'least', 'greatest'))] for key, v in (
        (key, {**v, 'least': v['min'], 'greatest': v['max']}) for key, v in said.items())]
    return table(['value', 'last', 'mean', 'least', 'greatest'], rows) if rows else ''


def _cpu_words(result: Mapping[str, Any]) -> str:
    found = [(e['backend'], e['cpu_s_per_inference']) for e in result['summary']]
    return ''.join(paragraph(
        f'{name}: {_seconds(used["value"])} of CPU time per inference over {used["n"]} inferences '
        f'({used["window_s"]:.0f} s); this is {used["scope"]}.') for name, used in found if used and used['value'])


def _cpu_table(result: Mapping[str, Any]) -> str:
    source = {'proc': 'kernel of this machine', 'reported': 'the node itself'}
    rows = [[n['name'], None if n['cpu_percent_mean'] is None else round(n['cpu_percent_mean'], 1),
             None if n['cpu_percent_max_1s'] is None else round(n['cpu_percent_max_1s'], 1), source[n['source']]]
            for n in sorted(result['nodes'], key=lambda n: n['pid'] == 0)]
    return table(['process', 'mean (% of one core)', 'busiest second', 'counted by'], rows) if rows else ''


def _energy(result: Mapping[str, Any]) -> list[str]:
    hand = [facts([('Energy that the hand took', f'unknown: {result["actuation"]["reason"]}')])] if (
        'actuation' in result) else []
    if not result['meters']:
        return [paragraph('Energy source: none. Joules are unknown here and are not guessed from load or data sheets; '
                          'compare CPU time per inference instead.'),
                facts([('Why there is no meter', result['energy_source']['reason'])]), *hand]
    rows = [[m['id'], m['boundary'], m['quality'], _digits(e['gross_j'], 'J'), _digits(
        e['gross_j_per_inference'], 'J'), _digits(e['wh_per_hour'], 'Wh/h'), e['why'] or '', ', '.join(m['overlaps'])]
        for entry in result['summary'] for m in result['meters'] for e in [entry['energy'].get(m['id'])] if e]
    return [paragraph('Gross energy of all that runs within the boundary, simulation included where there is one; '
                      'channels that overlap must not be added up.'),
            table(['channel', 'boundary', 'quality', 'total', 'per inference', 'at this rate', 'unknown because',
                   'overlaps'], rows), *hand]


def _belief(result: Mapping[str, Any]) -> str:
    validity, account = result['validity'], result['account']
    rows = [[r['code'].replace('_', ' '), r['detail'], r['recommendation']] for r in validity['reasons']]
    words = (f'Put back from the policy\'s own tick count: {account["skipped"]} skipped ticks, of which '
             f'{account["unexplained"]} without a busy tick before them. Stretches of unbroken schedule: '
             f'{account["segments"]}; pauses between grasps: {account["pauses"]}.')
    listing = table(['reservation', 'what was found', 'what to do'], rows) if rows else paragraph('No reservations.')
    return section('How far to believe it', listing, paragraph(words, 'note'))


def _system(result: Mapping[str, Any]) -> str:
    system = result['system']
    cpu = system['cpu']
    rows: list[tuple[str, Any]] = [
        ('Fingerprint', system['id']), ('Class', system['host_class']), ('Board', system['board']),
        ('CPU', cpu['model']), ('Logical cores', cpu['cores']), ('SMT', cpu['smt']), ('Governor', cpu['governor']),
        ('Memory', None if system['ram_gb'] is None else f'{system["ram_gb"]:g} GB'), ('System', system['os']),
        ('Kernel', system['kernel']), ('PREEMPT_RT', system['preempt_rt']), ('Virtual machine', system['virtualised']),
        ('Container', system['container']), ('Power', system['power_source']), ('ROS', system['ros_distro']),
        ('Middleware', system['rmw']), ('Python', system['python']),
        ('Libraries', ', '.join(f'{k} {v}' for k, v in system['libs'].items())),
        ('Hand description', result['workload']['hand']['description_sha256'][:16] + '…'),
    ]
    return section('Machine', paragraph('A dash is something that could not be found out.', 'note'), facts(rows))


def _how(result: Mapping[str, Any]) -> str:
    files = ', '.join(f['path'] for f in result['provenance']['files'])
    return section('How it was measured', paragraph(
        f'The profiler only listened: tick stamps come from the policy, on the clock: {result["run"]["clock"]}. '
        f'Every tick is kept ({files}); allegro-bench verify computes these numbers again from them, and '
        'allegro-bench report makes this page again. A live profile describes this run; it is no benchmark to '
        'publish.'))
