"""A recording played to the policy node and the profiler, as if it happened now; nothing is commanded.

Arguments: ros2 launch allegro_bringup replay.launch.py --show-args
"""

from allegro_bringup.arguments import ReplayArgs
from allegro_bringup.replaying import replay_graph
from allegro_bringup.ros_launch import launch_description

from launch import LaunchDescription


def generate_launch_description() -> LaunchDescription:
    return launch_description(ReplayArgs, replay_graph)
