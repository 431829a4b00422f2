"""A hand with a grasp policy, put through episodes, measured and recorded.

Arguments: ros2 launch allegro_bringup profile.launch.py --show-args
"""

from allegro_bringup.arguments import ProfileArgs
from allegro_bringup.graph import profile_graph
from allegro_bringup.ros_launch import launch_description

from launch import LaunchDescription


def generate_launch_description() -> LaunchDescription:
    return launch_description(ProfileArgs, profile_graph)
