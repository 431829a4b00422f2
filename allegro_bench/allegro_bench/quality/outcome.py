"""What the gate found, as tables for a terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from allegro_bench.quality.gate import Judged, Settings
from allegro_bench.quality.noninferiority import NOT_RUN
from allegro_bench.quality.per_success import per_success
from allegro_bench.statistics import figures


def open_table(judged: Sequence[Judged]) -> str:
    """The open-loop check, a line per candidate."""
    rows = [('candidate', 'observations', 'max mrad', 'p99 mrad', 'largest share of a joint\'s range', 'in joint')]
    for one in judged:
        found = one.deviation
        if found is None:
            rows.append((one.candidate.name, 'not run: ' + one.problem, '', '', '', ''))
            continue
        section = found.section()
        rows.append((one.candidate.name, str(found.n), _milli(section['max_rad']), _milli(section['p99_rad']),
                     'no number' if section['max_share_of_range'] is None
                     else f'{section["max_share_of_range"]:.2%}', found.worst))
    return aligned(rows)


def closed_table(judged: Sequence[Judged], reference: str, settings: Settings) -> str:
    """The verdicts, a line per candidate."""
    margin = 100.0 * settings.margin
    rows: list[tuple[str, ...]] = [(
        'candidate', 'pairs', 'success', reference, 'difference, points [95 % bounds]', 'only ref / only cand',
        'McNemar p', 'mean response', 'skipped', 'loop gave up', 'inferences per success', 'verdict')]
    for one in judged:
        found, counts = one.difference, one.counts
        if found is None or counts is None:
            rows.append((one.candidate.name, *('' for _ in range(10)), NOT_RUN))
            continue
        response = sum(p.late_ms for p in one.played) / len(one.played)
        ran, released = sum(p.inferences for p in one.played), sum(p.released for p in one.played)
        calls = per_success([p.inferences for p in one.played], [p.won for p in one.played])
        rows.append((
            one.candidate.name, str(found.n), f'{(counts.both + counts.only_b) / found.n:.1%}',
            f'{(counts.both + counts.only_a) / found.n:.1%}',
            f'{100 * found.value:+.1f} [{100 * found.lo:+.1f}, {100 * found.hi:+.1f}]',
            f'{counts.only_a} / {counts.only_b}', f'{counts.p:.2g}', f'{figures(response)} ms',
            f'{1 - ran / max(1, released):.1%}', f'{sum(p.gave_up for p in one.played) / found.n:.1%}', interval(calls),
            found.verdict(settings.margin)))
    return (aligned(rows) + f'\npass: the lower one-sided 95 % bound is above -{margin:g} points; fail: the upper one '
            'is below it; else inconclusive, which is no pass')


def cost_table(summary: Sequence[Mapping[str, Any]]) -> str:
    """What a successful grasp costs, from the summary of a result."""
    rows = [('backend', 'CPU s per success', 'J per success')]
    for entry in summary:
        joules, seconds = entry['j_per_success'], entry['cpu_s_per_success']
        if joules is None and seconds is None:
            continue
        kind = '' if joules is None or joules['value'] is None else f' ({joules["kind"]})'
        rows.append((entry['backend'], interval(seconds), interval(joules) + kind))
    return aligned(rows) if len(rows) > 1 else ''


def interval(found: Mapping[str, Any] | None) -> str:
    """A number with its interval, or ``none``."""
    if found is None or found['value'] is None:
        return 'none'
    low, high = (figures(found[k]) if found[k] is not None else 'unbounded' for k in ('lo', 'hi'))
    return f'{figures(found["value"])} [{low}, {high}]'


def aligned(rows: Sequence[Sequence[str]]) -> str:
    """Rows with columns of even width."""
    widths = [max(len(row[c]) for row in rows) for c in range(len(rows[0]))]
    return '\n'.join('  '.join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)).rstrip() for row in rows)


def _milli(value: float | None) -> str:
    return 'no number' if value is None else figures(1e3 * value)
