"""``replay.html``: one file for a person who was not there, and the same in a few lines for a terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from allegro_description.errors import ConfigError

from allegro_bench.page import Html, facts, page, paragraph, pill, section, table
from allegro_bench.replay.findings import KINDS, Finding
from allegro_bench.replay.inputs import Inputs
from allegro_bench.replay.player import SCRIPT, STYLE, TEMPLATE
from allegro_bench.replay.scene import scene
from allegro_bench.replay.tables import GROUPS, number, share, working
from allegro_bench.replay.verdict import DIFFERS, LATE, OUTSIDE, RUNS

FILE = 'replay.html'
COLOURS = {RUNS: '#00805d', OUTSIDE: '#c2410c', LATE: '#b45309', DIFFERS: '#7c3aed'}
LEVELS = {'fault': '#c2410c', 'warning': '#b45309', 'note': '#667085'}
MOST_FINDINGS = 60


def write(folder: Path, document: Mapping[str, Any], inputs: Inputs, replayed: Sequence[Any]) -> Path:
    """Write the page beside the document and return its path.

    Raises:
        ConfigError: it cannot be written.
    """
    path = folder / FILE
    try:
        path.write_text(render(document, inputs, replayed), encoding='utf-8')
    except OSError as error:
        raise ConfigError(f'cannot write {path}: {error.strerror}; give another folder with --output') from error
    return path


def render(document: Mapping[str, Any], inputs: Inputs, replayed: Sequence[Any]) -> str:
    """The page as one HTML document, everything inside."""
    parts = [f'<style>{STYLE}</style>', _head(document), _verdicts(document), _findings(document),
             section('What happened', paragraph(
                 'Move over a plot, or along the slider: all plots and the hand show the same moment. Drag across a '
                 'plot to look closer, double-click to see everything again; drag the hand to turn it. Solid: '
                 'measured. Dashed: recorded target. Orange: what the policy would have commanded '
                 '(teacher-forced).', 'note'),
                 TEMPLATE, _data(scene(document, inputs, replayed))),
             section('Inputs as they came', _streams(document), _touch(document))]
    names = [p['name'] for p in working(document)]
    for title, meaning, rows in GROUPS:
        if names:
            parts.append(section(title, paragraph(meaning, 'note'), table([Html(''), *names], [
                [label, *values] for label, values in rows(document)])))
    parts += [section('What this cannot say', '<ul>' + ''.join(f'<li>{escape(s)}</li>' for s in document['cannot_say'])
                      + '</ul>'), _how(document)]
    return page(f'Replay of {document["recording"]["name"]}', '\n'.join(parts), SCRIPT)


def _data(values: str) -> str:
    return f'<script type="application/json" id="replay-data">{values}</script>'


def _head(document: Mapping[str, Any]) -> str:
    recording = document['recording']
    simulated = ' of a simulated hand' if recording['episodes'] else ''
    who = recording['controller'] or 'a controller that nobody names'
    hand = recording['hand'].replace('_', ' ')
    words = f'A recording{simulated} (Allegro {hand}), {recording["duration_s"]:.1f} s, commanded by {who}; ' \
        f'replayed {document["run"]["created_utc"]}.'
    return f'<h1>Replay of {escape(recording["name"])}</h1>{paragraph(words, "dim")}' \
        f'<p class="openloop">{escape(document["header"][0].upper() + document["header"][1:])}.</p>'


def _verdicts(document: Mapping[str, Any]) -> str:
    parts = []
    for policy in document['policies']:
        if policy['error'] is not None:
            parts.append(f'<div class="judged"><h3>{escape(policy["name"])}</h3><p><b>Could not be replayed:</b> '
                         f'{escape(policy["error"])}</p></div>')
            continue
        pills = ' '.join(pill(word, COLOURS[word]) for word in policy['verdict']) or 'no verdict'
        reasons = ''.join(f'<li>{escape(reason)}</li>' for reason in policy['reasons'])
        parts.append(f'<div class="judged"><h3>{escape(policy["name"])} {pills}</h3><ul>{reasons}</ul></div>')
    return ''.join(parts)


def _findings(document: Mapping[str, Any]) -> str:
    found = [Finding(**f) for f in document['findings']]
    if not found:
        return section('Findings', paragraph('None: no fault of the recording and none of what is said about the '
                                             'policies was found.'))
    parts = [
        f'<div class="finding" style="border-color:{LEVELS[f.level]}"><p>{pill(f.level, LEVELS[f.level])}'
        f'<b>{escape(f.kind.replace("_", " "))}</b> {escape(f.topic + ", " if f.topic else "")}{escape(f.when)}</p>'
        f'<p>{escape(f.text)}.</p><p class="dim">{escape(f.remedy)}.</p></div>' for f in found[:MOST_FINDINGS]]
    kinds = sorted({f.kind for f in found})
    more = paragraph(f'{len(found) - MOST_FINDINGS} more are in replay.json.', 'note') if len(
        found) > MOST_FINDINGS else ''
    meaning = paragraph('; '.join(f'{k.replace("_", " ")}: {KINDS[k]}' for k in kinds) + '.', 'note')
    return section('Findings', *parts, more, meaning)


def _streams(document: Mapping[str, Any]) -> str:
    health = document['input_health']
    rows = []
    for s in health['streams']:
        age = s['age_on_arrival_ms']
        ages = 'n/a' if age is None else f'{number(age["median"])} / {number(age["greatest"])}'
        rows.append([s['topic'], s['messages'], number(s['rate_hz']), number(s['period_ms']), number(s['jitter_ms']),
                     f'{number(s["longest_gap_ms"])} at {number(s["longest_gap_at_s"], "s")}', s['gaps'], s['repeated'],
                     s['out_of_order'], ages,
                     share(s['invalid_values'])])
    used = health['age_at_use']
    words = '; '.join(f'{label} {number(v["median"])} ms, at most {number(v["greatest"])} ms' for label, v in (
        ('joint states', used['joint_states_ms']), ('touch', used['touch_ms'])) if v is not None)
    return table(['topic', 'messages', 'rate (Hz)', 'period (ms)', 'jitter p99 (ms)', 'longest gap (ms)', 'gaps',
                  'same stamp', 'out of order', 'age on arrival (ms): median / greatest', 'invalid'], rows) + paragraph(
        f'Age at use: {words or "n/a"}. {health["clock"]}; joints matched by {health["joints_matched_by"]}.', 'note')


def _touch(document: Mapping[str, Any]) -> str:
    rows = [[t['taxel'], t['finger'], 'tip' if t['tip'] else '', share(t['valid']), number(t['greatest_kpa']),
             share(t['pressed'])] for t in document['input_health']['touch']]
    if not rows:
        return ''
    head = ['cell', 'finger', Html(''), 'valid', 'greatest (kPa)', 'pressed']
    return f'<details><summary>touch cells</summary>{table(head, rows)}</details>'


def _how(document: Mapping[str, Any]) -> str:
    recording, options = document['recording'], document['run']['options']
    sources = recording['sources']
    rows: list[tuple[str, Any]] = [
        ('Recording', sources.get('path', recording['name'])),
        ('Files (SHA-256)', Html('<br>'.join(f'{escape(k)}: <code>{escape(v)}</code>' for k, v in dict(
            sources.get('files', {})).items()) or '–')),
        ('Format', ', '.join(str(v) for v in (sources.get('storage'), sources.get('profile'),
                                              sources.get('distribution')) if v)),
        *((f'Recorded: {k}', v) for k, v in dict(sources.get('metadata', {})).items()),
        ('Controller', f'{recording["controller"]} (said by the {recording["controller_said_by"]})'
         if recording['controller'] else None),
        ('Engines', ', '.join(options['engines'])),
        *((f'{p["name"]}: fingerprint', p['fingerprint']) for p in working(document)),
        *((f'{p["name"]}: seen in training?', 'yes' if p['leakage']['leaked'] else
           f'no: none of {p["leakage"]["hashes_known"]} files among the {p["leakage"]["recordings_named"]} recordings '
           f'that {p["leakage"]["record"]} names') for p in working(document)),
        ('Document', f'{document["schema"]["name"]} v{document["schema"]["version"]}, replay.json'),
    ]
    return section('How it was made', facts(rows))


def text(document: Mapping[str, Any]) -> str:
    """The report in a few lines for a terminal."""
    lines = [document['header']]
    for policy in document['policies']:
        if policy['error'] is not None:
            lines.append(f'{policy["name"]}: could not be replayed: {policy["error"]}')
            continue
        lines.append(f'{policy["name"]}: {", ".join(policy["verdict"]) or "no verdict"}')
        lines += [f'  {reason}' for reason in policy['reasons']]
        lines += [f'  {label}: {values[0]}' for title, _, rows in GROUPS if title in ('Determinism', 'Touch use')
                  for label, values in rows({**document, 'policies': [policy]})[:6]]
    for found in document['findings']:
        f = Finding(**found)
        lines.append(f'{f.level}: {f.kind.replace("_", " ")}: {f.topic + ", " if f.topic else ""}{f.when}: {f.text}. '
                     f'{f.remedy}')
    return '\n'.join(lines)
