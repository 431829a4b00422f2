"""The panel's texts as HTML, built from a :class:`LiveHand` alone. Everything from outside is escaped."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape

import numpy as np

from allegro_description.viewer import colours
from allegro_description.viewer.live import LOST_S, PHASES, WINDOW_S, LiveHand, Status

_GOOD, _WARN, _BAD, _NONE = '#2a9d6f', '#c77700', '#c8323c', '#8a8f98'
_LEVELS = {0: ('OK', _GOOD), 1: ('WARN', _WARN), 2: ('ERROR', _BAD), 3: ('STALE', _NONE)}
_PHASE_COLOURS = dict(zip(PHASES, ('#c9ced6', '#8fb8de', '#f0b95a', '#2a9d6f', '#8a5cc2', '#e08a8a'), strict=True))
_OUTCOMES = {'success': _GOOD, 'held': _WARN, 'stopped': _NONE}
_BOX = 'font-size:12.5px;line-height:1.45;padding:2px 12px 6px 12px'
#: Diagnostics values worth a line in the overview: keys that end so carry a time or a rate.
_NUMBERS = ('_ms', '_us', '_hz')


def badge(text: str, colour: str) -> str:
    """A small coloured label; the text is black or white, whichever reads better."""
    light = colours.lightness(np.array([list(bytes.fromhex(colour[1:]))]))[0] > 0.72
    ink = '#1b1d20' if light else '#fff'
    return (f'<span style="background:{colour};color:{ink};border-radius:3px;padding:0 6px;font-size:11px;'
            f'font-weight:600">{escape(text)}</span>')


def _row(label: str, value: str) -> str:
    return (f'<div style="display:flex;gap:8px;align-items:baseline;margin:2px 0"><span style="flex:0 0 84px;'
            f'opacity:.65">{escape(label)}</span><span style="flex:1;overflow-wrap:anywhere">{value}</span></div>')


def _stream(live: LiveHand, stream: str, now: float) -> str:
    silence = live.silence_s(stream, now)
    if np.isinf(silence):
        return badge('NO DATA', _NONE)
    if silence > LOST_S:
        return f'{badge("LOST", _BAD)} the last message is {silence:.0f} s old; the picture shows the past'
    return badge('LIVE', _GOOD)


def _level(status: Status, live: LiveHand, now: float) -> str:
    if live.status_lost(status, now):
        return badge('SILENT', _BAD)
    return badge(*_LEVELS.get(status.level, ('?', _NONE)))


def status(live: LiveHand, now: float) -> str:
    """Streams (touch where the hand has any), driver state with its fault reason, policy phase and latency."""
    rows = [_row('Joints', _stream(live, 'joints', now))]
    if live.model.taxels:
        rows.append(_row('Touch', _stream(live, 'tactile', now)))
    driver = live.worst('hand_driver')
    if driver is None:
        rows.append(_row('Driver', badge('NO DATA', _NONE)))
    else:
        rows.append(_row('Driver', f'{_level(driver[1], live, now)} {escape(driver[1].message)}'))
    if live.phase:
        rows.append(_row('Policy', badge(live.phase, _PHASE_COLOURS.get(live.phase, _NONE))))
    if live.age_ms is not None:
        rows.append(_row('State age', f'{live.age_ms:.1f} ms on arrival here'))
    inference = live.inference()
    if inference is not None:
        rows.append(_row('Inference', f'{inference[0]:.3f} ms median, {inference[1]:.3f} ms p99'))
    return f'<div style="{_BOX}">{"".join(rows)}</div>'


def pressure_scale(full_scale_pa: float) -> str:
    """The colour scale with its numbers and the sign for "no valid reading"."""
    stripes = (f'repeating-linear-gradient(135deg,{colours.hex_colour(colours.INVALID)} 0 4px,'
               f'{colours.hex_colour(colours.HATCH)} 4px 6px)')
    full = full_scale_pa / 1e3
    return (f'<div style="{_BOX}"><div style="height:12px;border-radius:3px;background:{colours.css_gradient()}"></div>'
            f'<div style="display:flex;justify-content:space-between"><span>0</span><span>{full / 2:g}</span>'
            f'<span>{full:g} kPa</span></div><span style="display:inline-block;width:22px;height:10px;'
            f'border-radius:3px;background:{stripes}"></span> no valid reading</div>')


def phases(live: LiveHand, now: float) -> str:
    """The policy's phases over the last seconds as a strip, newest at the right."""
    t, rows = live.phases.read(now)
    if not len(t) or np.isnan(rows).all():
        return f'<div style="{_BOX};opacity:.65">no policy reports a phase</div>'
    spans = []
    edges = np.flatnonzero(np.diff(np.nan_to_num(rows[:, 0], nan=-1.0))) + 1
    for first, last in zip([0, *edges], [*edges, len(t)], strict=True):
        end = t[last] if last < len(t) else 0.0
        share = max(0.0, 100 * (end - max(t[first], -WINDOW_S)) / WINDOW_S)
        name = '' if np.isnan(rows[first, 0]) else PHASES[int(rows[first, 0])]
        spans.append(f'<span title="{name}" style="flex:0 0 {share:.1f}%;background:'
                     f'{_PHASE_COLOURS.get(name, "transparent")}"></span>')
    used = [p for p in PHASES if (rows[:, 0] == PHASES.index(p)).any()]
    key = ' '.join(f'<span style="border-left:10px solid {_PHASE_COLOURS[p]};padding-left:4px;margin-right:8px">'
                   f'{p}</span>' for p in used)
    return (f'<div style="{_BOX}"><div style="display:flex;justify-content:flex-end;height:14px;border-radius:3px;'
            f'overflow:hidden;background:rgba(128,128,128,.15)">{"".join(spans)}</div>'
            f'<div style="font-size:11px;margin-top:3px">{key}</div></div>')


def _table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    cell = 'padding:1px 8px 1px 0;text-align:left;vertical-align:top'
    top = ''.join(f'<th style="{cell};opacity:.65;font-weight:500">{h}</th>' for h in head)
    body = ''.join('<tr>' + ''.join(f'<td style="{cell}">{c}</td>' for c in row) + '</tr>' for row in rows)
    return f'<table style="border-collapse:collapse;width:100%"><tr>{top}</tr>{body}</table>'


def episodes(live: LiveHand) -> str:
    """Finished episodes, newest first. These come from a simulated object."""
    if not live.episodes:
        return f'<div style="{_BOX};opacity:.65">no finished episode yet</div>'
    rows = []
    for e in live.episodes:
        verdict = badge(e.outcome.upper(), _OUTCOMES.get(e.outcome, _BAD))
        rows.append((escape(e.index), escape(e.shape), escape(e.level), verdict, escape(e.note)))
    return f'<div style="{_BOX}">{_table(("#", "object", "level", "result", ""), rows)}</div>'


def diagnostics(live: LiveHand, now: float) -> str:
    """Every diagnostics entry: level, sentence, times and rates."""
    if not live.statuses:
        return f'<div style="{_BOX};opacity:.65">nothing on /diagnostics yet</div>'
    rows = []
    for name, entry in sorted(live.statuses.items()):
        numbers = ', '.join(f'{escape(k)} {escape(v)}' for k, v in entry.values.items() if k.endswith(_NUMBERS))
        small = f'<div style="opacity:.65;font-size:11px">{numbers}</div>' if numbers else ''
        rows.append((_level(entry, live, now), f'<b>{escape(name)}</b> {escape(entry.message)}{small}'))
    return f'<div style="{_BOX}">{_table(("", ""), rows)}</div>'
