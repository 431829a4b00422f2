"""Two hands, each in a namespace of its own, in one tree of frames; real ones or, with emulate:=true, emulated ones.

Arguments: ros2 launch allegro_bringup dual_hand.launch.py --show-args
"""

from allegro_bringup.arguments import DualArgs
from allegro_bringup.dual import dual_graph
from allegro_bringup.ros_launch import launch_description

from launch import LaunchDescription


def generate_launch_description() -> LaunchDescription:
    return launch_description(DualArgs, dual_graph)
