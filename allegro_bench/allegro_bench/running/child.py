"""The measuring process: it loads one backend, does what it is told over a pipe, and nothing else.

``python -m allegro_bench.running.child DESCRIPTOR`` reads JSON commands from a socket and answers each with JSON. A
block is answered twice: ``ready`` when everything is allocated, and, after the parent has read the meters and said
``go``, with its numbers when the last period has ended. Its stamps lie in memory that the parent shares.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Mapping
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np

from allegro_bench.running.stamps import StampBuffer

THREADS = dict.fromkeys(('OMP_NUM_THREADS', 'OPENBLAS_NUM_THREADS', 'MKL_NUM_THREADS', 'NUMEXPR_NUM_THREADS'), '1')
"""Set for every measuring process: one thread, whatever library asks."""


class Child:
    """Commands of the parent, one method each; a method returns the answer."""

    def __init__(self, connection: Connection) -> None:
        """Nothing is loaded yet."""
        self._connection = connection
        self._bench: Any = None

    def serve(self) -> None:
        """Answer until the parent closes the pipe or says ``close``."""
        while True:
            try:
                order = json.loads(self._connection.recv_bytes())
            except EOFError:
                return
            if order['do'] == 'close':
                return
            try:
                answer = getattr(self, f'do_{order.pop("do")}')(**order)
            except Exception as error:  # whatever an engine throws is an answer, and the parent decides
                from allegro_description.errors import AllegroError
                ours = isinstance(error, AllegroError)
                said = ' '.join((str(error) if ours else f'{type(error).__name__}: {error}').split())
                answer = {'error': said, 'expected': ours}
            self._send(answer)

    def _send(self, answer: Mapping[str, Any]) -> None:
        self._connection.send_bytes(json.dumps(answer).encode())

    def do_open(self, workload: dict[str, Any], plugin: str, precision: str, graph: str = '', spin_us: float = 0.0,
                affinity: list[int] | None = None) -> dict[str, Any]:
        """Load the backend, time it and its first inference, and check its answers against the golden vectors."""
        if affinity:
            os.sched_setaffinity(0, affinity)
        from allegro_bench.running.bench import Bench
        self._bench = Bench(workload, plugin, precision, graph, spin_us)
        return {**self._bench.opening, 'affinity': sorted(os.sched_getaffinity(0))}

    def do_warm(self, **limits: Any) -> dict[str, Any]:
        """Run at the control rate until steady."""
        answer: dict[str, Any] = self._bench.warm(**limits)
        return answer

    def do_block(self, descriptor: int, seed: int, sample_seed: int = 0, null: bool = False) -> dict[str, Any]:
        """One block: ``ready``, then wait for ``go``, then run."""
        buffer = StampBuffer.attach(descriptor)
        block = self._bench.block(buffer, seed, sample_seed, null=null)
        self._send({'ready': True})
        json.loads(self._connection.recv_bytes())
        answer: dict[str, Any] = block()
        return answer

    def do_judge(self) -> dict[str, Any]:
        """Check the answers that the last block kept."""
        answer: dict[str, Any] = self._bench.judge()
        return answer

    def do_cache(self, distinct: int, repeated: int, calls: int, seed: int, most_s: float) -> dict[str, Any]:
        """Calls with distinct and with one observation, back to back."""
        answer: dict[str, Any] = self._bench.cache(
            StampBuffer.attach(distinct), StampBuffer.attach(repeated), calls, seed, most_s)
        return answer

    def do_write_ladder(self, rung: str, folder: str, model: str, side: str) -> dict[str, Any]:
        """Write the bundle of a benchmark network; apart from the parent, because it loads an engine."""
        from allegro_ai.workloads.ladder import write_workload
        from allegro_description.model import load_hand
        return {'path': str(write_workload(rung, Path(folder), load_hand(model, side)).path)}

    def do_convert(self, workload: dict[str, Any], precision: str, path: str) -> dict[str, Any]:
        """Write the graph in 8 bit, once for all blocks."""
        from allegro_ai.backends.precision import graph_of

        from allegro_bench.running.workload import Workload, load
        Path(path).write_bytes(graph_of(load(Workload.of(workload)), precision))
        return {'path': path}


def main() -> int:
    """Serve the descriptor named on the command line."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's business
    np.seterr(all='ignore')
    with Connection(int(sys.argv[1])) as connection:
        Child(connection).serve()
    # An engine's own threads or destructors must not keep a process that is done.
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)


if __name__ == '__main__':
    main()
