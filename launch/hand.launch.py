"""Hand driver and tactile publisher, of a real hand or, with emulate:=true, of an emulated one.

Arguments: ros2 launch allegro_bringup hand.launch.py --show-args
"""

from allegro_bringup.arguments import HandArgs
from allegro_bringup.graph import hand_graph
from allegro_bringup.ros_launch import launch_description

from launch import LaunchDescription


def generate_launch_description() -> LaunchDescription:
    return launch_description(HandArgs, hand_graph)
