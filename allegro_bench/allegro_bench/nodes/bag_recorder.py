"""Node: record topics into a rosbag2-readable MCAP bag, without deserialising."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path

from allegro_description.config import parameter
from allegro_description.errors import AllegroError
from allegro_description.model import load_hand
from allegro_description.ros.interfaces import RECORDING, all_topics
from allegro_description.ros.node import ERROR, OK, Diagnosis, PlainNode, run

from allegro_bench.recording import BagWriter


@dataclass(frozen=True, slots=True)
class RecorderConfig:
    """Parameters of `bag_recorder`."""

    model: str = parameter('v5_sense', 'hand model')
    side: str = parameter('right', 'hand side', choices=('right', 'left'))
    output_dir: str = parameter('runs/latest', 'the bag is written to the folder `bag` in here')


class BagRecorder(PlainNode):
    """See the module."""

    def __init__(self) -> None:
        super().__init__('bag_recorder', RecorderConfig)
        hand = load_hand(self.config.model, self.config.side)
        folder = Path(self.config.output_dir) / 'bag'
        self._bag = BagWriter(folder, {'hand': hand.name, 'hand_sha256': hand.sha256})
        self._failure = ''
        self._subscribers = []
        for topic in all_topics(f.name for f in hand.fingers):
            name = self.resolve_topic_name(topic.public_name)
            package, _, kind = topic.type.__module__.split('.')[0], '', topic.type.__name__
            self._bag.add_topic(name, f'{package}/msg/{kind}')
            self._subscribers.append(self.create_subscription(
                topic.type, topic.public_name, partial(self._write, name), RECORDING, raw=True))
        self.get_logger().info(f'recording to {folder}')

    def _write(self, topic: str, data: bytes) -> None:
        if self._failure:
            return
        try:
            self._bag.write(topic, data, self.get_clock().now().nanoseconds)
        except AllegroError as error:
            self._failure = str(error)
            self.get_logger().error(self._failure)

    def diagnostics(self) -> Diagnosis:
        """Messages by topic."""
        counts = self._bag.counts
        values = {'messages': sum(counts.values()), **{f'count {k}': v for k, v in counts.items()}}
        return (ERROR, self._failure, values) if self._failure else (OK, 'recording', values)

    def finish(self) -> None:
        """Complete the bag."""
        self._bag.close()
        counts = self._bag.counts
        self.get_logger().info(f'{sum(counts.values())} messages on {sum(1 for v in counts.values() if v)} topics')


def main(args: list[str] | None = None) -> int:
    """Entry point."""
    return run(BagRecorder, args)
