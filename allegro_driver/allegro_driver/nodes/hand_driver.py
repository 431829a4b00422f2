"""ROS 2 node ``hand_driver``: one hand, from the wire to topics and back."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from allegro_description.errors import AllegroError, CommandRefused
from allegro_description.model import HandModel, load_hand
from allegro_description.prefix import prefixed
from allegro_description.ros.interfaces import GRAVITY, JOINT_COMMANDS, JOINT_TRAJECTORY, MOTION
from allegro_description.ros.node import Diagnosis, ManagedNode, run
from allegro_description.ros.received import CommandReader
from allegro_description.state import JointCommand
from std_srvs.srv import SetBool, Trigger

from allegro_driver.config import DriverConfig
from allegro_driver.control.safety import State
from allegro_driver.diagnosis import diagnose
from allegro_driver.hand import Hand
from allegro_driver.hardware import make_hardware
from allegro_driver.nodes.hand_publisher import HandPublisher
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
        self._named: HandModel | None = None
        self._reader: CommandReader | None = None
        self._seen, self._told = (0, 0), ''
        self._warn_from = 0.0
        self._publisher = HandPublisher(self)
        for topic, callback in ((JOINT_COMMANDS, self._commanded), (JOINT_TRAJECTORY, self._planned),
                                (MOTION, self._asked), (GRAVITY, self._felt)):
            self.create_subscription(topic.type, topic.name, self._guarded(callback), topic.subscribe_qos,
                                     raw=topic is JOINT_COMMANDS)
        self.create_service(SetBool, '~/enable', self._enable)
        self.create_service(Trigger, '~/clear_fault', self._clear_fault)

    # Life -------------------------------------------------------------------------------------------------------

    def configure_hand(self) -> None:
        """Connect and identify."""
        model = load_hand(self.config.model, self.config.side)
        self._named = prefixed(model, self.config.prefix)
        self._reader = CommandReader(self._named)
        self._publisher.begin(self._named, self.config.publish_divisor)
        hand = self._hand = Hand(make_hardware(model, self.config), model, self.config)
        identity = hand.hardware.open()
        self.hardware_id = identity.serial or model.name
        for warning in identity.warnings:
            self.get_logger().warning(warning)
        self.get_logger().info(f'{model.name}, serial {identity.serial or "unknown"}, {identity.version}')
        hand.add_listener(self._publisher.publish)

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
        share = 100.0 * min(on_time / frames, 1.0) if frames > 0 else 0.0
        fault = hand.status().reason if hand.state is State.FAULT else ''
        if fault not in ('', self._told):
            self.get_logger().error(f'fault, torque is off: {fault} (hand_driver/clear_fault ends it)')
        self._told = fault
        return diagnose(hand, report, share, self._publisher.take_current())

    # In ---------------------------------------------------------------------------------------------------------

    def _guarded(self, callback: Callable[[Hand, HandModel, Any], None]) -> Callable[[Any], None]:
        def received(message: Any) -> None:
            hand, named = self._hand, self._named
            if hand is None or named is None:
                return
            try:
                callback(hand, named, message)
            except AllegroError as error:
                self._refused(error)

        return received

    def _commanded(self, hand: Hand, named: HandModel, data: bytes) -> None:
        assert self._reader is not None
        with hand.counting_refusals():
            command = self._reader.read(data)
        if command.stamp_ns:
            stamp = command.stamp_ns - self._publisher.offset_ns()
            command = JointCommand(stamp, command.position, command.effort)
        hand.command(command)

    def _planned(self, hand: Hand, named: HandModel, message: Any) -> None:
        with hand.counting_refusals():
            now = int(self.get_clock().now().nanoseconds)
            trajectory = trajectory_from_message(named, message, now, self.config.max_target_speed)
        hand.command(trajectory)

    def _asked(self, hand: Hand, named: HandModel, message: Any) -> None:
        self.get_logger().info(hand.play(message.data))

    def _felt(self, hand: Hand, named: HandModel, message: Any) -> None:
        if message.header.frame_id not in ('', named.palm):
            raise CommandRefused(
                f'gravity in frame {message.header.frame_id!r}; needed: in {named.palm!r}, the palm of this hand')
        vector = message.vector
        hand.set_gravity(np.array([vector.x, vector.y, vector.z]))

    def _refused(self, error: AllegroError) -> None:
        # Not left to the logger: to find out that it shall say nothing, that one looks for its caller's source file.
        now = time.monotonic()
        if now >= self._warn_from:
            self._warn_from = now + _WARN_EVERY_S
            self.get_logger().warning(f'refused: {error}')

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


def main(args: Sequence[str] | None = None) -> int:
    """Run the node; exit code 0, or 2 after one sentence."""
    return run(HandDriver, args)


if __name__ == '__main__':
    raise SystemExit(main())
