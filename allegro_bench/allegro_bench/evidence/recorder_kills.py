"""Kill recorders: does every bag open, and how much is lost? ``python -m allegro_bench.evidence.recorder_kills``.

A recorder process writes joint states at 333 Hz and touch at 60 Hz through the queue and writer of the node
``bag_recorder`` and is killed by SIGKILL at a random moment of its first seconds. The bag must then be read by this
package as it is, and after completion (``python -m allegro_bench.recording``) by ``rosbags``, with the same messages.
Lost is the time from the first message that the recorder had taken and that is not in the bag to the kill. Limit, fixed
before the first run: 1 s. With ``--node N`` the recorder is the node itself, on a ROS graph, N times.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from allegro_description.errors import ConfigError
from rosbags.highlevel import AnyReader

from allegro_bench.bags.recording import read_recording
from allegro_bench.bags.recovery import recover

WORST_S = 1.0
_PATIENCE_S = 600.0


def record(folder: Path) -> None:
    """Record until killed; prints the receive time of every message that was taken."""
    from allegro_bench.evidence.reading_speed import CLOUD, JOINT_HZ, JOINTS, TOUCH_HZ, Messages
    from allegro_bench.recording import BagWriter
    from allegro_bench.recording_queue import RecordingQueue

    made = Messages()
    queue = RecordingQueue(BagWriter(folder, {'hand': made.model.name}))
    queue.declare('/joint_states', JOINTS, '', [])
    queue.declare('/tactile/points', CLOUD, '', [])
    begin, counts = time.monotonic(), [0, 0]
    while True:
        elapsed = time.monotonic() - begin
        for which, rate in enumerate((JOINT_HZ, TOUCH_HZ)):
            while counts[which] < elapsed * rate:
                now = time.time_ns()
                queue.put('/tactile/points' if which else '/joint_states', made.message(which, counts[which], now), now)
                counts[which] += 1
                os.write(1, f'{now}\n'.encode())
        time.sleep(0.001)


def _kill(command: list[str], folder: Path, after_s: float) -> list[int]:
    """Start, let it run for so long after the bag is there, kill; the receive times that it printed."""
    with tempfile.TemporaryFile() as told:
        child = subprocess.Popen(command, stdout=told, stderr=subprocess.STDOUT)
        try:
            end = time.monotonic() + _PATIENCE_S
            while not folder.exists():
                if child.poll() is not None or time.monotonic() > end:
                    told.seek(0)
                    raise ConfigError(f'the recorder did not start: {told.read().decode()[-500:]}')
                time.sleep(0.01)
            time.sleep(after_s)
        finally:
            os.kill(child.pid, signal.SIGKILL)
            child.wait()
        told.seek(0)
        return [int(line) for line in told.read().decode().split('\n')[:-1] if line.isdecimal()]


def trial(scratch: Path, number: int, generator: random.Random) -> tuple[float, int]:
    """One kill of the writing process: seconds lost, messages kept."""
    folder = scratch / f'kill_{number}'
    taken = _kill([sys.executable, '-m', 'allegro_bench.evidence.recorder_kills', '--record', str(folder)], folder,
                  generator.uniform(0.2, 3.0))
    return judge(folder, taken)


def judge(folder: Path, taken_ns: Sequence[int]) -> tuple[float, int]:
    """Open the bag of a killed recorder in both ways; seconds lost and messages kept.

    Args:
        folder: the bag.
        taken_ns: of the messages that the recorder had taken.

    Raises:
        ConfigError: it does not open, or the two ways differ.
    """
    found = read_recording(folder, hashes=False)
    kept = sum(s.count for s in found.sources.streams)
    outcome = recover(folder)
    with AnyReader([folder]) as reader:
        messages = [when for _, when, _ in reader.messages()]
    if not len(messages) == outcome.messages == kept:
        raise ConfigError(f'{folder}: read {kept}, completed {outcome.messages}, by rosbags {len(messages)} messages')
    newest = max(messages, default=0)
    lost = [t for t in taken_ns if t > newest]
    return (max(lost) - min(lost)) * 1e-9 if lost else 0.0, kept


def main() -> int:
    """Kill, print, exit code 1 where a promise was broken."""
    parser = argparse.ArgumentParser(prog='python -m allegro_bench.evidence.recorder_kills', description=__doc__)
    parser.add_argument('--count', type=int, default=100, help='how many kills (default: %(default)s)')
    parser.add_argument('--node', type=int, default=0, metavar='N', help='also so many kills of the node (needs rclpy)')
    parser.add_argument('--seed', type=int, default=0, help='of the moments (default: %(default)s)')
    parser.add_argument('--record', type=Path, metavar='FOLDER', help='be the recorder that is killed')
    given = parser.parse_args()
    if given.record:
        record(given.record)
    generator, failed = random.Random(given.seed), 0
    trials = [('recorder', trial)] * given.count
    if given.node:
        from allegro_bench.evidence.nodes.recorder_node_kills import node_trial

        trials += [('node', node_trial)] * given.node
    lost: dict[str, list[float]] = {}
    kept: dict[str, int] = {}
    for number, (what, run) in enumerate(trials):
        with tempfile.TemporaryDirectory() as scratch:
            try:
                seconds, messages = run(Path(scratch), number, generator)
            except (ConfigError, OSError, ValueError) as error:
                failed += 1
                print(f'{what} {number}: {error}', flush=True)
                continue
        lost.setdefault(what, []).append(seconds)
        kept[what] = kept.get(what, 0) + messages
        if seconds > WORST_S:
            print(f'{what} {number}: {seconds:.3f} s lost', flush=True)
    for what, values in lost.items():
        values.sort()
        print(f'{what}: {len(values)} kills after which the bag opens, as it is and completed; {kept[what]} messages '
              f'in all, lost at most {values[-1]:.3f} s, median {values[len(values) // 2]:.3f} s')
    print(f'{failed} bags did not open')
    return 1 if failed or any(v[-1] > WORST_S for v in lost.values()) else 0


if __name__ == '__main__':
    raise SystemExit(main())
