"""A whole run: references, rounds of blocks, baselines and the cache test, and a result whatever happens."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from allegro_description.errors import AllegroError

from allegro_bench import environment
from allegro_bench.energy import EnergyRecorder, meter_overhead
from allegro_bench.environment import reason
from allegro_bench.processes import machine_seconds
from allegro_bench.results import document as results
from allegro_bench.running import plan, reasons
from allegro_bench.running.blocks import Bench, Opened, lost, median_ms
from allegro_bench.running.closing import close, cold_starts, watts
from allegro_bench.running.engines import NULL, Engine
from allegro_bench.running.gauges import temperature_c
from allegro_bench.running.progress import Progress
from allegro_bench.running.reserve import Reserve, bytes_of, disk_full
from allegro_bench.running.setup import Setup, backend_entry, run_section
from allegro_bench.running.stamps import StampBuffer
from allegro_bench.running.worker import Worker, WorkerLost
from allegro_bench.running.workload import section

COOL_C = 3.0
"""A block begins when the temperature is within this of the first block's."""
LONG_LOAD_S = 30.0
"""A backend that takes longer to load is not loaded again for each block."""
PINNED_CORES = 4
"""From so many cores on, measuring processes and the rest of the run have cores of their own."""
OVERHEAD_S = 10.0
"""Length of the blocks that tell what reading the meters costs."""


class Run:
    """Carries a setup out. The result is in ``document`` and, as far as the disk allows, in ``folder``."""

    def __init__(self, setup: Setup, folder: Path, recorder: EnergyRecorder) -> None:
        """Nothing is measured yet; the recorder has been started by the caller, who closes it too."""
        self.setup, self.folder, self.recorder = setup, folder, recorder
        self.document: dict[str, Any] = results.new_document()
        cores = sorted(os.sched_getaffinity(0))
        self._cores = (cores[:2], cores[2:]) if len(cores) >= PINNED_CORES else (cores, None)
        self.bench = Bench(folder, setup.chosen, setup.profile, recorder, setup.spin_us, self._cores[1])
        self._dead: dict[str, str] = {}
        self._kept: dict[str, Opened] = {}
        self._cold: dict[str, list[dict[str, float]]] = {}
        self._first_c: float | None = None
        self._loads: list[float] = []
        self._interrupted = False

    def carry_out(self) -> dict[str, Any]:
        """Measure everything that is planned; returns the document, complete or with the reason why it is not.

        Raises:
            ConfigError: there is no room for the run on the disk; nothing was measured.
        """
        setup, found = self.setup, self.bench.found
        planned = setup.planned()
        before = self._describe()
        calls = [setup.profile.cache_calls] * 2 * len(setup.engines)
        counts = [self.bench.count for p in planned if not p.kind.startswith('idle')]
        reserve = self.bench.reserve = Reserve(self.folder, bytes_of(counts + calls))
        progress = Progress(sum(p.least_s for p in planned), len(planned), quiet=setup.quiet)
        mask = os.sched_getaffinity(0)
        os.sched_setaffinity(0, self._cores[0])
        try:
            with tempfile.TemporaryDirectory(prefix='allegro_bench_') as scratch:
                self._convert(Path(scratch))
                for step in planned:
                    progress.begin(' '.join(w for w in (step.kind, step.backend) if w))
                    self._step(step)
                    # Were this process killed now, the folder would hold every block so far.
                    results.write(self.folder, {**self.document, 'blocks': self.bench.blocks})
                    progress.end(step.least_s)
                self._meter_overhead()
        except KeyboardInterrupt:
            self._interrupted = True
            found.append(reason('interrupted', 'run', 'the run was stopped by hand', 'run it again to its end'))
        except (AllegroError, OSError) as error:
            if disk_full(error):
                found.append(reason('disk_full', str(self.folder.name), f'the disk is full: {error}',
                                    'free space, then measure again; what was written before is kept'))
            else:
                found.append(reason('incomplete', 'run', str(error), 'mend the cause, then run it again'))
        finally:
            reserve.release()
            progress.close()
            for opened in self._kept.values():
                opened.close()
            os.sched_setaffinity(0, mask)
        return self._finish(before)

    # Steps -----------------------------------------------------------------------------------------------------------

    def _step(self, step: plan.Planned) -> None:
        if step.kind.startswith('idle'):
            self._idle(step.kind)
            return
        engine = {NULL: Engine(NULL, 'fp32'), self.setup.reference.name: self.setup.reference,
                  **{e.name: e for e in self.setup.engines}}[step.backend]
        if engine.name in self._dead:
            return
        self._cool()
        try:
            self._block(step, engine)
        except WorkerLost as failure:
            # One backend less; the others go on, and the result says so.
            self._dead[engine.name] = failure.code
            if not failure.noted:
                self.bench.found.append(lost(failure, engine.name, f'backends/{engine.name}'))
            kept = self._kept.pop(engine.name, None)
            if kept is not None:
                kept.close()

    def _block(self, step: plan.Planned, engine: Engine) -> None:
        profile, bench = self.setup.profile, self.bench
        seeds = self.setup.chosen.seeds
        seed = seeds[step.round % len(seeds)]
        first_measure = step.kind == 'measure' and step.round == min(
            p.round for p in self.setup.planned() if p.kind == 'measure' and p.backend == engine.name)
        idle = max(1, round(profile.loaded_idle_s * 1e9 / self.setup.chosen.period_ns)) if first_measure else 0
        calls = profile.cache_calls if first_measure else 0
        counts = [bench.count, *([idle] if idle else []), *([calls, calls] if calls else [])]
        opened = self._kept.pop(engine.name, None) or self._opened(engine, counts)
        done = False
        try:
            warmup = bench.warm(opened, seed)
            if len(bench.blocks) == 0:
                self._first_c = temperature_c()
            index = None
            if step.kind == 'measure':
                index = self.document['run']['order'].index({'round': step.round, 'backend': engine.name})
            busy, began = machine_seconds(), time.monotonic()
            block = bench.measure(opened, opened.buffers[0], step.kind, seed, order_index=index, warmup=warmup)
            self._other_load(busy, began, block)
            bench.found += reasons.of_warm_up(f'blocks/{block["index"]}', engine.name, warmup)
            if idle:
                self._loaded_idle(opened, opened.buffers[1], seed)
            if calls:
                bench.cache_test(opened, opened.buffers[-2], opened.buffers[-1], seed, plan.CACHE_S)
            done = True
        finally:
            # A process that took long to load is kept for the next block, with its memory wiped.
            if done and opened.answer['load_s'] > LONG_LOAD_S and step.kind == 'measure':
                opened.buffers[0].wipe()
                self._kept[engine.name] = opened
            else:
                opened.close()

    def _opened(self, engine: Engine, counts: Sequence[int]) -> Opened:
        opened = self.bench.open(engine, counts)
        answer = opened.answer
        cold = self._cold.setdefault(engine.name, [])
        if len(cold) < self.setup.profile.cold:
            cold.append({'load_s': answer['load_s'], 'first_inference_ms': answer['first_inference_ms']})
        entry = next(b for b in self.document['backends'] if b['name'] == engine.name)
        if entry['affinity'] is None:
            entry |= {'version': answer['version'], 'options': answer['options'], 'affinity': answer['affinity'],
                      'faithful': answer['faithful'], 'golden_worst': answer['golden']}
            if engine.name != NULL:
                entry['artifact_sha256'] = self.bench.artefact(engine, self.setup.bundle.graph)
        return opened

    def _idle(self, kind: str) -> None:
        busy, began, marks = machine_seconds(), time.monotonic(), self.recorder.mark()
        time.sleep(self.setup.profile.idle_s)
        window, seconds = self.recorder.window(marks, self.recorder.mark()), time.monotonic() - began
        after = machine_seconds()
        cores = None if busy is None or after is None else (after - busy) / seconds
        self.document['baselines'].append({
            'kind': kind, 'backend': None, 'duration_s': seconds, 'temp_c': temperature_c(),
            'power_w': watts(window.joules, window.seconds), 'other_load_cores': cores})
        self.bench.found += reasons.of_load(cores, f'baselines/{kind}')

    def _loaded_idle(self, opened: Opened, buffer: StampBuffer, seed: int) -> None:
        """The loop with the model loaded and the null backend in its place: what marginal energy is beyond."""
        marks = self.recorder.mark()
        opened.worker.tell('block', descriptor=buffer.descriptor, seed=seed, null=True)
        opened.worker.hear(60.0)
        marks = self.recorder.mark()
        opened.worker.tell('go')
        opened.worker.hear(self.setup.profile.loaded_idle_s + 30.0, buffer)
        window = self.recorder.window(marks, self.recorder.mark())
        self.document['baselines'].append({
            'kind': 'loaded_idle', 'backend': opened.engine.name,
            'duration_s': buffer.count * self.setup.chosen.period_ns * 1e-9, 'temp_c': temperature_c(),
            'power_w': watts(window.joules, window.seconds)})

    def _cool(self) -> None:
        """Wait until the machine is as cool as it was when the first block began."""
        end = time.monotonic() + self.setup.profile.cool_s
        while self._first_c is not None and time.monotonic() < end:
            now = temperature_c()
            if now is None or now <= self._first_c + COOL_C:
                return
            time.sleep(1.0)

    def _other_load(self, busy: float | None, began: float, block: Mapping[str, Any]) -> None:
        after = machine_seconds()
        if busy is not None and after is not None and block['cpu_s'] is not None:
            self._loads.append(max(0.0, after - busy - block['cpu_s']) / (time.monotonic() - began))

    def _convert(self, scratch: Path) -> None:
        """Graphs in 8 bit are made once, apart from everything that is timed."""
        for precision in sorted({e.precision for e in self.setup.engines if e.precision.startswith('int8')}):
            path = scratch / f'{precision}.onnx'
            try:
                with Worker() as worker:
                    worker.ask('convert', 300.0, workload=self.setup.chosen.as_dict(), precision=precision,
                               path=str(path))
            except WorkerLost as failure:
                for engine in self.setup.engines:
                    if engine.precision == precision:
                        self._dead[engine.name] = failure.code
                        self.bench.found.append(lost(failure, engine.name, f'backends/{engine.name}'))
                continue
            self.bench.graphs[precision] = path

    def _meter_overhead(self) -> None:
        """One pair of blocks with and without meters; nothing to tell where there are none."""
        if not self.recorder.channels or self.setup.reference.name in self._dead:
            return
        count = max(1, round(OVERHEAD_S * 1e9 / self.setup.chosen.period_ns))
        opened = self.bench.open(self.setup.reference, [count] * 4)
        seed = self.setup.chosen.seeds[0]
        spare = list(opened.buffers)
        try:
            self.bench.warm(opened, seed)

            def p50(on: bool) -> float:
                if on:
                    self.recorder.start()
                else:
                    self.recorder.pause()
                buffer = spare.pop()
                if on:
                    opened.worker.tell('block', descriptor=buffer.descriptor, seed=seed)
                    opened.worker.hear(60.0)
                    opened.worker.tell('go')
                    opened.worker.hear(OVERHEAD_S + 30.0, buffer)
                else:
                    self.bench.measure(opened, buffer, 'meter_off', seed)
                return median_ms(buffer.ticks().response_ns()) or float('nan')

            self.document['run']['meter_overhead'] = meter_overhead(p50)
        except WorkerLost as failure:
            self.bench.found.append(lost(failure, self.setup.reference.name, 'run/meter_overhead'))
        finally:
            self.recorder.start()
            opened.close()

    # What becomes of it ----------------------------------------------------------------------------------------------

    def _describe(self) -> dict[str, Any]:
        setup = self.setup
        card = environment.describe()
        everything = dict.fromkeys([*setup.engines, setup.reference, Engine(NULL, 'fp32')])
        self.document |= {
            'run': run_section(setup, self._cores[1]), 'workload': section(setup.chosen, setup.bundle), 'system': card,
            'meters': [c.as_dict() for c in self.recorder.channels],
            'backends': [backend_entry(e) for e in everything]}
        results.write(self.folder, self.document)
        return card

    def _finish(self, before: Mapping[str, Any]) -> dict[str, Any]:
        document, bench = self.document, self.bench
        document['blocks'] = bench.blocks
        cold_starts(document, self._cold)
        found = bench.found
        found += reasons.of_load(float(np.median(self._loads)) if self._loads else None, 'blocks')
        close(document, self.folder, found, before)
        return document

    @property
    def interrupted(self) -> bool:
        """Whether somebody stopped it."""
        return self._interrupted
