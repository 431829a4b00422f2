"""Control steps per second in firm grasps: ``python -m allegro_ai.tasks.throughput``.

Every environment squeezes with all the torque that the clamp allows, so contacts are many. The first row is the whole
task (observation, reward, score, streaming of episodes); the others step the same plants without it, by ``mj_step`` on
a thread pool, as the task does, and by ``mujoco.rollout``, in turn, five physics steps for each control step.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import time
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
from allegro_description.errors import AllegroError, ConfigError
from allegro_description.model import load_hand
from allegro_description.simulation.batch import compare_steppers

from allegro_ai.tasks.lanes import SUBSTEPS
from allegro_ai.tasks.vector import VERSION, VectorTask

WARM_STEPS = 60                 # the object is let go, the squeeze builds up


def measure(num_envs: int, threads: int, seconds: float, object_set: str = 'train') -> dict[str, Any]:
    """Run the task for some seconds, then step its plants in both ways; rates per second of wall time."""
    if num_envs < 1 or not seconds > 0.0:
        raise ConfigError(f'{num_envs} environments for {seconds} s; both must be above 0')
    hand = load_hand()
    task = VectorTask(hand, num_envs, object_set=object_set, levels=('L2',), threads=threads)
    squeeze = np.tile(np.where(hand.flexion, 1.0, 0.0), (num_envs, 1))
    task.reset(seed=0)
    for _ in range(WARM_STEPS):
        task.step(squeeze)
    steps, ended = 0, 0
    start, cpu = time.perf_counter(), time.process_time()
    while time.perf_counter() - start < seconds:
        ended += sum(o is not None for o in task.step(squeeze)[4]['outcome'])
        steps += 1
    wall, busy = time.perf_counter() - start, time.process_time() - cpu
    plants = [task.lanes.rig.plants[k] for k in task.lanes.running.nonzero()[0]]
    chosen = [p for p in plants if p is not None]
    contacts = [p.data.ncon for p in chosen]
    rates = compare_steppers(chosen, threads, SUBSTEPS, seconds / 10)
    task.close()
    return {
        'task': VERSION, 'object_set': object_set, 'environments': num_envs,
        'threads': task.lanes.rig.batch.threads, 'control_steps_per_s': num_envs * steps / wall,
        'cpu_share': busy / wall, 'episodes_ended': ended, 'mean_contacts': float(np.mean(contacts)),
        'mj_step_threads_control_steps_per_s': rates[0], 'rollout_control_steps_per_s': rates[1],
        'machine': f'{platform.machine()}, {_processor()}, {len(os.sched_getaffinity(0))} CPUs',
        'load_1min': os.getloadavg()[0], 'mujoco': metadata.version('mujoco'),
    }


def _processor() -> str:
    lines = Path('/proc/cpuinfo').read_text().splitlines() if Path('/proc/cpuinfo').exists() else []
    return next((line.split(':', 1)[1].strip() for line in lines if line.startswith('model name')), 'unknown processor')


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point; prints one line per number, or JSON."""
    parser = argparse.ArgumentParser(prog='python -m allegro_ai.tasks.throughput', description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--environments', type=int, default=64, help='side by side (default 64)')
    parser.add_argument('--threads', type=int, default=0, help='physics threads (default 0: one per CPU)')
    parser.add_argument('--seconds', type=float, default=10.0, help='how long to measure (default 10)')
    parser.add_argument('--object-set', default='train', help='where objects come from (default train)')
    parser.add_argument('--json', action='store_true', help='print one JSON document')
    args = parser.parse_args(arguments)
    try:
        result = measure(args.environments, args.threads, args.seconds, args.object_set)
    except AllegroError as error:
        print(f'throughput: {error}', file=sys.stderr)
        return 2
    if args.json:
        print(json.dumps(result, indent=1))
    else:
        for name, value in result.items():
            print(f'{name.replace("_", " "):36} {value:.3g}' if isinstance(value, float) and value < 100 else
                  f'{name.replace("_", " "):36} {round(value) if isinstance(value, float) else value}')
    return 0


if __name__ == '__main__':
    raise SystemExit(main())
