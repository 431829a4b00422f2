"""What a graph announces: message classes by ROS type name, and the QoS of publishers."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from typing import Any

from allegro_description.errors import MissingDependency, UnknownName
from allegro_description.ros.interfaces import RECORDING
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy

from allegro_bench.bag_format import offered_qos


def type_name(kind: type) -> str:
    """ROS name of a message class, e.g. ``sensor_msgs/msg/JointState``."""
    return f'{kind.__module__.split(".")[0]}/msg/{kind.__name__}'


def message_class(name: str) -> type:
    """Class of a ROS type name.

    Raises:
        UnknownName: not a message type name, or the package has no such message.
        MissingDependency: the package is not installed here.
    """
    package, _, rest = name.partition('/msg/')
    if not rest.isidentifier() or not package.isidentifier():
        raise UnknownName('message type', name, (), 'It has the form package/msg/Name.')
    try:
        module = importlib.import_module(f'{package}.msg')
    except ImportError as error:
        raise MissingDependency(f'messages of package {package} are not installed here: {error}') from error
    found = getattr(module, rest, None)
    if not isinstance(found, type):
        raise UnknownName('message type', name, [n for n in dir(module) if n[:1].isupper()])
    return found


def offered(profile: QoSProfile) -> dict[str, Any]:
    """A publisher's QoS as bags hold it."""
    return offered_qos(
        reliability=profile.reliability.name.lower(), durability=profile.durability.name.lower(),
        history=profile.history.name.lower(), depth=profile.depth, liveliness=profile.liveliness.name.lower(),
        deadline_ns=profile.deadline.nanoseconds, lifespan_ns=profile.lifespan.nanoseconds,
        lease_ns=profile.liveliness_lease_duration.nanoseconds,
    )


def matching(offered: Sequence[QoSProfile]) -> QoSProfile:
    """Return the strictest profile that matches every one of these publishers."""
    reliable = all(p.reliability == ReliabilityPolicy.RELIABLE for p in offered)
    latched = all(p.durability == DurabilityPolicy.TRANSIENT_LOCAL for p in offered)
    return QoSProfile(
        depth=RECORDING.depth, reliability=ReliabilityPolicy.RELIABLE if reliable else ReliabilityPolicy.BEST_EFFORT,
        durability=DurabilityPolicy.TRANSIENT_LOCAL if latched else DurabilityPolicy.VOLATILE)
