"""Settings of the emulator, declared once: validation, command line and documentation derive from them.

Settings marked UNVERIFIED stand for behaviour of the hand that no source settles; the default is what the vendor's
client needs.
"""

from __future__ import annotations

from dataclasses import dataclass

from allegro_description.config import parameter

SERIALS = {'right': '5SBR0001', 'left': '5SBL0001'}


@dataclass(frozen=True, slots=True)
class EmulatorConfig:
    """Everything the emulated hand can be told at start."""

    model: str = parameter('v5_sense', 'hand description')
    side: str = parameter('right', 'hand side', choices=('right', 'left'))
    host: str = parameter('127.0.0.1', 'address to serve the hand on; anything else opens it to the network')
    port: int = parameter(7000, 'UDP port of the hand; 0 chooses a free one', low=0, high=65535)
    control_port: int = parameter(
        7001, 'UDP port of the control interface, always on 127.0.0.1; 0 chooses', low=0, high=65535)
    physics: str = parameter(
        'mujoco', 'mujoco (contacts, objects, touch) or simple (joints only, 0.01 rad/s per mA, needs numpy alone)',
        choices=('mujoco', 'simple'))
    period_ms: float = parameter(3.0, 'time between two telemetry packets', unit='ms', low=1.0, high=100.0)
    serial: str = parameter('', 'serial number, up to 8 ASCII characters, the fourth is R or L; empty: one that fits')
    torque_watchdog_ms: float = parameter(
        0.0, 'drop the currents when no torque packet came for so long; 0: hold the last ones for ever (UNVERIFIED '
        'what a hand does; holding is the worse case for the host)', unit='ms', low=0.0, high=60000.0)
    calibrate_type: str = parameter(
        'both', 'packet types obeyed as calibration (UNVERIFIED: vendor code says 0x20, its README 0x25)',
        choices=('both', '0x20', '0x25'))
    serial_response_type: str = parameter(
        '0x35', 'type of the serial number answer, hexadecimal (UNVERIFIED: the vendor\'s own guess)')
    velocity_field: str = parameter(
        '0.229rpm', 'unit of the velocity field (UNVERIFIED), or zero to leave it empty', choices=('0.229rpm', 'zero'))
    stream_to: str = parameter(
        'sender', 'where telemetry goes: sender (of HELLO) or IP:PORT (UNVERIFIED what a hand does)')
    seed: int = parameter(0, 'seed of random faults and of sensor noise', low=0, high=2**31 - 1)


@dataclass(frozen=True, slots=True)
class EpisodeControlConfig:
    """Parameters of the node ``episode_control``, the ROS face of the control interface."""

    model: str = parameter('v5_sense', 'hand description')
    side: str = parameter('right', 'hand side', choices=('right', 'left'))
    host: str = parameter('127.0.0.1', 'where the emulator runs')
    control_port: int = parameter(7001, 'its control port', low=1, high=65535)
    rate_hz: float = parameter(30.0, 'rate of object and gravity', unit='Hz', low=1.0, high=100.0)
    seed: int = parameter(0, 'seed of the next episode; each start counts it up', low=0, high=2**31 - 1, live=True)
    level: str = parameter('L1', 'disturbance level', choices=('L0', 'L1', 'L2', 'L3', 'L4'), live=True)
    object_set: str = parameter('H1', 'objects: those of training, or new draws', choices=('train', 'H1'), live=True)
