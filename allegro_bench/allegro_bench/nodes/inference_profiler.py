"""``inference_profiler``: listens to a running hand and writes what inference costs and how it went.

It gathers without waking for every message: the middleware keeps what arrives, with its time of receipt, and twice a
second the node takes it all at once. So it may stand still while it writes a report, and nothing is late by its own
doing. ``allegro_bench.evidence.profiler_overhead`` tells what it takes of a core; most of that is the middleware.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import rclpy
from allegro_description.errors import AllegroError, ConfigError
from allegro_description.model import load_hand
from allegro_description.prefix import prefixed
from allegro_description.ros.convert import by_name, diagnostic_array, points_from_message, to_ns, to_stamp
from allegro_description.ros.interfaces import (
    DIAGNOSTICS,
    ENERGY,
    EPISODE,
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
from allegro_bench.energy import EnergyRecorder
from allegro_bench.live import Live
from allegro_bench.meters.opening import open_meters
from allegro_bench.nodes.polling import Polled, stamp_ns
from allegro_bench.session import Session

POLL_S = 0.5
"""Waking costs more than what is done then: at twenty times a second it was a quarter of what the node took."""
ROS_TIME_POLL_S = 0.05
"""The same where stamps come from ``/clock``: the middleware's time of receipt says nothing then, this one counts."""


class InferenceProfiler(Polled, PlainNode):
    """Gathers, says once per second what it sees, and writes result and report when asked and when it ends."""

    def __init__(self) -> None:
        super().__init__('inference_profiler', ProfilerConfig)
        self._model = load_hand(self.config.model, self.config.side)
        self._named = prefixed(self._model, self.config.prefix)
        self.hardware_id = self._model.name
        self._meter = EnergyRecorder(open_meters(self.config.meter))
        self._meter.start()
        self._runs, self._running, self._written = 0, False, True
        self._card = environment.describe(rclpy.get_rmw_implementation_identifier())
        self._session = Session(self.config, self._model, self._meter, self._now())
        self._live = Live(self._session)
        self._listen(INFERENCE, self._on_inference)
        self._listen(INFERENCE_RELEASE, self._on_release)
        self._listen(JOINT_COMMANDS, self._on_command, raw=True)
        self._listen(EPISODE, self._on_episode)
        self._listen(DIAGNOSTICS, self._on_diagnostics)
        # Taken as bytes: most of these are only counted, and decoding them costs more than all the rest.
        self._listen(JOINT_STATES, self._on_joint_state, raw=True)
        self._listen(TACTILE_POINTS, self._on_points, raw=True)
        self._energy = self.create_publisher(ENERGY.type, ENERGY.name, ENERGY.publish_qos)
        for name, answer in (('start', self._on_start), ('stop', self._on_stop), ('write_report', self._on_report)):
            self.create_service(Trigger, f'~/{name}', answer)
        self._ros_time = self.get_clock().ros_time_is_active
        self.create_timer(ROS_TIME_POLL_S if self._ros_time else POLL_S, self._poll, clock=self.steady_clock)
        self.create_timer(1.0, self._second, clock=self.steady_clock)
        self._said = False
        if self.config.autostart:
            self._begin()

    def _listen(self, topic: Topic, callback: Any, *, raw: bool = False) -> None:
        self.poll_later(topic.type, topic.name, callback, topic.subscribe_qos, raw=raw)

    def _now(self) -> int:
        return int(self.get_clock().now().nanoseconds)

    def _received(self, received_ns: int) -> int:
        """When a message was received on the clock of stamps; the present where only the system's clock knows."""
        return self._now() if not received_ns or self._ros_time else received_ns

    # A run ------------------------------------------------------------------------------------------------------

    def _begin(self) -> None:
        self._card = environment.describe(rclpy.get_rmw_implementation_identifier())
        while self.poll():  # what came before belongs to no run, or to the one before
            pass
        self._runs += 1
        self._written = False
        self._session = Session(self.config, self._model, self._meter, self._now())
        self._live = Live(self._session)
        self._running = True

    def _poll(self) -> None:
        if not self._said:
            self._said = True
            if self._meter.reason:
                self.get_logger().info('energy source: none; allegro-bench meters says why')
        self._ros_time = self.get_clock().ros_time_is_active
        self.poll()

    def _on_start(self, _: Any, response: Any) -> Any:
        response.success = not self._running
        if self._running:
            response.message = 'a run is under way; stop it first'
            return response
        self._begin()
        response.message = f'run {self._runs} began; it will be written to {self._folder()}'
        return response

    def _on_stop(self, _: Any, response: Any) -> Any:
        if not self._running:
            response.success, response.message = False, 'no run is under way; start one'
            return response
        try:
            self._end()
            response.success, response.message = True, f'wrote {self.write()}'
        except AllegroError as error:
            response.success, response.message = False, str(error)
        return response

    def _end(self) -> None:
        self.poll()
        self._session.second(self._now())
        self._running = False

    def _folder(self) -> Path:
        """Of the present run: output_dir, and beside it ``_2``, ``_3`` … for further runs of this node."""
        folder = Path(self.config.output_dir).expanduser()
        return folder if self._runs <= 1 else folder.with_name(f'{folder.name}_{self._runs}')

    # What arrives ------------------------------------------------------------------------------------------------

    def _on_inference(self, message: Any, _: int) -> None:
        finish = to_ns(message.header.stamp)
        if self._running and finish >= self._session.t0_ns:  # its other half may have come before the run
            self._session.inference(to_ns(message.time_ref), finish, message.source)

    def _on_release(self, message: Any, _: int) -> None:
        finish = to_ns(message.header.stamp)
        if self._running and finish >= self._session.t0_ns:
            self._session.release(to_ns(message.time_ref), finish, message.source)

    def _on_command(self, data: bytes, received_ns: int) -> None:
        if not self._running:
            return
        observed = stamp_ns(data)
        if observed is None:  # a middleware with other bytes
            observed = to_ns(deserialize_message(data, JOINT_COMMANDS.type).header.stamp)
        self._session.command(observed, self._received(received_ns))

    def _on_episode(self, message: Any, _: int) -> None:
        for status in message.status if self._running else ():
            facts = {pair.key: pair.value for pair in status.values}
            self._session.episode(status.message, to_ns(message.header.stamp) or self._now(), facts)

    def _on_diagnostics(self, message: Any, received_ns: int) -> None:
        for status in message.status if self._running else ():
            values = {pair.key: pair.value for pair in status.values}
            self._session.status(status.name, self._received(received_ns), values, status.message, status.hardware_id)

    def _on_joint_state(self, data: bytes, received_ns: int) -> None:
        if not self._running or not self._session.wants('torque', self._received(received_ns)):
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

    def _on_points(self, data: bytes, received_ns: int) -> None:
        if not self._running or not self._session.wants('pressure', self._received(received_ns)):
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
        if not self._running:
            return
        now = self._now()
        self._session.second(now)
        sentence, values = self._live.latency()
        level = WARN if values['misses'] else OK
        self._diagnostics.publish(diagnostic_array(self, 'latency', level, sentence, values, self.hardware_id))
        sentence, values = self._live.energy()
        self._diagnostics.publish(diagnostic_array(self, 'energy', OK, sentence, values, self.hardware_id))
        if channels := self._live.channels():
            message = ENERGY.type()
            message.header.stamp = to_stamp(now)
            for name, problem, facts in channels:
                message.status += diagnostic_array(self, name, WARN if problem else OK, problem, facts, name).status
            self._energy.publish(message)

    # What is written ---------------------------------------------------------------------------------------------

    def write(self) -> Path:
        """Write result, arrays and report of the run so far, or of the last one.

        Raises:
            AllegroError: there was no run, the folder cannot be written, or (after the result was) the report cannot be
                made.
        """
        if not self._runs:
            raise ConfigError('there is nothing to write: no run was started; call ~/start')
        if self._running:
            self.poll()
            self._session.second(self._now())
        after = environment.describe(rclpy.get_rmw_implementation_identifier())
        result.write(self._folder(), *result.build(self._session, self._card, after))
        self._written = not self._running
        from allegro_bench import report

        return report.write(self._folder())

    def _on_report(self, _: Any, response: Any) -> Any:
        try:
            response.message, response.success = f'wrote {self.write()}', True
        except AllegroError as error:
            response.message, response.success = str(error), False
        return response

    def finish(self) -> None:
        """Write the run that is under way, and let go of the meter."""
        if self._running:
            self._end()
        if not self._written:
            self._written = True
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
