"""Commands a running ``hand_driver`` node as a policy would, writes down its diagnostics, clears its faults.

``python -m allegro_driver.evidence.nodes.commander v4_right``: a pose at 50 Hz (:func:`..moved_hand.wave`); lines of
JSON on standard output.
"""

from __future__ import annotations

import sys
import time
from typing import Any

import rclpy
from allegro_description.errors import AllegroError
from allegro_description.model import load_hand
from allegro_description.ros.interfaces import DIAGNOSTICS, JOINT_COMMANDS
from rclpy.clock import Clock, ClockType
from rclpy.executors import ExternalShutdownException
from std_srvs.srv import Trigger

from allegro_driver.evidence.moved_hand import PERIOD_S, say, wave


def main() -> int:
    """Command until a signal comes; returns the exit code."""
    try:
        model = load_hand(*sys.argv[1].rsplit('_', 1))
    except AllegroError as error:
        print(f'commander: {error}', file=sys.stderr)
        return 2
    rclpy.init()
    node = rclpy.create_node('commander')
    out = node.create_publisher(JOINT_COMMANDS.type, JOINT_COMMANDS.name, JOINT_COMMANDS.publish_qos)
    message, begin = JOINT_COMMANDS.type(), time.monotonic()
    message.name = list(model.joint_names)

    clear = node.create_client(Trigger, 'hand_driver/clear_fault')

    def tick() -> None:
        message.position = wave(model, time.monotonic() - begin).tolist()
        out.publish(message)

    def heard(array: Any) -> None:
        for status in array.status:
            if 'hand_driver' in status.name:
                values = {pair.key: pair.value for pair in status.values}
                say('diagnostics', message=status.message, **values)
                if values.get('state') == 'fault':
                    say('fault', reason=values.get('reason', ''))
                    clear.call_async(Trigger.Request())

    node.create_subscription(DIAGNOSTICS.type, DIAGNOSTICS.name, heard, DIAGNOSTICS.subscribe_qos)
    node.create_timer(PERIOD_S, tick, clock=Clock(clock_type=ClockType.STEADY_TIME))
    try:
        rclpy.spin(node)
    except (KeyboardInterrupt, ExternalShutdownException):
        pass
    finally:
        rclpy.try_shutdown()
    return 0


if __name__ == '__main__':
    sys.exit(main())
