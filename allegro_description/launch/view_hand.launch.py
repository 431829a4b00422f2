"""The hand's description in RViz, with a slider per joint: no hand and no driver needed.

ros2 launch allegro_description view_hand.launch.py [model:=v5_sense] [side:=right] [prefix:=left_] [meshes:=cache]

Needs robot_state_publisher, joint_state_publisher_gui and rviz2. Without RViz: hand_viewer --sliders.
"""

from launch.actions import DeclareLaunchArgument, EmitEvent, LogInfo, OpaqueFunction, Shutdown
from launch.events import Shutdown as ShutdownEvent
from launch_ros.actions import Node

from launch import LaunchContext, LaunchDescription, LaunchDescriptionEntity

ARGUMENTS = (
    ('model', 'v5_sense', 'hand model'),
    ('side', 'right', 'right or left'),
    ('prefix', '', 'put before every link and joint name'),
    ('meshes', 'cache', 'folder for the visual meshes; cache: one of this user; empty: plain shapes'),
)


def generate_launch_description() -> LaunchDescription:
    return LaunchDescription([
        *(DeclareLaunchArgument(name, default_value=value, description=text) for name, value, text in ARGUMENTS),
        OpaqueFunction(function=view),
    ])


def view(context: LaunchContext) -> list[LaunchDescriptionEntity]:
    from allegro_description.errors import AllegroError
    from allegro_description.meshes.files import folder_named, write_meshes
    from allegro_description.model import load_hand
    from allegro_description.share import share_dir
    from allegro_description.urdf import build_urdf

    given = {name: context.launch_configurations[name] for name, _, _ in ARGUMENTS}
    try:
        model = load_hand(given['model'], given['side'])
        visuals = write_meshes(model, folder_named(given['meshes'])) if given['meshes'] else None
    except AllegroError as error:
        return [LogInfo(msg=f'cannot launch: {error}'), EmitEvent(event=ShutdownEvent(reason='wrong arguments'))]
    urdf = build_urdf(model, given['prefix'], visuals=visuals)
    config = share_dir() / 'rviz' / 'hand.rviz'
    return [
        Node(package='robot_state_publisher', executable='robot_state_publisher',
             parameters=[{'robot_description': urdf}]),
        Node(package='joint_state_publisher_gui', executable='joint_state_publisher_gui'),
        Node(package='rviz2', executable='rviz2', on_exit=Shutdown(),
             arguments=['-d', str(config), '-f', given['prefix'] + model.palm]),
    ]
