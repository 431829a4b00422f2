"""``python -m allegro_ai.evidence.act_overhead``: what a step of a policy costs beside the bare engine call inside it.

*Bare* is ``session.run`` of ONNX Runtime on the bundle's own graph, as it is in the file, with arrays that lie ready.
*Act* is everything from measured arrays to joint targets: observation, history, run, score, checks, action to target,
as :class:`allegro_ai.fused_step.FusedStep` does it. *Tick* is all that the node's loop does in RUN around that: ages,
requests, limits, times, events. ``--numpy`` measures the numpy path instead, of which act has no score.

All alternate in blocks (bare, act, tick, tick, act, bare) of one run, so that whatever else the machine does meets all
of them. Twice: back to back, and at the control rate with sleep between the calls, when caches are cold as they are on
a robot; the second is what a hand sees. The engine runs the whole step as one graph in which chains of operators are
folded, so act may cost less than bare plus the engine's part of the rest.
"""

from __future__ import annotations

import argparse
import gc
import json
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from allegro_description.errors import AllegroError, BundleError
from allegro_description.model import load_hand
from numpy.typing import NDArray

from allegro_ai.bundle import Bundle, available_bundles, load_bundle
from allegro_ai.card import table
from allegro_ai.fused_step import fuse
from allegro_ai.grasp import Phase
from allegro_ai.grasp_loop import GraspLoop, JointSample, TouchSample

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


class Stand:
    """A bundle in RUN on changing measurements, step by step."""

    def __init__(self, bundle: Bundle, *, whole: bool = True, seed: int = 0) -> None:
        """Bring a loop into RUN.

        Raises:
            AllegroError: the whole step is not available, or the loop holds.
        """
        model, rng = bundle.model, np.random.default_rng(seed)
        self._bundle, self._policy = bundle, bundle.policy('onnxruntime')
        fused, reason = fuse(bundle, self._policy) if whole else (None, '')
        if whole and fused is None:
            raise BundleError(f'{bundle.name}: {reason}; measure with --numpy')
        start = bundle.controller().start_pose
        positions = np.clip(start + rng.normal(0, 0.02, (64, len(model.joints))), model.lower, model.upper)
        pressures = rng.uniform(0, 2e4, (64, len(model.taxels)))
        valid = np.ones(len(model.taxels), dtype=bool)
        self._inputs = list(zip(positions, pressures, [valid] * 64, strict=True))
        self._number, self._fused = 0, fused
        self._loop = GraspLoop(_patient(bundle), self._policy, time.monotonic_ns, fused=fused)
        self._loop.request('grasp')
        while self._loop.phase != Phase.RUN:
            self._follow(start)
        for _ in range(2):
            self.tick()

    def tick(self) -> object:
        """One tick of the loop."""
        position, pressure, valid = self._next()
        now = time.monotonic_ns()
        tick = self._loop.tick(JointSample(now, position), TouchSample(now, pressure, valid))
        if tick.action is None:
            raise BundleError(f'the loop holds: {self._loop.reason or "no inference"}')
        self._loop.issued(now)
        return tick

    def act(self) -> Callable[[], object]:
        """A call from arrays to targets, without the loop around it."""
        if self._fused is not None:
            return self._whole
        bundle, builder, controller = self._bundle, self._bundle.builder(), self._bundle.controller()
        policy = self._bundle.policy('onnxruntime')
        controller.start(Phase.RUN, controller.start_pose[None])
        period, action = bundle.period_s, np.zeros((1, len(bundle.model.joints)))

        def step() -> object:
            nonlocal action
            position, pressure, valid = self._next()
            observation = builder.update(0, position[None], controller.target, pressure[None], valid[None],
                                         last_action=action)
            action = np.array(policy.act(observation), dtype=np.float64)
            return controller.step(period, position[None], action)

        return step

    def _whole(self) -> object:
        fused, (position, pressure, valid) = self._fused, self._next()
        assert fused is not None
        if not fused.run(position, fused.target[0], pressure, valid) or not fused.finite():
            raise BundleError('the step was refused')
        return fused.seen(), fused.worst_kpa(), fused.score(), fused.target.copy()

    def _next(self) -> tuple[Any, Any, Any]:
        self._number += 1
        return self._inputs[self._number % 64]

    def _follow(self, start: Any) -> None:
        """A hand that goes where it is told, until RUN."""
        target, now = self._loop.controller.target[0], time.monotonic_ns()
        self._loop.tick(JointSample(now, target.copy()), TouchSample(now, *self._inputs[0][1:]))
        if self._loop.phase == Phase.HOLD:
            raise BundleError(f'the loop holds: {self._loop.reason}')


def _patient(bundle: Bundle) -> Bundle:
    """The same bundle with limits that random measurements do not reach: it is timed, it moves nothing."""
    contract = {**bundle.contract, 'safety': {**bundle.contract['safety'], 'ood_warn': 1e9, 'ood_stop': 1e9}}
    return replace(bundle, contract=contract)


def interleaved(calls: Sequence[Callable[[], object]], rounds: int, pause_s: float) -> list[Times]:
    """Times of all calls, µs, (2 * rounds, BLOCK) each, in blocks A B … B A; before each call a pause."""
    times: list[list[list[float]]] = [[] for _ in calls]
    order = [*range(len(calls)), *reversed(range(len(calls)))]
    for which in order * rounds:
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


def measure(bundle: Bundle, rounds: int, paced_rounds: int, *, whole: bool = True) -> list[dict[str, Any]]:
    """All comparisons of one bundle: back to back and at the control rate, act and tick with bare."""
    stand = Stand(bundle, whole=whole)
    calls = bare_call(bundle), stand.act(), stand.tick
    for call in calls:
        for _ in range(200):
            call()
    rows = []
    gc.collect()
    gc.freeze()  # as the node does
    try:
        for how, count, pause in (('back to back', rounds, 0.0), (f'at {1 / bundle.period_s:g} Hz', paced_rounds,
                                                                  bundle.period_s)):
            bare, *steps = interleaved(calls, count, pause)
            rows += [{'policy': bundle.name, 'how': how, 'step': name, **compared(bare, step)}
                     for name, step in zip(('act', 'tick'), steps, strict=True)]
    finally:
        gc.unfreeze()
    return rows


def main(arguments: list[str] | None = None) -> int:
    """Print the table; ``--json FILE`` writes the numbers."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('bundles', nargs='*', help='default: all shipped ones')
    parser.add_argument('--rounds', type=int, default=20, help='of 100 calls each, back to back (default: %(default)s)')
    parser.add_argument('--paced', type=int, default=4, help='of 100 calls each, at the rate (default: %(default)s)')
    parser.add_argument('--numpy', action='store_true', help='the numpy path instead of the whole step in one call')
    parser.add_argument('--json', default='', metavar='FILE')
    args = parser.parse_args(arguments)
    try:
        rows = [row for name in args.bundles or available_bundles()
                for row in measure(load_bundle(name, load_hand()), args.rounds, args.paced, whole=not args.numpy)]
    except AllegroError as error:
        print(error, file=sys.stderr)
        return 2
    print(table([{
        'policy': r['policy'], 'called': r['how'], 'calls each': str(r['calls']),
        'bare p50': _us(r['bare_us'], r['bare_95']), 'what': r['step'], 'p50': _us(r['step_us'], r['step_95']),
        'ratio': f'{r["ratio"]:.2f} [{r["ratio_95"][0]:.2f}, {r["ratio_95"][1]:.2f}]'} for r in rows]))
    if args.json:
        with open(args.json, 'w') as file:
            json.dump(rows, file, indent=1)
    return 0


def _us(value: float, interval: list[float]) -> str:
    return f'{value:.1f} µs [{interval[0]:.1f}, {interval[1]:.1f}]'


if __name__ == '__main__':
    raise SystemExit(main())
