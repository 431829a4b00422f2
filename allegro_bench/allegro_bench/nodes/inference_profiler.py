"""``inference_profiler``: listens to a running hand and writes what inference costs and how it went."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import rclpy
from allegro_description.errors import AllegroError
from allegro_description.model import load_hand
from allegro_description.prefix import prefixed
from allegro_description.ros.convert import by_name, diagnostic_array, points_from_message, to_ns
from allegro_description.ros.interfaces import (
    DIAGNOSTICS,
    EPISODE,
    EVENTS,
    INFERENCE,
    INFERENCE_RELEASE,
    JOINT_COMMANDS,
    JOINT_STATES,
    TACTILE_POINTS,
    Topic,
)
from allegro_description.ros.node import OK, WARN, PlainNode, run
from rclpy.serialization import deserialize_message
from std_srvs.srv import Trigger

from allegro_bench import environment, result
from allegro_bench.config import ProfilerConfig
from allegro_bench.live import Live
from allegro_bench.meters.opening import open_meter
from allegro_bench.session import Session

SETTLE_NS = 200_000_000
"""After the profiler was busy itself, receipts of commands are late by its own doing for so long."""


class InferenceProfiler(PlainNode):
    """Gathers, says once per second what it sees, and writes result and report when asked and when it ends."""

    def __init__(self) -> None:
        super().__init__('inference_profiler', ProfilerConfig)
        self._model = load_hand(self.config.model, self.config.side)
        self._named = prefixed(self._model, self.config.prefix)
        self.hardware_id = self._model.name
        self._meter = open_meter(self.config.meter)
        self._card = environment.describe(rclpy.get_rmw_implementation_identifier())
        self._session = Session(self.config, self._model, self._meter, self._now())
        self._live = Live(self._session)
        self._finished = False
        self._listen(INFERENCE, self._on_inference)
        self._listen(INFERENCE_RELEASE, self._on_release)
        # Every command counts here, so the queue is longer than the driver's, which wants the newest only.
        self._listen(JOINT_COMMANDS, self._on_command, qos=EVENTS)
        self._listen(EPISODE, self._on_episode)
        self._listen(DIAGNOSTICS, self._on_diagnostics)
        # Taken as bytes: most of these are only counted, and decoding them costs more than all the rest.
        self._listen(JOINT_STATES, self._on_joint_state, raw=True)
        self._listen(TACTILE_POINTS, self._on_points, raw=True)
        self.create_service(Trigger, '~/write_report', self._on_write_report)
        self.create_timer(1.0, self._second, clock=self.steady_clock)
        if self._meter.reason:
            self.get_logger().info(f'energy source: none ({self._meter.reason})')

    def _listen(self, topic: Topic, callback: Any, *, qos: Any = None, raw: bool = False) -> None:
        self.create_subscription(topic.type, topic.name, callback, qos or topic.subscribe_qos, raw=raw)

    def _now(self) -> int:
        return int(self.get_clock().now().nanoseconds)

    # What arrives ------------------------------------------------------------------------------------------------

    def _on_inference(self, message: Any) -> None:
        self._session.inference(to_ns(message.time_ref), to_ns(message.header.stamp), message.source)

    def _on_release(self, message: Any) -> None:
        self._session.release(to_ns(message.time_ref), to_ns(message.header.stamp), message.source)

    def _on_command(self, message: Any) -> None:
        self._session.command(to_ns(message.header.stamp), self._now())

    def _on_episode(self, message: Any) -> None:
        for status in message.status:
            facts = {pair.key: pair.value for pair in status.values}
            self._session.episode(status.message, to_ns(message.header.stamp) or self._now(), facts)

    def _on_diagnostics(self, message: Any) -> None:
        for status in message.status:
            values = {pair.key: pair.value for pair in status.values}
            self._session.status(status.name, self._now(), values, status.message, status.hardware_id)

    def _on_joint_state(self, data: bytes) -> None:
        if not self._session.wants('torque', self._now()):
            return
        message = deserialize_message(data, JOINT_STATES.type)
        if not len(message.effort):
            return
        try:
            effort = by_name(self._named, message.name, message.effort, 'joint_states effort')
        except AllegroError as error:
            self.get_logger().warning(str(error), throttle_duration_sec=10.0)
            return
        self._session.torque(to_ns(message.header.stamp), effort)

    def _on_points(self, data: bytes) -> None:
        if not self._session.wants('pressure', self._now()):
            return
        try:
            stamp, _, pressure, valid = points_from_message(deserialize_message(data, TACTILE_POINTS.type))
        except AllegroError as error:
            self.get_logger().warning(str(error), throttle_duration_sec=10.0)
            return
        if len(pressure) == len(self._model.taxels):
            self._session.pressure(stamp, pressure, valid)

    # What is said ------------------------------------------------------------------------------------------------

    def _second(self) -> None:
        self._session.second(self._now())
        sentence, values = self._live.latency()
        level = WARN if values['misses'] else OK
        self._diagnostics.publish(diagnostic_array(self, 'latency', level, sentence, values, self.hardware_id))
        sentence, values = self._live.energy()
        self._diagnostics.publish(diagnostic_array(self, 'energy', OK, sentence, values, self.hardware_id))

    # What is written ---------------------------------------------------------------------------------------------

    def write(self) -> Path:
        """Write result, arrays and report of everything so far.

        Raises:
            AllegroError: the folder cannot be written, or (after the result was) the report cannot be made.
        """
        folder = Path(self.config.output_dir).expanduser()
        self._session.second(self._now())
        after = environment.describe(rclpy.get_rmw_implementation_identifier())
        result.write(folder, *result.build(self._session, self._card, after))
        from allegro_bench import report

        return report.write(folder)

    def _on_write_report(self, _: Any, response: Any) -> Any:
        try:
            response.message, response.success = f'wrote {self.write()}', True
        except AllegroError as error:
            response.message, response.success = str(error), False
        self._session.blind(self._now() + SETTLE_NS)
        return response

    def finish(self) -> None:
        """Write everything once, and let go of the meter."""
        if self._finished:
            return
        self._finished = True
        try:
            self.get_logger().info(f'wrote {self.write()}')
        except AllegroError as error:
            self.get_logger().error(str(error))
        self._meter.close()


def main(args: list[str] | None = None) -> int:
    """Run ``inference_profiler`` until SIGINT or SIGTERM."""
    return run(InferenceProfiler, args)


if __name__ == '__main__':
    sys.exit(main())
