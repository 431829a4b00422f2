"""What does a control step of the peer's network cost here, and what in plain torch eager?

``python -m allegro_ai.evidence.hora_step`` imports a checkpoint (default: random weights), brings the node's loop into
RUN, and times in turns, in one process, on the same joint angles: ``loop`` (joint state in, command out, with every
check of the node, no ROS transport) and ``torch`` (the same step in torch eager, batch 1, one thread, no checks). Both
must give the same targets. A ratio of medians is printed with a 95 % interval from a bootstrap over blocks.
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
        if loop_first:
            target, ours = self._command()
            expected, theirs = self._evaluate()
        else:
            expected, theirs = self._evaluate()
            target, ours = self._command()
        self.worst_rad = max(self.worst_rad, float(np.abs(target - expected).max()))
        if self.worst_rad > AGREE_RAD:
            raise AllegroError(f'the loop and torch differ by {self.worst_rad:.2g} rad; nothing can be compared')
        self._peer.follow(target)
        self._move(target)
        return ours, theirs

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


def measure(stand: Stand, pairs: int) -> tuple[Float, Float]:
    """Durations of ``pairs`` interleaved steps, µs: of the loop and of torch."""
    for number in range(2 * BLOCK):
        stand.pair(number % 2 == 0)
    gc.collect()
    gc.disable()
    try:
        times = np.array([stand.pair(number % 2 == 0) for number in range(pairs)], dtype=np.float64) / 1e3
    finally:
        gc.enable()
    return times[:, 0], times[:, 1]


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


def run(checkpoint: Path | None, pairs: int, backend: str) -> dict[str, Any]:
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
    stand = Stand(bundle, peer, backend)
    load = os.getloadavg()[0]
    ours, theirs = measure(stand, pairs)
    value, low, high = ratio(ours, theirs)
    return {
        'pairs': pairs, 'backend': backend, 'torch': torch.__version__, 'weights': str(checkpoint or 'random'),
        'loop_us': _quantiles(ours), 'torch_us': _quantiles(theirs), 'ratio_p50': value, 'ci95': [low, high],
        'worst_difference_rad': stand.worst_rad, 'cores': os.cpu_count(), 'load_before': load,
    }


def _quantiles(times: Float) -> dict[str, float]:
    return {f'p{q:g}': float(np.percentile(times, q)) for q in (50, 90, 99)}


def main(arguments: Sequence[str] | None = None) -> int:
    """``python -m allegro_ai.evidence.hora_step``."""
    parser = argparse.ArgumentParser(prog='python -m allegro_ai.evidence.hora_step', description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--checkpoint', type=Path, help='a checkpoint of stage 2 (default: random weights)')
    parser.add_argument('--pairs', type=int, default=5000, help='interleaved steps (default: %(default)s)')
    parser.add_argument('--backend', default='onnxruntime', help='inference backend (default: %(default)s)')
    parser.add_argument('--json', type=Path, help='write the numbers there too')
    args = parser.parse_args(arguments)
    try:
        found = run(args.checkpoint, max(args.pairs, 4 * BLOCK), args.backend)
    except AllegroError as error:
        print(error, file=sys.stderr)
        return 2
    print('| step | p50, µs | p90, µs | p99, µs |\n|---|---|---|---|')
    for name, key in ((f'loop of the node, {args.backend}', 'loop_us'), (f'torch {found["torch"]} eager', 'torch_us')):
        print(f'| {name} | ' + ' | '.join(f'{v:.1f}' for v in found[key].values()) + ' |')
    print(f'\n{found["pairs"]} pairs in turns, {found["cores"]} cores, load {found["load_before"]:.1f} before: the '
          f'loop is {found["ratio_p50"]:.2f} times cheaper at p50 (95 % interval {found["ci95"][0]:.2f} … '
          f'{found["ci95"][1]:.2f}); targets differ by at most {found["worst_difference_rad"]:.1e} rad')
    if args.json is not None:
        args.json.write_text(json.dumps(found, indent=1) + '\n')
    return 0


if __name__ == '__main__':
    raise SystemExit(main())
