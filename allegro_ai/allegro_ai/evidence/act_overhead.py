"""``python -m allegro_ai.evidence.act_overhead``: what a step of a policy costs beside the bare engine call inside it.

*Bare* is ``session.run`` of ONNX Runtime on arrays that lie ready. *Step* is everything from measured arrays to joint
targets: observation, history, run, check of the answer, action to target. Both alternate in blocks (bare, step, step,
bare) of one run, so that whatever else the machine does meets both. Twice: back to back, and at the control rate with
sleep between the calls, when caches are cold as they are on a robot; the second is what a hand sees.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from allegro_description.model import load_hand
from numpy.typing import NDArray

from allegro_ai.bundle import Bundle, available_bundles, load_bundle
from allegro_ai.card import table
from allegro_ai.grasp import Phase

BLOCK = 50
"""Calls of one kind in a row."""

Times = NDArray[np.float64]


def bare_call(bundle: Bundle) -> Callable[[], object]:
    """``session.run`` on the first golden observation."""
    from allegro_ai.backends.onnxruntime_cpu import new_session
    session = new_session(bundle.graph)
    feed = {name: np.ascontiguousarray(value) for name, value in _first_feed(bundle).items()}
    names = [output.name for output in session.get_outputs()]
    return lambda: session.run(names, feed)


def _first_feed(bundle: Bundle) -> dict[str, Any]:
    from allegro_ai.backends.precision import calibration
    arrays = {n: v for n, v in bundle.arrays(bundle.contract['golden']['file']).items() if n.startswith('input/')}
    return dict(calibration(bundle.unchecked('onnxruntime'), arrays, 'golden.npz').feeds[0])


def step_call(bundle: Bundle, seed: int = 0) -> Callable[[], object]:
    """A step of the policy in RUN on changing measurements, from arrays to targets."""
    model, rng = bundle.model, np.random.default_rng(seed)
    builder, controller, policy = bundle.builder(), bundle.controller(), bundle.policy('onnxruntime')
    start = controller.start_pose
    positions = np.clip(start + rng.normal(0, 0.02, (64, 1, len(model.joints))), model.lower, model.upper)
    pressures = rng.uniform(0, 2e4, (64, 1, len(model.taxels)))
    valid = np.ones((1, len(model.taxels)), dtype=bool)
    controller.start(Phase.RUN, start[None])
    period, number, action = bundle.period_s, 0, np.zeros((1, len(model.joints)))

    def step() -> object:
        nonlocal number, action
        number += 1
        position = positions[number % 64]
        observation = builder.update(number, position, controller.target, pressures[number % 64], valid,
                                     last_action=action)
        action = np.array(policy.act(observation), dtype=np.float64)
        return controller.step(period, position, action)

    return step


def interleaved(calls: tuple[Callable[[], object], Callable[[], object]], rounds: int, pause_s: float) -> list[Times]:
    """Times of both calls, µs, (2 * rounds, BLOCK) each, in blocks A B B A; before each call a pause."""
    times: list[list[list[float]]] = [[], []]
    for which in [0, 1, 1, 0] * rounds:
        call, block = calls[which], []
        for _ in range(BLOCK):
            if pause_s:
                time.sleep(pause_s)
            began = time.perf_counter_ns()
            call()
            block.append((time.perf_counter_ns() - began) / 1e3)
        times[which].append(block)
    return [np.array(t) for t in times]


def compared(bare: Times, step: Times, seed: int = 0) -> dict[str, Any]:
    """Medians (µs) and their ratio with 95 % intervals, by bootstrap over rounds of blocks."""
    rng = np.random.default_rng(seed)
    pairs = []
    for _ in range(1000):
        chosen = rng.integers(0, len(bare), len(bare))
        pairs.append((np.median(bare[chosen]), np.median(step[chosen])))
    drawn = np.array(pairs)

    def interval(values: Times) -> list[float]:
        return [float(v) for v in np.percentile(values, (2.5, 97.5))]

    return {'bare_us': float(np.median(bare)), 'bare_95': interval(drawn[:, 0]),
            'step_us': float(np.median(step)), 'step_95': interval(drawn[:, 1]),
            'ratio': float(np.median(step) / np.median(bare)), 'ratio_95': interval(drawn[:, 1] / drawn[:, 0]),
            'calls': int(bare.size)}


def measure(bundle: Bundle, rounds: int, paced_rounds: int) -> list[dict[str, Any]]:
    """Both comparisons of one bundle."""
    calls = bare_call(bundle), step_call(bundle)
    for call in calls:
        for _ in range(200):
            call()
    rows = []
    for how, count, pause in (('back to back', rounds, 0.0), (f'at {1 / bundle.period_s:g} Hz', paced_rounds,
                                                              bundle.period_s)):
        bare, step = interleaved(calls, count, pause)
        rows.append({'policy': bundle.name, 'how': how, **compared(bare, step)})
    return rows


def main(arguments: list[str] | None = None) -> int:
    """Print the table; ``--json FILE`` writes the numbers."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('bundles', nargs='*', help='default: all shipped ones')
    parser.add_argument('--rounds', type=int, default=20, help='of 200 calls, back to back (default: %(default)s)')
    parser.add_argument('--paced', type=int, default=4, help='of 200 calls, at the control rate (default: %(default)s)')
    parser.add_argument('--json', default='', metavar='FILE')
    args = parser.parse_args(arguments)
    rows = [row for name in args.bundles or available_bundles()
            for row in measure(load_bundle(name, load_hand()), args.rounds, args.paced)]
    print(table([{
        'policy': r['policy'], 'called': r['how'], 'calls each': str(r['calls']),
        'bare p50': _us(r['bare_us'], r['bare_95']), 'step p50': _us(r['step_us'], r['step_95']),
        'ratio': f'{r["ratio"]:.2f} [{r["ratio_95"][0]:.2f}, {r["ratio_95"][1]:.2f}]'} for r in rows]))
    if args.json:
        with open(args.json, 'w') as file:
            json.dump(rows, file, indent=1)
    return 0


def _us(value: float, interval: list[float]) -> str:
    return f'{value:.1f} µs [{interval[0]:.1f}, {interval[1]:.1f}]'


if __name__ == '__main__':
    raise SystemExit(main())
