"""``trajectory_msgs/JointTrajectory`` to a checked trajectory."""

from __future__ import annotations

from allegro_description.errors import CommandRefused
from allegro_description.model import HandModel
from allegro_description.ros.convert import to_ns
from trajectory_msgs.msg import JointTrajectory

from allegro_driver.control.trajectory import Trajectory, make_trajectory

_OLDEST_NS = 1_000_000_000


def trajectory_from_message(model: HandModel, message: JointTrajectory, now_ns: int, max_speed: float) -> Trajectory:
    """Read a trajectory by joint name. It starts at once; accelerations are not used.

    Args:
        model: the hand.
        message: every joint once; positions, and velocities at all points or at none. Stamp: zero, or about now.
        now_ns: present time of the stamp's clock.
        max_speed: fastest joint speed allowed, rad/s.

    Raises:
        CommandRefused: anything wrong; the message says where.
    """
    stamp = to_ns(message.header.stamp)
    if stamp and not -_OLDEST_NS < stamp - now_ns < _OLDEST_NS:
        raise CommandRefused(
            f'trajectory is stamped {(stamp - now_ns) / 1e9:+.1f} s from now; it starts at once, so stamp it with '
            'the present time or with zero')
    points = message.points
    if any(len(p.effort) for p in points):
        raise CommandRefused('trajectory holds efforts; send torques on joint_commands')
    with_velocity = sum(bool(len(p.velocities)) for p in points)
    if with_velocity not in (0, len(points)):
        raise CommandRefused(f'trajectory has velocities at {with_velocity} of {len(points)} points; give all or none')
    for k, point in enumerate(points):
        for what, values in (('positions', point.positions), ('velocities', point.velocities)):
            if len(values) != len(message.joint_names) and (what == 'positions' or with_velocity):
                raise CommandRefused(
                    f'trajectory point {k} has {len(values)} {what} for {len(message.joint_names)} joint names')
    return make_trajectory(
        model, message.joint_names,
        [p.time_from_start.sec + p.time_from_start.nanosec * 1e-9 for p in points],
        [list(p.positions) for p in points],
        [list(p.velocities) for p in points] if with_velocity else None,
        max_speed=max_speed)
