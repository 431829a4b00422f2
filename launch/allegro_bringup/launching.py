"""From the node list to a ROS 2 launch description. Imported by launch files only."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from allegro_description.config import Value, from_mapping, parameters
from allegro_description.model import load_hand
from allegro_description.share import share_dir
from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument, EmitEvent, ExecuteProcess, OpaqueFunction, RegisterEventHandler
from launch.event_handlers import OnProcessExit
from launch.events import Shutdown
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node

from allegro_bringup.arguments import BringupArgs
from allegro_bringup.graph import GRAPHS, NodeSpec


def launch_description(graph: str) -> LaunchDescription:
    """Every argument with its meaning and choices, and the nodes of the graph ``hand``, ``grasp`` or ``profile``."""
    declared = []
    for p in parameters(BringupArgs):
        text = f'{p.default}'.lower() if isinstance(p.default, bool) else f'{p.default}'
        choices = ['true', 'false'] if isinstance(p.default, bool) else list(p.choices) or None
        meaning = f'{p.doc}{f" [{p.unit}]" if p.unit else ""}'
        declared.append(DeclareLaunchArgument(p.name, default_value=text, description=meaning, choices=choices))
    return LaunchDescription([*declared, OpaqueFunction(function=lambda context: _actions(context, graph))])


def _actions(context: Any, graph: str) -> list[Any]:
    values: dict[str, Value] = {}
    for p in parameters(BringupArgs):
        text = LaunchConfiguration(p.name).perform(context)
        values[p.name] = _typed(text, p.default)
    args = from_mapping(BringupArgs, values)
    actions = []
    for spec in GRAPHS[graph](args):
        action = _process(spec) if not spec.name else _node(spec, args)
        actions.append(action)
        if spec.needed:
            actions.append(RegisterEventHandler(OnProcessExit(
                target_action=action, on_exit=[EmitEvent(event=Shutdown(reason=f'{spec.name} is done'))])))
    return [*actions, *(_rviz(args) if args.rviz else [])]


def _typed(text: str, default: Value) -> Value:
    if isinstance(default, bool):
        return text == 'true'
    return type(default)(text) if isinstance(default, (int, float)) else text


def _node(spec: NodeSpec, args: BringupArgs) -> Any:
    files = [args.params_file] if args.params_file else []
    return Node(
        package=spec.package, executable=spec.executable, name=spec.name, namespace=args.namespace, output='screen',
        parameters=[{**spec.parameters, 'use_sim_time': args.use_sim_time}, *files],
        arguments=['--ros-args', '--log-level', args.log_level])


def _process(spec: NodeSpec) -> Any:
    from ament_index_python.packages import get_package_prefix

    program = Path(get_package_prefix(spec.package)) / 'lib' / spec.package / spec.executable
    return ExecuteProcess(cmd=[str(program), *spec.arguments], output='screen', name=spec.executable)


def _rviz(args: BringupArgs) -> list[Any]:
    from allegro_description.urdf import build_urdf

    description = build_urdf(load_hand(args.model, args.side), args.prefix)
    return [
        Node(package='robot_state_publisher', executable='robot_state_publisher', namespace=args.namespace,
             parameters=[{'robot_description': description, 'use_sim_time': args.use_sim_time}], output='screen'),
        Node(package='rviz2', executable='rviz2', output='screen',
             arguments=['-d', str(share_dir('allegro_bringup') / 'rviz' / 'grasp.rviz')]),
    ]
