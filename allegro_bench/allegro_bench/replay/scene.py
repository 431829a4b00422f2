"""What the page's player shows: curves over one time axis, marks, and the hand's bones at each moment."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from allegro_description.kinematics import Kinematics
from allegro_description.model import HandModel
from numpy.typing import NDArray

from allegro_bench.replay.inputs import Float, Inputs
from allegro_bench.replay.runner import TEACHER

POINTS = 1500
FRAMES = 900
FRAME_S = 0.04
UNIT_M = 1e-4
"""Coordinates are whole tenths of a millimetre."""

FRESH_S = 0.1
OUTCOMES = {'held': '#009E73', 'dropped': '#D55E00', 'lost': '#E69F00', 'stopped': '#667085', 'running': '#56B4E9'}


def scene(document: Mapping[str, Any], inputs: Inputs, replayed: Sequence[Any]) -> str:
    """The player's data as JSON that is safe inside a script element."""
    values = {
        'duration': inputs.duration_s, 'fingers': [f.name for f in inputs.model.fingers],
        'panels': [*_joints(inputs, replayed), _pressure(inputs), _differences(inputs, replayed), _scores(
            document, replayed)],
        'bands': _bands(inputs, replayed), 'marks': _marks(document), 'hand': _hand(inputs, replayed),
    }
    return json.dumps(values, ensure_ascii=True, allow_nan=False, separators=(',', ':')).replace('<', '\\u003c')


def _curve(name: str, time: Float, values: Float, kind: str, colour: int) -> dict[str, Any]:
    """One curve, thinned to its least and greatest values; a gap where a value is unknown or time leaps."""
    if len(time) > POINTS:
        kept: list[int] = []
        for part in np.array_split(np.arange(len(time)), POINTS // 2):
            inside = np.nan_to_num(values[part], nan=np.inf)
            outside = np.nan_to_num(values[part], nan=-np.inf)
            kept += sorted({int(part[np.argmin(inside)]), int(part[np.argmax(outside)])})
        time, values = time[kept], values[kept]
    return {'name': name, 'kind': kind, 'colour': colour, 't': [round(float(t), 3) for t in time],
            'v': [None if not np.isfinite(v) else float(f'{v:.4g}') for v in values]}


def _joints(inputs: Inputs, replayed: Sequence[Any]) -> list[dict[str, Any]]:
    time = inputs.seconds(inputs.joints.received_ns)
    panels = []
    for finger in inputs.model.fingers:
        curves = []
        for colour, joint in enumerate(finger.joints):
            i = inputs.model.joint_index(joint)
            curves.append(_curve(joint, time, inputs.joints.values[:, i], 'solid', colour))
            if inputs.commands is not None:
                curves.append(_curve(f'{joint} recorded target', inputs.seconds(inputs.commands.received_ns),
                                     inputs.commands.values[:, i], 'dash', colour))
            for r in replayed[:1]:
                t = next(iter(r.traces.values()))
                curves.append(_curve(f'{joint} policy target', t.time_s, t.target[:, i], 'policy', colour))
        panels.append({'title': f'{finger.name}: joint angles', 'unit': 'rad', 'finger': finger.name, 'curves': curves})
    return panels


def _pressure(inputs: Inputs) -> dict[str, Any]:
    curves = []
    if inputs.touch is not None:
        time = inputs.seconds(inputs.touch.received_ns)
        pressure = np.where(inputs.touch.valid, inputs.touch.values, np.nan) * 1e-3
        for colour, finger in enumerate(inputs.model.fingers):
            cells = [i for i, t in enumerate(inputs.model.taxels) if t.finger == finger.name and t.tip]
            for i in cells:
                curves.append(_curve(f'{finger.name} tip', time, pressure[:, i], 'solid', colour))
        rest = [i for i, t in enumerate(inputs.model.taxels) if not t.tip]
        if rest:
            curves.append(_curve('greatest of the other cells', time, np.nan_to_num(pressure[:, rest]).max(axis=1),
                                 'dash', 4))
    return {'title': 'touch', 'unit': 'kPa', 'curves': curves, 'empty': 'no touch was recorded'}


def _differences(inputs: Inputs, replayed: Sequence[Any]) -> dict[str, Any]:
    curves = []
    for colour, r in enumerate(replayed):
        for feed, trace in r.traces.items():
            off = np.abs(trace.target - r.plan.answer[trace.tick]).max(axis=1)
            kind = 'solid' if feed == TEACHER else 'dash'
            curves.append(_curve(f'{r.name}, {feed}', trace.time_s, off, kind, colour))
    return {'title': 'policy target minus recorded target (largest joint)', 'unit': 'rad', 'curves': curves,
            'empty': 'no policy could be replayed'}


def _scores(document: Mapping[str, Any], replayed: Sequence[Any]) -> dict[str, Any]:
    curves, lines = [], []
    for colour, r in enumerate(replayed):
        trace = next(iter(r.traces.values()))
        curves.append(_curve(r.name, trace.time_s, trace.score, 'solid', colour))
        entry = next(p for p in document['policies'] if p['name'] == r.name)
        lines += [{'y': entry['distribution'][key], 'name': key} for key in ('warn', 'stop')]
    unique = {(line['y'], line['name']): line for line in lines}
    return {'title': 'distance from the training data', 'unit': '', 'curves': curves, 'lines': list(unique.values()),
            'empty': 'no policy could be replayed'}


def _bands(inputs: Inputs, replayed: Sequence[Any]) -> list[dict[str, Any]]:
    """Episodes, and stretches of a policy's close and run, as bars under the plots."""
    end = inputs.duration_s
    bands = [{'row': 'episode', 'from': e['start_s'], 'to': end if e.get('end_s') is None else e['end_s'],
              'text': f'{e.get("index", "")} {e.get("shape") or ""}: {e["outcome"]}', 'colour': OUTCOMES[e['outcome']]}
             for e in inputs.episodes if e.get('start_s') is not None]
    for r in replayed[:1]:
        for first, begin, last, _ in r.plan.runs:
            now = inputs.seconds(r.plan.now_ns)
            if begin > first:
                bands.append({'row': 'policy', 'from': float(now[first]), 'to': float(now[begin]), 'text': 'before RUN',
                              'colour': '#9aa5b1'})
            bands.append({'row': 'policy', 'from': float(now[begin]), 'to': float(now[last - 1]), 'text': 'RUN',
                          'colour': '#0072B2'})
    return bands


def _marks(document: Mapping[str, Any]) -> list[dict[str, Any]]:
    marks = [{'t': f['from_s'], 'to': f['to_s'], 'kind': f['level'],
              'text': f'{f["kind"].replace("_", " ")}: {f["text"]}'}
             for f in document['findings'] if f['from_s'] is not None]
    return marks + [{'t': r['time_s'], 'to': None, 'text': r['text'], 'kind': 'said'}
                    for r in document['recording']['remarks']]


def _hand(inputs: Inputs, replayed: Sequence[Any]) -> dict[str, Any]:
    """Bones at up to :data:`FRAMES` moments: measured, and as each policy would have commanded."""
    count = int(min(FRAMES, max(2, inputs.duration_s / FRAME_S)))
    time = np.linspace(0.0, inputs.duration_s, count)
    row = np.maximum(inputs.joints.newest(inputs.origin_ns + (time * 1e9).astype(np.int64)), 0)
    kinematics = Kinematics(inputs.model)
    measured = [_bones(inputs.model, kinematics, inputs.joints.values[r]) for r in row]
    wanted = []
    for r in replayed[:3]:
        trace = next(iter(r.traces.values()))
        place = np.searchsorted(trace.time_s, time, side='right') - 1
        near = (place >= 0) & (time - trace.time_s[np.maximum(place, 0)] < FRESH_S)
        wanted.append({'name': r.name, 'bones': [
            _bones(inputs.model, kinematics, trace.target[p]) if ok else None
            for p, ok in zip(place, near, strict=True)]})
    return {'t': [round(float(t), 3) for t in time], 'measured': measured, 'wanted': wanted,
            'cells': _cells(inputs, kinematics, time, inputs.joints.values[row])}


def _bones(model: HandModel, kinematics: Kinematics, position: Float) -> list[int]:
    """x, y, z of the palm's origin and of each finger's joints and tip, in tenths of a millimetre."""
    links = kinematics.link_poses(position)
    tips = kinematics.tip_positions(position)
    children = {j.name: j.child for j in model.joints}
    points = [np.zeros(3)]
    for finger, tip in zip(model.fingers, tips, strict=True):
        points += [links[children[joint]][:3, 3] for joint in finger.joints] + [tip]
    return _whole(np.array(points))


def _cells(inputs: Inputs, kinematics: Kinematics, time: Float, position: Float) -> dict[str, Any]:
    """Places and pressures (0.1 kPa) of the touch cells; -1: not valid."""
    if inputs.touch is None or not inputs.model.taxels:
        return {'at': [], 'pressure': []}
    row = inputs.touch.newest(inputs.origin_ns + (time * 1e9).astype(np.int64))
    pressure = np.where(inputs.touch.valid, np.clip(inputs.touch.values, 0, 1e6), np.nan)[np.maximum(row, 0)] * 1e-2
    pressure[row < 0] = np.nan
    at = [_whole(kinematics.taxel_poses(q)[:, :3, 3]) for q in position]
    return {'at': at, 'pressure': [[-1 if not np.isfinite(v) else round(float(v)) for v in p] for p in pressure]}


def _whole(points: NDArray[np.float64]) -> list[int]:
    return [round(float(v) / UNIT_M) if np.isfinite(v) else 0 for v in points.ravel()]
