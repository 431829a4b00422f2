"""The node list: pure data. Launch files and the runner without ROS's launch both start exactly this."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from allegro_bringup.arguments import BringupArgs

Value = bool | int | float | str


@dataclass(frozen=True, slots=True)
class NodeSpec:
    """One process.

    Attributes:
        package, executable: as ``ros2 run`` takes them.
        name: node name; '' for a process without ROS.
        parameters: ROS parameters by name; only for nodes.
        arguments: command line; only for processes without ROS.
        needed: the whole graph ends when this process ends.
    """

    package: str
    executable: str
    name: str = ''
    parameters: Mapping[str, Value] = field(default_factory=dict)
    arguments: tuple[str, ...] = ()
    needed: bool = False


def hand_address(args: BringupArgs) -> str:
    """Where the driver finds the hand."""
    if args.address or not args.emulate:
        return args.address
    return f'127.0.0.1:{args.wire_port}:{args.local_port}'


def hand_graph(args: BringupArgs) -> list[NodeSpec]:
    """The hand: emulator (if wanted), driver, tactile publisher, viewer, RViz."""
    hand: dict[str, Value] = {'model': args.model, 'side': args.side}
    specs = []
    if args.emulate:
        specs.append(NodeSpec('allegro_driver', 'hand_emulator', arguments=(
            '--model', args.model, '--side', args.side, '--port', str(args.wire_port),
            '--control-port', str(args.control_port))))
        specs.append(NodeSpec('allegro_driver', 'episode_control', 'episode_control', {
            'control_port': args.control_port, 'level': args.level, 'seed': args.seed}))
    managed: dict[str, Value] = {**hand, 'autostart': args.autostart}
    specs += [
        NodeSpec('allegro_driver', 'hand_driver', 'hand_driver', {
            **managed, 'address': hand_address(args), 'enable_on_activate': args.enable or args.emulate}),
        NodeSpec('allegro_driver', 'tactile_publisher', 'tactile_publisher', managed),
    ]
    if args.viewer:
        specs.append(NodeSpec('allegro_description', 'hand_viewer', 'hand_viewer', {**hand, 'port': args.viewer_port}))
    return specs


def grasp_graph(args: BringupArgs) -> list[NodeSpec]:
    """The hand and the policy that closes it."""
    return [
        *hand_graph(args),
        NodeSpec('allegro_ai', 'grasp_policy', 'grasp_policy', {
            'model': args.model, 'side': args.side, 'autostart': args.autostart, 'bundle': args.policy,
            'backend': args.backend, 'mode': args.mode}),
    ]


def profile_graph(args: BringupArgs) -> list[NodeSpec]:
    """Hand, policy, profiler and recorder; with the emulated hand also the episodes."""
    specs = [
        *grasp_graph(args),
        NodeSpec('allegro_bench', 'inference_profiler', 'inference_profiler', {
            'model': args.model, 'side': args.side, 'output_dir': args.output_dir}),
    ]
    if args.record:
        specs.append(NodeSpec('allegro_bench', 'bag_recorder', 'bag_recorder', {
            'model': args.model, 'side': args.side, 'output_dir': args.output_dir}))
    if args.emulate:
        specs.append(NodeSpec('allegro_bench', 'episode_runner', 'episode_runner', {
            'model': args.model, 'side': args.side, 'duration_s': args.duration, 'output_dir': args.output_dir,
            'json': True}, needed=True))
    return specs


GRAPHS: Mapping[str, Callable[[BringupArgs], list[NodeSpec]]] = {
    'hand': hand_graph, 'grasp': grasp_graph, 'profile': profile_graph,
}
