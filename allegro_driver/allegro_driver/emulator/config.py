"""Settings of the emulator, declared once: validation, command line and documentation derive from them.

Settings marked UNVERIFIED stand for behaviour of the hand that no source settles; the default is what the vendor's
client needs.
"""

from __future__ import annotations

from dataclasses import dataclass

from allegro_description.config import parameter
from allegro_description.model import HandModel
from allegro_description.simulation.objects import OBJECT_SETS

from allegro_driver.emulator.thermal import TIME_CONSTANT_S

_V5_KINDS = {'v5_a': 'TA', 'v5_b': 'TB', 'v5_3f': 'TC', 'v5_sense': 'SB'}


def serial_number(model: HandModel, given: str = '') -> tuple[str, int]:
    """Serial number of an emulated hand, ``given`` or one that fits, and the place of its R or L.

    Of V4 and Plexus only the vendor's habit of ending a label with the side is known, so theirs end with it.
    """
    letter = model.side[0].upper()
    if model.model in _V5_KINDS:
        return given or f'5{_V5_KINDS[model.model]}{letter}0001', 3
    text = given or f'A001{letter}'
    return text, len(text) - 1


@dataclass(frozen=True, slots=True)
class EmulatorConfig:
    """Everything the emulated hand can be told at start."""

    model: str = parameter('v5_sense', 'hand description')
    side: str = parameter('right', 'hand side', choices=('right', 'left'))
    wire: str = parameter(
        'auto', 'udp; slcan: a serial CAN adapter on a pseudo-terminal; or INTERFACE:CHANNEL of python-can, such as '
        'socketcan:vcan0; auto: udp for hands that have it, else slcan')
    host: str = parameter('127.0.0.1', 'UDP: address to serve the hand on; anything else opens it to the network')
    port: int = parameter(7000, 'UDP port of the hand; 0 chooses a free one', low=0, high=65535)
    pty_link: str = parameter('', 'slcan: symbolic link to the pseudo-terminal, made at start and removed at the end')
    device_id: int = parameter(
        -1, 'CAN: device number, which the host can change; -1: the one of the hand description', low=-1, high=3)
    control_port: int = parameter(
        7001, 'UDP port of the control interface, always on 127.0.0.1; 0 chooses', low=0, high=65535)
    physics: str = parameter(
        'mujoco', 'mujoco (contacts, objects, touch) or simple (joints only, speed proportional to torque, needs numpy '
        'alone)', choices=('mujoco', 'simple'))
    period_ms: float = parameter(
        3.0, 'UDP: time between two telemetry packets; CAN: step of the physics until the host sets a period',
        unit='ms', low=1.0, high=100.0)
    serial: str = parameter('', 'serial number, up to 8 ASCII characters; V5 family: the third is the type (A, B, C), '
                            'the fourth R or L; empty: one that fits')
    script: str = parameter(
        '', 'faults at given times, "2.0 drop=0.3; 5.0 clear; 6 stale for 0.5", or a .yaml or .json file')
    torque_watchdog_ms: float = parameter(
        0.0, 'drop the torques when none was commanded for so long; 0: hold the last ones for ever (UNVERIFIED '
        'what a hand does; holding is the worse case for the host)', unit='ms', low=0.0, high=60000.0)
    thermal_s: float = parameter(
        TIME_CONSTANT_S, 'time constant of the motors\' temperature (ASSUMED)', unit='s', low=0.01, high=10000.0)
    stream_needs_servo: str = parameter(
        'auto', 'CAN: positions are streamed only while the servo is on; auto: on V5 and V5 Sense (seen on one V5, not '
        'in the manual: UNVERIFIED)', choices=('auto', 'yes', 'no'))
    answers_info: str = parameter(
        'yes', 'CAN: whether the Info request is answered; some V5 firmware does not (UNVERIFIED)',
        choices=('yes', 'no'))
    temperatures: str = parameter(
        'auto', 'CAN: whether temperatures are told; auto: V4 and Plexus (UNVERIFIED on V5)',
        choices=('auto', 'yes', 'no'))
    fingertip_ids: str = parameter(
        'new', 'V5: messages 0x50/0x52 of firmware 1.2, or 0xF0/0xF2 of firmware up to 1.1', choices=('new', 'old'))
    calibration_reply: str = parameter(
        'yes', 'V5 on CAN: whether calibration is answered with message 0x92 (UNVERIFIED)', choices=('yes', 'no'))
    switches: str = parameter(
        '', 'CAN: switches of the protocol, NAME=VALUE with commas between, instead of those of the hand description')
    calibrate_type: str = parameter(
        'both', 'UDP: packet types obeyed as calibration (UNVERIFIED: vendor code says 0x20, its README 0x25)',
        choices=('both', '0x20', '0x25'))
    serial_response_type: str = parameter(
        '0x35', 'UDP: type of the serial number answer, hexadecimal (UNVERIFIED: the vendor\'s own guess)')
    velocity_field: str = parameter(
        '0.229rpm', 'UDP: unit of the velocity field (UNVERIFIED), or zero to leave it empty',
        choices=('0.229rpm', 'zero'))
    stream_to: str = parameter(
        'sender', 'UDP: where telemetry goes: sender (of HELLO) or IP:PORT (UNVERIFIED what a hand does)')
    seed: int = parameter(0, 'seed of random faults and of sensor noise', low=0, high=2**31 - 1)


@dataclass(frozen=True, slots=True)
class EpisodeControlConfig:
    """Parameters of the node ``episode_control``, the ROS face of the control interface."""

    model: str = parameter('v5_sense', 'hand description')
    side: str = parameter('right', 'hand side', choices=('right', 'left'))
    prefix: str = parameter('', 'put before every joint and frame name in messages: two hands, one tree of frames')
    host: str = parameter('127.0.0.1', 'where the emulator runs')
    control_port: int = parameter(7001, 'its control port', low=1, high=65535)
    rate_hz: float = parameter(30.0, 'rate of object and gravity', unit='Hz', low=1.0, high=100.0)
    seed: int = parameter(0, 'seed of the next episode; each start counts it up', low=0, high=2**31 - 1, live=True)
    level: str = parameter('L1', 'disturbance level', choices=('L0', 'L1', 'L2', 'L3', 'L4'), live=True)
    object_set: str = parameter(
        'H1', 'objects: those of training, new draws of their families, other families, things of a household, or '
        'heavy and slippery ones', choices=tuple(OBJECT_SETS), live=True)
