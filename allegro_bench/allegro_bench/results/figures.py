"""Figures of a benchmark's report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

import numpy as np
from numpy.typing import NDArray

from allegro_bench import charts
from allegro_bench.charts import (
    CYCLE,
    GREY,
    POINTS,
    RED,
    fade,
    layout,
    log_ticks,
    rounded,
    thin,
)
from allegro_bench.latency import Ticks
from allegro_bench.results.intervals import known

MARKS = {'p50': 'circle', 'p90': 'diamond', 'p99': 'square', 'p999': 'triangle-up'}
NAMES = {'p50': 'median', 'p90': 'p90', 'p99': 'p99', 'p999': 'p99.9'}
SYMBOLS = {'pass': 'circle', 'fail': 'x', 'inconclusive': 'diamond', 'not_run': 'circle-open', None: 'circle-open'}
MANY = (*CYCLE, '#AA4499', '#117733', '#882255', '#B8860B', '#332288', '#7A9E1F')
LEGEND = 14
"""Height that a name in the legend is given."""
EACH = 160
"""Points per block on the time line."""


def colours(names: Sequence[str]) -> dict[str, str]:
    """One colour for each backend, the same in every figure."""
    return {name: MANY[i % len(MANY)] for i, name in enumerate(names)}


def _log_x(figure: Any, low: float, high: float, title: str) -> None:
    marks = log_ticks(low, high)
    if np.log10(high / low) > 1.5:  # a phone has room for so many labels only
        marks = [m for m in marks if f'{m:e}'.startswith('1.0')]
    figure.update_xaxes(type='log', tickvals=marks, ticktext=[f'{m:g}' for m in marks], title_text=title,
                        range=[np.log10(low / 1.4), np.log10(high * 1.4)])


def percentiles(summary: Sequence[Mapping[str, Any]], deadline_ms: float) -> Any:
    """Percentiles of the response with their intervals, one line per backend, with floor and deadline."""
    rows = [(e['backend'], name, e['response_ms'][name]) for e in summary for name in MARKS
            if known(e['response_ms'][name]) is not None]
    if not rows:
        return None
    colour, figure = colours([e['backend'] for e in summary]), charts.go.Figure()
    for name, symbol in MARKS.items():
        mine = [(b, e) for b, n, e in rows if n == name]
        if mine:
            figure.add_scatter(
                x=[e['value'] for _, e in mine], y=[escape(b) for b, _ in mine], mode='markers', name=NAMES[name],
                marker={'symbol': symbol, 'size': 9, 'color': [colour[b] for b, _ in mine]},
                error_x={'type': 'data', 'symmetric': False, 'array': [e['hi'] - e['value'] for _, e in mine],
                         'arrayminus': [e['value'] - e['lo'] for _, e in mine], 'thickness': 1.5, 'width': 4,
                         'color': GREY}, hovertemplate='%{y}: %{x:.4g} ms')
    values = [v for _, _, e in rows for v in (e['lo'], e['hi'])]
    floors = [e['floor_ms'] for e in summary if e['floor_ms'] is not None]
    low, high = min([*values, *floors]), max(values)
    layout(figure, 120 + 46 * len(summary))
    if floors:
        figure.add_vrect(x0=low / 10, x1=floors[0], fillcolor=fade(GREY), line_width=0, layer='below')
    if deadline_ms < high * 6:
        high = max(high, deadline_ms)
        figure.add_vline(x=deadline_ms, line={'color': RED, 'dash': 'dash', 'width': 1.3})
    _log_x(figure, low, high, 'response (ms, logarithmic)')
    figure.update_yaxes(type='category', range=[len(summary) - 0.4, -0.6])
    return figure


def tails(responses: Mapping[str, NDArray[np.int64]], deadline_ms: float) -> Any:
    """Which share of the ticks takes longer: one line per backend."""
    drawn = {n: np.sort(v[v > 0]) * 1e-6 for n, v in responses.items() if (v > 0).sum() > 1}
    if not drawn:
        return None
    figure, colour = charts.go.Figure(), colours(list(responses))
    for name, ordered in drawn.items():
        n = len(ordered)
        chosen = np.unique(np.geomspace(1, n, min(POINTS // 2, n)).astype(int))
        figure.add_scatter(x=rounded(ordered[-chosen][::-1]), y=rounded((chosen / n * 100)[::-1]), mode='lines',
                           name=escape(name), line={'color': colour[name], 'width': 1.8, 'shape': 'hv'},
                           hovertemplate='%{y:.3g} % take longer than %{x:.3g} ms')
    low, high = min(v[0] for v in drawn.values()), max(v[-1] for v in drawn.values())
    layout(figure, 380 + LEGEND * len(drawn), y='share of ticks that takes longer (%)')
    if deadline_ms < high * 6:
        high = max(high, deadline_ms)
        figure.add_vline(x=deadline_ms, line={'color': RED, 'dash': 'dash', 'width': 1.3})
    _log_x(figure, low, high, 'response (ms, logarithmic)')
    figure.update_yaxes(type='log', tickvals=[100, 10, 1, 0.1, 0.01], ticktext=['100', '10', '1', '0.1', '0.01'])
    return figure


def time_line(blocks: Sequence[tuple[Mapping[str, Any], Ticks]], names: Sequence[str], deadline_ms: float) -> Any:
    """Response of every block over the time of the run: peaks are kept, all blocks are there."""
    if not any(len(run.completed) for _, run in blocks):
        return None
    figure, colour, shown = charts.go.Figure(), colours(names), set()
    begin = min(b['t0_monotonic_ns'] for b, _ in blocks)
    low, high = np.inf, deadline_ms
    for block, run in blocks:
        done = run.completed
        if not len(done):
            continue
        values = np.maximum(run.response_ns() * 1e-6, 1e-6)
        low, high = min(low, float(values.min())), max(high, float(values.max()))
        t, v = thin((done.release_ns - begin) * 1e-9, values, EACH)
        name = block['backend'] if block['kind'] == 'measure' else f'{block["kind"]} ({block["backend"]})' \
            if block['kind'] == 'reference' else block['kind']
        figure.add_scatter(x=rounded(t), y=rounded(v), mode='markers', name=escape(name), legendgroup=name,
                           showlegend=name not in shown, hovertemplate='%{x:.1f} s: %{y:.3g} ms',
                           marker={'color': colour.get(name, GREY), 'size': 3.5,
                                   'symbol': 'circle' if block['kind'] == 'measure' else 'x'})
        shown.add(name)
    layout(figure, 360 + LEGEND * len(names), y='response (ms, logarithmic)', x='time since the first block (s)')
    figure.update_layout(legend={'itemsizing': 'constant'})
    figure.add_hline(y=deadline_ms, line={'color': RED, 'dash': 'dash', 'width': 1.3})
    marks = log_ticks(float(low), float(high))
    figure.update_yaxes(type='log', tickvals=marks, ticktext=[f'{m:g}' for m in marks])
    return figure


def pareto(summary: Sequence[Mapping[str, Any]], costs: Mapping[str, Mapping[str, Any]], unit: str, scale: float,
           verdicts: Mapping[str, str | None]) -> Any:
    """Response p99 against what an inference costs; symbol: what the quality gate said; line: nothing is better.

    Args:
        summary: of the result.
        costs: estimate of the cost per inference by backend.
        unit: of the cost after ``scale``.
        scale: what the stored cost is multiplied with.
        verdicts: of the quality gate by backend; None where it was not run.
    """
    rows = [(e['backend'], e['response_ms']['p99'], costs[e['backend']]) for e in summary]
    rows = [(n, p, c) for n, p, c in rows if known(p) is not None and known(c) is not None]
    if not rows:
        return None
    figure = charts.go.Figure()
    front, best = [], np.inf
    for _, p, c in sorted(rows, key=lambda r: (r[1]['value'], r[2]['value'])):
        if c['value'] < best:
            front.append((p['value'], c['value'] * scale))
            best = c['value']
    figure.add_scatter(x=[x for x, _ in front], y=[y for _, y in front], mode='lines', hoverinfo='skip',
                       name='no other is better in both',
                       line={'color': GREY, 'width': 1.2, 'dash': 'dot', 'shape': 'hv'})
    colour = colours([e['backend'] for e in summary])
    for name, p, c in rows:
        verdict = verdicts.get(name)
        ends = {axis: {'type': 'data', 'symmetric': False, 'thickness': 1.2, 'width': 3, 'color': colour[name],
                       'array': [((e['hi'] or e['value']) - e['value']) * s],
                       'arrayminus': [(e['value'] - (e['lo'] or e['value'])) * s]}
                for axis, e, s in (('x', p, 1.0), ('y', c, scale))}
        figure.add_scatter(
            x=[p['value']], y=[c['value'] * scale], mode='markers', error_x=ends['x'], error_y=ends['y'],
            name=escape(f'{name}: {verdict}' if verdict else name),
            marker={'size': 11, 'color': colour[name], 'symbol': SYMBOLS[verdict], 'line': {'width': 2}},
            hovertemplate='%{x:.4g} ms, %{y:.4g} ' + unit)
    lows, highs = min(p['lo'] for _, p, _ in rows), max(p['hi'] for _, p, _ in rows)
    layout(figure, 380 + LEGEND * len(rows), y=f'{unit} per inference')
    _log_x(figure, lows / 1.15, highs * 1.15, 'response p99 (ms, logarithmic)')
    figure.update_yaxes(range=[0, max(c['hi'] or c['value'] for _, _, c in rows) * scale * 1.2])
    return figure


def each_block(rows: Mapping[str, Mapping[int, float]], names: Sequence[str], title: str) -> Any:
    """A number of every block by round, so that a drift or a stray block is seen."""
    drawn = {n: rows[n] for n in names if rows.get(n)}
    if not drawn:
        return None
    figure, colour = charts.go.Figure(), colours(names)
    for name, mine in drawn.items():
        figure.add_scatter(x=[r + 1 for r in mine], y=list(mine.values()), mode='lines+markers', name=escape(name),
                           line={'color': colour[name], 'width': 1.2}, marker={'size': 7},
                           hovertemplate='round %{x}: %{y:.4g}')
    layout(figure, 300 + LEGEND * len(drawn), y=title, x='round')
    last = max(r for mine in drawn.values() for r in mine) + 1
    figure.update_xaxes(dtick=1, range=[0.5, last + 0.5])
    figure.update_yaxes(rangemode='tozero')
    return figure


__all__ = ['each_block', 'pareto', 'percentiles', 'tails', 'time_line']
