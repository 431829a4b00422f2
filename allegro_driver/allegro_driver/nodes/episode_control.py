"""ROS 2 node ``episode_control``: start TactileHold episodes in the emulator, show the object, report results.

It stands for the person beside the hand and talks to the emulator's control interface; driver and policy know nothing
of it. Simulated hands only.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

from allegro_description.errors import AllegroError, CommandRefused, LinkError
from allegro_description.model import load_hand
from allegro_description.prefix import prefixed
from allegro_description.ros.interfaces import EPISODE, GRAVITY, OBJECT
from allegro_description.ros.node import Diagnosis, PlainNode, run
from rclpy.parameter import Parameter
from std_srvs.srv import Trigger

from allegro_driver.emulator.client import EmulatorClient
from allegro_driver.emulator.config import EpisodeControlConfig
from allegro_driver.nodes.episode_messages import event_message, gravity_message, object_marker

_TIMEOUT_S = 0.2     # on 127.0.0.1 an answer takes about a millisecond
_RETRY_S = 1.0


class EpisodeControl(PlainNode):
    """Polls the emulator; keeps trying quietly while it is away."""

    config: EpisodeControlConfig

    def __init__(self, **kwargs: Any) -> None:
        """Create topics, services and the poll timer.

        Raises:
            AllegroError: a parameter is not allowed, or there is no such hand.
        """
        super().__init__('episode_control', EpisodeControlConfig, **kwargs)
        hand = prefixed(load_hand(self.config.model, self.config.side), self.config.prefix)
        self._frame, self.hardware_id = hand.palm, f'simulated {hand.name}'
        self._client = EmulatorClient(self.config.host, self.config.control_port, _TIMEOUT_S)
        self._away = ''
        self._retry_at = 0
        self._last_seq: int | None = None
        self._view: dict[str, Any] = {}
        self._started = 0
        self._object, self._gravity, self._episode = (
            self.create_publisher(topic.type, topic.name, topic.publish_qos) for topic in (OBJECT, GRAVITY, EPISODE))
        self.create_service(Trigger, '~/start_episode', self._start)
        self.create_service(Trigger, '~/stop_episode', self._stop)
        self._timer = self.create_timer(1.0 / self.config.rate_hz, self._poll, clock=self.steady_clock)

    def finish(self) -> None:
        """Close the socket; a running episode goes on to its end."""
        self._timer.cancel()
        self._client.close()

    def diagnostics(self) -> Diagnosis:
        """Connection, episode under way, last result."""
        values: dict[str, object] = {
            'emulator': f'{self.config.host}:{self.config.control_port}', 'started_here': self._started,
            'next_seed': self.config.seed, 'level': self.config.level, 'object_set': self.config.object_set,
        }
        if self._away:
            return 2, self._away, values
        try:
            # The emulator is no node; whoever adds up CPU time learns of it here.
            emulator = self._client.request('status')
            values |= {'hand_emulator_pid': emulator['pid'], 'hand_emulator_cpu_s': emulator['cpu_s']}
        except AllegroError:
            pass  # the next poll says so
        episode = self._view.get('episode', {})
        values |= {'episode': episode.get('index', 0), 'clock_s': float(episode.get('clock_s', 0.0))}
        last = self._view.get('last_result')
        if last:
            values |= {'last_episode': last['index'], 'last_held': last['held'], 'last_success': last['success']}
        return 0, f'episode {episode.get("state", "unknown")}', values

    # Services ------------------------------------------------------------------------------------------------------

    def _start(self, _: Any, response: Any) -> Any:
        config = self.config
        try:
            reply = self._client.request(
                'start_episode', seed=config.seed, level=config.level, object_set=config.object_set)
        except AllegroError as error:
            response.success, response.message = False, str(error)
            return response
        self._started += 1
        response.success = True
        response.message = f'episode {reply["index"]} started: seed {config.seed}, level {config.level}, ' \
                           f'objects {config.object_set}'
        if config.seed < 2**31 - 1:
            self.set_parameters([Parameter('seed', Parameter.Type.INTEGER, config.seed + 1)])
        return response

    def _stop(self, _: Any, response: Any) -> Any:
        try:
            stopped = self._client.request('stop_episode')['stopped']
        except AllegroError as error:
            response.success, response.message = False, str(error)
            return response
        response.success, response.message = True, 'episode stopped' if stopped else 'no episode was running'
        return response

    # Poll ----------------------------------------------------------------------------------------------------------

    def _poll(self) -> None:
        now_ns = self.steady_clock.now().nanoseconds
        if self._away and now_ns < self._retry_at:
            return
        try:
            view = self._client.request('world')
        except (LinkError, CommandRefused) as error:
            if not self._away:
                self.get_logger().warning(f'{error} Trying again every {_RETRY_S:g} s.')
            self._away, self._retry_at = str(error), now_ns + int(_RETRY_S * 1e9)
            return
        if self._away:
            self.get_logger().info('the emulator is back')
            self._away = ''
        self._view = view
        self._publish(view)

    def _publish(self, view: dict[str, Any]) -> None:
        stamp = self.get_clock().now().to_msg()
        self._object.publish(object_marker(view['object'], self._frame, stamp))
        self._gravity.publish(gravity_message(view['gravity_m_s2'], self._frame, stamp))
        events = view['events']
        newest = events[-1]['seq'] if events else 0
        if self._last_seq is None:
            self._last_seq = newest  # what happened before this node lived is not news
        if newest < self._last_seq:
            self._last_seq = 0       # the emulator was started anew
        for event in events:
            if event['seq'] > self._last_seq:
                self._episode.publish(event_message(self, event, self.hardware_id))
        self._last_seq = newest


def main(args: Sequence[str] | None = None) -> int:
    """Console script ``episode_control``."""
    return run(EpisodeControl, args)


if __name__ == '__main__':
    sys.exit(main())
