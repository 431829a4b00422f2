"""The texts of the page and its time line as HTML. Everything from outside is escaped."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

import numpy as np
from allegro_description.viewer.live import LOST_S, STATUS_LOST_S
from allegro_description.viewer.markup import badge

from allegro_bench.bags.recording import Recording
from allegro_bench.bags.storage import when
from allegro_bench.viewing import contacts
from allegro_bench.viewing.bands import Lane
from allegro_bench.viewing.events import KINDS, Event
from allegro_bench.viewing.timeline import Moment, Timeline, is_driver

GOOD, WARN, BAD, NONE = '#2a9d6f', '#c77700', '#c8323c', '#8a8f98'
LEVEL_COLOURS = {'note': NONE, 'warning': WARN, 'fault': BAD}
COLOURS = {
    'held': GOOD, 'dropped': BAD, 'lost': WARN, 'stopped': NONE, 'running': '#5b8fc7',
    'IDLE': '#c9ced6', 'RAMP': '#8fb8de', 'CLOSE': '#f0b95a', 'RUN': GOOD, 'HOLD': '#8a5cc2', 'RELEASE': '#e08a8a',
    'active': GOOD, 'hold': WARN, 'fault': BAD, 'warning': WARN, 'ok': GOOD, 'touch': '#5b8fc7',
}
"""Of bands, by value."""

LISTED = 400
STRIKING = 1.0 / 150
"""Width of a mark, as a share of the time line: about two pixels."""

_BOX = 'font-size:12.5px;line-height:1.45;padding:2px 12px 6px 12px'
_LABEL = 'flex:0 0 52px;font-size:11px;opacity:.7;white-space:nowrap;overflow:hidden'


def clock(seconds: float, digits: int = 2) -> str:
    """Time since the beginning as ``m:ss.ss``, with hours where there are any."""
    units = round(seconds * 10**digits)
    whole, rest = divmod(units, 10**digits)
    minutes, second = divmod(whole, 60)
    hours, minute = divmod(minutes, 60)
    head = f'{hours}:{minute:02d}' if hours else str(minute)
    return f'{head}:{second:02d}' + (f'.{rest:0{digits}d}' if digits else '')


def head(timeline: Timeline) -> str:
    """Which recording this is."""
    source = timeline.recording.sources
    told = source.metadata
    facts = [source.hand, *(told[k] for k in ('hand_serial', 'policy') if told.get(k))]
    simulated = f' {badge("SIMULATED", NONE)}' if told.get('simulated') == 'true' else ''
    about = f'<div>{escape(told["about"])}</div>' if told.get('about') else ''
    return (f'<div style="{_BOX}"><b>{escape(source.path.resolve().name)}</b>{simulated}{about}'
            f'<div style="opacity:.65">{escape(" · ".join(facts))}</div></div>')


def present(timeline: Timeline, seconds: float, speed: float, playing: bool) -> str:
    """The present, since the beginning and on the recorder's clock."""
    state = badge(f'PLAYING {speed:g}×', GOOD) if playing else badge('STOPPED', NONE)
    return (f'<div style="{_BOX};font-variant-numeric:tabular-nums"><span style="font-size:19px;font-weight:600">'
            f'{clock(seconds)}</span> <span style="opacity:.65">of {clock(timeline.duration_s)}</span> {state}'
            f'<div style="opacity:.65">{escape(when(timeline.ns(seconds)))}</div></div>')


def strip(lanes: Sequence[Lane], events: Iterable[Event], duration_s: float) -> str:
    """The time line without the present: a lane of marks, then those of bands."""
    length = max(duration_s, 1e-9)
    rows = [_lane('events', ''.join(
        _bar(e.at_s / length - STRIKING / 2, STRIKING, LEVEL_COLOURS[e.level], f'{clock(e.at_s)} {e.text}')
        for e in sorted(events, key=lambda e: tuple(LEVEL_COLOURS).index(e.level)) if e.kind != 'touch'))]
    for lane in lanes:
        rows.append(_lane(lane.name, ''.join(
            _bar(b.begin_s / length, (b.end_s - b.begin_s) / length, COLOURS.get(b.value, NONE), b.text)
            for b in lane.bands)))
    return ''.join(rows)


def key(lanes: Sequence[Lane]) -> str:
    """What the colours of the lanes mean."""
    values = dict.fromkeys(b.value for lane in lanes for b in lane.bands if b.value != 'touch')
    return ' '.join(f'<span style="border-left:9px solid {COLOURS.get(v, NONE)};padding-left:4px;margin-right:7px;'
                    f'white-space:nowrap">{escape(v)}</span>' for v in values)


def with_present(drawn: str, names: str, seconds: float, duration_s: float) -> str:
    """The time line with a line where the present is.

    Args:
        drawn: by :func:`strip`.
        names: by :func:`key`.
        seconds: the present.
        duration_s: of the recording.
    """
    share = 100 * min(max(seconds / max(duration_s, 1e-9), 0.0), 1.0)
    line = (f'<div style="position:absolute;left:52px;right:0;top:0;bottom:0;pointer-events:none"><div style="'
            f'position:absolute;left:{share:.2f}%;top:-2px;bottom:-2px;border-left:2px solid #d6294b;'
            f'margin-left:-1px"></div></div>')
    ends = (f'<div style="display:flex;justify-content:space-between;padding-left:52px;font-size:11px;opacity:.7">'
            f'<span>0:00</span><span>{clock(duration_s / 2, 0)}</span><span>{clock(duration_s, 0)}</span></div>')
    return (f'<div style="{_BOX}"><div style="position:relative">{drawn}{line}</div>{ends}'
            f'<div style="font-size:11px;margin-top:2px">{names}</div></div>')


def state(timeline: Timeline, moment: Moment) -> str:
    """What driver, policy, touch and streams were at the moment."""
    rows = []
    driver = next((s for n, s in moment.statuses.items() if is_driver(n)), None)
    if driver is not None:
        old = moment.seconds - driver.at > STATUS_LOST_S
        colour = NONE if old else (GOOD, WARN, BAD, NONE)[min(driver.level, 3)]
        word = 'SILENT' if old else ('OK', 'WARN', 'ERROR', 'STALE')[min(driver.level, 3)]
        rows.append(_row('Driver', f'{badge(word, colour)} {escape(driver.message)}'))
    if moment.phase:
        rows.append(_row('Policy', badge(moment.phase, COLOURS.get(moment.phase, NONE))))
    if moment.pressure is not None and moment.valid is not None:
        rows.append(_row('Touching', _touching(timeline, moment)))
    if len(moment.inference_s):
        p50, p99 = np.percentile(moment.inference_s * 1e3, [50, 99])
        rows.append(_row('Inference', f'{p50:.3f} ms median, {p99:.3f} ms p99, of the last '
                                      f'{len(moment.inference_s)}'))
    for name, score in moment.scores.items():
        rows.append(_row('Out of dist.' if name == 'ood_score' else 'Slip', f'{score:.2f}'))
    late = [f'{timeline.tracks[k].topic} {moment.ages[k]:.1f} s' for k in ('joint_states', 'touch')
            if k in moment.ages and moment.ages[k] > LOST_S]
    absent = [k.replace('_', ' ') for k in ('joint_states', 'touch') if k in timeline.tracks and k not in moment.ages]
    if late:
        rows.append(_row('Old', f'{badge("SILENT", BAD)} {escape(", ".join(late))}'))
    if absent:
        rows.append(_row('Not yet', escape(', '.join(absent))))
    # Of one height while it plays, so that what stands below does not jump.
    return f'<div style="{_BOX};min-height:128px">{"".join(rows)}</div>'


def legend(names: Sequence[str], strokes: Sequence[str], dashed: bool) -> str:
    """The names of curves in their colours; ``dashed``: each has a dashed one beside it."""
    entries = [f'<span style="margin-right:9px;white-space:nowrap"><span style="color:{strokes[k % len(strokes)]};'
               f'font-weight:700">━</span> {escape(name)}</span>' for k, name in enumerate(names)]
    entries += ['<span style="white-space:nowrap"><b>╌</b> target</span>'] if dashed else []
    return f'<div style="{_BOX};font-size:11px">{" ".join(entries)}</div>'


def table(events: Sequence[Event]) -> str:
    """The events with both times, as a list."""
    rows = ''.join(
        f'<tr><td style="padding:1px 8px 1px 0;vertical-align:top;font-variant-numeric:tabular-nums">{clock(e.at_s)}'
        f'</td><td style="padding:1px 0;overflow-wrap:anywhere"><span style="border-left:3px solid '
        f'{LEVEL_COLOURS[e.level]};padding-left:5px"></span>{escape(e.text)}</td></tr>' for e in events[:LISTED])
    more = f'<div>and {len(events) - LISTED} more</div>' if len(events) > LISTED else ''
    return f'<div style="{_BOX}"><table style="border-collapse:collapse;width:100%">{rows}</table>{more}</div>'


def recording(found: Recording, remarks: Sequence[str]) -> str:
    """Streams, where they come from, and what is damaged."""
    source = found.sources
    rows = [_row('File', escape(f'{source.path.resolve().name}, {source.storage}, profile {source.profile}'))]
    rows += [_row('Damage', f'{badge("DAMAGED", BAD)} {escape(words)}') for words in remarks]
    if not remarks:
        rows.append(_row('Damage', 'none found'))
    known = ('suite_version', 'ros_distro', 'hand_version', 'bundle_sha256', 'policy_backend', 'calibration')
    rows += [_row(name.replace('_', ' '), escape(source.metadata[name])) for name in known if source.metadata.get(name)]
    streams = ''.join(f'<tr><td style="text-align:right;padding-right:8px">{s.count}</td><td style="overflow-wrap:'
                      f'anywhere">{escape(s.topic)}</td></tr>' for s in source.streams)
    return f'<div style="{_BOX}">{"".join(rows)}<table style="margin-top:4px">{streams}</table></div>'


def short(event: Event, length: int = 36) -> str:
    """An event as the label of a button."""
    words = event.text if len(event.text) <= length else event.text[:length - 1].rstrip() + '…'
    return f'{clock(event.at_s)}  {words}'


def choice(kind: str, count: int) -> str:
    """A kind of events with their number, to choose from."""
    return f'{kind} ({count})'


def about_kinds() -> str:
    """What each kind of events is."""
    return '; '.join(f'{kind}: {words}' for kind, words in KINDS.items())


def _touching(timeline: Timeline, moment: Moment) -> str:
    assert moment.pressure is not None
    assert moment.valid is not None
    names = timeline.tracks['touch'].names
    firm = (moment.pressure > contacts.thresholds(timeline.model)[0]) & moment.valid
    lost = int((~moment.valid).sum())
    words = ', '.join(n for n, on in zip(names, firm, strict=True) if on) or 'nothing'
    return escape(words) + (f' {badge(f"{lost} not valid", WARN)}' if lost else '')


def _row(label: str, value: str) -> str:
    return (f'<div style="display:flex;gap:8px;align-items:baseline;margin:2px 0"><span style="flex:0 0 84px;'
            f'opacity:.65">{escape(label)}</span><span style="flex:1;min-width:0;overflow-wrap:anywhere">{value}</span>'
            '</div>')


def _lane(name: str, bars: str) -> str:
    return (f'<div style="display:flex;align-items:center;height:13px;margin:1px 0"><span style="{_LABEL}">'
            f'{escape(name)}</span><div style="position:relative;flex:1;height:11px;border-radius:2px;overflow:hidden;'
            f'background:rgba(128,128,128,.13)">{bars}</div></div>')


def _bar(begin: float, width: float, colour: str, text: str) -> str:
    return (f'<span title="{escape(text)}" style="position:absolute;top:0;bottom:0;left:{100 * begin:.2f}%;'
            f'width:{100 * width:.2f}%;min-width:1px;background:{colour}"></span>')
