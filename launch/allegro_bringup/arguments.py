"""Arguments of every launch file and of the runner, declared once."""

from __future__ import annotations

from dataclasses import dataclass

from allegro_description.config import parameter


@dataclass(frozen=True, slots=True)
class BringupArgs:
    """What a person may choose when the suite is started. Names, choices and meanings are the same everywhere."""

    model: str = parameter('v5_sense', 'hand model', choices=('v5_sense',))
    side: str = parameter('right', 'hand side', choices=('right', 'left'))
    transport: str = parameter('udp', 'how the hand is connected', choices=('udp',))
    emulate: bool = parameter(True, 'start the emulated hand and use it; false: a real hand at `address`')
    address: str = parameter(
        '', "the hand as IP, IP:PEER_PORT or IP:PEER_PORT:LOCAL_PORT; empty: the emulator's, or the factory address")
    wire_port: int = parameter(17000, 'UDP port of the emulated hand', low=1024, high=65535)
    control_port: int = parameter(17001, 'UDP port of its control interface', low=1024, high=65535)
    local_port: int = parameter(18000, 'UDP port of the driver (emulated hand only)', low=1024, high=65535)
    enable: bool = parameter(
        False, 'switch torque on as soon as the driver runs; always so with the emulated hand')
    namespace: str = parameter('', 'ROS namespace, one per hand')
    prefix: str = parameter('', 'prefix of link names, for two hands in one TF tree')
    params_file: str = parameter('', 'YAML file with parameters that override the defaults')
    rviz: bool = parameter(False, 'start robot_state_publisher and RViz (needs a ROS desktop installation)')
    viewer: bool = parameter(True, 'start the browser viewer on 127.0.0.1')
    viewer_port: int = parameter(8080, 'port of the browser viewer; the next free one is taken', low=1024, high=65535)
    use_sim_time: bool = parameter(False, 'take time from /clock')
    autostart: bool = parameter(True, 'lifecycle nodes configure and activate themselves')
    log_level: str = parameter('info', 'log level of all nodes', choices=('debug', 'info', 'warn', 'error'))
    policy: str = parameter('tactile_hold_linear', 'policy bundle: a shipped name or a folder')
    backend: str = parameter('onnxruntime', 'inference backend', choices=('onnxruntime', 'numpy', 'null'))
    device: str = parameter('cpu', 'device of the backend', choices=('cpu',))
    mode: str = parameter(
        'sim', 'shadow computes only, sim commands the emulated hand, live commands a real one',
        choices=('shadow', 'sim', 'live'))
    output_dir: str = parameter('runs/latest', 'where report, results and bag are written')
    record: bool = parameter(True, 'record a bag into output_dir')
    duration: float = parameter(60.0, 'how long episodes are run', unit='s', low=1.0, high=86400.0)
    level: str = parameter('L2', 'disturbance of the episodes', choices=('L0', 'L1', 'L2', 'L3', 'L4'))
    seed: int = parameter(0, 'seed of the first episode', low=0, high=2**31 - 1)
