"""Everything the profiler hears during a run, gathered without ROS: the node only hands numbers in."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from allegro_description.model import HandModel
from allegro_description.state import Array

from allegro_bench.config import ProfilerConfig
from allegro_bench.episodes import value_of
from allegro_bench.meters.meter import Meter, Sample
from allegro_bench.processes import ProcessTable
from allegro_bench.record import Rows, SeriesRecord, TickRecord

WAITING = 500
"""Halves of an inference (its stamps, its release) that may wait for the other; older ones count as unmatched."""

MOST_SERIES = 400
"""Different diagnostic values that are kept; a node that invents keys must not fill the memory."""

MOST_REASONS = 20
"""Different reasons of a policy to hold that are kept."""

FASTEST_HZ = 400.0
"""Bounds what a look back copies."""


class Join:
    """Puts the two messages of one inference together by the finish stamp that both carry."""

    def __init__(self) -> None:
        """Nothing waits."""
        self._waiting: dict[int, tuple[str, Any]] = {}
        self.unmatched = {'inference': 0, 'inference_release': 0}

    def add(self, topic: str, finish_ns: int, facts: Any) -> tuple[Any, Any] | None:
        """Give one half; returns (inference, release) facts once both are there."""
        other = self._waiting.get(finish_ns)
        if other is not None and other[0] != topic:
            del self._waiting[finish_ns]
            return (facts, other[1]) if topic == 'inference' else (other[1], facts)
        self._waiting[finish_ns] = (topic, facts)
        if len(self._waiting) > WAITING:
            oldest = next(iter(self._waiting))
            self.unmatched[self._waiting.pop(oldest)[0]] += 1
        return None

    def left_over(self) -> dict[str, int]:
        """Halves that never met, by topic; those at the very end may still have been on their way."""
        count = dict(self.unmatched)
        for topic, _ in list(self._waiting.values())[:-2]:
            count[topic] += 1
        return count


class Session:
    """One profiling run."""

    def __init__(self, config: ProfilerConfig, model: HandModel, meter: Meter, t0_ns: int,
                 proc: Path = Path('/proc')) -> None:
        """Begin at ``t0_ns`` (ns of the clock that all stamps come from)."""
        self.config, self.model, self.meter, self.t0_ns = config, model, meter, t0_ns
        self.processes = ProcessTable(proc)
        self.backends: list[str] = []
        self.events: list[dict[str, Any]] = []
        self.hold_reasons: list[str] = []
        self.statuses: dict[str, dict[str, Any]] = {}
        self.counts = {'joint_states': 0, 'tactile/points': 0, 'joint_commands': 0, 'refused': 0}
        self.energy: dict[str, Sample] = {}
        self.end_ns = t0_ns
        self._join = Join()
        self._done, self._commands = Rows(5, 'q'), Rows(2, 'q')
        self._torque, self._pressure = Rows(1 + len(model.joints), 'f'), Rows(1 + len(model.fingers), 'f')
        self._energy: dict[str, Rows] = {c.id: Rows(3) for c in meter.channels}
        self._diagnostics: dict[str, Rows] = {}
        self._trace_ns = round(1e9 / config.trace_rate_hz) if config.trace_rate_hz else 0
        self._next_trace = {'torque': t0_ns, 'pressure': t0_ns}

    def seconds(self, stamp_ns: int) -> float:
        """Time since the run began, s."""
        return (stamp_ns - self.t0_ns) * 1e-9

    # What arrives ------------------------------------------------------------------------------------------------

    def inference(self, start_ns: int, finish_ns: int, backend: str) -> None:
        """One message of ``inference``."""
        self._joined(self._join.add('inference', finish_ns, (start_ns, backend)), finish_ns)

    def release(self, release_ns: int, finish_ns: int, tick: str) -> None:
        """One message of ``inference_release``; ``tick`` is the loop's count as text."""
        try:
            index = int(tick)
        except ValueError:
            self.counts['refused'] += 1
            return
        self._joined(self._join.add('inference_release', finish_ns, (release_ns, index)), finish_ns)

    def _joined(self, pair: tuple[Any, Any] | None, finish_ns: int) -> None:
        if pair is None:
            return
        (start_ns, backend), (release_ns, index) = pair
        if not release_ns <= start_ns <= finish_ns:
            self.counts['refused'] += 1
            return
        if backend not in self.backends:
            self.backends.append(backend)
        self._done.append(index, release_ns, start_ns, finish_ns, self.backends.index(backend))

    def command(self, observed_ns: int, received_ns: int) -> None:
        """One message of ``joint_commands``: stamp of its observation, time of receipt."""
        self.counts['joint_commands'] += 1
        if observed_ns > 0:
            self._commands.append(observed_ns, received_ns)

    def wants(self, trace: str, now_ns: int) -> bool:
        """Whether it is time for the next sample of ``torque`` or ``pressure``; counts the message in any case."""
        self.counts['joint_states' if trace == 'torque' else 'tactile/points'] += 1
        if not self._trace_ns or now_ns < self._next_trace[trace]:
            return False
        self._next_trace[trace] = max(self._next_trace[trace] + self._trace_ns, now_ns - self._trace_ns)
        return True

    def torque(self, stamp_ns: int, effort: Array) -> None:
        """Joint torques, N·m, canonical order, (n_joints,)."""
        self._torque.append(self.seconds(stamp_ns), *effort.tolist())

    def pressure(self, stamp_ns: int, pressure: Array, valid: np.ndarray[Any, np.dtype[np.bool_]]) -> None:
        """Taxel pressures, Pa, and their validity, taxel order, (n_taxels,); the fingertips are kept."""
        tips = np.where(valid, pressure, np.nan)[self.model.tip_taxels]
        self._pressure.append(self.seconds(stamp_ns), *tips.tolist())

    def episode(self, event: str, stamp_ns: int, facts: Mapping[str, str]) -> None:
        """One message of ``episode``."""
        values = {key: value_of(text) for key, text in facts.items()}
        self.events.append({**values, 'event': event, 'time_s': self.seconds(stamp_ns)})

    def status(self, name: str, stamp_ns: int, values: Mapping[str, str], message: str = '',
               hardware_id: str = '') -> None:
        """One status of ``/diagnostics``; ``name`` is ``<node>: <aspect>``."""
        node = name.partition(':')[0].strip()
        parsed = {key: value_of(text) for key, text in values.items()}
        self.statuses[name] = parsed | {'message': message, 'hardware_id': hardware_id}
        held = values.get('hold_reason', '')
        if held and held not in self.hold_reasons and len(self.hold_reasons) < MOST_REASONS:
            self.hold_reasons.append(held)
        now_s = self.seconds(stamp_ns)
        for key, value in parsed.items():
            if isinstance(value, int) and not isinstance(value, bool) and (key == 'pid' or key.endswith('_pid')):
                who = node if key == 'pid' else key.removesuffix('_pid')
                used = parsed.get('cpu_s' if key == 'pid' else f'{who}_cpu_s')
                self.processes.announce(who, value, float(used) if isinstance(used, (int, float)) else None, now_s)
            elif isinstance(value, (int, float)) and not isinstance(value, bool) and key != 'serial':
                series = f'{name}/{key}'
                if series in self._diagnostics or len(self._diagnostics) < MOST_SERIES:
                    self._diagnostics.setdefault(series, Rows(2)).append(now_s, float(value))

    def second(self, now_ns: int) -> None:
        """Once per second: read CPU times and the energy meter."""
        self.end_ns = now_ns
        now_s = self.seconds(now_ns)
        self.processes.sample(now_s)
        self.energy = dict(self.meter.read())
        for channel, sample in self.energy.items():
            self._energy[channel].append(now_s, sample.joules, sample.faults)

    # What is made of it ------------------------------------------------------------------------------------------

    @property
    def unmatched(self) -> dict[str, int]:
        """Messages of an inference whose other half never came, by topic."""
        return self._join.left_over()

    def ticks(self, last_s: float = 0.0) -> TickRecord:
        """All completed ticks, or about those of the last ``last_s`` seconds."""
        newest = round(last_s * FASTEST_HZ)
        done, commands = self._done.table(newest), self._commands.table(newest)
        done = done[np.argsort(done[:, 3], kind='stable')]
        if last_s and len(done):
            since = done[-1, 3] - round(last_s * 1e9)
            done, commands = done[done[:, 3] >= since], commands[commands[:, 1] >= since]
        return TickRecord(done, commands, tuple(self.backends), self.t0_ns)

    def series(self) -> SeriesRecord:
        """All traces."""
        arrays: dict[str, Array] = {'torque': self._torque.table(), 'pressure': self._pressure.table()}
        for process in [*self.processes.processes, self.processes.machine]:
            arrays[f'cpu/{process.pid}'] = np.stack([np.array(process.time_s), np.array(process.cpu_s)], axis=1)
        arrays |= {f'energy/{name}': rows.table() for name, rows in self._energy.items()}
        arrays |= {f'diagnostics/{name}': rows.table() for name, rows in self._diagnostics.items()}
        return SeriesRecord(arrays)


