"""ROS 2 node ``bag_player``: a recording as topics and ``/clock``, for the very nodes that would run on a robot.

Warning: with the parameter ``commands`` an enabled hand that listens moves as recorded; without it no recorded command
keeps its name, they go below ``recorded/``.

What is played are inputs. Topics of nodes that run beside the player (parameter ``live``) are set apart below
``recorded/``, so that what the policy says now and what it said then can be compared. Rate, pause and place are
parameters that can be set while it plays.
"""

from __future__ import annotations

import sys
import threading
import time
from pathlib import Path
from typing import Any

from allegro_description.errors import AllegroError, ConfigError
from allegro_description.ros.convert import to_stamp
from allegro_description.ros.interfaces import DIAGNOSTICS, EPISODE, STREAM, all_topics
from allegro_description.ros.node import OK, WARN, Diagnosis, PlainNode, run
from rclpy.serialization import deserialize_message, serialize_message
from rosgraph_msgs.msg import Clock
from std_srvs.srv import SetBool, Trigger

from allegro_bench.config import PlayerConfig
from allegro_bench.nodes.discovery import message_class
from allegro_bench.playing.player import Player
from allegro_bench.playing.routing import CLOCK, Routing
from allegro_bench.playing.source import Message, open_source

BEGINS = {'started': 'grasp', 'finished': 'release', 'dropped': 'release', 'stopped': 'release'}
"""What an event of a recorded episode asks the policy to do."""

_LONGEST_SLEEP_S = 0.05
_CLOCK_PATIENCE_S = 10.0
_KEEP = -1.0


class BagPlayer(PlainNode):
    """Begins when its listeners are ready, ends with the bag; with ``commands`` a hand that listens will move."""

    def __init__(self, **kwargs: Any) -> None:
        """Open the bag and create its topics.

        Raises:
            ConfigError: no such bag, nothing in it, or a parameter is not allowed.
        """
        super().__init__('bag_player', PlayerConfig, **kwargs)
        config = self.config
        if not config.bag:
            raise ConfigError('bag is empty; give the folder or file of a bag, e.g. -p bag:=runs/…/bag')
        self._source = open_source(Path(config.bag).expanduser())
        live = tuple(name for name in config.live if name != 'none')  # ROS has no empty list of texts
        self._routing = Routing(live, config.from_namespace.strip('/'), self.get_namespace().strip('/'),
                                () if 'all' in config.topics else config.topics, config.commands)
        self._player = Player(self._source, time.monotonic_ns(), rate=config.rate, loop=config.loop,
                              start_s=config.start_s, paused=True)
        self._changed_by_hand = threading.Condition()
        self._counts = {'played': 0, 'unknown_type': 0}
        self._late_s = 0.0
        self._ways: dict[str, Any] = {}
        self._missing: list[str] = []
        self._declare_topics()
        self._clock_publisher = self.create_publisher(Clock, CLOCK, STREAM)
        self._policy = {what: self.create_client(Trigger, f'{config.policy_node}/{what}')
                        for what in set(BEGINS.values())}
        self.create_service(SetBool, '~/pause', self._on_pause)
        self._closing = False
        self._thread = threading.Thread(target=self._play, name='bag_player', daemon=True)
        for sentence in self._source.damage:
            self.get_logger().warning(sentence)
        self._tell_about_commands()
        self.get_logger().info(f'{config.bag}: {self._source.duration_s:.1f} s, {len(self._source.topics)} topics')
        self._thread.start()

    # Topics -----------------------------------------------------------------------------------------------------

    def _declare_topics(self) -> None:
        known = {t.public_name: t.publish_qos for t in all_topics(())}
        for topic, kind in self._source.topics.items():
            name = self._routing.name(topic, kind)
            if name is None:
                continue
            try:
                made = message_class(kind)
            except AllegroError as error:
                self._missing.append(topic)
                self.get_logger().warning(f'{topic} is not played: {error}')
                continue
            relative = topic.removeprefix(f'/{self._routing.namespace}').lstrip('/')
            self._ways[topic] = self.create_publisher(made, name, known.get(relative, STREAM))

    def _tell_about_commands(self) -> None:
        topics = self._source.topics
        held, through = self._routing.held(topics), self._routing.let_through(topics)
        if held:
            listed = ', '.join(f'{own} as {name}' for own, name in held.items())
            self.get_logger().warning(
                f'commands are not played under their own names but set apart: {listed}; -p commands:=true plays them, '
                'and a hand that listens will move')
        if through:
            self.get_logger().warning(f'commands is true: a hand that listens to {", ".join(through)} will move')

    def _publish(self, message: Message) -> None:
        publisher = self._ways.get(message.topic)
        if publisher is None:
            return
        data = message.data
        if message.topic == DIAGNOSTICS.name and self._routing.live:
            decoded = deserialize_message(data, DIAGNOSTICS.type)
            decoded.status = [s for s in decoded.status if not self._routing.is_live(s.name)]
            if not decoded.status:
                return
            data = serialize_message(decoded)
        elif self.config.drive and message.topic.rpartition('/')[2] == EPISODE.name:
            self._drive(deserialize_message(data, EPISODE.type))
        publisher.publish(data)
        self._counts['played'] += 1

    def _drive(self, message: Any) -> None:
        for status in message.status:
            what = BEGINS.get(status.message, '')
            if what and self._policy[what].service_is_ready():
                self._policy[what].call_async(Trigger.Request())

    # Time -------------------------------------------------------------------------------------------------------

    def _ready(self, waited_s: float) -> bool:
        """Whether the policy is there, and everybody beside the player hears its clock.

        A node on simulated time that hears a measurement before any time takes its stamp for the future. A listener
        that does not use the clock is not waited for longer than :data:`_CLOCK_PATIENCE_S`.
        """
        if self.config.drive and not self._policy['grasp'].service_is_ready():
            return False
        heard = self._clock_publisher.get_subscription_count() >= len(self._routing.live)
        return heard or waited_s > _CLOCK_PATIENCE_S

    def _play(self) -> None:
        begin = time.monotonic()
        while not self._closing and (not self._ready(waited := time.monotonic() - begin)
                                     or waited < self.config.delay_s):
            self._tell_time()
            time.sleep(_LONGEST_SLEEP_S)
        with self._changed_by_hand:
            self._player.pause(self.config.paused, time.monotonic_ns())
        next_clock = 0.0
        while not self._closing:
            with self._changed_by_hand:
                now = time.monotonic_ns()
                messages = self._player.due(now)
                if messages:
                    late = (self._player.position_ns(now) - messages[0].received_ns) * 1e-9 / self._player.rate
                    self._late_s = max(self._late_s, late)
                ended = self._player.ended
            for message in messages:
                self._publish(message)
            if time.monotonic() >= next_clock:
                next_clock = time.monotonic() + 1.0 / self.config.clock_hz
                self._tell_time()
            if ended:
                break
            with self._changed_by_hand:
                wait = self._player.wait_s(time.monotonic_ns())
                left = min(_LONGEST_SLEEP_S if wait is None else wait, max(next_clock - time.monotonic(), 0.0))
                if left > 0:
                    self._changed_by_hand.wait(left)
        if not self._closing:
            self._tell_time()
            self.get_logger().info(f'the end: {self._counts["played"]} messages played')
            time.sleep(self.config.delay_s)  # what was sent last must arrive before anybody is stopped
            self.request_exit()

    def _tell_time(self) -> None:
        with self._changed_by_hand:
            now = self._player.position_ns(time.monotonic_ns())
        self._clock_publisher.publish(Clock(clock=to_stamp(now)))

    # Orders -----------------------------------------------------------------------------------------------------

    def config_changed(self, config: PlayerConfig) -> None:
        """Rate, pause, loop and place, while it plays."""
        if not hasattr(self, '_player'):
            return
        with self._changed_by_hand:
            now = time.monotonic_ns()
            if config.position_s not in (_KEEP, self.config.position_s):
                self._player.seek(config.position_s, now)
            if config.rate != self.config.rate:
                self._player.set_rate(config.rate, now)
            if config.paused != self.config.paused:
                self._player.pause(config.paused, now)
            self._player.loop = config.loop
            self._changed_by_hand.notify()

    def _on_pause(self, request: Any, response: Any) -> Any:
        with self._changed_by_hand:
            now = time.monotonic_ns()
            self._player.pause(request.data, now)
            place = (self._player.position_ns(now) - self._source.begin_ns) * 1e-9
            self._changed_by_hand.notify()
        response.success, response.message = True, f'{"paused" if request.data else "playing"} at {place:.3f} s'
        return response

    # Out --------------------------------------------------------------------------------------------------------

    def diagnostics(self) -> Diagnosis:
        """Place, rate, what was played and how late."""
        now = time.monotonic_ns()
        place = (self._player.position_ns(now) - self._source.begin_ns) * 1e-9
        late, self._late_s = self._late_s, 0.0
        values: dict[str, object] = {
            'position_s': place, 'duration_s': self._source.duration_s, 'rate': self._player.rate,
            'paused': self._player.paused, 'laps': self._player.laps, 'played': self._counts['played'],
            'latest_ms': late * 1e3, 'not_played': ', '.join(self._missing) or 'none'}
        return (WARN if self._missing else OK), f'{place:.1f} of {self._source.duration_s:.1f} s', values

    def finish(self) -> None:
        """Stop playing."""
        self._closing = True
        with self._changed_by_hand:
            self._changed_by_hand.notify()
        self._thread.join(timeout=1.0)


def main(args: list[str] | None = None) -> int:
    """Run ``bag_player`` until the recording ends, or SIGINT or SIGTERM."""
    return run(BagPlayer, args)


if __name__ == '__main__':
    sys.exit(main())
