"""A bag in words: which streams, how often, with which gaps, and what of it is damaged."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from allegro_bench.bags.recording import KINDS, NO_STAMP, Recording, Track, windows
from allegro_bench.bags.storage import when

GAP_PERIODS = 5.0
"""A pause of so many typical periods is a gap, where a stream is periodic at all."""
_SPORADIC = frozenset({'episodes', 'motion', 'diagnostics'})


@dataclass
class StreamHealth:
    """Figures of one stream, window by window.

    Attributes:
        count: rows.
        first_ns, last_ns: receive times.
        period_ns: typical (median of the first window).
        gaps: pauses longer than :data:`GAP_PERIODS` typical periods.
        longest_ns: longest pause.
        longest_at_ns: where it begins.
        age_ns: median of receive time minus stamp in the first window; None without stamps.
    """

    count: int = 0
    first_ns: int = 0
    last_ns: int = 0
    period_ns: float = 0.0
    gaps: int = 0
    longest_ns: int = 0
    longest_at_ns: int = 0
    age_ns: float | None = None
    _segment: int = field(default=0, repr=False)

    def add(self, track: Track) -> None:
        """Rows that follow those before."""
        times = track.received_ns
        steps = np.diff(times)[np.diff(track.segment) == 0]
        if not self.count:
            self.first_ns = int(times[0])
            self.period_ns = float(np.median(steps)) if len(steps) else 0.0
            stamped = track.stamp_ns != NO_STAMP
            self.age_ns = float(np.median((times - track.stamp_ns)[stamped])) if stamped.any() else None
        elif int(track.segment[0]) == self._segment:
            self._pause(np.array([times[0] - self.last_ns]), np.array([self.last_ns]))
        inside = np.flatnonzero(np.diff(track.segment) == 0)
        self._pause(steps, times[inside])
        self.count += len(track)
        self.last_ns, self._segment = int(times[-1]), int(track.segment[-1])

    def _pause(self, steps: np.ndarray[Any, Any], begins: np.ndarray[Any, Any]) -> None:
        if len(steps):
            k = int(np.argmax(steps))
            if steps[k] > self.longest_ns:
                self.longest_ns, self.longest_at_ns = int(steps[k]), int(begins[k])
            if self.period_ns:
                self.gaps += int((steps > GAP_PERIODS * self.period_ns).sum())

    def row(self, kind: str, topic: str) -> dict[str, Any]:
        """As the report holds it."""
        length = (self.last_ns - self.first_ns) * 1e-9
        periodic = kind not in _SPORADIC
        return {
            'kind': kind, 'topic': topic, 'messages': self.count,
            'rate_hz': round((self.count - 1) / length, 2) if length > 0 and periodic else None,
            'gaps': self.gaps if periodic else None, 'longest_gap_ms': round(self.longest_ns * 1e-6, 2),
            'longest_gap_at': when(self.longest_at_ns) if self.longest_ns else None,
            'age_ms': None if self.age_ns is None else round(self.age_ns * 1e-6, 3),
        }


def inspect(path: Path, profile: str = 'auto', namespace: str | None = None) -> dict[str, Any]:
    """Read a whole bag in bounded memory; what :func:`words` prints.

    Raises:
        ConfigError: as :func:`allegro_bench.bags.recording.read_recording`.
    """
    health: dict[str, StreamHealth] = {}
    topics: dict[str, str] = {}
    begin = end = 0
    last: Recording | None = None
    for window in windows(path, profile, namespace=namespace):
        last = window
        if window.tracks:
            begin, end = begin or window.begin_ns, max(end, window.end_ns)
        for kind, track in window.tracks.items():
            health.setdefault(kind, StreamHealth()).add(track)
            topics[kind] = track.topic
    assert last is not None
    order = {kind: k for k, kind in enumerate(KINDS)}
    found = last.sources
    return {
        'path': str(path), 'storage': found.storage, 'files': dict(found.files),
        'begin': when(begin) if begin else None, 'seconds': round((end - begin) * 1e-9, 3),
        'profile': found.profile, 'hand': found.hand, 'namespace': found.namespace,
        'prefix': found.prefix, 'metadata': dict(found.metadata),
        'streams': [health[kind].row(kind, topics[kind])
                    for kind in sorted(health, key=lambda k: (order[k.split('/')[0]], k))],
        'not_read': [{'topic': s.topic, 'type': s.type, 'messages': s.count} for s in found.streams if not s.kind],
        'damage': list(last.damage),
    }


def words(report: dict[str, Any]) -> str:
    """The report of :func:`inspect` for a person."""
    facts = report['metadata']
    known = ', '.join(f'{name} {facts[key]}' for key, name in (
        ('hand_serial', 'serial'), ('policy', 'policy'), ('policy_backend', 'on'), ('suite_version', 'suite'),
    ) if facts.get(key))
    lines = [f'{report["path"]}: {report["seconds"]:.1f} s from {report["begin"] or "nowhere"}, {report["storage"]}, '
             f'{len(report["files"])} file{"s" if len(report["files"]) != 1 else ""}',
             f'hand {report["hand"]}, topics as of profile {report["profile"]}'
             + (f', namespace /{report["namespace"]}' if report['namespace'] else '')
             + (f', prefix {report["prefix"]}' if report['prefix'] else '') + (f'; {known}' if known else ''), '']
    table = [('stream', 'topic', 'messages', 'Hz', 'gaps', 'longest pause', 'age')]
    for row in report['streams']:
        pause = f'{row["longest_gap_ms"]:.1f} ms at {row["longest_gap_at"]}' if row['longest_gap_at'] else ''
        table.append((row['kind'], row['topic'], str(row['messages']),
                      '' if row['rate_hz'] is None else f'{row["rate_hz"]:.1f}',
                      '' if row['gaps'] is None else str(row['gaps']), pause,
                      '' if row['age_ms'] is None else f'{row["age_ms"]:.2f} ms'))
    widths = [max(len(row[k]) for row in table) for k in range(len(table[0]))]
    lines += ['  '.join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in table]
    left = ', '.join(f'{r["topic"]} ({r["type"]}, {r["messages"]})' for r in report['not_read'])
    lines += ['', f'not read: {left}'] if left else []
    lines += ['', *(f'- {sentence}' for sentence in report['damage'] or ('nothing is damaged',))]
    return '\n'.join(lines)
