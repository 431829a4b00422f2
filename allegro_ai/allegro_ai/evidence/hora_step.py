"""What does a control step of the peer's network cost here, and what in plain torch eager?

``python -m allegro_ai.evidence.hora_step`` imports a checkpoint (default: random weights), brings the node's loop into
RUN, and times in one process, on the same joint angles: ``loop`` (joint state in, command out, with every check of the
node, no ROS transport) and ``torch`` (the same step in torch eager, batch 1, one thread, no checks). Both must give the
same targets. Three ways to interleave them: ``blocks`` of 50 steps in the order A B B A, each in caches that are its
own as when it runs alone; ``turns``, step by step, where each finds the caches full of the other's megabyte; and
``rate``, as turns, at the control rate with sleep between, as on a robot. A ratio of medians is printed with a 95 %
interval from a bootstrap over blocks.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from allegro_description.errors import AllegroError, MissingDependency
from allegro_description.model import load_hand
from numpy.typing import NDArray

from allegro_ai.bundle import Bundle
from allegro_ai.fused_step import fuse
from allegro_ai.grasp import Phase
from allegro_ai.grasp_loop import GraspLoop, JointSample
from allegro_ai.importing.hora import import_hora

Float = NDArray[np.float64]

BLOCK = 50
"""Pairs of steps in one block of the bootstrap: some milliseconds of drift belong together."""

AGREE_RAD = 1e-5


class Stand:
    """The loop and the torch evaluation side by side on a hand that lags behind its targets."""

    def __init__(self, bundle: Bundle, peer: Any, backend: str, whole: bool = True) -> None:
        """Bring the loop into RUN."""
        self._model = bundle.model
        policy = bundle.policy(backend)
        fused, self.apart = fuse(bundle, policy) if whole else (None, 'asked for')
        self._loop = GraspLoop(bundle, policy, time.monotonic_ns, fused=fused)
        self._peer = peer
        self._position: Float = self._loop.controller.start_pose.copy()
        self._rng = np.random.default_rng(0)
        self.worst_rad = 0.0
        self._loop.request('grasp')
        while self._loop.phase != Phase.RUN:
            self._first, _ = self._command()
            self._move(self._first)

    def pair(self, loop_first: bool) -> tuple[int, int]:
        """One step of each; their durations, ns.

        Raises:
            AllegroError: the loop has stopped to command, or the two differ.
        """
        ours, theirs = self.block(loop_first, 1)
        return ours[0], theirs[0]

    def block(self, loop_first: bool, steps: int) -> tuple[list[int], list[int]]:
        """``steps`` steps of one, then of the other on the same joint angles; durations, ns, of the loop and of torch.

        Raises:
            AllegroError: the loop has stopped to command, or the two differ.
        """
        places: list[Float] = []
        found, times = [], []
        for number, call in enumerate((self._command, self._evaluate) if loop_first else
                                      (self._evaluate, self._command)):
            targets, took = [], []
            for step in range(steps):
                if number:
                    self._position = places[step]
                else:
                    places.append(self._position)
                target, ns = call()
                targets.append(target)
                took.append(ns)
                if not number:
                    self._move(target)
            found.append(targets)
            times.append(took)
        self.worst_rad = max(self.worst_rad, float(np.abs(np.array(found[0]) - found[1]).max()))
        if self.worst_rad > AGREE_RAD:
            raise AllegroError(f'the loop and torch differ by {self.worst_rad:.2g} rad; nothing can be compared')
        target = found[0 if loop_first else 1][-1]
        self._peer.follow(target)
        self._move(target)
        return (times[0], times[1]) if loop_first else (times[1], times[0])

    def _command(self) -> tuple[Float, int]:
        began = time.perf_counter_ns()
        tick = self._loop.tick(JointSample(self._loop.clock(), self._position.copy()), None)
        took = time.perf_counter_ns() - began
        if tick.target is None or self._loop.phase == Phase.HOLD:
            raise AllegroError(f'the loop holds: {self._loop.reason}')
        self._loop.issued(self._loop.clock())
        return tick.target, took

    def _evaluate(self) -> tuple[Float, int]:
        began = time.perf_counter_ns()
        target = self._peer.step(self._position, self._first)
        return target, time.perf_counter_ns() - began

    def _move(self, target: Float) -> None:
        noise = self._rng.normal(0.0, 0.01, target.shape)
        moved = self._position + 0.7 * (target - self._position) + noise
        self._position = np.clip(moved, self._model.lower, self._model.upper)


def measure(stand: Stand, pairs: int, *, steps: int = 1, pause_s: float = 0.0) -> tuple[Float, Float]:
    """Durations of ``pairs`` interleaved steps, µs: of the loop and of torch.

    Args:
        stand: both.
        pairs: how many, a multiple of ``steps``.
        steps: of one before it is the turn of the other.
        pause_s: sleep before each pair.
    """
    for number in range(2 * BLOCK):
        stand.pair(number % 2 == 0)
    gc.collect()
    gc.disable()
    ours, theirs = [], []
    try:
        for number in range(pairs // steps):
            time.sleep(pause_s)
            one, two = stand.block(number % 2 == 0, steps)
            ours += one
            theirs += two
    finally:
        gc.enable()
    return np.array(ours) / 1e3, np.array(theirs) / 1e3


def ratio(ours: Float, theirs: Float, draws: int = 2000, seed: int = 0) -> tuple[float, float, float]:
    """Median of ``theirs`` over median of ``ours``, with a 95 % interval by drawing blocks again."""
    blocks = len(ours) // BLOCK
    a, b = (x[:blocks * BLOCK].reshape(blocks, BLOCK) for x in (ours, theirs))
    rng = np.random.default_rng(seed)
    drawn = []
    for _ in range(draws):
        chosen = rng.integers(blocks, size=blocks)
        drawn.append(np.median(b[chosen]) / np.median(a[chosen]))
    low, high = np.percentile(drawn, [2.5, 97.5])
    return float(np.median(theirs) / np.median(ours)), float(low), float(high)


def run(
    checkpoint: Path | None, pairs: int, backend: str, *, paced: int = 4 * BLOCK, whole: bool = True,
) -> dict[str, Any]:
    """The whole comparison; all numbers of the report.

    Raises:
        MissingDependency: torch is absent.
        AllegroError: the checkpoint cannot be imported, or the two evaluations differ.
    """
    try:
        import torch

        from allegro_ai.evidence.hora_torch import Deployment
    except ImportError as error:
        raise MissingDependency(f'the comparison needs torch ({error}). Install it with: pip install torch '
                                '--index-url https://download.pytorch.org/whl/cpu') from error
    torch.set_num_threads(1)
    peer = Deployment()
    with tempfile.TemporaryDirectory() as folder:
        path = peer.save(Path(folder) / 'random.ckpt') if checkpoint is None else checkpoint
        bundle = import_hora(path, Path(folder) / 'bundle', load_hand('v4'), stage=2, accept_gains=True)
    if checkpoint is not None:
        peer.restore(checkpoint)
    stand = Stand(bundle, peer, backend, whole)
    rows = []
    ways = [('blocks', pairs, BLOCK, 0.0), ('turns', pairs, 1, 0.0), ('rate', paced, 1, bundle.period_s)]
    for name, count, steps, pause_s in ways[:3 if paced else 2]:
        load = os.getloadavg()[0]
        ours, theirs = measure(stand, count, steps=steps, pause_s=pause_s)
        value, low, high = ratio(ours, theirs)
        rows.append({'interleaved': name, 'pairs': len(ours), 'loop_us': _quantiles(ours), 'load_before': load,
                     'torch_us': _quantiles(theirs), 'ratio_p50': value, 'ci95': [low, high]})
    return {'backend': backend, 'whole_step': stand.apart or 'one engine call', 'torch': torch.__version__,
            'weights': str(checkpoint or 'random'), 'rows': rows, 'worst_difference_rad': stand.worst_rad,
            'cores': os.cpu_count(), 'rate_hz': 1 / bundle.period_s}


def _quantiles(times: Float) -> dict[str, float]:
    return {f'p{q:g}': float(np.percentile(times, q)) for q in (50, 90, 99)}


def main(arguments: Sequence[str] | None = None) -> int:
    """``python -m allegro_ai.evidence.hora_step``."""
    parser = argparse.ArgumentParser(prog='python -m allegro_ai.evidence.hora_step', description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--checkpoint', type=Path, help='a checkpoint of stage 2 (default: random weights)')
    parser.add_argument('--pairs', type=int, default=5000, help='interleaved steps (default: %(default)s)')
    parser.add_argument('--paced', type=int, default=400, help='more at the rate; 0: none (default: %(default)s)')
    parser.add_argument('--backend', default='onnxruntime', help='inference backend (default: %(default)s)')
    parser.add_argument('--numpy', action='store_true', help='the numpy path instead of the whole step in one call')
    parser.add_argument('--json', type=Path, help='write the numbers there too')
    args = parser.parse_args(arguments)
    try:
        paced = max(args.paced, 4 * BLOCK) if args.paced else 0
        found = run(args.checkpoint, max(args.pairs, 4 * BLOCK), args.backend, paced=paced, whole=not args.numpy)
    except AllegroError as error:
        print(error, file=sys.stderr)
        return 2
    print('| interleaved | pairs | loop p50 / p99, µs | torch p50 / p99, µs | times cheaper at p50 | load before |\n'
          '|---|---|---|---|---|---|')
    for row in found['rows']:
        ours, theirs = (' / '.join(f'{row[k][q]:.1f}' for q in ('p50', 'p99')) for k in ('loop_us', 'torch_us'))
        print(f'| {row["interleaved"]} | {row["pairs"]} | {ours} | {theirs} | {row["ratio_p50"]:.2f} '
              f'[{row["ci95"][0]:.2f}, {row["ci95"][1]:.2f}] | {row["load_before"]:.1f} |')
    print(f'\nLoop of the node on {args.backend} (whole step: {found["whole_step"]}) and torch {found["torch"]} eager, '
          f'one thread each, {found["cores"]} cores; rate: {found["rate_hz"]:g} Hz. Targets differ by at most '
          f'{found["worst_difference_rad"]:.1e} rad')
    if args.json is not None:
        args.json.write_text(json.dumps(found, indent=1) + '\n')
    return 0


if __name__ == '__main__':
    raise SystemExit(main())
