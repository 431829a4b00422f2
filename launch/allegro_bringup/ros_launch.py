"""The graph as launch actions, for ``ros2 launch``. The only module that imports ``launch``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from allegro_description.config import parameters
from allegro_description.errors import AllegroError
from launch.actions import DeclareLaunchArgument, EmitEvent, ExecuteProcess, LogInfo, OpaqueFunction
from launch.events import Shutdown
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node

from allegro_bringup.arguments import Args, description, from_texts, launch_choices, launch_default
from allegro_bringup.environment import find_executable
from allegro_bringup.graph import NodeSpec, ProcessSpec, Spec
from allegro_bringup.runs import with_output_dir
from launch import LaunchContext, LaunchDescription


def launch_description(args_class: type[Args], graph: Callable[[Args], tuple[Spec, ...]]) -> LaunchDescription:
    """Return the declared arguments, and the actions that their values lead to."""

    def actions(context: LaunchContext) -> list[Any]:
        texts = {p.name: LaunchConfiguration(p.name).perform(context) for p in parameters(args_class)}
        try:
            args = with_output_dir(from_texts(args_class, texts))
            return [action(spec) for spec in graph(args)]
        except AllegroError as error:
            return [LogInfo(msg=f'cannot launch: {error}'), EmitEvent(event=Shutdown(reason='wrong arguments'))]

    declared: list[Any] = [
        DeclareLaunchArgument(
            p.name, default_value=launch_default(p), description=description(p), choices=launch_choices(p)
        )
        for p in parameters(args_class)
    ]
    return LaunchDescription([*declared, OpaqueFunction(function=actions)])


def action(spec: Spec) -> Any:
    """Return the launch action of one specification."""
    # Whoever closes RViz wants to close RViz: only what the rest cannot do without takes everything down.
    ends = isinstance(spec, NodeSpec) and spec.ends_run
    on_exit = None
    if spec.required or ends:
        reason = f'{spec.name} is through' if ends else f'{spec.name} ended'
        on_exit = [EmitEvent(event=Shutdown(reason=reason))]
    if isinstance(spec, ProcessSpec):
        return ExecuteProcess(
            cmd=[*find_executable(spec.package, spec.executable), *spec.arguments],
            name=spec.name, output='screen', on_exit=on_exit,
        )
    return Node(
        package=spec.package,
        executable=spec.executable,
        name=spec.name,
        namespace=spec.namespace or None,
        parameters=[*spec.params_files, dict(spec.parameters)],
        arguments=list(spec.arguments),
        ros_arguments=['--log-level', spec.log_level],
        output='screen',
        on_exit=on_exit,
        # A report may take longer than the five seconds that launch gives by default.
        sigterm_timeout='30' if spec.writes_files else '5',
    )
