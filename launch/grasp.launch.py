"""A hand with a grasp policy.

Arguments: ros2 launch allegro_bringup grasp.launch.py --show-args
"""

from allegro_bringup.arguments import GraspArgs
from allegro_bringup.graph import grasp_graph
from allegro_bringup.ros_launch import launch_description

from launch import LaunchDescription


def generate_launch_description() -> LaunchDescription:
    return launch_description(GraspArgs, grasp_graph)
