"""Messages that come in dozens of times a second and differ only in stamp and values: read without making objects.

Whoever commands a hand sends the same names and the same frame every time. A :class:`CommandReader` reads the first
message in the ordinary way and remembers its bytes. One that has the same bytes everywhere but in its stamp and its
values means the same, so those alone are read; any other is read in the ordinary way again, with all its checks.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from rclpy.serialization import deserialize_message
from sensor_msgs.msg import JointState

from allegro_description.errors import CommandRefused
from allegro_description.model import HandModel
from allegro_description.ros.convert import command_from_message
from allegro_description.state import JointCommand

_STAMP = struct.Struct('<iI')
_STAMP_AT, _STAMP_END = 4, 12  # behind the four bytes that tell the encoding
_DOUBLE = np.dtype('<f8')


@dataclass(frozen=True, slots=True)
class _Known:
    """The bytes around stamp and values, and what the values are."""

    size: int
    begin: bytes
    head: bytes
    values_at: int
    tail_at: int
    tail: bytes
    order: NDArray[np.intp]
    positions: bool


class CommandReader:
    """Serialised ``joint_commands`` of one hand to commands."""

    def __init__(self, model: HandModel) -> None:
        """Know no sender yet; ``model`` has the names that messages carry."""
        self._model = model
        self._known: _Known | None = None

    def read(self, data: bytes) -> JointCommand:
        """Read one message.

        Raises:
            CommandRefused: as :func:`~allegro_description.ros.convert.command_from_message`, or bytes that are no
                message.
        """
        known = self._known
        if (known is None or len(data) != known.size or data[_STAMP_END:known.values_at] != known.head
                or data[known.tail_at:] != known.tail or data[:_STAMP_AT] != known.begin):
            return self._ordinary(data)
        seconds, nanoseconds = _STAMP.unpack_from(data, _STAMP_AT)
        values = np.frombuffer(data, _DOUBLE, len(known.order), known.values_at)[known.order]
        values.flags.writeable = False
        stamp = seconds * 1_000_000_000 + nanoseconds
        return JointCommand(stamp, values) if known.positions else JointCommand(stamp, effort=values)

    def _ordinary(self, data: bytes) -> JointCommand:
        try:
            message = deserialize_message(data, JointState)
        except Exception as error:  # whatever the middleware raises for bytes that it does not understand
            raise CommandRefused(f'joint_commands: not a message of this type ({error})') from error
        command = command_from_message(self._model, message)
        self._known = self._learn(data, message)
        return command

    def _learn(self, data: bytes, message: JointState) -> _Known | None:
        """None where the places of stamp and values are not certain."""
        positions = len(message.position) > 0
        values = np.array(message.position if positions else message.effort, _DOUBLE).tobytes()
        at = data.find(values, _STAMP_END)
        stamp = message.header.stamp
        if at < 0 or data.find(values, at + 1) >= 0 or (
                data[_STAMP_AT:_STAMP_END] != _STAMP.pack(stamp.sec, stamp.nanosec)):
            return None
        end = at + len(values)
        return _Known(len(data), data[:_STAMP_AT], data[_STAMP_END:at], at, end, data[end:],
                      self._model.permutation(message.name), positions)
