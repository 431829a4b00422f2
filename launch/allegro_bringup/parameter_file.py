"""Write ``config/parameters.yaml``: every parameter of every node with meaning, range and default, to copy and edit.

``python -m allegro_bringup.parameter_file > launch/config/parameters.yaml`` after a configuration class has changed; a
test fails until that was done.
"""

from __future__ import annotations

import importlib
from typing import Any

import yaml
from allegro_description.config import Parameter, defaults, parameters

CONFIGURATIONS = {
    'hand_driver': 'allegro_driver.config:DriverConfig',
    'tactile_publisher': 'allegro_driver.config:TactileConfig',
    'vendor_bridge': 'allegro_driver.bridge_config:BridgeConfig',
    'episode_control': 'allegro_driver.emulator.config:EpisodeControlConfig',
    'grasp_policy': 'allegro_ai.config:GraspPolicyConfig',
    'inference_profiler': 'allegro_bench.config:ProfilerConfig',
    'episode_runner': 'allegro_bench.config:RunnerConfig',
    'bag_recorder': 'allegro_bench.config:RecorderConfig',
    'bag_player': 'allegro_bench.config:PlayerConfig',
    'hand_viewer': 'allegro_description.nodes.viewer_node:ViewerConfig',
}
"""Node name to its configuration class."""

HEAD = """\
# All parameters of all nodes, with their defaults: copy this file, keep what you change, and give it to a launch file
# (ros2 launch allegro_bringup grasp.launch.py params_file:=mine.yaml) or to the runner (allegro-demo --params-file).
# What is also a launch argument (model, side, address, policy …) is set by that argument and left out here.
"""

LAUNCH_SETS = {
    'hand_driver': {'model', 'side', 'prefix', 'link', 'address', 'enable_on_activate', 'confirmed'},
    'tactile_publisher': {'model', 'side', 'prefix'},
    'vendor_bridge': {'model', 'side', 'prefix', 'dialect'},
    'episode_control': {'model', 'side', 'prefix', 'control_port', 'seed', 'level'},
    'grasp_policy': {'model', 'side', 'prefix', 'policy', 'backend', 'mode'},
    'inference_profiler': {'model', 'side', 'prefix', 'output_dir'},
    'episode_runner': {'model', 'side', 'prefix', 'output_dir', 'episodes', 'duration_s', 'json'},
    'bag_recorder': {'model', 'side', 'prefix', 'output_dir'},
    'bag_player': {'bag', 'live', 'commands', 'drive', 'rate', 'loop', 'start_s', 'from_namespace'},
    'hand_viewer': {'model', 'side', 'prefix', 'port'},
}
"""Parameters that the graph sets, by node."""


def configuration(node: str) -> type[Any]:
    """Return the configuration class of a node."""
    module, _, name = CONFIGURATIONS[node].partition(':')
    found: type[Any] = getattr(importlib.import_module(module), name)
    return found


def text() -> str:
    """Return the content of the file."""
    parts = [HEAD]
    for node in CONFIGURATIONS:
        config = configuration(node)
        values = defaults(config)
        own = [declared for declared in parameters(config) if declared.name not in LAUNCH_SETS[node]]
        if own:
            parts.append(f'\n/**/{node}:\n  ros__parameters:\n')
        for declared in own:
            parts.append(f'    # {_explained(declared)}\n')
            parts.append(_indented({declared.name: values[declared.name]}))
    return ''.join(parts)


def _explained(declared: Parameter) -> str:
    limited = declared.choices or declared.low is not None or declared.high is not None
    facts = [declared.allowed() if limited else '', declared.unit, 'live' if declared.live else '']
    listed = '; '.join(fact for fact in facts if fact)
    return f'{declared.doc}{f" [{listed}]" if listed else ""}'


def _indented(value: dict[str, Any]) -> str:
    dumped = yaml.safe_dump(value, allow_unicode=True)
    return ''.join(f'    {line}\n' for line in dumped.splitlines())


if __name__ == '__main__':
    print(text(), end='')
