"""Kill the node ``bag_recorder`` while a publisher feeds it."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import rclpy
from allegro_description.ros.convert import to_stamp
from allegro_description.ros.interfaces import JOINT_STATES

from allegro_bench.evidence.recorder_kills import Loss, Sent, judge

_PATIENCE_S = 60.0


def node_trial(scratch: Path, number: int, generator: random.Random) -> Loss:
    """One kill of the node: of what was published, what is not in the bag."""
    folder = scratch / 'bag'
    # A namespace of its own: whoever else is on this machine's graph is neither disturbed nor recorded.
    space = f'/evidence_{os.getpid()}_{number}'
    os.environ.setdefault('ROS_AUTOMATIC_DISCOVERY_RANGE', 'LOCALHOST')
    context = rclpy.Context()
    rclpy.init(context=context)
    child = subprocess.Popen(
        [sys.executable, '-m', 'allegro_bench.nodes.bag_recorder', '--ros-args', '-p', f'output_dir:={scratch}', '-p',
         'topics:=[joint_states]', '-r', f'__ns:={space}'], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        node = rclpy.create_node('feeder', context=context, namespace=space)
        publisher = node.create_publisher(JOINT_STATES.type, JOINT_STATES.name, JOINT_STATES.publish_qos)
        end = time.monotonic() + _PATIENCE_S
        while not publisher.get_subscription_count() and time.monotonic() < end:
            time.sleep(0.01)
        message = JOINT_STATES.type(name=[f'joint_{k}_0' for k in range(16)], position=[0.0] * 16,
                                    velocity=[0.0] * 16, effort=[0.0] * 16)
        begin, sent = time.monotonic(), list[Sent]()
        until = begin + generator.uniform(0.3, 4.0)
        while time.monotonic() < until:
            now = time.time_ns()
            message.header.stamp = to_stamp(now)
            sent.append((f'{space}/{JOINT_STATES.name}', now))
            publisher.publish(message)
            time.sleep(0.003)
    finally:
        os.kill(child.pid, signal.SIGKILL)
        child.wait()
        rclpy.shutdown(context=context)
    return judge(folder, sent)
