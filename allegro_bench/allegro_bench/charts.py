"""The report's figures. The only module that needs plotly; everything is downsampled before it is embedded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

import numpy as np
from allegro_description.errors import MissingDependency
from allegro_description.state import Array
from numpy.typing import NDArray

from allegro_bench.latency import PERCENTILES, Ticks
from allegro_bench.record import SeriesRecord, TickRecord
from allegro_bench.summary import cpu_percent

try:
    from plotly import graph_objects as go
    from plotly.offline import get_plotlyjs
    from plotly.subplots import make_subplots
except ImportError as error:
    raise MissingDependency('the HTML report needs plotly: pip install plotly') from error

__all__ = ['get_plotlyjs', 'go']

POINTS = 1200
BINS = 60
# Okabe and Ito's colours: told apart by colour-blind readers and in grey print.
BLUE, ORANGE, GREEN, RED, PURPLE, SKY, GREY = (
    '#0072B2', '#E69F00', '#009E73', '#D55E00', '#CC79A7', '#56B4E9', '#667085')
CYCLE = (BLUE, ORANGE, GREEN, PURPLE, SKY, RED, '#8B6B00', '#444444')
OUTCOMES = {'held': GREEN, 'dropped': RED, 'lost': ORANGE, 'stopped': GREY, 'running': SKY}
INK, GRID = '#1f2933', '#e4e7eb'


def thin(time: NDArray[Any], values: NDArray[Any], limit: int = POINTS) -> tuple[NDArray[Any], NDArray[Any]]:
    """At most ``limit`` points that keep every peak: the least and the greatest value of each stretch, in order."""
    if len(time) <= limit:
        return time, values
    keep: list[int] = []
    for stretch in np.array_split(np.arange(len(time)), max(1, limit // 2)):
        inside = values[stretch]
        if np.isnan(inside).all():
            keep.append(int(stretch[0]))
            continue
        keep += sorted({int(stretch[np.nanargmin(inside)]), int(stretch[np.nanargmax(inside)])})
    return time[keep], values[keep]


def layout(figure: Any, height: int, *, y: str = '', x: str = '', end_s: float | None = None) -> Any:
    """Give a figure the look of all figures; returns it."""
    figure.update_layout(
        height=height, template='none', paper_bgcolor='#ffffff', plot_bgcolor='#ffffff', showlegend=True,
        font={'family': 'system-ui, "Segoe UI", Roboto, "DejaVu Sans", sans-serif', 'size': 13, 'color': INK},
        margin={'l': 70, 'r': 24, 't': 44, 'b': 52}, hovermode='closest', bargap=0,
        legend={'orientation': 'h', 'x': 0, 'y': 1.0, 'xanchor': 'left', 'yanchor': 'bottom', 'font': {'size': 12}})
    figure.update_xaxes(gridcolor=GRID, zeroline=False, linecolor='#9aa5b1', ticks='outside', tickcolor='#9aa5b1',
                        title={'text': x, 'standoff': 8, 'font': {'size': 13}}, automargin=True)
    if end_s is not None:
        # The same axis under every chart over time, so that they can be read one below the other.
        figure.update_xaxes(range=[0, max(end_s, 1.0)], title_text='time since the start (s)')
    figure.update_yaxes(gridcolor=GRID, zeroline=False, linecolor='#9aa5b1', automargin=True,
                        title={'text': y, 'standoff': 8, 'font': {'size': 13}})
    return figure


def _bands(figure: Any, rows: Sequence[Mapping[str, Any]], end_s: float) -> Any:
    """Shade the episodes behind a time series."""
    shapes = [{'type': 'rect', 'xref': 'x', 'yref': 'paper', 'x0': row['start_s'], 'layer': 'below',
               'x1': end_s if row['end_s'] is None else row['end_s'], 'y0': 0, 'y1': 1, 'opacity': 0.10,
               'fillcolor': OUTCOMES[row['outcome']], 'line': {'width': 0}}
              for row in rows[-200:] if row['start_s'] is not None]
    figure.update_layout(shapes=[*figure.layout.shapes, *shapes])
    return figure


def _line(name: str, time: NDArray[Any], values: NDArray[Any], colour: str, **extra: Any) -> Any:
    t, v = thin(time, values)
    return go.Scatter(x=rounded(t), y=rounded(v), name=escape(name), mode='lines', line={'color': colour, 'width': 1.4},
                      hovertemplate='%{x:.1f} s: %{y:.4g}', **extra)


def rounded(values: NDArray[Any]) -> NDArray[np.float32]:
    """Values with the digits that a picture needs."""
    return np.asarray(values, dtype=np.float32)


def episodes(rows: Sequence[Mapping[str, Any]], end_s: float) -> Any:
    """One bar per episode on the time axis, coloured by how it ended."""
    figure = go.Figure()
    for outcome, colour in OUTCOMES.items():
        mine = [r for r in rows if r['outcome'] == outcome and r['start_s'] is not None]
        if not mine:
            continue
        ends = [end_s if r['end_s'] is None else r['end_s'] for r in mine]
        figure.add_bar(
            orientation='h', name=outcome, y=['episode'] * len(mine), base=[r['start_s'] for r in mine],
            x=[e - r['start_s'] for e, r in zip(ends, mine, strict=True)], marker={'color': colour, 'line': {
                'color': '#ffffff', 'width': 1}}, width=0.8, textposition='inside', insidetextanchor='middle',
            text=[escape(str(r.get('index', ''))) for r in mine] if len(rows) <= 60 else None, textangle=0,
            constraintext='both', textfont={'color': '#ffffff', 'size': 13},
            hovertext=[escape(f'{r.get("shape", "")}, seed {r.get("seed", "")}') for r in mine], hoverinfo='text+name')
    layout(figure, 150, end_s=end_s)
    figure.update_layout(barmode='overlay')
    figure.update_yaxes(visible=False)
    return figure


def distributions(values_ms: Mapping[str, NDArray[np.floating[Any]]], summary: Mapping[str, Any],
                  deadline_ms: float | None) -> Any:
    """Histogram over common edges, and the tail: which share of the ticks takes longer."""
    figure = make_subplots(1, 2, horizontal_spacing=0.11)
    drawn = {name: v[v > 0] for name, v in values_ms.items() if (v > 0).sum() > 1}
    if not drawn:
        return None
    low, high = min(v.min() for v in drawn.values()), max(v.max() for v in drawn.values())
    edges = np.geomspace(low * 0.98, high * 1.02, BINS + 1)
    for colour, (key, values) in zip((BLUE, ORANGE, GREEN), drawn.items(), strict=False):
        name = key.removesuffix('_ms').replace('_', ' ')
        counts, _ = np.histogram(values, edges)
        figure.add_scatter(x=rounded(np.repeat(edges, 2)[1:-1]), y=rounded(np.repeat(counts / len(values) * 100, 2)),
                           name=name, mode='lines', line={'color': colour, 'width': 1.6}, fill='tozeroy',
                           fillcolor=fade(colour), legendgroup=name, hovertemplate='%{x:.3g} ms: %{y:.3g} %', row=1,
                           col=1)
        ordered = np.sort(values)
        share = (len(ordered) - np.arange(len(ordered))) / len(ordered) * 100
        chosen = np.unique(np.geomspace(1, len(ordered), min(POINTS // 2, len(ordered))).astype(int))
        figure.add_scatter(x=rounded(ordered[-chosen][::-1]), y=rounded(share[-chosen][::-1]), mode='lines', name=name,
                           showlegend=False, legendgroup=name, line={'color': colour, 'width': 1.6, 'shape': 'hv'},
                           hovertemplate='%{y:.3g} % take longer than %{x:.3g} ms', row=1, col=2)
        found = [(100 * (1 - p), summary[key][label]) for label, p in PERCENTILES.items()
                 if summary[key][label]['value'] is not None]
        figure.add_scatter(
            x=[e['value'] for _, e in found], y=[round(y, 6) for y, _ in found], mode='markers', showlegend=False,
            legendgroup=name, marker={'color': colour, 'size': 7}, hovertemplate='%{x:.3g} ms',
            error_x={'type': 'data', 'symmetric': False, 'array': [e['hi'] - e['value'] for _, e in found],
                     'arrayminus': [e['value'] - e['lo'] for _, e in found], 'thickness': 1.6, 'width': 4},
            row=1, col=2)
    layout(figure, 360, x='ms (logarithmic)')
    figure.update_xaxes(type='log', dtick='D1', exponentformat='none', tickfont={'size': 11}, minorloglabels='none')
    ticks = log_ticks(low, high)
    figure.update_xaxes(tickvals=ticks, ticktext=[f'{t:g}' for t in ticks])
    figure.update_yaxes(title_text='share of ticks per bin (%)', row=1, col=1)
    figure.update_yaxes(title_text='share that takes longer (%)', type='log', row=1, col=2,
                        tickvals=[100, 10, 1, 0.1, 0.01], ticktext=['100', '10', '1', '0.1', '0.01'])
    if deadline_ms is not None and low < deadline_ms < high * 4:
        for col in (1, 2):
            figure.add_vline(x=deadline_ms, line={'color': RED, 'dash': 'dash', 'width': 1.3}, row=1, col=col)
    return figure


def fade(colour: str) -> str:
    """A colour to fill an area with."""
    red, green, blue = (int(colour[i:i + 2], 16) for i in (1, 3, 5))
    return f'rgba({red},{green},{blue},0.12)'


def log_ticks(low: float, high: float) -> list[float]:
    """Places of labels on a logarithmic axis."""
    decades = range(int(np.floor(np.log10(low))), int(np.ceil(np.log10(high))) + 1)
    span = np.log10(high / low)
    steps: tuple[float, ...] = (1, 1.5, 2, 3, 4, 5, 6, 8) if span < 0.7 else (1, 2, 5) if span < 2.5 else (1,)
    return [s * 10.0**d for d in decades for s in steps if low / 1.5 <= s * 10.0**d <= high * 1.5]


def response(run: Ticks, ticks: TickRecord, deadline_ms: float | None, rows: Sequence[Mapping[str, Any]],
             end_s: float) -> Any:
    """Response of each tick over time, with the missed ones marked."""
    done = run.completed
    time = (done.release_ns - ticks.t0_ns) * 1e-9
    values = run.response_ns() * 1e-6
    t, v = thin(time, values)
    figure = go.Figure()
    figure.add_scatter(x=rounded(t), y=rounded(v), mode='markers', name='response', marker={'color': BLUE, 'size': 3.5},
                       hovertemplate='%{x:.2f} s: %{y:.3g} ms')
    if deadline_ms is not None:
        late = values > deadline_ms
        if late.any():
            lt, lv = thin(time[late], values[late], 400)
            figure.add_scatter(x=rounded(lt), y=rounded(lv), mode='markers', name='late',
                               marker={'color': RED, 'size': 8, 'symbol': 'x'}, hovertemplate='%{x:.2f} s: %{y:.3g} ms')
        figure.add_scatter(x=[0, end_s], y=[deadline_ms] * 2, mode='lines', name=f'deadline {deadline_ms:g} ms',
                           line={'color': RED, 'dash': 'dash', 'width': 1.3}, hoverinfo='skip')
    layout(figure, 320, y='response (ms, logarithmic)', end_s=end_s)
    top, low = max(float(values.max()), deadline_ms or 0.0), max(float(values.min()), 1e-3)
    marks = log_ticks(low, top)
    figure.update_yaxes(type='log', tickvals=marks, ticktext=[f'{m:g}' for m in marks])
    return _bands(figure, rows, end_s)


def misses(run: Ticks, ticks: TickRecord, deadline_ns: int, end_s: float) -> Any:
    """Missed ticks per second: late ones and skipped ones."""
    missed, skipped = run.missed(deadline_ns), run.skipped
    time = (run.release_ns - ticks.t0_ns) * 1e-9
    width = max(1.0, np.ceil(end_s / 600))
    edges = np.arange(0.0, max(end_s, time.max(initial=0.0)) + width, width)
    figure = go.Figure()
    for name, mask, colour in (('late', missed & ~skipped, ORANGE), ('skipped', skipped, RED)):
        counts, _ = np.histogram(time[mask], edges)
        figure.add_bar(x=rounded(edges[:-1] + width / 2), y=counts, name=name, marker={'color': colour}, width=width)
    layout(figure, 220, y='missed per s' if width == 1 else f'missed per {width:g} s', end_s=end_s)
    figure.update_layout(barmode='stack')
    figure.update_yaxes(rangemode='tozero')
    return figure


def driver_loop(series: SeriesRecord, node: str, end_s: float) -> Any:
    """What the driver says about the timing of its own loop: on-time share, and jitter, both as it published them."""
    found: dict[str, dict[str, Array]] = {'percent': {}, 'jitter': {}}
    for name, table in series.group('diagnostics').items():
        status, _, key = name.partition('/')
        if status.partition(':')[0].strip() == node and len(table) > 1:
            kind = 'percent' if 'on_time' in key and 'total' not in key else 'jitter' if 'jitter' in key else None
            if kind:
                found[kind][key] = table
    kinds = [k for k in ('percent', 'jitter') if found[k]]
    if not kinds:
        return None
    if any('p99' in key for key in found['jitter']):
        # The greatest of a second dwarfs its percentiles; it is in the table.
        found['jitter'] = {k: v for k, v in found['jitter'].items() if 'max' not in k}
    figure = make_subplots(1, len(kinds), horizontal_spacing=0.11)
    colours = iter(CYCLE * 4)
    for col, kind in enumerate(kinds, 1):
        for key, table in list(found[kind].items())[:6]:
            figure.add_trace(_line(key, table[:, 0], table[:, 1], next(colours)), row=1, col=col)
    layout(figure, 280, end_s=end_s)
    for col, kind in enumerate(kinds, 1):
        units = sorted({_unit(key) for key in found[kind]})
        title = 'on time (%)' if kind == 'percent' else f'jitter ({", ".join(units)})'
        figure.update_yaxes(title_text=title, row=1, col=col, rangemode='normal' if kind == 'percent' else 'tozero')
    return figure


def _unit(key: str) -> str:
    last = key.rpartition('_')[2]
    return {'us': 'µs', 'ms': 'ms', 's': 's', 'ns': 'ns', 'percent': '%'}.get(last, last)


def cpu(series: SeriesRecord, processes: Sequence[Mapping[str, Any]], rows: Sequence[Mapping[str, Any]],
        end_s: float) -> Any:
    """CPU of each process over time, percent of one core."""
    figure = go.Figure()
    for i, process in enumerate(processes):
        table = series.arrays.get(f'cpu/{process["pid"]}')
        if table is not None and len(table) > 1:
            load = cpu_percent(table)
            colour = GREY if process['pid'] == 0 else CYCLE[i % len(CYCLE)]
            figure.add_trace(_line(process['name'], load[:, 0], load[:, 1], colour))
            if process['pid'] == 0:
                figure.data[-1].line.dash = 'dot'
    if not figure.data:
        return None
    layout(figure, 330, y='CPU (% of one core)', end_s=end_s)
    figure.update_yaxes(rangemode='tozero')
    return _bands(figure, rows, end_s)


def touch(series: SeriesRecord, fingers: Sequence[str], rows: Sequence[Mapping[str, Any]], end_s: float) -> Any:
    """Fingertip pressure over time, kPa."""
    table = series.arrays.get('pressure')
    if table is None or len(table) < 2 or table.shape[1] != 1 + len(fingers):
        return None
    figure = go.Figure()
    for i, finger in enumerate(fingers):
        figure.add_trace(_line(finger, table[:, 0], table[:, 1 + i] * 1e-3, CYCLE[i]))
    layout(figure, 320, y='fingertip pressure (kPa)', end_s=end_s)
    figure.update_yaxes(rangemode='tozero')
    return _bands(figure, rows, end_s)


def torque(series: SeriesRecord, flexion: NDArray[np.bool_], rows: Sequence[Mapping[str, Any]], end_s: float) -> Any:
    """Mean and largest joint torque over time, N·m."""
    table = series.arrays.get('torque')
    if table is None or len(table) < 2 or table.shape[1] != 1 + len(flexion):
        return None
    size = np.abs(table[:, 1:])
    figure = go.Figure()
    figure.add_trace(_line('largest of all joints', table[:, 0], size.max(axis=1), ORANGE))
    figure.add_trace(_line('mean of the flexion joints', table[:, 0], size[:, flexion].mean(axis=1), BLUE))
    layout(figure, 280, y='|torque| (N·m)', end_s=end_s)
    figure.update_yaxes(rangemode='tozero')
    return _bands(figure, rows, end_s)


def html(figure: Any, number: int) -> str:
    """A figure as a piece of HTML that relies on the page's one copy of plotly."""
    text: str = figure.to_html(full_html=False, include_plotlyjs=False, div_id=f'chart{number}', default_width='100%',
                               config={'displaylogo': False, 'responsive': True, 'displayModeBar': False})
    return text
