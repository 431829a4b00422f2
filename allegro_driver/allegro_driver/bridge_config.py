"""Parameters of the node ``vendor_bridge``, declared once."""

from __future__ import annotations

from dataclasses import dataclass

from allegro_description.config import parameter

VENDOR, ROS2_CONTROL, TOPIC_BASED = 'vendor', 'ros2_control', 'topic_based'
TO_DRIVER, TO_VENDOR = 'to_driver', 'to_vendor'


@dataclass(frozen=True, slots=True)
class BridgeConfig:
    """Whose topics, which way, and how long a command of a client that sends once is kept up."""

    model: str = parameter('v5_sense', 'hand model, the first part of a description in hands/')
    side: str = parameter('right', 'which hand it is', choices=('right', 'left'))
    prefix: str = parameter('', 'prefix of our joint names, as of the driver')
    dialect: str = parameter(
        VENDOR, "vendor: topics of Wonik's V5 and V5 Sense nodes; ros2_control: of their ros2_control stack; "
        'topic_based: the pair of topics of the topic based hardware interface of ros2_control',
        choices=(VENDOR, ROS2_CONTROL, TOPIC_BASED))
    direction: str = parameter(
        TO_DRIVER, 'to_driver: their clients move our hand; to_vendor: our clients move a hand behind their driver',
        choices=(TO_DRIVER, TO_VENDOR))
    number: int = parameter(0, 'vendor: NUM of their topics allegroHand_<NUM>/', low=0, high=99)
    joint_prefix: str = parameter('ah_', 'ros2_control: prefix of their joint names (ahr_, ahl_ with two hands)')
    names: str = parameter(
        'suite', 'topic_based: joint names of the robot description in use, ours or those of their ros2_control stack',
        choices=('suite', ROS2_CONTROL))
    command_topic: str = parameter('', 'their command topic; empty: the usual one of the dialect')
    state_topic: str = parameter('', 'their state topic; empty: the usual one of the dialect')
    command_interface: str = parameter(
        'position', 'topic_based: which values of a command with both are used', choices=('position', 'effort'))
    driver: str = parameter('hand_driver', 'to_driver: name of our driver node, for torque off and for its mode')
    serial: str = parameter(
        '', 'to_driver, with several hands on one network: serial number of ours, to tell its faults from those of the '
        'others')
    pose_dir: str = parameter(
        '', 'folder of pose files NAME.yaml (key position, rad) that lib_cmd may name; empty: none may')
    repeat_hz: float = parameter(
        50.0, 'to_driver: how often the last command of a client that sends it once is repeated', unit='Hz', low=15.0,
        high=200.0)
    keep_s: float = parameter(
        300.0, 'to_driver: how long it is kept up, as their drivers do without end; 0 is without end', unit='s',
        low=0.0, high=86400.0)
    max_target_speed: float = parameter(
        4.0, 'to_vendor: fastest change of a target; their drivers limit nothing', unit='rad/s', low=0.05, high=7.0)
    hold_after_s: float = parameter(
        0.1, 'to_vendor: commands older than this are refused, and without a younger one nothing is sent', unit='s',
        low=0.01, high=2.0)
    start_word: str = parameter(
        '', 'to_vendor: lib_cmd word sent before the first joint_cmd, e.g. pdControl; UNVERIFIED whether their nodes '
        'need one')
