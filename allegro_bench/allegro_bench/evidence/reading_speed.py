"""How fast a long bag is read, and in how much memory: ``python -m allegro_bench.evidence.reading_speed``.

Writes a bag of two hours (made-up numbers in real messages: joint states at 333 Hz, touch at 60 Hz), then reads all
of it, window by window, in a fresh process, and prints how many times faster than real time that was, and the peak
of its resident memory.
"""

from __future__ import annotations

import argparse
import heapq
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from allegro_description.errors import ConfigError
from allegro_description.model import load_hand
from rosbags.typesys import Stores, get_typestore

from allegro_bench.bags.recording import windows
from allegro_bench.recording import BagWriter

JOINTS, CLOUD = 'sensor_msgs/msg/JointState', 'sensor_msgs/msg/PointCloud2'
JOINT_HZ, TOUCH_HZ = 333, 60
BEGIN_NS = 1_800_000_000 * 10**9


class Messages:
    """Joint states and touch of a hand as serialised messages: real sizes, numbers from a seeded generator."""

    def __init__(self) -> None:
        """Serialise one of each; later only their numbers are replaced."""
        self.model = load_hand()
        store = get_typestore(Stores.ROS2_JAZZY)
        kinds, joints, touch = store.types, len(self.model.joints), len(self.model.taxels)
        header = kinds['std_msgs/msg/Header'](kinds['builtin_interfaces/msg/Time'](0, 0), self.model.palm)
        zeros, field = np.zeros(joints), kinds['sensor_msgs/msg/PointField']
        state = kinds[JOINTS](header, list(self.model.joint_names), zeros, zeros, zeros)
        fields = [field(name, 4 * k, 7, 1) for k, name in enumerate(('x', 'y', 'z', 'pressure'))]
        fields += [field('taxel', 16, 4, 1), field('valid', 18, 2, 1)]
        cloud = kinds[CLOUD](header, 1, touch, fields, False, 20, 20 * touch, np.zeros(20 * touch, np.uint8), True)
        self._messages = (bytearray(store.serialize_cdr(state, JOINTS)), bytearray(store.serialize_cdr(cloud, CLOUD)))
        # The numbers lie at the end: three arrays, each after its padded length; and the points, before is_dense.
        self._places = [len(self._messages[0]) - (3 - k) * (8 * joints + 8) + 8 for k in range(3)]
        self._points = np.zeros(touch, np.dtype({'names': ['pressure', 'taxel', 'valid'],
                                                 'formats': ['<f4', '<u2', 'u1'], 'offsets': [12, 16, 18],
                                                 'itemsize': 20}))
        self._points['taxel'], self._points['valid'] = np.arange(touch), 1
        self._table = np.random.default_rng(0).normal(size=(4096, 3, joints))

    def message(self, which: int, number: int, stamp_ns: int) -> bytes:
        """The n-th joint state (``which`` 0) or touch message (1) with that stamp."""
        message, row = self._messages[which], self._table[number % len(self._table)]
        message[4:12] = (stamp_ns // 10**9).to_bytes(4, 'little') + (stamp_ns % 10**9).to_bytes(4, 'little')
        if which:
            self._points['pressure'] = 2000.0 + 300.0 * row[0, :len(self._points)]
            message[-1 - self._points.nbytes:-1] = self._points.tobytes()
        else:
            for place, values in zip(self._places, row, strict=True):
                message[place:place + values.nbytes] = values.tobytes()
        return bytes(message)


def write(folder: Path, hours: float, compressed: bool) -> tuple[int, int]:
    """Write the bag; returns how many joint states and touch messages are in it."""
    made, counts = Messages(), [0, 0]
    due = heapq.merge(_due(0, JOINT_HZ, hours), _due(1, TOUCH_HZ, hours))
    with BagWriter(folder, {'hand': made.model.name}, compression='zstd' if compressed else 'none') as bag:
        bag.add_topic('/joint_states', JOINTS)
        bag.add_topic('/tactile/points', CLOUD)
        for when, which in due:
            bag.write('/tactile/points' if which else '/joint_states', made.message(which, counts[which], when),
                      when + 200_000)
            counts[which] += 1
    return counts[0], counts[1]


def _due(which: int, rate_hz: int, hours: float) -> Iterator[tuple[int, int]]:
    return ((BEGIN_NS + k * 10**9 // rate_hz, which) for k in range(round(hours * 3600 * rate_hz)))


def read(folder: Path, seconds: float) -> dict[str, float]:
    """Read all of it; the figures."""
    begin, rows, total = time.perf_counter(), {'joint_states': 0, 'touch': 0}, 0.0
    first = last = 0
    for window in windows(folder, seconds=seconds):
        for kind, track in window.tracks.items():
            rows[kind] += len(track)
            total += float(track.values.sum())  # touches every number
        first, last = first or window.begin_ns, max(last, window.end_ns)
    took = time.perf_counter() - begin
    # That nobody commanded anything is no damage here.
    damage = [words for words in window.damage if 'no topic for' not in words]
    return {**rows, 'sum': total, 'damage': len(damage), 'recorded_s': (last - first) * 1e-9, 'took_s': took,
            'factor': (last - first) * 1e-9 / took,
            'peak_mb': _peak_mb()}


def _peak_mb() -> float:
    # Not getrusage(): that begins with what the parent had at the moment of the fork.
    status = Path('/proc/self/status').read_text()
    return int(status.split('VmHWM:')[1].split()[0]) / 1024


def main() -> int:
    """Write, read, print; exit code 1 where a number is short of what the project promises."""
    parser = argparse.ArgumentParser(prog='python -m allegro_bench.evidence.reading_speed', description=__doc__)
    parser.add_argument('--hours', type=float, default=2.0, help='length of the bag (default: %(default)g)')
    parser.add_argument('--window', type=float, default=60.0, help='seconds at a time (default: %(default)g)')
    parser.add_argument('--folder', type=Path, help='where to write the bag (default: a temporary folder)')
    parser.add_argument('--uncompressed', action='store_true', help='chunks without zstd')
    parser.add_argument('--read', type=Path, metavar='BAG', help='only read this bag and print the figures as JSON')
    given = parser.parse_args()
    if given.read:
        print(json.dumps(read(given.read, given.window)))
        return 0
    if not 0.001 <= given.hours <= 24:
        raise ConfigError(f'--hours is {given.hours:g}; allowed: 0.001 to 24')
    with tempfile.TemporaryDirectory(dir=given.folder) as scratch:
        bag = Path(scratch) / 'bag'
        counts = write(bag, given.hours, not given.uncompressed)
        size = sum(p.stat().st_size for p in bag.iterdir()) / 1e6
        print(f'{given.hours:g} h: {counts[0]} joint states, {counts[1]} touch messages, {size:.0f} MB', flush=True)
        done = subprocess.run(
            [sys.executable, '-m', 'allegro_bench.evidence.reading_speed', '--read', str(bag), '--window',
             str(given.window)], capture_output=True, text=True, check=True)
    found = json.loads(done.stdout)
    complete = (found['joint_states'], found['touch']) == counts and not found['damage']
    print(f'read in {found["took_s"]:.1f} s, hashes included: {found["factor"]:.0f} times faster than real time, peak '
          f'{found["peak_mb"]:.0f} MB; {"every message" if complete else "NOT every message"} read')
    return 0 if complete and found['factor'] >= 20 and found['peak_mb'] <= 300 else 1


if __name__ == '__main__':
    raise SystemExit(main())
