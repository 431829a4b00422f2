"""Every topic of the suite: relative name, type and quality of service, in one table.

Names are relative, so a namespace given at launch makes room for a second hand. Sensor streams are offered reliable
and taken best effort: a slow reader loses old samples instead of delaying the hand. Names that begin with ``~/`` are
private to the node in :attr:`Topic.node`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from diagnostic_msgs.msg import DiagnosticArray
from geometry_msgs.msg import Vector3Stamped, WrenchStamped
from rclpy.qos import DurabilityPolicy, HistoryPolicy, QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import JointState, PointCloud2, TimeReference
from std_msgs.msg import Float64, String
from trajectory_msgs.msg import JointTrajectory
from visualization_msgs.msg import Marker


def _qos(depth: int, *, reliable: bool = True) -> QoSProfile:
    return QoSProfile(
        depth=depth,
        history=HistoryPolicy.KEEP_LAST,
        reliability=ReliabilityPolicy.RELIABLE if reliable else ReliabilityPolicy.BEST_EFFORT,
        durability=DurabilityPolicy.VOLATILE,
    )


STREAM = _qos(10)
SENSOR = _qos(5, reliable=False)
COMMAND = _qos(1)
EVENTS = _qos(100)
RECORDING = _qos(200)


@dataclass(frozen=True)
class Topic:
    """One topic.

    Attributes:
        name: relative name; ``~/…`` is private to ``node``.
        type: message class.
        publish_qos: what publishers offer.
        subscribe_qos: what subscribers of the suite ask for (recorders use :data:`RECORDING`).
        node: default name of the owning node, only needed for private names.
    """

    name: str
    type: type
    publish_qos: QoSProfile
    subscribe_qos: QoSProfile
    node: str = ''

    @property
    def public_name(self) -> str:
        """Name as other nodes of the same namespace see it."""
        return f'{self.node}/{self.name[2:]}' if self.name.startswith('~/') else self.name


JOINT_STATES = Topic('joint_states', JointState, STREAM, SENSOR)
TACTILE_RAW = Topic('tactile/raw', PointCloud2, STREAM, SENSOR)
JOINT_COMMANDS = Topic('joint_commands', JointState, COMMAND, COMMAND)
JOINT_TRAJECTORY = Topic('joint_trajectory', JointTrajectory, COMMAND, COMMAND)
MOTION = Topic('motion', String, COMMAND, COMMAND)
TACTILE_POINTS = Topic('tactile/points', PointCloud2, STREAM, SENSOR)
INFERENCE = Topic('inference', TimeReference, EVENTS, EVENTS)
INFERENCE_RELEASE = Topic('inference_release', TimeReference, EVENTS, EVENTS)
POLICY_STATE = Topic('~/policy_state', JointState, STREAM, STREAM, node='grasp_policy')
OOD_SCORE = Topic('~/ood_score', Float64, STREAM, STREAM, node='grasp_policy')
SLIP_PROBABILITY = Topic('~/slip_probability', Float64, STREAM, STREAM, node='grasp_policy')
OBJECT = Topic('object', Marker, STREAM, STREAM)
GRAVITY = Topic('gravity', Vector3Stamped, STREAM, STREAM)
RECORDED_GRAVITY = Topic('recorded/gravity', Vector3Stamped, STREAM, STREAM)
"""That of a recording that is played: to be looked at, no driver listens."""
EPISODE = Topic('episode', DiagnosticArray, EVENTS, EVENTS)
ENERGY = Topic('energy', DiagnosticArray, EVENTS, EVENTS)
DIAGNOSTICS = Topic('/diagnostics', DiagnosticArray, STREAM, EVENTS)


def wrench_topic(finger: str) -> Topic:
    """The net contact wrench of one finger, e.g. ``tactile/index/wrench``."""
    return Topic(f'tactile/{finger}/wrench', WrenchStamped, STREAM, SENSOR)


def all_topics(fingers: Iterable[str]) -> tuple[Topic, ...]:
    """Every topic of a hand with these fingers: what a recorder takes by default."""
    fixed = (JOINT_STATES, TACTILE_RAW, JOINT_COMMANDS, JOINT_TRAJECTORY, MOTION, TACTILE_POINTS, INFERENCE,
             INFERENCE_RELEASE, POLICY_STATE, OOD_SCORE, SLIP_PROBABILITY, OBJECT, GRAVITY, EPISODE,
             ENERGY, DIAGNOSTICS)
    return (*fixed, *(wrench_topic(f) for f in fingers))
