"""``python -m allegro_bench.evidence.repeatability``: does the harness find the same number twice?

First, ten short runs of one backend, each in a process of its own with its own warm-up: the coefficient of variation
of their median response, service and engine times. Second, a hundred runs that compare a backend with itself in pairs
of blocks, ABBA: how often the interval of the paired ratio covers 1, which it should in 95 of 100. A run of the second
kind has one process for all its blocks (``--fresh``: one for each block, as ``allegro-bench run`` has; takes longer).
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from allegro_ai.bundle import load_bundle
from allegro_description.model import load_hand

from allegro_bench.energy import EnergyRecorder
from allegro_bench.meters.none import NoMeter
from allegro_bench.running.blocks import Bench, Opened
from allegro_bench.running.engines import engine
from allegro_bench.running.order import order
from allegro_bench.running.profiles import PROFILES, SEEDS
from allegro_bench.running.worker import Worker
from allegro_bench.running.workload import is_rung, workload
from allegro_bench.statistics import paired_ratio, wilson, words

KINDS = ('response', 'service', 'engine')


@contextmanager
def prepared(policy: str, rate_hz: float, ticks: int) -> Iterator[Bench]:
    """A bench for a policy or a rung, with short blocks and a warm-up of at least a second."""
    with tempfile.TemporaryDirectory(prefix='allegro_bench_') as scratch:
        path = policy
        if is_rung(policy):
            with Worker() as worker:
                path = worker.ask('write_ladder', 300.0, rung=policy, folder=f'{scratch}/{policy}', model='v5_sense',
                                  side='right')['path']
        bundle = load_bundle(path, load_hand())
        profile = replace(PROFILES['quick'], name='custom', block_s=ticks / rate_hz, warm_s=1.0, warm_cap_s=5.0)
        yield Bench(Path(scratch), workload(bundle, policy, rate_hz=rate_hz), profile, EnergyRecorder([NoMeter()]))


def medians_us(bench: Bench, opened: Opened, number: int) -> dict[str, float]:
    """One block; its medians, us."""
    buffer = opened.buffers[0]
    buffer.wipe()
    bench.measure(opened, buffer, 'measure', SEEDS[number % len(SEEDS)])
    ticks, calls = buffer.ticks(), buffer.engine_ns()
    return {'response': float(np.median(ticks.response_ns())) / 1e3,
            'service': float(np.median(ticks.service_ns())) / 1e3, 'engine': float(np.median(calls[calls >= 0])) / 1e3}


def repeated(bench: Bench, name: str, runs: int) -> list[dict[str, float]]:
    """Medians of runs in fresh processes."""
    found = []
    for number in range(runs):
        opened = bench.open(engine(name), [bench.count])
        try:
            bench.warm(opened, SEEDS[0])
            found.append(medians_us(bench, opened, number))
        finally:
            opened.close()
    return found


def with_itself(bench: Bench, name: str, pairs: int, seed: int, *, fresh: bool) -> tuple[list[float], list[float]]:
    """Median responses (us) of the blocks called A and of those called B, by pair."""
    found: dict[str, list[float]] = {'A': [0.0] * pairs, 'B': [0.0] * pairs}
    opened: Opened | None = None
    try:
        for number, letter in order(['A', 'B'], pairs, seed):
            if opened is None or fresh:
                if opened is not None:
                    opened.close()
                opened = bench.open(engine(name), [bench.count])
                bench.warm(opened, SEEDS[0])
            found[letter][number] = medians_us(bench, opened, number)['response']
    finally:
        if opened is not None:
            opened.close()
    return found['A'], found['B']


def spread(values: Sequence[float]) -> dict[str, float]:
    """Mean (us) and coefficient of variation."""
    return {'mean_us': float(np.mean(values)), 'cv': float(np.std(values, ddof=1) / np.mean(values))}


def main(arguments: Sequence[str] | None = None) -> int:
    """Print both; ``--json FILE`` writes every number."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--policy', default='L1b', help='rung or bundle (default: %(default)s)')
    parser.add_argument('--backend', default='onnxruntime', help='default: %(default)s')
    parser.add_argument('--rate-hz', type=float, default=200.0, help='default: %(default)g')
    parser.add_argument('--ticks', type=int, default=400, help='of a repeated run (default: %(default)s)')
    parser.add_argument('--repeats', type=int, default=10, help='default: %(default)s')
    parser.add_argument('--runs', type=int, default=100, help='of the backend with itself (default: %(default)s)')
    parser.add_argument('--pairs', type=int, default=5, help='of blocks in each (default: %(default)s)')
    parser.add_argument('--pair-ticks', type=int, default=60, help='of each of their blocks (default: %(default)s)')
    parser.add_argument('--seed', type=int, default=0, help='of the first such run; later ones count up')
    parser.add_argument('--fresh', action='store_true', help='a process for each block')
    parser.add_argument('--json', default='', metavar='FILE')
    args = parser.parse_args(arguments)
    result: dict[str, Any] = {'policy': args.policy, 'backend': args.backend, 'rate_hz': args.rate_hz}
    if args.repeats > 1:
        with prepared(args.policy, args.rate_hz, args.ticks) as bench:
            result['repeated'] = repeated(bench, args.backend, args.repeats)
        print(f'{args.policy}, {args.backend}, {args.rate_hz:g} Hz: {args.repeats} runs of {args.ticks} ticks, each in '
              'its own process')
        for kind in KINDS:
            found = spread([r[kind] for r in result['repeated']])
            print(f'  {kind:<9} p50 {found["mean_us"]:8.1f} us, coefficient of variation {found["cv"]:.1%}')
    covered, ratios, widths = 0, [], []
    with prepared(args.policy, args.rate_hz, args.pair_ticks) as bench:
        for run in range(args.runs):
            found_a, found_b = with_itself(bench, args.backend, args.pairs, args.seed + run, fresh=args.fresh)
            ratio = paired_ratio(found_a, found_b)
            ratios.append([ratio.value, ratio.lo, ratio.hi])
            if ratio.lo is not None and ratio.hi is not None:
                covered += ratio.lo <= 1.0 <= ratio.hi
                widths.append(ratio.hi / ratio.lo)
    if args.runs:
        result |= {'ratios': ratios, 'covered': covered, 'fresh': args.fresh, 'pairs': args.pairs}
        print(f'the backend with itself, {args.pairs} pairs of {args.pair_ticks} ticks, '
              f'{"a process for each block" if args.fresh else "a process for each run"}: the interval covers 1 in '
              f'{covered} of {args.runs} runs, {words(wilson(covered, args.runs))}; its median width is a factor '
              f'{float(np.median(widths)):.2f}')
    if args.json:
        Path(args.json).write_text(json.dumps(result, indent=1))
    return 0


if __name__ == '__main__':
    raise SystemExit(main())
