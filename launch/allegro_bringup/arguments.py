"""What can be asked of a launch, declared once: launch arguments, the runner's options and their documentation.

``hand.launch.py`` takes :class:`HandArgs`, ``grasp.launch.py`` :class:`GraspArgs`, ``profile.launch.py`` and the
runner ``allegro-demo`` :class:`ProfileArgs`; each has all the arguments of the one before. ``dual_hand.launch.py``
takes :class:`DualArgs`, ``replay.launch.py`` :class:`ReplayArgs`.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from allegro_description.config import Parameter, Value, from_mapping, parameter, parameters
from allegro_description.errors import ConfigError, UnknownName

_BOOLS = {'true': True, 'false': False}


@dataclass(frozen=True, slots=True)
class HandArgs:
    """Arguments of a hand that moves and feels."""

    model: str = parameter('v5_sense', 'hand description')
    side: str = parameter('right', 'which hand', choices=('right', 'left'))
    transport: str = parameter(
        'auto', "how the hand is connected; auto: the first link of its description", choices=('auto', 'udp', 'can'))
    address: str = parameter(
        '', 'where the hand is, IP[:PORT[:LOCAL_PORT]] or INTERFACE:CHANNEL[#DEVICE]; empty: its factory address or '
        'first CAN interface, or the emulated hand')
    emulate: bool = parameter(False, 'start an emulated hand that answers on the wire, and drive that one')
    wire_port: int = parameter(17000, 'UDP port of an emulated UDP hand', low=1024, high=65535)
    control_port: int = parameter(17001, 'UDP port of its control interface', low=1024, high=65535)
    local_port: int = parameter(18000, 'UDP port of the driver towards an emulated UDP hand', low=1024, high=65535)
    enable: bool = parameter(
        False, 'switch torque on as soon as the driver is active, as it always is with an emulated hand; else the '
        'service hand_driver/enable does')
    confirmed: str = parameter(
        '', 'what was checked on this hand because no source settles it, names separated by commas; NAME@SERIAL holds '
        'for the hand with that serial number only. A hand that asks for it gets no torque without, and says what to '
        'look at')
    namespace: str = parameter('', 'ROS namespace of all nodes, one per hand')
    prefix: str = parameter(
        '', 'put before every joint, link and frame name, in messages and robot description: two hands, one tree')
    params_file: str = parameter('', 'YAML file of node parameters; config/parameters.yaml lists them all')
    bridge: str = parameter(
        'none', "let other people's software move this hand, over the topics of Wonik's own nodes (vendor), of their "
        'ros2_control stack, or of the topic based hardware interface of ros2_control',
        choices=('none', 'vendor', 'ros2_control', 'topic_based'))
    viewer: bool = parameter(False, 'show the live hand in a browser')
    viewer_port: int = parameter(8080, 'TCP port of the browser view on 127.0.0.1', low=1024, high=65535)
    rviz: bool = parameter(False, 'start robot_state_publisher and RViz')
    use_sim_time: bool = parameter(False, 'nodes take their time from /clock')
    autostart: bool = parameter(True, 'nodes configure and activate themselves')
    retry: bool = parameter(True, 'a node that cannot start tries again; if false, it ends with the reason')
    log_level: str = parameter('info', 'least severe log message shown', choices=('debug', 'info', 'warn', 'error'))


@dataclass(frozen=True, slots=True)
class GraspArgs(HandArgs):
    """Arguments of a hand that grasps."""

    policy: str = parameter('tactile_hold_linear', 'policy bundle: a name that ships with the suite, or a folder')
    backend: str = parameter('onnxruntime', 'inference backend, see allegro-ai list')
    device: str = parameter('cpu', 'device that the backend computes on', choices=('cpu',))
    mode: str = parameter(
        'auto', 'shadow computes and commands nothing, sim commands an emulated hand, live a real one; auto: sim with '
        'emulate, else shadow', choices=('auto', 'shadow', 'sim', 'live'))


@dataclass(frozen=True, slots=True)
class ProfileArgs(GraspArgs):
    """Arguments of a grasping hand that is measured. The episodes are the emulator's, so it runs by default."""

    emulate: bool = parameter(True, 'start an emulated hand that answers on the wire, and drive that one')
    episodes: int = parameter(0, 'episodes to run; 0: as many as fit into the duration', low=0, high=100000)
    duration: float = parameter(
        60.0, 'no episode begins that would not end within this time', unit='s', low=7.0, high=86400.0)
    seed: int = parameter(0, 'seed of the first episode; the next ones count up', low=0, high=2**31 - 1)
    level: str = parameter('L2', 'how hard episodes disturb the object', choices=('L0', 'L1', 'L2', 'L3', 'L4'))
    output_dir: str = parameter('', 'folder for report, result and bag; empty: runs/<time> where it is started')
    record: bool = parameter(True, 'record every topic into a bag')


@dataclass(frozen=True, slots=True)
class DualArgs:
    """Arguments of two hands, each in a namespace of its own, in one tree of frames."""

    right_model: str = parameter('v5_sense', 'description of the first hand')
    right_side: str = parameter('right', 'side of the first hand', choices=('right', 'left'))
    right_transport: str = parameter('auto', 'link of the first hand', choices=('auto', 'udp', 'can'))
    right_address: str = parameter('', 'where the first hand is; see hand.launch.py')
    right_confirmed: str = parameter('', 'what was checked on the first hand; see hand.launch.py')
    right_mount: str = parameter(
        '0 -0.15 0 0 0 0', 'pose of its palm in the frame world: x y z roll pitch yaw, m and rad')
    left_model: str = parameter('v5_sense', 'description of the second hand')
    left_side: str = parameter('left', 'side of the second hand', choices=('right', 'left'))
    left_transport: str = parameter('auto', 'link of the second hand', choices=('auto', 'udp', 'can'))
    left_address: str = parameter('', 'where the second hand is; see hand.launch.py')
    left_confirmed: str = parameter('', 'what was checked on the second hand; see hand.launch.py')
    left_mount: str = parameter('0 0.15 0 0 0 0', 'pose of its palm in the frame world')
    right_namespace: str = parameter('right', 'namespace of the first hand; with an underscore the prefix of its names')
    left_namespace: str = parameter('left', 'namespace of the second hand; with an underscore the prefix of its names')
    emulate: bool = parameter(False, 'start two emulated hands, and drive those')
    wire_port: int = parameter(17000, 'first of the six ports of emulated hands', low=1024, high=65500)
    enable: bool = parameter(False, 'switch torque on as soon as the drivers are active')
    params_file: str = parameter('', 'YAML file of node parameters, for both hands or by namespace')
    viewer: bool = parameter(False, 'show each hand in a browser, on two ports')
    viewer_port: int = parameter(8080, 'first of the two TCP ports of the browser views', low=1024, high=65500)
    rviz: bool = parameter(False, 'start a robot_state_publisher for each hand, and RViz')
    use_sim_time: bool = parameter(False, 'nodes take their time from /clock')
    autostart: bool = parameter(True, 'nodes configure and activate themselves')
    retry: bool = parameter(True, 'a node that cannot start tries again; if false, it ends with the reason')
    log_level: str = parameter('info', 'least severe log message shown', choices=('debug', 'info', 'warn', 'error'))


@dataclass(frozen=True, slots=True)
class ReplayArgs:
    """Arguments of a recording played to the policy node and the profiler. Nothing is commanded, nothing moves."""

    bag: str = parameter('', 'folder or file of the bag')
    model: str = parameter('v5_sense', 'hand description')
    side: str = parameter('right', 'which hand', choices=('right', 'left'))
    prefix: str = parameter('', 'before joint and frame names in the recording')
    from_namespace: str = parameter('', "namespace of the hand's topics in the recording")
    namespace: str = parameter('', 'ROS namespace of all nodes')
    policy: str = parameter('tactile_hold_linear', 'policy bundle: a name that ships with the suite, or a folder')
    backend: str = parameter('onnxruntime', 'inference backend, see allegro-ai list')
    device: str = parameter('cpu', 'device that the backend computes on', choices=('cpu',))
    rate: float = parameter(1.0, 'seconds of the recording in one second', low=0.01, high=100.0)
    loop: bool = parameter(False, 'begin again at the end, for ever')
    start: float = parameter(0.0, 'place to begin at', unit='s', low=0.0, high=1e6)
    profile: bool = parameter(True, 'measure the policy while it runs, and write report and result at the end')
    output_dir: str = parameter('', 'folder for report and result; empty: runs/<time> where it is started')
    params_file: str = parameter('', 'YAML file of node parameters; config/parameters.yaml lists them all')
    viewer: bool = parameter(False, 'show the recorded hand in a browser')
    viewer_port: int = parameter(8080, 'TCP port of the browser view on 127.0.0.1', low=1024, high=65535)
    log_level: str = parameter('info', 'least severe log message shown', choices=('debug', 'info', 'warn', 'error'))


Args = TypeVar('Args', HandArgs, GraspArgs, ProfileArgs, DualArgs, ReplayArgs)


def launch_default(declared: Parameter) -> str:
    """Return a default as launch arguments want it: text, ``true`` and ``false`` in lower case."""
    return str(declared.default).lower() if isinstance(declared.default, bool) else str(declared.default)


def launch_choices(declared: Parameter) -> tuple[str, ...] | None:
    """Return the allowed texts, or None where anything of the right kind is allowed."""
    return tuple(_BOOLS) if isinstance(declared.default, bool) else declared.choices or None


def description(declared: Parameter) -> str:
    """Return meaning, unit and range in one line."""
    ranged = f' ({declared.allowed()}' if declared.low is not None or declared.high is not None else ''
    unit = f' {declared.unit})' if ranged and declared.unit else ')' if ranged else ''
    return f'{declared.doc}{ranged}{unit}'


def from_texts(args_class: type[Args], texts: Mapping[str, str]) -> Args:
    """Build arguments from texts, as launch files and shells hand them over.

    Raises:
        UnknownName: an argument that does not exist.
        ConfigError: a value of the wrong kind, or outside its range.
    """
    known = {declared.name: declared for declared in parameters(args_class)}
    values: dict[str, Any] = {}
    for name, text in texts.items():
        if name not in known:
            raise UnknownName('argument', name, known)
        values[name] = _value(known[name], text)
    return from_mapping(args_class, values)


def add_options(parser: argparse.ArgumentParser, args_class: type[Args], defaults: Mapping[str, Value]) -> None:
    """Add one ``--option`` per argument to a command line; ``defaults`` outrank those of the launch file."""
    for declared in parameters(args_class):
        shown = defaults.get(declared.name, declared.default)
        text = str(shown).lower() if isinstance(shown, bool) else str(shown)
        choices = launch_choices(declared)
        parser.add_argument(
            '--' + declared.name.replace('_', '-'), default=text, choices=choices,
            metavar=None if choices else declared.kind.upper(),
            help=(description(declared) + (f' (default: {text})' if text else '')).replace('%', '%%'),
        )


def _value(declared: Parameter, text: str) -> Value:
    try:
        if isinstance(declared.default, bool):
            return _BOOLS[text.strip().lower()]
        if isinstance(declared.default, (int, float)):
            return type(declared.default)(text)
    except (KeyError, ValueError):
        choices = launch_choices(declared)
        allowed = 'one of ' + ', '.join(choices) if choices else declared.allowed()
        raise ConfigError(f'argument {declared.name!r} is {text!r}; allowed: {allowed}') from None
    return text
