"""What the profiler says once per second while a run goes on: the recent past in a few numbers with units."""

from __future__ import annotations

from typing import Any

import numpy as np

from allegro_bench.meters.meter import Sample, headline, window_joules
from allegro_bench.session import Session
from allegro_bench.statistics import longest_run, percentile

FORWARDED = ('on_time', 'jitter')
"""Parts of the driver's keys that are repeated beside the policy's numbers."""


class Live:
    """The live view of a session; call :meth:`latency` and :meth:`energy` once per second."""

    def __init__(self, session: Session) -> None:
        """Look at ``session``."""
        self._session = session
        self._energy_before: dict[str, Sample] = {}

    def latency(self) -> tuple[str, dict[str, object]]:
        """One sentence, and the values of ``inference_profiler: latency`` over the last ``window_s`` seconds."""
        session = self._session
        ticks = session.ticks(session.config.window_s)
        run, gaps = ticks.restored()
        period = ticks.period_ns
        ages, _ = ticks.command_ages()
        missed = run.missed(round(session.config.deadline_ms * 1e6) or period)
        values: dict[str, object] = {'window_s': session.config.window_s, 'ticks': len(run)}
        columns = (('service', run.service_ns() * 1e-6, 'ms'), ('response', run.response_ns() * 1e-6, 'ms'),
                   ('end_to_end', ages * 1e-6, 'ms'), ('jitter', run.jitter_ns() * 1e-3, 'us'))
        for name, found, unit in columns:
            for label, p in (('p50', 0.5), ('p99', 0.99)):
                e = percentile(np.asarray(found), p)
                values[f'{name}_{label}_{unit}'] = f'n/a (need {e.needed})' if e.value is None else e.value
        values |= {
            'misses': int(missed.sum()), 'skipped': gaps.skipped, 'longest_miss_run': longest_run(missed),
            'miss_rate': float(missed.mean()) if len(run) else 'n/a',
            'rate_hz': 1e9 / period if period else 'n/a',
            'backend': ', '.join(ticks.backends) or 'none',
            'cpu_s_per_inference': self._cpu(ticks),
        }
        values |= self._driver()
        if not len(run):
            return 'no inference heard', values
        p99 = _short(values['response_p99_ms'])
        return f'{len(run)} ticks, {values["misses"]} missed, response p99 {p99}', values

    def energy(self) -> tuple[str, dict[str, object]]:
        """One sentence, and the values of ``inference_profiler: energy``."""
        session = self._session
        chosen = headline(session.meter.channels)
        values: dict[str, object] = {'energy_source': ' + '.join(chosen) or 'none'}
        for channel in session.meter.channels:
            sample, before = session.energy.get(channel.id), self._energy_before.get(channel.id)
            if sample is None:
                continue
            values[f'{channel.id}_energy_j'] = sample.joules
            values[f'{channel.id}_power_w'] = _power(before, sample)
            values[f'{channel.id}_boundary'], values[f'{channel.id}_quality'] = channel.boundary, channel.quality
            if sample.problem:
                values[f'{channel.id}_problem'] = sample.problem
        self._energy_before = dict(session.energy)
        if not chosen:
            values['reason'] = session.meter.reason
            return f'none: {session.meter.reason}', values
        quality = ', '.join(sorted({c.quality for c in session.meter.channels if c.id in chosen}))
        return f'gross, {quality}, {" + ".join(chosen)}', values

    def channels(self) -> list[tuple[str, str, dict[str, object]]]:
        """What the topic ``energy`` says of each channel: its id, its last problem or '', sum and whose joules."""
        found = []
        for channel in self._session.meter.channels:
            sample = self._session.energy.get(channel.id)
            if sample is not None:
                found.append((channel.id, sample.problem, {
                    'energy_j': sample.joules, 'faults': sample.faults, 'meter': channel.driver, 'kind': channel.kind,
                    'boundary': channel.boundary, 'quality': channel.quality,
                    'overlaps': ', '.join(channel.overlaps) or 'none'}))
        return found

    def _cpu(self, ticks: Any) -> object:
        process = self._session.processes.of(self._session.config.policy_node)
        if process is None or len(process.cpu_s) < 2 or not len(ticks.done):
            return 'n/a'
        rows = np.stack([np.array(process.time_s), np.array(process.cpu_s)], axis=1)
        rows = rows[rows[:, 0] >= rows[-1, 0] - self._session.config.window_s]
        finish_s = (ticks.done[:, 3] - self._session.t0_ns) * 1e-9
        count = int(((finish_s > rows[0, 0]) & (finish_s <= rows[-1, 0])).sum())
        return float(rows[-1, 1] - rows[0, 1]) / count if count else 'n/a'

    def _driver(self) -> dict[str, object]:
        found: dict[str, object] = {}
        for name, values in self._session.statuses.items():
            if name.partition(':')[0].strip() == self._session.config.driver_node:
                found |= {f'driver_{k}': v for k, v in values.items()
                          if any(part in k for part in FORWARDED) and v is not None}
        return found


def _power(before: Sample | None, now: Sample) -> object:
    """Mean power between two readings of a channel, W, by the times of the readings themselves."""
    joules = None if before is None else window_joules(before, now)
    if joules is None or before is None or before.t_ns is None or now.t_ns is None or now.t_ns <= before.t_ns:
        return 'n/a'
    return joules / ((now.t_ns - before.t_ns) * 1e-9)


def _short(value: object) -> str:
    return f'{value:.3g} ms' if isinstance(value, float) else str(value)
