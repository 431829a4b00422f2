"""Kill recorders: does every bag open, and how much is lost? ``python -m allegro_bench.evidence.recorder_kills``.

A recorder process writes joint states at 333 Hz and touch at 60 Hz through the queue and writer of the node
``bag_recorder`` and is killed by SIGKILL at a random moment of its first seconds. The bag must then be read by this
package as it is, and after completion (``python -m allegro_bench.recording``) by ``rosbags``, with the same messages.
Every message that was handed to the recorder is looked for in the bag, by topic and stamp. Lost is, of any topic, the
longest stretch of time within which all of its messages are missing: from the last one kept before it (from the first
one handed over, where none was kept) to the first one kept after it (to the last one handed over of any topic, where
none was kept). Limit, fixed before the first run: 1 s. With ``--node N`` the recorder is the node itself, on a ROS
graph, N times; handed over is then what was published.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from allegro_description.errors import ConfigError
from rosbags.highlevel import AnyReader

from allegro_bench.bags.folder import open_bag
from allegro_bench.bags.recording import read_recording
from allegro_bench.bags.recovery import recover

WORST_S = 1.0
_PATIENCE_S = 600.0

Sent = tuple[str, int]
"""A message: topic, stamp in its header, ns."""


@dataclass(frozen=True, slots=True)
class Loss:
    """What a kill cost.

    Attributes:
        seconds: longest stretch within which the messages of a topic are missing, s, as described above.
        missing: messages handed over that are not in the bag.
        sent: messages handed over.
    """

    seconds: float
    missing: int
    sent: int


def record(folder: Path) -> None:
    """Record until killed; prints topic and stamp of every message that was handed over."""
    from allegro_bench.evidence.reading_speed import CLOUD, JOINT_HZ, JOINTS, TOUCH_HZ, Messages
    from allegro_bench.recording import BagWriter
    from allegro_bench.recording_queue import RecordingQueue

    made = Messages()
    queue = RecordingQueue(BagWriter(folder, {'hand': made.model.name}))
    topics = {'/joint_states': JOINTS, '/tactile/points': CLOUD}
    for topic, kind in topics.items():
        queue.declare(topic, kind, '', [])
    begin, counts = time.monotonic(), [0, 0]
    while True:
        elapsed = time.monotonic() - begin
        for which, (topic, rate) in enumerate(zip(topics, (JOINT_HZ, TOUCH_HZ), strict=True)):
            while counts[which] < elapsed * rate:
                now = time.time_ns()
                queue.put(topic, made.message(which, counts[which], now), now)
                counts[which] += 1
                os.write(1, f'{topic} {now}\n'.encode())
        time.sleep(0.001)


def _kill(command: list[str], folder: Path, after_s: float) -> list[Sent]:
    """Start, let it run for so long after the bag is there, kill; the messages that it printed."""
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
        parts = [line.partition(' ') for line in told.read().decode().split('\n')[:-1]]
        return [(topic, int(stamp)) for topic, _, stamp in parts if topic.startswith('/') and stamp.isdecimal()]


def trial(scratch: Path, number: int, generator: random.Random) -> Loss:
    """One kill of the writing process."""
    folder = scratch / f'kill_{number}'
    sent = _kill([sys.executable, '-m', 'allegro_bench.evidence.recorder_kills', '--record', str(folder)], folder,
                 generator.uniform(0.2, 3.0))
    return judge(folder, sent)


def judge(folder: Path, sent: Iterable[Sent]) -> Loss:
    """Open the bag of a killed recorder in both ways and look in it for everything that was handed over.

    Args:
        folder: the bag; of messages that begin with a header.
        sent: the messages that were handed to the recorder.

    Raises:
        ConfigError: it does not open, the two ways differ, or it holds a message that nobody handed over.
    """
    handed = Counter(sent)
    counted = sum(s.count for s in read_recording(folder, hashes=False).sources.streams)
    with closing(open_bag(folder)) as bag:
        found = Counter((topics[key].name, _stamp_ns(bytes(data)))
                        for topics, rows in bag.blocks() for key, _, _, data in rows)
    outcome = recover(folder)
    with AnyReader([folder]) as reader:
        kept = Counter((connection.topic, _stamp_ns(data)) for connection, _, data in reader.messages())
    if kept != found or not kept.total() == outcome.messages == counted:
        raise ConfigError(f'{folder}: read {counted}, completed {outcome.messages}, by rosbags {kept.total()} '
                          f'messages; {(kept - found).total() + (found - kept).total()} of them differ')
    last = max((stamp for _, stamp in handed), default=0)
    # The newest one may have been killed between its taking and its telling.
    strange = [message for message in kept - handed if message[1] <= last]
    if strange:
        raise ConfigError(f'{folder}: holds {len(strange)} messages that nobody handed over, e.g. {strange[0]}')
    return Loss(_longest_gap_s(handed, kept), (handed - kept).total(), handed.total())


def _longest_gap_s(sent: Counter[Sent], kept: Counter[Sent]) -> float:
    last = max((stamp for _, stamp in sent), default=0)
    longest = 0
    for wanted in {topic for topic, _ in sent}:
        stamps = sorted(stamp for topic, stamp in sent if topic == wanted)
        begin, missing = stamps[0], False
        for stamp in stamps:
            gone = kept[wanted, stamp] < sent[wanted, stamp]
            if missing and not gone:
                longest = max(longest, stamp - begin)
            missing = gone
            begin = begin if gone else stamp
        if missing:
            longest = max(longest, last - begin)
    return longest * 1e-9


def _stamp_ns(data: bytes) -> int:
    """Stamp of a serialised message that begins with a header, little endian."""
    return int.from_bytes(data[4:8], 'little') * 10**9 + int.from_bytes(data[8:12], 'little')


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
    losses: dict[str, list[Loss]] = {}
    for number, (what, run) in enumerate(trials):
        with tempfile.TemporaryDirectory() as scratch:
            try:
                loss = run(Path(scratch), number, generator)
            except (ConfigError, OSError, ValueError) as error:
                failed += 1
                print(f'{what} {number}: {error}', flush=True)
                continue
        losses.setdefault(what, []).append(loss)
        if loss.seconds > WORST_S:
            print(f'{what} {number}: {loss.seconds:.3f} s lost, {loss.missing} messages', flush=True)
    for what, found in losses.items():
        seconds = [loss.seconds for loss in found]
        print(f'{what}: {len(found)} kills after which the bag opens, as it is and completed; of '
              f'{sum(loss.sent for loss in found)} messages handed over {sum(loss.missing for loss in found)} are '
              f'missing, at most {max(loss.missing for loss in found)} of a kill; longest stretch of a topic without '
              f'those handed over at most {max(seconds):.3f} s, median {statistics.median(seconds):.3f} s')
    print(f'{failed} bags did not open, or do not hold what was handed over')
    return 1 if failed or any(loss.seconds > WORST_S for found in losses.values() for loss in found) else 0


if __name__ == '__main__':
    raise SystemExit(main())
