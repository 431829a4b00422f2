"""Messages of the bridge: joint states and commands under other names, in another order."""

from __future__ import annotations

from typing import Any

import numpy as np
from allegro_description.errors import CommandRefused
from allegro_description.ros.convert import to_stamp
from allegro_description.state import Array
from sensor_msgs.msg import JointState

from allegro_driver.dialect import Dialect


def their_joints(
    dialect: Dialect, stamp_ns: int, position: Array | None, velocity: Array | None = None,
    effort: Array | None = None,
) -> JointState:
    """A JointState as they write it.

    Args:
        dialect: names and order.
        stamp_ns: stamp.
        position: rad, canonical, or None to leave it empty; likewise the others.
        velocity: rad/s.
        effort: in their unit.
    """
    message = JointState(name=list(dialect.names))
    message.header.stamp = to_stamp(stamp_ns)
    for field, values in (('position', position), ('velocity', velocity), ('effort', effort)):
        if values is not None:
            setattr(message, field, dialect.theirs(values).tolist())
    return message


def their_positions(dialect: Dialect, message: Any) -> tuple[Array | None, Array | None]:
    """Position (rad) and effort (their unit) of a command of theirs, canonical; None where it has none.

    Raises:
        CommandRefused: a wrong number of values, names that are not those of the hand, NaN, or velocities.
    """
    if any(message.velocity):
        raise CommandRefused(f'{dialect.command_topic}: velocity commands are not supported; send positions')
    found: list[Array | None] = []
    for field in ('position', 'effort'):
        values = getattr(message, field)
        what = f'{dialect.command_topic} {field}'
        found.append(dialect.canonical(message.name, values, what) if len(values) else None)
    return found[0], found[1]


def their_state(dialect: Dialect, message: Any) -> tuple[Array, Array | None]:
    """Angles (rad) and torques (N·m) that their driver measured, canonical; None where it measures no torque.

    Raises:
        CommandRefused: as :func:`their_positions`.
    """
    position = dialect.canonical(message.name, message.position, f'{dialect.state_topic} position')
    effort = None
    if dialect.effort_per_nm is not None and len(message.effort):
        theirs = dialect.canonical(message.name, message.effort, f'{dialect.state_topic} effort')
        effort = np.asarray(theirs / dialect.effort_per_nm)
    return position, effort
