"""Keeps a running ``grasp_policy`` grasping, and counts what it commands.

``python -m allegro_driver.evidence.nodes.grasper`` asks for a grasp again whenever none is under way. It writes the
number of commands it has seen and the state of the driver as a line of JSON each second.
"""

from __future__ import annotations

import sys
from typing import Any

import rclpy
from allegro_description.ros.interfaces import DIAGNOSTICS, JOINT_COMMANDS
from rclpy.clock import Clock, ClockType
from rclpy.executors import ExternalShutdownException
from std_srvs.srv import Trigger

from allegro_driver.evidence.moved_hand import say

_PERIOD_S = 1.0


class Grasper:
    """What the companion does on its node."""

    def __init__(self, node: Any) -> None:
        """Create the client, the subscription and the timer on ``node``."""
        self._grasp = node.create_client(Trigger, 'grasp_policy/grasp')
        self._commands, self._answer, self._state = 0, '', ''
        node.create_subscription(DIAGNOSTICS.type, DIAGNOSTICS.name, self._diagnosed, DIAGNOSTICS.subscribe_qos)
        node.create_subscription(JOINT_COMMANDS.type, JOINT_COMMANDS.name, self._heard, JOINT_COMMANDS.subscribe_qos)
        node.create_timer(_PERIOD_S, self._tick, clock=Clock(clock_type=ClockType.STEADY_TIME))

    def _heard(self, message: Any) -> None:
        self._commands += 1

    def _diagnosed(self, message: Any) -> None:
        for status in message.status:
            if status.name == 'hand_driver: status':
                self._state = next((pair.value for pair in status.values if pair.key == 'state'), '')

    def _tick(self) -> None:
        say('commands', count=self._commands, answer=self._answer, state=self._state)
        if self._grasp.service_is_ready():  # refused while a grasp is under way
            self._grasp.call_async(Trigger.Request()).add_done_callback(self._answered)

    def _answered(self, future: Any) -> None:
        self._answer = future.result().message


def main() -> int:
    """Run until a signal comes; returns the exit code."""
    rclpy.init()
    node = rclpy.create_node('grasper')
    Grasper(node)
    try:
        rclpy.spin(node)
    except (KeyboardInterrupt, ExternalShutdownException):
        pass
    finally:
        rclpy.try_shutdown()
    return 0


if __name__ == '__main__':
    sys.exit(main())
