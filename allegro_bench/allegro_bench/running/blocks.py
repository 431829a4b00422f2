"""One block as the parent sees it: a measuring process, meters around it, its entry in the result whatever ends it."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np

from allegro_bench.energy import EnergyRecorder
from allegro_bench.environment import reason
from allegro_bench.results.blocks import numbers
from allegro_bench.results.document import save_ticks
from allegro_bench.running import reasons
from allegro_bench.running.engines import Engine
from allegro_bench.running.gauges import surroundings
from allegro_bench.running.profiles import Profile
from allegro_bench.running.reserve import Reserve
from allegro_bench.running.stamps import StampBuffer
from allegro_bench.running.worker import Worker, WorkerLost
from allegro_bench.running.workload import Workload

UTC = timezone.utc  # noqa: UP017  (packs run on Python 3.10 too)
OPEN_S = 300.0
"""Longest loading of a backend: some compile."""
ANSWER_S = 60.0
"""Longest wait for anything else that is quick."""
GRACE_S = 30.0
"""A block may end so much later than planned."""


@dataclass(slots=True)
class Opened:
    """A measuring process with its backend loaded.

    Attributes:
        worker: the process.
        engine: what it runs.
        buffers: stamp memory that it can use.
        answer: what it said of loading.
        graph: file with the converted graph, if there is one.
    """

    worker: Worker
    engine: Engine
    buffers: list[StampBuffer]
    answer: dict[str, Any]

    def close(self) -> None:
        """End the process and let go of its memory."""
        self.worker.close()
        for buffer in self.buffers:
            buffer.close()


@dataclass(slots=True)
class Bench:
    """What all blocks of a run share.

    Attributes:
        folder: of the result.
        chosen: the workload.
        profile: its lengths.
        recorder: owner of the meters.
        spin_us: busy wait before each release, us.
        affinity: cores of measuring processes; None: all.
        graphs: converted graphs by precision.
        blocks: entries of the result so far.
        found: reasons so far.
        reserve: disk space of the run; a block's share is given back just before it is written.
    """

    folder: Path
    chosen: Workload
    profile: Profile
    recorder: EnergyRecorder
    spin_us: float = 0.0
    affinity: list[int] | None = None
    graphs: dict[str, Path] = field(default_factory=dict)
    blocks: list[dict[str, Any]] = field(default_factory=list)
    found: list[dict[str, str]] = field(default_factory=list)
    reserve: Reserve | None = None

    @property
    def count(self) -> int:
        """Ticks of a block."""
        return max(1, round(self.profile.block_s * 1e9 / self.chosen.period_ns))

    def open(self, engine: Engine, counts: Sequence[int]) -> Opened:
        """Start a process with memory for blocks of so many ticks, and load the backend in it.

        Raises:
            WorkerLost: it did not come up.
        """
        buffers = [StampBuffer.create(n) for n in counts]
        worker = Worker(buffers)
        try:
            answer = worker.ask('open', OPEN_S, workload=self.chosen.as_dict(), plugin=engine.plugin,
                                precision=engine.precision, graph=str(self.graphs.get(engine.precision, '')),
                                spin_us=self.spin_us, affinity=self.affinity)
        except BaseException:
            worker.kill()
            worker.close()
            for buffer in buffers:
                buffer.close()
            raise
        return Opened(worker, engine, buffers, answer)

    def artefact(self, engine: Engine, graph: bytes) -> str:
        """Hash of the graph that an engine runs."""
        path = self.graphs.get(engine.precision)
        return hashlib.sha256(path.read_bytes() if path else graph).hexdigest()

    def warm(self, opened: Opened, seed: int) -> dict[str, Any]:
        """Warm up at the control rate."""
        profile = self.profile
        patience = profile.warm_cap_s + 60 * self.chosen.period_ns * 1e-9 + GRACE_S
        return opened.worker.ask('warm', patience, ticks=profile.warm_ticks, seconds=profile.warm_s,
                                 cap_s=profile.warm_cap_s, seed=seed)

    def measure(self, opened: Opened, buffer: StampBuffer, kind: str, seed: int, *, order_index: int | None = None,
                warmup: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Run one block and note it, complete or not.

        Returns:
            Its entry, which is already among :attr:`blocks`.

        Raises:
            WorkerLost: the process was lost; what it measured is noted.
            KeyboardInterrupt: the same.
        """
        before, marks = surroundings(), self.recorder.mark()
        cpu = opened.worker.cpu_s()
        found: dict[str, Any] = {}
        failure: BaseException | None = None
        try:
            opened.worker.tell('block', descriptor=buffer.descriptor, seed=seed, sample_seed=time.time_ns() % 2**32)
            opened.worker.hear(ANSWER_S)
            marks = self.recorder.mark()
            opened.worker.tell('go')
            patience = buffer.count * self.chosen.period_ns * 1e-9 + GRACE_S
            if self.chosen.on_overrun == 'queue':
                patience *= 20
            found = opened.worker.hear(patience, buffer)
        except (WorkerLost, KeyboardInterrupt) as error:
            failure = error
            used = opened.worker.cpu_s()
            found = {} if used is None or cpu is None else {'cpu_s': used - cpu}
            opened.worker.kill()
        block = self._note(buffer, found, opened.engine, marks, before, kind, seed)
        block |= {'order_index': order_index, 'warmup': None if warmup is None else dict(warmup)}
        if failure is not None:
            code = failure.code if isinstance(failure, WorkerLost) else 'interrupted'
            block['error'] = code
            if isinstance(failure, WorkerLost):
                failure.noted = True
                self.found.append(lost(failure, opened.engine.name, f'blocks/{block["index"]}'))
            raise failure
        if found['failure']:
            block['error'] = 'failed'
        self.found += reasons.of_block(block, found)
        answers = opened.worker.ask('judge', OPEN_S)['answers']
        block['answers'] = answers
        self.found += reasons.of_answers(block, answers)
        return block

    def _note(self, buffer: StampBuffer, found: Mapping[str, Any], engine: Engine, marks: Mapping[str, Any],
              before: Mapping[str, Any], kind: str, seed: int) -> dict[str, Any]:
        after_marks, after = self.recorder.mark(), surroundings()
        ticks, index = buffer.ticks(), len(self.blocks)
        first = int(buffer.head[0]) or time.monotonic_ns()
        end = first + len(ticks) * self.chosen.period_ns
        if kind.startswith('cache'):  # back to back there is no schedule: a call is released when it starts
            ticks = replace(ticks, release_ns=ticks.start_ns)
            end = int(ticks.finish_ns[-1]) if len(ticks) else first
        window = self.recorder.window(marks, after_marks, first, end)
        name = f'{index:03d}_{kind}_{engine.name.replace("/", "_").replace(":", "_")}'
        began = datetime.now(UTC).timestamp() - (time.monotonic_ns() - first) * 1e-9
        if self.reserve is not None:
            self.reserve.shrink(len(ticks))
        throttled = [s['throttle'] for s in (before, after)]
        block: dict[str, Any] = {
            'index': index, 'order_index': None, 'kind': kind, 'backend': engine.name, 'seed': seed,
            't0_monotonic_ns': first,
            't0_utc': datetime.fromtimestamp(began, UTC).strftime('%Y-%m-%dT%H:%M:%S.%fZ'),
            'duration_s': (end - first) * 1e-9,
            **numbers(ticks, self.chosen.deadline_ns),
            'ticks_file': save_ticks(self.folder, name, ticks, buffer.engine_ns()),
            'cpu_s': found.get('cpu_s'), **window.as_block(),
            'temp_c': {'start': before['temp_c'], 'end': after['temp_c']},
            'freq_mhz': {'start': before['freq_mhz'], 'mean': None, 'end': after['freq_mhz']},
            'throttle_events': None if None in throttled else throttled[1] - throttled[0], 'oc_events': None,
            'ctx_switches': None, 'page_faults': None, 'error': None,
        }
        if 'faults_minor' in found:
            block |= {
                'ctx_switches': {'voluntary': found['switches_voluntary'], 'forced': found['switches_forced']},
                'page_faults': {'minor': found['faults_minor'], 'major': found['faults_major']},
                'peak_rss_mb': found['peak_rss_mb'], 'memory_mb': found['memory_mb'], 'n_bad': found['n_bad'],
                'clock_steps_ns': found['clock_steps_ns'], 'held': found['held'],
            }
        self.blocks.append(block)
        return block

    def cache_test(self, opened: Opened, distinct: StampBuffer, repeated: StampBuffer, seed: int,
                   most_s: float) -> None:
        """Is one observation again and again answered faster? Both kinds are kept as blocks."""
        before, marks = surroundings(), self.recorder.mark()
        opened.worker.ask('cache', most_s + ANSWER_S, distinct=distinct.descriptor, repeated=repeated.descriptor,
                          calls=distinct.count, seed=seed, most_s=most_s)
        medians = []
        for buffer, kind in ((distinct, 'cache_distinct'), (repeated, 'cache_repeated')):
            block = self._note(buffer, {}, opened.engine, marks, before, kind, seed)
            block |= {'energy_j': {}, 'energy_window_s': None, 'energy_marks': {}, 'energy_problems': {}}
            medians.append(median_ms(buffer.ticks().service_ns()))
        self.found += reasons.of_cache(opened.engine.name, medians[0] or 0.0, medians[1] or 0.0)


def median_ms(values: Any) -> float | None:
    """Median of times in ns, ms; None of none."""
    return float(np.median(values)) * 1e-6 if len(values) else None


REMEDIES = {
    'crashed': 'the ticks before it are kept; mend the backend, or leave it out with --backends',
    'hung': 'the ticks before it are kept; mend the backend, or leave it out with --backends',
    'refused': 'see what allegro-ai backends says of it',
    'failed': 'mend the backend, or leave it out with --backends',
    'garbled': 'mend the backend, or leave it out with --backends',
}


def lost(failure: WorkerLost, name: str, where: str) -> dict[str, str]:
    """The reason that a lost process leaves behind."""
    return reason(failure.code, where, f'{name} {failure}', REMEDIES[failure.code])
