"""ROS 2 node ``bag_recorder``: topics into a bag that ``ros2 bag`` reads, without decoding a message."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from allegro_description.errors import AllegroError
from allegro_description.model import load_hand
from allegro_description.ros.interfaces import DIAGNOSTICS, RECORDING, all_topics
from allegro_description.ros.node import ERROR, OK, WARN, Diagnosis, PlainNode, run
from rclpy.event_handler import SubscriptionEventCallbacks
from rclpy.qos import QoSProfile

from allegro_bench.config import RecorderConfig
from allegro_bench.nodes.discovery import matching, message_class, offered, type_name
from allegro_bench.nodes.provenance import Provenance, own_facts
from allegro_bench.recording import BagWriter
from allegro_bench.recording_queue import RecordingQueue

# The busiest topic fills a queue of RECORDING.depth in little more than this.
_STALL_S = 1.0


class BagRecorder(PlainNode):
    """Records from its start until it is stopped; then the bag is complete.

    A thread writes, so that a slow disk delays nothing; what it cannot take in time is counted by topic. The middleware
    reports messages that publishers dropped before this node took them. What overflows the middleware's queues while
    this node does not get to run is not reported, so losses are a lower bound and stalls are counted beside.
    """

    config: RecorderConfig

    def __init__(self, **kwargs: Any) -> None:
        """Create the bag, subscribe.

        Raises:
            ConfigError: a parameter is not allowed, or the bag cannot be made.
        """
        super().__init__('bag_recorder', RecorderConfig, **kwargs)
        model = load_hand(self.config.model, self.config.side)
        self.hardware_id = model.name
        self._folder = _free_folder(Path(self.config.output_dir) / 'bag')
        bag = BagWriter(
            self._folder, {'hand': model.name, 'hand_sha256': model.sha256, **own_facts()},
            self.config.chunk_kib * 1024, split_bytes=round(self.config.split_mb * 1e6), split_s=self.config.split_s)
        self._bag = RecordingQueue(
            bag, flush_s=self.config.flush_s, limit_bytes=round(self.config.buffer_mb * 1e6), room=self._room)
        self._provenance = Provenance(self, self._bag.tell)
        self._lost: dict[str, int] = {}
        self._skipped: dict[str, str] = {}
        self._waiting: set[str] = set()
        self._ended = ''
        self._longest_stall_s = 0.0
        self._stalls, self._kept = 0, time.monotonic()
        self._counted = (0, time.monotonic())
        known = {self.resolve_topic_name(t.public_name): t for t in all_topics(f.name for f in model.fingers)}
        for name in self.config.topics:
            if name == 'all':
                for resolved, topic in known.items():
                    self._subscribe(resolved, topic.type, RECORDING)
                continue
            resolved = self.resolve_topic_name(name)
            if resolved in known:
                self._subscribe(resolved, known[resolved].type, RECORDING)
            else:
                self._waiting.add(resolved)
        self.create_timer(self.config.flush_s, self._keep, clock=self.steady_clock)
        self.create_timer(1.0, self._look, clock=self.steady_clock)
        self.get_logger().info(f'recording to {self._folder}')

    # Topics -----------------------------------------------------------------------------------------------------

    def _subscribe(self, name: str, kind: type, qos: QoSProfile) -> None:
        def lost(event: Any) -> None:
            self._lost[name] = int(event.total_count)

        self.create_subscription(
            kind, name, self._taker(name, kind), qos, raw=True, event_callbacks=SubscriptionEventCallbacks(
                message_lost=lost))

    def _taker(self, name: str, kind: type) -> Callable[[bytes], None]:
        declared = False
        clock = self.get_clock()

        diagnostics = name == self.resolve_topic_name(DIAGNOSTICS.name)

        # One argument only: the executor would offer a second one to a callback that could take it.
        def take(data: bytes) -> None:
            nonlocal declared
            if not declared:
                declared = True
                self._declare(name, kind)
            self._bag.put(name, data, clock.now().nanoseconds)
            if diagnostics:
                self._provenance.hear(data)

        return take

    def _declare(self, name: str, kind: type) -> None:
        """Add a topic to the bag with what its publishers announce; done at its first message."""
        infos = self.get_publishers_info_by_topic(name)
        digest = next((str(info.topic_type_hash) for info in infos if str(info.topic_type_hash).startswith('RIHS01_')),
                      '')
        self._bag.declare(name, type_name(kind), digest, [offered(info.qos_profile) for info in infos])

    def _look(self) -> None:
        """Subscribe to asked-for topics that are not of the suite, once somebody publishes them; ask new nodes."""
        self._provenance.look()
        for name, types in self.get_topic_names_and_types() if self._waiting else ():
            infos = self.get_publishers_info_by_topic(name) if name in self._waiting else []
            if not infos:
                continue
            self._waiting.discard(name)
            try:
                kind = message_class(types[0])
            except AllegroError as error:
                self._skipped[name] = str(error)
                self.get_logger().warning(f'{name} is not recorded: {error}')
                continue
            self._subscribe(name, kind, matching([info.qos_profile for info in infos]))

    # Disk ---------------------------------------------------------------------------------------------------------

    def _keep(self) -> None:
        before, self._kept = self._kept, time.monotonic()
        stall = self._kept - before - self.config.flush_s
        self._longest_stall_s = max(self._longest_stall_s, stall)
        self._stalls += stall > _STALL_S
        for name, reason in self._bag.refused.items():
            if name not in self._skipped:
                self._skipped[name] = reason
                self.get_logger().warning(f'{name} is not recorded: {reason}')
        if self._bag.ended and not self._ended:
            self._ended = self._bag.ended
            self.get_logger().error(self._ended)

    def _room(self, folder: Path) -> str:
        free_mb = shutil.disk_usage(folder).free / 1e6
        if free_mb >= self.config.min_free_mb:
            return ''
        return (f'disk almost full: {free_mb:.0f} MB free at {folder}, less than min_free_mb; the bag is complete up '
                'to here. Free some space and start again')

    # Life -----------------------------------------------------------------------------------------------------------

    def diagnostics(self) -> Diagnosis:
        """Counts, rate, losses, size."""
        total, now = sum(self._bag.counts.values()), time.monotonic()
        rate = (total - self._counted[0]) / max(now - self._counted[1], 1e-3)
        self._counted = total, now
        dropped = self._bag.dropped.total()
        stall, self._longest_stall_s = self._longest_stall_s, 0.0
        lost = sum(self._lost.values())
        values: dict[str, object] = {
            'messages': total, 'rate_hz': rate, 'size_mb': self._bag.size_bytes / 1e6, 'bag': str(self._folder),
            'dropped_messages': dropped, 'waiting_mb': self._bag.waiting_bytes / 1e6,
            'lost_messages_at_least': lost, 'stalls': self._stalls, 'longest_stall_ms': stall * 1e3,
            'longest_write_ms': self._bag.take_longest() * 1e3,
            'waiting_for': ' '.join(sorted(self._waiting)) or 'none', 'not_recorded': ' '.join(self._skipped) or 'none',
            **{f'count {name}': count for name, count in self._bag.counts.items()},
            **{f'dropped {name}': count for name, count in self._bag.dropped.items()},
            **{f'lost {name}': count for name, count in self._lost.items() if count},
        }
        if self._ended:
            return ERROR, self._ended, values
        bad = [f'the disk is too slow, {dropped} messages dropped'] if dropped else []
        bad += [f'at least {lost} messages lost'] if lost else []
        bad += [f'stalled {self._stalls} times, messages may be missing'] if self._stalls else []
        bad += [f'not recorded: {", ".join(self._skipped)}'] if self._skipped else []
        return (WARN if bad else OK), '; '.join(bad) or 'recording', values

    def finish(self) -> None:
        """Complete the bag."""
        reason = self._bag.close()
        if reason and not self._ended:
            self.get_logger().error(reason)
        counts, dropped = self._bag.counts, self._bag.dropped
        slow = f' ({", ".join(f"{n} {c}" for n, c in dropped.items())})' if dropped else ''
        self.get_logger().info(
            f'{sum(counts.values())} messages on {len(counts)} topics, {dropped.total()} dropped because of a slow '
            f'disk{slow}, at least {sum(self._lost.values())} lost, {self._stalls} stalls: {self._folder}')


def _free_folder(wanted: Path) -> Path:
    """``bag``, or ``bag_2``, ``bag_3`` … if that is taken: a recording never replaces another."""
    folder, number = wanted, 1
    while folder.exists():
        number += 1
        folder = wanted.with_name(f'{wanted.name}_{number}')
    return folder


def main(args: Sequence[str] | None = None) -> int:
    """Run the node; exit code 0, or 2 after one sentence."""
    return run(BagRecorder, args)


if __name__ == '__main__':
    raise SystemExit(main())
