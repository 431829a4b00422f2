"""Messages to values and back. Stamps are integer nanoseconds; joints are mapped by name, never by position."""

from __future__ import annotations

from array import array
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import numpy as np
from builtin_interfaces.msg import Time
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from numpy.typing import NDArray
from sensor_msgs.msg import JointState, PointCloud2, PointField

from allegro_description.errors import CommandRefused, ConfigError, ProtocolError, UnknownName
from allegro_description.model import HandModel
from allegro_description.state import Array, HandState, JointCommand, TactileFrame, frozen

RAW_DTYPE = np.dtype([('x', '<f4'), ('y', '<f4'), ('z', '<f4'), ('raw', '<f4')])
POINTS_DTYPE = np.dtype({
    'names': ['x', 'y', 'z', 'pressure', 'taxel', 'valid'],
    'formats': ['<f4', '<f4', '<f4', '<f4', '<u2', 'u1'],
    'offsets': [0, 4, 8, 12, 16, 18],
    'itemsize': 20,
})
_FIELD_TYPES = {'<f4': PointField.FLOAT32, '<u2': PointField.UINT16, '|u1': PointField.UINT8}


def to_ns(stamp: Time) -> int:
    """Message stamp to integer nanoseconds."""
    return int(stamp.sec) * 1_000_000_000 + int(stamp.nanosec)


def to_stamp(ns: int) -> Time:
    """Integer nanoseconds to a message stamp."""
    sec, nanosec = divmod(int(ns), 1_000_000_000)
    return Time(sec=sec, nanosec=nanosec)


def _doubles(values: Array) -> array[float]:
    return array('d', np.ascontiguousarray(values, dtype=np.float64).tobytes())


def joint_state_message(model: HandModel, state: HandState) -> JointState:
    """Measured state as ``joint_states``: rad, rad/s and N·m; effort stays empty where no current is reported."""
    message = JointState()
    message.header.stamp = to_stamp(state.stamp_ns)
    message.header.frame_id = model.palm
    message.name = list(model.joint_names)
    message.position = _doubles(state.position)
    message.velocity = _doubles(state.velocity)
    if state.current_ma is not None:
        message.effort = _doubles(state.current_ma / model.per_nm)
    return message


def command_message(model: HandModel, command: JointCommand) -> JointState:
    """A command as ``joint_commands``: positions or efforts, stamped with the observation that caused it."""
    message = JointState()
    message.header.stamp = to_stamp(command.stamp_ns)
    message.header.frame_id = model.palm
    message.name = list(model.joint_names)
    if command.position is not None:
        message.position = _doubles(command.position)
    if command.effort is not None:
        message.effort = _doubles(command.effort)
    return message


@lru_cache(maxsize=32)
def _permutation(model: HandModel, names: tuple[str, ...]) -> NDArray[np.intp]:
    return model.permutation(names)


def by_name(model: HandModel, names: Any, values: Any, what: str) -> Array:
    """Bring ``values`` that belong to ``names`` into canonical joint order.

    Raises:
        CommandRefused: names unknown, missing or repeated, or another number of values than of names.
    """
    given = tuple(names)
    if len(values) != len(given):
        raise CommandRefused(f'{what}: {len(values)} values for {len(given)} joint names; give one value per name')
    try:
        order = _permutation(model, given)
    except (ConfigError, UnknownName) as error:
        raise CommandRefused(
            f'{what}: {error} Given: {", ".join(given) or "none"}; needed: {", ".join(model.joint_names)}'
        ) from error
    return frozen(np.asarray(values, dtype=np.float64)[order])


def command_from_message(model: HandModel, message: JointState) -> JointCommand:
    """Read a command by joint name.

    Raises:
        CommandRefused: unknown, missing or repeated names (the message lists both sets), a wrong number of values,
            values that are not finite, a velocity command, or not exactly one of position and effort.
    """
    if any(message.velocity):
        raise CommandRefused('joint_commands: velocity commands are not supported; send position or effort')
    position, effort = None, None
    if len(message.position):
        position = by_name(model, message.name, message.position, 'joint_commands position')
    if len(message.effort):
        effort = by_name(model, message.name, message.effort, 'joint_commands effort')
    return JointCommand(to_ns(message.header.stamp), position, effort)


def _fields(dtype: np.dtype[Any]) -> list[PointField]:
    assert dtype.fields is not None
    return [
        PointField(name=name, offset=dtype.fields[name][1], datatype=_FIELD_TYPES[dtype.fields[name][0].str], count=1)
        for name in dtype.names or ()
    ]


_RAW_FIELDS, _POINTS_FIELDS = _fields(RAW_DTYPE), _fields(POINTS_DTYPE)


def _cloud(
    model: HandModel, stamp_ns: int, points: NDArray[Any], fields: list[PointField], dense: bool = True,
) -> PointCloud2:
    cloud = PointCloud2()
    cloud.header.stamp = to_stamp(stamp_ns)
    cloud.header.frame_id = model.palm
    cloud.height, cloud.width = 1, len(points)
    cloud.fields = list(fields)
    cloud.point_step = points.dtype.itemsize
    cloud.row_step = points.nbytes
    cloud.data = array('B', points.tobytes())
    cloud.is_dense = dense
    return cloud


def raw_message(model: HandModel, state: HandState) -> PointCloud2:
    """Raw taxel readings (Pa before baseline) as ``tactile/raw``; x, y, z are 0, see ``tactile/points`` for places.

    Raises:
        ConfigError: the state has no tactile readings.
    """
    if state.tactile is None:
        raise ConfigError(f'{model.name}: this state carries no tactile readings; do not publish tactile/raw')
    points = np.zeros(len(state.tactile), RAW_DTYPE)
    points['raw'] = state.tactile
    return _cloud(model, state.stamp_ns, points, _RAW_FIELDS)


def points_message(model: HandModel, frame: TactileFrame, xyz: Array) -> PointCloud2:
    """Build ``tactile/points``: ``xyz`` (n_taxels, 3) m in the palm frame, pressure Pa, taxel index, validity.

    Places that are not known are NaN; the cloud then is not dense.
    """
    points = np.zeros(len(frame.pressure), POINTS_DTYPE)
    points['x'], points['y'], points['z'] = xyz[:, 0], xyz[:, 1], xyz[:, 2]
    points['pressure'] = frame.pressure
    points['taxel'] = np.arange(len(points))
    points['valid'] = frame.valid
    return _cloud(model, frame.stamp_ns, points, _POINTS_FIELDS, bool(np.isfinite(xyz).all()))


def _read(cloud: PointCloud2, expected: np.dtype[Any], topic: str) -> NDArray[Any]:
    assert expected.fields is not None
    layout = {f.name: (f.offset, f.datatype) for f in cloud.fields}
    for name in expected.names or ():
        kind = _FIELD_TYPES[expected.fields[name][0].str]
        if name not in layout or layout[name][1] != kind:
            have = ', '.join(layout) or 'none'
            raise ProtocolError(f'{topic}: field {name!r} of PointField type {kind} is missing; fields: {have}')
    count = cloud.width * cloud.height
    if cloud.is_bigendian or len(cloud.data) != count * cloud.point_step:
        raise ProtocolError(f'{topic}: {len(cloud.data)} bytes for {count} points of {cloud.point_step} bytes, '
                            f'big endian: {cloud.is_bigendian}; needs little endian and matching sizes')
    names = list(expected.names or ())
    try:
        dtype = np.dtype({'names': names, 'formats': [expected.fields[n][0] for n in names],
                          'offsets': [layout[n][0] for n in names], 'itemsize': cloud.point_step})
    except ValueError as error:
        raise ProtocolError(f'{topic}: point layout does not fit {cloud.point_step} bytes: {error}') from error
    return np.frombuffer(cloud.data, dtype=dtype, count=count)


def tactile_from_raw(message: PointCloud2) -> tuple[int, Array]:
    """Stamp (ns) and raw readings (Pa, (n_taxels,), NaN where the hand sent none) of ``tactile/raw``.

    Raises:
        ProtocolError: a field is missing or the sizes do not fit.
    """
    return to_ns(message.header.stamp), frozen(_read(message, RAW_DTYPE, 'tactile/raw')['raw'])


def points_from_message(message: PointCloud2) -> tuple[int, Array, Array, NDArray[np.bool_]]:
    """Stamp (ns), places (m, (n_taxels, 3)), pressure (Pa) and validity of ``tactile/points``, in taxel order.

    Raises:
        ProtocolError: a field is missing, the sizes do not fit, or the taxel indices are not 0 … n-1.
    """
    points = _read(message, POINTS_DTYPE, 'tactile/points')
    order = np.argsort(points['taxel'], kind='stable')
    points = points[order]
    if not np.array_equal(points['taxel'], np.arange(len(points))):
        raise ProtocolError(f'tactile/points: taxel indices are {points["taxel"].tolist()}, expected each of 0 … '
                            f'{len(points) - 1} once')
    xyz = frozen(np.stack([points['x'], points['y'], points['z']], axis=1))
    return to_ns(message.header.stamp), xyz, frozen(points['pressure']), points['valid'].astype(bool)


def _text(value: object) -> str:
    if isinstance(value, (bool, np.bool_)):
        return 'true' if value else 'false'
    if isinstance(value, (float, np.floating)):
        return f'{value:.6g}'
    return str(value)


def diagnostic_array(
    node: Any, name: str, level: int | bytes, message: str, values: Mapping[str, object], hardware_id: str = '',
) -> DiagnosticArray:
    """One diagnostic status named ``<node>: <name>``, stamped now; keys of ``values`` carry their unit.

    Args:
        node: the publishing node (its name and clock are used).
        name: the aspect, e.g. ``link``.
        level: 0 OK, 1 WARN, 2 ERROR, 3 STALE, or the ``DiagnosticStatus`` constants.
        message: one sentence.
        values: text is kept, floats are written with six significant digits.
        hardware_id: which hand.
    """
    status = DiagnosticStatus()
    status.level = level if isinstance(level, bytes) else bytes([level])
    status.name = f'{node.get_name()}: {name}'
    status.message, status.hardware_id = message, hardware_id
    status.values = [KeyValue(key=key, value=_text(value)) for key, value in values.items()]
    result = DiagnosticArray(status=[status])
    result.header.stamp = node.get_clock().now().to_msg()
    return result
