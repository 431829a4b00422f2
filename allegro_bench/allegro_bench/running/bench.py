"""One backend on one workload, inside the measuring process: loading, warm-up, blocks, the cache test."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from allegro_ai.backends import BACKENDS
from allegro_ai.contract import golden_tolerance
from allegro_description.errors import AllegroError, BundleError
from numpy.typing import NDArray

from allegro_ai import golden
from allegro_bench.load import MonotonicClock, run_periodic
from allegro_bench.running.engines import NULL, Engine
from allegro_bench.running.gauges import MemoryGauge, clock_offsets, spent, usage
from allegro_bench.running.profiles import STEADY, WINDOW
from allegro_bench.running.stamps import StampBuffer
from allegro_bench.running.steps import ActStep, Probe, step
from allegro_bench.running.workload import Workload, load
from allegro_bench.statistics import rank_interval

SAMPLES = 32
"""Ticks of a block whose answers are computed again by another backend afterwards."""
MARGIN = 3.0
"""Times the recorded tolerance that those may differ: the observations are not the golden ones."""
READINGS = 16
"""How often memory is read within a block."""
GROUP = 25
"""Calls in a row of one kind in the cache test; both kinds alternate."""


def frozen() -> Callable[[], None]:
    """Keep the collector of garbage out of what follows; returns what lets it in again."""
    gc.collect()
    gc.freeze()
    gc.disable()

    def thaw() -> None:
        gc.enable()
        gc.unfreeze()

    return thaw


class Bench:
    """A loaded backend and the step around it."""

    def __init__(self, workload: Mapping[str, Any], plugin: str, precision: str, graph: str, spin_us: float) -> None:
        """Load; see :attr:`opening` for what came of it.

        Raises:
            BundleError: the backend cannot run the graph, or its answers differ from the golden ones.
        """
        self.chosen = Workload.of(workload)
        self.bundle = load(self.chosen)
        self.clock = MonotonicClock(round(spin_us * 1e3))
        self.policy = self.bundle.unchecked(NULL)
        model = Path(graph).read_bytes() if graph else self.bundle.graph
        chosen = Engine(plugin, precision)
        extra = {} if precision == 'fp32' else {'precision': precision}
        began = time.monotonic_ns()
        engine = chosen.load()(model, self.bundle.report.spec, **extra)
        load_s = (time.monotonic_ns() - began) * 1e-9
        self.null = self.policy.backend
        self.probe = Probe(engine, time.monotonic_ns)
        self.policy.backend = self.probe
        self.faithful = bool(engine.faithful)
        self.tolerance = self._tolerance(plugin, precision)
        ready = ActStep(self.bundle, self.policy, self.chosen_ready())
        ready.begin(self.chosen.seeds[0])
        ready.before(0)
        began = time.monotonic_ns()
        ready(0)
        first_ms = (time.monotonic_ns() - began) * 1e-6
        self.opening = {
            'load_s': load_s, 'first_inference_ms': first_ms, 'version': chosen.version,
            'golden': self._golden(), 'faithful': self.faithful,
            'rss_mb': usage()['peak_rss_mb'], 'options': dict(getattr(engine, 'options', {})),
        }
        self._watch: Watch | None = None
        self.step = step(self.bundle, self.policy, self.chosen, time.monotonic_ns)

    def chosen_ready(self) -> Workload:
        """The workload with ready, synthetic observations, whatever is measured."""
        return Workload.of(self.chosen.as_dict() | {'source': 'synthetic'})

    def _tolerance(self, plugin: str, precision: str) -> float | None:
        if not self.faithful:
            return None
        try:
            return golden_tolerance(self.bundle.contract, plugin, precision)
        except BundleError:
            return None

    def _golden(self) -> float | None:
        """Largest difference from the golden outputs; None for a backend that does not compute the graph."""
        if not self.faithful:
            return None
        if self.tolerance is None:
            raise BundleError(f'{self.bundle.name} records no tolerance for this backend in this precision, so nothing '
                              'says whether its answers are right')
        self.policy.reset()
        minimum = golden.MINIMUM_WORKLOAD if self.bundle.workload else golden.MINIMUM
        return golden.check(self.policy, self.bundle.arrays(self.bundle.contract['golden']['file']), self.bundle.inputs,
                            self.tolerance, extras=self.policy.extras, minimum=minimum)

    def warm(self, ticks: int, seconds: float, cap_s: float, seed: int) -> dict[str, Any]:
        """Run at the control rate until steady: see :data:`allegro_bench.running.profiles.STEADY`."""
        self.step.begin(seed)
        period = self.chosen.period_ns
        windows: list[NDArray[np.float64]] = []
        first = time.monotonic_ns()
        thaw = frozen()
        k = 0
        while True:
            run = run_periodic(self._shifted(self.step, k), self.clock, period_ns=period, count=WINDOW,
                               on_overrun=self.chosen.on_overrun, before=self._shifted(self.step.before, k))
            k += WINDOW
            windows.append(np.sort(run.response_ns().astype(np.float64)) * 1e-6)
            now_s = (time.monotonic_ns() - first) * 1e-9
            steady = is_steady(windows)
            if (steady and k >= ticks and now_s >= seconds) or now_s >= cap_s:
                break
        thaw()
        medians = [float(np.median(w)) for w in windows]
        return {'ticks': k, 'seconds': now_s, 'steady': steady, 'medians_ms': medians, 'held': self.step.held}

    @staticmethod
    def _shifted(work: Callable[[int], None], base: int) -> Callable[[int], None]:
        """``work`` for ticks that are counted from ``base``."""
        return lambda k: work(base + k)

    def block(self, buffer: StampBuffer, seed: int, sample_seed: int, *, null: bool) -> Callable[[], dict[str, Any]]:
        """Prepare a block; what is returned runs it.

        Args:
            buffer: where stamps go; its length is the number of ticks.
            seed: of the observations.
            sample_seed: which ticks' answers are kept.
            null: put the null backend behind the step, with this one loaded: the loop's own cost.
        """
        engine = self.probe.exchange(self.null) if null else None
        self.step.begin(seed)
        watch = self._watch = Watch(self, buffer, sample_seed, checked=self.faithful and not null)
        period, count = self.chosen.period_ns, buffer.count
        thaw = frozen()

        def run() -> dict[str, Any]:
            offsets, before = clock_offsets(), usage()
            first = time.monotonic_ns() + period
            buffer.begin(first, period)
            error = ''
            try:
                run_periodic(self.step, self.clock, period_ns=period, count=count, on_overrun=self.chosen.on_overrun,
                             first_ns=first, before=self.step.before, after=watch.after,
                             columns=(buffer.start, buffer.finish))
                buffer.head[3] = count
                self.clock.sleep_until(first + count * period)
            except Exception as failure:  # an engine that throws within a block ends it, and what was measured stays
                error = f'{type(failure).__name__}: {" ".join(str(failure).split())}'
            end = time.monotonic_ns()
            used, now = spent(before, usage()), clock_offsets()
            thaw()
            if engine is not None:
                self.probe.exchange(engine)
            return {**used, 'first_ns': first, 'end_ns': end, 'failure': error, 'held': self.step.held,
                    'clock_steps_ns': {name: now[name] - offsets[name] for name in now},
                    'memory_mb': watch.memory, 'n_bad': watch.bad}

        return run

    def judge(self) -> dict[str, Any]:
        """What :meth:`Watch.judged` says of the last block."""
        return {'answers': None if self._watch is None else self._watch.judged()}

    def cache(self, distinct: StampBuffer, repeated: StampBuffer, calls: int, seed: int, most_s: float,
              ) -> dict[str, Any]:
        """Call the policy back to back with one observation and with distinct ones, alternating in groups.

        Both kinds get fresh copies and an empty history, so that only the content tells them apart. At most ``most_s``
        seconds, and then fewer calls.
        """
        ready = ActStep(self.bundle, self.policy, self.chosen_ready())
        ready.begin(seed)
        fixed = ready.observation(0, 0.0)
        began, done, now = time.monotonic(), 0, time.monotonic_ns
        for buffer in (distinct, repeated):
            buffer.begin(now(), 1)
        thaw = frozen()
        while done < calls and time.monotonic() - began < most_s:
            for buffer in (distinct, repeated) if done // GROUP % 2 else (repeated, distinct):
                for k in range(done, min(done + GROUP, calls)):
                    observation = {name: value.copy() for name, value in fixed.items()} if buffer is repeated else \
                        ready.observation(k, 1e-3 * (k + 1))
                    self.policy.reset()
                    buffer.start[k] = now()
                    self.policy.act(observation)
                    buffer.finish[k] = now()
                    buffer.engine_start[k], buffer.engine_finish[k] = self.probe.last[:2]
                    buffer.head[3] = k + 1
            done = min(done + GROUP, calls)
        thaw()
        return {'calls': done}


def is_steady(windows: Sequence[NDArray[np.float64]]) -> bool:
    """Whether the last three windows agree, see :data:`allegro_bench.running.profiles.STEADY`.

    Args:
        windows: response times, each sorted, any unit.
    """
    last = [w for w in windows[-3:] if w.size]
    if len(last) < 3:
        return False
    medians = [float(np.median(w)) for w in last]
    if max(medians) < (1 + STEADY) * min(medians):
        return True
    ranks = [rank_interval(int(w.size), 0.5) for w in last]
    ends = [(float(w[r[0] - 1]), float(w[r[1] - 1])) for w, r in zip(last, ranks, strict=True) if r is not None]
    return len(ends) == 3 and max(lo for lo, _ in ends) <= min(hi for _, hi in ends)


class Watch:
    """What is noted after each tick: engine stamps, answers that are no numbers, memory, and a few whole answers."""

    def __init__(self, bench: Bench, buffer: StampBuffer, sample_seed: int, *, checked: bool) -> None:
        """Choose the ticks whose answers are kept."""
        self._bench, self._buffer, self._probe, self._checked = bench, buffer, bench.probe, checked
        count = buffer.count
        self._output = bench.bundle.contract['output']['name']
        self._state = {s['name']: s['output'] for s in bench.bundle.contract['runtime']['state']}
        rng = np.random.default_rng(sample_seed)
        self._chosen = frozenset(rng.choice(count, min(SAMPLES, count), replace=False).tolist()) if checked else ()
        self._kept: list[tuple[int, dict[str, Any], Any]] = []
        self._every = max(1, count // READINGS)
        self._gauge = MemoryGauge()
        self._began, self._previous = self._probe.last[0], self._probe.last[3]
        self.memory = [self._gauge.mb()]
        self.bad = 0

    def after(self, k: int) -> None:
        """In the idle time after tick ``k``."""
        buffer, (began, ended, given, found) = self._buffer, self._probe.last
        if began != self._began:  # it was called at all
            buffer.engine_start[k], buffer.engine_finish[k] = began, ended
            answer = found.get(self._output)
            if answer is None or not np.isfinite(answer).all():
                self.bad += 1
            elif k in self._chosen:
                feed = {name: np.array(value) for name, value in given.items()}
                for name, source in self._state.items():  # a policy may update its state in place
                    if source in self._previous:
                        feed[name] = np.array(self._previous[source])
                self._kept.append((k, feed, np.array(answer)))
            self._began, self._previous = began, found
        if k % self._every == 0:
            self.memory.append(self._gauge.mb())
        buffer.head[3] = k + 1

    def judged(self) -> dict[str, Any] | None:
        """Computes the kept answers again in numpy, from the same inputs: worst difference and what is allowed.

        None for a backend that does not compute the graph.
        """
        self._gauge.close()
        if not self._checked or self._bench.tolerance is None:
            return None
        try:
            judge = BACKENDS.load('numpy')(self._bench.bundle.graph, self._bench.bundle.report.spec)
            worst, where = 0.0, None
            for k, feed, answer in self._kept:
                expected = judge.run(feed)[self._output]
                same = expected.shape == answer.shape
                off = float(np.abs(expected - answer).max()) if same else float('inf')
                if not off <= worst:
                    worst, where = off, k
        except AllegroError as error:
            return {'checked': 0, 'worst': None, 'allowed': None, 'tick': None, 'why_not': str(error)}
        return {'checked': len(self._kept), 'worst': worst if np.isfinite(worst) else None, 'tick': where,
                'allowed': MARGIN * self._bench.tolerance, 'why_not': ''}
