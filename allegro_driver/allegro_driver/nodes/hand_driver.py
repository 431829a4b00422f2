"""ROS 2 node ``hand_driver``: one hand, from the wire to topics and back."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
from allegro_description.errors import AllegroError, CommandRefused
from allegro_description.model import HandModel, load_hand
from allegro_description.ros.convert import command_from_message, joint_state_message, raw_message
from allegro_description.ros.interfaces import JOINT_COMMANDS, JOINT_STATES, JOINT_TRAJECTORY, TACTILE_RAW
from allegro_description.ros.node import Diagnosis, ManagedNode, run
from allegro_description.state import HandState, JointCommand
from std_srvs.srv import SetBool, Trigger

from allegro_driver.config import DriverConfig
from allegro_driver.diagnosis import diagnose
from allegro_driver.hand import Hand
from allegro_driver.hardware import make_hardware
from allegro_driver.nodes.trajectory_message import trajectory_from_message

_WARN_EVERY_S = 5.0


class HandDriver(ManagedNode):
    """configure: connect and identify. activate: run the control loop. deactivate: zero torque."""

    config: DriverConfig

    def __init__(self, **kwargs: Any) -> None:
        """Create topics and services.

        Raises:
            ConfigError: a parameter is not allowed.
        """
        super().__init__('hand_driver', DriverConfig, **kwargs)
        self._hand: Hand | None = None
        self._count = 0
        self._current = 0.0
        self._seen = (0, 0)
        self._states = self.create_lifecycle_publisher(
            JOINT_STATES.type, JOINT_STATES.name, JOINT_STATES.publish_qos)
        self._raw = self.create_lifecycle_publisher(TACTILE_RAW.type, TACTILE_RAW.name, TACTILE_RAW.publish_qos)
        for topic, callback in ((JOINT_COMMANDS, self._commanded), (JOINT_TRAJECTORY, self._planned)):
            self.create_subscription(topic.type, topic.name, callback, topic.subscribe_qos)
        self.create_service(SetBool, '~/enable', self._enable)
        self.create_service(Trigger, '~/clear_fault', self._clear_fault)

    # Life -------------------------------------------------------------------------------------------------------

    def configure_hand(self) -> None:
        """Connect and identify."""
        model = load_hand(self.config.model, self.config.side)
        hand = self._hand = Hand(make_hardware(model, self.config), model, self.config)
        identity = hand.hardware.open()
        self.hardware_id = identity.serial or model.name
        for warning in identity.warnings:
            self.get_logger().warning(warning)
        self.get_logger().info(f'{model.name}, serial {identity.serial or "unknown"}, {identity.version}')
        hand.add_listener(self._publish)

    def activate_hand(self) -> None:
        """Run the loop: in ``off``, or in ``hold`` with the parameter enable_on_activate."""
        hand = self._require()
        hand.start()
        if self.config.enable_on_activate:
            hand.enable()
        status = hand.status()
        self.get_logger().info(f'state {status.state.value}; realtime: {status.realtime}')

    def deactivate_hand(self) -> None:
        """Zero torque; the loop ends."""
        if self._hand is not None:
            self._hand.stop()

    def cleanup_hand(self) -> None:
        """Disconnect."""
        hand, self._hand = self._hand, None
        if hand is not None:
            hand.close()

    def config_changed(self, config: DriverConfig) -> None:
        """Live parameters."""
        if self._hand is not None:
            self._hand.configure(config)

    def diagnostics(self) -> Diagnosis:
        """State and reason, timing, counters, identity."""
        hand = self._require()
        report = hand.report()
        frames, on_time = report.frames - self._seen[0], report.on_time - self._seen[1]
        self._seen = report.frames, report.on_time
        current, self._current = self._current, 0.0
        return diagnose(hand, report, 100.0 * min(on_time / frames, 1.0) if frames > 0 else 0.0, current)

    # Out: called in the control thread, after the torque packet was sent -----------------------------------------

    def _publish(self, state: HandState) -> None:
        if state.current_ma is not None:
            self._current = max(self._current, float(np.abs(state.current_ma).max()))
        self._count += 1
        if self._count % self.config.publish_divisor:
            return
        model = self._model()
        stamped = dataclasses.replace(state, stamp_ns=state.stamp_ns + self._offset())
        self._states.publish(joint_state_message(model, stamped))
        if state.tactile is not None:
            self._raw.publish(raw_message(model, stamped))

    def _offset(self) -> int:
        """ROS time minus monotonic time, ns."""
        return int(self.get_clock().now().nanoseconds) - time.monotonic_ns()

    # In ---------------------------------------------------------------------------------------------------------

    def _commanded(self, message: Any) -> None:
        hand = self._hand
        if hand is None:
            return
        try:
            try:
                command = command_from_message(hand.model, message)
            except AllegroError as error:
                hand.count_refusal(error)
                raise
            stamp = command.stamp_ns - self._offset() if command.stamp_ns else 0
            hand.command(JointCommand(stamp, command.position, command.effort))
        except AllegroError as error:
            self._refused(error)

    def _planned(self, message: Any) -> None:
        hand = self._hand
        if hand is None:
            return
        try:
            try:
                now = int(self.get_clock().now().nanoseconds)
                trajectory = trajectory_from_message(hand.model, message, now, self.config.max_target_speed)
            except AllegroError as error:
                hand.count_refusal(error)
                raise
            hand.command(trajectory)
        except AllegroError as error:
            self._refused(error)

    def _refused(self, error: AllegroError) -> None:
        self.get_logger().warning(f'refused: {error}', throttle_duration_sec=_WARN_EVERY_S)

    def _enable(self, request: Any, response: Any) -> Any:
        return self._answer(response, lambda hand: hand.enable(request.data))

    def _clear_fault(self, request: Any, response: Any) -> Any:
        return self._answer(response, Hand.clear_fault)

    def _answer(self, response: Any, action: Any) -> Any:
        try:
            response.message = action(self._require())
            response.success = True
        except AllegroError as error:
            response.success, response.message = False, str(error)
        self.get_logger().info(response.message)
        return response

    def _require(self) -> Hand:
        if self._hand is None:
            raise CommandRefused('the driver is not configured yet')
        return self._hand

    def _model(self) -> HandModel:
        return self._require().model


def main(args: Sequence[str] | None = None) -> int:
    """Run the node; exit code 0, or 2 after one sentence."""
    return run(HandDriver, args)


if __name__ == '__main__':
    raise SystemExit(main())
