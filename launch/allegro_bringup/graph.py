"""Which processes make up a hand, a grasping hand and a measured hand: the one list behind both ways to start them.

``*.launch.py`` turns these specifications into launch actions (:mod:`allegro_bringup.ros_launch`), the runner for
machines without ``ros2 launch`` turns them into child processes (:mod:`allegro_bringup.processes`). Nothing here
starts anything or imports ROS.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from allegro_description.config import Value
from allegro_description.errors import ConfigError
from allegro_description.model import load_hand
from allegro_description.prefix import prefixed
from allegro_description.share import share_dir
from allegro_driver.permission import read_confirmed

from allegro_bringup.arguments import GraspArgs, HandArgs, ProfileArgs

LOOPBACK = '127.0.0.1'


@dataclass(frozen=True, slots=True)
class ProcessSpec:
    """A process without ROS.

    Attributes:
        package: ROS package it belongs to.
        executable: its name in that package.
        name: how logs and messages call it.
        arguments: command line.
        required: the rest cannot go on without it.
    """

    package: str
    executable: str
    name: str
    arguments: tuple[str, ...] = ()
    required: bool = True


@dataclass(frozen=True, slots=True)
class NodeSpec:
    """A ROS node in a process of its own.

    Attributes:
        package: ROS package it belongs to.
        executable: its name in that package, and the node's name.
        namespace: ROS namespace, without leading slash; empty for the root.
        parameters: values that outrank those of the files.
        params_files: YAML files of parameters, the later ones outrank.
        arguments: command line before the ROS arguments.
        log_level: least severe log message.
        required: the rest cannot go on without it.
        in_loop: the hand's motion waits for it, so it should not wait for others.
        commands_hand: it sends torque to the hand, so it is the first to be stopped in a hurry.
        writes_files: it completes files when it is stopped, so it is given time to.
        ends_run: when it is through, the run is over.
    """

    package: str
    executable: str
    namespace: str = ''
    parameters: Mapping[str, Value] = field(default_factory=dict)
    params_files: tuple[str, ...] = ()
    arguments: tuple[str, ...] = ()
    log_level: str = 'info'
    required: bool = True
    in_loop: bool = False
    commands_hand: bool = False
    writes_files: bool = False
    ends_run: bool = False

    @property
    def name(self) -> str:
        """Node name."""
        return self.executable


Spec = ProcessSpec | NodeSpec


def hand_graph(args: HandArgs) -> tuple[Spec, ...]:
    """Driver and, where the hand feels, tactile publisher; the emulated hand before them, viewers after them.

    Raises:
        UnknownName: no such hand, or something confirmed that it does not ask for.
        ConfigError: arguments that exclude each other, or a parameter file that does not exist.
    """
    model = load_hand(args.model, args.side)
    driver: dict[str, Value] = {
        **_managed(args), 'link': link_of(args), 'address': hand_address(args),
        'enable_on_activate': args.enable or args.emulate,
    }
    read_confirmed(model, args.confirmed)
    if args.confirmed:  # else a file of parameters may say it
        driver['confirmed'] = args.confirmed
    if args.emulate:
        # What an operator has to look at on a real hand is so by construction on an emulated one.
        driver['confirmed'] = ','.join(model.confirm)
    specs: list[Spec] = [emulator(args)] if args.emulate else []
    specs.append(NodeSpec(
        'allegro_driver', 'hand_driver', parameters=driver, in_loop=True, commands_hand=True, **_shared(args)))
    if model.taxels:
        specs.append(NodeSpec(
            'allegro_driver', 'tactile_publisher', parameters=_managed(args), in_loop=True, **_shared(args)))
    if args.bridge != 'none':
        bridge = {**_hand(args), 'dialect': args.bridge}
        specs.append(NodeSpec(
            'allegro_driver', 'vendor_bridge', parameters=bridge, in_loop=True, required=False, **_shared(args)))
    if args.viewer:
        viewer = {**_hand(args), 'port': args.viewer_port}
        specs.append(
            NodeSpec('allegro_description', 'hand_viewer', parameters=viewer, required=False, **_shared(args)))
    if args.rviz:
        specs.extend(_rviz(args))
    return tuple(specs)


def grasp_graph(args: GraspArgs) -> tuple[Spec, ...]:
    """Return the hand and the policy that moves it.

    Raises:
        UnknownName, ConfigError: as :func:`hand_graph`; also a mode that does not fit the hand.
    """
    policy = {**_managed(args), 'policy': args.policy, 'backend': args.backend, 'mode': policy_mode(args)}
    return (*hand_graph(args), NodeSpec('allegro_ai', 'grasp_policy', parameters=policy, in_loop=True, **_shared(args)))


def profile_graph(args: ProfileArgs) -> tuple[Spec, ...]:
    """Return the grasping hand, the episodes it is put through, and what measures and records them.

    Raises:
        UnknownName, ConfigError: as :func:`grasp_graph`; also an empty ``output_dir``.
    """
    if not args.output_dir:
        raise ConfigError('output_dir is empty; give the folder that report, result and bag go to')
    files = {**_hand(args), 'output_dir': args.output_dir}
    specs = [
        *grasp_graph(args),
        NodeSpec('allegro_bench', 'inference_profiler', parameters=files, writes_files=True, **_shared(args)),
    ]
    if args.record:
        specs.append(NodeSpec('allegro_bench', 'bag_recorder', parameters=files, writes_files=True, **_shared(args)))
    if args.emulate:
        control = {**_hand(args), 'control_port': args.control_port, 'seed': args.seed, 'level': args.level}
        runner = {**files, 'episodes': args.episodes, 'duration_s': args.duration, 'json': True}
        specs.append(NodeSpec('allegro_driver', 'episode_control', parameters=control, **_shared(args)))
        specs.append(NodeSpec('allegro_bench', 'episode_runner', parameters=runner, ends_run=True, **_shared(args)))
    return tuple(specs)


def link_of(args: HandArgs) -> str:
    """Which link of the hand is used.

    Raises:
        UnknownName: no such hand.
        ConfigError: this hand has no such link.
    """
    model = load_hand(args.model, args.side)
    link = next(iter(model.protocol)) if args.transport == 'auto' else args.transport
    if link not in model.protocol:
        raise ConfigError(f'transport is {link!r}, but {model.name} has only: {", ".join(model.protocol)}')
    return link


def emulator(args: HandArgs) -> ProcessSpec:
    """Return the emulated hand on this machine: a UDP port, or a pseudo-terminal that is a serial CAN adapter."""
    if link_of(args) == 'udp':
        wire: tuple[str, ...] = ('--wire', 'udp', '--host', LOOPBACK, '--port', str(args.wire_port))
    else:
        wire = ('--wire', 'slcan', '--pty-link', str(terminal(args)))
    return ProcessSpec(
        'allegro_driver', 'hand_emulator', 'hand_emulator',
        ('--model', args.model, '--side', args.side, *wire, '--control-port', str(args.control_port)),
    )


def terminal(args: HandArgs) -> Path:
    """Where an emulated CAN hand is plugged in: a name of its own for each control port of each user."""
    return Path(tempfile.gettempdir()) / f'allegro-can-{os.getuid()}-{args.control_port}'


def hand_address(args: HandArgs) -> str:
    """Where the driver looks for the hand.

    Raises:
        ConfigError: an address was given although the hand is emulated.
    """
    if not args.emulate:
        return args.address
    if args.address:
        raise ConfigError(
            f'address is {args.address!r} but emulate is true: set emulate to false for a real hand at that address, '
            'or leave the address empty for an emulated one'
        )
    if link_of(args) == 'udp':
        return f'{LOOPBACK}:{args.wire_port}:{args.local_port}'
    default = str(load_hand(args.model, args.side).protocol['can']['default_address'])
    _, mark, device = default.partition('#')
    return f'slcan:{terminal(args)}{mark}{device}'


def policy_mode(args: GraspArgs) -> str:
    """Which mode the policy node is told. A policy moves a real hand only if that was said in so many words.

    Raises:
        ConfigError: ``live`` with an emulated hand, or ``sim`` with a real one.
    """
    if args.mode == 'auto':
        return 'sim' if args.emulate else 'shadow'
    if args.mode == ('live' if args.emulate else 'sim'):
        raise ConfigError(
            f'mode is {args.mode!r} but emulate is {str(args.emulate).lower()}: '
            'sim moves emulated hands, live real ones')
    return args.mode


def _hand(args: HandArgs) -> dict[str, Value]:
    return {'model': args.model, 'side': args.side, 'prefix': args.prefix, 'use_sim_time': args.use_sim_time}


def _managed(args: HandArgs) -> dict[str, Value]:
    return {**_hand(args), 'autostart': args.autostart, 'retry': args.retry}


def _shared(args: HandArgs) -> dict[str, Any]:
    return {
        'namespace': args.namespace.strip('/'), 'params_files': params_files(args.params_file),
        'log_level': args.log_level,
    }


def params_files(name: str) -> tuple[str, ...]:
    """Absolute path of the file of parameters, if one is named.

    Raises:
        ConfigError: it does not exist.
    """
    if not name:
        return ()
    path = Path(name).expanduser()
    if not path.is_file():
        template = share_dir('allegro_bringup') / 'config' / 'parameters.yaml'
        raise ConfigError(f'params_file {str(path)!r} does not exist; a copy of {template} is a good start')
    return (str(path.resolve()),)


def state_publisher(args: HandArgs, root: str = '', pose: Sequence[float] = ()) -> NodeSpec:
    """Return robot_state_publisher with this hand's description; with ``root``, mounted there (see ``mounted``).

    Raises:
        ConfigError: the folder of the visual meshes cannot be written.
    """
    from allegro_description.meshes.files import CACHE, folder_named, write_meshes
    from allegro_description.mounting import mounted
    from allegro_description.urdf import build_urdf

    model = load_hand(args.model, args.side)
    urdf = build_urdf(model, args.prefix, visuals=write_meshes(model, folder_named(CACHE)))
    if root:
        urdf = mounted(urdf, root, pose)
    return NodeSpec(
        'robot_state_publisher', 'robot_state_publisher', required=False,
        parameters={'robot_description': urdf, 'use_sim_time': args.use_sim_time}, **_shared(args))


def _rviz(args: HandArgs) -> tuple[NodeSpec, NodeSpec]:
    config = share_dir('allegro_bringup') / 'rviz' / 'hand.rviz'
    palm = prefixed(load_hand(args.model, args.side), args.prefix).palm
    return (
        state_publisher(args),
        NodeSpec('rviz2', 'rviz2', parameters={'use_sim_time': args.use_sim_time}, required=False,
                 arguments=('-d', str(config), '-f', palm), **_shared(args)),
    )
