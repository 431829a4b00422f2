"""The hand's description in RViz, with a slider per joint: no hand and no driver needed.

ros2 launch allegro_description view_hand.launch.py [model:=v5_sense] [side:=right] [prefix:=left_]

Needs robot_state_publisher, joint_state_publisher_gui and rviz2. Without RViz: hand_viewer --sliders.
"""

import sys

from launch.actions import DeclareLaunchArgument, Shutdown
from launch.substitutions import Command, LaunchConfiguration, PathJoinSubstitution
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterValue

from launch import LaunchDescription

ARGUMENTS = (
    ('model', 'v5_sense', 'hand model'),
    ('side', 'right', 'right or left'),
    ('prefix', '', 'put before every link and joint name'),
)


def generate_launch_description() -> LaunchDescription:
    from allegro_description.share import share_dir

    describe = [sys.executable, ' -m allegro_description.robot_description']
    for name, _, _ in ARGUMENTS:
        describe += [f' --{name}=', LaunchConfiguration(name)]
    description = ParameterValue(Command(describe), value_type=str)
    config = PathJoinSubstitution([str(share_dir()), 'rviz', 'hand.rviz'])
    return LaunchDescription([
        *(DeclareLaunchArgument(name, default_value=value, description=text) for name, value, text in ARGUMENTS),
        Node(package='robot_state_publisher', executable='robot_state_publisher',
             parameters=[{'robot_description': description}]),
        Node(package='joint_state_publisher_gui', executable='joint_state_publisher_gui'),
        Node(package='rviz2', executable='rviz2', on_exit=Shutdown(),
             arguments=['-d', config, '-f', [LaunchConfiguration('prefix'), 'palm_link']]),
    ])
