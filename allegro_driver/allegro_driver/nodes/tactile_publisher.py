"""ROS 2 node ``tactile_publisher``: raw cell readings to touch with places and wrenches."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
from allegro_description.errors import AllegroError, CommandRefused
from allegro_description.model import HandModel, load_hand
from allegro_description.prefix import prefixed
from allegro_description.ros.convert import by_name, points_message, tactile_from_raw, to_ns, to_stamp
from allegro_description.ros.interfaces import JOINT_STATES, TACTILE_POINTS, TACTILE_RAW, Topic, wrench_topic
from allegro_description.ros.node import Diagnosis, ManagedNode, run
from allegro_description.state import Array, TactileFrame
from std_srvs.srv import Trigger

from allegro_driver.config import TactileConfig
from allegro_driver.tactile import TactilePipeline
from allegro_driver.touch_geometry import TouchGeometry

_WARN_EVERY_S = 5.0
_SILENT_S = 0.5


class TactilePublisher(ManagedNode):
    """activate: listen, zero the cells with the first samples, publish. deactivate: stop."""

    config: TactileConfig

    def __init__(self, **kwargs: Any) -> None:
        """Create topics and the service.

        Raises:
            ConfigError: a parameter is not allowed.
        """
        super().__init__('tactile_publisher', TactileConfig, **kwargs)
        self._pipeline: TactilePipeline | None = None
        self._inputs: list[Any] = []
        self._outputs: list[Any] = []
        self._joints: tuple[int, Array] | None = None
        self.create_service(Trigger, '~/zero_tactile', self._zero)

    # Life -------------------------------------------------------------------------------------------------------

    def configure_hand(self) -> None:
        """Read the description, create the topics."""
        self._model: HandModel = prefixed(load_hand(self.config.model, self.config.side), self.config.prefix)
        TactilePipeline(self._model, self.config)  # refuses hands without cells and thresholds in the wrong order
        self._geometry = TouchGeometry(self._model)
        self.hardware_id = self._model.name
        topics = (TACTILE_POINTS, *(wrench_topic(f.name) for f in self._model.fingers))
        self._outputs = [self.create_lifecycle_publisher(t.type, t.name, t.publish_qos) for t in topics]
        self._wrench = [(finger.tip, topic.type) for finger, topic in zip(self._model.fingers, topics[1:], strict=True)]

    def activate_hand(self) -> None:
        """Begin to listen, with a new baseline."""
        self._pipeline, self._joints = TactilePipeline(self._model, self.config), None
        self._received = self._published = self._refused = 0
        self._counted, self._counted_at, self._arrived = (0, 0), time.monotonic(), -math.inf
        self._lag_s = self._work_s = 0.0

        def listen(topic: Topic, callback: Any) -> Any:
            return self.create_subscription(topic.type, topic.name, callback, topic.subscribe_qos)

        self._inputs = [listen(JOINT_STATES, self._moved), listen(TACTILE_RAW, self._sensed)]

    def deactivate_hand(self) -> None:
        """Stop listening."""
        while self._inputs:
            self.destroy_subscription(self._inputs.pop())
        self._pipeline = None

    def cleanup_hand(self) -> None:
        """Remove the topics."""
        while self._outputs:
            self.destroy_lifecycle_publisher(self._outputs.pop())

    def config_changed(self, config: TactileConfig) -> None:
        """Live parameters."""
        if self._pipeline is not None:
            self._pipeline.configure(config)

    # Work -------------------------------------------------------------------------------------------------------

    def _moved(self, message: Any) -> None:
        try:
            position = by_name(self._model, message.name, message.position, 'joint_states')
        except AllegroError as error:
            self._complain(error)
            return
        self._joints = to_ns(message.header.stamp), position

    def _sensed(self, message: Any) -> None:
        began = time.perf_counter()
        pipeline = self._pipeline
        if pipeline is None:
            return
        try:
            frame = pipeline.update(*tactile_from_raw(message))
        except AllegroError as error:
            self._complain(error)
            return
        self._received += 1
        self._arrived = time.monotonic()
        if self._received % self.config.publish_divisor == 0:
            self._publish(frame)
        self._work_s += time.perf_counter() - began

    def _publish(self, frame: TactileFrame) -> None:
        position = self._position(frame.stamp_ns)
        if position is None:
            places = np.full((len(self._model.taxels), 3), math.nan)
        else:
            cells, tips = self._geometry.update(position)
            places = cells[:, :3, 3]
        self._outputs[0].publish(points_message(self._model, frame, places))
        self._published += 1
        lag = int(self.get_clock().now().nanoseconds) - frame.stamp_ns
        self._lag_s = max(self._lag_s, lag * 1e-9)
        if position is not None and self._published % self.config.wrench_divisor == 0:
            newton = frame.pressure * frame.valid * (self.config.cell_area_mm2 * 1e-6)
            self._publish_wrenches(frame.stamp_ns, *self._geometry.wrenches(cells, tips, newton))

    def _publish_wrenches(self, stamp_ns: int, force: Array, torque: Array) -> None:
        stamp = to_stamp(stamp_ns)
        rows = zip(self._outputs[1:], self._wrench, force.tolist(), torque.tolist(), strict=True)
        for publisher, (frame, kind), f, t in rows:
            message = kind()
            message.header.stamp, message.header.frame_id = stamp, frame
            message.wrench.force.x, message.wrench.force.y, message.wrench.force.z = f
            message.wrench.torque.x, message.wrench.torque.y, message.wrench.torque.z = t
            publisher.publish(message)

    def _position(self, stamp_ns: int) -> Array | None:
        """Joint angles that belong to a sample of this time, or None if there are none that recent."""
        if self._joints is None or abs(stamp_ns - self._joints[0]) > self.config.joint_timeout_s * 1e9:
            return None
        return self._joints[1]

    def _complain(self, error: AllegroError) -> None:
        self._refused += 1
        self.get_logger().warning(f'sample refused: {error}', throttle_duration_sec=_WARN_EVERY_S)

    # Service and diagnostics --------------------------------------------------------------------------------------

    def _zero(self, request: Any, response: Any) -> Any:
        try:
            if self._pipeline is None or time.monotonic() - self._arrived > _SILENT_S:
                raise CommandRefused('no fresh tactile/raw; nothing was zeroed. Is hand_driver active?')
            report = self._pipeline.tare()
            response.success, response.message = report.complete, str(report)
        except AllegroError as error:
            response.success, response.message = False, str(error)
        self.get_logger().info(response.message)
        return response

    def diagnostics(self) -> Diagnosis:
        """Rates, delay, load, conditions of the cells."""
        assert self._pipeline is not None
        now = time.monotonic()
        received, published = self._received - self._counted[0], self._published - self._counted[1]
        elapsed = max(now - self._counted_at, 1e-3)
        self._counted, self._counted_at = (self._received, self._published), now
        lag, work = self._lag_s, self._work_s / max(received, 1)
        self._lag_s = self._work_s = 0.0
        status = self._pipeline.status()
        values: dict[str, object] = {
            'raw_rate_hz': received / elapsed, 'points_rate_hz': published / elapsed, 'delay_max_ms': lag * 1e3,
            'work_mean_us': work * 1e6, 'refused_samples': self._refused, 'baseline_age_s': status.baseline_age_s,
            'force_estimate': f'pressure x {self.config.cell_area_mm2:g} mm² (assumed)',
        }
        for condition in ('contact', 'untared', 'missing', 'saturated', 'frozen', 'silent'):
            names = getattr(status, condition)
            values[f'{condition}_cells'] = ' '.join(names) or 'none'
        bad = [f'{c}: {", ".join(getattr(status, c))}' for c in ('missing', 'saturated', 'frozen', 'untared')
               if getattr(status, c)]
        if now - self._arrived > _SILENT_S:
            return 2, 'no tactile/raw; is hand_driver active?', values
        if self._position(self._pipeline.stamp_ns) is None:
            bad.append('no joint states as recent as the touch, so places are unknown')
        return (1 if bad else 0), '; '.join(bad) or 'touch is published', values


def main(args: Sequence[str] | None = None) -> int:
    """Run the node; exit code 0, or 2 after one sentence."""
    return run(TactilePublisher, args)


if __name__ == '__main__':
    raise SystemExit(main())
