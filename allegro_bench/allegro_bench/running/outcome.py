"""What a run found, as a table for a terminal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from allegro_bench.statistics import figures


def table(document: Mapping[str, Any]) -> str:
    """One line per backend: response, engine alone, misses, CPU time, energy."""
    rows = [('backend', 'ticks', 'response p50 ms', 'p99 ms', 'max ms', 'engine p50 ms', 'missed', 'CPU ms/inference',
             'J/inference')]
    for entry in document['summary']:
        response, miss = entry['response_ms'], entry['miss']
        joules = [f'{m} {_value(e["gross_j_per_inference"])}' for m, e in entry['energy'].items()]
        rows.append((
            entry['backend'], str(entry['n_completed']), _value(response['p50']), _value(response['p99']),
            _value(response['max']), _value(entry['engine_ms']['p50']) if entry['engine_ms'] else 'n/a',
            f'{miss["missed"]}' if miss['rate'] is None else f'{miss["missed"]} ({miss["rate"]:.2%})',
            _value(entry['cpu_s_per_inference'], 1e3), ', '.join(joules) or 'none'))
    floor = next((e['floor_ms'] for e in document['summary'] if e['floor_ms'] is not None), None)
    widths = [max(len(row[c]) for row in rows) for c in range(len(rows[0]))]
    lines = ['  '.join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)).rstrip() for row in rows]
    words = 'n/a, too few ticks' if floor is None else f'{figures(floor)} ms'
    lines.append(f'floor of the harness (null backend, response p99): {words}')
    for row in document['comparisons']:
        if row['metric'] == 'response_ms.p50':
            each = ' '.join(f'{r:.3f}' for r in row['per_block'])
            lines.append(f'{row["a"]} / {row["b"]}: response p50 x {_value(row["ratio"])}  ({each})')
    return '\n'.join(line for line in lines if line)


def _value(found: Mapping[str, Any], scale: float = 1.0) -> str:
    if found['value'] is None:
        return f'n/a (need {found["needed"]})' if found.get('needed') else 'n/a'
    text = figures(found['value'] * scale)
    if found.get('lo') is None or found.get('hi') is None:
        return text
    return f'{text} [{figures(found["lo"] * scale)}, {figures(found["hi"] * scale)}]'
