"""Parameters of the profiling and episode nodes, declared once."""

from __future__ import annotations

from dataclasses import dataclass

from allegro_description.config import parameter


@dataclass(frozen=True, slots=True)
class ProfilerConfig:
    """Parameters of ``inference_profiler``."""

    model: str = parameter('v5_sense', 'hand model')
    side: str = parameter('right', 'which hand', choices=('right', 'left'))
    prefix: str = parameter('', 'put before every joint and frame name in messages: two hands, one tree of frames')
    output_dir: str = parameter('runs/profile', 'folder for result.json, ticks.npz, series.npz and report.html')
    autostart: bool = parameter(True, 'begin to measure at once; if false, when the service ~/start is called')
    deadline_ms: float = parameter(
        0.0, 'a tick that finishes later than this after its release is missed; 0: one control period',
        unit='ms', low=0.0, high=10000.0)
    warmup_ticks: int = parameter(
        100, 'first ticks of each backend that are kept but not counted in the summary', low=0, high=100000)
    window_s: float = parameter(
        60.0, 'stretch that the live diagnostics look back on', unit='s', low=1.0, high=3600.0)
    meter: str = parameter(
        'auto', 'energy meters: auto, none, or names with arguments, separated by commas (docs/energy.md)')
    policy_node: str = parameter('grasp_policy', 'name of the node whose CPU time is divided by its inferences')
    driver_node: str = parameter('hand_driver', 'name of the node whose loop timing is forwarded')
    trace_rate_hz: float = parameter(
        20.0, 'rate at which touch and torque are kept for the report; 0 leaves them out', unit='Hz',
        low=0.0, high=100.0)


@dataclass(frozen=True, slots=True)
class RunnerConfig:
    """Parameters of ``episode_runner``."""

    model: str = parameter('v5_sense', 'hand model')
    side: str = parameter('right', 'which hand', choices=('right', 'left'))
    prefix: str = parameter('', 'put before every joint and frame name in messages: two hands, one tree of frames')
    episodes: int = parameter(0, 'how many episodes to run; 0: as many as fit into duration_s', low=0, high=100000)
    duration_s: float = parameter(
        60.0, 'begin no further episode that would not end within this time; used where episodes is 0', unit='s',
        low=7.0, high=86400.0)
    episode_s: float = parameter(
        6.0, 'length of an episode, to tell whether one more fits into duration_s', unit='s', low=0.1, high=600.0)
    pause_s: float = parameter(
        1.5, 'longest wait for the hand to reach the start pose between two episodes', unit='s', low=0.1, high=30.0)
    start_pose: str = parameter('pregrasp', 'named pose from which an episode begins')
    start_tolerance_rad: float = parameter(
        0.15, 'largest joint error at which the hand counts as being at the start pose', unit='rad', low=0.01, high=1.0)
    episode_timeout_s: float = parameter(
        15.0, 'give up on an episode that has not ended by then', unit='s', low=1.0, high=600.0)
    service_timeout_s: float = parameter(
        15.0, 'give up if a service is not there or does not answer by then', unit='s', low=0.1, high=600.0)
    policy_node: str = parameter('grasp_policy', 'name of the policy node')
    control_node: str = parameter('episode_control', 'name of the episode control node')
    driver_node: str = parameter('hand_driver', 'name of the driver node, whose faults are cleared between episodes')
    output_dir: str = parameter('', 'folder for episodes.json; empty writes none')
    json: bool = parameter(False, 'print one JSON object per line instead of text')


@dataclass(frozen=True, slots=True)
class RecorderConfig:
    """Parameters of ``bag_recorder``."""

    model: str = parameter('v5_sense', 'hand model')
    side: str = parameter('right', 'which hand', choices=('right', 'left'))
    prefix: str = parameter('', 'put before every joint and frame name in messages: two hands, one tree of frames')
    output_dir: str = parameter(
        'runs/recording', 'the bag is written to the folder bag in here, or to bag_2, bag_3 … where that exists')
    topics: tuple[str, ...] = parameter(
        ('all',), 'names of the topics to record; all stands for every topic of the suite')
    chunk_kib: int = parameter(64, 'size at which a chunk is compressed and written', unit='KiB', low=4, high=16384)
    flush_s: float = parameter(
        0.5, 'how often the chunk in progress is completed: what a crash may cost', unit='s', low=0.05, high=10.0)
    split_mb: float = parameter(
        0.0, 'begin another file of the bag when one has this size; 0: one file', unit='MB', low=0.0, high=1000000.0)
    split_s: float = parameter(
        0.0, 'begin another file of the bag after this time; 0: one file', unit='s', low=0.0, high=1000000.0)
    buffer_mb: float = parameter(
        64.0, 'how much may wait in memory for a slow disk; what comes on top is dropped and counted', unit='MB',
        low=1.0, high=16384.0)
    min_free_mb: float = parameter(
        100.0, 'with less free space than this the recording ends, complete and readable', unit='MB', low=0.0,
        high=1000000.0)


@dataclass(frozen=True, slots=True)
class PlayerConfig:
    """Parameters of ``bag_player``."""

    bag: str = parameter('', 'folder or file of the bag')
    rate: float = parameter(1.0, 'seconds of the recording in one second', low=0.01, high=100.0, live=True)
    loop: bool = parameter(False, 'begin again at the end', live=True)
    paused: bool = parameter(False, 'stand still', live=True)
    position_s: float = parameter(
        -1.0, 'set it to go to that place in the recording; -1 leaves it', unit='s', low=-1.0, high=1e6, live=True)
    start_s: float = parameter(0.0, 'place to begin at', unit='s', low=0.0, high=1e6)
    delay_s: float = parameter(
        1.0, 'wait so long before the first message and after the last, for others to connect', unit='s', low=0.0,
        high=60.0)
    clock_hz: float = parameter(100.0, 'rate of /clock', unit='Hz', low=1.0, high=1000.0)
    topics: tuple[str, ...] = parameter(
        ('all',), 'topics to play, relative to the hand, * for one level; all stands for everything')
    live: tuple[str, ...] = parameter(
        ('none',), 'nodes that run beside the player: what was recorded of theirs goes to recorded/…')
    commands: bool = parameter(
        False, 'play recorded commands (joint_commands, joint_trajectory, motion, gravity, those of other stacks) '
        'under their own names: a hand that listens will move; else they go to recorded/…')
    from_namespace: str = parameter('', "namespace of the hand's topics in the recording")
    drive: bool = parameter(
        False, 'ask the policy to grasp when a recorded episode begins and to release when it ends; waits for it')
    policy_node: str = parameter('grasp_policy', 'name of the policy node that is driven')
