"""``python -m allegro_bench.evidence.harness_overhead``: what measuring adds to what is measured.

Two loops at the same rate take turns tick by tick, on the same policy in the same process: *bare* is the policy's call
between two clock readings, as anyone would time it; *harness* is the tick of ``allegro-bench run`` with its stamps
around the engine, its shared memory and its checks in the idle time. Their medians, and the ratio by pairs of
stretches. Beside it what the added instructions cost back to back, which no noise hides.
"""

from __future__ import annotations

import argparse
import gc
import json
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from allegro_ai.bundle import Bundle, load_bundle
from allegro_description.model import load_hand

from allegro_bench.load import MonotonicClock
from allegro_bench.running.bench import Bench, Watch
from allegro_bench.running.stamps import StampBuffer
from allegro_bench.running.worker import Worker
from allegro_bench.running.workload import workload
from allegro_bench.statistics import paired_ratio, words

STRETCHES = 20
"""Stretches of the run, each of which gives one pair of medians."""
LIMIT = 0.02
"""Share of the median service time, the smaller of the two p50, that the harness may add."""
BACK_TO_BACK = 20_000


def alternate(bundle: Bundle, rung: str, backend: str, rate_hz: float, ticks: int) -> dict[str, Any]:
    """Service times (ns) of bare and of harness ticks, in turns, and the median response of the latter."""
    chosen = workload(bundle, rung, rate_hz=rate_hz)
    bench = Bench(chosen.as_dict(), backend, 'fp32', '', 0.0)
    step, probe, policy = bench.step, bench.probe, bench.policy
    step.begin(11)
    buffer = StampBuffer.create(ticks)
    watch = Watch(bench, buffer, 1, checked=True)
    clock, now, engine = MonotonicClock(), time.monotonic_ns, probe.engine
    bare, harness, response = [], [], []
    gc.collect()
    gc.freeze()
    gc.disable()
    first = now() + chosen.period_ns
    buffer.begin(first, chosen.period_ns)
    for k in range(ticks):
        step.before(k)
        release = first + k * chosen.period_ns
        plain = (k % 4 in (1, 2))  # ABBA
        policy.backend = engine if plain else probe
        clock.sleep_until(release)
        if plain:
            began = now()
            step(k)
            bare.append(now() - began)
        else:
            began = now()
            step(k)
            done = now()
            buffer.start[k], buffer.finish[k] = began, done
            watch.after(k)
            harness.append(done - began)
            response.append(done - release)
    gc.enable()
    gc.unfreeze()
    buffer.close()
    return {'bare': bare, 'harness': harness, 'response': response}


class Nothing:
    """An engine that does nothing."""

    name, faithful, precisions = 'nothing', False, ('fp32',)

    def __init__(self) -> None:
        """Answer the same nothing each time."""
        self.run: Any = {}.get

    def close(self) -> None:
        """Nothing to close."""


def added_ns() -> float:
    """Median cost of the instructions that the harness adds within a response: the stamps of the engine, ns."""
    from allegro_bench.running.steps import Probe
    engine: Any = Nothing()
    probe, now = Probe(engine, time.monotonic_ns), time.monotonic_ns
    with_it, without, feed = [], [], ()
    for _ in range(BACK_TO_BACK):
        began = now()
        probe.run(feed)  # type: ignore[arg-type]
        with_it.append(now() - began)
        began = now()
        engine.run(feed)
        without.append(now() - began)
    return float(np.median(with_it) - np.median(without))


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the table; returns 1 if the harness adds more than it may."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('rungs', nargs='*', default=['L1a', 'L1b'], help='default: L1a L1b')
    parser.add_argument('--backend', default='onnxruntime', help='default: %(default)s')
    parser.add_argument('--rate-hz', type=float, default=100.0, help='default: %(default)g')
    parser.add_argument('--ticks', type=int, default=4000, help='default: %(default)s')
    parser.add_argument('--json', default='', metavar='FILE')
    args = parser.parse_args(arguments)
    extra, rows, worst = added_ns(), [], 0.0
    print(f'added instructions, back to back: {extra:.0f} ns a tick')
    for rung in args.rungs:
        with tempfile.TemporaryDirectory(prefix='allegro_bench_') as scratch:
            with Worker() as worker:
                path = worker.ask('write_ladder', 300.0, rung=rung, folder=f'{scratch}/{rung}', model='v5_sense',
                                  side='right')['path']
            found = alternate(load_bundle(path, load_hand()), rung, args.backend, args.rate_hz, args.ticks)
        bare, harness = np.array(found['bare']), np.array(found['harness'])
        parts = [[float(np.median(part)) for part in np.array_split(values, STRETCHES)] for values in (harness, bare)]
        ratio = paired_ratio(*parts)
        response = float(np.median(found['response']))
        share = (float(np.median(harness)) - float(np.median(bare))) / response
        worst = max(worst, float(ratio.as_dict()['value']) - 1.0)
        rows.append({'rung': rung, 'bare_us': float(np.median(bare)) / 1e3,
                     'harness_us': float(np.median(harness)) / 1e3, 'response_us': response / 1e3,
                     'ratio': ratio.as_dict(), 'added_share': share})
        print(f'{rung}, {args.backend}, {args.rate_hz:g} Hz, {bare.size} ticks each: service p50 bare '
              f'{rows[-1]["bare_us"]:.1f} us, harness {rows[-1]["harness_us"]:.1f} us, ratio {words(ratio, digits=4)}; '
              f'the difference is {share:.1%} of the response p50 ({rows[-1]["response_us"]:.0f} us)')
    print(f'limit {LIMIT:.0%} of service p50, by the ratio in situ: {"kept" if worst <= LIMIT else "exceeded"}')
    if args.json:
        Path(args.json).write_text(json.dumps({'added_ns': extra, 'rows': rows}, indent=1))
    return int(worst > LIMIT)


if __name__ == '__main__':
    raise SystemExit(main())
